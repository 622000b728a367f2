"""What belongs to Fourier transforms: the frequencies, and spectra with 0 in the middle."""

from __future__ import annotations

from typing import Any

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import DtypeError
from .arguments import as_tensor, several_axes
from .creation import arange
from .fft import length_of
from .joining import concat
from .shaping import roll


def _grid(name: str, n: Any, dtype: Any) -> tuple[int, Any]:
    length = length_of(name, n)
    dtype = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    if dtype not in dtypes.real_inexact:
        raise DtypeError(f"{name}: the dtype must be a float one, got {dtype}")
    return length, dtype


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies that `fft` has, in cycles per unit of the spacing ``d``.

    Parameters
    ----------
    n : int
        The length of what is transformed.
    d : float
        The distance between its elements.
    dtype : dtype, optional
        By default float32.
    device : str, optional
        By default the CPU.

    Returns
    -------
    Tensor, shape (n,)
        0 and the positive ones, then the negative ones, ascending.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    length, dtype = _grid("fftfreq", n, dtype)
    middle = (length - 1) // 2 + 1
    whole = concat([arange(0, middle, device=device), arange(-(length // 2), 0, device=device)], 0)
    return traced.cast(traced.divide(traced.cast(whole, dtypes.float64), length * d), dtype)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies that `rfft` has, in cycles per unit of the spacing ``d``.

    Parameters
    ----------
    n : int
        The length of what is transformed.
    d : float
        The distance between its elements.
    dtype : dtype, optional
        By default float32.
    device : str, optional
        By default the CPU.

    Returns
    -------
    Tensor, shape (n // 2 + 1,)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.rfftfreq(4)
    tensor([0.  , 0.25, 0.5 ])
    """
    length, dtype = _grid("rfftfreq", n, dtype)
    whole = traced.cast(arange(0, length // 2 + 1, device=device), dtypes.float64)
    return traced.cast(traced.divide(whole, length * d), dtype)


def _shifted(name: str, x: Any, axes: Any, back: bool) -> Tensor:
    x = as_tensor(x)
    ndim = x.array.ndim
    axes = tuple(range(ndim)) if axes is None else axes
    axes = several_axes(name, axes if isinstance(axes, int) else tuple(axes), ndim)
    lengths = [x.array.shape[axis] for axis in axes]
    return roll(x, tuple([-(n // 2) if back else n // 2 for n in lengths]), axes)


def fftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """Return a spectrum with frequency 0 in the middle.

    Parameters
    ----------
    x : Tensor
    axes : int or sequence of int, optional
        The axes to turn; by default all.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.fftshift(tfl.fft.fftfreq(4))
    tensor([-0.5 , -0.25,  0.  ,  0.25])
    """
    return _shifted("fftshift", x, axes, False)


def ifftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """Return a spectrum with frequency 0 in front again: the inverse of `fftshift`.

    Parameters
    ----------
    x : Tensor
    axes : int or sequence of int, optional
        The axes to turn; by default all.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fft.ifftshift(tfl.tensor([-1.0, 0.0, 1.0]))
    tensor([ 0.,  1., -1.])
    """
    return _shifted("ifftshift", x, axes, True)
