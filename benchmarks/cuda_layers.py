"""Rows of what surrounds the products: norms, losses, attention, optimizers, whole steps."""

from __future__ import annotations

import functools
from typing import Any

import numpy

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import dtypes
from tensorflowlite.nn import functional as F

from .cuda_lab import Bar, Case, Check, Lab, LeftOut, Row, bfloat16, float32, gradient_of, worst
from .cuda_products import derivative

SINGLE = 2e-6  # of the greatest magnitude, for float32
_UNTIL_GRAPHS = 6  # calls of what `jit` makes, until its graphs are launched alone


# -- activation and bias gradient ------------------------------------------------------------------
def _lone(lab: Lab) -> Case:
    rows, columns = lab.size(8192), lab.size(14336)
    g, saved = lab.normal((rows, columns)), lab.normal((rows, columns))

    def ours() -> Any:
        return lab.k.bias_activation_gradient(g, saved, "gelu_tanh", -1)

    def check() -> list[Check]:
        lab.poison((g.shape, bfloat16), ((columns,), bfloat16))
        reference = lab.reference.bias_activation_gradient(*lab.wide(g, saved), "gelu_tanh", -1)
        pairs = zip(("dZ", "db"), ours(), reference, strict=True)
        return [Check(name, worst(one, other), lab.half) for name, one, other in pairs]

    def function(g: Any, saved: Any) -> Any:
        dz = (g.float() * derivative(lab.torch, saved, "gelu_tanh")).to(lab.torch.bfloat16)
        return dz, dz.sum(0)

    def theirs(compiled: bool) -> Any:
        arrays = [lab.torch_of(array) for array in (g, saved)]
        run = lab.compiled(function) if compiled else function
        return lambda: run(*arrays)

    peers = {"torch": lambda: theirs(False), "torch-compile": lambda: theirs(True)}
    return Case(ours, peers, check, bytes=3.0 * g.nbytes)


# -- gated activation ------------------------------------------------------------------------------
def _gated_backward(lab: Lab) -> Case:
    """Three arrays read and two written: with their products nothing else is moved."""
    shape = lab.size(8192), lab.size(14336)
    g, gate, x = (lab.normal(shape) for _ in range(3))

    def ours() -> Any:
        return lab.k.gated_activation_gradient(g, gate, x, "silu")

    def check() -> list[Check]:
        lab.poison((shape, bfloat16), (shape, bfloat16))
        reference = lab.reference.gated_activation_gradient(*lab.wide(g, gate, x), "silu")
        pairs = zip(("dgate", "dx"), ours(), reference, strict=True)
        return [Check(name, worst(one, other), lab.half) for name, one, other in pairs]

    def theirs(compiled: bool) -> Any:
        dout, leaves = lab.torch_of(g), [lab.torch_of(array, True) for array in (gate, x)]

        def function(gate: Any, x: Any) -> Any:
            return lab.torch.nn.functional.silu(gate) * x

        run = lab.compiled(function) if compiled else function
        out = run(*leaves)
        return lambda: lab.torch.autograd.grad(out, leaves, dout, retain_graph=True)

    peers = {"torch": lambda: theirs(False), "torch-compile": lambda: theirs(True)}
    return Case(ours, peers, check, bytes=5.0 * g.nbytes)


# -- layer norm ------------------------------------------------------------------------------------
def _norm_operands(lab: Lab) -> tuple[Any, Any, Any]:
    rows, width = lab.size(16384), lab.size(4096)
    return lab.normal((rows, width)), lab.normal((width,)), lab.normal((width,))


def _norm_forward(lab: Lab) -> Case:
    x, w, b = _norm_operands(lab)
    tensors = [lab.tensor(array) for array in (x, w, b)]

    def ours() -> Any:
        with tfl.no_grad():
            return F.layer_norm(tensors[0], x.shape[1:], tensors[1], tensors[2])

    def check() -> list[Check]:
        lab.poison((x.shape, bfloat16))
        reference = lab.reference.layer_norm(*lab.wide(x, w, b), 1, 1e-5)[0]
        return [Check("out", worst(ours().array, reference), lab.half)]

    def theirs(compiled: bool) -> Any:
        arrays = [lab.torch_of(array) for array in (x, w, b)]

        def function(x: Any, w: Any, b: Any) -> Any:
            return lab.torch.nn.functional.layer_norm(x, x.shape[1:], w, b)

        run = lab.compiled(function) if compiled else function
        return lambda: run(*arrays)

    peers = {"torch": lambda: theirs(False), "torch-compile": lambda: theirs(True)}
    return Case(ours, peers, check, bytes=2.0 * x.nbytes)


