"""Losses over classes, in one pass forward and backward."""

from __future__ import annotations

import math
from typing import Any

from ..backend import Kept, dtypes
from ..core.fused import fused
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, GradientError, ShapeError
from .activation import log_softmax, softplus
from .creation import asarray
from .declare import binary, general
from .gradient import cast
from .reduction import as_tensor
from .reduction import mean as mean_of
from .reduction import sum as sum_of
from .shaping import _reshape

_target_distribution = general(
    "target_distribution",
    ("target", "weight"),
    None,
    "What a target asks of each class: its weighted, smoothed distribution.",
    attributes=("classes", "ignored", "smoothing", "dtype"),
    variadic=True,
)
_target_weights = general(
    "target_weights",
    ("target", "weight"),
    None,
    "The weight of each target: 0 where it is ignored.",
    attributes=("classes", "ignored", "dtype"),
    variadic=True,
)


def _cross_entropy_gradient(k: Any, y: Any, probabilities: Any, target: Any, *rest: Any) -> Any:
    *weight, ignored, smoothing = rest
    classes, dtype = probabilities.shape[1], probabilities.dtype
    wanted = k.target_distribution(target, *weight, classes, ignored, smoothing, dtype)
    asked = k.sum(wanted, Kept((1,)))
    g = k.reshape(y, (y.shape[0], 1, *y.shape[1:]))
    # The mean over a batch that is ignored whole hands over infinities: nothing times them is 0.
    g = k.where(asked == 0, k.zeros_like(g), g)
    return g * (probabilities * asked - wanted)


_softmax_cross_entropy_gradient = fused(
    "softmax_cross_entropy_gradient",
    ("y", "probabilities", "target", "weight"),
    _cross_entropy_gradient,
    attributes=("ignored", "smoothing"),
    variadic=True,
    doc="The gradient ``y`` of `softmax_cross_entropy`, taken to the logits.",
)
_softmax_cross_entropy = general(
    "softmax_cross_entropy",
    ("x", "target", "weight"),
    # It asks for x because derivatives of higher order make the residual again from it.
    lambda k, g, x, residual, target, weight, ignored, smoothing: (
        k.softmax_cross_entropy_gradient(g, residual, target, *weight, ignored, smoothing),
        *[None] * (1 + len(weight)),
    ),
    "The cross-entropy of each sample's logits ``x``, with at most one array of class weights.",
    attributes=("ignored", "smoothing"),
    variadic=True,
    keeps_residual=True,
    rebuild_residual=lambda k, x, *rest: k.softmax(x, 1),
    called="cross_entropy",
)


def _picked_gradient(k: Any, g: Any, wanted: Any) -> Any:
    """Return ``-g`` by what each class counts; zero where it counts nothing, whatever ``g`` is."""
    spread = -k.reshape(g, (g.shape[0], 1, *g.shape[1:])) * wanted
    return k.where(wanted == 0, k.zeros_like(spread), spread)


_nll_loss = general(
    "nll_loss",
    ("x", "target", "weight"),
    lambda k, g, x_shape, target, weight, ignored: (
        _picked_gradient(
            k, g, k.target_distribution(target, *weight, x_shape[1], ignored, 0.0, g.dtype)
        ),
        *[None] * (1 + len(weight)),
    ),
    "Minus the weighted log-probability of each target, with at most one array of class weights.",
    attributes=("ignored",),
    variadic=True,
)
_binary_cross_entropy = binary(
    "binary_cross_entropy_with_logits",
    (lambda k, g, x, y: g * (k.sigmoid(x) - y), lambda g, x: -g * x),
    "The cross-entropy of each logit ``x`` with the probability ``y``.",
)
binary_probabilities = binary(
    "binary_cross_entropy",
    (
        lambda k, g, x, y: g * ((x - y) / k.maximum(x * (1 - x), 1e-12)),
        lambda k, g, x: g * (k.log1p(-x) - k.log(x)),
    ),
    "The cross-entropy of each probability ``x`` with the probability ``y``.",
)


