"""Gradients of tensors by tensors, in PyTorch's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import tape
from ..core.tensor import Tensor
from ..errors import DtypeError, GradientError, ShapeError
from ..ops.creation import zeros_like

Tensors = Tensor | Sequence[Tensor]


def _several(name: str, tensors: Any) -> list[Tensor]:
    found = [tensors] if type(tensors) is Tensor else list(tensors)
    for tensor in found:
        if type(tensor) is not Tensor:
            raise DtypeError(f"{name}: must be Tensors, got {type(tensor).__name__}")
    return found


def _incoming(name: str, gradients: Any, count: int) -> list[Tensor | None]:
    if gradients is None:
        return [None] * count
    found = [gradients] if type(gradients) is Tensor else list(gradients)
    if len(found) != count:
        raise ShapeError(f"{name}: one gradient per output is needed, got {len(found)} for {count}")
    return found


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensors | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of ``outputs`` by ``inputs``, leaving every ``.grad`` as it is.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate; scalars unless ``grad_outputs`` is given.
    inputs : Tensor or sequence of Tensor
        What to differentiate by: leaves or intermediate results.
    grad_outputs : Tensor or sequence of Tensor, optional
        The incoming gradient of each output, of its shape.
    create_graph : bool
        Record the pass, so that the gradients can be differentiated again.
    retain_graph : bool, optional
        Keep what was saved, for another pass; by default as ``create_graph``.
    allow_unused : bool
        Return None for an input that the outputs don't depend on, instead of raising.
    is_grads_batched : bool
        Whether each of ``grad_outputs`` has a first axis more: one pass for every row, all at once.
        The results have that axis too.
    materialize_grads : bool
        Return zeros for such an input.

    Returns
    -------
    tuple of Tensor
        One per input, of its shape and dtype.

    Raises
    ------
    GradientError
        An output isn't a scalar or has no history, or an input wasn't used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> first, = tfl.autograd.grad((x**3).sum(), x, create_graph=True)
    >>> tfl.autograd.grad(first.sum(), x)
    (tensor([ 6., 12.]),)
    """
    if is_grads_batched:
        from .vmap import vmap

        def one_row(*rows: Any) -> tuple[Tensor | None, ...]:
            return grad(outputs, inputs, rows, create_graph, True, allow_unused, False,
                        materialize_grads)  # fmt: skip

        if grad_outputs is None:
            raise GradientError("grad: is_grads_batched needs grad_outputs, got None")
        several = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
        together: tuple[Tensor | None, ...] = vmap(one_row, randomness="same")(*several)
        return together
    ys, xs = _several("grad: outputs", outputs), _several("grad: inputs", inputs)
    gradients = _incoming("grad", grad_outputs, len(ys))
    found = tape.grad(ys, xs, gradients, retain_graph, create_graph)
    if materialize_grads:
        found = [zeros_like(x.detach()) if g is None else g for x, g in zip(xs, found, strict=True)]
    if not allow_unused:
        for i, one in enumerate(found):
            if one is None:
                raise GradientError(
                    f"grad: the outputs must depend on every input, got inputs[{i}] "
                    f"{xs[i].dtype} {xs[i].shape} that isn't used; pass allow_unused=True for None"
                )
    return tuple(found)


def backward(
    tensors: Tensors,
    grad_tensors: Tensors | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Accumulate the gradients of several tensors in the leaves that they depend on.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What to differentiate.
    grad_tensors : Tensor or sequence of Tensor, optional
        The incoming gradients.
    retain_graph, create_graph
        As in `grad`.
    inputs : Tensor or sequence of Tensor, optional
        Accumulate in these alone, leaves or not; by default in every leaf.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor(3.0, requires_grad=True)
    >>> tfl.autograd.backward([x * 2, x * x])
    >>> x.grad
    tensor(8.)
    """
    ys = _several("backward: tensors", tensors)
    into = None if inputs is None else _several("backward: inputs", inputs)
    gradients = _incoming("backward", grad_tensors, len(ys))
    tape.backward(ys, gradients, retain_graph, create_graph, into)
