"""What each slot is checked on: a maker of samples per slot name.

A maker yields samples for one slot: every activation and dtype, whole 16-byte packs and ragged
tails, transposed and gapped inputs, special values where they mean something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from tensorflowlite.backend import INDEX, dtypes
from tensorflowlite.ops import gated as gated  # declares what gated slots decompose into
from tensorflowlite.ops.activation_gradients import ACTIVATIONS

from . import check_images
from .check_maker import FLOATS, HALVES, Maker, Sample, Samples
from .check_maker import layouts as _layouts
from .check_maker import name as _name

# Slots that other than our kernels may do, so that no launch is counted: cuBLASLt.
MAY_USE_LIBRARIES = {
    "matmul", "einsum", "linear_act", "product_activation_gradient", "product_gated_gradient",
}  # fmt: skip


# -- elementwise -----------------------------------------------------------------------------------
def _elementwise(*attributes: tuple[Any, ...]) -> Callable[[Maker], Samples]:
    """Return a maker for a slot of one array; each tuple of attributes comes once per dtype."""

    def samples(make: Maker) -> Samples:
        sizes = make.pick([(37,), (4, 16)], [(1,), (), (4097,), (3, 5, 7), (0, 4)])
        for dtype in make.floats():
            for given in attributes or ((),):
                for shape in sizes:
                    x = make.normal(shape, dtype, 3.0)
                    yield Sample(_name(dtype, shape, *given), (x, *given))
                x = numpy.array([0.0, -0.0, math.inf, -math.inf, math.nan, 30, -30, 1e-3], dtype)
                yield Sample(_name(dtype, "special", *given), (x, *given))
                for label, laid in _layouts(make.normal((6, 8), dtype, 3.0)):
                    yield Sample(_name(dtype, label, *given), (laid, *given))

    return samples


def _saved(make: Maker, shape: tuple[int, ...], dtype: Any, activation: str) -> Any:
    """Return what an activation saves for its gradient, with zeros among it."""
    z = make.normal(shape, dtype, 2.0)
    z.reshape(-1)[:: max(1, z.size // 3)] = 0
    if not ACTIVATIONS[activation].saves_output:
        return z
    out = ACTIVATIONS[activation].apply(make.reference, z.astype(dtypes.float64))
    return numpy.asarray(out).astype(dtype)


def _activation_gradient(make: Maker) -> Samples:
    for dtype in make.floats():
        for activation in make.activations():
            for shape in make.pick([(5, 16), (37,)], [(4097,), (2, 3, 5), (0, 4)]):
                g, saved = make.normal(shape, dtype), _saved(make, shape, dtype, activation)
                yield Sample(_name(dtype, activation, shape), (g, saved, activation))
        g, saved = make.normal((6, 8), dtype), _saved(make, (6, 8), dtype, "gelu")
        for label, laid in _layouts(g):
            yield Sample(_name(dtype, label), (laid, saved, "gelu"))


def _of_sums(g: Any, axis: int = -1) -> tuple[float, float]:
    """Return what dZ and db may be off in addition: nothing, and 1e-5 of the root of the count."""
    if g.dtype == dtypes.float64:
        return 0.0, 0.0
    return 0.0, 1e-5 * (g.size / max(1, g.shape[axis])) ** 0.5


def _bias_activation_gradient(make: Maker) -> Samples:
    images = make.pick([(2, 3, 4, 4), (2, 3, 5)], [(8, 17, 9, 11), (1, 64, 16, 16), (4, 5, 1)])
    shape: tuple[int, ...]
    for dtype in make.floats():
        for activation in make.activations():
            shapes: list[tuple[int, ...]] = [*make.matrices(), *make.pick([], [(3, 5, 24)])]
            for shape, axis in [*((s, -1) for s in shapes), *((s, 1) for s in images)]:
                g, saved = make.normal(shape, dtype), _saved(make, shape, dtype, activation)
                label = _name(dtype, activation, shape, axis)
                yield Sample(label, (g, saved, activation, axis), absolute=_of_sums(g, axis))
        for label, laid in _layouts(make.normal((6, 8), dtype)):
            saved = _saved(make, (6, 8), dtype, "silu")
            yield Sample(_name(dtype, label), (laid, saved, "silu", -1))


def _gated(arrays: int) -> Callable[[Maker], Samples]:
    """Return a maker of so many arrays of one shape, of which the last but one is the gate."""

    def samples(make: Maker) -> Samples:
        for dtype in make.floats():
            for activation in make.activations():
                for shape in make.pick([(5, 16), (37,)], [(4097,), (2, 3, 5), (0, 4)]):
                    given = [make.normal(shape, dtype, 2.0) for _ in range(arrays)]
                    yield Sample(_name(dtype, activation, shape), (*given, activation))
            others = [make.normal((6, 8), dtype) for _ in range(arrays - 1)]
            for label, laid in _layouts(make.normal((6, 8), dtype)):
                yield Sample(_name(dtype, label), (laid, *others, "silu"))

    return samples


# -- products --------------------------------------------------------------------------------------
def _sizes(make: Maker) -> list[tuple[int, int, int]]:
    """Return (m, k, n): tiles' multiples, ragged ones, single rows and columns."""
    return make.pick(
        [(16, 32, 24), (5, 7, 3)],
        [(128, 64, 256), (129, 65, 257), (1, 64, 8), (64, 1, 64), (200, 512, 1), (384, 96, 320)],
    )


