"""The backend of batched arrays: every slot, on a whole batch.

A slot runs by its rule of `rules`, by the operations that it is made of, or on one sample
after the other, with the slots of the arrays inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import BatchingError, DtypeError, GradientError
from ...runtime import owner_of
from ..base import Backend, Device, as_array, backend_for, by_array_type, decompositions
from .batched_array import (  # fmt: skip
    BatchedArray,
    BatchedStrides,
    Level,
    PerSample,
    backend_for_values,
    check_randomness,
    depends_on,
    joined,
    levels_of,
    loop,
    physical,
    pick,
    unreadable,
    unwritable,
)
from .networks import RULES as NETWORK_RULES
from .rules import RULES, depends_on_values, elementwise, of_family
from .slots import slots as boundary

VIEWS = frozenset(
    ("getitem", "reshape", "permute_dims", "broadcast_to", "diagonal", "mT", "read_view",
     "identity")
)  # fmt: skip


def rule_of(name: str) -> Callable[..., Any] | None:
    """Return the rule of a slot; None where it runs sample after sample, or by its parts."""
    return RULES.get(name) or NETWORK_RULES.get(name) or of_family(name)


def way_of(name: str) -> str:
    """Return how a slot runs on a batch: "batched", "parts", "loop" or "refused"."""
    rule = rule_of(name)
    if rule is None:
        return "parts" if name in decompositions else "loop"
    return "refused" if rule is depends_on_values else "batched"


def run(name: str, rule: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run a slot on batched arrays: of the innermost level among them, by a rule."""
    level: Any = None
    loops = False
    for arg in args:
        kind = type(arg)
        if (kind is BatchedArray or kind is PerSample) and (
            level is None or arg.level.number > level.number
        ):
            level = arg.level
    if level is None:
        return getattr(backend_for_values(args), name)(*args)
    values, flags, draws = [], [], False
    for arg in args:
        kind = type(arg)
        if kind is BatchedArray and arg.level is level:
            values.append(arg.value)
            flags.append(arg.batched)
            draws = draws or arg.draws
        elif kind is PerSample and arg.level is level:
            values.append(arg)
            flags.append(True)
            loops = True
        else:
            values.append(arg)
            flags.append(False)
    k = backend_for_values(values)
    random = getattr(rule, "random", False)
    if draws and not random:
        rule, random = _drawn_one_by_one, True
    if random:
        batched, out = rule(k, name, level, flags, *values)
        return _wrapped(out, level, batched)
    if True not in flags:
        out = _wrapped(getattr(k, name)(*values), level, False)
    else:
        out = _wrapped((loop if loops else rule)(k, name, level, flags, *values), level, True)
    if name in VIEWS and type(out) is BatchedArray:
        _mark_view(out, args[0])
    return out


def _wrapped(out: Any, level: Level, batched: bool) -> Any:
    if isinstance(out, tuple | list):
        return tuple([_wrapped(one, level, batched) for one in out])
    if out is None or type(out) is PerSample:
        return out
    if not hasattr(out, "shape"):
        return out
    return BatchedArray(level, as_array(out), batched)


def _mark_view(out: BatchedArray, source: Any) -> None:
    if type(source) is not BatchedArray:
        return
    if out.value is source.value or owner_of(out.value) is owner_of(source.value):
        out.base = source if source.base is None else source.base
        out.lent = source.lent


def _drawn_one_by_one(
    k: Any, name: str, level: Level, flags: Sequence[bool], *values: Any
) -> tuple[bool, Any]:
    """Run an operation that draws random numbers, sample after sample."""
    check_randomness(name, level)
    if level.randomness == "same" and True not in flags:
        return False, getattr(k, name)(*values)
    if level.randomness == "different":
        return True, loop(k, name, level, flags, *values)
    places = [i for i, v in enumerate(values) if getattr(v, "dtype", None) == "uint64"]
    before = [backend_for_values((values[i],)).copy(values[i]) for i in places]
    results = []
    for sample in range(level.size):
        given = [pick(v, sample) if f else v for v, f in zip(values, flags, strict=True)]
        for i, state in zip(places, before, strict=True):
            if sample:
                given[i] = backend_for_values((state,)).copy(state)
        results.append(getattr(k, name)(*given))
    return True, joined(name, level, results)


