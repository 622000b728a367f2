"""A stored program's first run on a device: every result is looked at, and written down anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from ..backend import Backend
from ..backend.programs.capture import Capture
from ..backend.programs.captured_array import CapturedArray
from ..backend.programs.execution import runner
from ..backend.programs.fusion import passes
from ..backend.programs.passes import optimized
from ..backend.programs.program import Ref, refs_in, root_of
from ..backend.programs.text import Stored, StoredCall
from ..core.messages import explain
from ..core.primitive import registry
from ..errors import DataError, TensorflowliteError

Run = Callable[..., tuple[Any, ...]]


def made_of(
    stored: Stored, runs: Sequence[Callable[..., Any]], library: Backend, inputs: Sequence[Any],
    arrays: Sequence[Any], outputs: Sequence[int],
) -> tuple[Run, tuple[Any, ...]]:  # fmt: skip
    """Run a stored program call by call, and return it compiled, with the values that came out.

    Parameters
    ----------
    stored
        The program.
    runs
        What each call runs.
    library
        The backend of the arrays.
    inputs, arrays
        What goes in, and what the program holds; neither is changed.
    outputs
        The values that come out.
    """
    capture = Capture()
    given: dict[int, CapturedArray] = {}
    for array in inputs:
        # The same array may be given twice: then as two of them.
        given[len(given)] = capture.enter("input", array[...])
    numbers = [given[i].index for i in range(len(inputs))]
    for array, one in zip(arrays, stored.arrays, strict=True):
        array = array.copy() if one.changed else array[...]
        given[len(given)] = capture.enter("constant", array)
    indices = {i: one.index for i, one in given.items()}
    kept = set(outputs)
    last = _last_uses(stored)
    for number, (call, run) in enumerate(zip(stored.calls, runs, strict=True)):
        with library.quiet() if call.quiet else nullcontext():
            result = _result(number, call, run, capture, given)
        _bind(number, call, stored, call.outs, result, given)
        for i in refs_in(call.outs):
            indices[i] = given[i].index
        for i in last.get(number, ()):
            if i not in kept:
                del given[i]
    _check_views(stored, capture, indices)
    values = _values(capture, [given[i] for i in outputs])
    program = capture.program(tuple(numbers), tuple([indices[i] for i in outputs]))
    calls = [
        call._replace(quiet=one.quiet)
        for call, one in zip(program.calls, stored.calls, strict=True)
    ]
    made = optimized(program._replace(calls=tuple(calls)), passes("exact"))
    return runner(made, inputs), values


def _last_uses(stored: Stored) -> dict[int, list[int]]:
    last = {
        i: number
        for number, call in enumerate(stored.calls)
        for i in (*refs_in(call.args), *refs_in(call.outs))
    }
    found: dict[int, list[int]] = {}
    for i, number in last.items():
        found.setdefault(number, []).append(i)
    return found


def _result(number: int, call: StoredCall, run: Callable[..., Any], capture: Capture,
            given: dict[int, CapturedArray]) -> Any:  # fmt: skip
    args = tuple([_filled(arg, given) for arg in call.args])
    try:
        return capture.call(call.slot, run, args)
    except Exception as error:
        op = registry.get(call.slot)
        found: Exception = error
        if isinstance(error, TypeError):
            # Inputs have the dtypes that were recorded, so that the file says it: other arguments,
            # or fewer.
            raise _wrong(number, call, f"{type(error).__name__}: {error}") from error
        values = [one for one in args if type(one) is CapturedArray]
        if op is not None and values:
            attributes = tuple([one for one in args if type(one) is not CapturedArray])
            try:
                found = explain(op, error, [one.value for one in values], attributes)
            except Exception:  # what it says of arguments that no operation ever gets
                found = error
        if isinstance(found, TensorflowliteError):
            raise found from error
        raise _wrong(number, call, f"{type(error).__name__}: {error}") from error


def _wrong(number: int, call: StoredCall, got: str) -> DataError:
    got = " ".join(got.split())
    return DataError(
        f"LoadedProgram: call {number} ({call.slot}) must give what was recorded, got "
        f"{got:.200}; export the function once more with this version, on this device"
    )


def _filled(arg: Any, given: dict[int, CapturedArray]) -> Any:
    if type(arg) is Ref:
        return given[arg.index]
    if type(arg) in (tuple, list):
        return type(arg)([_filled(one, given) for one in arg])
    return arg


def _bind(number: int, call: StoredCall, stored: Stored, outs: Any, result: Any,
          given: dict[int, CapturedArray]) -> None:  # fmt: skip
    """Give results their numbers, and compare them with what was recorded."""
    if outs is None:
        return
    if type(outs) is tuple:
        if type(result) is not tuple or len(result) != len(outs):
            raise _wrong(number, call, "another number of results")
        for one, part in zip(outs, result, strict=True):
            _bind(number, call, stored, one, part, given)
        return
    if type(result) is not CapturedArray:
        raise _wrong(number, call, f"a result of type {type(result).__name__}")
    form = stored.forms[outs.index]
    if result.dtype != form.dtype or tuple(result.shape) != form.shape:
        raise _wrong(
            number, call,
            f"{result.dtype.name} {tuple(result.shape)} for {form.dtype.name} {form.shape}",
        )  # fmt: skip
    given[outs.index] = result


def _check_views(stored: Stored, capture: Capture, indices: dict[int, int]) -> None:
    """Raise where memory that is changed is shared otherwise than it was when it was recorded.

    A reshape is a view on one device and may be a copy on another.
    """
    values = capture.values
    written = {root_of(values, i) for i in capture.changed}
    if not written:
        return
    for i, form in enumerate(stored.forms):
        root = root_of(values, indices[i])
        wanted = indices[i] if form.root is None else root_of(values, indices[form.root])
        if root != wanted and written & {root, wanted}:
            raise DataError(
                f"LoadedProgram: a value that is changed in place, {form.dtype.name} {form.shape}, "
                "must share memory as it did when it was recorded, got another layout; return new "
                "values instead of changing them, and export the function once more"
            )


def _values(capture: Capture, outputs: Sequence[CapturedArray]) -> tuple[Any, ...]:
    """Return the arrays that come out; of what the program holds, copies."""
    found = []
    for one in outputs:
        root = root_of(capture.values, one.index)
        array = one.value
        if capture.values[root].kind == "constant":
            capture.originals.setdefault(root, capture.held[root].copy())
            array = array.copy()
        found.append(array)
    return tuple(found)
