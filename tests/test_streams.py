"""The reference streams: one hash each, on every backend, number of threads and way to run.

A change of a hash is a change of what a seed means: every result that somebody noted is gone.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.backend.native import extension as native
from tensorflowlite.data import DataLoader, SampleRandom, TensorDataset, random_split, transforms
from tensorflowlite.nn import functional as F
from tensorflowlite.nn import init

from .backends import all_backends
from .streams import HASHES

pytestmark = pytest.mark.usefixtures("kernels_as_before")
SEED = 2026


# -- draws on a device -----------------------------------------------------------------------------
def filled(fill: Callable[..., Any], *rest: Any, **options: Any) -> Callable[[Any, Any], Any]:
    def stream(device: Any, zeros: Any) -> Any:
        return fill(zeros, *rest, **options)

    return stream


def dropped(function: Callable[..., Any], *rest: Any) -> Callable[[Any, Any], Any]:
    def stream(device: Any, zeros: Any) -> Any:
        x = (zeros + 1).reshape(50, 10, 10) if function is not F.dropout2d else zeros + 1
        return function(x.reshape(5, 10, 10, 10) if function is F.dropout2d else x, *rest)

    return stream


R = tfl.random
DRAWS: dict[str, Callable[[Any, Any], Any]] = {
    "uniform": lambda device, _: R.uniform(-2, 3, (70, 60), device=device),
    "uniform float64": lambda device, _: R.uniform(0, 1, 999, dtype="float64", device=device),
    "uniform bfloat16": lambda device, _: tfl.rand(999, dtype=tfl.bfloat16, device=device),
    "uniform float16": lambda device, _: tfl.rand(999, dtype=tfl.float16, device=device),
    "normal": lambda device, _: R.normal(1, 2, (70, 60), device=device),
    "normal float64": lambda device, _: R.normal(0, 1, 999, dtype="float64", device=device),
    "integers": lambda device, _: tfl.randint(-5, 2**40, (70, 60), device=device),
    "permutation": lambda device, _: R.permutation(4000, device=device),
    "bernoulli": lambda device, _: tfl.rand(70, 60, device=device) < 0.3,
    "dropout": dropped(F.dropout, 0.3, True),
    "dropout1d": dropped(F.dropout1d, 0.3, True),
    "dropout2d": dropped(F.dropout2d, 0.3, True),
    "alpha_dropout": dropped(F.alpha_dropout, 0.3, True),
    "rrelu": lambda device, zeros: F.rrelu(zeros - 1, 0.1, 0.4, training=True),
    "uniform_": filled(init.uniform_, -1, 1),
    "normal_": filled(init.normal_, std=0.02),
    "trunc_normal_": filled(init.trunc_normal_, std=1.5),
    "xavier_uniform_": filled(init.xavier_uniform_),
    "xavier_normal_": filled(init.xavier_normal_),
    "kaiming_uniform_": filled(init.kaiming_uniform_, 5**0.5),
    "kaiming_normal_": filled(init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    "sparse_": filled(init.sparse_, 0.25),
    "orthogonal_": filled(init.orthogonal_),
}  # fmt: skip


# -- draws on the host, for data -------------------------------------------------------------------
def images() -> np.ndarray:
    return (np.arange(40 * 2 * 6 * 5) % 251).astype(np.uint8).reshape(40, 2, 6, 5)


def augmented(transform: Any) -> Callable[[], Any]:
    return lambda: transform(images(), SampleRandom(SEED, 3, np.arange(40)[::-1]))


def loaded(workers: int = 0) -> list[Any]:
    """Return two epochs in the loader's order, shuffled and augmented."""
    steps = [transforms.RandomShift(2), transforms.RandomHorizontalFlip(), transforms.ToFloat()]
    tfl.manual_seed(SEED)
    data = TensorDataset(images(), np.arange(40))
    with DataLoader(
        data, 7, shuffle=True, num_workers=workers, transform=transforms.Compose(steps)
    ) as loader:
        return [part.numpy() for _ in range(2) for batch in loader for part in batch]


def draws_of_samples() -> list[Any]:
    random = SampleRandom(SEED, 1, [5, 0, 2**40])
    return [random.uniform(), random.uniform((3, 2)), random.integers(-3, 9, (5,))]


DATA: dict[str, Callable[[], Any]] = {
    "SampleRandom": draws_of_samples,
    "RandomShift": augmented(transforms.RandomShift(2)),
    "RandomCrop": augmented(transforms.RandomCrop((4, 3), padding=1)),
    "RandomHorizontalFlip": augmented(transforms.RandomHorizontalFlip(0.4)),
    "random_split": lambda: [
        part.indices for part in random_split(range(30), [20, 10], seed=SEED)
    ],
    "DataLoader": loaded,
}


# -- networks --------------------------------------------------------------------------------------
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(30, 40),
    "Conv1d": lambda: nn.Conv1d(4, 6, 3),
    "Conv2d": lambda: nn.Conv2d(4, 6, 3),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 6, 3),
    "Embedding": lambda: nn.Embedding(50, 20, padding_idx=3),
    "LSTM": lambda: nn.LSTM(7, 9, num_layers=2),
    "MultiheadAttention": lambda: nn.MultiheadAttention(16, 4),
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(16, 4, 32),
}


def digest(values: Any) -> str:
    """Return the SHA-256 of dtypes, shapes and elements, as 16 hexadecimal digits."""
    found = hashlib.sha256()
    for one in values if isinstance(values, list) else [values]:
        found.update(f"{one.dtype} {one.shape}".encode() + np.ascontiguousarray(one).tobytes())
    return found.hexdigest()[:16]


def drawn(name: str, backend: Any, run: Callable[[Any], Any] = lambda f: f) -> list[str]:
    """Return the hashes of four draws in a row from the seed on."""
    tfl.manual_seed(SEED)
    zeros = tfl.zeros((100, 50), device=backend.device)

    def draw() -> Any:
        return DRAWS[name](backend.device, zeros * 1)

    function = run(draw)
    return [digest(backend.host(function().detach())) for _ in range(4)]


def all_hashes() -> dict[str, str]:
    """Return the hash of each stream on the CPU."""
    cpu = all_backends()[0]
    found = {name: digest_of(drawn(name, cpu)) for name in DRAWS}
    found |= {name: digest(make()) for name, make in DATA.items()}
    for name, make in LAYERS.items():
        tfl.manual_seed(SEED)
        found[name] = digest([p.detach().numpy() for p in make().parameters()])
    return found


def digest_of(hashes: list[str]) -> str:
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]


def test_every_stream_has_its_hash() -> None:
    assert all_hashes() == HASHES


@pytest.mark.parametrize("backend", all_backends(), ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_on_every_backend(name: str, backend: Any) -> None:
    """On 1 to 4 threads, and recorded."""
    for threads in (1, 2, 3, 4):
        tfl.set_num_threads(threads)
        assert digest_of(drawn(name, backend)) == HASHES[name], f"{threads} threads"
    if name not in ("trunc_normal_", "orthogonal_"):  # they look at what they drew
        assert digest_of(drawn(name, backend, tfl.jit)) == HASHES[name], "jit"


def test_without_the_native_extension() -> None:
    if native.module is None:
        return  # then the other tests ran without it
    program = "from tests.test_streams import all_hashes, HASHES; assert all_hashes() == HASHES"
    subprocess.run(
        [sys.executable, "-c", program], check=True, env=os.environ | {"TENSORFLOWLITE_NATIVE": "0"}
    )
