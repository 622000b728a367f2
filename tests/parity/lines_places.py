"""Calls of nn.init, nn.utils, optim, amp and autograd that both libraries know."""

from __future__ import annotations

from typing import Any

import numpy as np

from .lines_modules import filled
from .surface import Constant, Line, script

RNG = np.random.default_rng(43)
LINES: list[Line] = []


def draw(*shape: int) -> Any:
    return np.asarray(RNG.normal(size=shape))


def say(name: str, run: Any, *arrays: Any) -> None:
    LINES.append(script(name, run, *arrays))


# -- nn.init: what is drawn by its spread ----------------------------------------------------------
def spread(y: Any, deviation: float, bound: float = 1e9) -> list[bool]:
    """Whether numbers have mean 0 and a deviation, and lie within a bound."""
    return [
        abs(y.mean().item()) < 0.05 * deviation,
        abs((y * y).mean().item() ** 0.5 / deviation - 1) < 0.03,
        bool((abs(y) <= bound).all()),
    ]


for name, args, shape, deviation, bound in (
    ("normal_", (0.0, 0.3), (200, 200), 0.3, 9.0),
    ("uniform_", (-0.3, 0.3), (200, 200), 0.3 / 3**0.5, 0.3),
    ("trunc_normal_", (0.0, 2.0, -1e3, 1e3), (200, 200), 2.0, 20.0),
    ("trunc_normal_", (), (200, 200), 0.8796, 2.0),
    ("kaiming_normal_", (), (100, 400), (2 / 400) ** 0.5, 9.0),
    ("kaiming_normal_", (0.5, "fan_out", "leaky_relu"), (100, 400), (1.6 / 100) ** 0.5, 9.0),
    ("kaiming_uniform_", (), (100, 40, 10), (2 / 400) ** 0.5, (6 / 400) ** 0.5),
    ("kaiming_uniform_", (0, "fan_in", "tanh"), (100, 400), 5 / 3 / 20, 5 / 3 * (3 / 400) ** 0.5),
    ("xavier_normal_", (), (100, 300), (2 / 400) ** 0.5, 9.0),
    ("xavier_normal_", (3.0,), (100, 300), 3 * (2 / 400) ** 0.5, 9.0),
    ("xavier_uniform_", (), (100, 300), (2 / 400) ** 0.5, (6 / 400) ** 0.5),
):
    LINES.append(Line(f"nn.init.{name}", None, (Constant(np.zeros(shape)), *args), {}).then(
        lambda y, d=deviation, b=bound: spread(y, d, b)))  # fmt: skip
for shape in ((30, 20), (20, 30), (4, 5, 6)):
    LINES.append(Line("nn.init.orthogonal_", None, (Constant(np.zeros(shape)), 1.5), {}).then(
        lambda y: [(y.flatten(1) @ y.flatten(1).mT if y.shape[0] <= y.flatten(1).shape[1]
                    else y.flatten(1).mT @ y.flatten(1))]))  # fmt: skip
LINES.append(Line("nn.init.sparse_", None, (Constant(np.zeros((50, 40))), 0.3, 0.1), {}).then(
    lambda y: [(y == 0).sum(0), 0.09 < (y * y).sum().item() ** 0.5 / (35 * 40) ** 0.5 < 0.11]
))  # fmt: skip
for name, args, shape in (
    ("constant_", (2.5,), (3, 4)), ("ones_", (), (3, 4)), ("zeros_", (), (3, 4)),
    ("eye_", (), (3, 5)), ("dirac_", (), (4, 3, 5)), ("dirac_", (2,), (4, 3, 3, 2)),
):  # fmt: skip
    LINES.append(Line(f"nn.init.{name}", None, (Constant(draw(*shape)), *args), {}))
for name, parameter in (
    ("linear", None),
    ("conv2d", None),
    ("sigmoid", None),
    ("tanh", None),
    ("relu", None),
    ("leaky_relu", None),
    ("leaky_relu", 0.3),
    ("selu", None),
):
    say("nn.init.calculate_gain", lambda kit, n=name, p=parameter: float(
        kit.nn.init.calculate_gain(n, p)))  # fmt: skip


# -- nn.utils --------------------------------------------------------------------------------------
def with_gradients(kit: Any, *xs: Any) -> list[Any]:
    """Return leaves whose gradients are known."""
    leaves = [x.detach().clone().requires_grad_() for x in xs]
    for i, leaf in enumerate(leaves):
        ((i + 1.5) * leaf * leaf).sum().backward()
    return leaves


