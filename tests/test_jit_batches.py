"""`jit(dynamic_batch=True)`: batches of many sizes against the function itself, and what is kept.

``TENSORFLOWLITE_FUZZ=5000`` runs so many random functions; ``TENSORFLOWLITE_FUZZ_SEED`` says where
to begin.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import backend_of
from tensorflowlite.core.capture import unless
from tensorflowlite.errors import ArgumentError, CaptureError, ShapeError
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.jit_batches import bucket_of
from tensorflowlite.transforms.tree import flatten

from .jit_worlds import bits

COUNT = int(os.environ.get("TENSORFLOWLITE_FUZZ", "250"))
FIRST = int(os.environ.get("TENSORFLOWLITE_FUZZ_SEED", "0"))
SIZES = [5, 7, 5, 3, 11, 7, 16, 2, 9, 13, 8, 1, 6, 17, 4, 1, 11, 30, 0, 12, 1, 3, 16, 0, 8]
Function = Callable[..., Any]


def drawn(n: int, *shape: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(100 * n + seed)
    return tfl.Tensor(rng.standard_normal((n, *shape)).astype(np.float32))


def host(x: Any) -> Any:
    return backend_of(x.array).to_host(x.array)


def same(ours: Any, theirs: Any, exactly: bool = True) -> None:
    ours, form = flatten(ours)
    theirs, other = flatten(theirs)
    assert form == other
    for one, right in zip(ours, theirs, strict=True):
        if not isinstance(right, tfl.Tensor):
            assert type(one) is type(right) and one == right
        elif exactly:
            assert bits(one) == bits(right)
        else:
            assert one.dtype == right.dtype and one.shape == right.shape
            np.testing.assert_allclose(host(one), host(right), rtol=2e-5, atol=2e-6)


def played(function: Function, make: Callable[[int], Sequence[Any]],
           sizes: Sequence[int] = SIZES, exactly: bool = True) -> Any:  # fmt: skip
    """Hold a function with dynamic batches to itself without; return it."""
    jitted = tfl.jit(function, dynamic_batch=True)
    with tfl.no_grad():
        for n in sizes:
            given = make(n)
            same(jitted(*given), function(*given), exactly)
    return jitted


def is_padded(jitted: Any) -> bool:
    return "batches: padded to" in jitted.explain() and "one program per size" not in str(
        jitted.explain()
    )


# -- models ----------------------------------------------------------------------------------------
def mlp() -> Any:
    tfl.manual_seed(1)
    layers = (nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4), nn.Softmax(dim=-1))
    return nn.Sequential(*layers).eval()


def cnn() -> Any:
    tfl.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    ).eval()  # fmt: skip


def transformer() -> Any:
    tfl.manual_seed(1)
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()


def recurrent() -> Any:
    tfl.manual_seed(1)
    return nn.LSTM(3, 5, batch_first=True, num_layers=2, bidirectional=True).eval()


MODELS = {
    "mlp": (mlp, (3,)),
    "cnn": (cnn, (3, 8, 8)),
    "transformer": (transformer, (6, 8)),
    "recurrent": (recurrent, (5, 3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_have_a_program_per_bucket(name: str) -> None:
    build, shape = MODELS[name]
    jitted = played(build(), lambda n: [drawn(n, *shape)], SIZES * 2, exactly=False)
    info = jitted.cache_info()
    assert is_padded(jitted), jitted.explain()
    assert "batches: padded to 8, 16, 32" in jitted.explain()
    assert info.programs <= 5  # three buckets, single samples; those of 5 were recorded alone
    assert info.replayed >= 25


def test_sizes_1_to_64_of_an_mlp() -> None:
    model = mlp()
    jitted = played(model, lambda n: [drawn(n, 3)], list(range(1, 65)) * 3, exactly=False)
    info = jitted.cache_info()
    assert info.programs == 5  # 8, 16, 32, 64, and single samples
    assert info.recorded == 63 + 4 + 2 - 1 + 1  # each once, the buckets, single samples twice
    before = info.recorded
    for n in range(64, 0, -1):
        with tfl.no_grad():
            same(jitted(drawn(n, 3)), model(drawn(n, 3)), False)
    assert jitted.cache_info().recorded == before
    jitted.cache_clear()
    assert jitted.cache_info().programs == 0


@pytest.mark.parametrize(("count", "bucket"), [(2, 8), (8, 8), (9, 16), (64, 64), (65, 128)])
def test_buckets(count: int, bucket: int) -> None:
    assert bucket_of(count) == bucket


def test_other_parameters_are_noticed() -> None:
    model = mlp()
    jitted = played(model, lambda n: [drawn(n, 3)], [5, 6, 7, 5, 6, 7, 12, 12], exactly=False)
    model[0] = nn.Linear(3, 16)
    with tfl.no_grad():
        for n in [5, 6, 7, 12, 5, 6, 7, 12]:
            same(jitted(drawn(n, 3)), model(drawn(n, 3)), False)
        model[3].weight.mul_(2.0)
        recorded = jitted.cache_info().recorded
        for n in [5, 6, 7, 12]:
            same(jitted(drawn(n, 3)), model(drawn(n, 3)), False)
        assert jitted.cache_info().recorded == recorded  # changed in place


def test_a_model_that_is_trained_and_evaluated() -> None:
    """Dropout mixes nothing, but draws numbers: how many depends on the batch."""
    model = mlp().train()
    jitted = tfl.jit(model, dynamic_batch=True)
    sizes = [5, 7, 5, 7, 9, 5, 7]
    with tfl.no_grad():
        tfl.manual_seed(5)
        expected = [model(drawn(n, 3)) for n in sizes]
        tfl.manual_seed(5)
        same([jitted(drawn(n, 3)) for n in sizes], expected)
        assert not is_padded(jitted)
        assert "random" in jitted.explain()
        model.eval()
        for n in SIZES:
            same(jitted(drawn(n, 3)), model(drawn(n, 3)), False)
    assert "padded to 8, 16, 32" in jitted.explain()


def test_a_training_step_is_never_padded() -> None:
    def train(jit: Any) -> Any:
        tfl.manual_seed(4)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        opt = optim.Adam(model.parameters(), lr=0.1)
        calls = []

        def step(x: Any, y: Any) -> Any:
            calls.append(len(x))
            opt.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            opt.step()
            return loss

        run = jit(step)
        losses = [bits(run(drawn(n, 3), drawn(n, 1))) for n in SIZES[:18]]
        return run, calls, losses + [bits(p) for p in model.parameters()]

    _, _, plain = train(lambda function: function)
    jitted, calls, ours = train(lambda function: tfl.jit(function, dynamic_batch=True))
    assert ours == plain
    assert set(calls) <= set(SIZES)  # it was never called for a padded batch
    assert not is_padded(jitted)
    assert "changes a tensor from outside" in jitted.explain()


# -- functions -------------------------------------------------------------------------------------
S = tfl.tensor(np.arange(9, dtype=np.float32).reshape(3, 3) / 7)

MIXING: dict[str, Function] = {
    "softmax": lambda x: F.softmax(x, 0),
    "running sums": lambda x: tfl.cumsum(x, axis=0),
    "reversed": lambda x: x[::-1] * 1,
    "transposed": lambda x: x.T,
    "all pairs": lambda x: x @ x.T,
    "order": lambda x: tfl.sort(x, axis=0),
    "mean": lambda x: x.mean(),
    "centred": lambda x: x - x.mean(0),
    "divisor": lambda x: x / x.shape[0],
    "number": lambda x: (x * 2, x.shape[0]),
    "into samples": lambda x: (x * 2).reshape(3, -1),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_rows_has_a_program_per_size(name: str) -> None:
    sizes = [n for n in SIZES if n]
    jitted = played(MIXING[name], lambda n: [drawn(n, 3)], sizes, exactly=name != "all pairs")
    assert "one program per size" in jitted.explain()
    assert "padded" not in jitted.explain()
    assert jitted.cache_info().programs > 5


KEEPING: dict[str, Function] = {
    "elementwise": lambda x: tfl.tanh(x) * tfl.tensor([1.0, 2.0, 3.0]) + 1,
    "transposed": lambda x: tfl.exp(x.T),
    "itself": lambda x: (x, {"twice": x * 2, "width": x.shape[1], "none": None}),
    "what is the same": lambda x: (x * 2, S * 2),
    "moments": lambda x: (x - x.mean(1, keepdims=True)) / x.std(axis=1, keepdims=True),
    "vmap": lambda x: tfl.vmap(lambda row: tfl.sort(row)[::-1] * row.sum())(x),
    "gradients": lambda x: tfl.grad(lambda y: tfl.sin(y).sum())(x),
    "squeezed": lambda x: tfl.squeeze(x * 2),
    "zeros": lambda x: tfl.concat([x, tfl.zeros(x.shape[0], 2)], 1),
    "numbers": lambda x: x + tfl.arange(x.shape[0])[:, None],
    "in place": lambda x: (x * 2).add_(1.0).mul_(x),
    "halves": lambda x: x.half().float(),
}


@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("fusion", ["exact", "none"])
def test_what_keeps_rows_apart_is_padded(name: str, fusion: str) -> None:
    """Without products, the bits are those of the function."""
    function = KEEPING[name]
    jitted = tfl.jit(function, fusion=fusion, dynamic_batch=True)
    for n in SIZES * 2:
        same(jitted(drawn(n, 3)), function(drawn(n, 3)))
    assert is_padded(jitted), jitted.explain()
    assert jitted.cache_info().programs <= 5


def test_a_batch_as_long_as_another_axis() -> None:
    sizes = [3, 5, 3, 3, 3, 9, 3, 8, 8, 8, 3]
    square = tfl.Tensor(np.arange(9, dtype=np.float32).reshape(3, 3))
    for function in (
        lambda x: (x * 2).reshape(x.shape[0], 3), lambda x: (x * 2).reshape(-1, 3, 1),
        lambda x: x + square.sum(0), lambda x: F.softmax(x, 1),
    ):  # fmt: skip
        assert is_padded(played(function, lambda n: [drawn(n, 3)], sizes))
    jitted = played(lambda x, y: x * y.sum(), lambda n: [drawn(n, 3), square * 1], [*sizes, 6, 7])
    assert is_padded(jitted)


def test_python_code_that_chooses_by_the_size() -> None:
    """Each size is compared on its own: no program is taken for one of another branch."""

    def choose(x: Any) -> Any:
        if x.shape[0] > 10:
            return tfl.sin(x) if x.shape[0] == 13 else x * 2
        return x * 3 if x.shape[0] % 2 else x + 1

    played(choose, lambda n: [drawn(n, 3)], list(range(1, 18)) * 3)


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Chosen:
    """What `jit` doesn't look into: a module for batches of 8, another one for the rest."""

    def __init__(self) -> None:
        self.parts = [Scale(2.0), Scale(2.0)]


