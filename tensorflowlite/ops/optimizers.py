"""The update rules of the optimizers: primitives that change their arrays in place.

One call updates a whole group: ``lr`` and ``step`` are 0-d arrays on the device, then come all
parameters, all gradients, and for each kind of state one array per parameter. ``step`` is raised
by one before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import backend_of, dtypes
from ..core.entry import declare
from ..core.primitive import traced
from ..core.tensor import Tensor, wrap
from ..runtime import note_change
from .creation import asarray, move, tensor

Tensors = Sequence[Tensor]


def _advance(k: Any, step: Any) -> Any:
    k.assign(step, step + 1)
    return step


def _groups(tensors: Sequence[Any], kinds: int) -> list[Sequence[Any]]:
    count = len(tensors) // kinds
    return [tensors[i::count] for i in range(count)]


def _direction(p: Any, g: Any, decay: float, maximize: bool) -> Any:
    g = -g if maximize else g
    return g + p * decay if decay else g


def _sgd_decomposed(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, momentum, dampening, weight_decay, nesterov, maximize = args
    first = _advance(k, step) == 1
    for p, g, *states in _groups(tensors, 3 if momentum else 2):
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
    count = _advance(k, step)
    correction1, correction2 = 1 - beta1**count, 1 - beta2**count
    penalty = 0.0 if decoupled else weight_decay
    for arrays in _groups(tensors, 5 if amsgrad else 4):
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
    decompose=_adam_decomposed,
    doc="One step of Adam or AdamW, in place.",
)


def _run(op: Any, lr: Tensor, step: Tensor, parameters: Tensors, gradients: Tensors,
         states: Sequence[Tensors], attributes: tuple[Any, ...]) -> None:  # fmt: skip
    for kind in states:
        for state, parameter in zip(kind, parameters, strict=True):
            _fit(state, parameter)
    device = parameters[0]
    if type(lr.array) is not type(device.array):
        for scalar in (lr, step):
            scalar.set_(wrap(move(scalar.array, device.device), None))
    op(lr, step, *parameters, *gradients, *[t for kind in states for t in kind], *attributes)
    for parameter in parameters:
        note_change(parameter.array, op.__name__)


def _fit(state: Tensor, parameter: Tensor) -> None:
    """Bring a state to its parameter's device and dtype, where the parameter has moved since."""
    have, want = state.array, parameter.array
    if type(have) is not type(want) or have.dtype != want.dtype:
        state.set_(asarray(state, dtype=want.dtype, device=parameter.device))


def state_like(parameter: Tensor) -> Tensor:
    """Return zeros laid out as the parameter is."""
    return traced.zeros_like(parameter.detach())


def scalar_for(value: float, parameter: Tensor) -> Tensor:
    """Return a 0-d float64 tensor on the parameter's device: a learning rate."""
    return tensor(value, dtype=dtypes.float64, device=parameter.device)


def step_for(value: int, parameter: Tensor) -> Tensor:
    """Return a 0-d int64 tensor on the parameter's device: a step count."""
    return tensor(value, dtype=dtypes.int64, device=parameter.device)


def write_scalar(target: Tensor, value: float) -> None:
    """Write a number into a 0-d tensor; a recorded step sees the new value."""
    backend = backend_of(target.array)
    backend.assign(target.array, backend.filled((), value, target.dtype, target.device))
    note_change(target.array, "write_scalar")


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
    _run(_sgd, lr, step, parameters, gradients, states, attributes)


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
    _run(_adam, lr, step, parameters, gradients, states, attributes)