def _norm_backward(lab: Lab) -> Case:
    x, w, b = _norm_operands(lab)
    g = lab.normal(x.shape)
    statistics = lab.k.layer_norm(x, w, b, 1, 1e-5)[1]
    rest = ((1,), (0,), True, 3)

    def ours() -> Any:
        return lab.k.norm_gradient(g, x, statistics, w, *rest)

    def check() -> list[Check]:
        lab.poison((x.shape, bfloat16))
        reference = lab.reference.norm_gradient(*lab.wide(g, x, statistics, w), *rest)
        pairs = zip(("dX", "dW", "db"), ours(), reference, strict=True)
        return [Check(name, worst(one, other), lab.half) for name, one, other in pairs]

    def theirs() -> Any:
        arrays = [lab.torch_of(array) for array in (g, x, w, b)]
        dout, inputs, weight, bias = arrays
        shape = list(inputs.shape[1:])
        native = lab.torch.ops.aten
        _, mean, rstd = native.native_layer_norm(inputs, shape, weight, bias, 1e-5)
        return lambda: native.native_layer_norm_backward(
            dout, inputs, shape, mean, rstd, weight, bias, [True, True, True]
        )

    return Case(ours, {"torch": theirs}, check, bytes=3.0 * x.nbytes)


# -- softmax cross-entropy -------------------------------------------------------------------------
def _cross_entropy(lab: Lab) -> Case:
    rows, classes = lab.size(8192), lab.size(32000)
    x, target = lab.normal((rows, classes)), lab.integers(classes, (rows,))
    leaf, classes_of = lab.tensor(x, True), lab.tensor(target)

    def ours() -> Any:
        leaf.grad = None
        loss = F.cross_entropy(leaf, classes_of)
        loss.backward()
        return loss

    def check() -> list[Check]:
        lab.poison((x.shape, bfloat16), (x.shape, bfloat16))
        loss = ours()
        k, xp = lab.reference, lab.xp
        losses, shares = k.softmax_cross_entropy(*lab.wide(x), target, -100, 0.0)
        even = xp.full((rows,), 1 / rows, shares.dtype)
        gradient = k.softmax_cross_entropy_gradient(even, shares, target, -100, 0.0)
        return [
            Check("loss", worst(loss.array.reshape(1), losses.mean().reshape(1)), lab.half),
            Check("gradient", worst(gradient_of(leaf), gradient), lab.half),
        ]

    def theirs(compiled: bool) -> Any:
        inputs, classes_of = lab.torch_of(x, True), lab.torch_of(target)
        function = lab.torch.nn.functional.cross_entropy
        run = lab.compiled(function) if compiled else function

        def step() -> None:
            inputs.grad = None
            run(inputs, classes_of).backward()

        return step

    peers = {"torch": lambda: theirs(False), "torch-compile": lambda: theirs(True)}
    return Case(ours, peers, check, bytes=2.0 * x.nbytes)


