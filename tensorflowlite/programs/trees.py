"""The form of a program's arguments and results as plain data: tuples, lists, dicts, and leaves."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from ..backend.programs.text import DamagedError, UnstorableError, argument, value_of
from ..errors import CaptureError
from ..transforms.tree import LEAF, NONE, Structure
from ..transforms.tree import Leaf as LeafKind

_DEPTH = 64
PLAIN = (bool, int, float, complex, str)


class Place:
    """A leaf that is a tensor: the ``number`` of an input, or of a value that comes out."""

    __slots__ = ("kind", "number")

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.number = kind, number


def to_plain(what: str, structure: Structure, leaves: Iterator[Any], depth: int = 0) -> Any:
    """Return a tree as plain data; its leaves are a `Place` or plain values."""
    kind = structure.kind
    if kind is None:
        return {"none": True}
    if kind is LeafKind:
        leaf = next(leaves)
        if type(leaf) is Place:
            return {leaf.kind: leaf.number}
        if type(leaf) not in PLAIN:
            raise CaptureError(
                f"export: {what} must be tensors or plain values, got {type(leaf).__name__}; "
                "make a tensor of it, or leave it out"
            )
        try:
            return {"plain": argument(leaf)}
        except UnstorableError:
            raise CaptureError(
                f"export: {what} must be numbers of 64 bits, got {leaf!r:.40}"
            ) from None
    if depth > _DEPTH:
        raise CaptureError(f"export: {what} must be nested at most {_DEPTH} times, got more")
    parts = [to_plain(what, child, leaves, depth + 1) for child in structure.children]
    if issubclass(kind, dict):
        for key in structure.keys:
            if type(key) not in (str, int):
                raise CaptureError(
                    f"export: the keys of dicts must be text or integers, got {key!r:.40} in {what}"
                )
        return {"dict": [[key, part] for key, part in zip(structure.keys, parts, strict=True)]}
    if hasattr(kind, "_fields"):
        return {"named": [kind.__name__, list(kind._fields), parts]}
    return {"list" if issubclass(kind, list) else "tuple": parts}


def from_plain(node: Any, leaves: list[Any], depth: int = 0) -> Structure:
    """Return the structure of plain data, and put its leaves into ``leaves``."""
    if depth > _DEPTH:
        raise DamagedError("a tree that is nested too deeply")
    ((kind, content),) = node.items()
    if kind == "none":
        return NONE
    if kind in ("input", "value"):
        if type(content) is not int or content < 0:
            raise DamagedError("a wrong place in a tree")
        leaves.append(Place(kind, content))
        return LEAF
    if kind == "plain":
        value = value_of(content)
        if type(value) not in PLAIN:
            raise DamagedError("a wrong leaf of a tree")
        leaves.append(value)
        return LEAF
    if kind == "dict":
        keys = tuple([key for key, _ in content])
        if any(type(key) not in (str, int) for key in keys) or len(set(keys)) != len(keys):
            raise DamagedError("a wrong key of a dict")
        parts = [from_plain(part, leaves, depth + 1) for _, part in content]
        return Structure(dict, keys, tuple(parts))
    made: Any
    if kind == "named":
        name, fields, content = content
        if len(fields) != len(content):
            raise DamagedError("a wrong named tuple")
        made = _named_tuple(name, tuple(fields))
    else:
        made = {"list": list, "tuple": tuple}[kind]
    parts = [from_plain(part, leaves, depth + 1) for part in content]
    return Structure(made, tuple(range(len(parts))), tuple(parts))


def _named_tuple(name: str, fields: tuple[str, ...]) -> type:
    """Return a named tuple's class. ``collections.namedtuple`` compiles its names; this doesn't."""
    wrong = [one for one in (name, *fields) if type(one) is not str or not one.isidentifier()]
    if wrong or any(one.startswith("_") for one in fields) or len(set(fields)) != len(fields):
        raise DamagedError("a wrong named tuple")

    def new(kind: type, *values: Any) -> Any:
        return tuple.__new__(kind, values)

    def shown(self: Any) -> str:
        pairs = [f"{field}={value!r}" for field, value in zip(fields, self, strict=True)]
        return f"{name}({', '.join(pairs)})"

    getters: list[tuple[str, Callable[[Any], Any]]] = [
        (field, operator.itemgetter(place)) for place, field in enumerate(fields)
    ]
    body: dict[str, Any] = {field: property(get) for field, get in getters}
    body |= {"__new__": new, "__repr__": shown, "_fields": fields, "__slots__": ()}
    return type(name, (tuple,), body)
