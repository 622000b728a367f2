"""TFL3..: the mode of a network, its dtypes, and what its layers give."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from ...backend import dtypes
from ...core.nodes import JointNode
from ...core.tensor import wrap
from ...nn import (
    AlphaDropout,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
)  # fmt: skip
from ...transforms.sites import Site
from .declare import ALL, Limits, Rule
from .values import magnitude

if TYPE_CHECKING:
    from ..findings import Report
    from ..moments import Call, Graph, Step

_DROPOUTS = (Dropout, Dropout1d, Dropout2d, Dropout3d, AlphaDropout, FeatureAlphaDropout)
_BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
_MOST_CALLS, _MOST_LEAKS = 64, 4096
_NARROW = (dtypes.float32, dtypes.float16, dtypes.bfloat16)


class EvalMode(Rule):
    """A model that is trained in evaluation mode, though it has dropout or batch norm."""

    id = "TFL301"
    name = "eval-mode"
    found = "{model} is trained in evaluation mode, got {layer} {path!r} switched off by it"
    mend = "call train() before training, and again after each evaluation"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._calls: deque[tuple[int, int, Any, Site, str]] = deque(maxlen=64)
        self._trained: list[tuple[Any, Site, str]] = []

    def after_module(self, module: Any, started: int, ended: int) -> None:
        path = "" if module.training else _switched_off(module)
        if path:
            self._calls.append((started, ended, weakref.ref(module), Site(), path))

    def before_backward(self, graph: Graph) -> None:
        self._trained.clear()
        for started, ended, model, site, path in self._calls:
            if any(started < node.born < ended for node in graph.nodes):
                self._trained.append((model, site, path))

    def before_step(self, step: Step) -> None:
        mine = {id(p) for p in step.parameters}
        for reference, site, path in self._trained:
            model = reference()
            if model is not None and any(id(p) in mine for p in model.parameters()):
                layer = type(model.get_submodule(path)).__name__
                self.tell(site, path, model=type(model).__name__, layer=layer, path=path)


def _switched_off(model: Any) -> str:
    """Return the path of the first layer that works otherwise in training; "" without one."""
    for path, module in model.named_modules():
        if module.training:
            continue
        if isinstance(module, _DROPOUTS) and module.p > 0:
            return path
        if isinstance(module, _BATCH_NORMS) and module.running_mean is not None:
            return path
    return ""


class BatchNormOfOne(Rule):
    """Batch norm in training of a batch with one sample."""

    id = "TFL302"
    name = "batch-norm-of-one"
    found = "{layer} takes its statistics of the batch, got one sample: an input {shape}"
    mend = "use larger batches (drop_last=True leaves a small last one out), or group norm"

    def before_module(self, module: Any, args: tuple[Any, ...], outermost: bool) -> None:
        if isinstance(module, _BATCH_NORMS) and module.training and args:
            shape = getattr(args[0], "shape", ())
            if shape and shape[0] == 1:
                site = Site()
                layer = type(module).__name__
                self.tell(site, _path_in(site, module), layer=layer, shape=tuple(shape))


def _path_in(site: Site, module: Any) -> str:
    """Return the path of a module that isn't called yet: the site knows those around it."""
    if site.modules is None:
        return ""
    return next((path for path, one in site.modules[1].named_modules() if one is module), "")


class Float64(Rule):
    """Float64 that comes in and makes the rest of a float32 network float64."""

    id = "TFL303"
    name = "float64"
    found = "{operation} gives float64 of {given}: from here on all is computed in float64"
    mend = "cast what isn't float32 before: x.astype(tfl.float32); NumPy's arrays are float64"
    operations = ALL

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._leaks: dict[int, str] = {}

    def after_call(self, call: Call) -> None:
        if call.name != "cast" and _is_leak(call):
            if len(self._leaks) > _MOST_LEAKS:
                self._leaks.clear()
            self._leaks[call.keep()] = call.name

    def before_backward(self, graph: Graph) -> None:
        if not self._leaks:
            return
        known = self._leaks
        nodes = [node for node in graph.nodes if known.get(node.born) == _name(node)]
        # A call that made no node has left its place to one that came later.
        mixed = [node for node in nodes if any(one in _NARROW for one in _input_dtypes(node))]
        self._leaks.clear()
        if mixed:
            first = min(mixed, key=lambda node: node.born)
            given = " and ".join(str(dtype) for dtype in _input_dtypes(first))
            self.tell(*graph.place(first), operation=first.op.called, given=given)


def _name(node: Any) -> str:
    return getattr(node.op, "name", "")


def _is_leak(call: Call) -> bool:
    result = call.result
    while type(result) in (tuple, list) and result:  # several outputs, or one and a residual
        result = result[0]
    if getattr(result, "dtype", dtypes.float32) != dtypes.float64:
        return False
    return any(getattr(x, "dtype", dtypes.float64) in _NARROW for x in call.args)


def _input_dtypes(node: Any) -> list[Any]:
    if type(node) is JointNode:
        return [dtype for _, dtype in node.fix]
    return list(node.fix[1::2]) if node.fix else []


class DeadReLU(Rule):
    """A ReLU layer that gives zeros only."""

    id = "TFL304"
    name = "dead-relu"
    found = "relu gave nothing but zeros in {steps} calls in a row"
    mend = "lower the learning rate, look at the biases before it, or use leaky_relu"
    operations = ("relu", "linear_act", "conv_act")

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._zeros: dict[tuple[Any, ...], int] = {}
        self._calls: dict[tuple[Any, ...], int] = {}

    def after_call(self, call: Call) -> None:
        if call.name != "relu" and call.args[-1] != "relu":
            return
        site, path = call.place()
        # In a loss, of a margin say, zeros are what is wanted.
        if site.modules is None or hasattr(site.modules[0], "reduction"):
            return
        place = (site.file, site.line, path)
        # Of this line, in this step; without a backward pass there is no end to them.
        number = self._calls[place] = min(self._calls.get(place, 0) + 1, _MOST_CALLS)
        key = (*place, number)
        result = call.result[0] if type(call.result) is tuple else call.result
        is_dead = bool(result.size) and magnitude(wrap(result, None)) == 0
        self._zeros[key] = count = self._zeros.get(key, 0) + 1 if is_dead else 0
        if count == self.limits.steps:
            self.tell(site, path, steps=count)

    def before_backward(self, graph: Graph) -> None:
        self._calls.clear()
