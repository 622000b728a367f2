"""Gated activations: their values and gradients, who defers to them, and the native kernels."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import autograd
from tensorflowlite.backend import numpy_backend
from tensorflowlite.core.primitive import registry, traced
from tensorflowlite.nn import functional as F
from tensorflowlite.ops.activation_gradients import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]
binding = pytest.mark.binding
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
generator = np.random.default_rng(0)


def array(*shape: int, dtype: Any = np.float64) -> Array:
    return generator.normal(size=shape).astype(dtype)


def leaves(*arrays: Array) -> list[tfl.Tensor]:
    return [tfl.tensor(a, requires_grad=True) for a in arrays]


def apart(gate: tfl.Tensor, x: tfl.Tensor, activation: str) -> tfl.Tensor:
    """Return gated features by two operations."""
    out: tfl.Tensor = ACTIVATIONS[activation].apply(traced, gate) * x
    return out


def close(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), 1e-10, 1e-12)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the calls of the slots of a gated backward."""
    seen: list[str] = []
    names = ("matmul", "gated_activation_gradient", "product_gated_gradient", "activation_gradient")
    for name in names:
        op = registry[name]
        run = op.implementations[np.ndarray]

        def counted(*args: Any, _run: Any = run, _name: str = name) -> Any:
            seen.append(_name)
            return _run(*args)

        monkeypatch.setitem(op.implementations, np.ndarray, counted)
        monkeypatch.setattr(numpy_backend, name, counted, raising=False)
    return seen


# -- the operation ---------------------------------------------------------------------------------
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_both_orders(activation: str) -> None:
    tensors = leaves(array(3, 4), array(3, 4))
    assert autograd.gradcheck(lambda *t: F.gated(*t, activation), tensors)
    assert autograd.gradgradcheck(lambda *t: F.gated(*t, activation), tensors)


def test_a_gradient_of_one_side_alone(calls: list[str]) -> None:
    for activation in ("silu", "tanh"):
        gate, x = leaves(array(3, 4), array(3, 4))
        weight = tfl.tensor(array(3, 4))
        expected = autograd.grad((apart(gate, x, activation) * weight).sum(), [gate, x])
        for k, wanted in enumerate((gate, x)):
            operands = [t if t is wanted else t.detach() for t in (gate, x)]
            calls.clear()
            found = autograd.grad((F.gated(*operands, activation) * weight).sum(), [wanted])
            assert "gated_activation_gradient" not in calls
            close(found, [expected[k]])


def test_only_the_inputs_are_saved() -> None:
    gate, x = leaves(array(3, 4), array(3, 4))
    node = F.swiglu(gate, x).node
    assert node.residual is None and node.out is None
    assert [id(one) for one in node.saved] == [id(gate.array), id(x.array)]


def test_one_tensor_as_gate_and_features() -> None:
    (x,) = leaves(array(3, 4))
    assert autograd.gradgradcheck(lambda x: F.swiglu(x, x), [x])


def test_vmap_takes_the_batch_at_once(calls: list[str]) -> None:
    gate, x, weight = (tfl.tensor(array(*shape)) for shape in ((5, 3, 4), (4,), (5, 3, 4)))

    def gradients(gate: tfl.Tensor, x: tfl.Tensor, weight: tfl.Tensor) -> Any:
        return tfl.grad(lambda g, x: (F.geglu(g, x) * weight).sum(), argnums=(0, 1))(gate, x)

    calls.clear()
    found = tfl.vmap(gradients, in_dims=(0, None, 0))(gate, x, weight)
    assert calls.count("gated_activation_gradient") == 1
    each = [gradients(gate[i], x, weight[i]) for i in range(5)]
    close(found, [tfl.stack([one[k] for one in each]) for k in (0, 1)])


def test_autocast_leaves_the_dtype_of_what_it_is_given() -> None:
    x, w = tfl.ones((2, 3)), tfl.ones((4, 3), requires_grad=True)
    with tfl.amp.autocast("cpu"):
        out = F.swiglu(F.linear(x, w), F.linear(x, w))
    assert out.dtype == tfl.bfloat16
    out.sum().backward()
    assert w.grad is not None and w.grad.dtype == tfl.float32


