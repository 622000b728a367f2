"""Slots of recurrent layers: all steps of one direction of one layer in one call.

Sequences come packed: the rows of all steps one after the other, ``sizes`` telling how many
sequences each step has, none more than the step before. ``x`` holds what the inputs bring to the
gates, biases included; a step adds what the state before it brings. Backward, the gradients of the
weights are computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

from .. import dtypes

Steps = list[tuple[int, int]]


class _Kind(NamedTuple):
    """One kind of cell: how many numbers per feature a step keeps, a step, and its derivatives."""

    kept: int
    begin: Callable[..., Any]
    derivatives: Callable[..., Any]


def steps_of(sizes: tuple[int, ...], reverse: bool) -> Steps:
    """Return the first row of each step and its number of sequences, in the order of time."""
    starts = accumulate(sizes, initial=0)
    found = list(zip(starts, sizes, strict=False))
    return found[::-1] if reverse else found


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of recurrent layers."""

    def sigmoid_of(x: Any) -> None:
        """Replace ``x`` by its sigmoid: by tanh, which no number makes overflow."""
        half = x.dtype.type(0.5)
        x *= half
        xp.tanh(x, out=x)
        x *= half
        x += half

    def parts_of(kept: Any, count: int, gates: int, width: int) -> tuple[Any, Any]:
        """Return what was kept as the gates of all rows, and one more number per feature."""
        bound = count * gates * width
        return kept[:bound].reshape(count, gates * width), kept[bound:].reshape(count, width)

    def before(values: Any, first: Any, steps: Steps) -> Any:
        """Return what each row's sequence held one step before: ``first`` where it began."""
        found = xp.empty_like(values)
        start_before, size_before = 0, 0
        for start, size in steps:
            both = min(size, size_before)
            found[start : start + both] = values[start_before : start_before + both]
            found[start + both : start + size] = first[both:size]
            start_before, size_before = start, size
        return found

    # -- LSTM: Hochreiter and Schmidhuber, 1997; gates in the order in, forget, cell, out ----------
    def lstm(x: Any, w: Any, extra: Any, kept: Any, out: Any) -> Any:
        width = extra[0].shape[-1]
        gates, cells = parts_of(kept, x.shape[0], 4, width)
        turned, cell = xp.ascontiguousarray(w.T), extra[0].copy()
        project = extra[1].T if len(extra) > 1 else None
        # One tanh for all gates: of half the number, and taken to (0, 1), it is the sigmoid.
        scale = xp.full((4 * width,), 0.5, x.dtype)
        shift = xp.full((4 * width,), 0.5, x.dtype)
        scale[2 * width : 3 * width] = 1
        shift[2 * width : 3 * width] = 0

        def step(rows: slice, h: Any) -> None:
            z, c = gates[rows], cell[: h.shape[0]]
            xp.matmul(h, turned, out=z)
            z += x[rows]
            z *= scale
            xp.tanh(z, out=z)
            z *= scale
            z += shift
            c *= z[:, width : 2 * width]
            c += z[:, :width] * z[:, 2 * width : 3 * width]
            cells[rows] = c
            if project is None:
                xp.multiply(xp.tanh(c), z[:, 3 * width :], out=out[rows])
            else:
                out[rows] = xp.matmul(xp.tanh(c) * z[:, 3 * width :], project)

        return step, [cell]

    def lstm_derivatives(kept: Any, steps: Steps, h_before: Any, extra: Any, w: Any,
                         ends: Any) -> Any:  # fmt: skip
        count, width = h_before.shape[0], extra[0].shape[-1]
        gates, cells = parts_of(kept, count, 4, width)
        c_before = before(cells, extra[0], steps)
        dz = xp.empty_like(gates)
        dc = ends[0].copy()
        project = extra[1] if len(extra) > 1 else None
        outer = xp.empty((count, w.shape[1]), kept.dtype) if len(extra) > 1 else None
        hidden: Any = None if outer is None else xp.empty((count, width), kept.dtype)

        def step(rows: slice, dh: Any) -> Any:
            # Here and not for all steps at once: what one step needs stays in the cache.
            z, g = gates[rows], dz[rows]
            i, f, a, o = [z[:, j * width : (j + 1) * width] for j in range(4)]
            gi, gf, ga, go = [g[:, j * width : (j + 1) * width] for j in range(4)]
            t = xp.tanh(cells[rows])
            if outer is not None:
                outer[rows] = dh
                xp.multiply(o, t, out=hidden[rows])
                dh = xp.matmul(dh, project)
            d = dc[: dh.shape[0]]
            xp.subtract(1, z, out=g)
            g *= z
            go *= dh * t
            t *= t
            xp.subtract(1, t, out=t)
            t *= o
            t *= dh
            d += t
            gi *= d * a
            gf *= d * c_before[rows]
            xp.multiply(a, a, out=ga)
            xp.subtract(1, ga, out=ga)
            ga *= d * i
            d *= f
            return xp.matmul(g, w)

        def finish() -> Any:
            found = [dz, xp.matmul(dz.T, h_before), dc]
            return found if outer is None else [*found, xp.matmul(outer.T, hidden)]

        return step, finish

    # -- GRU: Cho et al., 2014; gates in the order reset, update, new ------------------------------
    def gru(x: Any, w: Any, extra: Any, kept: Any, out: Any) -> Any:
        width = out.shape[-1]
        gates, brought = parts_of(kept, x.shape[0], 3, width)
        turned = xp.ascontiguousarray(w.T)

        def step(rows: slice, h: Any) -> None:
            z = gates[rows]
            xp.matmul(h, turned, out=z)
            if extra:
                z += extra[0]
            new = z[:, 2 * width :]
            brought[rows] = new
            z[:, : 2 * width] += x[rows, : 2 * width]
            sigmoid_of(z[:, : 2 * width])
            new *= z[:, :width]
            new += x[rows, 2 * width :]
            xp.tanh(new, out=new)
            found = out[rows]
            xp.subtract(h, new, out=found)
            found *= z[:, width : 2 * width]
            found += new

        return step, []

    def gru_derivatives(kept: Any, steps: Steps, h_before: Any, extra: Any, w: Any,
                        ends: Any) -> Any:  # fmt: skip
        count, width = h_before.shape
        gates, brought = parts_of(kept, count, 3, width)
        r, z, n = [gates[:, j * width : (j + 1) * width] for j in range(3)]
        factors = xp.empty((count, 3, width), kept.dtype)
        new = 1 - n * n
        new *= 1 - z
        xp.multiply(new, r, out=factors[:, 2])
        xp.multiply(brought, factors[:, 2], out=factors[:, 0])
        factors[:, 0] *= 1 - r
        xp.multiply(h_before - n, z, out=factors[:, 1])
        factors[:, 1] *= 1 - z
        dz = xp.empty_like(factors)
        dx = xp.empty_like(factors)

        def step(rows: slice, dh: Any) -> Any:
            xp.multiply(factors[rows], dh[:, None], out=dz[rows])
            xp.multiply(new[rows], dh, out=dx[rows, 2])
            found = xp.matmul(dz[rows].reshape(-1, 3 * width), w)
            found += dh * z[rows]
            return found

        def finish() -> Any:
            dx[:, :2] = dz[:, :2]
            flat = dz.reshape(-1, 3 * width)
            found = [dx.reshape(-1, 3 * width), xp.matmul(flat.T, h_before)]
            return [*found, flat.sum(0)] if extra else found

        return step, finish

    # -- the plain ones: Elman, 1990 ---------------------------------------------------------------
    def plain(activate: Callable[..., Any]) -> Callable[..., Any]:
        def begin(x: Any, w: Any, extra: Any, kept: Any, out: Any) -> Any:
            turned = xp.ascontiguousarray(w.T)

            def step(rows: slice, h: Any) -> None:
                z = xp.matmul(h, turned)
                z += x[rows]
                activate(z, out[rows])

            return step, []

        return begin

    def plain_derivatives(slope_of: Callable[..., Any]) -> Callable[..., Any]:
        def begin(kept: Any, steps: Steps, h_before: Any, extra: Any, w: Any, ends: Any) -> Any:
            slope = slope_of(kept)
            dz = xp.empty_like(slope)

            def step(rows: slice, dh: Any) -> Any:
                xp.multiply(slope[rows], dh, out=dz[rows])
                return xp.matmul(dz[rows], w)

            return step, lambda: [dz, xp.matmul(dz.T, h_before)]

        return begin

    kinds = {
        "lstm": _Kind(5, lstm, lstm_derivatives),
        "gru": _Kind(4, gru, gru_derivatives),
        "tanh": _Kind(
            0, plain(lambda z, out: xp.tanh(z, out=out)), plain_derivatives(lambda y: 1 - y * y)
        ),
        "relu": _Kind(
            0,
            plain(lambda z, out: xp.maximum(z, z.dtype.type(0), out=out)),
            plain_derivatives(lambda y: (y > 0).astype(y.dtype)),
        ),
    }

    def widened(dtype: Any, *arrays: Any) -> list[Any]:
        return [array.astype(dtype, copy=False) for array in arrays]

    def recurrence(x: Any, first: Any, w: Any, *rest: Any) -> tuple[Any, Any]:
        *extra, kind, sizes, reverse = rest
        dtype = dtypes.promote(x.dtype, first.dtype, w.dtype)
        wide = dtypes.accumulator(dtype)
        x, first, w, *extra = widened(wide, x, first, w, *extra)
        count, chosen = x.shape[0], kinds[kind]
        width = extra[0].shape[-1] if kind == "lstm" else first.shape[-1]
        kept = xp.empty((count * chosen.kept * width,), wide) if chosen.kept else None
        out = xp.empty((count, first.shape[-1]), wide)
        step, ends = chosen.begin(x, w, extra, kept, out)
        h = first.copy()
        for start, size in steps_of(sizes, reverse):
            rows = slice(start, start + size)
            step(rows, h[:size])
            h[:size] = out[rows]
        return tuple(widened(dtype, out, h, *ends)), kept

    def recurrence_gradient(y: Any, y_last: Any, out: Any, kept: Any, x: Any, first: Any, w: Any,
                            *rest: Any) -> tuple[Any, ...]:  # fmt: skip
        *extra, kind, sizes, reverse = rest
        wide = dtypes.accumulator(dtypes.promote(x.dtype, first.dtype, w.dtype))
        lstm_ends = extra[:1] if kind == "lstm" else []
        extra = extra[len(lstm_ends) :]
        given = (x, first, w, *extra)
        y, out, kept = widened(wide, y, out, kept)
        wide_first, wide_w, *wide_extra = widened(wide, *given[1:])
        steps = steps_of(sizes, reverse)
        h_before = before(out, wide_first, steps)
        step, finish = kinds[kind].derivatives(
            kept, steps, h_before, wide_extra, wide_w, widened(wide, *lstm_ends)
        )
        dh = y_last.astype(wide)
        if dh is y_last:
            dh = dh.copy()
        for start, size in steps[::-1]:
            rows = slice(start, start + size)
            now = dh[:size]
            now += y[rows]
            dh[:size] = step(rows, now)
        dx, dw, *others = finish()
        found = (dx, dh, dw, *others)
        return tuple([
            g.astype(like.dtype, copy=False) for g, like in zip(found, given, strict=True)
        ])  # fmt: skip

    return {"recurrence": recurrence, "recurrence_gradient": recurrence_gradient}
