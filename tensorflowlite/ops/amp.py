"""Mixed precision: which operations run in half precision, and which in float32.

While some thread is inside `autocast`, the entry points that the table names are redirected: they
ask whether this thread casts, and if so the operation runs on cast inputs. The casts are recorded,
so that gradients come back in the parameters' own dtype. Outside nothing is asked.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..backend import Device, dtypes
from ..backend.base import at_first_use, by_device_type
from ..backend.dtypes import bfloat16, float16, float32
from ..core.entry import recorded_again, remade
from ..core.primitive import redirect, traced
from ..core.tensor import Tensor, recording
from ..errors import ArgumentError, DeviceError
from ..runtime import changed, owner_of, shared
from . import activation as _activation  # noqa: F401  the operations must be there to be redirected
from . import attention as _attention  # noqa: F401
from . import conv as _conv  # noqa: F401
from . import ctc as _ctc  # noqa: F401
from . import einsum as _einsum  # noqa: F401
from . import fused as _fused  # noqa: F401
from . import losses as _losses  # noqa: F401
from . import normalization as _normalization  # noqa: F401

_Function = TypeVar("_Function", bound=Callable[..., Any])

# PyTorch's lists, as far as they name operations here; what is on none runs in its inputs' dtype,
# and in the wider one where they differ.
LOWER = "matmul einsum linear_act conv_act convolution convolution_input_gradient attention"
FLOAT32 = "softmax_cross_entropy nll_loss ctc prod"  # and the losses made of several operations
# On an accelerator these too, whose results overflow float16 or lose too much of it.
FLOAT32_ON_ACCELERATORS = (
    "acos asin cosh exp expm1 log log10 log2 log1p power reciprocal rsqrt sinh tan sum "
    "cumulative_sum cumulative_prod softmax log_softmax softplus layer_norm rms_norm "
    "norm_statistics logsumexp"
)


def _table(lower: str, wide: str) -> dict[str, bool]:
    """Return for each operation whether it runs in half precision; else in float32."""
    return {**dict.fromkeys(lower.split(), True), **dict.fromkeys(wide.split(), False)}


# By device type; other types than these are accelerators.
POLICIES = {"cpu": _table(LOWER, FLOAT32)}
ACCELERATOR = _table(LOWER, f"{FLOAT32} {FLOAT32_ON_ACCELERATORS}")
DTYPES = {"cpu": bfloat16}


class _State(threading.local):
    """What this thread casts to, by device type, and the casts of parameters that are kept."""

    def __init__(self) -> None:
        self.dtypes: dict[str, Any] = {}
        self.cache: dict[Any, Any] | None = None


_state = _State()


def state() -> dict[str, Any]:
    """Return the dtype that this thread casts to, by type of device."""
    return _state.dtypes


_lock = threading.Lock()
_inside = 0  # how many regions are entered, in all threads


class autocast:
    """Let matrix products and convolutions run in half precision, and delicate ones in float32.

    A context manager and a decorator, per thread; regions nest. What the forward pass casts is
    recorded: gradients have the parameters' dtype. The backward pass needs no autocast. float64
    is left alone. A parameter is cast once per region, however often it is used.

    Parameters
    ----------
    device_type : {"cpu", "cuda"}
        Whose tensors are cast.
    dtype : dtype, optional
        bfloat16 or float16; by default bfloat16 on the CPU and float16 elsewhere, which needs a
        `GradScaler`.
    enabled : bool
        False ends the casts of an outer region.
    cache_enabled : bool
        Whether casts of parameters are kept until the region ends.

    Raises
    ------
    ArgumentError
        The dtype is no half precision.
    DeviceError
        There is no such type of device.

    References
    ----------
    Micikevicius et al., "Mixed precision training", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> w = tfl.ones(2, 2, requires_grad=True)
    >>> with tfl.amp.autocast("cpu"):
    ...     y = tfl.ones(1, 2) @ w
    >>> y.dtype
    dtype(bfloat16)
    >>> y.sum().backward()
    >>> w.grad.dtype
    dtype('float32')
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = True,
    ) -> None:
        kind = Device(device_type).type
        if dtype is None:
            dtype = DTYPES.get(kind, float16)
        self.fast_dtype = dtypes.as_dtype(dtype)
        if self.fast_dtype not in dtypes.half:
            raise ArgumentError(f"autocast: dtype must be float16 or bfloat16, got {dtype}")
        if kind not in by_device_type and kind not in at_first_use:
            raise DeviceError(f"autocast: device_type must be 'cpu' or 'cuda', got {device_type!r}")
        self.device, self.enabled, self.cache_enabled = kind, bool(enabled), bool(cache_enabled)
        self._before: list[tuple[dict[str, Any], dict[Any, Any] | None]] = []

    def __enter__(self) -> autocast:
        self._before.append((_state.dtypes, _state.cache))
        found = {key: value for key, value in _state.dtypes.items() if key != self.device}
        if self.enabled:
            found[self.device] = self.fast_dtype
        # An inner region shares the casts of the outer one; they end with that.
        _state.cache = (
            ({} if _state.cache is None else _state.cache) if self.cache_enabled else None
        )
        _state.dtypes = found
        _enter()
        return self

    def __exit__(self, *exception: object) -> None:
        _state.dtypes, _state.cache = self._before.pop()
        _leave()

    def __call__(self, function: _Function) -> _Function:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self.enabled, self.cache_enabled):
                return function(*args, **kwargs)

        return cast(_Function, wrapped)