# -- deferral --------------------------------------------------------------------------------------
def network(x: tfl.Tensor, w1: tfl.Tensor, w3: tfl.Tensor, w2: tfl.Tensor, fused: bool,
            activation: str = "silu") -> tuple[tfl.Tensor, tfl.Tensor]:  # fmt: skip
    gate, up = F.linear(x, w1), F.linear(x, w3)
    h = F.gated(gate, up, activation) if fused else apart(gate, up, activation)
    return h, F.linear(h, w2)


def operands(*rows: int) -> list[tfl.Tensor]:
    return leaves(array(*rows, 3), array(5, 3), array(5, 3), array(2, 5))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [(6,), (2, 6)])
def test_a_layer_hands_over_its_product(calls: list[str], rows: Any, activation: str) -> None:
    tensors = operands(*rows)
    out = network(*tensors, True, activation)[1]
    weight = tfl.tensor(array(*rows, 2))
    calls.clear()
    found = autograd.grad((out * weight).sum(), tensors)
    assert calls[0] == "product_gated_gradient" or calls[:2] == ["matmul", "product_gated_gradient"]
    plain = network(*tensors, False, activation)[1]
    close(found, autograd.grad((plain * weight).sum(), tensors))


def test_a_second_consumer_and_a_hook_prevent_it(calls: list[str]) -> None:
    tensors = operands(6)
    h, out = network(*tensors, True)
    calls.clear()
    found = autograd.grad(out.sum() + (h * h).sum(), tensors)
    assert "product_gated_gradient" not in calls and "gated_activation_gradient" in calls
    h, out = network(*tensors, False)
    close(found, autograd.grad(out.sum() + (h * h).sum(), tensors))
    h, out = network(*tensors, True)
    seen: list[Any] = []
    h.register_hook(lambda g: seen.append(g.shape))
    calls.clear()
    out.sum().backward()
    assert "product_gated_gradient" not in calls and seen == [(6, 5)]


def test_a_product_for_one_side_alone_is_evaluated(calls: list[str]) -> None:
    x, w1, w3, w2 = operands(6)
    found = autograd.grad(network(x.detach(), w1, w3.detach(), w2, True)[1].sum(), [w1, w2])
    assert "product_gated_gradient" not in calls
    plain = network(x.detach(), w1, w3.detach(), w2, False)[1]
    close(found, autograd.grad(plain.sum(), [w1, w2]))


def test_derivatives_of_a_network_of_higher_order() -> None:
    assert autograd.gradgradcheck(lambda *t: network(*t, True)[1], operands(4))


def test_shapes_that_broadcast_through_a_layer() -> None:
    gate, x, w = leaves(array(6, 1), array(1, 5), array(2, 5))
    found = autograd.grad(F.linear(F.swiglu(gate, x), w).sum(), [gate, x, w])
    plain = F.linear(apart(gate, x, "silu"), w)
    close(found, autograd.grad(plain.sum(), [gate, x, w]))


# -- the native kernels ----------------------------------------------------------------------------
def exact(g: Array, x: Array, y: Array, name: str) -> tuple[Array, Array, Array]:
    g, x, y = (one.astype(np.float64) for one in (g, x, y))
    chosen = ACTIVATIONS[name]
    out = chosen.apply(numpy_backend, x)
    slope = chosen.gradient(numpy_backend, np.ones_like(x), out if chosen.saves_output else x)
    return out * y, g * y * slope, g * out


