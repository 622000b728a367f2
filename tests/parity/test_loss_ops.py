"""Losses and embeddings against PyTorch's: values, gradients, gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import tensorflowlite as tfl
from tensorflowlite.ops import embedding, losses
from tests.comparing import normal
from tests.test_loss_ops import CROSS_ENTROPIES, class_target, options_of, with_weight

from .comparing import check_torch


@pytest.mark.parametrize("options", CROSS_ENTROPIES, ids=str)
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2, 5), (4,)])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_losses_over_classes(name: str, shape: Any, options: dict[str, Any]) -> None:
    options = options_of(name, options)
    target = class_target(shape, options)
    mine, theirs = with_weight(options, tfl.tensor), with_weight(options, torch.tensor)
    check_torch(
        lambda a: getattr(losses, name)(a, tfl.tensor(target), **mine),
        lambda a: getattr(functional, name)(a, torch.tensor(target), **theirs),
        normal(*shape),
    )


@pytest.mark.parametrize(
    "options", [{}, {"weight": True}, {"label_smoothing": 0.3}, {"reduction": "none"}], ids=str
)
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2), (4,)])
def test_cross_entropy_of_probabilities(shape: Any, options: dict[str, Any]) -> None:
    target = np.abs(normal(*shape))
    mine, theirs = with_weight(options, tfl.tensor), with_weight(options, torch.tensor)
    check_torch(
        lambda a, t: losses.cross_entropy(a, t, **mine),
        lambda a, t: functional.cross_entropy(a, t, **theirs),
        normal(*shape), target,
    )  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_binary_cross_entropy_with_logits(reduction: str, weighted: bool) -> None:
    arrays = 5 * normal(4, 3), np.random.default_rng(2).random((4, 3))
    factors = {"weight": np.array([1.0, 0.5, 2.0]), "pos_weight": np.array([3.0, 1.0, 0.2])}
    factors = factors if weighted else {}
    mine = {key: tfl.tensor(value) for key, value in factors.items()}
    theirs = {key: torch.tensor(value) for key, value in factors.items()}
    function = losses.binary_cross_entropy_with_logits
    check_torch(
        lambda a, t: function(a, t, **mine, reduction=reduction),
        lambda a, t: functional.binary_cross_entropy_with_logits(
            a, t, **theirs, reduction=reduction
        ),
        *arrays,
    )


@pytest.mark.parametrize("padding", [None, 2, -3])
def test_embedding(padding: int | None) -> None:
    indices = np.array([[0, 2, 2], [4, 0, 2]])
    check_torch(
        lambda w: embedding.embedding(tfl.tensor(indices), w, padding),
        lambda w: functional.embedding(torch.tensor(indices), w, padding),
        normal(5, 3),
    )
