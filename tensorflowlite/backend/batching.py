"""Arrays with a batch axis that nobody sees: what `vmap` computes with.

A `BatchedArray` stands for one sample's array and holds those of all samples, with the batch as the
first axis of ``value``; its shape is the sample's. It belongs to a `Level`, one call of `vmap`, and
``value`` may be a batched array of a level further out. It is an array type like any other: the
backend of it, `batching`, has every slot that the backend of ``value`` has, by a rule of
`batching_rules` on the whole batch, or sample after sample. So operations, gradient rules and the
tape work on it without knowing, and where nothing is batched nothing is paid.

An array that doesn't depend on the sample is held once, without a batch axis (``batched`` is
false). Unbatched arrays of other types mix in; those of the level with the highest number decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import BatchingError, DtypeError
from ..runtime import owner_of
from .base import Backend, Device, by_array_type, decompositions
from .numpy_backend import as_array, numpy_backend

_numbers = itertools.count(1)
VIEWS = frozenset(
    ("getitem", "reshape", "permute_dims", "broadcast_to", "diagonal", "mT", "read_view")
)


class Level:
    """One call of `vmap`: the size of its batch, and what random numbers do in it."""

    __slots__ = ("number", "size", "randomness")

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.number, self.size, self.randomness = next(_numbers), size, randomness

    def __repr__(self) -> str:
        return f"Level({self.number}, size={self.size})"


class BatchedStrides(tuple[int, ...]):
    """Strides of one sample's array, never equal to those of an array that isn't batched."""

    levels: tuple[Level, ...]

    def __eq__(self, other: object) -> bool:
        return type(other) is BatchedStrides and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


class _Flags:
    """The layout of a batched array: nothing is promised about it."""

    forc = c_contiguous = f_contiguous = False
    writeable = True


class BatchedArray:
    """One array per sample of a batch, seen as the array of one sample.

    ``base`` is the array that a view was made from; ``lent`` says that the memory is that of an
    array outside of `vmap`, and ``draws`` that it is the state of a generator.
    """

    __slots__ = ("value", "level", "batched", "base", "lent", "draws", "__weakref__")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]
    __iter__ = None
    flags = _Flags()

    def __init__(self, level: Level, value: Any, batched: bool, lent: bool = False) -> None:
        self.level, self.value, self.batched, self.lent = level, value, batched, lent
        self.base: BatchedArray | None = None
        self.draws = False

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.value.shape
        return shape[1:] if self.batched else shape

    @property
    def ndim(self) -> int:
        return self.value.ndim - self.batched  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize  # type: ignore[no-any-return]

    @property
    def strides(self) -> BatchedStrides:
        strides = self.value.strides
        found = BatchedStrides(strides[1:] if self.batched else strides)
        found.levels = levels_of(self)
        return found

    def astype(self, dtype: Any, copy: bool = True) -> BatchedArray:
        if not copy and self.dtype == dtype:
            return self
        return batching.cast(self, dtype)

    def copy(self) -> BatchedArray:
        return batching.copy(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis:
            raise BatchingError("vmap: a batched array is assigned to as a whole")
        copied = batching.copy(value)
        self.value, self.batched = copied.value, copied.batched

    def __repr__(self) -> str:
        return f"batched({self.value!r})" if self.batched else f"shared({self.value!r})"


def _operator(slot: str, reflected: bool) -> Callable[[Any, Any], Any]:
    if reflected:
        return lambda self, other: getattr(batching, slot)(other, self)
    return lambda self, other: getattr(batching, slot)(self, other)


def _refused(what: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **options: Any) -> Any:
        raise BatchingError(unreadable(what, self))

    return refuse


for _name, _slot in (
    ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("truediv", "divide"),
    ("floordiv", "floor_divide"), ("mod", "remainder"), ("pow", "power"), ("matmul", "matmul"),
    ("and", "bitwise_and"), ("or", "bitwise_or"), ("xor", "bitwise_xor"),
    ("lshift", "bitwise_left_shift"), ("rshift", "bitwise_right_shift"),
):  # fmt: skip
    setattr(BatchedArray, f"__{_name}__", _operator(_slot, False))
    setattr(BatchedArray, f"__r{_name}__", _operator(_slot, True))
for _name, _slot in (
    ("eq", "equal"), ("ne", "not_equal"), ("lt", "less"), ("le", "less_equal"),
    ("gt", "greater"), ("ge", "greater_equal"),
):  # fmt: skip
    setattr(BatchedArray, f"__{_name}__", _operator(_slot, False))
BatchedArray.__neg__ = lambda self: batching.negative(self)  # type: ignore[attr-defined]
BatchedArray.__abs__ = lambda self: batching.abs(self)  # type: ignore[attr-defined]
BatchedArray.__invert__ = lambda self: batching.bitwise_invert(self)  # type: ignore[attr-defined]
for _name in ("bool", "float", "int", "complex", "index", "array", "len", "dlpack"):
    setattr(BatchedArray, f"__{_name}__", _refused(_name))


def unreadable(what: str, array: Any) -> str:
    """Return what to say where the value of a batched array is asked for."""
    return (
        f"{what}: a value can't be read inside vmap, where it stands for a whole batch, got "
        f"{array.dtype.name} {tuple(array.shape)}; use where(...) instead of if, and return values "
        "to read them outside"
    )


def levels_of(array: Any) -> tuple[Level, ...]:
    """Return the levels of an array, from the outermost to the innermost."""
    found: list[Level] = []
    while type(array) is BatchedArray:
        found.append(array.level)
        array = array.value
    return tuple(found[::-1])


def depends_on(array: Any, level: Level) -> bool:
    """Whether an array differs from sample to sample of a level."""
    while type(array) is BatchedArray:
        if array.level is level:
            return array.batched
        array = array.value
    return False


def physical(array: Any) -> Any:
    """Return the array of a library that a batched array holds in the end."""
    while type(array) is BatchedArray:
        array = array.value
    return array


# -- samples, one by one ---------------------------------------------------------------------------
class PerSample:
    """What an implementation keeps for backward, if it is no array: one for each sample."""

    __slots__ = ("level", "items")

    def __init__(self, level: Level, items: list[Any]) -> None:
        self.level, self.items = level, items


def backend_for_values(values: Sequence[Any]) -> Any:
    """Return the backend that runs on these arrays, some of which may be batched further out."""
    found = None
    for value in values:
        kind = type(value)
        if kind is BatchedArray or kind is PerSample:
            return batching
        if found is None and kind in by_array_type:
            found = by_array_type[kind]
    return numpy_backend if found is None else found


def loop(k: Any, name: str, level: Level, flags: Sequence[bool], *values: Any) -> Any:
    """Run an operation on one sample after the other: right for all of them."""
    run = getattr(k, name)
    if not level.size:
        return _of_no_samples(k, run, flags, values)
    results = [
        run(*[_pick(v, i) if f else v for v, f in zip(values, flags, strict=True)])
        for i in range(level.size)
    ]
    return joined(name, level, results)


def _pick(value: Any, index: int) -> Any:
    if type(value) is PerSample:
        return value.items[index]
    return backend_for_values((value,)).getitem(value, index)


def _of_no_samples(k: Any, run: Any, flags: Any, values: Any) -> Any:
    """Return results for an empty batch: of the shapes that a sample of ones gives."""
    one = [
        k.ones_like(k.zeros_for(v, v.shape[1:], v.dtype)) if f else v
        for v, f in zip(values, flags, strict=True)
    ]
    return _emptied(k, run(*one))


def _emptied(k: Any, result: Any) -> Any:
    if isinstance(result, tuple | list):
        return tuple([_emptied(k, one) for one in result])
    if result is None:
        return None
    return k.zeros_for(result, (0, *result.shape), result.dtype)


def joined(name: str, level: Level, results: list[Any]) -> Any:
    """Return the results of all samples as one, with the batch in front."""
    first = results[0]
    if isinstance(first, tuple | list):
        if any(len(one) != len(first) for one in results):
            raise BatchingError(_uneven(name, f"{len(first)} arrays"))
        return tuple([joined(name, level, list(parts)) for parts in zip(*results, strict=True)])
    if first is None:
        return None
    if not hasattr(first, "shape"):
        return PerSample(level, results)
    if any(one.shape != first.shape for one in results):
        raise BatchingError(_uneven(name, str(tuple(first.shape))))
    return backend_for_values(results).stack(*[as_array(one) for one in results], 0)


def _uneven(name: str, first: str) -> str:
    return (
        f"vmap: {name} must give every sample a result of one shape, got {first} and others; use "
        "where(...) and shapes that don't depend on values"
    )


# -- the backend -----------------------------------------------------------------------------------
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


def check_randomness(name: str, level: Level) -> None:
    """Raise where random numbers are drawn inside a `vmap` that doesn't say what that means."""
    if level.randomness == "error":
        raise BatchingError(
            f"vmap: {name} draws random numbers; say whether they are the same for every sample: "
            "vmap(..., randomness='different') or 'same'"
        )


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
        given = [_pick(v, sample) if f else v for v, f in zip(values, flags, strict=True)]
        for i, state in zip(places, before, strict=True):
            if sample:
                given[i] = backend_for_values((state,)).copy(state)
        results.append(getattr(k, name)(*given))
    return True, joined(name, level, results)


