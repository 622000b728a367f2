"""Calls of autograd and amp that both libraries know, and what stands apart; see `surface.Line`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .surface import Constant, Line, script

RNG = np.random.default_rng(47)
LINES: list[Line] = []


def draw(*shape: int) -> Any:
    return np.asarray(RNG.normal(size=shape))


def say(name: str, run: Any, *arrays: Any) -> None:
    LINES.append(script(name, run, *arrays))


def cubing(kit: Any, base: Any) -> Any:
    class Cube(base):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float) -> Any:
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x**3 * scale

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * 3 * x**2 * ctx.scale, None

    return Cube


for shape in ((3, 4), (), (0, 2)):
    x = draw(*shape)
    say("autograd.grad", lambda kit, x: kit.autograd.grad((x**3).sum(), [x])[0], x)
    say("autograd.grad", lambda kit, x: kit.autograd.grad(
        [x**2, x * 3], [x], [x.detach(), x.detach()], retain_graph=True), x)  # fmt: skip
    say("autograd.grad", lambda kit, x: kit.autograd.grad(
        (kit.autograd.grad((x**3).sum(), x, create_graph=True)[0] ** 2).sum(), x), x)  # fmt: skip
    say("autograd.grad", lambda kit, x: [
        kit.autograd.grad((x * 2).sum(), [x, kit.zeros(2, requires_grad=True)], **options)[1]
        for options in ({"allow_unused": True}, {"materialize_grads": True})], x)  # fmt: skip
    say("autograd.grad", lambda kit, x: kit.autograd.grad(
        x * 2, x, kit.stack([x, x + 1]).detach(), is_grads_batched=True), x)  # fmt: skip
    say("autograd.backward", lambda kit, x: [kit.autograd.backward(
        [(x * x).sum(), x.sum()]), x.grad][1], x)  # fmt: skip
    say("autograd.backward", lambda kit, x: [kit.autograd.backward(
        (x**3,), (x.detach(),), inputs=[x]), x.grad][1], x)  # fmt: skip
    say("autograd.Function", lambda kit, x: cubing(kit, kit.autograd.Function).apply(x, 0.5), x)
    say(
        "autograd.Function",
        lambda kit, x: kit.autograd.grad(
            cubing(kit, kit.autograd.Function).apply(x, 0.5).sum(), x, create_graph=True
        ),
        x,
    )
say("autograd.gradcheck", lambda kit: [kit.autograd.gradcheck(
    lambda x: (x**3).sum(), (kit.tensor([0.5, -1.5], dtype=kit.float64, requires_grad=True),)),
    raises(kit.autograd.gradcheck, lambda x: x.detach() * x, (
        kit.tensor([0.5, -1.5], dtype=kit.float64, requires_grad=True),))])  # fmt: skip
say(
    "autograd.gradgradcheck",
    lambda kit: [
        kit.autograd.gradgradcheck(
            lambda x: (x**3).sum(),
            (kit.tensor([0.5, -1.5], dtype=kit.float64, requires_grad=True),),
        )
    ],
)


def raises(function: Any, *args: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(*args)
        except Exception:
            return True
    return False


def root_of(kit: Any, mode: Any, x: Any) -> list[bool]:
    """Whether NaN in a backward pass, and none, raises in a mode."""
    with mode:
        return [raises((x * 0).sqrt().mul(0).sum().backward), raises((x * x).sum().backward)]


say("autograd.detect_anomaly", lambda kit, x: quiet(
    lambda: root_of(kit, kit.autograd.detect_anomaly(), x)), draw(3))  # fmt: skip
say("autograd.set_detect_anomaly", lambda kit, x: [
    quiet(lambda: root_of(kit, kit.autograd.set_detect_anomaly(True), x)),
    quiet(lambda: root_of(kit, kit.autograd.set_detect_anomaly(False), x))], draw(3))  # fmt: skip


def quiet(function: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


# -- mixed precision -------------------------------------------------------------------------------
def in_mode(mode: Any, function: Any) -> Any:
    with mode:
        return function()


for enabled in (True, False):
    for dtype in (None, "bfloat16"):
        say("amp.autocast", lambda kit, x, e=enabled, d=dtype: in_mode(
            kit.amp.autocast("cpu", getattr(kit, d) if d else None, enabled=e), lambda: [
                (x.float() @ x.float()).dtype, (x.float() + x.float()).dtype,
                kit.nn.functional.softmax(x.bfloat16(), -1).dtype, (x.long() @ x.long()).dtype,
            ]), draw(4, 4))  # fmt: skip
say("amp.is_autocast_available", lambda kit: [kit.amp.is_autocast_available(one)
                                              for one in ("cpu", "cuda")])  # fmt: skip


def cast_function(kit: Any, inward: Any, outward: Any) -> Any:
    class Product(kit.autograd.Function):
        @staticmethod
        @inward
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x @ x

        @staticmethod
        @outward
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g @ x.mT + x.mT @ g

    return Product


for cast in (None, "float32"):
    for name in ("custom_fwd", "custom_bwd"):
        say(f"amp.{name}", {
            "custom_fwd": lambda kit, x, c=cast: product(kit, x, kit.amp.custom_fwd, c),
            "custom_bwd": lambda kit, x, c=cast: [kit.amp.custom_bwd(
                lambda ctx, g: g * 2, device_type="cpu").__name__ is None,
                product(kit, x, kit.amp.custom_fwd, c)],
        }[name], draw(4, 4))  # fmt: skip


def product(kit: Any, x: Any, custom_fwd: Any, cast: Any) -> Any:
    function = cast_function(
        kit, custom_fwd(device_type="cpu", cast_inputs=getattr(kit, cast) if cast else None),
        kit.amp.custom_bwd(device_type="cpu"),
    )  # fmt: skip
    with kit.amp.autocast("cpu"):
        y = function.apply(x.float())
    return [y.dtype, kit.autograd.grad(y.sum(), x)[0].dtype]


def scaled(kit: Any, scaler: Any, x: Any) -> list[Any]:
    """Three steps, of which the second overflows."""
    leaf = x.detach().clone().requires_grad_()
    optimizer = kit.optim.SGD([leaf], lr=0.1)
    found = []
    for factor in (1.0, float("inf"), 2.0):
        optimizer.zero_grad()
        scaler.scale((leaf * leaf * factor).sum()).backward()
        scaler.unscale_(optimizer)
        found.append(bool(leaf.grad.isfinite().all()))
        scaler.step(optimizer)
        scaler.update()
        found.append(float(scaler.get_scale()))
    return [leaf.detach(), found, scaler.state_dict()]


for options in ({}, {"init_scale": 8.0, "growth_interval": 1}, {"enabled": False}):
    say("amp.GradScaler", lambda kit, x, o=options: scaled(
        kit, kit.amp.GradScaler("cpu", **o) if kit.__name__ == "torch" else kit.amp.GradScaler(**o),
        x), draw(3, 2))  # fmt: skip
# -- what else -------------------------------------------------------------------------------------
say("Tensor.set_", lambda kit, x: [(y := kit.zeros(2, dtype=x.dtype)).set_(x.detach()) is y, y],
    draw(3, 2))  # fmt: skip
for data in (np.array([3, 1, 2, 1, 3]), np.array([[2.0, 1.0], [2.0, 0.5]]), np.zeros((0, 2))):
    say("Tensor.unique", lambda kit, x: x.unique(), Constant(data))
    say("Tensor.unique", lambda kit, x: x.unique(return_inverse=True, return_counts=True),
        Constant(data))  # fmt: skip
