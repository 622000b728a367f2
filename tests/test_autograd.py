"""Gradients of tensors by tensors, their checks, custom functions, grad modes."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import autograd
from tensorflowlite.errors import DtypeError, GradientError, ShapeError


def leaf(*values: float) -> tfl.Tensor:
    return tfl.tensor(list(values), dtype=tfl.float64, requires_grad=True)


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x * x


class ScaledExp(autograd.Function):
    """Saves its output, takes a number beside its tensor."""

    @staticmethod
    def forward(ctx, x, scale):
        out = tfl.exp(x) * scale
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad):
        (out,) = ctx.saved_tensors
        return grad * out, None


class SumAndProduct(autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x + y, x * y

    @staticmethod
    def backward(ctx, of_sum, of_product):
        x, y = ctx.saved_tensors
        return of_sum + of_product * y, of_sum + of_product * x


class WrongCount(autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return x * y

    @staticmethod
    def backward(ctx, grad):
        return grad


# -- grad ------------------------------------------------------------------------------------------
def test_grad_leaves_every_grad_alone():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = autograd.grad((x * w).sum(), x)
    np.testing.assert_array_equal(g.numpy(), [3, 4])
    assert x.grad is None and w.grad is None


def test_grad_of_an_intermediate_result_goes_no_further():
    x = leaf(1.0, 2.0)
    h = x * 2
    y = (h * h).sum()
    (g,) = autograd.grad(y, h)
    np.testing.assert_array_equal(g.numpy(), [4, 8])
    # What lies beyond h was not used up.
    (g,) = autograd.grad(h.sum(), x)
    np.testing.assert_array_equal(g.numpy(), [2, 2])


def test_grad_by_an_input_and_what_depends_on_it():
    x = leaf(1.0, 2.0)
    h = x * 3
    gx, gh = autograd.grad((h * x).sum(), [x, h])
    np.testing.assert_array_equal(gx.numpy(), [6, 12])
    np.testing.assert_array_equal(gh.numpy(), [1, 2])


def test_grad_of_several_outputs_adds_up():
    x = leaf(1.0, 2.0)
    (g,) = autograd.grad([x.sum(), (x * x).sum()], x)
    np.testing.assert_array_equal(g.numpy(), [3, 5])


def test_grad_outputs_weigh():
    x = leaf(1.0, 2.0)
    (g,) = autograd.grad(x * x, x, grad_outputs=tfl.tensor([10.0, 1.0], dtype=tfl.float64))
    np.testing.assert_array_equal(g.numpy(), [20, 4])


def test_third_derivative():
    x = leaf(2.0)
    first = autograd.grad((x**4).sum(), x, create_graph=True)[0]
    second = autograd.grad(first.sum(), x, create_graph=True)[0]
    third = autograd.grad(second.sum(), x)[0]
    np.testing.assert_allclose([first.item(), second.item(), third.item()], [32, 48, 48])


def test_results_of_grad_share_no_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gx, gy = autograd.grad((x + y).sum(), [x, y])
    assert not np.shares_memory(gx.numpy(), gy.numpy())
    gx += 1  # and can be written to
    np.testing.assert_array_equal(gy.numpy(), [1, 1])


def test_unused_input_raises_or_gives_none():
    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(
        GradientError, match=r"depend on every input, got inputs\[1\].*allow_unused"
    ):
        autograd.grad((x * 2).sum(), [x, y])
    assert autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: autograd.grad(x * 2, x), GradientError, "must be a scalar, got shape"),
        (lambda x: autograd.grad(tfl.ones(1), x), GradientError, "the output must require grad"),
        (lambda x: autograd.grad(x.sum(), tfl.ones(1)), GradientError, r"inputs\[0\] must require"),
        (lambda x: autograd.grad(x * 2, x, tfl.ones(3)), ShapeError, r"shape \(2,\), got \(3,\)"),
        (lambda x: autograd.grad(x * 2, x, [None, None]), ShapeError, "one gradient per output"),
        (lambda x: autograd.grad([], x), GradientError, "at least one output"),
        (lambda x: autograd.backward(x.numpy), DtypeError, "must be Tensors|not iterable"),
    ],
)
def test_grad_says_what_is_wrong(call, error, text):
    with pytest.raises((error, TypeError), match=text):
        call(leaf(1.0, 2.0))


def test_backward_of_several_tensors():
    x = leaf(3.0)
    autograd.backward([x * 2, x * x])
    np.testing.assert_array_equal(x.grad.numpy(), [8])


# -- checks ----------------------------------------------------------------------------------------
def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return grad * 3

    x = leaf(0.3, 0.7)
    assert not autograd.gradcheck(Wrong.apply, x, raise_exception=False)
    with pytest.raises(GradientError, match="must match finite differences"):
        autograd.gradcheck(Wrong.apply, x)


def test_gradgradcheck_finds_a_wrong_second_derivative():
    class FirstOrderOnly(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 2 * x.detach()

    x = leaf(0.3, 0.7)
    assert autograd.gradcheck(FirstOrderOnly.apply, x)
    assert not autograd.gradgradcheck(FirstOrderOnly.apply, x, raise_exception=False)


def test_gradcheck_of_complex_functions():
    z = tfl.tensor(np.array([1 + 2j, -0.5 + 0.3j]), requires_grad=True)
    assert autograd.gradcheck(lambda z: tfl.exp(z) / (z + 3), z)
    assert autograd.gradcheck(lambda z: tfl.abs(z), z)
    assert autograd.gradgradcheck(lambda z: tfl.real(z * z) * tfl.imag(z), z)


def test_gradcheck_wants_double_precision():
    with pytest.raises(DtypeError, match="must be float64 or complex128, got float32"):
        autograd.gradcheck(tfl.exp, tfl.tensor([1.0], requires_grad=True))


# -- custom functions ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "function",
    [
        Cube.apply,
        lambda x: ScaledExp.apply(x, 2.0),
        lambda x: SumAndProduct.apply(x, x * 2)[0] * SumAndProduct.apply(x, x)[1],
    ],
)
def test_custom_functions_have_gradients_of_order_two(function):
    x = leaf(0.5, -1.2)
    assert autograd.gradcheck(function, x)
    assert autograd.gradgradcheck(function, x)


def test_custom_function_with_one_unused_output():
    x, y = leaf(2.0), leaf(3.0)
    SumAndProduct.apply(x, y)[1].sum().backward()
    assert (x.grad.item(), y.grad.item()) == (3.0, 2.0)


def test_custom_function_must_return_a_gradient_per_argument():
    x = leaf(1.0)
    with pytest.raises(GradientError, match=r"gradient or None per argument.*got 1 for 2"):
        WrongCount.apply(x, x).sum().backward()


def test_custom_function_notices_a_changed_input():
    x = leaf(1.0, 2.0)
    h = x * 1.0
    y = Cube.apply(h)
    h += 1
    with pytest.raises(GradientError, match="changed in place"):
        y.sum().backward()


def test_custom_function_frees_what_it_saved():
    gc.disable()
    try:
        x = leaf(1.0)
        out = ScaledExp.apply(x, 2.0)
        array = weakref.ref(out.array)
        out.sum().backward()
        with pytest.raises(GradientError, match="freed it"):
            out.sum().backward()
        del out
        assert array() is None
    finally:
        gc.enable()


# -- modes -----------------------------------------------------------------------------------------
def test_modes_nest_and_come_back():
    x = leaf(1.0)
    with tfl.no_grad():
        assert not (x * 2).requires_grad
        with tfl.enable_grad():
            assert (x * 2).requires_grad
        assert not tfl.is_grad_enabled()
    assert (x * 2).requires_grad


def test_modes_as_decorators_with_and_without_brackets():
    @tfl.no_grad()
    def one(x):
        return x * 2

    @tfl.no_grad
    def two(x):
        return x * 2

    x = leaf(1.0)
    assert not one(x).requires_grad and not two(x).requires_grad
    assert one.__name__ == "one" and (x * 2).requires_grad


def test_set_grad_enabled_in_its_three_forms():
    x = leaf(1.0)
    with tfl.set_grad_enabled(False):
        assert not (x * 2).requires_grad
        with tfl.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not tfl.is_grad_enabled()
    assert tfl.is_grad_enabled()

    @tfl.set_grad_enabled(False)
    def one(x):
        return x * 2

    assert tfl.is_grad_enabled() and not one(x).requires_grad and tfl.is_grad_enabled()
    tfl.set_grad_enabled(False)
    assert not tfl.is_grad_enabled()
    tfl.set_grad_enabled(True)
    assert (x * 2).requires_grad


def test_a_mode_comes_back_after_an_error():
    with pytest.raises(KeyError), tfl.no_grad():
        raise KeyError
    assert tfl.is_grad_enabled()


def test_modes_are_per_thread():
    x, seen = leaf(1.0), []
    with tfl.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        seen.append((x * 2).requires_grad)
    assert seen == [True, False]


def test_inference_mode_turned_off_records():
    x = tfl.ones(2, requires_grad=True)
    for outer in (tfl.no_grad(), tfl.inference_mode()):
        with outer, tfl.inference_mode(False):
            assert (x * 2).requires_grad
        with tfl.inference_mode(True):
            assert not (x * 2).requires_grad


def test_inference_mode_takes_its_mode_by_name():
    x = tfl.ones(2, requires_grad=True)
    for wanted in (True, False):
        with tfl.inference_mode(mode=wanted):
            assert (x * 2).requires_grad is not wanted


def test_inference_mode_records_nothing_and_registers_no_views():
    x = tfl.zeros((2, 2))
    with tfl.inference_mode():
        view = x[0]
    assert view.base is None and not tfl.zeros(1).requires_grad


# -- looking at the graph, and hooks of leaves -----------------------------------------------------
def test_grad_fn_names_the_operation_and_what_it_was_applied_to():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).exp().sum()
    assert x.grad_fn is None and tfl.ones(2).grad_fn is None
    assert (repr(y.grad_fn), y.grad_fn.name()) == ("<sum>", "sum")
    product = y.grad_fn.next_functions[0].next_functions[0]
    assert [one.name() for one in product.next_functions] == ["leaf", "leaf"]
    assert product.next_functions[0] == (x + 0).grad_fn.next_functions[0]
    assert product != y.grad_fn and len({product, y.grad_fn, y.grad_fn}) == 2
    assert tfl.checkpoint(lambda x: x * w, x).grad_fn.name() == "checkpoint"
    y.backward()
    assert y.grad_fn.name() == "freed"


def test_a_hook_after_accumulation():
    x, seen = leaf(1.0, 2.0), []
    handle = x.register_post_accumulate_grad_hook(lambda one: seen.append((one, one.grad.tolist())))
    for _ in range(2):
        (x * x).sum().backward()
    assert seen == [(x, [2.0, 4.0]), (x, [4.0, 8.0])]
    autograd.grad((x * x).sum(), x)  # accumulates nothing
    handle.remove()
    (x * x).sum().backward()
    assert len(seen) == 2


def test_an_optimizer_step_in_the_backward_pass():
    x = leaf(1.0, 2.0)

    def step(one):
        with tfl.no_grad():
            one -= 0.1 * one.grad
        one.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    np.testing.assert_allclose(x.detach().numpy(), [0.8, 1.6])


@pytest.mark.parametrize("tensor", [leaf(1.0) * 2, tfl.ones(1)])
def test_a_hook_after_accumulation_is_a_leafs(tensor):
    with pytest.raises(GradientError, match="must be a leaf that requires grad, got one that"):
        tensor.register_post_accumulate_grad_hook(print)


def test_backward_into_some_inputs():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * w
    h.sum().backward(inputs=x, retain_graph=True)
    assert x.grad.tolist() == [3.0, 4.0] and w.grad is None
    autograd.backward([(h * h).sum(), x.sum()], inputs=[h, w])
    assert h.grad.tolist() == [6.0, 16.0] and w.grad.tolist() == [6.0, 32.0]
    assert x.grad.tolist() == [3.0, 4.0]
    with pytest.raises(GradientError, match="must require grad"):
        x.sum().backward(inputs=[tfl.ones(1)])


def test_unused_inputs_may_be_zeros():
    x, y = leaf(1.0), leaf(2.0, 3.0)
    _, zeros = autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    assert zeros.tolist() == [0.0, 0.0]


def test_batched_gradients_are_those_of_each_row():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y, z = tfl.tanh(x) * w.sum(), (x * w).sum()
    rows, more = tfl.tensor(np.arange(6.0).reshape(3, 2)), tfl.tensor([1.0, 0.0, 2.0])
    more = more.double()
    found = autograd.grad([y, z], [x, w], [rows, more], is_grads_batched=True)
    assert [one.shape for one in found] == [(3, 2), (3, 2)]
    for i in range(3):
        expected = autograd.grad([y, z], [x, w], [rows[i], more[i]], retain_graph=True)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one[i].numpy(), other.numpy(), rtol=1e-14)
    with pytest.raises(GradientError, match="is_grads_batched needs grad_outputs"):
        autograd.grad(y, x, is_grads_batched=True)
