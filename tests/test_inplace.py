"""In-place changes, recorded: through views of every kind.

NumPy itself is the reference: a function that changes arrays in place runs on NumPy arrays as on
tensors, and differences of it give the gradient. The last test makes such functions at random.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import (
    GradientError,
    StaleValueError,
)

from .backends import TestBackend

X = np.random.default_rng(0).normal(size=(2, 3, 4))
W = np.random.default_rng(1).normal(size=(2, 3, 4))
STEP = 1e-6


def gradients_by_difference(function: Callable[..., Any], arrays: list[Any]) -> list[Any]:
    found = []
    for i, array in enumerate(arrays):
        g = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            both = []
            for step in (STEP, -STEP):
                moved = [a.copy() for a in arrays]
                moved[i][index] += step
                both.append(float(np.sum(function(np, *moved))))
            g[index] = (both[0] - both[1]) / (2 * STEP)
        found.append(g)
    return found


def check(function: Callable[..., Any], backend: TestBackend, *arrays: Any) -> None:
    """Hold value and gradients of a function that changes arrays in place against NumPy's."""
    leaves = [backend.leaf(a) for a in arrays]
    out = function(tfl, *leaves)
    np.testing.assert_allclose(
        backend.host(out), function(np, *[a.copy() for a in arrays]), 1e-12, 1e-12
    )
    out.sum().backward()
    for leaf, g in zip(leaves, gradients_by_difference(function, list(arrays)), strict=True):
        found = np.zeros_like(g) if leaf.grad is None else backend.host(leaf.grad)
        np.testing.assert_allclose(found, g, 1e-7, 1e-7)


# -- one change ------------------------------------------------------------------------------------
def adds_its_input(m, x, w):
    y = x * 2.0
    y += x
    return y * y


def multiplies(m, x, w):
    y = x * 2.0
    y *= w
    return y * y


def multiplies_by_itself(m, x, w):
    y = x * 2.0
    y *= y
    return y * y


def adds_itself(m, x, w):
    y = x * w
    y += y
    return y * y


def divides_and_squares(m, x, w):
    y = x * 2.0
    y **= 2.0
    y /= x * x + 1.0
    return y * w


def changes_after_sin(m, x, w):
    """The rule of sin needs its input, and the change takes its output."""
    y = m.sin(x)
    y += 1.0
    return y * w


def chains_of_changes(m, x, w):
    y = x * 2.0
    for _ in range(3):
        y *= w
        y += x
        y -= 0.5
    return y


def broadcasts(m, x, w):
    y = x * 1.0
    y *= w[0, 0]
    y += w[:, :1, :1]
    return y * y


# -- views -----------------------------------------------------------------------------------------
def view_made_before(m, x, w):
    y = x * 2.0
    v = y[0]
    y *= w
    return v * v


def through_a_view(m, x, w):
    y = x * 2.0
    v = y[0]
    v *= w[0]
    return y * y


def through_a_view_of_a_view(m, x, w):
    y = x * 2.0
    u = y[1:]
    v = u[0, 1:]
    v *= w[0, 1:]
    u += 1.0
    return y * v.sum() + u.sum()


def both_views_see_it(m, x, w):
    y = x * 1.0
    u, v = y[0], y[:, 1]
    u *= w[0]
    v *= w[:, 1]
    return u.sum() + y * v.sum()


def overlapping_views(m, x, w):
    y = x * 1.0
    u, v = y[:, :2], y[:, 1:]
    u *= w[:, :2]
    v += u
    return u * v


def assigns(m, x, w):
    o = m.zeros(x.shape, dtype=m.float64) if m is np else x.detach() * 0.0
    o[0, 1:] = x[1, 1:] * w[0, 0]
    o[1][0] = w[1, 2] * 2.0
    return o * o


def assigns_to_a_view_twice(m, x, w):
    y = x * 1.0
    v = y[0]
    v[1] = w[0, 0]
    v[1] = w[1, 1] * x[0, 1]
    return y * y


def assigns_what_it_reads(m, x, w):
    y = x * w
    for i in range(2):
        y[:, i + 1] = (y[:, i + 1] * 1.0) * (y[:, i] * 1.0)
    return y


def swaps(m, x, w):
    y = x * w
    a = y[0] * 1.0
    y[0] = y[1]
    y[1] = a
    return y * w


def swaps_views_without_a_copy(m, x, w):
    y = x * w
    y[0] = y[1]
    y[1] = y[0] * 2.0 + w[0]
    return y * y


def keeps_an_old_view(m, x, w):
    y = x * 1.0
    r = y[0]
    y[0] = w[1]
    return r * r + y * 2.0


