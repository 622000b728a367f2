"""The GPU's slots of products on a stand-in library, and on a GPU where there is one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import base, dtypes
from tensorflowlite.backend.cuda import gemm as cuda_gemm
from tensorflowlite.backend.cuda.product_slots import Products
from tensorflowlite.errors import ArgumentError
from tests import host_kernels
from tests.fake_cublas import (
    FORMULAS,
    KERNELS,
    NO_KERNELS,
    ROUNDING,
    TYPES,
    Fake,
    Shop,
    close,
    gated_gradients,
    normal,
)
from tests.fake_cublas import cache as cache  # fixtures
from tests.fake_cublas import fake as fake
from tests.fake_cublas import shop as shop


# -- matmul ----------------------------------------------------------------------------------------
def views(shape: tuple[int, ...], dtype: Any, seed: int) -> list[Any]:
    """Return arrays of one shape that lie in every way."""
    whole = normal(shape, dtype, seed)
    found = [whole]
    if len(shape) > 1:
        found.append(np.ascontiguousarray(whole.swapaxes(-1, -2)).swapaxes(-1, -2))
    spread = np.zeros((*shape[:-1], 2 * shape[-1] + 1), dtype)
    spread[..., : shape[-1]] = whole
    found.append(spread[..., : shape[-1]])
    spread[..., 1::2] = whole
    found.append(spread[..., 1::2])
    found.append(np.ascontiguousarray(whole[::-1])[::-1])
    return found


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5, 7), (7, 3)),
        ((1, 4), (4, 1)),
        ((6,), (6, 5)),
        ((5, 6), (6,)),
        ((6,), (6,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (6, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 3, 4), (4,)),
        ((4,), (2, 4, 3)),
        ((1, 3, 4), (2, 4, 5)),
    ],
)
def test_matmul(shop: Shop, left: Any, right: Any, dtype: Any) -> None:
    for x, y in itertools.product(views(left, dtype, 1), views(right, dtype, 2)):
        reference = np.matmul(x.astype("f8"), y.astype("f8"))
        close(np.asarray(shop.matmul(x, y)), np.asarray(reference), dtype)
    assert shop.left == []


def test_transposed_views_are_not_copied(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is half precision widened."""

    def refuse(*args: Any, **rest: Any) -> Any:
        raise AssertionError("a copy was made")

    for dtype in TYPES:
        x, y = normal((4, 6), dtype, 1), normal((6, 4), dtype, 2)
        big, stack = normal((8, 9), dtype, 3)[:4, :6], normal((2, 6, 4), dtype, 4)
        pairs = [(x, y), (y.T, x.T), (x, x.T), (y.T, y), (big, y), (y, big), (x, stack),
                 (stack.swapaxes(1, 2), stack), (stack, x[None])]  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(np, "ascontiguousarray", refuse)
            found = [shop.matmul(a, b) for a, b in pairs]
        for (a, b), out in zip(pairs, found, strict=True):
            close(out, a.astype("f8") @ b.astype("f8"), dtype)
    assert shop.left == []


def test_promotion_and_what_is_left_to_the_library(shop: Shop) -> None:
    x, y = normal((3, 4), dtypes.bfloat16, 1), normal((4, 5), "f4", 2)
    close(shop.matmul(x, y), x.astype("f8") @ y.astype("f8"), dtypes.float32)
    half = y.astype("f2")
    close(shop.matmul(x, half), x.astype("f8") @ half.astype("f8"), dtypes.float32)
    assert shop.left == []
    for a, b in [
        (np.ones((2, 3), "i8"), np.ones((3, 2), "i8")),
        (np.ones((2, 3), "c8"), np.ones((3, 2), "c8")),
        (np.ones((0, 3), "f4"), np.ones((3, 2), "f4")),
        (np.ones((2, 0), "f4"), np.ones((0, 2), "f4")),
    ]:
        np.testing.assert_array_equal(shop.matmul(a, b), a @ b)
    assert shop.left == ["matmul"] * 4
    for wrong in [((2, 3), (4, 2)), ((2, 2, 3), (3, 3, 2)), ((3,), (2,)), ((), (2,))]:
        with pytest.raises(ValueError):
            shop.matmul(*[np.ones(shape, "f4") for shape in wrong])
    assert shop.left == ["matmul"] * 8


