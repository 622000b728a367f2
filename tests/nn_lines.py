"""Functions and layers of networks, each with arrays to call it on: for devices and for halves.

A line is ``(name, call, arrays)``; ``call`` takes tensors, those of floats first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.nn import functional as F

RNG = np.random.default_rng(17)
Call = Callable[..., Any]


def draw(*shape: int, scale: float = 1.0) -> Any:
    return scale * np.asarray(RNG.normal(size=shape))


def shares(*shape: int) -> Any:
    drawn = RNG.uniform(0.1, 1.0, shape)
    return drawn / drawn.sum(-1, keepdims=True)


def signs(*shape: int) -> Any:
    return np.asarray(RNG.choice([-1.0, 1.0], shape))


X, Y = draw(4, 6, scale=2.0), draw(4, 6)
LABELS, COUNTS = RNG.integers(0, 6, 4), RNG.integers(0, 4, (4, 6)) * 1.0
MARKS = RNG.integers(0, 2, (4, 6)) * 1.0
IMAGE = draw(2, 4, 3, 5)

ACTIVATIONS: dict[str, tuple[Call, list[Any]]] = {
    **{name: (getattr(F, name), [X]) for name in (
        "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus",
        "softsign", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "logsigmoid", "tanh",
        "tanhshrink", "softshrink", "hardshrink", "glu", "rrelu",
    )},
    "gelu by tanh": (lambda x: F.gelu(x, "tanh"), [X]),
    "elu of another slope": (lambda x: F.elu(x, 0.3), [X]),
    "celu of another slope": (lambda x: F.celu(x, 0.3), [X]),
    "softplus, sharper": (lambda x: F.softplus(x, 3.0, 2.0), [X]),
    "threshold": (lambda x: F.threshold(x, 0.3, -1.5), [X]),
    "prelu": (F.prelu, [X, draw(6)]),
    "prelu of one slope": (F.prelu, [X, draw(1)]),
    "prelu of an image": (F.prelu, [IMAGE, draw(4)]),
    "softmax": (lambda x: F.softmax(x, 1), [X]),
    "log_softmax": (lambda x: F.log_softmax(x, 0), [X]),
    "softmin": (lambda x: F.softmin(x, -1), [X]),
    "softmax of an image": (lambda x: nn.Softmax2d()(x), [IMAGE]),
}  # fmt: skip
LOSSES: dict[str, tuple[Call, list[Any]]] = {
    "mse_loss": (F.mse_loss, [X, Y]),
    "mse_loss, weighted": (lambda x, y, w: F.mse_loss(x, y, weight=w), [X, Y, shares(4, 6)]),
    "l1_loss": (F.l1_loss, [X, Y]),
    "smooth_l1_loss": (lambda x, y: F.smooth_l1_loss(x, y, beta=0.5), [X, Y]),
    "huber_loss": (lambda x, y: F.huber_loss(x, y, delta=0.5), [X, Y]),
    "huber_loss, weighted": (lambda x, y, w: F.huber_loss(x, y, weight=w), [X, Y, shares(4, 6)]),
    "binary_cross_entropy": (F.binary_cross_entropy, [shares(4, 6), shares(4, 6)]),
    "binary_cross_entropy_with_logits": (
        lambda x, y, w: F.binary_cross_entropy_with_logits(x, y, pos_weight=w),
        [X, shares(4, 6), 3 * shares(6)],
    ),
    "kl_div": (lambda x, y: F.kl_div(x, y, reduction="batchmean"),
               [np.log(shares(4, 6)), shares(4, 6)]),
    "kl_div of logarithms": (lambda x, y: F.kl_div(x, y, reduction="sum", log_target=True),
                             [np.log(shares(4, 6)), np.log(shares(4, 6))]),
    "poisson_nll_loss": (lambda x, y: F.poisson_nll_loss(x, y, full=True), [Y, COUNTS]),
    "gaussian_nll_loss": (lambda x, y, v: F.gaussian_nll_loss(x, y, v, full=True),
                          [Y, X, 4 * shares(4, 6)]),
    "hinge_embedding_loss": (F.hinge_embedding_loss, [X, signs(4, 6)]),
    "soft_margin_loss": (F.soft_margin_loss, [X, signs(4, 6)]),
    "margin_ranking_loss": (lambda x, y, s: F.margin_ranking_loss(x, y, s, 0.5),
                            [draw(8), draw(8), signs(8)]),
    "multi_margin_loss": (F.multi_margin_loss, [X, LABELS]),
    "multilabel_margin_loss": (F.multilabel_margin_loss, [
        draw(3, 4), np.array([[1, -1, 2, 0], [3, 0, -1, -1], [-1, 1, 1, 1]])]),
    "multilabel_soft_margin_loss": (F.multilabel_soft_margin_loss, [X, MARKS]),
    "cosine_embedding_loss": (lambda x, y, s: F.cosine_embedding_loss(x, y, s, 0.2),
                              [X, Y, signs(4)]),
    "triplet_margin_loss": (lambda x, y, z: F.triplet_margin_loss(x, y, z, 2.0, swap=True),
                            [X, Y, draw(4, 6)]),
    "triplet_margin_with_distance_loss": (F.triplet_margin_with_distance_loss,
                                          [X, Y, draw(4, 6)]),
    "nll_loss": (F.nll_loss, [np.log(shares(4, 6)), LABELS]),
    "cross_entropy": (lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), [X, LABELS]),
    "cross_entropy of shares": (F.cross_entropy, [X, shares(4, 6)]),
    "ctc_loss": (lambda x, t: F.ctc_loss(F.log_softmax(x, -1), t, (6, 5), (3, 2)),
                 [draw(6, 2, 5), np.array([[1, 2, 2], [3, 1, 1]])]),
}  # fmt: skip
NORMS: dict[str, tuple[Call, list[Any]]] = {
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (6,), w, b), [X, draw(6), draw(6)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (6,), w, 1e-5), [X, draw(6)]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
                   [X, draw(6), draw(6)]),
    "batch_norm of images": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
                             [IMAGE, draw(4), draw(4)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [IMAGE, draw(4), draw(4)]),
    "instance_norm": (lambda x, w, b: F.instance_norm(x, None, None, w, b),
                      [IMAGE, draw(4), draw(4)]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3, 0.5, 0.75, 2.0), [IMAGE]),
    "normalize": (F.normalize, [X]),
    "normalize by magnitudes": (lambda x: F.normalize(x, 1.0, 0), [X]),
    "cosine_similarity": (F.cosine_similarity, [X, Y]),
    "pairwise_distance": (F.pairwise_distance, [X, Y]),
    "bilinear": (F.bilinear, [draw(3, 4), draw(3, 5), draw(2, 4, 5), draw(2)]),
}  # fmt: skip
FUNCTIONS = {**ACTIVATIONS, **LOSSES, **NORMS}


def batch_statistics(make: Call, width: int) -> Call:
    """A layer in training, then in evaluation with the statistics that it kept."""

    def run(x: Any, w: Any, b: Any) -> Any:
        layer = make(width).to(device=x.device, dtype=x.dtype)
        trained = nn.utils.functional_call(layer, {"weight": w, "bias": b}, (x,))
        layer.eval()
        kept = nn.utils.functional_call(layer, {"weight": w, "bias": b}, (x,))
        return tfl.stack([trained, kept])

    return run


LAYERS: dict[str, tuple[Call, list[Any]]] = {
    "BatchNorm1d": (batch_statistics(nn.BatchNorm1d, 6), [X, draw(6), draw(6)]),
    "BatchNorm2d": (batch_statistics(nn.BatchNorm2d, 4), [IMAGE, draw(4), draw(4)]),
    "BatchNorm3d": (batch_statistics(nn.BatchNorm3d, 3),
                    [draw(2, 3, 2, 2, 2), draw(3), draw(3)]),
    "InstanceNorm1d": (batch_statistics(
        lambda n: nn.InstanceNorm1d(n, affine=True, track_running_stats=True), 3),
        [draw(2, 3, 5), draw(3), draw(3)]),
    "InstanceNorm2d": (batch_statistics(
        lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True), 4),
        [IMAGE, draw(4), draw(4)]),
    "GroupNorm": (batch_statistics(lambda n: nn.GroupNorm(2, n), 4), [IMAGE, draw(4), draw(4)]),
    "LayerNorm": (batch_statistics(nn.LayerNorm, 6), [X, draw(6), draw(6)]),
}  # fmt: skip


def tensors(arrays: list[Any], make: Callable[[Any], tfl.Tensor]) -> list[tfl.Tensor]:
    """Return tensors of the arrays; those of floats require grad."""
    return [make(a).requires_grad_() if a.dtype.kind not in "iub" else make(a) for a in arrays]
