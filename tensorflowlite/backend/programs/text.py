"""A program as plain data: what JSON can hold, without arrays and without anything to run.

`plain` makes it of a recorded program, `checked` reads it back. Whoever wrote the data, `checked`
returns a `Stored` whose indices, shapes, dtypes and sizes are sound, or raises `DamagedError`.
Slots stand there by name; what they are is looked up elsewhere.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from ..array_operators import BINARY, COMPARISONS, UNARY
from ..base import by_array_type, changing
from ..slots.indexing import INDEX
from ..slots.reduction import Kept
from .capture import assigning
from .program import Program, Ref, refs_in, root_of

# What Python's operators do to arrays differs from the slot in the last bit: x**2 is a square.
OPERATORS: dict[str, Callable[..., Any]] = {
    slot: function for _, slot, function in (*BINARY, *COMPARISONS, *UNARY)
} | {"assign": assigning}

_DTYPES = {dtype.name: dtype for dtype in dtypes.supported}
_DEPTH = 32  # of what is nested in arguments; Python's own parser ends at some hundred
_AXES = 64
_BYTES = 2**47  # of one value: the memory that a process can name
_WHOLE = 2**64

# Slots that allocate, or loop, by a number among their attributes. None of them goes far beyond
# what comes in and out; the slack is for windows and padding.
_SIZED = """
    avg_pool avg_pool_gradient bin_counts bin_edges broadcast_to conv_act convolution
    convolution_input_gradient convolution_weight_gradient empty_strided fourier fourier_of_real
    fourier_to_real max_pool max_pool_gather max_pool_places max_pool_scatter one_hot place
    place_diagonal polygamma reshape running_places scatter_add scatter_along_axis scatter_extreme
    split sum_to target_weights window_columns window_images zeros_for
"""
_SIZED_SLOTS = frozenset(_SIZED.split())
_SLACK = 1024


class DamagedError(Exception):
    """What is wrong with a stored program."""


class UnstorableError(Exception):
    """An argument that a file can't hold."""


class Form(NamedTuple):
    """What is known of a value; ``root`` is the one whose memory a view shares."""

    dtype: Any
    shape: tuple[int, ...]
    root: int | None


class StoredArray(NamedTuple):
    """An array that is part of the program.

    ``axes`` transposes what is in the file, where it lies in C order, into the array.
    """

    tensor: str
    axes: tuple[int, ...]
    changed: bool


class StoredCall(NamedTuple):
    """A call: in ``args`` values are a `Ref`; ``outs`` has None for results that nobody reads."""

    slot: str
    args: tuple[Any, ...]
    outs: Any
    operator: bool
    quiet: bool


class Stored(NamedTuple):
    """A program: values are numbered, the inputs first, then the arrays, then what is made.

    For each input there is the order of its axes in memory, from the largest stride.
    """

    forms: tuple[Form, ...]
    inputs: tuple[tuple[int, ...], ...]
    arrays: tuple[StoredArray, ...]
    calls: tuple[StoredCall, ...]


# -- writing ---------------------------------------------------------------------------------------
class Numbers:
    """New numbers for the values of a program that are left: inputs, arrays, what is made."""

    def __init__(self, program: Program, results: Iterable[int]) -> None:
        used = {i for call in program.calls for i in call.uses} | set(results)
        self.arrays = [i for i in sorted(program.held) if i in used]
        made = [i for call in program.calls for i in refs_in(call.outs) if i in used]
        self.order = [*program.inputs, *self.arrays, *made]
        self._new = {old: new for new, old in enumerate(self.order)}

    def __getitem__(self, old: int) -> int:
        return self._new[old]

    def get(self, old: int) -> int | None:
        """Return a value's new number; None where it is left out."""
        return self._new.get(old)


def axes_of(array: Any) -> tuple[int, ...]:
    """Return what transposes an array to C order: its axes from the largest stride."""
    return tuple(sorted(range(array.ndim), key=lambda i: (-abs(array.strides[i]), i)))


def plain(
    program: Program, numbers: Numbers, tensors: dict[int, StoredArray], inputs: Iterable[Any]
) -> dict[str, Any]:
    """Return a program as plain data.

    Parameters
    ----------
    program
        It has no calls that are left out for what a value is.
    numbers
        Its values under their new numbers.
    tensors
        By old number where an array stands in the file.
    inputs
        The arrays that it was recorded with.
    """
    calls = []
    for call in program.calls:
        entry: dict[str, Any] = {
            "slot": call.slot,
            "arguments": [argument(arg, numbers) for arg in call.args],
            "results": _results(call.outs, numbers),
        }
        if call.run is OPERATORS.get(call.slot):
            entry["operator"] = True
        if call.quiet:
            entry["quiet"] = True
        calls.append(entry)
    forms = []
    for old in numbers.order:
        value = program.values[old]
        if value.dtype is None:
            raise UnstorableError(f"a result of {value.origin} that is no array")
        root = root_of(program.values, old)
        shares = None if root == old else numbers.get(root)
        forms.append([value.dtype.name, list(value.shape), shares])
    arrays = [
        {"tensor": one.tensor, "axes": list(one.axes), "changed": one.changed}
        for one in (tensors[old] for old in numbers.arrays)
    ]
    orders = [list(axes_of(array)) for array in inputs]
    return {"values": forms, "inputs": orders, "arrays": arrays, "calls": calls}


