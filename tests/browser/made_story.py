"""Stories made by hand: a small network whose gradients NumPy computes here, and large ones."""

from __future__ import annotations

import base64
import copy
from typing import Any

import numpy as np

SMALL = 64  # arrays of more elements have statistics alone


def number(x: float) -> float | str:
    if np.isnan(x):
        return "nan"
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    return float(str(np.float32(x)))


def array(value: Any, *, pictures: bool = True) -> dict[str, Any]:
    """Describe an array as a story does."""
    a = np.asarray(value, dtype=np.float32)
    found: dict[str, Any] = {"shape": list(a.shape), "dtype": "float32"}
    if a.size == 0:
        return found
    finite = a[np.isfinite(a)].astype(np.float64)
    for name, of in (("min", np.min), ("max", np.max), ("mean", np.mean), ("std", np.std)):
        found[name] = number(of(finite)) if finite.size else None
    found["norm"] = number(np.sqrt((finite**2).sum())) if finite.size else None
    found["zeros"] = float((a == 0).mean())
    found["nan"], found["inf"] = int(np.isnan(a).sum()), int(np.isinf(a).sum())
    if a.size <= SMALL:
        found["values"] = [number(x) for x in a.ravel()]
    elif pictures and finite.size:
        counts, edges = np.histogram(finite, 16)
        found["histogram"] = {
            "low": number(edges[0]), "high": number(edges[-1]), "counts": counts.tolist()
        }  # fmt: skip
        found["heat"] = heat(a.reshape(-1, a.shape[-1]))
    return found


def heat(a: np.ndarray) -> dict[str, Any]:
    rows, columns = min(16, a.shape[0]), min(16, a.shape[1])
    cells = np.array(
        [
            [part.mean() for part in np.array_split(band, columns, axis=1)]
            for band in np.array_split(a, rows, axis=0)
        ]
    )
    good = cells[np.isfinite(cells)]
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    scaled = np.rint((cells - low) / ((high - low) or 1.0) * 254)
    data = np.where(np.isfinite(cells), scaled, 255).astype(np.uint8).tobytes()
    return {
        "rows": rows, "columns": columns, "low": number(low), "high": number(high),
        "cells": base64.b64encode(data).decode(),
    }  # fmt: skip


class Recorder:
    """Writes down one iteration, value by value and call by call."""

    def __init__(self, index: int) -> None:
        self.values: list[dict[str, Any]] = []
        self.raw: list[np.ndarray] = []
        self.calls: list[dict[str, Any]] = []
        self.flows: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.index = index

    def value(self, kind: str, name: str, raw: Any, made_by: int | None = None) -> int:
        self.raw.append(np.asarray(raw))
        described = array(raw)
        self.values.append({"kind": kind, "name": name, "made_by": made_by, "array": described})
        return len(self.values) - 1

    def call(
        self, operation: str, module: int | None, source: int | None, inputs: dict[str, int],
        result: Any, *, recorded: bool = True, **attributes: str,
    ) -> int:  # fmt: skip
        """Record a call and return the value that it made."""
        at = len(self.calls)
        made = self.value("result", "", result, at)
        self.calls.append(
            {
                "operation": operation, "module": module, "source": source,
                "inputs": [{"name": name, "value": value} for name, value in inputs.items()],
                "outputs": [made], "attributes": attributes, "recorded": recorded,
                "phase": "forward", "pass": None,
            }
        )  # fmt: skip
        return made

    def flow(self, made: int, upstream: Any, **parts: tuple[str | None, Any, Any]) -> None:
        """Record what a call's backward step gives its inputs: kind of local, local, product."""
        at = self.values[made]["made_by"]
        call = self.calls[at]
        names = [one["name"] for one in call["inputs"]]
        found = []
        for name, (kind, local, product) in parts.items():
            position = names.index(name)
            described = None if kind is None else {"kind": kind, "array": array(local)}
            found.append(
                {
                    "input": position, "value": call["inputs"][position]["value"],
                    "local": described, "product": array(product),
                }
            )  # fmt: skip
        operation = call["operation"]
        self.flows.append(
            {"pass": 0, "call": at, "operation": operation, "upstream": array(upstream),
             "parts": found}
        )  # fmt: skip

    def done(self, root: int | None, loss: float | None) -> dict[str, Any]:
        passes = [] if root is None else [{"root": root, "create_graph": False}]
        return {
            "index": self.index, "loss": None if loss is None else number(loss),
            "values": self.values, "calls": self.calls, "passes": passes, "flows": self.flows,
            "updates": self.updates,
        }  # fmt: skip


