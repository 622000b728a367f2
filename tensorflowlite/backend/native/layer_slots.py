"""Native slots of layers with their bias and activation, of gated activations and of dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes, threads
from ..base import accepting
from ..slots.random import take_stream
from .convolution_slots import Convolutions
from .extension import in_c_order

# Elements from which adding a bias on several threads is quicker than NumPy's addition.
_THREADS_FROM = 1 << 14
_FEW_ROWS = 64
_FLOATS = (dtypes.float32, dtypes.float64)


def _all_of_one_float(*arrays: Any) -> bool:
    dtype = arrays[0].dtype
    return dtype in _FLOATS and all(array.dtype == dtype for array in arrays)


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""
    from_output = {name: kind == "from_output" for name, kind in dict(module.activations()).items()}

    native = Convolutions(module)

    def product(x: Any, w: Any) -> Any:
        """Return x @ w.T in C order."""
        if x.ndim > 2:
            rows = product(x.reshape(-1, x.shape[-1]), w)
            return rows.reshape(*x.shape[:-1], w.shape[0])
        if x.shape[0] <= _FEW_ROWS and w.size >= 16384:
            # OpenBLAS runs the tall product in less time than the wide one, down to a half.
            return module.transposed(threads.product(w, x.T))
        return threads.product(x, w.T)

    def activate(z: Any, bias: Any, activation: str | None, channels: bool) -> tuple[Any, Any]:
        """Add the bias and apply the activation, in place where nothing else is saved."""
        if activation is None:
            if bias is not None and z.size >= _THREADS_FROM and z.flags.c_contiguous:
                activate(z, bias, "identity", channels)
            elif bias is not None:
                apart = bias.reshape((-1,) + (1,) * (z.ndim - 2)) if channels else bias
                numpy.add(z, apart, z)
            return z, None
        z = in_c_order(z)  # its reshape below is written to
        bias = None if bias is None else in_c_order(bias)
        saved = z if from_output[activation] else numpy.empty_like(z)
        if channels:
            run, shape = module.bias_activation_forward_channels, (*z.shape[:2], -1)
        else:
            run, shape = module.bias_activation_forward, (-1, z.shape[-1])
        flat = z.reshape(shape)
        run(flat, bias, activation, flat, None if saved is z else saved.reshape(shape))
        return z, saved

    def linear_act(x: Any, w: Any, *rest: Any) -> tuple[Any, Any]:
        *bias, activation = rest
        return activate(product(x, w), bias[0] if bias else None, activation, False)

    def accepts_linear(*args: Any) -> bool:
        *arrays, activation = args
        x, w = arrays[:2]
        return (
            _all_of_one_float(*arrays)
            and x.ndim >= 2
            and w.size > 0
            and x.size > 0
            and (activation is None or activation in from_output)
        )

    def conv_act(x: Any, w: Any, *rest: Any) -> tuple[Any, Any]:
        *bias, stride, padding, dilation, groups, activation = rest
        geometry = stride, padding, dilation, groups
        if native.accepts(x, w, x.shape, w.shape, *geometry):
            before = activation is not None and not from_output[activation]
            z, saved = native.forward(
                x, w, *geometry, bias=bias[0] if bias else None,
                activation=activation or "identity", keep_before=before,
            )  # fmt: skip
            return z, saved if before or activation is None else z
        z = library("convolution")(x, w, *geometry)
        return activate(z, bias[0] if bias else None, activation, True)

    def accepts_conv(*args: Any) -> bool:
        *arrays, _, _, _, _, activation = args
        x, w = arrays[:2]
        return (
            _all_of_one_float(*arrays)
            and w.size > 0
            and x.size > 0
            and (activation is None or activation in from_output)
        )

    def bias_activation_gradient(g: Any, saved: Any, activation: str, axis: int) -> Any:
        return differentiate(g, saved, activation, axis, numpy.empty(g.shape, g.dtype))

    def differentiate(g: Any, saved: Any, activation: str, axis: int, dz: Any) -> Any:
        db = numpy.empty(g.shape[axis], g.dtype)
        channels = axis % g.ndim != g.ndim - 1
        if channels:
            run, shape = module.bias_activation_backward_channels, (*g.shape[:2], -1)
        else:
            run, shape = module.bias_activation_backward, (-1, g.shape[-1])
        flat = [in_c_order(array).reshape(shape) for array in (g, saved)]
        run(*flat, activation, dz.reshape(shape), db)
        return dz, db

    def accepts_gradient(g: Any, saved: Any, activation: str, axis: int) -> bool:
        return (
            _all_of_one_float(g, saved)
            and activation in from_output
            and g.ndim >= 2
            and axis % g.ndim in (1, g.ndim - 1)
            and g.size > 0
        )

    def product_activation_gradient(g: Any, w: Any, saved: Any, activation: str) -> Any:
        dz = library("matmul")(g, w)  # nobody else has it: the gradient takes its place
        return differentiate(dz, saved, activation, -1, dz)

    def accepts_product(g: Any, w: Any, saved: Any, activation: str) -> bool:
        known = _all_of_one_float(g, w, saved) and activation in from_output
        return known and g.size > 0 and saved.size > 0

    def dropout(x: Any, state: Any, probability: float) -> tuple[Any, Any]:
        seed, stream = take_stream(state)
        scale, threshold = 1 / (1 - probability), round(probability * 2**32)
        out, keep = numpy.empty(x.shape, x.dtype), numpy.empty(x.shape, dtypes.bool_)
        flat = in_c_order(x).reshape(-1)
        module.dropout(seed, stream, threshold, scale, flat, out.reshape(-1), keep.reshape(-1))
        return out, keep

    def accepts_dropout(x: Any, state: Any, probability: float) -> bool:
        # A probability that rounds to 1 needs a threshold of 33 bits.
        return x.dtype in _FLOATS and round(probability * 2**32) < 2**32

    accepting(linear_act, accepts_linear, by_form=True)
    accepting(conv_act, accepts_conv, by_form=True)
    accepting(bias_activation_gradient, accepts_gradient, by_form=True)
    accepting(product_activation_gradient, accepts_product, by_form=True)
    return {
        "linear_act": linear_act,
        "conv_act": conv_act,
        "bias_activation_gradient": bias_activation_gradient,
        "product_activation_gradient": product_activation_gradient,
        "dropout": accepting(dropout, accepts_dropout, by_form=True),
        **_gated_slots(module, library, frozenset(from_output)),
    }


def _gated_slots(
    module: Any, library: Callable[[str], Callable[..., Any]], known: frozenset[str]
) -> dict[str, Any]:
    """Return the slots of gated activations."""

    def accepts(*args: Any) -> bool:
        *arrays, activation = args
        shape = arrays[0].shape
        return (
            activation in known
            and all(type(array) is numpy.ndarray and array.shape == shape for array in arrays)
            and _all_of_one_float(*arrays)
        )

    def gated_activation(x: Any, y: Any, activation: str) -> Any:
        return module.gated_activation(in_c_order(x), in_c_order(y), activation)

    def gated_activation_gradient(g: Any, x: Any, y: Any, activation: str) -> Any:
        arrays = [in_c_order(array) for array in (g, x, y)]
        return module.gated_activation_gradient(*arrays, activation)

    def product_gated_gradient(g: Any, w: Any, x: Any, y: Any, activation: str) -> Any:
        dx = in_c_order(library("matmul")(g, w))  # nobody else has it: a gradient takes its place
        return module.gated_activation_gradient(dx, in_c_order(x), in_c_order(y), activation, dx)

    def accepts_product(g: Any, w: Any, x: Any, y: Any, activation: str) -> bool:
        return (
            accepts(x, y, activation)
            and _all_of_one_float(g, w, x)
            and g.ndim >= 2
            and (*g.shape[:-1], w.shape[-1]) == x.shape
        )

    return {
        "gated_activation": accepting(gated_activation, accepts, by_form=True),
        "gated_activation_gradient": accepting(gated_activation_gradient, accepts, by_form=True),
        "product_gated_gradient": accepting(product_gated_gradient, accepts_product, by_form=True),
    }