@pytest.mark.parametrize("changed", [0, 1])
def test_modules_that_are_chosen_by_the_size(changed: int) -> None:
    """The bucket looks at another module than a smaller batch, though at one of the same class."""
    chosen = Chosen()

    def run(x: Any) -> Any:
        return chosen.parts[x.shape[0] == 8](x)

    jitted = played(run, lambda n: [drawn(n, 3)], [5, 6, 7, 5, 6, 7])
    assert is_padded(jitted)
    chosen.parts[changed].factor = 3.0
    with tfl.no_grad():
        for n in [5, 6, 7, 8, 8, 8, 5, 6, 7, 8]:
            same(jitted(drawn(n, 3)), run(drawn(n, 3)))


def test_sizes_share_the_guards_of_their_bucket() -> None:
    model = mlp()
    jitted = played(model, lambda n: [drawn(n, 3)], [5, 6, 7, 5, 6, 7], exactly=False)
    guards = {id(one.guards) for key in jitted._keys.values() for one in key.ready}
    assert len(jitted._keys) == 3
    assert len(guards) == 1


def test_a_zero_whose_sign_depends_on_the_size() -> None:
    def run(x: Any) -> Any:
        return F.hardtanh(x - 9, -0.0 if x.shape[0] == 8 else 0.0, 1.0)

    assert not is_padded(played(run, lambda n: [drawn(n, 3)], [5, 6, 7, 5, 6, 7, 8, 5]))


