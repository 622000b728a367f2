"""The tape: who owns a gradient, hooks, freed graphs, orders, stale values, deferral, complex numbers.

Expected gradients are worked out by hand; the op table holds the rules themselves against differences.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import DeviceError, DtypeError, GradientError, ShapeError
from tensorflowlite.ops.declare import binary, general, unary

from .backends import TestBackend, backend  # noqa: F401
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
def test_a_gradient_of_repeated_elements_is_dense_and_writable(backend: TestBackend, consumers: int) -> None:
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
    with pytest.raises(ShapeError, match=r"register_hook: the hook must return None or a Tensor of shape \(2, 3\), got \(\)"):
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
        with pytest.raises(GradientError, match="the tensor must require grad, got one that doesn't"):
            call()


# -- graphs that are kept, freed, made ------------------------------------------------------------
def test_retain_graph_and_a_freed_graph(backend: TestBackend) -> None:
    x = backend.leaf(A)
    y = tfl.exp(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    same(x.grad, 2 * np.exp(A), backend)
    with pytest.raises(GradientError, match="backward: the graph was used by an earlier backward pass, which freed it; pass retain_graph=True"):
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
    with pytest.raises(GradientError, match=r"grad: the outputs must depend on every input, got inputs\[1\].*allow_unused"):
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
    with pytest.raises(GradientError, match=r"backward: the output must be a scalar, got shape \(2, 3\); pass gradient="):
        (x * x).backward()
    with pytest.raises(GradientError, match="backward: the output must require grad"):
        backend.tensor(A).sum().backward()
    with pytest.raises(ShapeError, match=r"backward: gradient must have the output's shape \(2, 3\), got \(3,\)"):
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


# -- rules that raise ------------------------------------------------------------------------------
def test_a_rule_that_raises_leaves_nothing_pending(backend: TestBackend) -> None:
    """After an error in the middle, another pass over the same graph gives the right numbers."""
    fails = [True]

    def rule(g: Any) -> Any:
        if fails[0]:
            raise ZeroDivisionError("in the rule")
        return g * 1.0

    brittle = unary("test_brittle", rule, "", decompose=lambda k, x: k.positive(x), registered=False)
    x, w = backend.leaf(A), backend.leaf(B)
    u = x * 2.0
    y = (brittle(u) * w + u * w + x).sum()
    for create_graph in (False, True):
        with pytest.raises(ZeroDivisionError):
            y.backward(retain_graph=True, create_graph=create_graph)
    with pytest.raises(ZeroDivisionError):
        tfl.autograd.grad(y, [x, u], retain_graph=True)
    assert x.grad is None and w.grad is None
    fails[0] = False
    y.backward(retain_graph=True)
    same(x.grad, 4 * B + 1, backend)
    same(w.grad, 4 * A, backend)


def test_a_hook_that_raises_leaves_nothing_pending(backend: TestBackend) -> None:
    x, w = backend.leaf(A), backend.leaf(B)
    h = x * w

    def hook(g: tfl.Tensor) -> None:
        raise KeyError("hook")

    handle = h.register_hook(hook)
    y = (h * 2.0 + x).sum()
    with pytest.raises(KeyError):
        y.backward(retain_graph=True)
    handle.remove()
    y.backward()
    same(x.grad, 2 * B + 1, backend)
    same(w.grad, 2 * A, backend)


def test_a_leafs_hook_that_raises_leaves_nothing_pending(backend: TestBackend) -> None:
    x, w = backend.leaf(A), backend.leaf(B)

    def hook(g: tfl.Tensor) -> None:
        raise KeyError("hook")

    handle = x.register_hook(hook)
    with pytest.raises(KeyError):
        (x * w).sum().backward()
    handle.remove()
    assert x.grad is None and w.grad is None
    (x * w).sum().backward()
    same(x.grad, B, backend)
    same(w.grad, A, backend)


def test_the_second_of_two_rules_raises(backend: TestBackend) -> None:
    """By then the first parent has got its gradient, and waits nowhere."""
    fails = [True]

    def rule(k: Any, g: Any, x: Any) -> Any:
        if fails[0]:
            raise ZeroDivisionError("in the rule")
        return g * x

    product = binary("test_brittle_product", (lambda g, y: g * y, rule), "",
                     decompose=lambda k, x, y: x * y, registered=False)  # fmt: skip
    x, w = backend.leaf(A), backend.leaf(B)
    y = product(x * 2.0, w).sum()
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    fails[0] = False
    y.backward()
    same(x.grad, 2 * B, backend)
    same(w.grad, 2 * A, backend)


# -- nodes with several outputs --------------------------------------------------------------------
parts = general(
    "test_parts",
    ("x", "y"),
    lambda g, x, y, out: (g[0] * y + g[1], g[0] * x + g[1] * 2.0),
    outputs=3,
    joint=True,
    decompose=lambda k, x, y: (x * y, x + 2.0 * y, k.floor(y) > 0),
    registered=False,
)


def test_several_outputs(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    product, total, flags = parts(x, y)
    assert product.requires_grad and total.requires_grad and not flags.requires_grad
    (product * product + total).sum().backward()
    same(x.grad, 2 * A * B * B + 1, backend)
    same(y.grad, 2 * A * A * B + 2, backend)


def test_one_of_several_outputs_is_used(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    parts(x, y)[1].sum().backward()
    same(x.grad, np.ones((2, 3)), backend)
    same(y.grad, np.full((2, 3), 2.0), backend)


def test_one_of_several_outputs_is_used_twice_with_a_hook(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    product, total, _ = parts(x, y)
    seen = []
    total.register_hook(lambda g: seen.append(float(g.sum().item())))
    total.retain_grad()
    (total * 2.0 + total + product).sum().backward()
    assert seen == [18.0]
    same(total.grad, np.full((2, 3), 3.0), backend)
    same(x.grad, B + 3, backend)


def test_second_derivatives_through_several_outputs(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    product, total, _ = parts(x, y)
    (g,) = tfl.autograd.grad((product * product + total * total).sum(), x, create_graph=True)
    same(g, 2 * A * B * B + 2 * (A + 2 * B), backend)
    g.sum().backward()
    same(x.grad, 2 * B * B + 2, backend)
    same(y.grad, 4 * A * B + 4, backend)


def test_grad_by_an_output_of_several(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    product, total, _ = parts(x, y)
    by_total, by_x = tfl.autograd.grad((product * total).sum(), [total, x])
    same(by_total, A * B, backend)
    same(by_x, B * (A + 2 * B) + A * B, backend)


# -- deferral --------------------------------------------------------------------------------------
class Payload:
    """What a consumer hands over instead of a gradient."""

    def __init__(self, g: Any) -> None:
        self.g = g


def deferring() -> Any:
    """Return a pair of operations where the consumer defers to the producer, and how often."""
    pair = SimpleNamespace(joined=0)

    def rule(g):  # type: ignore[no-untyped-def]
        if type(g) is Payload:
            pair.joined += 1
            g = g.g
        return (g * 3.0,)

    pair.producer = general(
        "test_triple", ("x",), rule, joint=True, registered=False,
        decompose=lambda k, x: x * 3.0,
    )  # fmt: skip
    pair.consumer = unary(
        "test_squared", lambda g, x: g * (2 * x), "", registered=False,
        decompose=lambda k, x: x * x,
    )  # fmt: skip
    tape.defer(pair.consumer.primitive, pair.producer.primitive, lambda g, x: Payload(g * (2 * x)))
    return pair


def test_deferral_to_the_only_consumer(backend: TestBackend) -> None:
    pair, x = deferring(), backend.leaf(A)
    pair.consumer(pair.producer(x)).sum().backward()
    assert pair.joined == 1
    same(x.grad, 18 * A, backend)


@pytest.mark.parametrize("reason", ["second", "twice", "hook", "retained", "asked", "pending", "traced", "root"])
def test_no_deferral(backend: TestBackend, reason: str) -> None:
    pair, x = deferring(), backend.leaf(A)
    h = pair.producer(x)
    y = pair.consumer(h).sum()
    expected = 18 * A
    if reason == "second":
        (y + h.sum()).backward()
        expected = expected + 3
    elif reason == "twice":
        (y + pair.consumer(h).sum()).backward()
        expected = 2 * expected
    elif reason == "hook":
        seen: list[Any] = []
        h.register_hook(lambda g: seen.append(backend.host(g)))
        y.backward()
        np.testing.assert_allclose(seen, [6 * A])
    elif reason == "retained":
        h.retain_grad()
        y.backward()
        same(h.grad, 6 * A, backend)
    elif reason == "asked":
        by_h, x.grad = tfl.autograd.grad(y, [h, x])
        same(by_h, 6 * A, backend)
    elif reason == "pending":
        tfl.autograd.backward([h, y], [backend.tensor(np.ones((2, 3))), None])
        expected = expected + 3
    elif reason == "root":
        tfl.autograd.backward([y, h], [None, backend.tensor(np.ones((2, 3)))])
        expected = expected + 3
    else:
        y.backward(create_graph=True)
    assert pair.joined == 0
    same(x.grad, expected, backend)


def test_deferral_again_in_a_kept_graph(backend: TestBackend) -> None:
    """A consumer that this backward doesn't reach doesn't count."""
    pair, x = deferring(), backend.leaf(A)
    h = pair.producer(x)
    other = tfl.exp(h)
    y = pair.consumer(h).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert pair.joined == 2
    same(x.grad, 36 * A, backend)
    assert other.requires_grad


def test_deferral_of_a_joint_consumer(backend: TestBackend) -> None:
    """A joint rule is told by DEFER in ``need``, and hands over a payload."""
    pair, x, w = deferring(), backend.leaf(A), backend.leaf(B)

    def rule(g, need, x, y):  # type: ignore[no-untyped-def]
        by_x = g * y if need[0] else None
        if need[0] is tape.DEFER:
            by_x = Payload(by_x)
        return by_x, g * x if need[1] else None

    product = general("test_product", ("x", "y"), rule, joint=True, registered=False,
                      decompose=lambda k, x, y: x * y)  # fmt: skip
    tape.defer(product.primitive, pair.producer.primitive)
    product(pair.producer(x), w).sum().backward()
    assert pair.joined == 1
    same(x.grad, 3 * B, backend)
    same(w.grad, 3 * A, backend)
    h = pair.producer(x)
    (product(h, w) + h).sum().backward()
    assert pair.joined == 1


# -- complex numbers: PyTorch's convention, by hand ------------------------------------------------
Z = np.array([1.0 + 2.0j, -0.5 + 0.25j, 3.0 - 1.0j])
W = np.array([0.5 - 1.0j, 2.0 + 1.0j, -1.0 + 0.5j])


def test_the_square_of_the_modulus(backend: TestBackend) -> None:
    """L = |z|^2 = a^2 + b^2: dL/da + i dL/db = 2z."""
    z = backend.leaf(Z)
    (tfl.abs(z) * tfl.abs(z)).sum().backward()
    same(z.grad, 2 * Z, backend)
    z = backend.leaf(Z)
    tfl.real(z * tfl.conj(z)).sum().backward()
    same(z.grad, 2 * Z, backend)


def test_the_real_part_of_a_holomorphic_function(backend: TestBackend) -> None:
    """L = Re f(z): the gradient is conj(f'(z))."""
    z = backend.leaf(Z)
    tfl.real(tfl.exp(z) + z * z).sum().backward()
    same(z.grad, np.conj(np.exp(Z) + 2 * Z), backend)
    z = backend.leaf(Z)
    tfl.imag(z * z).sum().backward()
    same(z.grad, 1j * np.conj(2 * Z), backend)


def test_complex_seeds_and_hooks(backend: TestBackend) -> None:
    """With grad_outputs w the gradient of z^2 is w conj(2z); hooks see that form too."""
    z = backend.leaf(Z)
    h = z * 1.0
    seen = []
    h.register_hook(lambda g: seen.append(backend.host(g).copy()))
    (h * h).backward(backend.tensor(W))
    same(z.grad, W * np.conj(2 * Z), backend)
    np.testing.assert_allclose(seen, [W * np.conj(2 * Z)])
    h = z * 1.0
    h.register_hook(lambda g: g * 1j)
    (g,) = tfl.autograd.grad(h * h, z, backend.tensor(W))
    same(g, 1j * W * np.conj(2 * Z), backend)


def test_a_real_input_of_a_complex_result(backend: TestBackend) -> None:
    x, z = backend.leaf(np.real(Z)), backend.leaf(W)
    (x * z).backward(backend.tensor(Z))
    assert x.grad.dtype == tfl.float64
    same(x.grad, np.real(Z * np.conj(W)), backend)
    same(z.grad, Z * np.real(Z), backend)


def test_complex_second_derivatives(backend: TestBackend) -> None:
    """g = conj(3 z^2) of Re z^3; the gradient of sum |g|^2 = 9|z|^4 is 36 |z|^2 z."""
    z = backend.leaf(Z)
    (g,) = tfl.autograd.grad(tfl.real(z * z * z).sum(), z, create_graph=True)
    same(g, np.conj(3 * Z**2), backend)
    tfl.real(g * tfl.conj(g)).sum().backward()
    same(z.grad, 36 * np.abs(Z) ** 2 * Z, backend)


def test_complex_numbers_without_axes(backend: TestBackend) -> None:
    z = backend.leaf(np.array(1.0 + 2.0j))
    (tfl.abs(z) * tfl.abs(z)).backward()
    assert type(z.grad.array) is backend.array_type
    same(z.grad, 2 + 4j, backend)
    (g,) = tfl.autograd.grad(tfl.real(z * z), z)
    assert type(g.array) is backend.array_type
    (tfl.abs(z) * tfl.abs(z)).backward()
    same(z.grad, 4 + 8j, backend)


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