# -- AdamW -----------------------------------------------------------------------------------------
def _adamw(lab: Lab) -> Case:
    """A step of all parameters; 16 bytes held for each, and as many again for PyTorch's."""
    wanted = lab.elements(10**9)
    count = 100
    each = int(min(wanted, lab.free_memory() / 40)) // count or 1
    parameters = [lab.normal((each,), float32) for _ in range(count)]
    gradients = [lab.normal((each,), float32) for _ in range(count)]
    leaves = [lab.tensor(p.copy(), True) for p in parameters]
    for leaf, g in zip(leaves, gradients, strict=True):
        leaf.grad = lab.tensor(g)
    options: dict[str, Any] = {"lr": 1e-3, "weight_decay": 1e-2}
    ours = optim.AdamW(leaves, **options)

    def check() -> list[Check]:
        """The first step and the second, of the first parameter and the last."""
        checks = []
        lr, decay, beta1, beta2 = 1e-3, 1e-2, 0.9, 0.999
        for _ in range(2):
            ours.step()
        for place in (0, count - 1):
            p, g = lab.wide(parameters[place], gradients[place])
            mean, square = g * 0, g * 0
            for step in (1, 2):
                mean = mean + (g - mean) * (1 - beta1)
                square = square * beta2 + g * g * (1 - beta2)
                spread = lab.xp.sqrt(square / (1 - beta2**step)) + 1e-8
                p = p * (1 - lr * decay) - lr / (1 - beta1**step) * mean / spread
            checks.append(Check(f"parameter {place}", worst(leaves[place].array, p), SINGLE))
        return checks

    def theirs() -> Any:
        held = [lab.torch_of(p, True) for p in parameters]
        for leaf, g in zip(held, gradients, strict=True):
            leaf.grad = lab.torch_of(g)
        return lab.torch.optim.AdamW(held, fused=True, **options).step

    total = each * count
    note = "" if total >= 0.99 * wanted else f"{total} parameters: no room for {wanted}"
    return Case(ours.step, {"torch": theirs}, check, bytes=28.0 * total, note=note)


# -- attention -------------------------------------------------------------------------------------
def _attention(lab: Lab) -> Case:
    heads, length, width = 32, lab.size(4096), 128
    batch = 4 if lab.scale == 1 else 1
    heads = heads if lab.scale == 1 else 2
    arrays = [lab.normal((batch, heads, length, width)) for _ in range(3)]
    q, k, v = (lab.tensor(array) for array in arrays)

    def ours() -> Any:
        with tfl.no_grad():
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def check() -> list[Check]:
        lab.poison((arrays[0].shape, bfloat16))
        found, checks = ours().array, []
        for place in ((0, 0), (batch - 1, heads - 1)):
            q, k, v = lab.wide(*[array[place][None] for array in arrays])
            reference = lab.reference.attention(q, k, v, True, width**-0.5, 0.0)[0]
            checks.append(Check(f"head {place}", worst(found[place][None], reference), lab.half))
        return checks

    def theirs() -> Any:
        q, k, v = [lab.torch_of(array) for array in arrays]
        function = lab.torch.nn.functional.scaled_dot_product_attention
        return lambda: function(q, k, v, is_causal=True)

    operations = 4.0 * batch * heads * length * length * width / 2
    return Case(ours, {"torch": theirs}, check, operations=operations)


# -- random numbers --------------------------------------------------------------------------------
def _random_normal(lab: Lab) -> Case:
    count = lab.elements(10**8)
    state = lab.xp.asarray(numpy.array([2**40 + 7, 0], dtypes.uint64))

    def ours() -> Any:
        return lab.k.random_normal(state, (count,), float32)

    def check() -> list[Check]:
        """The first numbers bit by bit; all by their mean and variance."""
        from tensorflowlite.backend import philox

        seed, stream = (int(number) for number in state.tolist())
        lab.poison(((count,), float32))
        found = ours()
        few = min(count, 4096)
        expected = lab.xp.asarray(philox.normal(seed, stream, few, float32))
        spread = count**-0.5
        mean, variance = (float(x) for x in (found.mean(dtype="f8"), found.var(dtype="f8")))
        return [
            Check("bits", float((found[:few] != expected).sum()), 0.0),
            Check("mean", abs(mean), 6 * spread),
            Check("variance", abs(variance - 1), 9 * spread),
        ]

    def theirs() -> Any:
        device = "cuda" if lab.on_gpu else "cpu"
        return lambda: lab.torch.randn(count, device=device)

    peers = {
        "torch": theirs,
        "cupy": lambda: lambda: lab.generator.standard_normal(count, dtype=float32),
    }
    return Case(ours, peers, check, bytes=4.0 * count)


