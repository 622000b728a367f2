"""Comparing arrays, and asking what they hold."""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes, is_array, number_types
from ..core.entry import lift
from ..core.tensor import Tensor
from ..errors import ShapeError
from . import elementwise as e
from . import reduction
from .arguments import as_tensor
from .creation import asarray, full
from .shaping import broadcast_shapes


def _pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    if type(x) is not Tensor and type(y) is Tensor:
        return lift(x, y), y
    x = as_tensor(x) if type(x) is Tensor or is_array(x) else asarray(x)
    return x, lift(y, x) if not isinstance(y, list | tuple) else asarray(y, device=x.device)


def isclose(
    x: Any, y: Any, /, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether elements are equal within a tolerance: ``abs(x - y) <= atol + rtol * abs(y)``.

    Parameters
    ----------
    x, y : Tensor, array or number
        Shapes that broadcast.
    rtol, atol : float
        The relative and the absolute tolerance.
    equal_nan : bool
        Whether NaN is close to NaN.

    Returns
    -------
    Tensor
        Booleans; infinities are close to themselves only.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isclose(tfl.tensor([1.0, 2.0]), tfl.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    x, y = _pair(x, y)
    x, y = x.detach(), y.detach()
    if x.dtype.kind in "biu" and y.dtype.kind in "biu":
        y = y * full((), 1.0, dtype=dtypes.float64, device=y.device)
    bound = e.abs(y) * rtol + atol
    with_finite = e.logical_and(e.isfinite(x), e.isfinite(y))
    near = e.logical_and(e.less_equal(e.abs(x - y), bound), with_finite)
    near = e.logical_or(near, e.equal(x, y))
    return e.logical_or(near, e.logical_and(e.isnan(x), e.isnan(y))) if equal_nan else near


def allclose(
    x: Any, y: Any, /, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are equal within a tolerance: `isclose`.

    Parameters
    ----------
    x, y, rtol, atol, equal_nan
        As in `isclose`.

    Returns
    -------
    bool

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.allclose(tfl.tensor([1.0, 2.0]), tfl.tensor([1.0, 2.0 + 1e-6]))
    True
    """
    return bool(reduction.all(isclose(x, y, rtol, atol, equal_nan)))


def array_equal(x: Any, y: Any, /, equal_nan: bool = False) -> bool:
    """Whether two arrays have one shape and the same elements.

    Parameters
    ----------
    x, y : Tensor, array or number
        Any shapes.
    equal_nan : bool
        Whether NaN equals NaN.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.array_equal(tfl.tensor([1, 2]), tfl.tensor([1, 2]))
    True
    """
    x, y = _pair(x, y)
    if x.shape != y.shape:
        return False
    same = e.equal(x, y)
    if equal_nan:
        same = e.logical_or(same, e.logical_and(e.isnan(x), e.isnan(y)))
    return bool(reduction.all(same))


def array_equiv(x: Any, y: Any, /) -> bool:
    """Whether two arrays broadcast and have the same elements then.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.array_equiv(tfl.tensor([1, 1]), tfl.tensor([1]))
    True
    """
    x, y = _pair(x, y)
    try:
        broadcast_shapes(x.shape, y.shape)
    except ShapeError:
        return False
    return bool(reduction.all(e.equal(x, y)))


# -- what elements are -----------------------------------------------------------------------------
def isneginf(x: Any, /) -> Tensor:
    """Whether an element is minus infinity.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isneginf(tfl.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return e.equal(as_tensor(x), -math.inf)


def isposinf(x: Any, /) -> Tensor:
    """Whether an element is plus infinity.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isposinf(tfl.tensor([1.0, float("inf")]))
    tensor([False,  True])
    """
    return e.equal(as_tensor(x), math.inf)


def iscomplex(x: Any, /) -> Tensor:
    """Whether an element has an imaginary part that isn't zero.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.iscomplex(tfl.tensor([1 + 1j, 1]))
    tensor([ True, False])
    """
    return e.not_equal(e.imag(as_tensor(x).detach()), 0)


def isreal(x: Any, /) -> Tensor:
    """Whether an element's imaginary part is zero.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isreal(tfl.tensor([1 + 1j, 1]))
    tensor([False,  True])
    """
    return e.equal(e.imag(as_tensor(x).detach()), 0)


# -- what arrays are -------------------------------------------------------------------------------
def iscomplexobj(x: Any, /) -> bool:
    """Whether the dtype is a complex one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.iscomplexobj(tfl.tensor([1j])), tfl.iscomplexobj(1.0)
    (True, False)
    """
    return as_tensor(x).dtype.kind == "c"


def isrealobj(x: Any, /) -> bool:
    """Whether the dtype is no complex one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isrealobj(tfl.tensor([1j])), tfl.isrealobj(1.0)
    (False, True)
    """
    return not iscomplexobj(x)


def isscalar(x: Any, /) -> bool:
    """Whether ``x`` is a number, and no array.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isscalar(3.0), tfl.isscalar(tfl.tensor(3.0))
    (True, False)
    """
    return isinstance(x, number_types)


def is_tensor(x: Any, /) -> bool:
    """Whether ``x`` is a tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.is_tensor(tfl.zeros(2)), tfl.is_tensor(3.0)
    (True, False)
    """
    return isinstance(x, Tensor)


def numel(x: Any, /) -> int:
    """The number of elements.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.numel(tfl.zeros((2, 3)))
    6
    """
    return as_tensor(x).size


def size(x: Any, /, axis: int | None = None) -> int:
    """The number of elements, or the length of an axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.size(tfl.zeros((2, 3))), tfl.size(tfl.zeros((2, 3)), 1)
    (6, 3)
    """
    x = as_tensor(x)
    return x.size if axis is None else x.shape[axis]


def ndim(x: Any, /) -> int:
    """The number of axes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ndim(tfl.zeros((2, 3)))
    2
    """
    return as_tensor(x).ndim


def shape(x: Any, /) -> tuple[int, ...]:
    """The lengths of the axes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.shape(tfl.zeros((2, 3)))
    (2, 3)
    """
    return as_tensor(x).shape
