"""`export`: a function recorded once, and written to a file with the arrays that it reads.

The file is a safetensors file. Its tensors are what the function reads from around it, its metadata
the program (`backend/programs/text.py`) and the form of arguments and results (`trees`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from ..backend import backend_of
from ..backend.programs.passes import without_dead_calls
from ..backend.programs.program import Program
from ..backend.programs.text import (
    OPERATORS,
    Numbers,
    StoredArray,
    UnstorableError,
    axes_of,
    plain,
    to_file,
)
from ..core.capture import Session, turn
from ..core.primitive import watch
from ..core.tensor import Tensor
from ..errors import ArgumentError, CaptureError
from ..io.files import FilePath, write_atomically
from ..io.tensors import encode
from ..ops import random
from ..runtime import mode, set_mode
from ..transforms.jit_recording import Recording, record
from ..transforms.jit_variables import modules_in, variables_of
from ..transforms.sites import user_line
from ..transforms.tree import Structure, flatten, paths
from ..version import __version__
from .slots import check_slot
from .trees import PLAIN, Place, to_plain

FORMAT, VERSION = "tensorflowlite.program", 1
DIGEST = "tensorflowlite.digest"
_PATIENCE = 10.0  # seconds to wait while another thread records


def export(
    function: Callable[..., Any], path: FilePath, /, *args: Any, **kwargs: Any
) -> None:
    """Record a function for inference, and write it to a file that runs without its code.

    The function is called twice with the arguments, without gradients, while its array operations
    are written down; both calls must give the same program. The file holds the program and all
    arrays that it reads from around it: parameters, buffers, constants.

    Parameters
    ----------
    function : callable
        A module, or a function of tensors. It is recorded as it is: call ``model.eval()`` first.
    path : str or path
        The file; its folder must exist. Its format is safetensors.
    *args
        What the function is called with, also by name. The program takes tensors of the same
        shapes and dtypes in their place; numbers, text and None become part of it. Tuples, lists
        and dicts may be nested.

    Raises
    ------
    CaptureError
        Where the function draws random numbers, changes something outside of it, reads a value,
        makes shapes that depend on data, or is not the same twice. Everything is as it was then.
    WriteError
        Where the file can't be written.

    See Also
    --------
    load_program : Reads such a file.

    Notes
    -----
    Shapes are those of the arguments, also that of a batch. A file that stood at the path before
    is replaced when the new one is whole, and kept where anything fails. Arrays that are equal are
    written once.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    >>> x = tfl.ones((5, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     tfl.export(model, path, x)
    ...     program = tfl.load_program(path)
    >>> program.inputs
    (Description(name='args[0]', shape=(5, 3), dtype=dtype('float32')),)
    >>> bool((program(x) == model(x)).all())
    True
    """
    _check_call(function, path)
    recording, leaves, structure = _recorded(function, args, kwargs)
    program = without_dead_calls(recording.program)
    try:
        content = _content(program, recording, leaves, structure)
    except UnstorableError as error:
        raise CaptureError(
            f"export: every argument of an operation must be one that a file can hold, got {error}"
        ) from None
    write_atomically(path, content, op="export")


def _check_call(function: Any, path: Any) -> None:
    if not callable(function):
        raise ArgumentError(
            f"export: the function must be callable, got {type(function).__name__}; "
            "export(function, path, *args)"
        )
    if not isinstance(path, str | bytes | os.PathLike):
        raise ArgumentError(
            f"export: the path must name a file, got {type(path).__name__}; "
            "export(function, path, *args)"
        )
    if mode.capture is not None or mode.levels or watch.inspects:
        raise CaptureError(
            "export: a function must be recorded by itself, got a call inside jit, vmap or "
            "detect_anomaly or debug.strict; call it outside"
        )


# -- recording -------------------------------------------------------------------------------------
def _recorded(function: Any, args: Any, kwargs: Any) -> tuple[Recording, list[Any], Structure]:
    """Return a recording that a second one agreed with, and the arguments' leaves and form."""
    kwargs = dict(sorted(kwargs.items()))
    leaves, structure = flatten((args, kwargs))
    for leaf, where in zip(leaves, paths(structure), strict=True):
        if type(leaf) is not Tensor and type(leaf) not in PLAIN:
            raise ArgumentError(
                "export: an argument must be a Tensor, a number, text or None, got "
                f"{type(leaf).__name__} at {called(where)}; make a tensor of an array with "
                "asarray(...)"
            )
    if not turn.acquire(timeout=_PATIENCE):
        raise CaptureError("export: one thread records at a time, got another one that does")
    try:
        with set_mode(grad=False):
            first = _record(function, leaves, args, kwargs)
            second = _record(function, leaves, args, kwargs)
        difference = first.difference(second)
    except CaptureError as error:
        _name(error)
        raise
    finally:
        turn.release()
    if difference:
        raise CaptureError(
            f"export: the function must do the same in two calls, got other ones: {difference}"
        )
    return second, leaves, structure


def _record(function: Any, leaves: list[Any], args: Any, kwargs: Any) -> Recording:
    def check(session: Session, recording: Recording) -> None:
        _check_pure(session, recording, function)

    # States are made at their first use: once that is no harm.
    for forgiving in (True, False):
        _, recording = record(function, leaves, args, kwargs, forgiving=forgiving, check=check)
        if recording is not None:
            return recording
    raise CaptureError(
        "export: what the function does must not depend on a value, got a step that is left out"
    )


def _check_pure(session: Session, recording: Recording, function: Any) -> None:
    """Raise where a call would change more than what it returns."""
    changed = {id(array) for array in recording.changed}
    tensors = [
        tensor for one in session.outside
        if id(one.array) in changed and (tensor := one.tensor()) is not None
    ]  # fmt: skip
    states: list[Tensor] = []
    random.enter_states(states.append)
    # A layer that draws and one that counts stand in one model often: name all of them.
    found = [_described(one, states, function) for one in tensors]
    if recording.gradients:
        found.append("gradients of parameters")
    if changed and not found:
        found.append("an array")
    if found:
        raise CaptureError(
            "export: the function must change nothing outside of it, and draw no random numbers, "
            f"got a change of {', '.join(dict.fromkeys(found))}; call model.eval() before, or "
            "return the new value"
        )


def _described(tensor: Tensor, states: list[Tensor], function: Any) -> str:
    if any(tensor is state for state in states):
        return "the state of the random numbers"
    form = f"{tensor.dtype.name} {tensor.shape}"
    for variables in variables_of([function]):
        for module in modules_in(variables.read()).values():
            named = (*module.named_buffers(recurse=False), *module.named_parameters(recurse=False))
            for name, one in named:
                if one is tensor:
                    return f"{name} of {type(module).__name__}, {form}"
    return f"a tensor, {form}"


def _name(error: CaptureError) -> None:
    """Let an error of `jit` speak of the export, and name the line of the user's code."""
    text = str(error.args[0])
    text = f"export: {text.removeprefix('jit: ')}" if text.startswith("jit: ") else text
    line = user_line(error)
    error.args = (f"{text}; in {line}" if line else text, *error.args[1:])


# -- what is written -------------------------------------------------------------------------------
def _content(
    program: Program, recording: Recording, leaves: list[Any], structure: Structure
) -> bytes | bytearray:
    inputs = [leaves[i].array for i in recording.places]
    arrays = [*inputs, *program.held.values()]
    program = _without_moves(program)
    _check_calls(program, backend_of(arrays[0]) if arrays else None)
    by_leaf = {leaf: number for number, leaf in enumerate(recording.places)}
    by_array = {id(array): index for index, array in program.held.items()}
    results: list[tuple[str, Any]] = []
    for kind, what in recording.results:
        if kind == "tensor":
            results.append(("value", by_array[id(what().array)]))
        else:
            results.append((kind, program.outputs[what] if kind == "value" else what))
    numbers = Numbers(program, [what for kind, what in results if kind == "value"])
    tensors, stored, sums = _arrays(program, numbers)

    def places() -> Iterator[Any]:
        for kind, what in results:
            if kind == "argument":
                leaf = leaves[what]
                yield Place("input", by_leaf[what]) if type(leaf) is Tensor else leaf
            else:
                yield Place("value", numbers[what]) if kind == "value" else what

    given = (
        Place("input", by_leaf[i]) if i in by_leaf else leaf for i, leaf in enumerate(leaves)
    )
    document = {
        "format": FORMAT,
        "version": VERSION,
        "package": __version__,
        **plain(program, numbers, stored, inputs),
        "takes": to_plain("the arguments", structure, iter(given)),
        "gives": to_plain("the results", recording.structure, places()),
        "sums": sums,
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return encode("export", tensors, {FORMAT: text, DIGEST: digest})


def _without_moves(program: Program) -> Program:
    """Move what the program holds now: an index made on the host, say."""
    held, calls = dict(program.held), []
    for call in program.calls:
        source = call.args[0].index if call.slot == "to_device" else None
        if source in held and source not in program.fresh:
            held[call.outs.index] = call.run(held[source], *call.args[1:])
        else:
            calls.append(call)
    return program._replace(calls=tuple(calls), held=held)


def _check_calls(program: Program, library: Any) -> None:
    """Raise for calls that mean nothing in another process."""
    for call in program.calls:
        check_slot(call.slot)
        known = (getattr(library, call.slot, None), OPERATORS.get(call.slot))
        if call.unless is not None or call.run not in known:
            raise CaptureError(
                f"export: every operation must be one of the library's, got {call.slot} with "
                "something else behind it; call export outside of what exchanges it"
            )


def _arrays(
    program: Program, numbers: Numbers
) -> tuple[dict[str, Any], dict[int, StoredArray], dict[str, str]]:
    """Return the file's tensors, where each array stands among them, and their checksums."""
    tensors: dict[str, Any] = {}
    names: dict[Any, str] = {}
    stored: dict[int, StoredArray] = {}
    sums: dict[str, str] = {}
    for index in numbers.arrays:
        # One that the program changes is stored as it was before.
        array = program.fresh.get(index, program.held[index])
        axes = axes_of(array)
        host = to_file(array, axes)
        total = checksum(host)
        key = (host.dtype, host.shape, total)  # what is tied, or equal, is written once
        if key not in names:
            name = names[key] = f"array.{len(names)}"
            tensors[name], sums[name] = host, total
        stored[index] = StoredArray(names[key], axes, index in program.fresh)
    return tensors, stored, sums


def checksum(host: Any) -> str:
    """Return the SHA-256 of an array's bytes; it lies in C order on the host."""
    return hashlib.sha256(host.reshape(-1).view("uint8").data).hexdigest()


def called(path: str) -> str:
    """Return how an argument is reached: from ``[0][1]['x']`` that is ``args[1]['x']``."""
    return f"args{path[3:]}" if path.startswith("[0]") else f"kwargs{path[3:]}"