MODULES = [
    {"path": "", "type": "Network", "parent": None, "parameters": 46},
    {"path": "hidden", "type": "Linear", "parent": 0, "parameters": 16},
    {"path": "residual", "type": "Linear", "parent": 0, "parameters": 20},
    {"path": "head", "type": "Linear", "parent": 0, "parameters": 10},
]
LINES = [
    ("network.py", 11, "forward", "h = tfl.tanh(self.hidden(x))"),
    ("network.py", 12, "forward", "y = self.residual(h) + h"),
    ("network.py", 13, "forward", "y = y * abs(h).detach()"),
    ("network.py", 14, "forward", "return self.head(y)"),
    ("train.py", 31, "step", "loss = tfl.cross_entropy(logits, target)"),
]
SOURCES = [
    dict(zip(("file", "line", "function", "text"), line, strict=True)) for line in LINES
]
LINEAR = [
    {"input": "x", "text": "g @ weight"},
    {"input": "weight", "text": "gᵀ @ x"},
    {"input": "bias", "text": "sum of g over the batch"},
]
OPERATIONS = {
    "linear": {"summary": "x @ weightᵀ + bias.", "formulas": LINEAR, "stands_for": None},
    "tanh": {
        "summary": "Hyperbolic tangent, elementwise.",
        "formulas": [{"input": "x", "text": "g − g·out²"}],
        "stands_for": None,
    },
    "add": {
        "summary": "x + y, elementwise.",
        "formulas": [{"input": "x", "text": "g"}, {"input": "y", "text": "g"}],
        "stands_for": None,
    },
    "multiply": {
        "summary": "x · y, elementwise.",
        "formulas": [{"input": "x", "text": "g · y"}, {"input": "y", "text": "g · x"}],
        "stands_for": None,
    },
    "abs": {
        "summary": "The absolute value, elementwise.",
        "formulas": [{"input": "x", "text": "g · sign(x)"}],
        "stands_for": None,
    },
    "detach": {"summary": "The same values, cut off the tape.", "formulas": [], "stands_for": None},
    "cross_entropy": {
        "summary": "The mean negative log-likelihood of the targets.",
        "formulas": [{"input": "logits", "text": "g · (softmax(logits) − onehot(target)) / n"}],
        "stands_for": "p = log_softmax(logits, axis=-1)\nloss = −mean(p[range(n), target])",
    },
}


def small_story(iterations: int = 3) -> dict[str, Any]:
    """A network of three linear layers with a residual and a branch that is cut off."""
    random = np.random.default_rng(3)
    x = np.array([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]])
    target = np.array([0, 1])
    shapes = {
        "hidden.weight": (4, 3), "hidden.bias": (4,), "residual.weight": (4, 4),
        "residual.bias": (4,), "head.weight": (2, 4), "head.bias": (2,),
    }  # fmt: skip
    parameters = {name: random.normal(0, 0.6, shape) for name, shape in shapes.items()}
    means = {name: np.zeros(shape) for name, shape in shapes.items()}
    squares = {name: np.zeros(shape) for name, shape in shapes.items()}
    story: dict[str, Any] = {
        "format": "tensorflowlite story", "version": 1, "library": "0.1.0",
        "title": "A residual network learns two points", "notes": [],
        "modules": copy.deepcopy(MODULES), "sources": copy.deepcopy(SOURCES),
        "operations": copy.deepcopy(OPERATIONS), "parameters": list(shapes),
        "iterations": [], "reasons": [],
    }  # fmt: skip
    for index in range(iterations):
        record = Recorder(index)
        gradients = _iteration(record, parameters, x, target)
        for name, gradient in gradients.items():
            _adamw(record, index + 1, name, parameters, gradient, means, squares)
        root = len(record.values) - 1
        story["iterations"].append(record.done(root, float(record.raw[root])))
    last = iterations - 1
    for name in shapes:
        call = {"hidden": 0, "residual": 2, "head": 7}[name.split(".")[0]]
        story["reasons"].append(
            {
                "parameter": name, "state": "healthy", "iteration": last, "call": call,
                "source": story["iterations"][last]["calls"][call]["source"],
                "sentence": "Its gradient is finite and of a usual size.",
                "path": [8, 7, 6, 3, call] if call < 7 else [8, 7],
            }
        )  # fmt: skip
    return story


