"""The operations of the suite ``ops``: their data, and their code in PyTorch's and our names."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .contender_base import Outcome
from .cpu_data import Spec, generator, normal

# What has a gradient; `g` is the gradient of the output where that is no scalar.
LEAVES = {
    "gelu": ("x",), "layer_norm": ("x", "weight", "bias"), "cross_entropy": ("x",),
    "conv2d": ("x", "weight"), "softmax": ("x",), "attention": ("q", "k", "v"),
    "embedding": ("weight",), "max_pool2d": ("x",), "batch_norm": ("x", "weight", "bias"),
    "dropout": ("x",), "linear_relu": ("x", "weight", "bias"), "matmul": ("x", "y"), "sum": (),
    "adamw": (),
}  # fmt: skip


def leaves(spec: Spec) -> tuple[str, ...]:
    """Return the names of what needs a gradient."""
    return LEAVES[spec["op"]]


def shape_out(spec: Spec) -> tuple[int, ...] | None:
    """Return the shape of the gradient that an operation is given; None where it is given none."""
    op, shape = spec["op"], spec["shape"]
    if op in ("gelu", "layer_norm", "softmax", "attention", "batch_norm", "dropout"):
        return shape
    if op == "conv2d":
        size, _, height, width = shape
        return (size, spec["out"], height, width)  # padded so that the size stays
    if op == "max_pool2d":
        return (*shape[:2], shape[2] // 2, shape[3] // 2)
    if op == "embedding":
        return (spec["count"], shape[1])
    if op in ("linear_relu", "matmul"):
        return (shape[0], spec["out"])
    return None


def arrays(spec: Spec) -> dict[str, np.ndarray]:
    """Return an operation's data."""
    rng, op, shape = generator(spec), spec["op"], spec["shape"]
    found: dict[str, np.ndarray] = {}
    if op == "adamw":
        for place, one in enumerate(shape):
            found[f"p{place}"], found[f"g{place}"] = normal(rng, one), normal(rng, one, 0.1)
        return found
    if op == "attention":
        found = {name: normal(rng, shape) for name in "qkv"}
    elif op == "embedding":
        found["index"] = rng.integers(0, shape[0], spec["count"])
        found["weight"] = normal(rng, shape)
    else:
        found["x"] = normal(rng, shape)
    if op == "cross_entropy":
        found["target"] = rng.integers(0, shape[1], shape[0])
    elif op == "conv2d":
        side = spec["kernel"]
        scale = (shape[1] * side * side) ** -0.5
        found["weight"] = normal(rng, (spec["out"], shape[1], side, side), scale)
    elif op in ("layer_norm", "batch_norm"):
        width = shape[1]
        found["weight"], found["bias"] = 1 + normal(rng, (width,), 0.1), normal(rng, (width,), 0.1)
    elif op == "linear_relu":
        found["weight"] = normal(rng, (spec["out"], shape[1]), shape[1] ** -0.5)
        found["bias"] = normal(rng, (spec["out"],), 0.1)
    elif op == "matmul":
        found["y"] = normal(rng, (shape[1], spec["out"]), shape[1] ** -0.5)
    given = shape_out(spec)
    if given is not None:
        found["g"] = normal(rng, given)
    return found


def of_modules(lib: Any, spec: Spec) -> Callable[..., Any]:
    """Return an operation as a function of tensors named as its arrays."""
    f = lib.nn.functional
    padding = spec.get("kernel", 1) // 2
    return {
        "gelu": lambda x: f.gelu(x),
        "layer_norm": lambda x, weight, bias: f.layer_norm(x, x.shape[1:], weight, bias),
        "cross_entropy": lambda x, target: f.cross_entropy(x, target),
        "conv2d": lambda x, weight: f.conv2d(x, weight, padding=padding),
        "softmax": lambda x: f.softmax(x, -1),
        "attention": lambda q, k, v: f.scaled_dot_product_attention(q, k, v, is_causal=True),
        "embedding": lambda index, weight: f.embedding(index, weight),
        "max_pool2d": lambda x: f.max_pool2d(x, 2),
        "batch_norm": lambda x, weight, bias: f.batch_norm(
            x, None, None, weight, bias, training=True
        ),
        "dropout": lambda x: f.dropout(x, 0.5, training=True),
        "linear_relu": lambda x, weight, bias: f.relu(f.linear(x, weight, bias)),
        "matmul": lambda x, y: x @ y,
        "sum": lambda x: x.sum(0),
    }[spec["op"]]


def compared(spec: Spec, found: Outcome, data: dict[str, np.ndarray]) -> Outcome:
    """Return what contenders must agree on; of dropout that is what its mask doesn't decide.

    The share that it keeps, what it multiplies that with, and that the gradient went through the
    same mask.
    """
    if spec["op"] != "dropout":
        return found
    out, gradient = found["out"], found["gradient:x"]
    kept = out != 0
    scale = out[kept].astype(np.float64).sum() / data["x"][kept].astype(np.float64).sum()
    same = np.array_equal(gradient, np.where(kept, data["g"] * np.float32(2), np.float32(0)))
    return {
        "kept": np.array(kept.mean()), "out:scale": np.array(scale),
        "out:mask of the gradient": np.array(float(same)),
    }  # fmt: skip


def work(spec: Spec) -> tuple[float, float]:
    """Return the operations of the products and the bytes that must be touched, both ways."""
    op, shape = spec["op"], spec["shape"]
    if op == "adamw":
        return 0.0, 28.0 * sum(prod(one) for one in shape)
    count, given = prod(shape), prod(shape_out(spec) or (0,))
    passes = {
        # forward: x, out; backward: g, x or out, the gradient
        "gelu": 5, "layer_norm": 5, "softmax": 5, "batch_norm": 5,
        "cross_entropy": 3,  # x; x, the gradient
        "dropout": 4,  # x, out; g, the gradient: the mask is made again
        "sum": 1,
    }  # fmt: skip
    if op in passes:
        return 0.0, 4.0 * passes[op] * count
    if op == "max_pool2d":  # x, out; g, the gradient
        return 0.0, 4.0 * (2 * count + 2 * given)
    if op == "embedding":  # rows, out; g, and a gradient as large as the weight
        return 0.0, 4.0 * (3 * given + count)
    if op == "attention":  # causal: half of two products, and of five with the scores again
        *stack, length, width = shape
        return 7.0 * prod(stack) * length**2 * width, 4.0 * 8 * count
    inner = prod(shape[1:]) if op != "conv2d" else shape[1] * spec["kernel"] ** 2
    weight = inner * spec["out"]
    # x, weight, out; g, x, weight and two gradients
    return 6.0 * given * inner, 4.0 * (3 * count + 3 * weight + 2 * given)
