"""The contender NumPy: steps of perceptrons and some operations, derived and written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import cpu_data, cpu_functions
from .contender_base import STEPS, Case, LeftOut, Outcome
from .cpu_data import Spec

Array = np.ndarray


def numpy(threads: int) -> Numpy:
    """Return the contender; its BLAS reads the number of threads from the environment."""
    del threads
    return Numpy()


def _erf(x: Array) -> Array:
    try:
        from scipy import special
    except ImportError:
        raise LeftOut("NumPy has no erf, and SciPy isn't installed") from None
    return special.erf(x)


def _gelu(x: Array) -> tuple[Array, Array]:
    """Return GELU and its derivative."""
    share = np.float32(0.5) * (1 + _erf(x * np.float32(math.sqrt(0.5))))
    density = np.exp(x * x * np.float32(-0.5)) * np.float32(1 / math.sqrt(2 * math.pi))
    return x * share, share + x * density


def _relu(x: Array) -> tuple[Array, Array]:
    return np.maximum(x, 0), x > 0


def _cross_entropy(x: Array, target: Array) -> tuple[Array, Array]:
    """Return the mean loss and the gradient of the logits."""
    rows = np.arange(len(x))
    z = x - x.max(1, keepdims=True)
    powers = np.exp(z)
    total = powers.sum(1, keepdims=True)
    loss = (np.log(total)[:, 0] - z[rows, target]).mean()
    powers /= total
    powers[rows, target] -= 1
    powers /= np.float32(len(x))
    return loss, powers


def _mse(x: Array, target: Array) -> tuple[Array, Array]:
    difference = x - target
    return (difference * difference).mean(), difference * np.float32(2 / difference.size)


class _AdamW:
    """PyTorch's AdamW with its defaults, lr 1e-3, over a list of arrays."""

    def __init__(self, parameters: list[Array]) -> None:
        self.parameters, self.count = parameters, 0
        self.means = [np.zeros_like(p) for p in parameters]
        self.squares = [np.zeros_like(p) for p in parameters]

    def step(self, gradients: list[Array]) -> None:
        self.count += 1
        rate = np.float32(1e-3 / (1 - 0.9**self.count))
        correction = np.float32((1 - 0.999**self.count) ** 0.5)
        states = zip(self.parameters, gradients, self.means, self.squares, strict=True)
        for p, g, mean, square in states:
            mean += (g - mean) * np.float32(0.1)
            square *= np.float32(0.999)
            square += g * g * np.float32(0.001)
            p *= np.float32(1 - 1e-5)
            p -= mean / (np.sqrt(square) / correction + np.float32(1e-8)) * rate


