"""Methods of `Tensor` in PyTorch's forms, where those differ from the functions'."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import UnsupportedArgumentError
from .linalg_norms import norm as norm_of
from .linalg_norms import vector_norm
from .reducing import either_axis


def norm(
    x: Tensor,
    /,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool = False,
) -> Tensor:
    """Return the norm of the elements as a vector, or of matrices by name, as PyTorch does.

    Parameters
    ----------
    x : Tensor
    p : float or str, optional
        The order: over all axes or those of ``dim`` the elements are one vector. "fro" means
        Euclid's there; "nuc" needs two axes.
    dim, axis : int or tuple of int, optional
        The axes; by default all.
    keepdim, keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Real.
    """
    axis = either_axis("norm", axis, dim)
    keepdims = keepdims or keepdim
    if p == "nuc":
        if axis is None and x.array.ndim != 2:
            raise UnsupportedArgumentError(
                f"norm: 'nuc' needs dim= for other than 2 axes, got shape {x.shape}"
            )
        return norm_of(x, "nuc", (0, 1) if axis is None else axis, keepdims)
    order = 2 if p is None or p == "fro" else p
    return vector_norm(x, axis=axis, keepdims=keepdims, ord=order)
