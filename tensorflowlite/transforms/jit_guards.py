"""When a recording still means the same: what is checked before each replay.

The key of a call says nothing of what the function reads beside its arguments. Each such thing that
the recording met is compared: tensors from outside and their arrays, gradients, hooks, attributes
of modules and optimizers, and the variables of the function and of those that it calls by name.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..core.capture import Outside, Session, hooks_of
from ..core.nodes import Leaf
from ..core.tensor import Tensor
from ..errors import CaptureError
from .jit_identity import never, unchanged
from .jit_variables import (
    Missing,
    class_attributes,
    contents,
    is_plain,
    modules_in,
    variables_of,
)


class Guards:
    """What one recording depends on.

    ``holds()`` returns "" where everything is as it was, else what has changed.
    """

    def __init__(self, session: Session, function: Any, leaves: list[Any]) -> None:
        self._names: dict[str, Any] = {
            "differs": differs, "hooks_of": hooks_of, "Leaf": Leaf, "type": type,
        }  # fmt: skip
        self._lines: list[str] = []
        self._tell: list[str] = []
        self._watched: list[int] = []  # identities: of objects that live as long as this holds
        young = {id(one) for one in session.young()}
        for one in session.outside:
            tensor = one.tensor()
            if tensor is not None and id(tensor) not in young and one.needed:
                self._add_tensor(tensor, one)
        for tensor, _ in session.grads_missing.items():
            if tensor not in session.grads_set:
                self._add_missing(tensor)
        modules: dict[int, Any] = {}
        for owner, values, found in session.observed.values():
            if hasattr(owner, "named_modules"):
                modules.update(modules_in([owner]))
            else:
                self._add_owner(type(owner).__name__, owner, values, found)
        objects = [leaf for leaf in leaves if type(leaf) is not Tensor and not is_plain(leaf)]
        arguments = {id(x) for x, _ in session.inputs}
        for variables in variables_of([function, *objects]):
            read = variables.read()
            _check_arguments(arguments, read)
            modules.update(modules_in(read))
            self._add_variables(variables, read)
        for module in modules.values():
            _check_arguments(arguments, _attributes(module))
            self._add_owner(
                type(module).__name__, module, _attributes, _attributes(module), _values_of
            )
        source = "\n".join(["def holds():", *self._lines, "    return -1"])
        exec(compile(source, "<guards>", "exec"), self._names)
        self._holds: Callable[[], int] = self._names["holds"]

    def holds(self) -> str:
        """Return "" where the recording still fits, else what has changed."""
        failed = self._holds()
        return "" if failed < 0 else self._tell[failed]

    def watches(self) -> tuple[tuple[str, int], ...]:
        """Return what is compared, and of which objects.

        It is the same for guards that look at the same things, where both hold.
        """
        return tuple(zip(self._tell, self._watched, strict=True))

    def _check(self, of: int, condition: str, tell: str, **names: Any) -> None:
        number = len(self._tell)
        self._tell.append(tell)
        self._watched.append(of)
        for name, value in names.items():
            self._names[f"{name}{number}"] = value
        numbered = condition.replace("#", str(number))
        self._lines.append(f"    if {numbered}: return {number}")

    def _add_tensor(self, tensor: Tensor, one: Outside) -> None:
        what = f"a tensor from outside, {one.array.dtype.name} {tuple(one.array.shape)}"
        self._lines.append(f"    t = r{len(self._tell)}()")
        of = id(tensor)
        self._check(of, "t is None or t.array is not a#", f"{what}, holds another array or is gone",
                    r=weakref.ref(tensor), a=one.array)  # fmt: skip
        if not one.differentiated:
            self._check(of, "t.node is not None", f"{what}: whether it requires grad")
            return
        self._check(of, "type(t.node) is not Leaf", f"{what}: whether it requires grad")
        self._check(of, "t.node.hooks and hooks_of(t) != h#" if not one.hooks else
                    "hooks_of(t) != h#", f"{what}: its hooks", h=one.hooks)  # fmt: skip
        if one.grad == "none":
            self._check(of, "t.node.grad is not None", f"{what}: its gradient was None")
        elif one.grad == "kept":
            self._check(of, "t.node.grad is not g#", f"{what}: its gradient was another tensor",
                        g=one.before)  # fmt: skip

    def _add_missing(self, tensor: Tensor) -> None:
        what = f"a tensor without a gradient, {tensor.dtype.name} {tensor.shape}"
        self._lines.append(f"    t = r{len(self._tell)}()")
        self._check(id(tensor), "t is None or type(t.node) is not Leaf or t.node.grad is not None",
                    f"{what}, has one", r=weakref.ref(tensor))  # fmt: skip

    def _add_owner(
        self, name: str, owner: Any, values: Any, found: Any, quick: Any = None
    ) -> None:
        """Compare values of an object; what they follow from is ``quick`` of it."""
        quick = quick or values
        # The function may have changed them after it used them.
        as_found = tuple(map(id, values(owner))) == tuple(map(id, found))
        same = unchanged(quick(owner)) if as_found else never
        self._lines.append(f"    o = r{len(self._tell)}()")
        self._check(id(owner), "o is None or not same#(q#(o)) and differs(o, v#, f#)",
                    f"an attribute of {name}", r=weakref.ref(owner), q=quick,
                    same=same, v=values, f=_remembered(found))  # fmt: skip

    def _add_variables(self, variables: Any, read: tuple[Any, ...]) -> None:
        names = ", ".join(variables.names)
        quick = variables.values or variables.read
        self._check(variables.of, "not same#(q#()) and differs(True, v#, f#)",
                    f"a variable of {variables.where}: one of {names}", q=quick,
                    same=unchanged(quick()), v=lambda _, read=variables.read: read(),
                    f=_remembered(read))  # fmt: skip


def _check_arguments(arguments: set[int], values: Any) -> None:
    """Raise where an argument is one of the things that the function reads from around it."""
    for value in values:
        if type(value) is Tensor and id(value) in arguments:
            raise CaptureError(
                "jit: an argument must not be a tensor that the function reads otherwise too, got "
                f"{value.dtype.name} {value.shape}; pass a copy, or don't pass it"
            )


def _values_of(module: Any) -> tuple[Any, ...]:
    return (*module.__dict__.values(), *class_attributes(type(module)))


def _attributes(module: Any) -> Any:
    return contents(_values_of(module))


def _remembered(values: tuple[Any, ...]) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """Return identities, and the plain values; anything else isn't kept alive."""
    plain = tuple([one if is_plain(one) else Missing for one in values])
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
        # By their text: 0.0 equals -0.0, and NaN not itself.
        if was is Missing or type(value) is not type(was) or repr(value) != repr(was):
            return True
    return False
