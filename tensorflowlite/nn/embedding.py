"""Embeddings."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.creation import zeros
from ..runtime import set_mode
from . import functional as F
from . import init
from .linear import size_argument
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """A table of vectors, looked up by index.

    Parameters
    ----------
    num_embeddings : int
        How many vectors there are.
    embedding_dim : int
        Their length.
    padding_idx : int, optional
        The index of a vector that starts as zeros and gets no gradient.
    max_norm : float, optional
        How long a vector may be: longer ones are shortened when they are looked up.
    norm_type : float
        The order of the norm that measures it.
    scale_grad_by_freq : bool
        Whether a vector's gradient is divided by how often it is looked up.
    sparse : bool
        Only False: gradients have the shape of the table.
    device, dtype
        Where the table lives, and its dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (num_embeddings, embedding_dim)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Embedding(10, 3)(tfl.tensor([[1, 2], [4, 5]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = size_argument("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = size_argument("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(
                    f"Embedding: padding_idx must lie in [{-num_embeddings}, {num_embeddings}), "
                    f"got {padding_idx}"
                )
            padding_idx %= num_embeddings
        if sparse:
            raise ArgumentError("Embedding: sparse must be False, gradients are dense here")
        self.padding_idx = padding_idx
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = Parameter(
            zeros((num_embeddings, embedding_dim), dtype=dtype, device=device)
        )
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """Return an embedding with a given table, frozen unless asked otherwise.

        Parameters
        ----------
        embeddings : Tensor, shape (num_embeddings, embedding_dim)
            The table, whose memory is shared.
        freeze : bool
            Whether it gets no gradient.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            As in `Embedding`.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> nn.Embedding.from_pretrained(tfl.eye(3))(tfl.tensor([2]))
        tensor([[0., 0., 1.]])
        """
        if embeddings.ndim != 2:
            raise ShapeError(
                f"Embedding: the table must have two axes, got {embeddings.dtype} "
                f"{embeddings.shape}"
            )
        count, length = embeddings.shape
        made = cls(
            count, length, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        )
        made.weight = Parameter(embeddings, requires_grad=not freeze)
        return made

    def reset_parameters(self) -> None:
        """Draw the vectors anew from a normal distribution."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with set_mode(grad=False):
                self.weight[self.padding_idx] = 0

    def forward(self, indices: Tensor) -> Tensor:
        return F.embedding(
            indices, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        for name, default in (
            ("padding_idx", None), ("max_norm", None), ("norm_type", 2.0),
            ("scale_grad_by_freq", False),
        ):  # fmt: skip
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text