def test_several_arguments_with_the_batch() -> None:
    def masked(x: Any, mask: Any, scale: float, table: Any) -> Any:
        return tfl.where(mask, x * scale, table[0])

    table = drawn(7, 3)
    jitted = played(
        masked, lambda n: [drawn(n, 3), tfl.Tensor(drawn(n, 3).array > 0), 2.0, table],
    )  # fmt: skip
    assert is_padded(jitted)
    assert jitted.cache_info().programs <= 5


def test_nested_arguments_by_name() -> None:
    def run(batch: Any, *, more: Any) -> Any:
        return {"sum": batch["a"] + batch["b"][0] * more, "other": [batch["b"][1] * 2]}

    jitted = tfl.jit(run, dynamic_batch=True)
    for n in SIZES:
        batch = {"a": drawn(n, 3), "b": (drawn(n, 3, seed=1), drawn(n, 2, seed=2))}
        same(jitted(batch, more=drawn(n, 1, seed=3)), run(batch, more=drawn(n, 1, seed=3)))
    assert is_padded(jitted)


def test_leading_axes_that_change_otherwise() -> None:
    """Only what changed together first is one batch; other sizes have programs of their own."""
    jitted = tfl.jit(lambda x, y: (x * 2, y.sum()), dynamic_batch=True)
    for _ in range(3):
        for n, m in [(5, 4), (6, 4), (7, 4), (7, 5), (6, 5), (12, 4)]:
            x, y = drawn(n, 3), drawn(m, 3)
            same(jitted(x, y), (x * 2, y.sum()))
    assert "padded to 8, 16" in jitted.explain()
    assert "differ otherwise" in jitted.explain()


