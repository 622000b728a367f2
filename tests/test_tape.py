"""The tape: who owns a gradient, hooks, freed graphs, orders, long chains.

Expected gradients are worked out by hand; the op table holds the rules against differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import DeviceError, DtypeError, GradientError, ShapeError

from .backends import TestBackend
from .op_properties import memory_of

A = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
B = np.array([[1.0, 2.0, -1.0], [0.5, -0.5, 3.0]])


def same(found: Any, expected: Any, backend: TestBackend) -> None:
    assert found is not None
    np.testing.assert_allclose(backend.host(found), expected, 1e-12, 1e-12)


def shared(x: tfl.Tensor, y: tfl.Tensor) -> bool:
    return np.shares_memory(memory_of(x.array), memory_of(y.array))


# -- ownership of gradients ------------------------------------------------------------------------
def test_two_parents_of_one_gradient_own_neither(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    (x + y).sum().backward()
    assert not shared(x.grad, y.grad)
    same(x.grad, np.ones((2, 3)), backend)
    with tfl.autograd.no_grad():
        x.grad.add_(5.0)
    same(y.grad, np.ones((2, 3)), backend)


def test_adding_a_tensor_to_itself(backend: TestBackend) -> None:
    x = backend.leaf(A)
    (x + x).sum().backward()
    same(x.grad, np.full((2, 3), 2.0), backend)


def test_leaves_reached_by_one_gradient_several_times(backend: TestBackend) -> None:
    """x and y receive the same g twice: adding into one must not change the other."""
    x, y = backend.leaf(A), backend.leaf(B)
    h = x + y
    (h * 2.0 + x + h).sum().backward()
    same(x.grad, np.full((2, 3), 4.0), backend)
    same(y.grad, np.full((2, 3), 3.0), backend)
    assert not shared(x.grad, y.grad)


def test_an_incoming_gradient_stays_the_callers(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    incoming = backend.tensor(B)
    (x + y).backward(incoming)
    assert not shared(x.grad, incoming)
    (x + x + y).backward(incoming)
    same(incoming, B, backend)
    same(x.grad, 3 * B, backend)
    same(y.grad, 2 * B, backend)


def test_a_leaf_is_its_own_output(backend: TestBackend) -> None:
    x = backend.leaf(A)
    incoming = backend.tensor(B)
    x.backward(incoming)
    assert not shared(x.grad, incoming)
    same(x.grad, B, backend)


def test_gradients_through_views_of_one_gradient(backend: TestBackend) -> None:
    """Rules that give views of g: reshape and permute_dims, both from the same g."""
    x, y = backend.leaf(A), backend.leaf(B)
    h = x + y
    ((h.reshape(6) * 3.0).sum() + (h.T * 2.0).sum() + h.sum()).backward()
    same(x.grad, np.full((2, 3), 6.0), backend)
    same(y.grad, np.full((2, 3), 6.0), backend)
    assert not shared(x.grad, y.grad)


def test_leaves_behind_reshapes_of_one_sum(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B.reshape(6))
    (x.reshape(6) + y).backward(backend.tensor(np.arange(6.0)))
    assert not shared(x.grad, y.grad)
    same(x.grad, np.arange(6.0).reshape(2, 3), backend)


def test_a_chain_of_reshapes(backend: TestBackend) -> None:
    x = backend.leaf(A)
    (x.reshape(6).reshape((3, 2)).reshape((1, 6)) * backend.tensor(np.arange(6.0))).sum().backward()
    same(x.grad, np.arange(6.0).reshape(2, 3), backend)


def test_diamonds(backend: TestBackend) -> None:
    """f(x) = s * t + s with s = x^2, t = s + x: 6x^5 ... by the product rule."""
    x = backend.leaf(A)
    s = x * x
    t = s + x
    (s * t + s).sum().backward()
    same(x.grad, 4 * A**3 + 3 * A**2 + 2 * A, backend)


def test_nested_diamonds(backend: TestBackend) -> None:
    x = backend.leaf(np.array([1.0, -2.0]))
    y = x
    for _ in range(20):
        y = y + y
    y.sum().backward()
    same(x.grad, np.full(2, 2.0**20), backend)


@pytest.mark.parametrize("consumers", [1, 2, 3])
def test_a_gradient_of_repeated_elements_is_dense_and_writable(
    backend: TestBackend, consumers: int
) -> None:
    x = backend.leaf(A)
    total = x.sum()
    for _ in range(consumers - 1):
        total = total + x.sum()
    total.backward()
    same(x.grad, np.full((2, 3), float(consumers)), backend)
    assert x.grad.strides == x.strides
    x.grad.array[0, 0] = 7.0  # a broadcast view would change everywhere, or refuse
    assert backend.host(x.grad).ravel()[1] == consumers


@pytest.mark.parametrize("layout", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1]])
def test_a_gradient_lies_as_its_parameter_does(backend: TestBackend, layout: Any) -> None:
    """Where the parameter leaves no gaps its gradient has the same strides; else it is dense."""
    x = tfl.Tensor(layout(backend.array(np.arange(12.0).reshape(3, 4))), True)
    (x * x).sum().backward()
    same(x.grad, 2 * backend.host(x), backend)
    if x.array.flags.forc:
        assert x.grad.strides == x.strides
    assert x.grad.array.flags.forc
    again = x.grad
    (x * x).sum().backward()
    assert x.grad is again
    same(x.grad, 4 * backend.host(x), backend)


def test_a_gradient_has_its_parameters_dtype(backend: TestBackend) -> None:
    x, w = backend.leaf(A, np.float32), backend.leaf(B)
    (x * w).sum().backward()
    assert x.grad.dtype == tfl.float32 and w.grad.dtype == tfl.float64
    same(w.grad, A, backend)


def test_unbroadcasting_a_bias(backend: TestBackend) -> None:
    x, b = backend.leaf(A), backend.leaf(np.zeros((1, 3)))
    c = backend.leaf(np.array(2.0))
    ((x + b) * c).sum().backward()
    same(b.grad, np.full((1, 3), 4.0), backend)
    same(c.grad, A.sum(), backend)
    assert type(c.grad.array) is backend.array_type and c.grad.shape == ()


def test_gradients_accumulate_into_the_same_tensor(backend: TestBackend) -> None:
    x = backend.leaf(A)
    (x * 2.0).sum().backward()
    first = x.grad
    (x * 3.0).sum().backward()
    assert x.grad is first
    same(first, np.full((2, 3), 5.0), backend)


def test_setting_a_gradient(backend: TestBackend) -> None:
    x = backend.leaf(A)
    x.grad = backend.tensor(B)
    (x * 1.0).sum().backward()
    same(x.grad, B + 1, backend)
    with pytest.raises(ShapeError, match=r"grad: must have the tensor's shape and dtype \(2, 3\)"):
        x.grad = backend.tensor(np.zeros(3))
    with pytest.raises(DtypeError, match="grad: must be a Tensor or None, got int"):
        x.grad = 3
    x.grad = None
    assert x.grad is None


def test_setting_a_gradient_whose_elements_share_memory(backend: TestBackend) -> None:
    x = backend.leaf(A)
    x.grad = tfl.broadcast_to(backend.tensor(np.array(2.0)), (2, 3))
    (x * 1.0).sum().backward()
    same(x.grad, np.full((2, 3), 3.0), backend)


# -- hooks -----------------------------------------------------------------------------------------
def test_a_hook_replaces_the_gradient(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * 2.0
    seen = []
    handle = h.register_hook(lambda g: seen.append(backend.host(g).copy()) or g * 10.0)
    (h * h).sum().backward()
    same(x.grad, 80 * A, backend)
    np.testing.assert_allclose(seen, [4 * A])
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 2.0).sum().backward()
    assert len(seen) == 1


def test_hooks_see_the_whole_gradient_once(backend: TestBackend) -> None:
    x = backend.leaf(A)
    seen = []
    h = x * 1.0
    h.register_hook(lambda g: seen.append(backend.host(g).copy()))
    x.register_hook(lambda g: seen.append(backend.host(g).copy()))
    (h * 2.0 + h * 3.0 + x).sum().backward()
    assert [s.ravel()[0] for s in seen] == [5.0, 6.0]


def test_hooks_run_in_their_order_and_chain(backend: TestBackend) -> None:
    x = backend.leaf(A)
    x.register_hook(lambda g: g + 1.0)
    x.register_hook(lambda g: g * 10.0)
    x.sum().backward()
    same(x.grad, np.full((2, 3), 20.0), backend)


def test_a_hook_that_keeps_its_gradient_keeps_it_unchanged(backend: TestBackend) -> None:
    """What a hook was shown mustn't be added into later, nor become a leaf's own .grad."""
    x = backend.leaf(A)
    kept: list[tfl.Tensor] = []
    h = x * 2.0
    h.register_hook(kept.append)
    x.register_hook(kept.append)
    h.sum().backward()
    copies = [backend.host(g).copy() for g in kept]
    (x * 7.0).sum().backward()
    with tfl.autograd.no_grad():
        x.grad.add_(100.0)
    for g, copy in zip(kept[:2], copies, strict=True):
        same(g, copy, backend)


def test_a_hook_must_give_a_gradient_of_the_same_shape(backend: TestBackend) -> None:
    x = backend.leaf(A)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(
        ShapeError,
        match=r"register_hook: the hook must return None or a Tensor of shape \(2, 3\), got \(\)",
    ):
        x.sum().backward()


def test_retain_grad(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * 2.0
    assert h.grad is None
    h.retain_grad()
    h.retain_grad()
    (h * h).sum().backward()
    same(h.grad, 4 * A, backend)
    same(x.grad, 8 * A, backend)
    assert not shared(h.grad, x.grad)


def test_retained_gradients_of_a_sum_are_apart(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    h = x + y
    h.retain_grad()
    h.sum().backward()
    with tfl.autograd.no_grad():
        h.grad.array[...] = 9.0
    same(x.grad, np.ones((2, 3)), backend)
    same(y.grad, np.ones((2, 3)), backend)


def test_hooks_need_a_gradient(backend: TestBackend) -> None:
    t = backend.tensor(A)
    for call in (lambda: t.register_hook(print), t.retain_grad):
        with pytest.raises(
            GradientError, match="the tensor must require grad, got one that doesn't"
        ):
            call()


# -- graphs that are kept, freed, made ------------------------------------------------------------
def test_retain_graph_and_a_freed_graph(backend: TestBackend) -> None:
    x = backend.leaf(A)
    y = tfl.exp(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    same(x.grad, 2 * np.exp(A), backend)
    with pytest.raises(
        GradientError,
        match=r"backward: the graph was used by an earlier .* freed it; pass retain_graph=True",
    ):
        y.backward()


def test_a_freed_part_of_a_graph_is_named_and_nothing_is_delivered(backend: TestBackend) -> None:
    x, w = backend.leaf(A), backend.leaf(B)
    h = tfl.exp(x)
    h.sum().backward()
    before = backend.host(x.grad).copy()
    with pytest.raises(GradientError, match="freed"):
        (h * w).sum().backward()
    assert w.grad is None
    same(x.grad, before, backend)
    (x * w).sum().backward()  # what was left waiting would be added here
    same(x.grad, before + B, backend)
    same(w.grad, A, backend)


def test_gradients_of_order_three(backend: TestBackend) -> None:
    x = backend.leaf(A)
    y = (x * x * x * x).sum()
    first = tfl.autograd.grad(y, x, create_graph=True)[0]
    second = tfl.autograd.grad(first.sum(), x, create_graph=True)[0]
    (third,) = tfl.autograd.grad(second.sum(), x, create_graph=True)
    (fourth,) = tfl.autograd.grad(third.sum(), x)
    same(first, 4 * A**3, backend)
    same(second, 12 * A**2, backend)
    same(third, 24 * A, backend)
    same(fourth, np.full((2, 3), 24.0), backend)


def test_backward_with_create_graph_makes_a_new_gradient(backend: TestBackend) -> None:
    x = backend.leaf(A)
    (x * x * x).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    (x * x * x).sum().backward(create_graph=True)
    assert x.grad is not first
    same(first, 3 * A**2, backend)
    same(x.grad, 6 * A**2, backend)


def test_a_penalty_on_the_gradient(backend: TestBackend) -> None:
    """d/dx of |d(sum exp(x))/dx|^2 = 2 exp(2x)."""
    x = backend.leaf(A)
    (g,) = tfl.autograd.grad(tfl.exp(x).sum(), x, create_graph=True)
    (g * g).sum().backward()
    same(x.grad, 2 * np.exp(2 * A), backend)


def test_grad_of_intermediate_tensors_and_of_both(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * 2.0
    y = (h * h).sum()
    by_h, by_x = tfl.autograd.grad(y, [h, x])
    same(by_h, 4 * A, backend)
    same(by_x, 8 * A, backend)
    assert x.grad is None
    assert not shared(by_h, by_x)


def test_grad_of_an_output_by_itself(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * 2.0
    incoming = backend.tensor(B)
    (g,) = tfl.autograd.grad(h, h, incoming)
    same(g, B, backend)
    assert not shared(g, incoming)


def test_grad_leaves_what_it_does_not_need(backend: TestBackend) -> None:
    """Only the path to the inputs is visited, and freed."""
    x, w = backend.leaf(A), backend.leaf(B)
    h = tfl.exp(w)
    y = (x * h).sum()
    (g,) = tfl.autograd.grad(y, x)
    same(g, np.exp(B), backend)
    h.sum().backward()
    same(w.grad, np.exp(B), backend)


def test_grad_of_something_unused(backend: TestBackend) -> None:
    x, w = backend.leaf(A), backend.leaf(B)
    with pytest.raises(
        GradientError,
        match=r"grad: the outputs must depend on every input, got inputs\[1\].*allow_unused",
    ):
        tfl.autograd.grad((x * 2.0).sum(), [x, w])
    g, none = tfl.autograd.grad((x * 2.0).sum(), [x, w], allow_unused=True)
    assert none is None
    same(g, np.full((2, 3), 2.0), backend)


def test_the_same_input_and_output_twice(backend: TestBackend) -> None:
    x = backend.leaf(A)
    y = (x * x).sum()
    one, two = tfl.autograd.grad([y, y], [x, x])
    same(one, 4 * A, backend)
    same(two, 4 * A, backend)
    assert not shared(one, two)


def test_backward_from_several_tensors(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * x
    tfl.autograd.backward([h.sum(), h, x], [None, backend.tensor(B), backend.tensor(A)])
    same(x.grad, 2 * A + 2 * A * B + A, backend)


def test_a_root_that_lies_under_another(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * 3.0
    y = (h * 2.0).sum()
    tfl.autograd.backward([h.sum(), y])
    same(x.grad, np.full((2, 3), 9.0), backend)


def test_bad_calls_of_backward(backend: TestBackend) -> None:
    x = backend.leaf(A)
    with pytest.raises(
        GradientError,
        match=r"backward: the output must be a scalar, got shape \(2, 3\); pass gradient=",
    ):
        (x * x).backward()
    with pytest.raises(GradientError, match="backward: the output must require grad"):
        backend.tensor(A).sum().backward()
    with pytest.raises(
        ShapeError, match=r"backward: gradient must have the output's shape \(2, 3\), got \(3,\)"
    ):
        (x * x).backward(backend.tensor(np.ones(3)))
    with pytest.raises(DtypeError, match="backward: gradient must be a Tensor, got ndarray"):
        (x * x).backward(np.ones((2, 3)))
    if not backend.on_host:
        with pytest.raises(DeviceError, match="gradient must be on the output's device"):
            (x * x).backward(tfl.tensor(np.ones((2, 3))))
    assert x.grad is None


def test_a_gradient_of_another_dtype_is_cast(backend: TestBackend) -> None:
    x = backend.leaf(A, np.float32)
    (x * 1.0).backward(backend.tensor(B))
    assert x.grad.dtype == tfl.float32
    same(x.grad, B, backend)


def test_an_empty_tensor(backend: TestBackend) -> None:
    x = backend.leaf(np.zeros((0, 3)))
    (x * 2.0).sum().backward()
    assert x.grad.shape == (0, 3)


# -- length ----------------------------------------------------------------------------------------
def test_a_chain_of_a_hundred_thousand(backend: TestBackend) -> None:
    count = 100_000 if backend.on_host else 10_000
    x = backend.leaf(np.array([1.0, 2.0]))
    y = x
    for _ in range(count):
        y = y + 1.0
    y.sum().backward()
    same(x.grad, np.ones(2), backend)
    y = x
    for _ in range(count):
        y = y * 1.0
    kept = y.sum()
    del kept, y  # never used: its destruction mustn't recurse either


def test_a_long_chain_of_traced_rules() -> None:
    x = tfl.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(5000):
        y = y * 1.0
    (g,) = tfl.autograd.grad(y.sum(), x, create_graph=True)
    assert g.item() == 1.0


def test_k_names_in_traced_rules_are_entry_points() -> None:
    assert traced.add is tfl.add


# -- warnings --------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_backward_pass_does_not_warn(backend: TestBackend, create_graph: bool) -> None:
    """The slopes of a root at 0 and of a logarithm there are infinite, and nothing to tell of."""
    x = backend.leaf(np.array([0.0, 4.0]))
    tfl.sqrt(x).sum().backward(create_graph=create_graph)
    same(x.grad.detach(), [np.inf, 0.25], backend)
    y = backend.leaf(np.array([0.0, 2.0]))
    with np.errstate(divide="ignore"):
        z = tfl.log(y).sum()
    z.backward(create_graph=create_graph)
    same(y.grad.detach(), [np.inf, 0.5], backend)
    with pytest.warns(RuntimeWarning, match="divide"):  # what the user computes still warns
        np.divide(1.0, np.zeros(1))
