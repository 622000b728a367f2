"""Optimizers and their states against PyTorch's, from one table of classes and options."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite import optim

DECAY = {"weight_decay": 0.1}
SHRINK = {"weight_decay": 0.1, "decoupled_weight_decay": True}
TABLE = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9, **DECAY},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, **DECAY},
    ],
    "Adam": [
        {},
        {"lr": 0.01, "amsgrad": True, **DECAY},
        {"lr": 0.01, "betas": (0.5, 0.7), "eps": 1e-3, "maximize": True},
        {"lr": 0.01, **SHRINK},
    ],
    "AdamW": [{}, {"lr": 0.01, **DECAY}, {"lr": 0.01, "amsgrad": True, "maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.01, "momentum_decay": 0.1, **DECAY},
        {"lr": 0.01, "betas": (0.5, 0.7), "eps": 1e-3, "maximize": True, **SHRINK},
    ],
    "RAdam": [
        {},
        {"lr": 0.01, "betas": (0.5, 0.7), **DECAY},
        {"lr": 0.01, "eps": 1e-3, "maximize": True, **SHRINK},
    ],
    "Adamax": [{}, {"lr": 0.01, "betas": (0.5, 0.7), "eps": 1e-3, "maximize": True, **DECAY}],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5, **DECAY},
        {"lr": 0.1, "eps": 1e-3, "maximize": True},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "maximize": True, **DECAY}],
    "RMSprop": [
        {},
        {"alpha": 0.7, "eps": 1e-3, "momentum": 0.9, "maximize": True},
        {"centered": True, **DECAY},
        {"centered": True, "momentum": 0.5},
    ],
    "Rprop": [
        {},
        {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-2, 0.3), "maximize": True},
    ],
    "ASGD": [
        {},
        {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 5.0, "maximize": True, **DECAY},
    ],
    "Adafactor": [
        {},
        {"lr": 0.1, "beta2_decay": -0.5, "d": 2.0, "maximize": True, **DECAY},
        {"eps": (1e-3, 1e-2)},
    ],
    "Muon": [
        {},
        {"lr": 0.01, "momentum": 0.5, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
        {"ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "weight_decay": 0.0},
    ],
}
CASES = [(name, options) for name, several in TABLE.items() for options in several]
IDS = [f"{name}-{'-'.join(options) or 'defaults'}" for name, options in CASES]
SHAPES = [(7, 5), (5,), (2, 3, 4), (), (40, 30)]
MATRICES = [(7, 5), (4, 6), (5, 5)]
REAL_ONLY = ("Adafactor", "Muon")


@pytest.fixture(autouse=True)
def exact_scalars():
    """PyTorch keeps counts, products and rates in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Pair:
    """The same parameters in both libraries, each with its optimizer."""

    def __init__(self, name, options, dtype, second=None, seed=0):
        self.rng, self.dtype = np.random.default_rng(seed), np.dtype(dtype)
        shapes = MATRICES if name == "Muon" else SHAPES
        starts = [self.draw(shape) for shape in shapes]
        self.ours = [tfl.tensor(a, requires_grad=True) for a in starts]
        self.theirs = [torch.tensor(a, requires_grad=True) for a in starts]

        def groups(parameters):
            if second is None:
                return parameters
            return [{"params": parameters[:2]}, {"params": parameters[2:], **second}]

        self.one = getattr(optim, name)(groups(self.ours), **options)
        self.two = getattr(torch.optim, name)(groups(self.theirs), **options)

    def draw(self, shape):
        values = np.asarray(self.rng.normal(size=shape))
        if self.dtype.kind == "c":
            values = values + 1j * np.asarray(self.rng.normal(size=shape))
        return values.astype(self.dtype)

    def step(self, skip=False):
        for i, (p, q) in enumerate(zip(self.ours, self.theirs, strict=True)):
            g = self.draw(p.shape)
            left = skip and self.rng.integers(0, 3) == i % 3
            p.grad = None if left else tfl.tensor(g)
            q.grad = None if left else torch.tensor(g)
        self.one.step()
        self.two.step()

    def check(self, tolerance):
        for p, q in zip(self.ours, self.theirs, strict=True):
            a, b = p.detach().numpy(), q.detach().numpy()
            assert a.dtype == b.dtype == self.dtype
            np.testing.assert_allclose(a, b, tolerance, tolerance)


