"""Matrix products."""

from __future__ import annotations

from typing import Any

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ShapeError
from .arguments import as_tensor
from .declare import binary
from .shaping import _reshape, matrix_transpose


def _explain_matmul(shapes: list[tuple[int, ...]]) -> str | None:
    x, y = shapes
    if len(x) >= 2 and len(y) >= 2 and x[-1] != y[-2]:
        return f"inner sizes must match, got {x} @ {y}: {x[-1]} != {y[-2]}"
    return f"leading axes must broadcast, got {x} @ {y}"


def _with_vectors(x: Any, y: Any) -> Tensor:
    """Return the product where one of the two is a vector, or has no axes."""
    x, y = as_tensor(x), as_tensor(y)
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
    out = matmul(left, right)
    shape = out.shape[:-2]
    if x.ndim > 1:
        shape += (out.shape[-2],)
    if y.ndim > 1:
        shape += (out.shape[-1],)
    return _reshape(out, shape)


matmul = binary(
    "matmul",
    (lambda k, g, y: k.matmul(g, k.mT(y)), lambda k, g, x: k.matmul(k.mT(x), g)),
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
    """,
    explain=_explain_matmul,
    entry={"contracts": _with_vectors},
)
traced.mT = matrix_transpose
