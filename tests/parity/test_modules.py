"""Every module against PyTorch's of the same name: results, gradients, the state before and after.

A line of a table is a module's name, its arguments, and what it is called with: the shape of an
input that is drawn and differentiated by, or an array (a target, unless it stands first).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite import nn

RNG = np.random.default_rng(11)
# Sums of up to a hundred products, and quotients by small variances, in float32.
CLOSE = {"float64": {"rtol": 1e-8, "atol": 1e-10}, "float32": {"rtol": 2e-4, "atol": 2e-5}}


class Line:
    """A module, its arguments, and what it is called with."""

    def __init__(self, name: str, *args: Any, given: Any, **options: Any) -> None:
        self.name, self.args, self.options = name, args, options
        self.given = given if isinstance(given, list) else [given]

    def __repr__(self) -> str:
        parts = [*map(_text, self.args), *[f"{k}={_text(v)}" for k, v in self.options.items()]]
        shapes = [g if isinstance(g, tuple) else "_" for g in self.given]
        return f"{self.name}({', '.join(parts)}) of {shapes}"


def _text(value: Any) -> str:
    return "array" if isinstance(value, np.ndarray) else str(value)


def layers(name: str, shape: Any, *options: Any) -> list[Line]:
    return [Line(name, given=shape, **one) if isinstance(one, dict) else
            Line(name, *one, given=shape) for one in options]  # fmt: skip


def labels(*shape: int, classes: int = 4) -> Any:
    return RNG.integers(0, classes, shape)


def signs(*shape: int) -> Any:
    return RNG.choice([-1.0, 1.0], shape)


def shares(*shape: int) -> Any:
    found = RNG.uniform(0.05, 1, (shape))
    return found / found.sum(-1, keepdims=True)


def losses(name: str, *lines: tuple[list[Any], dict[str, Any]], reductions: Any = None) -> Any:
    reductions = reductions or ("mean", "sum", "none")
    return [
        Line(name, given=given, **options, reduction=reduction)
        for given, options in lines
        for reduction in reductions
    ]


LAYERS = [
    Line("Linear", 5, 3, given=(4, 5)),
    Line("Linear", 5, 3, given=(2, 3, 5), bias=False),
    Line("Conv2d", 4, 6, 3, given=(2, 4, 7, 6), padding=1),
    Line("Conv2d", 4, 6, (3, 2), given=(2, 4, 7, 6), stride=(2, 1), groups=2, bias=False),
    Line("Conv2d", 2, 2, 3, given=(1, 2, 8, 8), padding="same", dilation=2),
    Line("MaxPool2d", 2, given=(2, 3, 6, 7)),
    Line("MaxPool2d", 3, given=(2, 3, 6, 7), stride=2, padding=1, ceil_mode=True),
    Line("MaxPool2d", 2, given=(2, 3, 6, 7), dilation=2, stride=1),
    Line("AvgPool2d", 2, given=(2, 3, 6, 7)),
    Line("AvgPool2d", 3, given=(2, 3, 6, 7), stride=2, padding=1, count_include_pad=False),
    Line("BatchNorm1d", 4, given=(6, 4)),
    Line("BatchNorm1d", 4, given=(6, 4, 3), momentum=None, eps=0.001),
    Line("BatchNorm1d", 4, given=(6, 4), affine=False, track_running_stats=False),
    Line("BatchNorm2d", 4, given=(3, 4, 5, 2), momentum=0.3),
    Line("BatchNorm2d", 4, given=(3, 4, 5, 2), track_running_stats=False),
    Line("LayerNorm", 5, given=(3, 4, 5)),
    Line("LayerNorm", (4, 5), given=(3, 4, 5), elementwise_affine=False),
    Line("LayerNorm", (4, 5), given=(3, 4, 5), bias=False, eps=0.01),
    Line("RMSNorm", 5, given=(3, 5)),
    Line("RMSNorm", (4, 5), given=(3, 4, 5), eps=0.01, elementwise_affine=False),
    Line("Flatten", given=(2, 3, 4)),
    Line("Flatten", 0, 1, given=(2, 3, 4)),
    Line("Identity", given=(2, 3)),
    Line("Dropout", 0.0, given=(2, 3)),
    Line("Dropout", 1.0, given=(2, 3)),
    Line("ReLU", given=(3, 4), inplace=True),
    Line("LeakyReLU", 0.2, given=(3, 4)),
    Line("ELU", 1.5, given=(3, 4)),
    Line("Sigmoid", given=(3, 4)),
    Line("Tanh", given=(3, 4)),
    Line("SiLU", given=(3, 4)),
    Line("GELU", given=(3, 4)),
    Line("GELU", "tanh", given=(3, 4)),
    Line("Softplus", 2.0, 3.0, given=(3, 4)),
    Line("Softmax", 1, given=(3, 4)),
    Line("Softmax", given=(3, 4), dim=0),
    Line("LogSoftmax", -1, given=(3, 4)),
    Line("BatchNorm3d", 3, given=(2, 3, 2, 3, 2)),
    Line("GroupNorm", 2, 4, given=(3, 4, 5)), Line("GroupNorm", 4, 4, given=(3, 4, 2, 3)),
    Line("GroupNorm", 1, 4, 0.1, given=(3, 4)), Line("GroupNorm", 2, 4, bias=False, given=(3, 4)),
    Line("GroupNorm", 2, 4, affine=False, given=(3, 4, 5)), Line("GroupNorm", 2, 4, given=(0, 4)),
    Line("InstanceNorm1d", 3, given=(2, 3, 5)), Line("InstanceNorm1d", 3, given=(3, 5)),
    Line("InstanceNorm1d", 3, 0.1, affine=True, given=(2, 3, 5)),
    Line("InstanceNorm2d", 3, affine=True, track_running_stats=True, given=(2, 3, 4, 2)),
    Line("InstanceNorm2d", 3, momentum=0.4, track_running_stats=True, given=(3, 4, 2)),
    Line("InstanceNorm3d", 3, affine=True, bias=False, given=(2, 3, 2, 2, 3)),
    Line("LocalResponseNorm", 2, given=(2, 5, 3)),
    Line("LocalResponseNorm", 3, 0.5, 0.6, 2.0, given=(2, 5, 3, 2)),
    *[Line(name, p, given=given) for p in (0.0, 1.0) for name, given in (
        ("Dropout1d", (2, 3, 4)), ("Dropout2d", (2, 3, 4, 2)), ("Dropout3d", (2, 3, 2, 2, 2)),
        ("AlphaDropout", (3, 4)), ("FeatureAlphaDropout", (2, 3, 4)),
    )],
    *[Line(name, given=(3, 4)) for name in (
        "ReLU6", "RReLU", "SELU", "CELU", "Mish", "Softsign", "Hardtanh", "Hardsigmoid",
        "Hardswish", "LogSigmoid", "Tanhshrink", "Softshrink", "Hardshrink", "GLU",
    )],
    *[Line(name, given=()) for name in ("ReLU", "CELU", "Mish", "Hardswish", "Softmin")],
    *[Line(name, given=(0, 4)) for name in ("Softsign", "Hardswish", "GLU", "PReLU")],
    *[Line(name, given=shape) for name in ("Softmax", "LogSoftmax", "Softmin")
      for shape in ((3,), (3, 4), (2, 3, 4), (2, 3, 4, 2))],
    Line("PReLU", given=(3, 4)), Line("PReLU", 4, 0.1, given=(3, 4)),
    Line("PReLU", 3, given=(2, 3, 2, 2)), Line("PReLU", given=()),
    Line("CELU", 0.5, given=(3, 4)), Line("Hardtanh", -0.5, 2.0, given=(3, 4)),
    Line("Softshrink", 1.0, given=(3, 4)), Line("Hardshrink", 1.0, given=(3, 4)),
    Line("Threshold", 0.3, -2.0, given=(3, 4)), Line("GLU", 0, given=(4, 3)),
    Line("Softmax2d", given=(2, 3, 2, 2)), Line("Softmax2d", given=(3, 2, 2)),
    Line("Bilinear", 3, 4, 5, given=[(2, 3), (2, 4)]),
    Line("Bilinear", 3, 4, 2, bias=False, given=[(2, 6, 3), (2, 6, 4)]),
    Line("Unflatten", 1, (2, 3), given=(4, 6)), Line("Unflatten", -2, (-1, 3), given=(4, 6, 2)),
    Line("CosineSimilarity", given=[(3, 4), (3, 4)]),
    Line("CosineSimilarity", 0, 1e-3, given=[(3, 4), (3, 1)]),
    Line("PairwiseDistance", given=[(3, 4), (3, 4)]),
    *[Line("PairwiseDistance", p, keepdim=True, given=[(3, 4), (4,)])
      for p in (1.0, 3.0, 0.5, float("inf"))],
]  # fmt: skip
LOSSES = [
    *losses("MSELoss", ([(3, 4), (3, 4)], {}), ([(), ()], {}), ([(0, 3), (0, 3)], {}),
            reductions=("sum", "none")),
    *losses("L1Loss", ([(3, 4), (3, 4)], {})),
    *losses("SmoothL1Loss", ([(3, 4), (3, 4)], {}), ([(3, 4), (3, 4)], {"beta": 0.3}),
            ([(4,), (4,)], {"beta": 0.0})),
    *losses("HuberLoss", ([(3, 4), (3, 4)], {}), ([(3, 4), (3, 4)], {"delta": 0.3})),
    *losses("BCELoss", ([shares(3, 4), shares(3, 4)], {}),
            ([shares(3, 4), shares(3, 4)], {"weight": shares(4)})),
    *losses("BCEWithLogitsLoss", ([(3, 4), shares(3, 4)], {}),
            ([(3, 4), shares(3, 4)], {"weight": shares(4), "pos_weight": 3 * shares(4)})),
    *losses("KLDivLoss", ([np.log(shares(3, 4)), shares(3, 4)], {}),
            ([np.log(shares(3, 4)), np.log(shares(3, 4))], {"log_target": True}),
            ([(3, 4), np.eye(3, 4)], {}), reductions=("batchmean", "mean", "sum", "none")),
    *losses("PoissonNLLLoss", ([(3, 4), labels(3, 4) * 1.0], {}),
            ([(3, 4), labels(3, 4) * 1.0], {"full": True}),
            ([5 * shares(3, 4), labels(3, 4) * 1.0], {"log_input": False, "full": True})),
    *losses("GaussianNLLLoss", ([(3, 4), (3, 4), shares(3, 4)], {}),
            ([(3, 4), (3, 4), shares(3, 1)], {"full": True}),
            ([(3, 4), (3, 4), shares(3)], {"eps": 0.2})),
    *losses("HingeEmbeddingLoss", ([(3, 4), signs(3, 4)], {}),
            ([(3, 4), signs(3, 4)], {"margin": 0.2})),
    *losses("SoftMarginLoss", ([(3, 4), signs(3, 4)], {})),
    *losses("MarginRankingLoss", ([(5,), (5,), signs(5)], {}),
            ([(5,), (5,), signs(5)], {"margin": 0.7})),
    *losses("MultiMarginLoss", ([(3, 4), labels(3)], {}), ([(4,), labels()], {}),
            ([(3, 4), labels(3)], {"p": 2, "margin": 0.5, "weight": shares(4)})),
    *losses("MultiLabelMarginLoss",
            ([(3, 4), np.array([[1, -1, 2, 0], [3, 0, -1, -1], [-1, 1, 1, 1]])], {}),
            ([(4,), np.array([2, 0, 1, 3])], {})),
    *losses("MultiLabelSoftMarginLoss", ([(3, 4), labels(3, 4, classes=2) * 1.0], {}),
            ([(3, 4), labels(3, 4, classes=2) * 1.0], {"weight": shares(4)})),
    *losses("CosineEmbeddingLoss", ([(5, 3), (5, 3), signs(5)], {}),
            ([(5, 3), (5, 3), signs(5)], {"margin": 0.3}), ([(3,), (3,), signs()], {})),
    *losses("TripletMarginLoss", ([(5, 3), (5, 3), (5, 3)], {}),
            ([(5, 3), (5, 3), (5, 3)], {"swap": True, "p": 1.0, "margin": 2.0}),
            ([(3,), (3,), (3,)], {"eps": 1e-3})),
    *losses("TripletMarginWithDistanceLoss", ([(5, 3), (5, 3), (5, 3)], {"swap": True})),
    *losses("NLLLoss", ([(3, 4), labels(3)], {"weight": shares(4)}),
            ([(3, 4, 2), labels(3, 2)], {"ignore_index": 1})),
    *losses("CrossEntropyLoss", ([(3, 4), labels(3)], {"weight": shares(4)}),
            ([(3, 4, 2), labels(3, 2)], {"ignore_index": 1, "label_smoothing": 0.2}),
            ([(3, 4), shares(3, 4)], {"label_smoothing": 0.1})),
]  # fmt: skip


def made(value: Any, dtype: str, make: Any) -> Any:
    """An array as a tensor of the dtype; what is no array of floats as it is."""
    if not isinstance(value, np.ndarray):
        return value
    return make(value.astype(dtype) if value.dtype.kind == "f" else value)


def build(line: Line, dtype: str) -> Any:
    ours, theirs = (
        getattr(place, line.name)(
            *[made(a, dtype, make) for a in line.args],
            # In place PyTorch would change a leaf.
            **{k: k != "inplace" and made(v, dtype, make) for k, v in line.options.items()},
        )
        for place, make in ((nn, tfl.tensor), (torch.nn, torch.tensor))
    )
    theirs = theirs.to(getattr(torch, dtype))
    ours = ours.to(dtype)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(RNG.normal(size=tuple(p.shape))))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(line: Line, dtype: str, ours: Any, theirs: Any, training: bool) -> None:
    close = CLOSE[dtype]
    if line.name == "Hardsigmoid":  # PyTorch's sixth is one of float32
        close = {**close, "rtol": max(close["rtol"], 4e-8)}
    ours.train(training)
    theirs.train(training)
    arrays = [
        np.asarray(RNG.normal(size=g)) if isinstance(g, tuple) else np.asarray(g)
        for g in line.given
    ]
    xs = [made(a, dtype, tfl.tensor) for a in arrays]
    ts = [made(a, dtype, torch.tensor) for a in arrays]
    drawn = [i for i, g in enumerate(line.given) if i == 0 or isinstance(g, tuple)]
    for i in drawn:
        xs[i], ts[i] = xs[i].requires_grad_(), ts[i].requires_grad_()
    ours.zero_grad()
    theirs.zero_grad()
    out, expected = ours(*xs), theirs(*ts)
    assert out.dtype.name == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), **close)
    weights = np.asarray(RNG.normal(size=out.shape)).astype(dtype)
    (out * tfl.tensor(weights)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    for i in drawn:
        if ts[i].grad is not None:
            found = xs[i].grad.numpy() if xs[i].grad is not None else np.zeros(xs[i].shape)
            np.testing.assert_allclose(found, ts[i].grad.numpy(), **close)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), **close)
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(
            value.detach().numpy(), theirs.state_dict()[key].numpy(), **close
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("line", LAYERS, ids=str)
@pytest.mark.filterwarnings("ignore:.*dim should be named", "ignore:Implicit dimension choice")
def test_layers(line: Line, dtype: str) -> None:
    ours, theirs = build(line, dtype)
    assert repr(ours) == repr(theirs).replace(", inplace=False", "")
    for training in (False,) if line.name == "RReLU" else (True, True, False):
        compare(line, dtype, ours, theirs, training)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("line", LOSSES, ids=str)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:Using a target size")
def test_losses(line: Line, dtype: str) -> None:
    ours, theirs = build(line, dtype)
    assert repr(ours) == repr(theirs)
    compare(line, dtype, ours, theirs, True)


# -- weights computed from others ------------------------------------------------------------------
WEIGHTS = [
    (place, function, options)
    for place in ("nn.utils", "nn.utils.parametrizations")
    for function, options in (
        ("weight_norm", {}), ("weight_norm", {"dim": 1}), ("weight_norm", {"dim": None}),
        ("spectral_norm", {}), ("spectral_norm", {"n_power_iterations": 3, "dim": 1}),
    )
]  # fmt: skip


@pytest.mark.parametrize(("place", "function", "options"), WEIGHTS, ids=str)
@pytest.mark.parametrize("layer", [("Linear", 3, 4), ("Conv2d", 3, 4, 2)], ids=str)
@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm:FutureWarning")
def test_computed_weights(place: str, function: str, options: Any, layer: Any) -> None:
    ours, theirs = (
        operator.attrgetter(place)(package)
        for package in (tfl, torch)
    )
    name, *sizes = layer
    ours = getattr(ours, function)(getattr(nn, name)(*sizes), **options).double()
    theirs = getattr(theirs, function)(getattr(torch.nn, name)(*sizes), **options).double()
    line = Line(name, given=(5, 3) if name == "Linear" else (2, 3, 4, 4))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for training in (True, True, False):
        compare(line, "float64", ours, theirs, training)
