"""Asking NVIDIA's driver whether a GPU can be used, and telling what keeps it from being used.

The driver is asked through ctypes, in 0.2 ms; CuPy isn't imported. That starts the driver, which a
child that is forked afterwards can't use: there the GPU is refused.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import DeviceError

_UNHIDE = "to see all of them run: unset CUDA_VISIBLE_DEVICES"
_LIST = "to see what there is run: nvidia-smi -L"
_INSTALL = 'pip install "cupy-cuda{major}x[ctk]"'
_OLDEST = 12  # CUDA's major version that CuPy 14 asks of a driver
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
# CUdevice_attribute, and the compute mode in which a device takes no work.
_COMPUTE_MODE, _CAPABILITY = 20, (75, 76)
_PROHIBITED = 2
_OLDEST_GPU = {13: (7, 5)}  # compute capability, by CUDA's major version


_FORKED = (
    "this process was forked from one that had started CUDA, which doesn't survive a fork; start "
    'processes by the spawn method: multiprocessing.get_context("spawn")'
)


class _State:
    """Whether this process has started CUDA, or was forked from one that had."""

    started = False
    forked = False


# What else a child that was forked after CUDA had started has to forget.
in_forked_child: list[Callable[[], None]] = []


def _after_fork() -> None:
    """In the child: every use of the GPU raises from now on."""
    if _State.started or _State.forked:
        _State.started, _State.forked = False, True
        driver.cache_clear()
        why_not.cache_clear()
        for forget in in_forked_child:
            forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_not_forked() -> None:
    """Raise in a child that was forked after CUDA had started.

    Raises
    ------
    DeviceError
        It was.
    """
    if _State.forked:
        raise DeviceError(f"cuda: a usable NVIDIA GPU is needed, got none: {_FORKED}")


class Found(NamedTuple):
    """What the driver says: how many devices, its CUDA version (13020: 13.2), and what is wrong."""

    devices: int
    version: int
    capability: tuple[int, int]
    reason: str


def _nothing(reason: str, version: int = 0) -> Found:
    return Found(0, version, (0, 0), reason)


def _load() -> Any:
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@functools.cache
def driver() -> Found:
    """Return what the driver says of the first device.

    Examples
    --------
    >>> found = driver()
    >>> found.devices > 0 or found.reason != ""
    True
    """
    if _State.forked:
        return _nothing(_FORKED)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return _nothing(f'CUDA_VISIBLE_DEVICES is "", which hides every GPU; {_UNHIDE}')
    library = _load()
    if library is None:
        return _nothing(
            "no NVIDIA driver was found (libcuda.so.1); install the driver of the GPU, and to see "
            "that it works run: nvidia-smi"
        )
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    told = f"{version.value // 1000}.{version.value % 1000 // 10}"
    if 0 < version.value < 1000 * _OLDEST:
        return _nothing(
            f"the NVIDIA driver is too old: it is of CUDA {told}, and CuPy asks for {_OLDEST}.0; "
            "install a newer driver, and to see its version run: nvidia-smi",
            version.value,
        )
    error = library.cuInit(0)
    _State.started = _State.started or error == 0
    if error not in (0, _NO_DEVICE):
        return _nothing(
            f"the NVIDIA driver doesn't start (cuInit gave {error}); to see what it says run: "
            "nvidia-smi",
            version.value,
        )
    if not error:
        library.cuDeviceGetCount(ctypes.byref(count))
    if not count.value:
        hint = f"CUDA_VISIBLE_DEVICES is {visible!r}, {_UNHIDE}" if visible else _LIST
        return _nothing(f"the NVIDIA driver reports no GPU; {hint}", version.value)
    device = ctypes.c_int()
    library.cuDeviceGet(ctypes.byref(device), 0)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(value), number, device)
        return value.value

    reason = ""
    if attribute(_COMPUTE_MODE) == _PROHIBITED:
        reason = "the GPU takes no work in its compute mode; run: nvidia-smi -i 0 -c DEFAULT"
    major, minor = map(attribute, _CAPABILITY)
    return Found(count.value, version.value, (major, minor), reason)


def cupy_distribution() -> tuple[str, int | None]:
    """Return the installed CuPy's name and the CUDA version that it is for; "" where there is none.

    Examples
    --------
    >>> name, major = cupy_distribution()
    >>> major is None or str(major) in name
    True
    """
    for major in (13, 12, 11):
        name = f"cupy-cuda{major}x"
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return name, major
    return ("cupy" if importlib.util.find_spec("cupy") else ""), None


def _wanted(found: Found) -> int:
    """Return the CUDA version whose CuPy fits the driver and the GPU."""
    wanted = min(max(found.version // 1000, _OLDEST), 13)
    return 12 if found.capability < _OLDEST_GPU.get(wanted, (0, 0)) else wanted


def why_no_import(error: ImportError) -> str:
    """Return why CuPy, which is installed, can't be imported, with the command that mends it."""
    name, major = cupy_distribution()
    install = _INSTALL.format(major=major or _wanted(driver()))
    told = " ".join(str(error).split())
    return f"{name or 'CuPy'} can't be imported ({told}); run: pip install --force-reinstall " + (
        install.removeprefix("pip install ")
    )


@functools.cache
def why_not() -> str:
    """Return why no GPU can be used, with the command that mends it; "" where one can."""
    found = driver()
    if found.reason:
        return found.reason
    newest, wanted = found.version // 1000, _wanted(found)
    install = _INSTALL.format(major=wanted)
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy isn't installed; run: {install}"
    name, major = cupy_distribution()
    if major is None or major == wanted:
        return ""
    if major > newest:
        return (
            f"{name} is for CUDA {major}, the driver for CUDA {newest}; run: "
            f"pip uninstall {name} && {install}"
        )
    if found.capability < _OLDEST_GPU.get(major, (0, 0)):
        told = "{}.{}".format(*found.capability)
        return (
            f"{name} doesn't run on GPUs of compute capability {told}; run: "
            f"pip uninstall {name} && {install}"
        )
    return ""
