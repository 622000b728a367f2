"""A backward pass inside a backward pass: for operations whose gradient runs the tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import backend_of
from ..runtime import set_mode
from .tape import Pass, own
from .tensor import Tensor, wrap


def pull(
    outputs: Sequence[Tensor], gradients: Sequence[Any], targets: Sequence[Any], relevant: set[Any],
    trace: bool, outside: Any = (),
) -> list[Any]:  # fmt: skip
    """Run a pass inside a pass: what reaches each target, as plain transposes.

    The targets may be nodes that the pass around this one has still to visit: what waits there is
    put aside, and the hooks of those ``outside`` are left to it.
    """
    sink: dict[Any, Any] = dict.fromkeys(targets)
    this = Pass(trace, trace, sink, relevant)
    this.bounded, this.outside = True, outside
    aside = [(node, node.g, getattr(node, "owned", False)) for node in targets]
    for node in targets:
        node.g = None
    try:
        with set_mode(grad=trace):
            for output, g in zip(outputs, gradients, strict=True):
                seed = g if trace else g.array
                if not trace and not this.roots:
                    this.k = backend_of(seed)
                this.roots.append(output.node)
                this.give(output.node, seed, False)
            this.run()
    finally:
        for node, g, owned in aside:
            node.g, node.owned = g, owned
    if trace:
        return [None if found is None else found[0] for found in sink.values()]
    return [None if found is None else wrap(own(*found), None) for found in sink.values()]
