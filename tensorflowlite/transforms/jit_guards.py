"""When a recording still means the same: what is checked before each replay.

The key of a call says nothing of what the function reads beside its arguments. Each such thing that
the recording met is compared: tensors from outside and their arrays, gradients, hooks, attributes
of modules and optimizers, and the variables of the function and of those that it calls by name.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from ..core.capture import Outside, Session, hooks_of
from ..core.nodes import Leaf
from ..core.tensor import Tensor
from ..errors import CaptureError
from .jit_identity import (
    Any_,
    Empty,
    Root,
    looking,
    root_of,
    root_of_call,
    root_of_class,
    root_of_object,
    root_of_tensor,
)
from .jit_variables import (
    Missing,
    class_attributes,
    contents,
    is_plain,
    modules_in,
    users_classes,
    variables_of,
)


class Guards:
    """What one recording depends on.

    ``holds()`` returns "" where everything is as it was, else what has changed.
    """

    def __init__(self, session: Session, function: Any, leaves: list[Any]) -> None:
        self._roots: list[Root] = []
        self._checks: list[Callable[[], str]] = []  # what decides where a root looks changed
        # What is compared, and the identity of whose: of objects that live as long as this holds.
        self._watched: list[tuple[Any, int]] = []
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
                self._add_observed(owner, values, found)
        objects = [leaf for leaf in leaves if type(leaf) is not Tensor and not is_plain(leaf)]
        arguments = {id(x) for x, _ in session.inputs}
        for variables in variables_of([function, *objects]):
            read = variables.read()
            _check_arguments(arguments, read)
            modules.update(modules_in(read))
            what = f"a variable of {variables.where}: one of {', '.join(variables.names)}"
            check = _Check(what, None, variables.read, read)
            self._add(root_of(variables.source), check, what, variables.of)
        self._add_modules(list(modules.values()), arguments)
        self._first = looking(self._roots)

    def holds(self) -> str:
        """Return "" where the recording still fits, else what has changed."""
        at = self._first(0)
        while at >= 0:
            changed = self._checks[at]()
            if changed:
                return changed
            at = self._first(at + 1)
        return ""

    def watches(self) -> tuple[tuple[Any, int], ...]:
        """Return what is compared, and of which objects.

        It is the same for guards that look at the same things, where both hold.
        """
        return tuple(self._watched)

    def _add(self, root: Root, check: Callable[[], str], what: Any, of: int) -> None:
        self._roots.append(root)
        self._checks.append(check)
        self._watched.append((what, of))

    def _add_tensor(self, tensor: Tensor, one: Outside) -> None:
        grad = {"none": None, "kept": one.before}.get(one.grad, Any_)
        reference = weakref.ref(tensor)
        root = root_of_tensor(
            reference, type(tensor), one.differentiated, array=one.array,
            hooks=Empty, grad=grad,
        )  # fmt: skip
        if one.hooks:  # which are compared each time
            root = root._replace(node=None)
        array, differentiated, hooks = one.array, one.differentiated, one.hooks
        what = (array.dtype, array.shape, differentiated, hooks, one.grad)
        check = _TensorCheck(reference, array, differentiated, hooks, grad)
        self._add(root, check, what, id(tensor))

    def _add_missing(self, tensor: Tensor) -> None:
        reference = weakref.ref(tensor)
        what = f"a tensor without a gradient, {tensor.dtype.name} {tensor.shape}"
        root = root_of_tensor(reference, type(tensor), True, hooks=Any_, grad=None)
        self._add(root, functools.partial(_gradient_found, reference, what), what, id(tensor))

    def _add_observed(self, owner: Any, values: Callable[[Any], Any], found: Any) -> None:
        reference = weakref.ref(owner)
        root = root_of_call((values, reference), found)
        what = f"an attribute of {type(owner).__name__}"
        self._add(root, _Check(what, reference, values, found), what, id(owner))

    def _add_modules(self, modules: list[Any], arguments: set[int]) -> None:
        kinds: dict[Any, None] = dict.fromkeys(
            [kind for one in map(type, modules) for kind in users_classes(one)]
        )
        for owners, values, root in (
            (modules, _attributes, root_of_object), (kinds, class_attributes, root_of_class),
        ):  # fmt: skip
            for owner in owners:
                found = values(owner)
                _check_arguments(arguments, found)
                reference = weakref.ref(owner)
                kind = owner if isinstance(owner, type) else type(owner)
                what = f"an attribute of {kind.__name__}"
                check = _Check(what, reference, values, found)
                self._add(root(reference, owner), check, what, id(owner))


class _Check:
    """Compares values of an object, or variables, with those of the recording.

    Called it returns "", or what has changed. Only plain values are kept alive.
    """

    __slots__ = ("what", "owner", "values", "identities", "plain")

    def __init__(self, what: str, owner: Any, values: Callable[..., Any], found: Any) -> None:
        self.what, self.owner, self.values = what, owner, values
        self.identities = tuple(map(id, found))
        self.plain = tuple([one if is_plain(one) else Missing for one in found])

    def __call__(self) -> str:
        if self.owner is None:
            now = self.values()
        else:
            owner = self.owner()
            if owner is None:
                return self.what
            now = self.values(owner)
        return self.what if self._differs(now) else ""

    def _differs(self, now: tuple[Any, ...]) -> bool:
        if tuple(map(id, now)) == self.identities:
            return False
        if len(now) != len(self.plain):
            return True
        for value, was, identity in zip(now, self.plain, self.identities, strict=True):
            if id(value) == identity:
                continue
            # By their text: 0.0 equals -0.0, and NaN not itself.
            if was is Missing or type(value) is not type(was) or repr(value) != repr(was):
                return True
        return False


class _TensorCheck:
    """Compares a tensor from outside with what it was. Called as `_Check`."""

    __slots__ = ("reference", "array", "differentiated", "hooks", "grad")

    def __init__(self, reference: Any, array: Any, differentiated: bool, hooks: tuple[int, ...],
                 grad: Any) -> None:  # fmt: skip
        self.reference, self.array, self.differentiated = reference, array, differentiated
        self.hooks, self.grad = hooks, grad

    def __call__(self) -> str:
        changed = self._changed()
        if not changed:
            return ""
        form = f"{self.array.dtype.name} {tuple(self.array.shape)}"
        return f"a tensor from outside, {form}{changed}"

    def _changed(self) -> str:
        tensor = self.reference()
        if tensor is None or tensor.array is not self.array:
            return ", holds another array or is gone"
        node = tensor.node
        if (type(node) is not Leaf) if self.differentiated else (node is not None):
            return ": whether it requires grad"
        if not self.differentiated:
            return ""
        if hooks_of(tensor) != self.hooks:
            return ": its hooks"
        if self.grad is Any_ or node.grad is self.grad:
            return ""
        return f": its gradient was {'None' if self.grad is None else 'another tensor'}"


def _gradient_found(reference: Any, what: str) -> str:
    tensor = reference()
    if tensor is not None and type(tensor.node) is Leaf and tensor.node.grad is None:
        return ""
    return f"{what}, has one"


def _check_arguments(arguments: set[int], values: Any) -> None:
    """Raise where an argument is one of the things that the function reads from around it."""
    for value in values:
        if type(value) is Tensor and id(value) in arguments:
            raise CaptureError(
                "jit: an argument must not be a tensor that the function reads otherwise too, got "
                f"{value.dtype.name} {value.shape}; pass a copy, or don't pass it"
            )


def _attributes(module: Any) -> tuple[Any, ...]:
    held = module.__dict__
    return contents((type(module), *held, *held.values()))