def transposed(m, x, w):
    y = x * 1.0
    t = y.T
    t[1:3, :, 0] *= w[0, :, 1:3].T
    return y * y


def flipped(m, x, w):
    y = x * 1.0
    f = y[::-1, :, ::-1]
    f[0] *= w[0]
    f += w
    return y * y


def strided_steps(m, x, w):
    y = x * 1.0
    f = y[:, ::2, 3::-2]
    f *= w[:, ::2, ::2]
    return y * y


def reshaped(m, x, w):
    y = x * 2.0
    v = y.reshape(6, 4)[2:5]
    v *= w.reshape(6, 4)[:3]
    return y * y + v.sum()


def a_reshape_that_copies(m, x, w):
    y = x * 1.0
    c = y.T.reshape(24)
    c *= 3.0
    y += 1.0
    return y * w + c.sum()


def laid_out_alike(m, x):
    """Return a copy in the order of x's memory; of other operations a device's lies in C order."""
    return np.array(x, order="K") if m is np else traced.cast(x, x.dtype)


def of_a_fortran_ordered_root(m, x, w):
    """y lies in Fortran order, so its transpose can be reshaped without a copy."""
    y = laid_out_alike(m, x.T)
    v = y.T.reshape(24)
    v[3:9] *= 3.0
    v *= w.reshape(24)
    return y * y


def read_of_a_fortran_ordered_root(m, x, w):
    y = laid_out_alike(m, x.T)
    v = y.T.reshape(24)
    y *= w.T
    return v[:5] * v[:5]


def of_a_new_axis(m, x, w):
    y = x * 1.0
    v = y[:, None, 1, ..., None]
    v *= w[:, 0, :].reshape(2, 1, 4, 1)
    return y * y


def pieces(m, x, w):
    y = x * 1.0
    a, b = y[:, :, :2], y[:, :, 2:]
    a *= b * 1.0
    b *= w[:, :, 2:]
    return y * a.sum()


def splits(m, x, w):
    y = x * 1.0
    a, b = m.split(y, 2, axis=2)
    a *= w[:, :, :2]
    b += a
    return y * y


def squeezed(m, x, w):
    y = (x * 1.0)[:1]
    v = m.squeeze(y, axis=0)
    v *= w[0]
    u = m.expand_dims(v, axis=1)
    u += 1.0
    return y * y


def moved(m, x, w):
    y = x * 1.0
    v = m.moveaxis(y, 0, -1)
    v *= m.moveaxis(w, 0, -1)
    u = m.swapaxes(y, 1, 2)
    u[:, 0] *= 2.0
    return y * y


def assigns_what_overlaps(m, x, w):
    y = x * w
    y[:, 1:] = y[:, :-1]
    y[:, :, :-1] += y[:, :, 1:] * 2.0
    return y * y


def assigns_in_a_loop(m, x, w):
    y = x * 1.0
    total = (y * 0.0).sum()
    for i in range(3):
        y[0, i] = w[1, i] * (i + 1.0)
        total = total + (y * 1.0).sum() * (i + 1.0)
    return total


def squares_a_view(m, x, w):
    y = x * 1.0
    d = y[:, 1]
    d += w[:, 0]
    z = y[0]
    z *= z
    return y


def masks(m, x, w):
    y = x * 1.0
    mask = np.arange(24).reshape(2, 3, 4) % 3 == 0
    mask = mask if m is np else type_of(x, mask)
    y[mask] = w[0, 0, 1]
    y[mask] *= w[0, 0, 2]
    return y * y


def index_arrays(m, x, w):
    y = x * 1.0
    index = np.array([2, 0])
    index = index if m is np else type_of(x, index)
    v = y[1]
    v[index] = w[0, :2] * x[1, 1:]
    v[index] *= 2.0
    return y * y


def type_of(x: tfl.Tensor, array: Any) -> tfl.Tensor:
    """Return a constant beside x, on its device."""
    return tfl.tensor(array, device=x.device)


CASES = [
    adds_its_input, multiplies, multiplies_by_itself, adds_itself, divides_and_squares,
    changes_after_sin, chains_of_changes, broadcasts, view_made_before, through_a_view,
    through_a_view_of_a_view, both_views_see_it, overlapping_views, assigns,
    assigns_to_a_view_twice, assigns_what_it_reads, swaps, swaps_views_without_a_copy,
    keeps_an_old_view, transposed, flipped, strided_steps, reshaped, a_reshape_that_copies,
    of_a_fortran_ordered_root, read_of_a_fortran_ordered_root, of_a_new_axis, pieces, splits,
    squeezed, moved, squares_a_view, assigns_what_overlaps, assigns_in_a_loop, masks, index_arrays,
]  # fmt: skip


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_change(function: Callable[..., Any], backend: TestBackend) -> None:
    check(function, backend, X, W)


