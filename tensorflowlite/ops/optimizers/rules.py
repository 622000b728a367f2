"""How the update rules of the optimizers are declared: primitives that change arrays in place.

One call updates a whole group: ``lr`` and ``step`` are 0-d arrays on the device, then come all
parameters, all gradients, and for each kind of state one array per parameter. ``step`` is raised
by one before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...backend import backend_of, dtypes
from ...core.entry import declare
from ...core.primitive import traced
from ...core.tensor import Tensor, wrap
from ...core.views import enter_all
from ...errors import CaptureError
from ...runtime import mode, note_change, note_changes
from ..creation import asarray, move, tensor, zeros

Tensors = Sequence[Tensor]
SHARED = ("weight_decay", "decoupled", "maximize")  # what most rules can do, done in one place


def advance(k: Any, step: Any) -> Any:
    """Count one more step."""
    k.assign(step, step + 1)
    return step


def per_parameter(tensors: Sequence[Any], kinds: int) -> list[Sequence[Any]]:
    """Return (parameter, gradient, states ...) for each parameter."""
    count = len(tensors) // kinds
    return [tensors[i::count] for i in range(count)]


class Rule:
    """An update rule: called with tensors and named options, it changes the tensors in place.

    Parameters
    ----------
    op
        The primitive's entry point.
    options
        The names of the primitive's attributes, in order; the last is the number of arrays per
        parameter.
    scalars
        How many of the first kinds of states are 0-d float64 arrays.
    """

    def __init__(self, op: Any, options: Sequence[str], scalars: int = 0) -> None:
        self.op, self.options, self.scalars = op, tuple(options), scalars
        self.__name__, self.__doc__ = op.__name__, op.__doc__

    def __call__(self, lr: Tensor, step: Tensor, parameters: Tensors, gradients: Tensors,
                 states: Sequence[Tensors], **options: Any) -> None:  # fmt: skip
        values = tuple([options[name] for name in self.options])
        kinds = 2 + len(states)
        run(self.op, lr, step, parameters, gradients, states, (*values, kinds), self.scalars)


def elementwise_rule(
    name: str,
    options: Sequence[str],
    update: Callable[..., Sequence[Any]],
    factors: Callable[..., Sequence[Any]] | None = None,
    *,
    scalars: int = 0,
    doc: str,
) -> Rule:
    """Declare a rule whose new values depend, element by element, on the old ones.

    Parameters
    ----------
    name
        The primitive's name.
    options
        The names of the hyperparameters, beside those of `SHARED`, which are handled here.
    update
        ``(k, p, g, states, factors, *options)``: the new parameter, then the new states. Halves
        come as float32, complex numbers as pairs of real ones.
    factors
        ``(k, lr, count, scalars, *options)``: what all elements have in common, 0-d; by default
        the learning rate. It may assign to the scalars.
    scalars
        How many of the first kinds of states are 0-d arrays.
    doc
        What the primitive does.
    """
    attributes = (*SHARED, *options, "kinds")

    def decompose(k: Any, lr: Any, step: Any, *args: Any) -> tuple[()]:
        tensors, given = args[: -len(attributes)], args[-len(attributes) : -1]
        decay, decoupled, maximize, *own = given
        count = advance(k, step)
        with k.quiet():
            keep = 1 - lr * decay if decay and decoupled else None
            common = None
            for p, g, *states in per_parameter(tensors, args[-1]):
                held, states = states[:scalars], states[scalars:]
                if common is None or scalars:
                    common = factors(k, lr, count, held, *own) if factors else (lr,)
                whole = [k.real_view(x) for x in (p, g, *states)]
                wide = dtypes.accumulator(whole[0].dtype)
                shared = [k.factor(one, wide) for one in common]
                kept = None if keep is None else k.factor(keep, wide)
                for old in k.pieces(whole):
                    value, slope, *rest = [k.widened(x) for x in old]
                    if maximize:
                        slope = -slope
                    if kept is not None:
                        value = value * kept
                    elif decay:
                        slope = slope + value * decay
                    new = update(k, value, slope, rest, shared, *own)
                    for target, source in zip((old[0], *old[2:]), new, strict=True):
                        k.assign(target, source)
        return ()

    return whole_rule(name, attributes[:-1], decompose, scalars=scalars, doc=doc)


def whole_rule(
    name: str,
    options: Sequence[str],
    decompose: Callable[..., tuple[()]],
    *,
    scalars: int = 0,
    doc: str,
) -> Rule:
    """Declare a rule written out: ``decompose(k, lr, step, *arrays, *options, kinds)``."""
    op = declare(
        name,
        ("lr", "step", "tensors"),
        None,
        attributes=(*options, "kinds"),
        variadic=True,
        outputs=0,
        changes="all",
        decompose=decompose,
        doc=doc,
    )
    return Rule(op, options, scalars)


def run(op: Any, lr: Tensor, step: Tensor, parameters: Tensors, gradients: Tensors,
        states: Sequence[Tensors], attributes: tuple[Any, ...],
        scalars: int = 0) -> None:  # fmt: skip
    """Call an update rule's primitive, with the states brought to where the parameters are."""
    if mode.capture is not None:
        enter_all([lr, step, *parameters, *gradients, *[t for kind in states for t in kind]])
    for number, kind in enumerate(states):
        is_scalar = number < scalars
        for state, parameter in zip(kind, parameters, strict=True):
            have, want = state.array, parameter.array
            # One dtype is nearly always one object.
            if type(have) is not type(want) or (have.dtype is not want.dtype and not is_scalar):
                _fit(state, parameter, is_scalar)
    device = parameters[0]
    if type(lr.array) is not type(device.array):
        for scalar in (lr, step):
            scalar.set_(wrap(move(scalar.array, device.device), None))
    op(lr, step, *parameters, *gradients, *[t for kind in states for t in kind], *attributes)
    note_changes([parameter.array for parameter in parameters], op.__name__)


