"""Rows of the optimizers' update rules: two steps of each, into copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.ops import optimizers as rules
from tensorflowlite.ops.optimizers import scaling
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
        given = [t for kind in states for t in kind] if rule is rules.sgd_step else states
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


# -- the others: one step of each, by the textbook; `stepwise` makes two of them -----------------
def stepwise(one_step: Any, states: int) -> Callable[[dict[str, Any]], Callable[..., Any]]:
    """Return a maker of references of a rule: ``one_step(p, g, states, count, options)``."""

    def reference(o: dict[str, Any]) -> Callable[..., Any]:
        def run(parameters: Any, gradients: Any, kept: Any) -> list[Any]:
            found: list[list[Any]] = [[] for _ in range(1 + states)]
            for p, gradient, *own in zip(parameters, gradients, *kept, strict=True):
                for count in (1, 2):
                    g = -gradient if o["maximize"] else gradient
                    if o.get("decoupled"):
                        p = p * (1 - 0.1 * o["weight_decay"])
                    elif "decoupled" in o:
                        g = g + o["weight_decay"] * p
                    p, *own = one_step(p, g, own, count, o)
                for kind, value in zip(found, [p, *own], strict=True):
                    kind.append(value)
            return [one for kind in found for one in kind]

        return run

    return reference


def means(g: Any, m: Any, v: Any, o: dict[str, Any]) -> Any:
    b1, b2 = o["beta1"], o["beta2"]
    return b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g


def radam(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    m, v = means(g, *states, o)
    b1, b2 = o["beta1"], o["beta2"]
    longest = 2 / (1 - b2) - 1
    length = longest - 2 * t * b2**t / (1 - b2**t)
    step = 0.1 * m / (1 - b1**t)
    if length > 5:
        r = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        step = step * np.sqrt(r) * np.sqrt(1 - b2**t) / (np.sqrt(v) + o["eps"])
    return p - step, m, v


def adamax(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    m = o["beta1"] * states[0] + (1 - o["beta1"]) * g
    u = np.maximum(o["beta2"] * states[1], np.abs(g) + o["eps"])
    return p - 0.1 / (1 - o["beta1"] ** t) * m / u, m, u


def lion(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    (m,) = states
    direction = np.sign(o["beta1"] * m + (1 - o["beta1"]) * g)
    return p - 0.1 * direction, o["beta2"] * m + (1 - o["beta2"]) * g


def adagrad(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    total = states[0] + g * g
    return p - 0.1 / (1 + (t - 1) * o["lr_decay"]) * g / (np.sqrt(total) + o["eps"]), total


def adadelta(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    rho, eps = o["rho"], o["eps"]
    square = rho * states[0] + (1 - rho) * g * g
    delta = np.sqrt(states[1] + eps) / np.sqrt(square + eps) * g
    return p - 0.1 * delta, square, rho * states[1] + (1 - rho) * delta * delta


def rmsprop(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    share = o["alpha"]
    new = [share * states[0] + (1 - share) * g * g]
    variance = new[0]
    if o["centered"]:
        mean = share * states[-1] + (1 - share) * g
        variance = variance - mean**2
    step = g / (np.sqrt(variance) + o["eps"])
    if o["momentum"]:
        step = o["momentum"] * states[1] + step
        new.append(step)
    return p - 0.1 * step, *new, *([mean] if o["centered"] else [])


def rprop(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    before, size = states
    factor = np.where(g * before > 0, o["grow"], np.where(g * before < 0, o["shrink"], 1.0))
    size = np.clip(size * factor, o["least"], o["greatest"])
    g = np.where(g * before < 0, 0.0, g)
    return p - np.sign(g) * size, g, size


def lamb(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    m, v = means(g, *states, o)
    change = m / (1 - o["beta1"] ** t) / (np.sqrt(v / (1 - o["beta2"] ** t)) + o["eps"])
    change = change + o["weight_decay"] * p
    length, size = np.sqrt((p * p).sum()), np.sqrt((change * change).sum())
    return p - 0.1 * (length / size if length * size else 1.0) * change, m, v


def with_scalars(rule: Any, options: dict[str, Any], firsts: Any) -> Any:
    """Return two steps of a rule whose first states are numbers, by `stepped`."""

    def run(parameters: Any, gradients: Any, states: Any) -> list[Any]:
        numbers = [[rules.scalar_for(first, p) for p in parameters] for first in firsts]
        parameters, states = _copies(parameters), [_copies(kind) for kind in states]
        lr, step = rules.scalar_for(0.1, parameters[0]), rules.step_for(0, parameters[0])
        for _ in range(2):
            rule(lr, step, parameters, _copies(gradients), [*numbers, *states], **options)
        return [*parameters, *[t for kind in states for t in kind]]

    return run


def nadam(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    m, v = means(g, *states, o)
    mu = [o["beta1"] * (1 - 0.5 * 0.96 ** (i * o["momentum_decay"])) for i in range(4)]
    product = np.prod(mu[1 : t + 1])
    mean = mu[t + 1] * m / (1 - product * mu[t + 1]) + (1 - mu[t]) * g / (1 - product)
    return p - 0.1 * mean / (np.sqrt(v / (1 - o["beta2"] ** t)) + o["eps"]), m, v


def asgd(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    eta = 0.1 / (1 + o["lambd"] * 0.1 * (t - 1)) ** o["alpha"]
    mu = 1 / max(1, t - 1 - o["t0"])
    p = p * (1 - o["lambd"] * eta) - eta * g
    return p, states[0] + mu * (p - states[0])


def adafactor(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    share, size = t ** o["beta2_decay"], np.sqrt((p * p).sum() / max(p.size, 1))
    p = p * (1 - 0.1 * o["weight_decay"])
    rows, columns = [s * (1 - share) for s in states]
    rows, columns = (
        rows + share * (g * g).mean(-1, keepdims=True),
        columns + share * (g * g).mean(-2, keepdims=True),
    )
    square = rows @ columns / np.maximum(rows.mean(-2, keepdims=True), o["eps1"])
    u = g / np.sqrt(np.maximum(square, o["eps1"] ** 2))
    u = u / max(1.0, np.sqrt((u * u).mean()) / o["d"])
    return p - max(o["eps2"], size) * min(0.1, t**-0.5) * u, rows, columns


def adafactor_samples(draw: Draw) -> Iterator[Sample]:
    def several() -> list[Any]:
        return [draw(3, 4), draw(4, 3).T, draw.strided(2, 3), draw(2, 3, 2)]

    rows = [np.abs(draw(*a.shape[:-1], 1)) for a in several()]
    columns = [np.abs(draw(*a.shape[:-2], 1, a.shape[-1])) for a in several()]
    yield Sample(several(), several(), [rows, columns])


def muon(p: Any, g: Any, states: Any, t: int, o: dict[str, Any]) -> Any:
    mean = o["momentum"] * states[0] + (1 - o["momentum"]) * g
    x = (1 - o["momentum"]) * g + o["momentum"] * mean if o["nesterov"] else mean
    norm = np.sqrt((x * x).sum())
    # The polynomial of each step acts on the singular values alone.
    u, values, vh = np.linalg.svd(x / max(norm, o["eps"]), full_matrices=False)
    a, b, c = o["ns_coefficients"]
    for _ in range(o["ns_steps"]):
        values = a * values + b * values**3 + c * values**5
    rows, columns = p.shape
    scale = (
        0.2 * np.sqrt(max(rows, columns)) if o["adjust_lr_fn"] else np.sqrt(max(1, rows / columns))
    )
    return p * (1 - 0.1 * o["weight_decay"]) - 0.1 * scale * (u * values) @ vh, mean


def muon_samples(draw: Draw) -> Iterator[Sample]:
    def several() -> list[Any]:
        return [draw(3, 5), draw(5, 3).T, draw.strided(6, 3)]

    yield Sample(several(), several(), [several()])


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


def more(name: str, rule: Any, step: Any, states: int, options: dict[str, Any], firsts: Any = (),
         drawn: Any = None, tolerance: Any = None) -> Row:  # fmt: skip
    """Return the row of a rule whose reference is one step, made twice."""
    names = rule.options
    defaults = {"weight_decay": 0.0, "decoupled": False, "maximize": False}
    options = {**{k: v for k, v in defaults.items() if k in names}, **options}
    function = with_scalars(rule, options, firsts) if firsts else stepped(rule, options)
    return Row(
        function,
        stepwise(step, states)({"maximize": False, **options}),
        samples=drawn or samples(states),
        name=name,
        covers=(rule.__name__,),
        orders=0,
        dtypes=("float64", "float32"),
        # Two steps round parameters and states, and divide by what was rounded.
        tolerance=tolerance or {"float64": 1e-11, "float32": 1e-5},
        dtype_of=lambda name, _: np.dtype(name),
    )


BETAS = {"beta1": 0.5, "beta2": 0.75, "eps": 1e-2}
DECAY = {"weight_decay": 0.1}
AWAY = {**DECAY, "decoupled": True, "maximize": True}
FACTORS = {"beta2_decay": -0.8, "eps1": 1e-3, "eps2": 1e-3, "d": 1.0, "weight_decay": 0.1}
MUON = {"momentum": 0.5, "nesterov": True, "ns_coefficients": (3.4445, -4.775, 2.0315),
        "eps": 1e-7, "ns_steps": 5, "adjust_lr_fn": None, "weight_decay": 0.1}  # fmt: skip
# The iteration rounds to bfloat16, 2 to the -9, ten times a step; the step's length is 0.1.
ROUNDED = {"float64": 1e-2, "float32": 1e-2}


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
    more("nadam_step", rules.nadam_step, nadam, 2, {**BETAS, **DECAY, "momentum_decay": 0.1}, (1,)),
    more("nadam_step decoupled", rules.nadam_step, nadam, 2,
         {**BETAS, **AWAY, "momentum_decay": 0.1}, (1,)),
    more("radam_step", rules.radam_step, radam, 2, {**BETAS, **DECAY}),
    more("radam_step rectified", rules.radam_step, radam, 2,
         {**BETAS, **AWAY, "beta1": 0.9, "beta2": 0.9999}),
    more("adamax_step", rules.adamax_step, adamax, 2, {**BETAS, **DECAY, "maximize": True}),
    more("lion_step", rules.lion_step, lion, 1, {"beta1": 0.75, "beta2": 0.5, **AWAY}),
    more("adagrad_step", rules.adagrad_step, adagrad, 1, {"lr_decay": 0.5, "eps": 1e-2, **DECAY}),
    more("adadelta_step", rules.adadelta_step, adadelta, 2, {"rho": 0.75, "eps": 1e-2, **DECAY}),
    more("rmsprop_step", rules.rmsprop_step, rmsprop, 1,
         {"alpha": 0.75, "eps": 1e-2, "momentum": 0.0, "centered": False, **DECAY}),
    more("rmsprop_step momentum", rules.rmsprop_step, rmsprop, 2,
         {"alpha": 0.75, "eps": 1e-2, "momentum": 0.5, "centered": False, "maximize": True}),
    more("rprop_step", rules.rprop_step, rprop, 2,
         {"shrink": 0.5, "grow": 1.25, "least": 0.1, "greatest": 1.0}),
    more("asgd_step", rules.asgd_step, asgd, 1,
         {"lambd": 0.1, "alpha": 0.75, "t0": -1.0, **DECAY}, (0.1, 1.0)),
    more("lamb_step", rules.lamb_step, lamb, 2, {**BETAS, **DECAY, "maximize": False}),
    more("adafactor_step", rules.adafactor_step, adafactor, 2, FACTORS, drawn=adafactor_samples),
    more("muon_step", rules.muon_step, muon, 1, MUON, drawn=muon_samples, tolerance=ROUNDED),
    more("muon_step adjusted", rules.muon_step, muon, 1,
         {**MUON, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}, drawn=muon_samples,
         tolerance=ROUNDED),
]  # fmt: skip


# -- the loss scale --------------------------------------------------------------------------------
def unscaled(gradients: Any) -> list[Any]:
    gradients = _copies(gradients)
    found, scale = (
        tfl.full((), v, dtype="float32", device=gradients[0].device) for v in (0.0, 4.0)
    )
    scaling.unscale_gradients(found, scale, gradients)
    return [*gradients, found]


def unscaled_reference(gradients: Any) -> list[Any]:
    bad = any(not np.isfinite(g).all() for g in gradients)
    return [*[g / 4 for g in gradients], np.float32(bad)]


def unscaled_samples(draw: Draw) -> Iterator[Sample]:
    shapes = [np.asarray(draw(*shape)) for shape in SHAPES]
    several = [*shapes, draw(4, 3).T, draw.strided(2, 3)]
    yield Sample(several)
    spoilt = [several[0].copy(), several[1]]
    spoilt[0][1, 2] = np.nan
    yield Sample(spoilt)


def rescaled(scale: Any, tracker: Any, found: Any) -> list[Any]:
    scale, tracker, found = _copies((scale, tracker, found))
    scaling.update_scale(scale, tracker, found, 2.0, 0.5, 3)
    return [scale, tracker]


def rescaled_reference(scale: Any, tracker: Any, found: Any) -> list[Any]:
    if found:
        return [np.float32(scale / 2), np.zeros((), "int32")]
    if tracker < 2:
        return [np.float32(scale), tracker + np.int32(1)]
    grown = scale if scale == 2.0**127 else scale * 2  # twice that is infinite
    return [np.float32(grown), np.zeros((), "int32")]


def rescaled_samples(draw: Draw) -> Iterator[Sample]:
    for scale, tracker, found in ((8, 0, 0), (8, 2, 0), (8, 2, 1), (2.0**127, 2, 0)):
        yield Sample(
            np.array(scale, "float32"), np.array(tracker, "int32"), np.array(found, "float32")
        )


rows += [
    Row(unscaled, unscaled_reference, samples=unscaled_samples, name="unscale_gradients", orders=0,
        covers=("unscale_gradients",), dtypes=("float64", "float32", "complex128"),
        dtype_of=lambda name, found: found),
    Row(rescaled, rescaled_reference, samples=rescaled_samples, name="update_scale", orders=0,
        covers=("update_scale",), dtypes=("float32",)),
]  # fmt: skip
