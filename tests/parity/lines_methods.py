"""Calls of tensors' methods that both libraries know; see `surface.Line`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .surface import Constant, Line, call, script

RNG = np.random.default_rng(37)
LINES: list[Line] = []


def draw(*shape: int) -> Any:
    return np.asarray(RNG.normal(size=shape))


def add(name: str, *args: Any, **options: Any) -> None:
    LINES.append(call(f"Tensor.{name}", *args, **options))


def say(name: str, run: Any, *arrays: Any) -> None:
    LINES.append(script(f"Tensor.{name}", run, *arrays))


X, Y, CUBE, LINE = draw(3, 4), draw(3, 4), draw(2, 3, 4), draw(7)
TURNED, STRIDED, EMPTY, ZERO_D = draw(4, 3).T, draw(3, 8)[::-1, ::2], draw(0, 4), draw()
MATRICES, EVERY = (X, TURNED, STRIDED, EMPTY), (X, TURNED, STRIDED, EMPTY, ZERO_D)
COMPLEX = draw(3, 4) + 1j * draw(3, 4)
WHOLE = np.array([[3, 0, -2], [1, 1, 5]])
# -- what a tensor is ------------------------------------------------------------------------------
for x in (*EVERY, CUBE, COMPLEX, WHOLE, np.array([True, False])):
    for name in ("dim", "ndimension", "numel", "nelement", "element_size", "is_complex",
                 "is_floating_point", "tolist"):  # fmt: skip
        add(name, x if name != "tolist" else Constant(x))
    for name in ("dtype", "itemsize", "nbytes", "ndim", "requires_grad", "is_leaf", "grad"):
        add(name, x)
    say("shape", lambda kit, x: [list(x.shape), x.shape == tuple(x.shape)], x)
    say("device", lambda kit, x: [str(x.device), x.device.type], x)
    say("is_contiguous", lambda kit, x: [x.contiguous().is_contiguous(),
                                         (x * 1).contiguous().is_contiguous()], x)  # fmt: skip
    add("contiguous", x)
    add("cpu", x)
    add("detach", x)
    say("detach_", lambda kit, x: [(y := x * 1).detach_() is y, y.requires_grad, y.is_leaf], x)
    say("data", lambda kit, x: [x.data, x.data.requires_grad], x)
    say("numpy", lambda kit, x: x.detach().numpy().tolist(), x)
    say("is_leaf", lambda kit, x: [x.is_leaf, x.clone().is_leaf, x.detach().is_leaf], x)
say("is_contiguous", lambda kit, x: [
    one.is_contiguous() for one in (x, x.mT, x[:, ::2], x[1:])], X)  # fmt: skip
for value in (ZERO_D, np.array(3), np.array(True), np.array(1 + 2j), draw(1, 1)):
    add("item", Constant(value))
for name in ("float", "double", "half", "bfloat16", "int", "long", "short", "bool"):
    for x in (X * 2, EMPTY, ZERO_D, WHOLE):
        # Halves go to float32 for the comparison with NumPy; the name of the dtype is compared too.
        say(name, {
            "float": lambda kit, x: [x.float().dtype, x.float().double()],
            "double": lambda kit, x: [x.double().dtype, x.double()],
            "half": lambda kit, x: [x.half().dtype, x.half().double()],
            "bfloat16": lambda kit, x: [x.bfloat16().dtype, x.bfloat16().double()],
            "int": lambda kit, x: x.int(),
            "long": lambda kit, x: x.long(),
            "short": lambda kit, x: x.short(),
            "bool": lambda kit, x: x.bool(),
        }[name], x)  # fmt: skip
say("to", lambda kit, x: [x.to(kit.float64), x.to("cpu") is x, x.to(dtype=kit.float32).double(),
                          x.to("cpu", kit.float64), x.to(x.double())], X)  # fmt: skip
say("to", lambda kit, x: [x.to(x.dtype) is x, x.to(x.dtype, copy=True) is x, x.to(kit.int32)], X)
say("type_as", lambda kit, x, y: [x.type_as(y), y.type_as(x).dtype, x.type_as(x) is x], X, WHOLE)
for name in ("real", "imag"):
    add(name, COMPLEX)
    add(name, COMPLEX.T)
add("real", X)


def doubled(leaf: Any) -> None:
    leaf.grad.mul_(2)


# -- gradients -------------------------------------------------------------------------------------
for x in EVERY:
    say("backward", lambda kit, x: [(x * x).sum().backward(), x.grad][1], x)
    say("backward", lambda kit, x: [(x * x).backward(x.detach()), x.grad][1], x)
    say("backward", lambda kit, x: [
        (y := (x * x).sum()).backward(retain_graph=True), y.backward(), x.grad][2], x)  # fmt: skip
    say("grad", lambda kit, x: [x.grad, (x**3).sum().backward(), x.grad, x.grad.requires_grad], x)
    say("grad_fn", lambda kit, x: [x.grad_fn, (x * 2).grad_fn is None], x)
    say("requires_grad", lambda kit, x: [x.requires_grad, (x * 2).requires_grad,
                                         (x > 0).requires_grad], x)  # fmt: skip
    say("requires_grad_", lambda kit, x: [(y := x.detach()).requires_grad_() is y, y.requires_grad,
                                          y.requires_grad_(False).requires_grad], x)  # fmt: skip
    say("retain_grad", lambda kit, x: [(y := x * 2).retain_grad(), (y * y).sum().backward(),
                                       y.grad], x)  # fmt: skip
    say(
        "register_hook",
        lambda kit, x: [
            (y := x * 2).register_hook(lambda g: g * 3) is None,
            (y * y).sum().backward(),
            x.grad,
        ],
        x,
    )
    say(
        "register_hook",
        lambda kit, x: [
            x.register_hook(lambda g: g + 1).remove(),
            (x * x).sum().backward(),
            x.grad,
        ],
        x,
    )
    say("register_post_accumulate_grad_hook", lambda kit, x: [
        x.register_post_accumulate_grad_hook(doubled) is None,
        (x * x).sum().backward(), x.grad], x)  # fmt: skip
# -- along axes ------------------------------------------------------------------------------------
for x in MATRICES:
    for dim in (0, 1, -1, -2):
        for name in ("cumsum", "cumprod", "unbind", "unsqueeze"):
            add(name, x, dim)
            add(name, x, dim=dim)
        if x.size:
            add("select", x, dim, 1)
            add("select", x, dim, -1)
            add("narrow", x, dim, 1, 2)
            add("take_along_dim", x, np.array([[1], [0], [2]]) if dim in (1, -1) else
                np.array([[0, 2, 1, 1]]), dim)  # fmt: skip
        add("repeat_interleave", x, 2, dim)
        add("repeat_interleave", x, 2, dim=dim)
    for name in ("T", "mT", "H", "mH"):
        add(name, x)
    for name in ("t", "adjoint"):
        add(name, x)
    add("repeat_interleave", x, 3)
    if x.size:
        add("view", x.copy(), -1, 2)
        add("expand", x[:1], (3, 4))
    add("permute", x, 1, 0)
    add("permute", x, (-1, 0))
    say("view", lambda kit, x: (x * 1).contiguous().view((4, -1) if x.ndim == 0 else (-1,)), x)
    say("view_as", lambda kit, x: x.contiguous().view_as(x.contiguous().mT.contiguous()), x)
    add("reshape_as", x, Constant(np.zeros((x.size // 2, 2))))
    add("expand", x, 2, -1, 4)
    add("expand", x[:, :1], -1, 5)
    add("expand_as", x, Constant(np.zeros((2, *x.shape))))
    add("masked_fill", x, np.asarray(x > 0), 0.5)
    add("masked_fill_", x, np.asarray(x > 0), 0.5)
    add("masked_select", x, np.asarray(x > 0))
    add("masked_select", x, np.array([True, False, True, True]))
    add("where", x, np.asarray(x > 0), draw(*x.shape))
    add("where", x, np.asarray(x > 0), 0.25)
    add("fill_", x, 1.5)
    add("zero_", x)
    add("copy_", x, draw(*x.shape))
    add("copy_", x, draw(4))
    add("allclose", x, x + 1e-9)
    add("allclose", x, x + 1e-2, 1e-3)
    add("ldexp", x, Constant(np.abs(np.round(x * 3))))
    add("nextafter", Constant(x), Constant(-x))
for name in ("mT", "mH", "adjoint"):
    add(name, CUBE)
    add(name, COMPLEX)
add("H", COMPLEX)
add("t", LINE)
add("t", ZERO_D)
add("unbind", CUBE)
add("permute", CUBE, 2, 0, 1)
add("repeat_interleave", LINE, np.array([2, 0, 1, 1, 3, 0, 2]))
add("median", LINE)
add("nanmedian", np.array([1.5, np.nan, -2.0, 0.3]))
for bins in (5, 3):
    say("histogram", lambda kit, x, bins=bins: [
        one.to(x.dtype) for one in x.histogram(bins, range=(-1.5, 2.0))
    ], Constant(LINE))  # fmt: skip
for index, dim in ((np.array([[0, 2, 1, 1]]), 0), (np.array([[3], [0], [2]]), 1),
                   (np.array([[0, 3]]), -1)):  # fmt: skip
    for name in ("scatter", "scatter_"):
        add(name, X, dim, index, draw(*index.shape))
        add(name, X, dim, index, 2.5)
for shape in ((3,), (2, 3), (0, 3), (1,)):
    add("det", draw(*shape, shape[-1]) + 3 * np.eye(shape[-1]))
    say("cholesky", lambda kit, x: (x @ x.mT).cholesky(), draw(*shape, shape[-1])
        + 3 * np.eye(shape[-1]))  # fmt: skip
# -- tensors like it -------------------------------------------------------------------------------
for x in (X, COMPLEX, WHOLE):
    say("new_empty", lambda kit, x: [list(x.new_empty(2, 3).shape), x.new_empty((2,)).dtype], x)
    say("new_zeros", lambda kit, x: [x.new_zeros(2, 3), x.new_zeros((2,)), x.new_zeros(())], x)
    say("new_ones", lambda kit, x: [x.new_ones(2, 3), x.new_ones((2,), dtype=kit.int32)], x)
    say("new_full", lambda kit, x: [x.new_full((2, 3), 7), x.new_full((), 7)], x)
    say("new_tensor", lambda kit, x: [x.new_tensor([1, 2]), x.new_tensor(3)], x)
for name, low, high, mean, deviation in (
    ("uniform_", 0.0, 1.0, 0.5, 12**-0.5), ("normal_", -9.0, 9.0, 0.0, 1.0),
):  # fmt: skip

    def spread(result: Any, low: Any = low, high: Any = high, mean: Any = mean,
               deviation: Any = deviation) -> list[Any]:  # fmt: skip
        y, same = result
        return [same, y.dtype, bool((y >= low).all()), bool((y <= high).all()),
                abs(y.mean().item() - mean) < 0.03,
                abs(((y - mean) ** 2).mean().item() ** 0.5 - deviation) < 0.03]  # fmt: skip

    LINES.append(call(f"Tensor.{name}", Constant(np.zeros((100, 100)))).then(spread))
LINES.append(call("Tensor.uniform_", Constant(np.zeros((100, 100))), -2.0, 3.0).then(
    lambda result: [-2.01 < result[0].min().item() < -1.9, 2.9 < result[0].max().item() < 3.01]
))  # fmt: skip
LINES.append(call("Tensor.normal_", Constant(np.zeros((100, 100))), 5.0, 0.1).then(
    lambda result: abs(result[0].mean().item() - 5.0) < 0.01
))  # fmt: skip
