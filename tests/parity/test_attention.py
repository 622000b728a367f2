"""Attention, its layers and the transformer's against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from tensorflowlite import nn
from tensorflowlite.nn import functional as F
from tests.comparing import normal
from tests.test_attention import CASES

from .comparing import check_torch
from .layers import check_layers


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


# -- layers ----------------------------------------------------------------------------------------
HIDDEN = np.triu(np.ones((5, 5), bool), 1)
PADDING = np.array([[False] * 5, [False, False, False, True, True]])
PADDED_KEYS = np.array([[False] * 7, [False] * 4 + [True] * 3])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"kdim": 6, "vdim": 10},
        {"kdim": 6, "bias": False},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True},
    ],
    ids=str,
)
def test_multihead_attention(options: Any, batch_first: bool, dtype: str) -> None:
    make = {"embed_dim": 8, "num_heads": 2, "batch_first": batch_first, **options}
    shapes = [(5, 2, 8), (7, 2, make.get("kdim", 8)), (7, 2, make.get("vdim", 8))]
    if batch_first:
        shapes = [(n, length, width) for length, n, width in shapes]
    arrays = [normal(*shape) for shape in shapes]
    for call in (
        {},
        {"need_weights": False},
        {"average_attn_weights": False, "key_padding_mask": PADDED_KEYS},
        {"key_padding_mask": np.where(PADDED_KEYS, -1.5, 0.5).astype(dtype),
         "need_weights": False},
        {"attn_mask": normal(4, 5, 7).astype(dtype), "need_weights": False},
        {"attn_mask": np.triu(np.ones((5, 7), bool), 3), "key_padding_mask": PADDED_KEYS},
        {"attn_mask": np.triu(np.ones((5, 7), bool), 3), "key_padding_mask": PADDED_KEYS,
         "need_weights": False},
    ):  # fmt: skip
        ours, theirs = nn.MultiheadAttention(**make), torch.nn.MultiheadAttention(**make)
        check_layers(ours, theirs, *arrays, dtype=dtype, **call)


@pytest.mark.parametrize("same", [1, 2])
def test_multihead_attention_of_one_input(same: int) -> None:
    """Queries, keys and values, or keys and values, are the same tensor: one product for them."""
    make = {"embed_dim": 8, "num_heads": 4}
    arrays = [normal(5, 2, 8), normal(5, 2, 8)][:same]

    def call(layer: Any, *xs: Any, **options: Any) -> Any:
        return layer(xs[0], xs[-1], xs[-1], **options)

    for options in ({}, {"need_weights": False, "attn_mask": HIDDEN, "is_causal": True},
                    {"need_weights": False, "attn_mask": HIDDEN, "is_causal": True,
                     "key_padding_mask": PADDING}):  # fmt: skip
        ours, theirs = nn.MultiheadAttention(**make), torch.nn.MultiheadAttention(**make)
        check_layers(ours, theirs, *arrays, call=call, **options)


def test_multihead_attention_without_a_batch() -> None:
    make = {"embed_dim": 8, "num_heads": 4, "add_bias_kv": True}
    for options in ({}, {"need_weights": False}, {"average_attn_weights": False},
                    {"key_padding_mask": PADDED_KEYS[1]},
                    {"attn_mask": normal(4, 5, 7)}):  # fmt: skip
        ours, theirs = nn.MultiheadAttention(**make), torch.nn.MultiheadAttention(**make)
        check_layers(ours, theirs, normal(5, 8), normal(7, 8), normal(7, 8), **options)


SIZES = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
VARIANTS = [
    {},
    {"norm_first": True, "activation": "gelu"},
    {"bias": False, "batch_first": True},
    {"layer_norm_eps": 1e-2, "batch_first": True, "norm_first": True},
]


def inputs(options: Any, *lengths: int) -> list[Any]:
    arrays = [normal(length, 2, 8) for length in lengths]
    return [a.swapaxes(0, 1) for a in arrays] if options.get("batch_first") else arrays


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_encoder_layer(options: Any, dtype: str) -> None:
    for call in ({}, {"src_mask": HIDDEN, "is_causal": True},
                 {"src_mask": HIDDEN, "src_key_padding_mask": PADDING}):  # fmt: skip
        ours = nn.TransformerEncoderLayer(**SIZES, **options)
        theirs = torch.nn.TransformerEncoderLayer(**SIZES, **options)
        check_layers(ours, theirs, *inputs(options, 5), dtype=dtype, **call)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_decoder_layer(options: Any) -> None:
    for call in ({}, {"tgt_mask": HIDDEN, "memory_key_padding_mask": PADDED_KEYS},
                 {"tgt_key_padding_mask": PADDING, "memory_mask": normal(5, 7)}):  # fmt: skip
        ours = nn.TransformerDecoderLayer(**SIZES, **options)
        theirs = torch.nn.TransformerDecoderLayer(**SIZES, **options)
        check_layers(ours, theirs, *inputs(options, 5, 7), **call)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_transformer(options: Any) -> None:
    counts = {"num_encoder_layers": 2, "num_decoder_layers": 2}
    ours = nn.Transformer(**SIZES, **counts, **options)
    theirs = torch.nn.Transformer(**SIZES, **counts, **options)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5).numpy()
    np.testing.assert_array_equal(nn.Transformer.generate_square_subsequent_mask(5).numpy(), mask)
    check_layers(
        ours, theirs, *inputs(options, 7, 5), tgt_mask=mask.astype(np.float64),
        src_key_padding_mask=PADDED_KEYS, memory_key_padding_mask=PADDED_KEYS,
    )  # fmt: skip
    check_layers(ours, theirs, *inputs(options, 7, 5))


def test_layers_alike_are_made_alike() -> None:
    """Fresh parameters are drawn from the same distributions as PyTorch's."""
    for name in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        make = {"d_model": 64, "nhead": 4, "dim_feedforward": 96}
        ours, theirs = getattr(nn, name)(**make), getattr(torch.nn, name)(**make)
        expected = theirs.state_dict()
        for key, value in ours.state_dict().items():
            deviation = float(expected[key].std(correction=0))
            # Of 4096 even numbers or more the deviation is known to 1 %; of 64 biases to 6 %.
            close = 0.05 if value.ndim > 1 else 0.3
            np.testing.assert_allclose(float(value.std()), deviation, close, 1e-12, err_msg=key)
