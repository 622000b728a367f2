"""Layers, losses and the clipping of gradients against PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.nn import functional as F


class Source:
    """Where a test's numbers come from, the same whichever tests run."""

    rng = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _seeded():
    Source.rng = np.random.default_rng(5)


def drawn(*shape):
    return np.asarray(Source.rng.normal(size=shape))


def tensor(values):
    return tfl.tensor(np.asarray(values))


def host(x):
    return x.detach().numpy()


# -- embedding and losses --------------------------------------------------------------------------
@pytest.mark.parametrize("options", [
    {}, {"padding_idx": 2}, {"padding_idx": -1}, {"max_norm": 1.0},
    {"max_norm": 1.5, "norm_type": 1.0, "padding_idx": 2}, {"scale_grad_by_freq": True},
    {"max_norm": 0.5, "scale_grad_by_freq": True},
], ids=str)  # fmt: skip
def test_embedding(options):
    ours, theirs = nn.Embedding(6, 3, **options), torch.nn.Embedding(6, 3, **options)
    ours.load_state_dict(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    indices = np.array([[0, 2, 5], [2, 2, 1]])
    out, expected = ours(tensor(indices)), theirs(torch.tensor(indices))
    np.testing.assert_allclose(host(out), expected.detach().numpy(), 1e-6)
    np.testing.assert_allclose(host(ours.weight), theirs.weight.detach().numpy(), 1e-6)
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), 1e-6)


LOSS_OPTIONS = [
    {}, {"reduction": "sum"}, {"reduction": "none"}, {"weight": np.array([0.2, 1.0, 3.0, 0.5])},
    {"weight": np.array([0.2, 1.0, 3.0, 0.5]), "reduction": "none", "ignore_index": 1},
    {"ignore_index": 2}, {"ignore_index": 3, "reduction": "sum"},
]  # fmt: skip
SMOOTH = [{**o, "label_smoothing": 0.3} for o in LOSS_OPTIONS]


@pytest.mark.parametrize("options", [*LOSS_OPTIONS, *SMOOTH], ids=str)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_class_losses(name, options):
    if name == "nll_loss" and "label_smoothing" in options:
        options = {k: v for k, v in options.items() if k != "label_smoothing"}
    for shape in ((5, 4), (3, 4, 2, 3), (4,)):
        values = drawn(*shape)
        target = Source.rng.integers(0, 4, (*shape[:1], *shape[2:])) if len(shape) > 1 else 0
        ours = {k: tensor(v) if k == "weight" else v for k, v in options.items()}
        theirs = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
        x, y = tfl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        out = getattr(F, name)(x, tensor(target), **ours)
        expected = getattr(torch.nn.functional, name)(y, torch.tensor(target), **theirs)
        np.testing.assert_allclose(host(out), expected.detach().numpy(), 1e-11, 1e-12)
        out.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-10, 1e-12)


@pytest.mark.parametrize(
    "options", [o for o in [*LOSS_OPTIONS, *SMOOTH] if "ignore_index" not in o], ids=str
)
def test_class_probabilities(options):
    for shape in ((5, 4), (3, 4, 2)):
        values, target = drawn(*shape), np.abs(drawn(*shape))
        target /= target.sum(1, keepdims=True)
        ours = {k: tensor(v) if k == "weight" else v for k, v in options.items()}
        theirs = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
        x, y = tfl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        out = F.cross_entropy(x, tensor(target), **ours)
        expected = torch.nn.functional.cross_entropy(y, torch.tensor(target), **theirs)
        np.testing.assert_allclose(host(out), expected.detach().numpy(), 1e-11, 1e-12)
        out.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-10, 1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_elementwise_losses(reduction):
    values, target = drawn(3, 4), np.abs(drawn(3, 4)) % 1
    weight, positive = np.abs(drawn(4)), np.abs(drawn(4))
    for name, options in (
        ("mse_loss", {}), ("l1_loss", {}), ("binary_cross_entropy_with_logits", {}),
        ("binary_cross_entropy_with_logits", {"weight": weight}),
        ("binary_cross_entropy_with_logits", {"weight": weight, "pos_weight": positive}),
    ):  # fmt: skip
        x, y = tfl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        ours = {k: tensor(v) for k, v in options.items()}
        theirs = {k: torch.tensor(v) for k, v in options.items()}
        out = getattr(F, name)(x, tensor(target), reduction=reduction, **ours)
        expected = getattr(torch.nn.functional, name)(
            y, torch.tensor(target), reduction=reduction, **theirs
        )
        np.testing.assert_allclose(host(out), expected.detach().numpy(), 1e-11, 1e-12)
        out.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-10, 1e-12)


# -- tools for gradients ---------------------------------------------------------------------------
def with_gradients(gradients):
    found = []
    for g in gradients:
        p = nn.Parameter(np.zeros(g.shape))
        p.grad = tfl.tensor(np.asarray(g))
        found.append(p)
    return found


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, math.inf])
def test_clipping(order):
    rng = np.random.default_rng(4)
    gradients = [np.asarray(rng.normal(size=s)) for s in ((3, 4), (5,), ())]
    ours = with_gradients(gradients)
    theirs = [torch.zeros_like(torch.tensor(g), requires_grad=True) for g in gradients]
    for p, g in zip(theirs, gradients, strict=True):
        p.grad = torch.tensor(g)
    total = nn.utils.clip_grad_norm_(ours, 0.5, order)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5, order)
    assert total.item() == pytest.approx(expected.item(), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(host(p.grad), q.grad.numpy(), 1e-10)
