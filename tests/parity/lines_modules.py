"""Modules, containers and parameters that both libraries know; see `surface.Line`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .surface import Constant, Line, script

RNG = np.random.default_rng(41)
LINES: list[Line] = []


def draw(*shape: int) -> Any:
    return np.asarray(RNG.normal(size=shape))


def say(name: str, run: Any, *arrays: Any) -> None:
    LINES.append(script(f"nn.{name}", run, *arrays))


def filled(kit: Any, module: Any, like: Any) -> Any:
    """Return a module of a tensor's dtype whose parameters hold known numbers."""
    module = module.to(like.dtype)
    with kit.no_grad():
        for i, parameter in enumerate(module.parameters()):
            count = np.prod(parameter.shape, dtype=int)
            numbers = 0.5 * np.sin(1.0 + i + 1.7 * np.arange(count)).reshape(tuple(parameter.shape))
            parameter.copy_(kit.tensor(numbers))
    return module


def outcome(kit: Any, module: Any, *inputs: Any, by: Any = None, **options: Any) -> list[Any]:
    """Return what a module gives, and the gradients of its parameters."""
    like = by if by is not None else inputs[0]
    module = filled(kit, module, like)
    found = module(*inputs, **options)
    outputs = tensors(found)
    total = sum([(y * y * y).sum() for y in outputs], outputs[0].sum())
    parameters = list(module.parameters())
    gradients = kit.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
    return [outputs, list(gradients), list(module.state_dict())]


