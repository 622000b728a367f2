"""Attention with several heads."""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.activation import softmax
from ..ops.creation import zeros
from ..ops.elementwise import where
from ..ops.joining import concat, unstack
from ..ops.reduction import mean
from ..ops.shaping import broadcast_to, expand_dims, matrix_transpose, squeeze, swapaxes
from . import functional as F
from . import init
from .linear import Linear, size_argument
from .module import Module
from .parameter import Parameter

_Mask = Tensor | None


def added_mask(mask: Tensor, dtype: Any) -> Tensor:
    """Return a mask as what is added to scores: minus infinity where a bool one is True."""
    if mask.dtype != dtypes.bool_:
        return mask
    shown = zeros(mask.shape, dtype=dtype, device=mask.device)
    return where(mask, shown - math.inf, shown)


class MultiheadAttention(Module):
    """Attention by several heads, each with a share of the features.

    Parameters
    ----------
    embed_dim : int
        The number of features; ``num_heads`` must divide it.
    num_heads : int
        How many heads there are.
    dropout : float
        The probability with which an attention weight is dropped in training, in [0, 1).
    bias : bool
        Whether the projections add a bias.
    add_bias_kv : bool
        Whether a learnt key and value are put behind the others.
    add_zero_attn : bool
        Whether a key and value of zeros are put behind the others.
    kdim, vdim : int, optional
        The features of keys and of values; by default ``embed_dim``.
    batch_first : bool
        Whether inputs and outputs are (batch, length, features) rather than (length, batch, ...).
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    in_proj_weight : Tensor, shape (3 * embed_dim, embed_dim)
        The projections of queries, keys and values; where ``kdim`` or ``vdim`` differs,
        ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` are there instead.
    in_proj_bias : Tensor, shape (3 * embed_dim,), or None
    bias_k, bias_v : Tensor, shape (1, 1, embed_dim), or None
    out_proj : Linear

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> attention = nn.MultiheadAttention(4, 2, batch_first=True)
    >>> x = tfl.ones((3, 5, 4))
    >>> out, weights = attention(x, x, x)
    >>> out.shape, weights.shape
    ((3, 5, 4), (3, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "MultiheadAttention"
        self.embed_dim = size_argument(name, "embed_dim", embed_dim)
        self.num_heads = size_argument(name, "num_heads", num_heads)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"{name}: num_heads must divide embed_dim, got {num_heads} and {embed_dim}"
            )
        if not 0 <= dropout < 1:
            raise ArgumentError(f"{name}: dropout must lie in [0, 1), got {dropout}")
        self.kdim = size_argument(name, "kdim", embed_dim if kdim is None else kdim)
        self.vdim = size_argument(name, "vdim", embed_dim if vdim is None else vdim)
        self.dropout, self.batch_first = dropout, batch_first
        self.add_zero_attn = add_zero_attn
        self.head_dim = embed_dim // num_heads
        where_to = {"device": device, "dtype": dtype}

        def parameter(*shape: int) -> Tensor:
            return Parameter(zeros(shape, **where_to))

        together = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = parameter(3 * embed_dim, embed_dim) if together else None
        self.q_proj_weight = None if together else parameter(embed_dim, embed_dim)
        self.k_proj_weight = None if together else parameter(embed_dim, self.kdim)
        self.v_proj_weight = None if together else parameter(embed_dim, self.vdim)
        self.in_proj_bias = parameter(3 * embed_dim) if bias else None
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **where_to)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections anew, and set the biases to zero."""
        for weight in (
            self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
        ):  # fmt: skip
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: _Mask = None,
        need_weights: bool = True,
        attn_mask: _Mask = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what each query gathers, and with which weights.

        Called as ``attention(query, key, value)``.

        Parameters
        ----------
        query : Tensor, shape (L, N, embed_dim)
        key : Tensor, shape (S, N, kdim)
        value : Tensor, shape (S, N, vdim)
            With ``batch_first`` (N, ...); without a batch, N is left out.
        key_padding_mask : Tensor, shape (N, S), optional
            True where a key is padding, or floats that are added to its scores.
        need_weights : bool
            Whether to return the weights; without them long sequences are worked in blocks.
        attn_mask : Tensor, shape (L, S) or (N * num_heads, L, S), optional
            True where a query must not see a key, or floats that are added to the scores.
        average_attn_weights : bool
            Whether to return the mean of the weights over the heads.
        is_causal : bool
            Says that ``attn_mask`` is the causal one, so that it needn't be read.

        Returns
        -------
        out : Tensor, shape (L, N, embed_dim)
        weights : Tensor, shape (N, L, S) or (N, num_heads, L, S), or None
        """
        batched = self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise ArgumentError(
                "MultiheadAttention: is_causal says that attn_mask is causal, got no attn_mask; "
                "use nn.Transformer.generate_square_subsequent_mask(length)"
            )
        projected = self._project(query, key, value, batched)
        mask = self._mask(projected, key_padding_mask, attn_mask, batched)
        extended = self._extend(projected)
        if mask is not None and extended[1].shape[-2] > mask.shape[-1]:
            shape = (*mask.shape[:-1], extended[1].shape[-2] - mask.shape[-1])
            mask = concat([mask, zeros(shape, dtype=mask.dtype, device=mask.device)], axis=-1)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            out, weights = self._with_weights(*extended, mask, dropout)
            if average_attn_weights:
                weights = mean(weights, axis=1)
            weights = weights if batched else squeeze(weights, 0)
        elif is_causal and key_padding_mask is None:
            out = F.scaled_dot_product_attention(*extended, None, dropout, is_causal=True)
        else:
            if mask is not None and mask.dtype == dtypes.bool_:
                mask = ~mask
            out = F.scaled_dot_product_attention(*extended, mask, dropout)
        return self.out_proj(self._joined(out, batched)), weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Raise where the inputs don't fit; return whether they have an axis of a batch."""
        name, got = "MultiheadAttention", f"got {query.shape}, {key.shape} and {value.shape}"
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise ShapeError(f"{name}: query, key and value must all have 2 or 3 axes, {got}")
        features = self.embed_dim, self.kdim, self.vdim
        if (query.shape[-1], key.shape[-1], value.shape[-1]) != features:
            raise ShapeError(
                f"{name}: the last axes of query, key and value must be {features}, {got}"
            )
        batch = 0 if self.batch_first else 1
        fits = query.ndim == 2 or query.shape[batch] == key.shape[batch]
        if key.shape[:-1] != value.shape[:-1] or not fits:
            raise ShapeError(
                f"{name}: batches must agree, and key and value in length too, {got}; "
                f"batch_first={self.batch_first}"
            )
        return query.ndim == 3

    def _project(
        self, query: Tensor, key: Tensor, value: Tensor, batched: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (N, heads, length, features of a head)."""
        width, bias = self.embed_dim, self.in_proj_bias
        if self.in_proj_weight is None:
            parts = [(query, self.q_proj_weight), (key, self.k_proj_weight),
                     (value, self.v_proj_weight)]  # fmt: skip
            found = [
                F.linear(x, weight, None if bias is None else bias[i * width : (i + 1) * width])
                for i, (x, weight) in enumerate(parts)
                if weight is not None
            ]
            heads = [self._heads(x, 1, batched)[0] for x in found]
            return heads[0], heads[1], heads[2]
        weight = self.in_proj_weight
        if query is key and key is value:
            q, k, v = self._heads(F.linear(query, weight, bias), 3, batched)
            return q, k, v
        q_bias, rest = (None, None) if bias is None else (bias[:width], bias[width:])
        q = self._heads(F.linear(query, weight[:width], q_bias), 1, batched)[0]
        if key is value:
            k, v = self._heads(F.linear(key, weight[width:], rest), 2, batched)
            return q, k, v
        k_bias, v_bias = (None, None) if rest is None else (rest[:width], rest[width:])
        k = self._heads(F.linear(key, weight[width : 2 * width], k_bias), 1, batched)[0]
        v = self._heads(F.linear(value, weight[2 * width :], v_bias), 1, batched)[0]
        return q, k, v

    def _heads(self, x: Tensor, count: int, batched: bool) -> list[Tensor]:
        """Take ``count`` projections apart, each into heads: (N, heads, length, features)."""
        if not batched:
            x = expand_dims(x, axis=0)
        elif not self.batch_first:
            x = swapaxes(x, 0, 1)
        batch, length, _ = x.shape
        apart = x.reshape((batch, length, count, self.num_heads, self.head_dim))
        return list(unstack(apart.permute_dims((2, 0, 3, 1, 4))))

    def _joined(self, out: Tensor, batched: bool) -> Tensor:
        """Put the heads side by side again, as the queries came."""
        batch, _, length, _ = out.shape
        order = (0, 2, 1, 3) if self.batch_first or not batched else (2, 0, 1, 3)
        lead = [(batch, length)[i] for i in ((0, 1) if order[0] == 0 else (1, 0))]
        shape = (*lead, self.embed_dim) if batched else (length, self.embed_dim)
        return out.permute_dims(order).reshape(shape)

    def _extend(self, projected: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Put the learnt key and value, and those of zeros, behind the others."""
        query, key, value = projected
        batch = (key.shape[0], self.num_heads, 1, self.head_dim)
        if self.bias_k is not None and self.bias_v is not None:
            extra = (1, self.num_heads, 1, self.head_dim)
            key = concat([key, broadcast_to(self.bias_k.reshape(extra), batch)], axis=-2)
            value = concat([value, broadcast_to(self.bias_v.reshape(extra), batch)], axis=-2)
        if self.add_zero_attn:
            nothing = zeros(batch, dtype=key.dtype, device=key.device)
            key, value = concat([key, nothing], axis=-2), concat([value, nothing], axis=-2)
        return query, key, value

    def _mask(self, projected: Any, padding: _Mask, attn_mask: _Mask, batched: bool) -> _Mask:
        """Return one mask of both, (N or 1, heads or 1, L or 1, S): True where hidden, or added."""
        query, key, _ = projected
        batch, length, places = query.shape[0], query.shape[-2], key.shape[-2]
        found: list[Tensor] = []
        if attn_mask is not None:
            wanted = [(length, places), (batch * self.num_heads, length, places)]
            self._check_mask("attn_mask", attn_mask, wanted)
            lead = (1, 1) if attn_mask.ndim == 2 else (batch, self.num_heads)
            found.append(attn_mask.reshape((*lead, length, places)))
        if padding is not None:
            wanted = [(batch, places) if batched else (places,)]
            self._check_mask("key_padding_mask", padding, wanted)
            found.append(padding.reshape((batch, 1, 1, places)))
        if len(found) < 2:
            return found[0] if found else None
        one, two = found
        if one.dtype == two.dtype == dtypes.bool_:
            return one | two
        return added_mask(one, query.dtype) + added_mask(two, query.dtype)

    def _check_mask(self, name: str, mask: Tensor, wanted: list[tuple[int, ...]]) -> None:
        if mask.shape not in wanted:
            shapes = " or ".join(map(str, wanted))
            raise ShapeError(f"MultiheadAttention: {name} must be {shapes}, got {mask.shape}")
        if mask.dtype != dtypes.bool_ and mask.dtype not in dtypes.real_inexact:
            raise DtypeError(f"MultiheadAttention: {name} must be bool or float, got {mask.dtype}")

    def _with_weights(self, query: Tensor, key: Tensor, value: Tensor, mask: _Mask,
                      dropout: float) -> tuple[Tensor, Tensor]:  # fmt: skip
        scores = (query * (1 / math.sqrt(self.head_dim))) @ matrix_transpose(key)
        if mask is not None:
            scores = scores + added_mask(mask, scores.dtype)
        weights = F.dropout(softmax(scores, -1), dropout, training=dropout > 0)
        return weights @ value, weights
