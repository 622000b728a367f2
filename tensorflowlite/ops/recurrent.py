"""Recurrent layers: all steps of one direction of one layer as one operation."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from ..core.fused import differentiated
from ..core.tensor import Tensor
from .declare import general

_INPUTS = ("x", "first", "w", "rest")
_ATTRIBUTES = ("kind", "sizes", "reverse")


# -- by other operations: for derivatives of higher order ------------------------------------------
def _columns(k: Any, x: Any, number: int, count: int) -> Any:
    width = x.shape[-1] // count
    return k.getitem(x, (slice(None), slice(number * width, (number + 1) * width)))


def _lstm(k: Any, x: Any, h: Any, states: Any, w: Any, extra: Any) -> tuple[Any, Any]:
    z = x + k.matmul(h, k.mT(w))
    i, f, o = [k.sigmoid(_columns(k, z, number, 4)) for number in (0, 1, 3)]
    cell = f * states[0] + i * k.tanh(_columns(k, z, 2, 4))
    out = o * k.tanh(cell)
    return (k.matmul(out, k.mT(extra[1])) if len(extra) > 1 else out), [cell]


def _gru(k: Any, x: Any, h: Any, states: Any, w: Any, extra: Any) -> tuple[Any, Any]:
    z = k.matmul(h, k.mT(w))
    if extra:
        z = z + extra[0]
    r, u = [k.sigmoid(_columns(k, x, number, 3) + _columns(k, z, number, 3)) for number in (0, 1)]
    new = k.tanh(_columns(k, x, 2, 3) + r * _columns(k, z, 2, 3))
    return new + u * (h - new), []


def _plain(name: str) -> Any:
    def step(k: Any, x: Any, h: Any, states: Any, w: Any, extra: Any) -> tuple[Any, Any]:
        return getattr(k, name)(x + k.matmul(h, k.mT(w))), []

    return step


_STEPS = {"lstm": _lstm, "gru": _gru, "tanh": _plain("tanh"), "relu": _plain("relu")}


def _by_steps(k: Any, x: Any, first: Any, w: Any, *rest: Any) -> tuple[Any, ...]:
    """Return the outputs of `recurrence`, a step after the other."""
    *extra, kind, sizes, reverse = rest
    states = [first, *(extra[:1] if kind == "lstm" else [])]
    times = list(zip(accumulate(sizes, initial=0), sizes, strict=False))
    outs = [None] * len(sizes)
    for t in range(len(sizes))[:: -1 if reverse else 1]:
        start, size = times[t]
        now = [k.getitem(s, (slice(0, size),)) for s in states]
        rows = k.getitem(x, (slice(start, start + size),))
        outs[t], others = _STEPS[kind](k, rows, now[0], now[1:], w, extra)
        states = [
            new if size == old.shape[0] else k.concat(new, k.getitem(old, (slice(size, None),)), 0)
            for new, old in zip([outs[t], *others], states, strict=True)
        ]
    return (k.concat(*outs, 0), *states)


_pull = differentiated(_by_steps, _INPUTS, _ATTRIBUTES, variadic=True)


def _pulled(k: Any, y: Any, y_last: Any, out: Any, kept: Any, x: Any, first: Any, w: Any,
            *rest: Any) -> Any:  # fmt: skip
    """Return what `recurrence_gradient` does, with its history; tensors only."""
    *extra, kind, sizes, reverse = rest
    g = (y, y_last, *(extra[:1] if kind == "lstm" else []))
    inputs = [x, first, w, *extra[len(g) - 2 :]]
    # Each needs a node, also those that nobody differentiates by.
    inputs = [x if x.node is not None else x.detach().requires_grad_() for x in inputs]
    need = (True,) * len(inputs)
    return tuple(_pull(k, g, need, *inputs[:3], tuple(inputs[3:]), kind, sizes, reverse))


# -- the operations --------------------------------------------------------------------------------
_GRADIENT_INPUTS = ("y", "y_last", "outputs", "kept", "x", "first", "w", "rest")
_recurrence_gradient = general(
    "recurrence_gradient",
    _GRADIENT_INPUTS,
    differentiated(_pulled, _GRADIENT_INPUTS, _ATTRIBUTES, variadic=True),
    "The gradients ``y`` of `recurrence`, taken to all it was given.",
    attributes=_ATTRIBUTES,
    variadic=True,
    tensors=True,
    outputs=0,
)


def _recurrence_rule(k: Any, g: Any, x: Any, first: Any, w: Any, rest: Any, out: Any,
                     residual: Any, kind: str, sizes: Any, reverse: bool) -> Any:  # fmt: skip
    kept = out[0] if residual is None else residual
    return k.recurrence_gradient(
        g[0], g[1], out[0], kept, x, first, w, *g[2:], *rest, kind, sizes, reverse
    )


_recurrence = general(
    "recurrence",
    _INPUTS,
    _recurrence_rule,
    "All steps of a recurrent layer in one direction, from what the inputs bring to the gates.",
    attributes=_ATTRIBUTES,
    variadic=True,
    keeps_residual=True,
    outputs=0,
)


def recurrence(kind: str, x: Tensor, first: Tensor, weight: Tensor, *extra: Tensor,
               sizes: tuple[int, ...], reverse: bool = False) -> tuple[Tensor, ...]:  # fmt: skip
    """Run a recurrent layer over packed sequences in one direction.

    Parameters
    ----------
    kind : str
        'lstm', 'gru', 'tanh' or 'relu'.
    x : Tensor, shape (rows, gates * features)
        What the inputs bring to the gates, the rows of all steps one after the other.
    first : Tensor, shape (sequences, out_features)
        The state before the first step.
    weight : Tensor, shape (gates * features, out_features)
        What the state brings to the gates.
    *extra : Tensor
        Of an LSTM the first cell state (sequences, features), and a projection (out_features,
        features) if it has one; of a GRU the bias that is added to what the state brings.
    sizes : tuple of int
        How many sequences each step has, none more than the one before.
    reverse : bool
        Whether to run from the last step to the first.

    Returns
    -------
    out : Tensor, shape (rows, out_features)
    last : Tensor, shape (sequences, out_features)
    cell : Tensor, shape (sequences, features)
        Of an LSTM only.
    """
    return _recurrence(x, first, weight, *extra, kind, tuple(sizes), reverse)


recurrence.primitive = _recurrence.primitive  # type: ignore[attr-defined]
