"""Linear algebra against PyTorch's: values, gradients, gradients of gradients.

What a decomposition leaves open (signs, phases) is cancelled before values are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

import tensorflowlite as tfl
from tensorflowlite.autograd import grad

KINDS = ("real", "complex")
LEADS = ((), (3,), (2, 0), (2, 1))


def drawn(kind: str, *shape: int, seed: int = 3) -> Any:
    rng = np.random.default_rng([seed, *shape])
    values = rng.standard_normal(shape)
    return values + 1j * rng.standard_normal(shape) if kind == "complex" else values


def several(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple | list) else [found]


def loss_of(outputs: list[Any], weights: list[Any], real: Callable[[Any], Any]) -> Any:
    """The sum of the real inner products with fixed weights."""
    return sum(real((w * y).sum()) for w, y in zip(weights, outputs, strict=True))


def check(ours: Any, theirs: Any, *arrays: Any, tolerance: float = 1e-9, orders: int = 2) -> None:
    """Hold values and derivatives of orders 1 and 2 to PyTorch's."""
    xs = [tfl.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine, wanted = several(ours(*xs)), several(theirs(*ts))
    close = {"rtol": tolerance, "atol": tolerance}
    for y, t in zip(mine, wanted, strict=True):
        np.testing.assert_allclose(y.detach().numpy(), host(t), **close)
    rng = np.random.default_rng(5)
    used = [(y, t) for y, t in zip(mine, wanted, strict=True) if t.requires_grad]
    if not used:  # PyTorch's cond of an empty stack is a constant
        return
    weights = [rng.standard_normal(t.shape) * (1 + 0.5j if t.is_complex() else 1) for _, t in used]
    loss = loss_of([y for y, _ in used], [tfl.tensor(w) for w in weights], tfl_real)
    expected = loss_of([t for _, t in used], [torch.tensor(w) for w in weights], torch_real)
    first = grad(loss, xs, create_graph=orders > 1)
    firsts = torch.autograd.grad(expected, ts, create_graph=orders > 1)
    for g, t in zip(first, firsts, strict=True):
        np.testing.assert_allclose(g.detach().numpy(), host(t), **close)
    if orders < 2 or not any(t.requires_grad for t in firsts):
        return
    size = sum(tfl_real((g * tfl.conj(g)).sum()) for g in first)
    wanted_size = sum(torch_real((t * t.conj()).sum()) for t in firsts)
    second: list[Any] = [None] * len(xs)  # where the gradient is constant
    if size.requires_grad:
        second = grad(size, xs, allow_unused=True)
    seconds = torch.autograd.grad(wanted_size, ts, allow_unused=True)
    scale = max([1.0, *[float(abs(t).max()) for t in seconds if t is not None and t.numel()]])
    for g, t in zip(second, seconds, strict=True):
        if t is not None:
            found = np.zeros(t.shape) if g is None else g.numpy()
            np.testing.assert_allclose(found, host(t), tolerance, tolerance * scale)


def host(t: Any) -> Any:
    return t.detach().resolve_conj().resolve_neg().numpy(force=True)


def tfl_real(x: Any) -> Any:
    return tfl.real(x) if x.dtype.kind == "c" else x


def torch_real(x: Any) -> Any:
    return x.real if x.is_complex() else x


def both(function: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """Return a function of (library, tensor) as ours and as PyTorch's."""
    return (lambda *xs: function(tfl, *xs)), (lambda *xs: function(torch, *xs))


# -- functions of square matrices ------------------------------------------------------------------
def positive(x: Any) -> Any:
    return x @ x.mH


def hermitian(x: Any) -> Any:
    return x + x.mH


def rebuilt(lib: Any, x: Any) -> Any:
    w, v = lib.linalg.eigh(hermitian(x))
    return w, (v * lib.sin(w)[..., None, :]) @ v.mH


def rebuilt_general(lib: Any, x: Any) -> Any:
    w, v = lib.linalg.eig(x)
    return (v * lib.exp(w / 4)[..., None, :]) @ lib.linalg.inv(v)


SQUARE: dict[str, Any] = {
    "inv": lambda lib, x: lib.linalg.inv(x),
    "det": lambda lib, x: lib.linalg.det(x),
    "slogdet": lambda lib, x: tuple(lib.linalg.slogdet(x)),
    "cholesky": lambda lib, x: lib.linalg.cholesky(positive(x)),
    "cholesky upper": lambda lib, x: lib.linalg.cholesky(positive(x), upper=True),
    "eigh": rebuilt,
    "eigvalsh": lambda lib, x: lib.linalg.eigvalsh(hermitian(x)),
    "eigvalsh as given": lambda lib, x: lib.linalg.eigvalsh(x),
    "eig": rebuilt_general,
    "eigvals": lambda lib, x: lib.exp(lib.linalg.eigvals(x)).sum(-1),
    "matrix_power 3": lambda lib, x: lib.linalg.matrix_power(x, 3),
    "matrix_power -2": lambda lib, x: lib.linalg.matrix_power(x, -2),
    "matrix_power 0": lambda lib, x: lib.linalg.matrix_power(x, 0) + x,
    "cond": lambda lib, x: lib.linalg.cond(x),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("name", SQUARE)
def test_square(name: str, lead: Any, kind: str) -> None:
    x = drawn(kind, *lead, 4, 4)
    check(*both(SQUARE[name]), x + 2 * np.eye(4), tolerance=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lead", LEADS)
def test_gradients_by_a_hermitian_matrix_itself(lead: Any, kind: str) -> None:
    """It is Hermitian; PyTorch's of a complex `cholesky` isn't, so its Hermitian part counts."""
    x = drawn(kind, *lead, 4, 4)
    x = x @ np.conj(np.swapaxes(x, -1, -2)) + np.diag([1.0, 2.0, 3.0, 4.0])

    def exponential(lib: Any, x: Any) -> Any:
        w, v = lib.linalg.eigh(x)
        return (v * lib.exp(w / 8)[..., None, :]) @ v.mH

    if kind == "real":
        check(*both(lambda lib, x: lib.linalg.cholesky(x)), x, orders=1)
    check(*both(lambda lib, x: lib.linalg.cholesky((x + x.mH) / 2)), x, orders=1)
    check(*both(exponential), x, orders=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lead", LEADS)
def test_expm(lead: Any, kind: str) -> None:
    x = drawn(kind, *lead, 4, 4)
    check(tfl.linalg.expm, torch.linalg.matrix_exp, x, tolerance=1e-8)
    check(lambda t: t.matrix_exp(), torch.matrix_exp, x / 1000, tolerance=1e-8)


# -- matrices of any shape -------------------------------------------------------------------------
def polar(full: bool) -> Any:
    def function(lib: Any, x: Any) -> Any:
        u, s, vh = lib.linalg.svd(x, full_matrices=full)
        count = s.shape[-1]
        u, vh = u[..., :count], vh[..., :count, :]
        return s, u @ vh, (u * lib.exp(s)[..., None, :]) @ vh

    return function


ANY_SHAPE: dict[str, Any] = {
    "svd": polar(False),
    "svd full": polar(True),
    "svdvals": lambda lib, x: lib.linalg.svdvals(x),
    "qr": lambda lib, x: tuple(lib.linalg.qr(x)),
    "pinv": lambda lib, x: lib.linalg.pinv(x),
    "nuclear norm": lambda lib, x: lib.linalg.matrix_norm(x, ord="nuc"),
    "spectral norm": lambda lib, x: lib.linalg.matrix_norm(x, ord=2),
    "least singular value": lambda lib, x: lib.linalg.matrix_norm(x, ord=-2),
    "frobenius norm": lambda lib, x: lib.linalg.matrix_norm(x),
    "norm of columns": lambda lib, x: lib.linalg.matrix_norm(x, ord=1),
    "norm of rows": lambda lib, x: lib.linalg.matrix_norm(x, ord=float("inf")),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 3, 2), (3, 1)])
@pytest.mark.parametrize("name", ANY_SHAPE)
def test_any_shape(name: str, shape: Any, kind: str) -> None:
    check(*both(ANY_SHAPE[name]), drawn(kind, *shape), tolerance=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_qr_complete_of_wide_matrices(kind: str) -> None:
    check(*both(lambda lib, x: tuple(lib.linalg.qr(x, mode="complete"))), drawn(kind, 2, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_pinv_without_full_rank(shape: Any, kind: str) -> None:
    x = drawn(kind, *shape[:1], 2) @ drawn(kind, 2, *shape[1:])
    # A second derivative would leave the matrices of this rank.
    check(*both(lambda lib, x: lib.linalg.pinv(x, rtol=1e-10)), x, orders=1)


# -- systems of equations --------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 1, 3, 3), (4, 3, 2)), ((0, 3, 3), (3, 1)),
     ((3, 3), (2, 3, 1))],
)  # fmt: skip
def test_solve(a: Any, b: Any, kind: str) -> None:
    check(*both(lambda lib, x, y: lib.linalg.solve(x, y)), drawn(kind, *a), drawn(kind, *b))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("upper", [True, False])
def test_solve_triangular(upper: bool, left: bool, unit: bool, kind: str) -> None:
    options = {"upper": upper, "left": left, "unitriangular": unit}
    triangle = np.triu if upper else np.tril
    a = triangle(drawn(kind, 2, 3, 3)) + 2 * np.eye(3)
    if unit:  # PyTorch's gradient reads the diagonal that it doesn't use
        a = a - a * np.eye(3) + np.eye(3)
    check(
        *both(lambda lib, x, y: lib.linalg.solve_triangular(x, y, **options)),
        a, drawn(kind, 2, 3, 3), tolerance=1e-8,
    )  # fmt: skip


@pytest.mark.parametrize("n", [63, 64, 65, 150])
@pytest.mark.parametrize("upper", [True, False])
def test_solve_triangular_in_blocks(upper: bool, n: int) -> None:
    """As accurate as substitution: on the Cholesky factor of an ill-conditioned matrix."""
    x = np.exp(-((np.arange(n)[:, None] - np.arange(n)) ** 2) / 8.0) + 1e-9 * np.eye(n)
    factor = np.linalg.cholesky(x)
    a, b = (factor.T if upper else factor), drawn("real", n, 2)
    found = tfl.linalg.solve_triangular(tfl.tensor(a), tfl.tensor(b), upper=upper).numpy()
    expected = scipy.linalg.solve_triangular(a, b, lower=not upper)
    ours, theirs = (np.abs(a @ y - b).max() for y in (found, expected))
    assert ours <= 4 * theirs + 1e-14
    np.testing.assert_allclose(found, expected, 1e-6, 1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 2), (3, 3), (2, 4), (2, 4, 2)])
def test_lstsq(shape: Any, kind: str) -> None:
    a, b = drawn(kind, *shape), drawn(kind, *shape[:-1], 3)
    check(*both(lambda lib, x, y: lib.linalg.lstsq(x, y).solution), a, b, tolerance=1e-8)
    ours = tfl.linalg.lstsq(tfl.tensor(a), tfl.tensor(b))
    theirs = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver="gelsd")
    np.testing.assert_allclose(ours.residuals.numpy(), theirs.residuals.numpy(), rtol=1e-9)
    np.testing.assert_array_equal(ours.rank.numpy(), theirs.rank.numpy())
    np.testing.assert_allclose(ours.singular_values.numpy(), theirs.singular_values.numpy())


# -- norms -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 2.5, 3, float("inf"), -float("inf"), -1])
def test_vector_norm(order: float, kind: str) -> None:
    check(
        lambda x: tfl.linalg.vector_norm(x, axis=(0, -1), ord=order),
        lambda x: torch.linalg.vector_norm(x, ord=order, dim=(0, -1)),
        drawn(kind, 3, 2, 4),
    )


@pytest.mark.parametrize("order", [1, 1.5, 2, 2.5, 3, float("inf")])
def test_vector_norm_of_zeros(order: float) -> None:
    """At the origin, and where one element is zero."""
    x = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -2.0], [2.0, -2.0, 0.0]])
    check(
        lambda t: tfl.linalg.vector_norm(t, axis=1, ord=order),
        lambda t: torch.linalg.vector_norm(t, ord=order, dim=1),
        x,
        orders=1,
    )