def test_more_rows_than_32_bits_count_are_left_to_the_library(shop: Shop) -> None:
    """Also where they lie along several axes, which become the rows of one matrix."""
    products = Products(np, shop.gemm, shop.driver, shop.library("matmul"))
    one = normal((1,), np.float32, 1)
    for shape, taken in [
        ((2**15, 2**15, 8), True), ((2**16, 2**15, 8), False), ((2**31, 1), False),
        ((8, 2**31), False), ((2**16, 2**16), True), ((2**31,), False),
    ]:  # fmt: skip
        assert products.usable(np.broadcast_to(one, shape)) == taken, shape


def test_another_device_is_left_to_the_library(shop: Shop) -> None:
    shop.driver.device_of = lambda array: 1  # type: ignore[method-assign]
    shop.matmul(np.ones((2, 3), "f4"), np.ones((3, 2), "f4"))
    assert shop.left == ["matmul"]


def test_without_the_library(fake: Fake) -> None:
    """One warning, and the array library's products."""
    shop = Shop(KERNELS)
    shop.gemm.blas.reason = "cuBLASLt: none; run: pip install nvidia-cublas"
    x = np.ones((2, 2), "f4")
    with pytest.warns(
        RuntimeWarning, match="none; run: .*; the array library's slower products of float32 are"
    ) as told:
        for _ in range(2):
            assert shop.matmul(x, x)[0, 0] == 2
    assert len(told) == 1 and shop.left == ["matmul"] * 2
    assert not shop.linear_act.accepts(x, x, None)
    assert not shop.gradient.accepts(x, x, x, "relu")


@pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())
@pytest.mark.parametrize("dtype", [dtypes.bfloat16, dtypes.float32], ids=str)
def test_our_own_kernel_takes_the_place_of_the_library(fake: Fake, dtype: Any) -> None:
    """Products of every shape, and what a layer does after one in the same pass."""
    shop = Shop(kernels=host_kernels.HostKernels())
    shop.gemm.blas.reason = "cuBLASLt: none; run: pip install nvidia-cublas"
    x, y, w, b = [normal(shape, dtype, i)
                  for i, shape in enumerate([(2, 3, 7), (2, 7, 5), (9, 7), (9,)])]  # fmt: skip
    with pytest.warns(RuntimeWarning, match="none; run: .*; our own kernel takes its") as told:
        for a, c in ((x, y), (x[0], y[0].T.copy().T), (x, y[:1]), (x[0, 0], y[0])):
            close(shop.matmul(a, c), a.astype("f8") @ c.astype("f8"), dtype, 3)
    assert len(told) == 1
    assert shop.linear_act.accepts(x, w, b, "silu")
    out, saved = shop.linear_act(x, w, b, "silu")
    z = x.astype("f8") @ w.T.astype("f8") + b.astype("f8")
    close(out, FORMULAS["silu"][0](z), dtype, 3)
    close(saved, z, dtype, 3)
    kept = normal((2, 3, 9), dtype, 6)
    assert shop.gradient.accepts(x, w.T, kept, "silu")
    dz, db = shop.gradient(x, w.T, kept, "silu")
    reference = (x.astype("f8") @ w.T.astype("f8")) * FORMULAS["silu"][1](kept.astype("f8"))
    close(dz, reference, dtype, 3)
    close(db, reference.reshape(-1, 9).sum(0), dtype, 6)
    assert shop.left == [] and fake.runs() == []
    assert {problem.kind for problem in shop.gemm.chosen()} == {"product", "forward", "backward"}
    assert all(name == "tiles 64x64" for name in shop.gemm.chosen().values())


@pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())
def test_without_the_library_what_was_measured_is_kept(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_gemm, "LARGE", 0)
    x = normal((20, 30), "f4", 1)
    for timed in (True, False):
        shop = Shop(kernels=host_kernels.HostKernels())
        shop.gemm.blas.reason = "cuBLASLt: none"
        shop.queue.cost = lambda run, timed=shop.queue.timed: (run(), 1.0 / len(timed))[1]  # type: ignore[misc]
        with pytest.warns(RuntimeWarning, match="our own kernel takes its place"):
            close(shop.matmul(x, x.T), x.astype("f8") @ x.T, dtypes.float32, 3)
        assert bool(shop.queue.timed) is timed


def test_tf32_is_a_choice(shop: Shop) -> None:
    x, y = np.full((4, 3), 1 + 2.0**-20, "f4"), np.ones((3, 8), "f4")
    assert tfl.cuda.get_float32_matmul_precision() == "highest"
    assert shop.matmul(x, y)[0, 0] > 3
    for word in ("high", "medium"):
        tfl.cuda.set_float32_matmul_precision(word)
        assert shop.matmul(x, y)[0, 0] == 3
        double = x.astype("f8")
        assert shop.matmul(double, y.astype("f8"))[0, 0] > 3
    tfl.cuda.set_float32_matmul_precision("highest")
    assert shop.matmul(x, y)[0, 0] > 3
    with pytest.raises(ArgumentError, match="precision must be one of 'highest', 'high', 'medium'"):
        tfl.cuda.set_float32_matmul_precision("tf32")


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_einsum(shop: Shop, fake: Fake, dtype: Any) -> None:
    """Two arrays are multiplied as they are; between more, nothing is rounded to half."""
    einsum = shop.slots["einsum"]
    for text, *shapes in [
        ("ij,jk->ik", (3, 4), (4, 5)), ("bij,bkj->bki", (2, 3, 4), (2, 5, 4)),
        ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)), ("i,j->ij", (3,), (4,)),
        ("i,i->", (5,), (5,)), ("ij,jk,kl->il", (3, 4), (4, 5), (5, 2)),
    ]:  # fmt: skip
        arrays = [normal(shape, dtype, i) for i, shape in enumerate(shapes)]
        inputs, output = text.split("->")
        labels = tuple(tuple(map(ord, names)) for names in inputs.split(","))
        count = len(fake.runs())
        found = einsum(*arrays, labels, tuple(map(ord, output)))
        reference = np.einsum(text, *[array.astype("f8") for array in arrays])
        close(np.asarray(found), np.asarray(reference), dtype, 2)
        assert len(fake.runs()) > count or text == "i,j->ij"
    assert shop.left == []


