"""Fused operations: implementations that replace a decomposition into other operations.

Where a backend has no implementation the decomposition runs; where an operation declares no
backward of its own, the decomposition is differentiated, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..runtime import set_mode, tick
from .entry import declare
from .graph import explore
from .nested import pull
from .primitive import traced
from .tensor import Tensor, recording

Decomposition = Callable[..., Any]


def fused(
    name: str,
    inputs: Sequence[str],
    decompose: Decomposition,
    *,
    attributes: Sequence[str] = (),
    backward: Callable[..., Any] | None = None,
    variadic: bool = False,
    doc: str,
    **declaration: Any,
) -> Any:
    """Declare a fused operation and return its entry point.

    Parameters
    ----------
    name
        The name of the operation, and of the slot that may implement it.
    inputs, attributes, variadic
        As of a `Primitive`.
    decompose
        ``(k, *inputs, *attributes)``: the same by other operations, written with ``k`` and infix
        only, so that it runs on arrays and on tensors.
    backward
        A joint gradient rule; without one the decomposition is differentiated.
    """
    rule = backward or differentiated(decompose, inputs, attributes, variadic)
    return declare(
        name,
        inputs,
        rule,
        attributes=attributes,
        joint=True,
        variadic=variadic,
        tensors=backward is None,
        decompose=decompose,
        doc=doc,
        **declaration,
    )


def differentiated(
    decompose: Decomposition, inputs: Sequence[str], attributes: Sequence[str], variadic: bool
) -> Callable[..., Any]:
    """Return a joint rule that differentiates a decomposition; it runs Tensor code."""
    count = len(inputs)

    def rule(k: Any, g: Any, need: tuple[Any, ...], *values: Any) -> list[Tensor | None]:
        xs = list(values[:count])
        if variadic:
            xs[-1:] = xs[-1]
        higher = recording()
        since = tick()
        with set_mode(grad=True):
            # Nodes of their own: one tensor may stand for two inputs, and the pass ends here.
            copies = [
                traced.identity(x if higher else x.detach().requires_grad_()) if wanted else x
                for x, wanted in zip(xs, need, strict=True)
            ]
            outputs = decompose(traced, *copies, *values[count:])
            if type(outputs) is Tensor:
                outputs, incoming = (outputs,), (g,)
            else:
                incoming = g
            pairs = [
                (y, one)
                for y, one in zip(outputs, incoming, strict=True)
                if one is not None and y.node is not None
            ]
        asked = [x.node for x, wanted in zip(copies, need, strict=True) if wanted]
        relevant, _ = explore([y.node for y, _ in pairs], set(asked), since)
        pairs = [(y, one) for y, one in pairs if y.node in relevant]
        found = iter(
            pull([y for y, _ in pairs], [one for _, one in pairs], asked, relevant, higher)
        )
        return [next(found) if wanted else None for wanted in need]

    rule.names = ("k", "g", "need", *inputs, *attributes)  # type: ignore[attr-defined]
    return rule
