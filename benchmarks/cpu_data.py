"""What every contender starts from: weights and batches, made by NumPy from one seed.

Nothing here imports an autograd library: each contender's process calls this alone, and tells a
digest of what it got.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np

Spec = dict[str, Any]
SEED = 20261128


def generator(spec: Spec) -> np.random.Generator:
    """Return the generator of a row: its numbers depend on the row's sizes alone."""
    text = repr(sorted((key, value) for key, value in spec.items()))
    return np.random.default_rng([SEED, *hashlib.sha256(text.encode()).digest()[:8]])


def normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Return normal float32 numbers."""
    return rng.standard_normal(shape, np.float32) * np.float32(scale)


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return a digest of some arrays' names and bytes."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(name.encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()[:16]


# -- whole steps -----------------------------------------------------------------------------------
Arrays = dict[str, np.ndarray]


def _linear(found: Arrays, rng: np.random.Generator, name: str, shape: tuple[int, ...],
            bias: bool = True, gain: float = 1.0) -> None:  # fmt: skip
    fan_in = int(np.prod(shape[1:]))
    found[f"{name}.weight"] = normal(rng, shape, gain * fan_in**-0.5)
    if bias:
        found[f"{name}.bias"] = normal(rng, shape[:1], 0.02)


def _norm(found: dict[str, np.ndarray], rng: np.random.Generator, name: str, width: int) -> None:
    found[f"{name}.weight"] = 1 + normal(rng, (width,), 0.1)
    found[f"{name}.bias"] = normal(rng, (width,), 0.02)


def parameters(spec: Spec) -> dict[str, np.ndarray]:
    """Return a step's initial weights under the names that `named_parameters` gives them."""
    rng = generator(spec)
    found: Arrays = {}
    if spec["model"] == "mlp":
        for place, (one, other) in enumerate(itertools.pairwise(spec["widths"])):
            # As many layers as there may be, the numbers stay of one size.
            _linear(found, rng, str(2 * place), (other, one), gain=2**0.5)
    elif spec["model"] == "cnn":
        first, second = spec["channels"]
        side = spec["side"] // 4
        _linear(found, rng, "0", (first, 1, 3, 3))
        _linear(found, rng, "3", (second, first, 3, 3))
        _linear(found, rng, "7", (spec["hidden"], second * side * side))
        _linear(found, rng, "9", (10, spec["hidden"]))
    else:
        _gpt(found, rng, spec)
    return found


def _gpt(found: dict[str, np.ndarray], rng: np.random.Generator, spec: Spec) -> None:
    width = spec["width"]
    found["token.weight"] = normal(rng, (spec["vocabulary"], width), 0.5)
    found["position.weight"] = normal(rng, (spec["length"], width), 0.5)
    for layer in range(spec["layers"]):
        name = f"blocks.{layer}"
        _norm(found, rng, f"{name}.norm1", width)
        _linear(found, rng, f"{name}.qkv", (3 * width, width))
        _linear(found, rng, f"{name}.project", (width, width))
        _norm(found, rng, f"{name}.norm2", width)
        _linear(found, rng, f"{name}.up", (4 * width, width))
        _linear(found, rng, f"{name}.down", (width, 4 * width))
    _norm(found, rng, "norm", width)
    _linear(found, rng, "head", (spec["vocabulary"], width), bias=False)


def batch(spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Return a step's inputs and targets."""
    rng = generator({**spec, "batch of": spec["model"]})
    size = spec["batch"]
    if spec["model"] == "mlp":
        x = normal(rng, (size, spec["widths"][0]))
        if spec["loss"] == "mse_loss":
            return x, normal(rng, (size, spec["widths"][-1]))
        return x, np.asarray(rng.integers(0, spec["widths"][-1], size))
    if spec["model"] == "cnn":
        return normal(rng, (size, 1, spec["side"], spec["side"])), rng.integers(0, 10, size)
    shape = (size, spec["length"])
    tokens, targets = (rng.integers(0, spec["vocabulary"], shape) for _ in range(2))
    return tokens, targets.reshape(-1)