def _matmul(make: Maker) -> Samples:
    for dtype in make.floats():
        for m, k, n in _sizes(make):
            for layout in ("nn", "nt", "tn", "tt"):
                # |sums| <= 96 is exact in every dtype, with values -1, 0, 1.
                if k <= 96:
                    x, y = make.whole((m, k), dtype), make.whole((k, n), dtype)
                    pair = _laid(layout, x, y)
                    yield Sample(_name(dtype, (m, k, n), layout, "integers"), pair, exact=True)
                pair = _laid(layout, make.normal((m, k), dtype), make.normal((k, n), dtype))
                yield Sample(_name(dtype, (m, k, n), layout), pair)
        for left, right in [((3, 5, 8), (8, 4)), ((2, 3, 5, 8), (3, 8, 4)), ((8,), (8, 4))]:
            pair = make.normal(left, dtype), make.normal(right, dtype)
            yield Sample(_name(dtype, left, right), pair)
        x = numpy.repeat(make.normal((6, 16), dtype), 2, -1)[:, ::2]
        yield Sample(_name(dtype, "gaps"), (x, make.normal((16, 8), dtype)))


def _einsum(make: Maker) -> Samples:
    """Labels as `ops.einsum` hands them over: numbers, by input, and those of the result."""
    for dtype in make.floats():
        for name, shapes, labels, result in [
            ("ij,jk->ik", ((16, 24), (24, 32)), ((0, 1), (1, 2)), (0, 2)),
            ("bij,bkj->bki", ((2, 5, 7), (2, 3, 7)), ((0, 1, 2), (0, 3, 2)), (0, 3, 1)),
            ("ijk,k->ji", ((3, 4, 8), (8,)), ((0, 1, 2), (2,)), (1, 0)),
            ("ij,jk,kl->il", ((4, 8), (8, 8), (8, 5)), ((0, 1), (1, 2), (2, 3)), (0, 3)),
        ]:
            arrays = [make.normal(shape, dtype) for shape in shapes]
            yield Sample(_name(dtype, name), (*arrays, labels, result), factor=len(shapes) - 1)


def _laid(layout: str, x: Any, y: Any) -> tuple[Any, Any]:
    x = numpy.asfortranarray(x) if layout[0] == "t" else x
    return x, (numpy.asfortranarray(y) if layout[1] == "t" else y)


def _linear_act(make: Maker) -> Samples:
    for dtype in make.floats():
        for activation in (None, *make.activations()):
            for m, k, n in _sizes(make)[: 2 if make.small else 5]:
                for with_bias in (True, False):
                    arrays = [make.normal((m, k), dtype), make.normal((n, k), dtype, k**-0.5)]
                    arrays += [make.normal((n,), dtype)] if with_bias else []
                    label = _name(dtype, activation, (m, k, n), with_bias)
                    # Unfused, the product is rounded before the bias is added: twice the rounding.
                    yield Sample(label, (*arrays, activation), factor=2)
        x, w = make.whole((24, 32), dtype), make.whole((16, 32), dtype)
        b = make.whole((16,), dtype)
        yield Sample(_name(dtype, "integers"), (x, w, b, "relu"), exact=True)
        x, w = make.normal((2, 3, 16), dtype), make.normal((8, 16), dtype)
        b = make.normal((8,), dtype)
        yield Sample(_name(dtype, "three axes"), (x, w, b, "gelu_tanh"), factor=2)


