"""Linear algebra and Fourier transforms beyond their rows: errors, forms, hard cases."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.autograd import grad, gradcheck
from tensorflowlite.errors import ArgumentError, DtypeError, GradientError, LinalgError, ShapeError

from .backends import TestBackend
from .comparing import leaf, normal

SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])


# -- errors ----------------------------------------------------------------------------------------
def test_a_singular_matrix_is_numpys_error_too(backend: TestBackend) -> None:
    x = backend.tensor(SINGULAR)
    for call in (tfl.linalg.inv, lambda a: tfl.linalg.solve(a, a)):
        with pytest.raises(np.linalg.LinAlgError, match="must be invertible") as caught:
            call(x)
        assert isinstance(caught.value, LinalgError)
        assert type(caught.value).__name__ == "LinalgError"
    with pytest.raises(LinalgError, match="solve_triangular: the diagonal must have no zeros"):
        tfl.linalg.solve_triangular(backend.tensor(np.zeros((2, 2))), x, upper=True)


def test_the_matrix_at_fault_is_named(backend: TestBackend) -> None:
    stack = np.broadcast_to(np.eye(2), (2, 3, 2, 2)).copy()
    stack[1, 2] = SINGULAR
    with pytest.raises(LinalgError, match=r"inv: .* got a singular one in batch \(1, 2\)$"):
        tfl.linalg.inv(backend.tensor(stack))
    stack[1, 2] = -np.eye(2)
    with pytest.raises(LinalgError, match=r"cholesky: .* got one that isn't in batch \(1, 2\)$"):
        tfl.linalg.cholesky(backend.tensor(stack))
    stack[1, 2] = np.nan
    with pytest.raises(LinalgError, match=r"svd: the algorithm must converge.* batch \(1, 2\)$"):
        tfl.linalg.svd(backend.tensor(stack))


@pytest.mark.parametrize("name", ["cholesky", "det", "eigh", "expm", "inv", "qr", "slogdet", "svd",
                                  "svdvals", "pinv", "matrix_rank", "eigvals", "cond"])  # fmt: skip
def test_halves_are_refused_and_integers_are_float64(name: str) -> None:
    function = getattr(tfl.linalg, name)
    for dtype in (tfl.float16, tfl.bfloat16):
        with pytest.raises(DtypeError, match=f"{name}: the dtype must be float32, float64"):
            function(tfl.eye(2, dtype=dtype))
    found = function(tfl.tensor([[2, 1], [1, 2]]))
    for one in found if isinstance(found, tuple) else [found]:
        assert one.dtype in (tfl.float64, tfl.complex128, tfl.int64)
    with pytest.raises(ShapeError, match=f"{name}: a matrix, or a stack of them, is needed"):
        function(tfl.ones(2))


@pytest.mark.parametrize(
    ("call", "exception", "text"),
    [
        (lambda x: tfl.linalg.qr(x, mode="r"), ArgumentError, "qr: mode must be 'reduced' or"),
        (lambda x: tfl.linalg.eigh(x, "M"), ArgumentError, "eigh: UPLO must be 'L' or 'U'"),
        (lambda x: tfl.linalg.matrix_norm(x, ord=3), ArgumentError, "matrix_norm: ord of matr"),
        (lambda x: tfl.linalg.norm(x, axis=(0, 0)), ShapeError, "norm: axis must not repeat"),
        (lambda x: tfl.linalg.vector_norm(x, ord="fro"), ArgumentError, "vector_norm: ord must"),
        (lambda x: tfl.linalg.tensorsolve(x, x), ShapeError, "tensorsolve: x1 must be square"),
        (lambda x: tfl.linalg.pinv(x, rtol=tfl.ones(3)), ShapeError, "pinv: rtol must have at m"),
        (lambda x: tfl.fft.fft(x, n=1.5), DtypeError, "fft: a length must be an integer"),
        (lambda x: tfl.fft.rfftn(x, axes=()), ShapeError, "rfftn: at least one axis is needed"),
        (lambda x: tfl.fft.fftn(x, s=(2, 2, 2)), ShapeError, "fftn: s must have at most 2 len"),
        (lambda x: tfl.fft.fftfreq(0), ArgumentError, "fftfreq: a length must be positive, got 0"),
        (lambda x: tfl.fft.rfftfreq(4, dtype="int64"), DtypeError, "rfftfreq: the dtype must be"),
    ],
)  # fmt: skip
def test_refused_arguments(call: Any, exception: type[Exception], text: str) -> None:
    with pytest.raises(exception) as caught:
        call(tfl.eye(2))
    assert str(caught.value).startswith(text)


def test_a_complete_basis_of_a_tall_matrix_has_no_gradient() -> None:
    x = leaf(normal(3, 2))
    with pytest.raises(GradientError, match="use mode='reduced'"):
        tfl.linalg.qr(x, mode="complete").R.sum().backward()


# -- forms -----------------------------------------------------------------------------------------
def test_results_have_the_standards_names() -> None:
    x = tfl.eye(2)
    assert tfl.linalg.qr(x)._fields == ("Q", "R")
    assert tfl.linalg.svd(x)._fields == ("U", "S", "Vh")
    assert tfl.linalg.slogdet(x)._fields == ("sign", "logabsdet")
    for name in ("eigh", "eig"):
        assert getattr(tfl.linalg, name)(x)._fields == ("eigenvalues", "eigenvectors")
    fields = ("solution", "residuals", "rank", "singular_values")
    assert tfl.linalg.lstsq(x, x)._fields == fields


def test_methods() -> None:
    a = normal(3, 3)
    x = tfl.tensor(a)
    for found, expected in [
        (x.det(), np.linalg.det(a)),
        (x.inverse(), np.linalg.inv(a)),
        (x.pinverse(rcond=1e-3), np.linalg.pinv(a, 1e-3)),
        (x.matrix_power(3), np.linalg.matrix_power(a, 3)),
        (x.matrix_exp(), tfl.linalg.expm(x).numpy()),
        (x.trace(), np.trace(a)),
        (x.trace(1), np.trace(a, 1)),
        (x.cross(x[::-1], dim=1), np.cross(a, a[::-1])),
        (x.kron(x), np.kron(a, a)),
        (x.inner(x), np.inner(a, a)),
        (x.vdot(x), np.vdot(a, a)),
        (x.slogdet().logabsdet, np.linalg.slogdet(a)[1]),
        ((x @ x.mT).cholesky(), np.linalg.cholesky(a @ a.T)),
        ((x @ x.mT).logdet(), np.log(np.linalg.det(a @ a.T))),
        (x.norm(), np.linalg.norm(a)),
        (x.norm(1, 0, True), np.abs(a).sum(0, keepdims=True)),
        (x.norm(p="nuc", axis=(0, 1)), np.linalg.norm(a, "nuc")),
    ]:
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_stack_of_right_sides_is_not_a_vector() -> None:
    """As the standard says: a right side is a vector only where it has one axis."""
    a, b = np.eye(2) + np.zeros((3, 1, 1)), normal(3, 2)
    with pytest.raises(ShapeError, match="solve: both must have as many rows"):
        tfl.linalg.solve(tfl.tensor(a), tfl.tensor(b))
    np.testing.assert_allclose(
        tfl.linalg.solve(tfl.tensor(a), tfl.tensor(b[0])).numpy(), np.broadcast_to(b[0], (3, 2))
    )


def test_tolerances_of_ranks_for_each_matrix(backend: TestBackend) -> None:
    x = backend.tensor(np.stack([np.diag([1.0, 1e-3])] * 2))
    rtol = backend.tensor(np.array([1e-2, 1e-4]))
    found = backend.host(tfl.linalg.matrix_rank(x, rtol=rtol))
    np.testing.assert_array_equal(found, [1, 2])
    found = backend.host(tfl.linalg.pinv(x, rtol=rtol))
    np.testing.assert_allclose(found, [np.diag([1.0, 0.0]), np.diag([1.0, 1e3])], atol=1e-9)


def test_residuals_where_there_are_some() -> None:
    a, b = normal(4, 2), normal(4, 3)
    found = tfl.linalg.lstsq(tfl.tensor(a), tfl.tensor(b))
    expected = np.linalg.lstsq(a, b, rcond=None)
    for mine, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), wanted, rtol=1e-10)
    flat = np.stack([a[:, 0], a[:, 0]], 1)
    found = tfl.linalg.lstsq(tfl.tensor(flat), tfl.tensor(b))
    assert found.rank.item() == 1 and found.residuals.shape == (0,)
    np.testing.assert_allclose(found.solution.numpy(), np.linalg.pinv(flat) @ b, atol=1e-12)


def test_tensorsolve() -> None:
    a, b = normal(2, 3, 6), normal(2, 3)
    found = tfl.linalg.tensorsolve(tfl.tensor(a), tfl.tensor(b))
    np.testing.assert_allclose(found.numpy(), np.linalg.tensorsolve(a, b), rtol=1e-10)
    moved = np.moveaxis(a, 2, 0).copy()
    found = tfl.linalg.tensorsolve(tfl.tensor(moved), tfl.tensor(b), axes=(0,))
    np.testing.assert_allclose(found.numpy(), np.linalg.tensorsolve(moved, b, axes=(0,)))


# -- hard cases ------------------------------------------------------------------------------------
@pytest.mark.parametrize("upper", [True, False])
def test_triangular_systems_of_several_blocks(upper: bool, backend: TestBackend) -> None:
    a = normal(150, 150) / 150 + 2 * np.eye(150)
    b = normal(150, 2)
    found = tfl.linalg.solve_triangular(backend.tensor(a), backend.tensor(b), upper=upper)
    expected = np.linalg.solve(np.triu(a) if upper else np.tril(a), b)
    np.testing.assert_allclose(backend.host(found), expected, rtol=1e-11)


def test_the_gradient_of_a_singular_determinant_is_its_cofactors(backend: TestBackend) -> None:
    x = backend.leaf(SINGULAR)
    tfl.linalg.det(x).backward()
    np.testing.assert_allclose(backend.host(x.grad), [[4, -2], [-2, 1]], atol=1e-14)


def test_nan_goes_through_determinants_and_exponentials(backend: TestBackend) -> None:
    """In its own matrix; the others of the stack are as without it."""
    stack = np.stack([SINGULAR, np.full((2, 2), np.nan)])
    for function in (tfl.linalg.det, tfl.linalg.expm):
        x, alone = backend.leaf(stack), backend.leaf(SINGULAR)
        with np.errstate(invalid="ignore"):
            function(x).sum().backward()
        function(alone).sum().backward()
        found = backend.host(x.grad)
        np.testing.assert_allclose(found[0], backend.host(alone.grad), rtol=1e-13)
        assert np.isnan(found[1]).all()


def test_third_derivatives() -> None:
    def second(function: Any) -> Any:
        def call(x: Any) -> Any:
            (g,) = grad((function(x) ** 2).sum(), [x], create_graph=True)
            (g,) = grad((g * g).sum(), [x], create_graph=True)
            return (g * g).sum()

        return call

    a = normal(3, 3) + 2 * np.eye(3)
    for function in (
        tfl.linalg.det,
        tfl.linalg.inv,
        lambda x: tfl.linalg.expm(x / 4),
        lambda x: tfl.linalg.svdvals(x),
        lambda x: tfl.linalg.cholesky(x @ x.mT),
    ):
        assert gradcheck(second(function), [leaf(a)])


def test_values_alone_have_finite_gradients_where_they_repeat() -> None:
    """Also where they come from a decomposition whose vectors the loss doesn't use."""
    for loss in (
        lambda x: tfl.linalg.svdvals(x).sum(),
        lambda x: tfl.linalg.svd(x).S.sum(),
        lambda x: tfl.linalg.eigvalsh(x).sum(),
        lambda x: tfl.linalg.eigh(x).eigenvalues.sum(),
    ):
        x = leaf(np.eye(3))
        np.testing.assert_allclose(grad(loss(x), [x])[0].numpy(), np.eye(3), atol=1e-15)


