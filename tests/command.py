"""What the tests of the command share: small data on disk, and running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorflowlite.cli import main


def write_idx(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a pair of IDX files as MNIST's are named."""
    folder.mkdir(exist_ok=True)
    header = bytes([0, 0, 8, 3]) + np.array(images.shape, ">u4").tobytes()
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    header = bytes([0, 0, 8, 1]) + np.array(labels.shape, ">u4").tobytes()
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())


def bars(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 8, 8) of upright bars (class 0) and level ones (class 1), in noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    images = random.integers(0, 60, (count, 8, 8))
    for image, label, place in zip(images, labels, random.integers(2, 6, count), strict=True):
        view = image.T if label else image
        view[:, place] = 250
    return images.astype(np.uint8), labels


def write_csv(path: Path, kind: str = "classification", count: int = 120) -> None:
    """Write a table with the features a and b and the target y."""
    random = np.random.default_rng(0)
    a, b = random.normal(50, 10, count), random.normal(0, 0.1, count)
    rows = ["a,b,y"]
    for x, y in zip(a, b, strict=True):
        value = ("red" if x + 100 * y > 50 else "blue") if kind == "classification" else 3 * x - y
        rows.append(f"{x:.4f},{y:.5f},{value}")
    path.write_text("\n".join(rows) + "\n")


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics.jsonl."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int = 1) -> str:
    """Run the command, which must fail, and return the one sentence that it says."""
    capsys.readouterr()
    assert main(arguments) == status
    output = capsys.readouterr()
    assert output.out == "" and output.err.endswith("\n") and output.err.count("\n") == 1
    assert "Traceback" not in output.err
    return output.err[:-1]
