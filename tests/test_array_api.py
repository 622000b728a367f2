"""The Array API's protocols: the namespace, its inspection, DLPack, devices and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import (
    ArgumentError,
    AxisError,
    DeviceError,
    GradientError,
    OutOfRangeError,
    ShapeError,
    UnsupportedArgumentError,
)

from .backends import TestBackend


# -- the namespace ---------------------------------------------------------------------------------
@pytest.mark.parametrize("version", [None, "2021.12", "2022.12", "2023.12", "2024.12"])
def test_the_namespace_is_the_package(version: str | None) -> None:
    assert tfl.ones(1).__array_namespace__(api_version=version) is tfl
    assert tfl.__array_api_version__ == "2024.12"


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"api_version must be one of .*, got '2019.01'"):
        tfl.ones(1).__array_namespace__(api_version="2019.01")


def test_inspection() -> None:
    info = tfl.__array_namespace_info__()
    assert info.default_device() in info.devices()
    for device in info.devices():
        assert tfl.zeros(1, device=device).device == device
        assert info.default_dtypes(device=device)["integral"] == tfl.int64
    assert set(info.dtypes(kind=("bool", "unsigned integer"))) == {
        "bool", "uint8", "uint16", "uint32", "uint64",
    }  # fmt: skip
    assert not {"float16", "bfloat16"} & set(info.dtypes())
    assert len(info.dtypes()) == 13
    assert tfl.zeros((1,) * info.capabilities()["max dimensions"]).size == 1
    with pytest.raises(ArgumentError, match=r"dtypes: kind must be one of bool, .*, got 'float'"):
        info.dtypes(kind="float")
    with pytest.raises(DeviceError):
        info.default_dtypes(device="abacus")


def test_constants() -> None:
    assert (tfl.e, tfl.pi, tfl.inf) == (np.e, np.pi, np.inf)
    assert np.isnan(tfl.nan) and tfl.newaxis is None
    assert tfl.ones(2)[:, tfl.newaxis].shape == (2, 1)


# -- DLPack ----------------------------------------------------------------------------------------
def test_dlpack_shares_memory_both_ways() -> None:
    array = np.arange(4.0)
    taken = tfl.from_dlpack(array)
    array[0] = 7
    assert taken[0].item() == 7
    given = np.from_dlpack(taken)
    given[1] = 8
    assert taken[1].item() == 8
    assert tfl.from_dlpack(taken).numpy() is not array
    assert tfl.from_dlpack(taken, copy=False)[1].item() == 8


def test_dlpack_copies_where_asked() -> None:
    array = np.arange(4.0)
    copied = tfl.from_dlpack(array, copy=True, device="cpu")
    array[0] = 7
    assert copied[0].item() == 0
    taken = tfl.from_dlpack(array)
    capsule = taken.__dlpack__(max_version=(1, 0), dl_device=(1, 0), copy=True)
    assert type(capsule).__name__ == "PyCapsule"
    assert tuple(map(int, taken.__dlpack_device__())) == (1, 0)


def test_dlpack_of_other_devices() -> None:
    with pytest.raises(DeviceError):
        tfl.from_dlpack(np.ones(2), device="abacus")
    with pytest.raises(BufferError):
        tfl.ones(2).__dlpack__(dl_device=(2, 0))


def test_dlpack_to_another_device(backend: TestBackend) -> None:
    if backend.on_host:
        assert tfl.from_dlpack(np.ones(2), device="cpu", copy=False).device == "cpu"
        return
    device = backend.tensor(np.ones(1)).device
    moved = tfl.from_dlpack(np.arange(3.0), device=device)
    assert moved.device == device and moved.cpu().tolist() == [0, 1, 2]
    with pytest.raises(DeviceError, match="from_dlpack: with copy=False the array must be on"):
        tfl.from_dlpack(np.ones(2), device=device, copy=False)


@pytest.mark.parametrize("export", [lambda t: t.__dlpack__(), np.from_dlpack, tfl.from_dlpack])
def test_what_requires_grad_is_not_exported(export: Any) -> None:
    with pytest.raises(GradientError, match=r"must not require grad.*use detach"):
        export(tfl.ones(2, requires_grad=True))


# -- devices ---------------------------------------------------------------------------------------
def test_astype_moves_too(backend: TestBackend) -> None:
    x = tfl.tensor([1.5, 2.5], requires_grad=True)
    device = backend.tensor(np.ones(1)).device
    y = tfl.astype(x, tfl.float64, device=device)
    assert y.device == device and y.dtype == tfl.float64
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 1] and x.grad.dtype == tfl.float32
    assert tfl.astype(x, tfl.float32, device="cpu", copy=False) is x
    assert tfl.astype(x, tfl.float32, device="cpu") is not x


def test_a_stream_is_refused() -> None:
    assert tfl.ones(1).to_device("cpu", stream=None).device == "cpu"
    with pytest.raises(UnsupportedArgumentError, match="to_device: stream must be None, got 3"):
        tfl.ones(1).to_device("cpu", stream=3)


# -- numbers ---------------------------------------------------------------------------------------
def test_filled_with_the_very_number() -> None:
    for value in (2.5e-260, 16777217.0, 0.1, 1e300, 2**63 - 1):
        assert tfl.full((), value, dtype=tfl.float64).item() == float(value)
        assert tfl.full_like(tfl.zeros(1, dtype=tfl.float64), value).item() == float(value)
    assert tfl.full(1, 2**64 - 1, dtype=tfl.uint64).item() == 2**64 - 1
    assert tfl.signbit(tfl.full(3, -0.0)).all()
    assert not tfl.signbit(tfl.zeros(3)).any()


def test_limits_are_numbers() -> None:
    for dtype in (tfl.float32, tfl.complex128, tfl.bfloat16, tfl.ones(1)):
        limits = tfl.finfo(dtype)
        for name in ("eps", "max", "min", "smallest_normal"):
            assert type(getattr(limits, name)) is float
        assert type(limits.bits) is int
    assert tfl.finfo(tfl.complex64).dtype == tfl.float32
    assert tfl.finfo(tfl.float64).eps == np.finfo(np.float64).eps
    assert tfl.iinfo(tfl.int8) == (8, 127, -128, tfl.int8)


def test_a_wrong_axis_is_what_every_library_raises() -> None:
    for call in (lambda x: tfl.sum(x, 2), lambda x: tfl.expand_dims(x, 5), lambda x: x.flip(2)):
        with pytest.raises(AxisError) as caught:
            call(tfl.ones(2))
        for kind in (ShapeError, OutOfRangeError, ValueError, IndexError):
            assert isinstance(caught.value, kind)


# -- sets ------------------------------------------------------------------------------------------
def test_distinct_elements_are_put_back() -> None:
    x = tfl.tensor([[3.0, 1.0, 3.0], [2.0, 1.0, 0.0]], requires_grad=True)
    values, indices, inverse, counts = tfl.unique_all(x)
    assert values.tolist() == [0, 1, 2, 3] and counts.tolist() == [1, 2, 1, 2]
    assert (values[inverse] == x).all() and (x.flatten()[indices] == values).all()
    (values * tfl.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[4, 2, 0], [3, 0, 1]]  # to the first of those that are equal
