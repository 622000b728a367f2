"""Work on the parameters of a module: clipping of gradients, penalties, vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError, DtypeError, NumericalError, ShapeError
from ...ops import elementwise, reduction
from ...ops.creation import asarray, tensor
from ...ops.gradient import cast
from ...ops.joining import concat
from ...runtime import set_mode

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    if hasattr(tensors, "named_parameters"):
        raise DtypeError(
            "nn.utils: parameters must be tensors, got the module "
            f"{type(tensors).__name__}; use its parameters()"
        )
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Tensor]:
    found = [p.grad for p in _listed(parameters)]
    return [grad.detach() for grad in found if grad is not None]


def _wide(x: Tensor) -> Tensor:
    """Return half precision as float32: sums of its squares overflow."""
    return cast(x, dtypes.float32) if x.dtype in dtypes.half else x


def _norm(x: Tensor, norm_type: float) -> Tensor:
    x = _wide(x)
    if norm_type == 2 and x.dtype.kind != "c":
        return elementwise.sqrt(reduction.sum(x * x))
    x = elementwise.abs(x)
    if norm_type == math.inf:
        return reduction.max(x)
    return reduction.sum(x**norm_type) ** (1.0 / norm_type)


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Return the norm of tensors taken together as one vector.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        Any shapes; all on one device.
    norm_type : float
        The order of the norm; ``inf`` for the greatest magnitude.
    error_if_nonfinite : bool
        Raise where the norm is infinite or NaN.
    foreach : bool, optional
        PyTorch's choice among implementations; it changes nothing here.

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    NumericalError
        The norm isn't finite, and ``error_if_nonfinite`` was asked for.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.utils.get_total_norm([tfl.tensor([3.0]), tfl.tensor([0.0, 4.0])]).item()
    5.0
    """
    norm_type = float(norm_type)
    if not norm_type > 0:
        raise ArgumentError(f"get_total_norm: norm_type must be above 0, got {norm_type}")
    with set_mode(grad=False):
        norms = [_norm(x, norm_type) for x in _listed(tensors) if x.size]
        if not norms:
            return tensor(0.0)
        total = norms[0]
        if len(norms) > 1:
            dtype = dtypes.promote(*[norm.dtype for norm in norms])
            stacked = concat([cast(norm.reshape(1), dtype) for norm in norms])
            total = _norm(stacked, norm_type)
        if error_if_nonfinite and not math.isfinite(float(total)):
            raise NumericalError(
                f"get_total_norm: the norm of the gradients must be finite, got {total.item()}; "
                "lower the learning rate, or look for the layer that overflows"
            )
    return total


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale gradients down in place, so that their norm taken together is at most ``max_norm``.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left alone.
    max_norm : float
        The greatest norm that is let pass.
    norm_type, error_if_nonfinite, foreach
        As in `get_total_norm`.

    Returns
    -------
    Tensor, shape ()
        The norm before.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> p = nn.Parameter(tfl.zeros(2))
    >>> p.grad = tfl.tensor([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_([p], 1.0).item()
    5.0
    >>> bool(abs(p.grad - tfl.tensor([0.6, 0.8])).sum() < 1e-5)
    True
    """
    if not float(max_norm) >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    gradients = _gradients(parameters)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    _scale_down(gradients, max_norm, total)
    return total


def _scale_down(gradients: list[Tensor], max_norm: float, total: Tensor) -> None:
    with set_mode(grad=False):
        # No branch on the norm: on a GPU it would wait for the device.
        factor = elementwise.minimum(max_norm / (total + 1e-6), 1.0)
        for grad in gradients:
            grad *= cast(factor, dtypes.real_of(grad.dtype))


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients down in place by a norm that is known: the second half of `clip_grad_norm_`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left alone.
    max_norm : float
        The greatest norm that is let pass.
    total_norm : Tensor, shape ()
        The norm of the gradients taken together, as `get_total_norm` returns it.
    foreach
        As in `get_total_norm`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> p = nn.Parameter(tfl.zeros(2))
    >>> p.grad = tfl.tensor([3.0, 4.0])
    >>> nn.utils.clip_grads_with_norm_([p], 1.0, tfl.tensor(5.0))
    >>> bool(abs(p.grad - tfl.tensor([0.6, 0.8])).sum() < 1e-5)
    True
    """
    if not float(max_norm) >= 0:
        raise ArgumentError(f"clip_grads_with_norm_: max_norm must not be negative, got {max_norm}")
    _scale_down(_gradients(parameters), max_norm, asarray(total_norm))


def clip_grad_value_(
    parameters: Tensors, clip_value: float, foreach: bool | None = None
) -> None:
    """Limit each element of the gradients to ``[-clip_value, clip_value]`` in place.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left alone.
    clip_value : float
        The greatest magnitude that is let pass.
    foreach
        As in `get_total_norm`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> p = nn.Parameter(tfl.zeros(2))
    >>> p.grad = tfl.tensor([3.0, -0.5])
    >>> nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1. , -0.5])
    """
    limit = float(clip_value)
    if not limit >= 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    with set_mode(grad=False):
        for grad in _gradients(parameters):
            grad[...] = elementwise.minimum(elementwise.maximum(grad, -limit), limit)


def l1_penalty(parameters: Tensors) -> Tensor:
    """Return the sum of the magnitudes of all parameters: times a factor, the L1 term of a loss.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.utils.l1_penalty([tfl.tensor([1.0, -2.0]), tfl.tensor([3.0])]).item()
    6.0
    """
    total = None
    for p in _listed(parameters):
        term = reduction.sum(elementwise.abs(p))
        total = term if total is None else total + term
    if total is None:
        raise ArgumentError("l1_penalty: at least one parameter is needed, got none")
    return total


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all elements of tensors in one vector; gradients flow through.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.utils.parameters_to_vector([tfl.ones((2, 2)), tfl.zeros(1)])
    tensor([1., 1., 1., 1., 0.])
    """
    return concat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into tensors, in their order.

    Raises
    ------
    ShapeError
        The vector doesn't hold as many elements as the tensors; nothing was changed.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> a, b = tfl.zeros((1, 2)), tfl.zeros(1)
    >>> nn.utils.vector_to_parameters(tfl.tensor([1.0, 2.0, 3.0]), [a, b])
    >>> a, b
    (tensor([[1., 2.]]), tensor([3.]))
    """
    listed = list(parameters)
    size = sum(p.size for p in listed)
    if vec.shape != (size,):
        raise ShapeError(
            f"vector_to_parameters: the vector must have shape ({size},), got {vec.shape}"
        )
    start = 0
    with set_mode(grad=False):
        for p in listed:
            part = vec.detach()[start : start + p.size].reshape(p.shape)
            p[...] = asarray(part, dtype=p.dtype, device=p.device)
            start += p.size
