"""Parameters' names, order and defaults against PyTorch's: of networks and optimizers.

Where a signature differs on purpose, `DIFFERENT` says how and why. What PyTorch's has been given up
for years (``size_average``, ``reduce``, ``_stacklevel``) doesn't count; what stands behind it there
can be given by name only here, so that a call by position never means something else.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

import tensorflowlite as tfl

from .surface import found, shared_names

PLACES = (
    "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.parametrize",
    "nn.utils.parametrizations", "optim", "optim.lr_scheduler", "optim.swa_utils",
)  # fmt: skip
GIVEN_UP = {"size_average", "reduce", "_stacklevel"}
# Names of ours that PyTorch lacks (+) and of PyTorch's that we lack (-), with the reason.
ACTIVATION = (("+activation",), "an activation can be fused with the product")
GENERATOR = (("-generator",), "random numbers come from streams of one seed")
DIFFERENT: dict[str, tuple[tuple[str, ...], str]] = {
    **{f"nn.functional.conv{n}d": ACTIVATION for n in (1, 2, 3)},
    **{f"nn.Conv{n}d": ACTIVATION for n in (1, 2, 3)},
    "nn.Linear": ACTIVATION,
    "nn.functional.linear": ACTIVATION,
    **{f"nn.init.{name}_": GENERATOR for name in (
        "kaiming_normal", "kaiming_uniform", "normal", "orthogonal", "sparse", "trunc_normal",
        "uniform", "xavier_normal", "xavier_uniform",
    )},
    "nn.Embedding": (("-_weight", "-_freeze"), "private there; from_pretrained is public"),
    "nn.Hardtanh": (("-min_value", "-max_value"), "given up for min_val and max_val"),
    "nn.functional.normalize": (("-out",), "nothing is written into another tensor"),
}  # fmt: skip
# Defaults that differ: what would be made of nothing isn't made.
NEEDED = {
    "nn.Parameter": {"data"}, "nn.utils.rnn.PackedSequence": {"batch_sizes"},
}  # fmt: skip
NAMES = [
    name
    for name in shared_names()
    if name.rpartition(".")[0] in PLACES
    and name.rpartition(".")[2] not in ("Tensor", "Module", "ModuleDict", "ModuleList", "Parameter")
] + ["nn.Parameter", "nn.ModuleDict", "nn.ModuleList"]
Parameter = tuple[str, Any, bool]  # its name, its default, and whether it can be given by position


def signature(value: Any) -> list[Parameter]:
    """Return the parameters of a function or of a class's constructor."""
    return [
        (p.name, p.default, p.kind is not p.KEYWORD_ONLY)
        for p in inspect.signature(value).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def theirs(name: str) -> list[Parameter]:
    """Return PyTorch's parameters, from where it tells them."""
    value, last = found(torch, name), name.rpartition(".")[2]
    behind = getattr(torch.nn.functional, f"_{last}", None)
    if last in ("RNN", "LSTM", "GRU"):  # they hand everything on to their base
        own = [("nonlinearity", "tanh", True)] if last == "RNN" else []
        rest = [p for p in signature(torch.nn.RNNBase)[1:] if last == "LSTM" or p[0] != "proj_size"]
        return [*rest[:3], *own, *rest[3:]]
    if name.startswith("nn.functional.") and behind is not None and "max_pool" in last:
        return signature(behind)  # by return_indices, one of two functions of one signature
    try:
        return signature(value)
    except ValueError:  # not written in Python: its documentation begins with the signature
        return signature(told(value, last))


def told(value: Any, last: str) -> Any:
    """Return a function of the signature that a docstring begins with."""
    line = re.match(rf"\s*{last}\((.*?)\) ->", value.__doc__, re.DOTALL)
    assert line is not None, f"{last}: its documentation doesn't begin with a signature"
    return eval(f"lambda {' '.join(line[1].split())}: None")


def plain(value: Any) -> Any:
    """Return a default so that equal ones compare equal: 0 and 0.0, functions by name."""
    return getattr(value, "__name__", value)


def merged(name: str) -> tuple[list[str], dict[str, Any], dict[str, Any], set[str]]:
    """Return PyTorch's names, both tables of defaults, and which names differ."""
    ours, others = signature(found(tfl, name)), theirs(name)
    others = [p for p in others if p[0] not in GIVEN_UP]
    mine, wanted = [p[0] for p in ours], [p[0] for p in others]
    differ = {f"+{p}" for p in mine if p not in wanted} | {f"-{p}" for p in wanted if p not in mine}
    return wanted, {p[0]: p[1] for p in ours}, {p[0]: p[1] for p in others}, differ


@pytest.mark.parametrize("name", NAMES)
def test_names_and_defaults(name: str) -> None:
    wanted, ours, others, differ = merged(name)
    assert differ == set(DIFFERENT.get(name, ((), ""))[0])
    assert [p for p in ours if p in wanted] == [p for p in wanted if p in ours]
    for parameter, default in ours.items():
        if parameter in others and parameter not in NEEDED.get(name, ()):
            assert plain(default) == plain(others[parameter]), parameter


@pytest.mark.parametrize("name", NAMES)
def test_a_position_means_the_same(name: str) -> None:
    """Each parameter that can be given by position stands where PyTorch's of its name does."""
    others = [p[0] for p in theirs(name)]
    for place, (parameter, _, positional) in enumerate(signature(found(tfl, name))):
        if positional and f"+{parameter}" not in DIFFERENT.get(name, ((), ""))[0]:
            assert others.index(parameter) == place, parameter


def test_the_tables_name_what_is_there() -> None:
    assert len(NAMES) > 290
    assert {*DIFFERENT, *NEEDED} <= set(NAMES)
