"""GPT-2: Radford et al., "Language models are unsupervised multitask learners", 2019."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflowlite as tfl
from tensorflowlite import Tensor, nn
from tensorflowlite.nn import functional as F

from .generation import Cache, attend
from .weights import initialize, take_over


@dataclass
class GPT2Config:
    """The sizes of a model; by default the smallest one's, and Hugging Face's names."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5


class Attention(nn.Module):
    """Causal attention; queries, keys and values come out of one matrix."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.heads, self.layer, self.dropout = config.n_head, layer, config.attn_pdrop
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        batch, length, width = x.shape
        apart = self.c_attn(x).reshape((batch, length, 3, self.heads, width // self.heads))
        query, key, value = tfl.unstack(apart.permute_dims((2, 0, 3, 1, 4)))
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        out = attend(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return self.resid_dropout(self.c_proj(out.swapaxes(1, 2).reshape((batch, length, width))))


class Block(nn.Module):
    """Attention and a two-layer network, each after a normalisation and beside a bypass."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        width, inner = config.n_embd, config.n_inner or 4 * config.n_embd
        self.ln_1 = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.mlp = nn.Sequential(
            {
                "c_fc": nn.Linear(width, inner, activation="gelu_tanh"),
                "c_proj": nn.Linear(inner, width),
                "dropout": nn.Dropout(config.resid_pdrop),
            }
        )

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Embeddings, the blocks, and a last normalisation."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([Block(config, layer) for layer in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        start = 0 if cache is None else cache.length
        places = tfl.arange(start, start + ids.shape[1], device=ids.device)
        x = self.drop(self.wte(ids) + self.wpe(places))
        for block in self.h:
            x = block(x, cache)
        return self.ln_f(x)


class GPT2(nn.Module):
    """A language model whose head shares the table of token embeddings.

    Parameters
    ----------
    config : GPT2Config
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        initialize(self)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Return the logits of the token after each place, shape (batch, length, vocabulary)."""
        return self.lm_head(self.transformer(ids, cache))

    def loss(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of foretelling ``labels[:, 1:]``; -100 is left out."""
        logits = self(ids)[:, :-1]
        return F.cross_entropy(logits.reshape((-1, logits.shape[-1])), labels[:, 1:].reshape(-1))

    @classmethod
    def from_hugging_face(
        cls, weights: Mapping[str, Any], config: GPT2Config, dtype: Any = None
    ) -> GPT2:
        """Return a model in evaluation mode with the weights of a file of Hugging Face's.

        There linear layers are stored as (in, out), names may lack ``transformer.``, and the head
        isn't stored twice.
        """
        found = {}
        for name, weight in weights.items():
            if name.endswith((".attn.bias", ".attn.masked_bias")):
                continue  # constants: the causal mask
            if not name.startswith(("transformer.", "lm_head.")):
                name = f"transformer.{name}"
            matrix = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
            found[name] = weight.T if matrix else weight
        found.setdefault("lm_head.weight", found["transformer.wte.weight"])
        return take_over(cls(config), found, dtype)
