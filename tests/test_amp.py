"""Mixed precision: what is cast, that gradients come back, and the scaler's logic."""

from __future__ import annotations

import gc
import re
import threading

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import amp, nn, optim
from tensorflowlite.core.primitive import registry, traced
from tensorflowlite.errors import ArgumentError, DeviceError, DtypeError, StateError
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import amp as policy
from tests import shadow


def ones(*shape, dtype=tfl.float32, **options):
    return tfl.ones(shape, dtype=dtype, **options)


def test_the_table_names_operations():
    assert set(policy.ACCELERATOR) <= set(registry)
    assert set(policy.POLICIES["cpu"]) <= set(policy.ACCELERATOR)


def test_products_are_lower_and_delicate_operations_are_not():
    x, w, image = ones(2, 3), ones(4, 3), ones(1, 2, 4, 4)
    kernel, heads = ones(3, 2, 2, 2), ones(1, 2, 3, 4)
    with amp.autocast("cpu"):
        y = F.linear(x, w, ones(4))
        for found in (
            y, x @ w.mT, tfl.matmul(x, w.mT), x.matmul(w.mT), tfl.einsum("ij,kj->ik", x, w),
            F.conv2d(image, kernel), F.scaled_dot_product_attention(heads, heads, heads),
            tfl.exp(y), y + y,
        ):  # fmt: skip
            assert found.dtype == tfl.bfloat16
        for found in (F.cross_entropy(y, tfl.tensor([0, 1])), tfl.exp(x), y + ones(4), tfl.prod(y)):
            assert found.dtype == tfl.float32
        assert (x.astype(tfl.float64) @ w.mT.astype(tfl.float64)).dtype == tfl.float64
    with amp.autocast("cpu", dtype=tfl.float16):
        assert (x @ w.mT).dtype == tfl.float16
    with amp.autocast("cuda"):
        assert (x @ w.mT).dtype == tfl.float32, "another device's"


def test_regions_nest_and_end():
    x = ones(2, 2)
    before = traced.matmul(x, x).dtype
    with amp.autocast("cpu"):
        assert (x @ x).dtype == tfl.bfloat16
        with amp.autocast("cpu", enabled=False):
            assert (x @ x).dtype == tfl.float32
            with amp.autocast("cpu", dtype=tfl.float16):
                assert (x @ x).dtype == tfl.float16
        assert (x @ x).dtype == tfl.bfloat16
    assert (x @ x).dtype == before == tfl.float32

    @amp.autocast("cpu")
    def product(y):
        return y @ y

    assert product(x).dtype == tfl.bfloat16 and product.__name__ == "product"
    with pytest.raises(ZeroDivisionError), amp.autocast("cpu"):
        1 / 0  # noqa: B018
    assert (x @ x).dtype == tfl.float32
    assert policy._inside == 0


def test_other_threads_go_on_as_they_were():
    x, found = ones(2, 2), []
    with amp.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append((x @ x).dtype))
        thread.start()
        thread.join(10)
    assert found == [tfl.float32]


def test_gradients_have_the_parameters_dtype_and_casts_are_shared():
    torso, head = nn.Linear(3, 4), nn.Linear(4, 2)
    x = ones(5, 3)
    with amp.autocast("cpu"):
        first = head(F.relu(torso(x))).sum()
        second = head(F.relu(torso(x * 2))).sum()
        assert len(policy._state.cache) == 4
    assert policy._state.cache is None
    first.backward()
    second.backward()
    for p in (*torso.parameters(), *head.parameters()):
        assert p.dtype == p.grad.dtype == tfl.float32
    exact = (head(F.relu(torso(x))) + head(F.relu(torso(x * 2)))).sum()
    expected = tfl.autograd.grad(exact, [head.weight, torso.weight])
    for p, g in zip((head.weight, torso.weight), expected, strict=True):
        # bfloat16 keeps 8 bits; a few products and sums are rounded.
        np.testing.assert_allclose(p.grad.numpy(), g.numpy(), 0.03, 0.03)


