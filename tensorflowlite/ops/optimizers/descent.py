"""The update rules of SGD, Adam and AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend import dtypes
from ...core.entry import declare
from ...core.tensor import Tensor
from .rules import Tensors, advance, per_parameter, run


def _direction(p: Any, g: Any, decay: float, maximize: bool) -> Any:
    g = -g if maximize else g
    return g + p * decay if decay else g


def _sgd_decomposed(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, momentum, dampening, weight_decay, nesterov, maximize = args
    first = advance(k, step) == 1
    for p, g, *states in per_parameter(tensors, 3 if momentum else 2):
        wide = dtypes.accumulator(p.dtype)
        value = k.cast(p, wide)
        g = _direction(value, k.cast(g, wide), weight_decay, maximize)
        if momentum:
            later = k.cast(states[0], wide) * momentum + g * (1 - dampening)
            buffer = k.where(first, g, later)
            k.assign(states[0], k.cast(buffer, p.dtype))
            g = g + buffer * momentum if nesterov else buffer
        k.assign(p, k.cast(value - g * k.cast(lr, dtypes.real_of(wide)), p.dtype))
    return ()


def _adam_decomposed(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize = args
    count = advance(k, step)
    correction1, correction2 = 1 - beta1**count, 1 - beta2**count
    penalty = 0.0 if decoupled else weight_decay
    for arrays in per_parameter(tensors, 5 if amsgrad else 4):
        p, g, m, v, *rest = [k.real_view(x) for x in arrays]
        wide = dtypes.accumulator(p.dtype)
        value, mean, square = [k.cast(x, wide) for x in (p, m, v)]
        g = _direction(value, k.cast(g, wide), penalty, maximize)
        if decoupled:
            value = value * k.cast(1 - lr * weight_decay, wide)
        mean = mean + (g - mean) * (1 - beta1)
        square = square * beta2 + g * g * (1 - beta2)
        k.assign(m, k.cast(mean, p.dtype))
        k.assign(v, k.cast(square, p.dtype))
        if amsgrad:
            square = k.maximum(k.cast(rest[0], wide), square)
            k.assign(rest[0], k.cast(square, p.dtype))
        spread = k.sqrt(square) / k.cast(k.sqrt(correction2), wide) + eps
        k.assign(p, k.cast(value - mean / spread * k.cast(lr / correction1, wide), p.dtype))
    return ()


_sgd = declare(
    "sgd_step",
    ("lr", "step", "tensors"),
    None,
    attributes=("momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    variadic=True,
    outputs=0,
    changes="all",
    decompose=_sgd_decomposed,
    doc="One step of gradient descent with momentum, in place.",
)
_adam = declare(
    "adam_step",
    ("lr", "step", "tensors"),
    None,
    attributes=("beta1", "beta2", "eps", "weight_decay", "decoupled", "amsgrad", "maximize"),
    variadic=True,
    outputs=0,
    changes="all",
    decompose=_adam_decomposed,
    doc="One step of Adam or AdamW, in place.",
)


def sgd_step(
    lr: Tensor,
    step: Tensor,
    parameters: Tensors,
    gradients: Tensors,
    buffers: Tensors = (),
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> None:
    """Update parameters in place by gradient descent with momentum.

    Parameters
    ----------
    lr : Tensor, shape ()
        The learning rate, float64.
    step : Tensor, shape ()
        How many steps were made before, int64; raised by one. The first fills the buffers with
        the gradients.
    parameters, gradients : sequence of Tensor
        One gradient per parameter, of its shape and dtype.
    buffers : sequence of Tensor
        The momentum buffers, one per parameter; none where ``momentum`` is zero.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.optimizers import scalar_for, sgd_step, step_for
    >>> p = tfl.tensor([1.0, 2.0])
    >>> sgd_step(scalar_for(0.5, p), step_for(0, p), [p], [tfl.ones(2)])
    >>> p
    tensor([0.5, 1.5])
    """
    states = [buffers] if momentum else []
    attributes = (momentum, dampening, weight_decay, nesterov, maximize)
    run(_sgd, lr, step, parameters, gradients, states, attributes)


def adam_step(
    lr: Tensor,
    step: Tensor,
    parameters: Tensors,
    gradients: Tensors,
    states: Sequence[Tensors],
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    amsgrad: bool = False,
    maximize: bool = False,
) -> None:
    """Update parameters in place by Adam, or by AdamW where the decay is ``decoupled``.

    Parameters
    ----------
    lr, step : Tensor, shape ()
        As in `sgd_step`.
    parameters, gradients : sequence of Tensor
        One gradient per parameter, of its shape and dtype.
    states : sequence of sequences of Tensor
        The running means of the gradients, of their squares, and where ``amsgrad`` the greatest
        of the latter; one tensor per parameter each.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Loshchilov and Hutter,
    "Decoupled weight decay regularization", 2019.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.optimizers import adam_step, scalar_for, step_for
    >>> p = tfl.tensor([1.0, 2.0])
    >>> states = [[tfl.zeros(2)], [tfl.zeros(2)]]
    >>> adam_step(scalar_for(0.5, p), step_for(0, p), [p], [tfl.ones(2)], states)
    >>> p
    tensor([0.5, 1.5])
    """
    attributes = (*betas, eps, weight_decay, decoupled, amsgrad, maximize)
    run(_adam, lr, step, parameters, gradients, states, attributes)