# -- a whole step ----------------------------------------------------------------------------------
class _ByHand:
    """The same network and its AdamW step written out in array calls, without a tape."""

    def __init__(self, xp: Any, parameters: list[Any]) -> None:
        self.xp, self.parameters = xp, [p.copy() for p in parameters]
        self.means = [xp.zeros_like(p) for p in parameters]
        self.squares = [xp.zeros_like(p) for p in parameters]
        self.count = 0

    def gradients(self, x: Any, target: Any) -> tuple[Any, list[Any]]:
        xp = self.xp
        w1, b1, w2, b2 = self.parameters
        h = xp.maximum(x @ w1.T + b1, 0)
        z = h @ w2.T + b2
        z = z - z.max(1, keepdims=True)
        powers = xp.exp(z)
        total = powers.sum(1, keepdims=True)
        rows = xp.arange(len(x))
        loss = (xp.log(total)[:, 0] - z[rows, target]).mean()
        dz = powers / total
        dz[rows, target] -= 1
        dz /= len(x)
        dh = (dz @ w2) * (h > 0)
        return loss, [dh.T @ x, dh.sum(0), dz.T @ h, dz.sum(0)]

    def step(self, x: Any, target: Any) -> Any:
        loss, gradients = self.gradients(x, target)
        self.count += 1
        rate = 1e-3 / (1 - 0.9**self.count)
        correction = (1 - 0.999**self.count) ** 0.5
        states = zip(self.parameters, gradients, self.means, self.squares, strict=True)
        for p, g, mean, square in states:
            mean += (g - mean) * 0.1
            square *= 0.999
            square += g * g * 0.001
            p *= 1 - 1e-3 * 1e-2
            p -= mean / (self.xp.sqrt(square) / correction + 1e-8) * rate
        return loss


