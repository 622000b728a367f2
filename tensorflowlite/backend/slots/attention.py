"""Slots of attention, in blocks of scores: the whole matrix of scores is never held.

A block is a few heads by some rows by some columns of the scores, small enough to stay in the
processor's cache. Short sequences take one block of columns, and so the plain softmax; longer ones
the online softmax of Dao et al., "FlashAttention", 2022: a running maximum and a running sum per
row. The backward pass makes a block's probabilities again from the logarithm of that sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from .. import dtypes, philox
from .workers import Process, pieces, share

_BLOCK = 1 << 18  # scores at a time: a megabyte of float32
_DEVICE_BLOCK = 1 << 25
_COLUMNS = 512  # of a block, where there are more
_THREADS_FROM = 2e5  # scores below which a second thread costs more than it brings


class _Blocks:
    """The shapes of one call: heads that share keys are taken as groups of one matrix.

    Leading axes along which keys and values are repeated, at the end, become the groups; the
    others are the heads. Queries are then (heads, groups, rows, width), keys (heads, columns,
    width), and nothing is repeated in memory.
    """

    def __init__(self, xp: Any, query: Any, key: Any, value: Any, mask: Any, causal: bool,
                 stream: Any, probability: float) -> None:  # fmt: skip
        self.xp, self.causal, self.probability = xp, causal, probability
        self.dtype = dtypes.accumulator(query.dtype)
        shared = numpy.broadcast_shapes(key.shape[:-2], value.shape[:-2])
        self.lead = lead = numpy.broadcast_shapes(query.shape[:-2], shared)
        shared = (*[1] * (len(lead) - len(shared)), *shared)
        split = len(lead)
        while split and shared[split - 1] == 1:
            split -= 1
        self.split = split
        self.heads, self.groups = math.prod(lead[:split]), math.prod(lead[split:])
        self.rows, self.columns = query.shape[-2], key.shape[-2]
        self.seed: Any = None if stream is None else stream.tolist()
        self._set_mask(mask)
        self._set_sizes()

    def _set_sizes(self) -> None:
        room = _BLOCK if self.xp is numpy else _DEVICE_BLOCK
        groups, rows, columns = max(self.groups, 1), max(self.rows, 1), max(self.columns, 1)
        # What is dropped is numbered along whole rows of scores.
        self.width = columns if self.seed else min(columns, _COLUMNS)
        self.height = min(rows, max(room // (groups * self.width), 1))
        whole = self.height == rows and self.width == columns
        per_block = max(room // (groups * rows * columns), 1) if whole else 1
        self.parts = pieces(self.heads, per_block)
        most = max([last - first for first, last in self.parts], default=0)
        self.size = most * groups * self.height * self.width
        scores = self.heads * groups * rows * columns
        self.threaded = self.xp is numpy and scores >= _THREADS_FROM

    def run(self, begin: Any) -> None:
        """Run ``process(index, first, last)`` over the heads; a lone one may use BLAS's threads."""
        if self.threaded and len(self.parts) > 1:
            share(self.parts, begin, True)
            return
        process: Process = begin()
        for index, (first, last) in enumerate(self.parts):
            process(index, first, last)

    # -- inputs ------------------------------------------------------------------------------------
    def of_rows(self, x: Any) -> Any:
        """Return what has a row per query as (heads, groups, rows, width), in the working dtype."""
        whole = (*self.lead, *x.shape[-2:])
        if x.shape != whole:
            x = self.xp.broadcast_to(x, whole)
        x = x.astype(self.dtype, copy=False)
        return x.reshape(self.heads, self.groups, *whole[-2:])

    def of_columns(self, x: Any) -> Any:
        """Return what has a row per key as (heads, columns, width), in the working dtype."""
        lead = (*[1] * (len(self.lead) + 2 - x.ndim), *x.shape[:-2])[: self.split]
        x = x.reshape(*lead, *x.shape[-2:])
        whole = (*self.lead[: self.split], *x.shape[-2:])
        if x.shape != whole:
            x = self.xp.broadcast_to(x, whole)
        return x.astype(self.dtype, copy=False).reshape(self.heads, *whole[-2:])

    # -- masks -------------------------------------------------------------------------------------
    def _set_mask(self, mask: Any) -> None:
        """Take a mask as (places, groups, rows, columns), and where each head's lies in it."""
        self.mask, self.places = mask, None
        if mask is None:
            return
        shape = (*[1] * (len(self.lead) + 2 - mask.ndim), *mask.shape)
        lead, within = shape[: self.split], shape[self.split : -2]
        if math.prod(within) not in (1, self.groups):
            within = self.lead[self.split :]
            mask = self.xp.broadcast_to(mask.reshape(shape), (*lead, *within, *shape[-2:]))
        count = math.prod(lead)
        self.mask = mask.reshape(count, math.prod(within), *shape[-2:])
        if count not in (1, self.heads):
            numbers = numpy.broadcast_to(numpy.arange(count).reshape(lead), self.lead[: self.split])
            self.places = numbers.ravel().tolist()

    def mask_key(self, rows: slice, columns: slice) -> tuple[Any, ...]:
        """Return which part of the mask belongs to a block of scores."""
        _, _, height, width = self.mask.shape
        return rows if height > 1 else slice(None), columns if width > 1 else slice(None)

    def _masked(self, first: int, last: int, rows: slice, columns: slice) -> Any:
        key = self.mask_key(rows, columns)
        if self.places is not None:
            places = self.xp.asarray(self.places[first:last])
            block = self.mask[:, :, key[0], key[1]][places]
        elif self.mask.shape[0] > 1:
            block = self.mask[first:last, :, key[0], key[1]]
        else:
            block = self.mask[:, :, key[0], key[1]]
        if block.dtype != dtypes.bool_:
            return block.astype(self.dtype, copy=False)
        return self.xp.where(block, self.dtype.type(0), self.dtype.type(-math.inf))

    def take_gradient(self, found: Any, ds: Any, first: int, last: int, rows: slice,
                      columns: slice) -> None:  # fmt: skip
        """Add a block's gradient to that of the mask, which is laid out as the mask is."""
        key = self.mask_key(rows, columns)
        axes = tuple([i for i in (1, 2, 3) if found.shape[i] == 1])
        ds = ds.sum(axes, keepdims=True) if axes else ds
        if self.places is not None:
            for place, one in zip(self.places[first:last], ds, strict=True):
                found[place, :, key[0], key[1]] += one
        elif found.shape[0] > 1:
            found[first:last, :, key[0], key[1]] += ds
        else:
            found[0, :, key[0], key[1]] += ds.sum(0)

    def hide(self, scores: Any, first: int, last: int, rows: slice, columns: slice,
             hidden: dict[Any, Any]) -> None:  # fmt: skip
        """Put minus infinity where a block's scores don't count, and add a mask of numbers."""
        if self.mask is not None:
            scores += self._masked(first, last, rows, columns)
        if self.causal and columns.stop - 1 > rows.start:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            offset = rows.start - columns.start
            later = hidden.get((shape, offset))
            if later is None:
                hidden.clear()
                later = hidden[shape, offset] = ~self.xp.tri(*shape, offset, dtype=bool)
            self.xp.copyto(scores, self.dtype.type(-math.inf), where=later)

    def kept(self, first: int, last: int, rows: slice) -> Any:
        """Return which probabilities of a block of whole rows are not dropped."""
        seed, stream = self.seed
        height, heads = rows.stop - rows.start, (last - first) * self.groups
        starts: Sequence[int] = [first * self.groups * self.rows * self.columns]
        size = heads * height * self.columns
        if height < self.rows:
            starts = [((first * self.groups + i) * self.rows + rows.start) * self.columns
                      for i in range(heads)]  # fmt: skip
            size = height * self.columns
        bits = [philox.random_bits(seed, stream, size, start) for start in starts]
        bound = round(self.probability * 2**32)
        joined = bits[0] if len(bits) == 1 else numpy.concatenate(bits)
        keep = joined.reshape(last - first, self.groups * height, self.columns) >= bound
        return keep if self.xp is numpy else self.xp.asarray(keep)

    def tiles(self) -> list[tuple[slice, list[slice]]]:
        """Return blocks of rows, each with its blocks of columns but those that are all hidden."""
        found = []
        for start in range(0, self.rows, self.height):
            stop = min(start + self.height, self.rows)
            end = min(self.columns, stop) if self.causal else self.columns
            columns = [slice(a, min(a + self.width, end)) for a in range(0, end, self.width)]
            found.append((slice(start, stop), columns))
        return found


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of attention."""

    def unpacked(rest: Any, probability: float) -> tuple[Any, Any]:
        """Return the mask and the stream of what follows the values."""
        stream = rest[-1] if probability else None
        given = rest[:-1] if probability else rest
        return (given[0] if given else None), stream

    def attention(query: Any, key: Any, value: Any, *rest: Any) -> tuple[Any, Any]:
        *given, causal, scale, probability = rest
        mask, stream = unpacked(given, probability)
        blocks = _Blocks(xp, query, key, value, mask, causal, stream, probability)
        q = blocks.of_rows(query) * scale
        keys, values = blocks.of_columns(key).swapaxes(-1, -2), blocks.of_columns(value)
        shape, depth, dtype = q.shape[:3], value.shape[-1], blocks.dtype
        out = xp.empty((*shape, depth), dtype)
        sums = xp.zeros(shape, dtype)
        if blocks.columns == 0:
            out[...] = 0
        tiles = blocks.tiles() if blocks.columns else []
        zero, lowest = dtype.type(0), dtype.type(-math.inf)

        def exponentials(scores: Any, first: int, last: int, rows: slice, columns: slice,
                         top: Any, hidden: Any) -> tuple[Any, Any, Any]:  # fmt: skip
            """Make scores of exponentials; return their maximum, that without -inf, their sum."""
            xp.matmul(
                q[first:last, :, rows].reshape(*scores.shape[:2], q.shape[-1]),
                keys[first:last, :, columns], out=scores,
            )  # fmt: skip
            apart = scores.reshape(last - first, shape[1], -1, scores.shape[-1])
            blocks.hide(apart, first, last, rows, columns, hidden)
            new = scores.max(-1, keepdims=True)
            if top is not None:
                new = xp.maximum(top, new)
            used = new if mask is None else xp.where(new == lowest, zero, new)
            scores -= used
            xp.exp(scores, out=scores)
            total = scores.sum(-1, keepdims=True)
            if stream is not None:
                scores *= blocks.kept(first, last, rows)[..., columns]
            return new, used, total

        def begin() -> Process:
            buffer = xp.empty(blocks.size, dtype)
            hidden: dict[Any, Any] = {}

            def process(_: int, first: int, last: int) -> None:
                for rows, runs in tiles:
                    height = shape[1] * (rows.stop - rows.start)
                    top: Any = None
                    found: Any = None
                    total: Any = None
                    for columns in runs:
                        size = (last - first, height, columns.stop - columns.start)
                        scores = buffer[: math.prod(size)].reshape(size)
                        new, used, part = exponentials(
                            scores, first, last, rows, columns, top, hidden
                        )
                        product = xp.matmul(scores, values[first:last, columns])
                        if found is None:
                            found, total = product, part
                        else:
                            shrink = xp.exp(top - used)
                            found *= shrink
                            found += product
                            total *= shrink
                            total += part
                        top = new
                    if mask is not None:
                        used = xp.where(top == lowest, zero, top)
                        total = xp.where(total == 0, dtype.type(1), total)
                    found /= total * (1 - probability) if probability else total
                    place = (last - first, shape[1], rows.stop - rows.start, depth)
                    out[first:last, :, rows] = found.reshape(place)
                    used = used + xp.log(total)
                    sums[first:last, :, rows] = used.reshape(place[:3])

            return process

        blocks.run(begin)
        lead = blocks.lead
        out = out.reshape(*lead, blocks.rows, depth).astype(query.dtype, copy=False)
        return out, sums.reshape(*lead, blocks.rows)

    def attention_gradient(y: Any, query: Any, key: Any, value: Any, out: Any, sums: Any,
                           *rest: Any) -> tuple[Any, ...]:  # fmt: skip
        *given, causal, scale, probability, with_mask = rest
        mask, stream = unpacked(given, probability)
        blocks = _Blocks(xp, query, key, value, mask, causal, stream, probability)
        dtype, groups = blocks.dtype, blocks.groups
        q = blocks.of_rows(query) * scale
        g = blocks.of_rows(y)
        inner = (g * blocks.of_rows(out)).sum(-1)
        sums = sums.reshape(inner.shape)
        keys, values = blocks.of_columns(key), blocks.of_columns(value)
        depth, width = values.shape[-1], keys.shape[-1]
        dq, dk, dv = xp.zeros_like(q), xp.zeros_like(keys), xp.zeros_like(values)
        dmask = xp.zeros(blocks.mask.shape, dtype) if with_mask else None
        tiles = blocks.tiles() if blocks.columns else []
        kept_share = 1 / (1 - probability)

        def block(first: int, last: int, rows: slice, columns: slice, buffers: Any, qs: Any,
                  gs: Any, hidden: Any) -> Any:  # fmt: skip
            """Add to the gradients of keys and values; return that of a block's scores."""
            size = (*qs.shape[:2], columns.stop - columns.start)
            p, ds = [one[: math.prod(size)].reshape(size) for one in buffers]
            apart = (last - first, groups, -1, size[2])
            xp.matmul(qs, keys[first:last, columns].swapaxes(-1, -2), out=p)
            blocks.hide(p.reshape(apart), first, last, rows, columns, hidden)
            p -= sums[first:last, :, rows].reshape(*size[:2], 1)
            xp.exp(p, out=p)
            xp.matmul(gs, values[first:last, columns].swapaxes(-1, -2), out=ds)
            dropped = p
            if stream is not None:
                keep = blocks.kept(first, last, rows)[..., columns] * dtype.type(kept_share)
                ds *= keep
                dropped = p * keep
            dv[first:last, columns] += xp.matmul(dropped.swapaxes(-1, -2), gs)
            ds -= inner[first:last, :, rows].reshape(*size[:2], 1)
            ds *= p
            dk[first:last, columns] += xp.matmul(ds.swapaxes(-1, -2), qs)
            return ds, apart

        def begin() -> Process:
            buffers = [xp.empty(blocks.size, dtype) for _ in range(2)]
            hidden: dict[Any, Any] = {}

            def process(_: int, first: int, last: int) -> None:
                for rows, runs in tiles:
                    size = (last - first, groups * (rows.stop - rows.start))
                    qs = q[first:last, :, rows].reshape(*size, width)
                    gs = g[first:last, :, rows].reshape(*size, depth)
                    found: Any = 0.0
                    for columns in runs:
                        ds, apart = block(first, last, rows, columns, buffers, qs, gs, hidden)
                        if dmask is not None:
                            blocks.take_gradient(
                                dmask, ds.reshape(apart), first, last, rows, columns
                            )
                        found = found + xp.matmul(ds, keys[first:last, columns])
                    dq[first:last, :, rows] = found.reshape(dq[first:last, :, rows].shape)

            return process

        if dmask is not None:
            blocks.threaded = False  # heads may share a part of it
        blocks.run(begin)
        dq *= scale
        ones = (1,) * (len(blocks.lead) - blocks.split)
        by_key = (*blocks.lead[: blocks.split], *ones)
        found = [
            fitted(dq.reshape(*blocks.lead, *dq.shape[-2:]), query),
            fitted(dk.reshape(*by_key, *dk.shape[-2:]), key),
            fitted(dv.reshape(*by_key, *dv.shape[-2:]), value),
        ]
        if dmask is not None:
            found.append(fitted(_as_mask(blocks, dmask, mask), mask))
        return tuple(found)

    def _as_mask(blocks: _Blocks, dmask: Any, mask: Any) -> Any:
        shape = (*[1] * (len(blocks.lead) + 2 - mask.ndim), *mask.shape)
        within = shape[blocks.split : -2]
        if math.prod(within) != dmask.shape[1]:
            within = blocks.lead[blocks.split :]
        return dmask.reshape(*shape[: blocks.split], *within, *shape[-2:])

    def fitted(g: Any, like: Any) -> Any:
        """Sum over the axes along which ``like`` was broadcast, and take its dtype."""
        extra = g.ndim - like.ndim
        axes = tuple([i for i in range(g.ndim)
                      if i < extra or (like.shape[i - extra] == 1 != g.shape[i])])  # fmt: skip
        if axes:
            g = g.sum(axes, keepdims=True)
        return g.reshape(like.shape).astype(like.dtype, copy=False)

    return {"attention": attention, "attention_gradient": attention_gradient}
