"""A quick look at whether anything that a guard compares was exchanged.

Most replays find the very objects of the recording. The look goes through what stood there and
compares identities; where it finds another object, the guard compares values. The native extension
looks (``csrc/identities_module.cpp``), or straight-line Python that is made for what stood there.

Of what is looked at only plain values are kept alive: of another object the identity may come again
when it is gone, so whoever holds it is asked for its type first.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..core.nodes import Leaf
from ..core.tensor import Tensor
from .jit_variables import (
    DEPTH,
    Missing,
    Source,
    has_all_compared,
    has_contents,
    is_plain,
    slot_of,
    slots_of,
    tensors_of,
    values_of,
)

_MOST = 200  # lists and the like of one root; to go through more takes as long as to compare them
Any_: Any = object()  # stands for whatever a slot holds
Empty: Any = object()  # stands for None and an empty list
_FORMS: dict[Any, str] = {list: "list", tuple: "tuple", dict: "dict", set: "set", frozenset: "set"}
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)
_OURS = {Tensor: ("array", "node"), Leaf: ("hooks", "grad")}


class Node(NamedTuple):
    """How an object held others.

    ``form`` is ``"list"``, ``"tuple"``, ``"set"``; ``"dict"``, and ``"object"`` and ``"type"`` for
    the ``__dict__`` of one (``found`` holds the keys, then the values); ``"tensors"`` for those in
    it; ``"slots"``; ``"values"`` for what a root gives. ``type`` is what the object must be.
    ``inner`` are pairs of a place in ``found`` and the node of what stood there; what is in
    ``kept`` stays alive.
    """

    form: str
    type: Any
    found: tuple[Any, ...]
    slots: tuple[Any, ...] = ()
    inner: tuple[tuple[int, Node], ...] = ()
    kept: tuple[Any, ...] = ()


class Root(NamedTuple):
    """Where to look, and what was there; without a node everything counts as exchanged.

    ``source`` is a kind of `jit_variables.Source`; ``"weak"``, a weak reference to the object; or
    ``"call"``, a function and a weak reference to its argument.
    """

    source: str
    of: Any
    node: Node | None


class _Count:
    """How many nodes a root may have still."""

    def __init__(self) -> None:
        self.left = _MOST


def root_of(source: Source) -> Root:
    """Return a root for variables, as they are now."""
    if source.kind != "held":
        found = values_of(source)
        return Root(source.kind, source.of, _within(lambda count: _values(found, count)))
    if type(source.of) is tuple:
        return Root("held", source.of, _within(lambda count: _items(source.of, DEPTH, count)))
    return Root("held", (source.of,), _within(lambda count: _owner(source.of, count)))


def root_of_call(call: tuple[Any, Any], found: tuple[Any, ...]) -> Root:
    """Return a root for what a function makes of an object that is weakly referred to.

    What stands in lists there isn't looked at.
    """
    return Root("call", call, Node("values", None, found, kept=_plain(found)))


def root_of_object(reference: Any, value: Any) -> Root:
    """Return a root for all that an object, weakly referred to, has in its ``__dict__``."""
    return Root("weak", reference, _within(lambda count: _dict_of(value, DEPTH, count)))


def root_of_class(reference: Any, kind: type) -> Root:
    """Return a root for what a class, weakly referred to, defines."""
    held = vars(kind)
    found = (*held, *held.values())
    return Root("weak", reference, Node("type", type(kind), found, kept=_plain(found)))


def root_of_tensor(
    reference: Any, kind: type, leaf: bool, *, array: Any = Any_, hooks: Any = Empty,
    grad: Any = Any_,
) -> Root:  # fmt: skip
    """Return a root for a tensor: its array, whether it requires grad, its hooks and gradient."""
    inner: tuple[tuple[int, Node], ...] = ()
    if leaf:
        inner = ((1, Node("slots", Leaf, (hooks, grad), _slots(Leaf), kept=(grad,))),)
    found = (array, Any_ if leaf else None)
    return Root("weak", reference, Node("slots", kind, found, _slots(Tensor), inner, (array,)))


def _slots(kind: type) -> tuple[Any, ...]:
    return tuple([vars(kind)[name] for name in _OURS[kind]])


class _Unseen(Exception):
    """A quick look would go through too much, or can't see it."""


def _within(build: Callable[[_Count], Node | None]) -> Node | None:
    try:
        return build(_Count())
    except _Unseen:
        return None


