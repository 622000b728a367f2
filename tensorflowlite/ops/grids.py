"""Indices of places in arrays, matrices of a pattern, uneven spacings and windows."""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes, numpy_backend
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError, UnsupportedArgumentError
from . import elementwise as e
from .arguments import as_tensor, shape_argument
from .creation import _from_host, arange, asarray, eye, ones
from .gathering import _index_within
from .joining import stack
from .shaping import _reshape, broadcast_to, diag, flatten


def _made(array: Any, dtype: Any, device: Any) -> Tensor:
    found = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    return _from_host(array.astype(found, copy=False), device, False)


def _indices_made(arrays: Any, device: Any) -> tuple[Tensor, ...]:
    return tuple([_from_host(one.astype(dtypes.int64), device, False) for one in arrays])


# -- places ----------------------------------------------------------------------------------------
def diag_indices(n: int, ndim: int = 2, *, device: Any = None) -> tuple[Tensor, ...]:
    """The index arrays of a main diagonal.

    Parameters
    ----------
    n : int
        Its length.
    ndim : int
        Of how many axes the array is.
    device : str, optional
        Where the indices live.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.diag_indices(2)
    (tensor([0, 1]), tensor([0, 1]))
    """
    return (arange(n, device=device),) * ndim


def tril_indices(
    n: int, k: int = 0, m: int | None = None, *, device: Any = None
) -> tuple[Tensor, ...]:
    """The index arrays of a lower triangle, as NumPy gives them: rows and columns.

    Parameters
    ----------
    n, m : int
        The shape of the matrix; square by default.
    k : int
        The last diagonal of the triangle.
    device : str, optional
        Where the indices live.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tril_indices(2)
    (tensor([0, 1, 1]), tensor([0, 0, 1]))
    """
    return _indices_made(numpy_backend.tril_indices(n, k, m), device)


def triu_indices(
    n: int, k: int = 0, m: int | None = None, *, device: Any = None
) -> tuple[Tensor, ...]:
    """The index arrays of an upper triangle, as NumPy gives them: rows and columns.

    Parameters
    ----------
    n, m : int
        The shape of the matrix; square by default.
    k : int
        The first diagonal of the triangle.
    device : str, optional
        Where the indices live.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.triu_indices(2)
    (tensor([0, 0, 1]), tensor([0, 1, 1]))
    """
    return _indices_made(numpy_backend.triu_indices(n, k, m), device)


def unravel_index(indices: Any, shape: Any, /) -> tuple[Tensor, ...]:
    """The index arrays of places that are counted in a row.

    Parameters
    ----------
    indices : Tensor
        Integers from 0 on.
    shape : tuple of int
        The shape of the array.

    Returns
    -------
    tuple of Tensor
        One for each axis.

    Raises
    ------
    OutOfRangeError
        An index lies outside the array.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unravel_index(tfl.tensor([5]), (2, 3))
    (tensor([1]), tensor([2]))
    """
    lengths = shape_argument("unravel_index", shape)
    indices = asarray(indices) if not isinstance(indices, Tensor) else indices
    rest = _index_within(indices, ("unravel_index", math.prod(lengths)))
    found = []
    for length in lengths[::-1]:
        found.append(rest % max(length, 1))
        rest = rest // max(length, 1)
    return tuple(found[::-1])


def ravel_multi_index(multi_index: Any, dims: Any, /, mode: str = "raise") -> Tensor:
    """The places in a row of index arrays.

    Parameters
    ----------
    multi_index : sequence of Tensor
        Integers, one for each axis; they broadcast.
    dims : tuple of int
        The shape of the array.
    mode : str
        What happens to an index out of range: ``"raise"``, ``"wrap"`` (counted round) or
        ``"clip"`` (the nearest).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ravel_multi_index((tfl.tensor([1]), tfl.tensor([2])), (2, 3))
    tensor([5])
    """
    lengths = shape_argument("ravel_multi_index", dims)
    given = [asarray(one) if not isinstance(one, Tensor) else one for one in multi_index]
    if len(given) != len(lengths):
        raise ShapeError(
            f"ravel_multi_index: indices for {len(lengths)} axes are needed, got {len(given)}"
        )
    if mode not in ("raise", "wrap", "clip"):
        raise ArgumentError(
            f"ravel_multi_index: mode must be 'raise', 'wrap' or 'clip', got {mode!r}"
        )
    total: Any = 0
    for one, length in zip(given, lengths, strict=True):
        if mode == "clip":
            one = e.clip(one, 0, length - 1)
        elif mode == "wrap":
            one = one % length
        total = total * length + _index_within(one, ("ravel_multi_index", length))
    return total


def indices(dimensions: Any, /, *, sparse: bool = False, device: Any = None) -> Any:
    """The indices of every place of an array.

    Parameters
    ----------
    dimensions : tuple of int
        The shape of the array.
    sparse : bool
        Whether to give a tuple of tensors that broadcast to it, rather than one of all.
    device : str, optional
        Where they live.

    Returns
    -------
    Tensor, shape (axes, *dimensions), or tuple of Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.indices((2, 2))[0]
    tensor([[0, 0],
            [1, 1]])
    """
    shape = shape_argument("indices", dimensions)
    lines = ix_(*[arange(n, device=device) for n in shape])
    return lines if sparse else stack([broadcast_to(one, shape) for one in lines], 0)


