"""Rows of matrix products: the ceilings, the three layouts, fused epilogues, whole MLPs."""

from __future__ import annotations

import functools
from typing import Any

from tensorflowlite.nn import functional as F

from .cuda_cublaslt import DGELU_BGRAD, GELU_AUX_BIAS
from .cuda_lab import Bar, Case, Check, Lab, Row, bfloat16, distance, float32, gradient_of, worst

MLP = 1e-2  # of the norm: several roundings to bfloat16 in a row


# -- the ceilings ----------------------------------------------------------------------------------
def _copy(lab: Lab) -> Case:
    """A device-to-device copy; 4 GiB where there is room, bytes read and written both counted."""
    count = int(min(lab.elements(2**30), lab.free_memory() / 12))
    source = lab.normal((count,), float32)
    target = lab.xp.empty_like(source)

    def copy() -> None:
        if lab.on_gpu:
            target.data.copy_from_device_async(source.data, source.nbytes)
        else:
            lab.xp.copyto(target, source)

    def check() -> list[Check]:
        target.fill(float("nan"))
        copy()
        return [Check("copy", worst(target, source), 0.0)]

    def theirs() -> Any:
        into, of = lab.torch_of(target), lab.torch_of(source)
        return lambda: into.copy_(of)

    peers = {
        "memcpy": lambda: copy,
        "cupy": lambda: lambda: lab.xp.copyto(target, source),
        "torch": theirs,
    }
    return Case(None, peers, check, bytes=2.0 * source.nbytes)


def _operands(lab: Lab, layout: str, rows: int, inner: int, columns: int) -> tuple[Any, Any]:
    """Return x (rows, inner) and y (inner, columns); "t" marks the one that lies transposed."""
    x = lab.normal((inner, rows)).T if layout[0] == "t" else lab.normal((rows, inner))
    y = lab.normal((columns, inner)).T if layout[1] == "t" else lab.normal((inner, columns))
    return x, y


def _product(lab: Lab, layout: str, length: int, ceiling: bool = False) -> Case:
    n = lab.size(length)
    x, y = _operands(lab, layout, n, n, n)
    out = lab.xp.empty((n, n), bfloat16)

    @functools.cache
    def reference() -> Any:
        return lab.xp.matmul(*lab.wide(x, y))

    def ours() -> Any:
        return lab.k.matmul(x, y)

    def check() -> list[Check]:
        if ceiling:
            return []
        lab.poison((out.shape, bfloat16))
        return [Check("product", worst(ours(), reference()), lab.half)]

    def cublaslt() -> Any:
        call = lab.lt.product(x, y, out)

        def right() -> list[Check]:
            out.view("uint8").fill(255)
            call()
            return [Check("product", worst(out, reference()), lab.half)]

        return call, right

    def theirs() -> Any:
        a = lab.torch_of(x.T).T if layout[0] == "t" else lab.torch_of(x)
        b = lab.torch_of(y.T).T if layout[1] == "t" else lab.torch_of(y)
        into = lab.torch_of(out)
        return lambda: lab.torch.matmul(a, b, out=into)

    peers = {"torch": theirs, "cublaslt": cublaslt, "cupy": lambda: lambda: lab.xp.matmul(x, y)}
    return Case(None if ceiling else ours, peers, check, operations=2.0 * n**3)


# -- fused epilogues -------------------------------------------------------------------------------
def _forward(lab: Lab) -> Case:
    """Bias, tanh-GELU and the pre-activation that the backward needs, in the product's epilogue."""
    rows, inner, columns = lab.size(8192), lab.size(4096), lab.size(14336)
    x, w = lab.normal((rows, inner)), lab.normal((columns, inner), std=inner**-0.5)
    b = lab.normal((columns,))
    shape = (rows, columns)

    @functools.cache
    def reference() -> Any:
        return lab.reference.linear_act(*lab.wide(x, w, b), "gelu_tanh")

    def ours() -> Any:
        return lab.k.linear_act(x, w, b, "gelu_tanh")

    def compare(found: Any) -> list[Check]:
        names = ("out", "pre-activation")
        pairs = zip(names, found, reference(), strict=True)
        return [Check(name, worst(one, other), lab.half) for name, one, other in pairs]

    def check() -> list[Check]:
        lab.poison((shape, bfloat16), (shape, bfloat16))
        return compare(ours())

    def cublaslt() -> Any:
        out, aux = lab.xp.empty(shape, bfloat16), lab.xp.empty(shape, bfloat16)
        call = lab.lt.product(x, w.T, out, GELU_AUX_BIAS, b, aux)

        def right() -> list[Check]:
            for array in (out, aux):
                array.view("uint8").fill(255)
            call()
            return compare((out, aux))

        return call, right

    def function(x: Any, w: Any, b: Any) -> Any:
        z = lab.torch.nn.functional.linear(x, w, b)
        return lab.torch.nn.functional.gelu(z, approximate="tanh"), z

    def theirs(compiled: bool) -> Any:
        arrays = [lab.torch_of(array) for array in (x, w, b)]
        run = lab.compiled(function) if compiled else function
        return lambda: run(*arrays)

    peers = {
        "torch": lambda: theirs(False),
        "torch-compile": lambda: theirs(True),
        "cublaslt": cublaslt,
    }
    return Case(ours, peers, check, operations=2.0 * rows * inner * columns)


