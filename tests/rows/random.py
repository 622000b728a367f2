"""Rows of the random sources: the streams that `philox` defines, and dropout."""

from __future__ import annotations

import math

import numpy as np

from tensorflowlite.backend import philox
from tensorflowlite.core.primitive import traced
from tests.op_table import Row, Sample, floats

SEED, STREAM = 7, 3


def drawn(source):
    """A source leaves its state changed: the row hands it a copy."""

    def function(state, *arguments):
        return source(traced.positive(state), *arguments)

    return function


def state():
    return np.array([SEED, STREAM], np.uint64)


def shapes(draw):
    for shape in [(3, 4), (), (0, 3), (7,)]:
        yield Sample(state(), shape, draw.dtype)


def filled(generate):
    def reference(state, shape, dtype):
        seed, stream = state.tolist()
        own = dtype if dtype == np.float64 else np.dtype(np.float32)
        return generate(seed, stream, math.prod(shape), own).reshape(shape).astype(dtype)

    return reference


def ranges(draw):
    for shape in [(3, 4), (), (0, 3)]:
        yield Sample(state(), shape, -5, 17)


def counts(draw):
    for count in (0, 1, 10):
        yield Sample(state(), count)


def integers(state, shape, low, high):
    return philox.randint(*state.tolist(), math.prod(shape), low, high).reshape(shape)


def dropout(x, state, probability):
    return traced.dropout(x, traced.positive(state), probability)


def dropout_reference(x, state, probability):
    bits = philox.random_bits(*state.tolist(), x.size).reshape(x.shape)
    return np.where(bits >= round(probability * 2**32), x / (1 - probability), x * 0)


def dropped(draw):
    yield Sample(draw(5, 8), state(), 0.5)
    yield Sample(draw(4, 3).T, state(), 0.1)
    yield Sample(draw.strided(3, 4), state(), 0.0)
    yield Sample(draw(0, 3), state(), 0.5)
    yield Sample(draw(), state(), 0.25)


def keeps(draw):
    for shape in [(3, 4), (), (0, 3)]:
        yield Sample(state(), shape, 0.25)


def kept(stream, shape, probability):
    bits = philox.random_bits(*stream.tolist(), math.prod(shape)).reshape(shape)
    return bits >= probability * 2**32


float_kinds = ("float64", "float32", "float16", "bfloat16")
rows = [
    Row(drawn(traced.random_uniform), filled(philox.uniform), name="random_uniform",
        samples=shapes, dtypes=float_kinds, orders=0, covers=("random_uniform",)),
    Row(drawn(traced.random_normal), filled(philox.normal), name="random_normal",
        samples=shapes, dtypes=float_kinds, orders=0, covers=("random_normal",)),
    Row(drawn(traced.random_integers), integers, name="random_integers",
        samples=ranges, dtypes=("int64",), orders=0, covers=("random_integers",)),
    Row(drawn(traced.random_permutation), lambda s, n: philox.permutation(*s.tolist(), n),
        name="random_permutation", samples=counts, dtypes=("int64",), orders=0,
        covers=("random_permutation",)),
    Row(drawn(traced.random_stream), lambda s: s, name="random_stream",
        samples=lambda draw: iter([Sample(state())]), dtypes=("int64",), orders=0,
        covers=("random_stream",)),
    Row(traced.random_keep, kept, samples=keeps, dtypes=("int64",), orders=0),
    Row(dropout, dropout_reference, samples=dropped, dtypes=floats, covers=("dropout",)),
]  # fmt: skip
