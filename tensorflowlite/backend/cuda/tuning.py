"""The products of linear layers, run so that they are measured (``ops/tuning.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

from ...errors import ArgumentError, DtypeError
from .. import dtypes
from .gemm import Problem, described


def tune_layers(
    backend: Any,
    shapes: Iterable[tuple[int, int, int]],
    dtype: Any,
    activations: Iterable[str | None],
) -> list[str]:
    """Run forward and backward passes of layers, and return what was chosen for each product."""
    dtype = dtypes.as_dtype(dtype)
    if dtype not in dtypes.real_inexact:
        raise DtypeError(f"tune: dtype must be a real floating dtype, got {dtype}")
    sizes = [tuple(shape) for shape in shapes]
    for shape in sizes:
        if len(shape) != 3 or min(shape) < 1:
            raise ArgumentError(
                "tune: every shape must be (rows, in_features, out_features), at least 1 each, "
                f"got {shape}"
            )
    for activation in activations:
        for rows, inputs, outputs in sizes:
            _run_layer(backend, rows, inputs, outputs, dtype, activation)
    chosen = getattr(backend.matmul, "gemm", None)
    return [] if chosen is None else [line(*item) for item in chosen.chosen().items()]


def _run_layer(
    backend: Any, rows: int, inputs: int, outputs: int, dtype: Any, activation: str | None
) -> None:
    """Run the products that a layer's forward and backward passes have."""
    random = numpy.random.default_rng(0)  # the speed of a GPU depends on the values

    def normal(*shape: int) -> Any:
        values = random.standard_normal(shape, numpy.float32).astype(dtype)
        return backend.namespace.asarray(values)

    x, w, bias = normal(rows, inputs), normal(outputs, inputs), normal(outputs)
    g = normal(rows, outputs)
    _, saved = backend.linear_act(x, w, bias, activation)
    backend.matmul(g, w)
    backend.matmul(g.T, x)
    if activation is not None:
        # The layer that follows, here one of the shape turned round, gives its gradient to it.
        dz, following = normal(rows, inputs), normal(inputs, outputs)
        backend.product_activation_gradient(dz, following, saved, activation)


def line(problem: Problem, name: str) -> str:
    """Return a problem and the name of what was chosen for it, in words."""
    return f"{described(problem)}: {name}"
