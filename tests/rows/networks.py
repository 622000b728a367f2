"""Rows of the operations of networks."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tensorflowlite.ops import activation, embedding, losses, normalization
from tensorflowlite.ops import ctc as ctc_ops
from tests.op_table import Constant, Row, Sample, complexes, elementwise, floats

# Sums of a few dozen products of numbers up to 2; the other rows divide by what they sum.
sums = {"float64": 1e-11, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


# -- activations -----------------------------------------------------------------------------------
def with_options(**options):
    def samples(draw):
        for sample in elementwise(draw):
            yield Sample(*sample.args, **options)
            yield sample

    return samples


_erf = np.vectorize(math.erf, otypes=[np.float64])


def normal_share(x):
    x = np.asarray(x)
    wide = x.astype(np.float64) / math.sqrt(2)
    return (0.5 * (1 + (_erf(wide) if x.size else wide))).astype(x.dtype)


def gelu(x, approximate="none"):
    if approximate == "none":
        return x * normal_share(x)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def gelus(draw):
    for sample in elementwise(draw):
        yield Sample(*sample.args)
        yield Sample(*sample.args, approximate="tanh")


def softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.log1p(np.exp(x * beta)) / beta).astype(x.dtype)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(x))


def along(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(2, 3, 4), 0)
    yield Sample(draw(2, 3, 4), -2)
    yield Sample(draw(3, 4).T, 1)
    yield Sample(draw.strided(2, 3), 0)
    yield Sample(draw(0, 3))
    yield Sample(draw(2, 1))
    yield Sample(draw(5))


def softmax(x, axis=-1):
    powers = np.exp(x - x.max(axis, keepdims=True, initial=-math.inf))
    return powers / powers.sum(axis, keepdims=True)


def log_softmax(x, axis=-1):
    shifted = x - x.max(axis, keepdims=True, initial=-math.inf)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


no_axis = ((np.zeros((2, 3)), 2), ShapeError, "axis must lie in [-2, 2), got 2")
activations = [
    Row(activation.relu, lambda x: np.maximum(x, 0)),
    Row(activation.sigmoid, lambda x: 1 / (1 + np.exp(-x)), dtypes=(*floats, *complexes)),
    Row(activation.silu, lambda x: x / (1 + np.exp(-x)), dtypes=(*floats, *complexes)),
    Row(
        activation.leaky_relu,
        lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
        samples=with_options(negative_slope=0.3),
    ),
    Row(activation.elu, elu, samples=with_options(alpha=0.6)),
    Row(activation.gelu, gelu, samples=gelus, errors=[
        ((np.zeros(2), "erf"), ArgumentError, "approximate must be 'none' or 'tanh', got 'erf'"),
    ]),
    Row(activation.softplus, softplus, samples=with_options(beta=2.0, threshold=1.5), errors=[
        ((np.zeros(2), 0), ArgumentError, "softplus: beta must not be 0, got 0"),
    ]),
    Row(
        activation.hardtanh,
        lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
        samples=with_options(min_val=-0.5, max_val=1.5),
        errors=[((np.zeros(2), 1, 0), ArgumentError, "must not exceed max_val, got 1 and 0")],
    ),
    Row(activation.softmax, softmax, samples=along, errors=[no_axis]),
    Row(activation.log_softmax, log_softmax, samples=along, errors=[no_axis]),
]  # fmt: skip


# -- normalisation ---------------------------------------------------------------------------------
def standardized(x, axes, eps):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axes, keepdims=True) + eps)


def scaled(x, shape, weight=None, bias=None):
    if weight is not None:
        x = x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def batch_norm(x, weight=None, bias=None, eps=1e-5):
    shape = (1, -1, *[1] * (x.ndim - 2))
    return scaled(standardized(x, (0, *range(2, x.ndim)), eps), shape, weight, bias)


def batches(draw):
    yield Sample(draw(5, 3), draw(3), draw(3))
    yield Sample(draw(2, 3, 4), draw(3))
    yield Sample(draw(2, 3, 4, 5), draw(3), draw(3), eps=0.1)
    yield Sample(draw(2, 3, 2, 2), bias=draw(3))
    yield Sample(draw(5, 4, 3, 2).T, draw.strided(3), draw(3))
    yield Sample(draw(4, 0), draw(0), draw(0))
    yield Sample(draw(4, 2))


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    last = tuple(
        range(x.ndim - len((shape,) if isinstance(shape, int) else shape), x.ndim)
    )
    return scaled(standardized(x, last, eps), shape, weight, bias)


def rows_of(draw):
    yield Sample(draw(4, 5), 5, draw(5), draw(5))
    yield Sample(draw(5, 5), 5, draw(5))
    yield Sample(draw(2, 3, 4), (3, 4), draw(3, 4), draw(3, 4), eps=0.1)
    yield Sample(draw(4, 3).T, (4,), bias=draw(4))
    yield Sample(draw.strided(3, 6), 6, draw.strided(6))
    yield Sample(draw(0, 4), 4, draw(4), draw(4))
    yield Sample(draw(6), 6)


def rms_norm(x, shape, weight=None, eps=1e-5):
    last = tuple(range(x.ndim - (1 if isinstance(shape, int) else len(shape)), x.ndim))
    return scaled(x / np.sqrt((x * x).mean(last, keepdims=True) + eps), shape, weight)


def scaled_rows(draw):
    yield Sample(draw(4, 5), 5, draw(5), 1e-5)
    yield Sample(draw(5, 5), 5, draw(5), 1e-5)
    yield Sample(draw(2, 3, 4), (3, 4), draw(3, 4), eps=0.1)
    yield Sample(draw(4, 3).T, (4,), eps=1e-5)
    yield Sample(draw.strided(3, 6), 6, draw.strided(6), 1e-5)
    yield Sample(draw(0, 4), 4, draw(4), 1e-5)


matrix = np.zeros((2, 3))
# A weight and bias of up to 2 on values of up to 3, each rounded once.
spread = {"float32": 5e-6, "float16": 8e-3, "bfloat16": 6e-2}
normalizations = [
    Row(
        lambda *args, **options: normalization.batch_norm(*args, **options)[0], batch_norm,
        name="batch_norm", samples=batches, tolerance=spread,
        covers=("batch_norm", "norm_gradient", "norm_statistics"),
        errors=[
            ((matrix, np.ones(2)), ShapeError, "batch_norm: weight must have shape (3,), a number"),
            ((matrix[:1],), ShapeError, "training needs more than one value per channel"),
        ],
    ),
    Row(
        normalization.layer_norm, layer_norm, samples=rows_of, tolerance=spread,
        covers=("layer_norm", "norm_gradient", "norm_statistics"),
        errors=[((matrix, 2), ShapeError, "the last axes of x must be normalized_shape")],
    ),
    Row(
        normalization.rms_norm, rms_norm, samples=scaled_rows, tolerance=spread,
        covers=("rms_norm", "norm_gradient", "norm_statistics"),
        errors=[((matrix, 3, np.ones(2)), ShapeError, "rms_norm: weight must have the shape (3,)")],
    ),
]  # fmt: skip


# -- losses ----------------------------------------------------------------------------------------
def picked(x, target, weight, ignore_index, smoothing):
    """Return what each sample's target asks of the log-probabilities ``x``, and its weight."""
    classes = x.shape[1]
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    each = np.ones(classes, x.dtype) if weight is None else weight.astype(x.dtype)
    hot = np.moveaxis(np.eye(classes, dtype=x.dtype)[safe], -1, 1)
    along_classes = each.reshape(1, -1, *[1] * (x.ndim - 2))
    asked = (hot * (1 - smoothing) + smoothing / classes) * along_classes
    return np.expand_dims(kept, 1) * asked, kept * each[safe]


