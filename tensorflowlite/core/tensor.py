"""``Tensor`` and the nodes of the graph.

A tensor is an array of NumPy or CuPy and the node that made it. Nodes save raw arrays, and their
parents are nodes: nothing in the graph refers to a tensor, so there are no cycles, and an
activation dies as soon as the caller drops it, unless a gradient rule saved it.

Operators and methods are attached in ``ops/methods.py``; what stands here is what a tensor can do
without any operation.
"""

from __future__ import annotations

import copy
import sys
import weakref
from collections.abc import Callable
from typing import Any

from .. import runtime
from ..backend import Device, as_array, backend_of, by_array_type, dtypes, ndarray
from ..errors import ArgumentError, DeviceError, DtypeError, GradientError, ShapeError
from .nodes import Leaf, Output, make_leaf

new = object.__new__
# The versions of the Array API standard that the package conforms to; the newest is the last.
ARRAY_API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


class Retained:
    """A hook that keeps the gradient of a tensor that is no leaf."""

    __slots__ = ("grad",)

    def __init__(self) -> None:
        self.grad: Tensor | None = None

    def __call__(self, grad: Tensor) -> None:
        if self.grad is not None:
            self.grad = self.grad + grad
        elif grad.node is not None:
            self.grad = grad
        else:  # others may own that array, and its elements may share memory
            self.grad = wrap(backend_of(grad.array).copy(grad.array), None)


class AfterAccumulation:
    """A hook of a leaf that runs when a backward pass has added to its ``grad``."""

    __slots__ = ("hook", "tensor")

    def __init__(self, tensor: Tensor, hook: Callable[[Tensor], None]) -> None:
        self.tensor, self.hook = weakref.ref(tensor), hook

    def __call__(self, grad: Tensor) -> None:
        """Leave the gradient on its way as it is."""

    def run(self) -> None:
        """Call the hook with the leaf, if that is there still."""
        tensor = self.tensor()
        if tensor is not None:
            self.hook(tensor)


