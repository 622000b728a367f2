"""Every operation under a story: it computes the same, and nothing of it is a gap."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl

from . import op_properties as properties
from .backends import all_backends
from .op_table import Row
from .test_op_table import ROWS

DTYPES = ("float32", "bfloat16", "complex64", "int32")
BACKEND = all_backends()[0]


def leaves_of(part: Any) -> list[Any]:
    if isinstance(part, tfl.Tensor):
        return [part] if part.requires_grad else []
    if isinstance(part, dict):
        part = list(part.values())
    return [leaf for one in part for leaf in leaves_of(one)] if type(part) in (list, tuple) else []


def taken(row: Row, sample: Any) -> tuple[Any, str]:
    """Return the outputs and gradients of a step, and the error that ended it."""
    tensors, _ = properties.on_backend(sample, BACKEND, True)
    leaves = leaves_of([tensors.args, tensors.kwargs])
    tfl.manual_seed(0)
    try:
        with np.errstate(all="ignore"):
            outs = [one for one in properties.call(row.function, tensors) if one.requires_grad]
            if outs:
                tfl.autograd.backward(outs, [tfl.ones_like(one) for one in outs])
    except Exception as error:
        return [], f"{type(error).__name__}: {error}"
    grads = [None if one.grad is None else BACKEND.host(one.grad) for one in leaves]
    return [*map(BACKEND.host, outs), *grads], ""


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_story_of_every_operation(row: Row) -> None:
    """The step is the same, errors too; shapes of gradients are those of their values."""
    for dtype in [one for one in row.dtypes if one in DTYPES] or row.dtypes[:1]:
        for sample in row.drawn(dtype):
            where = f"{row.name} {dtype} {sample}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plain, error = taken(row, sample)
                with tfl.explain() as story:
                    told, told_error = taken(row, sample)
            assert told_error == error, where
            for one, other in zip(plain, told, strict=True):
                assert (one is None) == (other is None), where
                if one is None:
                    continue
                assert one.dtype == other.dtype and one.shape == other.shape, where
                # Fused gradients are computed one by one in a story.
                close = 2e-2 if one.dtype.itemsize < 4 else 1e-4
                wide = np.complex128 if one.dtype.kind == "c" else np.float64
                np.testing.assert_allclose(
                    one.astype(wide), other.astype(wide), close, close, err_msg=where
                )
            assert not any("gap" in note for note in story.data["notes"]), where
            json.loads(story.to_json())
            for iteration in story.data["iterations"]:
                check_shapes(iteration, where)


def check_shapes(iteration: Any, where: str) -> None:
    values, calls = iteration["values"], iteration["calls"]
    for flow in iteration["flows"]:
        if flow["call"] is None:
            assert flow["operation"] in ("write_view", "read_view"), where
            continue
        call = calls[flow["call"]]
        assert call["operation"] == flow["operation"] and call["recorded"], where
        above = flow["upstream"] if isinstance(flow["upstream"], list) else [flow["upstream"]]
        for one, made in zip(above, call["outputs"], strict=False):
            assert one is None or one["shape"] == values[made]["array"]["shape"], where
        for part in flow["parts"]:
            assert part["product"]["shape"] == values[part["value"]]["array"]["shape"], where