def _iteration(
    record: Recorder, p: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray
) -> dict[str, np.ndarray]:
    inputs = record.value("input", "x", x)
    labels = record.value("constant", "target", target)
    at = {name: record.value("parameter", name, value) for name, value in p.items()}

    def linear(name: str, module: int, source: int, value: int) -> int:
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        named = {"x": value, "weight": at[f"{name}.weight"], "bias": at[f"{name}.bias"]}
        return record.call(
            "linear", module, source, named, record.raw[value] @ weight.T + bias
        )

    before = linear("hidden", 1, 0, inputs)
    h = record.call("tanh", 0, 0, {"x": before}, np.tanh(record.raw[before]))
    mapped = linear("residual", 2, 1, h)
    y = record.call("add", 0, 1, {"x": mapped, "y": h}, record.raw[mapped] + record.raw[h])
    size = record.call("abs", 0, 2, {"x": h}, np.abs(record.raw[h]))
    cut = record.call("detach", 0, 2, {"x": size}, record.raw[size], recorded=False)
    z = record.call("multiply", 0, 2, {"x": y, "y": cut}, record.raw[y] * record.raw[cut])
    logits = linear("head", 3, 3, z)
    e = np.exp(record.raw[logits] - record.raw[logits].max(axis=-1, keepdims=True))
    soft = e / e.sum(axis=-1, keepdims=True)
    rows = np.arange(len(target))
    loss = record.call(
        "cross_entropy", None, 4, {"logits": logits, "target": labels},
        -np.log(soft[rows, target]).mean(), reduction="'mean'",
    )  # fmt: skip

    gradients: dict[str, np.ndarray] = {}

    def linear_back(name: str, made: int, g: np.ndarray, *, to_input: bool) -> np.ndarray:
        call = record.calls[record.values[made]["made_by"]]
        value = record.raw[call["inputs"][0]["value"]]
        weight = p[f"{name}.weight"]
        out, width = g.shape[1], value.shape[1]
        by_x = np.kron(np.eye(len(value)), weight)
        by_weight = np.concatenate([np.kron(np.eye(out), row[None]) for row in value])
        by_bias = np.tile(np.eye(out), (len(value), 1))
        products = {"x": g @ weight, "weight": g.T @ value, "bias": g.sum(axis=0)}
        assert np.allclose(g.ravel() @ by_weight, products["weight"].ravel())
        assert by_weight.shape == (g.size, out * width)
        parts: dict[str, tuple[str | None, Any, Any]] = {}
        for part, local in (("x", by_x), ("weight", by_weight), ("bias", by_bias)):
            if part == "x" and not to_input:
                continue
            kind = "jacobian" if local.size <= SMALL else None
            parts[part] = (kind, local, products[part])
        record.flow(made, g, **parts)
        gradients[f"{name}.weight"] = products["weight"]
        gradients[f"{name}.bias"] = products["bias"]
        return products["x"]

    g = (soft - np.eye(2)[target]) / len(target)
    record.flow(loss, 1.0, logits=("jacobian", g.reshape(1, -1), g))
    g = linear_back("head", logits, g, to_input=True)
    local = record.raw[cut]
    record.flow(z, g, x=("elementwise", local, g * local))
    g = g * local
    record.flow(y, g, x=("elementwise", np.ones_like(g), g), y=("elementwise", np.ones_like(g), g))
    total = g + linear_back("residual", mapped, g, to_input=True)
    local = 1 - record.raw[h] ** 2
    record.flow(h, total, x=("elementwise", local, total * local))
    linear_back("hidden", before, total * local, to_input=False)
    return {name: gradients[name] for name in p}


def _adamw(
    record: Recorder, count: int, name: str, parameters: dict[str, np.ndarray], g: np.ndarray,
    means: dict[str, np.ndarray], squares: dict[str, np.ndarray],
) -> None:  # fmt: skip
    lr, first, second, eps, decay = 0.1, 0.9, 0.999, 1e-8, 0.01
    before, m, v = parameters[name], means[name], squares[name]
    means[name] = first * m + (1 - first) * g
    squares[name] = second * v + (1 - second) * g * g
    mean, square = means[name] / (1 - first**count), squares[name] / (1 - second**count)
    step = -lr * mean / (np.sqrt(square) + eps) - lr * decay * before
    parameters[name] = before + step
    fresh = count == 1
    value = next(i for i, one in enumerate(record.values) if one["name"] == name)
    record.updates.append(
        {
            "parameter": name, "value": value, "optimizer": "AdamW",
            "settings": {"lr": lr, "betas": [first, second], "eps": eps, "weight_decay": decay},
            "before": array(before), "gradient": array(g),
            "slots": [
                {"name": "exp_avg", "before": None if fresh else array(m),
                 "after": array(means[name])},
                {"name": "exp_avg_sq", "before": None if fresh else array(v),
                 "after": array(squares[name])},
            ],
            "step": array(step), "after": array(parameters[name]),
        }
    )  # fmt: skip


