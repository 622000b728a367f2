"""`Module`: a network, or a part of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError, TensorflowliteError
from ..ops.creation import asarray, empty
from ..runtime import observe, shared
from . import state

_Module = TypeVar("_Module", bound="Module")
_DTYPE_NAMES = frozenset(dtype.name for dtype in dtypes.supported)


def _attributes(module: Module) -> tuple[Any, ...]:
    """Return what a recorded call of a module depends on: whatever its attributes hold."""
    return tuple(module.__dict__.values())


class Module(state.Stateful):
    """Base class of networks and their parts.

    A subclass sets parameters and other modules as attributes and defines ``forward``; calling
    the module calls ``forward``. Parameters, buffers and modules are found in the order in which
    they were set.

    Attributes
    ----------
    training : bool
        Whether the module is in training mode, as `train` and `eval` set it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self, size):
    ...         super().__init__()
    ...         self.weight = nn.Parameter(tfl.ones(size))
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> Scale(2)(tfl.tensor([3.0, 4.0]))
    tensor([3., 4.], grad_fn=multiply)
    """

    training: bool = True
    # Class attributes, made the instance's own when first written: a subclass that doesn't call
    # super().__init__() works like any other.
    _buffers: Mapping[str, bool] = {}  # the names of the buffers, and whether they are saved

    def __init__(self) -> None:
        self.training = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if shared.captures:
            observe(self, _attributes)
        try:
            if self._hooked:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except TensorflowliteError as error:
            self._locate(error)
            if isinstance(error, ShapeError):
                from .shape_notes import note_shapes

                note_shapes(self, error)
            raise

    def _locate(self, error: TensorflowliteError) -> None:
        """Name the innermost module that raised, by its path from this one, in the message."""
        found = getattr(error, "origin", None)
        if found is None:
            text = error.args[0] if error.args else str(error)  # without what str() may add to it
            error.origin = (self, text)  # type: ignore[attr-defined]
            return
        module, text = found
        for path, one in self.named_modules():
            if one is module and path:
                error.args = (f"{text}; module {path!r}", *error.args[1:])
                return

    # -- attributes ------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None:
            old = self.__dict__.get(name)
            if isinstance(old, Tensor) and old.is_parameter:
                if not (isinstance(value, Tensor) and value.is_parameter):
                    raise DtypeError(
                        f"{type(self).__name__}: parameter {name!r} must stay a parameter or "
                        f"become None, got {type(value).__name__}; use nn.Parameter(...)"
                    )
            elif name in self._buffers and not isinstance(value, Tensor):
                raise DtypeError(
                    f"{type(self).__name__}: buffer {name!r} must be a Tensor or None, "
                    f"got {type(value).__name__}"
                )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name in self._buffers:
            kept = {key: saved for key, saved in self._buffers.items() if key != name}
            object.__setattr__(self, "_buffers", kept)

    def _check_name(self, name: str, kind: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(
                f"{kind}: the name must be a string that isn't empty and has no dot, got {name!r}"
            )
        if hasattr(self, name) and not isinstance(getattr(self, name), Tensor | Module | None):
            raise ArgumentError(
                f"{kind}: the name must be free, got {name!r}, which {type(self).__name__} has"
            )

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set a tensor that isn't trained, but belongs to the module: it moves with it.

        Parameters
        ----------
        name : str
            The attribute.
        tensor : Tensor or None
            The first value.
        persistent : bool
            Whether `state_dict` holds it.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> module = nn.Module()
        >>> module.register_buffer("count", tfl.zeros(1))
        >>> list(module.state_dict())
        ['count']
        """
        self._check_name(name, "register_buffer")
        object.__setattr__(self, "_buffers", {**self._buffers, name: persistent})
        setattr(self, name, tensor)

    def register_parameter(self, name: str, parameter: Tensor | None) -> None:
        """Set a parameter by name; None where the module goes without it.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> module = nn.Module()
        >>> module.register_parameter("scale", nn.Parameter(tfl.ones(1)))
        >>> module.scale
        tensor([1.], requires_grad=True)
        """
        self._check_name(name, "register_parameter")
        if parameter is not None and not (
            isinstance(parameter, Tensor) and parameter.is_parameter
        ):
            raise DtypeError(
                f"register_parameter: {name!r} must be a parameter or None, "
                f"got {type(parameter).__name__}; use nn.Parameter(...)"
            )
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Set a module by name.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> module = nn.Module()
        >>> module.add_module("encoder", nn.Linear(2, 3))
        >>> module.encoder
        Linear(in_features=2, out_features=3, bias=True)
        """
        self._check_name(name, "add_module")
        if module is not None and not isinstance(module, Module):
            raise DtypeError(
                f"add_module: {name!r} must be a Module or None, got {type(module).__name__}"
            )
        setattr(self, name, module)

    register_module = add_module

    # -- what it holds ---------------------------------------------------------------------------
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules that are attributes of this one, with their names."""
        seen: set[Module] = set()
        for name, value in list(vars(self).items()):
            if isinstance(value, Module) and value not in seen:
                seen.add(value)
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield the modules that are attributes of this one."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all inside it, with their paths; this one's is ``prefix``.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_modules()]
        ['', '0', '1']
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, value in list(vars(self).items()):
            if isinstance(value, Module):
                path = f"{prefix}.{name}" if prefix else name
                yield from value.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all inside it."""
        for _, module in self.named_modules():
            yield module

    def _own_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor) and value.is_parameter and name not in self._buffers:
                yield name, value

    def _own_buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name in self._buffers:
            value = vars(self).get(name)
            if value is not None:
                yield name, value

    def _named(self, own: str, prefix: str, recurse: bool,
               remove_duplicate: bool) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
        seen: set[Tensor] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, tensor in getattr(module, own)():
                if tensor in seen:
                    continue
                if remove_duplicate:
                    seen.add(tensor)
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of this module and all inside it, with their paths.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_parameters()]
        ['0.weight', '0.bias']
        """
        return self._named("_own_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the parameters of this module and all inside it, each once.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> [p.shape for p in nn.Linear(2, 3).parameters()]
        [(3, 2), (3,)]
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers of this module and all inside it, with their paths.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> [name for name, _ in nn.BatchNorm1d(3).named_buffers()]
        ['running_mean', 'running_var', 'num_batches_tracked']
        """
        return self._named("_own_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers of this module and all inside it, each once.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> [b.shape for b in nn.BatchNorm1d(3).buffers()]
        [(3,), (3,), ()]
        """
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """Return the module at a path such as ``"encoder.0"``; this one for ``""``.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU()).get_submodule("1")
        ReLU()
        """
        module = self
        for name in target.split(".") if target else ():
            found = vars(module).get(name)
            if not isinstance(found, Module):
                raise ArgumentError(
                    f"get_submodule: the path must lead to a module, got {target!r}: "
                    f"{type(module).__name__} has no module {name!r}"
                )
            module = found
        return module

    def get_parameter(self, target: str) -> Tensor:
        """Return the parameter at a path such as ``"encoder.0.weight"``.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> nn.Sequential(nn.Linear(2, 3)).get_parameter("0.weight").shape
        (3, 2)
        """
        return self._get_tensor("get_parameter", "parameter", target, self._own_parameters)

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a path such as ``"encoder.1.running_mean"``.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> nn.Sequential(nn.BatchNorm1d(3)).get_buffer("0.running_mean").shape
        (3,)
        """
        return self._get_tensor("get_buffer", "buffer", target, self._own_buffers)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path such as ``"encoder.0"``.

        Parameters
        ----------
        target : str
            The path; what it leads through must be there.
        module : Module
            What to put there.
        strict : bool
            Whether a module must be there already.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> model.set_submodule("1", nn.Tanh())
        >>> model[1]
        Tanh()
        """
        path, _, last = target.rpartition(".")
        if not isinstance(module, Module):
            raise DtypeError(f"set_submodule: a Module is needed, got {type(module).__name__}")
        parent = self.get_submodule(path)
        if strict or isinstance(vars(parent).get(last), Module):
            self.get_submodule(target)
            setattr(parent, last, module)
        else:
            parent.add_module(last, module)

    def _get_tensor(self, name: str, kind: str, target: str, own: Any) -> Tensor:
        path, _, last = target.rpartition(".")
        module = self.get_submodule(path)
        found = dict(getattr(module, own.__name__)()).get(last)
        if found is None:
            raise ArgumentError(
                f"{name}: the path must lead to a {kind}, got {target!r}: "
                f"{type(module).__name__} has no {kind} {last!r}"
            )
        return found

    # -- changing all of it ----------------------------------------------------------------------
    def apply(self: _Module, function: Callable[[Module], Any]) -> _Module:
        """Call ``function`` with every module inside this one, and with this one last.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> names = []
        >>> _ = nn.Sequential(nn.Identity()).apply(lambda m: names.append(type(m).__name__))
        >>> names
        ['Identity', 'Sequential']
        """
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self: _Module, mode: bool = True) -> _Module:
        """Put this module and all inside it in training mode, or in evaluation mode.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> nn.Dropout(0.5).train(False).training
        False
        """
        if not isinstance(mode, bool):
            raise DtypeError(f"train: mode must be True or False, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: _Module) -> _Module:
        """Put this module and all inside it in evaluation mode."""
        return self.train(False)

    def requires_grad_(self: _Module, requires_grad: bool = True) -> _Module:
        """Ask for gradients of all parameters, or freeze them.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> frozen = nn.Linear(2, 3).requires_grad_(False)
        >>> [p.requires_grad for p in frozen.parameters()]
        [False, False]
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> layer = nn.Linear(2, 1)
        >>> layer(tfl.ones((1, 2))).sum().backward()
        >>> layer.zero_grad()
        >>> layer.weight.grad is None
        True
        """
        state.zero_gradients(self.parameters(), set_to_none)

    def _convert(self: _Module, dtype: Any, device: Any) -> _Module:
        memo: set[Tensor] = set()
        for tensor in [*self.parameters(), *self.buffers()]:
            if tensor in memo:
                continue
            memo.add(tensor)
            wanted = dtype if tensor.dtype in dtypes.inexact else None
            grad = tensor.grad
            tensor.set_(asarray(tensor.detach(), dtype=wanted, device=device))
            if grad is not None:
                tensor.grad = asarray(grad.detach(), dtype=wanted, device=device)
        return self

    def to(self: _Module, *args: Any, device: Any = None, dtype: Any = None) -> _Module:
        """Move parameters and buffers to a device, or cast them, in place.

        Parameters
        ----------
        device : str, optional
            As in ``module.to("cuda")``.
        dtype : dtype, optional
            A float or complex dtype; integer buffers keep theirs.

        Returns
        -------
        Module
            The module itself. Its parameters stay the same tensors, so an optimizer made before
            goes on training them.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> nn.Linear(2, 3).to("cpu", tfl.float64).weight.dtype.name
        'float64'
        """
        for value in args:
            if isinstance(value, Tensor):
                device, dtype = value.device, value.dtype
            elif isinstance(value, str) and value not in _DTYPE_NAMES:
                device = value
            elif value is not None:
                dtype = value
        dtype = None if dtype is None else dtypes.as_dtype(dtype)
        if dtype is not None and dtype not in dtypes.inexact:
            raise DtypeError(f"to: dtype must be a float or complex one, got {dtype}")
        return self._convert(dtype, device)

    def cpu(self: _Module) -> _Module:
        """Move parameters and buffers to the CPU."""
        return self._convert(None, "cpu")

    def cuda(self: _Module, index: int | None = None) -> _Module:
        """Move parameters and buffers to a GPU.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> if tfl.cuda.is_available():
        ...     layer = nn.Linear(2, 3).cuda()
        """
        return self._convert(None, "cuda" if index is None else f"cuda:{index}")

    def float(self: _Module) -> _Module:
        """Cast parameters and float buffers to float32."""
        return self._convert(dtypes.float32, None)

    def double(self: _Module) -> _Module:
        """Cast parameters and float buffers to float64."""
        return self._convert(dtypes.float64, None)

    def half(self: _Module) -> _Module:
        """Cast parameters and float buffers to float16."""
        return self._convert(dtypes.float16, None)

    def bfloat16(self: _Module) -> _Module:
        """Cast parameters and float buffers to bfloat16."""
        return self._convert(dtypes.bfloat16, None)

    def type(self: _Module, dst_type: Any) -> _Module:
        """Cast parameters and float buffers to a dtype; as ``to(dtype)``.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> nn.Linear(2, 3).type(tfl.float64).weight.dtype.name
        'float64'
        """
        return self.to(dtype=dst_type)

    def to_empty(self: _Module, *, device: Any, recurse: bool = True) -> _Module:
        """Move parameters and buffers to a device without their values, which are undefined then.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> nn.Linear(2, 3).to_empty(device="cpu").weight.shape
        (3, 2)
        """
        for tensor in {*self.parameters(recurse), *self.buffers(recurse)}:
            tensor.set_(empty(tensor.shape, dtype=tensor.dtype, device=device))
        return self

    # -- how it reads ----------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """Return what stands between the brackets of the module's repr."""
        return ""

    def _repr_children(self) -> list[str]:
        return [f"({name}): {child!r}" for name, child in vars(self).items()
                if isinstance(child, Module)]  # fmt: skip

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [text.replace("\n", "\n  ") for text in self._repr_children()]
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = [*([extra] if extra else []), *children]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"