def _plain(found: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([one for one in found if is_plain(one)])


def _node(form: str, kind: Any, found: tuple[Any, ...], depth: int, count: _Count,
          slots: tuple[Any, ...] = ()) -> Node:  # fmt: skip
    count.left -= 1
    if count.left < 0:
        raise _Unseen
    inner = [
        (place, node)
        for place, value in enumerate(found if depth else ())
        for node in _nodes(value, depth - 1, count)
    ]
    return Node(form, kind, found, slots, tuple(inner), _plain(found))


def _values(found: tuple[Any, ...], count: _Count) -> Node:
    return _node("values", None, found, DEPTH, count)


def _items(value: Any, depth: int, count: _Count) -> Node:
    kind = type(value)
    found = (*value, *value.values()) if kind is dict else tuple(value)
    return _node(_FORMS[kind], kind, found, depth, count)


def _nodes(value: Any, depth: int, count: _Count) -> list[Node]:
    """Return what is looked at of a value: as `contents` goes into it."""
    kind = type(value)
    if kind in _FORMS:
        return [_items(value, depth, count)]
    if is_plain(value) or kind is Tensor or not has_contents(value):
        return []
    if has_all_compared(value):
        return _all(value, 0, count)
    return [_node("tensors", kind, _tensors(_dict(value)), 0, count)]


def _tensors(held: dict[str, Any]) -> tuple[Any, ...]:
    found = tensors_of(held)
    return (*found, *found.values())


def _all(value: Any, depth: int, count: _Count) -> list[Node]:
    made = [_dict_of(value, depth, count)] if hasattr(value, "__dict__") else []
    slots = slots_of(type(value))
    if slots:
        found = tuple([slot_of(value, one) for one in slots])
        made.append(_node("slots", type(value), found, depth, count, slots))
    return made


def _owner(owner: Any, count: _Count) -> Node:
    inner = [(0, node) for node in _all(owner, DEPTH, count)]
    return Node("tuple", tuple, (owner,), (), tuple(inner), ())


def _dict_of(value: Any, depth: int, count: _Count) -> Node:
    held = _dict(value)
    return _node("object", type(value), (*held, *held.values()), depth, count)


def _dict(value: Any) -> dict[str, Any]:
    """Return the ``__dict__`` of an object; one that its class makes up isn't looked at."""
    for base in type(value).__mro__:
        if "__dict__" in vars(base):
            if type(vars(base)["__dict__"]) not in _DESCRIPTORS:
                raise _Unseen
            break
    held = value.__dict__
    if type(held) is not dict:
        raise _Unseen
    return held


# -- looking -------------------------------------------------------------------------------------
def looking(roots: Sequence[Root]) -> Callable[[int], int]:
    """Return a function that looks at roots, from a number on.

    It returns the number of the first one that holds other objects, or is gone; -1 if none does.

    Examples
    --------
    >>> inner = [1, 2]
    >>> first = looking([root_of(Source("held", (inner, "a")))])
    >>> first(0)
    -1
    >>> inner.append(3)
    >>> first(0), first(1)
    (0, -1)
    """
    from ..backend.native import extension as native  # at the first recording

    module = native.module
    if module is None:
        return looking_in_python(roots)
    first: Callable[[int], int] = module.Identities(
        tuple(roots), Tensor, Missing, Any_, Empty
    ).first
    return first


def looking_in_python(roots: Sequence[Root]) -> Callable[[int], int]:
    """Return what `looking` does, as Python."""
    names: dict[str, Any] = {
        "Missing": Missing, "Empty": Empty, "slot_of": slot_of, "values_of": values_of,
        "tensors": _tensors, "type": type, "tuple": tuple, "map": map, "id": id,
    }  # fmt: skip
    lines = ["def first(start):"]
    for number, root in enumerate(roots):
        lines.append(f"    if start <= {number}:")
        for line in _of_root(root, number, names):
            lines.append(f"        {line}")
    lines.append("    return -1")
    exec(compile("\n".join(lines), "<guards>", "exec"), names)
    first: Callable[[int], int] = names["first"]
    return first


def _of_root(root: Root, number: int, names: dict[str, Any]) -> list[str]:
    if root.node is None:
        return [f"return {number}"]
    of, lines = f"r{number}", []
    if root.source == "weak":
        names[of] = root.of
        lines = [f"o = {of}()", f"if o is None: return {number}"]
    elif root.source == "held":
        names[of] = root.of
        lines = [f"o = {of}"]
    elif root.source == "call":
        names[f"f{number}"], names[of] = root.of
        lines = [f"o = {of}()", f"if o is None: return {number}", f"o = f{number}(o)"]
    else:
        names[of] = Source(root.source, root.of)
        lines = [f"o = values_of({of})"]
    _of_node(root.node, "o", number, names, lines)
    return lines


def _of_node(node: Node, value: str, number: int, names: dict[str, Any], lines: list[str]) -> None:
    """Add lines that return a number where an object doesn't hold what a node has found."""
    own = len(names)
    names[f"t{own}"], names[f"k{own}"] = node.type, node.kept
    if node.form != "values":
        lines.append(f"if type({value}) is not t{own}: return {number}")
    held = f"v{own}"
    if node.form == "slots":
        _of_slots(node, value, own, number, names, lines)
    else:
        lines.append(f"{held} = {_TEXTS[node.form].format(value)}")
        names[f"i{own}"] = tuple(map(id, node.found))
        lines.append(f"if tuple(map(id, {held})) != i{own}: return {number}")
    for place, inner in node.inner:
        _of_node(inner, f"{held}[{place}]", number, names, lines)


_TEXTS = {
    "values": "{0}", "list": "{0}", "tuple": "{0}", "set": "tuple({0})",
    "dict": "(*{0}, *{0}.values())",
    "object": "(*{0}.__dict__, *{0}.__dict__.values())",
    "type": "(*{0}.__dict__, *{0}.__dict__.values())",
    "tensors": "tensors({0}.__dict__)",
}  # fmt: skip


def _of_slots(node: Node, value: str, own: int, number: int, names: dict[str, Any],
              lines: list[str]) -> None:  # fmt: skip
    ours = node.type is Leaf or issubclass(node.type, Tensor)
    texts = []
    for place, (slot, found) in enumerate(zip(node.slots, node.found, strict=True)):
        names[f"s{own}_{place}"] = slot
        texts.append(f"{value}.{slot.__name__}" if ours else f"slot_of({value}, s{own}_{place})")
        if found is Any_:
            continue
        if found is Empty:
            lines.append(f"if {texts[-1]}: return {number}")
            continue
        names[f"i{own}_{place}"] = id(found)
        lines.append(f"if id({texts[-1]}) != i{own}_{place}: return {number}")
    if node.inner:
        lines.append(f"v{own} = ({', '.join(texts)},)")