def large_story(calls: int = 5000, *, modules: bool = True, width: int = 48) -> dict[str, Any]:
    """A chain of blocks of four calls, each with a residual; its arrays are drawn at random."""
    random = np.random.default_rng(1)
    pool = [array(random.normal(0, 10.0**-k, (width, width)), pictures=k < 2) for k in range(4)]
    bare = [
        {k: v for k, v in one.items() if k not in ("histogram", "heat")} for one in pool
    ]  # fmt: skip
    blocks = max(calls // 4, 1)
    tree: list[dict[str, Any]] = [{"path": "", "type": "Deep", "parent": None, "parameters": 0}]
    values = [{"kind": "input", "name": "x", "made_by": None, "array": pool[0]}]
    made: list[dict[str, Any]] = []
    flows: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    names: list[str] = []

    def call(operation: str, module: int | None, **inputs: int) -> int:
        values.append({"kind": "result", "name": "", "made_by": len(made), "array": bare[0]})
        made.append(
            {
                "operation": operation, "module": module, "source": None,
                "inputs": [{"name": k, "value": v} for k, v in inputs.items()],
                "outputs": [len(values) - 1], "attributes": {}, "recorded": True,
                "phase": "forward", "pass": None,
            }
        )  # fmt: skip
        return len(values) - 1

    now = 0
    for block in range(blocks):
        stage, inner = block // 10, len(tree)
        if modules:
            if block % 10 == 0:
                tree.append(
                    {"path": f"stages.{stage}", "type": "Stage", "parent": 0, "parameters": 0}
                )
                inner += 1
            parent = next(i for i, m in enumerate(tree) if m["path"] == f"stages.{stage}")
            path = f"stages.{stage}.{block % 10}"
            size = width * width
            tree.append({"path": path, "type": "Block", "parent": parent, "parameters": size})
        home = inner if modules else None
        name = f"stages.{stage}.{block % 10}.weight"
        names.append(name)
        values.append({"kind": "parameter", "name": name, "made_by": None, "array": pool[0]})
        weight = len(values) - 1
        a = call("layer_norm", home, x=now)
        b = call("linear", home, x=a, weight=weight)
        c = call("gelu", home, x=b)
        now = call("add", home, x=c, y=now)
    root = call("mean", None, x=now)
    values[root]["array"] = array(0.7)
    for at in range(len(made) - 1, -1, -1):
        depth = min((len(made) - at) * 4 // len(made), 3)
        parts = [
            {"input": i, "value": one["value"], "local": None, "product": bare[depth]}
            for i, one in enumerate(made[at]["inputs"])
            if one["value"] != 0
        ]
        flows.append(
            {"pass": 0, "call": at, "operation": made[at]["operation"],
             "upstream": bare[depth], "parts": parts}
        )  # fmt: skip
    for name in names:
        value = next(i for i, v in enumerate(values) if v["name"] == name)
        updates.append(
            {
                "parameter": name, "value": value, "optimizer": "SGD", "settings": {"lr": 0.01},
                "before": pool[0], "gradient": pool[1], "slots": [], "step": bare[2],
                "after": pool[0],
            }
        )  # fmt: skip
    iteration = {
        "index": 0, "loss": 0.7, "values": values, "calls": made,
        "passes": [{"root": root, "create_graph": False}], "flows": flows, "updates": updates,
    }  # fmt: skip
    return {
        "format": "tensorflowlite story", "version": 1, "library": "0.1.0",
        "title": f"A chain of {len(made)} operations",
        "notes": ["Values of large tensors are left out to keep the page small."],
        "modules": tree if modules else [], "sources": [], "operations": OPERATIONS,
        "parameters": names, "iterations": [iteration],
        "reasons": [
            {"parameter": name, "state": "vanished" if i < 3 else "healthy", "iteration": 0,
             "sentence": "Its gradient is a thousandth of its neighbours'." if i < 3
             else "Its gradient is finite and of a usual size.",
             "call": 4 * i + 1, "source": None, "path": list(range(len(made) - 1, 4 * i, -1))[:50]}
            for i, name in enumerate(names)
        ],
    }  # fmt: skip