def test_arguments_laid_out_otherwise() -> None:
    for lay in (np.asfortranarray, lambda a: np.repeat(a, 2, 1)[:, ::2]):
        played(
            lambda x: F.softmax(x * 2, 1), lambda n, lay=lay: [tfl.Tensor(lay(drawn(n, 3).array))]
        )


def test_what_the_function_returns_stays() -> None:
    """Results are copies: neither the next call changes them, nor do they hold the bucket's."""
    for static in (False, True):
        jitted = tfl.jit(lambda x: x * 2, dynamic_batch=True, static_outputs=static)
        for n in (5, 6, 7, 5, 6, 7):
            jitted(drawn(n, 3))
        x, other = drawn(5, 3), drawn(6, 3)
        first = jitted(x)
        owner = first.array if first.array.base is None else first.array.base
        assert owner.shape == (5, 3)
        jitted(other)
        same(first, x * 2)
        first.add_(1.0)
        same(jitted(x), x * 2)


def test_arguments_are_not_changed_or_kept() -> None:
    jitted = tfl.jit(lambda x: x * 2, dynamic_batch=True)
    for n in (5, 6, 7, 5, 6, 7):
        x = drawn(n, 3)
        before = bits(x)
        jitted(x)
        assert bits(x) == before
        gc.collect()
    assert x.array.flags.owndata or x.array.base is not None


def test_an_error_is_that_of_the_function() -> None:
    table = drawn(4, 3)
    jitted = tfl.jit(lambda i: F.embedding(i, table), dynamic_batch=True)
    good = [tfl.Tensor(np.arange(n) % 4) for n in (5, 6, 7, 5, 6, 7)]
    for i in good:
        same(jitted(i), F.embedding(i, table))
    wrong = tfl.Tensor(np.array([0, 1, 9, 2, 3]))
    with pytest.raises(IndexError, match="got 9"):
        jitted(wrong)
    same(jitted(good[0]), F.embedding(good[0], table))


def test_a_function_that_fails_for_the_bucket() -> None:
    """Positions for ten samples alone: batches of more have no program to be padded to."""
    positions = drawn(10, 3)
    jitted = tfl.jit(lambda x: x + positions[: x.shape[0]] * 1, dynamic_batch=True)
    for n in (5, 6, 7, 5, 6, 9, 10, 9, 10, 9, 10):
        same(jitted(drawn(n, 3)), drawn(n, 3) + positions[:n])
    with pytest.raises(ShapeError):
        jitted(drawn(11, 3))


