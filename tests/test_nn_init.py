"""Initialisers, and the tools for gradients and parameters."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import ArgumentError, DtypeError, NumericalError, ShapeError
from tensorflowlite.nn import init, utils


def host(x):
    return x.detach().numpy()


# -- initialisers ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fill", "low", "high", "std"),
    [
        (lambda w: init.uniform_(w, -2, 4), -2, 4, 6 / math.sqrt(12)),
        (lambda w: init.normal_(w, std=2.0), -math.inf, math.inf, 2.0),
        (lambda w: init.trunc_normal_(w, std=10.0), -2, 2, 4 / math.sqrt(12)),
        (lambda w: init.xavier_uniform_(w, 2.0), -2 * math.sqrt(6 / 500), 2 * math.sqrt(6 / 500),
         2 * math.sqrt(2 / 500)),
        (lambda w: init.xavier_normal_(w), -math.inf, math.inf, math.sqrt(2 / 500)),
        (lambda w: init.kaiming_uniform_(w, math.sqrt(5)), -1 / math.sqrt(200), 1 / math.sqrt(200),
         1 / math.sqrt(600)),
        (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), -math.inf,
         math.inf, math.sqrt(2 / 300)),
    ],
    ids=["uniform", "normal", "trunc_normal", "xavier_uniform", "xavier_normal",
         "kaiming_uniform", "kaiming_normal"],
)  # fmt: skip
def test_distributions(fill, low, high, std):
    tfl.manual_seed(1)
    w = nn.Parameter(tfl.zeros((300, 200)))
    memory = w.detach()
    assert fill(w) is w and w.requires_grad
    values = host(memory)
    assert values.min() >= low and values.max() <= high
    assert abs(values.mean() - ((low + high) / 2 if math.isfinite(low) else 0)) < 4 * std / 245
    assert values.std() == pytest.approx(std, rel=0.01)


def test_the_seed_decides():
    def weights(seed):
        tfl.manual_seed(seed)
        return [host(p) for p in nn.Sequential(nn.Linear(3, 4), nn.Conv2d(1, 2, 3)).parameters()]

    one, again, other = weights(1), weights(1), weights(2)
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert (one[0][0] != one[0][1]).any()


def test_layers_start_as_pytorch_starts_them():
    tfl.manual_seed(0)
    for layer, inputs in ((nn.Linear(100, 300), 100), (nn.Conv2d(8, 200, 5, groups=2), 100)):
        bound = 1 / math.sqrt(inputs)
        for p in layer.parameters():
            values = host(p)
            assert abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    table = host(nn.Embedding(200, 100, padding_idx=0).weight)
    assert table[1:].std() == pytest.approx(1.0, rel=0.02) and not table[0].any()
    for norm in (nn.BatchNorm2d(3), nn.LayerNorm(3)):
        assert norm.weight.tolist() == [1, 1, 1] and norm.bias.tolist() == [0, 0, 0]


def test_constants_and_patterns():
    w = tfl.zeros((2, 3))
    assert init.constant_(w, 2.5).tolist() == [[2.5] * 3] * 2
    assert init.ones_(w).tolist() == [[1] * 3] * 2
    assert init.zeros_(w).tolist() == [[0] * 3] * 2
    assert init.eye_(w).tolist() == [[1, 0, 0], [0, 1, 0]]
    filters = init.dirac_(nn.Parameter(tfl.ones((4, 2, 3, 3))), groups=2)
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 5)).astype(np.float32)
    out = nn.functional.conv2d(tfl.tensor(x), filters, padding=1, groups=2)
    np.testing.assert_array_equal(host(out), x)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (4, 3, 2, 2), (1, 7), (3, 0)])
def test_orthogonal(shape):
    w = host(init.orthogonal_(tfl.zeros(shape, dtype=tfl.float64), gain=2.0))
    matrix = w.reshape(shape[0], -1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    if w.size:
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-13)


@pytest.mark.parametrize("dtype", [tfl.float16, tfl.bfloat16, tfl.float64], ids=str)
def test_other_dtypes(dtype):
    layer = nn.Linear(64, 64, dtype=dtype)
    assert layer.weight.dtype == dtype == layer.bias.dtype
    assert host(layer.weight).astype(np.float64).std() == pytest.approx(1 / math.sqrt(192), rel=0.1)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: init.kaiming_uniform_(tfl.zeros(3)), ShapeError,
         "kaiming_uniform_: the tensor must have at least two axes, got (3,)"),
        (lambda: init.kaiming_normal_(tfl.zeros((3, 3)), mode="fan"), ArgumentError,
         "kaiming_normal_: mode must be 'fan_in' or 'fan_out', got 'fan'"),
        (lambda: init.calculate_gain("swish"), ArgumentError, "nonlinearity must be one of linear"),
        (lambda: init.trunc_normal_(tfl.zeros(3), a=1, b=0), ArgumentError, "a must be below b"),
        (lambda: init.trunc_normal_(tfl.zeros(3), a=50, b=51), ArgumentError,
         "trunc_normal_: [a, b] must hold a thousandth of the distribution, got [50, 51]"),
        (lambda: init.orthogonal_(tfl.zeros(3)), ShapeError, "orthogonal_: the tensor must have"),
        (lambda: init.eye_(tfl.zeros(3)), ShapeError, "eye_: the tensor must have two axes"),
        (lambda: init.dirac_(tfl.zeros((3, 3))), ShapeError, "dirac_: the tensor must have three"),
        (lambda: init.dirac_(tfl.zeros((3, 3, 1)), 2), ArgumentError, "divide into groups, got 3"),
    ],
)  # fmt: skip
def test_bad_initialisers(make, error, text):
    with pytest.raises(error, match=re.escape(text)):
        make()


# -- gradients -------------------------------------------------------------------------------------
def with_gradients(*gradients, dtype=np.float64):
    found = []
    for g in gradients:
        p = nn.Parameter(np.zeros(np.shape(g), dtype))
        p.grad = tfl.tensor(np.asarray(g, dtype))
        found.append(p)
    return found


def test_clip_by_norm():
    p, q = with_gradients([3.0, 0.0], [[4.0]])
    empty = nn.Parameter(tfl.zeros(2))
    memory = p.grad
    total = utils.clip_grad_norm_([p, q, empty], 1.0)
    assert total.item() == 5.0 and total.shape == () and not total.requires_grad
    np.testing.assert_allclose(host(p.grad), [0.6, 0.0], 1e-6)
    np.testing.assert_allclose(host(q.grad), [[0.8]], 1e-6)
    assert p.grad is memory and empty.grad is None
    before = p.grad.tolist()
    assert utils.clip_grad_norm_(p, 10.0).item() == pytest.approx(0.6, rel=1e-5)
    assert p.grad.tolist() == before
    assert utils.clip_grad_norm_([empty], 1.0).item() == 0.0
    for order, expected in ((1.0, 7.0), (math.inf, 4.0), (3.0, (27 + 64) ** (1 / 3))):
        assert utils.clip_grad_norm_(with_gradients([3.0, -4.0]), 1.0, order).item() == (
            pytest.approx(expected)
        )
    assert utils.get_total_norm([tfl.tensor(np.array([3 + 4j]))]).item() == pytest.approx(5.0)


def test_clip_half_precision():
    for dtype in (np.float16, tfl.bfloat16):
        (p,) = with_gradients([300.0, 400.0], dtype=dtype)
        assert utils.clip_grad_norm_([p], 5.0).item() == pytest.approx(500.0)
        assert p.grad.dtype == dtype
        np.testing.assert_allclose(host(p.grad).astype(np.float64), [3, 4], 1e-2)


def test_clip_of_what_is_not_finite():
    (p,) = with_gradients([1.0, math.nan])
    with pytest.raises(NumericalError, match="get_total_norm: the norm of the gradients must be "
                       "finite, got nan"):  # fmt: skip
        utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist()[0] == 1.0
    assert math.isnan(utils.clip_grad_norm_([p], 1.0).item())


def test_clip_by_value():
    p, q = with_gradients([3.0, -0.5], [-7.0])
    utils.clip_grad_value_([p, q, nn.Parameter(tfl.zeros(1))], 1.0)
    assert p.grad.tolist() == [1.0, -0.5] and q.grad.tolist() == [-1.0]


@pytest.mark.parametrize(
    "clip", [lambda m: utils.clip_grad_norm_(m, 1.0), lambda m: utils.clip_grad_value_(m, 1.0)]
)
def test_clipping_wants_parameters(clip):
    with pytest.raises(DtypeError, match=r"got the module Linear; use its parameters\(\)$"):
        clip(nn.Linear(1, 1))


def test_bad_clipping():
    (p,) = with_gradients([1.0])
    for call, text in (
        (lambda: utils.clip_grad_norm_(p, -1.0), "max_norm must not be negative, got -1.0"),
        (lambda: utils.clip_grad_norm_(p, 1.0, 0.0), "norm_type must be above 0, got 0.0"),
        (lambda: utils.clip_grad_value_(p, -1), "clip_value must not be negative, got -1"),
        (lambda: utils.l1_penalty([]), "l1_penalty: at least one parameter is needed, got none"),
    ):
        with pytest.raises(ArgumentError, match=re.escape(text)):
            call()


def test_l1_penalty():
    model = nn.Linear(2, 1)
    model.load_state_dict({"weight": tfl.tensor([[2.0, -3.0]]), "bias": tfl.tensor([0.0])})
    penalty = utils.l1_penalty(model.parameters())
    assert penalty.item() == 5.0
    (penalty * 0.5).backward()
    assert model.weight.grad.tolist() == [[0.5, -0.5]] and model.bias.grad.tolist() == [0.0]


def test_vectors():
    model = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    parameters = list(model.parameters())
    utils.vector_to_parameters(tfl.arange(9.0), parameters)
    assert model.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and model.bias.tolist() == [6, 7, 8]
    assert model.weight is parameters[0]
    with pytest.raises(ShapeError, match=re.escape("the vector must have shape (9,), got (8,)")):
        utils.vector_to_parameters(tfl.arange(8.0), parameters)
    assert model.bias.tolist() == [6, 7, 8]


@pytest.mark.parametrize(("sparsity", "count"), [(0.0, 0), (0.25, 3), (1.0, 10)])
def test_sparse_columns(sparsity: float, count: int) -> None:
    tfl.manual_seed(2)
    w = init.sparse_(tfl.ones((10, 400)), sparsity, std=0.5).numpy()
    assert ((w == 0).sum(0) == count).all()
    # Each row is as likely; three deviations of 400 draws.
    assert abs((w == 0).mean(1) - count / 10).max() < 0.07
    if count < 10:
        assert abs(w[w != 0].std() - 0.5) < 0.02


def test_sparse_refuses() -> None:
    with pytest.raises(ShapeError, match=r"sparse_: the tensor must have two axes, got \(2,\)"):
        init.sparse_(tfl.ones(2), 0.5)
    with pytest.raises(ArgumentError, match=r"sparse_: sparsity must lie in \[0, 1\], got 2"):
        init.sparse_(tfl.ones((2, 2)), 2)