@pytest.mark.parametrize("options", [{}, {"p": 1}, {"p": 3, "dim": 1}, {"dim": (0, 1)},
                                     {"p": "nuc"}, {"p": "fro", "dim": 0, "keepdim": True},
                                     {"p": float("inf")}], ids=str)  # fmt: skip
def test_norm_as_a_method(options: dict[str, Any]) -> None:
    check(lambda x: x.norm(**options), lambda x: x.norm(**options), drawn("real", 3, 4))


# -- where something is degenerate -----------------------------------------------------------------
def test_det_of_singular_matrices() -> None:
    """The cofactors: of rank n - 1, and zeros for less."""
    a = drawn("real", 4, 4)
    a[3] = a[0] + a[1]
    b = drawn("real", 4, 2) @ drawn("real", 2, 4)
    for x in (a, np.stack([a, b])):
        check(tfl.linalg.det, torch.linalg.det, x, orders=1)


def test_repeated_values() -> None:
    """Values alone have a finite gradient; for their vectors it is infinite, or not a number."""
    for name in ("svdvals", "eigvalsh"):
        for x in (np.eye(3), np.zeros((3, 3)), np.diag([2.0, 2.0, 1.0])):
            t = tfl.tensor(x, requires_grad=True)
            (found,) = grad(getattr(tfl.linalg, name)(t).sum(), [t])
            s = torch.tensor(x, requires_grad=True)
            (wanted,) = torch.autograd.grad(getattr(torch.linalg, name)(s).sum(), [s])
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-12)
    x = np.diag([2.0, 2.0, 1.0])
    weights = drawn("real", 3, 3)
    for name, place in (("svd", 0), ("eigh", 1)):
        t, s = tfl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        loss = (getattr(tfl.linalg, name)(t)[place] * tfl.tensor(weights)).sum()
        wanted_loss = (getattr(torch.linalg, name)(s)[place] * torch.tensor(weights)).sum()
        (found,) = grad(loss, [t])
        (wanted,) = torch.autograd.grad(wanted_loss, [s])
        assert not np.isfinite(found.numpy()).all() and not wanted.isfinite().all()


