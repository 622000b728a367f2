"""Rows of linear algebra.

Matrices are well conditioned: what rounding makes of the others is no property of an operation.
Of decompositions the rows hold what they determine; signs and phases of vectors cancel.
"""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, LinalgError, ShapeError
from tests.op_table import Row, Sample, complexes, floats

every = ("float64", "float32", *complexes)
# Inverses and decompositions of matrices of three rows lose some digits to their condition.
tolerance = {"float64": 1e-11, "float32": 4e-5, "complex128": 1e-11, "complex64": 1e-4}
linalg = tfl.linalg


# -- samples ---------------------------------------------------------------------------------------
def steady(array, by=4):
    """Add to the diagonal, in place: the layout stays."""
    array += (by * np.eye(*array.shape[-2:])).astype(array.dtype)
    return array


def square(draw):
    yield Sample(steady(draw(3, 3)))
    yield Sample(steady(draw(2, 2, 2)))
    yield Sample(steady(draw.strided(2, 3, 3)))
    yield Sample(steady(draw(1, 1)))
    yield Sample(draw(0, 3, 3))
    yield Sample(draw(2, 0, 0))


def square_or_singular(draw):
    yield from square(draw)
    yield Sample(np.array([[1, 2], [2, 4]], draw.dtype))
    yield Sample(np.array([[1, 2, 3], [2, 4, 6], [3, 6, 9]], draw.dtype) / 9)
    yield Sample(np.eye(3, dtype=draw.dtype))


def any_shape(draw):
    """Of full rank: the diagonal keeps the singular values apart and away from 0."""
    weights = np.array([3.0, 6.0, 9.0])
    for shape in ((3, 3), (2, 4, 3), (3, 4), (2, 1)):
        yield Sample(apart(draw(*shape), weights))
    yield Sample(apart(draw.strided(3, 2), weights))
    yield Sample(draw(0, 3, 2))
    yield Sample(draw(2, 0))
    yield Sample(draw(0, 2))


def apart(array, weights):
    count = min(array.shape[-2:])
    array[..., range(count), range(count)] += weights[:count].astype(array.dtype)
    return array


def systems(draw):
    yield Sample(steady(draw(3, 3)), draw(3, 2))
    yield Sample(steady(draw(3, 3)), draw(3))
    yield Sample(steady(draw(2, 3, 3)), draw(3))
    yield Sample(steady(draw(2, 1, 3, 3)), draw(4, 3, 1))
    yield Sample(steady(draw(2, 2)), draw(3, 2, 2))
    yield Sample(steady(draw.strided(3, 3)), draw.strided(3, 2))
    yield Sample(draw(0, 2, 2), draw(2, 1))
    yield Sample(steady(draw(2, 2)), draw(2, 0))
    yield Sample(draw(0, 0), draw(0, 2))


def triangular(draw):
    yield Sample(steady(draw(3, 3)), draw(3, 2), upper=True)
    yield Sample(steady(draw(3, 3)), draw(3), upper=False)
    yield Sample(steady(draw(2, 3, 3)), draw(3, 1), upper=False, unitriangular=True)
    yield Sample(steady(draw(3, 3)), draw(2, 2, 3), upper=True, left=False)
    yield Sample(steady(draw(2, 2, 2)), draw(2, 3, 2), upper=False, left=False)
    yield Sample(steady(draw.strided(3, 3)), draw.strided(3, 2), upper=True, unitriangular=True)
    yield Sample(draw(0, 2, 2), draw(2, 1), upper=True)


def least_squares(draw):
    for sample in any_shape(draw):
        (a,) = sample.args
        if a.size:
            yield Sample(a, draw(a.shape[-2], 2))
            yield Sample(a, draw(a.shape[-2]))
    yield Sample(draw(0, 3, 2), draw(3, 1))


def vectors(draw):
    for order in (2, 1, 3, 2.5, np.inf, -np.inf):
        yield Sample(draw(2, 3), axis=1, ord=order)
    yield Sample(draw(3))
    yield Sample(draw())
    yield Sample(draw.strided(2, 3), keepdims=True)
    yield Sample(draw(2, 3, 2), axis=(0, -1), ord=3)
    yield Sample(draw(0, 3), axis=0)
    yield Sample(draw(0, 3), axis=1, ord=1)
    yield Sample(draw(2, 3), axis=(0, 1), ord=2, keepdims=True)


def norms(draw):
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        yield Sample(apart(draw(2, 3, 2), np.array([3.0, 6.0])), ord=order)
    yield Sample(draw.strided(2, 3), keepdims=True)
    yield Sample(draw(0, 2, 2), ord="nuc", keepdims=True)


