"""How tests hold `jit` against the function itself: the same world twice, once with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import backend_of
from tensorflowlite.transforms.jit import Jitted
from tensorflowlite.transforms.tree import flatten

CALLS = 8  # as it is, recorded twice, replayed five times
World = Callable[[Callable[..., Any]], Iterator[Any]]


def bits(value: Any) -> Any:
    """Return what a tensor holds, to compare; anything else as it is."""
    if isinstance(value, tfl.Tensor):
        array = backend_of(value.array).to_host(value.array)
        return str(array.dtype), array.shape, array.tobytes()
    return value


def snapshot(tree: Any) -> list[Any]:
    return [bits(leaf) for leaf in flatten(["None" if x is None else x for x in flat(tree)])[0]]


def flat(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [one for value in tree.values() for one in flat(value)]
    if isinstance(tree, list | tuple):
        return [one for value in tree for one in flat(value)]
    return [tree]


def seeded(seed: int) -> None:
    """Set the seed, and let every device have its generator."""
    tfl.manual_seed(seed)
    for device in ("cpu", "shadow"):
        tfl.rand(1, device=device)


def played(world: World, jit: Callable[..., Any]) -> list[Any]:
    seeded(3)
    # map holds nothing that was yielded while the next call runs: gradients are gone by then.
    return list(map(snapshot, world(jit)))


def check(world: World, least: int = 1) -> None:
    """Hold a world with `jit` to the same bits as without; at least so many calls are replayed."""
    made: list[Jitted] = []

    def jit(function: Any) -> Jitted:
        made.append(tfl.jit(function))
        return made[-1]

    expected = played(world, lambda function: function)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "jit: .* was recorded", RuntimeWarning)
        given = played(world, jit)
    assert len(given) == len(expected)
    for call, (ours, theirs) in enumerate(zip(given, expected, strict=True)):
        assert len(ours) == len(theirs), f"call {call}"
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            where = f"call {call}, value {place}"
            assert one == other, f"{where}: {readable(one)}, not {readable(other)}"
    replayed = sum(one.cache_info().replayed for one in made)
    assert replayed >= least, [one.cache_info() for one in made]


def readable(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) == 3 and isinstance(value[2], bytes):
        dtype = np.dtype(value[0]) if value[0] != "bfloat16" else np.dtype(np.uint16)
        return np.frombuffer(value[2], dtype).reshape(value[1])
    return value


def state_of(model: Any, *optimizers: Any) -> list[Any]:
    """Return what training changes: parameters, gradients, buffers, states, learning rates."""
    found: list[Any] = []
    for p in model.parameters():
        found += [p, p.grad]
    found += list(model.buffers())
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            found += [group["lr"], group.step]
            found += [optimizer.state.get(p, {}) for p in group["params"]]
    return found


def batch(i: int, *shape: int, dtype: Any = np.float32) -> tfl.Tensor:
    """Return the numbers of a call."""
    rng = np.random.default_rng([i, *shape])
    return tfl.tensor(rng.standard_normal(shape).astype(dtype))


def labels(i: int, count: int, classes: int) -> tfl.Tensor:
    return tfl.tensor(np.random.default_rng([i, count]).integers(0, classes, count))


def trained(jit: Any, model: Any = None, opt: Any = None, zero: Any = None) -> Any:
    """Return a model, its optimizer and a step on a batch of (4, 3)."""
    model = model or nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    opt = opt or optim.Adam(model.parameters(), lr=0.05)
    zero = zero or opt.zero_grad

    def step(x: Any) -> Any:
        zero()
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    return model, opt, jit(step)


class Worlds:
    """The worlds of a file; as a decorator it adds one, of which ``least`` calls are replayed."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def __call__(self, least: int = 1) -> Callable[[World], World]:
        def add(world: World) -> World:
            self.found.append(pytest.param(world, least, id=world.__name__))
            return world

        return add
