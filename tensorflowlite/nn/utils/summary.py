"""A table of a network's modules: shapes, parameters and operations."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError
from ...ops.creation import zeros
from ...runtime import set_mode
from ..module import Module

_MISSING: Any = object()


class ModuleSummary(NamedTuple):
    """One line of a `Summary`."""

    path: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    flops: int
    calls: int


@dataclass(frozen=True)
class Summary:
    """What `summary` found; ``str`` of it is a table.

    Attributes
    ----------
    modules : tuple of ModuleSummary
        A line for each module, in the order in which they are held: its path, class, the shape of
        its last output (None where it wasn't called), its own parameters, its operations, and how
        often it was called.
    total_parameters : int
        All parameters, shared ones once.
    trainable_parameters : int
        Those of them that require grad.
    total_flops : int
        All operations that were counted.
    total_bytes : int
        The memory of all parameters and buffers, shared ones once.
    output_bytes : int
        The memory of what the innermost modules returned, each time they were called.
    """

    modules: tuple[ModuleSummary, ...]
    total_parameters: int
    trainable_parameters: int
    total_flops: int
    total_bytes: int = 0
    output_bytes: int = 0

    def __str__(self) -> str:
        head = ("module", "class", "output shape", "parameters", "FLOPs")
        lines = [head] + [
            (
                "  " * one.path.count(".") + one.path.rpartition(".")[2] if one.path else "(whole)",
                one.kind,
                "-" if one.output_shape is None else str(one.output_shape),
                f"{one.parameters:,}",
                f"{one.flops:,}",
            )
            for one in self.modules
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(5)]
        text = [
            "  ".join(
                cell.rjust(width) if i > 2 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        text.insert(1, "-" * (sum(widths) + 8))
        frozen = self.total_parameters - self.trainable_parameters
        return "\n".join([
            *text,
            text[1],
            f"parameters: {self.total_parameters:,} ({frozen:,} frozen)   "
            f"FLOPs: {self.total_flops:,}",
            f"memory: {_memory(self.total_bytes)} of parameters and buffers, "
            f"{_memory(self.output_bytes)} of outputs",
        ])  # fmt: skip


def _memory(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


# -- operations ------------------------------------------------------------------------------------
def _size(x: Any) -> int:
    return math.prod(x.shape)


def _bias(module: Any, out: Any) -> int:
    return 0 if getattr(module, "bias", None) is None else _size(out)


def _linear(module: Any, args: Any, out: Any) -> int:
    return 2 * _size(out) * module.in_features + _bias(module, out)


def _bilinear(module: Any, args: Any, out: Any) -> int:
    return 2 * _size(out) * module.in1_features * (module.in2_features + 1) + _bias(module, out)


def _convolution(module: Any, args: Any, out: Any) -> int:
    return 2 * _size(out) * math.prod(module.weight.shape[1:]) + _bias(module, out)


def _transposed(module: Any, args: Any, out: Any) -> int:
    return 2 * _size(args[0]) * math.prod(module.weight.shape[1:]) + _bias(module, out)


def _batch_norm(module: Any, args: Any, out: Any) -> int:
    return 2 * _size(out)  # one factor and one term for each channel, in evaluation


def _norm(module: Any, args: Any, out: Any) -> int:
    affine = sum(getattr(module, name, None) is not None for name in ("weight", "bias"))
    return (5 + affine) * _size(out)  # the mean, the square and its mean, and both applied


def _attention(module: Any, args: Any, out: Any) -> int:
    query, key, value = (*args, *args[-1:] * 2)[:3]
    width = module.embed_dim
    rows, places = _size(query) // query.shape[-1], _size(key) // key.shape[-1]
    batch = query.shape[0 if module.batch_first else 1] if query.ndim == 3 else 1
    # The projection of the output is a module with a line of its own.
    inner = rows * width + places * (key.shape[-1] + value.shape[-1])
    return 2 * width * inner + 4 * width * rows * places // max(batch, 1)


def _recurrent(module: Any, args: Any, out: Any) -> int:
    if not isinstance(args[0], Tensor):
        return 0
    rows = _size(args[0]) // module.input_size
    return 2 * rows * sum(_size(p) for p in module.parameters() if p.ndim == 2)


_COUNTS: dict[str, Callable[[Any, Any, Any], int]] = {
    "Linear": _linear, "Bilinear": _bilinear, "MultiheadAttention": _attention,
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _convolution),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), _transposed),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), _batch_norm),
    **dict.fromkeys(("LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d",
                     "InstanceNorm3d"), _norm),
    **dict.fromkeys(("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"), _recurrent),
}  # fmt: skip


def _count(module: Module, args: Any, out: Any) -> int:
    for kind in type(module).__mro__:
        if kind.__name__ in _COUNTS:
            return _COUNTS[kind.__name__](module, args, out)
    return 0


# -- the table -------------------------------------------------------------------------------------
def _first(value: Any) -> Tensor | None:
    """Return the first tensor of an output."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        for one in value:
            found = _first(one)
            if found is not None:
                return found
    return None


def _shape(given: Any) -> tuple[int, ...] | None:
    """Return what is given as a shape, None where it is none."""
    if not isinstance(given, tuple | list) or not given:
        return None
    if any(isinstance(one, bool | Tensor) for one in given):
        return None
    try:
        shape = tuple(map(operator.index, given))
    except TypeError:
        return None
    if min(shape) < 0 or math.prod(max(length, 1) for length in shape) >= 1 << 60:
        raise ArgumentError(
            f"summary: a shape must be lengths of at least 0 that make an array, got {shape}"
        )
    return shape


def _one(model: Module, given: Any, dtype: Any) -> Any:
    """Return an argument of the call: a shape becomes zeros, the rest stays what it is."""
    shape = _shape(given)
    if shape is None:
        return given
    like = next(model.parameters(), None)
    own, device = (dtypes.float32, None) if like is None else (like.dtype, like.device)
    return zeros(shape, dtype=own if dtype is None else dtype, device=device)


def _arguments(model: Module, given: Any, dtype: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what to call a module with."""
    if isinstance(given, dict):
        return (), {name: _one(model, one, dtype) for name, one in given.items()}
    if isinstance(given, tuple | list) and _shape(given) is None:
        if not given or not all(isinstance(one, str | float | int | None) for one in given):
            return tuple([_one(model, one, dtype) for one in given]), {}
    elif not isinstance(given, str | float | int | None):
        return (_one(model, given, dtype),), {}
    raise ArgumentError(
        f"summary: input must be a tensor, an array or a shape, got {given!r:.60}; several stand "
        "in a list, named ones in a dict"
    )


def summary(model: Module, input: Any = _MISSING, *, dtype: Any = None) -> Summary:
    """Return what each module of a network makes of an input, and what it costs.

    The network is called once, in evaluation mode and without recording; without an input it isn't
    called, and the shapes are left out.

    Parameters
    ----------
    model : Module
        The network; afterwards in the mode in which it was.
    input : Tensor, array or shape, optional
        What to call it with: a tensor, or the shape of zeros, a tuple or list of int; a tuple or
        list of them for several arguments, or a dict for named ones.
    dtype : dtype, optional
        Of the zeros; by default that of the network's parameters. Indices, say of an embedding,
        are ``tfl.int64``.

    Returns
    -------
    Summary
        ``modules``, a line for each, ``total_parameters``, ``trainable_parameters``,
        ``total_flops``, ``total_bytes`` and ``output_bytes``; printed, a table. Counted are the
        additions and multiplications of linear layers, convolutions, attention, recurrent layers
        and normalisations.

    Raises
    ------
    ArgumentError
        Where the input is none of these.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> print(nn.utils.summary(model, (16, 4)))
    module   class       output shape  parameters  FLOPs
    ----------------------------------------------------
    (whole)  Sequential  (16, 2)                0      0
    0        Linear      (16, 8)               40  1,152
    1        ReLU        (16, 8)                0      0
    2        Linear      (16, 2)               18    544
    ----------------------------------------------------
    parameters: 58 (0 frozen)   FLOPs: 1,696
    memory: 232 bytes of parameters and buffers, 1.1 KiB of outputs
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"summary: model must be a Module, got {type(model).__name__}")
    called = input is not _MISSING
    args, named_args = _arguments(model, input, dtype) if called else ((), {})
    shapes: dict[Module, tuple[int, ...] | None] = {}
    flops: dict[Module, int] = {}
    calls: dict[Module, int] = {}
    made: list[int] = []

    def watch(module: Module, given: Any, named: Any, output: Any) -> None:
        found = _first(output)
        shapes[module] = None if found is None else found.shape
        calls[module] = calls.get(module, 0) + 1
        if found is not None:
            if next(iter(module.children()), None) is None:
                made.append(_size(found) * found.dtype.itemsize)
            given = (*given, *named.values())
            flops[module] = flops.get(module, 0) + _count(module, given, found)

    modules = list(model.named_modules())
    modes = [(module, module.training) for _, module in modules]
    handles = []
    if called:
        handles = [module.register_forward_hook(watch, with_kwargs=True) for _, module in modules]
    try:
        model.eval()
        with set_mode(grad=False):
            if called:
                model(*args, **named_args)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    lines = tuple([
        ModuleSummary(
            path, type(module).__name__, shapes.get(module),
            sum(_size(p) for p in module.parameters(recurse=False)), flops.get(module, 0),
            calls.get(module, 0),
        )
        for path, module in modules
    ])  # fmt: skip
    parameters = list(model.parameters())
    return Summary(
        lines,
        sum(_size(p) for p in parameters),
        sum(_size(p) for p in parameters if p.requires_grad),
        sum(flops.values()),
        sum(_size(one) * one.dtype.itemsize for one in [*parameters, *model.buffers()]),
        sum(made),
    )
