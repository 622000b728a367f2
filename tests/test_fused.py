"""Fused layers: every implementation against its decomposition, and who defers to whom."""

from __future__ import annotations

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import autograd
from tensorflowlite.backend import base, numpy_backend
from tensorflowlite.core.primitive import registry, traced
from tensorflowlite.errors import ArgumentError, ShapeError
from tensorflowlite.ops import activation as act
from tensorflowlite.ops.activation_gradients import ACTIVATIONS
from tensorflowlite.ops.fused import _conv_act, linear
from tensorflowlite.ops.pooling import max_pool1d, max_pool2d

NAMES = [None, *ACTIVATIONS]
generator = np.random.default_rng(0)


def array(*shape, dtype=np.float64):
    return generator.normal(size=shape).astype(dtype)


def leaves(*arrays):
    return [tfl.tensor(a, requires_grad=True) for a in arrays]


def plain_linear(x, w, b, activation):
    z = x @ w.T
    if b is not None:
        z = z + b
    return z if activation is None else ACTIVATIONS[activation].apply(traced, z)


def gradients(function, tensors, weight):
    out = function(*tensors)
    return out, autograd.grad((out * weight).sum(), tensors)


@pytest.fixture
def calls(monkeypatch):
    """Count the calls of the slots of fused backward."""
    seen = []
    names = (
        "activation_gradient", "bias_activation_gradient", "product_activation_gradient",
        "pool_activation_gradient", "max_pool_scatter",
    )  # fmt: skip
    for name in names:
        op = registry[name]
        run = op.implementations[np.ndarray]

        def counted(*args, _run=run, _name=name):
            seen.append(_name)
            return _run(*args)

        monkeypatch.setitem(op.implementations, np.ndarray, counted)
        monkeypatch.setattr(numpy_backend, name, counted, raising=False)
    return seen


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (3,), (40, 3), (0, 3)])
def test_linear_equals_its_decomposition(shape, activation, bias, dtype):
    arrays = [array(*shape, dtype=dtype), array(4, 3, dtype=dtype)]
    if bias:
        arrays.append(array(4, dtype=dtype))
    tensors = leaves(*arrays)
    weight = tfl.tensor(array(*shape[:-1], 4, dtype=dtype))
    out, got = gradients(
        lambda x, w, b=None: linear(x, w, b, activation), tensors, weight
    )
    expected, wanted = gradients(
        lambda x, w, b=None: plain_linear(x, w, b, activation), tensors, weight
    )
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    )
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), **tolerance)
    for g, e in zip(got, wanted, strict=True):
        assert g.dtype == e.dtype and g.shape == e.shape
        np.testing.assert_allclose(g.numpy(), e.numpy(), **tolerance)


@pytest.mark.parametrize("activation", NAMES)
def test_linear_has_gradients_of_order_two(activation):
    tensors = leaves(array(5, 3), array(4, 3), array(4))
    assert autograd.gradcheck(lambda *t: linear(*t, activation), tensors)
    assert autograd.gradgradcheck(lambda *t: linear(*t, activation), tensors)


@pytest.mark.parametrize("activation", NAMES)
def test_conv_act_has_gradients_of_order_two(activation):
    tensors = leaves(array(2, 3, 5, 4), array(4, 3, 3, 2), array(4))

    def run(*t):
        return _conv_act(*t, (1, 2), ((1, 1), (0, 0)), (1, 1), 1, activation)

    assert autograd.gradcheck(run, tensors)
    assert autograd.gradgradcheck(run, tensors)


def test_a_slot_asked_for_before_its_operation_is_declared_falls_back_later(monkeypatch):
    def doubled(x):
        return 2 * x

    doubled.accepts = lambda x: x > 0
    backend = base.Backend("early", np, np.ndarray, {"doubled": doubled})
    assert backend.doubled(3) == 6
    monkeypatch.setitem(base.decompositions, "doubled", lambda k, x: "decomposed")
    assert backend.doubled(3) == 6 and backend.doubled(-3) == "decomposed"


def test_one_tensor_as_input_and_weight():
    (x,) = leaves(array(3, 3))
    assert autograd.gradgradcheck(lambda x: linear(x, x, None, "tanh"), x)


