"""Recording for `jit`: a backend whose slots run on the arrays inside and are written down."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...errors import CaptureError
from ...runtime import mode, owner_of
from .. import dtypes
from ..base import Backend, Device, as_array, backend_for, by_array_type, changing
from ..batching.slots import slots as boundary
from ..numpy_backend import is_quiet
from .captured_array import CapturedArray, unreadable
from .program import Call, Program, Ref, Value, root_of

# Slots whose results have shapes that depend on values.
_SHAPED_BY_VALUES = frozenset(("nonzero", "argwhere", "unique"))


def assigning(target: Any, source: Any) -> None:
    target[...] = source


class Capture:
    """A program while it is recorded, on one thread.

    ``fresh_among`` says which arrays that lie outside were made while recording, by what is no
    operation: `zeros`, `tensor`. Where the program changes one, each replay starts from a copy.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.values: list[Value] = []
        self.held: dict[int, Any] = {}
        self.running = False  # while a slot runs on the arrays inside
        self.unless: int | None = None  # the value that calls are left out for, where it is true
        self.fresh_among: Callable[[set[int]], set[int]] = lambda places: set()
        self._known: dict[int, CapturedArray] = {}  # by the identity of the array inside
        self._objects: dict[int, tuple[Any, int]] = {}
        self.used: set[int] = set()  # the values that calls have read or changed
        self.shared: set[int] = set()  # the identities of arrays that came in as they were
        self.changed: set[int] = set()  # the values that calls change
        self.originals: dict[int, Any] = {}  # fresh ones, as they were before
        self.undo: dict[int, Any] = {}  # arrays from outside as they were before their first change

    # -- values ------------------------------------------------------------------------------------
    def _number(self, kind: str, array: Any, root: int | None, origin: str) -> int:
        self.values.append(Value(kind, array.shape, array.dtype, array.strides, root, origin))
        return len(self.values) - 1

    def enter(self, kind: str, array: Any) -> CapturedArray:
        """Return an array from outside as one of the program; the same one again for the same."""
        found = self._known.get(id(array))
        if found is None:
            index = self._number(kind, array, None, kind)
            self.held[index] = array
            found = self._known[id(array)] = CapturedArray(self, array, index, array.base)
        return found

    def constant(self, array: Any) -> CapturedArray:
        """Return an array that no tensor holds as a value of the program."""
        return self.enter("constant", array)

    def _argument(self, arg: Any) -> tuple[Any, Any]:
        """Return an argument as it is written down, and as the slot gets it."""
        kind = type(arg)
        if kind is CapturedArray:
            if arg.capture is not self:
                raise CaptureError(
                    "jit: a tensor of another recording was used, got "
                    f"{arg.dtype.name} {tuple(arg.shape)}; return it from the function that made it"
                )
            self.used.add(arg.index)
            return Ref(arg.index), arg.value
        if kind is tuple or kind is list:
            pairs = [self._argument(one) for one in arg]
            if any(old is not new for (_, new), old in zip(pairs, arg, strict=True)):
                return kind([text for text, _ in pairs]), kind([raw for _, raw in pairs])
            return arg, arg
        if kind in by_array_type:
            return Ref(self.constant(arg).index), arg
        held = self._objects.get(id(arg))
        if held is not None and held[0] is arg:
            return Ref(held[1]), arg
        return arg, arg

    # -- calls -------------------------------------------------------------------------------------
    def call(self, slot: str, run: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a slot on the arrays inside, write it down, and return its results."""
        if slot in _SHAPED_BY_VALUES or (slot == "getitem_arrays" and _has_mask(args)):
            raise CaptureError(
                f"{slot}: the shape of the result depends on values, which a replay can't follow; "
                "use where(...) or a mask, or call it outside of jit"
            )
        pairs = [self._argument(arg) for arg in args]
        written, raw = tuple([text for text, _ in pairs]), [value for _, value in pairs]
        writes = self._writes(slot, written)
        self._before_writing(writes)
        before = self.running
        self.running = True
        try:
            result = run(*raw)
        finally:
            self.running = before
        scalars: list[int] = []
        sources = [arg for arg in args if type(arg) is CapturedArray]
        outs, wrapped = self._result(slot, result, sources, scalars)
        self.calls.append(
            Call(slot, run, written, outs, writes, tuple(scalars), self.unless, is_quiet())
        )
        self.changed.update(writes)
        return wrapped

    @staticmethod
    def _writes(slot: str, written: tuple[Any, ...]) -> tuple[int, ...]:
        places: Any = changing.get(slot, ())
        if slot == "add" and len(written) == 3:  # into the third, as the tape does
            places = (2,)
        chosen = written if places == "all" else [written[i] for i in places]
        return tuple([one.index for one in chosen if type(one) is Ref])

    def _before_writing(self, writes: tuple[int, ...]) -> None:
        values = self.values
        roots = {root_of(values, index) for index in writes}
        for index in roots:
            if values[index].kind == "input":
                raise CaptureError(
                    "jit: an argument must not be changed in place, got one of "
                    f"{values[index].dtype.name} {tuple(values[index].shape)}; return the new "
                    "value, or hold the tensor outside of the function"
                )
        outside = {index for index in roots if values[index].kind == "outside"}
        outside -= self.undo.keys()
        fresh = self.fresh_among(outside) if outside else set()
        for index in outside - fresh:
            self.undo[index] = self.held[index].copy()
        for index in roots:
            changes = index in fresh or values[index].kind == "constant"
            if changes and id(self.held[index]) in self.shared:
                raise CaptureError(
                    "jit: an array that Python code outside holds too must not be changed, got "
                    f"{values[index].dtype.name} {tuple(values[index].shape)}; make a tensor of it "
                    "outside of the function, or copy it"
                )
            if changes and index not in self.originals:
                self.originals[index] = self.held[index].copy()

    def _result(self, slot: str, result: Any, sources: list[CapturedArray],
                scalars: list[int]) -> tuple[Any, Any]:  # fmt: skip
        """Return a result as it is written down, and with its arrays as captured ones."""
        kind = type(result)
        if kind is tuple or kind is list:
            pairs = [self._result(slot, one, sources, scalars) for one in result]
            return tuple([text for text, _ in pairs]), tuple([one for _, one in pairs])
        if result is None:
            return None, None
        array = as_array(result)
        if type(array) not in by_array_type:
            index = len(self.values)
            self.values.append(Value("object", (), None, (), None, slot))
            self._objects[id(result)] = (result, index)
            return Ref(index), result
        for source in sources:
            if source.value is array:
                # The same array under another number: who compares identities sees one.
                index = self._number("made", array, root_of(self.values, source.index), slot)
                return Ref(index), source
        base = self._base(array, sources)
        root = base.index if type(base) is CapturedArray else None
        index = self._number("made", array, root, slot)
        if array is not result:
            scalars.append(index)
        return Ref(index), CapturedArray(self, array, index, base)

    def _base(self, array: Any, sources: list[CapturedArray]) -> Any:
        """Return what a result is a view of: an operand's array where it shares its memory."""
        if array.base is None:
            return None
        owner = owner_of(array)
        for source in sources:
            if owner_of(source.value) is owner:
                return source if type(source.base) is not CapturedArray else source.base
        return array.base

    def roll_back(self) -> None:
        """Give everything from outside the values that it had before."""
        for index, before in (*self.undo.items(), *self.originals.items()):
            array = self.held[index]
            by_array_type[type(array)].assign(array, before)

    def close(self) -> None:
        """Let go of arrays: what was captured refers to this, and this to it."""
        self._known, self._objects, self.held, self.undo = {}, {}, {}, {}

    def program(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Program:
        """Return what was recorded; arrays from outside that it doesn't use aren't kept alive."""
        needed = self.used | set(outputs) | {call.unless for call in self.calls}
        held = {
            i: array for i, array in self.held.items()
            if self.values[i].kind == "constant" or (self.values[i].kind != "input" and i in needed)
        }  # fmt: skip
        return Program(tuple(self.calls), tuple(self.values), held, self.originals, inputs, outputs)


def _library(args: Any) -> Backend | None:
    """Return the backend of the arrays inside."""
    for arg in args:
        if type(arg) is CapturedArray:
            return by_array_type[type(arg.value)]
        if type(arg) is tuple or type(arg) is list:
            found = _library(arg)
            if found is not None:
                return found
    return None


def _has_mask(args: Any) -> bool:
    return any(getattr(arg, "dtype", None) == dtypes.bool_ for arg in args[1:])


def inside(array: Any) -> Any:
    """Return the array of a library that a captured one holds, for a thread that doesn't record.

    Raises
    ------
    CaptureError
        The recording has made it: only its own thread may use it.
    """
    if type(array) is not CapturedArray:
        return array
    capture = array.capture
    root = root_of(capture.values, array.index)
    if capture.values[root].kind not in ("outside", "input"):
        raise CaptureError(
            "jit: a tensor made while recording was used outside of the recording, by another "
            f"thread or after its end, {array.dtype.name} {tuple(array.shape)}; return it from "
            "the function"
        )
    return array.value


class CaptureBackend(Backend):
    """The slots of captured arrays, each made when it is first asked for."""

    def __init__(self) -> None:
        # Batches lie around captured arrays, never inside.
        super().__init__("captured", None, CapturedArray, boundary(None))

    def __getattr__(self, slot: str) -> Callable[..., Any]:
        if slot.startswith("_") or slot == "slots":
            raise AttributeError(slot)
        if slot in self.slots:
            return self.slots[slot]

        def found(*args: Any) -> Any:
            library = _library(args)
            if library is None:  # nothing captured comes in: a constant
                return getattr(_inner(args), slot)(*args)
            return self.run(slot, getattr(library, slot), args)

        setattr(self, slot, found)
        return found

    def for_entry(self, slot: str) -> Callable[..., Any]:
        found = functools.partial(getattr(self, slot))
        found.captures = True  # type: ignore[attr-defined]
        return found

    def run(self, slot: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a function on the arrays inside, and write it down as a slot's call."""
        capture = mode.capture
        if capture is None:
            return function(*[inside(arg) for arg in args])
        return capture.call(slot, function, args)

    def fill_from(self, target: Any, source: Any) -> None:
        """Assign as ``target[...] = source`` does."""
        self.run("assign", assigning, (target, source))

    # -- what a backend knows about its arrays -----------------------------------------------------
    def device_of(self, array: Any) -> Device:
        return by_array_type[type(array.value)].device_of(array.value)

    def from_host(self, array: Any, device: Device) -> Any:
        return backend_for(device).from_host(array, device)

    def to_host(self, array: Any) -> Any:
        self.check_readable("item", array)

    def check_readable(self, what: str, array: Any) -> None:
        raise CaptureError(unreadable(what, array))

    def described(self, array: Any) -> str | None:
        raise CaptureError(unreadable("print", array))

    def every_sample(self, array: Any) -> Any:
        return array.value  # for checks, which replays don't make again

    def settle(self, result: Any, like: Any) -> Any:
        return mode.capture.constant(as_array(result))

    def filled_like(self, x: Any, shape: Any, value: Any, dtype: Any, device: Device) -> Any:
        return backend_for(device).filled(shape, value, dtype, device)

    def quiet(self) -> Any:
        return by_array_type[type(as_array(0))].quiet()


def _inner(args: Any) -> Backend:
    for arg in args:
        if type(arg) in by_array_type:
            return by_array_type[type(arg)]
    return by_array_type[type(as_array(0))]


capturing = CaptureBackend()
by_array_type[CapturedArray] = capturing
