"""Rows of a table by their numbers, with bounds and scaled gradients."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...errors import ArgumentError
from ...ops import embedding as _embedding
from ...ops.counting import bincount
from ...ops.creation import asarray
from ...ops.elementwise import where
from ...ops.gradient import cast
from ...ops.reduction import as_tensor
from ...ops.shaping import reshape
from ...runtime import set_mode
from .distance import length_along


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of ``weight`` that ``input`` names.

    Parameters
    ----------
    input : Tensor of integers
        Any shape.
    weight : Tensor, shape (rows, size)
        The table.
    padding_idx : int, optional
        A row that gets no gradient; negative ones count from the end.
    max_norm : float, optional
        How long a row may be: longer ones that are named are shortened in place.
    norm_type : float
        The order of the norm that measures it.
    scale_grad_by_freq : bool
        Whether a row's gradient is divided by how often the row is named.
    sparse : bool
        Only False: gradients have the shape of the table.

    Returns
    -------
    Tensor, shape (*input.shape, size)

    Raises
    ------
    OutOfRangeError
        An index outside the rows. On a device, where a check would wait for it, its row is NaN.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.embedding(tfl.tensor([1, 0]), tfl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if sparse:
        raise ArgumentError("embedding: sparse must be False, gradients are dense here, got True")
    if max_norm is None and not scale_grad_by_freq:
        return _embedding.embedding(input, weight, padding_idx)
    indices, weight = asarray(input), as_tensor(weight)
    if max_norm is not None:
        with set_mode(grad=False):
            rows = _embedding.embedding(reshape(indices, (-1,)), weight)
            size = length_along(rows, norm_type, -1, True)
            weight[reshape(indices, (-1,))] = where(
                size > max_norm, rows * (max_norm / (size + 1e-7)), rows
            )
    out = _embedding.embedding(indices, weight, padding_idx)
    if not scale_grad_by_freq or not indices.size:
        return out
    often = bincount(reshape(indices, (-1,)))[indices]
    share = 1 / cast(reshape(often, (*indices.shape, 1)), out.dtype)
    constant = out.detach()
    return constant + (out - constant) * share  # the value as it is, a share of the gradient
