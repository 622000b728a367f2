"""Rows of the optimizers' update rules: two steps of each, into copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorflowlite.ops import optimizers as rules
from tests.op_table import Draw, Row, Sample

SHAPES = ((3, 4), (), (0, 2))


def samples(states: int) -> Callable[[Draw], Iterator[Sample]]:
    """Yield parameters, their gradients, and lists of states, which aren't negative."""

    def drawn(draw: Draw) -> Iterator[Sample]:
        def several() -> list[Any]:
            made = [draw(*shape) for shape in SHAPES]
            return [*made, draw(4, 3).T, draw.strided(2, 3)]

        kept = [[np.asarray(np.abs(a)) for a in several()] for _ in range(states)]
        yield Sample(several(), several(), kept)

    return drawn


def _copies(tensors: Any) -> Any:
    return [t.detach().clone() for t in tensors]


def stepped(rule: Any, options: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that makes two steps and returns parameters and states."""

    def run(parameters: Any, gradients: Any, states: Any) -> list[Any]:
        parameters, states = _copies(parameters), [_copies(kind) for kind in states]
        gradients = _copies(gradients)
        lr, step = rules.scalar_for(0.1, parameters[0]), rules.step_for(0, parameters[0])
        given = states if rule is rules.adam_step else [t for kind in states for t in kind]
        for _ in range(2):
            rule(lr, step, parameters, gradients, given, **options)
        return [*parameters, *[t for kind in states for t in kind]]

    return run


def sgd_reference(options: dict[str, Any]) -> Callable[..., Any]:
    momentum, damp = options.get("momentum", 0.0), options.get("dampening", 0.0)

    def run(parameters: Any, gradients: Any, states: Any) -> list[Any]:
        updated, buffers = [], []
        for p, gradient in zip(parameters, gradients, strict=True):
            kept = np.zeros_like(p)
            for step in range(2):
                g = -gradient if options.get("maximize") else gradient
                g = g + options.get("weight_decay", 0.0) * p
                kept = momentum * kept + (1 - damp) * g if step else g
                if momentum:
                    g = g + momentum * kept if options.get("nesterov") else kept
                p = p - 0.1 * g
            updated.append(p)
            buffers.append(kept)
        return updated + (buffers if momentum else [])

    return run


def adam_reference(options: dict[str, Any]) -> Callable[..., Any]:
    (b1, b2), eps = options["betas"], options["eps"]
    decay, decoupled = options.get("weight_decay", 0.0), options.get("decoupled", False)

    def run(parameters: Any, gradients: Any, states: Any) -> list[Any]:
        found: list[list[Any]] = [[] for _ in range(1 + len(states))]
        for p, gradient, m, v, *top in zip(parameters, gradients, *states, strict=True):
            for step in (1, 2):
                g = -gradient if options.get("maximize") else gradient
                if decoupled:
                    p = p * (1 - 0.1 * decay)
                else:
                    g = g + decay * p
                m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
                top = [np.maximum(one, v) for one in top]
                used = top[0] if top else v
                spread = np.sqrt(used / (1 - b2**step)) + eps
                p = p - 0.1 * (m / (1 - b1**step)) / spread
            for kind, value in zip(found, [p, m, v, *top], strict=True):
                kind.append(value)
        return [one for kind in found for one in kind]

    return run


def row(name: str, rule: Any, reference: Any, states: int, options: dict[str, Any]) -> Row:
    return Row(
        stepped(rule, options),
        reference(options),
        samples=samples(states),
        name=name,
        covers=(rule.__name__,),
        orders=0,
        dtypes=("float64", "float32", "float16", "bfloat16"),
        # Both steps round parameters and states; Adam divides by what was rounded.
        tolerance={"float64": 1e-11, "float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2},
    )


ADAM = {"betas": (0.5, 0.75), "eps": 1e-2}
rows = [
    row("sgd_step", rules.sgd_step, sgd_reference, 0, {"weight_decay": 0.1}),
    row("sgd_step momentum", rules.sgd_step, sgd_reference, 1,
        {"momentum": 0.5, "dampening": 0.25, "maximize": True}),
    row("sgd_step nesterov", rules.sgd_step, sgd_reference, 1, {"momentum": 0.5, "nesterov": True}),
    row("adam_step", rules.adam_step, adam_reference, 2, {**ADAM, "weight_decay": 0.1}),
    row("adam_step decoupled", rules.adam_step, adam_reference, 2,
        {**ADAM, "weight_decay": 0.1, "decoupled": True, "maximize": True}),
    row("adam_step amsgrad", rules.adam_step, adam_reference, 3, {**ADAM, "amsgrad": True}),
]  # fmt: skip
