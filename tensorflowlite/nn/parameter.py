"""Parameters: tensors that a module trains."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..ops.creation import asarray


def Parameter(data: Any, requires_grad: bool = True) -> Tensor:
    """Return a tensor that counts as a parameter of the module that it is an attribute of.

    A parameter is an ordinary `Tensor` with a flag, ``is_parameter``.

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
    """
    parameter = asarray(data).detach()
    parameter.parameter = True
    return parameter.requires_grad_() if requires_grad else parameter