class BatchingBackend(Backend):
    """The slots of batched arrays, each made when it is first asked for."""

    batches = True

    def __init__(self) -> None:
        super().__init__("batched", None, BatchedArray, boundary(None))

    def __getattr__(self, slot: str) -> Callable[..., Any]:
        if slot.startswith("_") or slot == "slots":
            raise AttributeError(slot)
        if slot in self.slots:
            return self.slots[slot]
        rule = rule_of(slot)
        found: Callable[..., Any]
        if rule is None and slot in decompositions:
            decompose = decompositions[slot]

            def found(*args: Any) -> Any:
                if any(type(arg) is PerSample for arg in args):
                    return run(slot, loop, args)
                return decompose(self, *args)
        else:
            by = rule or loop

            def found(*args: Any) -> Any:
                return run(slot, by, args)

        setattr(self, slot, found)
        return found

    def for_entry(self, slot: str) -> Callable[..., Any]:
        """Return a slot for an entry point: arrays of different levels have to be joined first.

        Else the gradient of what is further out would not be summed over the batch.
        """
        found = getattr(self, slot)

        def strict(*args: Any) -> Any:
            level = None
            for arg in args:
                if type(arg) is BatchedArray:
                    if level is None:
                        level = arg.level
                    elif arg.level is not level:
                        raise DtypeError("levels differ")
            return found(*args)

        return strict

    # -- what a backend knows about its arrays -----------------------------------------------------
    def device_of(self, array: Any) -> Device:
        inner = physical(array)
        return by_array_type[type(inner)].device_of(inner)

    def from_host(self, array: Any, device: Device) -> Any:
        return backend_for(device).from_host(array, device)

    def to_host(self, array: Any) -> Any:
        self.check_readable("item", array)
        inner = physical(array)
        return by_array_type[type(inner)].to_host(inner)

    def check_readable(self, what: str, array: Any) -> None:
        if any(depends_on(array, level) for level in levels_of(array)):
            raise BatchingError(unreadable(what, array))

    def every_sample(self, array: Any) -> Any:
        return physical(array)

    def described(self, array: Any) -> str | None:
        if not any(depends_on(array, level) for level in levels_of(array)):
            return None
        sizes = [level.size for level in levels_of(array) if depends_on(array, level)]
        batch = " by ".join(map(str, sizes))
        return f"batched over {batch}, shape={self.shape_of(array)}, dtype={array.dtype.name}"

    @staticmethod
    def shape_of(array: Any) -> tuple[int, ...]:
        return tuple(array.shape)

    # -- what the tape asks for --------------------------------------------------------------------
    def settle(self, result: Any, like: Any) -> Any:
        """Return what a gradient rule gave without using its batched gradient as a batched one."""
        return BatchedArray(like.level, as_array(result), False)

    def check_leaf(self, array: Any, leaf: Any) -> None:
        have = leaf.strides.levels if type(leaf.strides) is BatchedStrides else ()
        for level in levels_of(array):
            if level not in have and depends_on(array, level):
                raise GradientError(
                    "backward: a tensor from outside of vmap can't keep the gradients of a batch, "
                    f"got {array.dtype.name} {tuple(array.shape)} for each of {level.size} "
                    "samples; use grad(...), which returns them"
                )

    def alone(self, array: Any) -> bool:
        return array.base is None and array.value.base is None

    def zeros_for(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        inner = by_array_type[type(like.value)]
        return BatchedArray(like.level, inner.zeros_for(like.value, shape, dtype), False)

    def filled_like(self, x: Any, shape: Any, value: Any, dtype: Any, device: Device) -> Any:
        """Return an array of one value with the batch of ``x``; ``shape`` is a sample's."""
        if type(x) is not BatchedArray:
            return backend_for(device).filled(shape, value, dtype, device)
        if x.batched:
            shape = (x.value.shape[0], *shape)
        inner = self.filled_like(x.value, shape, value, dtype, device)
        return BatchedArray(x.level, inner, x.batched)

    def empty_strided(self, like: Any, shape: Any, dtype: Any, strides: Any, dense: bool) -> Any:
        return BatchedArray(like.level, like.value, like.batched)

    def add(self, x: Any, y: Any, out: Any = None) -> Any:
        """Add; into ``out`` by giving it another value, so that what shares memory stays."""
        total = run("add", elementwise, (x, y))
        if out is None:
            return total
        out.value, out.batched, out.level = total.value, total.batched, total.level
        return out

    def assign(self, target: Any, source: Any) -> None:
        """Write into a batched array."""
        self.check_writable("in-place change", target, source)
        values = [target.value]
        if type(source) is BatchedArray and source.level is target.level:
            same = source.ndim == target.ndim or not source.batched
            value = source.value if same else _with_axes(source, target.ndim)
        else:
            value = source
        backend_for_values([*values, value]).assign(target.value, value)

    @staticmethod
    def check_writable(name: str, target: Any, source: Any) -> None:
        """Raise unless a value of every sample fits into what is to be changed."""
        root = target if target.base is None else target.base
        if root.lent or target.lent:
            raise BatchingError(
                f"vmap: {name} of a tensor from outside of vmap would change it there, got "
                f"{target.dtype.name} {tuple(target.shape)}; clone() it first"
            )
        for level in levels_of(source):
            if depends_on(source, level) and not depends_on(target, level):
                raise BatchingError(unwritable(name, target))


def _with_axes(array: BatchedArray, ndim: int) -> Any:
    value = array.value
    shape = (value.shape[0], *(1,) * (ndim - array.ndim), *value.shape[1:])
    return backend_for_values((value,)).reshape(value, shape)


batching = BatchingBackend()
by_array_type[BatchedArray] = batching
