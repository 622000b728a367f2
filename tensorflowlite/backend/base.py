"""What a backend is: a table from slot names to callables for one kind of array.

A slot's default is the function of that name in the array library; a backend lists only its
differences. An instance is also the namespace ``k`` of an ordinary backward pass: gradient rules
written with ``k.exp``, ``k.sum`` ... run on the arrays themselves.
"""

from __future__ import annotations

import functools
import importlib
import math
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy

from ..errors import DeviceError, DtypeError

_LIBRARY = "the library's slot"


class Device(str):
    """Where an array lives: ``"cpu"`` or ``"cuda:0"``. A string with a type and an index.

    Parameters
    ----------
    name : str
        The kind of device, with a colon and the index or without.
    index : int, optional
        The number of the device among those of its kind, if the name has none.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros(3).device
    Device('cpu')
    >>> tfl.zeros(3).device == "cpu", tfl.zeros(3).device.type
    (True, 'cpu')
    """

    __slots__ = ()

    def __new__(cls, name: str, index: int | None = None) -> Device:
        return str.__new__(cls, name if index is None else f"{name}:{index}")

    @property
    def type(self) -> str:
        """The kind of device: ``"cpu"``, ``"cuda"``."""
        return str(self).partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # no device searches its name
        """The number of the device among those of its kind; None for the CPU."""
        number = str(self).partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        return f"Device({str(self)!r})"


class Backend:
    """The implementations of every slot for one type of array.

    Parameters
    ----------
    device_type
        The kind of device that the arrays live on.
    namespace
        The array library: slots that aren't listed are looked up there.
    array_type
        The type of the library's arrays.
    slots
        The differences: name to callable. One with an attribute ``accepts(*args)`` implements its
        slot for those arguments alone.
    library
        Finds a slot of the library by name: what runs where an implementation doesn't accept.
    """

    def __init__(
        self,
        device_type: str,
        namespace: Any,
        array_type: type,
        slots: Mapping[str, Callable[..., Any]],
        library: Callable[[str], Callable[..., Any]] | None = None,
    ) -> None:
        self.device_type = device_type
        self.namespace = namespace
        self.array_type = array_type
        self.slots = dict(slots)
        self.library = library

    def __getattr__(self, slot: str) -> Callable[..., Any]:
        if slot.startswith("_"):
            raise AttributeError(slot)
        if slot in later and slot not in self.slots:
            self._bring_in(later[slot])
        found = self.slots.get(slot)
        if slot in decompositions:
            otherwise: Callable[..., Any] = functools.partial(decompositions[slot], self)
            instead = "the decomposition"
            beneath = self._beneath(slot) if hasattr(found, "accepts") else None
            if beneath is not None:  # the library's own slot comes before the decomposition
                otherwise = _where_accepted(slot, beneath, otherwise, instead)
                instead = _LIBRARY
            found = _where_accepted(slot, found, otherwise, instead)
        elif found is None:
            found = getattr(self.namespace, slot, None)
            if found is None:
                raise AttributeError(f"the {self.device_type} backend has no slot {slot!r}")
        elif hasattr(found, "accepts"):
            beneath = self._beneath(slot)
            if beneath is None:
                return found  # not kept: the decomposition for the rest isn't declared yet
            found = _where_accepted(slot, found, beneath, _LIBRARY)
        setattr(self, slot, found)  # the next look-up is a plain attribute
        return found

    def _beneath(self, slot: str) -> Callable[..., Any] | None:
        """Return the library's slot of a name that has another implementation."""
        try:
            return None if self.library is None else self.library(slot)
        except AttributeError:
            return None

    def _bring_in(self, module: str) -> None:
        """Add the slots of a family that comes in at first use; those listed already stay."""
        self.slots = {**family_of(module).slots(self.namespace), **self.slots}

    def replace(self, slot: str, implementation: Callable[..., Any]) -> None:
        """Put another implementation behind a slot."""
        self.slots[slot] = implementation
        self.__dict__.pop(slot, None)

    # What only a backend can know about its arrays. NumPy's answers stand here.
    def device_of(self, array: Any) -> Device:
        return Device(self.device_type)

    def from_host(self, array: numpy.ndarray[Any, Any], device: Device) -> Any:
        return array

    def to_host(self, array: Any) -> numpy.ndarray[Any, Any]:
        return array

    def for_entry(self, slot: str) -> Callable[..., Any]:
        """Return a slot as entry points call it."""
        return getattr(self, slot)

    # What only arrays with a hidden batch axis, or those that are recorded, do.
    batches = False  # whether there is a hidden axis
    join: Callable[..., Any] | None = None  # make the operands of an operation of one kind
    beside: Callable[..., Any] | None = None  # bring what is written in place into the target's

    def every_sample(self, array: Any) -> Any:
        """Return an array with what is hidden of it: the values of every sample."""
        return array

    def described(self, array: Any) -> str | None:
        """Return what to print of an array whose values can't be read."""
        return None

    def check_readable(self, what: str, array: Any) -> None:
        """Raise where an array's values can't be read."""

    def alone(self, array: Any) -> bool:
        """Whether nobody else can have the memory of an array that a gradient rule made."""
        return False

    def owns_memory(self, array: Any) -> bool:
        """Whether no array but its views can have the memory of an array, as far as is known."""
        return False

    def check_leaf(self, array: Any, leaf: Any) -> None:
        """Raise where a leaf can't keep an array as its gradient."""

    def quiet(self) -> AbstractContextManager[Any]:
        """Return a context in which no warning tells of infinities and NaN."""
        return numpy.errstate(all="ignore")

    def synchronize(self) -> None:
        """Wait until all work that was handed to the device is done."""

    def uploader(self, device: Device) -> Any:
        """Return what copies batches to a device (``upload.py``)."""
        from .upload import Uploader

        return Uploader(self, device)

    def executor(
        self, program: Any, inputs: Any, static_outputs: bool
    ) -> Callable[..., Any] | None:
        """Return what runs a recorded program on arrays like these; None: its calls, in order."""
        return None

    def memory_stats(self, device: Device) -> dict[str, int]:
        """Return what is known of a device's memory, in bytes: ``used_bytes``, ``held_bytes``."""
        from . import cpu

        return cpu.memory_stats()

    def release_unused(self) -> None:
        """Give memory back that is kept for arrays to come, where that costs little."""

    def asked_bytes(self, error: BaseException) -> int | None:
        """Return the size that couldn't be allocated; None where the error doesn't say it."""
        shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
        return None if shape is None or dtype is None else math.prod(shape) * dtype.itemsize


