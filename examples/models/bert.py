"""BERT: Devlin et al., "Pre-training of deep bidirectional transformers", 2018."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import tensorflowlite as tfl
from tensorflowlite import Tensor, nn
from tensorflowlite.nn import functional as F

from .weights import initialize, take_over

_Model = TypeVar("_Model", bound="_WithBert")


@dataclass
class BertConfig:
    """The sizes of a model; by default the smaller one's, and Hugging Face's names."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    num_labels: int = 2


class Embeddings(nn.Module):
    """The sum of the embeddings of tokens, places and segments, normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor, token_types: Tensor | None) -> Tensor:
        places = tfl.arange(ids.shape[1], device=ids.device)
        segments = tfl.zeros_like(ids) if token_types is None else token_types
        x = self.word_embeddings(ids) + self.token_type_embeddings(segments)
        return self.dropout(self.LayerNorm(x + self.position_embeddings(places)))


class SelfAttention(nn.Module):
    """Attention of every token to every other that isn't padding."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.query, self.key, self.value = [nn.Linear(width, width) for _ in range(3)]

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        query, key, value = [
            project(x).reshape((batch, length, self.heads, -1)).swapaxes(1, 2)
            for project in (self.query, self.key, self.value)
        ]
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        return out.swapaxes(1, 2).reshape((batch, length, width))


class Output(nn.Module):
    """A linear layer beside a bypass, normalised."""

    def __init__(self, config: BertConfig, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, bypass: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + bypass)


class Layer(nn.Module):
    """Attention and a two-layer network, each normalised together with its bypass."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": Output(config, config.hidden_size)}
        )
        self.intermediate = nn.Sequential(
            {"dense": nn.Linear(config.hidden_size, config.intermediate_size, activation="gelu")}
        )
        self.output = Output(config, config.intermediate_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(self.intermediate(x), x)


class Encoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Bert(nn.Module):
    """The encoder, with or without the layer that stands for the whole text.

    Parameters
    ----------
    config : BertConfig
    pooled : bool
        Whether to return one vector per text, made of the first token's, rather than one per token.
    """

    def __init__(self, config: BertConfig, pooled: bool = False) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = None
        if pooled:
            width = config.hidden_size
            self.pooler = nn.Sequential({"dense": nn.Linear(width, width, activation="tanh")})

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None,
                token_types: Tensor | None = None) -> Tensor:  # fmt: skip
        mask = None
        if attention_mask is not None:  # 1 for tokens, 0 for padding, shape (batch, length)
            mask = (attention_mask != 0)[:, None, None, :]
        x = self.encoder(self.embeddings(ids, token_types), mask)
        return x if self.pooler is None else self.pooler(x[:, 0])


class _WithBert(nn.Module):
    """What the models for a task share: how they take weights over."""

    @classmethod
    def from_hugging_face(
        cls: type[_Model], weights: Mapping[str, Any], config: BertConfig, dtype: Any = None
    ) -> _Model:
        """Return a model in evaluation mode with the weights of a file of Hugging Face's.

        Files of the first models call the parameters of normalisations gamma and beta; what the
        model has no place for (the head of another task) is left out.
        """
        model = cls(config)  # type: ignore[call-arg]
        wanted = model.state_dict()
        found = {}
        for name, weight in weights.items():
            name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
            name = name.replace("LayerNorm.beta", "LayerNorm.bias")
            if name in wanted:
                found[name] = weight
        if "cls.predictions.bias" in found:  # shared tensors aren't stored twice
            table = found["bert.embeddings.word_embeddings.weight"]
            found.setdefault("cls.predictions.decoder.weight", table)
            found.setdefault("cls.predictions.decoder.bias", found["cls.predictions.bias"])
        return take_over(model, found, dtype)


class MaskedHead(nn.Module):
    """From a token's vector to the logits of the vocabulary, by the table of embeddings."""

    def __init__(self, config: BertConfig, table: Tensor) -> None:
        super().__init__()
        width = config.hidden_size
        self.transform = nn.Sequential(
            {
                "dense": nn.Linear(width, width, activation="gelu"),
                "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps),
            }
        )
        self.decoder = nn.Linear(width, config.vocab_size)
        self.decoder.weight = table
        self.bias = self.decoder.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


class BertForMaskedLM(_WithBert):
    """Foretells the tokens that were masked.

    Parameters
    ----------
    config : BertConfig
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = Bert(config)
        initialize(self)
        table = self.bert.embeddings.word_embeddings.weight
        self.cls = nn.Sequential({"predictions": MaskedHead(config, table)})

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None,
                token_types: Tensor | None = None) -> Tensor:  # fmt: skip
        """Return the logits of each place's token, shape (batch, length, vocabulary)."""
        return self.cls(self.bert(ids, attention_mask, token_types))

    def loss(self, ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the mean loss of foretelling ``labels``; -100 is left out."""
        logits = self(ids, attention_mask)
        return F.cross_entropy(logits.reshape((-1, logits.shape[-1])), labels.reshape(-1))


class BertForSequenceClassification(_WithBert):
    """Tells the class of a text.

    Parameters
    ----------
    config : BertConfig
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = Bert(config, pooled=True)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialize(self)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None,
                token_types: Tensor | None = None) -> Tensor:  # fmt: skip
        """Return the logits of each text's class, shape (batch, num_labels)."""
        return self.classifier(self.dropout(self.bert(ids, attention_mask, token_types)))

    def loss(self, ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the mean loss of foretelling the class of each text."""
        return F.cross_entropy(self(ids, attention_mask), labels)
