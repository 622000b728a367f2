"""What `vmap` needs of the core: the way into a batch and out of it, recorded.

Inside `vmap` tensors hold batched arrays (`backend.batching`), and are recorded like any others.
Where the graph crosses into a level an axis becomes the batch (`bind_batch`) or all samples share a
tensor (`enter_batch`, whose gradient is the sum over the batch); `leave_batch` is the way out.
"""

from __future__ import annotations

from typing import Any

from ..backend.batching.batched_array import (
    BatchedArray,
    Level,
    depends_on,
    levels_of,
    physical,
    unwritable,
)
from ..backend.batching.levels import batching as _backend
from ..backend.batching.slots import enter
from ..errors import BatchingError, DeviceError
from ..runtime import mode, shared
from .entry import declare
from .primitive import Primitive
from .tensor import Tensor, wrap
from .views import enter_all


def _leave_rule(k, g, place):
    level, axis = place
    # What has no axis counts once, but each sample's share of it is summed.
    return k.bind_batch(g if axis is not None else g * (1 / level.size), place)


def _declare(name: str, attribute: str, rule: Any) -> Any:
    call = declare(name, ("x",), (rule,), attributes=(attribute,), registered=False)
    op: Primitive = call.primitive
    op.crosses = True
    return call


bind_batch = _declare("bind_batch", "place", lambda k, g, place: k.leave_batch(g, place))
leave_batch = _declare("leave_batch", "place", _leave_rule)
enter_batch = _declare("enter_batch", "levels", lambda k, g, levels: k.total_batch(g, levels))
total_batch = _declare("total_batch", "levels", lambda k, g, levels: k.enter_batch(g, levels))


def _entered(x: Tensor, levels: tuple[Level, ...]) -> Tensor:
    missing = tuple([level for level in levels if level not in levels_of(x.array)])
    if not missing:
        return x
    if x.node is None:
        return wrap(enter(x.array, missing), None)
    return enter_batch(x, missing)


def lift_to_levels(x: Tensor) -> Tensor:
    """Return a tensor that belongs to every `vmap` that runs on this thread.

    Its gradients are each sample's own; outside of `vmap` it is ``x`` itself.
    """
    return _entered(x, mode.levels) if mode.levels else x


def lift_state(state: Tensor) -> Tensor:
    """Return the state of a generator as one that the innermost `vmap` draws from."""
    found = wrap(enter(state.array, mode.levels), None)
    array = found.array
    while type(array) is BatchedArray:
        array.draws = True
        array = array.value
    return found


def joined(tensors: Any) -> tuple[Any, ...]:
    """Return the operands of one operation as tensors of the same levels."""
    found: dict[int, Level] = {}
    kinds = set()
    if shared.captures:
        enter_all([x for x in tensors if type(x) is Tensor])
    for x in tensors:
        if type(x) is Tensor:
            kinds.add(type(physical(x.array)))
            for level in levels_of(x.array):
                found[level.number] = level
    if len(kinds) > 1:
        devices = " and ".join(str(x.device) for x in tensors if type(x) is Tensor)
        raise DeviceError(f"the tensors must be on one device, got {devices}")
    levels = tuple([found[number] for number in sorted(found)])
    return tuple([_entered(x, levels) if type(x) is Tensor else x for x in tensors])


def spread_over(x: Tensor, others: Any) -> Tensor:
    """Return ``x`` with a value for every sample, where that of one of ``others`` differs."""
    xs = joined((x, *others))
    x = xs[0]
    for level in levels_of(x.array):
        varies = any(type(one) is Tensor and depends_on(one.array, level) for one in xs[1:])
        if varies and not depends_on(x.array, level):
            x = bind_batch(leave_batch(x, (level, 0)), (level, 0))
    return x


def beside(name: str, target: Tensor, others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what is to be written into ``target``, of the same levels; raise where it can't be."""
    for other in others:
        if type(target.array) is not BatchedArray:
            raise BatchingError(unwritable(name, target))
        _backend.check_writable(name, target.array, other.array)
    return tuple([_entered(other, levels_of(target.array)) for other in others])


def unwrap(x: Tensor, level: Level, axis: int | None) -> Tensor:
    """Return a tensor of a level with the batch as an axis; None: it must not depend on it."""
    if level not in levels_of(x.array):
        return x
    if axis is None and depends_on(x.array, level):
        raise BatchingError(
            "vmap: out_axes=None is for results that are the same for every sample, got one that "
            f"differs, {x.dtype.name} {x.shape}"
        )
    return leave_batch(x, (level, axis))


_backend.join, _backend.beside = joined, beside
