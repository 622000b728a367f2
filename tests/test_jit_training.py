"""Training steps under `jit`, each against the step itself: the same bits everywhere."""

from __future__ import annotations

from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F
from tensorflowlite.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .jit_worlds import CALLS, batch, check, labels, state_of

OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD with momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "SGD nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Lion": lambda p: optim.Lion(p, lr=0.01),
    "LAMB": lambda p: optim.LAMB(p, lr=0.01),
    "Muon": lambda p: optim.Muon([one for one in p if one.ndim == 2], lr=0.01),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "Adadelta": lambda p: optim.Adadelta(p),
    "Adamax": lambda p: optim.Adamax(p),
    "NAdam": lambda p: optim.NAdam(p),
    "RAdam": lambda p: optim.RAdam(p),
    "Rprop": lambda p: optim.Rprop(p),
    "ASGD": lambda p: optim.ASGD(p),
}


def mlp() -> Any:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizers_step(name: str) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = OPTIMIZERS[name](model.parameters())

        @jit
        def step(x):
            model.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)


class Recurrent(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.cells = kind(3, 4, num_layers=2, batch_first=True, dropout=0.2)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.cells(x)[0][:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8, padding_idx=0)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.layer(x) @ self.embed.weight.T  # tied


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(3, 6), nn.Dropout(0.5), nn.Tanh())
        self.second = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        return self.second(tfl.checkpoint(self.first, x))


class Hooked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.layer.register_forward_hook(lambda m, args, out: out * 2)
        self.layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
        self.layer.weight.register_hook(lambda g: g * 0.5)

    def forward(self, x: Any) -> Any:
        return self.layer(x)


def conv() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, padding=1, groups=1), nn.GroupNorm(2, 4), nn.GELU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip


MODELS: dict[str, Any] = {
    "mlp": (mlp, lambda i: batch(i, 4, 3)),
    "dropout": (lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.4), nn.Linear(8, 2)),
                lambda i: batch(i, 4, 3)),
    "batch norm": (lambda: nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)),
                   lambda i: batch(i, 4, 3)),
    "batch norm, even mean": (lambda: nn.Sequential(nn.BatchNorm1d(3, momentum=None),
                                                    nn.Linear(3, 2)), lambda i: batch(i, 4, 3)),
    "GRU": (lambda: Recurrent(nn.GRU), lambda i: batch(i, 2, 5, 3)),
    "LSTM": (lambda: Recurrent(nn.LSTM), lambda i: batch(i, 2, 5, 3)),
    "RNN": (lambda: Recurrent(nn.RNN), lambda i: batch(i, 2, 5, 3)),
    "conv": (conv, lambda i: batch(i, 2, 1, 8, 8)),
    "checkpoint": (Checkpointed, lambda i: batch(i, 4, 3)),
    "hooks": (Hooked, lambda i: batch(i, 4, 3)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
                    lambda i: batch(i, 4, 3)),
    "spectral norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)),
                      lambda i: batch(i, 4, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns(name: str) -> None:
    make, data = MODELS[name]

    def world(jit: Any) -> Any:
        model = make()
        opt = optim.AdamW(model.parameters(), lr=0.01)

        @jit
        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            x = data(i)
            yield step(x, labels(i, x.shape[0], 2)), state_of(model, opt)

    check(world, 5)


def test_attention_and_tied_embeddings_learn() -> None:
    def world(jit: Any) -> Any:
        model = Attending()
        opt = optim.Adam(model.parameters(), lr=0.01)

        @jit
        def step(tokens):
            opt.zero_grad()
            found = model(tokens)
            loss = F.cross_entropy(found.reshape(-1, 11), tokens.reshape(-1), ignore_index=0)
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(labels(i, 12, 11).reshape(2, 6)), state_of(model, opt)

    check(world, 5)


@pytest.mark.parametrize("clip", [
    lambda p: nn.utils.clip_grad_norm_(p, 0.01), lambda p: nn.utils.clip_grad_norm_(p, 1e9),
    lambda p: nn.utils.clip_grad_value_(p, 0.01),
], ids=["norm", "large norm", "value"])  # fmt: skip
def test_gradients_are_clipped(clip: Any) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        @jit
        def step(x):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            norm = clip(list(model.parameters()))
            opt.step()
            return loss, norm

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)