def argument(arg: Any, numbers: Numbers | None = None, depth: int = 0) -> Any:
    """Return an argument as plain data: a JSON list is a tuple, an object says what it is."""
    kind = type(arg)
    if depth > _DEPTH:
        raise UnstorableError(f"an argument that is nested more than {_DEPTH} times")
    if arg is INDEX:
        return {"index": "array"}
    if arg is None or kind in (bool, str) or (kind is int and abs(arg) < _WHOLE):
        return arg
    if kind is float:
        return arg if math.isfinite(arg) else {"float": repr(arg)}
    if kind is complex:
        return {"complex": [argument(arg.real), argument(arg.imag)]}
    if kind is Ref and numbers is not None:
        return {"value": numbers[arg.index]}
    if kind is slice:
        return {"slice": [argument(one) for one in (arg.start, arg.stop, arg.step)]}
    if arg is ...:
        return {"ellipsis": True}
    if isinstance(arg, numpy.dtype) and arg.name in _DTYPES:
        return {"dtype": arg.name}
    if kind in (tuple, list, Kept):
        parts = [argument(one, numbers, depth + 1) for one in arg]
        return parts if kind is tuple else {"list" if kind is list else "kept": parts}
    raise UnstorableError(f"an argument of type {kind.__name__}")


def _results(outs: Any, numbers: Numbers) -> Any:
    if type(outs) is Ref:
        return numbers.get(outs.index)
    if type(outs) is tuple:
        parts = [_results(one, numbers) for one in outs]
        return parts if any(one is not None for one in parts) else None
    return None


# -- reading ---------------------------------------------------------------------------------------
def checked(data: Any) -> Stored:
    """Return the program of plain data, every part of which was looked at."""
    try:
        forms = tuple([_form(*one) for one in data["values"]])
        orders, entries = data["inputs"], data["arrays"]
        count = len(orders) + len(entries)
        _require(count <= len(forms), "number of inputs")
        inputs = tuple([_axes(*one) for one in zip(orders, forms, strict=False)])
        held = forms[len(inputs) : count]
        arrays = tuple([_array(*one) for one in zip(entries, held, strict=True)])
        known = set(range(count))
        calls = []
        for number, entry in enumerate(data["calls"]):
            calls.append(_call(number, entry, forms, known))
        _require(len(known) == len(forms), "number of values")
        for index, form in enumerate(forms):
            _require(
                form.root is None or (type(form.root) is int and 0 <= form.root < index),
                f"root of value {index}",
            )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise DamagedError(f"a part that can't be read ({type(error).__name__})") from None
    return Stored(forms, inputs, arrays, tuple(calls))


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise DamagedError(f"a wrong {what}")


def _form(name: Any, shape: Any, root: Any) -> Form:
    _require(name in _DTYPES, "dtype")
    _require(type(shape) is list and len(shape) <= _AXES, "shape")
    _require(all(type(n) is int and 0 <= n < _BYTES for n in shape), "shape")
    dtype = _DTYPES[name]
    _require(math.prod(shape) * dtype.itemsize < _BYTES, "size")
    return Form(dtype, tuple(shape), root)


def _axes(axes: Any, form: Form) -> tuple[int, ...]:
    _require(all(type(axis) is int for axis in axes), "order of axes")
    _require(sorted(axes) == list(range(len(form.shape))), "order of axes")
    return tuple(axes)


def _array(entry: Any, form: Form) -> StoredArray:
    _require(type(entry["tensor"]) is str and type(entry["changed"]) is bool, "array")
    return StoredArray(entry["tensor"], _axes(entry["axes"], form), entry["changed"])


