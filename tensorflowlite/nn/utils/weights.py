"""Weight and spectral normalisation by hooks: the older form, which checkpoints know.

Their states hold ``weight_g`` and ``weight_v``, or ``weight_orig``, ``weight_u`` and ``weight_v``.
"""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...errors import ArgumentError
from ...runtime import set_mode
from ..module import Module
from ..parameter import Parameter
from .parametrizations import as_matrix, iterate, norm_except, started


class _Computed:
    """A hook that computes an attribute from others before each call."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Module) -> Tensor:
        raise NotImplementedError

    def parts(self) -> list[str]:
        raise NotImplementedError

    def __call__(self, module: Module, args: Any) -> None:
        object.__setattr__(module, self.name, self.compute(module))


class _WeightNorm(_Computed):
    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def parts(self) -> list[str]:
        return [f"{self.name}_g", f"{self.name}_v"]

    def compute(self, module: Module) -> Tensor:
        magnitude, direction = (getattr(module, part) for part in self.parts())
        return direction * (magnitude / norm_except(direction, self.dim))


class _SpectralNorm(_Computed):
    def __init__(self, name: str, iterations: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.iterations, self.eps, self.dim = iterations, eps, dim

    def parts(self) -> list[str]:
        return [f"{self.name}_{part}" for part in ("orig", "u", "v")]

    def compute(self, module: Module) -> Tensor:
        weight, u, v = (getattr(module, part) for part in self.parts())
        matrix = as_matrix(weight, self.dim)
        if module.training:
            iterate(matrix.mT, v, u, self.iterations, self.eps)  # v is brought nearer first
        return weight / (u.clone() * (matrix @ v.clone())).sum()


def _weight(what: str, module: Module, name: str) -> Tensor:
    found = dict(module._own_parameters()).get(name)
    if found is None:
        raise ArgumentError(
            f"{what}: the name must be one of a parameter of {type(module).__name__}, got {name!r}"
        )
    return found


def _removed(what: str, kind: type[_Computed], module: Module, name: str) -> Module:
    hooks: Any = module._forward_pre_hooks
    for key, (hook, _) in hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            with set_mode(grad=False):
                training, module.training = module.training, False
                value = hook.compute(module)
                module.training = training
            for part in [name, *hook.parts()]:
                delattr(module, part)
            del hooks[key]
            module.register_parameter(name, Parameter(value))
            return module
    raise ArgumentError(f"{what}: {name!r} must be normalised so, got {type(module).__name__}")


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Compute a weight from ``weight_g`` and ``weight_v`` before each call.

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
        The module itself. `parametrizations.weight_norm` computes the weight whenever it is read.

    References
    ----------
    Salimans and Kingma, "Weight normalization", 2016.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> list(nn.utils.weight_norm(nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = _weight("weight_norm", module, name)
    hook = _WeightNorm(name, None if dim == -1 else dim)
    magnitude, direction = hook.parts()
    with set_mode(grad=False):
        size = norm_except(weight, hook.dim)
    delattr(module, name)
    module.register_parameter(magnitude, Parameter(size))
    module.register_parameter(direction, Parameter(weight))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make a weight that `weight_norm` computes a parameter again.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> layer = nn.utils.weight_norm(nn.Linear(2, 3))
    >>> list(nn.utils.remove_weight_norm(layer).state_dict())
    ['bias', 'weight']
    """
    return _removed("remove_weight_norm", _WeightNorm, module, name)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight, ``weight_orig``, by its greatest singular value before each call.

    Parameters
    ----------
    module : Module
        What has the weight.
    name : str
        The attribute.
    n_power_iterations : int
        How many steps of the power method each call makes in training mode.
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
    >>> list(nn.utils.spectral_norm(nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = _weight("spectral_norm", module, name)
    if n_power_iterations < 1:
        raise ArgumentError(
            f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}"
        )
    if dim is None:
        dim = int(type(module).__name__.startswith("ConvTranspose"))
    hook = _SpectralNorm(name, n_power_iterations, eps, dim)
    original, left, right = hook.parts()
    u, v = started(as_matrix(weight.detach(), dim), eps)
    delattr(module, name)
    module.register_parameter(original, weight)
    object.__setattr__(module, name, weight.detach())
    module.register_buffer(left, u)
    module.register_buffer(right, v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make a weight that `spectral_norm` computes a parameter again.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> layer = nn.utils.spectral_norm(nn.Linear(2, 3))
    >>> list(nn.utils.remove_spectral_norm(layer).state_dict())
    ['bias', 'weight']
    """
    return _removed("remove_spectral_norm", _SpectralNorm, module, name)