def numpy_norms(draw):
    yield Sample(draw(3))
    yield Sample(draw(2, 3, 2))
    yield Sample(draw(2, 3), "nuc")
    yield Sample(draw(3), 3)
    yield Sample(draw(2, 3, 2), 1, (0, 2))
    yield Sample(draw(2, 3, 2), None, (2, 0), True)
    yield Sample(draw.strided(2, 3), np.inf, 0)
    yield Sample(draw(0, 3), None, 0)


def conditions(draw):
    for p in (None, -2, 1, "fro", np.inf):
        yield Sample(steady(draw(2, 3, 3)), p)
    yield Sample(apart(draw.strided(3, 2), np.array([3.0, 6.0])))
    yield Sample(draw(0, 2, 2))


def powers(draw):
    for n in (0, 1, 2, 3, 5, -2):
        yield Sample(steady(draw(2, 2)) / 4, n)
    yield Sample(steady(draw.strided(2, 3, 3), 1), 3)
    yield Sample(draw(0, 2, 2), 2)


def small(draw):
    yield Sample(draw(3, 3))
    yield Sample(draw(2, 2, 2) * 4)
    yield Sample(draw.strided(3, 3))
    yield Sample(draw(1, 1))
    yield Sample(draw(0, 2, 2))
    yield Sample(draw(0, 0))


# -- functions and references ----------------------------------------------------------------------
def adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


def hermitian(x):
    return x + (x.mH if isinstance(x, tfl.Tensor) else adjoint(x))


def positive(x):
    outer = x.mH if isinstance(x, tfl.Tensor) else adjoint(x)
    return x @ outer


def made_again(name, exp):
    """Of eigenvalues w and vectors v: w, and the matrix function v exp(w / 4) v^H."""

    def function(x):
        module = linalg if isinstance(x, tfl.Tensor) else np.linalg
        w, v = getattr(module, name)(hermitian(x))
        outer = v.mH if isinstance(x, tfl.Tensor) else adjoint(v)
        return w, (v * exp(w / 4)[..., None, :]) @ outer

    return function


def cubes_of_eig(x):
    w, v = linalg.eig(x)
    return (v * tfl.exp(w / 4)[..., None, :]) @ linalg.inv(v)


def cubes_of_eig_reference(x):
    w, v = np.linalg.eig(x)
    out = (v * np.exp(w / 4)[..., None, :]) @ np.linalg.inv(v)
    return out.astype(np.result_type(x.dtype, np.complex64))


def sum_of_eigvals(x):
    return tfl.sum(tfl.exp(linalg.eigvals(x) / 4), -1)


def sum_of_eigvals_reference(x):
    found = np.exp(np.linalg.eigvals(x) / 4).sum(-1)
    return found.astype(np.result_type(x.dtype, np.complex64))


def polar(full):
    """The singular values, and what the vectors determine: U V^H and U S^2 V^H."""

    def function(x):
        module = linalg if isinstance(x, tfl.Tensor) else np.linalg
        u, s, vh = module.svd(x, full_matrices=full)
        count = s.shape[-1]
        u, vh = u[..., :count], vh[..., :count, :]
        return s, u @ vh, (u * (s * s)[..., None, :]) @ vh

    return function


def solve_reference(a, b):
    if b.ndim == 1:
        return np.linalg.solve(a, b[:, None])[..., 0]
    return np.linalg.solve(a, b)


