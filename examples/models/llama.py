"""Llama: Touvron et al., "LLaMA: open and efficient foundation language models", 2023.

Grouped queries (Ainslie et al., 2023), rotary positions (Su et al., 2021), RMSNorm, SwiGLU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflowlite as tfl
from tensorflowlite import Tensor, nn
from tensorflowlite.nn import functional as F

from .generation import Cache, attend
from .weights import initialize, take_over


@dataclass
class RopeScaling:
    """How Llama 3.1 stretches the slow rotations, for texts longer than those trained on."""

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass
class LlamaConfig:
    """The sizes of a model, by Hugging Face's names."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    head_dim: int | None = None
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = False

    @property
    def width(self) -> int:
        """The width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads


def frequencies(config: LlamaConfig) -> list[float]:
    """Return the angle by which each pair of features turns from one place to the next."""
    width, theta = config.width, config.rope_theta
    found = [theta ** (-2 * i / width) for i in range(width // 2)]
    scaling = config.rope_scaling
    if scaling is None:
        return found
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    for i, frequency in enumerate(found):
        turns = scaling.original_max_position_embeddings * frequency / (2 * math.pi)
        kept = min(max((turns - low) / (high - low), 0.0), 1.0)
        found[i] = frequency * (kept + (1 - kept) / scaling.factor)
    return found


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs of features (i, i + width / 2) by the angles of their places."""
    half = x.shape[-1] // 2
    turned = tfl.concat([-x[..., half:], x[..., :half]], axis=-1)
    return x * cosine + turned * sine


class Attention(nn.Module):
    """Causal attention in which groups of query heads share keys and values."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.width, self.layer = config.width, layer
        queries = config.num_attention_heads * config.width
        shared = config.num_key_value_heads * config.width
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = [
            project(x).reshape((batch, length, -1, self.width)).swapaxes(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        ]
        query, key = rotate(query, *angles), rotate(key, *angles)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        out = attend(query, key, value, enable_gqa=True)
        return self.o_proj(out.swapaxes(1, 2).reshape((batch, length, -1)))


class SwiGLU(nn.Module):
    """Two layers, of which the first is multiplied by a gate (Shazeer, 2020)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.swiglu(self.gate_proj(x), self.up_proj(x)))


class Block(nn.Module):
    """Attention and a gated network, each after a normalisation and beside a bypass."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = SwiGLU(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), angles, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Transformer(nn.Module):
    """Token embeddings, the blocks, and a last normalisation."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.frequencies = frequencies(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Block(config, i) for i in range(config.num_hidden_layers)])
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def angles(self, start: int, stop: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of each place's angles, shape (places, width)."""
        places = tfl.arange(start, stop, dtype=tfl.float32, device=like.device)
        turn = tfl.tensor(self.frequencies * 2, device=like.device)
        angles = places.reshape((-1, 1)) * turn
        return tfl.cos(angles).astype(like.dtype), tfl.sin(angles).astype(like.dtype)

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        start = 0 if cache is None else cache.length
        x = self.embed_tokens(ids)
        angles = self.angles(start, start + ids.shape[1], x)
        for block in self.layers:
            x = block(x, angles, cache)
        return self.norm(x)


class Llama(nn.Module):
    """A language model.

    Parameters
    ----------
    config : LlamaConfig
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Transformer(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        initialize(self)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Return the logits of the token after each place, shape (batch, length, vocabulary)."""
        return self.lm_head(self.model(ids, cache))

    def loss(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of foretelling ``labels[:, 1:]``; -100 is left out."""
        logits = self(ids)[:, :-1]
        return F.cross_entropy(logits.reshape((-1, logits.shape[-1])), labels[:, 1:].reshape(-1))

    @classmethod
    def from_hugging_face(
        cls, weights: Mapping[str, Any], config: LlamaConfig, dtype: Any = None
    ) -> Llama:
        """Return a model in evaluation mode with the weights of a file of Hugging Face's."""
        found = {k: v for k, v in weights.items() if not k.endswith("rotary_emb.inv_freq")}
        if config.tie_word_embeddings:
            found.setdefault("lm_head.weight", found["model.embed_tokens.weight"])
        return take_over(cls(config), found, dtype)
