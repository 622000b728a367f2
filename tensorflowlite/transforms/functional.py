"""Derivatives as transforms: functions of nested tensors to functions, in JAX's form.

Complex numbers follow PyTorch: the gradient of a real function of a complex input is the direction
of steepest ascent, and a pull-back is the adjoint of the push-forward.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..backend import backend_of, dtypes
from ..core import tape
from ..core.graph import explore
from ..core.tensor import Tensor, wrap
from ..errors import DtypeError, ShapeError
from ..ops.creation import zeros_like
from . import tree
from .recording import Function, Recorded, check_function, fresh_leaf, matching, places_of

Argnums = int | Sequence[int]


def _named(fun: Function, call: Function) -> Function:
    """Give a transformed function the name and docstring of the one it was made of."""
    return functools.update_wrapper(call, fun, updated=())


def _one_or_all(argnums: Argnums, values: Any) -> Any:
    return values[0] if isinstance(argnums, int) else values


# -- gradients -------------------------------------------------------------------------------------
def grad(fun: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return the function that gives the gradient of a scalar function.

    The gradient is that of fresh inputs: nothing is written into ``.grad``, and inputs may require
    grad or not. It can itself be differentiated, by another transform around it and by what ``fun``
    closes over. Usable as a decorator.

    Parameters
    ----------
    fun : callable
        Returns a real scalar; with ``has_aux`` a pair of it and anything else.
    argnums : int or sequence of int
        The positional arguments to differentiate by: trees (tuples, lists, dicts, nested) of
        tensors, arrays and numbers, float or complex.
    has_aux : bool
        Whether ``fun`` returns ``(output, aux)``.

    Returns
    -------
    callable
        Takes what ``fun`` takes; returns the gradient, built as the argument is (a tuple of them
        where ``argnums`` is a sequence), or ``(gradient, aux)``.

    Raises
    ------
    ShapeError
        The output isn't a scalar.
    DtypeError
        The output isn't real, or an input is neither float nor complex.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> cube = lambda x: x**3
    >>> tfl.grad(cube)(2.0), tfl.grad(tfl.grad(cube))(2.0)
    (tensor(12.), tensor(12.))
    >>> tfl.grad(lambda p: (p["w"] ** 2).sum() * p["b"])({"w": tfl.ones(2), "b": 3.0})
    {'w': tensor([6., 6.]), 'b': tensor(2.)}
    """
    both = _value_and_grad("grad", fun, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return _named(fun, gradient)


def value_and_grad(fun: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return the function that gives a scalar function's value and its gradient.

    Parameters
    ----------
    fun, argnums, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Returns ``(value, gradient)``, or ``((value, aux), gradient)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.value_and_grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(tfl.ones(2), 3.0)
    (tensor(6.), (tensor([3., 3.]), tensor(2.)))
    """
    return _named(fun, _value_and_grad("value_and_grad", fun, argnums, has_aux))


def _value_and_grad(name: str, fun: Function, argnums: Argnums, has_aux: bool) -> Function:
    check_function(name, fun)

    def both(*args: Any, **kwargs: Any) -> Any:
        places = places_of(name, argnums, len(args))
        call = Recorded(name, fun, args, kwargs, places, has_aux)
        value = _scalar(name, call)
        gradients = call.pull_back([_ones(value)], call.outer, retain=has_aux)
        value = call.finished()[0]
        found = _one_or_all(argnums, tree.unflatten(call.structure, gradients))
        return ((value, call.aux) if has_aux else value), found

    return both


def _ones(value: Tensor) -> Tensor:
    return wrap(backend_of(value.array).ones_like(value.array), None)


def _scalar(name: str, call: Recorded) -> Tensor:
    if call.output_structure != tree.LEAF:
        raise DtypeError(
            f"{name}: the function must return one scalar, got {call.output_structure!r}; "
            "return the rest as aux, with has_aux=True"
        )
    (value,) = call.outputs
    if value.shape != ():
        raise ShapeError(
            f"{name}: the function must return a scalar, got shape {value.shape}; reduce it with "
            "sum() or mean(), or use jacrev"
        )
    if value.dtype not in dtypes.inexact or value.dtype.kind == "c":
        hint = "; take its real or imaginary part, or its abs(), or use vjp"
        raise DtypeError(
            f"{name}: the function must return a real float, got {value.dtype}"
            f"{hint if value.dtype.kind == 'c' else ''}"
        )
    return value


# -- pull-backs and push-forwards ------------------------------------------------------------------
def vjp(fun: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return a function's value and its pull-back: cotangents of the output to those of the inputs.

    Parameters
    ----------
    fun : callable
        Takes the primals; returns a tree of tensors, with ``has_aux`` a pair of it and anything.
    *primals : tree of Tensor
        Where to differentiate.
    has_aux : bool
        Whether ``fun`` returns ``(output, aux)``.

    Returns
    -------
    tuple
        ``(output, pull_back)`` or ``(output, pull_back, aux)``. ``pull_back(cotangent)`` may be
        called any number of times; it takes a tree built as the output is and returns a tuple, one
        entry per primal.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> out, pull_back = tfl.vjp(lambda x, y: x * y, tfl.ones(2), tfl.tensor([3.0, 4.0]))
    >>> pull_back(tfl.ones(2))
    (tensor([3., 4.]), tensor([1., 1.]))
    """
    check_function("vjp", fun)
    call = Recorded("vjp", fun, primals, {}, range(len(primals)), has_aux)

    def pull_back(cotangent: Any) -> tuple[Any, ...]:
        given = tree.flatten_like("vjp", call.output_structure, cotangent)
        given = matching("vjp", "the cotangent", call.outputs, given)
        trace = call.outer or (call.ambient and any(g.node is not None for g in given))
        found: tuple[Any, ...] = tree.unflatten(call.structure, call.pull_back(given, trace))
        return found

    out = tree.unflatten(call.output_structure, call.finished())
    return (out, pull_back, call.aux) if has_aux else (out, pull_back)


class Linear:
    """A function's push-forward at its primals.

    The pull-back is linear in its cotangent; differentiated by that, it gives the push-forward. It
    needs no second set of rules, holds to any order, and costs two passes over the graph.
    """

    def __init__(self, name: str, fun: Function, args: Sequence[Any], kwargs: dict[str, Any],
                 places: Sequence[int], has_aux: bool) -> None:  # fmt: skip
        self.call = call = Recorded(name, fun, args, kwargs, places, has_aux)
        self.cotangents = [
            fresh_leaf(zeros_like(y.detach())) if call.depends(y) else None for y in call.outputs
        ]  # fmt: skip
        used = [(y, v) for y, v in zip(call.outputs, self.cotangents, strict=True) if v is not None]
        self.pulled: list[Tensor | None] = [None] * len(call.inputs)
        if used:
            self.pulled = tape.grad([y for y, _ in used], call.inputs, [v for _, v in used],
                                    True, True, call.relevant)  # fmt: skip
        roots = [u.node for u in self.pulled if u is not None and u.node is not None]
        targets = {v.node for _, v in used}
        self.relevant, elsewhere = explore(roots, targets, call.since)
        self.outer = call.ambient and bool(elsewhere)

    def push(self, tangents: Sequence[Tensor]) -> list[Tensor]:
        """Return the tangents of the outputs."""
        pairs = [
            (u, t)
            for u, t in zip(self.pulled, tangents, strict=True)
            if u is not None and u.node is not None and u.node in self.relevant
        ]
        trace = self.outer or (self.call.ambient and any(t.node is not None for t in tangents))
        wanted = [v for v in self.cotangents if v is not None]
        found: Any = iter(())
        if pairs:
            found = iter(tape.grad([u for u, _ in pairs], wanted, [t for _, t in pairs],
                                   True, trace, self.relevant))  # fmt: skip
        results = []
        for y, v in zip(self.call.outputs, self.cotangents, strict=True):
            one = None if v is None else next(found, None)
            results.append(zeros_like(y.detach()) if one is None else one)
        return results


def jvp(
    fun: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """Return a function's value and its directional derivative along ``tangents``.

    The derivative is exact, to any order; it costs about two backward passes, since it is the
    pull-back transposed. Where a gradient is wanted, `grad` and `vjp` are cheaper.

    Parameters
    ----------
    fun : callable
        Takes the primals; returns a tree of tensors, with ``has_aux`` a pair of it and anything.
    primals : tuple or list
        Where to differentiate.
    tangents : tuple or list
        The direction, built as ``primals`` is, of the same shapes.
    has_aux : bool
        Whether ``fun`` returns ``(output, aux)``.

    Returns
    -------
    tuple
        ``(output, tangent)`` or ``(output, tangent, aux)``. The tangent of an integer output is
        zero.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.jvp(lambda x: x**3, (2.0,), (1.0,))
    (tensor(8.), tensor(12.))
    """
    check_function("jvp", fun)
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise DtypeError(
                f"jvp: {what} must be a tuple with an entry per argument, got "
                f"{type(given).__name__}; write (x,)"
            )
    linear = Linear("jvp", fun, tuple(primals), {}, range(len(primals)), has_aux)
    call = linear.call
    given = tree.flatten_like("jvp", call.structure, tuple(tangents))
    pushed = linear.push(matching("jvp", "the tangent", call.inputs, given))
    out = tree.unflatten(call.output_structure, call.finished())
    along = tree.unflatten(call.output_structure, pushed)
    return (out, along, call.aux) if has_aux else (out, along)