def solve_triangular_reference(a, b, upper, left=True, unitriangular=False):
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        a = a - a * np.eye(a.shape[-1], dtype=a.dtype) + np.eye(a.shape[-1], dtype=a.dtype)
    if left:
        return solve_reference(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


def lstsq_reference(a, b):
    found = np.linalg.pinv(a) @ (b[:, None] if b.ndim == 1 else b)
    return found[..., 0] if b.ndim == 1 else found


def expm_reference(x):
    """The series, of the matrix divided by 2^6."""
    kind = x.dtype
    x = x.astype(np.complex128) / 64
    term = out = np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    for n in range(1, 20):
        term = term @ x / n
        out = out + term
    for _ in range(6):
        out = out @ out
    return out.astype(kind) if kind.kind == "c" else out.real.astype(kind)


def vector_norm_reference(x, axis=None, keepdims=False, ord=2):
    if x.size == 0 and axis == 0:
        return np.zeros(x.shape[1:], x.real.dtype)
    axis = tuple(range(x.ndim)) if axis is None else axis
    with np.errstate(all="ignore"):
        found = np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    return np.asarray(found).astype(x.real.dtype)


def cond_reference(x, p=None):
    if x.size == 0:
        return np.zeros(x.shape[:-2], x.real.dtype)
    if p in (None, -2):
        return np.linalg.cond(x, p)
    return np.linalg.matrix_norm(x, ord=p) * np.linalg.matrix_norm(np.linalg.inv(x), ord=p)


def slogdet(x):
    return tuple(linalg.slogdet(x))


wide, one_axis = np.zeros((2, 3)), np.zeros(3)
singular = np.array([np.eye(2), [[1.0, 2.0], [2.0, 4.0]]])
rows = [
    Row(
        linalg.inv,
        np.linalg.inv,
        samples=square,
        dtypes=every,
        tolerance=tolerance,
        covers=("inv",),
        errors=[
            ((wide,), ShapeError, "inv: the matrix must be square, got (2, 3)"),
            (
                (one_axis,),
                ShapeError,
                "inv: a matrix, or a stack of them, is needed, got shape (3,)",
            ),
            (
                (np.eye(2, dtype=np.float16),),
                DtypeError,
                "inv: the dtype must be float32, float64, complex64 or complex128, got float16; "
                "use x.astype(float32)",
            ),
            (
                (singular[1],),
                LinalgError,
                "inv: the matrix must be invertible, got a singular one",
            ),
            (
                (singular,),
                LinalgError,
                "inv: the matrix must be invertible, got a singular one in batch (1,)",
            ),
        ],
    ),
    Row(
        linalg.det,
        np.linalg.det,
        samples=square_or_singular,
        dtypes=every,
        tolerance=tolerance,
        covers=("det", "adjugate", "adjugate_along"),
        errors=[((wide,), ShapeError, "det: the matrix must be square, got (2, 3)")],
    ),
    Row(
        slogdet,
        lambda x: tuple(np.linalg.slogdet(x)),
        samples=square,
        dtypes=every,
        tolerance=tolerance,
        covers=("slogdet",),
    ),
    Row(
        linalg.logdet,
        lambda x: np.log(np.linalg.det(x)),
        samples=square,
        domain=(-1.0, 1.0),
        dtypes=every,
        tolerance=tolerance,
        covers=(),
    ),
    Row(
        linalg.solve,
        solve_reference,
        samples=systems,
        dtypes=every,
        tolerance=tolerance,
        covers=("solve",),
        errors=[
            (
                (np.eye(3), np.zeros((2, 1))),
                ShapeError,
                "solve: both must have as many rows, got (3, 3) and (2, 1): 3 != 2",
            ),
            ((wide, np.zeros((2, 1))), ShapeError, "solve: the matrix must be square, got (2, 3)"),
            (
                (np.zeros((2, 3, 3)), np.zeros((3, 3, 1))),
                ShapeError,
                "solve: leading axes must broadcast, got (2, 3, 3) and (3, 3, 1)",
            ),
            (
                (singular, np.zeros(2)),
                LinalgError,
                "solve: the matrix must be invertible, got a singular one in batch (1,)",
            ),
        ],
    ),
    Row(
        linalg.solve_triangular,
        solve_triangular_reference,
        samples=triangular,
        dtypes=every,
        tolerance=tolerance,
        covers=("solve_triangular",),
    ),
    Row(
        lambda a, b: linalg.lstsq(a, b).solution,
        lstsq_reference,
        samples=least_squares,
        name="lstsq",
        dtypes=every,
        tolerance=tolerance,
        covers=("lstsq", "pinv"),
        errors=[
            (
                (wide, one_axis),
                ShapeError,
                "lstsq: both must have as many rows, got (2, 3) and (3,): 2 != 3",
            ),
        ],
    ),
    Row(
        linalg.pinv,
        np.linalg.pinv,
        samples=any_shape,
        dtypes=every,
        tolerance=tolerance,
        covers=("pinv",),
    ),
    Row(
        lambda x: linalg.tensorinv(x, ind=1),
        lambda x: np.linalg.tensorinv(x, ind=1) if x.size else np.zeros((0, 2, 0), x.dtype),
        samples=lambda draw: (
            Sample(steady(one).reshape(4, 2, 2)) if one.size else Sample(one.reshape(0, 0, 2))
            for one in (draw(4, 4), draw.strided(4, 4), draw(0, 0))
        ),
        name="tensorinv",
        tolerance=tolerance,
        dtypes=("float64", "float32"),
        covers=(),
        errors=[
            (
                (np.zeros((2, 3, 4)),),
                ShapeError,
                "tensorinv: the products of the lengths must be equal, got (2,) and (3, 4)",
            ),
        ],
    ),
    Row(
        lambda x: linalg.cholesky(positive(x)),
        lambda x: np.linalg.cholesky(positive(x)),
        samples=square,
        name="cholesky",
        dtypes=every,
        tolerance=tolerance,
        covers=("cholesky",),
        errors=[
            (
                (np.zeros((2, 2)),),
                LinalgError,
                "cholesky: the matrix must be positive definite, got one that isn't",
            ),
            (
                (np.array([np.eye(2), np.eye(2), np.zeros((2, 2))]),),
                LinalgError,
                "cholesky: the matrix must be positive definite, got one that isn't in batch (2,)",
            ),
        ],
    ),
    Row(
        lambda x: linalg.cholesky(positive(x), upper=True),
        lambda x: adjoint(np.linalg.cholesky(positive(x))),
        samples=square,
        name="cholesky_upper",
        dtypes=every,
        tolerance=tolerance,
        covers=("cholesky",),
    ),
    Row(
        lambda x: tuple(linalg.qr(x)),
        lambda x: tuple(np.linalg.qr(x)),
        samples=any_shape,
        name="qr",
        dtypes=every,
        tolerance=tolerance,
        covers=("qr",),
    ),
    Row(
        made_again("eigh", tfl.exp),
        made_again("eigh", np.exp),
        samples=square,
        name="eigh",
        dtypes=every,
        tolerance=tolerance,
        covers=("eigh",),
    ),
    Row(
        lambda x: linalg.eigvalsh(hermitian(x)),
        lambda x: np.linalg.eigvalsh(hermitian(x)),
        samples=square,
        name="eigvalsh",
        dtypes=every,
        tolerance=tolerance,
        covers=("eigvalsh",),
    ),
    Row(
        cubes_of_eig,
        cubes_of_eig_reference,
        samples=square,
        name="eig",
        dtypes=every,
        tolerance=tolerance,
        covers=("eig",),
    ),
    Row(
        sum_of_eigvals,
        sum_of_eigvals_reference,
        samples=square,
        name="eigvals",
        dtypes=every,
        tolerance=tolerance,
        covers=("eigvals",),
    ),
    *[
        Row(
            polar(full),
            polar(full),
            samples=any_shape,
            name=f"svd_{'full' if full else 'reduced'}",
            dtypes=every,
            tolerance=tolerance,
            covers=("svd",),
        )
        for full in (False, True)
    ],
    Row(
        linalg.svdvals,
        np.linalg.svdvals,
        samples=any_shape,
        dtypes=every,
        tolerance=tolerance,
        covers=("svdvals",),
    ),
    Row(
        linalg.vector_norm,
        vector_norm_reference,
        samples=vectors,
        dtypes=(*floats, *complexes),
        tolerance={"float32": 1e-5},  # powers of 1 / 2.5
        covers=("vector_norm",),
    ),
    Row(
        linalg.matrix_norm,
        np.linalg.matrix_norm,
        samples=norms,
        dtypes=every,
        tolerance=tolerance,
        covers=(),
        errors=[
            (
                (one_axis,),
                ShapeError,
                "matrix_norm: a matrix, or a stack of them, is needed, got shape (3,)",
            )
        ],
    ),
    Row(
        linalg.norm,
        np.linalg.norm,
        samples=numpy_norms,
        dtypes=every,
        tolerance=tolerance,
        covers=(),
        errors=[
            (
                (np.zeros((2, 2, 2)), 1),
                ShapeError,
                "norm: axis is needed for other than 1 or 2 axes, got (2, 2, 2)",
            ),
            ((one_axis, "fro"), ArgumentError, "norm: ord must be a number, got 'fro'"),
            (
                (wide, 3),
                ArgumentError,
                "norm: ord of matrices must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got 3",
            ),
        ],
    ),
    Row(
        linalg.cond,
        cond_reference,
        samples=conditions,
        dtypes=every,
        tolerance=tolerance,
        covers=(),
    ),
    Row(
        linalg.matrix_rank,
        np.linalg.matrix_rank,
        samples=any_shape,
        dtypes=every,
        orders=0,
        covers=(),
    ),
    Row(
        linalg.matrix_power,
        np.linalg.matrix_power,
        samples=powers,
        dtypes=every,
        tolerance=tolerance,
        covers=(),
        errors=[
            ((wide, 2), ShapeError, "matrix_power: the matrix must be square, got (2, 3)"),
            ((np.eye(2), 0.5), DtypeError, "matrix_power: n must be an integer, got 0.5"),
        ],
    ),
    Row(
        linalg.expm,
        expm_reference,
        samples=small,
        dtypes=every,
        # Relative to the norm; elements that are small beside it lose digits.
        tolerance={"float64": 1e-10, "float32": 2e-4, "complex128": 1e-10, "complex64": 1e-3},
        covers=("expm", "expm_along"),
        errors=[((wide,), ShapeError, "expm: the matrix must be square, got (2, 3)")],
    ),
]
