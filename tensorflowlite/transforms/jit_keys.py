"""The keys of `jit`: what chooses among recordings, before any guard is asked."""

from __future__ import annotations

from typing import Any

from ..backend.settings import settings
from ..core.tensor import Tensor
from ..errors import DtypeError
from ..ops import amp
from ..runtime import mode, seed, shared
from .tree import Structure, unflatten

_INEXACT = (float, complex)
_FORM = 6  # the place in a key of what else is known of a tree of arguments


def _orders(structure: Structure) -> tuple[Any, ...]:
    """Return the keys of dicts in order, in which the leaves lie."""
    inner = tuple([_orders(one) for one in structure.children if one.children])
    is_dict = isinstance(structure.kind, type) and issubclass(structure.kind, dict)
    return (structure.keys, *inner) if is_dict else inner


def key_of(leaves: list[Any], structure: Structure | int, named: bool) -> tuple[Any, ...]:
    """Return what chooses among recordings: the form of the arguments, and the modes.

    Of arguments that are tensors, in no tree, ``structure`` is how many there are.
    """
    parts: list[Any] = [
        structure, mode.grad, mode.views, seed.generation, settings(),
        tuple(amp.state().items()) if shared.casting else (),
    ]  # fmt: skip
    if isinstance(structure, Structure):
        parts.append((named, _orders(structure)))  # at _FORM
    for leaf in leaves:
        if type(leaf) is Tensor:
            array = leaf.array
            node = leaf.node
            parts.append((type(array), array.shape, array.dtype, array.strides, node is None))
        else:
            try:
                hash(leaf)
            except TypeError:
                raise DtypeError(
                    "jit: an argument must be a Tensor, or a hashable Python value, got "
                    f"{type(leaf).__name__}; make a tensor of an array with asarray(...)"
                ) from None
            # 0.0 equals -0.0, and NaN not itself.
            parts.append((type(leaf), repr(leaf) if type(leaf) in _INEXACT else leaf))
    return tuple(parts)


def arguments_of(key: tuple[Any, ...], leaves: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments, by place and by name, of the form that a key stands for."""
    structure = key[0]
    if not isinstance(structure, Structure):
        return tuple(leaves), {}
    tree = unflatten(structure, leaves)
    named = key[_FORM][0]
    return tree if named else (tree, {})