def derivative(torch: Any, saved: Any, activation: str) -> Any:
    """The factor of an activation's gradient, from what is saved, written out for the peers."""
    saved = saved.float()
    if activation == "tanh":
        return 1 - saved * saved
    if activation == "silu":
        s = torch.sigmoid(saved)
        return s * (1 + saved * (1 - s))
    s = torch.sigmoid(1.5957691216057308 * saved * (1 + 0.044715 * saved * saved))
    slope = 1.5957691216057308 * (1 + 0.134145 * saved * saved)
    return s + saved * s * (1 - s) * slope


def _chained(lab: Lab, activation: str) -> Case:
    """The next layer's gradient through its weight, the activation and the bias, in one product."""
    rows, inner, columns = lab.size(8192), lab.size(4096), lab.size(14336)
    g, w = lab.normal((rows, inner)), lab.normal((inner, columns), std=inner**-0.5)
    saved = lab.normal((rows, columns))
    if activation == "tanh":
        saved = lab.xp.tanh(saved.astype(float32)).astype(bfloat16)

    @functools.cache
    def reference() -> Any:
        return lab.reference.product_activation_gradient(*lab.wide(g, w, saved), activation)

    def ours() -> Any:
        return lab.k.product_activation_gradient(g, w, saved, activation)

    def compare(found: Any) -> list[Check]:
        pairs = zip(("dZ", "db"), found, reference(), strict=True)
        return [Check(name, worst(one, other), lab.half) for name, one, other in pairs]

    def check() -> list[Check]:
        lab.poison((saved.shape, bfloat16), ((columns,), bfloat16))
        return compare(ours())

    def cublaslt() -> Any:
        out, db = lab.xp.empty(saved.shape, bfloat16), lab.xp.empty((columns,), bfloat16)
        call = lab.lt.product(g, w, out, DGELU_BGRAD, db, saved)

        def right() -> list[Check]:
            for array in (out, db):
                array.view("uint8").fill(255)
            call()
            return compare((out, db))

        return call, right

    def function(g: Any, w: Any, saved: Any) -> Any:
        slope = derivative(lab.torch, saved, activation)
        dz = ((g @ w).float() * slope).to(lab.torch.bfloat16)
        return dz, dz.sum(0)

    def theirs(compiled: bool) -> Any:
        arrays = [lab.torch_of(array) for array in (g, w, saved)]
        run = lab.compiled(function) if compiled else function
        return lambda: run(*arrays)

    peers: dict[str, Any] = {
        "torch": lambda: theirs(False),
        "torch-compile": lambda: theirs(True),
    }
    if activation == "gelu_tanh":
        peers["cublaslt"] = cublaslt
    return Case(ours, peers, check, operations=2.0 * rows * inner * columns)


def _chained_gate(lab: Lab) -> Case:
    """The next layer's gradient through its weight, taken to a gate and what it's applied to."""
    rows, inner, columns = lab.size(8192), lab.size(4096), lab.size(14336)
    g, w = lab.normal((rows, inner)), lab.normal((inner, columns), std=inner**-0.5)
    gate, x = lab.normal((rows, columns)), lab.normal((rows, columns))

    def ours() -> Any:
        return lab.k.product_gated_gradient(g, w, gate, x, "silu")

    def check() -> list[Check]:
        lab.poison((gate.shape, bfloat16), (gate.shape, bfloat16))
        reference = lab.reference.product_gated_gradient(*lab.wide(g, w, gate, x), "silu")
        pairs = zip(("dgate", "dx"), ours(), reference, strict=True)
        return [Check(name, worst(one, other), lab.half) for name, one, other in pairs]

    def function(g: Any, w: Any, gate: Any, x: Any) -> Any:
        product, half = (g @ w).float(), lab.torch.bfloat16
        slope, out = derivative(lab.torch, gate, "silu"), lab.torch.nn.functional.silu(gate.float())
        return (product * x.float() * slope).to(half), (product * out).to(half)

    def theirs(compiled: bool) -> Any:
        arrays = [lab.torch_of(array) for array in (g, w, gate, x)]
        run = lab.compiled(function) if compiled else function
        return lambda: run(*arrays)

    peers = {"torch": lambda: theirs(False), "torch-compile": lambda: theirs(True)}
    return Case(ours, peers, check, operations=2.0 * rows * inner * columns)


