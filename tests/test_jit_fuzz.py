"""Random programs under `jit` against themselves without it: the same bits, call by call.

Runs of elementwise calls are fused however small they are; with ``fusion="all"`` values may differ
as they do when every result is off by some roundings.

``TENSORFLOWLITE_FUZZ=5000`` runs so many; ``TENSORFLOWLITE_FUZZ_SEED`` says where to begin.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.programs import fusion as program_fusion
from tensorflowlite.errors import CaptureError
from tensorflowlite.nn import functional as F

from .jit_worlds import readable, seeded, snapshot

COUNT = int(os.environ.get("TENSORFLOWLITE_FUZZ", "150"))
FIRST = int(os.environ.get("TENSORFLOWLITE_FUZZ_SEED", "0"))
CALLS = 6
ROUNDING, NUDGE = 1e-5, 1e-6  # float32 rounds by 6e-8
Step = Callable[[list[Any]], Any]


def one_of(rng: Any, things: Any) -> Any:
    return things[int(rng.integers(len(things)))]


UNARY = [
    tfl.sin, tfl.tanh, tfl.abs, tfl.sigmoid, F.relu, F.gelu, tfl.square, lambda x: -x,
    lambda x: tfl.sqrt(tfl.abs(x) + 1), lambda x: tfl.log(x * x + 1),
    lambda x: tfl.exp(tfl.tanh(x)),
    lambda x: F.softmax(x, -1), lambda x: F.silu(x), lambda x: x.clone(), lambda x: x.detach(),
    lambda x: F.leaky_relu(x, 0.1), lambda x: F.normalize(x, dim=-1), lambda x: tfl.cumsum(x, 0),
    lambda x: F.log_softmax(x, 0), lambda x: F.dropout(x, 0.5, training=True),
    lambda x: x + tfl.rand(3), lambda x: tfl.sort(x, -1)[0], lambda x: x.double().float(),
    lambda x: x * tfl.tensor([1.0, -2.0, 3.0]), lambda x: F.layer_norm(x, x.shape[-1:]),
    lambda x: tfl.vmap(lambda row: tfl.tanh(row).sum())(x) if x.ndim > 1 else x * 1,
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (b * b + 1),
    tfl.maximum, tfl.minimum, lambda a, b: tfl.where(a > b, a, b), lambda a, b: a @ b,
    lambda a, b: a @ tfl.swapaxes(b, -1, -2), lambda a, b: tfl.concat([a, b], 0),
    lambda a, b: tfl.stack([a, b]), lambda a, b: tfl.outer(a.reshape(-1), b.reshape(-1))[:3, :2],
    lambda a, b: tfl.einsum("ij,kj->ik", a, b), lambda a, b: F.linear(a, b),
    lambda a, b: a.masked_fill(b > 0, 0.5), lambda a, b: a * (b > 0), lambda a, b: F.mse_loss(a, b),
    lambda a, b: tfl.atan2(a, b * b + 1),
    lambda a, b: (a.reshape(-1)[:2] * b.reshape(-1)[:2]).sum(),
]  # fmt: skip


def scalar(rng: Any) -> Step:
    k = float(rng.integers(-3, 4)) / 2
    return one_of(rng, [
        lambda x: x * k, lambda x: k - x, lambda x: x + k, lambda x: x / (k + 3),
        lambda x: k / (x * x + 1), lambda x: x**2, lambda x: tfl.clip(x, -1, 1.5),
        lambda x: tfl.pow(tfl.abs(x) + 0.5, k),
    ])  # fmt: skip


def reduction(rng: Any) -> Step:
    axis, keep = one_of(rng, [None, 0, -1, (0,)]), bool(rng.integers(2))
    name = one_of(rng, ["sum", "mean", "max", "min", "prod", "var", "std", "norm", "lse", "any"])
    if name == "norm":
        return lambda x: tfl.linalg.vector_norm(x, axis=axis, keepdims=keep)
    if name == "lse":
        return lambda x: tfl.logsumexp(x, axis=0 if axis is None else axis, keepdims=keep)
    if name == "any":
        return lambda x: tfl.any(x > 0.5, axis=axis, keepdims=keep) * 0.5
    if name in ("var", "std"):
        return lambda x: getattr(tfl, name)(x + x.sum() * 0.1, axis=axis, keepdims=keep)
    return lambda x: getattr(tfl, name)(x, axis=axis, keepdims=keep)


def shaping(rng: Any) -> Step:
    n = int(rng.integers(1, 4))
    return one_of(rng, [
        lambda x: x.reshape(-1), lambda x: x.reshape(3, -1), lambda x: tfl.swapaxes(x, 0, -1),
        lambda x: x[None], lambda x: tfl.squeeze(x), lambda x: tfl.flip(x, axis=0),
        lambda x: tfl.roll(x, n, axis=-1), lambda x: F.pad(x, (1, 0)), lambda x: tfl.tile(x, (n,)),
        lambda x: tfl.broadcast_to(x, (2, *x.shape)), lambda x: tfl.unbind(x)[0] * 1,
        lambda x: tfl.concat(tfl.split(x, 1), 0), lambda x: tfl.repeat(x, n),
    ])  # fmt: skip


def indexing(rng: Any) -> Step:
    i, step = int(rng.integers(0, 2)), int(rng.integers(1, 3))
    rows = [int(one) for one in rng.integers(0, 2, 3)]
    return one_of(rng, [
        lambda x: x[i], lambda x: x[..., i:], lambda x: x[..., ::step], lambda x: x[::-1],
        lambda x: x[rows], lambda x: x[:, rows], lambda x: tfl.take(x, tfl.tensor(rows), 0),
        lambda x: x[i, i:], lambda x: x[..., None, i], lambda x: tfl.tril(x), lambda x: x.T,
    ])  # fmt: skip


def changed(rng: Any) -> Callable[[Any, Any], Any]:
    """In-place changes of the first, or of a copy of it."""
    i, k = int(rng.integers(0, 2)), float(rng.integers(1, 4)) / 2
    copied = bool(rng.integers(4))

    def change(way: int, y: Any, z: Any) -> None:
        if way == 0:
            y += z
        elif way == 1:
            y *= k
        elif way == 2:
            y[i] = z
        elif way == 3:
            y[..., i:] = k
        elif way == 4:
            y[i].mul_(k)
        elif way == 5:
            view = y[..., :2]
            view += k
        elif way == 6:
            y.copy_(z)
        elif way == 7:
            y.reshape(-1)[i:].add_(k)
        elif way == 8:
            y[[0, 1]] = z
        elif way == 9:
            y.fill_(k)
        elif way == 10:
            y.T.sub_(k)
        elif way == 11:
            y[z > 0] = k
        elif way == 12:
            view = y[i]
            y *= k
            view += 1
        else:
            y.add_(z, alpha=k)

    way = int(rng.integers(14))

    def run(a: Any, b: Any) -> Any:
        y = a.clone() if copied else a
        change(way, y, b)
        return y

    return run


def instruction(rng: Any) -> tuple[int, Callable[..., Any]]:
    kind = one_of(rng, "uuubbbbssrrSSSIIIccccf")
    if kind == "u":
        return 1, one_of(rng, UNARY)
    if kind == "b":
        return 2, one_of(rng, BINARY)
    if kind == "s":
        return 1, scalar(rng)
    if kind == "r":
        return 1, reduction(rng)
    if kind == "S":
        return 1, shaping(rng)
    if kind == "I":
        return 1, indexing(rng)
    if kind == "c":
        return 2, changed(rng)
    count, inner = instruction(rng)  # control flow on a Python value
    times = int(rng.integers(0, 3))

    def loop(*xs: Any) -> Any:
        found = xs[0] * 1
        for _ in range(times):
            made = inner(found, *xs[1:])
            found = made if made.shape == found.shape else found + made.sum()
        return found

    return count, loop


class World:
    """Leaves, a state, and what the program does with them; made from a seed, twice alike."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.leaves = [self._new(rng, *s) for s in [(2, 3), (3,), (3, 2)]]
        for leaf in self.leaves:
            leaf.requires_grad_()
        self.states = [self._new(rng, 3), self._new(rng, 2, 3)]

    @staticmethod
    def _new(rng: Any, *shape: int) -> Any:
        return tfl.tensor(rng.standard_normal(shape).astype(np.float32))

    def seen(self) -> list[Any]:
        return snapshot([self.leaves, [leaf.grad for leaf in self.leaves], self.states])


