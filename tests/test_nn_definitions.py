"""Layers, losses and loaded states against their definitions, and the layers' printed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F


def drawn(*shape):
    return np.random.default_rng([11, *shape]).normal(size=shape)


def standardized(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def softmax(x, axis):
    powers = np.exp(x)
    return powers / powers.sum(axis, keepdims=True)


def ops(name):
    """An operation that the op table holds to its definition, of and to NumPy arrays."""
    function = getattr(F, name)
    return lambda *args, **options: function(
        *(tfl.tensor(a) if isinstance(a, np.ndarray) else a for a in args), **options
    ).numpy()


# The layer, its shape of input, what it gives for its weight and bias, and how it prints.
LAYERS = [
    (lambda: nn.Linear(5, 3), (4, 5), lambda x, w, b: x @ w.T + b,
     "Linear(in_features=5, out_features=3, bias=True)"),
    (lambda: nn.Linear(5, 3, bias=False), (2, 3, 5), lambda x, w: x @ w.T,
     "Linear(in_features=5, out_features=3, bias=False)"),
    (lambda: nn.Conv2d(4, 6, 3, padding=1), (2, 4, 7, 6),
     lambda x, w, b: ops("conv2d")(x, w, padding=1) + b[:, None, None],
     "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"),
    (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), groups=2, bias=False), (2, 4, 7, 6),
     lambda x, w: ops("conv2d")(x, w, stride=(2, 1), groups=2),
     "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 1), groups=2, bias=False)"),
    (lambda: nn.Conv2d(2, 2, 3, padding="same", dilation=2), (1, 2, 8, 8),
     lambda x, w, b: ops("conv2d")(x, w, padding=2, dilation=2) + b[:, None, None],
     "Conv2d(2, 2, kernel_size=(3, 3), stride=(1, 1), padding=same, dilation=(2, 2))"),
    (lambda: nn.MaxPool2d(2), (2, 3, 4, 6),
     lambda x: x.reshape(2, 3, 2, 2, 3, 2).max((3, 5)),
     "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (2, 3, 6, 7),
     lambda x: ops("max_pool2d")(x, 3, 2, 1, ceil_mode=True),
     "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=True)"),
    (lambda: nn.MaxPool2d(2, dilation=2, stride=1), (2, 3, 6, 7),
     lambda x: np.maximum(np.maximum(x[..., :-2, :-2], x[..., 2:, :-2]),
                          np.maximum(x[..., :-2, 2:], x[..., 2:, 2:])),
     "MaxPool2d(kernel_size=2, stride=1, padding=0, dilation=2, ceil_mode=False)"),
    (lambda: nn.AvgPool2d(2), (2, 3, 4, 6), lambda x: x.reshape(2, 3, 2, 2, 3, 2).mean((3, 5)),
     "AvgPool2d(kernel_size=2, stride=2, padding=0)"),
    (lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 3, 6, 7),
     lambda x: ops("avg_pool2d")(x, 3, 2, 1, count_include_pad=False),
     "AvgPool2d(kernel_size=3, stride=2, padding=1)"),
    (lambda: nn.BatchNorm1d(4, momentum=None, eps=1e-3), (6, 4, 3),
     lambda x, w, b: standardized(x, (0, 2), 1e-3) * w[:, None] + b[:, None],
     "BatchNorm1d(4, eps=0.001, momentum=None, affine=True, bias=True, track_running_stats=True)"),
    (lambda: nn.BatchNorm1d(4, affine=False, track_running_stats=False), (6, 4),
     lambda x: standardized(x, 0, 1e-5),
     "BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=False, bias=False, "
     "track_running_stats=False)"),
    (lambda: nn.BatchNorm2d(4, track_running_stats=False), (3, 4, 5, 2),
     lambda x, w, b: standardized(x, (0, 2, 3), 1e-5) * w[:, None, None] + b[:, None, None],
     "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=False)"),
    (lambda: nn.LayerNorm(5), (3, 4, 5), lambda x, w, b: standardized(x, -1, 1e-5) * w + b,
     "LayerNorm((5,), eps=1e-05, elementwise_affine=True, bias=True)"),
    (lambda: nn.LayerNorm((4, 5), elementwise_affine=False), (3, 4, 5),
     lambda x: standardized(x, (1, 2), 1e-5),
     "LayerNorm((4, 5), eps=1e-05, elementwise_affine=False, bias=False)"),
    (lambda: nn.LayerNorm((4, 5), bias=False, eps=1e-2), (3, 4, 5),
     lambda x, w: standardized(x, (1, 2), 1e-2) * w,
     "LayerNorm((4, 5), eps=0.01, elementwise_affine=True, bias=False)"),
    (lambda: nn.RMSNorm(5), (3, 5), lambda x, w: x / np.sqrt((x * x).mean(-1)[:, None]) * w,
     "RMSNorm((5,), eps=None, elementwise_affine=True)"),
    (lambda: nn.RMSNorm((4, 5), eps=1e-2, elementwise_affine=False), (3, 4, 5),
     lambda x: x / np.sqrt((x * x).mean((1, 2), keepdims=True) + 1e-2),
     "RMSNorm((4, 5), eps=0.01, elementwise_affine=False)"),
    (lambda: nn.Flatten(), (2, 3, 4), lambda x: x.reshape(2, 12),
     "Flatten(start_dim=1, end_dim=-1)"),
    (lambda: nn.Flatten(0, 1), (2, 3, 4), lambda x: x.reshape(6, 4),
     "Flatten(start_dim=0, end_dim=1)"),
    (lambda: nn.Identity(), (2, 3), lambda x: x, "Identity()"),
    (lambda: nn.Dropout(0.0), (2, 3), lambda x: x, "Dropout(p=0.0)"),
    (lambda: nn.Dropout(1.0), (2, 3), lambda x: 0 * x, "Dropout(p=1.0)"),
    (lambda: nn.ReLU(inplace=True), (3, 4), lambda x: np.maximum(x, 0), "ReLU()"),
    (lambda: nn.LeakyReLU(0.2), (3, 4), lambda x: np.where(x > 0, x, 0.2 * x),
     "LeakyReLU(negative_slope=0.2)"),
    (lambda: nn.ELU(1.5), (3, 4), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)),
     "ELU(alpha=1.5)"),
    (lambda: nn.Sigmoid(), (3, 4), lambda x: 1 / (1 + np.exp(-x)), "Sigmoid()"),
    (lambda: nn.Tanh(), (3, 4), np.tanh, "Tanh()"),
    (lambda: nn.SiLU(), (3, 4), lambda x: x / (1 + np.exp(-x)), "SiLU()"),
    (lambda: nn.GELU(), (3, 4), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
     "GELU(approximate='none')"),
    (lambda: nn.GELU("tanh"), (3, 4),
     lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
     "GELU(approximate='tanh')"),
    (lambda: nn.Softplus(2.0, 3.0), (3, 4),
     lambda x: np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2),
     "Softplus(beta=2.0, threshold=3.0)"),
    (lambda: nn.Softmax(dim=0), (3, 4), lambda x: softmax(x, 0), "Softmax(dim=0)"),
    (lambda: nn.LogSoftmax(-1), (3, 4), lambda x: np.log(softmax(x, 1)), "LogSoftmax(dim=-1)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "shape", "definition", "text"), LAYERS, ids=[each[-1] for each in LAYERS]
)
def test_layers(make, shape, definition, text):
    layer = make().double()
    parameters = [drawn(*p.shape) for p in layer.parameters()]
    with tfl.no_grad():
        for p, value in zip(layer.parameters(), parameters, strict=True):
            p[...] = value
    names = ["weight", "bias"][: len(parameters)]
    assert [name for name, _ in layer.named_parameters()] == names
    x = drawn(*shape)
    found = layer(tfl.tensor(x)).detach().numpy()
    np.testing.assert_allclose(found, definition(x, *parameters), 1e-9, 1e-11)
    assert repr(layer) == text


def test_an_embedding_prints_its_padding():
    assert repr(nn.Embedding(6, 3)) == "Embedding(6, 3)"
    assert repr(nn.Embedding(6, 3, -1)) == "Embedding(6, 3, padding_idx=5)"


SELU = 1.0507009873554805, 1.6732632423543772


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("relu6", lambda x: np.clip(x, 0, 6)),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("selu", lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(x))),
        ("logsigmoid", lambda x: -np.log1p(np.exp(-x))),
    ],
)
def test_activations_made_of_others(name, definition):
    x = 4 * drawn(5, 7)
    np.testing.assert_allclose(ops(name)(x), definition(x), 1e-12, 1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction):
    x, target, weight, positive = drawn(3, 4), abs(drawn(4, 3).T) % 1, abs(drawn(4)), abs(drawn(4))
    reduced = {"mean": np.mean, "sum": np.sum, "none": lambda a: a}[reduction]
    share = 1 / (1 + np.exp(-x))
    binary = -weight * (positive * target * np.log(share) + (1 - target) * np.log(1 - share))
    factors = {"weight": tfl.tensor(weight), "pos_weight": tfl.tensor(positive)}
    for name, options, each in (
        ("mse_loss", {}, (x - target) ** 2),
        ("l1_loss", {}, abs(x - target)),
        ("binary_cross_entropy_with_logits", factors, binary),
    ):
        found = ops(name)(x, target, reduction=reduction, **options)
        np.testing.assert_allclose(found, reduced(each), 1e-11)
    logs = np.log(softmax(x, 1))
    spread = target / target.sum(1, keepdims=True)
    smooth = 0.7 * spread + 0.3 / 4
    each = -(smooth * weight * logs).sum(1)
    loss = ops("cross_entropy")(
        x, spread, tfl.tensor(weight), label_smoothing=0.3, reduction=reduction
    )
    np.testing.assert_allclose(loss, reduced(each), 1e-11)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
def test_clipping_scales_by_the_norm(order):
    gradients = [drawn(3, 4), drawn(5)]
    parameters = [nn.Parameter(np.zeros(g.shape)) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = tfl.tensor(g)
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in gradients]), order)
    assert nn.utils.clip_grad_norm_(parameters, 0.5, order).item() == pytest.approx(norm, rel=1e-12)
    for p, g in zip(parameters, gradients, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g * 0.5 / (norm + 1e-6), 1e-10)


def test_a_state_in_the_form_of_pytorch():
    """Its groups hold more than is known here, and its count of steps is a float32."""
    p = tfl.tensor(np.array([1.0, 2.0]), requires_grad=True)
    optimizer = optim.AdamW([p])
    first, second = np.array([0.5, -0.25]), np.array([0.25, 1.0])
    group = {
        "lr": 0.1, "betas": (0.5, 0.75), "eps": 0.0, "weight_decay": 0.5, "amsgrad": False,
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "fused": None, "decoupled_weight_decay": True, "params": [0],
    }  # fmt: skip
    one = {"step": np.ones((), np.float32), "exp_avg": first, "exp_avg_sq": second}
    optimizer.load_state_dict({"state": {0: one}, "param_groups": [group]})
    p.grad = tfl.tensor(np.array([1.0, 1.0]))
    optimizer.step()
    mean = (0.5 * first + 0.5) / (1 - 0.5**2)
    spread = np.sqrt((0.75 * second + 0.25) / (1 - 0.75**2))
    expected = np.array([1.0, 2.0]) * (1 - 0.1 * 0.5) - 0.1 * mean / spread
    np.testing.assert_allclose(p.detach().numpy(), expected, 1e-12)
    assert optimizer.state[p]["step"].item() == 2