# -- deferral --------------------------------------------------------------------------------------
def network(calls, between, second=None, watch=None):
    """Run linear -> between -> linear and return the slots that its backward used."""
    x, w1, b1, w2, b2 = leaves(array(6, 3), array(5, 3), array(5), array(2, 5), array(2))
    h = linear(x, w1, b1)
    a = between(h)
    if watch is not None:
        watch(h, a)
    y = linear(a, w2, b2).sum()
    if second is not None:
        y = y + second(h, a)
    calls.clear()
    y.backward()
    used = list(calls)
    got = [t.grad.numpy() for t in (x, w1, b1, w2, b2)]
    z = x @ w1.T + b1
    a = between(z * 1.0)
    y = (a @ w2.T + b2).sum()
    if second is not None:
        y = y + second(z, a)
    for g, e in zip(got, autograd.grad(y, [x, w1, b1, w2, b2]), strict=True):
        np.testing.assert_allclose(g, e.numpy(), rtol=1e-10, atol=1e-12)
    return used


def gelu_by_tanh(x):
    return act.gelu(x, approximate="tanh")


@pytest.mark.parametrize(
    "between", [act.relu, tfl.tanh, act.sigmoid, act.silu, act.gelu, gelu_by_tanh]
)
def test_a_separate_activation_defers_and_chains(calls, between):
    used = network(calls, between)
    assert used[0] == "product_activation_gradient"


def test_a_second_consumer_prevents_deferral(calls):
    used = network(calls, act.relu, second=lambda h, a: (h * h).sum())
    assert "product_activation_gradient" not in used and "bias_activation_gradient" not in used
    used = network(calls, act.relu, second=lambda h, a: (a * a).sum())
    assert "product_activation_gradient" not in used
    assert used[0] == "bias_activation_gradient"  # the activation still defers to its layer


def test_a_hook_prevents_deferral_and_sees_the_gradient(calls):
    seen = []
    used = network(
        calls, act.relu, watch=lambda h, a: a.register_hook(lambda g: seen.append(g.shape))
    )
    assert "product_activation_gradient" not in used and seen == [(6, 5)]
    seen.clear()
    used = network(
        calls, act.relu, watch=lambda h, a: h.register_hook(lambda g: seen.append(g.shape))
    )
    assert used == ["activation_gradient"] and seen == [(6, 5)]


def test_a_retained_gradient_prevents_deferral(calls):
    kept = []

    def watch(h, a):
        h.retain_grad()
        kept.append(h)

    assert network(calls, act.relu, watch=watch) == ["activation_gradient"]
    assert kept[0].grad.shape == (6, 5)


def test_grad_of_what_lies_between_is_right(calls):
    x, w1, b1, w2 = leaves(array(6, 3), array(5, 3), array(5), array(2, 5))
    h = linear(x, w1, b1)
    a = act.relu(h)
    gh, ga, gw = autograd.grad(linear(a, w2).sum(), [h, a, w1])
    ones = np.ones((6, 2))
    np.testing.assert_allclose(ga.numpy(), ones @ w2.detach().numpy())
    np.testing.assert_allclose(gh.numpy(), ga.numpy() * (a.detach().numpy() > 0))
    np.testing.assert_allclose(gw.numpy(), gh.numpy().T @ x.detach().numpy())


def test_fused_layers_chain(calls):
    x, w1, b1, w2, b2 = leaves(array(6, 3), array(5, 3), array(5), array(2, 5), array(2))
    tensors = [x, w1, b1, w2, b2]
    out = linear(linear(x, w1, b1, "gelu"), w2, b2, "relu").sum()
    calls.clear()
    got = autograd.grad(out, tensors)
    assert calls[0] == "bias_activation_gradient" and "product_activation_gradient" in calls
    plain = plain_linear(plain_linear(x, w1, b1, "gelu"), w2, b2, "relu").sum()
    for g, e in zip(got, autograd.grad(plain, tensors), strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-9, atol=1e-12)


