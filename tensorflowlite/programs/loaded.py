"""`load_program`: a program from a file, which runs without the Python that it was recorded of.

What the file says is checked before anything runs. A first call for inputs that lie in memory in
some way makes the calls one by one, looks at every result, and writes them down once more as this
device makes them; the following ones run that program, after the passes of `jit`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backend import Backend, backend_for
from ..backend.batching.batched_array import BatchedArray
from ..backend.programs.captured_array import CapturedArray
from ..backend.programs.program import Call, Program, Value, listing
from ..backend.programs.text import (
    OPERATORS,
    DamagedError,
    Stored,
    back,
    changes,
    checked,
    from_file,
    laid_out,
)
from ..core.tensor import Tensor, recording, wrap
from ..errors import (
    ArgumentError,
    CaptureError,
    DataError,
    DeviceError,
    DtypeError,
    GradientError,
    ShapeError,
)
from ..io.files import FilePath, check_path, parse_json
from ..io.tensors import decode
from ..ops.creation import asarray
from ..transforms.jit_recording import explained
from ..transforms.tree import Structure, flatten_like, paths, unflatten
from .export import DIGEST, FORMAT, VERSION, called, checksum
from .making import Run, made_of
from .slots import fits, is_known
from .trees import Place, from_plain

_MOST_MADE = 8  # ways in which inputs lie in memory that are kept
_OP = "load_program"


class Description(NamedTuple):
    """What goes into a program, or comes out: where, its shape and its dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: Any


class _Contents(NamedTuple):
    """What a file holds."""

    stored: Stored
    tensors: dict[str, Any]
    takes: Structure
    leaves: list[Any]
    gives: Structure
    results: list[Any]


