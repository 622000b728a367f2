"""Recurrent layers, and their cells."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.creation import zeros
from ..ops.indexing import take
from ..ops.joining import concat, stack
from ..ops.recurrent import recurrence
from ..ops.shaping import expand_dims, squeeze, swapaxes
from . import functional as F
from . import init
from .linear import size_argument
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

_GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def _check_nonlinearity(name: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"{name}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return nonlinearity


def _one_direction(kind: str, x: Tensor, states: list[Tensor], weights: dict[str, Any],
                   sizes: tuple[int, ...], reverse: bool = False
                   ) -> tuple[Tensor, ...]:  # fmt: skip
    """Run packed rows through a layer in one direction; ``weights`` by the first of their names."""
    bias, later = weights.get("bias_ih"), weights.get("bias_hh")
    extra = states[1:]
    if kind == "gru":  # what the state brings to the new gate is multiplied, its bias too
        extra = [] if later is None else [later]
    elif bias is not None:
        bias = bias + later
    if "weight_hr" in weights:
        extra = [*extra, weights["weight_hr"]]
    gates = F.linear(x, weights["weight_ih"], bias)
    return recurrence(
        kind, gates, states[0], weights["weight_hh"], *extra, sizes=sizes, reverse=reverse
    )


class _Recurrent(Module):
    """What recurrent layers share: their parameters, directions and forms of input."""

    def __init__(
        self, kind: str, input_size: int, hidden_size: int, num_layers: int, bias: bool,
        batch_first: bool, dropout: float, bidirectional: bool, proj_size: int, device: Any,
        dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        self.input_size = size_argument(name, "input_size", input_size)
        self.hidden_size = size_argument(name, "hidden_size", hidden_size)
        self.num_layers = size_argument(name, "num_layers", num_layers)
        self.proj_size = size_argument(name, "proj_size", proj_size, 0)
        if proj_size >= hidden_size:
            raise ArgumentError(
                f"{name}: proj_size must be less than hidden_size, got {proj_size} and "
                f"{hidden_size}"
            )
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"{name}: dropout must lie in [0, 1], got {dropout}")
        self.kind, self.bias, self.batch_first = kind, bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        gates, out = _GATES[kind] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * directions
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (gates, width), "weight_hh": (gates, out)
            }  # fmt: skip
            if bias:
                shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in self._suffixes(layer):
                for key, shape in shapes.items():
                    made = Parameter(zeros(shape, dtype=dtype, device=device))
                    self.register_parameter(key + suffix, made)
        self._keys = tuple(shapes)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 2 if self.bidirectional else 1]

    def reset_parameters(self) -> None:
        """Draw the parameters anew, evenly within one over the root of the hidden size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: for the sake of code written for PyTorch."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [
            [getattr(self, key + suffix) for key in self._keys]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    # -- forward ---------------------------------------------------------------------------------
    def _run(self, input: Any, hx: Any) -> Any:
        """Return the outputs in the form of the input, and the last states as (h,) or (h, c)."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        name = type(self).__name__
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input must be (length, batch, {self.input_size}) or (length, "
                f"{self.input_size}), got {input.shape}; batch_first={self.batch_first}"
            )
        batched = input.ndim == 3
        if not batched:
            input = expand_dims(input, axis=1)
            hx = None if hx is None else tuple([expand_dims(h, axis=1) for h in hx])
        elif self.batch_first:
            input = swapaxes(input, 0, 1)
        length, batch, _ = input.shape
        if not length:
            raise ShapeError(f"{name}: the length must be at least 1, got input {input.shape}")
        sizes = (batch,) * length
        rows = input.reshape((length * batch, self.input_size))
        out, states = self._layers(rows, self._initial(hx, batch, rows), sizes)
        out = out.reshape((length, batch, out.shape[-1]))
        if not batched:
            return squeeze(out, 1), tuple([squeeze(state, 1) for state in states])
        return (swapaxes(out, 0, 1) if self.batch_first else out), states

    def _run_packed(self, packed: PackedSequence, hx: Any) -> Any:
        if packed.data.ndim != 2 or packed.data.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: packed data must be (rows, {self.input_size}), got "
                f"{packed.data.shape}"
            )
        sizes = tuple(packed.batch_sizes.tolist())
        initial = self._initial(hx, sizes[0], packed.data)
        if hx is not None and packed.sorted_indices is not None:
            initial = [take(state, packed.sorted_indices, axis=1) for state in initial]
        out, states = self._layers(packed.data, initial, sizes)
        if packed.unsorted_indices is not None:
            states = tuple([take(state, packed.unsorted_indices, axis=1) for state in states])
        return PackedSequence(out, *packed[1:]), states

    def _initial(self, hx: Any, batch: int, like: Tensor) -> list[Tensor]:
        """Return the first states, each (layers * directions, batch, features); zeros if none."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        shapes = [(count, batch, self.proj_size or self.hidden_size)]
        if self.kind == "lstm":
            shapes.append((count, batch, self.hidden_size))
        if hx is None:
            return [zeros(shape, dtype=like.dtype, device=like.device) for shape in shapes]
        found = [state.shape for state in hx]
        if found != shapes:
            wanted = ", ".join(map(str, shapes))
            raise ShapeError(
                f"{type(self).__name__}: the first state must be {wanted}, got "
                + ", ".join(map(str, found))
            )
        return list(hx)

    def _layers(
        self, x: Tensor, initial: list[Tensor], sizes: tuple[int, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run packed rows through all layers and directions."""
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outs = []
            for reverse, suffix in enumerate(self._suffixes(layer)):
                weights = {key: getattr(self, key + suffix) for key in self._keys}
                states = [state[len(last)] for state in initial]
                out, *ends = _one_direction(self.kind, x, states, weights, sizes, bool(reverse))
                outs.append(out)
                last.append(tuple(ends))
            x = outs[0] if len(outs) == 1 else concat(outs, axis=-1)
            if layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple([stack(list(ends)) for ends in zip(*last, strict=True)])

    def extra_repr(self) -> str:
        shown = {
            "proj_size": (self.proj_size, 0), "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True), "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0), "bidirectional": (self.bidirectional, False),
        }  # fmt: skip
        text = [f"{key}={value}" for key, (value, usual) in shown.items() if value != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *text])


class RNN(_Recurrent):
    """A recurrent layer of Elman's kind: ``h = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh)``.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of the input and of the state.
    num_layers : int
        How many layers, each of which runs over the outputs of the one before.
    nonlinearity : str
        'tanh' or 'relu'.
    bias : bool
        Whether to add biases.
    batch_first : bool
        Whether inputs and outputs are (batch, length, features) rather than (length, batch, ...).
    dropout : float
        The probability of dropout between layers, in training.
    bidirectional : bool
        Whether each layer also runs from the end to the start.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    References
    ----------
    Elman, "Finding structure in time", 1990.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> out, h = nn.RNN(3, 5, num_layers=2)(tfl.ones((7, 4, 3)))
    >>> out.shape, h.shape
    ((7, 4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.nonlinearity = _check_nonlinearity("RNN", nonlinearity)
        super().__init__(nonlinearity, input_size, hidden_size, num_layers, bias, batch_first,
                         dropout, bidirectional, 0, device, dtype)  # fmt: skip

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Return the outputs of all steps and the last state of each layer and direction."""
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


class LSTM(_Recurrent):
    """Long short-term memory.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of the input and of the state.
    num_layers : int
        How many layers, each of which runs over the outputs of the one before.
    bias : bool
        Whether to add biases.
    batch_first : bool
        Whether inputs and outputs are (batch, length, features) rather than (length, batch, ...).
    dropout : float
        The probability of dropout between layers, in training.
    bidirectional : bool
        Whether each layer also runs from the end to the start.
    proj_size : int
        The number of features to which outputs are projected; 0 for none.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", 1997.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> out, (h, c) = nn.LSTM(3, 5, bidirectional=True)(tfl.ones((7, 4, 3)))
    >>> out.shape, h.shape, c.shape
    ((7, 4, 10), (2, 4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("lstm", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, proj_size, device, dtype)  # fmt: skip

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Return the outputs of all steps, and the last state and cell state of each layer."""
        return self._run(input, hx)


class GRU(_Recurrent):
    """Gated recurrent units.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of the input and of the state.
    num_layers : int
        How many layers, each of which runs over the outputs of the one before.
    bias : bool
        Whether to add biases.
    batch_first : bool
        Whether inputs and outputs are (batch, length, features) rather than (length, batch, ...).
    dropout : float
        The probability of dropout between layers, in training.
    bidirectional : bool
        Whether each layer also runs from the end to the start.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> out, h = nn.GRU(3, 5, batch_first=True)(tfl.ones((4, 7, 3)))
    >>> out.shape, h.shape
    ((4, 7, 5), (1, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("gru", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, 0, device, dtype)  # fmt: skip

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Return the outputs of all steps and the last state of each layer and direction."""
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


# -- cells -----------------------------------------------------------------------------------------
class _Cell(Module):
    """What the cells share: one step of a layer."""

    def __init__(self, kind: str, input_size: int, hidden_size: int, bias: bool, device: Any,
                 dtype: Any) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        self.input_size = size_argument(name, "input_size", input_size)
        self.hidden_size = size_argument(name, "hidden_size", hidden_size)
        self.kind, self.bias = kind, bias
        gates = _GATES[kind] * hidden_size

        def parameter(*shape: int) -> Tensor:
            return Parameter(zeros(shape, dtype=dtype, device=device))

        self.weight_ih, self.weight_hh = parameter(gates, input_size), parameter(gates, hidden_size)
        self.bias_ih = parameter(gates) if bias else None
        self.bias_hh = parameter(gates) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, evenly within one over the root of the hidden size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, input: Tensor, hx: Any) -> tuple[Tensor, ...]:
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input must be (batch, {self.input_size}) or ({self.input_size},), got "
                f"{input.shape}"
            )
        shape = (*input.shape[:-1], self.hidden_size)
        count = 2 if self.kind == "lstm" else 1
        if hx is None:
            hx = [zeros(shape, dtype=input.dtype, device=input.device)] * count
        found = [state.shape for state in hx]
        if found != [shape] * count:
            raise ShapeError(f"{name}: the state must be {shape}, got {found}")
        batched = input.ndim == 2
        rows = [x if batched else expand_dims(x, axis=0) for x in (input, *hx)]
        keys = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = {key: getattr(self, key) for key in keys}
        ends = _one_direction(self.kind, rows[0], rows[1:], weights, (rows[0].shape[0],))[1:]
        return ends if batched else tuple([squeeze(state, 0) for state in ends])

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        text += "" if self.bias else ", bias=False"
        return text + (f", nonlinearity={self.kind}" if self.kind == "relu" else "")


class RNNCell(_Cell):
    """One step of an `RNN` of one layer.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of the input and of the state.
    bias : bool
        Whether to add biases.
    nonlinearity : str
        'tanh' or 'relu'.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.RNNCell(3, 5)(tfl.ones((4, 3)), tfl.zeros((4, 5))).shape
    (4, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True,
                 nonlinearity: str = "tanh", device: Any = None,
                 dtype: Any = None) -> None:  # fmt: skip
        self.nonlinearity = _check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(nonlinearity, input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next state."""
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(_Cell):
    """One step of an `LSTM` of one layer.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of the input and of the state.
    bias : bool
        Whether to add biases.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> h, c = nn.LSTMCell(3, 5)(tfl.ones((4, 3)))
    >>> h.shape, c.shape
    ((4, 5), (4, 5))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True,
                 device: Any = None, dtype: Any = None) -> None:  # fmt: skip
        super().__init__("lstm", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, ...]:
        """Return the next state and cell state."""
        return self._step(input, hx)


class GRUCell(_Cell):
    """One step of a `GRU` of one layer.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of the input and of the state.
    bias : bool
        Whether to add biases.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.GRUCell(3, 5)(tfl.ones((4, 3)), tfl.zeros((4, 5))).shape
    (4, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True,
                 device: Any = None, dtype: Any = None) -> None:  # fmt: skip
        super().__init__("gru", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next state."""
        return self._step(input, None if hx is None else (hx,))[0]
