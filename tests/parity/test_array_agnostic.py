"""Code written for any array library runs on tensors, with gradients: three libraries of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_extra as xpx
import numpy as np
import pytest
from einops import array_api as einops_functions

import tensorflowlite as tfl

X = np.random.default_rng(0).normal(size=(4, 5))
Function = Callable[[Any], Any]

EXTRA: dict[str, Function] = {
    "cov": lambda x: xpx.cov(x),
    "kron": lambda x: xpx.kron(x, x[:2]),
    "sinc": lambda x: xpx.sinc(x),
    "create_diagonal": lambda x: xpx.create_diagonal(x[0]),
    "pad": lambda x: xpx.pad(x, 2),
    "nan_to_num": lambda x: xpx.nan_to_num(x),
    "at": lambda x: xpx.at(x * 1.0)[0].add(2.0),
    "apply_where": lambda x: xpx.apply_where(x > 0, x, lambda a: a * 2, lambda a: a * a),
    "atleast_nd": lambda x: xpx.atleast_nd(x, ndim=3),
}
EINOPS: dict[str, Function] = {
    "rearrange": lambda x: einops_functions.rearrange(x, "(a b) c -> b (c a)", a=2),
    "reduce": lambda x: einops_functions.reduce(x * x, "(a b) c -> b c", "mean", a=2),
    "repeat": lambda x: einops_functions.repeat(x, "a c -> a r c", r=3),
    "pack": lambda x: einops_functions.pack([x, x * 2], "a *")[0],
}
# SciPy reads the variable SCIPY_ARRAY_API when it is imported, so its functions run elsewhere.
SCIPY = """
import json, sys
import numpy as np
import scipy.fft, scipy.integrate, scipy.optimize, scipy.special, scipy.stats
import tensorflowlite as tfl

X = np.random.default_rng(0).normal(size=(4, 5))
FUNCTIONS = {
    "special.logsumexp": lambda x: scipy.special.logsumexp(x, axis=1),
    "special.softmax": lambda x: scipy.special.softmax(x, axis=1),
    "stats.zscore": lambda x: scipy.stats.zscore(x, axis=1),
    "stats.skew": lambda x: scipy.stats.skew(x, axis=1),
    "stats.kurtosis": lambda x: scipy.stats.kurtosis(x, axis=1),
    "stats.gmean": lambda x: scipy.stats.gmean(x * x, axis=1),
    "stats.moment": lambda x: scipy.stats.moment(x, 3, axis=1),
    "integrate.trapezoid": lambda x: scipy.integrate.trapezoid(x * x, axis=1),
    "optimize.rosen": lambda x: scipy.optimize.rosen(x[0]),
    "fft.rfft": lambda x: abs(scipy.fft.rfft(x)),
}
found = {}
for name, function in FUNCTIONS.items():
    x = tfl.tensor(X, requires_grad=True)
    out = function(x)
    weights = np.random.default_rng(1).normal(size=out.shape)
    (out * tfl.asarray(weights)).sum().backward()
    step, direction = 1e-6, np.random.default_rng(2).normal(size=X.shape)
    ends = [float((weights * function(X + s * direction)).sum()) for s in (step, -step)]
    found[name] = [
        type(out) is tfl.Tensor and out.requires_grad,
        float(np.abs(out.detach().numpy() - function(X)).max()),
        float((x.grad.numpy() * direction).sum()),
        (ends[0] - ends[1]) / (2 * step),
    ]
json.dump(found, sys.stdout)
"""


@pytest.mark.parametrize("name", [*EXTRA, *EINOPS])
def test_values_and_gradients(name: str) -> None:
    function = EXTRA.get(name) or EINOPS[name]
    x = tfl.tensor(X, requires_grad=True)
    out = function(x)
    assert type(out) is tfl.Tensor and out.requires_grad
    np.testing.assert_allclose(out.detach().numpy(), function(X), rtol=1e-12, atol=1e-12)
    assert tfl.autograd.gradcheck(function, x)


def test_scipy() -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(root)}
    run = subprocess.run(
        [sys.executable, "-c", SCIPY], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert len(found) == 10
    for name, (recorded, difference, slope, expected) in found.items():
        assert recorded, name
        assert difference < 1e-12, name
        assert abs(slope - expected) < 1e-5 * max(1, abs(expected)), name


def test_what_reads_the_memory_raises() -> None:
    """A function that isn't written for any library can't detach a tensor in silence."""
    import scipy.signal

    with pytest.raises(RuntimeError, match="use detach"):
        scipy.signal.detrend(tfl.tensor(X, requires_grad=True))
