"""Calls of nn.functional that both libraries know; see `surface.Line`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .surface import Constant, Line, call, everywhere, script

RNG = np.random.default_rng(23)
LINES: list[Line] = []
F = "nn.functional."


def draw(*shape: int) -> Any:
    return np.asarray(RNG.normal(size=shape))


def shares(*shape: int) -> Any:
    drawn = RNG.uniform(0.05, 1, shape)
    return drawn / drawn.sum(-1, keepdims=True)


def logs(*shape: int) -> Any:
    return np.log(shares(*shape))


def signs(*shape: int) -> Any:
    return Constant(np.asarray(RNG.choice([-1.0, 1.0], shape)))


def labels(*shape: int, classes: int = 4) -> Any:
    return np.asarray(RNG.integers(0, classes, shape))


def add(name: str, *args: Any, **options: Any) -> None:
    LINES.append(call(F + name, *args, **options))


def reduced(
    name: str, *args: Any, reductions: Any = ("mean", "sum", "none"), **options: Any
) -> None:
    for reduction in reductions:
        add(name, *args, reduction=reduction, **options)


def over_one(y: Any) -> float:
    return (y > 1).sum().item() / math.prod(y.shape)


# -- activations -----------------------------------------------------------------------------------
for name, choices in {
    "celu": [{}, {"alpha": 0.5}], "elu": [{}, {"alpha": 1.7}], "gelu": [{"approximate": "tanh"}],
    "hardshrink": [{}, {"lambd": 0.2}], "hardswish": [{}],
    "hardtanh": [{}, {"min_val": -0.3, "max_val": 2.0}],
    "leaky_relu": [{}, {"negative_slope": 0.3}], "logsigmoid": [{}], "mish": [{}],
    "relu": [{}], "relu6": [{}], "rrelu": [{}, {"lower": 0.2, "upper": 0.5}], "selu": [{}],
    "sigmoid": [{}], "silu": [{}], "softplus": [{"beta": 2.0, "threshold": 3.0}],
    "softshrink": [{}, {"lambd": 0.2}], "softsign": [{}], "tanh": [{}], "tanhshrink": [{}],
}.items():  # fmt: skip
    for options in choices:
        LINES += everywhere(F + name, **options)
LINES += everywhere(F + "threshold", 0.4, -1.5)
for name in ("softmax", "log_softmax", "softmin"):
    for dim in (0, -1):
        add(name, draw(3, 4), dim=dim)
        add(name, draw(4, 3).T, dim=dim)
        add(name, draw(2, 3, 4)[::-1, :, ::2], dim=dim)
        add(name, draw(), dim=dim)
        add(name, draw(0, 3), dim=dim)
add("glu", draw(4, 6))
add("glu", draw(4, 6), 0)
add("glu", draw(0, 6), dim=-1)
add("glu", draw(6, 4).T, dim=-2)
for weight in (draw(1), draw(3)):
    for shape in ((2, 3), (2, 3, 4), (0, 3), (2, 3, 4, 1)):
        add("prelu", draw(*shape), weight)
add("prelu", draw(), draw())
add("prelu", draw(4, 3).T[:3], draw(1))
# A sixth is one of float32 in PyTorch, so that a double is no nearer than 4e-8.
LINES += [line.within(4e-8) for line in everywhere(F + "hardsigmoid")]
# -- normalisation ---------------------------------------------------------------------------------
for options in ({}, {"p": 1.0}, {"p": 3.0, "dim": 0}, {"p": float("inf"), "dim": -1}, {"eps": 3.0}):
    add("normalize", draw(3, 4), **options)
    add("normalize", draw(4, 3, 2).T, **options)
    if options.get("p") != float("inf"):  # a maximum of nothing
        add("normalize", draw(0, 3), **options)
for shape in ((6, 3), (4, 3, 5), (2, 3, 2, 2)):
    mean, variance = Constant(draw(3)), Constant(np.abs(draw(3)) + 0.5)
    add("batch_norm", draw(*shape), mean, variance)
    add("batch_norm", draw(*shape), mean, variance, draw(3), draw(3), eps=1e-2)
    add("batch_norm", draw(*shape), None, None, draw(3), training=True)
    LINES.append(script(F + "batch_norm", lambda kit, x, m, v, w, b: [
        kit.nn.functional.batch_norm(x, m.detach(), v.detach(), w, b, True, 0.3),
    ], draw(*shape), draw(3), np.abs(draw(3)) + 0.5, draw(3), draw(3)))  # fmt: skip
    LINES.append(script(F + "batch_norm", lambda kit, x, m, v: [
        kit.nn.functional.batch_norm(x, m, v, training=True, momentum=0.3), m, v,
    ], draw(*shape), mean, variance))  # fmt: skip
for shape in ((3, 4), (2, 4, 5), (0, 4, 2), (2, 4, 3, 2)):
    for groups in (1, 2, 4):
        add("group_norm", draw(*shape), groups)
        add("group_norm", draw(*shape), groups, draw(4), draw(4), 1e-2)
for shape in ((2, 3, 5), (2, 3, 4, 2), (2, 3, 2, 2, 3)):
    add("instance_norm", draw(*shape))
    add("instance_norm", draw(*shape), None, None, draw(3), draw(3), eps=1e-2)
    LINES.append(script(F + "instance_norm", lambda kit, x, m, v: [
        kit.nn.functional.instance_norm(x, m, v, momentum=0.4), m, v,
        kit.nn.functional.instance_norm(x, m, v, use_input_stats=False),
    ], draw(*shape), Constant(draw(3)), Constant(np.abs(draw(3)) + 0.5)))  # fmt: skip
for shape in ((2, 5, 3), (2, 5, 3, 2)):
    add("local_response_norm", draw(*shape), 2)
    add("local_response_norm", draw(*shape), 3, 0.5, 0.6, 2.0)
# -- products, distances, images -------------------------------------------------------------------
add("bilinear", draw(2, 3), draw(2, 4), draw(5, 3, 4), draw(5))
add("bilinear", draw(3), draw(4), draw(5, 3, 4))
add("bilinear", draw(2, 6, 3), draw(2, 6, 4), draw(5, 3, 4))
add("bilinear", draw(0, 3), draw(0, 4), draw(5, 3, 4), draw(5))
for options in ({}, {"dim": 0}, {"dim": -1, "eps": 2.0}):
    add("cosine_similarity", draw(3, 4), draw(3, 4), **options)
    add("cosine_similarity", draw(4, 3).T, draw(3, 1), **options)
for options in ({}, {"p": 1.0}, {"p": 3.0, "keepdim": True}, {"p": float("inf")}, {"eps": 0.1}):
    add("pairwise_distance", draw(3, 4), draw(3, 4), **options)
    add("pairwise_distance", draw(3, 4), draw(4), **options)
for options in (
    {}, {"bias": draw(6)}, {"stride": 2, "padding": 1}, {"padding": "same", "dilation": 2},
    {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "bias": draw(6)},
):  # fmt: skip
    add("conv2d", draw(2, 4, 7, 6), draw(6, 4, 3, 3), **options)
    add("conv2d", draw(4, 7, 6), draw(6, 2, 3, 2), groups=2, **options)
add("conv2d", draw(0, 4, 7, 6), draw(6, 4, 3, 3))
add("conv2d", draw(6, 7, 4, 2).T, draw(6, 4, 3, 3))
add("channel_shuffle", draw(2, 6, 3, 2), 3)
add("pixel_shuffle", draw(2, 8, 2, 3), 2)
add("pixel_shuffle", draw(4, 2, 3), 2)
add("pixel_unshuffle", draw(2, 2, 4, 6), 2)
for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
    add("interpolate", draw(2, 3, 6, 5), (4, 9), mode=mode)
    add("interpolate", draw(2, 3, 6, 5), scale_factor=2, mode=mode)
for mode in ("constant", "reflect", "replicate", "circular"):
    add("pad", draw(2, 3, 4, 5), (1, 2, 2, 0), mode)
    add("pad", draw(3, 4, 5).T[:, :3], (1, 2), mode)
add("pad", draw(2, 3), (1, 2, 0, -1), value=2.5)
add("pad", draw(0, 3), (1, 2))
add("one_hot", labels(3, 2))
add("one_hot", labels(0, 2), 5)
add("one_hot", labels(), num_classes=6)
for options in ({}, {"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True}):
    add("embedding", np.array([[0, 2, 5], [2, 2, 1]]), draw(6, 3), **options)
add("embedding", np.array(2), draw(6, 3))
add("embedding", np.zeros((0, 2), int), draw(6, 3))
LINES.append(script(F + "embedding", lambda kit, w: [
    kit.nn.functional.embedding(kit.tensor([0, 2, 2]), w, max_norm=0.5), w,
], Constant(draw(6, 3))))  # fmt: skip
# -- what is drawn at random: where nothing or everything is dropped -------------------------------
for name, shape in {
    "dropout": (3, 4), "dropout1d": (2, 3, 4), "dropout2d": (2, 3, 4, 2),
    "dropout3d": (2, 3, 2, 2, 2), "alpha_dropout": (3, 4), "feature_alpha_dropout": (2, 3, 4),
}.items():  # fmt: skip
    add(name, draw(*shape), 0.0, True)
    add(name, draw(*shape), 1.0, True)
    add(name, draw(*shape), p=0.5, training=False)
    many = Constant(np.ones((80, 80, *[1] * (len(shape) - 2))))
    LINES.append(call(F + name, many, 0.5, True).then(lambda y: abs(over_one(y) - 0.5) < 0.04))
    if "alpha" not in name:
        LINES.append(
            call(F + name, many, 0.5, True).then(lambda y: abs(y.mean().item() - 1) < 0.08)
        )
for options in ({}, {"tau": 0.3, "dim": 0}, {"hard": True}):
    LINES.append(call(F + "gumbel_softmax", Constant(draw(3, 4)), **options).then(
        lambda y, o=options: [
            list(y.shape), bool((y >= 0).all()),
            bool(((y.sum(o.get("dim", -1)) - 1).abs() < 1e-5).all()),
        ]
    ))  # fmt: skip
# A class three times as likely as the other is drawn three times as often.
LINES.append(
    call(F + "gumbel_softmax", Constant(np.tile(np.log([0.75, 0.25]), (4000, 1))), hard=True).then(
        lambda y: abs(y[:, 0].mean().item() - 0.75) < 0.03
    )
)


# -- losses ----------------------------------------------------------------------------------------
for shape in ((3, 4), (), (0, 3)):
    pair = draw(*shape), draw(*shape)
    for reduction in ("mean", "sum", "none") if 0 not in shape else ("sum", "none"):
        kind = {"reduction": reduction}
        add("mse_loss", *pair, **kind)
        add("l1_loss", *pair, **kind)
        add("smooth_l1_loss", *pair, **kind, beta=0.3)
        add("smooth_l1_loss", *pair, **kind, beta=0.0)
        add("huber_loss", *pair, **kind, delta=0.3)
        add("soft_margin_loss", draw(*shape), signs(*shape), **kind)
        add("hinge_embedding_loss", draw(*shape), signs(*shape), 0.2, **kind)
        add(
            "binary_cross_entropy_with_logits",
            5 * draw(*shape),
            shares(*shape, 1)[..., 0] / 2,
            **kind,
        )
        add("poisson_nll_loss", draw(*shape), Constant(labels(*shape) * 1.0), **kind)
for name in ("mse_loss", "l1_loss", "huber_loss"):
    reduced(name, draw(3, 4), draw(3, 4), weight=Constant(shares(3, 4)))
reduced("smooth_l1_loss", draw(4, 3).T, draw(3, 4))
reduced("binary_cross_entropy", shares(3, 4), Constant(shares(3, 4)))
reduced("binary_cross_entropy", shares(3, 4), Constant(shares(3, 4)), Constant(shares(4)))
reduced("binary_cross_entropy_with_logits", draw(3, 4), shares(3, 4), Constant(shares(4)),
        pos_weight=Constant(3 * shares(4)))  # fmt: skip
for target, options in ((shares(3, 4), {}), (logs(3, 4), {"log_target": True}),
                        (np.eye(3, 4), {})):  # fmt: skip
    reduced(
        "kl_div",
        logs(3, 4),
        Constant(target),
        reductions=("batchmean", "mean", "sum", "none"),
        **options,
    )
reduced("poisson_nll_loss", draw(3, 4), Constant(labels(3, 4) * 1.0), full=True)
reduced(
    "poisson_nll_loss",
    5 * shares(3, 4),
    Constant(labels(3, 4) * 1.0),
    log_input=False,
    full=True,
    eps=0.1,
)
for var in (shares(3, 4), shares(3, 1), shares(3, 2)[:, 0], 0.5):
    reduced("gaussian_nll_loss", draw(3, 4), draw(3, 4), var)
    reduced("gaussian_nll_loss", draw(3, 4), draw(3, 4), var, full=True, eps=0.3)
reduced("margin_ranking_loss", draw(5), draw(5), signs(5), 0.7)
reduced("multi_margin_loss", draw(3, 4), labels(3))
reduced("multi_margin_loss", draw(4), labels())
reduced("multi_margin_loss", draw(3, 4), labels(3), 2, 0.5, Constant(shares(4)))
reduced(
    "multilabel_margin_loss", draw(3, 4), np.array([[1, -1, 2, 0], [3, 0, -1, -1], [-1, 1, 1, 1]])
)
reduced(
    "multilabel_soft_margin_loss",
    draw(3, 4),
    Constant(labels(3, 4, classes=2) * 1.0),
    Constant(shares(4)),
)
reduced("cosine_embedding_loss", draw(5, 3), draw(5, 3), signs(5), 0.3)
reduced("cosine_embedding_loss", draw(3), draw(3), signs())
for options in ({}, {"swap": True, "p": 1.0, "margin": 2.0}, {"eps": 0.1, "margin": 0.5}):
    reduced("triplet_margin_loss", draw(5, 3), draw(5, 3), draw(5, 3), **options)
for options in ({}, {"swap": True, "margin": 2.0}):
    reduced("triplet_margin_with_distance_loss", draw(5, 3), draw(5, 3), draw(5, 3), **options)
for options in ({}, {"weight": Constant(shares(4))}, {"ignore_index": 1}):
    for shape in ((5, 4), (3, 4, 2), (4,)):
        target = labels(*shape[:1], *shape[2:]) if len(shape) > 1 else np.array(2)
        reduced("nll_loss", draw(*shape), target, **options)
        reduced("cross_entropy", draw(*shape), target, **options)
        reduced("cross_entropy", draw(*shape), target, **options, label_smoothing=0.2)
reduced("cross_entropy", draw(5, 4), shares(5, 4), label_smoothing=0.1)
for zero_infinity in (False, True):
    for lengths in (([6, 5], [3, 2]), ([6, 6], [0, 3])):
        LINES += [script(F + "ctc_loss", lambda kit, x, t, lengths=lengths, o=options:
                         kit.nn.functional.ctc_loss(x.log_softmax(-1), t, *lengths, **o),
                         draw(6, 2, 5), labels(2, 3) + 1)
                  for options in ({"reduction": r, "zero_infinity": zero_infinity}
                                  for r in ("mean", "sum", "none"))]  # fmt: skip
