"""The vocabulary beyond the standard against PyTorch's and SciPy's: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

import tensorflowlite as tfl
from tests.comparing import normal

from .comparing import check_torch

POSITIVE = np.abs(normal(3, 4)) * 3 + 0.1
X, Y, LINE = normal(3, 4), normal(3, 4)[::-1] * 0.7 + 0.3, normal(7)
INDEX = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
ROW = np.array([2, 0, 2])


def both(array: Any) -> tuple[tfl.Tensor, torch.Tensor]:
    return tfl.tensor(array), torch.tensor(array)


# -- special functions -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("lgamma", POSITIVE), ("lgamma", -POSITIVE), ("digamma", POSITIVE), ("digamma", -POSITIVE),
        ("erfc", X * 3), ("erfinv", np.tanh(X)), ("i0", X * 4), ("sinc", X),
        ("logit", 1 / (1 + POSITIVE)), ("deg2rad", X), ("rad2deg", X),
        ("nan_to_num", X), ("angle", X),
    ],
)  # fmt: skip
def test_functions_of_one_array(name: str, at: Any) -> None:
    check_torch(getattr(tfl, name), getattr(torch, name), at, tolerance=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("at", [POSITIVE, POSITIVE[:, 0] + 5])
def test_polygamma(n: int, at: Any) -> None:
    # PyTorch's first derivative is right to 5e-10 only.
    ours, theirs = both(at)
    np.testing.assert_allclose(
        tfl.polygamma(n, ours).numpy(), torch.polygamma(n, theirs).numpy(), 1e-9
    )


@pytest.mark.parametrize(
    "name", ["xlogy", "xlog1py", "fmod", "fmax", "fmin", "logaddexp2", "heaviside"]
)
def test_functions_of_two_arrays(name: str) -> None:
    theirs = torch.special.xlog1py if name == "xlog1py" else getattr(torch, name)
    if name == "heaviside":  # PyTorch has no gradient of it
        ours, others = both(X)
        np.testing.assert_array_equal(
            tfl.heaviside(ours, 0.5).numpy(), theirs(others, torch.tensor(0.5, dtype=others.dtype))
        )
        return
    check_torch(
        getattr(tfl, name), theirs, X if "log" not in name else POSITIVE, POSITIVE.T[:3].T[:, :1]
    )


def test_products_with_logarithms_at_zero() -> None:
    x = np.array([0.0, 0.0, 2.0])
    check_torch(tfl.xlogy, torch.xlogy, x, np.array([2.0, 0.5, 3.0]))
    ours, theirs = [a.requires_grad_() for a in both(np.zeros(3))]
    y = np.array([0.0, -1.0, np.nan])
    tfl.xlogy(ours, tfl.tensor(y)).sum().backward()
    torch.xlogy(theirs, torch.tensor(y)).sum().backward()
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


SPECIAL = np.concatenate(
    [np.linspace(-12.3, 30, 1001), 10.0 ** np.linspace(-8, 6, 141), [0.0, -0.0, 1, 2, np.inf]]
)


@pytest.mark.parametrize(
    ("name", "theirs", "at", "tolerance"),
    [
        # Near the zeros between the poles only the absolute error is small; SciPy's is no smaller.
        ("lgamma", scipy.special.gammaln, SPECIAL, 2e-15),
        ("digamma", scipy.special.digamma, SPECIAL, 2e-14),
        # SciPy takes exp(-x * x) of the rounded square.
        ("erfc", scipy.special.erfc, SPECIAL[SPECIAL < 26], 2e-13),
        ("erfinv", scipy.special.erfinv, np.linspace(-1, 1, 401), 2e-15),
        ("erfinv", scipy.special.erfinv, np.array([1e-300, -1e-9, 1 - 1e-15, 2]), 4e-15),
        ("i0", scipy.special.i0, np.linspace(-40, 40, 401), 3e-15),
        ("i1", scipy.special.i1, np.linspace(-40, 40, 401), 3e-15),
        ("logit", scipy.special.logit, np.linspace(0, 1, 101), 2e-15),
    ],
)  # fmt: skip
def test_against_scipy(name: str, theirs: Any, at: Any, tolerance: float) -> None:
    with np.errstate(all="ignore"):
        found, expected = getattr(tfl, name)(tfl.tensor(at)).numpy(), theirs(at)
    absolute = 1e-13 if name == "digamma" else 4e-15
    np.testing.assert_allclose(found, expected, tolerance, absolute if "gamma" in name else 0)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_polygamma_against_scipy(n: int) -> None:
    at = SPECIAL[(SPECIAL > 1e-3) & (SPECIAL < 1e5)]
    found = tfl.polygamma(n, tfl.tensor(at)).numpy()
    np.testing.assert_allclose(found, scipy.special.polygamma(n, at), 4e-15)
    # To the left of zero SciPy knows the first derivative only.
    if n == 1:
        left = np.array([-0.5, -1.25, -3.9])
        found = tfl.polygamma(1, tfl.tensor(left)).numpy()
        reflected = np.pi**2 / np.sin(np.pi * left) ** 2 - scipy.special.polygamma(1, 1 - left)
        np.testing.assert_allclose(found, reflected, 1e-14)


# -- indices ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gather_and_scatter(dim: int) -> None:
    index, theirs = both(INDEX)
    if dim == 0:
        check_torch(lambda x: tfl.gather(x, dim, index), lambda x: torch.gather(x, dim, theirs), X)
    else:
        check_torch(lambda x: tfl.gather(x, dim, index), lambda x: x.gather(dim, theirs), X)
    check_torch(
        lambda x, y: tfl.scatter_add(x, dim, index, y),
        lambda x, y: torch.scatter_add(x, dim, theirs, y), X, Y[:2],
    )  # fmt: skip
    apart, other = both(np.array([[0, 2, 1, 1], [2, 0, 0, 2]]) if dim == 0 else
                        np.array([[0, 2, 1, 3], [3, 2, 0, 1]]))  # fmt: skip
    check_torch(
        lambda x, y: tfl.scatter(x, dim, apart, y), lambda x, y: x.scatter(dim, other, y), X, Y[:2]
    )


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "mean", "amax", "amin"])
def test_scatter_reduce(reduce: str, include_self: bool) -> None:
    index, theirs = both(INDEX)
    # With ties, but not with elements that don't take part: PyTorch gives those a share.
    rounded = [np.round(a * 2) if include_self else a for a in (X, Y[:2])]
    check_torch(
        lambda x, y: tfl.scatter_reduce(x, 0, index, y, reduce, include_self=include_self),
        lambda x, y: x.scatter_reduce(0, theirs, y, reduce, include_self=include_self),
        *rounded,
    )


def test_by_a_row_of_indices() -> None:
    row, theirs = both(ROW)
    check_torch(
        lambda x, y: tfl.index_add(x, 0, row, y, alpha=2),
        lambda x, y: x.index_add(0, theirs, y, alpha=2), X, Y,
    )  # fmt: skip
    check_torch(lambda x: tfl.index_fill(x, 1, row, 3.0), lambda x: x.index_fill(1, theirs, 3.0), X)
    check_torch(lambda x: tfl.index_select(x, 1, row), lambda x: x.index_select(1, theirs), X)
    apart, other = both(np.array([2, 0, 1]))
    check_torch(
        lambda x, y: tfl.index_copy(x, 0, apart, y), lambda x, y: x.index_copy(0, other, y), X, Y
    )
    whole, others = both(np.array([0, 3, 3, 1, 0, 2, 3]))
    check_torch(
        lambda w: tfl.bincount(whole, w, minlength=6),
        lambda w: torch.bincount(others, w, minlength=6) if not w.requires_grad
        else torch.zeros(6, dtype=w.dtype).index_add(0, others, w),
        LINE,
    )  # fmt: skip


@pytest.mark.parametrize("right", [False, True])
def test_bucketize(right: bool) -> None:
    edges, theirs = both(np.sort(LINE))
    x, y = both(np.concatenate([LINE, X.ravel()]))
    np.testing.assert_array_equal(
        tfl.bucketize(x, edges, right=right).numpy(), torch.bucketize(y, theirs, right=right)
    )


# -- statistics ------------------------------------------------------------------------------------
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("options", [{}, {"dim": 1}, {"dim": 0, "keepdim": True}], ids=str)
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantile(name: str, options: Any, interpolation: str) -> None:
    parts, theirs = both(np.array([0.1, 0.5, 0.75]))
    check_torch(
        lambda x: getattr(tfl, name)(x, parts, interpolation=interpolation, **options),
        lambda x: getattr(torch, name)(x, theirs, interpolation=interpolation, **options),
        X,
    )


def test_medians_of_odd_numbers() -> None:
    check_torch(tfl.median, torch.median, LINE)
    check_torch(lambda x: tfl.median(x, 0), lambda x: x.median(0).values, X)
    holes = LINE.copy()
    holes[2] = holes[4] = np.nan
    ours, theirs = [a.requires_grad_() for a in both(holes)]
    tfl.nanmedian(ours).backward()
    torch.nanmedian(theirs).backward()
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("name", ["nansum", "nanmean"])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_without_nan(name: str, dim: Any) -> None:
    holes = X.copy()
    holes[0, 1] = holes[2, 2] = np.nan
    ours, theirs = [a.requires_grad_() for a in both(holes)]
    y, t = getattr(tfl, name)(ours, dim=dim), getattr(torch, name)(theirs, dim=dim)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), 1e-14)
    y.sum().backward()
    t.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), 1e-14)


def test_covariance_and_correlation() -> None:
    check_torch(tfl.cov, torch.cov, X)
    check_torch(lambda x: tfl.cov(x, correction=0), lambda x: torch.cov(x, correction=0), X)
    check_torch(tfl.corrcoef, torch.corrcoef, X)


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extremes(name: str) -> None:
    check_torch(
        lambda x: getattr(tfl, name)(x, 1).values, lambda x: getattr(torch, name)(x, 1).values, X
    )
    tied = np.array([1.0, 3.0, 3.0, np.nan, 2.0, np.nan])
    ours, theirs = both(tied)
    found, expected = getattr(tfl, name)(ours, 0), getattr(torch, name)(theirs, 0)
    np.testing.assert_array_equal(found.values.numpy(), expected.values)
    np.testing.assert_array_equal(found.indices.numpy(), expected.indices)


def test_sequences() -> None:
    check_torch(lambda x: tfl.logcumsumexp(x, 1), lambda x: torch.logcumsumexp(x, 1), X * 30)
    check_torch(tfl.trapezoid, torch.trapezoid, X, Y)
    check_torch(
        lambda y: tfl.cumulative_trapezoid(y, dx=0.5, dim=0),
        lambda y: torch.cumulative_trapezoid(y, dx=0.5, dim=0), X,
    )  # fmt: skip
    check_torch(tfl.gradient, lambda x: torch.gradient(x)[0], LINE)


# -- shapes, products, distances -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fliplr", ()), ("flipud", ()), ("rot90", (1,)), ("rot90", (-2,)),
        ("unflatten", (1, (2, 2))), ("atleast_3d", ()), ("swapdims", (0, 1)),
        ("movedim", (0, 1)), ("clamp_min", (0.1,)),
    ],
)  # fmt: skip
def test_shapes(name: str, arguments: Any) -> None:
    def theirs(x: Any) -> Any:
        if name == "rot90":
            return torch.rot90(x, *arguments, (0, 1))
        return getattr(torch, name)(x, *arguments)

    check_torch(lambda x: getattr(tfl, name)(x, *arguments), theirs, X)


@pytest.mark.parametrize("name", ["hstack", "vstack", "dstack", "column_stack", "row_stack"])
def test_stacks(name: str) -> None:
    check_torch(
        lambda x, y: getattr(tfl, name)([x, y]), lambda x, y: getattr(torch, name)([x, y]), X, Y
    )


@pytest.mark.parametrize(
    ("mode", "theirs"), [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")]
)
def test_padding(mode: str, theirs: str) -> None:
    check_torch(
        lambda x: tfl.pad(x, ((0, 0), (0, 0), (2, 1), (1, 3)), mode=mode),
        lambda x: torch.nn.functional.pad(x, (1, 3, 2, 1), mode=theirs),
        normal(2, 3, 4, 5),
    )


def test_products() -> None:
    check_torch(
        lambda b, x, y: tfl.addmm(b, x, y, beta=0.5, alpha=2),
        lambda b, x, y: torch.addmm(b, x, y, beta=0.5, alpha=2),
        normal(2), normal(3, 4), normal(4, 2),
    )  # fmt: skip
    check_torch(tfl.baddbmm, torch.baddbmm, normal(2, 3, 2), normal(2, 3, 4), normal(2, 4, 2))
    check_torch(tfl.addmv, torch.addmv, normal(3), normal(3, 4), normal(4))
    check_torch(tfl.addcmul, torch.addcmul, X, Y, POSITIVE)
    check_torch(tfl.addcdiv, torch.addcdiv, X, Y, POSITIVE)
    check_torch(tfl.lerp, torch.lerp, X, Y, POSITIVE)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_distances(p: float) -> None:
    tolerance = 1e-9  # PyTorch's cdist multiplies powers
    if p in (2.0, 3.0):  # PyTorch's second derivatives of the others are no arrays
        check_torch(lambda x, y: tfl.dist(x, y, p), lambda x, y: torch.dist(x, y, p), X, Y)
    ours, others = [[a.requires_grad_() for a in both(v)] for v in (X, Y[:2])]
    y, t = tfl.cdist(ours[0], others[0], p), torch.cdist(ours[1], others[1], p)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), tolerance)
    y.sum().backward()
    t.sum().backward()
    np.testing.assert_allclose(ours[0].grad.numpy(), ours[1].grad.numpy(), tolerance)


def test_order_statistics() -> None:
    check_torch(lambda x: tfl.kthvalue(x, 2, 1).values, lambda x: x.kthvalue(2, 1).values, X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("equal_nan", [False, True])
def test_isclose(dtype: str, equal_nan: bool) -> None:
    x = np.array([1, 1, np.nan, np.inf, np.inf, 0, 1e-9], dtype)
    y = np.array([1 + 1e-6, 1.1, np.nan, np.inf, -np.inf, 1e-9, 0], dtype)
    (a, c), (b, d) = both(x), both(y)
    np.testing.assert_array_equal(
        tfl.isclose(a, b, equal_nan=equal_nan).numpy(), torch.isclose(c, d, equal_nan=equal_nan)
    )
    assert tfl.allclose(a, b) is torch.allclose(c, d) is False