GIVEN = draw(3, 4), draw(5), draw()
for order in (2.0, 1.0, 3.0, float("inf")):
    say("nn.utils.clip_grad_norm_", lambda kit, *xs, p=order: [
        kit.nn.utils.clip_grad_norm_(leaves := with_gradients(kit, *xs), 0.5, p),
        [leaf.grad for leaf in leaves]], *GIVEN)  # fmt: skip
    say("nn.utils.get_total_norm", lambda kit, *xs, p=order: kit.nn.utils.get_total_norm(
        [leaf.grad for leaf in with_gradients(kit, *xs)], p), *GIVEN)  # fmt: skip
say("nn.utils.clip_grad_value_", lambda kit, *xs: [
    kit.nn.utils.clip_grad_value_(leaves := with_gradients(kit, *xs), 0.7),
    [leaf.grad for leaf in leaves]], *GIVEN)  # fmt: skip
say("nn.utils.clip_grads_with_norm_", lambda kit, *xs: [
    kit.nn.utils.clip_grads_with_norm_(
        leaves := with_gradients(kit, *xs), 0.5, kit.tensor(2.0, dtype=xs[0].dtype)),
    [leaf.grad for leaf in leaves]], *GIVEN)  # fmt: skip
say("nn.utils.parameters_to_vector", lambda kit, *xs: kit.nn.utils.parameters_to_vector(xs), *GIVEN)
say("nn.utils.vector_to_parameters", lambda kit, x, y, v: [
    kit.nn.utils.vector_to_parameters(v.detach(), [x, y]), x.detach(), y.detach()],
    draw(2, 3), draw(4), draw(10))  # fmt: skip


def weighted(kit: Any, place: Any, name: str, options: Any, x: Any) -> list[Any]:
    """A layer with computed weights: its state, what it gives, and the gradients."""
    layer = filled(kit, getattr(place, name)(kit.nn.Linear(4, 3), **options), x)
    for key, value in layer.named_buffers():  # a direction that is drawn at random
        start = kit.tensor(np.cos(np.arange(value.shape[0]) + len(key)), dtype=x.dtype)
        value.copy_(start / start.square().sum().sqrt())
    y = layer(x)
    gradients = kit.autograd.grad((y * y).sum(), list(layer.parameters()), retain_graph=True)
    return [y, list(gradients), list(layer.state_dict()), layer.eval()(x)]


for name, choices in (("weight_norm", [{}, {"dim": 1}, {"dim": None}]),
                      ("spectral_norm", [{}, {"n_power_iterations": 3, "dim": 1}])):  # fmt: skip
    for options in choices:
        say(f"nn.utils.{name}", {
            "weight_norm": lambda kit, x, o=options: weighted(
                kit, kit.nn.utils, kit.nn.utils.weight_norm.__name__, o, x),
            "spectral_norm": lambda kit, x, o=options: weighted(
                kit, kit.nn.utils, kit.nn.utils.spectral_norm.__name__, o, x),
        }[name], draw(5, 4))  # fmt: skip
        say(f"nn.utils.parametrizations.{name}", {
            "weight_norm": lambda kit, x, o=options: weighted(
                kit, kit.nn.utils.parametrizations,
                kit.nn.utils.parametrizations.weight_norm.__name__, o, x),
            "spectral_norm": lambda kit, x, o=options: weighted(
                kit, kit.nn.utils.parametrizations,
                kit.nn.utils.parametrizations.spectral_norm.__name__, o, x),
        }[name], draw(5, 4))  # fmt: skip
say("nn.utils.remove_weight_norm", lambda kit, x: (lambda layer: [
    kit.nn.utils.remove_weight_norm(layer)(x), list(layer.state_dict())
])(filled(kit, kit.nn.utils.weight_norm(kit.nn.Linear(4, 3)), x)), draw(5, 4))  # fmt: skip
say("nn.utils.remove_spectral_norm", lambda kit, x: (lambda layer: [
    list(kit.nn.utils.remove_spectral_norm(layer).state_dict())
])(filled(kit, kit.nn.utils.spectral_norm(kit.nn.Linear(4, 3)), x)), draw(5, 4))  # fmt: skip


def symmetric(kit: Any) -> Any:
    class Symmetric(kit.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).mT

    return Symmetric()