def test_second_derivatives_through_a_change(backend: TestBackend) -> None:
    """y = 2x; y[0] *= w[0]: sum y^2 has the mixed derivative 16 x w for the first rows."""
    x, w = backend.leaf(X), backend.leaf(W)
    y = x * 2.0
    v = y[0]
    v *= w[0]
    (g,) = tfl.autograd.grad((y * y).sum(), x, create_graph=True)
    expected = np.concatenate([8 * X[:1] * W[:1] ** 2, 8 * X[1:]])
    np.testing.assert_allclose(backend.host(g), expected, 1e-12)
    g.sum().backward()
    np.testing.assert_allclose(backend.host(w.grad)[0], 16 * X[0] * W[0], 1e-12)
    np.testing.assert_allclose(
        backend.host(x.grad), np.concatenate([8 * W[:1] ** 2, np.full((1, 3, 4), 8.0)]), 1e-12
    )


def test_an_untracked_root_takes_recorded_values(backend: TestBackend) -> None:
    w = backend.leaf(np.array([2.0, 3.0]))
    o = backend.tensor(np.ones(3))
    v = o[0:2]
    v *= w
    assert o.requires_grad and v.requires_grad
    (o * o).sum().backward()
    np.testing.assert_allclose(backend.host(w.grad), [4.0, 6.0])


def test_deleted_views(backend: TestBackend) -> None:
    x = backend.leaf(X)
    y = x * 1.0
    v = y[0]
    v *= 3.0
    del v
    y *= 2.0
    y.sum().backward()
    np.testing.assert_allclose(backend.host(x.grad)[:, 0, 0], [6.0, 2.0])


def test_the_root_is_dropped_before_its_view(backend: TestBackend) -> None:
    x = backend.leaf(X)
    y = x * 2.0
    u, v = y[0], y[0, 1]
    del y
    gc.collect()
    v *= 3.0
    u.sum().backward()
    expected = np.zeros((2, 3, 4))
    expected[0], expected[0, 1] = 2.0, 6.0
    np.testing.assert_allclose(backend.host(x.grad), expected)


def test_thousands_of_views_are_pruned(backend: TestBackend) -> None:
    y = backend.leaf(X) * 1.0
    for _ in range(5000):
        y[0]
    assert len(y.base) < 64
    kept = [y[0] for _ in range(100)]
    y *= 2.0
    assert len(y.base) == 100 and all(v.node.op.name == "read_view" for v in kept)


def test_a_view_made_without_recording(backend: TestBackend) -> None:
    """What the view held before belongs to the root's history, though it has none of its own."""
    x, w = backend.leaf(X), backend.leaf(W[0])
    y = x * 2.0
    with tfl.autograd.no_grad():
        v = y[0]
    v *= w
    y.sum().backward()
    expected = np.full((2, 3, 4), 2.0)
    expected[0] *= W[0]
    np.testing.assert_allclose(backend.host(x.grad), expected)
    np.testing.assert_allclose(backend.host(w.grad), 2 * X[0])


def test_assigning_to_a_view_made_without_recording(backend: TestBackend) -> None:
    x, w = backend.leaf(X), backend.leaf(W[0, 0])
    y = x * 2.0
    with tfl.autograd.no_grad():
        v = y[0]
    v[1] = w
    y.sum().backward()
    expected = np.full((2, 3, 4), 2.0)
    expected[0, 1] = 0.0
    np.testing.assert_allclose(backend.host(x.grad), expected)
    np.testing.assert_allclose(backend.host(w.grad), np.ones(4))


def test_a_change_without_recording_is_no_history(backend: TestBackend) -> None:
    x = backend.leaf(X)
    y = x * 2.0
    with tfl.autograd.no_grad():
        y *= 3.0
    y.sum().backward()
    np.testing.assert_allclose(backend.host(x.grad), np.full((2, 3, 4), 2.0))


def test_one_element_as_a_view(backend: TestBackend) -> None:
    """A view without axes writes through on every device."""
    x = backend.leaf(np.array([1.0, 2.0, 3.0]))
    y = x * 2.0
    v = y[1]
    v *= 5.0
    np.testing.assert_allclose(backend.host(y), [2.0, 20.0, 6.0])
    y.sum().backward()
    np.testing.assert_allclose(backend.host(x.grad), [2.0, 10.0, 2.0])