def tensors(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [one for part in value for one in tensors(part)]
    return [] if value is None else [value]


# -- layers ----------------------------------------------------------------------------------------
INDICES = np.array([[0, 2, 5], [2, 2, 1]])
for options in ({}, {"padding_idx": 2}, {"max_norm": 0.5}, {"scale_grad_by_freq": True}):
    say("Embedding", lambda kit, i, x, o=options: outcome(
        kit, kit.nn.Embedding(6, 3, **o), i, by=x), INDICES, draw(1))  # fmt: skip
for options in ({}, {"bias": False}):
    for batch in ((4,), ()):
        say("GRUCell", lambda kit, x, h, o=options: outcome(kit, kit.nn.GRUCell(3, 5, **o), x, h),
            draw(*batch, 3), draw(*batch, 5))  # fmt: skip
        say("RNNCell", lambda kit, x, h, o=options: outcome(
            kit, kit.nn.RNNCell(3, 5, nonlinearity="relu", **o), x, h),
            draw(*batch, 3), draw(*batch, 5))  # fmt: skip
        say("LSTMCell", lambda kit, x, h, c, o=options: outcome(
            kit, kit.nn.LSTMCell(3, 5, **o), x, (h, c)),
            draw(*batch, 3), draw(*batch, 5), draw(*batch, 5))  # fmt: skip
for options in ({}, {"batch_first": True}, {"kdim": 6, "vdim": 10}, {"bias": False},
                {"add_bias_kv": True}, {"add_zero_attn": True}):  # fmt: skip
    for call in ({}, {"need_weights": False}, {"average_attn_weights": False}):
        say("MultiheadAttention", lambda kit, q, k, v, o=options, c=call: outcome(
            kit, kit.nn.MultiheadAttention(8, 2, **o), q, k, v, **c),
            draw(5, 2, 8), draw(5, 2, options.get("kdim", 8)),
            draw(5, 2, options.get("vdim", 8)))  # fmt: skip
SIZES = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
for options in ({}, {"norm_first": True, "activation": "gelu"}, {"bias": False}):
    say("TransformerEncoderLayer", lambda kit, x, o=options: outcome(
        kit, kit.nn.TransformerEncoderLayer(**SIZES, **o), x), draw(5, 2, 8))  # fmt: skip
    say("TransformerDecoderLayer", lambda kit, x, m, o=options: outcome(
        kit, kit.nn.TransformerDecoderLayer(**SIZES, **o), x, m),
        draw(5, 2, 8), draw(7, 2, 8))  # fmt: skip
    say("TransformerEncoder", lambda kit, x, o=options: outcome(kit, kit.nn.TransformerEncoder(
        kit.nn.TransformerEncoderLayer(**SIZES, **o), 2, enable_nested_tensor=False), x),
        draw(5, 2, 8))  # fmt: skip
    say("TransformerDecoder", lambda kit, x, m, o=options: outcome(kit, kit.nn.TransformerDecoder(
        kit.nn.TransformerDecoderLayer(**SIZES, **o), 2, kit.nn.LayerNorm(8)), x, m),
        draw(5, 2, 8), draw(7, 2, 8))  # fmt: skip
    say("Transformer", lambda kit, x, y, o=options: outcome(kit, kit.nn.Transformer(
        **SIZES, num_encoder_layers=1, num_decoder_layers=2, **o), x, y),
        draw(5, 2, 8), draw(4, 2, 8))  # fmt: skip
for options in ({}, {"blank": 4}, {"reduction": "sum"}, {"reduction": "none"},
                {"zero_infinity": True}):  # fmt: skip
    say(
        "CTCLoss",
        lambda kit, x, t, o=options: kit.nn.CTCLoss(**o)(x.log_softmax(-1), t, (6, 5), (3, 2)),
        draw(6, 2, 5),
        np.array([[1, 2, 2], [3, 1, 1]]),
    )
# -- modules and containers ------------------------------------------------------------------------
say(
    "Sequential",
    lambda kit, x: outcome(
        kit, kit.nn.Sequential(kit.nn.Linear(4, 3), kit.nn.Tanh(), kit.nn.Linear(3, 2)), x
    ),
    draw(5, 4),
)
say("Sequential", lambda kit: (lambda layers: [
    len(layers), str(layers), type(layers[-1]).__name__, len(layers[1:]), len(layers[:2]),
    [type(layer).__name__ for layer in layers], type(layers.append(kit.nn.ReLU())).__name__,
    len(layers), type(layers.insert(0, kit.nn.Identity())[0]).__name__, len(layers),
    type(layers.pop(0)).__name__, len(layers.extend([kit.nn.Tanh()])), len(layers + layers),
    len(layers * 2), str(layers),
])(kit.nn.Sequential(kit.nn.Linear(4, 3), kit.nn.Tanh(), kit.nn.Linear(3, 2))))  # fmt: skip
say("ModuleList", lambda kit: (lambda layers: [
    len(layers), type(layers[1]).__name__, len(layers[:1]), len(layers.append(kit.nn.ReLU())),
    len(layers.extend([kit.nn.GELU()])), [layers.insert(0, kit.nn.Identity()), len(layers)][1],
    type(layers.pop(0)).__name__, list(layers.state_dict()), str(layers), len(layers + layers),
    [name for name, _ in layers.named_modules()], kit.nn.Tanh in [type(one) for one in layers],
])(kit.nn.ModuleList([kit.nn.Linear(2, 2), kit.nn.Tanh()])))  # fmt: skip
say("ModuleDict", lambda kit: (lambda layers: [
    len(layers), list(layers), list(layers.keys()), "b" in layers, type(layers["b"]).__name__,
    [type(one).__name__ for one in layers.values()], [key for key, _ in layers.items()],
    layers.update({"c": kit.nn.ReLU()}), type(layers.pop("b")).__name__, list(layers.state_dict()),
    str(layers), layers.clear(), len(layers),
])(kit.nn.ModuleDict({"a": kit.nn.Linear(2, 2), "b": kit.nn.Tanh()})))  # fmt: skip
say("Parameter", lambda kit, x: (lambda p: [
    p, p.requires_grad, p.is_leaf, isinstance(p, kit.nn.Parameter),
    isinstance(x, kit.nn.Parameter), kit.nn.Parameter(x, requires_grad=False).requires_grad,
])(kit.nn.Parameter(x.detach())), draw(2, 3))  # fmt: skip
say("ParameterList", lambda kit, x: (lambda held: [
    len(held), list(held.state_dict()), [list(one.shape) for one in held], held[1],
    len(held.append(x.detach())), len(held.extend([x.detach()])), str(len(held[:2])),
    sum(one.requires_grad for one in held.parameters()),
])(kit.nn.ParameterList([kit.nn.Parameter(x.detach()), x.detach() * 2])), draw(2))  # fmt: skip
say("ParameterDict", lambda kit, x: (lambda held: [
    len(held), list(held), list(held.state_dict()), held["b"], "a" in held, list(held.keys()),
    [list(one.shape) for one in held.values()], held.pop("a"), len(held),
    held.update({"c": x.detach()}), list(held), held.get("z"), str(held.setdefault("b", x) is x),
])(kit.nn.ParameterDict({"a": kit.nn.Parameter(x.detach()), "b": x.detach() * 2})),
    draw(2))  # fmt: skip


def block(kit: Any) -> Any:
    class Block(kit.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = kit.nn.Linear(4, 3)
            self.norm = kit.nn.BatchNorm1d(3)
            self.scale = kit.nn.Parameter(kit.ones(3))
            self.register_buffer("offset", kit.zeros(3))
            self.register_buffer("hidden", kit.zeros(2), persistent=False)
            self.register_parameter("none", None)

        def forward(self, x: Any) -> Any:
            return self.norm(self.first(x)) * self.scale + self.offset

    return Block()


say("Module", lambda kit, x: [isinstance(block(kit), kit.nn.Module), outcome(kit, block(kit), x)],
    draw(5, 4))  # fmt: skip
say("Module", lambda kit: (lambda module: [
    isinstance(module, kit.nn.Module), str(module), [*module.state_dict()],
    [name for name, _ in module.named_parameters()], [name for name, _ in module.named_buffers()],
    [name for name, _ in module.named_modules()], [name for name, _ in module.named_children()],
    [name for name, _ in module.named_parameters(recurse=False)],
    [type(one).__name__ for one in module.modules()], module.training,
    module.eval().training, module.norm.training, module.train().norm.training,
    module.requires_grad_(False).scale.requires_grad, module.double().scale.dtype,
    module.norm.num_batches_tracked.dtype, type(module.get_submodule("norm")).__name__,
    list(module.get_parameter("first.weight").shape), list(module.get_buffer("offset").shape),
    module.apply(lambda one: None) is module, hasattr(module, "missing"), module.none,
    module.zero_grad(), module.half().first.bias.dtype, module.extra_repr(),
])(block(kit)))  # fmt: skip
say("Module", lambda kit: (lambda one, two: [
    isinstance(one, kit.nn.Module),
    list(one.load_state_dict({**two.state_dict(), "more": kit.zeros(1)}, strict=False)[1]),
    list(one.load_state_dict({"scale": kit.zeros(3)}, strict=False)[0]), one.scale,
    list(one.load_state_dict(two.state_dict())),
])(block(kit), block(kit)))  # fmt: skip
for p in (1.0, 3.0):  # what no table of layers has: a constant that is kept by a module
    say("PairwiseDistance", lambda kit, x, y, p=p: kit.nn.PairwiseDistance(p)(x, y),
        draw(3, 4), Constant(draw(3, 4)))  # fmt: skip