def _fit(state: Tensor, parameter: Tensor, scalar: bool) -> None:
    """Bring a state to its parameter's device and dtype, where the parameter has moved since."""
    have, want = state.array, parameter.array
    if type(have) is not type(want) or (have.dtype != want.dtype and not scalar):
        dtype = have.dtype if scalar else want.dtype
        state.set_(asarray(state, dtype=dtype, device=parameter.device))


# -- the arrays that rules change ------------------------------------------------------------------
def state_like(parameter: Tensor, value: float = 0.0) -> Tensor:
    """Return a state laid out as the parameter is; of complex numbers both parts are ``value``."""
    state = traced.zeros_like(parameter.detach())
    if value:
        state[...] = complex(value, value) if state.dtype.kind == "c" else value
    return state


def state_of(parameter: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return zeros of another shape, of the parameter's dtype and on its device."""
    return zeros(shape, dtype=parameter.dtype, device=parameter.device)


def scalar_for(value: float, parameter: Tensor) -> Tensor:
    """Return a 0-d float64 tensor on the parameter's device: a learning rate."""
    return tensor(value, dtype=dtypes.float64, device=parameter.device)


def step_for(value: int, parameter: Tensor) -> Tensor:
    """Return a 0-d int64 tensor on the parameter's device: a step count."""
    return tensor(value, dtype=dtypes.int64, device=parameter.device)


def write_scalar(target: Tensor, value: float) -> None:
    """Write a number into a 0-d tensor; a recorded step sees the new value.

    Raises
    ------
    CaptureError
        A step is being recorded: its replays would write the same number again.
    """
    if mode.capture is not None:
        raise CaptureError(
            f"jit: a number that Python computes can't be written while recording, got {value}; "
            "set rates and scales, and step schedules, outside of the function"
        )
    backend = backend_of(target.array)
    backend.assign(target.array, backend.filled((), value, target.dtype, target.device))
    note_change(target.array, "write_scalar")
