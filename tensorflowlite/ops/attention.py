"""Attention by scaled dot products, as one operation forward and backward."""

from __future__ import annotations

import math
from typing import Any

from ..backend import Kept, dtypes
from ..core.fused import fused
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .random import stream_for
from .reduction import as_tensor
from .shaping import _reshape, broadcast_shapes

_LOW = -1e30  # stands for minus infinity where nothing may be infinite
_ATTRIBUTES = ("causal", "scale", "probability")


# -- by other operations ---------------------------------------------------------------------------
def _split(rest: Any, probability: float) -> tuple[Any, Any]:
    """Return the mask and the stream of random numbers of what follows the values."""
    stream = rest[-1] if probability else None
    given = rest[:-1] if probability else rest
    return (given[0] if given else None), stream


def _wide(k: Any, x: Any) -> Any:
    dtype = dtypes.accumulator(x.dtype)
    return x if x.dtype == dtype else k.cast(x, dtype)


def _probabilities(k: Any, query: Any, key: Any, mask: Any, causal: bool,
                   scale: float) -> tuple[Any, Any]:  # fmt: skip
    """Return the softmax of the scores, zeros in rows without any, and the log of its divisor."""
    scores = k.matmul(query * scale, k.mT(key))
    axis = Kept((scores.ndim - 1,))
    if mask is not None:
        counts = mask.dtype == dtypes.bool_
        shown = k.zeros_like(scores)
        scores = scores + (k.where(mask, shown, shown - math.inf) if counts else _wide(k, mask))
    if scores.shape[-1] == 0:
        return scores, k.sum(scores, axis)
    hidden = scores == -math.inf
    if causal:
        hidden = k.logical_or(hidden, k.tril(k.ones_like(scores), 0) == 0)
    nothing = k.zeros_like(scores)
    scores = k.where(hidden, nothing + _LOW, scores)
    top = k.max(scores, axis)
    powers = k.where(hidden, nothing, k.exp(scores - top))
    total = k.sum(powers, axis)
    total = k.where(total == 0, k.ones_like(total), total)
    return powers / total, top + k.log(total)


def _dropout_factor(k: Any, stream: Any, like: Any, probability: float) -> Any:
    """Return what probabilities are multiplied by: 0, or the inverse of the share that stays."""
    keep = k.random_keep(stream, like.shape, probability)
    return k.cast(keep, like.dtype) * (1 / (1 - probability))


def _attention(k: Any, query: Any, key: Any, value: Any, *rest: Any) -> tuple[Any, Any]:
    *given, causal, scale, probability = rest
    mask, stream = _split(given, probability)
    share, sums = _probabilities(k, _wide(k, query), _wide(k, key), mask, causal, scale)
    if stream is not None:
        share = share * _dropout_factor(k, stream, share, probability)
    out = k.matmul(share, _wide(k, value))
    sums = k.reshape(sums, sums.shape[:-1])
    return (out if out.dtype == query.dtype else k.cast(out, query.dtype)), sums


def _fit(k: Any, g: Any, like: Any) -> Any:
    g = g if g.shape == like.shape else k.sum_to(g, like.shape)
    return g if g.dtype == like.dtype else k.cast(g, like.dtype)


def _attention_gradient(k: Any, y: Any, query: Any, key: Any, value: Any, out: Any, sums: Any,
                        *rest: Any) -> tuple[Any, ...]:  # fmt: skip
    *given, causal, scale, probability, with_mask = rest
    mask, stream = _split(given, probability)
    g, q, keys, values = _wide(k, y), _wide(k, query), _wide(k, key), _wide(k, value)
    share, _ = _probabilities(k, q, keys, mask, causal, scale)
    dropped, ds = share, k.matmul(g, k.mT(values))
    if stream is not None:
        factor = _dropout_factor(k, stream, share, probability)
        dropped, ds = share * factor, ds * factor
    ds = share * (ds - k.sum(share * ds, Kept((ds.ndim - 1,))))
    found = [
        _fit(k, k.matmul(ds, keys) * scale, query),
        _fit(k, k.matmul(k.mT(ds), q) * scale, key),
        _fit(k, k.matmul(k.mT(dropped), g), value),
    ]
    return (*found, _fit(k, ds * 1, mask)) if with_mask else tuple(found)


# -- the operations --------------------------------------------------------------------------------
_gradient_op = fused(
    "attention_gradient",
    ("y", "query", "key", "value", "output", "sums", "rest"),
    _attention_gradient,
    attributes=(*_ATTRIBUTES, "with_mask"),
    variadic=True,
    outputs=0,
    doc="The gradient ``y`` of `attention`, taken to queries, keys, values and a float mask.",
)


def _attention_rule(k: Any, g: Any, need: Any, query: Any, key: Any, value: Any, rest: Any,
                    out: Any, residual: Any, causal: bool, scale: float,
                    probability: float) -> Any:  # fmt: skip
    with_mask = len(need) > 3 and bool(need[3])
    found = k.attention_gradient(
        g, query, key, value, out, residual, *rest, causal, scale, probability, with_mask
    )
    return (*found, *[None] * (len(need) - len(found)))


_attention_op = fused(
    "attention",
    ("query", "key", "value", "rest"),
    _attention,
    attributes=_ATTRIBUTES,
    backward=_attention_rule,
    variadic=True,
    keeps_residual=True,
    called="scaled_dot_product_attention",
    doc="softmax(query keyᵀ scale + mask) value; a mask and a random stream may follow.",
)


