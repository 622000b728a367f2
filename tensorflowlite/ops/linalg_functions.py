"""Functions of matrices, and the products and diagonals of stacks of them."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .arguments import as_tensor, tensor_list
from .creation import eye
from .declare import general, unary
from .linalg_arguments import matrix
from .linalg_solving import inv
from .matrix import matmul
from .reduction import sum as sum_of
from .shaping import _broadcast_to, _diagonal, _reshape


# -- the exponential -------------------------------------------------------------------------------
def _expm_along_rule(k, g, need, x, y):
    """The derivative by x is again one of expm: of the matrix [[x, y], [0, x]]."""
    by_x = None
    if need[0]:
        n, axis = x.shape[-1], len(x.shape) - 1
        none = k.zeros_like(x)
        both = k.concat(k.concat(x, none, axis - 1), k.concat(y, x, axis - 1), axis)
        push = k.concat(
            k.concat(none, k.zeros_like(g), axis - 1), k.concat(g, none, axis - 1), axis
        )
        found = k.expm_along(k.mT(both), push)
        first, last = slice(0, n), slice(n, None)
        by_x = k.getitem(found, (..., first, first)) + k.getitem(found, (..., last, last))
    return by_x, k.expm_along(k.mT(x), g) if need[1] else None


_expm = unary("expm", lambda k, g, x: k.expm_along(k.mT(x), g), "The matrix exponential.")
general("expm_along", ("x", "y"), _expm_along_rule, joint=True)


def expm(x: Tensor, /) -> Tensor:
    """Return the exponential of square matrices: ``I + x + x @ x / 2 + ...``.

    Scaling and squaring, with a Padé approximant: Higham, "The scaling and squaring method for
    the matrix exponential revisited" (2005).

    Parameters
    ----------
    x : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.expm(tfl.tensor([[0.0, 2.0], [0.0, 0.0]]))
    tensor([[1., 2.],
            [0., 1.]])
    """
    return _expm(matrix("expm", x, square=True))


# -- products --------------------------------------------------------------------------------------
def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Return square matrices multiplied by themselves ``n`` times.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)
    n : int
        Negative for powers of the inverse; 0 gives the identity.

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    LinalgError
        ``n`` is negative and a matrix is singular.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.matrix_power(tfl.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    if not hasattr(n, "__index__"):
        raise DtypeError(f"matrix_power: n must be an integer, got {n!r}")
    n, x = n.__index__(), as_tensor(x)
    shape = x.array.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"matrix_power: the matrix must be square, got {shape}")
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        one = eye(shape[-1], dtype=x.dtype, device=x.device)
        return traced.clone(_broadcast_to(one, shape))
    out = None
    while n:
        if n & 1:
            out = x if out is None else matmul(out, x)
        n >>= 1
        if n:
            x = matmul(x, x)
    assert out is not None
    return traced.clone(out) if out is x else out


def multi_dot(xs: Any, /) -> Tensor:
    """Return the product of two matrices or more, in the order that costs the least.

    Parameters
    ----------
    xs : sequence of Tensor
        Matrices that fit one another; the first and the last may be vectors.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.multi_dot([tfl.ones((2, 9)), tfl.ones((9, 2)), tfl.ones(2)])
    tensor([18., 18.])
    """
    tensors = list(tensor_list("multi_dot", xs))
    if len(tensors) < 2:
        raise ShapeError(f"multi_dot: two matrices or more are needed, got {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    row, column = first.array.ndim == 1, last.array.ndim == 1
    if row:
        tensors[0] = _reshape(first, (1, first.array.shape[0]))
    if column:
        tensors[-1] = _reshape(last, (last.array.shape[0], 1))
    shapes = [x.array.shape for x in tensors]
    if any(len(shape) != 2 for shape in shapes):
        given = " and ".join(map(str, shapes))
        raise ShapeError(f"multi_dot: each must have two axes, got {given}")
    for a, b in pairwise(shapes):
        if a[1] != b[0]:
            raise ShapeError(f"multi_dot: inner sizes must match, got {a} @ {b}: {a[1]} != {b[0]}")
    splits = _cheapest((*[shape[0] for shape in shapes], shapes[-1][1]))

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return tensors[i]
        split = splits[i, j]
        return matmul(product(i, split), product(split + 1, j))

    out = product(0, len(tensors) - 1)
    shape = out.array.shape
    return _reshape(out, shape[row : 2 - column]) if row or column else out


@lru_cache(maxsize=256)
def _cheapest(lengths: tuple[int, ...]) -> dict[tuple[int, int], int]:
    """Return where to split each run of factors; ``lengths[i: i + 2]`` is a factor's shape."""
    count = len(lengths) - 1
    cost = {(i, i): 0 for i in range(count)}
    splits: dict[tuple[int, int], int] = {}
    for width in range(1, count):
        for i in range(count - width):
            j = i + width
            cost[i, j], splits[i, j] = min(
                (cost[i, s] + cost[s + 1, j] + lengths[i] * lengths[s + 1] * lengths[j + 1], s)
                for s in range(i, j)
            )
    return splits


# -- diagonals of stacks ---------------------------------------------------------------------------
def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """Return the diagonals of matrices.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    offset : int
        Above (positive) or below (negative) the main one.

    Returns
    -------
    Tensor, shape (..., k)
        A view.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.diagonal(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), offset=1)
    tensor([2.])
    """
    return _diagonal_of("diagonal", x, offset)


def _diagonal_of(name: str, x: Any, offset: int) -> Tensor:
    x = as_tensor(x)
    ndim = x.array.ndim
    if ndim < 2:
        raise ShapeError(f"{name}: a matrix, or a stack of them, is needed, got shape {x.shape}")
    return _diagonal(x, (offset, ndim - 2, ndim - 1))


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Return the sums of the diagonals of matrices.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    offset : int
        Above (positive) or below (negative) the main one.
    dtype : dtype, optional
        The dtype to sum in; by default that of ``x``, int64 for bool and small integers.

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.trace(tfl.ones((4, 3, 3)))
    tensor([3., 3., 3., 3.])
    """
    return sum_of(_diagonal_of("trace", x, offset), -1, dtype=dtype)