def _product_activation_gradient(make: Maker) -> Samples:
    for dtype in make.floats():
        for activation in make.activations():
            for m, k, n in _sizes(make)[: 2 if make.small else 5]:
                g, w = make.normal((m, k), dtype), make.normal((k, n), dtype, k**-0.5)
                saved = _saved(make, (m, n), dtype, activation)
                # Unfused, the product is rounded before the slope and the sums see it.
                once = 2.0**-9 if dtype == dtypes.bfloat16 else 2.0**-12
                absolute = (0.0, once * m**0.5) if dtype in HALVES else _of_sums(saved)
                label = _name(dtype, activation, (m, k, n))
                yield Sample(label, (g, w, saved, activation), factor=2, absolute=absolute)
        g, w = make.whole((24, 32), dtype), make.whole((32, 16), dtype)
        saved = make.whole((24, 16), dtype, 0, 1)
        yield Sample(_name(dtype, "integers"), (g, w, saved, "relu"), exact=dtype not in HALVES)


def _product_gated_gradient(make: Maker) -> Samples:
    for dtype in make.floats():
        for activation in make.activations():
            sizes = _sizes(make)[:2] if make.small else [*_sizes(make)[:5], (33, 512, 40)]
            for m, k, n in sizes:  # the last one's depth can be split
                g, w = make.normal((m, k), dtype), make.normal((k, n), dtype, k**-0.5)
                gate, y = make.normal((m, n), dtype, 2.0), make.normal((m, n), dtype)
                # Unfused, the product is rounded before the gradients see it.
                label = _name(dtype, activation, (m, k, n))
                yield Sample(label, (g, w, gate, y, activation), factor=2)
        g, w = make.whole((24, 32), dtype), make.whole((32, 16), dtype)
        gate, y = make.whole((24, 16), dtype), make.whole((24, 16), dtype)
        yield Sample(_name(dtype, "integers"), (g, w, gate, y, "relu"), exact=True)
        g, w = make.normal((2, 3, 16), dtype), make.normal((16, 8), dtype, 0.25)
        y = make.normal((2, 3, 8), dtype)
        for label, laid in _layouts(make.normal((2, 3, 8), dtype)):
            yield Sample(_name(dtype, "three axes", label), (g, w, laid, y, "silu"), factor=2)


# -- softmax and its losses ------------------------------------------------------------------------
def _sum(make: Maker) -> Samples:
    for dtype in make.floats():
        for shape in make.matrices():
            yield Sample(_name(dtype, shape, 0), (make.normal(shape, dtype), (0,)))
        for shape, axes in [((3, 5, 24), (0, 1)), ((2, 3, 4, 8), (0, 1, 2)), ((0, 4), (0,))]:
            yield Sample(_name(dtype, shape, axes), (make.normal(shape, dtype), axes))


def _softmax(make: Maker) -> Samples:
    for dtype in make.floats():
        for shape in make.matrices():
            yield Sample(_name(dtype, shape, 1), (make.normal(shape, dtype, 4.0), 1))
        for shape, axis in [((4, 6, 5), 1), ((4, 6, 5), 0), ((0, 4), 1)]:
            yield Sample(_name(dtype, shape, axis), (make.normal(shape, dtype), axis))
        x = make.normal((4, 16), dtype)
        x[0, 3], x[1, :8], x[2, 5] = math.inf, -math.inf, math.nan
        yield Sample(_name(dtype, "special"), (x, 1))
        large = make.normal((2, 16), dtype) + dtype.type(10000)
        yield Sample(_name(dtype, "large"), (large, 1))
        for label, laid in _layouts(make.normal((6, 8), dtype)):
            yield Sample(_name(dtype, label), (laid, 1))


def _losses(make: Maker) -> Iterator[tuple[str, Any, Any, list[Any], int, float]]:
    """Yield (label, logits, targets, weights, ignored, smoothing); some targets are ignored."""
    shapes = [*make.matrices(), *make.pick([(2, 5, 3)], [(3, 17, 4, 5)])]
    for dtype in make.floats():
        for shape in shapes:
            if shape[1] < 2:
                continue
            for smoothing in (0.0, 0.1):
                for weighted in (False, True):
                    x = make.normal(shape, dtype, 3.0)
                    target = make.indices(shape[1], (shape[0], *shape[2:]))
                    target.reshape(-1)[::3] = -100
                    weights = [abs(make.normal((shape[1],), dtype)) + 0.5] if weighted else []
                    weights = [weight.astype(dtype) for weight in weights]
                    label = _name(dtype, shape, smoothing, weighted)
                    yield label, x, target, weights, -100, smoothing


