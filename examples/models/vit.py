"""ViT: Dosovitskiy et al., "An image is worth 16x16 words", 2020."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflowlite as tfl
from tensorflowlite import Tensor, nn
from tensorflowlite.nn import functional as F

from .weights import initialize, take_over


@dataclass
class ViTConfig:
    """The sizes of a model; by default those of ViT-Base, and Hugging Face's names."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    layer_norm_eps: float = 1e-12
    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    num_labels: int = 1000


class Embeddings(nn.Module):
    """An image as a row of patches behind a token for the whole, with their places."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        count = (config.image_size // patch) ** 2
        self.cls_token = nn.Parameter(tfl.zeros((1, 1, width)))
        self.position_embeddings = nn.Parameter(0.02 * tfl.randn(1, count + 1, width))
        projection = nn.Conv2d(config.num_channels, width, patch, stride=patch)
        self.patch_embeddings = nn.Sequential({"projection": projection})
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embeddings(images)
        batch, width = patches.shape[:2]
        patches = patches.reshape((batch, width, -1)).swapaxes(1, 2)
        whole = tfl.broadcast_to(self.cls_token, (batch, 1, width))
        return self.dropout(tfl.concat([whole, patches], axis=1) + self.position_embeddings)


class Attention(nn.Module):
    """Attention of every patch to every other."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = [
            nn.Linear(width, width) for _ in range(4)
        ]

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = [
            project(x).reshape((batch, length, self.heads, -1)).swapaxes(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        ]
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.o_proj(out.swapaxes(1, 2).reshape((batch, length, width)))


class Layer(nn.Module):
    """Attention and a two-layer network, each after a normalisation and beside a bypass."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention = Attention(config)
        self.layernorm_before = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = nn.Sequential(
            {"fc1": nn.Linear(width, inner, activation="gelu"), "fc2": nn.Linear(inner, width)}
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.layernorm_before(x)))
        return x + self.dropout(self.mlp(self.layernorm_after(x)))


class Encoder(nn.Module):
    """Embeddings, the layers, and a last normalisation."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, images: Tensor) -> Tensor:
        x = self.embeddings(images)
        for layer in self.layers:
            x = layer(x)
        return self.layernorm(x)


# What published files call the parts of a layer.
_NAMES = {
    "vit.encoder.layer.": "vit.layers.",
    "attention.attention.query.": "attention.q_proj.",
    "attention.attention.key.": "attention.k_proj.",
    "attention.attention.value.": "attention.v_proj.",
    "attention.output.dense.": "attention.o_proj.",
    "intermediate.dense.": "mlp.fc1.",
    ".output.dense.": ".mlp.fc2.",
}


class ViT(nn.Module):
    """Tells the class of an image.

    Parameters
    ----------
    config : ViTConfig
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = Encoder(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of each image's class; images of shape (batch, channels, H, W)."""
        return self.classifier(self.vit(images)[:, 0])

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of foretelling the class of each image."""
        return F.cross_entropy(self(images), labels)

    @classmethod
    def from_hugging_face(
        cls, weights: Mapping[str, Any], config: ViTConfig, dtype: Any = None
    ) -> ViT:
        """Return a model in evaluation mode with the weights of a file of Hugging Face's."""
        found = {}
        for name, weight in weights.items():
            for old, new in _NAMES.items():
                name = name.replace(old, new)
            found[name] = weight
        return take_over(cls(config), found, dtype)