@pytest.mark.parametrize("whole", [True, False], ids=["in one step", "a step each"])
def test_gradients_accumulate_over_small_batches(whole: bool) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)

        def part(x):
            loss = (model(x) ** 2).mean() / 3
            loss.backward()
            return loss.detach()

        def step(x):
            opt.zero_grad()
            loss = sum(part(one) for one in x.reshape(3, 2, 3))
            opt.step()
            return loss

        if whole:
            step = jit(step)
        else:
            part = jit(part)
        for i in range(CALLS):
            yield step(batch(i, 6, 3)), state_of(model, opt)

    check(world, 5)


@pytest.mark.parametrize(
    ("inside", "average"),
    [
        (True, None),
        (False, None),
        (True, get_ema_multi_avg_fn(0.9)),
        (False, get_ema_multi_avg_fn(0.9)),
    ],
    ids=["even inside", "even beside", "EMA inside", "EMA beside"],
)  # fmt: skip
def test_an_average_of_the_model_is_kept(inside: bool, average: Any) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)
        averaged = AveragedModel(model, multi_avg_fn=average)

        @jit
        def step(x):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            if inside:
                averaged.update_parameters(model)
            return loss

        for i in range(CALLS):
            loss = step(batch(i, 4, 3))
            if not inside:
                averaged.update_parameters(model)
            yield loss, state_of(model, opt), state_of(averaged.module)

    check(world, 0 if inside and average is None else 5)


@pytest.mark.parametrize("dtype", [tfl.bfloat16, tfl.float16], ids=["bfloat16", "float16"])
def test_autocast(dtype: Any) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)

        @jit
        def step(x):
            opt.zero_grad()
            with tfl.amp.autocast("cpu", dtype=dtype):
                loss = (model(x).float() ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)


def test_autocast_with_a_scaler() -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)
        scaler = tfl.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)

        @jit
        def step(x):
            opt.zero_grad()
            with tfl.amp.autocast("cpu", dtype=tfl.float16):
                loss = (model(x).float() ** 2).mean()
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
            return loss

        for i in range(CALLS + 4):
            x = batch(i, 4, 3)
            if i == 7:
                x = x * float("inf")
            yield step(x), state_of(model, opt), scaler.get_scale()

    check(world, 5)


def test_a_loss_on_parameters_alone() -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)

        @jit
        def step():
            opt.zero_grad()
            loss = sum((p * p).sum() for p in model.parameters())
            loss.backward()
            opt.step()
            return loss

        for _ in range(CALLS):
            yield step(), state_of(model, opt)

    check(world, 5)


def test_a_regularised_loss() -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)

        @jit
        def step(x):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss = loss + 0.1 * sum((p * p).sum() for p in model.parameters())
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)


def test_weights_are_tied() -> None:
    def world(jit: Any) -> Any:
        a, b = nn.Linear(3, 3), nn.Linear(3, 3)
        b.weight = a.weight
        model = nn.Sequential(a, nn.Tanh(), b)
        opt = optim.Adam(model.parameters(), lr=0.1)

        @jit
        def step(x):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)


def test_a_jitted_function_inside_another_is_inlined() -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)
        # Alone it would be refused, for its result requires grad.
        loss_of = jit(lambda x: (model(x) ** 2).mean())

        @jit
        def step(x):
            opt.zero_grad()
            loss = loss_of(x)
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)


def test_two_nets_play_against_each_other() -> None:
    def world(jit: Any) -> Any:
        maker, judge = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        first = optim.Adam(maker.parameters(), lr=0.1)
        second = optim.Adam(judge.parameters(), lr=0.1)

        @jit
        def step(real):
            made = maker(tfl.randn(4, 3))
            second.zero_grad()
            loss = F.softplus(judge(made.detach())).mean() + F.softplus(-judge(real)).mean()
            loss.backward()
            second.step()
            first.zero_grad()
            other = F.softplus(-judge(made)).mean()
            other.backward()
            first.step()
            return loss, other

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(maker, first), state_of(judge, second)

    check(world, 5)


def test_gradients_by_autograd_and_of_second_order() -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)

        @jit
        def step(x):
            opt.zero_grad()
            y = x.detach().requires_grad_()
            (g,) = tfl.autograd.grad(model(y).sum(), [y], create_graph=True)
            penalty = ((g.square().sum(1) + 1e-6).sqrt() - 1).square().mean()
            penalty.backward()
            opt.step()
            return penalty

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)

    check(world, 5)
