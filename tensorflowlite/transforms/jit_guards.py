"""When a recording still means the same: what is checked before each replay.

The key of a call says nothing of what the function reads beside its arguments. Each such thing that
the recording met is compared: tensors from outside and their arrays, gradients, attributes of
modules and optimizers, variables that the function closes over.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any

from ..core.capture import Session
from ..core.tensor import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_DEFINITIONS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)
Missing: Any = object()


class Guards:
    """What one recording depends on.

    ``holds()`` returns "" where everything is as it was, else what has changed.
    """

    def __init__(self, session: Session, function: Any) -> None:
        self._names: dict[str, Any] = {}
        self._lines: list[str] = []
        self._tell: list[str] = []
        young = {id(one) for one in session.young()}
        for one in session.outside:
            tensor = one.tensor()
            if tensor is not None and id(tensor) not in young:
                self._add_tensor(tensor, one)
        for leaf, tensor in session.grads_missing.items():
            if leaf not in session.grads_set:
                self._add_missing(tensor, leaf)
        for owner, values, found in session.observed.values():
            self._add_owner(owner, values, found)
        for names, read in variables_of(function):
            self._add_variables(names, read)
        source = "\n".join(["def holds():", *self._lines, "    return -1"])
        exec(compile(source, "<guards>", "exec"), self._names)
        self._holds: Callable[[], int] = self._names["holds"]

    def holds(self) -> str:
        """Return "" where the recording still fits, else what has changed."""
        failed = self._holds()
        return "" if failed < 0 else self._tell[failed]

    def _check(self, condition: str, tell: str, **names: Any) -> None:
        number = len(self._tell)
        self._tell.append(tell)
        for name, value in names.items():
            self._names[f"{name}{number}"] = value
        numbered = condition.replace("#", str(number))
        self._lines.append(f"    if {numbered}: return {number}")

    def _add_tensor(self, tensor: Tensor, one: Any) -> None:
        what = f"a tensor from outside, {one.array.dtype.name} {tuple(one.array.shape)}"
        self._lines.append(f"    t = r{len(self._tell)}()")
        self._check("t is None or t.array is not a#", f"{what}, holds another array or is gone",
                    r=weakref.ref(tensor), a=one.array)  # fmt: skip
        self._check("t.node is not n#", f"{what}: whether it requires grad", n=tensor.node)
        if one.grad == "none":
            self._check("t.node.grad is not None", f"{what}: its gradient was None")
        elif one.grad == "kept":
            self._check("t.node.grad is not g#", f"{what}: its gradient was another tensor",
                        g=one.before)  # fmt: skip

    def _add_missing(self, tensor: Tensor, leaf: Any) -> None:
        what = f"a tensor without a gradient, {tensor.dtype.name} {tensor.shape}"
        self._lines.append(f"    t = r{len(self._tell)}()")
        self._check("t is None or t.node is not n# or t.node.grad is not None", f"{what}, has one",
                    r=weakref.ref(tensor), n=leaf)  # fmt: skip

    def _add_owner(self, owner: Any, values: Callable[[Any], Any], found: Any) -> None:
        self._names["differs"] = differs
        self._check("differs(r#(), v#, f#)", f"an attribute of {type(owner).__name__}",
                    r=weakref.ref(owner), v=values, f=_remembered(found))  # fmt: skip

    def _add_variables(self, names: tuple[str, ...], read: Callable[[], Any]) -> None:
        self._names["differs"] = differs
        listed = ", ".join(names)
        self._check("differs(True, v#, f#)", f"a variable that the function reads: one of {listed}",
                    v=lambda _, read=read: read(), f=_remembered(read()))  # fmt: skip


def _remembered(values: tuple[Any, ...]) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """Return identities, and the plain values; anything else isn't kept alive."""
    plain = tuple([one if type(one) in _PLAIN else Missing for one in values])
    return tuple(map(id, values)), plain


def differs(owner: Any, values: Callable[[Any], Any], found: Any) -> bool:
    """Whether an object holds other values than those remembered."""
    if owner is None:
        return True
    identities, plain = found
    now = values(owner)
    if tuple(map(id, now)) == identities:
        return False
    if len(now) != len(plain):
        return True
    for value, was, identity in zip(now, plain, identities, strict=True):
        if id(value) == identity:
            continue
        if was is Missing or type(value) is not type(was) or value != was:
            return True
    return False


def variables_of(function: Any) -> list[tuple[tuple[str, ...], Callable[[], tuple[Any, ...]]]]:
    """Return what a function reads from around it: names, and what gives the values now."""
    found: list[tuple[tuple[str, ...], Callable[[], tuple[Any, ...]]]] = []
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        found.append((("self",), lambda: _contents((owner,))))
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return found
    cells = function.__closure__ or ()
    if cells:
        found.append((code.co_freevars, lambda: _contents([_content(cell) for cell in cells])))
    variables = function.__globals__
    names = tuple([name for name in code.co_names if name in variables])
    if names:
        found.append((names, lambda: _contents([variables.get(name, Missing) for name in names])))
    return found


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return Missing


def _contents(values: Any, depth: int = 3) -> tuple[Any, ...]:
    """Return values, and what lists, tuples and dicts among them hold; of objects, their tensors.

    Of the latter no more, for counters and the like change at every call.
    """
    found: list[Any] = []
    for value in values:
        found.append(value)
        kind = type(value)
        if depth and (kind is list or kind is tuple):
            found += _contents(value, depth - 1)
        elif depth and kind is dict:
            found += _contents(value.values(), depth - 1)
        elif depth and kind not in _PLAIN and not isinstance(value, _DEFINITIONS):
            held = getattr(value, "__dict__", None)
            if held:
                found += [one for one in held.values() if type(one) is Tensor]
    return tuple(found)
