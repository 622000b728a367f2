"""Jacobians, Hessians and products with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from ..ops.creation import eye, zeros
from ..ops.joining import concat
from ..ops.shaping import moveaxis, reshape
from . import tree
from .functional import Argnums, Linear, _named, _one_or_all, grad
from .recording import Function, Recorded, check_function, matching, places_of
from .vmap import vmap


def jacrev(
    fun: Function, argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Function:
    """Return the function that gives a function's Jacobian, a row at a time: by pull-backs.

    The right one where there are fewer outputs than inputs; else `jacfwd`.

    Parameters
    ----------
    fun : callable
        Returns a tree of tensors, with ``has_aux`` a pair of it and anything else.
    argnums : int or sequence of int
        The positional arguments to differentiate by: trees of tensors.
    has_aux : bool
        Whether ``fun`` returns ``(output, aux)``.
    chunk_size : int, optional
        How many rows to find at once; all of them by default. Fewer take less memory.

    Returns
    -------
    callable
        Returns the Jacobian: built as the output is, and for each output built as the argument,
        tensors of the shape of the output and then the input. With ``has_aux`` ``(jacobian, aux)``.

    Raises
    ------
    DtypeError
        An output is neither float nor complex.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.jacrev(lambda x: x**2)(tfl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    check_function("jacrev", fun)
    _check_chunks("jacrev", chunk_size)

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        places = places_of("jacrev", argnums, len(args))
        call = Recorded("jacrev", fun, args, kwargs, places, has_aux)
        _check_outputs("jacrev", call.outputs)

        def row(*cotangents: Tensor) -> list[Tensor]:
            return call.pull_back(cotangents, call.outer)

        found = _each(row, _basis(call.outputs), call.inputs, chunk_size)
        blocks = [
            tree.unflatten(call.structure, [
                reshape(rows[first : first + y.size], (*y.shape, *x.shape))
                for rows, x in zip(found, call.inputs, strict=True)
            ])
            for y, first in _starts(call.outputs)
        ]  # fmt: skip
        blocks = [_one_or_all(argnums, block) for block in blocks]
        result = tree.unflatten(call.output_structure, blocks)
        return (result, call.aux) if has_aux else result

    return _named(fun, jacobian)


def jacfwd(
    fun: Function, argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Function:
    """Return the function that gives a function's Jacobian, a column at a time: by push-forwards.

    The right one where there are fewer inputs than outputs; else `jacrev`.

    Parameters
    ----------
    fun, argnums, has_aux, chunk_size
        As in `jacrev`; ``chunk_size`` counts columns.

    Returns
    -------
    callable
        Returns what `jacrev` gives.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.jacfwd(lambda x: tfl.stack([x, x**2, x**3]))(2.0)
    tensor([ 1.,  4., 12.])
    """
    check_function("jacfwd", fun)
    _check_chunks("jacfwd", chunk_size)

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        places = places_of("jacfwd", argnums, len(args))
        linear = Linear("jacfwd", fun, args, kwargs, places, has_aux)
        call = linear.call
        _check_outputs("jacfwd", call.outputs)

        def column(*tangents: Tensor) -> list[Tensor]:
            return linear.push(tangents)

        found = _each(column, _basis(call.inputs), call.outputs, chunk_size)
        blocks = [
            tree.unflatten(call.structure, [
                reshape(moveaxis(columns[first : first + x.size], 0, -1), (*y.shape, *x.shape))
                for x, first in _starts(call.inputs)
            ])
            for columns, y in zip(found, call.outputs, strict=True)
        ]  # fmt: skip
        blocks = [_one_or_all(argnums, block) for block in blocks]
        result = tree.unflatten(call.output_structure, blocks)
        return (result, call.aux) if has_aux else result

    return _named(fun, jacobian)


def hessian(fun: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return the function that gives the second derivatives of a function.

    It is ``jacfwd(jacrev(fun))``. Where a product with it will do, `hvp` is much cheaper.

    Parameters
    ----------
    fun, argnums, has_aux
        As in `jacrev`.

    Returns
    -------
    callable
        Returns the Jacobian of the Jacobian, of the shape of the output and twice the input.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.hessian(lambda x: x[0] ** 2 * x[1])(tfl.tensor([3.0, 5.0]))
    tensor([[10.,  6.],
            [ 6.,  0.]])
    """
    first = jacrev(fun, argnums, has_aux)
    return _named(fun, jacfwd(first, argnums, has_aux))


def hvp(fun: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, ...]:
    """Return the product of a scalar function's Hessian with a vector, without the Hessian.

    It is the gradient of the gradient's inner product with ``tangents``: two backward passes.

    Parameters
    ----------
    fun : callable
        Takes the primals, returns a real scalar.
    primals : tuple or list
        Where to differentiate, an entry per argument.
    tangents : tuple or list
        The vector, built as ``primals`` is, of the same shapes.

    Returns
    -------
    tuple
        The product, an entry per argument, built as ``primals`` is.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.hvp(lambda x: (x**3).sum(), (tfl.tensor([1.0, 2.0]),), (tfl.tensor([1.0, 10.0]),))
    (tensor([  6., 120.]),)
    """
    check_function("hvp", fun)
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise DtypeError(
                f"hvp: {what} must be a tuple with an entry per argument, got "
                f"{type(given).__name__}; write (x,)"
            )
    places = range(len(primals))
    slope = grad(fun, tuple(places))
    call = Recorded("hvp", slope, primals, {}, places, False)
    given = tree.flatten_like("hvp", call.structure, tuple(tangents))
    vector = matching("hvp", "the tangent", call.inputs, given)
    trace = call.outer or (call.ambient and any(t.node is not None for t in vector))
    product: tuple[Any, ...] = tree.unflatten(call.structure, call.pull_back(vector, trace, False))
    return product


# -- what they share -------------------------------------------------------------------------------
def _check_chunks(name: str, chunk_size: int | None) -> None:
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"{name}: chunk_size must be positive or None, got {chunk_size}")


def _check_outputs(name: str, outputs: Sequence[Tensor]) -> None:
    for y in outputs:
        if y.dtype not in dtypes.inexact:
            raise DtypeError(
                f"{name}: outputs must be float or complex, got {y.dtype} {y.shape}; return it as "
                "aux, with has_aux=True"
            )


def _starts(tensors: Sequence[Tensor]) -> list[tuple[Tensor, int]]:
    """Return each tensor with the place of its first element among those of all."""
    found, first = [], 0
    for x in tensors:
        found.append((x, first))
        first += x.size
    return found


def _basis(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the standard basis of the space of some tensors, stacked along a new first axis."""
    total = sum(x.size for x in tensors)
    rows = []
    for x, first in _starts(tensors):
        block = [
            zeros((first, x.size), dtype=x.dtype, device=x.device),
            eye(x.size, dtype=x.dtype, device=x.device),
            zeros((total - first - x.size, x.size), dtype=x.dtype, device=x.device),
        ]
        rows.append(reshape(concat(block), (total, *x.shape)))
    return rows


def _each(
    function: Any, basis: Sequence[Tensor], likes: Sequence[Tensor], chunk_size: int | None
) -> list[Tensor]:
    """Return ``function`` of every vector of a basis: results like ``likes``, stacked."""
    count = basis[0].shape[0] if basis else 0
    if count == 0:
        return [zeros((0, *y.shape), dtype=y.dtype, device=y.device) for y in likes]
    # What is drawn in the backward pass (by a checkpoint) was drawn once in the forward one.
    together = vmap(function, randomness="same", chunk_size=chunk_size)
    found: list[Tensor] = together(*basis)
    return found