def close_in(name, dtype):
    """How near 50 steps stay, each of which is rounded."""
    # Muon's iteration rounds to bfloat16: where the sums before it differ in their last bit, some
    # element of a step of length lr may come out a step of 2 to the -8 apart.
    if name == "Muon":
        return 3e-4
    return {"f8": 1e-12, "f4": 1e-5}[np.dtype(dtype).str[1:]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_trajectories(name, options, dtype):
    pair = Pair(name, options, dtype)
    for _ in range(50):
        pair.step()
        pair.check(close_in(name, dtype))


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_two_groups_with_changing_rates_and_missing_gradients(name, options):
    pair = Pair(name, options, "float64", second={"lr": 0.05})
    for step in range(30):
        if step % 10 == 5:
            for optimizer in (pair.one, pair.two):
                optimizer.param_groups[0]["lr"] *= 0.5
        pair.step(skip=True)
        pair.check(close_in(name, "float64"))


@pytest.mark.parametrize(
    ("name", "options"),
    [case for case in CASES if case[0] not in REAL_ONLY],
    ids=[i for i in IDS if not i.startswith(REAL_ONLY)],
)
def test_complex_parameters(name, options):
    pair = Pair(name, options, "complex128")
    for _ in range(20):
        pair.step()
        pair.check(1e-12)


def as_torch(state):
    def convert(value):
        if isinstance(value, tfl.Tensor):
            return torch.tensor(value.detach().numpy())
        return [convert(one) for one in value] if isinstance(value, list) else value

    states = {i: {k: convert(v) for k, v in one.items()} for i, one in state["state"].items()}
    return {**state, "state": states}


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_states_go_from_pytorch_and_back(name, options):
    pair = Pair(name, options, "float64", second={"lr": 0.05})
    for _ in range(3):
        pair.step()
    state = pair.two.state_dict()
    pair.one = getattr(optim, name)([{"params": pair.ours[:2]}, {"params": pair.ours[2:]}])
    pair.one.load_state_dict(state)
    for _ in range(3):
        pair.step()
        pair.check(close_in(name, "float64"))
    ours = pair.one.state_dict()
    assert [set(g) for g in ours["param_groups"]] == [set(g) for g in state["param_groups"]]
    for i, theirs in state["state"].items():
        assert set(ours["state"][i]) - {"step"} == set(theirs) - {"step"}
    pair.two = getattr(torch.optim, name)([{"params": pair.theirs[:2]},
                                           {"params": pair.theirs[2:]}])  # fmt: skip
    pair.two.load_state_dict(as_torch(ours))
    for _ in range(3):
        pair.step()
        pair.check(close_in(name, "float64"))


@pytest.mark.parametrize("name", [*TABLE, "LBFGS"])
def test_signatures(name):
    """The same parameters by name, kind, order and default value."""
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


# -- L-BFGS ----------------------------------------------------------------------------------------
def rosenbrock(x, y):
    return ((1 - x) ** 2 + 10 * (y - x * x) ** 2).sum()


def bowl(x, y):
    return (x**4).sum() + ((y - 1) ** 2).sum() + 0.5 * ((x * y) ** 2).sum()


class Search:
    """L-BFGS on the same function in both libraries."""

    def __init__(self, function, options):
        starts = [np.array([-1.2, 0.5, 2.0]), np.array([1.0, -0.3, 0.1])]
        self.function = function
        self.ours = [tfl.tensor(a, requires_grad=True) for a in starts]
        self.theirs = [torch.tensor(a, requires_grad=True) for a in starts]
        self.one = optim.LBFGS(self.ours, **options)
        self.two = torch.optim.LBFGS(self.theirs, **options)

    def closure(self, optimizer, parameters):
        def evaluate():
            optimizer.zero_grad()
            loss = self.function(*parameters)
            loss.backward()
            return loss

        return evaluate

    def step(self):
        one = self.one.step(self.closure(self.one, self.ours))
        two = self.two.step(self.closure(self.two, self.theirs))
        assert float(one) == pytest.approx(two.item(), rel=1e-9, abs=1e-12)
        for p, q in zip(self.ours, self.theirs, strict=True):
            # Rounding grows from step to step, as the method divides by differences.
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), 1e-9, 1e-9)
        mine, other = self.one.state[self.ours[0]], self.two.state[self.theirs[0]]
        for key in ("func_evals", "n_iter"):
            assert mine[key] == other[key]


SEARCHES = [
    {"line_search_fn": "strong_wolfe", "max_iter": 3},
    {"line_search_fn": "strong_wolfe", "max_iter": 3, "history_size": 2, "lr": 0.3},
    {"line_search_fn": "strong_wolfe", "max_eval": 5, "lr": 0.1},
    {"lr": 0.05, "history_size": 3, "max_iter": 5},
    {"lr": 0.1, "tolerance_change": 1e-3},
]


@pytest.mark.parametrize("function", [rosenbrock, bowl])
@pytest.mark.parametrize("options", SEARCHES, ids=lambda options: "-".join(options))
def test_lbfgs(function, options):
    search = Search(function, options)
    for _ in range(6):
        search.step()


@pytest.mark.parametrize("options", SEARCHES[:4], ids=lambda options: "-".join(options))
def test_lbfgs_states_go_from_pytorch_and_back(options):
    search = Search(rosenbrock, options)
    search.step()
    search.one = optim.LBFGS(search.ours)
    search.one.load_state_dict(search.two.state_dict())
    search.step()
    ours = search.one.state_dict()
    assert set(ours["state"][0]) == set(search.two.state_dict()["state"][0])
    search.two = torch.optim.LBFGS(search.theirs)
    search.two.load_state_dict(as_torch(ours))
    search.step()