# -- values ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_expm_of_hard_matrices(dtype: Any) -> None:
    """Large and tiny ones, nilpotent, far from normal; a stack of them, each scaled by itself."""
    rng = np.random.default_rng(1)
    cases = np.stack(
        [
            np.zeros((3, 3)),
            1e-9 * rng.standard_normal((3, 3)),
            np.triu(1e3 * np.ones((3, 3)), 1),
            np.array([[-1, 1e4, 0], [0, -2, 1e3], [0, 0, -3]]),
            40 * rng.standard_normal((3, 3)) - 60 * np.eye(3),
            rng.standard_normal((3, 3)),
        ]
    ).astype(dtype)
    found = tfl.linalg.expm(tfl.tensor(cases))
    assert found.dtype == dtype
    # Beside SciPy's in double precision, by the norm; its condition number is at most some
    # hundreds here.
    tolerance = 1e-4 if np.dtype(dtype).itemsize in (4,) or dtype == np.complex64 else 1e-11
    for mine, x in zip(found.numpy(), cases, strict=True):
        wanted = scipy.linalg.expm(x.astype(np.complex128))
        assert np.abs(mine - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("kind", KINDS)
def test_products(kind: str) -> None:
    check(*both(lambda lib, x, y: lib.kron(x, y)), drawn(kind, 2, 3), drawn(kind, 2, 2))
    check(
        lambda x, y: tfl.cross(x, y, axis=-1), lambda x, y: torch.linalg.cross(x, y),
        drawn(kind, 2, 3), drawn(kind, 2, 3, seed=4),
    )  # fmt: skip
    check(*both(lambda lib, x, y: lib.vdot(x, y)), drawn(kind, 4), drawn(kind, 4, seed=4))
    check(*both(lambda lib, x, y: lib.inner(x, y)), drawn(kind, 2, 4), drawn(kind, 3, 4))
    check(*both(lambda lib, x: lib.trace(x)), drawn(kind, 3, 4))
    matrices = [drawn(kind, *shape) for shape in ((2, 5), (5, 3), (3, 4))]
    check(*both(lambda lib, *xs: lib.linalg.multi_dot(list(xs))), *matrices)