def test_side_effects_of_a_refused_padding_are_undone() -> None:
    seen = tfl.zeros(3)

    def run(x: Any) -> Any:
        if x.shape[0] == 8:
            seen.add_(1.0)
        return x * 2

    played(run, lambda n: [drawn(n, 3)], [5, 6, 7, 5, 6, 7])
    assert seen.tolist() == [0.0, 0.0, 0.0]


def test_side_effects_of_a_padding_that_left_something_out_are_undone() -> None:
    seen = tfl.zeros(3)

    def run(x: Any) -> Any:
        if x.shape[0] == 8:
            seen.add_(1.0)
            unless([tfl.tensor(True)], lambda: None)
        return x * 2

    played(run, lambda n: [drawn(n, 3)], [5, 6, 7, 5, 6, 7])
    assert seen.tolist() == [0.0, 0.0, 0.0]


def test_a_constant_made_anew_at_each_call_is_not_padded() -> None:
    rng = np.random.default_rng(3)
    jitted = tfl.jit(lambda x: x + tfl.tensor(rng.standard_normal(3)), dynamic_batch=True)
    results = [bits(jitted(drawn(5 + i % 3, 3))) for i in range(9)]
    assert len(set(results)) == 9
    assert not is_padded(jitted)


def test_arguments_that_require_gradients_are_not_padded() -> None:
    jitted = tfl.jit(lambda x: x.detach() * 2, dynamic_batch=True)
    for n in (5, 6, 7, 5, 6, 7, 5, 6):
        x = drawn(n, 3).requires_grad_()
        same(jitted(x), x.detach() * 2)
    assert "padded" not in jitted.explain()


def test_what_jit_refuses_is_refused() -> None:
    jitted = tfl.jit(lambda x: x * float((x * 2).sum()), dynamic_batch=True)
    jitted(drawn(5, 3))
    with pytest.raises(CaptureError, match="return it"):
        jitted(drawn(6, 3))