def class_loss(x, target, weight, ignore_index, reduction, smoothing):
    if x.ndim == 1:
        x, target = x[None], target[None]
        alone = True
    else:
        alone = False
    asked, counts = picked(x, target, weight, ignore_index, smoothing)
    loss = -(asked * x).sum(1)
    if reduction == "none":
        return loss[0] if alone else loss
    return (loss.sum() if reduction == "sum" else loss.sum() / counts.sum()).astype(x.dtype)


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    logs = log_softmax(x, 0 if x.ndim == 1 else 1)
    return class_loss(logs, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    return class_loss(x, target, weight, ignore_index, reduction, 0.0)


def class_weights(draw, classes):
    return Constant((abs(draw(classes)) + draw.dtype.type(0.25)).astype(draw.dtype))


def classified(draw):
    yield Sample(draw(5, 4), draw.integers(0, 4, 5))
    yield Sample(draw(5, 4), draw.integers(0, 4, 5), class_weights(draw, 4), reduction="sum")
    yield Sample(draw(2, 4, 3), draw.integers(0, 4, 2, 3), class_weights(draw, 4), reduction="none")
    yield Sample(draw(4), draw.integers(0, 4), reduction="none")
    yield Sample(draw(4, 5).T, np.array([0, 1, 1, 3, 2]), ignore_index=1)
    yield Sample(draw.strided(3, 4), np.array([-7, 1, 3]), class_weights(draw, 4), ignore_index=-7)
    yield Sample(draw(0, 4), draw.integers(0, 4, 0), reduction="sum")


def smoothed(draw):
    yield from classified(draw)
    yield Sample(draw(5, 4), draw.integers(0, 4, 5), label_smoothing=0.2)
    yield Sample(
        draw(2, 4, 3), np.array([[0, 1, 2], [3, 1, 0]]), class_weights(draw, 4),
        ignore_index=1, label_smoothing=0.3,
    )  # fmt: skip


def binary_cross_entropy(x, y, reduction="mean"):
    loss = np.maximum(x, 0) - x * y + np.log1p(np.exp(-abs(x)))
    return loss if reduction == "none" else loss.mean()


def probabilities(draw):
    yield Sample(draw(3, 4), draw(3, 4))
    yield Sample(draw(), draw(), reduction="none")
    yield Sample(draw(4, 3).T, draw.strided(3, 4), reduction="none")
    yield Sample(draw(0, 3), draw(0, 3), reduction="none")


labels = np.array([0, 1])
loss_rows = [
    Row(
        losses.cross_entropy, cross_entropy, samples=smoothed,
        # A mean of smoothed losses rounds twice in the lower precision.
        tolerance={"float16": 4e-3, "bfloat16": 3e-2, "float32": 4e-6},
        covers=(
            "softmax_cross_entropy", "softmax_cross_entropy_gradient", "target_distribution",
            "target_weights",
        ),
        errors=[
            ((matrix, np.zeros((2, 1), int)), ShapeError, "target must have shape (2,), a class"),
            ((matrix, labels, np.ones(2)), ShapeError, "weight must have shape (3,), a number per"),
            ((matrix, np.zeros(2)), DtypeError, "target must hold class indices (integers)"),
        ],
    ),
    Row(
        losses.nll_loss, nll_loss, samples=classified,
        tolerance={"float16": 4e-3, "bfloat16": 3e-2, "float32": 4e-6},
        covers=("nll_loss", "target_distribution", "target_weights"),
        errors=[((matrix, labels[:1]), ShapeError, "nll_loss: target must have shape (2,)")],
    ),
    Row(
        losses.binary_cross_entropy_with_logits, binary_cross_entropy, samples=probabilities,
        tolerance={"float16": 4e-3, "bfloat16": 3e-2},
        errors=[((matrix, np.zeros((2, 1))), ShapeError, "logits and target must have one shape")],
    ),
]  # fmt: skip


def cross_entropy_of(x, y):
    return -(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100))


def two_probabilities(draw):
    yield Sample(draw(3, 4), draw(3, 4))
    yield Sample(draw(), draw())
    yield Sample(draw(3, 1), draw(4))
    yield Sample(draw(4, 3).T, draw.strided(3, 4))
    yield Sample(draw(0, 3), draw(0, 3))


def ctc(x, targets, frames, labels, blank):
    """The definition: the sum over all paths of frames that collapse to the labels."""
    found = np.zeros(x.shape[1], x.dtype)
    for n in range(x.shape[1]):
        wanted, paths = tuple(targets[n, : labels[n]]), itertools.product(
            range(x.shape[2]), repeat=int(frames[n])
        )
        total = -math.inf
        for path in paths:
            kept = [c for c, _ in itertools.groupby(path) if c != blank]
            if tuple(kept) == wanted:
                total = np.logaddexp(total, sum(x[t, n, c] for t, c in enumerate(path)))
        found[n] = -total
    return found


def sequences(draw):
    yield Sample(draw(4, 2, 3), np.array([[1, 1], [2, 0]]), np.array([4, 3]), np.array([2, 1]), 0)
    yield Sample(draw(3, 1, 3), np.array([[0, 1]]), np.array([3]), np.array([2]), 2)
    yield Sample(draw(2, 2, 3), np.array([[1], [1]]), np.array([1, 2]), np.array([0, 1]), 0)
    yield Sample(draw(2, 1, 3), np.zeros((1, 0), int), np.array([2]), np.array([0]), 0)
    none = np.zeros(0, int)
    yield Sample(draw(3, 0, 3), np.zeros((0, 1), int), none, none, 0)
    yield Sample(draw.strided(3, 2, 2), np.array([[1], [1]]), np.array([3, 2]), np.array([1, 1]), 0)


