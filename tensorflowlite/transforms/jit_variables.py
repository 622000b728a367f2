"""What a function reads from around it: the variables that it names, and what they hold."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..core.tensor import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_SEQUENCES = (list, tuple, set, frozenset)
_DEFINITIONS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)
_PACKAGE = __name__.partition(".")[0]
DEPTH = 3  # of lists in lists
Missing: Any = object()


class Source(NamedTuple):
    """Where variables are found again, for `jit_identity` to look there.

    ``kind`` says what ``of`` is: ``"cells"`` of a closure; ``"names"``, pairs of a dict and a name;
    ``"attributes"``, pairs of an object and a name; an object that is ``"held"``, whose items or
    attributes they are.
    """

    kind: str
    of: Any


class Variables(NamedTuple):
    """Some variables: whose they are, their names, what gives their contents now, and the source.

    Of sources that aren't held, the contents are those of the variables themselves. ``of`` is the
    identity of what reads them.
    """

    where: str
    names: tuple[str, ...]
    read: Callable[[], tuple[Any, ...]]
    source: Source
    of: int = 0


def is_plain(value: Any) -> bool:
    """Whether a value is compared as such; of others the identity is."""
    return type(value) in _PLAIN


def contents(values: Iterable[Any], depth: int = DEPTH) -> tuple[Any, ...]:
    """Return values, and what lists, tuples, sets and dicts hold; of objects, their tensors.

    Of the latter no more, for counters and the like change at every call; but of namespaces and
    data classes all fields. Of what has names or keys, these too. A set counts as what it gives one
    after the other, for a function that goes through it does so in that order.
    """
    found: list[Any] = []
    for value in values:
        found.append(value)
        kind = type(value)
        if kind in _PLAIN or kind is Tensor or not depth:
            continue
        if kind in _SEQUENCES:
            found += contents(tuple(value), depth - 1)
        elif kind is dict:
            found += contents((*value, *value.values()), depth - 1)
        elif has_contents(value):
            found += fields(value)
    return tuple(found)


def has_contents(value: Any) -> bool:
    """Whether `fields` of an object are looked at: not of definitions and modules."""
    return (
        (hasattr(value, "__dict__") or has_all_compared(value))
        and not isinstance(value, _DEFINITIONS)
        and not hasattr(value, "named_modules")
    )


def has_all_compared(value: Any) -> bool:
    """Whether `fields` of an object are all that it holds, not its tensors alone."""
    return type(value) is types.SimpleNamespace or hasattr(type(value), "__dataclass_fields__")


def fields(value: Any) -> list[Any]:
    """Return the names and then the values that are compared of an object: of most, the tensors."""
    held = getattr(value, "__dict__", None) or {}
    if has_all_compared(value):
        return [*held, *held.values(), *[slot_of(value, one) for one in slots_of(type(value))]]
    tensors = tensors_of(held)
    return [*tensors, *tensors.values()]


def tensors_of(held: dict[str, Any]) -> dict[str, Any]:
    """Return what of a dict are tensors."""
    return {name: one for name, one in held.items() if type(one) is Tensor}


def slots_of(kind: type) -> tuple[Any, ...]:
    """Return the descriptors of the slots that a class and its bases declare."""
    return tuple([
        one for base in kind.__mro__ if "__slots__" in vars(base)
        for one in vars(base).values() if type(one) is types.MemberDescriptorType
    ])  # fmt: skip


def slot_of(value: Any, descriptor: Any) -> Any:
    """Return what stands in a slot of an object; `Missing` where nothing does."""
    try:
        return descriptor.__get__(value)
    except AttributeError:
        return Missing


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

    Followed are those of the same package (or program) as the first. Of what is reached through
    attributes, plain values and tensors of modules that the code names.
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
        yield _held(where, ("func", "args"), (value.func, value.args, value.keywords))
        return
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        # Modules and what is ours have guards of their own.
        ours = hasattr(owner, "named_modules") or _package_of(type(owner)) == _PACKAGE
        source = Source("held", (owner,) if ours else owner)
        inside = (lambda: ()) if ours else functools.partial(_all_of, owner)
        yield Variables(where, ("self",), lambda: (owner, *inside()), source)
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        yield Variables(where, ("__wrapped__",), lambda: (wrapped,), Source("held", (wrapped,)))
    function = getattr(value, "__func__", value)
    code = getattr(function, "__code__", None)
    if _package_of(function) == _PACKAGE and not hasattr(value, "named_modules"):
        return
    if code is None:
        if owner is None and not callable(value):
            yield _held(where, ("argument",), (value,))
        elif hasattr(value, "named_modules"):
            kinds = dict.fromkeys(map(type, value.modules()))
            source = Source("attributes", tuple([(kind, "forward") for kind in kinds]))
            yield Variables(where, ("module",), lambda: (value, *_forwards(value)), source)
        return
    yield from _of_code(where, function, code)


def _of_code(where: str, function: Any, code: types.CodeType) -> Iterator[Variables]:
    cells = function.__closure__ or ()
    if cells:
        yield _followed(where, code.co_freevars, Source("cells", cells))
    variables = function.__globals__
    names = tuple(dict.fromkeys([name for name in _names(code) if name in variables]))
    if names:
        yield _followed(where, names, Source("names", tuple([(variables, one) for one in names])))
    defaults = ("__defaults__", "__kwdefaults__")
    if any(getattr(function, name) for name in defaults):
        source = Source("attributes", tuple([(function, name) for name in defaults]))
        yield _followed(where, defaults, source)
    known = {name: variables[name] for name in names}
    known.update(zip(code.co_freevars, map(_content, cells), strict=True))
    known = {name: one for name, one in known.items() if _is_module(one)}
    found = tuple(dict.fromkeys(_looked_up(code, known))) if known else ()
    if found:
        pairs = tuple([(vars(module), name) for module, name in found])
        names = tuple([f"{module.__name__}.{name}" for module, name in found])
        yield _followed(where, names, Source("names", pairs))


def _followed(where: str, names: tuple[str, ...], source: Source) -> Variables:
    return Variables(where, names, lambda: contents(values_of(source)), source)


def _held(where: str, names: tuple[str, ...], values: tuple[Any, ...]) -> Variables:
    return Variables(where, names, lambda: contents(values), Source("held", values))


def values_of(source: Source) -> tuple[Any, ...]:
    """Return the variables that stand in a source now, which isn't one that is held."""
    if source.kind == "cells":
        return tuple(map(_content, source.of))
    if source.kind == "names":
        return tuple([held.get(name, Missing) for held, name in source.of])
    return tuple([getattr(one, name, Missing) for one, name in source.of])