def test_functions_of_repeated_values_have_no_number_for_a_gradient() -> None:
    """The slope of ``v f(w) v^T`` is there, but not by these rules: NaN, and no wrong number."""

    def of_eigh(x: tfl.Tensor) -> tfl.Tensor:
        w, v = tfl.linalg.eigh(x)
        return (v * tfl.exp(w)) @ v.mT

    def of_svd(x: tfl.Tensor) -> tfl.Tensor:
        u, _, vh = tfl.linalg.svd(x)
        return u @ vh

    for function in (of_eigh, of_svd):
        x = leaf(np.eye(2))
        (found,) = grad((function(x) * tfl.tensor(normal(2, 2))).sum(), [x])
        assert np.isnan(found.numpy()).any()


def test_norms_have_a_gradient_of_zero_at_the_origin() -> None:
    for norm in (tfl.linalg.norm, tfl.linalg.matrix_norm, lambda x: tfl.linalg.norm(x, 3, 0)):
        x = leaf(np.zeros((2, 2)))
        np.testing.assert_array_equal(grad(norm(x).sum(), [x])[0].numpy(), np.zeros((2, 2)))


def test_a_chain_of_products_is_taken_in_the_cheapest_order() -> None:
    xs = [tfl.ones(shape) for shape in ((10, 1000), (1000, 10), (10, 1000), (1000, 1))]
    found = tfl.linalg.multi_dot(xs)
    np.testing.assert_allclose(found.numpy(), np.full((10, 1), 1e7), rtol=1e-6)
    from tensorflowlite.ops.linalg_functions import _cheapest

    assert _cheapest((10, 1000, 10, 1000, 1))[0, 3] == 0  # x0 (x1 (x2 x3)): no large product