def _softmax_cross_entropy(make: Maker) -> Samples:
    for label, x, target, weights, ignored, smoothing in _losses(make):
        # A small loss is the difference of numbers as large as the logits.
        rounding = float(numpy.finfo(dtypes.accumulator(x.dtype)).eps)
        absolute = 4 * rounding * float(abs(x).max())
        yield Sample(label, (x, target, *weights, ignored, smoothing), absolute=(absolute,))


def _softmax_cross_entropy_gradient(make: Maker) -> Samples:
    for label, x, target, weights, ignored, smoothing in _losses(make):
        shares = numpy.asarray(make.reference.softmax(x.astype(dtypes.float64), 1)).astype(x.dtype)
        g = make.normal(target.shape, x.dtype)
        yield Sample(label, (g, shares, target, *weights, ignored, smoothing))


# -- norms -----------------------------------------------------------------------------------------
def _norm_shapes(make: Maker) -> list[tuple[tuple[int, ...], int]]:
    """Return (shape, number of normalised axes)."""
    return make.pick(
        [((5, 32), 1), ((3, 13), 1)],
        [((64, 768), 1), ((7, 4099), 1), ((2, 3, 5, 8), 2), ((33, 1), 1), ((9, 1600), 1)],
    )


def _norm(parameters: int) -> Callable[[Maker], Samples]:
    def samples(make: Maker) -> Samples:
        for dtype in make.floats():
            for shape, ndim in _norm_shapes(make):
                for count in range(parameters + 1):
                    x = make.normal(shape, dtype) + dtype.type(1.5)
                    given = [make.normal(shape[-ndim:], dtype) for _ in range(count)]
                    yield Sample(_name(dtype, shape, ndim, count), (x, *given, ndim, 1e-5))
            for label, laid in _layouts(make.normal((6, 8), dtype)):
                yield Sample(_name(dtype, label), (laid, 1, 1e-5))

    return samples


def _batch_norm(make: Maker) -> Samples:
    for dtype in make.floats():
        for shape in make.pick([(4, 3, 5), (8, 5)], [(16, 17, 7, 9), (32, 64)]):
            given = [make.normal(shape[1:2], dtype) for _ in range(2)]
            yield Sample(_name(dtype, shape), (make.normal(shape, dtype), *given, 1e-5))


def _norm_statistics(make: Maker) -> Samples:
    for dtype in make.floats():
        for centered in (True, False):
            x = make.normal((4, 6, 10), dtype)
            yield Sample(_name(dtype, centered), (x, (1, 2), 1e-5, centered))


def _norm_gradient(make: Maker) -> Samples:
    for dtype in make.floats():
        wide = dtypes.accumulator(dtype)
        for shape, ndim in _norm_shapes(make):
            axes = tuple(range(len(shape) - ndim, len(shape)))
            parameter_axes = tuple(range(len(shape) - ndim))
            for centered in (True, False):
                for parts in (1, 2, 3):
                    x, g = make.normal(shape, dtype), make.normal(shape, dtype)
                    statistics = make.reference.norm_statistics(
                        x.astype(dtypes.float64), axes, 1e-5, centered
                    ).astype(wide)
                    weight = [make.normal(shape[-ndim:], dtype)] if parts > 1 else []
                    rest = (axes, parameter_axes, centered, parts)
                    label = _name(dtype, shape, centered, parts)
                    # A single column's gradient is a difference that cancels to zero.
                    if math.prod(shape[-ndim:]) > 1:
                        yield Sample(label, (g, x, statistics, *weight, *rest), factor=2)