more_losses = [
    Row(
        losses.binary_probabilities, cross_entropy_of, name="binary_cross_entropy",
        samples=two_probabilities, domain=(0.05, 0.95),
        # The derivative of x - y over x (1 - x) has terms up to 20 ** 2.
        tolerance={"float64": 1e-11},
    ),
    Row(ctc_ops.ctc_alignments, ctc, samples=sequences, covers=("ctc",), tolerance=sums),
]  # fmt: skip


# -- embedding -------------------------------------------------------------------------------------
def looked_up(draw):
    yield Sample(draw.integers(0, 5, 3, 4), draw(5, 2))
    yield Sample(draw.integers(0, 5), draw(2, 5).T)
    yield Sample(draw.integers(0, 4, 6)[::2], draw.strided(4, 3))
    yield Sample(draw.integers(0, 4, 0), draw(4, 3))
    yield Sample(np.array([1, 1, 0]), draw(4, 0))


def hot(draw):
    yield Sample(draw.integers(0, 4, 2, 3), 4)
    yield Sample(draw.integers(0, 4), 5)
    yield Sample(draw.integers(0, 4, 6)[::-2], 4)
    yield Sample(draw.integers(0, 1, 0), 3)


embeddings = [
    Row(
        embedding.one_hot, lambda x, classes: np.eye(classes, dtype=np.int64)[x], samples=hot,
        dtypes=("int64",), orders=0,
        errors=[
            ((np.zeros(2), 3), DtypeError, "one_hot: class indices must be integers, got float64"),
            ((np.zeros(0, int),), ArgumentError, "num_classes is needed where there are no"),
        ],
    ),
    Row(
        embedding.embedding, lambda indices, weight: weight[indices], samples=looked_up,
        errors=[
            ((np.zeros(2), matrix), DtypeError, "embedding: indices must be integers, got float64"),
            ((labels, labels), ShapeError, "embedding: weight must be (rows, size), got (2,)"),
        ],
    ),
]  # fmt: skip

rows = [*activations, *normalizations, *loss_rows, *more_losses, *embeddings]