# -- Fourier transforms ----------------------------------------------------------------------------
def test_single_precision_stays_single() -> None:
    x = tfl.ones((2, 4))
    assert tfl.fft.fft(x).dtype == tfl.fft.rfftn(x).dtype == tfl.complex64
    assert tfl.fft.irfft(tfl.fft.rfft(x)).dtype == tfl.float32
    assert tfl.fft.fftn(x, axes=()).dtype == tfl.complex64


def test_frequencies(backend: TestBackend) -> None:
    for name in ("fftfreq", "rfftfreq"):
        for n in (1, 4, 5):
            function = getattr(tfl.fft, name)
            found = function(n, d=0.1, dtype=tfl.float64, device=backend.device)
            assert type(found.array) is backend.array_type
            np.testing.assert_array_equal(backend.host(found), getattr(np.fft, name)(n, 0.1))
            assert function(n).dtype == tfl.float32


# -- the package -----------------------------------------------------------------------------------
def test_they_come_in_at_first_use() -> None:
    code = (
        "import sys, tensorflowlite as tfl\n"
        "names = [n for n in sys.modules if n.startswith('tensorflowlite')]\n"
        "assert not [n for n in names if 'linalg' in n or 'fft' in n], names\n"
        "assert tfl.eye(2).det().item() == 1 and tfl.fft.fft(tfl.ones(2)).shape == (2,)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
