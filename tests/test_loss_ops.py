"""Losses and embeddings: values and gradients against differences and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.errors import (
    ArgumentError,
    DtypeError,
    GradientError,
    OutOfRangeError,
    ShapeError,
)
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import embedding, losses

from .backends import TestBackend, backend  # noqa: F401
from .comparing import check_orders, leaf, normal

# -- losses ----------------------------------------------------------------------------------------
CROSS_ENTROPIES: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"label_smoothing": 0.1},
    {"ignore_index": 2},
    {"weight": True},
    {"weight": True, "ignore_index": 0, "label_smoothing": 0.2},
    {"weight": True, "ignore_index": -5, "label_smoothing": 0.2, "reduction": "none"},
]


def with_weight(options: dict[str, Any], make: Any) -> dict[str, Any]:
    weight = np.array([0.5, 2.0, 1.0, 0.25])
    return {key: make(weight) if key == "weight" else value for key, value in options.items()}


def options_of(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the loss of that name doesn't take."""
    left_out = {"label_smoothing"} if name == "nll_loss" else set()
    return {key: value for key, value in options.items() if key not in left_out}


def class_target(shape: Any, options: dict[str, Any]) -> Any:
    """Draw classes, one of them ignored where several are drawn."""
    places = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    target = np.asarray(np.random.default_rng(5).integers(0, 4, places))
    if places:
        target.flat[0] = options.get("ignore_index", 1)
    elif options.get("ignore_index") == int(target):
        target = np.asarray((target + 1) % 4)
    return target


@pytest.mark.parametrize("options", CROSS_ENTROPIES, ids=str)
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2, 5), (4,)])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_losses_over_classes(name: str, shape: Any, options: dict[str, Any]) -> None:
    options = options_of(name, options)
    target = class_target(shape, options)
    mine = with_weight(options, tfl.tensor)
    function = getattr(losses, name)
    check_orders(lambda a: function(a, tfl.tensor(target), **mine), normal(*shape))


