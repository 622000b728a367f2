"""Parameters that are computed from others each time they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...runtime import set_mode
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter


class _Cache(threading.local):
    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[int, str], Tensor] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once inside the block, for networks that read it often.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> with parametrize.cached():
    ...     same = layer.weight is layer.weight
    >>> same
    True
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and the tensors that it is computed from.

    Those are its parameters ``original``, or ``original0``, ``original1``, ... where the first
    parametrization takes several.

    Parameters
    ----------
    modules : sequence of Module
        What is applied, one after the other.
    original : Tensor
        The parameter or buffer to be computed from now on.
    unsafe : bool
        Whether the computed tensor may have another shape or dtype.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn.utils import parametrize
    >>> listed = parametrize.ParametrizationList([nn.ReLU()], nn.Parameter(tfl.tensor([-1.0])))
    >>> listed().detach()
    tensor([0.])
    """

    def __init__(self, modules: Any, original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        value: Any = original.detach()
        with set_mode(grad=False):
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                value = value if inverse is None else inverse(value)
        self.is_tensor = not isinstance(value, tuple | list)
        self.unsafe = unsafe
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(len(value))]
        self.names = tuple(names)
        for name, one in zip(names, [value] if self.is_tensor else value, strict=True):
            if original.is_parameter:
                kept = one if one is not original.detach() else original
                self.register_parameter(name, Parameter(kept, original.requires_grad))
            else:
                self.register_buffer(name, one)
        found = self()
        if not unsafe and (found.shape != original.shape or found.dtype != original.dtype):
            raise ShapeError(
                "register_parametrization: the computed tensor must have the shape and dtype of "
                f"the original {original.dtype} {original.shape}, got {found.dtype} {found.shape}; "
                "unsafe=True lets it pass"
            )

    def originals(self) -> list[Tensor]:
        """Return the tensors that are computed from."""
        return [getattr(self, name) for name in self.names]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the computed tensor becomes ``value``.

        Parameters
        ----------
        value : Tensor
            What the computed tensor should be.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1))
        >>> layer.weight = tfl.tensor([[3.0, 4.0]])
        >>> layer.parametrizations.weight.original0.detach()
        tensor([[5.]])
        """
        with set_mode(grad=False):
            found: Any = value.detach()
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    raise ArgumentError(
                        f"parametrize: {type(module).__name__} must have a right_inverse for the "
                        "tensor to be set, got none"
                    )
                found = inverse(found)
            for held, one in zip(
                self.originals(), [found] if self.is_tensor else found, strict=True
            ):
                held[...] = one

    def forward(self) -> Tensor:
        first, *others = self
        value = first(*self.originals())
        for module in others:
            value = module(value)
        return value


def _parts(module: Module) -> Any:
    """Return a module's `ParametrizationList` of each computed tensor, by its name."""
    return vars(module)["parametrizations"]


def _property(name: str) -> property:
    def read(module: Module) -> Tensor:
        listed = _parts(module)[name]
        if not _cache.depth:
            return listed()
        key = (id(module), name)
        if key not in _cache.values:
            _cache.values[key] = listed()
        return _cache.values[key]

    def write(module: Module, value: Tensor) -> None:
        _parts(module)[name].right_inverse(value)

    return property(read, write)


def _set_class(module: Module, names: list[str]) -> None:
    """Give a module a class of its own whose properties compute the tensors of these names."""
    base = type_before_parametrizations(module)
    new: type = base
    if names:
        members = {name: _property(name) for name in names}
        new = type(f"Parametrized{base.__name__}", (base,), {"_parametrized": base, **members})
    object.__setattr__(module, "__class__", new)


def type_before_parametrizations(module: Module) -> type:
    """Return the class that a module had before anything of it was parametrized.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> type(layer).__name__, parametrize.type_before_parametrizations(layer).__name__
    ('ParametrizedLinear', 'Linear')
    """
    return getattr(type(module), "_parametrized", type(module))


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether a tensor of a module, or any of them, is computed from others.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> parametrize.is_parametrized(layer), parametrize.is_parametrized(layer, "bias")
    (True, False)
    """
    found = vars(module).get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return bool(len(found)) if tensor_name is None else tensor_name in found


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a parameter or buffer the result of a module, computed each time it is read.

    Parameters
    ----------
    module : Module
        What has the tensor.
    tensor_name : str
        The attribute.
    parametrization : Module
        What computes it. Its method ``right_inverse``, where it has one, says from what: a tensor,
        or a tuple of them; else it is computed from the tensor as it was. A tensor that is computed
        already is handed to it.
    unsafe : bool
        Whether the computed tensor may have another shape or dtype.

    Returns
    -------
    Module
        The module itself. Its state holds ``parametrizations.<name>.original``.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn.utils import parametrize
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).mT
    >>> layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.mT).all()), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        listed = _parts(module)[tensor_name]
        before = getattr(module, tensor_name)
        after = parametrization(before)
        if not unsafe and (after.shape != before.shape or after.dtype != before.dtype):
            raise ShapeError(
                "register_parametrization: the computed tensor must have the shape and dtype of "
                f"the original {before.dtype} {before.shape}, got {after.dtype} {after.shape}; "
                "unsafe=True lets it pass"
            )
        listed.append(parametrization)
        return module
    held = {*dict(module._own_parameters()), *dict(module._own_buffers())}
    if tensor_name not in held:
        raise ArgumentError(
            f"register_parametrization: the name must be one of a parameter or a buffer of "
            f"{type(module).__name__}, got {tensor_name!r}"
        )
    listed = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    _parts(module)[tensor_name] = listed
    _set_class(module, _parts(module).keys())
    return module


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a computed tensor an ordinary parameter or buffer again.

    Parameters
    ----------
    module : Module
        What has the tensor.
    tensor_name : str
        The attribute.
    leave_parametrized : bool
        Whether it keeps its computed value, or takes that of the original.

    Returns
    -------
    Module
        The module itself.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> list(parametrize.remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: the tensor must be parametrized, got {tensor_name!r} of "
            f"{type(module).__name__}"
        )
    listed = _parts(module)[tensor_name]
    if not leave_parametrized and not listed.is_tensor:
        raise ArgumentError(
            "remove_parametrizations: leave_parametrized=False needs one original, got "
            f"{len(listed.names)}"
        )
    held = listed.originals()[0]
    with set_mode(grad=False):
        value = getattr(module, tensor_name) if leave_parametrized else held
    del _parts(module)[tensor_name]
    names = _parts(module).keys()
    _set_class(module, names)
    if not names:
        delattr(module, "parametrizations")
    if not held.is_parameter:
        module.register_buffer(tensor_name, value.detach())
    elif listed.is_tensor:  # an optimizer that has the parameter goes on training it
        held.set_(value.detach())
        module.register_parameter(tensor_name, held)
    else:
        module.register_parameter(tensor_name, Parameter(value, held.requires_grad))
    return module
