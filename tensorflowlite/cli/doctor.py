"""``tensorflowlite doctor``: what is installed, what is usable, and what mends the rest."""

from __future__ import annotations

import importlib.metadata
import platform

from ..backend.cuda import devices as cuda
from ..backend.cuda import kernel_cache, nvrtc
from ..backend.native import extension as native
from ..backend.processor import information, processor
from ..version import __version__

_OPTIONAL = {
    "tqdm": "train", "matplotlib": "train", "scikit-learn": "train", "tensorboardX": "tensorboard",
}  # fmt: skip
_FEATURES = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_bf16", "avx512_fp16",
    "amx_bf16", "asimd", "sve",
)  # fmt: skip


def doctor() -> int:
    """Print a line for each thing that the library can use."""
    rows = [
        ("tensorflowlite", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    rows += [(name, _version(name) or "missing") for name in ("numpy", "ml_dtypes", "safetensors")]
    for name, extra in _OPTIONAL.items():
        missing = f'not installed; pip install "tensorflowlite[{extra}]"'
        rows.append((name, _version(name) or missing))
    rows += [
        ("cpu", processor()),
        ("cpu features", " ".join(_features()) or "unknown"),
        ("native extension", _native()),
        ("cupy", _cupy()),
        ("gpu", _gpu()),
        ("kernel compiler", _kernel_compiler()),
        ("kernel cache", str(kernel_cache.directory())),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cupy() -> str:
    for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        version = _version(name)
        if version:
            return f"{version} ({name})"
    return "not installed"


def _gpu() -> str:
    reason = cuda.why_not()
    if reason:
        return f"not usable: {reason}"
    count = cuda.device_count()
    return "usable: " + ", ".join(f"cuda:{index}" for index in range(count))


def _kernel_compiler() -> str:
    found = nvrtc.compiler()
    return nvrtc.why_not() if found is None else "NVRTC {}.{}".format(*found.version)


def _native() -> str:
    if native.module is None:
        return f"not loaded: {native.why_not()}"
    return f"loaded ({native.module.instruction_set()})"


def _features() -> list[str]:
    info = information()
    present = set(info.get("flags", info.get("Features", "")).split())
    return [feature for feature in _FEATURES if feature in present]
