"""The state of a module as a flat dict of tensors, out and in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.tensor import Tensor
from ..errors import StateError, TensorflowliteError
from ..ops.creation import asarray
from ..runtime import set_mode

if TYPE_CHECKING:
    from .module import Module


class LoadResult(NamedTuple):
    """What loading with ``strict=False`` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def _entries(module: Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield what is saved: of each module its parameters, its buffers, then what is inside it."""
    for path, one in module.named_modules(prefix=prefix, remove_duplicate=False):
        start = f"{path}." if path else ""
        for name, tensor in one._own_parameters():
            yield start + name, tensor
        for name, tensor in one._own_buffers():
            if one._buffers[name]:
                yield start + name, tensor


def state_dict(module: Module, prefix: str, keep_vars: bool) -> dict[str, Tensor]:
    """Return all parameters and persistent buffers by path."""
    found = _entries(module, prefix.removesuffix("."))
    return {path: tensor if keep_vars else tensor.detach() for path, tensor in found}


def load_state_dict(module: Module, given: Mapping[str, Any], strict: bool) -> LoadResult:
    """Copy values into a module's tensors; all is checked before anything is changed."""
    if not isinstance(given, Mapping):
        raise StateError(
            f"load_state_dict: the state must be a mapping, got {type(given).__name__}"
        )
    wanted = dict(_entries(module, ""))
    missing = [path for path in wanted if path not in given]
    unexpected = [path for path in given if path not in wanted]
    values, misfits = {}, []
    for path, tensor in wanted.items():
        if path not in given:
            continue
        try:
            value = asarray(given[path]).detach()
        except TensorflowliteError:
            misfits.append(f"{path!r} {type(given[path]).__name__} for {tensor.shape}")
            continue
        if value.shape != tensor.shape:
            misfits.append(f"{path!r} {value.shape} for {tensor.shape}")
        elif value.dtype.kind == "c" and tensor.dtype.kind != "c":
            misfits.append(f"{path!r} {value.dtype} for {tensor.dtype}")
        else:
            values[path] = value
    problems = [f"misshapen {', '.join(misfits)}"] if misfits else []
    if strict:
        for kind, paths in (("unexpected", unexpected), ("missing", missing)):
            if paths:
                problems.insert(0, f"{kind} {', '.join(map(repr, paths))}")
    if problems:
        hint = "; strict=False leaves out missing and unexpected names" if strict else ""
        raise StateError(
            f"load_state_dict: the state must fit {type(module).__name__}, got "
            + "; ".join(problems)
            + hint
        )
    with set_mode(grad=False):
        for path, value in values.items():
            tensor = wanted[path]
            tensor[...] = asarray(value, dtype=tensor.dtype, device=tensor.device)
    return LoadResult(missing, unexpected)


def zero_gradients(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Drop gradients, or fill them with zeros."""
    for parameter in parameters:
        grad = parameter.grad
        if set_to_none or grad is None:
            parameter.grad = None
        else:
            with set_mode(grad=False):
                grad.detach()[...] = 0
