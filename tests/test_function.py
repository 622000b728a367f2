"""Custom functions: everything that ``ctx`` offers, and what goes wrong."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import autograd
from tensorflowlite.errors import (
    DtypeError,
    GradientError,
    ShapeError,
    StaleValueError,
    UnsupportedArgumentError,
)


def leaf(*values: float) -> tfl.Tensor:
    return tfl.tensor(list(values), dtype=tfl.float64, requires_grad=True)


class Split(autograd.Function):
    """``forward`` without ``ctx``; an output saved, an input saved, an attribute."""

    @staticmethod
    def forward(x: tfl.Tensor, scale: float) -> Any:
        return tfl.exp(x) * scale, x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.scale = inputs
        ctx.save_for_backward(x, output[0], None)

    @staticmethod
    def backward(ctx: Any, of_exp: tfl.Tensor, of_square: tfl.Tensor) -> Any:
        x, exp, nothing = ctx.saved_tensors
        assert nothing is None
        assert ctx.needs_input_grad == (True, False)
        return of_exp * exp + of_square * 2 * x, None


def test_the_form_with_setup_context() -> None:
    x = leaf(0.3, -0.7)
    assert autograd.gradcheck(lambda x: Split.apply(x, 2.0), x)
    assert autograd.gradgradcheck(lambda x: Split.apply(x, 2.0), x)


class Sorted(autograd.Function):
    """An integer output, one that is marked, a value that is no tensor."""

    seen: ClassVar[list[Any]] = []

    @staticmethod
    def forward(ctx: Any, x: tfl.Tensor) -> Any:
        order = tfl.argsort(x)
        ranks = tfl.astype(order, tfl.float64)
        ctx.mark_non_differentiable(order, ranks)
        ctx.save_for_backward(order)
        return x[order], order, ranks, "text"

    @staticmethod
    def backward(ctx: Any, g: Any, *others: Any) -> Any:
        Sorted.seen[:] = others
        (order,) = ctx.saved_tensors
        return g[tfl.argsort(order)]


def test_outputs_without_a_gradient() -> None:
    x = leaf(3.0, 1.0, 2.0)
    values, order, ranks, text = Sorted.apply(x)
    assert (values.requires_grad, order.requires_grad, ranks.requires_grad) == (True, False, False)
    assert text == "text"
    (values * tfl.tensor([1.0, 2.0, 3.0])).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 1.0, 2.0])
    none, zeros, of_text = Sorted.seen
    assert none is None
    assert of_text is None
    assert not zeros.numpy().any()


@pytest.mark.parametrize("materialize", [True, False])
def test_gradients_of_outputs_not_used(materialize: bool) -> None:
    seen = []

    class Two(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> Any:
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            seen.append(b)
            return a * 2

    x = leaf(1.0)
    Two.apply(x)[0].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0])
    assert (seen[0] is None) == (not materialize)


def test_a_complex_gradient_is_pytorchs() -> None:
    class Square(autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: tfl.Tensor) -> tfl.Tensor:
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx: Any, g: tfl.Tensor) -> tfl.Tensor:
            (z,) = ctx.saved_tensors
            return g * 2 * tfl.conj(z)

    z = tfl.tensor(np.array([1 + 2j, -0.5 + 0.3j]), requires_grad=True)
    assert autograd.gradcheck(Square.apply, z)
    assert autograd.gradgradcheck(Square.apply, z)


class Once(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tfl.Tensor) -> tfl.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @autograd.once_differentiable
    def backward(ctx: Any, g: tfl.Tensor) -> tfl.Tensor:
        (x,) = ctx.saved_tensors
        assert not (g * x).requires_grad
        return g * 2 * x


def test_once_differentiable() -> None:
    x = leaf(3.0)
    (first,) = autograd.grad(Once.apply(x).sum(), x)
    assert first.item() == 6.0
    (first,) = autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    assert first.item() == 6.0
    with pytest.raises(GradientError, match="once_differentiable: the backward must be"):
        autograd.grad(first.sum(), x)
    with pytest.raises(GradientError, match="once_differentiable: the backward must be"):
        tfl.grad(tfl.grad(lambda x: Once.apply(x)))(2.0)


def test_under_transforms() -> None:
    x = tfl.tensor([1.0, 2.0], dtype=tfl.float64)
    found = tfl.hessian(lambda x: Split.apply(x, 1.0)[1].sum())(x)
    np.testing.assert_array_equal(found.numpy(), 2 * np.eye(2))


def test_saved_tensors_within_forward_and_after_a_change() -> None:
    class Saves(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor, *more: tfl.Tensor) -> tfl.Tensor:
            ctx.save_for_backward(x, *more, x * 2)
            assert ctx.saved_tensors[0] is x
            return x * more[0]

        @staticmethod
        def backward(ctx: Any, g: tfl.Tensor) -> Any:
            return g * ctx.saved_tensors[1], None

    x, w = leaf(1.0, 2.0), tfl.ones(2)
    y = Saves.apply(x, w)
    w += 1
    with pytest.raises(StaleValueError, match=r"Saves \(op #\d+\): input values"):
        y.sum().backward()


def broken(result: Any) -> Any:
    class Broken(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> tfl.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: tfl.Tensor) -> Any:
            return result

    return Broken.apply(leaf(1.0, 2.0)).sum()


@pytest.mark.parametrize(
    ("result", "error", "text"),
    [
        (tfl.ones(3), ShapeError, r"shape \(2,\) of argument 0, or one .* got \(3,\)"),
        (tfl.ones(()), ShapeError, r"shape \(2,\) of argument 0, or one .* got \(\)"),
        (1.0, DtypeError, "must be Tensors or None, got float for argument 0"),
        ((tfl.ones(2), tfl.ones(2)), GradientError, "per argument of forward is needed, got 2 for"),
        ((), GradientError, "per argument of forward is needed, got 0 for 1"),
    ],
)
def test_what_backward_must_return(result: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=rf"Broken\.backward: .*{text}"):
        broken(result).backward()


def test_a_gradient_is_summed_to_the_shape_of_its_argument() -> None:
    broken((tfl.ones((3, 2)), None)).backward()  # trailing Nones are dropped


def test_what_forward_must_do() -> None:
    class Nothing(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 3

    with pytest.raises(DtypeError, match=r"Nothing\.forward: must return Tensors, got int"):
        Nothing.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="forward must be overridden"):
        type("Empty", (autograd.Function,), {}).apply(leaf(1.0))

    class Dirty(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> Any:
            ctx.mark_dirty(x)
            return x

    with pytest.raises(UnsupportedArgumentError, match="mark_dirty: forward must not change"):
        Dirty.apply(leaf(1.0))

    class Number(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> Any:
            ctx.save_for_backward(x, 3)
            return x

    with pytest.raises(DtypeError, match=r"save_for_backward: .* got int; set other values"):
        Number.apply(leaf(1.0))


def test_a_gradient_that_is_handed_on_is_not_kept() -> None:
    class Same(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> tfl.Tensor:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: tfl.Tensor) -> tfl.Tensor:
            return g

    x, incoming = leaf(1.0, 2.0), tfl.ones(2, dtype=tfl.float64)
    Same.apply(x).backward(incoming)
    assert not np.shares_memory(x.grad.numpy(), incoming.numpy())
