"""What the operations of linear algebra have in common: their arguments, and forms of rules."""

from __future__ import annotations

from typing import Any

from ..backend import Kept, dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .arguments import as_tensor

LAST, ROW = (..., None, slice(None)), (..., slice(None), None)  # keys: along columns, along rows


def floating(name: str, x: Any) -> Tensor:
    """Return a tensor of float32, float64 or a complex dtype; integers become float64."""
    x = as_tensor(x)
    dtype = x.array.dtype
    if dtype.kind in "biu":
        return traced.cast(x, dtypes.float64)
    if dtype in dtypes.half:
        raise DtypeError(
            f"{name}: the dtype must be float32, float64, complex64 or complex128, got {dtype}; "
            "use x.astype(float32)"
        )
    return x


def matrix(name: str, x: Any, *, square: bool = False) -> Tensor:
    """Return a stack of matrices in a dtype that can be factored."""
    x = floating(name, x)
    shape = x.array.shape
    if len(shape) < 2:
        raise ShapeError(f"{name}: a matrix, or a stack of them, is needed, got shape {shape}")
    if square and shape[-1] != shape[-2]:
        raise ShapeError(f"{name}: the matrix must be square, got {shape}")
    return x


def in_one_dtype(*xs: Tensor) -> tuple[Tensor, ...]:
    """Return tensors in the dtype that they promote to."""
    common = dtypes.promote(*[x.array.dtype for x in xs])
    return tuple([x if x.array.dtype == common else traced.cast(x, common) for x in xs])


# -- in rules --------------------------------------------------------------------------------------
# Inside a pass gradients are plain transposes. Where a published formula is in terms of the
# conjugated ones, a rule conjugates what comes in and what goes out.
def conjugate(k: Any, x: Any) -> Any:
    """Return the conjugate; real arrays as they are."""
    return k.conj(x) if x.dtype.kind == "c" else x


def adjoint(k: Any, x: Any) -> Any:
    """Return the conjugate transpose."""
    return conjugate(k, k.mT(x))


def off_diagonal(k: Any, x: Any) -> Any:
    """Return ``x`` with zeros on the diagonal."""
    return k.tril(x, -1) + k.triu(x, 1)


def divisor(k: Any, x: Any, *gradients: Any) -> Any:
    """Return ``x``, but ones for matrices whose ``gradients`` are all zero.

    What nothing depends on adds nothing, also where ``x`` is zero. Where something does, 0 / 0 has
    a limit that the division can't tell: NaN is right there, and 0 would be wrong.
    """
    axes = Kept((len(x.shape) - 2, len(x.shape) - 1))
    idle = k.sum(k.abs(gradients[0]), axes) == 0
    for one in gradients[1:]:
        idle = idle & (k.sum(k.abs(one), axes) == 0)
    return k.where(idle, k.ones_like(x), x)


def place_diagonal(k: Any, x: Any, count: int) -> Any:
    """Return matrices with ``x`` on their diagonals."""
    lead = x.shape[:-1]
    return k.place_diagonal(x, (0, len(lead), len(lead) + 1), (*lead, count, count))
