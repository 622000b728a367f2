"""What turns an operation into a method or an operator of `Tensor`."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from ..core.entry import lift
from ..core.tensor import Tensor
from ..core.views import change_in_place
from ..errors import DtypeError, UnsupportedArgumentError


# -- operators -------------------------------------------------------------------------------------
def is_operand(value: Any, like: Tensor) -> bool:
    """Whether an operator can take ``value``: a tensor, an array or a number."""
    try:
        lift(value, like)
    except DtypeError:
        return False
    return True


def operator(function: Any) -> Any:
    """Return an operation as an operator: NotImplemented for what is no operand."""
    if hasattr(function, "operator"):
        return function.operator  # the entry point itself, with that answer built in

    def operate(x: Any, y: Any, /) -> Any:
        if type(y) is not Tensor and not is_operand(y, x):
            return NotImplemented
        return function(x, y)

    return _named(operate, function)


def reflected(function: Any) -> Any:
    """Return an operation as the operator of its second operand."""

    def operate(x: Any, y: Any, /) -> Any:
        try:
            y = lift(y, x)
        except DtypeError:
            return NotImplemented
        return function(y, x)

    return _named(operate, function)


def operator_in_place(function: Any) -> Any:
    """Return an operation as an operator that changes its first operand."""
    op = function.primitive
    name = f"{op.name}_"

    def operate(x: Tensor, y: Any, /) -> Any:
        try:
            y = lift(y, x)
        except DtypeError:
            return NotImplemented
        return change_in_place(op, name, x, y)

    return _named(operate, function)


def in_place(function: Any, name: str = "") -> Any:
    """Return an operation as a method that changes the tensor itself and returns it."""
    op = function.primitive
    name = name or f"{function.__name__}_"

    def change_one(x: Tensor, /) -> Tensor:
        return change_in_place(op, name, x)

    def change_by(x: Tensor, y: Any, /) -> Tensor:
        return change_in_place(op, name, x, lift(y, x))

    change: Any = change_one if len(op.inputs) == 1 else change_by
    change.__name__ = change.__qualname__ = name
    change.__doc__ = f"Like `{function.__name__}`, into the tensor itself; returns it."
    return change


# -- methods ---------------------------------------------------------------------------------------
def renamed(function: Any, **names: str) -> Any:
    """Return an operation as a method that takes PyTorch's keywords too: ``dim="axis"``."""

    def call(x: Tensor, /, *args: Any, **options: Any) -> Any:
        if options:
            for theirs, ours in names.items():
                if theirs in options:
                    if ours in options:
                        raise UnsupportedArgumentError(
                            f"{function.__name__}: one of {ours} and {theirs} is needed, got both"
                        )
                    options[ours] = options.pop(theirs)
        return function(x, *args, **options)

    functools.update_wrapper(call, function)
    call.spellings = names  # type: ignore[attr-defined]
    return call


def later(module: str, names: str, **spellings: str) -> dict[str, Any]:
    """Return methods whose functions, in a file of ``ops/``, come in at first use.

    A method of another name than its function is written ``"inverse=inv"``.
    """
    pairs = [name.partition("=") for name in names.split()]
    return {name: _forwarding(module, function or name, spellings) for name, _, function in pairs}


def _forwarding(module: str, name: str, spellings: dict[str, str]) -> Any:
    found: Any = None

    def resolve() -> Any:
        nonlocal found
        if found is None:
            function = getattr(importlib.import_module(f".{module}", __package__), name)
            found = renamed(function, **spellings) if spellings else function
        return found

    def call(x: Tensor, /, *args: Any, **options: Any) -> Any:
        return (found or resolve())(x, *args, **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Return the function `{name}` of the tensor; it takes the same arguments."
    call.resolve = resolve  # type: ignore[attr-defined]
    return call


def with_axes(function: Any, keyword: str) -> Any:
    """Return an operation as a method that takes axes as one tuple or as integers."""

    def call(x: Tensor, /, *axes: Any, **options: Any) -> Tensor:
        if keyword in options:
            axes = (options.pop(keyword),)
        nested = len(axes) == 1 and isinstance(axes[0], tuple | list)
        return function(x, axes[0] if nested else axes, **options)

    functools.update_wrapper(call, function)
    call.spellings = {keyword: "axes"}  # type: ignore[attr-defined]
    return call


class OfTheType:
    """A hook that is found on the class, and is None on an instance.

    NumPy looks on the class. The operators of CuPy's arrays ask the instance, and leave the work
    to the tensor's own operator where they find None; else they would read the tensor's memory.
    """

    def __init__(self, hook: Any) -> None:
        self.hook = hook

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self.hook if instance is None else None


def _named(operate: Any, function: Any) -> Any:
    operate.__name__ = operate.__qualname__ = function.__name__
    operate.__doc__ = function.__doc__
    return operate
