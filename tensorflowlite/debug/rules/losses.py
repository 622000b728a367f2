"""TFL1..: what goes into a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.graph import parents_of
from ...core.tensor import Tensor, wrap
from ...ops.elementwise import where
from ...runtime import set_mode
from .declare import Rule
from .values import extremes

if TYPE_CHECKING:
    from ..moments import Call, Graph

_APPLIED = {
    "softmax_cross_entropy": "softmax",
    "log_softmax": "softmax",
    "binary_cross_entropy_with_logits": "sigmoid",
    "softplus": "sigmoid",  # of the negative: what the same loss is made of with a pos_weight
}
_MADE = frozenset(["softmax", "log_softmax", "sigmoid"])
# What hands values on, in another shape, dtype or selection.
_THROUGH = frozenset([
    "reshape", "permute_dims", "broadcast_to", "cast", "clone", "identity", "positive", "getitem",
    "concat", "stack", "to_device", "read_view",
])  # fmt: skip


class SoftmaxTwice(Rule):
    """Softmax or sigmoid before a loss that applies it itself."""

    id = "TFL101"
    name = "softmax-twice"
    found = "{loss} applies {again} itself, got the output of {made}"
    mend = "give it the logits: leave softmax or sigmoid to where you predict"
    operations = tuple(_APPLIED)

    def after_call(self, call: Call) -> None:
        call.keep()

    def before_backward(self, graph: Graph) -> None:
        for node in graph.nodes:
            applied = _APPLIED.get(getattr(node.op, "name", ""))
            made = _source(node) if applied else ""
            if made:
                self.tell(*graph.place(node), loss=_called(node.op), again=applied, made=made)


def _called(op: Any) -> str:
    return "binary_cross_entropy_with_logits" if op.name == "softplus" else op.called


def _source(node: Any) -> str:
    """Return which of `_MADE` gave a loss its first input; "" where none did."""
    negated = node.op.name == "softplus"
    node = next(iter(parents_of(node)), None)
    while node is not None:
        node = getattr(node, "main", node)
        name = getattr(getattr(node, "op", None), "name", "")
        if name in _MADE:
            return "" if negated else name
        if name == "negative" and negated:
            negated = False
        elif name not in _THROUGH:
            return ""
        node = next(iter(parents_of(node)), None)
    return ""


class LabelsOutOfRange(Rule):
    """Labels outside the classes, or outside [0, 1]."""

    id = "TFL102"
    name = "labels-out-of-range"
    found = "{loss} takes labels {wanted}, got some from {low} to {high}"
    mend = "count the classes from 0 and give the last layer an output for each of them"
    operations = (
        "softmax_cross_entropy", "nll_loss", "binary_cross_entropy_with_logits",
        "binary_cross_entropy",
    )  # fmt: skip

    def before_call(self, call: Call) -> None:
        x, target = call.args[:2]
        if not target.size:
            return
        labels = wrap(target, None)
        if call.name.startswith("binary"):
            low, high = extremes(labels)
            wanted, outside = "in [0, 1]", not (low >= 0 and high <= 1)
        else:
            ignored = call.args[-1 if call.name == "nll_loss" else -2]
            classes = x.shape[1]
            low, high = extremes(_without(labels, ignored))
            wanted, outside = f"from 0 to {classes - 1}", low < 0 or high >= classes
        if outside:
            loss = "cross_entropy" if call.name.startswith("softmax") else call.name
            self.tell(*call.place(), loss=loss, wanted=wanted, low=low, high=high)


def _without(labels: Tensor, ignored: int) -> Tensor:
    with set_mode(grad=False):
        return where(labels == ignored, 0, labels)
