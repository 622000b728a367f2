"""The transformer of Vaswani et al., "Attention is all you need", 2017, and its parts."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.creation import full
from ..ops.shaping import triu
from . import functional as F
from . import init
from .attention import MultiheadAttention
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear, size_argument
from .module import Module
from .normalization import LayerNorm

_Mask = Tensor | None
_Activation = str | Callable[[Tensor], Tensor]


def _activation(name: str, activation: _Activation) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    known: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
    if activation not in known:
        raise ArgumentError(
            f"{name}: activation must be 'relu', 'gelu' or a function, got {activation!r}"
        )
    return known[activation]


class _Layer(Module):
    """What the layers of encoder and decoder share: the parts in PyTorch's order."""

    def __init__(
        self, attentions: tuple[str, ...], d_model: int, nhead: int, dim_feedforward: int,
        dropout: float, activation: _Activation, layer_norm_eps: float, batch_first: bool,
        norm_first: bool, bias: bool, where: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        for name in attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **where
            )
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **where)
        self.norm_first = norm_first
        numbers = range(1, len(attentions) + 2)
        for i in numbers:
            norm = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where)
            self.add_module(f"norm{i}", norm)
        for i in numbers:
            self.add_module(f"dropout{i}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _beside(self, number: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Run a part beside a bypass, with the normalisation before it or after both."""
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + dropout(part(norm(x)))
        return norm(x + dropout(part(x)))


class TransformerEncoderLayer(_Layer):
    """Self-attention and a two-layer network, each beside a bypass.

    Parameters
    ----------
    d_model : int
        The number of features.
    nhead : int
        The number of heads of attention.
    dim_feedforward : int
        The width of the two-layer network.
    dropout : float
        The probability of dropout, in [0, 1).
    activation : str or function
        'relu', 'gelu', or a function of a tensor.
    layer_norm_eps : float
        Added to the variance in the normalisations.
    batch_first : bool
        Whether inputs and outputs are (batch, length, features) rather than (length, batch, ...).
    norm_first : bool
        Whether to normalise before each part rather than after its bypass.
    bias : bool
        Whether linear layers and normalisations add a bias.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> layer = nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(tfl.ones((5, 3, 8))).shape
    (5, 3, 8)
    """

    self_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            ("self_attn",), d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps,
            batch_first, norm_first, bias, {"device": device, "dtype": dtype},
        )  # fmt: skip

    def forward(self, src: Tensor, src_mask: _Mask = None, src_key_padding_mask: _Mask = None,
                is_causal: bool = False) -> Tensor:  # fmt: skip
        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x, x, x, src_key_padding_mask, need_weights=False, attn_mask=src_mask,
                is_causal=is_causal,
            )[0]  # fmt: skip

        return self._beside(2, self._beside(1, src, attend), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, and a two-layer network, each beside a bypass.

    Parameters as in `TransformerEncoderLayer`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> layer = nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(tfl.ones((5, 3, 8)), tfl.ones((7, 3, 8))).shape
    (5, 3, 8)
    """

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            ("self_attn", "multihead_attn"), d_model, nhead, dim_feedforward, dropout, activation,
            layer_norm_eps, batch_first, norm_first, bias, {"device": device, "dtype": dtype},
        )  # fmt: skip

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: _Mask = None, memory_mask: _Mask = None,
        tgt_key_padding_mask: _Mask = None, memory_key_padding_mask: _Mask = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x, x, x, tgt_key_padding_mask, need_weights=False, attn_mask=tgt_mask,
                is_causal=tgt_is_causal,
            )[0]  # fmt: skip

        def remember(x: Tensor) -> Tensor:
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, need_weights=False,
                attn_mask=memory_mask, is_causal=memory_is_causal,
            )[0]  # fmt: skip

        x = self._beside(2, self._beside(1, tgt, attend), remember)
        return self._beside(3, x, self._feed_forward)


def _copies(name: str, layer: Module, count: int) -> ModuleList:
    count = size_argument(name, "num_layers", count, 0)
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """A row of copies of an encoder layer.

    Parameters
    ----------
    encoder_layer : Module
        The layer that is copied.
    num_layers : int
        How many copies.
    norm : Module, optional
        Called with what the last one gives.
    enable_nested_tensor, mask_check : bool
        Accepted for the sake of code written for PyTorch; they change nothing.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> layer = nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> nn.TransformerEncoder(layer, num_layers=2)(tfl.ones((5, 3, 8))).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(self, src: Tensor, mask: _Mask = None, src_key_padding_mask: _Mask = None,
                is_causal: bool | None = None) -> Tensor:  # fmt: skip
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """A row of copies of a decoder layer.

    Parameters
    ----------
    decoder_layer : Module
        The layer that is copied.
    num_layers : int
        How many copies.
    norm : Module, optional
        Called with what the last one gives.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> layer = nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> decoder = nn.TransformerDecoder(layer, num_layers=2)
    >>> decoder(tfl.ones((5, 3, 8)), tfl.ones((7, 3, 8))).shape
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: _Mask = None, memory_mask: _Mask = None,
        tgt_key_padding_mask: _Mask = None, memory_key_padding_mask: _Mask = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder, and a decoder that attends to what it gives.

    Parameters
    ----------
    d_model : int
        The number of features.
    nhead : int
        The number of heads of attention.
    num_encoder_layers, num_decoder_layers : int
        How many layers each has.
    dim_feedforward : int
        The width of the two-layer networks.
    dropout : float
        The probability of dropout, in [0, 1).
    activation : str or function
        'relu', 'gelu', or a function of a tensor.
    custom_encoder, custom_decoder : Module, optional
        What to use instead.
    layer_norm_eps : float
        Added to the variance in the normalisations.
    batch_first : bool
        Whether inputs and outputs are (batch, length, features) rather than (length, batch, ...).
    norm_first : bool
        Whether to normalise before each part rather than after its bypass.
    bias : bool
        Whether linear layers and normalisations add a bias.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> model = nn.Transformer(8, 2, 1, 1, dim_feedforward=16)
    >>> mask = nn.Transformer.generate_square_subsequent_mask(5)
    >>> model(tfl.ones((7, 3, 8)), tfl.ones((5, 3, 8)), tgt_mask=mask).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
                 norm_first, bias)  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*sizes, **where), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*sizes, **where), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all matrices anew, by Glorot and Bengio."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Return the causal mask: minus infinity where a key is later than the query, else 0.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[  0., -inf],
                [  0.,   0.]])
        """
        return triu(full((sz, sz), -math.inf, dtype=dtype or dtypes.float32, device=device), k=1)

    def forward(
        self, src: Tensor, tgt: Tensor, src_mask: _Mask = None, tgt_mask: _Mask = None,
        memory_mask: _Mask = None, src_key_padding_mask: _Mask = None,
        tgt_key_padding_mask: _Mask = None, memory_key_padding_mask: _Mask = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[batch] != tgt.shape[batch]):
            raise ShapeError(
                f"Transformer: src and tgt must have the same batch, got {src.shape} and "
                f"{tgt.shape}; batch_first={self.batch_first}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip
