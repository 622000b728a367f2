"""Layers and functions of networks: numbers by hand and by definition, bad input."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import ArgumentError, DtypeError, OutOfRangeError, ShapeError
from tensorflowlite.nn import functional as F


class Source:
    """Where a test's numbers come from, the same whichever tests run."""

    rng = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _seeded():
    Source.rng = np.random.default_rng(5)


def drawn(*shape):
    return np.asarray(Source.rng.normal(size=shape))


def tensor(values, dtype=None):
    return tfl.tensor(np.asarray(values), dtype=dtype)


def host(x):
    return x.detach().numpy()


# -- by hand ---------------------------------------------------------------------------------------
def test_linear_by_hand():
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": tensor([[1.0, 2.0], [-3.0, 0.5]]), "bias": tensor([0.5, 0.0])})
    x = tfl.tensor([[1.0, -1.0], [2.0, 0.0]], requires_grad=True)
    assert layer(x).tolist() == [[-0.5, -3.5], [2.5, -6.0]]
    nn.ReLU()(layer(x)).sum().backward()
    assert x.grad.tolist() == [[0, 0], [1, 2]]
    assert layer.weight.grad.tolist() == [[2, 0], [0, 0]] and layer.bias.grad.tolist() == [1, 0]
    assert layer(tensor([1.0, 1.0], tfl.float32)).tolist() == [3.5, -2.5]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu"])
def test_a_layer_with_its_activation_is_the_two(activation):
    for layer, x in (
        (nn.Linear(3, 4, activation=activation), drawn(5, 3)),
        (nn.Conv2d(2, 3, 3, activation=activation), drawn(2, 2, 5, 5)),
    ):
        layer.double()
        fused, x = layer(tensor(x)), tensor(x)
        layer.activation = None
        np.testing.assert_allclose(host(fused), host(getattr(F, activation)(layer(x))), 1e-12)
        assert "activation" not in repr(layer)
        layer.activation = activation
        assert repr(layer).endswith(f", activation='{activation}')")


def test_a_float32_model_stays_float32():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5),
        nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 3),
    )  # fmt: skip
    logits = model(tfl.ones((4, 1, 6, 6)))
    assert logits.dtype == tfl.float32
    weight = np.ones(3)
    wide = np.full((4, 3), 1 / 3)
    losses = [
        F.cross_entropy(logits, tensor([0, 1, 2, 0])),
        F.cross_entropy(logits, tensor([0, 1, 2, 0]), tensor(weight), label_smoothing=0.1),
        F.cross_entropy(logits, tensor(wide), tensor(weight)),
        F.nll_loss(F.log_softmax(logits, 1), tensor([0, 1, 2, 0]), tensor(weight)),
        F.mse_loss(logits, tensor(wide)),
        F.l1_loss(logits, tensor(np.ones((4, 3), np.int64))),
        F.binary_cross_entropy_with_logits(logits, tensor(wide > 0)),
        F.binary_cross_entropy_with_logits(
            logits, tensor(wide), tensor(weight), pos_weight=tensor(weight)
        ),
    ]
    assert {loss.dtype for loss in losses} == {tfl.float32}
    sum(losses[1:], losses[0]).backward()
    assert {p.grad.dtype for p in model.parameters()} == {tfl.float32}
    assert model[1].running_mean.dtype == tfl.float32