@functools.lru_cache(maxsize=1024)
def users_classes(kind: type) -> tuple[type, ...]:
    """Return the classes that a class follows from, but for ours."""
    classes = [one for one in kind.__mro__ if one is not object]
    return tuple([one for one in classes if _package_of(one) != _PACKAGE])


def class_attributes(kind: type) -> tuple[Any, ...]:
    """Return the plain values and tensors that a class holds for all its objects, with names."""
    found = {
        name: value for name, value in vars(kind).items()
        if not name.startswith("__") and (type(value) in _PLAIN or type(value) is Tensor)
    }  # fmt: skip
    return (*found, *found.values())


def _all_of(owner: Any) -> tuple[Any, ...]:
    """Return what a bound method reads of its object: all but other objects' insides."""
    held = getattr(owner, "__dict__", {})
    slots = [slot_of(owner, one) for one in slots_of(type(owner))]
    return contents((*held, *held.values(), *slots))


def _forwards(module: Any) -> list[Any]:
    """Return what calls of a module and of those inside run."""
    return list(dict.fromkeys([type(one).forward for one in module.modules()]))


def _names(code: Any) -> Iterator[str]:
    """Yield the names that a function's code and that of functions inside it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_module(value: Any) -> bool:
    """Whether a value is a module of others than us."""
    return isinstance(value, types.ModuleType) and (value.__name__.partition(".")[0] != _PACKAGE)


def _looked_up(code: types.CodeType, known: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Yield the modules, and the names of plain values and tensors that code looks up in them."""
    import dis  # where a function is recorded that names a module: not at import

    at: Any = None
    for step in dis.get_instructions(code):
        name = step.argval
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"):
            at = known.get(name)
        elif at is not None and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            value = vars(at).get(name, Missing)
            if type(value) in _PLAIN or type(value) is Tensor:
                yield at, name
            at = value if _is_module(value) else None
        elif step.opname != "EXTENDED_ARG":
            at = None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _looked_up(constant, known)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return Missing
