"""Indices, patterns, spacings and windows against NumPy's; tensors made like another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, OutOfRangeError, ShapeError

from .backends import TestBackend
from .backends import backend as backend


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("diag_indices", (3,)), ("diag_indices", (2, 3)), ("tril_indices", (3,)),
        ("tril_indices", (3, -1, 4)), ("triu_indices", (3, 1)), ("triu_indices", (0,)),
        ("indices", ((2, 3),)), ("indices", ((0, 3),)), ("identity", (3,)), ("tri", (3, 4, 1)),
        ("logspace", (0, 3, 7)), ("logspace", (0, 3, 7, False, 2.0)), ("geomspace", (1, 64, 7)),
        ("bartlett", (7,)), ("blackman", (7,)), ("hamming", (7,)), ("hanning", (7,)),
        ("hanning", (0,)), ("kaiser", (7, 8.6)),
    ],
)  # fmt: skip
def test_made_as_numpys(name: str, arguments: Any) -> None:
    found, expected = getattr(tfl, name)(*arguments), getattr(np, name)(*arguments)
    many = type(found) is tuple
    for one, wanted in zip(*((found, expected) if many else ([found], [expected])), strict=True):
        assert one.dtype == (tfl.float32 if wanted.dtype.kind == "f" else tfl.int64)
        np.testing.assert_allclose(one.numpy(), wanted, 1e-6, 1e-7)  # float32


def test_places_in_a_row_and_back(backend: TestBackend) -> None:
    places = np.array([[0, 23, 7], [5, 11, 1]])
    found = tfl.unravel_index(backend.tensor(places), (2, 3, 4))
    for one, wanted in zip(found, np.unravel_index(places, (2, 3, 4)), strict=True):
        np.testing.assert_array_equal(backend.host(one), wanted)
    np.testing.assert_array_equal(backend.host(tfl.ravel_multi_index(found, (2, 3, 4))), places)
    apart = np.array([[3, -1], [5, 9]])
    for mode in ("wrap", "clip"):
        made = tfl.ravel_multi_index([backend.tensor(one) for one in apart], (2, 3), mode)
        np.testing.assert_array_equal(
            backend.host(made), np.ravel_multi_index(apart, (2, 3), mode=mode)
        )


def test_picking_all_with_all(backend: TestBackend) -> None:
    x = np.arange(12).reshape(3, 4)
    rows, columns = np.array([2, 0]), np.array([True, False, False, True])
    found = backend.tensor(x)[tfl.ix_(backend.tensor(rows), backend.tensor(columns))]
    np.testing.assert_array_equal(backend.host(found), x[np.ix_(rows, columns)])


@pytest.mark.parametrize("increasing", [False, True])
def test_powers_as_columns(backend: TestBackend, increasing: bool) -> None:
    values = np.array([1.0, -2.0, 0.5])
    for count in (None, 0, 1, 5):
        made = tfl.vander(backend.tensor(values), count, increasing)
        np.testing.assert_allclose(backend.host(made), np.vander(values, count, increasing), 1e-15)
    x = tfl.tensor(values, requires_grad=True)
    tfl.vander(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * values + 1)
    np.testing.assert_array_equal(
        backend.host(tfl.diagflat(backend.tensor(values), 1)), np.diagflat(values, 1)
    )


def test_refused() -> None:
    with pytest.raises(OutOfRangeError, match=r"^unravel_index: an index must lie in \[-6, 6\)"):
        tfl.unravel_index(tfl.tensor([6]), (2, 3))
    with pytest.raises(ShapeError, match="ravel_multi_index: indices for 2 axes are needed, got 1"):
        tfl.ravel_multi_index([tfl.tensor([0])], (2, 3))
    with pytest.raises(ArgumentError, match="geomspace: the ends must not be 0, got 0 and 1"):
        tfl.geomspace(0, 1)
    with pytest.raises(ShapeError, match=r"vander: one axis is needed, got shape \(2, 2\)"):
        tfl.vander(tfl.eye(2))


def test_tensors_made_like_another(backend: TestBackend) -> None:
    x = backend.tensor(np.zeros(2, np.float16))
    for found, wanted in (
        (x.new_zeros(2, 3), np.zeros((2, 3))), (x.new_ones((3,)), np.ones(3)),
        (x.new_full((2,), 7), [7, 7]), (x.new_tensor([1, 2]), [1, 2]),
    ):  # fmt: skip
        assert found.dtype == tfl.float16 and found.device == x.device
        np.testing.assert_array_equal(backend.host(found), wanted)
    assert x.new_empty((2, 3), dtype=tfl.int64).dtype == tfl.int64