def test_losses_by_hand():
    logits = tfl.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(logits, tensor([1, 0]), reduction="none")
    np.testing.assert_allclose(host(loss), [math.log(4 / 3), math.log(2)], 1e-6)
    F.cross_entropy(logits, tensor([1, 0])).backward()
    np.testing.assert_allclose(logits.grad.numpy(), [[0.125, -0.125], [-0.25, 0.25]], 1e-6)
    half = F.cross_entropy(logits, tensor([1, -100]))
    np.testing.assert_allclose(host(half), math.log(4 / 3), 1e-6)
    smooth = F.cross_entropy(logits[:1], tensor([1]), label_smoothing=0.5)
    np.testing.assert_allclose(host(smooth), math.log(4) - 0.75 * math.log(3), 1e-6)
    spread = F.cross_entropy(logits[:1], tensor([[0.25, 0.75]]))
    np.testing.assert_allclose(host(spread), host(smooth), 1e-6)
    assert F.mse_loss(tensor([1.0, 3.0]), tensor([0.0, 1.0])).item() == 2.5
    assert F.l1_loss(tensor([1.0, 3.0]), tensor([2, 1]), reduction="none").tolist() == [1, 2]
    assert F.nll_loss(tensor([[-1.0, -2.0]]), tensor([1])).item() == 2
    binary = F.binary_cross_entropy_with_logits(tensor([0.0]), tensor([1]))
    np.testing.assert_allclose(host(binary), math.log(2), 1e-12)
    modules = [
        (nn.MSELoss(reduction="sum"), tensor([1.0]), tensor([3.0]), 4.0),
        (nn.L1Loss(), tensor([1.0]), tensor([3.0]), 2.0),
        (nn.NLLLoss(tensor([1.0, 2.0]), reduction="sum"), tensor([[1.0, -2.0]]), tensor([1]), 4.0),
        (nn.CrossEntropyLoss(reduction="sum"), tensor([[1.0, 1.0]]), tensor([0]), math.log(2)),
        (nn.BCEWithLogitsLoss(pos_weight=tensor([2.0])), tensor([0.0]), tensor([1]), math.log(4)),
    ]
    for module, x, target, expected in modules:
        assert module(x, target).item() == pytest.approx(expected)
        assert list(module.parameters()) == []
    assert "weight" in nn.CrossEntropyLoss(tensor([1.0])).state_dict()


def test_batch_norm_by_hand():
    norm = nn.BatchNorm1d(1, eps=0.0)
    x = tensor([[1.0], [3.0], [5.0]], tfl.float32)
    root = math.sqrt(1.5)
    np.testing.assert_allclose(host(norm(x)), [[-root], [0], [root]], 1e-6)
    assert norm.num_batches_tracked.item() == 1
    np.testing.assert_allclose(norm.running_mean.numpy(), [0.3], 1e-6)
    np.testing.assert_allclose(norm.running_var.numpy(), [0.9 + 0.1 * 4], 1e-6)  # unbiased: 4
    mean = norm.running_mean
    norm(x)
    assert norm.running_mean is mean, "changed in place"
    norm.eval()
    before = norm.running_mean.tolist()
    norm(x)
    assert norm.running_mean.tolist() == before and norm.num_batches_tracked.item() == 2
    norm.reset_running_stats()
    assert norm.running_mean.tolist() == [0] and norm.num_batches_tracked.item() == 0
    np.testing.assert_allclose(host(norm(x)), host(x), 1e-6)
    norm.reset_parameters()
    average = nn.BatchNorm1d(1, momentum=None)
    for value in (1.0, 2.0, 6.0):
        average(tensor([[value - 1], [value + 1]], tfl.float32))
    np.testing.assert_allclose(average.running_mean.numpy(), [3.0], 1e-6)


def test_dropout():
    tfl.manual_seed(3)
    x = tfl.ones((100, 100), requires_grad=True)
    drop = nn.Dropout(0.25)
    out = drop(x)
    kept = host(out) != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(host(out)[kept], 4 / 3, 1e-6)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), host(out))
    assert drop.eval()(x) is x
    assert float(host(F.dropout(x, 1.0)).sum()) == 0


