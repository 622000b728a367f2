"""In-place changes that are refused, and saved values that were changed: all of them, no others."""

from __future__ import annotations

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import runtime
from tensorflowlite.errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    GradientError,
    ShapeError,
    StaleValueError,
)

from .backends import TestBackend

X = np.random.default_rng(0).normal(size=(2, 3, 4))
W = np.random.default_rng(1).normal(size=(2, 3, 4))
STEP = 1e-6


# -- what is refused -------------------------------------------------------------------------------
def test_leaves_are_not_changed_while_recording(backend: TestBackend) -> None:
    x = backend.leaf(X)
    for change, name in [
        (lambda: x.__iadd__(1.0), "add_"),
        (lambda: x[0].__imul__(2.0), "multiply_"),
        (lambda: x.reshape(24)[3:].__isub__(2.0), "subtract_"),
        (lambda: x.__setitem__(0, 1.0), "setitem"),
        (lambda: x[0].__setitem__(0, 1.0), "setitem"),
    ]:
        with pytest.raises(
            GradientError,
            match=rf"^{name}: the tensor must not be (a view of )?a leaf that requires grad",
        ):
            change()
    np.testing.assert_array_equal(backend.host(x), X)
    with tfl.autograd.no_grad():
        x += 1.0
        x[0] *= 2.0
    np.testing.assert_array_equal(backend.host(x)[0], 2 * (X[0] + 1.0))
    assert x.is_leaf and x.requires_grad


def test_recorded_values_in_an_integer_tensor(backend: TestBackend) -> None:
    o = backend.tensor(np.zeros(3, np.int64))
    w = backend.leaf(np.array(2.0))
    with pytest.raises(DtypeError, match=r"^setitem: .*got float64 into int64; cast with astype"):
        o[0] = w
    with pytest.raises(
        DtypeError,
        match=r"^add_: a tensor that takes recorded values must be float or complex, got int64",
    ):
        o += w
    np.testing.assert_array_equal(backend.host(o), 0)


def test_shapes_and_dtypes_that_do_not_fit(backend: TestBackend) -> None:
    y = backend.leaf(X) * 1.0
    with pytest.raises(ShapeError, match=r"^add_: .*got .*\(2, 3, 4\).*\(5,\)"):
        y += backend.tensor(np.zeros(5))
    text = r"^multiply_: the result must fit in the changed tensor, got \(3, 4\) and \(2, 3, 4\)$"
    with pytest.raises(ShapeError, match=text):
        y[0] *= backend.tensor(np.zeros((2, 3, 4)))
    row = tfl.broadcast_to(backend.tensor(np.zeros(3)), (2, 3))
    for change in (lambda: row.__iadd__(1.0), lambda: row.__setitem__(0, 1.0)):
        with pytest.raises(
            ArgumentError,
            match=r"must have memory of its own, got a broadcast view float64 \(2, 3\); clone",
        ):
            change()
    i = backend.tensor(np.zeros(3, np.int64))
    with pytest.raises(DtypeError, match=r"^add_: "):
        i += 0.5
    if not backend.on_host:
        with pytest.raises(DeviceError, match=r"^add_: the tensors must be on one device"):
            y += tfl.tensor(X)
    (y * y).sum().backward()  # nothing was changed


# -- stale values ----------------------------------------------------------------------------------
def raises_stale(out: tfl.Tensor, text: str) -> None:
    with pytest.raises(StaleValueError, match=text):
        out.sum().backward()


def test_an_input_changed_after_it_was_saved(backend: TestBackend) -> None:
    x = backend.leaf(X)
    y = x * 2.0
    z = y * y
    y += 1.0
    raises_stale(
        z,
        r"multiply \(op #\d+\): input x, float64 \(2, 3, 4\), was changed in place .*clone",
    )


def test_an_output_changed_after_it_was_saved(backend: TestBackend) -> None:
    y = tfl.exp(backend.leaf(X))
    y += 1.0
    raises_stale(y, r"exp \(op #\d+\): output out, float64 \(2, 3, 4\), was changed in place")


def test_an_output_changed_without_recording(backend: TestBackend) -> None:
    y = tfl.exp(backend.leaf(X))
    with tfl.autograd.no_grad():
        y += 1.0
    raises_stale(y, r"exp .*output out")


def test_an_input_changed_through_a_view(backend: TestBackend) -> None:
    y = backend.leaf(X) * 2.0
    z = y * y
    y[0, 1:][:, ::-1].reshape(8)
    v = y.reshape(24)[::2]
    v += 1.0
    raises_stale(z, r"multiply .*input")


