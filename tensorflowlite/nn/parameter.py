"""Parameters: tensors that a module trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.tensor import Tensor
from ..ops.creation import asarray


class ParameterKind:
    """A tensor that counts as a parameter of the module that it is an attribute of.

    A parameter is an ordinary `Tensor` with a flag, ``is_parameter``; ``isinstance`` with this
    asks for the flag.

    Parameters
    ----------
    data : Tensor, array or nested sequence of numbers
        The first value. The memory of a tensor or an array is shared.
    requires_grad : bool
        Whether gradients are accumulated; False freezes the parameter.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> p = nn.Parameter(tfl.zeros(2))
    >>> p.is_parameter, p.requires_grad
    (True, True)
    >>> isinstance(p, nn.Parameter), isinstance(p.detach(), nn.Parameter)
    (True, False)
    """

    __name__ = __qualname__ = "Parameter"

    def __call__(self, data: Any, requires_grad: bool = True) -> Tensor:
        parameter = asarray(data).detach()
        parameter.parameter = True
        return parameter.requires_grad_() if requires_grad else parameter

    # Looked up on the type of what stands second in isinstance(): an object can answer, too.
    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Tensor) and value.is_parameter

    def __repr__(self) -> str:
        return "tensorflowlite.nn.Parameter"


if TYPE_CHECKING:

    class Parameter(Tensor):  # so that it can be said in annotations
        def __init__(self, data: Any, requires_grad: bool = True) -> None: ...
else:
    Parameter = ParameterKind()
