"""``save`` and ``load``: nested dicts, lists and tuples of tensors and plain values.

The file is a safetensors file: the tensors under the paths that lead to them, the structure as
JSON in the metadata. Reading one runs no code, whoever wrote it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy

from ..backend import backend_of, dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DataError, DtypeError
from ..ops.creation import asarray
from .files import FilePath, check_path, parse_json, write_atomically
from .tensors import decode, encode

_KEY = "tensorflowlite.structure"
_ALLOWED = "dicts, lists, tuples, tensors, NumPy arrays, text, numbers, bool and None"


def save(path: FilePath, tree: Any) -> None:
    """Write a tree of tensors and plain values to one file, atomically.

    Parameters
    ----------
    path : str or path
        The file; its folder must exist.
    tree : dict, list, tuple, Tensor, numpy.ndarray, str, int, float, bool or None
        Nested as deeply as wanted. The keys of dicts are text or integers. Tensors may be on any
        device; whether one requires grad isn't kept.

    Raises
    ------
    DtypeError
        Where something else is in the tree; the message holds the path to it.
    ArgumentError
        Where the tree contains itself.
    WriteError
        Where the file can't be written; what stood there before is unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "state.safetensors")
    ...     tfl.save(path, {"epoch": 3, "weights": [tfl.ones(2), tfl.zeros(1)]})
    ...     tfl.load(path)
    {'epoch': 3, 'weights': [tensor([1., 1.]), tensor([0.])]}
    """
    check_path("save", path, "tree")
    write_atomically(path, encode_tree("save", tree, {}), op="save")


def encode_tree(op: str, tree: Any, metadata: Mapping[str, str]) -> bytes | bytearray:
    """Return the bytes of the file that `save` writes, with metadata beside the structure."""
    arrays: dict[str, Any] = {}
    try:
        structure = _flatten(tree, "", arrays)
    except RecursionError:
        raise ArgumentError(
            f"{op}: the tree must end, got one that is nested too deeply or contains itself"
        ) from None
    return encode(op, arrays, {**metadata, _KEY: json.dumps(structure, allow_nan=False)})


def load(path: FilePath, device: Any = None) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    path : str or path
        The file.
    device : str, optional
        Where the tensors go; the CPU by default. NumPy arrays come back as NumPy arrays.

    Returns
    -------
    dict, list, tuple, Tensor, numpy.ndarray, str, int, float, bool or None
        The tree, with its types.

    Raises
    ------
    DataError
        Where the file can't be read, is cut short, or wasn't written by `save`.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "pair.safetensors")
    ...     tfl.save(path, (1, None))
    ...     tfl.load(path)
    (1, None)
    """
    arrays, metadata = decode("load", path)
    return build_tree("load", arrays, metadata, path, device)


def build_tree(
    op: str, arrays: dict[str, Any], metadata: Mapping[str, str], path: FilePath, device: Any = None
) -> Any:
    """Return the tree of a file's arrays and metadata."""
    text = metadata.get(_KEY)
    if text is None:
        raise DataError(
            f"{op}: the file must be one that tfl.save wrote, got safetensors without a structure; "
            f"read '{path}' with tfl.load_safetensors"
        )
    try:
        return _build(parse_json(text), dict(arrays), device)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        raise DataError(
            f"{op}: the structure in the file must be whole, got a damaged one; '{path}' was "
            "changed after tfl.save wrote it"
        ) from None


def _flatten(tree: Any, path: str, arrays: dict[str, Any]) -> Any:
    """Return the JSON form of a tree and put its arrays under their paths."""
    if tree is None or type(tree) in (bool, int, str):
        return tree
    if type(tree) is float:
        return tree if math.isfinite(tree) else {"float": repr(tree)}
    if isinstance(tree, Tensor):
        return _put("tensor", tree, path, arrays)
    if isinstance(tree, numpy.ndarray):
        return _put("array", tree, path, arrays)
    if isinstance(tree, numpy.generic):
        return _put("scalar", numpy.asarray(tree), path, arrays)
    if isinstance(tree, dict):
        for key in tree:
            if type(key) not in (str, int):
                raise DtypeError(
                    f"save: the keys of dicts must be text or integers, got {key!r} in "
                    f"'{path or 'the tree'}'"
                )
        items = [[key, _flatten(value, _join(path, key), arrays)] for key, value in tree.items()]
        return {"dict": items}
    if isinstance(tree, list):
        return [_flatten(value, _join(path, place), arrays) for place, value in enumerate(tree)]
    if type(tree) is tuple:
        parts = enumerate(tree)
        return {"tuple": [_flatten(value, _join(path, place), arrays) for place, value in parts]}
    place = f"at '{path}'" if path else "in its place"
    hint = "; save its state_dict()" if hasattr(tree, "state_dict") else ""
    raise DtypeError(
        f"save: the tree may hold {_ALLOWED}, got {type(tree).__name__} {place}{hint}"
    )


def _join(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)


def _put(kind: str, value: Any, path: str, arrays: dict[str, Any]) -> dict[str, str]:
    name = path or "value"
    # {"a.b": x, "a": {"b": y}} has two tensors of one path.
    while name in arrays or name == "__metadata__":
        name += "'"
    if value.dtype == dtypes.complex128:
        # The format lacks complex128: pairs of float64 take its place.
        array = value.array if isinstance(value, Tensor) else value
        host = backend_of(array).to_host(array)
        arrays[name] = numpy.ascontiguousarray(host.reshape(*host.shape, 1)).view(numpy.float64)
        return {f"complex {kind}": name}
    arrays[name] = value
    return {kind: name}


def _build(node: Any, arrays: dict[str, Any], device: Any) -> Any:
    """Return the tree of a JSON form, and take its arrays out of ``arrays``: each has one place."""
    if isinstance(node, list):
        return [_build(part, arrays, device) for part in node]
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "float":
        if content not in ("nan", "inf", "-inf"):
            raise ValueError(content)
        return float(content)
    if kind in ("dict", "tuple") and not isinstance(content, list):
        raise TypeError(kind)
    if kind == "dict":
        built = {key: _build(value, arrays, device) for key, value in content}
        if len(built) != len(content) or any(type(key) not in (str, int) for key in built):
            raise KeyError(kind)
        return built
    if kind == "tuple":
        return tuple(_build(part, arrays, device) for part in content)
    array = arrays.pop(content)
    kind, form = kind.removeprefix("complex "), kind
    if kind != form:
        if array.dtype != dtypes.float64 or array.shape[-1:] != (2,):
            raise TypeError(form)
        array = array.view(numpy.complex128)[..., 0]
    if kind == "tensor":
        return asarray(array, device=device)
    if kind not in ("array", "scalar") or (kind == "scalar" and array.ndim):
        raise KeyError(kind)
    return array if kind == "array" else array[()]
