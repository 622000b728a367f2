"""What a function reads from around it: the variables that it names, and what they hold."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..core.tensor import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_DEFINITIONS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)
_PACKAGE = __name__.partition(".")[0]
DEPTH = 3  # of lists in lists
Missing: Any = object()


class Variables(NamedTuple):
    """Some variables: whose they are, their names, and what gives their contents now.

    ``values`` gives the variables themselves, where their contents follow from them; ``of`` is the
    identity of what reads them.
    """

    where: str
    names: tuple[str, ...]
    read: Callable[[], tuple[Any, ...]]
    values: Callable[[], tuple[Any, ...]] | None = None
    of: int = 0


def is_plain(value: Any) -> bool:
    """Whether a value is compared as such; of others the identity is."""
    return type(value) in _PLAIN


def contents(values: Iterable[Any], depth: int = DEPTH) -> tuple[Any, ...]:
    """Return values, and what lists, tuples and dicts among them hold; of objects, their tensors.

    Of the latter no more, for counters and the like change at every call; but of namespaces and
    data classes all fields.
    """
    found: list[Any] = []
    for value in values:
        found.append(value)
        kind = type(value)
        if kind in _PLAIN or kind is Tensor or not depth:
            continue
        if kind is list or kind is tuple:
            found += contents(value, depth - 1)
        elif kind is dict:
            found += contents(value.values(), depth - 1)
        elif has_contents(value):
            found += fields(value)
    return tuple(found)


def has_contents(value: Any) -> bool:
    """Whether `fields` of an object are looked at: not of definitions and modules."""
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, _DEFINITIONS)
        and not hasattr(value, "named_modules")
    )


def fields(value: Any) -> list[Any]:
    """Return what an object holds that is compared: of most, the tensors."""
    held = getattr(value, "__dict__", None)
    if not held:
        return []
    if type(value) is types.SimpleNamespace or hasattr(type(value), "__dataclass_fields__"):
        return list(held.values())
    return [one for one in held.values() if type(one) is Tensor]


def modules_in(values: Iterable[Any]) -> dict[int, Any]:
    """Return the modules among values, and those inside them, by identity."""
    return {
        id(module): module
        for value in values
        if hasattr(value, "named_modules") and not isinstance(value, type)
        for module in value.modules()
    }


def variables_of(functions: Sequence[Any]) -> Iterator[Variables]:
    """Yield what functions read from around them, and the functions that they name or close over.

    Followed are those of the same package (or program) as the first; what is reached through
    attributes isn't.
    """
    waiting, seen = list(functions), set()
    home = _package_of(functions[0])
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for variables in _of_one(one):
            yield variables._replace(of=id(one))
            waiting += [value for value in variables.read() if _is_followed(value, home)]


def _package_of(value: Any) -> str:
    """Return the package of a function, of what it wraps, or of a module's class."""
    while isinstance(value, functools.partial):
        value = value.func
    value = getattr(value, "__wrapped__", value)
    name = getattr(value, "__module__", None) or type(value).__module__
    return str(name).partition(".")[0]


def _is_followed(value: Any, home: str) -> bool:
    if isinstance(value, functools.partial):
        return True
    if isinstance(value, types.FunctionType | types.MethodType) or hasattr(value, "__wrapped__"):
        return not isinstance(value, type) and _package_of(value) in {home} - {_PACKAGE}
    return False


def _of_one(value: Any) -> Iterator[Variables]:
    where = getattr(value, "__name__", type(value).__name__)
    if isinstance(value, functools.partial):
        yield Variables(where, ("func", "args"), lambda: contents(
            (value.func, value.args, value.keywords)))  # fmt: skip
        return
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        yield Variables(where, ("self",), lambda: (owner, *_attributes(owner)))
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        yield Variables(where, ("__wrapped__",), lambda: (wrapped,))
    function = getattr(value, "__func__", value)
    code = getattr(function, "__code__", None)
    if _package_of(function) == _PACKAGE and not hasattr(value, "named_modules"):
        return
    if code is None:
        if owner is None and not callable(value):
            yield Variables(where, ("argument",), lambda: contents((value,)))
        elif hasattr(value, "named_modules"):
            yield Variables(where, ("module",), lambda: (value, *_forwards(value)))
        return
    cells = function.__closure__ or ()
    if cells:
        yield _followed(where, code.co_freevars, lambda: tuple(map(_content, cells)))
    variables = function.__globals__
    names = tuple(dict.fromkeys([name for name in _names(code) if name in variables]))
    if names:
        yield _followed(
            where, names, lambda: tuple([variables.get(name, Missing) for name in names])
        )


def _followed(where: str, names: tuple[str, ...], values: Any) -> Variables:
    return Variables(where, names, lambda: contents(values()), values)


@functools.lru_cache(maxsize=1024)
def _users_classes(kind: type) -> tuple[type, ...]:
    classes = [one for one in kind.__mro__ if one is not object]
    return tuple([one for one in classes if _package_of(one) != _PACKAGE])


def class_attributes(kind: type) -> list[Any]:
    """Return the plain values and tensors that classes of the user's hold for all their objects."""
    return [
        value
        for one in _users_classes(kind)
        for name, value in vars(one).items()
        if not name.startswith("__") and (type(value) in _PLAIN or type(value) is Tensor)
    ]


def _attributes(owner: Any) -> tuple[Any, ...]:
    """Return what a bound method reads of its object: all but other objects' insides."""
    if hasattr(owner, "named_modules") or _package_of(type(owner)) == _PACKAGE:
        return ()
    return contents(getattr(owner, "__dict__", {}).values())


def _forwards(module: Any) -> list[Any]:
    """Return what calls of a module and of those inside run."""
    return list(dict.fromkeys([type(one).forward for one in module.modules()]))


def _names(code: Any) -> Iterator[str]:
    """Yield the names that a function's code and that of functions inside it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return Missing