# -- linear_act and the chained gradient -----------------------------------------------------------
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7)])
@pytest.mark.parametrize("features", [8, 6])
def test_linear_act(
    shop: Shop, fake: Fake, shape: Any, features: int, activation: Any, dtype: Any
) -> None:
    x, w, b = (
        normal(shape, dtype, 1),
        normal((features, 7), dtype, 2),
        normal((features,), dtype, 3),
    )
    for bias in ([], [b]):
        arguments = (x, w, *bias, activation)
        assert shop.linear_act.accepts(*arguments)
        out, saved = shop.linear_act(*arguments)
        z = x.astype("f8") @ w.T.astype("f8") + sum(one.astype("f8") for one in bias)
        forward, _, from_output = FORMULAS.get(activation, (lambda z: z, None, False))
        close(out, forward(z), dtype, 3)
        if activation is None:
            assert saved is None
        elif from_output:
            assert saved is out
        else:
            close(saved, z, dtype, 2)
        epilogue = fake.runs()[-1][1]
        ending = "_bias" if bias else ""
        fused = {None: "bias" if bias else "default", "relu": "relu_bias" if bias else "default"}
        if features % 8 == 0 and dtype in dtypes.half:  # the epilogue is too coarse for others
            fused["gelu_tanh"] = f"gelu_aux{ending}"
        assert epilogue == fused.get(activation, "default")


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("activation", ["relu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("rows", [(5,), (2, 3)])
@pytest.mark.parametrize("features", [8, 6])
def test_product_activation_gradient(
    shop: Shop, fake: Fake, rows: Any, features: int, activation: str, dtype: Any
) -> None:
    x, w = normal((*rows, 7), dtype, 1), normal((7, features), dtype, 2)
    saved = normal((*rows, features), dtype, 3)
    if activation == "relu":
        saved = np.maximum(saved, 0)
    assert shop.gradient.accepts(x, w, saved, activation)
    dz, db = shop.gradient(x, w, saved, activation)
    g = x.astype("f8") @ w.astype("f8")
    reference = g * FORMULAS[activation][1](saved.astype("f8"))
    close(dz, reference, dtype, 3)
    close(db, reference.reshape(-1, features).sum(0), dtype, 2 * math.prod(rows))
    assert fake.runs()[-1][1] == "default"  # no epilogue's slope is exact enough


@pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())
@pytest.mark.parametrize("dtype", [dtypes.bfloat16, dtypes.float32], ids=str)
def test_with_the_kernels_themselves(fake: Fake, dtype: Any) -> None:
    """The kernels of bias and activation, run on the host, after the product."""
    shop = Shop(kernels=host_kernels.HostKernels())
    x, w, b = normal((2, 3, 7), dtype, 1), normal((9, 7), dtype, 2), normal((9,), dtype, 3)
    z = x.astype("f8") @ w.T.astype("f8")
    for bias in ([], [b]):
        whole = z + sum(one.astype("f8") for one in bias)
        for activation in ("relu", "silu", None):
            assert shop.linear_act.accepts(x, w, *bias, activation)
            out, saved = shop.linear_act(x, w, *bias, activation)
            close(out, FORMULAS[activation][0](whole) if activation else whole, dtype, 3)
            if activation == "silu":
                close(saved, whole, dtype, 2)
            else:
                assert saved is (out if activation else None)
    saved, g = normal((2, 3, 9), dtype, 4), normal((7, 9), dtype, 5)
    assert shop.gradient.accepts(x, g, saved, "silu")
    dz, db = shop.gradient(x, g, saved, "silu")
    reference = (x.astype("f8") @ g.astype("f8")) * FORMULAS["silu"][1](saved.astype("f8"))
    close(dz, reference, dtype, 3)
    close(db, reference.reshape(-1, 9).sum(0), dtype, 6)
    assert not shop.linear_act.accepts(x, w, "softplus")


def test_what_layers_accept(shop: Shop) -> None:
    x, w, b = np.ones((2, 3), "f4"), np.ones((8, 3), "f4"), np.ones(8, "f4")
    accepts = shop.linear_act.accepts
    assert accepts(x, w, b, "silu")
    assert not accepts(x, w, b, "tanh")  # no kernel, and no epilogue
    assert not accepts(x[0], w, b, None)
    assert not accepts(x, w, b[:1], None)
    assert not accepts(x, w.astype("f8"), b, None)
    assert not accepts(x[:0], w, b, None)
    assert not accepts(x, w[:, :2], b, None)
    accepts = shop.gradient.accepts
    g = np.ones((2, 8), "f4")
    assert accepts(g, w, x, "silu")
    assert not accepts(g, w, x, "tanh")
    assert not accepts(g, w, x[:1], "silu")
    assert not accepts(g, w, x[:, :2], "silu")


def test_without_kernels_the_epilogues_remain(fake: Fake) -> None:
    """But not where they might lose a NaN, or where they are too coarse for the dtype."""
    shop = Shop(NO_KERNELS)
    x, w = np.ones((2, 3), "f2"), np.ones((8, 3), "f2")
    assert shop.linear_act.accepts(x, w, None)
    assert shop.linear_act.accepts(x, w, "gelu_tanh")
    assert not shop.linear_act.accepts(x.astype("f4"), w.astype("f4"), "gelu_tanh")
    assert not shop.linear_act.accepts(x, w, np.ones(8, "f2"), "relu")
    assert not shop.linear_act.accepts(x, w[:6], "gelu_tanh")
    assert not shop.gradient.accepts(np.ones((2, 3), "f2"), np.ones((3, 8), "f2"),
                                     np.ones((2, 8), "f2"), "gelu_tanh")  # fmt: skip
    fake.refuse(160)
    shop = Shop(NO_KERNELS)
    assert not shop.linear_act.accepts(x, w, "gelu_tanh")


@pytest.mark.parametrize("large", [False, True])
def test_nan_survives_a_relu(fake: Fake, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr(cuda_gemm, "LARGE", 0 if large else 2**62)
    x, w, b = np.ones((2, 3), "f4"), np.ones((8, 3), "f4"), np.ones(8, "f4")
    x[1, 1] = np.nan
    for loses in (False, True):
        shop = Shop(KERNELS)
        shop.queue.name = f"a GPU {loses}"
        if loses:
            fake.lose_nan()
        out, _ = shop.linear_act(x, w, b, "relu")
        assert np.isnan(out[1]).all() and (out[0] == 4).all()
        assert ("unfused" in shop.gemm.chosen().values()) is loses


# -- on a GPU --------------------------------------------------------------------------------------
@pytest.mark.skipif(not tfl.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("sizes", [(5, 7, 3), (256, 192, 72), (1024, 768, 520)])
def test_on_a_gpu(sizes: Any, dtype: Any) -> None:
    """Every layout, then forward and backward of each activation, also as a gate's."""
    backend: Any = base.backend_for("cuda")
    xp, (m, n, k) = backend.namespace, sizes
    x, y, bias = normal((m, k), dtype, 1), normal((k, n), dtype, 2), normal((n,), dtype, 3)
    wide = [array.astype("f8") for array in (x, y, bias)]
    # The reference's derivatives are differences.
    bound = 2 * ROUNDING[dtype] + (2e-9 if dtype == dtypes.float64 else 1e-6)

    def check(found: Any, reference: Any, factor: float = 1.0) -> None:
        found = xp.asnumpy(found)
        assert found.dtype == dtype and found.shape == reference.shape
        error = np.abs(found.astype("f8") - reference).max()
        assert error <= factor * (bound * np.abs(reference).max() + 1e-12)

    on_gpu = [xp.asarray(array) for array in (x, y, bias)]
    for a in (on_gpu[0], xp.ascontiguousarray(on_gpu[0].T).T):
        for b in (on_gpu[1], xp.ascontiguousarray(on_gpu[1].T).T):
            check(backend.matmul(a, b), wide[0] @ wide[1])
    z = wide[0] @ wide[1] + wide[2]
    weight = xp.ascontiguousarray(on_gpu[1].T)
    for name, (forward, derivative, from_output) in FORMULAS.items():
        out, saved = backend.linear_act(on_gpu[0], weight, on_gpu[2], name)
        check(out, forward(z))
        if not from_output:
            check(saved, z)
        kept = xp.asnumpy(saved).astype("f8")
        dz, db = backend.product_activation_gradient(on_gpu[0], on_gpu[1], saved, name)
        reference = (wide[0] @ wide[1]) * derivative(kept)
        check(dz, reference, 2)
        check(db, reference.sum(0), 2 * math.sqrt(m))
        gate, other = normal((m, n), dtype, 4), normal((m, n), dtype, 5)
        found = backend.product_gated_gradient(*on_gpu[:2], *map(xp.asarray, (gate, other)), name)
        for one, wanted in zip(
            found, gated_gradients(wide[0] @ wide[1], gate, other, name), strict=True
        ):
            check(one, wanted, 2)
    x[0, 0] = np.nan
    out, _ = backend.linear_act(xp.asarray(x), weight, on_gpu[2], "relu")
    assert np.isnan(xp.asnumpy(out)[0].astype("f4")).all()
