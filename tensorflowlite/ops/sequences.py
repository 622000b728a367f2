"""Slopes, integrals, interpolation and convolutions of sequences of values."""

from __future__ import annotations

from typing import Any

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from . import elementwise as e
from . import reduction
from .arguments import as_tensor, one_axis, several_axes
from .casting import astype, clone
from .creation import asarray
from .cumulative import cumulative_sum
from .declare import general
from .indexing import take
from .joining import concat
from .shaping import _reshape, flatten
from .statistics import _inexact, _part


# -- differences and integrals ---------------------------------------------------------------------
def ediff1d(x: Any, /, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """Differences of neighbours, of all elements in a row.

    Parameters
    ----------
    x : Tensor
        Any shape.
    to_end, to_begin : Tensor or number, optional
        What to put after and before them.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ediff1d(tfl.tensor([1.0, 3.0, 6.0]))
    tensor([2., 3.])
    """
    x = flatten(as_tensor(x))
    pieces = [x[1:] - x[:-1]]
    for given, place in ((to_begin, 0), (to_end, 2)):
        if given is not None:
            extra = asarray(given, device=x.device) if not isinstance(given, Tensor) else given
            pieces.insert(place, astype(flatten(extra), x.dtype, copy=False))
    return concat(pieces, 0) if len(pieces) > 1 else pieces[0]


def gradient(f: Any, /, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by central differences, one-sided at the edges.

    Parameters
    ----------
    f : Tensor
        The values on a grid.
    *varargs : number or Tensor
        The distance of the grid's points, or their coordinates: one for all axes, or each.
    axis : int or tuple of int, optional
        Along which axes; None means all.
    edge_order : int
        Whether the slopes at the edges are of order 1 or 2.

    Returns
    -------
    Tensor or list of Tensor
        One for each axis.

    Raises
    ------
    ShapeError
        An axis is too short, or the coordinates don't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.gradient(tfl.tensor([1.0, 2.0, 4.0, 7.0]))
    tensor([1. , 1.5, 2.5, 3. ])
    """
    f = _inexact(f)
    axes = tuple(range(f.ndim)) if axis is None else several_axes("gradient", axis, f.ndim)
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
    spacing = list(varargs) * (len(axes) if len(varargs) == 1 else 1) or [1.0] * len(axes)
    if len(spacing) != len(axes):
        raise ShapeError(f"gradient: a distance for each axis is needed, got {len(varargs)}")
    found = [
        _slopes(f, at, step, edge_order) for at, step in zip(axes, spacing, strict=True)
    ]  # fmt: skip
    return found[0] if len(axes) == 1 else found


def _slopes(f: Tensor, axis: int, step: Any, order: int) -> Tensor:
    length = f.shape[axis]
    if length < order + 1:
        raise ShapeError(
            f"gradient: at least {order + 1} places along axis {axis} are needed, got {f.shape}"
        )

    def at(start: int | None, stop: int | None = None) -> Tensor:
        return _part(f, axis, start, stop)

    steps = step
    if not isinstance(step, Tensor):
        steps = asarray(step, dtype=dtypes.real_of(f.dtype), device=f.device)
    if steps.ndim == 0:
        inner = (at(2) - at(0, -2)) / (2 * steps)
        first = (at(1, 2) - at(0, 1)) / steps
        last = (at(-1) - at(-2, -1)) / steps
        if order == 2:
            first = (-1.5 * at(0, 1) + 2 * at(1, 2) - 0.5 * at(2, 3)) / steps
            last = (0.5 * at(-3, -2) - 2 * at(-2, -1) + 1.5 * at(-1)) / steps
        return concat([first, inner, last], axis)
    if steps.shape != (length,):
        raise ShapeError(
            f"gradient: {length} coordinates along axis {axis} are needed, got {steps.shape}"
        )
    gaps = _reshape(steps[1:] - steps[:-1], (-1, *(1,) * (f.ndim - axis - 1)))
    one, two = gaps[:-1], gaps[1:]
    inner = (
        at(0, -2) * (-two / (one * (one + two)))
        + at(1, -1) * ((two - one) / (one * two))
        + at(2) * (one / (two * (one + two)))
    )
    first = (at(1, 2) - at(0, 1)) / gaps[:1]
    last = (at(-1) - at(-2, -1)) / gaps[-1:]
    if order == 2:
        a, b = gaps[:1], gaps[1:2]
        first = (
            at(0, 1) * (-(2 * a + b) / (a * (a + b)))
            + at(1, 2) * ((a + b) / (a * b)) - at(2, 3) * (a / (b * (a + b)))
        )  # fmt: skip
        a, b = gaps[-2:-1], gaps[-1:]
        last = (
            at(-3, -2) * (b / (a * (a + b)))
            - at(-2, -1) * ((a + b) / (a * b)) + at(-1) * ((2 * b + a) / (b * (a + b)))
        )  # fmt: skip
    return concat([first, inner, last], axis)


def _trapezoids(name: str, y: Any, x: Any, dx: Any, axis: Any, dim: Any) -> tuple[Tensor, int]:
    y = _inexact(y)
    at = one_axis(name, axis if dim is None else dim, y.ndim)
    means = (_part(y, at, 1, None) + _part(y, at, None, -1)) * 0.5
    if x is None:
        return means * dx, at
    x = asarray(x, device=y.device) if not isinstance(x, Tensor) else x
    if x.ndim == 1:
        gaps = _reshape(x[1:] - x[:-1], (-1, *(1,) * (y.ndim - at - 1)))
    else:
        along = one_axis(name, axis if dim is None else dim, x.ndim)
        gaps = _part(x, along, 1, None) - _part(x, along, None, -1)
    return means * gaps, at


def trapezoid(
    y: Any, /, x: Any = None, dx: Any = 1.0, axis: int = -1, *, dim: int | None = None
) -> Tensor:
    """Integral along an axis by the trapezoidal rule.

    Parameters
    ----------
    y : Tensor
        The values.
    x : Tensor, optional
        Where they are taken: of the shape of ``y``, or of the length of the axis.
    dx : number
        Their distance, where ``x`` isn't given.
    axis : int
        The axis.
    dim : int, optional
        PyTorch's name of ``axis``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.trapezoid(tfl.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    pieces, at = _trapezoids("trapezoid", y, x, dx, axis, dim)
    return reduction.sum(pieces, at)


def cumulative_trapezoid(
    y: Any, /, x: Any = None, dx: Any = 1.0, axis: int = -1, *, dim: int | None = None
) -> Tensor:
    """Integrals up to each place along an axis, but the first, by the trapezoidal rule.

    Parameters
    ----------
    y, x, dx, axis, dim
        As in `trapezoid`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cumulative_trapezoid(tfl.tensor([1.0, 2.0, 3.0]))
    tensor([1.5, 4. ])
    """
    pieces, at = _trapezoids("cumulative_trapezoid", y, x, dx, axis, dim)
    return cumulative_sum(pieces, at)


def interp(
    x: Any, xp: Any, fp: Any, /, left: Any = None, right: Any = None, period: float | None = None
) -> Tensor:
    """Linear interpolation between points.

    Parameters
    ----------
    x : Tensor
        Where to interpolate; any shape.
    xp : Tensor, shape (n,)
        The points, rising (with a period in any order).
    fp : Tensor, shape (n,)
        The values at the points.
    left, right : number, optional
        The values before and after all points; by default those of the first and the last one.
    period : float, optional
        After which distance the points repeat.

    Returns
    -------
    Tensor
        Of the shape of ``x``; gradients flow to all three.

    Raises
    ------
    ShapeError
        There aren't as many values as points, or none.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.interp(tfl.tensor([0.5]), tfl.tensor([0.0, 1.0]), tfl.tensor([2.0, 4.0]))
    tensor([3.])
    """
    x, xp, fp = _inexact(x), _inexact(xp), _inexact(fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(
            f"interp: as many values as points are needed, got {xp.shape} and {fp.shape}"
        )
    if period is not None:
        x, xp = e.remainder(x, period), e.remainder(xp, period)
        order = traced.argsort(xp, (0, False))
        xp, fp = take(xp, order), take(fp, order)
        xp = concat([xp[-1:] - period, xp, xp[:1] + period], 0)
        fp = concat([fp[-1:], fp, fp[:1]], 0)
    n = xp.size
    at = traced.digitize(x.detach(), xp.detach(), False)
    low = e.clip(at - 1, 0, max(n - 2, 0))
    high = e.minimum(low + 1, n - 1)
    start, end = take(xp, low), take(xp, high)
    apart = end - start
    share = (x - start) / e.where(apart == 0, 1.0, apart)
    y_start, y_end = take(fp, low), take(fp, high)
    out = y_start + share * (y_end - y_start)
    out = e.where(x < xp[0], fp[0] if left is None else left, out)
    return e.where(x >= xp[-1], e.where(
        x == xp[-1], fp[-1], fp[-1] if right is None else right), out)  # fmt: skip


# -- convolutions ----------------------------------------------------------------------------------
def _by_x(k, g, y, mode):
    """The gradient by the longer one: the other way round, with the kernel reversed."""
    back = k.getitem(y, slice(None, None, -1))
    return k.convolve(g, back, "full" if mode == "valid" else "valid")


def _by_y(k, g, x, mode):
    back = (slice(None, None, -1),)
    if mode == "full":
        return k.convolve(g, k.getitem(x, back), "valid")
    return k.getitem(k.convolve(x, k.getitem(g, back), "valid"), back)


_convolve = general(
    "convolve", ("x", "y"), (_by_x, _by_y), "Convolution.", attributes=("mode",)
)  # fmt: skip


def convolve(x: Any, y: Any, /, mode: str = "full") -> Tensor:
    """Convolution of two sequences.

    Parameters
    ----------
    x, y : Tensor, shape (n,) and (m,)
        Their order doesn't matter.
    mode : str
        ``"full"`` (every overlap), ``"same"`` (as long as the longer one, its middle) or
        ``"valid"`` (where they overlap in full).

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        One has more than one axis, or none.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.convolve(tfl.tensor([1.0, 2.0, 3.0]), tfl.tensor([0.0, 1.0]))
    tensor([0., 1., 2., 3.])
    """
    x, y = as_tensor(x), as_tensor(y)
    if x.ndim > 1 or y.ndim > 1:
        raise ShapeError(f"convolve: one axis is needed, got {x.shape} and {y.shape}")
    x, y = flatten(x), flatten(y)
    if not x.size or not y.size:
        raise ShapeError(f"convolve: the inputs must not be empty, got {x.shape} and {y.shape}")
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"convolve: mode must be 'full', 'same' or 'valid', got {mode!r}")
    if y.size > x.size:
        x, y = y, x
    if mode != "same":
        return _convolve(x, y, mode)
    start = (y.size - 1) // 2
    return clone(_convolve(x, y, "full")[start : start + x.size])


def correlate(x: Any, y: Any, /, mode: str = "valid") -> Tensor:
    """Cross-correlation of two sequences: ``convolve(x, conj(y)[::-1])``.

    Parameters
    ----------
    x, y : Tensor, shape (n,) and (m,)
        The second one slides over the first.
    mode : str
        As in `convolve`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.correlate(tfl.tensor([1.0, 2.0, 3.0]), tfl.tensor([0.0, 1.0]))
    tensor([2., 3.])
    """
    y = e.conj(as_tensor(y))
    if y.ndim > 1:
        raise ShapeError(f"correlate: one axis is needed, got {as_tensor(x).shape} and {y.shape}")
    if mode == "same" and y.size > as_tensor(x).size:
        # The middle is that of the longer one, which here slides.
        full = convolve(x, flatten(y)[::-1], "full")
        start = (as_tensor(x).size) // 2
        return clone(full[start : start + y.size])
    return convolve(x, flatten(y)[::-1], mode)