def _training_step(lab: Lab, recorded: bool = False) -> Case:
    """A step of a small MLP, where the host's share decides; recorded, it is a CUDA graph."""
    jit: Any = tfl.jit if recorded else lambda function: function
    rows, inputs, hidden, classes = lab.size(512), lab.size(784), lab.size(512), 10
    x, target = lab.normal((rows, inputs), float32), lab.integers(classes, (rows,))
    parameters = [
        lab.normal((hidden, inputs), float32, inputs**-0.5), lab.normal((hidden,), float32, 0.1),
        lab.normal((classes, hidden), float32, hidden**-0.5), lab.normal((classes,), float32, 0.1),
    ]  # fmt: skip
    model = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    model = model.to(lab.device)
    leaves = list(model.parameters())
    with tfl.no_grad():
        for leaf, p in zip(leaves, parameters, strict=True):
            leaf.copy_(lab.tensor(p))
    optimizer = optim.AdamW(leaves, lr=1e-3)
    images, labels = lab.tensor(x), lab.tensor(target)

    @jit
    def gradients() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    @jit
    def ours() -> None:
        gradients()
        optimizer.step()

    def check() -> list[Check]:
        wide = _ByHand(lab.xp, lab.wide(*parameters))
        loss, expected = wide.gradients(lab.wide(x)[0], target)
        for _ in range(_UNTIL_GRAPHS if recorded else 0):
            gradients()
        found = [gradients().array.reshape(1), *[gradient_of(leaf) for leaf in leaves]]
        for _ in range(_UNTIL_GRAPHS if recorded else 0):
            ours()
        names = ("loss", "dW1", "db1", "dW2", "db2")
        pairs = zip(names, found, [loss.reshape(1), *expected], strict=True)
        return [Check(name, worst(one, other), 1e-5) for name, one, other in pairs]

    def theirs(compiled: bool) -> Any:
        torch = lab.torch
        held = [lab.torch_of(p.copy(), True) for p in parameters]
        arrays = [lab.torch_of(array) for array in (x, target)]
        optimizer = torch.optim.AdamW(held, lr=1e-3, capturable=compiled and lab.on_gpu)

        def loss_of(x: Any, target: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
            f = torch.nn.functional
            return f.cross_entropy(f.linear(f.relu(f.linear(x, w1, b1)), w2, b2), target)

        run = lab.compiled(loss_of, mode="reduce-overhead") if compiled else loss_of
        update = lab.compiled(optimizer.step) if compiled else optimizer.step

        def step() -> None:
            optimizer.zero_grad()
            run(*arrays, *held).backward()
            update()

        return step

    def by_hand() -> Any:
        network = _ByHand(lab.xp, parameters)
        return lambda: network.step(x, target)

    peers = {
        "cupy": by_hand,
        "torch": lambda: theirs(False),
        "torch-compile": lambda: theirs(True),
    }
    return Case(ours, peers, check, hosted=True)


# -- the cost of a launch --------------------------------------------------------------------------
def _launch(lab: Lab) -> Case:
    """One of our kernels on a few elements, against a universal function of CuPy's."""
    if not lab.on_gpu:
        raise LeftOut("kernels are launched on GPUs")
    from tensorflowlite.backend.cuda.cupy_driver import CupyDriver
    from tensorflowlite.backend.cuda.kernels import Kernels

    kernels = Kernels(CupyDriver(lab.xp))
    z, out = lab.normal((64,), float32), lab.xp.empty((64,), float32)
    defines = {"TFL_TYPE": "float", "TFL_ACTIVATION": "tfl::Relu"}
    if not kernels.ready("bias_activation.cu", **defines):
        raise LeftOut("bias_activation.cu doesn't run on this device")
    arguments = (z, None, out, None, 64, 1, 1, 0.0)

    def ours() -> None:
        kernels.launch(
            "bias_activation.cu", "bias_activation_forward", defines, 1, 64, *arguments
        )

    def check() -> list[Check]:
        out.fill(float("nan"))
        ours()
        return [Check("out", worst(out, lab.xp.maximum(z, 0)), 0.0)]

    def theirs() -> Any:
        a, into = lab.torch_of(z), lab.torch_of(out)
        return lambda: lab.torch.add(a, a, out=into)

    peers = {"cupy": lambda: lambda: lab.xp.add(z, z, out=out), "torch": theirs}
    return Case(ours, peers, check, hosted=True)


def _operation(lab: Lab) -> Case:
    """A recorded operation on a few elements: the tape and the array library's call."""
    a, b = lab.normal((4, 4), float32), lab.normal((4, 4), float32)
    x, y = lab.tensor(a, True), lab.tensor(b, True)

    def check() -> list[Check]:
        return [Check("out", worst((x * y).array, a * b), 0.0)]

    def theirs() -> Any:
        one, other = lab.torch_of(a, True), lab.torch_of(b, True)
        return lambda: one * other

    peers = {"cupy": lambda: lambda: a * b, "torch": theirs}
    return Case(lambda: x * y, peers, check, hosted=True)


ROWS = [
    Row(
        "dact-db", "lone activation and bias gradient, GELU, 8192×14336 bf16", _lone,
        (Bar("copy", 0.90, 0.947),),
    ),
    Row(
        "swiglu-backward", "SwiGLU backward 8192×14336 bf16", _gated_backward,
        (Bar("copy", 0.90, 0.947), Bar("torch-compile", 1.0, 1.05)),
    ),
    Row(
        "layer-norm", "layer norm 16384×4096 bf16, forward", _norm_forward,
        (Bar("copy", 0.90, 0.95),),
    ),
    Row(
        "layer-norm-backward", "layer norm 16384×4096 bf16, backward", _norm_backward,
        (Bar("copy", 0.90, 0.95),),
    ),
    Row(
        "cross-entropy", "softmax cross-entropy 8192×32000 bf16, forward + backward",
        _cross_entropy, (Bar("copy", 0.90), Bar("torch", 1.0, 2.0)),
    ),
    Row(
        "adamw", "AdamW step, 10⁹ float32 parameters in 100 tensors", _adamw,
        (Bar("copy", 0.90, 0.945), Bar("torch", 1.0)),
    ),
    Row(
        "attention", "attention forward, causal, 4×32×4096×128 bf16", _attention,
        (Bar("operations", 350e12, 550e12), Bar("torch", 1.0)),
    ),
    Row("random-normal", "10⁸ normal random numbers, float32", _random_normal),
    Row(
        "training-step", "training step of an MLP 512×784-512-10, AdamW, eager", _training_step,
        (Bar("cupy", 5.0), Bar("torch", 2.0), Bar("torch-compile", 0.91)),
    ),
    Row(
        "training-step-jit", "the same step under jit, a CUDA graph",
        functools.partial(_training_step, recorded=True),
        (Bar("cupy", 5.0), Bar("torch", 2.0), Bar("torch-compile", 0.91)),
    ),
    Row("launch", "one launch of our launcher", _launch, (Bar("cupy", 1.0),)),
    Row("operation", "one recorded operation x * y on 4×4 float32", _operation),
]  # fmt: skip
