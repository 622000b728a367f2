"""Attention, its layers and the transformer's against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from tensorflowlite.nn import functional as F
from tests.comparing import normal
from tests.test_attention import CASES

from .comparing import check_torch


@pytest.mark.parametrize(("query", "key", "value", "mask", "options"), CASES)
def test_scaled_dot_product_attention(query: Any, key: Any, value: Any, mask: Any,
                                      options: Any) -> None:  # fmt: skip
    arrays = [normal(*shape) for shape in (query, key, value)]
    if mask is not None:
        if options.get("is_causal"):  # PyTorch takes one of the two in float64
            options = {**options, "is_causal": False}
        arrays.append(normal(*mask))
    with sdpa_kernel(SDPBackend.MATH):  # the one that has second derivatives
        check_torch(
            lambda *xs: F.scaled_dot_product_attention(*xs, **options),
            lambda *xs: functional.scaled_dot_product_attention(*xs, **options),
            *arrays, tolerance=1e-9,
        )  # fmt: skip


def test_rows_without_any_key() -> None:
    mask = np.array([[True, False, True], [False] * 3, [False, True, True]])
    for shown in (mask, np.where(mask, 0.0, -np.inf)):
        theirs = torch.tensor(shown)
        check_torch(
            lambda *xs, shown=shown: F.scaled_dot_product_attention(*xs, attn_mask=shown),
            lambda *xs, theirs=theirs: functional.scaled_dot_product_attention(
                *xs, attn_mask=theirs
            ),
            normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 4),
        )  # fmt: skip
