"""Where CUDA's libraries are looked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from tensorflowlite.backend.cuda.libraries import candidates


def test_wheels_then_toolkits_then_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest first; files that aren't the library, or only named like it, are passed over."""
    wheels, toolkit = tmp_path / "nvidia [1]", tmp_path / "toolkit"
    made = [
        wheels / "cu13/lib/libnvrtc.so.13",
        wheels / "cuda_nvrtc/lib/libnvrtc.so.12",
        wheels / "cuda_nvrtc/lib/libnvrtc.so.11",
        toolkit / "lib64/libnvrtc.so.12.9.86",
    ]
    others = [
        wheels / "cu13/lib/libnvrtc-builtins.so.13.0",
        wheels / "cu13/lib/libnvrtc.alt.so.13",
        wheels / "cublas/lib/libnvrtc.so.12",
        toolkit / "lib64/libnvrtc.so.12.txt",
    ]
    for path in [*made, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    spec = SimpleNamespace(submodule_search_locations=[str(wheels)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setenv("CUDA_HOME", str(toolkit))
    found = candidates("libnvrtc", "cuda_nvrtc")
    assert found[: len(made)] == [str(path) for path in made]
    assert not set(found) & {str(path) for path in others}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert candidates("libnvrtc", "cuda_nvrtc")[0] == str(made[-1])


def test_nothing_installed_leaves_the_systems_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("CUDA_PATH", "CUDA_HOME"):
        monkeypatch.setenv(name, "/nowhere")
    found = candidates("libnone", "none")
    assert found == ["libnone.so.13", "libnone.so.12", "libnone.so"]