def test_many_sizes_make_no_storm() -> None:
    """Sizes are no reason to warn, programs of mixing functions are few, and recording ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jitted = played(lambda x: x.mean(0) * 2, lambda n: [drawn(n, 2)], list(range(2, 90)) * 2)
        assert jitted.cache_info().programs <= 64
        padded = played(lambda x: x * 2, lambda n: [drawn(n, 2)], list(range(2, 200)) * 2)
        assert padded.cache_info().programs <= 6
    with pytest.warns(RuntimeWarning, match="batches of other sizes"):
        for n in range(2, 600):
            jitted(drawn(n % 150 + 2, 2))
            jitted(drawn(n % 150 + 2, 2))
    recorded = jitted.cache_info().recorded
    for n in range(200, 230):
        same(jitted(drawn(n, 2)), drawn(n, 2).mean(0) * 2)
        same(jitted(drawn(n, 2)), drawn(n, 2).mean(0) * 2)
    assert jitted.cache_info().recorded == recorded


def test_without_it_every_size_is_its_own() -> None:
    jitted = tfl.jit(lambda x: x * 2)
    for n in (5, 6, 7) * 3:
        same(jitted(drawn(n, 3)), drawn(n, 3) * 2)
    assert jitted.cache_info().programs == 3
    assert "batches" not in jitted.explain()


@pytest.mark.parametrize("wrong", [1, None, "yes"])
def test_options(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="dynamic_batch must be True or False, got"):
        tfl.jit(tfl.sin, dynamic_batch=wrong)
    assert tfl.jit(dynamic_batch=True)(tfl.sin)(tfl.zeros(2)).tolist() == [0.0, 0.0]


def test_on_another_device() -> None:
    jitted = tfl.jit(lambda x: F.softmax(x * 2, 1), dynamic_batch=True)
    for n in SIZES * 2:
        x = drawn(n, 3).to("shadow")
        same(jitted(x), F.softmax(x * 2, 1))
    assert is_padded(jitted)


# -- random functions ------------------------------------------------------------------------------
STEPS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b, lambda a, b: a * b - a, lambda a, b: tfl.tanh(a),
    lambda a, b: tfl.where(a > b, a, b), lambda a, b: F.softmax(a, -1),
    lambda a, b: a - a.mean(-1, keepdims=True), lambda a, b: tfl.sort(a, axis=-1),
    lambda a, b: tfl.cumsum(a, axis=-1), lambda a, b: tfl.flip(a, axis=-1),
    lambda a, b: tfl.concat([a, b], -1)[..., ::2], lambda a, b: a + tfl.arange(3),
    lambda a, b: tfl.maximum(a, b.max(-1, keepdims=True)),
    lambda a, b: a.reshape(a.shape[0], -1).reshape(a.shape) * 2,
    lambda a, b: tfl.swapaxes(tfl.sin(tfl.swapaxes(a, 0, 1)), 0, 1) * 1,
    lambda a, b: a + tfl.zeros(a.shape[0], 1), lambda a, b: a[:, [2, 0, 1]],
    lambda a, b: tfl.vmap(lambda r, s: r * s.sum())(a, b),
    lambda a, b: (a * 1).add_(b), lambda a, b: F.layer_norm(a, (3,)),
    lambda a, b: tfl.stack([a, b], 1)[:, 1], lambda a, b: tfl.abs(a).sqrt(),
    lambda a, b: a.reshape(-1).reshape(-1, 3) + b, lambda a, b: tfl.tile(a, (1, 2))[:, 3:],
    lambda a, b: a @ S, lambda a, b: F.linear(a, S),
    lambda a, b: tfl.einsum("bi,bj,jk->bk", a, b, S),
    lambda a, b: (a[:, None] @ b[..., None])[:, 0] * a,
]  # fmt: skip
PRODUCTS_FROM = len(STEPS) - 4  # from there on results may round otherwise
MIXERS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a - a.mean(0), lambda a, b: a[::-1] + b, lambda a, b: F.softmax(a, 0),
    lambda a, b: tfl.cumsum(a, axis=0), lambda a, b: tfl.roll(a, 1, axis=0) * b,
    lambda a, b: a / a.shape[0], lambda a, b: a * b.max(), lambda a, b: tfl.sort(a, axis=0),
    lambda a, b: a[0] + b, lambda a, b: a + tfl.linspace(0, 1, a.shape[0])[:, None],
    lambda a, b: a if a.shape[0] % 3 else a * 2, lambda a, b: a * (a.shape[0] > 10),
    lambda a, b: a.reshape(3, -1).T + b, lambda a, b: (a @ b.T)[:, :1] * a,
    lambda a, b: tfl.concat([a, b])[: a.shape[0]] * 2,
    lambda a, b: tfl.concat([a, b])[a.shape[0] :] * 2,
    lambda a, b: a[tfl.argsort(b[:, 0])], lambda a, b: tfl.tril(a) + b,
]  # fmt: skip


@pytest.mark.parametrize("number", range(FIRST, FIRST + COUNT))
def test_random_functions(number: int) -> None:
    rng = np.random.default_rng(number)
    steps: list[Any] = []
    exactly = True
    for _ in range(int(rng.integers(2, 7))):
        mixes = not rng.integers(8)
        table = MIXERS if mixes else STEPS
        place = int(rng.integers(len(table)))
        exactly = exactly and (table is STEPS and place < PRODUCTS_FROM)
        steps.append((table[place], *[int(i) for i in rng.integers(0, 100, 2)]))

    def run(x: Any, y: Any) -> Any:
        pool = [x, y]
        for step, i, j in steps:
            pool.append(step(pool[-1 - i % min(2, len(pool))], pool[j % len(pool)]))
        return pool[-1], pool[len(pool) // 2], pool[-2].sum(-1)

    sizes = [int(n) for n in rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 20], 6)]
    jitted = tfl.jit(run, dynamic_batch=True)
    with np.errstate(all="ignore"):
        for n in [*sizes, *sizes, *sizes[::-1]]:
            given = drawn(n, 3), drawn(n, 3, seed=1)
            same(jitted(*given), run(*given), exactly)
    assert jitted.cache_info().replayed
