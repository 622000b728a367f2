"""Multi-head attention and the transformer's layers: shapes, masks, dropout, errors."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError

from .backends import TestBackend


def drawn(*shape: int) -> tfl.Tensor:
    return tfl.tensor(np.random.default_rng(3).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("batch_first", [False, True])
def test_weights_and_blocks_give_the_same(batch_first: bool) -> None:
    attention = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=batch_first)
    x = drawn(4, 6, 8)
    length = x.shape[1 if batch_first else 0]
    mask = tfl.triu(tfl.ones((length, length), dtype=bool), k=1)
    one, weights = attention(x, x, x, attn_mask=mask)
    two, nothing = attention(x, x, x, attn_mask=mask, need_weights=False)
    three, _ = attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)
    np.testing.assert_allclose(one.detach().numpy(), two.detach().numpy(), 1e-4, 1e-6)
    assert nothing is None
    assert weights.shape == (x.shape[0 if batch_first else 1], length, length + 1)
    np.testing.assert_allclose(weights.detach().sum(-1).numpy(), 1, 1e-5)
    assert three.shape == two.shape


def test_dropout_in_training_only() -> None:
    tfl.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5)
    x = drawn(5, 3, 8)
    assert not np.array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())


def test_on_every_backend(backend: TestBackend) -> None:
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.1).to(backend.device)
    src, tgt = drawn(7, 3, 8).to(backend.device), drawn(5, 3, 8).to(backend.device)
    mask = nn.Transformer.generate_square_subsequent_mask(5, device=backend.device)
    padding = tfl.zeros((3, 7), dtype=bool, device=backend.device)
    out = model(src, tgt, tgt_mask=mask, src_key_padding_mask=padding)
    out.sum().backward()
    assert out.device == backend.device
    assert all(p.grad is not None for p in model.parameters())


def test_copies_are_trained_apart() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4))
    first, second = encoder.layers
    assert first.linear1.weight is not second.linear1.weight
    assert first is not layer
    assert len(list(encoder.parameters())) == 2 * len(list(layer.parameters())) + 2
    again = copy.deepcopy(encoder).eval()
    x = drawn(3, 2, 4)
    np.testing.assert_array_equal(again(x).detach().numpy(), encoder.eval()(x).detach().numpy())


def attend(*shapes: tuple[int, ...], **options: object) -> object:
    return nn.MultiheadAttention(4, 2, kdim=3)(*[tfl.zeros(shape) for shape in shapes], **options)


GOOD = ((5, 2, 4), (6, 2, 3), (6, 2, 4))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.MultiheadAttention(5, 2), ArgumentError,
         "MultiheadAttention: num_heads must divide embed_dim, got 2 and 5"),
        (lambda: nn.MultiheadAttention(4, 2, dropout=1.5), ArgumentError,
         "MultiheadAttention: dropout must lie in [0, 1), got 1.5"),
        (lambda: attend((5, 2, 4), (6, 2, 4), (6, 2, 4)), ShapeError,
         "MultiheadAttention: the last axes of query, key and value must be (4, 3, 4), got (5, 2"),
        (lambda: attend((5, 4), (6, 2, 3), (6, 2, 4)), ShapeError,
         "MultiheadAttention: query, key and value must all have 2 or 3 axes, got (5, 4)"),
        (lambda: attend((5, 2, 4), (6, 1, 3), (6, 1, 4)), ShapeError,
         "MultiheadAttention: batches must agree, and key and value in length too, got (5, 2, 4)"),
        (lambda: attend(*GOOD, attn_mask=tfl.zeros((6, 5))), ShapeError,
         "MultiheadAttention: attn_mask must be (5, 6) or (4, 5, 6), got (6, 5)"),
        (lambda: attend(*GOOD, key_padding_mask=tfl.zeros((6, 2))), ShapeError,
         "MultiheadAttention: key_padding_mask must be (2, 6), got (6, 2)"),
        (lambda: attend(*GOOD, key_padding_mask=tfl.zeros((2, 6), dtype=int)), DtypeError,
         "MultiheadAttention: key_padding_mask must be bool or float, got int64"),
        (lambda: attend(*GOOD, is_causal=True), ArgumentError,
         "MultiheadAttention: is_causal says that attn_mask is causal, got no attn_mask; use nn."),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="swish"), ArgumentError,
         "TransformerEncoderLayer: activation must be 'relu', 'gelu' or a function, got 'swish'"),
        (lambda: nn.Transformer(4, 2, 1, 1, 8)(tfl.zeros((3, 2, 4)), tfl.zeros((3, 1, 4))),
         ShapeError, "Transformer: src and tgt must have the same batch, got (3, 2, 4) and"),
    ],
)  # fmt: skip
def test_errors(call: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()  # type: ignore[operator]
    assert text in str(caught.value)
