"""Checking gradients against finite differences, by projection.

A function of many numbers is checked along random directions: the directional derivative that the
tape gives, projected on a random vector, against a central difference of the projected function.
One pair of evaluations checks every entry of every Jacobian at once, with probability one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor, wrap
from ..errors import DtypeError, GradientError
from ..ops.random import normal
from .gradients import grad
from .modes import enable_grad, no_grad

Function = Callable[..., Any]


def _outputs(function: Function, inputs: Sequence[Tensor]) -> list[Tensor]:
    found = function(*inputs)
    found = [found] if type(found) is Tensor else list(found)
    return [y for y in found if y.dtype in dtypes.inexact]


def _random_like(x: Tensor) -> Tensor:
    drawn = normal(shape=x.shape, dtype=dtypes.float64, device=x.device)
    if x.dtype.kind == "c":
        drawn = drawn + 1j * normal(shape=x.shape, dtype=dtypes.float64, device=x.device)
    return drawn


def _dot(x: Tensor, y: Tensor) -> float:
    """Return the real inner product of two tensors, complex ones as pairs of reals."""
    product = x * traced.conj(y)
    return float(traced.sum(traced.real(product) if product.dtype.kind == "c" else product,
                            tuple(range(product.ndim))).item())  # fmt: skip


def _leaf(x: Tensor) -> Tensor:
    return traced.positive(x.detach()).detach().requires_grad_()


def gradcheck(
    function: Function,
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    directions: int = 2,
    raise_exception: bool = True,
) -> bool:
    """Check the gradients of a function against central differences, along random directions.

    Parameters
    ----------
    function : callable
        Takes the inputs, returns a Tensor or several.
    inputs : Tensor or sequence of Tensor
        float64 or complex128 where they require grad.
    eps : float
        The step of the differences.
    atol, rtol : float
        How far the projected derivatives may differ.
    directions : int
        How many random directions to try.
    raise_exception : bool
        Raise where the check fails, instead of returning False.

    Returns
    -------
    bool

    Raises
    ------
    GradientError
        The gradients are wrong.
    DtypeError
        An input that requires grad isn't of double precision.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([0.5, 2.0], dtype=tfl.float64, requires_grad=True)
    >>> tfl.autograd.gradcheck(tfl.tanh, x)
    True
    """
    xs = [inputs] if type(inputs) is Tensor else list(inputs)
    active = [i for i, x in enumerate(xs) if x.requires_grad]
    if not active:
        raise GradientError("gradcheck: an input must require grad, got none that does")
    for i in active:
        if xs[i].dtype not in (dtypes.float64, dtypes.complex128):
            raise DtypeError(
                f"gradcheck: inputs must be float64 or complex128, got {xs[i].dtype} for input {i}"
            )
    for _ in range(directions):
        found, expected = _project(function, xs, active, eps)
        scale = max(1.0, abs(expected))
        if not abs(found - expected) <= atol * scale + rtol * abs(expected):
            if raise_exception:
                raise GradientError(
                    f"gradcheck: the gradient must match finite differences, got {found:.10g} "
                    f"along a random direction where the difference quotient is {expected:.10g}"
                )
            return False
    return True


def _project(
    function: Function, xs: list[Tensor], active: list[int], eps: float
) -> tuple[float, float]:
    """Return the projected derivative by the tape, and by a central difference."""
    with enable_grad():
        leaves = [_leaf(x) if i in active else x.detach() for i, x in enumerate(xs)]
        ys = _outputs(function, leaves)
        weights = [_random_like(y) for y in ys]
        used = [(y, w) for y, w in zip(ys, weights, strict=True) if y.requires_grad]
        gradients = grad([y for y, _ in used], [leaves[i] for i in active],
                         [w for _, w in used], allow_unused=True)  # fmt: skip
    moves = {i: _random_like(xs[i]) for i in active}
    found = sum(_dot(g, moves[i]) for i, g in zip(active, gradients, strict=True) if g is not None)

    def value(step: float) -> float:
        with no_grad():
            moved = [
                x.detach() + moves[i] * step if i in moves else x.detach() for i, x in enumerate(xs)
            ]
        # Functions that differentiate inside need their inputs to require grad.
        with enable_grad():
            moved = [m.requires_grad_() if i in moves else m for i, m in enumerate(moved)]
            return sum(
                _dot(y.detach(), w) for y, w in zip(_outputs(function, moved), weights, strict=True)
            )

    return found, (value(eps) - value(-eps)) / (2 * eps)


def gradgradcheck(
    function: Function,
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    directions: int = 2,
    raise_exception: bool = True,
) -> bool:
    """Check the second derivatives of a function, as `gradcheck` checks the first.

    Parameters
    ----------
    function, inputs, eps, atol, rtol, directions, raise_exception
        As in `gradcheck`.

    Returns
    -------
    bool

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([0.5, 2.0], dtype=tfl.float64, requires_grad=True)
    >>> tfl.autograd.gradgradcheck(tfl.tanh, x)
    True
    """
    xs = [inputs] if type(inputs) is Tensor else list(inputs)
    active = [i for i, x in enumerate(xs) if x.requires_grad]
    with no_grad():
        shapes = _outputs(function, [x.detach() for x in xs])
        incoming = [_random_like(y).requires_grad_() for y in shapes]

    def gradients(*args: Tensor) -> list[Tensor]:
        inner, outer = args[: len(xs)], args[len(xs) :]
        ys = _outputs(function, inner)
        pairs = [(y, w) for y, w in zip(ys, outer, strict=True) if y.requires_grad]
        found = grad([y for y, _ in pairs], [inner[i] for i in active], [w for _, w in pairs],
                     create_graph=True, allow_unused=True)  # fmt: skip
        return [
            g if g is not None else wrap(xs[i].array * 0, None)
            for i, g in zip(active, found, strict=True)
        ]

    return gradcheck(gradients, [*xs, *incoming], eps, atol, rtol, directions, raise_exception)
