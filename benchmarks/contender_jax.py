"""The contender JAX: the same networks and operations as functions under jit, buffers donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import cpu_data, cpu_functions
from .contender_base import STEPS, Case, LeftOut, Outcome
from .cpu_data import Spec


def jax(threads: int) -> Jax:
    """Return the contender; XLA has as many threads as the process may use cores."""
    del threads
    try:
        import jax
    except ImportError:
        raise LeftOut("JAX isn't installed") from None
    return Jax(jax)


class Jax:
    """Steps and operations as jitted functions of dictionaries of arrays."""

    def __init__(self, jax: Any) -> None:
        self.jax, self.np, self.nn, self.lax = jax, jax.numpy, jax.nn, jax.lax

    def versions(self) -> dict[str, str]:
        return {"jax": str(self.jax.__version__), "numpy": np.__version__}

    def release(self) -> None:
        pass

    def build(self, spec: Spec) -> Case:
        if spec["kind"] == "step":
            return self._step(spec)
        if spec["op"] == "adamw":
            return self._adamw(spec)
        return self._operation(spec)

    def _ready(self, tree: Any) -> Any:
        return self.jax.block_until_ready(tree)

    # -- layers ------------------------------------------------------------------------------------
    def _linear(self, p: dict[str, Any], name: str, x: Any) -> Any:
        y = x @ p[f"{name}.weight"].T
        return y + p[f"{name}.bias"] if f"{name}.bias" in p else y

    def _gelu(self, x: Any) -> Any:
        return self.nn.gelu(x, approximate=False)

    def _layer_norm(self, x: Any, weight: Any, bias: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        spread = self.lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
        return (x - mean) * spread * weight + bias

    def _conv(self, x: Any, weight: Any) -> Any:
        numbers = ("NCHW", "OIHW", "NCHW")
        side = weight.shape[-1] // 2
        padding = ((side, side), (side, side))
        return self.lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=numbers)

    def _pool(self, x: Any) -> Any:
        window = (1, 1, 2, 2)
        return self.lax.reduce_window(x, -np.inf, self.lax.max, window, window, "VALID")

    def _attention(self, q: Any, k: Any, v: Any) -> Any:
        length = q.shape[-2]
        scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
        seen = self.np.tril(self.np.ones((length, length), bool))
        return self.nn.softmax(self.np.where(seen, scores, -np.inf), -1) @ v

    def _cross_entropy(self, x: Any, target: Any) -> Any:
        logs = self.nn.log_softmax(x, -1)
        return -self.np.take_along_axis(logs, target[:, None], 1).mean()

    # -- networks ----------------------------------------------------------------------------------
    def _mlp(self, p: dict[str, Any], x: Any, spec: Spec) -> Any:
        activation = {"relu": self.nn.relu, "gelu": self._gelu}[spec["activation"]]
        last = len(spec["widths"]) - 2
        for place in range(last):
            x = activation(self._linear(p, str(2 * place), x))
        return self._linear(p, str(2 * last), x)

    def _cnn(self, p: dict[str, Any], x: Any, _: Spec) -> Any:
        for name in ("0", "3"):
            bias = p[f"{name}.bias"][:, None, None]
            x = self._pool(self.nn.relu(self._conv(x, p[f"{name}.weight"]) + bias))
        x = self.nn.relu(self._linear(p, "7", x.reshape(len(x), -1)))
        return self._linear(p, "9", x)

    def _gpt(self, p: dict[str, Any], tokens: Any, spec: Spec) -> Any:
        batch, length = tokens.shape
        heads = (batch, length, spec["heads"], spec["width"] // spec["heads"])

        def norm(name: str, x: Any) -> Any:
            return self._layer_norm(x, p[f"{name}.weight"], p[f"{name}.bias"])

        x = p["token.weight"][tokens] + p["position.weight"][:length]
        for layer in range(spec["layers"]):
            name = f"blocks.{layer}"
            parts = self.np.split(self._linear(p, f"{name}.qkv", norm(f"{name}.norm1", x)), 3, -1)
            q, k, v = (part.reshape(heads).swapaxes(1, 2) for part in parts)
            y = self._attention(q, k, v).swapaxes(1, 2).reshape(x.shape)
            x = x + self._linear(p, f"{name}.project", y)
            up = self._gelu(self._linear(p, f"{name}.up", norm(f"{name}.norm2", x)))
            x = x + self._linear(p, f"{name}.down", up)
        return self._linear(p, "head", norm("norm", x)).reshape(-1, spec["vocabulary"])

    # -- whole steps -------------------------------------------------------------------------------
    def _update(self, state: Any, gradients: Any) -> Any:
        """AdamW with PyTorch's defaults, lr 1e-3."""
        parameters, means, squares, count = state
        count = count + 1
        tree = self.jax.tree.map
        means = tree(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
        squares = tree(lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients)
        # 1 - 0.999 ** count would lose half of its digits to cancellation.
        one, two = (-self.np.expm1(count * np.float32(np.log(beta))) for beta in (0.9, 0.999))

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p * (1 - 1e-5) - 1e-3 * (m / one) / (self.np.sqrt(v / two) + 1e-8)

        return tree(moved, parameters, means, squares), means, squares, count

    def _held(self, weights: dict[str, np.ndarray]) -> dict[str, Any]:
        return {name: self.np.array(array) for name, array in weights.items()}

    def _start(self, parameters: dict[str, Any]) -> Any:
        zeros = [{name: self.np.zeros_like(p) for name, p in parameters.items()} for _ in range(2)]
        return self._ready((parameters, *zeros, self.np.zeros((), np.float32)))

    def _step(self, spec: Spec) -> Case:
        weights, (x, target) = cpu_data.parameters(spec), cpu_data.batch(spec)
        network = {"mlp": self._mlp, "cnn": self._cnn, "gpt": self._gpt}[spec["model"]]
        inputs, targets = self.np.array(x), self.np.array(target)

        def loss_of(parameters: Any, x: Any, target: Any) -> Any:
            out = network(parameters, x, spec)
            if spec["loss"] == "mse_loss":
                return ((out - target) ** 2).mean()
            return self._cross_entropy(out, target)

        gradients = self.jax.value_and_grad(loss_of)

        def advance(state: Any, x: Any, target: Any) -> Any:
            loss, found = gradients(state[0], x, target)
            return loss, self._update(state, found)

        run = self.jax.jit(advance, donate_argnums=(0,))
        parameters: Any = self._held(weights)
        state: Any = None

        def step() -> Any:
            nonlocal state
            loss, state = self._ready(run(state, inputs, targets))
            return loss

        def renew() -> None:
            nonlocal parameters, state
            state = None
            state = self._start(parameters or self._held(weights))
            parameters = None  # donated by the first step

        def outcome() -> Outcome:
            renew()
            _, first = self.jax.jit(gradients)(state[0], inputs, targets)
            found = {f"gradient:{name}": np.array(g) for name, g in first.items()}
            for place in range(STEPS):
                found[f"loss:{place}"] = np.array(step())
            for name, p in state[0].items():
                found[f"parameter:{name}"] = np.array(p)
            return found

        data = {**weights, "x": x, "target": target}
        return Case(step, outcome, cpu_data.digest(data), renew)

    # -- operations --------------------------------------------------------------------------------
    def _function(self, spec: Spec) -> Callable[..., Any]:
        jnp, nn = self.np, self.nn

        def batch_norm(x: Any, weight: Any, bias: Any) -> Any:
            mean = x.mean((0, 2, 3), keepdims=True)
            spread = self.lax.rsqrt(((x - mean) ** 2).mean((0, 2, 3), keepdims=True) + 1e-5)
            return (x - mean) * spread * weight[:, None, None] + bias[:, None, None]

        found: dict[str, Callable[..., Any]] = {
            "gelu": lambda x: self._gelu(x),
            "layer_norm": self._layer_norm,
            "cross_entropy": self._cross_entropy,
            "conv2d": self._conv,
            "softmax": lambda x: nn.softmax(x, -1),
            "attention": self._attention,
            "embedding": lambda index, weight: weight[index],
            "max_pool2d": lambda x: self._pool(x),
            "batch_norm": batch_norm,
            "linear_relu": lambda x, weight, bias: nn.relu(x @ weight.T + bias),
            "matmul": lambda x, y: x @ y,
            "sum": lambda x: jnp.sum(x, 0),
        }
        if spec["op"] not in found:
            raise LeftOut(f"no {spec['op']} written for it")
        return found[spec["op"]]

    def _operation(self, spec: Spec) -> Case:
        function = self._function(spec)
        arrays = cpu_functions.arrays(spec)
        tensors = {name: self.np.array(array) for name, array in arrays.items()}
        seed = tensors.pop("g", None)
        leaves = {name: tensors.pop(name) for name in cpu_functions.leaves(spec)}

        def both(leaves: Any, rest: Any, seed: Any) -> Any:
            out, pull = self.jax.vjp(lambda leaves: function(**leaves, **rest), leaves)
            if not leaves:
                return out, {}
            return out, pull(self.np.ones((), np.float32) if seed is None else seed)[0]

        run = self.jax.jit(both)

        def call() -> Any:
            return self._ready(run(leaves, tensors, seed))

        def outcome() -> Outcome:
            out, gradients = call()
            found = {f"gradient:{name}": np.array(g) for name, g in gradients.items()}
            return {"out": np.array(out), **found}

        return Case(call, outcome, cpu_data.digest(arrays))

    def _adamw(self, spec: Spec) -> Case:
        arrays = cpu_functions.arrays(spec)
        count = len(arrays) // 2
        places = [str(place) for place in range(count)]
        held = [self._start(self._held({place: arrays[f"p{place}"] for place in places}))]
        gradients = {place: self.np.array(arrays[f"g{place}"]) for place in places}
        run = self.jax.jit(self._update, donate_argnums=(0,))

        def call() -> None:
            held[0] = self._ready(run(held[0], gradients))

        def outcome() -> Outcome:
            for _ in range(STEPS):
                call()
            return {f"out:{place}": np.array(held[0][0][place]) for place in places}

        return Case(call, outcome, cpu_data.digest(arrays))
