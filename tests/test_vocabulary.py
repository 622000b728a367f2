"""What the op table can't say of the vocabulary beyond the standard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import OutOfRangeError, UnsupportedArgumentError

LINE, BEYOND = tfl.zeros(3), tfl.tensor([3])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("gather", (LINE, 0, BEYOND)),
        ("scatter", (LINE, 0, BEYOND, 1.0)),
        ("scatter_add", (LINE, 0, BEYOND, 1.0)),
        ("scatter_reduce", (LINE, 0, BEYOND, 1.0, "amax")),
        ("index_add", (LINE, 0, BEYOND, tfl.zeros(1))),
        ("index_copy", (LINE, 0, BEYOND, tfl.zeros(1))),
        ("index_fill", (LINE, 0, BEYOND, 1.0)),
        ("put_along_axis", (LINE, BEYOND, 1.0)),
        ("choose", (BEYOND, [LINE, LINE, LINE])),
    ],
)
def test_indices_out_of_range_raise_on_the_cpu(name: str, arguments: Any) -> None:
    text = rf"^{name}_?: an index must lie in \[-3, 3\), got 3$"
    with pytest.raises(OutOfRangeError, match=text):
        getattr(tfl, name)(*arguments)
    np.testing.assert_array_equal(LINE.numpy(), [0, 0, 0])


def test_a_base_is_no_endpoint() -> None:
    with pytest.raises(UnsupportedArgumentError, match=r"^logspace: endpoint must be True .* 2.0"):
        tfl.logspace(0, 3, 4, 2.0)


def test_running_extremes_stand_at_the_last_nan() -> None:
    x = tfl.tensor([1.0, float("nan"), 0.5, float("nan"), 2.0])
    assert tfl.cummax(x, 0).indices.tolist() == [0, 1, 1, 3, 3]
    assert tfl.cummin(x, 0).indices.tolist() == [0, 1, 1, 3, 3]


def test_pieces_of_nothing() -> None:
    assert [piece.shape for piece in tfl.zeros((0, 3)).chunk(2)] == [(0, 3), (0, 3)]
