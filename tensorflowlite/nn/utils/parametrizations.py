"""Parametrizations: weight and spectral normalisation."""

from __future__ import annotations

import functools
from typing import Any

from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import random as _random
from ...ops.shaping import moveaxis, reshape
from ...runtime import set_mode
from ..functional.distance import length_along, normalize
from ..module import Module
from .parametrize import register_parametrization


def norm_except(x: Tensor, dim: int | None) -> Tensor:
    """Return the length of each slice of ``x`` along ``dim``; of all of it for None.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils.parametrizations import norm_except
    >>> norm_except(tfl.tensor([[3.0, 4.0]]), 0)
    tensor([[5.]])
    """
    if dim is None:
        return length_along(x, 2.0, None, False)
    dim %= x.ndim
    others = tuple([axis for axis in range(x.ndim) if axis != dim])
    return length_along(x, 2.0, others, True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, magnitude: Tensor, direction: Tensor) -> Tensor:
        return direction * (magnitude / norm_except(direction, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Take a weight apart into its magnitude, ``original0``, and its direction, ``original1``.

    Parameters
    ----------
    module : Module
        What has the weight.
    name : str
        The attribute.
    dim : int or None
        The axis along which each slice has a magnitude of its own; None for one of all.

    Returns
    -------
    Module
        The module itself.

    References
    ----------
    Salimans and Kingma, "Weight normalization", 2016.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> {path: x.shape for path, x in layer.state_dict().items() if "original" in path}
    {'parametrizations.weight.original0': (3, 1), 'parametrizations.weight.original1': (3, 2)}
    """
    dim = None if dim == -1 else dim  # PyTorch's other name for None
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(functools.partial(_take_older_names, name))
    return module


def _take_older_names(name: str, module: Module, state: Any, prefix: str, *others: Any) -> None:
    """Rename what the form of `nn.utils.weight_norm` saved."""
    older = [f"{prefix}{name}_{part}" for part in "gv"]
    if all(path in state for path in older):
        for number, path in enumerate(older):
            state[f"{prefix}parametrizations.{name}.original{number}"] = state.pop(path)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """Return a weight with axis ``dim`` in front and the others taken together.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils.parametrizations import as_matrix
    >>> as_matrix(tfl.zeros((2, 3, 4)), 1).shape
    (3, 8)
    """
    return reshape(moveaxis(weight, dim, 0), (weight.shape[dim], -1))


def iterate(matrix: Tensor, u: Tensor, v: Tensor, count: int, eps: float) -> None:
    """Bring ``u`` and ``v`` nearer to the first singular vectors of a matrix, in place.

    Parameters
    ----------
    matrix : Tensor, shape (M, N)
    u : Tensor, shape (M,)
    v : Tensor, shape (N,)
    count : int
        How many steps of the power method.
    eps : float
        The least length that is divided by.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils.parametrizations import iterate
    >>> u, v = tfl.tensor([0.6, 0.8]), tfl.tensor([1.0, 0.0])
    >>> iterate(tfl.tensor([[3.0, 0.0], [0.0, 1.0]]), u, v, 20, 1e-12)
    >>> u
    tensor([1., 0.])
    """
    with set_mode(grad=False):
        fixed = matrix.detach()
        for _ in range(count):
            u[...] = normalize(fixed @ v, dim=0, eps=eps)
            v[...] = normalize(fixed.mT @ u, dim=0, eps=eps)


def started(matrix: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return two random vectors of length 1 to start the power method on a matrix from.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils.parametrizations import started
    >>> [x.shape for x in started(tfl.zeros((2, 3)), 1e-12)]
    [(2,), (3,)]
    """
    where: dict[str, Any] = {"dtype": matrix.dtype, "device": matrix.device}
    u, v = (normalize(_random.normal(shape=n, **where), dim=0, eps=eps) for n in matrix.shape)
    return u, v


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise ShapeError(
                f"spectral_norm: dim must lie in [{-weight.ndim}, {weight.ndim}), got {dim}"
            )
        if iterations < 1:
            raise ArgumentError(
                f"spectral_norm: n_power_iterations must be at least 1, got {iterations}"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            u, v = started(matrix, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            iterate(matrix, u, v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            iterate(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        # Copies: the next step changes the vectors before this one's backward pass.
        u, v = self._u.clone(), self._v.clone()
        return weight / (u * (matrix @ v)).sum()

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its greatest singular value, which the power method follows.

    Parameters
    ----------
    module : Module
        What has the weight.
    name : str
        The attribute.
    n_power_iterations : int
        How many steps are made each time that the weight is read in training mode.
    eps : float
        The least length that is divided by.
    dim : int, optional
        The axis of the outputs: 1 for transposed convolutions, else 0.

    Returns
    -------
    Module
        The module itself.

    References
    ----------
    Miyato et al., "Spectral normalization for generative adversarial networks", 2018.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3))
    >>> list(layer.state_dict())[1:3]
    ['parametrizations.weight.original', 'parametrizations.weight.0._u']
    """
    if dim is None:
        dim = int(type(module).__name__.startswith("ConvTranspose"))
    weight = dict(module._own_parameters()).get(name)
    if weight is None:
        raise ArgumentError(
            f"spectral_norm: the name must be one of a parameter of {type(module).__name__}, got "
            f"{name!r}"
        )
    part = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, part)