class Program:
    """Instructions, and how the gradients are made and used."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.noise: Any = None
        self.rng = rng = np.random.default_rng([seed, 1])
        self.steps: list[tuple[tuple[int, ...], Callable[..., Any]]] = []
        self.backward = one_of(rng, ["backward", "backward", "grad", "kept", "second", "none"])
        self.update = bool(rng.integers(2))
        self.zero = one_of(rng, ["none", "first", "zeros", "late"])
        self.shown = int(rng.integers(3, 9))
        world = World(seed)
        pool = self.pool(world, self.arguments(0))
        wanted = int(rng.integers(4, 16))
        for _ in range(200):
            if len(self.steps) == wanted:
                break
            count, run = instruction(rng)
            chosen = tuple(int(one) for one in rng.integers(0, len(pool), count))
            try:
                made = run(*[pool[i] for i in chosen])
            except Exception:
                # A failed one may have changed something: begin anew with those that work.
                world = World(seed)
                pool = self.pool(world, self.arguments(0))
                for places, step in self.steps:
                    pool.append(step(*[pool[i] for i in places]))
                continue
            if made.size <= 200:
                pool.append(made)
                self.steps.append((chosen, run))

    def arguments(self, call: int) -> list[Any]:
        rng = np.random.default_rng([self.seed, 2, call])
        return [World._new(rng, 2, 3), World._new(rng, 3)]

    def pool(self, world: World, args: list[Any]) -> list[Any]:
        # Neither leaves nor arguments may be changed in place: those come as new tensors.
        return [*[x * 1 for x in args], *[x * 1 for x in world.leaves], *world.states]

    def run(self, world: World, *args: Any) -> Any:
        if self.zero == "first":
            self._drop(world)
        pool = self.pool(world, list(args))
        with tfl.no_grad():
            world.states[0].add_(1.0)
        for places, step in self.steps:
            made = step(*[pool[i] for i in places])
            alone = all(made.array is not x.array for x in pool)
            pool.append(self._off(made) if alone else made)
        due = [x for x in pool if x.requires_grad]
        total = None
        for x in due:
            one = tfl.tanh(x).mean()
            total = one if total is None else total + one
        found: list[Any] = []
        if self.zero == "zeros":
            for leaf in world.leaves:
                if leaf.grad is not None:
                    leaf.grad.zero_()
        if self.zero == "late":
            self._drop(world)
        if total is not None and self.backward != "none":
            found += self._gradients(world, total)
        if self.update:
            with tfl.no_grad():
                for leaf in world.leaves:
                    if leaf.grad is not None:
                        leaf -= 0.1 * leaf.grad
        if any(x.requires_grad for x in world.states):
            raise ValueError("a state that has a history is none")
        return [x.detach() for x in pool[-self.shown :]], found

    def _off(self, x: Any) -> Any:
        """Return a tensor that is no view off by some roundings, where there is noise."""
        if self.noise is None or x.array.dtype.kind != "f" or x.array.base is not None:
            return x
        return x * tfl.tensor(1 + NUDGE * self.noise.standard_normal(x.shape), dtype=x.dtype)

    @staticmethod
    def _drop(world: World) -> None:
        for leaf in world.leaves:
            leaf.grad = None

    def _gradients(self, world: World, total: Any) -> list[Any]:
        if self.backward in ("backward", "kept"):
            total.backward(retain_graph=self.backward == "kept")
            return []
        twice = self.backward == "second"
        found = tfl.autograd.grad(total, world.leaves, create_graph=twice, allow_unused=True)
        if twice:
            loss = sum((g * g).sum() for g in found if g is not None and g.requires_grad)
            if not isinstance(loss, int):
                loss.backward()
        return [None if g is None else g.detach() for g in found]

    def played(self, fusion: str = "", noise: Any = None) -> tuple[list[Any], int]:
        """Return what is seen after each call, by `jit` with a kind of fusion, and how many.

        ``noise``, a generator, puts leaves, arguments and instructions' results off by some
        roundings.
        """
        seeded(self.seed)
        self.noise = noise
        world = World(self.seed)
        for leaf in world.leaves:
            leaf.array[...] = self._off(leaf).array

        def step(*args: Any) -> Any:
            return self.run(world, *args)

        call = tfl.jit(step, fusion=fusion) if fusion else step
        seen = []
        for i in range(CALLS):
            args = [self._off(x) for x in self.arguments(i)]
            seen.append([snapshot(call(*args)), world.seen()])
        return seen, call.cache_info().replayed if fusion else 0


def alike(given: Any, expected: Any, nudged: Any = None) -> bool:
    """Whether trees of values are the same; one NaN is like another.

    With ``nudged``, what came of results that were put off by some roundings: as near as those.
    """
    if isinstance(given, list):
        others = nudged or [None] * len(expected)
        return len(given) == len(expected) == len(others) and all(
            alike(*three) for three in zip(given, expected, others, strict=True)
        )
    if given == expected:
        return True
    if not isinstance(given, tuple) or given[:2] != expected[:2] or "float" not in given[0]:
        return False
    ours, theirs = readable(given), readable(expected)
    nan = np.isnan(ours) & np.isnan(theirs)
    if nudged is None:
        same = (ours == theirs) & (np.signbit(ours) == np.signbit(theirs))
        return bool((same | nan).all())
    room = ROUNDING * (1 + np.abs(theirs)) + 4 * np.abs(theirs - readable(nudged))
    return bool(((np.abs(ours - theirs) <= room) | (ours == theirs) | nan).all())


@pytest.mark.parametrize("fusion", ["exact", "all"])
def test_random_programs(fusion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_fusion, "LEAST", 1)
    compared = replayed = refused = dropped = 0
    failures: list[str] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for seed in range(FIRST, FIRST + COUNT):
            program = Program(seed)
            try:
                expected, _ = program.played()
            except Exception:
                dropped += 1  # such as a value that backward needs, changed in place
                continue
            nudged: Any = [None] * CALLS
            if fusion == "all":
                nudged, _ = program.played(noise=np.random.default_rng(seed))
            try:
                given, count = program.played(fusion)
            except CaptureError as error:
                refused += 1
                failures.append(f"seed {seed}: {error}")
                continue
            except Exception as error:
                failures.append(f"seed {seed}: {type(error).__name__}: {error}")
                continue
            compared += 1
            replayed += count
            for i, three in enumerate(zip(given, expected, nudged, strict=True)):
                if not alike(*three):
                    failures.append(f"seed {seed}: other values in call {i}")
                    break
    report = (
        f"{compared} programs compared, {replayed} calls replayed, {refused} refused, "
        f"{dropped} not runnable"
    )
    print(report)
    assert not failures, "\n".join([report, *failures])
    assert compared > COUNT // 2 and replayed > 2 * compared, report