@pytest.mark.parametrize(
    "options", [{}, {"weight": True}, {"label_smoothing": 0.3}, {"reduction": "none"}], ids=str
)
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2), (4,)])
def test_cross_entropy_of_probabilities(shape: Any, options: dict[str, Any]) -> None:
    target = np.abs(normal(*shape))
    mine = with_weight(options, tfl.tensor)
    check_orders(lambda a, t: losses.cross_entropy(a, t, **mine), normal(*shape), target)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_cross_entropy_dtype_and_extremes(backend: TestBackend, dtype: str) -> None:  # noqa: F811
    x = backend.leaf(np.array([[1e4, 0.0], [-1e4, 0.0], [0.0, 0.0]]), dtypes.as_dtype(dtype))
    loss = losses.cross_entropy(x, backend.tensor(np.array([0, 1, 0])))
    assert loss.dtype == x.dtype
    np.testing.assert_allclose(float(loss), np.log(2) / 3, rtol=1e-2)
    loss.backward()
    assert x.grad.dtype == x.dtype
    expected = [[0, 0], [0, 0], [-1 / 6, 1 / 6]]
    np.testing.assert_allclose(backend.host(x.grad).astype(np.float64), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_batch_that_is_ignored(
    backend: TestBackend, name: str, create_graph: bool  # noqa: F811
) -> None:
    """The mean of nothing is NaN; what it doesn't depend on has a gradient of zero."""
    x = backend.leaf(normal(3, 4), dtypes.float32)
    with np.errstate(invalid="ignore"):
        loss = getattr(losses, name)(x, backend.tensor(np.array([-100, -100, -100])))
        assert np.isnan(float(loss))
        loss.backward(create_graph=create_graph)
    np.testing.assert_array_equal(backend.host(x.grad), np.zeros((3, 4)))


def test_the_second_derivative_of_a_batch_that_is_ignored(backend: TestBackend) -> None:  # noqa: F811
    x = backend.leaf(normal(3, 4))
    with np.errstate(invalid="ignore"):
        loss = losses.cross_entropy(x, backend.tensor(np.array([-100, -100, -100])))
        (first,) = tfl.autograd.grad(loss, x, create_graph=True)
        (second,) = tfl.autograd.grad((first * first).sum(), x)
    np.testing.assert_array_equal(backend.host(second), np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_means_of_many_in_half_precision(backend: TestBackend, dtype: str) -> None:  # noqa: F811
    """Their sum would overflow float16."""
    many = 40000
    x = backend.leaf(np.zeros((many, 8)), dtypes.as_dtype(dtype))
    target = backend.tensor(np.zeros(many, np.int64))
    logs = backend.leaf(np.full((many, 8), -2.0), dtypes.as_dtype(dtype))
    ones = backend.tensor(np.ones((many, 8)), dtype=dtypes.as_dtype(dtype))
    for loss, expected in (
        (losses.cross_entropy(x, target), np.log(8)),
        (losses.nll_loss(logs, target), 2.0),
        (losses.binary_cross_entropy_with_logits(x, ones), np.log(2)),
    ):
        assert loss.dtype == x.dtype
        np.testing.assert_allclose(float(loss), expected, rtol=1e-2)
        (loss * 100).backward()
    assert x.grad.dtype == logs.grad.dtype == x.dtype
    np.testing.assert_allclose(backend.host(logs.grad)[:, 0].astype(float), -100 / many, rtol=1e-2)
    # -7/8 of the cross-entropy's mean, -1/2 of the binary one's, over 8 times as many elements.
    per_class = -100 / many * (7 / 8 + 1 / 16)
    np.testing.assert_allclose(backend.host(x.grad)[:, 0].astype(float), per_class, rtol=1e-2)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_class_indices_out_of_range(backend: TestBackend, name: str) -> None:  # noqa: F811
    function = getattr(losses, name)
    x = backend.leaf(normal(4, 10), dtypes.float32)
    target = backend.tensor(np.array([1, 12, 3, -100]))
    if backend.on_host:
        with pytest.raises(OutOfRangeError) as caught:
            function(x, target)
        assert str(caught.value) == (
            f"{name}: class indices must lie in [0, 10), got 12; only ignore_index=-100 may lie "
            "outside"
        )
        return
    loss = function(x, target, reduction="none")
    np.testing.assert_array_equal(np.isnan(backend.host(loss)), [False, True, False, False])
    assert np.isnan(float(function(x, target)))


def test_losses_refuse() -> None:
    x, target = tfl.zeros((4, 3)), tfl.tensor([0, 1, 2, 0])
    for call, error, text in (
        (lambda: losses.cross_entropy(x, tfl.tensor([[0], [1], [2], [0]])), ShapeError,
         "cross_entropy: target must have shape (4,), a class index per sample, got (4, 1) for "
         "logits (4, 3)"),
        (lambda: losses.cross_entropy(x, tfl.zeros(4)), DtypeError,
         "cross_entropy: target must hold class indices (integers) or probabilities of the "
         "logits' shape, got float32 (4,) for logits (4, 3)"),
        (lambda: losses.cross_entropy(x, target, weight=tfl.ones(4)), ShapeError,
         "cross_entropy: weight must have shape (3,), a number per class, got (4,)"),
        (lambda: losses.cross_entropy(x, target, weight=leaf([1.0, 1.0, 1.0])), GradientError,
         "cross_entropy: weight must not require grad, the class weights have no gradient; use "
         "detach()"),
        (lambda: losses.cross_entropy(x, target, reduction="avg"), ArgumentError,
         "cross_entropy: reduction must be 'mean', 'sum' or 'none', got 'avg'"),
        (lambda: losses.cross_entropy(x, target, label_smoothing=1.5), ArgumentError,
         "cross_entropy: label_smoothing must lie in [0, 1], got 1.5"),
        (lambda: losses.nll_loss(x, tfl.zeros((4, 3))), DtypeError,
         "nll_loss: target must hold class indices (integers), got float32 (4, 3) for "
         "log_probabilities (4, 3)"),
        (lambda: losses.binary_cross_entropy_with_logits(tfl.zeros((32, 1)), tfl.zeros(32)),
         ShapeError,
         "binary_cross_entropy_with_logits: logits and target must have one shape, got (32, 1) "
         "and (32,); reshape one of them"),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == text


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_binary_cross_entropy_with_logits(reduction: str, weighted: bool) -> None:
    arrays = 5 * normal(4, 3), np.random.default_rng(2).random((4, 3))
    factors = {"weight": np.array([1.0, 0.5, 2.0]), "pos_weight": np.array([3.0, 1.0, 0.2])}
    factors = factors if weighted else {}
    mine = {key: tfl.tensor(value) for key, value in factors.items()}
    function = losses.binary_cross_entropy_with_logits
    check_orders(lambda a, t: function(a, t, **mine, reduction=reduction), *arrays)


def test_binary_cross_entropy_takes_labels_and_keeps_float32() -> None:
    x = leaf(np.array([1e4, -1e4, 0.0], np.float32))
    loss = losses.binary_cross_entropy_with_logits(x, tfl.tensor([1, 0, 1]))
    assert loss.dtype == tfl.float32
    np.testing.assert_allclose(float(loss), np.log(2) / 3, rtol=1e-6)


# -- embedding -------------------------------------------------------------------------------------
@pytest.mark.parametrize("padding", [None, 2, -3])
def test_embedding(padding: int | None) -> None:
    indices = np.array([[0, 2, 2], [4, 0, 2]])
    check_orders(lambda w: embedding.embedding(tfl.tensor(indices), w), normal(5, 3))


def test_embedding_adds_up_repeated_rows(backend: TestBackend) -> None:  # noqa: F811
    for dtype in ("float32", "float16", "bfloat16"):
        weight = backend.leaf(normal(4, 2), dtypes.as_dtype(dtype))
        out = embedding.embedding(backend.tensor(np.array([1, 1, 3, 1])), weight, padding_idx=3)
        assert out.dtype == weight.dtype
        out.sum().backward()
        np.testing.assert_array_equal(
            backend.host(weight.grad).astype(np.float64), [[0, 0], [3, 3], [0, 0], [0, 0]]
        )


def test_embedding_out_of_range(backend: TestBackend) -> None:  # noqa: F811
    weight = backend.tensor(normal(5, 3))
    for bad in (5, -1):
        indices = backend.tensor(np.array([0, bad]))
        if backend.on_host:
            with pytest.raises(OutOfRangeError) as caught:
                embedding.embedding(indices, weight)
            assert str(caught.value) == (
                f"embedding: indices must lie in [0, 5), got {bad}; weight has 5 rows"
            )
        else:
            out = backend.host(embedding.embedding(indices, weight))
            np.testing.assert_array_equal(np.isnan(out), [[False] * 3, [True] * 3])


def test_embedding_refuses() -> None:
    weight = tfl.zeros((5, 3))
    with pytest.raises(DtypeError, match="embedding: indices must be integers, got float32"):
        embedding.embedding(tfl.zeros(2), weight)
    with pytest.raises(ShapeError, match=r"embedding: weight must be \(rows, size\), got \(3,\)"):
        embedding.embedding(tfl.tensor([0]), tfl.zeros(3))
    with pytest.raises(ArgumentError, match=r"embedding: padding_idx must lie in \[-5, 5\), got 7"):
        embedding.embedding(tfl.tensor([0]), weight, 7)


def test_one_hot_out_of_range(backend: TestBackend) -> None:  # noqa: F811
    for bad in (3, -1):
        indices = backend.tensor(np.array([0, bad]))
        if backend.on_host:
            with pytest.raises(OutOfRangeError) as caught:
                embedding.one_hot(indices, 3)
            assert str(caught.value) == f"one_hot: class indices must lie in [0, 3), got {bad}"
        else:
            out = backend.host(embedding.one_hot(indices, 3))
            np.testing.assert_array_equal(out, [[1, 0, 0], [0, 0, 0]])


def test_binary_cross_entropy_of_what_is_no_probability(
    backend: TestBackend,  # noqa: F811
) -> None:
    x, y = (backend.tensor(np.array(values)) for values in ([0.5, 1.5], [1.0, 1.0]))
    if backend.on_host:
        with pytest.raises(OutOfRangeError) as caught:
            losses.binary_probabilities(x, y)
        assert str(caught.value) == (
            "binary_cross_entropy: input must hold probabilities in [0, 1], got 1.5; for logits "
            "use binary_cross_entropy_with_logits"
        )
    else:
        found = backend.host(losses.binary_probabilities(x, y))
        np.testing.assert_array_equal(np.isnan(found), [False, True])


def test_the_mean_of_weighted_huber_losses_is_that_of_the_products() -> None:
    x, weight = tfl.tensor([1.0, 4.0]), tfl.tensor([3.0, 1.0])
    one, other = F.huber_loss(x, tfl.zeros(2), reduction="none").tolist()
    found = F.huber_loss(x, tfl.zeros(2), weight=weight)
    np.testing.assert_allclose(found.item(), (3 * one + other) / 2, 1e-6)


def test_vectors_broadcast_before_their_angle_is_taken() -> None:
    x, y = normal(3, 4), normal(3, 1)
    whole = np.broadcast_to(y, x.shape)
    expected = (x * whole).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(whole, axis=1)
    found = F.cosine_similarity(tfl.tensor(x), tfl.tensor(y))
    np.testing.assert_allclose(found.numpy(), expected, 1e-12)


@pytest.mark.parametrize("function", [F.cosine_similarity, F.pairwise_distance])
def test_distances_of_two_dtypes_are_of_the_wider_one(function):
    x, y = tfl.tensor([[1.0, 2.0]]), tfl.tensor([[3.0, 1.0]])
    expected = function(x, y).item()
    for pair in ((x.half(), y), (x, y.half())):
        found = function(*pair)
        assert found.dtype == tfl.float32 and found.item() == expected
    assert function(x.half().numpy(), y.half().numpy()).dtype == tfl.float16