class HookHandle:
    """What ``register_hook`` returns: ``remove()`` takes the hook away again."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


class Tensor:
    """An array that can record the operations made with it.

    Parameters
    ----------
    array
        A NumPy or CuPy array. It is shared, not copied; use `tensorflowlite.tensor` to copy.
    requires_grad
        Whether gradients are accumulated in ``grad``. Float and complex dtypes only.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> x = tfl.Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.], dtype=float64)
    """

    # `base` is (root, path) of a view, the list of live views of a root, and None elsewhere.
    __slots__ = ("array", "node", "base", "parameter", "__weakref__")
    __array_priority__ = 1000

    array: Any
    node: Any
    base: Any

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        if type(array) is not ndarray and type(array) not in by_array_type:
            backend_of(array)  # raises for anything but an array
        self.array = array
        self.node = self.base = None
        if requires_grad:
            self.requires_grad_()

    # -- what it is ------------------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.array.shape

    @property
    def dtype(self) -> Any:
        """The ``numpy.dtype`` of the elements."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.array.size

    @property
    def nbytes(self) -> int:
        """The number of bytes that the elements take."""
        return self.array.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        """The number of bytes from one element to the next, along each axis."""
        return self.array.strides

    @property
    def device(self) -> Device:
        """Where the array lives: ``"cpu"``, ``"cuda:0"``."""
        return backend_of(self.array).device_of(self.array)

    # -- gradients -------------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        """Whether a backward pass reaches this tensor. May be set on a leaf."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients of this tensor, or stop asking; returns the tensor itself.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> tfl.ones(2).requires_grad_()
        tensor([1., 1.], requires_grad=True)
        """
        if self.node is not None and type(self.node) is not Leaf:
            if not requires_grad:
                raise GradientError(
                    "requires_grad_: only a leaf can stop requiring grad, got a tensor that an "
                    "operation made; use detach()"
                )
        elif not requires_grad:
            if self.node is not None and runtime.shared.captures:
                _note_grad(self, "written")
            self.node = None
        elif self.node is None:
            if not dtypes.is_inexact(self.array.dtype):
                raise DtypeError(
                    "requires_grad_: the dtype must be a float or complex one, got "
                    f"{self.array.dtype}; cast with astype(float32) first"
                )
            self.node = make_leaf(self.array)
            if runtime.shared.captures:
                _note_grad(self, "written")
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self.node is None or type(self.node) is Leaf

    @property
    def is_parameter(self) -> bool:
        """Whether the tensor was made by `nn.Parameter`."""
        return getattr(self, "parameter", False)

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient: of a leaf, or where `retain_grad` was called."""
        node = self.node
        if type(node) is Leaf:
            if runtime.shared.captures:
                _note_grad(self, "read")
            return node.grad
        retained = self._retained()
        return None if retained is None else retained.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        node = self.node
        if type(node) is not Leaf:
            if value is None:
                return
            raise GradientError("grad: can be set on a leaf that requires grad only")
        if value is not None:
            if type(value) is not Tensor:
                raise DtypeError(f"grad: must be a Tensor or None, got {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ShapeError(
                    f"grad: must have the tensor's shape and dtype {self.shape} {self.dtype}, "
                    f"got {value.shape} {value.dtype}"
                )
            if type(value.array) is not type(self.array):
                raise DeviceError(
                    f"grad: must be on the tensor's device {self.device}, got {value.device}"
                )
            if 0 in value.array.strides and value.array.size > 1:  # gradients are added into it
                value = wrap(backend_of(value.array).copy(value.array), None)
        if runtime.shared.captures:
            _note_grad(self, "written")
        node.grad = value

    def _retained(self) -> Retained | None:
        for hook in getattr(self.node, "hooks", None) or ():
            if type(hook) is Retained:
                return hook
        return None

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor, which no leaf is, in ``grad``."""
        if self.node is None:
            raise GradientError("retain_grad: the tensor must require grad, got one that doesn't")
        if type(self.node) is not Leaf and self._retained() is None:
            self._add_hook(Retained())

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call ``hook(grad)`` when the gradient of this tensor is ready.

        What it returns, where it isn't None, takes the gradient's place.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> x = tfl.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda grad: grad * 10)
        >>> x.sum().backward()
        >>> x.grad
        tensor([10., 10.])
        """
        if self.node is None:
            raise GradientError("register_hook: the tensor must require grad, got one that doesn't")
        return self._add_hook(hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> HookHandle:
        """Call ``hook(tensor)`` each time a backward pass has added to this leaf's ``grad``.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> x = tfl.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_post_accumulate_grad_hook(lambda x: print(x.grad))
        >>> x.sum().backward()
        tensor([1., 1.])
        """
        if type(self.node) is not Leaf:
            got = "one that doesn't" if self.node is None else "one that an operation made"
            raise GradientError(
                "register_post_accumulate_grad_hook: the tensor must be a leaf that requires "
                f"grad, got {got}; use register_hook"
            )
        return self._add_hook(AfterAccumulation(self, hook))

    def _add_hook(self, hook: Any) -> HookHandle:
        node = self.node
        if node.hooks is None:
            node.hooks = []
        node.hooks.append(hook)
        return HookHandle(node.hooks, hook)

    def detach(self) -> Tensor:
        """Return a tensor that shares the array and has no history."""
        if runtime.shared.captures:
            _enter(self)
        return wrap(self.array, None)

    @property
    def data(self) -> Tensor:
        """The tensor without history, sharing the array; setting it replaces the array."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.set_(value)

    def set_(self, source: Tensor) -> Tensor:
        """Hold ``source``'s array from now on. The tensor must be a leaf; returns itself.

        A gradient that doesn't fit the new array (shape, dtype or device) is dropped.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> x = tfl.zeros(2)
        >>> x.set_(tfl.ones(3))
        tensor([1., 1., 1.])
        """
        if not self.is_leaf:
            raise GradientError("set_: the tensor must be a leaf, got one that an operation made")
        if runtime.shared.captures:
            _enter(self)
            _enter(source)
        self.array = source.array
        if type(self.node) is Leaf:
            grad, hooks = self.node.grad, self.node.hooks
            self.node = None
            self.requires_grad_()
            self.node.hooks = hooks
            fits = grad is not None and (
                grad.shape == self.shape
                and grad.dtype == self.dtype
                and type(grad.array) is type(self.array)
            )
            self.node.grad = grad if fits else None
        return self

    # -- leaving the tensor ----------------------------------------------------------------------
    def item(self) -> bool | int | float | complex:
        """Return the one element as a Python number."""
        if runtime.shared.captures:
            _enter(self)
        if self.array.size != 1:
            raise ShapeError(
                f"item: the tensor must hold one element, got shape {self.shape}; use tolist(), or "
                "reduce it first"
            )
        backend = backend_of(self.array)
        backend.check_readable("item", self.array)
        value = backend.to_host(self.array).item()
        return float(value) if self.array.dtype == dtypes.bfloat16 else value

    def tolist(self) -> Any:
        """Return the elements as nested Python lists."""
        if runtime.shared.captures:
            _enter(self)
        backend = backend_of(self.array)
        backend.check_readable("tolist", self.array)
        host = backend.to_host(self.array)
        return (host.astype(dtypes.float32) if host.dtype == dtypes.bfloat16 else host).tolist()

    def numpy(self) -> Any:
        """Return the NumPy array itself, without a copy.

        Raises
        ------
        GradientError
            The tensor requires grad: call ``detach()`` first.
        DeviceError
            The tensor isn't on the CPU: call ``cpu()`` first.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> tfl.ones(2).numpy()
        array([1., 1.], dtype=float32)
        """
        self._refuse_export("numpy")
        if runtime.shared.captures:
            _enter(self)
        if type(self.array) is not ndarray:
            backend_of(self.array).check_readable("numpy", self.array)
            raise DeviceError(f"numpy: the tensor must be on the CPU, got {self.device}; use cpu()")
        return self.array

    def _refuse_export(self, what: str) -> None:
        # RuntimeError, never AttributeError: NumPy would then read the elements one by one.
        if self.node is not None:
            raise GradientError(
                f"{what}: the tensor must not require grad, or its gradient would be lost; "
                "use detach() first"
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self._host_view("__array__")
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"__array__: {array.dtype} can't become {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def _host_view(self, what: str) -> Any:
        if runtime.shared.captures:
            _enter(self)
        self._refuse_export(what)
        if type(self.array) is not ndarray:
            backend_of(self.array).check_readable(what, self.array)
            raise DeviceError(
                f"{what}: NumPy can't read a tensor on {self.device}; use cpu() first"
            )
        return self.array

    @property
    def __array_interface__(self) -> Any:
        return self._host_view("__array_interface__").__array_interface__

    @property
    def __cuda_array_interface__(self) -> Any:
        if type(self.array) is ndarray:
            raise AttributeError("__cuda_array_interface__: the tensor is on the CPU")
        self._refuse_export("__cuda_array_interface__")
        if runtime.shared.captures:
            _enter(self)
        return self.array.__cuda_array_interface__

    def __dlpack__(
        self,
        /,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        self._refuse_export("__dlpack__")
        if runtime.shared.captures:
            _enter(self)
        asked = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        given = {name: value for name, value in asked.items() if value is not None}
        return self.array.__dlpack__(**given)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        package = sys.modules[__name__.partition(".")[0]]
        if api_version is not None and api_version not in ARRAY_API_VERSIONS:
            raise ArgumentError(
                f"__array_namespace__: api_version must be one of {', '.join(ARRAY_API_VERSIONS)}, "
                f"got {api_version!r}"
            )
        return package

    def __bool__(self) -> bool:
        if runtime.shared.captures:
            _enter(self)
        if self.array.size != 1:
            raise ShapeError(
                f"bool: a tensor of one element is needed, got shape {self.shape}; "
                "use any() or all()"
            )
        backend = backend_of(self.array)
        backend.check_readable("bool", self.array)
        return bool(backend.to_host(self.array))

    def __float__(self) -> float:
        return float(self.item())  # type: ignore[arg-type]

    def __int__(self) -> int:
        return int(self.item())  # type: ignore[arg-type]

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iu" or self.array.ndim != 0:
            raise DtypeError(
                f"index: a 0-d integer tensor is needed, got {self.dtype} {self.shape}"
            )
        return int(self.item())  # type: ignore[arg-type]

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise DtypeError("len: a tensor without axes has no length")
        return self.array.shape[0]

    # By identity, for == compares elements.
    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        if self.array.size == 1 and self.array.ndim == 0:
            return format(self.item(), spec)
        if spec:
            raise DtypeError(
                f"format: a 0-d tensor is needed for {spec!r}, got shape {self.shape}; format its "
                "elements, or leave the format out"
            )
        return repr(self)

    def __repr__(self) -> str:
        if runtime.shared.captures:
            _enter(self)
        backend = backend_of(self.array)
        hidden = backend.described(self.array)
        if hidden is not None:
            return f"tensor({hidden})"
        host = backend.to_host(self.array)
        text = as_array(host).__repr__()  # numpy's layout of nested brackets
        inner = text[text.index("(") + 1 : -1]
        marks = []
        if ", dtype=" in inner:
            inner = inner[: inner.rindex(", dtype=")].rstrip()
        lines = inner.split("\n")
        inner = "\n".join([lines[0], *(" " + line for line in lines[1:])])
        if host.dtype not in (dtypes.float32, dtypes.int64, dtypes.bool_, dtypes.complex64):
            marks.append(f"dtype={host.dtype.name}")
        if backend.device_type != "cpu":
            marks.append(f"device='{self.device}'")
        if type(self.node) is Leaf:
            marks.append("requires_grad=True")
        elif self.node is not None:
            marks.append(f"grad_fn={operation_of(self.node)}")
        return f"tensor({', '.join([inner, *marks])})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                "deepcopy: the tensor must be a leaf, got one that an operation made; "
                "use detach() first"
            )
        if runtime.shared.captures:
            _enter(self)
        copied = wrap(self.array.copy(), None)
        if self.is_parameter:
            copied.parameter = True
        memo[id(self)] = copied
        if self.node is not None:
            copied.node = make_leaf(copied.array)
            copied.node.grad = copy.deepcopy(self.grad, memo)
        return copied

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            self._refuse_export("pickle")
        if type(self.array) is not ndarray:
            raise DeviceError(
                f"pickle: the tensor must be on the CPU, got {self.device}; use cpu() first"
            )
        return (_rebuild, (as_array(self.array), self.requires_grad, self.is_parameter))


def _enter(tensor: Tensor) -> None:
    """Make a tensor from outside part of what this thread records for `jit`, if it does."""
    capture = runtime.mode.capture
    if capture is not None and not capture.running:
        capture.session.enter(tensor)


def _note_grad(tensor: Tensor, how: str) -> None:
    """Let what this thread records for `jit` know that a leaf's gradient was read or set."""
    capture = runtime.mode.capture
    if capture is not None and not capture.running:
        capture.session.note_grad(tensor, how)


def _rebuild(array: Any, requires_grad: bool, parameter: bool) -> Tensor:
    tensor = Tensor(array, requires_grad)
    if parameter:
        tensor.parameter = True
    return tensor


def wrap(array: Any, node: Any) -> Tensor:
    """Return a tensor for an array of a known library, made by ``node``."""
    tensor = new(Tensor)
    tensor.array = array
    tensor.node = node
    tensor.base = None
    return tensor


def operation_of(node: Any) -> str:
    """Return the name of the operation that a node records."""
    if type(node) is Output:
        node = node.main
    return node.op.name if node.op is not None else "freed"


def recording() -> bool:
    """Whether operations are recorded on this thread."""
    return not runtime.shared.special or runtime.mode.grad
