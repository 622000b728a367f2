"""Attention in blocks: the same whatever the blocks, and never the whole matrix of scores."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.slots import attention as attention_slots
from tensorflowlite.nn import functional as F

from .rows.attention import scaled_dot_product_attention

BLOCKS = [(1 << 18, 512), (64, 16), (17, 5), (1, 1)]
CASES: list[tuple[Any, Any, Any, Any, dict[str, Any]]] = [
    ((2, 3, 17, 4), (2, 3, 17, 4), (2, 3, 17, 5), None, {}),
    ((2, 3, 17, 4), (2, 3, 11, 4), (2, 3, 11, 5), None, {"is_causal": True}),
    ((2, 3, 9, 4), (2, 3, 13, 4), (2, 3, 13, 2), None, {"is_causal": True}),
    ((2, 4, 7, 4), (2, 2, 9, 4), (2, 2, 9, 4), None, {"is_causal": True, "enable_gqa": True}),
    ((3, 1, 7, 4), (2, 9, 4), (1, 9, 4), None, {"scale": 0.3}),
    ((2, 4, 7, 4), (2, 2, 9, 4), (2, 2, 9, 4), (7, 9), {"enable_gqa": True}),
    ((2, 4, 7, 4), (2, 4, 9, 4), (2, 4, 9, 4), (2, 1, 1, 9), {}),
    ((2, 4, 7, 4), (2, 2, 9, 4), (2, 2, 9, 4), (2, 4, 7, 1), {"enable_gqa": True}),
    ((2, 4, 7, 4), (2, 4, 9, 4), (2, 4, 9, 4), (4, 1, 9), {"is_causal": True}),
]


@pytest.fixture
def rng() -> Any:
    return np.random.default_rng(3)


@pytest.mark.parametrize("boolean", [False, True])
@pytest.mark.parametrize(("query", "key", "value", "mask", "options"), CASES)
def test_any_blocks_give_the_same(query: Any, key: Any, value: Any, mask: Any, options: Any,
                                  boolean: bool, rng: Any,
                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    arrays = [rng.normal(size=shape) for shape in (query, key, value)]
    if mask is not None:
        arrays.append(rng.random(mask) > 0.4 if boolean else rng.normal(size=mask))
    expected = scaled_dot_product_attention(*arrays, **options)
    g = rng.normal(size=expected.shape)
    found: list[list[Any]] = []
    for block, columns in BLOCKS:
        monkeypatch.setattr(attention_slots, "_BLOCK", block)
        monkeypatch.setattr(attention_slots, "_COLUMNS", columns)
        leaves = [tfl.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        out = F.scaled_dot_product_attention(*leaves, **options)
        np.testing.assert_allclose(out.detach().numpy(), expected, 1e-12, 1e-12)
        out.backward(tfl.tensor(g))
        found.append([x.grad.numpy() for x in leaves if x.grad is not None])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(one, two, 1e-11, 1e-12)


def test_a_query_without_keys_gives_zeros_and_no_gradient(rng: Any) -> None:
    x = tfl.tensor(rng.normal(size=(3, 2)), requires_grad=True)
    mask = tfl.tensor([[True, True, True], [False, False, False], [True, False, False]])
    out = F.scaled_dot_product_attention(x, x.detach(), x.detach(), mask)
    out.sum().backward()
    assert out[1].tolist() == [0, 0]
    assert x.grad is not None
    assert x.grad[1].tolist() == [0, 0]
    assert np.isfinite(x.grad.numpy()).all()


def test_large_scores_do_not_overflow() -> None:
    x = tfl.tensor([[1e20, 0.0], [-1e20, 0.0]], requires_grad=True)
    out = F.scaled_dot_product_attention(x, x.detach(), tfl.eye(2), scale=1e-3)
    np.testing.assert_allclose(out.detach().numpy(), np.eye(2))


@pytest.mark.parametrize("blocks", BLOCKS[:2])
def test_dropout_is_that_of_the_seed_in_every_block(blocks: Any, rng: Any,
                                                    monkeypatch: pytest.MonkeyPatch
                                                    ) -> None:  # fmt: skip
    arrays = [rng.normal(size=(2, 2, 9, 3)) for _ in range(3)]

    def run() -> list[Any]:
        tfl.manual_seed(5)
        leaves = [tfl.tensor(a, requires_grad=True) for a in arrays]
        out = F.scaled_dot_product_attention(*leaves, dropout_p=0.4, is_causal=True)
        out.sum().backward()
        return [out.detach().numpy(), *[x.grad.numpy() for x in leaves if x.grad is not None]]

    first = run()
    monkeypatch.setattr(attention_slots, "_BLOCK", blocks[0])
    for one, two in zip(first, run(), strict=True):
        np.testing.assert_allclose(one, two, 1e-12, 1e-12)
    tfl.manual_seed(6)
    leaves = [tfl.tensor(a) for a in arrays]
    other = F.scaled_dot_product_attention(*leaves, dropout_p=0.4, is_causal=True)
    assert np.abs(other.numpy() - first[0]).max() > 0.1


def test_dropout_keeps_the_expectation() -> None:
    tfl.manual_seed(1)
    q, v = tfl.zeros((200, 50, 4)), tfl.ones((200, 50, 1))
    out = F.scaled_dot_product_attention(q, q, v, dropout_p=0.3)
    # 10,000 sums of 50 weights, each of which deviates by 0.65 of 1/50: the mean by 0.001.
    assert abs(float(out.mean()) - 1) < 0.004


def test_memory_grows_with_the_length_not_its_square() -> None:
    """The whole matrix of scores would be 64 MiB; inputs, gradients and blocks are a tenth."""
    length, width = 4096, 64
    rng = np.random.default_rng(0)
    q, k, v = [
        tfl.tensor(rng.normal(size=(length, width)).astype(np.float32), requires_grad=True)
        for _ in range(3)
    ]
    tracemalloc.start()
    try:
        F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20, f"{peak / 2**20:.1f} MiB"
