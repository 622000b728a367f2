"""NumPy's functions on tensors, recorded: ``np.concatenate([t, u])``, ``np.linalg.norm(t)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..backend import is_array
from ..backend.public_functions import function_name
from ..core.tensor import Tensor
from ..errors import UnsupportedArgumentError
from . import casting
from .numpy_table import FUNCTIONS, found, refusal
from .numpy_ufuncs import deliver

# NumPy's names of parameters, and ours.
_RENAMED = {"ddof": "correction"}
# What chooses among layouts or ways of computing, and changes no value.
_IGNORED = {"subok", "kind", "casting", "order", "optimize", "overwrite_input", "stable",
            "assume_unique", "copy"}  # fmt: skip


def array_function(x: Tensor, function: Any, types: Any, args: Any, options: Any, /) -> Any:
    """NumPy's hook for its other functions: record the operation of that meaning.

    Parameters
    ----------
    function
        NumPy's function.
    types
        The types among its arguments that have the hook.
    args, options
        The arguments.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([3.0, 4.0], requires_grad=True)
    >>> np.sum(np.concatenate([x, x])).backward()
    >>> x.grad
    tensor([2., 2.])
    """
    for one in types:
        if not issubclass(one, Tensor) and one.__module__ != "numpy":
            return NotImplemented
    name = function_name(function)
    place = FUNCTIONS.get(name)
    if place is None:
        raise UnsupportedArgumentError(refusal(name))
    ours = found(place)
    if place.startswith("numpy_forms:"):
        return ours(*args, **options)
    return _adapted(name.replace("numpy", "np", 1), function, ours)(*args, **options)


@functools.cache
def _adapted(name: str, theirs: Any, ours: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``ours`` with the parameters of NumPy's function.

    Arguments by which NumPy's default is meant are left out; the others go on under our names, by
    position where ours has them so.
    """
    signature = inspect.signature(theirs)
    own = inspect.signature(ours).parameters
    several = any(p.kind is p.VAR_POSITIONAL for p in own.values())
    places = sum(p.kind <= p.POSITIONAL_OR_KEYWORD for p in own.values())
    by_position = [p.name for p in own.values() if p.kind is p.POSITIONAL_ONLY]
    defaults = {p.name: p.default for p in signature.parameters.values()}

    def call(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options).arguments
        positional: list[Any] = []
        named: dict[str, Any] = {}
        out = bound.pop("out", None)
        for place, (key, value) in enumerate(bound.items()):
            if signature.parameters[key].kind is inspect.Parameter.VAR_POSITIONAL:
                positional += value
                continue
            if key in _IGNORED or value is defaults[key]:
                continue
            renamed = _RENAMED.get(key, key)
            needed = defaults[key] is inspect.Parameter.empty
            if place < (places if needed else len(by_position)) and len(positional) == place:
                positional.append(value)
            elif renamed in own and renamed not in by_position:
                named[renamed] = value
            elif key == "dtype":
                positional[0] = casting.astype(positional[0], value, copy=False)
            elif _is_default(value, defaults[key]):
                continue
            elif place < len(own) and not several and len(positional) == place:
                positional.append(value)
            else:
                raise UnsupportedArgumentError(f"{name}: {key}= isn't recorded on tensors")
        return deliver(name, ours(*positional, **named), () if out is None else (out,))

    return call


def _is_default(value: Any, default: Any) -> bool:
    if isinstance(value, Tensor) or is_array(value):
        return False
    return bool(type(value) is type(default) and value == default)
