"""Rows of recurrent layers."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from tensorflowlite.ops import recurrent
from tests.op_table import Row, Sample
from tests.rows.fused import sigmoid


def lstm(x, h, w, cell, projection=None):
    i, f, a, o = np.split(x + h @ w.T, 4, -1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(a)
    out = sigmoid(o) * np.tanh(cell)
    return out if projection is None else out @ projection.T, cell


def gru(x, h, w, bias=0.0):
    a, b = np.split(x, 3, -1), np.split(h @ w.T + bias, 3, -1)
    r, u = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
    return (1 - u) * np.tanh(a[2] + r * b[2]) + u * h


def recurrence(kind, x, first, w, *extra, sizes, reverse=False):
    h, extra = first.copy(), list(extra)
    if kind == "lstm":
        extra[0] = extra[0].copy()
    starts = list(accumulate(sizes, initial=0))
    out = np.empty((x.shape[0], first.shape[-1]), np.result_type(x, first))
    for t in range(len(sizes))[:: -1 if reverse else 1]:
        n = sizes[t]
        rows = x[starts[t] : starts[t] + n]
        if kind == "lstm":
            h[:n], extra[0][:n] = lstm(rows, h[:n], w, extra[0][:n], *extra[1:])
        elif kind == "gru":
            h[:n] = gru(rows, h[:n], w, *extra)
        else:
            z = rows + h[:n] @ w.T
            h[:n] = np.tanh(z) if kind == "tanh" else np.maximum(z, 0)
        out[starts[t] : starts[t] + n] = h[:n]
    return (out, h, extra[0]) if kind == "lstm" else (out, h)


def samples(draw):
    for sizes, reverse in [((2, 2, 2), False), ((3, 2, 1), False), ((3, 1, 1), True)]:
        rows, n, options = sum(sizes), sizes[0], {"sizes": sizes, "reverse": reverse}
        yield Sample("lstm", draw(rows, 8), draw(n, 2), draw(8, 2), draw(n, 2), **options)
        yield Sample("lstm", draw(rows, 12), draw(n, 2), draw(12, 2), draw(n, 3), draw(2, 3),
                     **options)  # fmt: skip
        yield Sample("gru", draw(rows, 6), draw(n, 2), draw(6, 2), draw(6), **options)
        yield Sample("gru", draw(rows, 6), draw(n, 2), draw(6, 2), **options)
        yield Sample("tanh", draw(rows, 3), draw(n, 3), draw(3, 3), **options)
        yield Sample("relu", draw(rows, 3), draw(n, 3), draw(3, 3), **options)
    yield Sample("lstm", draw(8, 4).T, draw(2, 2).T, draw.strided(8, 2), draw.strided(2, 2),
                 sizes=(2, 2))  # fmt: skip
    yield Sample("gru", draw(6, 4).T, draw(2, 2).T, draw(2, 6).T, draw.strided(6), sizes=(2, 2))
    yield Sample("gru", draw(0, 6), draw(0, 2), draw(6, 2), draw(6), sizes=(0, 0))
    yield Sample("lstm", draw(0, 4), draw(0, 1), draw(4, 1), draw(0, 1), sizes=(0,))


# Each of three steps hands its rounding on to the next, through sums of a few products.
steps = {"float64": 1e-11, "float32": 2e-5, "float16": 8e-3, "bfloat16": 6e-2}
rows = [
    Row(recurrent.recurrence, recurrence, samples=samples, tolerance=steps, domain=(-1.5, 1.5),
        covers=("recurrence", "recurrence_gradient")),
]  # fmt: skip