class Numpy:
    """What a person would write without a framework."""

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def release(self) -> None:
        pass

    def build(self, spec: Spec) -> Case:
        if spec["kind"] == "step":
            if spec["model"] != "mlp":
                raise LeftOut("only perceptrons are written by hand")
            return self._mlp(spec)
        if spec["op"] == "adamw":
            return self._adamw(spec)
        if spec["op"] not in _OPERATIONS:
            raise LeftOut(f"no {spec['op']} written by hand")
        return self._operation(spec)

    def _mlp(self, spec: Spec) -> Case:
        weights, (x, target) = cpu_data.parameters(spec), cpu_data.batch(spec)
        loss_of = {"mse_loss": _mse, "cross_entropy": _cross_entropy}[spec["loss"]]
        activation = {"relu": _relu, "gelu": _gelu}[spec["activation"]]
        if activation is _gelu:
            _erf(np.zeros(1))  # tells now what is missing
        names, held = list(weights), [array.copy() for array in weights.values()]
        optimizer: _AdamW | None = None

        def gradients() -> tuple[Array, list[Array]]:
            inputs, slopes, h = [], [], x
            layers = list(zip(held[::2], held[1::2], strict=True))
            for place, (w, b) in enumerate(layers):
                inputs.append(h)
                h = h @ w.T
                h += b
                if place < len(layers) - 1:
                    h, slope = activation(h)
                    slopes.append(slope)
            loss, g = loss_of(h, target)
            found: list[Array] = []
            for place in reversed(range(len(layers))):
                found[:0] = [g.T @ inputs[place], g.sum(0)]
                if place:
                    g = g @ layers[place][0]
                    g *= slopes[place - 1]
            return loss, found

        def step() -> Array:
            assert optimizer is not None
            loss, found = gradients()
            optimizer.step(found)
            return loss

        def renew() -> None:
            nonlocal optimizer
            for p, array in zip(held, weights.values(), strict=True):
                p[...] = array
            optimizer = _AdamW(held)

        def outcome() -> Outcome:
            renew()
            first = gradients()[1]
            found = {f"gradient:{name}": g for name, g in zip(names, first, strict=True)}
            for place in range(STEPS):
                found[f"loss:{place}"] = np.array(step())
            return found | {
                f"parameter:{name}": p.copy() for name, p in zip(names, held, strict=True)
            }

        data = {**weights, "x": x, "target": target}
        return Case(step, outcome, cpu_data.digest(data), renew)

    def _operation(self, spec: Spec) -> Case:
        arrays, leaves = cpu_functions.arrays(spec), cpu_functions.leaves(spec)
        function = _OPERATIONS[spec["op"]]

        def call() -> Any:
            return function(**arrays)

        def outcome() -> Outcome:
            out, *gradients = call()
            found = {f"gradient:{name}": g for name, g in zip(leaves, gradients, strict=True)}
            return {"out": np.array(out), **found}

        if spec["op"] == "gelu":
            _erf(np.zeros(1))
        return Case(call, outcome, cpu_data.digest(arrays))

    def _adamw(self, spec: Spec) -> Case:
        arrays = cpu_functions.arrays(spec)
        places = range(len(arrays) // 2)
        gradients = [arrays[f"g{place}"] for place in places]
        optimizer = _AdamW([arrays[f"p{place}"].copy() for place in places])

        def outcome() -> Outcome:
            for _ in range(STEPS):
                optimizer.step(gradients)
            return {f"out:{place}": optimizer.parameters[place].copy() for place in places}

        return Case(lambda: optimizer.step(gradients), outcome, cpu_data.digest(arrays))


# -- operations: the output, then a gradient for each leaf -----------------------------------------
def _gelu_both(x: Array, g: Array) -> tuple[Array, ...]:
    out, slope = _gelu(x)
    slope *= g
    return out, slope


def _layer_norm(x: Array, weight: Array, bias: Array, g: Array) -> tuple[Array, ...]:
    centred = x - x.mean(1, keepdims=True)
    spread = 1 / np.sqrt((centred * centred).mean(1, keepdims=True) + np.float32(1e-5))
    centred *= spread
    out = centred * weight + bias
    gw = g * weight
    dx = gw - gw.mean(1, keepdims=True) - centred * (gw * centred).mean(1, keepdims=True)
    dx *= spread
    return out, dx, (g * centred).sum(0), g.sum(0)


def _softmax(x: Array, g: Array) -> tuple[Array, ...]:
    out = np.exp(x - x.max(1, keepdims=True))
    out /= out.sum(1, keepdims=True)
    return out, out * (g - (g * out).sum(1, keepdims=True))


def _linear_relu(x: Array, weight: Array, bias: Array, g: Array) -> tuple[Array, ...]:
    out = np.maximum(x @ weight.T + bias, 0)
    g = g * (out > 0)
    return out, g @ weight, g.T @ x, g.sum(0)


def _embedding(index: Array, weight: Array, g: Array) -> tuple[Array, ...]:
    gradient = np.zeros_like(weight)
    np.add.at(gradient, index, g)
    return weight[index], gradient


_OPERATIONS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "gelu": _gelu_both,
    "layer_norm": _layer_norm,
    "cross_entropy": _cross_entropy,
    "softmax": _softmax,
    "linear_relu": _linear_relu,
    "embedding": _embedding,
    "matmul": lambda x, y, g: (x @ y, g @ y.T, x.T @ g),
    "sum": lambda x: (x.sum(0),),
}
