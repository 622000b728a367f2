"""Constants of a recorded program: which values hold one number, and what is made of those alone.

Gradient rules compute with numbers (an exponent less one, the seed of a sum): what has one element
and depends on constants alone is computed once, here, by the recorded slots themselves.
"""

from __future__ import annotations

from typing import Any

from .. import base
from ..base import as_array
from ..elements.programs import dtypes_of_values
from ..elements.table import SUPPORTED
from ..numpy_backend import numpy_backend
from .fusion_steps import EXACT
from .program import Call, Program, Ref, Value, refs_in, root_of

_FILLS = {"zeros_like": 0, "ones_like": 1}
_VIEWS = ("reshape", "broadcast_to", "expand_dims", "squeeze")
_FOLDED = frozenset([key[0] for key in SUPPORTED]) | {*_VIEWS, *_FILLS}


def size_of(shape: tuple[int, ...]) -> int:
    """Return how many elements a shape has.

    Examples
    --------
    >>> size_of((2, 3)), size_of(())
    (6, 1)
    """
    size = 1
    for length in shape:
        size *= length
    return size


def lies_in_c_order(value: Value) -> bool:
    """Whether a value's elements lie side by side, the last axis first."""
    step = value.dtype.itemsize
    for length, stride in zip(value.shape[::-1], value.strides[::-1], strict=True):
        if length != 1 and stride != step:
            return False
        step *= length
    return True


def stays(array: Any) -> bool:
    """Whether an array is one that nobody changes: a number of an operation, kept read-only.

    Examples
    --------
    >>> import numpy
    >>> stays(numpy.zeros(()))
    False
    """
    if getattr(array.flags, "writeable", True):
        return any(array is one for one in base.device_constants.values())
    return array.base is None


class Folding:
    """Folds the constants of a program; ``numbers`` has those that values hold, as 0-d arrays."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.values = list(program.values)
        self.held = dict(program.held)
        self.numbers: dict[int, Any] = {}
        self._known: dict[int, Any] = {}  # constants of one element, as the slots take them
        self._dummies: dict[Any, int] = {}
        self._groups = _groups(program)
        changed = {root_of(program.values, i) for call in program.calls for i in call.writes}
        self._left = changed | {root_of(program.values, i) for i in program.outputs}
        self._left |= program.fresh.keys()
        self._places: dict[int, Any] = {}  # by group: an array there; None where devices meet
        for index, array in program.held.items():
            value = program.values[index]
            group = self._groups[index]
            if not _together(self._places.setdefault(group, array), array):
                self._places[group] = None
            if value.kind != "constant" or index in self._left:
                continue
            if size_of(value.shape) == 1 and stays(array):
                self._note(index, array)

    def folded(self) -> Program:
        """Return the program without the calls whose results are known."""
        calls = [call for one in self.program.calls if (call := self._call(one)) is not None]
        return self.program._replace(
            calls=tuple(calls), values=tuple(self.values), held=self.held
        )

    def _note(self, index: int, array: Any) -> None:
        self._known[index] = array
        if array.dtype in dtypes_of_values:
            self.numbers[index] = base.backend_of(array).to_host(array).reshape(())

    def _call(self, call: Call) -> Call | None:
        """Return what is left of a call."""
        out = call.outs
        if type(out) is not Ref or call.slot not in _FOLDED or call.writes:
            return call
        value = self.values[out.index]
        if call.unless is not None or value.kind != "made" or value.dtype not in dtypes_of_values:
            return call
        if root_of(self.values, out.index) in self._left:
            return call
        if call.slot in _FILLS:
            return self._fill(call, out.index, value)
        refs = refs_in(call.args)
        if not refs or any(i not in self.numbers for i in refs):
            return call
        if size_of(value.shape) != 1:
            self._spread(call, out.index)
            return call
        if any(i not in self._known for i in refs):
            return call
        return self._computed(call, out.index)

    def _computed(self, call: Call, index: int) -> Call | None:
        args = [self._known[arg.index] if type(arg) is Ref else arg for arg in call.args]
        try:
            with base.backend_of(self._known[refs_in(call.args)[0]]).quiet():
                found = as_array(call.run(*args))
        except Exception:  # a replay shall raise it
            return call
        self._keep(index, found)
        return None

    def _spread(self, call: Call, index: int) -> None:
        """Note the number that a larger array holds everywhere."""
        args = [self.numbers[arg.index] if type(arg) is Ref else arg for arg in call.args]
        if call.slot in EXACT:
            with numpy_backend.quiet():
                found = as_array(getattr(numpy_backend, call.slot)(*args))
            if found.dtype == self.values[index].dtype:
                self.numbers[index] = found
        elif call.slot in _VIEWS:
            self.numbers[index] = args[0]

    def _keep(self, index: int, array: Any) -> None:
        """Make a value a constant."""
        value = self.values[index]
        if (array.shape, array.dtype) != (value.shape, value.dtype):
            array = array.astype(value.dtype).reshape(value.shape)
        if hasattr(array.flags, "writeable"):
            array = array.copy()
            array.flags.writeable = False
        self.held[index] = array
        self.values[index] = value._replace(kind="constant", root=None)
        self._note(index, array)

    def _fill(self, call: Call, index: int, value: Value) -> Call | None:
        """Let what has one number everywhere depend on a form alone, not on an array."""
        place = self._places.get(self._groups[index])
        if len(call.args) != 1 or place is None or not lies_in_c_order(value):
            return call
        library, number = base.backend_of(place), _FILLS[call.slot]
        device = library.device_of(place)
        if size_of(value.shape) == 1:
            self._keep(index, library.filled(value.shape, number, value.dtype, device))
            return None
        key = self._groups[index], value.shape, value.dtype
        if key not in self._dummies:
            zero = library.filled((), 0, value.dtype, device)
            dummy = library.broadcast_to(zero, value.shape)
            self.values.append(
                Value("constant", dummy.shape, dummy.dtype, dummy.strides, None, "constant")
            )
            self.held[len(self.values) - 1] = dummy
            self._dummies[key] = len(self.values) - 1
        self.numbers[index] = as_array(number, value.dtype)
        return call._replace(args=(Ref(self._dummies[key]),))


def _together(one: Any, other: Any) -> bool:
    """Whether two arrays live on one device."""
    if one is None or type(one) is not type(other):
        return False
    library = base.backend_of(one)
    return library.device_of(one) == library.device_of(other)


def _groups(program: Program) -> list[int]:
    """Return for each value a number that those have in common which meet in calls.

    They are on one device: only `to_device` leads from one to another.
    """
    above = list(range(len(program.values)))

    def top(index: int) -> int:
        while above[index] != index:
            above[index] = above[above[index]]
            index = above[index]
        return index

    for call in program.calls:
        if call.slot != "to_device":
            first, *others = [*refs_in(call.args), *refs_in(call.outs)] or [0]
            for other in others:
                above[top(other)] = top(first)
    return [top(index) for index in range(len(above))]
