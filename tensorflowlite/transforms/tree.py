"""Trees: tuples, lists, named tuples and dicts, nested, with None or anything else as leaves.

The transforms of functions see their arguments and results as the leaves of such trees. None is a
tree without leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import ArgumentError


class Structure:
    """What is left of a tree without its leaves; equal where the trees are built alike.

    ``kind`` is the type of the node, `Leaf` or None; ``keys`` are those of a dict, else the places.
    """

    __slots__ = ("kind", "keys", "children", "count")

    def __init__(self, kind: Any, keys: tuple[Any, ...], children: tuple[Structure, ...]) -> None:
        self.kind, self.keys, self.children = kind, keys, children
        self.count: int = 1 if kind is Leaf else sum([child.count for child in children])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure) or self.kind is not other.kind:
            return False
        if not _is_dict(self.kind):
            return self.keys == other.keys and self.children == other.children
        ours = dict(zip(self.keys, self.children, strict=True))
        return ours == dict(zip(other.keys, other.children, strict=True))

    def __hash__(self) -> int:
        return hash((self.kind, frozenset(self.keys), self.count))

    def __repr__(self) -> str:
        if self.kind is Leaf:
            return "*"
        if self.kind is None:
            return "None"
        inside = [
            f"{key!r}: {child!r}" if _is_dict(self.kind) else repr(child)
            for key, child in zip(self.keys, self.children, strict=True)
        ]
        opening, closing = ("[", "]") if self.kind is list else ("(", ")")
        if _is_dict(self.kind):
            opening, closing = "{", "}"
        return opening + ", ".join(inside) + closing


class Leaf:
    """The kind of a structure that is one leaf."""


LEAF = Structure(Leaf, (), ())
NONE = Structure(None, (), ())


def _is_dict(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, dict)


def parts_of(tree: Any) -> tuple[tuple[Any, ...], Iterable[Any]] | None:
    """Return the keys and the values of a node of a tree; None for a leaf."""
    if isinstance(tree, dict):
        return tuple(tree), tree.values()
    if isinstance(tree, list | tuple):
        return tuple(range(len(tree))), tree
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a tree, and what is left of it."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    if tree is None:
        return NONE
    parts = parts_of(tree)
    if parts is None:
        leaves.append(tree)
        return LEAF
    keys, values = parts
    return Structure(type(tree), keys, tuple([_flatten(value, leaves) for value in values]))


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Return the tree of a structure with ``leaves`` in it."""
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Iterator[Any]) -> Any:
    kind = structure.kind
    if kind is Leaf:
        return next(leaves)
    if kind is None:
        return None
    values = [_build(child, leaves) for child in structure.children]
    if _is_dict(kind):
        pairs = zip(structure.keys, values, strict=True)
        # A defaultdict takes its factory first: what comes back is a plain dict.
        return dict(pairs) if hasattr(kind, "__missing__") else kind(pairs)
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return the tree with ``function`` of its leaves, and of those of others built alike."""
    leaves, structure = flatten(tree)
    rest = [flatten_like("map_leaves", structure, other) for other in others]
    return unflatten(structure, [function(*row) for row in zip(leaves, *rest, strict=True)])


def flatten_like(name: str, structure: Structure, tree: Any) -> list[Any]:
    """Return the leaves of a tree that must have a structure, in that structure's order."""
    leaves: list[Any] = []
    _match(name, structure, tree, leaves, "")
    return leaves


def _match(name: str, wanted: Structure, tree: Any, leaves: list[Any], path: str) -> None:
    if wanted.kind is Leaf:
        if tree is None or parts_of(tree) is not None:
            raise ArgumentError(
                f"{name}: a leaf is needed{_at(path)}, got {_kind_of(tree)}; the trees must be "
                "built alike"
            )
        leaves.append(tree)
        return
    if wanted.kind is None:
        if tree is not None:
            raise ArgumentError(f"{name}: None is needed{_at(path)}, got {_kind_of(tree)}")
        return
    parts = parts_of(tree)
    if parts is None or not _alike(wanted, tree) or set(parts[0]) != set(wanted.keys):
        raise ArgumentError(
            f"{name}: the trees must be built alike, got {_kind_of(tree)}{_at(path)} for {wanted!r}"
        )
    values = dict(zip(*parts, strict=True))
    for key, child in zip(wanted.keys, wanted.children, strict=True):
        _match(name, child, values[key], leaves, f"{path}[{key!r}]")


def _alike(wanted: Structure, tree: Any) -> bool:
    """Whether a tree's node is of the wanted kind: any dict for a dict, any sequence for one."""
    return _is_dict(wanted.kind) == isinstance(tree, dict)


def _kind_of(tree: Any) -> str:
    return "None" if tree is None else type(tree).__name__


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def paths(structure: Structure, path: str = "") -> list[str]:
    """Return how each leaf is reached from the tree, as it is written in Python."""
    if structure.kind is Leaf:
        return [path]
    return [
        found
        for key, child in zip(structure.keys, structure.children, strict=True)
        for found in paths(child, f"{path}[{key!r}]")
    ]