def parametrized(kit: Any, x: Any) -> Any:
    layer = filled(kit, kit.nn.Linear(4, 4), x)
    kit.nn.utils.parametrize.register_parametrization(layer, "weight", symmetric(kit))
    return layer


PARAMETRIZE = {
    "register_parametrization": lambda kit, x: (lambda layer: [
        kit.nn.utils.parametrize.register_parametrization(layer, "weight", symmetric(kit)) is layer,
        layer(x), layer.weight, list(layer.state_dict()), layer.parametrizations.weight.original,
    ])(filled(kit, kit.nn.Linear(4, 4), x)),
    "is_parametrized": lambda kit, x: [
        kit.nn.utils.parametrize.is_parametrized(parametrized(kit, x), *name)
        for name in ((), ("weight",), ("bias",))
    ] + [kit.nn.utils.parametrize.is_parametrized(kit.nn.Linear(1, 1))],
    "remove_parametrizations": lambda kit, x: [
        (layer := kit.nn.utils.parametrize.remove_parametrizations(parametrized(kit, x), "weight",
                                                                   leave)).weight,
        list(layer.state_dict()), layer(x)
    ] if (leave := True) else None,
    "type_before_parametrizations": lambda kit, x: kit.nn.utils.parametrize
        .type_before_parametrizations(parametrized(kit, x)).__name__,
    "ParametrizationList": lambda kit, x: (lambda held: [
        isinstance(held, kit.nn.utils.parametrize.ParametrizationList), len(held), held(),
    ])(parametrized(kit, x).parametrizations.weight),
    "cached": lambda kit, x: in_cache(kit.nn.utils.parametrize.cached, parametrized(kit, x)),
}  # fmt: skip


def in_cache(cached: Any, layer: Any) -> list[bool]:
    with cached():
        inside = layer.weight is layer.weight
    return [inside, layer.weight is layer.weight]


for name, run in PARAMETRIZE.items():
    say(f"nn.utils.parametrize.{name}", run, draw(5, 4))
LENGTHS = [4, 7, 1, 7]
RNN = {
    "pack_padded_sequence": lambda kit, x: list(
        kit.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    ),
    "pad_packed_sequence": lambda kit, x: kit.nn.utils.rnn.pad_packed_sequence(
        kit.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False), True, 0.5, 9
    ),
    "pack_sequence": lambda kit, x: list(
        kit.nn.utils.rnn.pack_sequence([x[:, 0], x[:3, 1], x[:1, 2]])
    ),
    "unpack_sequence": lambda kit, x: kit.nn.utils.rnn.unpack_sequence(
        kit.nn.utils.rnn.pack_sequence([x[:3, 0], x[:, 1]], enforce_sorted=False)
    ),
    "pad_sequence": lambda kit, x: [
        kit.nn.utils.rnn.pad_sequence([x[:3, 0], x[:, 1], x[:1, 2]], first, -1.0, side)
        for first in (False, True)
        for side in ("right", "left")
    ],
    "unpad_sequence": lambda kit, x: kit.nn.utils.rnn.unpad_sequence(x * 1, kit.tensor(LENGTHS)),
    "PackedSequence": lambda kit, x: (
        lambda packed: [
            isinstance(packed, kit.nn.utils.rnn.PackedSequence),
            packed.data,
            packed.batch_sizes,
            packed.sorted_indices,
            packed.unsorted_indices,
            packed.to(x.dtype).data,
        ]
    )(kit.nn.utils.rnn.pack_sequence([x[:, 0], x[:3, 1]])),
}
for name, run in RNN.items():
    say(f"nn.utils.rnn.{name}", run, draw(7, 4, 2))