# How an operation runs on a batch, by its declared form: name -> "elementwise", or "axis" where
# that is its attribute.
families: dict[str, str] = {}

# Slots that other slots can stand in for: name -> (k, *arguments) -> the result. A backend without
# an implementation of its own, or with one that doesn't accept the arguments, runs it.
decompositions: dict[str, Callable[..., Any]] = {}


# Slots that change arguments: name -> which, by place, or "all" arrays.
changing: dict[str, tuple[int, ...] | str] = {"assign": (0,)}


# Slots that few programs need: name -> the module whose ``slots`` come in at first use, by its
# place below this folder.
later: dict[str, str] = {}


def family_of(module: str) -> Any:
    """Return a module below this folder, brought in where it isn't there yet."""
    return importlib.import_module(f".{module}", __package__)


# Numbers of operations on devices, kept by the core: 0-d arrays that nobody changes.
device_constants: dict[Any, Any] = {}


def accepting(
    implementation: Any, accepts: Callable[..., bool], by_form: bool = False
) -> Any:  # fmt: skip
    """Return a slot's implementation, marked with the arguments that it is for.

    Parameters
    ----------
    implementation
        The slot.
    accepts
        Called with the slot's arguments: whether it takes them. For others the library's slot runs,
        or the decomposition.
    by_form
        Whether the answer follows from shapes, dtypes and strides, and from what is no array, but
        not from values or alignment: a replay asks once.

    Examples
    --------
    >>> accepting(abs_of_floats := lambda x: abs(x), lambda x: x.dtype.kind == "f") is abs_of_floats
    True
    """
    if by_form:
        accepts.by_form = True  # type: ignore[attr-defined]
    implementation.accepts = accepts
    return implementation


