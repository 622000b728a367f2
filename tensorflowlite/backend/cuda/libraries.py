"""Where CUDA's libraries may be, for those that nobody has loaded yet."""

from __future__ import annotations

import glob
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path


def candidates(library: str, wheel: str) -> list[str]:
    """Return where a library may be: in wheels, in the toolkit, in the system's places.

    Parameters
    ----------
    library
        The file's name up to ``.so``.
    wheel
        The folder that wheels before CUDA 13 keep it in.

    Examples
    --------
    >>> candidates("libnvrtc", "cuda_nvrtc")[-3:]
    ['libnvrtc.so.13', 'libnvrtc.so.12', 'libnvrtc.so']
    """
    names = [f"{library}.so.13", f"{library}.so.12", f"{library}.so"]
    return [*_files(library, wheel), *names]


def _files(library: str, wheel: str) -> Iterator[str]:
    spec = importlib.util.find_spec("nvidia")
    folders = [
        str(Path(glob.escape(place), folder, "lib"))
        for place in (spec.submodule_search_locations or () if spec else ())
        for folder in ("cu[0-9]*", wheel)
    ]
    roots = os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"
    folders += [str(Path(glob.escape(root), "lib64")) for root in roots if root]
    for folder in folders:
        # Of several the newest, by the numbers in its name, which are at most two digits each.
        yield from sorted(glob.glob(f"{folder}/{library}.so.*[0-9]"), reverse=True)