class LoadedProgram:
    """A program that `load_program` has read. Called as the function that was recorded.

    Attributes
    ----------
    device : Device
        Where it runs, and its arguments must be.
    inputs : tuple of Description
        The tensors that it takes: name, shape and dtype.
    outputs : tuple of Description
        The tensors that it returns.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "double.safetensors")
    ...     tfl.export(lambda x: {"twice": x * 2}, path, tfl.zeros(3))
    ...     program = tfl.load_program(path)
    >>> program(tfl.tensor([1.0, 2.0, 3.0]))
    {'twice': tensor([2., 4., 6.])}
    >>> program.outputs
    (Description(name="result['twice']", shape=(3,), dtype=dtype('float32')),)
    """

    def __init__(self, contents: _Contents, device: Any) -> None:
        self._contents = contents
        stored = contents.stored
        library = backend_for(device or "cpu")
        self._runs = tuple([
            OPERATORS[call.slot] if call.operator else _slot(library, call.slot)
            for call in stored.calls
        ])  # fmt: skip
        moved = {
            name: asarray(array, device=device).array for name, array in contents.tensors.items()
        }
        self.device = asarray(False, device=device).device
        self._arrays = [
            moved[one.tensor].transpose(back(one.axes)) for one in stored.arrays
        ]  # fmt: skip
        self._made: dict[Any, Run] = {}
        self._changes = changes(stored)
        self._names = _names(contents)
        self.inputs = tuple([
            Description(name, form.shape, form.dtype)
            for name, form in zip(self._names, stored.forms, strict=False)
        ])  # fmt: skip
        where = [f"result{path}" for path in paths(contents.gives)]
        self.outputs = tuple([
            Description(name, stored.forms[leaf.number].shape, stored.forms[leaf.number].dtype)
            for name, leaf in zip(where, contents.results, strict=True) if type(leaf) is Place
        ])  # fmt: skip

    def __repr__(self) -> str:
        shown = ", ".join(f"{one.name}: {one.dtype.name} {one.shape}" for one in self.inputs)
        return f"LoadedProgram({shown}; {len(self._runs)} calls, {self.device})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self._leaves(args, kwargs)
        arrays = [
            self._array(leaf, place.number)
            for leaf, place in zip(leaves, self._contents.leaves, strict=True)
            if type(place) is Place
        ]
        if self._changes:  # what is a view must be one as it was when it was recorded
            arrays = list(map(laid_out, arrays, self._contents.stored.inputs))
        key = tuple([array.strides for array in arrays])
        run = self._made.get(key)
        if run is None:
            run, values = self._make(arrays)
            if len(self._made) >= _MOST_MADE:
                self._made.clear()
            self._made[key] = run
        else:
            try:
                values = run(*arrays)
            except Exception as error:
                raise explained(run, error) from error
        found = iter(values)
        tensors = [leaf for leaf in leaves if type(leaf) is Tensor]
        results = []
        for leaf in self._contents.results:
            if type(leaf) is not Place:
                results.append(leaf)
            elif leaf.kind == "input":
                results.append(tensors[leaf.number])
            else:
                results.append(wrap(next(found), None))
        return unflatten(self._contents.gives, results)

    def _make(self, arrays: list[Any]) -> tuple[Run, tuple[Any, ...]]:
        outputs = [
            leaf.number for leaf in self._contents.results
            if type(leaf) is Place and leaf.kind == "value"
        ]  # fmt: skip
        library = backend_for(self.device)
        return made_of(self._contents.stored, self._runs, library, arrays, self._arrays, outputs)

    # -- arguments ---------------------------------------------------------------------------------
    def _leaves(self, args: Any, kwargs: Any) -> list[Any]:
        """Return the leaves of the arguments, which must be built as those recorded."""
        positional, named = self._contents.takes.children
        if len(args) != len(positional.children) or kwargs.keys() != set(named.keys):
            wanted = [f"{len(positional.children)} positional", *map(str, named.keys)]
            got = [f"{len(args)} positional", *kwargs]
            raise ArgumentError(
                f"LoadedProgram: the arguments must be given as they were recorded, "
                f"{', '.join(wanted)}, got {', '.join(got)}"
            )
        leaves: list[Any] = []
        for i, (form, arg) in enumerate(zip(positional.children, args, strict=True)):
            leaves += flatten_like(f"LoadedProgram, args[{i}]", form, arg)
        for name, form in zip(named.keys, named.children, strict=True):
            leaves += flatten_like(f"LoadedProgram, {name}", form, kwargs[name])
        for leaf, wanted in zip(leaves, self._contents.leaves, strict=True):
            if type(wanted) is not Place and not _is_same(leaf, wanted):
                text = " ".join(repr(leaf).split())  # a tensor's may have lines
                raise ArgumentError(
                    f"LoadedProgram: what is no tensor must be as it was recorded, {wanted!r:.60}, "
                    f"got {text:.60}; export the function once more with it"
                )
        return leaves

    def _array(self, leaf: Any, number: int) -> Any:
        """Return the array of an argument, after a look at it."""
        name, shape, dtype = self.inputs[number]
        if type(leaf) is not Tensor:
            raise DtypeError(
                f"LoadedProgram: {name} must be a Tensor, got {type(leaf).__name__}; make a tensor "
                "of an array with asarray(...)"
            )
        array = leaf.array
        if array.dtype != dtype:
            raise DtypeError(
                f"LoadedProgram: {name} must be {dtype.name} as it was recorded, got "
                f"{array.dtype.name}; cast it with astype({dtype.name})"
            )
        if tuple(array.shape) != shape:
            raise ShapeError(
                f"LoadedProgram: {name} must have the shape {shape} that was recorded, got "
                f"{tuple(array.shape)}; export the function with an argument of this shape"
            )
        if type(array) in (CapturedArray, BatchedArray):
            raise CaptureError(
                f"LoadedProgram: {name} must be a tensor with values, got one inside jit or vmap; "
                "call the program outside"
            )
        if leaf.device != self.device:
            raise DeviceError(
                f"LoadedProgram: {name} must be on {self.device}, got {leaf.device}; move it, or "
                "the program, with to(device)"
            )
        if leaf.node is not None and recording():
            raise GradientError(
                f"LoadedProgram: {name} must not require grad, for a program has no gradient; pass "
                "detach() of it, or use no_grad()"
            )
        return array

    # -- to look at, and to move -------------------------------------------------------------------
    def explain(self) -> str:
        """Return the program as text: its inputs, its arrays, and a line for each call."""
        stored = self._contents.stored
        values = tuple([
            Value("made", form.shape, form.dtype, (), form.root, "") for form in stored.forms
        ])  # fmt: skip
        calls = tuple([
            Call(one.slot, run, one.args, one.outs)
            for one, run in zip(stored.calls, self._runs, strict=True)
        ])  # fmt: skip
        names = [*self._names, *(one.tensor for one in stored.arrays)]
        lines = [
            f"%{i} {form.dtype.name}{list(form.shape)} = {name}"
            for i, (form, name) in enumerate(zip(stored.forms, names, strict=False))
        ]
        text = listing(Program(calls, values, {}, {}, (), ()))
        return "\n".join([*lines, text] if text else lines)

    def to(self, device: Any) -> LoadedProgram:
        """Return the program on a device; itself, where it is there.

        Examples
        --------
        >>> import os, tempfile
        >>> import tensorflowlite as tfl
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "sine.safetensors")
        ...     tfl.export(tfl.sin, path, tfl.zeros(3))
        ...     program = tfl.load_program(path)
        >>> program.to("cpu") is program
        True
        """
        other = LoadedProgram(self._contents, device)
        return self if other.device == self.device else other