def test_a_convolution_takes_the_activation_after_it(calls):
    x, w, b = leaves(array(2, 3, 5, 5), array(4, 3, 3, 3), array(4))
    h = _conv_act(x, w, b, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, None)
    y = (act.relu(h) * 2).sum()
    calls.clear()
    y.backward()
    assert calls[0] == "bias_activation_gradient"
    mask = h.detach().numpy() > 0
    np.testing.assert_allclose(b.grad.numpy(), 2 * mask.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("inside", ["relu", "gelu", None])
@pytest.mark.parametrize("between", [act.relu, tfl.tanh, act.gelu])
def test_a_convolution_takes_the_pooling_after_it(calls, inside, between):
    x, w, b = leaves(array(2, 3, 8, 7), array(4, 3, 3, 3), array(4))
    h = _conv_act(x, w, b, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, inside)
    y = (max_pool2d(h if inside else between(h), 2) ** 2).sum()
    calls.clear()
    found = autograd.grad(y, [x, w, b], retain_graph=True)
    assert calls[0] == "pool_activation_gradient" and "max_pool_scatter" not in calls
    # Without deferral: something looks at what lies between.
    plain = autograd.grad(y, [h, x, w, b])[1:]
    for g, e in zip(found, plain, strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("between", [act.relu, act.gelu])
@pytest.mark.parametrize("length", [6, 8])  # of the bias: as many as there are channels, or not
def test_a_pooling_after_a_linear_layer_leaves_the_bias_to_it(length, between):
    x, w, b = leaves(array(2, 6, 3), array(length, 3), array(length))
    h = linear(x, w, b)
    y = (max_pool1d(between(h), 2) ** 2).sum()
    found = autograd.grad(y, [x, w, b], retain_graph=True)
    for g, e in zip(found, autograd.grad(y, [h, x, w, b])[1:], strict=True):
        assert g.shape == e.shape
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("between", [act.relu, act.gelu])
@pytest.mark.parametrize("side", [6, 8])  # the maps are as wide as there are channels, or wider
def test_a_linear_layer_after_a_convolution_leaves_the_bias_to_it(side, between):
    x, w, b, v = leaves(array(2, 3, side, side), array(4, 3, 3, 3), array(4), array(5, side - 2))
    h = _conv_act(x, w, b, (1, 1), ((0, 0), (0, 0)), (1, 1), 1, None)
    y = (linear(between(h), v) ** 2).sum()
    found = autograd.grad(y, [x, w, b, v], retain_graph=True)
    for g, e in zip(found, autograd.grad(y, [h, x, w, b, v])[1:], strict=True):
        assert g.shape == e.shape
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-12, atol=1e-12)


def test_a_pooling_without_bias_or_activation_before_it_is_evaluated(calls):
    x, w = leaves(array(2, 3, 8, 8), array(4, 3, 3, 3))
    h = _conv_act(x, w, (1, 1), ((0, 0), (0, 0)), (1, 1), 1, "relu")
    y = max_pool2d(h, 2).sum()
    calls.clear()
    y.backward()
    assert "pool_activation_gradient" not in calls and "activation_gradient" in calls
    assert w.grad.shape == w.shape


def test_a_changed_activation_is_noticed_through_deferral():
    x, w, b = leaves(array(6, 3), array(5, 3), array(5))
    a = act.relu(linear(x, w, b))
    y = (a * 1.0).sum()
    with tfl.no_grad():
        a += 1
    with pytest.raises(tfl.errors.StaleValueError, match=r"relu.*output out.*changed in place"):
        y.backward()


def test_higher_orders_see_the_plain_rules():
    x, w, b = leaves(array(6, 3), array(5, 3), array(5))
    assert autograd.gradgradcheck(lambda *t: tfl.tanh(linear(*t)), [x, w, b])


# -- errors ----------------------------------------------------------------------------------------
def test_linear_says_what_is_wrong():
    x, w, b = tfl.ones((2, 4)), tfl.ones((5, 3)), tfl.ones(4)
    with pytest.raises(
        ShapeError, match=r"linear: the last axis of x must be in_features=3, got x \(2, 4\)"
    ):
        linear(x, w)
    with pytest.raises(ShapeError, match=r"linear: the bias must have shape \(5,\), got \(4,\)"):
        linear(tfl.ones((2, 3)), w, b)
    with pytest.raises(ArgumentError, match=r"activation must be None or one of relu.*got 'swish'"):
        linear(tfl.ones((2, 3)), w, None, "swish")