def test_embedding_by_hand():
    table = nn.Embedding.from_pretrained(tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert table(tensor([1, 0, 1])).tolist() == [[3, 4], [1, 2], [3, 4]]
    assert not table.weight.requires_grad
    refused(ShapeError, "Embedding: the table must have two axes, got float32 (3,)",
            nn.Embedding.from_pretrained, tfl.zeros(3))  # fmt: skip
    padded = nn.Embedding(3, 2, padding_idx=-2)
    assert padded.padding_idx == 1 and padded.weight.detach()[1].tolist() == [0, 0]
    padded(tensor([0, 1, 1, 0])).sum().backward()
    assert padded.weight.grad.tolist() == [[2, 2], [0, 0], [0, 0]]


# -- images that don't fit ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: F.pad(tfl.ones((1, 2)), (2, 2), "reflect"), "an axis of length 2 can't be padded"),
        (lambda: F.pixel_shuffle(tfl.ones((1, 3, 2, 2)), 2), "input must have a multiple of 4"),
        (lambda: F.pixel_unshuffle(tfl.ones((1, 3, 3)), 2), "must be multiples of 2, got (1,"),
        (lambda: F.fold(tfl.ones((1, 4, 5)), 3, 2), "x must be (images, channels * 4, 4), got x"),
        (lambda: F.adaptive_avg_pool1d(tfl.ones((1, 2, 0)), 1), "x must not be empty, got x"),
        (lambda: F.conv1d(tfl.ones(3), tfl.ones((1, 1, 2))), "conv1d: x must be (images, channels"),
    ],
)
def test_images_that_do_not_fit(call, text):
    with pytest.raises(ShapeError, match=re.escape(text)):
        call()


# -- bad input -------------------------------------------------------------------------------------
def refused(error, text, function, *args, **options):
    with pytest.raises(error, match=re.escape(text)):
        function(*args, **options)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"])
def test_losses_whose_inputs_would_broadcast(name):
    refused(
        ShapeError,
        f"{name}: input and target must have one shape, got (32, 1) and (32,); reshape one of "
        "them, or they would broadcast",
        getattr(F, name), tfl.zeros((32, 1)), tfl.zeros(32),
    )  # fmt: skip
    refused(DtypeError, f"{name}: input must be of a float dtype, got int64",
            getattr(F, name), tensor([1]), tensor([1]))  # fmt: skip
    refused(ArgumentError, f"{name}: reduction must be 'mean', 'sum' or 'none', got 'avg'",
            getattr(F, name), tfl.zeros(2), tfl.zeros(2), reduction="avg")  # fmt: skip


def test_class_indices_out_of_range():
    text = "cross_entropy: class indices must lie in [0, 10), got 12"
    refused(OutOfRangeError, text, F.cross_entropy, tfl.zeros((2, 10)), tensor([3, 12]))
    refused(OutOfRangeError, "class indices must lie in [0, 10), got -1",
            F.cross_entropy, tfl.zeros((2, 10)), tensor([3, -1]))  # fmt: skip
    refused(OutOfRangeError, "nll_loss: class indices must lie in [0, 10), got 10",
            F.nll_loss, tfl.zeros((1, 10)), tensor([10]))  # fmt: skip
    refused(OutOfRangeError, "embedding: indices must lie in [0, 3), got 3",
            nn.Embedding(3, 2), tensor([0, 3]))  # fmt: skip


def test_shapes_of_losses():
    refused(ShapeError, "cross_entropy:", F.cross_entropy, tfl.zeros((4, 3)), tensor([1, 2]))
    refused(DtypeError, "cross_entropy: target must hold class indices (integers) or "
            "probabilities", F.cross_entropy, tfl.zeros((2, 3)), tfl.zeros(2))  # fmt: skip
    refused(ShapeError, "cross_entropy: weight must have shape (3,)",
            F.cross_entropy, tfl.zeros((2, 3)), tensor([1, 2]), tfl.zeros(2))  # fmt: skip