def _call(number: int, entry: Any, forms: tuple[Form, ...], known: set[int]) -> StoredCall:
    slot = entry["slot"]
    _require(type(slot) is str and slot.isidentifier(), f"name of call {number}")
    operator, quiet = entry.get("operator", False), entry.get("quiet", False)
    _require(type(operator) is bool and type(quiet) is bool, f"mark of call {number}")
    _require(not operator or slot in OPERATORS, f"operator of call {number}")
    _require(type(entry["arguments"]) is list, f"list of arguments of call {number}")
    args = tuple([value_of(one) for one in entry["arguments"]])
    _require(known.issuperset(refs_in(args)), f"argument of call {number} ({slot})")
    outs = _outs(entry["results"])
    made = refs_in(outs)
    fresh = len(set(made)) == len(made) and known.isdisjoint(made)
    _require(fresh and all(i < len(forms) for i in made), f"result of call {number} ({slot})")
    known.update(made)
    if slot in _SIZED_SLOTS:
        most = _SLACK + max([math.prod(forms[i].shape) for i in (*refs_in(args), *made)], default=0)
        _require(all(abs(n) <= most for n in _integers(args)), f"size in call {number} ({slot})")
    return StoredCall(slot, args, outs, operator, quiet)


def _outs(node: Any, depth: int = 0) -> Any:
    if node is None:
        return None
    if type(node) is int:
        _require(node >= 0, "result")
        return Ref(node)
    _require(type(node) is list and depth < _DEPTH, "result")
    return tuple([_outs(one, depth + 1) for one in node])


def _integers(tree: Any) -> Iterator[int]:
    if isinstance(tree, tuple | list):
        for one in tree:
            yield from _integers(one)
    elif type(tree) is int:
        yield tree


def value_of(node: Any, depth: int = 0) -> Any:
    """Return the argument that plain data stands for."""
    _require(depth <= _DEPTH, "argument, nested too deeply")
    kind = type(node)
    if kind is str:
        return sys.intern(node)
    if kind is int:
        _require(abs(node) < _WHOLE, "number")
        return node
    if node is None or kind in (bool, float):
        return node
    if kind is list:
        return tuple([value_of(one, depth + 1) for one in node])
    ((what, content),) = node.items()
    return _READERS[what](content, depth)


def _read_value(content: Any, depth: int) -> Ref:
    _require(type(content) is int and content >= 0, "value")
    return Ref(content)


def _read_float(content: Any, depth: int) -> float:
    _require(content in ("nan", "inf", "-inf"), "float")
    return float(content)


def _read_complex(content: Any, depth: int) -> complex:
    real, imag = [value_of(one, depth + 1) for one in content]
    _require(type(real) is float and type(imag) is float, "complex number")
    return complex(real, imag)


def _read_slice(content: Any, depth: int) -> slice:
    parts = [value_of(one, depth + 1) for one in content]
    _require(all(one is None or type(one) is int for one in parts) and len(parts) == 3, "slice")
    return slice(*parts)


def _read_kept(content: Any, depth: int) -> Kept:
    _require(type(content) is list and all(type(one) is int for one in content), "axis")
    return Kept(content)


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "value": _read_value,
    "float": _read_float,
    "complex": _read_complex,
    "slice": _read_slice,
    "kept": _read_kept,
    "list": lambda content, depth: [value_of(one, depth + 1) for one in content],
    "dtype": lambda content, depth: _DTYPES[content],
    "ellipsis": lambda content, depth: ...,
    "index": lambda content, depth: INDEX,
}


def changes(stored: Stored) -> bool:
    """Whether a program changes values in place."""
    return any(
        call.slot in changing or (call.slot == "add" and len(call.args) == 3)
        for call in stored.calls
    )


# -- arrays ----------------------------------------------------------------------------------------
def to_file(array: Any, axes: tuple[int, ...]) -> numpy.ndarray[Any, Any]:
    """Return an array as it lies in the file: on the host, in C order, complex128 as pairs."""
    host = by_array_type[type(array)].to_host(array)
    host = numpy.array(host.transpose(axes), order="C")
    if host.dtype == dtypes.complex128:
        return host.reshape(*host.shape, 1).view(dtypes.float64)
    return host


def back(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return what undoes a transposition."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def laid_out(array: Any, axes: tuple[int, ...]) -> Any:
    """Return an array whose axes lie in memory in this order, without gaps: itself, or a copy."""
    turned = array.transpose(axes)
    return array if turned.flags.c_contiguous else turned.copy().transpose(back(axes))


def from_file(array: numpy.ndarray[Any, Any], form: Form, axes: tuple[int, ...]) -> Any:
    """Return an array on the host of what lies in the file, with the form that it must have."""
    if form.dtype == dtypes.complex128 and array.dtype == dtypes.float64 and array.ndim:
        array = array.view(dtypes.complex128)[..., 0] if array.shape[-1] == 2 else array
    if array.dtype == dtypes.bool_:
        array = array.view(dtypes.uint8) != 0  # a bool of another byte than 0 or 1 breaks NumPy
    shape = tuple([form.shape[axis] for axis in axes])
    _require(array.dtype == form.dtype and array.shape == shape, "form of an array")
    return array
