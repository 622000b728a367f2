"""Samples of the slots of images: convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tensorflowlite.backend.slots.windows import out_lengths

from .check_maker import Maker, Sample, Samples
from .check_maker import name as _name

# -- convolution -----------------------------------------------------------------------------------
_PLAIN_CONV = ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)


def _geometries(make: Maker) -> list[tuple[Any, ...]]:
    """Return (x, w, stride, padding, dilation, groups) of convolutions over one to three axes."""
    return make.pick(
        [((2, 3, 6, 6), (4, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)],
        [
            ((3, 4, 9, 7), (6, 2, 3, 2), (2, 1), ((0, 1), (2, 2)), (1, 2), 2),
            ((2, 8, 17), (16, 8, 5), (2,), ((2, 2),), (1,), 1),
            ((2, 2, 5, 4, 6), (3, 2, 2, 2, 3), (1, 1, 1), ((0, 0), (1, 1), (1, 1)), (1, 1, 1), 1),
            ((4, 16, 14, 14), (32, 16, 1, 1), *_PLAIN_CONV),
            ((3, 32, 19, 17), (136, 32, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
            ((2, 6, 15, 13), (12, 1, 3, 3), (2, 1), ((1, 1), (1, 1)), (1, 2), 6),
        ],
    )


def _conv_act(make: Maker) -> Samples:
    for dtype in make.floats():
        for x_shape, w_shape, *geometry in _geometries(make):
            for activation in (None, *make.activations()):
                x = make.normal(x_shape, dtype)
                w = make.normal(w_shape, dtype, math.prod(w_shape[1:]) ** -0.5)
                b = make.normal(w_shape[:1], dtype)
                label = _name(dtype, activation, x_shape, w_shape)
                yield Sample(label, (x, w, b, *geometry, activation), factor=2)  # as linear_act


def _convolution(kind: str) -> Callable[[Maker], Samples]:
    """Return a maker for the convolution alone, or for one of its gradients."""

    def samples(make: Maker) -> Samples:
        for dtype in make.floats():
            for x_shape, w_shape, *geometry in _geometries(make):
                stride, padding, dilation, _ = geometry
                count = out_lengths(x_shape[2:], w_shape[2:], stride, padding, dilation)
                x = make.normal(x_shape, dtype)
                w = make.normal(w_shape, dtype, math.prod(w_shape[1:]) ** -0.5)
                y = make.normal((x_shape[0], w_shape[0], *count), dtype)
                args = {"forward": (x, w), "input": (y, w, x_shape), "weight": (y, x, w_shape)}
                label = _name(dtype, x_shape, w_shape, *geometry)
                yield Sample(label, (*args[kind], *geometry), factor=2)

    return samples


# -- pooling ---------------------------------------------------------------------------------------
def _windows(make: Maker) -> list[tuple[Any, ...]]:
    """Return (shape, kernel, stride, padding, dilation, ceil): unrolled ones, and others."""
    two = ((0, 0), (0, 0))
    return make.pick(
        [((2, 3, 6, 7), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), True),
         ((3, 2, 6, 7), (6, 7), (6, 7), two, (1, 1), False)],
        [((4, 5, 17, 33), (2, 2), (2, 2), two, (1, 1), False),
         ((2, 3, 31, 30), (5, 6), (2, 3), ((2, 2), (3, 3)), (1, 1), True),
         ((2, 3, 20, 21), (3, 2), (1, 4), ((1, 1), (1, 1)), (2, 6), False),
         ((2, 8, 100), (3,), (2,), ((1, 1),), (1,), False),
         ((2, 3, 6, 7, 8), (2, 2, 3), (2, 1, 2), ((0, 0), (1, 1), (1, 1)), (1, 1, 1), True),
         ((1, 2, 40, 40), (17, 16), (3, 5), two, (1, 1), False)],
    )  # fmt: skip


def _max_pool(make: Maker) -> Samples:
    for dtype in make.floats():
        for shape, *window in _windows(make):
            for keep in (True, False):
                x = make.whole(shape, dtype, -3, 3)  # with ties
                x.reshape(-1)[::13] = math.nan
                label = _name(dtype, shape, *window, keep)
                yield Sample(label, (x, *window, keep), exact=True)
        shape, *window = _windows(make)[0]
        x = make.normal((*shape[:1], *shape[2:], shape[1]), dtype).transpose(0, 3, 1, 2)
        yield Sample(_name(dtype, "channels last"), (x, *window, True), exact=True)


def _max_pool_of_places(kind: str) -> Callable[[Maker], Samples]:
    """Return a maker for a slot that takes what `max_pool` gave."""

    def samples(make: Maker) -> Samples:
        for dtype in make.floats():
            for shape, *window in _windows(make):
                x = make.whole(shape, dtype, -3, 3)
                out, where = make.reference.max_pool(x, *window, True)
                y = make.normal(out.shape, dtype)
                args = {"places": (x, out), "gather": (x, where), "scatter": (y, where, shape)}
                exact = kind != "scatter"
                yield Sample(_name(dtype, shape, *window), (*args[kind], *window), exact)

    return samples


def _avg_pool(gradient: bool) -> Callable[[Maker], Samples]:
    def samples(make: Maker) -> Samples:
        for dtype in make.floats():
            for shape, *window, dilation, ceil in _windows(make):
                for padded, given in ((True, None), (False, None), (True, 3)):
                    count = out_lengths(shape[2:], *window, (1,) * len(dilation), ceil)
                    x = make.normal((*shape[:2], *(count if gradient else shape[2:])), dtype)
                    rest = (*window, ceil, padded, given)
                    args = (x, shape, *rest) if gradient else (x, *rest)
                    yield Sample(_name(dtype, shape, *rest), args)

    return samples


SAMPLES: dict[str, Callable[[Maker], Samples]] = {
    "conv_act": _conv_act,
    "convolution": _convolution("forward"),
    "convolution_input_gradient": _convolution("input"),
    "convolution_weight_gradient": _convolution("weight"),
    "max_pool": _max_pool,
    "max_pool_places": _max_pool_of_places("places"),
    "max_pool_gather": _max_pool_of_places("gather"),
    "max_pool_scatter": _max_pool_of_places("scatter"),
    "avg_pool": _avg_pool(False),
    "avg_pool_gradient": _avg_pool(True),
}
