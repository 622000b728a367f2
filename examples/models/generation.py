"""Greedy generation with a cache of keys and values."""

from __future__ import annotations

from typing import Any

import tensorflowlite as tfl
from tensorflowlite import Tensor
from tensorflowlite.nn import functional as F


class Cache:
    """The keys and values that each layer has seen, so that a step computes its own only."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def length(self) -> int:
        """How many tokens have been seen."""
        return self.layers[0][0].shape[-2] if self.layers else 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add a layer's new keys and values; return all of them, shape (..., length, width)."""
        if layer in self.layers:
            old_key, old_value = self.layers[layer]
            key = tfl.concat([old_key, key], axis=-2)
            value = tfl.concat([old_value, value], axis=-2)
        self.layers[layer] = key, value
        return key, value


def attend(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """Causal attention of queries that are the last of the keys' places."""
    new, seen = query.shape[-2], key.shape[-2]
    if new == seen:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, **options)
    if new > 1:
        shown = tfl.ones((new, seen), dtype=tfl.bool_, device=query.device)
        options["attn_mask"] = tfl.tril(shown, k=seen - new)
    return F.scaled_dot_product_attention(query, key, value, **options)


def generate(model: Any, ids: Tensor, count: int, end: int | None = None) -> Tensor:
    """Continue token ids by the likeliest token, ``count`` times.

    Parameters
    ----------
    model : Module
        Called as ``model(ids, cache)``, gives logits of shape (batch, length, vocabulary).
    ids : Tensor, shape (batch, length)
        What to continue; all of one length.
    count : int
        How many tokens to add at most.
    end : int, optional
        The token that ends a text; it fills what follows, and generation stops once all ended.

    Returns
    -------
    Tensor, shape (batch, length + count)
        Less where all texts ended before.
    """
    cache, found = Cache(), [ids]
    ended = tfl.zeros((ids.shape[0],), dtype=tfl.bool_, device=ids.device)
    with tfl.no_grad():
        for _ in range(count):
            token = model(found[-1], cache)[:, -1].argmax(axis=-1)
            if end is not None:
                token = tfl.where(ended, end, token)
                ended = ended | (token == end)
            found.append(token.reshape((-1, 1)))
            if end is not None and bool(ended.all()):
                break
    return tfl.concat(found, axis=1)