def test_a_changed_parameter_is_cast_anew():
    w, x = ones(2, 2, requires_grad=True), ones(1, 2)
    with amp.autocast("cpu"):
        assert (x @ w).tolist() == [[2.0, 2.0]]
        with tfl.no_grad():
            assert (x @ w).node is None
            w *= 3
        assert (x @ w).tolist() == [[6.0, 6.0]]
        assert (x @ w).node is not None, "what was cast without recording isn't taken"
        w.set_(ones(2, 2) * 5)
        assert (x @ w).tolist() == [[10.0, 10.0]]
        with amp.autocast("cpu", cache_enabled=False):
            assert (x @ w).tolist() == [[10.0, 10.0]]
    del w
    gc.collect()


def test_derivatives_of_second_order_pass_the_casts():
    w = tfl.tensor([[2.0]], requires_grad=True)
    with amp.autocast("cpu"):
        y = (w @ w) @ w
    (first,) = tfl.autograd.grad(y.sum(), [w], create_graph=True)
    (second,) = tfl.autograd.grad(first.sum(), [w])
    assert first.item() == 12.0 and second.item() == 12.0 and second.dtype == tfl.float32


def test_on_a_device_the_longer_list_holds():
    shadow.install()
    x = tfl.ones(2, 2, device="shadow")
    with amp.autocast("shadow"):
        y = x @ x
        assert y.dtype == tfl.float16
        assert tfl.exp(y).dtype == tfl.sum(y).dtype == F.softmax(y, 1).dtype == tfl.float32
        y += 1
        y *= y
        assert y.dtype == tfl.float16
    assert tfl.exp(y).dtype == tfl.float16


def test_a_network_learns_in_half_precision_as_well():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 8)) * 2
    labels = rng.integers(0, 4, 256)
    points = (centres[labels] + rng.normal(size=(256, 8))).astype(np.float32)
    x, target = tfl.tensor(points), tfl.tensor(labels)
    reached = {}
    for enabled in (False, True):
        tfl.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(40):
            optimizer.zero_grad()
            with amp.autocast("cpu", enabled=enabled):
                loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
        reached[enabled] = float((model(x).argmax(axis=1) == target).astype(tfl.float32).mean())
    assert reached[False] > 0.9
    assert abs(reached[True] - reached[False]) < 0.02, "within five of 256 points"


def test_functions_of_users():
    seen = []

    class Product(tfl.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=tfl.float32)
        def forward(ctx, x, options):
            seen.append((x.dtype, options["y"].dtype, (x @ x).dtype))
            return x * 2

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append((g @ g).dtype)
            return g * 2, None

    x = ones(2, 2, requires_grad=True)
    with amp.autocast("cpu"):
        y = Product.apply(x @ x, {"y": ones(1, dtype=tfl.float16)})
    y.sum().backward()
    assert seen == [(tfl.float32, tfl.float32, tfl.float32), tfl.float32]
    assert x.grad.dtype == tfl.float32


def test_bad_regions():
    with pytest.raises(ArgumentError, match="dtype must be float16 or bfloat16, got float32"):
        amp.autocast("cpu", dtype="float32")
    with pytest.raises(DeviceError, match="device_type must be 'cpu' or 'cuda', got 'abacus'"):
        amp.autocast("abacus")


