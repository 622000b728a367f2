"""Matrix products."""

from __future__ import annotations

from typing import Any

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .arguments import as_tensor
from .declare import binary
from .shaping import _reshape, matrix_transpose


def _explain_matmul(shapes: list[tuple[int, ...]]) -> str | None:
    x, y = shapes
    if len(x) >= 2 and len(y) >= 2 and x[-1] != y[-2]:
        return f"inner sizes must match, got {x} @ {y}: {x[-1]} != {y[-2]}"
    return f"leading axes must broadcast, got {x} @ {y}"


_matmul = binary(
    "matmul",
    (lambda k, g, y: k.matmul(g, k.mT(y)), lambda k, g, x: k.matmul(k.mT(x), g)),
    "Matrix product of stacks of matrices.",
    explain=_explain_matmul,
    entry={"contracts": True},
)


traced.mT = matrix_transpose


def matmul(x: Any, y: Any, /) -> Tensor:
    """Matrix product, over stacks of matrices where there are more than two axes.

    Parameters
    ----------
    x : Tensor, shape (..., m, k) or (k,)
    y : Tensor, shape (..., k, n) or (k,)
        Leading axes broadcast. float16 and bfloat16 are accumulated in float32 and rounded once.

    Returns
    -------
    Tensor, shape (..., m, n)
        Without the axis that a vector stood for.

    Raises
    ------
    ShapeError
        The inner sizes differ, or the leading axes don't broadcast.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.matmul(tfl.ones((2, 3)), tfl.ones((3, 1)))
    tensor([[3.],
            [3.]])
    """
    try:
        x_ndim, y_ndim = x.array.ndim, y.array.ndim
    except AttributeError:
        x, y = as_tensor(x), as_tensor(y)
        x_ndim, y_ndim = x.ndim, y.ndim
    if x_ndim > 1 and y_ndim > 1:
        return _matmul(x, y)
    return _with_vectors(x, y)


def _with_vectors(x: Any, y: Any) -> Tensor:
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            f"matmul: each input needs at least one axis, got {x.shape} @ {y.shape}; use x * y"
        )
    left = _reshape(x, (1, x.shape[0])) if x.ndim == 1 else x
    right = _reshape(y, (y.shape[0], 1)) if y.ndim == 1 else y
    if left.shape[-1] != right.shape[-2]:
        raise ShapeError(
            f"matmul: inner sizes must match, got {x.shape} @ {y.shape}: "
            f"{left.shape[-1]} != {right.shape[-2]}"
        )
    out = _matmul(left, right)
    shape = out.shape[:-2]
    if x.ndim > 1:
        shape += (out.shape[-2],)
    if y.ndim > 1:
        shape += (out.shape[-1],)
    return _reshape(out, shape)


def _operate(x: Any, y: Any) -> Any:
    """Return ``x @ y`` for the operator; NotImplemented for what is no operand."""
    try:
        if y.array.ndim > 1 and x.array.ndim > 1:  # y first: it may be no tensor
            return _matmul(x, y)
    except AttributeError:
        try:
            y = as_tensor(y)
        except DtypeError:
            return NotImplemented
    return matmul(x, y)


matmul.operator = _operate  # type: ignore[attr-defined]
