"""NVIDIA GPUs for users: whether one can be used, and how it multiplies matrices."""

from __future__ import annotations

from ...errors import ArgumentError
from . import probe


def device_count() -> int:
    """Return the number of GPUs that the driver reports.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.device_count() >= 0
    True
    """
    return probe.driver().devices


def why_not() -> str:
    """Return why no GPU can be used, with the command that mends it; "" where one can.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> (tfl.cuda.why_not() == "") == tfl.cuda.is_available()
    True
    """
    return probe.why_not()


def is_available() -> bool:
    """Return whether a GPU can be used: a driver, a device, and CuPy (which isn't imported).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.is_available() in (True, False)
    True
    """
    return not why_not()


def default_device() -> str:
    """Return ``"cuda:0"`` where a GPU can be used, else ``"cpu"``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.default_device() in ("cpu", "cuda:0")
    True
    """
    return "cuda:0" if is_available() else "cpu"


def synchronize() -> None:
    """Wait until all work handed to the current GPU is done; nothing to do without one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.synchronize()
    """
    from .memory import started

    backend = started()
    if backend is not None:
        backend.synchronize()


_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Choose how float32 matrices are multiplied on a GPU.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        ``"highest"``, the default, multiplies float32 as it is. With ``"high"`` and ``"medium"``
        tensor cores may round each factor to TF32 (10 bits of mantissa) and sum in float32, which
        is several times as fast. PyTorch's function of this name takes the same words.

    Raises
    ------
    ArgumentError
        Another word.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.set_float32_matmul_precision("high")
    >>> tfl.cuda.get_float32_matmul_precision()
    'high'
    >>> tfl.cuda.set_float32_matmul_precision("highest")
    """
    global _precision
    if precision not in _PRECISIONS:
        known = ", ".join(repr(one) for one in _PRECISIONS)
        raise ArgumentError(
            f"set_float32_matmul_precision: precision must be one of {known}, got {precision!r}"
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """Return how float32 matrices are multiplied on a GPU.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.get_float32_matmul_precision()
    'highest'
    """
    return _precision