def ix_(*sequences: Any) -> tuple[Tensor, ...]:
    """Index arrays that pick the rows, columns ... that are named, all with all.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.reshape(tfl.arange(6), (2, 3))
    >>> x[tfl.ix_(tfl.tensor([1]), tfl.tensor([0, 2]))]
    tensor([[3, 5]])
    """
    found = []
    for axis, one in enumerate(sequences):
        one = as_tensor(one) if isinstance(one, Tensor) else asarray(one)
        if one.ndim != 1:
            raise ShapeError(f"ix_: each sequence must have one axis, got shape {one.shape}")
        if one.dtype == dtypes.bool_:
            (one,) = one.nonzero()
        shape = (1,) * axis + (one.size,) + (1,) * (len(sequences) - axis - 1)
        found.append(_reshape(one, shape))
    return tuple(found)


# -- matrices --------------------------------------------------------------------------------------
def identity(n: int, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """The square matrix with ones on the diagonal: `eye`.

    Parameters
    ----------
    n : int
        The number of rows.
    dtype, device
        As in `eye`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.identity(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return eye(n, dtype=dtype, device=device)


def tri(
    n: int, m: int | None = None, /, k: int = 0, dtype: Any = None, *, device: Any = None
) -> Tensor:
    """A matrix with ones on and below a diagonal, and zeros above.

    Parameters
    ----------
    n, m : int
        The shape; square by default.
    k : int
        The last diagonal with ones.
    dtype, device
        As in `eye`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tri(2)
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _made(numpy_backend.tri(n, m, k), dtype, device)


def vander(x: Any, /, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of the elements of a vector as columns, the highest first.

    Parameters
    ----------
    x : Tensor, shape (n,)
    N : int, optional
        How many columns; by default n.
    increasing : bool
        Whether the highest power comes last.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.vander(tfl.tensor([1.0, 2.0]), 3)
    tensor([[1., 1., 1.],
            [4., 2., 1.]])
    """
    x = as_tensor(x)
    if x.ndim != 1:
        raise ShapeError(f"vander: one axis is needed, got shape {x.shape}")
    count = x.size if N is None else N
    if count == 0:
        return ones((x.size, 0), dtype=x.dtype, device=x.device)
    columns = [ones(x.size, dtype=x.dtype, device=x.device)]
    for _ in range(count - 1):
        columns.append(columns[-1] * x)
    return stack(columns if increasing else columns[::-1], 1)


def diagflat(x: Any, /, k: int = 0) -> Tensor:
    """A matrix with all elements, in a row, on a diagonal: `diag`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.diagflat(tfl.tensor([[1.0, 2.0]]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    return diag(flatten(as_tensor(x)), k)


# -- spacings and windows --------------------------------------------------------------------------
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: float = 10.0,
    dtype: Any = None, *, device: Any = None,
) -> Tensor:  # fmt: skip
    """Numbers whose logarithms are evenly spaced: ``base ** linspace(start, stop)``.

    Parameters
    ----------
    start, stop : float
        The first and the last exponent.
    num : int
        How many.
    endpoint : bool
        Whether the last one is among them.
    base : float
        The base of the powers.
    dtype, device
        As in `linspace`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    if not isinstance(endpoint, bool):
        raise UnsupportedArgumentError(
            f"logspace: endpoint must be True or False, got {endpoint!r}; name the base: base=..."
        )
    return _made(numpy_backend.logspace(start, stop, num, endpoint, base), dtype, device)


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, *,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """Numbers of a geometric progression.

    Parameters
    ----------
    start, stop : float
        The first and the last number; neither is 0.
    num : int
        How many.
    endpoint : bool
        Whether the last one is among them.
    dtype, device
        As in `linspace`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.geomspace(1, 100, 3)
    tensor([  1.,  10., 100.])
    """
    if start == 0 or stop == 0:
        raise ArgumentError(f"geomspace: the ends must not be 0, got {start} and {stop}")
    return _made(numpy_backend.geomspace(start, stop, num, endpoint), dtype, device)


_WINDOW = """{what} window of ``M`` points, symmetric.

    Parameters
    ----------
    M : int
        How many points; none where it is less than 1.
    {more}dtype, device
        As in `zeros`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.{name}(3{argument}).shape
    (3,)
    """


def bartlett(M: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(numpy_backend.bartlett(M), dtype, device)


def blackman(M: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(numpy_backend.blackman(M), dtype, device)


def hamming(M: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(numpy_backend.hamming(M), dtype, device)


def hanning(M: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(numpy_backend.hanning(M), dtype, device)


def kaiser(M: int, beta: float, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(numpy_backend.kaiser(M, beta), dtype, device)


for _window in (bartlett, blackman, hamming, hanning, kaiser):
    _with_beta = _window is kaiser
    _window.__doc__ = _WINDOW.format(
        what=_window.__name__.capitalize().replace("Hanning", "Hann"),
        name=_window.__name__,
        more="beta : float\n        How narrow its peak is.\n    " if _with_beta else "",
        argument=", 8.6" if _with_beta else "",
    )
del _window, _with_beta