def test_shapes_of_layers():
    refused(ShapeError, "linear: the last axis of x must be in_features=512, got x (32, 256)",
            nn.Linear(512, 2), tfl.zeros((32, 256)))  # fmt: skip
    refused(ShapeError, "conv2d: x must have 3 channels, got x (1, 4, 8, 8)",
            nn.Conv2d(3, 2, 3), tfl.zeros((1, 4, 8, 8)))  # fmt: skip
    refused(ShapeError, "BatchNorm2d: x must have shape (N, 3, H, W), got (2, 4, 5, 5)",
            nn.BatchNorm2d(3), tfl.zeros((2, 4, 5, 5)))  # fmt: skip
    refused(ShapeError, "BatchNorm1d: x must have shape (N, 3) or (N, 3, L), got (3,)",
            nn.BatchNorm1d(3), tfl.zeros(3))  # fmt: skip
    refused(ShapeError, "batch_norm: training needs more than one value per channel",
            nn.BatchNorm1d(3), tfl.zeros((1, 3)))  # fmt: skip
    refused(ShapeError, "the last axes of x must be normalized_shape=(4,), got x (2, 3)",
            nn.LayerNorm(4), tfl.zeros((2, 3)))  # fmt: skip
    norm = nn.BatchNorm1d(3)
    with pytest.raises(ShapeError):
        norm(tfl.zeros((1, 3)))
    assert norm.num_batches_tracked.item() == 0, "nothing is changed by a call that raises"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Linear(-1, 2), "Linear: in_features must be an integer of at least 0, got -1"),
        (lambda: nn.Linear(2, 1.5), "out_features must be an integer of at least 0, got 1.5"),
        (lambda: nn.Linear(2, 2, activation="rely"), "Linear: activation must be None or one of"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size must be an integer of at least 1, or t"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: groups must divide in_channels and"),
        (lambda: nn.Conv2d(3, 4, (1, 2, 3)), "Conv2d: kernel_size must be an integer of at least"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "padding must be numbers, 'same' or 'valid'"),
        (lambda: nn.Conv2d(3, 4, 3, 2, "same"), "padding='same' needs a stride of 1, got (2, 2)"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode must be 'zeros' or 'r"),
        (lambda: nn.MaxPool2d(2, padding=-1), "padding must be an integer of at least 0, or two"),
        (lambda: nn.MaxPool1d((2, 2)), "MaxPool1d: kernel_size must be an integer of at least 1"),
        (lambda: nn.ConvTranspose2d(1, 1, 2, padding_mode="reflect"), "padding_mode must be 'zer"),
        (lambda: nn.Conv3d(2, 4, 3, groups=3), "Conv3d: groups must divide in_channels and out"),
        (lambda: F.interpolate(tfl.ones((1, 1, 2)), 3, mode="bilinear"),
         "interpolate: mode must be one for 1 axes of size (nearest, nearest-exact, area, linear)"),
        (lambda: F.interpolate(tfl.ones((1, 1, 2))), "one of size and scale_factor is needed, go"),
        (lambda: F.pad(tfl.ones((1, 2)), (1,)), "pad: pad must hold two numbers for each of at m"),
        (lambda: nn.AvgPool2d(0), "AvgPool2d: kernel_size must be an integer of at least 1, or t"),
        (lambda: nn.BatchNorm2d(3, momentum=2.0), "momentum must lie in [0, 1] or be None, got"),
        (lambda: nn.BatchNorm1d(0), "BatchNorm1d: num_features must be an integer of at least 1"),
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape must name an axis, got ()"),
        (lambda: nn.Dropout(1.5), "Dropout: p must lie in [0, 1], got 1.5"),
        (lambda: F.dropout(tfl.zeros(1), -0.5), "dropout: p must lie in [0, 1], got -0.5"),
        (lambda: nn.Embedding(3, 2, 3), "Embedding: padding_idx must lie in [-3, 3), got 3"),
        (lambda: nn.MSELoss(reduction="avg"), "MSELoss: reduction must be 'mean', 'sum' or 'none'"),
        (lambda: F.batch_norm(tfl.zeros((2, 1)), None, None), "running_var are needed without"),
    ],
)  # fmt: skip
def test_bad_settings(make, text):
    refused(ArgumentError, text, make)