# -- attention -------------------------------------------------------------------------------------
def _attention_cases(
    make: Maker,
) -> Iterator[tuple[str, list[Any], list[Any], bool, float, float]]:
    """Yield (label, [query, key, value], rest, causal, scale, probability)."""
    shapes = make.pick(
        [((2, 2, 17, 16), (2, 2, 17, 16))],
        [((1, 3, 130, 64), (1, 3, 130, 64)), ((2, 4, 33, 32), (2, 4, 65, 32)),
         ((2, 2, 3, 20, 128), (2, 2, 1, 20, 128)), ((5, 8), (7, 8))],
    )  # fmt: skip
    for dtype in make.floats():
        for q_shape, k_shape in shapes:
            for causal in (False, True):
                for mask in (None, "bool", "float"):
                    arrays = [make.normal(shape, dtype) for shape in (q_shape, k_shape, k_shape)]
                    scores = (q_shape[-2], k_shape[-2])
                    rest: list[Any] = []
                    if mask == "bool":
                        shown = make.generator.random(scores) < 0.7
                        shown[0] = False  # a query that sees nothing
                        rest = [shown]
                    elif mask == "float":
                        rest = [make.normal(scores, dtype)]
                    scale = q_shape[-1] ** -0.5
                    label = _name(dtype, q_shape, k_shape, causal, mask)
                    yield label, arrays, rest, causal, scale, 0.0
        arrays = [make.normal(shapes[0][0], dtype) for _ in range(3)]
        yield _name(dtype, "dropout"), arrays, [make.state()], True, 0.25, 0.3


def _attention(make: Maker) -> Samples:
    for label, arrays, rest, causal, scale, probability in _attention_cases(make):
        yield Sample(label, (*arrays, *rest, causal, scale, probability))


def _attention_gradient(make: Maker) -> Samples:
    for label, arrays, rest, causal, scale, probability in _attention_cases(make):
        wide = [array.astype(dtypes.float64) for array in arrays]
        given = [one.astype(dtypes.float64) if one.dtype.kind not in "bu" else one for one in rest]
        out, sums = make.reference.attention(*wide, *given, causal, scale, probability)
        dtype = arrays[0].dtype
        out, sums = out.astype(dtype), sums.astype(dtypes.accumulator(dtype))
        g = make.normal(out.shape, dtype)
        floats = bool(rest) and rest[0].dtype.kind not in "bu"
        for with_mask in {False, floats}:
            args = (g, *arrays, out, sums, *rest, causal, scale, probability, with_mask)
            yield Sample(_name(label, with_mask), args, factor=2)


# -- optimizers ------------------------------------------------------------------------------------
def _parameters(make: Maker, kinds: int, dtype: Any) -> list[Any]:
    """Return parameters, gradients and states of several shapes, one of them empty."""
    shapes = make.pick([(5, 7), (), (16,), (0, 3)], [(4099,), (64, 128), (3, 3, 3, 3)])
    made = [[make.normal(shape, dtype) for shape in shapes] for _ in range(kinds)]
    return [numpy.asarray(array, dtype) for several in made for array in several]


def _scalars(step: int) -> tuple[Any, Any]:
    return numpy.array(0.01), numpy.array(step)


def _adam_step(make: Maker) -> Samples:
    for dtype in make.floats():
        for decoupled in (False, True):
            for amsgrad in (False, True):
                for decay, maximize, step in ((0.0, False, 0), (0.1, True, 6)):
                    arrays = _parameters(make, 5 if amsgrad else 4, dtype)
                    count = len(arrays) // (5 if amsgrad else 4)
                    for place in range(3 * count, len(arrays)):
                        arrays[place] = numpy.asarray(abs(arrays[place]) + dtype.type(0.1), dtype)
                    rest = (0.9, 0.999, 1e-8, decay, decoupled, amsgrad, maximize)
                    label = _name(dtype, decoupled, amsgrad, decay, maximize, step)
                    yield Sample(label, (*_scalars(step), *arrays, *rest))


def _sgd_step(make: Maker) -> Samples:
    cases = [(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.0, True), (0.9, 0.1, False)]
    for dtype in make.floats():
        for momentum, dampening, nesterov in cases:
            for decay, maximize, step in ((0.0, False, 0), (0.1, True, 3)):
                arrays = _parameters(make, 3 if momentum else 2, dtype)
                rest = (momentum, dampening, decay, nesterov, maximize)
                yield Sample(_name(dtype, *rest, step), (*_scalars(step), *arrays, *rest))


def _unscale_gradients(make: Maker) -> Samples:
    for dtype in make.floats():
        for broken in (False, True):
            gradients = _parameters(make, 1, dtype)
            if broken:
                gradients[0][1, 2] = math.inf
            found = numpy.zeros((), dtypes.float32)
            scale = numpy.asarray(1024.0, dtypes.float32)
            yield Sample(_name(dtype, broken), (found, scale, *gradients))


