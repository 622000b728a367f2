"""Calls of the module's own functions that both libraries know; see `surface.Line`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .surface import Constant, Line, call, everywhere, script

RNG = np.random.default_rng(29)
LINES: list[Line] = []


def draw(*shape: int) -> Any:
    return np.asarray(RNG.normal(size=shape))


def add(name: str, *args: Any, **options: Any) -> None:
    LINES.append(call(name, *args, **options))


def say(name: str, run: Any, *arrays: Any) -> None:
    LINES.append(script(name, run, *arrays))


X, Y, LINE = draw(3, 4), draw(3, 4), draw(7)
TURNED, STRIDED, EMPTY, ZERO_D = draw(4, 3).T, draw(3, 8)[::-1, ::2], draw(0, 4), draw()
EVERY = (X, TURNED, STRIDED, EMPTY)
# -- other names of elementwise operations ---------------------------------------------------------
for x, y in ((X, Y), (TURNED, draw(4)), (STRIDED, draw(3, 1)), (EMPTY, draw(4)), (ZERO_D, X)):
    for name in ("mul", "sub", "div"):
        add(name, x, y)
    add("pow", np.abs(x) + 0.1, y)
    add("nextafter", Constant(x), Constant(y))
    # PyTorch's derivative is zero for negative exponents.
    add("ldexp", x, Constant(np.abs(np.round(y * 3))))
    add("masked_fill", x, np.asarray(x > 0), -1.5)
for x in (*EVERY, ZERO_D):
    add("clamp", x, -0.5, 0.5)
    add("clamp", x, min=0.1)
    add("clamp", x, max=draw(4) if x.ndim else 0.2)
    add("unsqueeze", x, -1)
    add("imag", x + 1j * x[..., ::-1] if x.ndim else x * (1 + 2j))
    add("numel", x)
    add("allclose", x, x + 1e-9)
    add("allclose", x, x + 1e-3, 1e-2, 1e-1)
LINES += everywhere("expit")
# -- along axes ------------------------------------------------------------------------------------
for x in EVERY:
    for dim in (0, 1, -1, -2):
        for name in ("cumsum", "cumprod", "softmax", "log_softmax", "unbind"):
            add(name, x, dim)
        add("cat", [x, x[:2] if dim in (0, -2) else x[:, :3]], dim)
        if x.size:
            add("take_along_dim", x, np.zeros((1, 1), int), dim)
        add("unsqueeze", x, dim)
    add("permute", x, (1, 0))
    add("permute", x[None], (-1, 0, 1))
    add("swapdims", x[None], 0, -1)
    add("movedim", x[None], (0, 1), (-1, 0))
    add("row_stack", (x, Y))
add("cat", (LINE, LINE), dim=-1)
add("row_stack", (LINE, LINE))
add("median", LINE)
add("median", draw(3, 5))
add("nanmedian", np.array([1.5, np.nan, -2.0, 0.3]))
for dim in (0, -1):
    say("median", lambda kit, x, dim=dim: kit.median(x, dim) if kit.__name__ != "torch"
        else kit.median(x, dim)[0], draw(5, 3, 7))  # fmt: skip
    say("nanmedian", lambda kit, x, dim=dim: kit.nanmedian(x, dim) if kit.__name__ != "torch"
        else kit.nanmedian(x, dim)[0], draw(5, 3, 7))  # fmt: skip
for x in (np.array([3, 1, 2, 1, 3]), Constant(np.array([[2.0, 1.0], [2.0, 0.5]])), EMPTY):
    x = x if isinstance(x, Constant) else Constant(x)
    add("unique", x)
    say("unique", lambda kit, x: kit.unique(x, return_inverse=True, return_counts=True), x)
# -- broadcasting, indices -------------------------------------------------------------------------
say("broadcast_shapes", lambda kit: list(kit.broadcast_shapes((3, 1), (4,), (2, 1, 1))))
add("broadcast_tensors", draw(3, 1), draw(4), ZERO_D)
add("broadcast_tensors", draw(0, 1), draw(4))
add("diagflat", X)
add("diagflat", LINE, -2)
add("diagflat", ZERO_D, 1)
for index in (np.array([0, 5, 11]), np.array([[3], [7]]), np.zeros(0, int)):
    add("unravel_index", index, (3, 4))
for dim, index in ((0, [[0, 2, 1, 1]]), (1, [[3], [0], [2]]), (-1, np.zeros((3, 0), int))):
    add("scatter", X, dim, np.asarray(index), draw(*np.shape(index)))
    add("scatter", X, dim, np.asarray(index), 2.5)
say("scatter", lambda kit, x, i, y: kit.scatter(x, 0, i, y), draw(4, 2).T[:, 1:],
    np.array([[1, 0, 0]]), draw(1, 3))  # fmt: skip
for edges in ({"bins": 5, "range": (-2.0, 2.0)}, {"bins": 3, "range": (-0.5, 1.0)}):
    say("histogram", lambda kit, x, e=edges: [
        kit.histogram(x, **e)[0].to(x.dtype), kit.histogram(x, **e)[1].to(x.dtype)
    ], Constant(LINE))  # fmt: skip
# -- creation --------------------------------------------------------------------------------------
for args in ((5,), (2, 7), (2, 9, 3), (0.5, 3.0, 0.5), (5, 0, -2), (3, 3), (0.0, 1.0, 0.3)):
    add("arange", *args)
add("linspace", -1.0, 2.0, 7)
add("linspace", 3, 3, 1)
add("linspace", 0, 1, 0)
add("logspace", -1.0, 2.0, 5)
add("logspace", 0.0, 3.0, 4, base=2.0)
for name in ("zeros", "ones"):
    add(name, 3)
    add(name, (2, 3))
    add(name, 2, 0, 3)
    add(name, ())
LINES.append(call("empty", 2, 3).then(lambda y: [list(y.shape), y.dtype, y.requires_grad]))
LINES.append(call("empty_like", X).then(lambda y: [list(y.shape), y.dtype, y.requires_grad]))
say("zeros", lambda kit: kit.zeros(2, dtype=kit.int64))
say("ones", lambda kit: kit.ones((2,), dtype=kit.complex64, requires_grad=True))
add("full", (2, 3), 1.5)
add("full", (2,), 3)
add("full", (), True)
add("eye", 3)
add("eye", 2, 4)
for x in (*EVERY, ZERO_D, np.arange(4), np.array([True, False])):
    add("zeros_like", x)
    add("ones_like", x)
    add("full_like", x, 2)
# PyTorch can't differentiate its own.
add("vander", Constant(LINE))
add("vander", Constant(LINE), 3, increasing=True)
for data in (1.5, [1, 2], [[1.0], [2.5]], [True, False], [], 2j, (1, 2.5)):
    add("tensor", data)
    add("asarray", data)
say("tensor", lambda kit: kit.tensor([1, 2], dtype=kit.float64, requires_grad=True))
say("tensor", lambda kit, x: kit.tensor(x.detach().numpy()), X)
say("asarray", lambda kit, x: kit.asarray(x) is x, X)
say("from_numpy", lambda kit: kit.from_numpy(np.arange(6.0).reshape(2, 3)[:, ::2]))
say("from_dlpack", lambda kit: kit.from_dlpack(np.arange(6.0).reshape(2, 3)))
say("Tensor", lambda kit, x: [isinstance(x, kit.Tensor), isinstance(X, kit.Tensor)], X)
# -- random numbers: their form and their spread ---------------------------------------------------
for name, low, high, mean, deviation in (
    ("rand", 0.0, 1.0, 0.5, 12**-0.5), ("randn", -9.0, 9.0, 0.0, 1.0),
):  # fmt: skip

    def spread(y: Any, low: Any = low, high: Any = high, mean: Any = mean,
               deviation: Any = deviation) -> list[Any]:  # fmt: skip
        return [
            list(y.shape), y.dtype, bool((y >= low).all()), bool((y < high).all()),
            abs(y.mean().item() - mean) < 0.03,
            abs(((y - mean) ** 2).mean().item() ** 0.5 - deviation) < 0.03,
        ]  # fmt: skip

    LINES.append(call(name, 100, 100).then(spread))
    LINES.append(call(name, (50, 200)).then(spread))
    LINES.append(call(f"{name}_like", np.zeros((100, 100))).then(spread))
for args in ((3, (4000,)), (-2, 1, (4000,))):
    LINES.append(call("randint", *args).then(lambda y: [
        y.dtype, sorted(set(y.tolist())), all(y.tolist().count(n) > 1150 for n in set(y.tolist()))
    ]))  # fmt: skip
LINES.append(call("randperm", 50).then(lambda y: [y.dtype, sorted(y.tolist()) == [*range(50)],
                                                  y.tolist() != [*range(50)]]))  # fmt: skip
for place in ("", "random."):
    say(f"{place}manual_seed", lambda kit, p=place: (lambda where: [
        [where.manual_seed(5), kit.rand(3)][1].tolist()
        == [where.manual_seed(5), kit.rand(3)][1].tolist(),
        kit.rand(3).tolist() == kit.rand(3).tolist(),
    ])(kit.random if p else kit))  # fmt: skip
    say(f"{place}initial_seed", lambda kit, p=place: (lambda where: [
        kit.manual_seed(11), kit.rand(2), where.initial_seed()
    ][2])(kit.random if p else kit))  # fmt: skip
# -- what there is to know of tensors and dtypes ---------------------------------------------------
for one in ("float32", "float64", "float16", "bfloat16", "complex64"):
    say("finfo", lambda kit, one=one: [
        float(getattr(kit.finfo(getattr(kit, one)), field))
        for field in ("bits", "eps", "max", "min", "smallest_normal")
    ])  # fmt: skip
for one in ("int8", "int16", "int32", "int64", "uint8"):
    say("iinfo", lambda kit, one=one: [
        getattr(kit.iinfo(getattr(kit, one)), field) for field in ("bits", "max", "min")
    ])  # fmt: skip
say("is_tensor", lambda kit, x: [kit.is_tensor(x), kit.is_tensor(1.0), kit.is_tensor(X)], X)
say("device", lambda kit: [str(kit.device("cpu")), kit.device("cpu") == kit.zeros(1).device,
                           kit.device("cpu").type, kit.device("cuda", 1).index,
                           str(kit.device("cuda:1"))])  # fmt: skip
for pair in (("float32", "float64"), ("float16", "bfloat16"), ("int8", "uint8"),
             ("int32", "int64"), ("bool", "int16"), ("complex64", "float64"), ("bool", "float16"),
             ("bfloat16", "float32"), ("complex64", "float32")):  # fmt: skip
    say("result_type", lambda kit, pair=pair: kit.result_type(
        *[kit.zeros(1, dtype=getattr(kit, one)) for one in pair]))  # fmt: skip
for pair in (("float32", "float64"), ("float64", "float64"), ("complex64", "complex128"),
             ("int32", "int64"), ("complex64", "float64"), ("float32", "int32")):  # fmt: skip
    say("can_cast", lambda kit, pair=pair: kit.can_cast(*[getattr(kit, one) for one in pair]))
# -- modes and transforms --------------------------------------------------------------------------
say("get_num_threads", lambda kit: [kit.set_num_threads(2), kit.get_num_threads()][1])
say("set_num_threads",
    lambda kit: [kit.set_num_threads(1), kit.get_num_threads(),
                 kit.set_num_threads(2), kit.get_num_threads()][1::2])  # fmt: skip
say("are_deterministic_algorithms_enabled",
    lambda kit: kit.are_deterministic_algorithms_enabled())  # fmt: skip
say("use_deterministic_algorithms",
    lambda kit: [kit.use_deterministic_algorithms(True), kit.are_deterministic_algorithms_enabled(),
                 kit.use_deterministic_algorithms(False),
                 kit.are_deterministic_algorithms_enabled()][1::2])  # fmt: skip
say("is_grad_enabled", lambda kit: kit.is_grad_enabled())
for name in ("no_grad", "enable_grad", "inference_mode"):
    say(name, {
        "no_grad": lambda kit, x: [within(kit, kit.no_grad(), x), kit.is_grad_enabled()],
        "enable_grad": lambda kit, x: within(
            kit, kit.no_grad(), x, lambda: within(kit, kit.enable_grad(), x)
        ),
        "inference_mode": lambda kit, x: [within(kit, kit.inference_mode(), x),
                                          within(kit, kit.inference_mode(False), x)],
    }[name], X)  # fmt: skip
say("set_grad_enabled", lambda kit, x: [within(kit, kit.set_grad_enabled(False), x),
                                        within(kit, kit.set_grad_enabled(True), x)], X)  # fmt: skip


def within(kit: Any, mode: Any, x: Any, then: Any = None) -> Any:
    with mode:
        return [kit.is_grad_enabled(), (x * 2).requires_grad, then() if then else None]


def transforms(kit: Any) -> Any:
    return kit if hasattr(kit, "hessian") else kit.func


for x in (X, LINE, draw(2, 1, 3)):
    say("grad", lambda kit, x: transforms(kit).grad(lambda x: (x**3).sin().sum())(x), x)
    say("vjp", lambda kit, x: transforms(kit).vjp(lambda x: x**3, x)[1](x), x)
    say("vjp", lambda kit, x: transforms(kit).vjp(lambda x: (x**2, x.sum()), x)[0], x)
    say("jvp", lambda kit, x: transforms(kit).jvp(lambda x: x**3, (x,), (x * 2,)), x)
    say("jacrev", lambda kit, x: transforms(kit).jacrev(lambda x: x**3)(x), x)
    say("jacfwd", lambda kit, x: transforms(kit).jacfwd(lambda x: x.sin().sum(-1))(x), x)
    say("hessian", lambda kit, x: transforms(kit).hessian(lambda x: (x**3).sum())(x), x)
    say("vmap", lambda kit, x: kit.vmap(lambda x: (x * x).sum())(x), x)
    say("vmap", lambda kit, x: kit.vmap(lambda x, y: x * y, (0, None), 0)(x, x[0]), x)
say("grad", lambda kit, x, y: transforms(kit).grad(
    lambda x, y: (x * y**2).sum(), argnums=(0, 1))(x, y), X, Y)  # fmt: skip
