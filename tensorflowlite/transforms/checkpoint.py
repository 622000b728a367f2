"""Trading time for memory: a part of the computation that is run again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import dtypes
from ..core.graph import explore
from ..core.nested import pull
from ..core.nodes import JointNode
from ..core.primitive import Primitive, make_output, traced
from ..core.tensor import Tensor, recording, wrap
from ..errors import GradientError
from ..ops import random
from ..runtime import mode, set_mode, tick
from . import tree
from .recording import fresh_leaf


class _Segment:
    """What is needed to run the function again."""

    __slots__ = ("function", "structure", "leaves", "places", "outputs", "states", "levels")

    def __init__(self, function: Callable[..., Any], structure: tree.Structure, leaves: list[Any],
                 places: list[int], states: dict[str, Any] | None) -> None:  # fmt: skip
        self.function, self.structure, self.leaves = function, structure, leaves
        self.places = places  # where the saved tensors stand among the leaves
        self.states = states
        self.levels = mode.levels
        self.outputs: list[int] = []  # which of the results are recorded

    def run(self, inputs: list[Tensor]) -> Any:
        """Return what the function gives for ``inputs`` in their places."""
        leaves = list(self.leaves)
        for place, x in zip(self.places, inputs, strict=True):
            leaves[place] = x
        args, kwargs = tree.unflatten(self.structure, leaves)
        return self.function(*args, **kwargs)

    def run_again(self, inputs: list[Tensor]) -> list[Any]:
        """Return the recorded results, with the random numbers of the first time."""
        now = None if self.states is None else random.snapshot()
        levels = mode.levels
        try:
            mode.levels = self.levels  # random numbers are drawn for the same batch
            if self.states is not None:
                random.go_back(self.states)
            results, _ = tree.flatten(self.run(inputs))
        finally:
            mode.levels = levels
            if now is not None:
                random.go_back(now)
        if len(results) <= max(self.outputs):
            raise GradientError(
                "checkpoint: the function must return as many tensors when it runs again, got "
                f"{len(results)}; it must depend on its arguments alone"
            )
        return [results[i] for i in self.outputs]


def checkpoint(
    function: Callable[..., Any], *args: Any, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """Call a function, keeping its inputs only; the backward pass runs it again.

    The memory of what happens inside is free until then, for the price of a second forward pass.
    What the function closes over, such as the parameters of a module, gets its gradients too.
    Derivatives of any order, transforms, hooks and checkpoints inside one another work as without.

    The function must do the same again: it must not change what it closes over (a module's running
    statistics would be updated twice).

    Parameters
    ----------
    function : callable
        A module or a function of trees of tensors and anything else.
    *args
        Its arguments; those by keyword follow.
    preserve_rng_state : bool
        Whether the second run draws the random numbers of the first. Where none are drawn, False
        saves a copy of the generators' states.

    Returns
    -------
    tree of Tensor
        What the function returns.

    Raises
    ------
    GradientError
        In the backward pass: the function returned something else the second time.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> block = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 1))
    >>> tfl.checkpoint(block, tfl.ones((3, 2))).sum().backward()
    >>> block[0].weight.grad.shape
    (64, 2)
    """
    if not recording():
        return function(*args, **kwargs)
    leaves, structure = tree.flatten((args, kwargs))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.node is not None]
    if mode.levels:
        from ..core.batching import lift_to_levels

        for i in places:
            leaves[i] = lift_to_levels(leaves[i])
    given = [leaves[i] for i in places]
    kept = [None if i in places else x for i, x in enumerate(leaves)]
    states = random.snapshot() if preserve_rng_state else None
    segment = _Segment(function, structure, kept, places, states)
    since = tick()
    fresh = [fresh_leaf(x) for x in given]
    inside = [x.node for x in fresh]
    results, built = tree.flatten(segment.run(list(fresh)))
    recorded = {
        i: y for i, y in enumerate(results) if isinstance(y, Tensor) and y.node is not None
    }
    reached, elsewhere = explore([y.node for y in recorded.values()], set(inside), since)
    # The graph that was recorded goes; what it hung on, from outside, is the new node's.
    segment.outputs = list(recorded)
    if not recorded or not (elsewhere or any(y.node in reached for y in recorded.values())):
        return tree.unflatten(built, [
            y.detach() if i in recorded else y for i, y in enumerate(results)
        ])  # fmt: skip
    node = JointNode()
    node.op = _rerun
    node.parents = (*[x.node for x in given], *elsewhere)
    node.saved = tuple([x.array for x in given])
    node.g = node.hooks = node.out = node.residual = None
    node.attributes = (segment,)
    node.fix = (*[(x.shape, x.dtype) for x in given], *[None] * len(elsewhere))
    node.forms = tuple([(y.shape, y.dtype, y.dtype in dtypes.inexact) for y in recorded.values()])
    node.born = tick()
    for number, (i, y) in enumerate(recorded.items()):
        results[i] = wrap(y.array, make_output(node, number))
    return tree.unflatten(built, results)


def _rule(node: JointNode, g: tuple[Any, ...], need: tuple[bool, ...], segment: _Segment) -> Any:
    """Run the segment again, recorded, and pull ``g`` back to what the node hangs on."""
    trace = recording()
    count = len(segment.places)
    with set_mode(grad=True):
        since = tick()
        inputs = [
            traced.identity(wrap(array, parent)) if trace else fresh_leaf(wrap(array, None))
            for array, parent in zip(node.saved, node.parents, strict=False)
        ]
        nodes = [x.node for x in inputs]
        outside = list(node.parents[count:])
        targets = [one for one, wanted in zip([*nodes, *outside], need, strict=True) if wanted]
        outputs = segment.run_again(list(inputs))
        pairs = []
        for y, one, (shape, _, _) in zip(outputs, g, node.forms, strict=True):
            if not isinstance(y, Tensor) or y.shape != shape:
                got = y.shape if isinstance(y, Tensor) else type(y).__name__
                raise GradientError(
                    f"checkpoint: the function must return the same when it runs again, got {got} "
                    f"where it was {shape}; it must depend on its arguments alone"
                )
            if y.node is not None:
                pairs.append((y, one))
        relevant, _ = explore([y.node for y, _ in pairs], set(targets), since)
        pairs = [(y, one) for y, one in pairs if y.node in relevant]
    found: list[Any] = [None] * len(targets)
    if pairs:
        found = pull([y for y, _ in pairs], [one for _, one in pairs], targets, relevant,
                          trace, frozenset(outside))  # fmt: skip
    results = iter(found)
    return [next(results) if wanted else None for wanted in need]


_rerun = Primitive(
    "checkpoint", ("values",), _rule, attributes=("segment",), variadic=True, outputs=0,
    tensors=True, registered=False,
)  # fmt: skip