# -- whole MLPs ------------------------------------------------------------------------------------
def _mlp(lab: Lab, tokens: int, width: int, hidden: int) -> Case:
    """linear + tanh-GELU + linear, forward and backward, all gradients, by the public functions."""
    tokens, width, hidden = lab.size(tokens), lab.size(width), lab.size(hidden)
    x, g = lab.normal((tokens, width)), lab.normal((tokens, width))
    parameters = [
        lab.normal((hidden, width), std=width**-0.5), lab.normal((hidden,)),
        lab.normal((width, hidden), std=hidden**-0.5), lab.normal((width,)),
    ]  # fmt: skip
    leaves = [lab.tensor(array, True) for array in (x, *parameters)]
    gradient = lab.tensor(g)

    def ours() -> Any:
        for leaf in leaves:
            leaf.grad = None
        inputs, w1, b1, w2, b2 = leaves
        out = F.linear(F.linear(inputs, w1, b1, activation="gelu_tanh"), w2, b2)
        out.backward(gradient)
        return out

    def reference() -> list[Any]:
        k, wide = lab.reference, lab.wide(x, *parameters, g, dtype=float32)
        inputs, w1, b1, w2, b2, dout = wide
        h, z = k.linear_act(inputs, w1, b1, "gelu_tanh")
        dz, db1 = k.product_activation_gradient(dout, w2, z, "gelu_tanh")
        out = h @ w2.T + b2
        return [out, dz @ w1, dz.T @ inputs, db1, dout.T @ h, dout.sum(0)]

    def check() -> list[Check]:
        shapes = [(tokens, hidden)] * 3 + [array.shape for array in (x, x, *parameters)]
        lab.poison(*[(shape, bfloat16) for shape in shapes])
        found = [ours().array, *[gradient_of(leaf) for leaf in leaves]]
        names = ("out", "dX", "dW1", "db1", "dW2", "db2")
        pairs = zip(names, found, reference(), strict=True)
        return [Check(name, distance(one, other), MLP) for name, one, other in pairs]

    def theirs(compiled: bool) -> Any:
        arrays = [lab.torch_of(array, True) for array in (x, *parameters)]
        dout, f = lab.torch_of(g), lab.torch.nn.functional

        def forward(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
            return f.linear(f.gelu(f.linear(x, w1, b1), approximate="tanh"), w2, b2)

        run = lab.compiled(forward) if compiled else forward

        def step() -> None:
            for leaf in arrays:
                leaf.grad = None
            run(*arrays).backward(dout)

        return step

    peers = {"torch": lambda: theirs(False), "torch-compile": lambda: theirs(True)}
    return Case(ours, peers, check, operations=12.0 * tokens * width * hidden)


CEILINGS = [
    Row("copy", "device-to-device copy", _copy, ceiling="copy"),
    Row(
        "matmul", "bf16 product 8192³", functools.partial(
            _product, layout="nn", length=8192, ceiling=True), ceiling="matmul",
    ),
]  # fmt: skip

_LAYOUTS = {"nt": "X·Wᵀ", "nn": "dZ·W", "tn": "dZᵀ·X"}
_LARGE = [(8192, 4096, 14336), (16384, 4096, 14336), (8192, 4096, 11008)]
_SMALL = [(16384, 1600, 6400), (16384, 1024, 4096), (8192, 768, 3072)]
_LARGE_BARS = (Bar("torch-compile", 1.02, 1.05), Bar("torch", 1.03, 1.05))
_SMALL_BARS = (Bar("torch-compile", 1.06, 1.15), Bar("torch", 1.10))

ROWS = [
    *[
        Row(
            f"gemm-{layout}-{length}", f"bf16 product {length}³, {what}",
            functools.partial(_product, layout=layout, length=length),
            (Bar("cublaslt", 0.93, 1.0),),
        )
        for length in (4096, 8192)
        for layout, what in _LAYOUTS.items()
    ],
    Row(
        "forward-gelu", "forward bias + GELU + pre-activation, 8192×4096→14336 bf16", _forward,
        (Bar("cublaslt", 0.95, 1.02),),
    ),
    Row(
        "chained-gelu", "chained backward, GELU, 8192×4096→14336 bf16",
        functools.partial(_chained, activation="gelu_tanh"), (Bar("cublaslt", 0.95, 1.03),),
    ),
    *[
        Row(
            f"chained-{name}", f"chained backward, {name}, 8192×4096→14336 bf16",
            functools.partial(_chained, activation=name), (Bar("torch-compile", 1.05),),
        )
        for name in ("silu", "tanh")
    ],
    Row(
        "chained-swiglu", "chained backward, SwiGLU, 8192×4096→14336 bf16", _chained_gate,
        (Bar("torch-compile", 1.0, 1.05),),
    ),
    *[
        Row(
            "mlp-" + "-".join(map(str, sizes)), f"MLP forward + backward {sizes} bf16",
            functools.partial(_mlp, tokens=sizes[0], width=sizes[1], hidden=sizes[2]), bars,
        )
        for group, bars in ((_LARGE, _LARGE_BARS), (_SMALL, _SMALL_BARS))
        for sizes in group
    ],
]  # fmt: skip
