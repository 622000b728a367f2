"""The tape and its rules: ones that raise, several outputs, deferral, complex numbers.

Expected gradients are worked out by hand; the op table holds the rules against differences.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.core import tape
from tensorflowlite.ops.declare import binary, general, unary

from .backends import TestBackend
from .op_properties import memory_of

A = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
B = np.array([[1.0, 2.0, -1.0], [0.5, -0.5, 3.0]])


def same(found: Any, expected: Any, backend: TestBackend) -> None:
    assert found is not None
    np.testing.assert_allclose(backend.host(found), expected, 1e-12, 1e-12)


def shared(x: tfl.Tensor, y: tfl.Tensor) -> bool:
    return np.shares_memory(memory_of(x.array), memory_of(y.array))


# -- rules that raise ------------------------------------------------------------------------------
def test_a_rule_that_raises_leaves_nothing_pending(backend: TestBackend) -> None:
    """After an error in the middle, another pass over the same graph gives the right numbers."""
    fails = [True]

    def rule(g: Any) -> Any:
        if fails[0]:
            raise ZeroDivisionError("in the rule")
        return g * 1.0

    brittle = unary(
        "test_brittle", rule, "", decompose=lambda k, x: k.positive(x), registered=False
    )
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


@pytest.mark.parametrize(
    "reason", ["second", "twice", "hook", "retained", "asked", "pending", "traced", "root"]
)
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