# -- at random -------------------------------------------------------------------------------------
class Program:
    """A random sequence of views, operations and changes, the same for arrays and tensors."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.steps = [tuple(rng.random(5)) for _ in range(int(rng.integers(3, 10)))]
        self.order = bool(rng.integers(0, 2))

    def __call__(self, m: Any, x: Any, w: Any) -> Any:
        live = [x.T * 1.5 if self.order else x * 1.5]
        total = None
        for kind, which, first, second, third in self.steps:
            y = live[int(which * len(live))]
            if kind < 0.4:
                live.append(self.view(y, first, second))
            elif kind < 0.5:
                live.append(m.sin(y))
            elif kind < 0.85:
                self.change(m, y, live[int(third * len(live))], w, first, second)
            else:
                part = (y * y).sum()
                total = part if total is None else total + part
        for i, y in enumerate(live):
            part = (y * y).sum() * (i + 1.0)
            total = part if total is None else total + part
        return total

    @staticmethod
    def view(y: Any, first: float, second: float) -> Any:
        n = y.shape[0] if y.ndim else 1
        kinds = [
            lambda: y.T,
            lambda: y.reshape(-1),
            lambda: y[::-1],
            lambda: y[..., : max(1, y.shape[-1] // 2)],
            lambda: y[int(second * n)],
            lambda: y[None],
            lambda: y[int(second * n) :: 2],
            lambda: y.reshape((y.size, 1))[: max(1, y.size // 2)],
        ]
        if y.ndim < 2:
            return y[1:] if y.ndim == 1 and n > 1 else y
        return kinds[int(first * len(kinds))]()

    @staticmethod
    def change(m: Any, y: Any, other: Any, w: Any, first: float, second: float) -> None:
        kind = int(first * 6)
        if y.ndim == 0:
            return
        if kind == 0:
            y *= 1.0 + second
        elif kind == 1:
            y += w[0, 0, 0] * second
        elif kind == 2 and other.shape == y.shape:
            y *= other * 0.5 + 1.0
        elif kind == 3:
            y[0] = w[0, 1, 2] * second
        elif kind == 4 and other.shape == y.shape:
            y[...] = other * w[1, 1, 1]
        else:
            y[..., 0] *= w[1, 0, 1]


class InCOrder(np.ndarray):
    """NumPy's arrays, but results lie in C order, as a device's do: a reshape may copy others."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(x) if isinstance(x, InCOrder) else x for x in inputs]
        if out is not None:
            getattr(ufunc, method)(*plain, out=tuple(map(np.asarray, out)), **options)
            return out[0]
        order = {"order": "C"} if method == "__call__" else {}
        return np.asarray(getattr(ufunc, method)(*plain, **order, **options)).view(InCOrder)


def test_random_programs(backend: TestBackend) -> None:
    """Right or refused: a stale value may be reported, a wrong gradient may not."""
    right = refused = 0
    for seed in range(300):
        program = Program(seed)
        x, w = X[:, :2, :3] * 0.5, W[:, :2, :3] * 0.5
        leaves = [backend.leaf(x), backend.leaf(w)]
        try:
            out = program(tfl, *leaves)
            out.backward()
        except StaleValueError:
            refused += 1
            continue
        if not backend.on_host:
            x, w = x.view(InCOrder), w.view(InCOrder)
        value = np.asarray(program(np, x.copy(), w.copy()))
        np.testing.assert_allclose(backend.host(out), value, 1e-11, err_msg=f"seed {seed}")
        expected = [np.asarray(g) for g in gradients_by_difference(program, [x, w])]
        for leaf, g in zip(leaves, expected, strict=True):
            found = np.zeros_like(g) if leaf.grad is None else backend.host(leaf.grad)
            scale = 1 + np.abs(g).max()
            np.testing.assert_allclose(found / scale, g / scale, 0, 1e-6, err_msg=f"seed {seed}")
        right += 1
    assert right > 100, (right, refused)


def test_a_former_leaf_with_views_refuses_recorded_changes():
    x, w = tfl.ones(3, requires_grad=True), tfl.ones(3, requires_grad=True)
    view = x[:2]
    x.requires_grad_(False)
    with pytest.raises(GradientError, match=r"must know its views.*made while it required grad"):
        x *= w
    with pytest.raises(GradientError, match="must know its views"):
        view *= w[:2]
    x *= 2  # nothing is recorded here: plain changes stay allowed
    np.testing.assert_array_equal(x.numpy(), [2, 2, 2])


def test_what_no_rule_needs_is_not_saved(backend: TestBackend) -> None:
    """A quotient, and a power of a constant exponent, may be changed in place afterwards."""
    x, y = backend.leaf([1.0, 2.0]), backend.leaf([4.0, 5.0])
    quotient, square = x / y, x**2
    quotient[0], square[1] = 0.0, 0.0
    (quotient.sum() + square.sum()).backward()
    assert x.grad.tolist() == [2.0, 0.2]
    assert y.grad.tolist() == [0.0, -0.08]
