"""Rows of attention."""

from __future__ import annotations

import math

import numpy as np

from tensorflowlite.backend import philox
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tensorflowlite.ops import attention
from tests.op_table import Constant, Row, Sample, floats
from tests.rows.networks import sums


def scaled_dot_product_attention(query, key, value, mask=None, dropout_p=0.0, is_causal=False,
                                 scale=None, enable_gqa=False):  # fmt: skip
    """The definition, with the keys of a group repeated and a row without any key zero."""
    if enable_gqa:
        key, value = [np.repeat(x, query.shape[-3] // x.shape[-3], -3) for x in (key, value)]
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ np.swapaxes(key, -1, -2) * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if scores.size == 0:
        return scores @ value
    top = scores.max(-1, keepdims=True)
    share = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = share.sum(-1, keepdims=True)
    return (share / np.where(total == 0, 1, total)) @ value


def samples(draw):
    def three(lead=(2,), rows=4, columns=3, width=2, depth=3):
        return draw(*lead, rows, width), draw(*lead, columns, width), draw(*lead, columns, depth)

    shown = np.array([[True, False, True], [False] * 3, [True] * 3, [False, True, True]])
    yield Sample(*three())
    yield Sample(*three(()), None, 0.0, True)
    yield Sample(*three((2, 2), 3, 5), None, 0.0, True, 0.5)
    yield Sample(*three(), shown)
    yield Sample(*three((2, 2)), shown[None, None, :1])
    yield Sample(*three(), draw(4, 3))
    yield Sample(*three((2, 2)), draw(2, 1, 4, 1), 0.0, True)
    yield Sample(*three((2, 3)), draw(1, 3, 1, 3))
    yield Sample(draw(2, 4, 3, 2), draw(2, 2, 5, 2), draw(2, 2, 5, 3), enable_gqa=True)
    yield Sample(draw(4, 3, 2), draw(2, 3, 2), draw(2, 3, 1), draw(4, 3, 3), is_causal=True,
                 enable_gqa=True)  # fmt: skip
    yield Sample(draw(4, 3, 2), draw(2, 3, 2), draw(2, 3, 1), Constant(shown[1:]), enable_gqa=True)
    yield Sample(draw(3, 1, 4, 2), draw(2, 3, 2), draw(3, 2, 3, 1))
    yield Sample(draw(2, 4).T, draw.strided(3, 2), draw(3, 3).T)
    yield Sample(*three(columns=0))
    yield Sample(*three(rows=0))
    yield Sample(*three((0,)), draw(4, 3))


STREAM = (7, 3)


def drop(query, key, value, stream, causal, probability):
    return attention._attention_op(query, key, value, stream, causal, 0.5, probability)


def drop_reference(query, key, value, stream, causal, probability):
    """The same with the weights multiplied by what stays of them; values as the identity."""
    weights = scaled_dot_product_attention(
        query, key, np.eye(key.shape[-2], dtype=key.dtype), None, 0.0, causal, 0.5
    )
    bits = philox.random_bits(*stream.tolist(), weights.size).reshape(weights.shape)
    keep = bits >= round(probability * 2**32)
    return weights * keep / (1 - probability) @ value


def dropped(draw):
    stream = np.array(STREAM, np.uint64)
    yield Sample(draw(2, 4, 2), draw(2, 3, 2), draw(2, 3, 2), stream, False, 0.5)
    yield Sample(draw(5, 2), draw(5, 2), draw(2, 5).T, stream, True, 0.25)
    yield Sample(draw(0, 2), draw(3, 2), draw(3, 1), stream, False, 0.5)


def gradient(y, query, key, value, mask, causal):
    run, scale = attention._gradient_op, 0.7
    out, logs = _saved(query, key, value, mask, causal, scale)
    return run(y, query, key, value, out, logs, mask, causal, scale, 0.0, True)


def _saved(query, key, value, mask, causal, scale):
    """What the forward operation hands over, without its history."""
    from tensorflowlite.backend import backend_of

    run = backend_of(query.array).attention
    out, logs = run(query.array, key.array, value.array, mask.array, causal, scale, 0.0)
    return type(query)(out), type(query)(logs)


def gradient_reference(y, query, key, value, mask, causal):
    weights = scaled_dot_product_attention(
        query, key, np.eye(key.shape[-2], dtype=key.dtype), mask, 0.0, causal, 0.7
    )
    ds = y @ np.swapaxes(value, -1, -2)
    ds = weights * (ds - (weights * ds).sum(-1, keepdims=True))
    turned = np.swapaxes(ds, -1, -2)
    found = ds @ key * 0.7, turned @ query * 0.7, np.swapaxes(weights, -1, -2) @ y, ds
    return tuple(fitted(g, x) for g, x in zip(found, (query, key, value, mask), strict=True))


def fitted(g, like):
    extra = g.ndim - like.ndim
    g = g.sum(tuple(range(extra))) if extra else g
    return g.sum(tuple(i for i, n in enumerate(like.shape) if n == 1 != g.shape[i]), keepdims=True)


def gradients(draw):
    yield Sample(draw(2, 4, 3), draw(2, 4, 2), draw(2, 3, 2), draw(2, 3, 3), draw(4, 3), False)
    yield Sample(draw(2, 2, 4, 1), draw(2, 2, 4, 2), draw(2, 1, 3, 2), draw(2, 1, 3, 1),
                 draw(2, 1, 3), True)  # fmt: skip
    yield Sample(draw(3, 4).T, draw.strided(4, 2), draw(3, 2), draw(3, 3), draw(1, 3), True)
    yield Sample(draw(0, 3), draw(0, 2), draw(3, 2), draw(3, 3), draw(1, 3), False)


def zeros(*shape, dtype=np.float64):
    return np.zeros(shape, dtype)


# The gradient's second derivatives are those of six products; they reach a few dozen.
rows = [
    Row(attention.scaled_dot_product_attention, scaled_dot_product_attention, samples=samples,
        name="attention", tolerance=sums, covers=("attention", "attention_gradient"), errors=[
            ((zeros(3), zeros(2, 3), zeros(2, 3)), ShapeError,
             "scaled_dot_product_attention: each input needs two axes, (length, width), got query"),
            ((zeros(2, 3), zeros(2, 4), zeros(2, 3)), ShapeError,
             "scaled_dot_product_attention: query and key must have the same last axis"),
            ((zeros(2, 3), zeros(4, 3), zeros(5, 3)), ShapeError,
             "scaled_dot_product_attention: key and value must have the same length, axis -2"),
            ((zeros(8, 2, 3), zeros(2, 2, 3), zeros(2, 2, 3)), ShapeError,
             "scaled_dot_product_attention: leading axes must broadcast, got query (8, 2, 3)"),
            ((zeros(3, 2, 3), zeros(2, 2, 3), zeros(2, 2, 3), None, 0.0, False, None, True),
             ShapeError, "scaled_dot_product_attention: the heads of query, axis -3, must be a"),
            ((zeros(2, 3), zeros(2, 3), zeros(2, 3), None, 0.0, False, None, True), ShapeError,
             "scaled_dot_product_attention: enable_gqa needs an axis of heads, -3, got query"),
            ((zeros(2, 3), zeros(2, 3), zeros(2, 3, dtype=np.float32)), DtypeError,
             "scaled_dot_product_attention: the inputs must be of one float dtype, got float64, "),
            ((zeros(2, 3), zeros(2, 3), zeros(2, 3), zeros(3, 2)), ShapeError,
             "scaled_dot_product_attention: attn_mask must broadcast to (2, 2), got (3, 2)"),
            ((zeros(2, 3), zeros(2, 3), zeros(2, 3), zeros(2, 2, dtype=np.int64)), DtypeError,
             "scaled_dot_product_attention: attn_mask must be bool or float, got int64"),
            ((zeros(2, 3), zeros(2, 3), zeros(2, 3), None, 1.0), ArgumentError,
             "scaled_dot_product_attention: dropout_p must lie in [0, 1), got 1.0"),
        ]),
    Row(drop, drop_reference, name="attention_dropout", samples=dropped, tolerance=sums,
        covers=("attention", "attention_gradient", "random_keep")),
    Row(gradient, gradient_reference, name="attention_gradient", samples=gradients,
        dtypes=[dtype for dtype in floats if dtype != "bfloat16"], tolerance=sums,
        covers=("attention_gradient",)),
]  # fmt: skip