def _enter() -> None:
    global _inside
    with _lock:
        _inside += 1
        shared.casting = _inside
        if _inside == 1:
            for entry, ask in _redirected():
                redirect(entry, ask)


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        shared.casting = _inside
        if not _inside:
            for entry, _ in _redirected():
                redirect(entry, None)


@functools.cache
def _redirected() -> list[tuple[Any, Callable[[], Any]]]:
    """Return the entry points of the table, and what each asks."""
    found = []
    for name in ACCELERATOR:
        entry = getattr(traced, name)
        found.append((entry, _asking(remade(entry), name)))
    return found


def _asking(plain: Callable[..., Any], name: str) -> Callable[[], Any]:
    def instead(*args: Any) -> Any:
        first = next((x for x in args if isinstance(x, Tensor)), None)
        if first is None:
            return plain(*args)
        kind = first.device.type
        lower = _state.dtypes.get(kind)
        halves = POLICIES.get(kind, ACCELERATOR).get(name)
        if lower is None or halves is None:
            return plain(*args)
        to = lower if halves else float32
        return plain(*[_cast(x, to) if isinstance(x, Tensor) else x for x in args])

    return lambda: instead if _state.dtypes else None


def _cast(x: Tensor, to: Any) -> Tensor:
    """Return a float tensor in a dtype; float64 and what is no float stay as they are."""
    if x.dtype == to or (x.dtype != float32 and x.dtype not in dtypes.half):
        return x
    cache = None if shared.captures else _state.cache
    if cache is None or not x.is_leaf or not x.requires_grad or to == float32:
        return cast(Tensor, traced.cast(x, to))
    array = x.array
    key = (id(x), to, recording())
    tick = changed.get(id(owner_of(array)), 0)
    kept = cache.get(key)
    # The parameter itself is kept, so that its identity isn't another's; a new array, or a change
    # of the old one, makes the cast anew.
    if kept is None or kept[1] is not array or kept[2] != tick:
        kept = cache[key] = (x, array, tick, traced.cast(x, to))
    return recorded_again(kept[3])


def widened(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments with half-precision tensors in float32, where this thread casts them."""
    return tuple([
        _cast(x, float32) if isinstance(x, Tensor) and x.device.type in _state.dtypes else x
        for x in values
    ])  # fmt: skip


def is_autocast_available(device_type: str) -> bool:
    """Return whether `autocast` knows a type of device.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.amp.is_autocast_available("cpu"), tfl.amp.is_autocast_available("abacus")
    (True, False)
    """
    try:
        autocast(device_type)
    except DeviceError:
        return False
    return True


def _cast_tree(value: Any, kind: str, to: Any) -> Any:
    if isinstance(value, Tensor):
        return _cast(value, to) if value.device.type == kind else value
    if isinstance(value, dict):
        return {key: _cast_tree(one, kind, to) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_cast_tree(one, kind, to) for one in value)
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """Decorate the ``forward`` of an `autograd.Function` for use under `autocast`.

    Parameters
    ----------
    fwd : callable, optional
        The method; without it a decorator is returned.
    device_type : str
        The type of device that it is for.
    cast_inputs : dtype, optional
        What float inputs are cast to inside of `autocast`; the method then runs without autocast.
        Where it isn't given, the method runs in the caller's mode, and its backward too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> class Product(tfl.autograd.Function):
    ...     @staticmethod
    ...     @tfl.amp.custom_fwd(device_type="cpu", cast_inputs=tfl.float32)
    ...     def forward(ctx, x, y):
    ...         ctx.save_for_backward(x, y)
    ...         return x @ y
    ...     @staticmethod
    ...     @tfl.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, g):
    ...         x, y = ctx.saved_tensors
    ...         return g @ y.mT, x.mT @ g
    >>> x = tfl.ones(1, 1, requires_grad=True)
    >>> with tfl.amp.autocast("cpu"):
    ...     Product.apply(x, x).dtype
    dtype('float32')
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        lower = _state.dtypes.get(device_type)
        ctx._autocast_dtype = lower if cast_inputs is None else None
        if cast_inputs is None or lower is None:
            return fwd(ctx, *args, **kwargs)
        to = dtypes.as_dtype(cast_inputs)
        args = tuple([_cast_tree(one, device_type, to) for one in args])
        kwargs = {key: _cast_tree(one, device_type, to) for key, one in kwargs.items()}
        with autocast(device_type, enabled=False):
            return fwd(ctx, *args, **kwargs)

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Decorate the ``backward`` of an `autograd.Function`: it runs as `custom_fwd`'s method ran.

    Parameters
    ----------
    bwd : callable, optional
        The method; without it a decorator is returned.
    device_type : str
        The type of device that it is for.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> class Double(tfl.autograd.Function):
    ...     @staticmethod
    ...     @tfl.amp.custom_fwd(device_type="cpu")
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @tfl.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, g):
    ...         return g * 2
    >>> x = tfl.ones(1, requires_grad=True)
    >>> Double.apply(x).backward()
    >>> x.grad
    tensor([2.])
    """
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        lower = getattr(ctx, "_autocast_dtype", None)
        with autocast(device_type, lower, enabled=lower is not None):
            return bwd(ctx, *args, **kwargs)

    return backward