class BatchingBackend(Backend):
    """The slots of batched arrays, each made when it is first asked for."""

    def __init__(self) -> None:
        super().__init__("batched", None, BatchedArray, {})
        self.rules: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, slot: str) -> Callable[..., Any]:
        if slot.startswith("_") or slot == "rules":
            raise AttributeError(slot)
        from .batching_rules import rule_of

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
        from .base import backend_for

        return backend_for(device).from_host(array, device)

    def to_host(self, array: Any) -> Any:
        self.check_readable("item", array)
        inner = physical(array)
        return by_array_type[type(inner)].to_host(inner)

    def check_readable(self, what: str, array: Any) -> None:
        if any(depends_on(array, level) for level in levels_of(array)):
            raise BatchingError(unreadable(what, array))

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
        from ..errors import GradientError

        have = leaf.strides.levels if type(leaf.strides) is BatchedStrides else ()
        for level in levels_of(array):
            if level not in have and depends_on(array, level):
                raise GradientError(
                    "backward: a tensor from outside of vmap can't keep the gradients of a batch, "
                    f"got {array.dtype.name} {tuple(array.shape)} for each of {level.size} "
                    "samples; use grad(...), which returns them"
                )

    def zeros_for(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        inner = by_array_type[type(like.value)]
        return BatchedArray(like.level, inner.zeros_for(like.value, shape, dtype), False)

    def empty_strided(self, like: Any, shape: Any, dtype: Any, strides: Any, dense: bool) -> Any:
        return BatchedArray(like.level, like.value, like.batched)

    def add(self, x: Any, y: Any, out: Any = None) -> Any:
        """Add; into ``out`` by giving it another value, so that what shares memory stays."""
        from .batching_rules import rule_of

        total = run("add", rule_of("add"), (x, y))
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
        root = target.base or target
        if root.lent or target.lent:
            raise BatchingError(
                f"vmap: {name} of a tensor from outside of vmap would change it there, got "
                f"{target.dtype.name} {tuple(target.shape)}; clone() it first"
            )
        for level in levels_of(source):
            if depends_on(source, level) and not depends_on(target, level):
                raise BatchingError(unwritable(name, target))


def unwritable(name: str, target: Any) -> str:
    """Return what to say where values of a batch would go into a tensor that isn't batched."""
    return (
        f"vmap: {name} can't write a value for each sample into a tensor that all samples share, "
        f"got {target.dtype.name} {tuple(target.shape)}; use the out-of-place form, or make the "
        "tensor from a batched one: zeros_like(x)"
    )


def _with_axes(array: BatchedArray, ndim: int) -> Any:
    value = array.value
    shape = (value.shape[0], *(1,) * (ndim - array.ndim), *value.shape[1:])
    return backend_for_values((value,)).reshape(value, shape)


# -- into a level, and out of it -------------------------------------------------------------------
Place = tuple[Level, int | None]


def bind(x: Any, place: Place) -> BatchedArray:
    """Take an axis as a level's batch; None: every sample has all of ``x``."""
    level, axis = place
    if type(x) is BatchedArray and x.level.number > level.number:
        inner = axis if axis is None else axis + x.batched
        return BatchedArray(x.level, bind(x.value, (level, inner)), x.batched, True)
    if axis is None:
        return BatchedArray(level, x, False, True)
    order = (axis, *[i for i in range(x.ndim) if i != axis])
    return BatchedArray(level, by_array_type[type(x)].permute_dims(x, order), True, True)


def leave(x: Any, place: Place) -> Any:
    """Return a level's batch as an axis; what isn't batched is repeated. None: no axis."""
    level, axis = place
    if type(x) is BatchedArray and x.level.number > level.number:
        inner = axis if axis is None else axis + x.batched
        return BatchedArray(x.level, leave(x.value, (level, inner)), x.batched)
    batched, value = False, x
    if type(x) is BatchedArray and x.level is level:
        batched, value = x.batched, x.value
    k = by_array_type[type(value)]
    if axis is None:
        return k.reshape(value, value.shape)
    if batched:
        order = (*range(1, axis + 1), 0, *range(axis + 1, value.ndim))
        return k.permute_dims(value, order)
    shape = value.shape
    value = k.reshape(value, (*shape[:axis], 1, *shape[axis:]))
    return k.broadcast_to(value, (*shape[:axis], level.size, *shape[axis:]))


def enter(x: Any, levels: tuple[Level, ...]) -> Any:
    """Give an array levels that it doesn't depend on."""
    for level in levels:
        x = _enter(x, level)
    return x


def _enter(x: Any, level: Level) -> Any:
    if type(x) is BatchedArray:
        if x.level is level:
            return x
        if x.level.number > level.number:
            return BatchedArray(x.level, _enter(x.value, level), x.batched, True)
    return BatchedArray(level, x, False, True)


def total(x: Any, levels: tuple[Level, ...]) -> Any:
    """Sum over the batches of levels: of what doesn't depend on the sample, so many times it."""
    for level in levels[::-1]:
        x = _total(x, level)
    return x


def _total(x: Any, level: Level) -> Any:
    if type(x) is BatchedArray:
        if x.level.number > level.number:
            return BatchedArray(x.level, _total(x.value, level), x.batched)
        if x.level is level:
            k = by_array_type[type(x.value)]
            if x.batched:
                out = as_array(k.sum(x.value, (0,)))
                return k.reshape(out, out.shape)
            x = x.value
    k = by_array_type[type(x)]
    out = as_array(k.cast(k.multiply(x, level.size), x.dtype))
    return k.reshape(out, out.shape)  # a view: the tape adds into arrays of its own only


batching = BatchingBackend()
by_array_type[BatchedArray] = batching
for _name, _function in (
    ("bind_batch", bind), ("leave_batch", leave), ("enter_batch", enter), ("total_batch", total)
):  # fmt: skip
    setattr(batching, _name, _function)
