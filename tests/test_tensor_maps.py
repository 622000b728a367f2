"""Tensor maps, on a stand-in for NVIDIA's driver that writes down what it was told."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import tensor_maps
from tensorflowlite.backend.cuda.tensor_maps import tensor_map
from tensorflowlite.errors import DeviceError
from tests.fake_cublas import Fake


@pytest.fixture(autouse=True)
def driver(native_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ctypes.CDLL(Fake().path)
    monkeypatch.setattr(tensor_maps, "_driver", lambda: library)
    tensor_map.cache_clear()


@pytest.mark.parametrize(
    ("dtype", "code"),
    [(dtypes.float16, 6), (dtypes.float32, 7), (dtypes.float64, 8), (dtypes.bfloat16, 9)],
    ids=str,
)
def test_what_the_driver_is_told(dtype: Any, code: int) -> None:
    """The innermost axis first; its stride is known."""
    across = 128 // dtype.itemsize
    found = tensor_map(4096, (70, 96), dtype, (64, across)).content
    assert len(found) == 128
    words = np.frombuffer(found, np.uint32)
    assert words[:7].tolist() == [4096, code, 2, 0, 3, 3, 0]
    assert words[7:14].tolist() == [96, 70, 96 * dtype.itemsize, across, 64, 1, 1]


def test_what_the_driver_refuses() -> None:
    with pytest.raises(DeviceError, match=r"^tensor_map: .* got 0xbad0, \(64, 64\) of float16"):
        tensor_map(0xBAD0, (64, 64), dtypes.float16, (64, 64))