def test_an_input_changed_through_detach(backend: TestBackend) -> None:
    y = backend.leaf(X) * 2.0
    z = y * y
    y.detach().add_(1.0)
    raises_stale(z, r"multiply .*input")


def test_a_view_saved_and_its_root_changed(backend: TestBackend) -> None:
    y = backend.leaf(X) * 2.0
    z = tfl.sin(y[0])
    y *= 2.0
    raises_stale(z, r"sin .*input x")


def test_a_leaf_updated_between_forward_and_backward(backend: TestBackend) -> None:
    x, w = backend.leaf(X), backend.leaf(W)
    y = x * w
    with tfl.autograd.no_grad():
        w -= 0.1
    raises_stale(y, r"multiply .*input y")
    assert x.grad is None and w.grad is None


def test_a_gradient_that_is_saved_and_added_to(backend: TestBackend) -> None:
    """Adding into .grad is a change too."""
    x, s = backend.leaf(X), backend.leaf(np.array(2.0))
    (x * 3.0).sum().backward()
    z = x.grad * s
    (x * 3.0).sum().backward()
    raises_stale(z, r"multiply .*input x")


def test_an_in_place_operation_that_needs_its_old_input(backend: TestBackend) -> None:
    """y *= w saves a copy of y for w; what it made may be changed as long as none needs it."""
    x, w = backend.leaf(X), backend.leaf(W)
    y = x * 2.0
    y *= w
    y *= 3.0
    y += 1.0
    y.sum().backward()
    np.testing.assert_allclose(backend.host(w.grad), 6 * X)


def test_no_false_alarms(backend: TestBackend) -> None:
    x, w = backend.leaf(X), backend.leaf(W)
    y = x * 2.0
    y += 1.0  # a rule that saves nothing
    z = y * w  # saved after the change
    other = backend.tensor(X)
    other += 1.0  # something else
    u = tfl.exp(z)
    t = x + z
    t *= 2.0  # the sum saved neither its inputs nor its output
    (u.sum() + t.sum()).backward()
    with tfl.autograd.no_grad():
        w -= 0.1
    (x * w).sum().backward()
    assert x.grad is not None


def test_a_training_loop_has_no_false_alarms(backend: TestBackend) -> None:
    w = backend.leaf(W)
    for _ in range(50):
        loss = ((w - 1.0) * (w - 1.0)).sum()
        loss.backward()
        with tfl.autograd.no_grad():
            w -= w.grad * 0.1
        w.grad = None
    assert float(loss.item()) < 1e-3


def test_reused_memory_and_identities_give_no_false_alarms(backend: TestBackend) -> None:
    """New arrays take the place, and the identity, of ones that were changed and dropped."""
    x = backend.leaf(X)
    for _ in range(300):
        t = backend.tensor(X)
        t += 1.0
        del t
        y = x * 1.5
        (y * y).sum().backward()


def test_an_array_saved_before_another_of_its_memory_was_changed(backend: TestBackend) -> None:
    """The table is pruned: thousands of changed arrays come and go, one saved value stays stale."""
    y = backend.leaf(X) * 2.0
    z = y * y
    y += 1.0
    for _ in range(10_000):
        t = backend.tensor(np.zeros(1))
        t += 1.0
    assert len(runtime.changed) < 9000
    raises_stale(z, r"multiply .*input")


def test_changed_twice_in_one_graph(backend: TestBackend) -> None:
    y = backend.leaf(X) * 1.0
    y *= y
    y *= y
    y.sum().backward()


def test_the_error_names_what_changed_the_value(backend: TestBackend) -> None:
    w = backend.leaf(X)
    for change, by in (
        (lambda y: y.__iadd__(1.0), "add_"),
        (lambda y: y.exp_(), "exp_"),
        (lambda y: y.__setitem__(0, 1.0), "setitem"),
    ):
        y = w * 1.0
        loss = (y * w).sum()
        with tfl.no_grad():
            change(y)
        with pytest.raises(StaleValueError, match=rf"changed in place by {by} \(op #\d+\) after"):
            loss.backward()


def test_the_error_names_the_optimizer_that_changed_a_parameter() -> None:
    w = tfl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = tfl.optim.AdamW([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(StaleValueError, match=r"changed in place by adam_step \(op #\d+\) after"):
        loss.backward()