# -- optim -----------------------------------------------------------------------------------------
def steps(kit: Any, optimizer: Any, leaf: Any, schedule: Any = None, count: int = 6) -> list[Any]:
    """Return where a few steps lead, and the rates on the way."""
    rates = []

    def loss() -> Any:
        optimizer.zero_grad()
        value = ((leaf - 1.5) ** 4 + leaf * leaf).sum()
        value.backward()
        return value

    for i in range(count):
        value = optimizer.step(loss)
        if schedule is not None:
            schedule.step(*([1.0 + i // 2] if "Plateau" in type(schedule).__name__ else []))
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return [leaf.detach(), value.detach(), rates]


def leaf_of(x: Any) -> Any:
    return x.detach().clone().requires_grad_()


for options in ({"lr": 0.1, "max_iter": 3}, {"line_search_fn": "strong_wolfe", "max_iter": 4},
                {"lr": 0.2, "history_size": 2, "tolerance_change": 1e-4}):  # fmt: skip
    say("optim.LBFGS", lambda kit, x, o=options: steps(
        kit, kit.optim.LBFGS([p := leaf_of(x)], **o), p), draw(3, 2))  # fmt: skip


def halving(kit: Any, base: Any) -> Any:
    class Halving(base):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, {"lr": 0.5})

        def step(self, closure: Any = None) -> Any:
            with kit.enable_grad():
                value = closure()
            with kit.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        state = self.state[p]
                        state["count"] = state.get("count", 0) + 1
                        p.mul_(group["lr"] * state["count"])
            return value

    return Halving


say("optim.Optimizer", lambda kit, x: (lambda optimizer, p: [
    steps(kit, optimizer, p, count=2), list(optimizer.state_dict()), len(optimizer.param_groups),
    optimizer.add_param_group({"params": [leaf_of(x)], "lr": 0.25}),
    [group["lr"] for group in optimizer.param_groups], dict(optimizer.defaults),
    optimizer.zero_grad(), p.grad,
])(halving(kit, kit.optim.Optimizer)([p := leaf_of(x)]), p), draw(3, 2))  # fmt: skip


def falling(base: Any) -> Any:
    class Falling(base):
        def get_lr(self) -> list[float]:
            return [rate / (1 + self.last_epoch) for rate in self.base_lrs]

    return Falling


say("optim.lr_scheduler.LRScheduler", lambda kit, x: steps(
    kit, optimizer := kit.optim.SGD([p := leaf_of(x)], lr=0.1), p,
    falling(kit.optim.lr_scheduler.LRScheduler)(optimizer)), draw(3, 2))  # fmt: skip
for options in ({"patience": 0}, {"mode": "max", "patience": 1, "factor": 0.3, "cooldown": 1},
                {"patience": 0, "min_lr": 0.02, "threshold": 0.5}):  # fmt: skip
    say("optim.lr_scheduler.ReduceLROnPlateau", lambda kit, x, o=options: steps(
        kit, optimizer := kit.optim.SGD([p := leaf_of(x)], lr=0.1), p,
        kit.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **o), 8), draw(3, 2))  # fmt: skip
for strategy in ("linear", "cos"):
    say("optim.swa_utils.SWALR", lambda kit, x, s=strategy: steps(
        kit, optimizer := kit.optim.SGD([p := leaf_of(x)], lr=0.1), p,
        kit.optim.swa_utils.SWALR(optimizer, 0.02, 4, s)), draw(3, 2))  # fmt: skip


def averaged(kit: Any, x: Any, **options: Any) -> list[Any]:
    model = filled(kit, kit.nn.Sequential(kit.nn.Linear(4, 3), kit.nn.BatchNorm1d(3)), x)
    average = kit.optim.swa_utils.AveragedModel(model, **options)
    for _ in range(3):
        with kit.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        average.update_parameters(model)
    return [average(x), list(average.state_dict()), list(average.parameters()), average.n_averaged]


SWA = {
    "AveragedModel": lambda kit, x: [
        averaged(kit, x),
        averaged(kit, x, use_buffers=True),
        kit.optim.swa_utils.AveragedModel.__name__,
    ],
    "get_ema_avg_fn": lambda kit, x: averaged(
        kit, x, avg_fn=kit.optim.swa_utils.get_ema_avg_fn(0.9)
    ),
    "get_ema_multi_avg_fn": lambda kit, x: averaged(
        kit, x, multi_avg_fn=kit.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    ),
    "get_swa_avg_fn": lambda kit, x: averaged(kit, x, avg_fn=kit.optim.swa_utils.get_swa_avg_fn()),
    "get_swa_multi_avg_fn": lambda kit, x: averaged(
        kit, x, multi_avg_fn=kit.optim.swa_utils.get_swa_multi_avg_fn()
    ),
    "update_bn": lambda kit, x: (
        lambda model: [
            kit.optim.swa_utils.update_bn([x.detach(), 2 * x.detach(), x.detach() + 1], model),
            list(model.buffers()),
            model.training,
        ]
    )(filled(kit, kit.nn.Sequential(kit.nn.Linear(4, 3), kit.nn.BatchNorm1d(3)), x)),
}
for name, run in SWA.items():
    # PyTorch divides by the count in float32, a third for one.
    say(f"optim.swa_utils.{name}", run, draw(5, 4))
    LINES[-1].within(1e-7)