@binding
@dtypes
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_native_kernels(native_module: ModuleType, name: str, dtype: Any) -> None:
    for shape in ((), (7,), (3, 1), (5, 301), (2, 3, 40), (0, 3)):
        g, x, y = (array(*shape, dtype=dtype) * dtype(2) for _ in range(3))
        g, x, y = (np.asarray(one, dtype) for one in (g, x, y))
        wanted = exact(g, x, y, name)
        # An activation and its derivative may be differences of numbers near 1, or x.
        around = np.maximum(1, np.abs(x))
        scales = [np.abs(y) * around, np.abs(g * y) * around, np.abs(g) * around]
        bound = 8 * float(np.finfo(dtype).eps)
        for instructions in native_module.instruction_sets():
            native_module.use_instruction_set(instructions)
            into = g.copy()
            found = (
                native_module.gated_activation(x, y, name),
                *native_module.gated_activation_gradient(g, x, y, name),
                *native_module.gated_activation_gradient(into, x, y, name, into),
            )
            pairs = zip(found, (*wanted, *wanted[1:]), (*scales, *scales[1:]), strict=True)
            for one, other, scale in pairs:
                assert one.dtype == dtype and one.shape == shape
                assert (np.abs(one - other) <= bound * (np.abs(other) + scale)).all()
            np.testing.assert_array_equal(found[3], into)


@binding
def test_native_kernels_refuse(native_module: ModuleType) -> None:
    x = np.zeros((3, 4), np.float32)
    run, gradient = native_module.gated_activation, native_module.gated_activation_gradient
    for arguments, sentence in [
        ((x, x, "swish"), "activation must be one of"),
        ((x, x[:2], "silu"), r"y must have shape \(3, 4\), got \(2, 4\)"),
        ((x, x.astype(np.float64), "silu"), "y must be float32 as the first array"),
        ((x.astype(int), x, "silu"), "x must be float32 or float64"),
        ((x.T, x.T, "silu"), "x must be C-contiguous"),
    ]:
        with pytest.raises(ValueError, match=f"^gated_activation: {sentence}"):
            run(*arguments)
    memory = np.zeros(20, np.float32)
    low, high = memory[:12].reshape(3, 4), memory[4:16].reshape(3, 4)
    with pytest.raises(ValueError, match="dx must be an input itself or apart from it"):
        gradient(low, x, x, "silu", high)


@dtypes
def test_the_bits_are_of_any_number_of_threads(native_module: ModuleType, dtype: Any) -> None:
    g, x, y = (array(300, 301, dtype=dtype) for _ in range(3))
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        bits = set()
        for count in (1, 2, 3):
            tfl.set_num_threads(count)
            found = native_module.gated_activation_gradient(g, x, y, "silu")
            bits.add((native_module.gated_activation(x, y, "silu").tobytes(),
                      *[one.tobytes() for one in found]))  # fmt: skip
        assert len(bits) == 1


def test_native_slots_take_arrays_as_they_lie(native_module: ModuleType) -> None:
    run, gradient = numpy_backend.gated_activation, numpy_backend.gated_activation_gradient
    g, x, y = (array(6, 8) for _ in range(3))
    packed = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(6, 8)  # not aligned
    packed[:] = x
    wanted = exact(g, x, y, "silu")
    for laid in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], packed):
        np.testing.assert_allclose(run(laid, y, "silu"), wanted[0], 1e-12, 1e-14)
        for one, other in zip(gradient(g, laid, y, "silu"), wanted[1:], strict=True):
            np.testing.assert_allclose(one, other, 1e-12, 1e-14)
    w = array(4, 8)
    found = numpy_backend.product_gated_gradient(g[:, :4], w, x, y, "silu")
    for one, other in zip(found, exact(g[:, :4] @ w, x, y, "silu")[1:], strict=True):
        np.testing.assert_allclose(one, other, 1e-12, 1e-13)


def test_what_native_slots_decline(native_module: ModuleType) -> None:
    x = array(6, 8)
    slots = numpy_backend.slots
    assert slots["gated_activation"].accepts(x, x, "silu")
    for others in ((x[:1], "silu"), (x.astype(np.float32), "silu"), (x, "softplus")):
        assert not slots["gated_activation"].accepts(x, *others)
    whole = x.astype(int)
    assert not slots["gated_activation_gradient"].accepts(whole, whole, whole, "silu")
    product = slots["product_gated_gradient"].accepts
    assert product(x[:, :4], array(4, 8), x, x, "silu")
    assert not product(x[:, :4], array(4, 8), x[:1], x[:1], "silu")
    assert not product(x[:, :4], array(4, 8).astype(np.float32), x, x, "silu")