def guarded(
    slot: str,
    implementation: Callable[..., Any],
    accepts: Callable[..., bool],
    otherwise: Callable[..., Any],
    instead: str = _LIBRARY,
) -> Callable[..., Any]:
    """Return an implementation that leaves arguments it doesn't accept to another one.

    Parameters
    ----------
    slot
        The name of what is implemented, and ``instead`` what ``otherwise`` is: for `Watcher`.
    implementation, accepts
        What takes the arguments, where ``accepts(*args)`` says so.
    otherwise
        What takes the others.

    Examples
    --------
    >>> half = guarded("half", lambda x: x // 2, lambda x: x % 2 == 0, lambda x: x / 2)
    >>> half(4), half(5)
    (2, 2.5)
    """
    asked = accepts

    def choose(*args: Any) -> Any:
        return implementation(*args) if accepts(*args) else otherwise(*args)

    def chosen(args: tuple[Any, ...]) -> Callable[..., Any]:
        return implementation if accepts(*args) else otherwise

    def watched_by(watcher: Watcher | None) -> None:
        nonlocal accepts
        accepts = asked if watcher is None else watcher.asking(slot, asked, instead)

    choose.watched_by = watched_by  # type: ignore[attr-defined]
    if getattr(asked, "by_form", False):  # once is for all arguments of the same form
        choose.chosen = chosen  # type: ignore[attr-defined]
    choices.add(choose)
    return choose


class Watcher(Protocol):
    """What is told of choices between implementations while it watches (``debug/dispatch.py``)."""

    def asking(
        self, slot: str, accepts: Callable[..., bool], instead: str
    ) -> Callable[..., bool]:
        """Return what to ask in place of ``accepts``, with the same answers."""

    def chose(self, what: str, way: str) -> None:
        """Hear that ``what`` is done in the way of this name."""


class _Choices:
    """What chooses between implementations: each has a method ``watched_by``.

    Nothing asks whether somebody watches: what decides is exchanged when somebody begins.
    """

    def __init__(self) -> None:
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._watcher: Watcher | None = None

    def add(self, choice: Any) -> None:
        """Make a choice known; it lives no longer for that."""
        self._known.add(choice)
        if self._watcher is not None:
            choice.watched_by(self._watcher)

    def watch(self, watcher: Watcher | None) -> None:
        """Let all choices tell a watcher; None ends that."""
        self._watcher = watcher
        for choice in list(self._known):
            choice.watched_by(watcher)


choices = _Choices()


def _where_accepted(slot: str, found: Any, otherwise: Any, instead: str) -> Callable[..., Any]:
    """Return a slot's implementation, with another one for what it doesn't accept."""
    if found is None:
        return otherwise
    accepts = getattr(found, "accepts", None)
    return found if accepts is None else guarded(slot, found, accepts, otherwise, instead)


class _Registry(dict[type, Backend]):
    """Array type to backend. A type that isn't there yet is asked for once."""

    def __missing__(self, array_type: type) -> Backend:
        if array_type.__module__.partition(".")[0] == "cupy" and array_type.__name__ == "ndarray":
            return self.setdefault(array_type, at_first_use["cuda"]())
        raise DtypeError(
            f"tensor: data must be an array of a known library, got {array_type.__qualname__}"
        )


by_array_type = _Registry()
by_device_type: dict[str, Backend] = {}
# Device type to what makes its backend, for a library that is imported at first use.
at_first_use: dict[str, Callable[[], Backend]] = {}


def register(backend: Backend) -> None:
    """Make a backend known by its array type and its device type."""
    by_array_type[backend.array_type] = backend
    by_device_type[backend.device_type] = backend


def backend_of(array: Any) -> Backend:
    """Return the backend of an array, by its type."""
    return by_array_type[type(array)]


def backend_for(device: str) -> Backend:
    """Return the backend of a device, given as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``."""
    kind = Device(device).type
    found = by_device_type.get(kind)
    if found is not None:
        return found
    if kind in at_first_use:
        return by_device_type.setdefault(kind, at_first_use[kind]())
    known = ", ".join(repr(name) for name in sorted({*by_device_type, *at_first_use}))
    raise DeviceError(f"device: must be one of {known} (with an index: 'cuda:1'), got {device!r}")


def is_array(value: Any) -> bool:
    """Whether ``value`` is an array of a known library."""
    kind = type(value)
    return kind in by_array_type or (
        kind.__module__.partition(".")[0] == "cupy" and kind.__name__ == "ndarray"
    )


number_types: tuple[type[Any], ...] = (bool, int, float, complex, numpy.generic)


def as_array(value: Any, dtype: Any = None) -> Any:
    """Return NumPy's scalars and numbers as 0-d arrays; any library's arrays as they are."""
    if isinstance(value, (numpy.ndarray, *number_types)):
        return numpy.asarray(value, dtype)
    return value
