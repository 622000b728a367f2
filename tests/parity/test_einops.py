"""einops works on tensors: its own tests pass with ours in place of a library that they know."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import einops
import numpy as np
import pytest

import tensorflowlite as tfl
import tensorflowlite.einops

# einops' tests name their libraries in a list; ours takes the place of two that aren't installed,
# and is asked for alone.
PLUGIN = """
import einops._backends as backends
from tensorflowlite.nn.rearranging import TensorflowliteBackend
backends.OneFlowBackend = TensorflowliteBackend
backends.PaddleBackend = type("NoBackend", (), {"framework_name": "none"})
"""


def test_its_own_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(PLUGIN, encoding="utf-8")
    tests = Path(einops.__file__).parent / "tests"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "ours", "-p", "no:cacheprovider",
               "--rootdir", str(tmp_path), "-rs", str(tests)]  # fmt: skip
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([str(tmp_path), root])
    environment = {**os.environ, "EINOPS_TEST_BACKENDS": "tensorflowlite", "PYTHONPATH": paths}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    print(run.stdout[-4000:])
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed and int(passed[1]) >= 50  # the others are for one library by name


def test_gradients_pass_through() -> None:
    values = np.random.default_rng(0).normal(size=(2, 6, 4))
    x = tfl.tensor(values, requires_grad=True)
    once = einops.rearrange(x, "b (h w) c -> b c h w", h=2)
    pooled = einops.reduce(once, "b c (h 2) w -> b c h w", "max")
    again = einops.repeat(pooled, "b c h w -> b c (h r) w", r=3)
    product = einops.einsum(again, tfl.tensor(np.arange(4.0)), "b c h w, c -> b h w")
    product.sum().backward()
    pairs = values.reshape(2, 2, 3, 4)
    largest = pairs == pairs.max(1, keepdims=True)
    expected = np.where(largest, 3 * np.arange(4.0), 0).reshape(2, 6, 4)
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_layers_are_modules() -> None:
    mix = tensorflowlite.einops.EinMix("b t c -> b t d", "c d", "d", c=3, d=5)
    model = tfl.nn.Sequential(mix, tensorflowlite.einops.Reduce("b t d -> b d", "mean"))
    assert {name: p.shape for name, p in model.named_parameters()} == {
        "0.weight": (3, 5), "0.bias": (1, 1, 5)
    }  # fmt: skip
    x = tfl.randn(2, 7, 3)
    expected = (x.numpy() @ mix.weight.detach().numpy() + mix.bias.detach().numpy()).mean(1)
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["rearrange", "reduce", "repeat"])
def test_public_functions_are_einops_own(name: str) -> None:
    assert getattr(tensorflowlite.einops, name) is getattr(einops, name)