def check_reduction(name: str, reduction: str) -> None:
    """Raise unless ``reduction`` is one of the three that losses know.

    Examples
    --------
    >>> from tensorflowlite.nn import functional as F
    >>> F.check_reduction("my_loss", "mean")
    """
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """Return the losses themselves, their sum or their mean."""
    if reduction == "none":
        return loss
    return sum_of(loss) if reduction == "sum" else mean_of(loss)


def _class_weights(name: str, weight: Any, classes: int) -> tuple[Tensor, ...]:
    if weight is None:
        return ()
    weight = as_tensor(weight)
    if weight.shape != (classes,):
        raise ShapeError(
            f"{name}: weight must have shape ({classes},), a number per class, got {weight.shape}"
        )
    if weight.requires_grad:
        raise GradientError(
            f"{name}: weight must not require grad, the class weights have no gradient; use "
            "detach()"
        )
    return (weight,)


def _batched(name: str, what: str, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and class indices with a batch axis, or say why they don't fit."""
    if x.dtype not in dtypes.real_inexact:
        raise DtypeError(f"{name}: {what} must be of a float dtype, got {x.dtype}")
    if target.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: target must hold class indices (integers)"
            + (" or probabilities of the logits' shape" if what == "logits" else "")
            + f", got {target.dtype} {target.shape} for {what} {x.shape}"
        )
    if target.dtype != dtypes.int64:  # small ones hold neither ignore_index nor many classes
        target = cast(target, dtypes.int64)
    if x.ndim == 1:
        wanted: tuple[int, ...] = ()
    elif x.ndim == 0:
        raise ShapeError(f"{name}: {what} must be (samples, classes, ...), got ()")
    else:
        wanted = (x.array.shape[0], *x.array.shape[2:])
    if target.shape != wanted:
        raise ShapeError(
            f"{name}: target must have shape {wanted}, a class index per sample, got "
            f"{target.shape} for {what} {x.shape}"
        )
    if x.ndim == 1:
        return _reshape(x, (1, x.size)), _reshape(target, (1,))
    return x, target


def _weighted_mean(loss: Tensor, target: Tensor, weights: Any, classes: int, ignored: int,
                   ) -> Tensor:  # fmt: skip
    wide = dtypes.accumulator(loss.dtype)
    total = sum_of(_target_weights(target, *weights, classes, ignored, wide))
    if loss.dtype == wide:
        return sum_of(loss) / total
    # The sum of many may overflow half precision where their mean doesn't.
    return cast(sum_of(cast(loss, wide)) / total, loss.dtype)