# -- the public function ---------------------------------------------------------------------------
_NAME = "scaled_dot_product_attention"


def _check(query: Tensor, key: Tensor, value: Tensor, gqa: bool) -> None:
    """Raise where queries, keys and values don't belong together."""
    shapes = f"got query {query.shape}, key {key.shape} and value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(f"{_NAME}: each input needs two axes, (length, width), {shapes}")
    for x in (query, key, value):
        if x.dtype not in dtypes.real_inexact or x.dtype != query.dtype:
            kinds = f"{query.dtype}, {key.dtype} and {value.dtype}"
            raise DtypeError(f"{_NAME}: the inputs must be of one float dtype, got {kinds}")
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(f"{_NAME}: query and key must have the same last axis, {shapes}")
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(f"{_NAME}: key and value must have the same length, axis -2, {shapes}")
    if gqa:
        if min(query.ndim, key.ndim, value.ndim) < 3:
            raise ShapeError(f"{_NAME}: enable_gqa needs an axis of heads, -3, {shapes}")
        heads, shared = query.shape[-3], key.shape[-3]
        if shared != value.shape[-3] or not shared or heads % shared:
            raise ShapeError(
                f"{_NAME}: the heads of query, axis -3, must be a multiple of those of key and "
                f"value, {shapes}"
            )


def _check_mask(mask: Tensor, query: Tensor, key: Tensor, lead: tuple[int, ...]) -> None:
    if mask.dtype != dtypes.bool_ and mask.dtype not in dtypes.real_inexact:
        raise DtypeError(f"{_NAME}: attn_mask must be bool or float, got {mask.dtype}")
    wanted = (*lead, query.shape[-2], key.shape[-2])
    shape = mask.shape
    fits = len(shape) <= len(wanted) and all(
        n in (1, m) for n, m in zip(shape[::-1], wanted[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(f"{_NAME}: attn_mask must broadcast to {wanted}, got {shape}")


def _lead(query: Tensor, key: Tensor, value: Tensor) -> tuple[int, ...]:
    leads = query.shape[:-2], key.shape[:-2], value.shape[:-2]
    try:
        return broadcast_shapes(*leads)
    except ShapeError:
        raise ShapeError(
            f"{_NAME}: leading axes must broadcast, got query {query.shape}, key {key.shape} and "
            f"value {value.shape}; enable_gqa=True lets heads share keys and values"
        ) from None


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``softmax(query @ key.mT * scale + mask) @ value``.

    Long sequences are worked through in blocks, forward and backward: the whole matrix of scores
    is never held, so memory grows with the length and not with its square.

    Parameters
    ----------
    query : Tensor, shape (..., L, E)
    key : Tensor, shape (..., S, E)
    value : Tensor, shape (..., S, Ev)
        One float dtype; leading axes broadcast. Half precision is computed in float32.
    attn_mask : Tensor, optional
        Broadcasts to (..., L, S): bool, True where a key takes part, or floats added to the scores.
        A query without any key gives zeros.
    dropout_p : float
        The probability with which a weight is dropped, in [0, 1); whether in training or not.
    is_causal : bool
        Hide from each query the keys at later places, counted from the first one.
    scale : float, optional
        By default one over the square root of E.
    enable_gqa : bool
        Let groups of query heads, axis -3, share a head of ``key`` and ``value``.

    Returns
    -------
    Tensor, shape (..., L, Ev)

    Raises
    ------
    ShapeError, DtypeError
        The inputs or the mask don't belong together.
    ArgumentError
        ``dropout_p`` is outside [0, 1).

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017. Dao et al., "FlashAttention", 2022.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> x = tfl.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> F.scaled_dot_product_attention(x, x, x, is_causal=True)[0]
    tensor([1., 0.])
    """
    query, key, value = as_tensor(query), as_tensor(key), as_tensor(value)
    _check(query, key, value, enable_gqa)
    if not 0 <= dropout_p < 1:
        raise ArgumentError(f"{_NAME}: dropout_p must lie in [0, 1), got {dropout_p}")
    mask = None if attn_mask is None else as_tensor(attn_mask)
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    groups = query.shape[-3] // key.shape[-3] if enable_gqa else 1
    if groups > 1:
        if mask is not None:
            _check_mask(mask, query, key, query.shape[:-2])
            mask = _grouped_mask(mask, key.shape[-3], groups)
        shape = query.shape
        query = _reshape(query, (*shape[:-3], key.shape[-3], groups, *shape[-2:]))
        key, value = [_reshape(x, (*x.shape[:-2], 1, *x.shape[-2:])) for x in (key, value)]
    lead = _lead(query, key, value)
    if mask is not None:
        _check_mask(mask, query, key, lead)
    rest: tuple[Tensor, ...] = () if mask is None else (mask,)
    if dropout_p:
        rest = (*rest, stream_for(query))
    out = _attention_op(query, key, value, *rest, bool(is_causal), float(scale), float(dropout_p))
    if groups > 1:
        out = _reshape(out, (*out.shape[:-4], key.shape[-4] * groups, *out.shape[-2:]))
    return out


def _grouped_mask(mask: Tensor, heads: int, groups: int) -> Tensor:
    """Return a mask with the axis of heads, if it has one, split as that of the queries is."""
    shape = mask.shape
    if len(shape) < 3:
        return mask
    apart = (1, 1) if shape[-3] == 1 else (heads, groups)
    return _reshape(mask, (*shape[:-3], *apart, *shape[-2:]))


scaled_dot_product_attention.primitive = _attention_op.primitive  # type: ignore[attr-defined]