def _slot(library: Backend, slot: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = getattr(library, slot)
    except AttributeError:
        raise DeviceError(
            f"{_OP}: the device must have every operation, got {slot} for {library.device_type}; "
            "load the program on another device"
        ) from None
    return found


def _is_same(one: Any, other: Any) -> bool:
    # By their text: 0.0 equals -0.0, and NaN not itself.
    return type(one) is type(other) and repr(one) == repr(other)


def _names(contents: _Contents) -> list[str]:
    """Return how each input is called, in the order of their numbers."""
    found = {
        leaf.number: called(path)
        for path, leaf in zip(paths(contents.takes), contents.leaves, strict=True)
        if type(leaf) is Place
    }
    return [found[number] for number in range(len(contents.stored.inputs))]


# -- reading ---------------------------------------------------------------------------------------
def load_program(path: FilePath, device: Any = None) -> LoadedProgram:
    """Read a program that `export` wrote; nothing of the function's own code is needed.

    Nothing in the file is run as code, whoever wrote it: it names operations of the library, which
    are looked up, and all sizes are checked.

    Parameters
    ----------
    path : str or path
        The file.
    device : str, optional
        Where the program runs; the CPU by default.

    Returns
    -------
    LoadedProgram
        Called with tensors of the shapes and dtypes that were recorded.

    Raises
    ------
    DataError
        Where the file can't be read, is damaged, or is no such file.

    See Also
    --------
    export : Writes such a file.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "norm.safetensors")
    ...     tfl.export(lambda x: (x * x).sum(), path, tfl.zeros(3))
    ...     program = tfl.load_program(path)
    >>> program(tfl.tensor([1.0, 2.0, 3.0]))
    tensor(14.)
    >>> print(program.explain())
    %0 float32[3] = args[0]
    %1 float32[3] = multiply(%0, %0)  [12 bytes]
    %2 float32[] = sum(%1, (0,))  [4 bytes]
    """
    check_path(_OP, path, "device")
    tensors, metadata = decode(_OP, path)
    text = metadata.get(FORMAT)
    if text is None:
        raise DataError(
            f"{_OP}: the file must be one that tfl.export wrote, got safetensors without a "
            f"program; read '{path}' with tfl.load_safetensors or tfl.load"
        )
    try:
        contents = _read(text, metadata.get(DIGEST, ""), tensors)
    except DamagedError as error:
        raise _damaged(path, str(error)) from None
    except DataError:
        raise
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise _damaged(path, f"a part that can't be read ({type(error).__name__})") from None
    return LoadedProgram(contents, device)


def _damaged(path: FilePath, what: str) -> DataError:
    return DataError(
        f"{_OP}: the program in the file must be whole, got {what}; '{path}' was changed after "
        "tfl.export wrote it"
    )


def _read(text: str, digest: str, tensors: dict[str, Any]) -> _Contents:
    """Return what a file holds, after a look at everything."""
    if hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest() != digest:
        raise DamagedError("a text with another checksum")
    document = parse_json(text)
    if document["format"] != FORMAT or document["version"] != VERSION:
        raise DataError(
            f"{_OP}: the format must be {FORMAT} {VERSION}, got {document['format']!r:.40} "
            f"{document['version']!r:.40}; upgrade tensorflowlite, or export the function with it"
        )
    if document["sums"] != {name: checksum(array) for name, array in tensors.items()}:
        raise DamagedError("arrays with other checksums")
    stored = checked(document)
    for call in stored.calls:
        if not is_known(call.slot):
            raise DataError(
                f"{_OP}: every call must be of an operation of the library, got {call.slot!r:.60}; "
                "the file is of a newer version, or was changed"
            )
        if not fits(call.slot, call.args):
            raise DamagedError(f"other arguments than {call.slot} has")
    hosts: dict[str, Any] = {}
    forms = stored.forms[len(stored.inputs) :]
    for one, form in zip(stored.arrays, forms, strict=False):
        host = from_file(tensors[one.tensor], form, one.axes)
        if hosts.setdefault(one.tensor, host).dtype != host.dtype:
            raise DamagedError("an array of two dtypes")
    leaves: list[Any] = []
    takes = from_plain(document["takes"], leaves)
    results: list[Any] = []
    gives = from_plain(document["gives"], results)
    inputs = [leaf for leaf in leaves if type(leaf) is Place]
    count = len(stored.inputs)
    if (
        [(one.kind, one.number) for one in inputs] != [("input", i) for i in range(count)]
        or [child.kind for child in takes.children] != [tuple, dict]
        or not all(type(key) is str for key in takes.children[1].keys)
    ):
        raise DamagedError("a wrong form of the arguments")
    for leaf in results:
        most = count if getattr(leaf, "kind", "") == "input" else len(stored.forms)
        if type(leaf) is Place and leaf.number >= most:
            raise DamagedError("a wrong result")
    return _Contents(stored, hosts, takes, leaves, gives, results)