# -- random numbers --------------------------------------------------------------------------------
def _shapes(make: Maker) -> list[tuple[int, ...]]:
    return make.pick([(5,), (3, 7)], [(), (0,), (1,), (4096,), (1000, 33)])


def _random(make: Maker) -> Samples:
    for dtype in FLOATS:
        for shape in _shapes(make):
            label = _name(dtype, shape)
            yield Sample(label, (make.state(), shape, dtype), exact=True, same_dtype=True)


def _random_integers(make: Maker) -> Samples:
    for low, high in ((0, 10), (-5, 6), (0, 2**40), (-(2**62), 2**62), (3, 4)):
        for shape in _shapes(make):
            args = (make.state(), shape, low, high)
            yield Sample(_name(low, high, shape), args, exact=True, same_dtype=True)


def _random_permutation(make: Maker) -> Samples:
    for count in make.pick([0, 1, 33], [4097]):
        yield Sample(_name(count), (make.state(), count), exact=True, same_dtype=True)


def _random_stream(make: Maker) -> Samples:
    yield Sample("one", (make.state(),), exact=True, same_dtype=True)


def _random_keep(make: Maker) -> Samples:
    for probability in (0.0, 0.3, 0.999):
        for shape in _shapes(make):
            args = (make.state(), shape, probability)
            yield Sample(_name(probability, shape), args, exact=True, same_dtype=True)


def _dropout(make: Maker) -> Samples:
    for dtype in make.floats():
        for probability in (0.3, 0.9):
            for shape in _shapes(make):
                x = make.normal(shape, dtype)
                yield Sample(_name(dtype, probability, shape), (x, make.state(), probability))
        for label, laid in _layouts(make.normal((6, 8), dtype)):
            yield Sample(_name(dtype, label), (laid, make.state(), 0.5))


# -- embedding -------------------------------------------------------------------------------------
def _scatter_add(make: Maker) -> Samples:
    for dtype in make.floats():
        sizes = make.pick([(7, 16, (4, 5)), (3, 5, (9,))], [(1000, 96, (8, 64)), (50, 1, (300,))])
        for rows, width, shape in sizes:
            g = make.normal((*shape, width), dtype)
            index = make.indices(rows, shape)
            yield Sample(_name(dtype, rows, width, shape), (g, index, (INDEX,), (rows, width)))
        g = make.normal((0, 4), dtype)
        yield Sample(_name(dtype, "none"), (g, make.indices(5, (0,)), (INDEX,), (5, 4)))


def _embedding(make: Maker) -> Samples:
    for dtype in make.floats():
        weight = make.normal((11, 24), dtype)
        for shape in ((5,), (2, 3), (0,)):
            yield Sample(_name(dtype, shape), (weight, make.indices(11, shape), None), exact=True)


SAMPLES: dict[str, Callable[[Maker], Samples]] = {
    **check_images.SAMPLES,
    "relu": _elementwise(),
    "leaky_relu": _elementwise((0.01,), (0.3,)),
    "elu": _elementwise((1.0,)),
    "sigmoid": _elementwise(),
    "silu": _elementwise(),
    "gelu": _elementwise(("none",), ("tanh",)),
    "softplus": _elementwise((1.0, 20.0), (2.0, 5.0)),
    "hardtanh": _elementwise((-1.0, 1.0)),
    "activation_gradient": _activation_gradient,
    "bias_activation_gradient": _bias_activation_gradient,
    "gated_activation": _gated(2),
    "gated_activation_gradient": _gated(3),
    "matmul": _matmul,
    "einsum": _einsum,
    "linear_act": _linear_act,
    "product_activation_gradient": _product_activation_gradient,
    "product_gated_gradient": _product_gated_gradient,
    "sum": _sum,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "softmax_cross_entropy_gradient": _softmax_cross_entropy_gradient,
    "layer_norm": _norm(2),
    "rms_norm": _norm(1),
    "batch_norm": _batch_norm,
    "norm_statistics": _norm_statistics,
    "norm_gradient": _norm_gradient,
    "attention": _attention,
    "attention_gradient": _attention_gradient,
    "adam_step": _adam_step,
    "sgd_step": _sgd_step,
    "unscale_gradients": _unscale_gradients,
    "random_uniform": _random,
    "random_normal": _random,
    "random_integers": _random_integers,
    "random_permutation": _random_permutation,
    "random_stream": _random_stream,
    "random_keep": _random_keep,
    "dropout": _dropout,
    "scatter_add": _scatter_add,
    "embedding": _embedding,
}
