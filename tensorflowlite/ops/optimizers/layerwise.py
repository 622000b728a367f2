"""Update rules that look at a parameter as a whole: LAMB, Adafactor, Muon."""

from __future__ import annotations

import math
from typing import Any

from ...backend import Kept, dtypes
from .rules import advance, per_parameter, whole_rule


def _norm(k: Any, x: Any) -> Any:
    return k.sqrt(k.sum(x * x, tuple(range(x.ndim))))


def _mean_square(k: Any, x: Any) -> Any:
    return _norm(k, x) / math.sqrt(max(math.prod(x.shape), 1))


# -- LAMB ------------------------------------------------------------------------------------------
def _lamb(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, beta1, beta2, eps, decay, maximize, kinds = args
    count = advance(k, step)
    with k.quiet():
        correction1, correction2 = 1 - beta1**count, 1 - beta2**count
        for arrays in per_parameter(tensors, kinds):
            p, g, m, v = [k.real_view(x) for x in arrays]
            value, g, mean, square = [k.widened(x) for x in (p, g, m, v)]
            g = -g if maximize else g
            mean = mean * beta1 + g * (1 - beta1)
            square = square * beta2 + g * g * (1 - beta2)
            k.assign(m, mean)
            k.assign(v, square)
            wide = value.dtype
            spread = k.sqrt(square / k.factor(correction2, wide)) + eps
            change = mean / k.factor(correction1, wide) / spread + value * decay
            length, size = _norm(k, value), _norm(k, change)
            trust = k.where(length * size > 0, length / size, k.ones_like(length))
            k.assign(p, value - change * k.factor(lr * trust, wide))
    return ()


lamb_step = whole_rule(
    "lamb_step", ("beta1", "beta2", "eps", "weight_decay", "maximize"), _lamb,
    doc="One step of LAMB, in place.",
)  # fmt: skip


# -- Adafactor -------------------------------------------------------------------------------------
def _estimate(k: Any, g: Any, states: Any, share: Any, eps: Any) -> Any:
    """Update the running means of the squared gradient; return the estimate made of them.

    Of a matrix these are the means of its rows and of its columns.
    """
    if g.ndim < 2:
        square = k.widened(states[0])
        square = square + (g * g - square) * share
        k.assign(states[0], square)
        return square
    means = []
    for axis, state in zip((-1, -2), states, strict=True):
        old = k.widened(state)
        new = k.mean(g * g, Kept((g.ndim + axis,))) if g.shape[axis] else old
        means.append(old + (new - old) * share)
        k.assign(state, means[-1])
    rows, columns = means
    return k.matmul(rows, columns) / k.maximum(k.mean(rows, Kept((g.ndim - 2,))), eps)


def _adafactor(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, beta2_decay, eps1, eps2, d, decay, maximize, kinds = args
    count = advance(k, step)
    with k.quiet():
        exact = count * 1.0
        share, rate = exact**beta2_decay, k.minimum(lr, exact**-0.5)
        for p, g, *states in per_parameter(tensors, kinds):
            value, g = k.widened(p), k.widened(g)
            g = -g if maximize else g
            wide = value.dtype
            least = float(dtypes.float_limits(p.dtype).eps) if eps1 is None else eps1
            size = k.factor(k.maximum(_mean_square(k, value), eps2) * rate, wide)
            if decay:
                value = value * k.factor(1 - lr * decay, wide)
            square = _estimate(k, g, states, k.factor(share, wide), least)
            change = g / k.sqrt(k.maximum(square, least * least))
            clip = k.maximum(_mean_square(k, change) / d, 1.0)
            k.assign(p, value - change * k.factor(size / clip, wide))
    return ()


adafactor_step = whole_rule(
    "adafactor_step", ("beta2_decay", "eps1", "eps2", "d", "weight_decay", "maximize"), _adafactor,
    doc="One step of Adafactor, in place.",
)  # fmt: skip


# -- Muon ------------------------------------------------------------------------------------------
def _orthogonal(k: Any, x: Any, coefficients: Any, steps: int, eps: float) -> Any:
    """Return a matrix near to the orthogonal one that is nearest, by Newton and Schulz's iteration.

    Each product is rounded to bfloat16, as the algorithm's authors do.
    """
    a, b, c = coefficients

    def rounded(y: Any) -> Any:
        return k.cast(k.cast(y, dtypes.bfloat16), dtypes.float32)

    tall = x.shape[0] > x.shape[1]
    x = rounded(k.mT(x) if tall else x)
    x = rounded(x / k.maximum(rounded(_norm(k, x)), eps))
    for _ in range(steps):
        gram = rounded(k.matmul(x, k.mT(x)))
        x = rounded(x * a + k.matmul(rounded(gram * b + k.matmul(gram, gram) * c), x))
    return k.mT(x) if tall else x


def _muon(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, momentum, nesterov, coefficients, eps, ns_steps, adjust, decay, kinds = args
    advance(k, step)
    with k.quiet():
        for p, g, buffer in per_parameter(tensors, kinds):
            value, g, mean = [k.widened(x) for x in (p, g, buffer)]
            mean = mean + (g - mean) * (1 - momentum)
            k.assign(buffer, mean)
            if nesterov:
                mean = g + (mean - g) * momentum
            rows, columns = p.shape
            scale = math.sqrt(max(1, rows / max(columns, 1)))
            if adjust == "match_rms_adamw":
                scale = 0.2 * math.sqrt(max(rows, columns))
            wide = value.dtype
            change = k.cast(_orthogonal(k, mean, coefficients, ns_steps, eps), wide)
            value = value * k.factor(1 - lr * decay, wide) - change * k.factor(lr * scale, wide)
            k.assign(p, value)
    return ()


muon_step = whole_rule(
    "muon_step",
    ("momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn", "weight_decay"),
    _muon,
    doc="One step of Muon, in place.",
)
