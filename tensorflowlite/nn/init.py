"""Initialisers. Each fills a tensor in place and returns it.

The numbers come from the generator that `tensorflowlite.manual_seed` sets.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops import random
from ..ops.creation import asarray
from ..ops.elementwise import logical_or
from ..ops.sorting import argsort
from ..runtime import set_mode

_GAINS = {
    "linear": 1.0,
    "identity": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which an activation asks for greater weights.

    Parameters
    ----------
    nonlinearity : str
        The activation's name; ``"leaky_relu"`` takes its slope as ``param`` (0.01 by default).
    param : float, optional
        The slope.

    Examples
    --------
    >>> from tensorflowlite.nn import init
    >>> round(init.calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ArgumentError(
            f"calculate_gain: nonlinearity must be one of {known}, got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """Return how many inputs an output of a weight ``(out, in, ...)`` has, and the reverse.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.fans("init", tfl.zeros((8, 4, 3, 3)))
    (36, 72)
    """
    if tensor.ndim < 2:
        raise ShapeError(f"{name}: the tensor must have at least two axes, got {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _assign(tensor: Tensor, value: Any) -> Tensor:
    with set_mode(grad=False):
        tensor[...] = value
    return tensor


def _like(tensor: Tensor) -> dict[str, Any]:
    """Return the dtype and device to draw in: halves are drawn as float32 and rounded once."""
    dtype = tensor.dtype if tensor.dtype == dtypes.float64 else dtypes.float32
    return {"dtype": dtype, "device": tensor.device}


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Fill with numbers drawn evenly from [a, b).

    Parameters
    ----------
    tensor : Tensor
        What to fill.
    a, b : float
        The bounds.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> w = init.uniform_(tfl.zeros((2, 3)), -1, 1)
    >>> bool(((w >= -1) & (w < 1)).all())
    True
    """
    return _assign(tensor, random.uniform(a, b, tensor.shape, **_like(tensor)))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill with numbers drawn from a normal distribution.

    Parameters
    ----------
    tensor : Tensor
        What to fill.
    mean, std : float
        The mean and the standard deviation.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.normal_(tfl.zeros((2, 3)), std=0.02).shape
    (2, 3)
    """
    return _assign(tensor, random.normal(mean, std, tensor.shape, **_like(tensor)))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Fill with normal numbers, drawing those outside [a, b] anew.

    Parameters
    ----------
    tensor : Tensor
        What to fill.
    mean, std : float
        The mean and the standard deviation of the whole distribution.
    a, b : float
        The bounds of what is kept.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> w = init.trunc_normal_(tfl.zeros(100), std=2.0)
    >>> bool(((w >= -2) & (w <= 2)).all())
    True
    """
    if not a < b:
        raise ArgumentError(f"trunc_normal_: a must be below b, got {a} and {b}")
    # How much of the distribution lies in [a, b]: where it is little, drawing anew takes forever.
    low, high = [math.erf((bound - mean) / std / math.sqrt(2)) for bound in (a, b)]
    share = 0.5 * (high - low)
    if share < 1e-3:
        raise ArgumentError(
            f"trunc_normal_: [a, b] must hold a thousandth of the distribution, got [{a}, {b}] "
            f"with mean {mean} and std {std}"
        )
    with set_mode(grad=False):
        size = tensor.size
        kept = random.normal(mean, std, (size,), **_like(tensor))
        count = size
        while count:
            outside = logical_or(kept < a, kept > b)
            count = int(outside.sum())
            kept[outside] = random.normal(mean, std, (count,), **_like(tensor))
    return _assign(tensor, kept.reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.constant_(tfl.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _assign(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.zeros_(tfl.ones(2))
    tensor([0., 0.])
    """
    return _assign(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.ones_(tfl.zeros(2))
    tensor([1., 1.])
    """
    return _assign(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on the diagonal and zeros elsewhere.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.eye_(tfl.zeros((2, 2)))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: the tensor must have two axes, got {tensor.shape}")
    with set_mode(grad=False):
        tensor[...] = 0
        for i in range(min(tensor.shape)):
            tensor[i, i] = 1
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill evenly so that signals keep their variance forward and backward.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> float(init.xavier_uniform_(tfl.zeros((3, 3))).max()) <= 1
    True
    """
    inputs, outputs = fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6.0 / (inputs + outputs))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill with normal numbers so that signals keep their variance forward and backward.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.xavier_normal_(tfl.zeros((3, 3))).shape
    (3, 3)
    """
    inputs, outputs = fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (inputs + outputs)))


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    inputs, outputs = fans(name, tensor)
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = inputs if mode == "fan_in" else outputs
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fill evenly so that signals keep their variance through rectifiers.

    Parameters
    ----------
    tensor : Tensor
        A weight ``(out, in, ...)``.
    a : float
        The slope of a leaky ReLU on its negative side.
    mode : {"fan_in", "fan_out"}
        Whether the variance is kept forward or backward.
    nonlinearity : str
        As in `calculate_gain`.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> float(init.kaiming_uniform_(tfl.zeros((3, 6))).max()) <= 1
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fill with normal numbers so that signals keep their variance through rectifiers.

    Parameters as in `kaiming_uniform_`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.kaiming_normal_(tfl.zeros((3, 6)), nonlinearity="relu").shape
    (3, 6)
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill with a matrix of orthogonal rows or columns of length ``gain``.

    Axes beyond the first are taken together.

    References
    ----------
    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2013.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> w = init.orthogonal_(tfl.zeros((2, 4)))
    >>> bool((abs(w @ w.T - init.eye_(tfl.zeros((2, 2)))) < 1e-6).all())
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: the tensor must have at least two axes, got {tensor.shape}")
    rows = tensor.shape[0]
    columns = tensor.size // rows if rows else 0
    if not tensor.size:
        return tensor
    with set_mode(grad=False):
        count, length = min(rows, columns), max(rows, columns)
        drawn = random.normal(0.0, 1.0, (count, length), dtype=dtypes.float64, device=tensor.device)
        for i in range(count):
            row = drawn[i]
            for _ in range(2 if i else 0):  # once more takes away what rounding left
                row = row - (drawn[:i] @ row) @ drawn[:i]
            drawn[i] = row / (row * row).sum() ** 0.5
        value = drawn if rows <= columns else drawn.T
        return _assign(tensor, (value * gain).reshape(tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight so that it hands its input channels on.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> init.dirac_(tfl.zeros((1, 1, 1, 3)))
    tensor([[[[0., 1., 0.]]]])
    """
    if not 3 <= tensor.ndim <= 5:
        raise ShapeError(f"dirac_: the tensor must have three to five axes, got {tensor.shape}")
    if tensor.shape[0] % groups:
        raise ArgumentError(
            "dirac_: the output channels must divide into groups, got "
            f"{tensor.shape[0]} and {groups}"
        )
    per_group = tensor.shape[0] // groups
    middle = tuple([n // 2 for n in tensor.shape[2:]])
    with set_mode(grad=False):
        tensor[...] = 0
        for group in range(groups):
            for i in range(min(per_group, tensor.shape[1])):
                tensor[(group * per_group + i, i, *middle)] = 1
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Fill a matrix with normal numbers, and a share of each column with zeros.

    Parameters
    ----------
    tensor : Tensor
        What to fill; two axes.
    sparsity : float
        The share of each column that is zero, in [0, 1].
    std : float
        The standard deviation of the others.

    References
    ----------
    Martens, "Deep learning via Hessian-free optimization", 2010.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import init
    >>> (init.sparse_(tfl.ones((10, 3)), 0.25) == 0).sum(0)  # a share is rounded up
    tensor([3, 3, 3])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: the tensor must have two axes, got {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ArgumentError(f"sparse_: sparsity must lie in [0, 1], got {sparsity}")
    zeros = math.ceil(sparsity * tensor.shape[0])
    drawn = random.uniform(shape=tensor.shape, **_like(tensor))
    with set_mode(grad=False):
        normal_(tensor, 0.0, std)
        # The order of even numbers in each column is a random permutation.
        order = argsort(drawn, axis=0)[:zeros]
        number = asarray(range(tensor.shape[1]), device=tensor.device)
        tensor[order, number] = 0
    return tensor