def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy of class scores with targets.

    Parameters
    ----------
    logits : Tensor, shape (samples, classes, ...) or (classes,)
        Scores before softmax. Half precision is computed in float32 and rounded once.
    target : Tensor
        Class indices, shape (samples, ...), or probabilities of the shape of ``logits``.
    weight : Tensor, shape (classes,), optional
        What a sample of each class counts.
    ignore_index : int
        Targets of this index count nothing.
    reduction : str
        'mean' (weighted by ``weight``), 'sum' or 'none'.
    label_smoothing : float
        How much of each target is spread evenly over all classes, in [0, 1].

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Raises
    ------
    OutOfRangeError
        A class index outside the classes. On a device, where a check would wait for it, the loss
        is NaN instead.
    ShapeError
        The shapes don't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.losses import cross_entropy
    >>> cross_entropy(tfl.tensor([[0.0, 0.0]]), tfl.tensor([1]))
    tensor(0.6931472)
    """
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}"
        )
    logits, target = as_tensor(logits), asarray(target)
    if target.dtype in dtypes.real_inexact and target.shape == logits.shape and logits.ndim:
        return _with_probabilities(logits, target, weight, reduction, label_smoothing)
    x, indices = _batched("cross_entropy", "logits", logits, target)
    classes = x.array.shape[1]
    weights = _class_weights("cross_entropy", weight, classes)
    loss = _softmax_cross_entropy(x, indices, *weights, int(ignore_index), float(label_smoothing))
    if reduction == "mean":
        return _weighted_mean(loss, indices, weights, classes, int(ignore_index))
    return sum_of(loss) if reduction == "sum" else _reshape(loss, target.array.shape)


def _with_probabilities(
    logits: Tensor, target: Tensor, weight: Any, reduction: str, smoothing: float
) -> Tensor:
    axis = 0 if logits.ndim == 1 else 1
    classes = logits.array.shape[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    terms = target * log_softmax(logits, axis)
    for one in _class_weights("cross_entropy", weight, classes):
        terms = terms * _reshape(one, (classes, *[1] * (logits.ndim - axis - 1)))
    return reduce_loss(-sum_of(terms, axis), reduction)


def nll_loss(
    log_probabilities: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return minus the log-probabilities of the targets' classes.

    Parameters
    ----------
    log_probabilities : Tensor, shape (samples, classes, ...) or (classes,)
        For instance of `log_softmax`.
    target : Tensor of integers, shape (samples, ...)
        Class indices.
    weight, ignore_index, reduction
        As in `cross_entropy`.

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.losses import nll_loss
    >>> nll_loss(tfl.tensor([[-0.5, -2.0]]), tfl.tensor([1]))
    tensor(2.)
    """
    check_reduction("nll_loss", reduction)
    log_probabilities, target = as_tensor(log_probabilities), asarray(target)
    x, indices = _batched("nll_loss", "log_probabilities", log_probabilities, target)
    classes = x.array.shape[1]
    weights = _class_weights("nll_loss", weight, classes)
    loss = _nll_loss(x, indices, *weights, int(ignore_index))
    if reduction == "mean":
        return _weighted_mean(loss, indices, weights, classes, int(ignore_index))
    return sum_of(loss) if reduction == "sum" else _reshape(loss, target.array.shape)


def binary_cross_entropy_with_logits(
    logits: Any,
    target: Any,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross-entropy of independent logits with probabilities.

    Parameters
    ----------
    logits : Tensor
        Scores before the sigmoid, any shape.
    target : Tensor
        Probabilities in [0, 1], or labels, of the shape of ``logits``.
    weight : Tensor, optional
        Factors of the losses; broadcasts.
    pos_weight : Tensor, optional
        What a positive target counts beside a negative one; broadcasts.
    reduction : str
        'mean', 'sum' or 'none'.

    Returns
    -------
    Tensor
        0-d, or one loss per logit.

    Raises
    ------
    ShapeError
        ``logits`` and ``target`` differ in shape.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.losses import binary_cross_entropy_with_logits
    >>> binary_cross_entropy_with_logits(tfl.tensor([0.0, 1000.0]), tfl.tensor([1.0, 1.0]))
    tensor(0.3465736)
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction)
    x, y = as_tensor(logits), asarray(target)
    if x.shape != y.shape:
        raise ShapeError(
            f"{name}: logits and target must have one shape, got {x.shape} and {y.shape}; "
            "reshape one of them"
        )
    if y.dtype.kind in "biu":
        y = cast(y, x.dtype)
    if pos_weight is None:
        loss = _binary_cross_entropy(x, y)
    else:
        loss = (1 - y) * x + (1 + (pos_weight - 1) * y) * softplus(-x, 1.0, math.inf)
    if weight is not None:
        loss = loss * weight
    return reduce_loss(loss, reduction)


cross_entropy.primitive = _softmax_cross_entropy.primitive  # type: ignore[attr-defined]
nll_loss.primitive = _nll_loss.primitive  # type: ignore[attr-defined]
binary_cross_entropy_with_logits.primitive = _binary_cross_entropy.primitive  # type: ignore[attr-defined]
