"""Update rules that go element by element: the families of Adam and Adagrad, Rprop, ASGD, Lion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .rules import elementwise_rule

States = Sequence[Any]
Result = tuple[Any, ...]


def _means(g: Any, states: States, beta1: float, beta2: float) -> tuple[Any, Any]:
    """Return the running means of the gradients and of their squares."""
    mean, square = states
    return mean + (g - mean) * (1 - beta1), square * beta2 + g * g * (1 - beta2)


# -- NAdam -----------------------------------------------------------------------------------------
def _nadam_factors(
    k: Any, lr: Any, count: Any, scalars: Any, beta1: float, beta2: float, eps: float, decay: float
) -> Result:
    (product,) = scalars
    now = beta1 * (1 - 0.5 * 0.96 ** (count * decay))
    later = beta1 * (1 - 0.5 * 0.96 ** ((count + 1) * decay))
    k.assign(product, product * now)
    return 1 - beta2**count, lr * (1 - now) / (1 - product), lr * later / (1 - product * later)


def _nadam(k: Any, p: Any, g: Any, states: States, factors: Result, beta1: float, beta2: float,
           eps: float, decay: float) -> Result:  # fmt: skip
    correction, of_gradient, of_mean = factors
    mean, square = _means(g, states, beta1, beta2)
    spread = k.sqrt(square / correction) + eps
    return p - (g * of_gradient + mean * of_mean) / spread, mean, square


nadam_step = elementwise_rule(
    "nadam_step", ("beta1", "beta2", "eps", "momentum_decay"), _nadam, _nadam_factors, scalars=1,
    doc="One step of NAdam, in place.",
)  # fmt: skip


# -- RAdam -----------------------------------------------------------------------------------------
def _radam_factors(
    k: Any, lr: Any, count: Any, scalars: Any, beta1: float, beta2: float, eps: float
) -> Result:
    correction2 = 1 - beta2**count
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * count * beta2**count / correction2
    rectified = length > 5
    safe = k.maximum(length, 4.5)
    ratio = (safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe)
    return rectified, lr / (1 - beta1**count), k.sqrt(ratio * correction2)


def _radam(k: Any, p: Any, g: Any, states: States, factors: Result, beta1: float, beta2: float,
           eps: float) -> Result:  # fmt: skip
    rectified, rate, factor = factors
    mean, square = _means(g, states, beta1, beta2)
    step = mean * rate
    step = k.where(rectified, step * factor / (k.sqrt(square) + eps), step)
    return p - step, mean, square


radam_step = elementwise_rule(
    "radam_step", ("beta1", "beta2", "eps"), _radam, _radam_factors,
    doc="One step of RAdam, in place.",
)  # fmt: skip


# -- Adamax ----------------------------------------------------------------------------------------
def _adamax_factors(
    k: Any, lr: Any, count: Any, scalars: Any, beta1: float, beta2: float, eps: float
) -> Result:
    return (lr / (1 - beta1**count),)


def _adamax(k: Any, p: Any, g: Any, states: States, factors: Result, beta1: float, beta2: float,
            eps: float) -> Result:  # fmt: skip
    mean, greatest = states
    mean = mean + (g - mean) * (1 - beta1)
    greatest = k.maximum(greatest * beta2, k.abs(g) + eps)
    return p - mean / greatest * factors[0], mean, greatest


adamax_step = elementwise_rule(
    "adamax_step", ("beta1", "beta2", "eps"), _adamax, _adamax_factors,
    doc="One step of Adamax, in place.",
)  # fmt: skip


# -- Adagrad, Adadelta, RMSprop --------------------------------------------------------------------
def _adagrad_factors(
    k: Any, lr: Any, count: Any, scalars: Any, lr_decay: float, eps: float
) -> Result:
    return (lr / (1 + (count - 1) * lr_decay),)


def _adagrad(
    k: Any, p: Any, g: Any, states: States, factors: Result, lr_decay: float, eps: float
) -> Result:
    total = states[0] + g * g
    return p - g / (k.sqrt(total) + eps) * factors[0], total


adagrad_step = elementwise_rule(
    "adagrad_step", ("lr_decay", "eps"), _adagrad, _adagrad_factors,
    doc="One step of Adagrad, in place.",
)  # fmt: skip


def _adadelta(
    k: Any, p: Any, g: Any, states: States, factors: Result, rho: float, eps: float
) -> Result:
    square, change = states
    square = square * rho + g * g * (1 - rho)
    delta = k.sqrt((change + eps) / (square + eps)) * g
    return p - delta * factors[0], square, change * rho + delta * delta * (1 - rho)


adadelta_step = elementwise_rule(
    "adadelta_step", ("rho", "eps"), _adadelta, doc="One step of Adadelta, in place."
)


def _rmsprop(k: Any, p: Any, g: Any, states: States, factors: Result, alpha: float, eps: float,
             momentum: float, centered: bool) -> Result:  # fmt: skip
    square, *rest = states
    square = square * alpha + g * g * (1 - alpha)
    new = [square]
    if centered:
        mean = rest[-1] + (g - rest[-1]) * (1 - alpha)
        direction = g / (k.sqrt(square - mean * mean) + eps)
    else:
        direction = g / (k.sqrt(square) + eps)
    if momentum:
        direction = rest[0] * momentum + direction
        new.append(direction)
    if centered:
        new.append(mean)
    return p - direction * factors[0], *new


rmsprop_step = elementwise_rule(
    "rmsprop_step", ("alpha", "eps", "momentum", "centered"), _rmsprop,
    doc="One step of RMSprop, in place.",
)  # fmt: skip


# -- Rprop -----------------------------------------------------------------------------------------
def _rprop(k: Any, p: Any, g: Any, states: States, factors: Result, shrink: float, grow: float,
           least: float, greatest: float) -> Result:  # fmt: skip
    before, size = states
    agreement = g * before
    turned = agreement < 0
    size = k.where(turned, size * shrink, k.where(agreement > 0, size * grow, size))
    size = k.minimum(k.maximum(size, least), greatest)
    g = k.where(turned, k.zeros_like(g), g)
    return p - k.sign(g) * size, g, size


rprop_step = elementwise_rule(
    "rprop_step", ("shrink", "grow", "least", "greatest"), _rprop,
    doc="One step of resilient backpropagation, in place.",
)  # fmt: skip


# -- ASGD ------------------------------------------------------------------------------------------
def _asgd_factors(
    k: Any, lr: Any, count: Any, scalars: Any, lambd: float, alpha: float, t0: float
) -> Result:
    eta, mu = scalars
    used = eta + 0, mu + 0
    k.assign(eta, lr / (1 + lambd * lr * count) ** alpha)
    k.assign(mu, 1 / k.maximum(count - t0, 1.0))
    return 1 - lambd * used[0], *used, used[1] == 1


def _asgd(k: Any, p: Any, g: Any, states: States, factors: Result, lambd: float, alpha: float,
          t0: float) -> Result:  # fmt: skip
    keep, eta, mu, follows = factors
    average = states[0]
    p = p * keep - g * eta
    return p, k.where(follows, p, average + (p - average) * mu)


asgd_step = elementwise_rule(
    "asgd_step", ("lambd", "alpha", "t0"), _asgd, _asgd_factors, scalars=2,
    doc="One step of averaged gradient descent, in place.",
)  # fmt: skip


# -- Lion ------------------------------------------------------------------------------------------
def _lion(
    k: Any, p: Any, g: Any, states: States, factors: Result, beta1: float, beta2: float
) -> Result:
    (mean,) = states
    p = p - k.sign(mean * beta1 + g * (1 - beta1)) * factors[0]
    return p, mean * beta2 + g * (1 - beta2)


lion_step = elementwise_rule(
    "lion_step", ("beta1", "beta2"), _lion, doc="One step of Lion, in place."
)