# -- the scaler ------------------------------------------------------------------------------------
def scaled(script, **options):
    """Return what scales and parameters become along a script of gradients."""
    p = tfl.tensor(np.array([1.0, 2.0]), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)
    scaler = amp.GradScaler("cpu", init_scale=8.0, **options)
    found = []
    for value in script:
        optimizer.zero_grad()
        scaler.scale((p * tfl.tensor([value, 1.0], dtype=tfl.float64)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append((scaler.get_scale(), p.tolist()))
    return found, scaler


def test_infinities_skip_the_step_and_lower_the_scale():
    found, scaler = scaled([1.0, np.inf, 0.0, 1.0, 1.0, np.nan], growth_interval=2)
    assert [scale for scale, _ in found] == [8.0, 4.0, 4.0, 8.0, 8.0, 4.0]
    assert [p for _, p in found] == [
        [0.5, 1.5], [0.5, 1.5], [0.5, 1.0], [0.0, 0.5], [-0.5, 0.0], [-0.5, 0.0],
    ]  # fmt: skip
    assert scaler.state_dict() == {
        "scale": 4.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2,
        "_growth_tracker": 0,
    }  # fmt: skip


def test_the_scale_is_kept_and_can_be_set():
    _, scaler = scaled([1.0], growth_interval=3)
    other = amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() and other.get_scale() == 8.0
    loss = other.scale([tfl.tensor(1.0), (tfl.tensor(2.0), tfl.tensor(0.5, dtype=tfl.float16))])
    assert loss[0].item() == 8.0 and loss[1][1].dtype == tfl.float16
    other.update(32.0)
    assert other.get_scale() == 32.0 and other._scale.dtype == tfl.float32
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 8.0 and other.state_dict()["_growth_tracker"] == 1
    off = amp.GradScaler("cpu", enabled=False)
    p = tfl.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    off.scale(p.sum()).backward()
    off.unscale_(optimizer)
    off.step(optimizer)
    off.update()
    assert p.item() == 0.0 and off.get_scale() == 1.0 and off.state_dict() == {}
    assert not off.is_enabled()


def test_two_optimizers_share_one_scale():
    p, q = (tfl.tensor([1.0], requires_grad=True) for _ in range(2))
    scaler, one, two = amp.GradScaler("cpu", init_scale=4.0), optim.SGD([p]), optim.SGD([q])
    scaler.scale(p * 1.0 + q * tfl.tensor([np.inf])).sum().backward()
    scaler.step(one)
    scaler.step(two)
    scaler.update()
    assert p.item() != 1.0 and q.item() == 1.0 and scaler.get_scale() == 2.0


def test_wrong_use_of_the_scaler():
    p = tfl.tensor([1.0], requires_grad=True)
    optimizer, scaler = optim.SGD([p]), amp.GradScaler("cpu")
    half = tfl.tensor([1.0], dtype=tfl.float16, requires_grad=True)

    def refused(call, error, text):
        with pytest.raises(error, match=re.escape(text)):
            call()

    refused(lambda: scaler.update(), StateError, "scale must be called first, got update before")
    refused(lambda: scaler.unscale_(optimizer), StateError, "got unscale_ before it")
    refused(lambda: scaler.scale(3.0), DtypeError, "outputs must be tensors, or lists of them")
    scaler.scale(p.sum())
    refused(lambda: scaler.update(), StateError, "step or unscale_ must come before update")
    refused(
        lambda: scaler.step(optimizer), StateError, "the optimizer must have gradients, got none"
    )
    scaler.update(8.0)
    p.grad = tfl.tensor([8.0])
    scaler.unscale_(optimizer)
    assert p.grad.item() == 1.0
    refused(lambda: scaler.unscale_(optimizer), StateError, "got it after unscale_")
    scaler.step(optimizer)
    refused(lambda: scaler.step(optimizer), StateError, "step must come once before update")
    refused(lambda: scaler.step(optimizer, closure=max), ArgumentError, "can't have a closure")
    half.grad = tfl.tensor([1.0], dtype=tfl.float16)
    refused(lambda: scaler.unscale_(optim.SGD([half])), DtypeError, "gradients must not be float16")
    refused(lambda: amp.GradScaler(growth_factor=1), ArgumentError, "growth_factor must be above 1")
    refused(lambda: amp.GradScaler(backoff_factor=1), ArgumentError, "must lie in (0, 1), got 1")
    refused(lambda: scaler.load_state_dict({}), StateError, "got that of one not enabled")


# -- beside others that stand between an entry point and its implementation -----------------------
def test_anomalies_are_found_inside_and_casts_go_on():
    x = ones(2, 2)
    with amp.autocast("cpu"):
        with tfl.autograd.detect_anomaly():
            assert (x @ x).dtype == tfl.bfloat16
            with (
                np.errstate(all="ignore"),
                pytest.raises(tfl.errors.TensorflowliteError, match="matmul"),
            ):
                (x * 3e38) @ (x * 3e38)
        assert (x @ x).dtype == tfl.bfloat16
    with tfl.autograd.detect_anomaly():
        with amp.autocast("cpu"):
            assert (x @ x).dtype == tfl.bfloat16
        assert (x @ x).dtype == tfl.float32
    assert (x @ x).dtype == tfl.float32


def test_inside_vmap():
    x = tfl.tensor(np.arange(12.0, dtype=np.float32).reshape(3, 2, 2))
    with amp.autocast("cpu"):
        found = tfl.vmap(lambda one: one @ one)(x)
        expected = x @ x
    assert found.dtype == tfl.bfloat16
    np.testing.assert_array_equal(found.float().numpy(), expected.float().numpy())
