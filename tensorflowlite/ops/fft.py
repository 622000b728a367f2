"""Discrete Fourier transforms.

Three primitives: the complex transform over any axes, and along one axis from reals and to reals.
As matrices the first is symmetric, so it is its own gradient; the other two are each other's, but
for the weight of what the halved spectrum leaves out.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .arguments import several_axes
from .creation import zeros
from .declare import attr1
from .joining import concat
from .linalg_arguments import floating

_OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _between(k: Any, x: Any, axis: int, length: int, factor: float) -> Any:
    """Return a halved spectrum with all but 0 and the highest even frequency times ``factor``."""
    lead, stop = (slice(None),) * axis, (length + 1) // 2
    if stop <= 1:
        return x
    parts = [k.getitem(x, (*lead, slice(0, 1))), k.getitem(x, (*lead, slice(1, stop))) * factor]
    if stop < x.shape[axis]:
        parts.append(k.getitem(x, (*lead, slice(stop, None))))
    return k.concat(*parts, axis)


def _of_real_rule(k, g, x_shape, spec):
    axis, norm = spec
    length = x_shape[axis]
    halved = _between(k, k.conj(g), axis, length, 0.5)
    return k.fourier_to_real(halved, (axis, _OPPOSITE[norm], length))


def _to_real_rule(k, g, spec):
    axis, norm, length = spec
    found = k.conj(k.fourier_of_real(g, (axis, _OPPOSITE[norm])))
    return _between(k, found, axis, length, 2)


_fourier = attr1("fourier", "spec", lambda k, g, spec: k.fourier(g, spec))
_of_real = attr1("fourier_of_real", "spec", _of_real_rule)
_to_real = attr1("fourier_to_real", "spec", _to_real_rule)


# -- arguments -------------------------------------------------------------------------------------
def _norm(name: str, norm: Any) -> str:
    if norm is None:
        return "backward"
    if norm not in _OPPOSITE:
        raise ArgumentError(f"{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    return str(norm)


def length_of(name: str, n: Any) -> int:
    """Return a length as a positive integer."""
    try:
        length = operator.index(n)
    except TypeError:
        raise DtypeError(f"{name}: a length must be an integer, got {n!r}") from None
    if length < 1:
        raise ArgumentError(f"{name}: a length must be positive, got {length}")
    return length


def _lengths_and_axes(name: str, x: Tensor, s: Any, axes: Any) -> tuple[list[Any], tuple[int, ...]]:
    """Return the length to bring each axis to (None: its own), and the axes."""
    ndim = x.array.ndim
    if axes is None:
        count = ndim if s is None else len(s)
        if count > ndim:
            raise ShapeError(f"{name}: s must have at most {ndim} lengths, got {tuple(s)}")
        axes = tuple(range(ndim - count, ndim))
    axes = several_axes(name, axes if isinstance(axes, int) else tuple(axes), ndim)
    if s is None:
        return [None] * len(axes), axes
    if len(s) != len(axes):
        raise ShapeError(f"{name}: as many lengths as axes are needed, got s={s} and axes={axes}")
    return [None if n is None or n == -1 else length_of(name, n) for n in s], axes


def _fitted(name: str, x: Tensor, lengths: Sequence[Any], axes: Sequence[int]) -> Tensor:
    """Cut each axis to a length, or fill it with zeros."""
    for length, axis in zip(lengths, axes, strict=True):
        have = x.array.shape[axis]
        if length is None:
            if have < 1:
                raise ShapeError(f"{name}: axis {axis} must not be empty, got shape {x.shape}")
        elif length < have:
            x = traced.getitem(x, (*(slice(None),) * axis, slice(0, length)))
        elif length > have:
            shape = list(x.array.shape)
            shape[axis] = length - have
            x = concat([x, zeros(tuple(shape), dtype=x.dtype, device=x.device)], axis)
    return x


def _complex(name: str, x: Any, s: Any, axes: Any, norm: Any, inverse: bool) -> Tensor:
    x, norm = floating(name, x), _norm(name, norm)
    lengths, axes = _lengths_and_axes(name, x, s, axes)
    x = _fitted(name, x, lengths, axes)
    if not axes:
        return traced.cast(x, dtypes.complex_of(x.array.dtype))
    return _fourier(x, (axes, norm, inverse))


def _from_reals(name: str, x: Any, s: Any, axes: Any, norm: Any) -> Tensor:
    x, norm = _real(name, x), _norm(name, norm)
    lengths, axes = _lengths_and_axes(name, x, s, axes)
    if not axes:
        raise ShapeError(f"{name}: at least one axis is needed, got none")
    x = _fitted(name, x, lengths, axes)
    out = _of_real(x, (axes[-1], norm))
    return _fourier(out, (axes[:-1], norm, False)) if len(axes) > 1 else out


def _to_reals(name: str, x: Any, s: Any, axes: Any, norm: Any) -> Tensor:
    x, norm = floating(name, x), _norm(name, norm)
    lengths, axes = _lengths_and_axes(name, x, s, axes)
    if not axes:
        raise ShapeError(f"{name}: at least one axis is needed, got none")
    last, have = lengths[-1], x.array.shape[axes[-1]]
    if last is None:
        if have < 2:
            raise ShapeError(
                f"{name}: axis {axes[-1]} must have length 2 or more where no length is given, "
                f"got shape {x.shape}"
            )
        last = 2 * (have - 1)
    x = _fitted(name, x, [*lengths[:-1], last // 2 + 1], axes)
    if x.array.dtype.kind != "c":
        x = traced.cast(x, dtypes.complex_of(x.array.dtype))
    if len(axes) > 1:
        x = _fourier(x, (axes[:-1], norm, True))
    return _to_real(x, (axes[-1], norm, last))


def _real(name: str, x: Any) -> Tensor:
    x = floating(name, x)
    if x.array.dtype.kind == "c":
        raise DtypeError(f"{name}: the input must be real, got {x.array.dtype}; use fft")
    return x


def _one(n: Any) -> tuple[Any, ...] | None:
    return None if n is None else (n,)


def _along(axis: Any) -> tuple[int, ...]:
    try:
        return (operator.index(axis),)
    except TypeError:
        raise DtypeError(f"fft: axis must be an integer, got {axis!r}") from None


# -- along one axis --------------------------------------------------------------------------------
def fft(
    x: Tensor, /, n: int | None = None, axis: int = -1, norm: str | None = "backward"
) -> Tensor:
    """Return the discrete Fourier transform along an axis.

    Parameters
    ----------
    x : Tensor
        Real or complex.
    n : int, optional
        The length to transform: longer ones are cut, shorter ones filled with zeros.
    axis : int
        The axis to transform.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.fft(tfl.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _complex("fft", x, _one(n), _along(axis), norm, False)


def ifft(
    x: Tensor, /, n: int | None = None, axis: int = -1, norm: str | None = "backward"
) -> Tensor:
    """Return the inverse of `fft` along an axis.

    Parameters
    ----------
    x : Tensor
        Real or complex.
    n : int, optional
        The length to transform: longer ones are cut, shorter ones filled with zeros.
    axis : int
        The axis to transform.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.ifft(tfl.tensor([4.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _complex("ifft", x, _one(n), _along(axis), norm, True)


def rfft(
    x: Tensor, /, n: int | None = None, axis: int = -1, norm: str | None = "backward"
) -> Tensor:
    """Return the Fourier transform of reals: the half that determines the other.

    Parameters
    ----------
    x : Tensor
        Real.
    n : int, optional
        The length to transform: longer ones are cut, shorter ones filled with zeros.
    axis : int
        The axis to transform.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex; along the axis ``n // 2 + 1`` elements.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.rfft(tfl.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _from_reals("rfft", x, _one(n), _along(axis), norm)


def irfft(
    x: Tensor, /, n: int | None = None, axis: int = -1, norm: str | None = "backward"
) -> Tensor:
    """Return the inverse of `rfft`: reals, of half a spectrum.

    Parameters
    ----------
    x : Tensor
        Complex; of the first element, and of the last where ``n`` is even, the real part counts.
    n : int, optional
        The length of the result; by default twice that of ``x`` less 2.
    axis : int
        The axis to transform.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.irfft(tfl.tensor([1.0, 1.0, 1.0]))
    tensor([1., 0., 0., 0.])
    """
    return _to_reals("irfft", x, _one(n), _along(axis), norm)


def hfft(
    x: Tensor, /, n: int | None = None, axis: int = -1, norm: str | None = "backward"
) -> Tensor:
    """Return the transform of what has conjugate symmetry, given as half: reals.

    Parameters
    ----------
    x : Tensor
        Complex.
    n : int, optional
        The length of the result; by default twice that of ``x`` less 2.
    axis : int
        The axis to transform.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.hfft(tfl.tensor([1.0, 1.0, 1.0]))
    tensor([4., 0., 0., 0.])
    """
    x = traced.conj(floating("hfft", x))
    return _to_reals("hfft", x, _one(n), _along(axis), _OPPOSITE[_norm("hfft", norm)])


def ihfft(
    x: Tensor, /, n: int | None = None, axis: int = -1, norm: str | None = "backward"
) -> Tensor:
    """Return the inverse of `hfft`: half a signal, of a real spectrum.

    Parameters
    ----------
    x : Tensor
        Real.
    n : int, optional
        The length to transform: longer ones are cut, shorter ones filled with zeros.
    axis : int
        The axis to transform.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex; along the axis ``n // 2 + 1`` elements.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.ihfft(tfl.tensor([4.0, 0.0, 0.0, 0.0]))
    tensor([1.-0.j, 1.-0.j, 1.-0.j])
    """
    norm = _OPPOSITE[_norm("ihfft", norm)]
    return traced.conj(_from_reals("ihfft", x, _one(n), _along(axis), norm))


# -- over several axes -----------------------------------------------------------------------------
def fftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the discrete Fourier transform over several axes.

    Parameters
    ----------
    x : Tensor
        Real or complex.
    s : sequence of int, optional
        The length to bring each axis to; -1 leaves one as it is.
    axes : sequence of int, optional
        The axes to transform; by default all, or as many last ones as ``s`` has lengths.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.fftn(tfl.ones((2, 2)))
    tensor([[4.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    return _complex("fftn", x, s, axes, norm, False)


def ifftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `fftn` over several axes.

    Parameters
    ----------
    x : Tensor
        Real or complex.
    s : sequence of int, optional
        The length to bring each axis to; -1 leaves one as it is.
    axes : sequence of int, optional
        The axes to transform; by default all, or as many last ones as ``s`` has lengths.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.ifftn(tfl.ones((2, 2)))
    tensor([[1.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    return _complex("ifftn", x, s, axes, norm, True)


def rfftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the Fourier transform of reals over several axes: half along the last one.

    Parameters
    ----------
    x : Tensor
        Real.
    s : sequence of int, optional
        The length to bring each axis to; -1 leaves one as it is.
    axes : sequence of int, optional
        The axes to transform; by default all, or as many last ones as ``s`` has lengths.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Complex; along the last axis half as many elements, and one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.rfftn(tfl.ones((2, 2, 4))).shape
    (2, 2, 3)
    """
    return _from_reals("rfftn", x, s, axes, norm)


def irfftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `rfftn`: reals, of a spectrum halved along the last axis.

    Parameters
    ----------
    x : Tensor
        Complex.
    s : sequence of int, optional
        The lengths of the result; by default the last is twice that of ``x`` less 2.
    axes : sequence of int, optional
        The axes to transform; by default all, or as many last ones as ``s`` has lengths.
    norm : "backward", "ortho" or "forward"
        Which way divides by the length: the way back, both by its root, or the way there.

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.irfftn(tfl.ones((2, 2, 3))).shape
    (2, 2, 4)
    """
    return _to_reals("irfftn", x, s, axes, norm)


def fft2(
    x: Tensor, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward"
) -> Tensor:
    """Return what `fftn` does, over two axes: by default the last ones.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.fft2(tfl.ones((4, 5, 3))).shape
    (4, 5, 3)
    """
    return _complex("fft2", x, s, axes, norm, False)


def ifft2(
    x: Tensor, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward"
) -> Tensor:
    """Return what `ifftn` does, over two axes: by default the last ones.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.ifft2(tfl.ones((4, 5, 3))).shape
    (4, 5, 3)
    """
    return _complex("ifft2", x, s, axes, norm, True)


def rfft2(
    x: Tensor, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward"
) -> Tensor:
    """Return what `rfftn` does, over two axes: by default the last ones.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.rfft2(tfl.ones((4, 5, 3))).shape
    (4, 5, 2)
    """
    return _from_reals("rfft2", x, s, axes, norm)


def irfft2(
    x: Tensor, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward"
) -> Tensor:
    """Return what `irfftn` does, over two axes: by default the last ones.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.irfft2(tfl.ones((4, 5, 3))).shape
    (4, 5, 4)
    """
    return _to_reals("irfft2", x, s, axes, norm)
