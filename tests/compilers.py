"""The compilers that tests of kernels need: where one can be had, its absence is a failure."""

from __future__ import annotations

import platform
import re
import sys

import pytest

from tensorflowlite.backend.cuda import nvrtc

from . import host_kernels


def need_nvrtc() -> None:
    """Skip where NVRTC isn't made for the machine; the extra ``test`` brings it elsewhere."""
    if reason := nvrtc.why_not():
        if sys.platform != "linux" or platform.machine() != "x86_64":
            pytest.skip(reason)
        pytest.fail(reason)


def need_host() -> None:
    """Skip where kernels can't run on the host."""
    if reason := host_kernels.why_not():
        pytest.skip(reason)


def spills_of(log: str) -> dict[str, int]:
    """Return the bytes that each kernel of ptxas' report stores because registers ran out."""
    pattern = r"properties for (\w+)\s+.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    return {name: max(int(stores), int(loads)) for name, stores, loads in re.findall(pattern, log)}
