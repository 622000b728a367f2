"""Walking the graph: who depends on whom in a backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .nodes import JointNode, Leaf, Node, Output
from .tensor import Tensor, operation_of


def parents_of(node: Any) -> Iterable[Any]:
    """Return the nodes that a node's gradient flows to; None for an input without one."""
    kind = type(node)
    if kind is Node:
        return (node.p0, node.p1)
    if kind is JointNode:
        return node.parents
    return (node.main,) if kind is Output else ()


class GradientFunction:
    """A recorded operation, to look at: its name, and what it was applied to.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.ones(2).requires_grad_()
    >>> (x.exp() * 2).grad_fn.next_functions
    (<exp>, None)
    """

    __slots__ = ("_node",)

    def __init__(self, node: Any) -> None:
        self._node = node.main if type(node) is Output else node

    def name(self) -> str:
        """Return the operation's name; ``"leaf"`` where gradients are accumulated."""
        return "leaf" if type(self._node) is Leaf else operation_of(self._node)

    @property
    def next_functions(self) -> tuple[GradientFunction | None, ...]:
        """What the inputs were made by; None for one that doesn't require grad."""
        return tuple([None if p is None else GradientFunction(p) for p in parents_of(self._node)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradientFunction) and other._node is self._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def grad_fn(x: Tensor, /) -> GradientFunction | None:
    """The recorded operation that made this tensor; None for a leaf."""
    return None if x.is_leaf else GradientFunction(x.node)


def count_consumers(roots: Iterable[Any], relevant: Any) -> dict[Any, int]:
    """Return how many consumers each node has in this backward pass."""
    count: dict[Any, int] = {}
    stack = list(dict.fromkeys(roots))
    seen = set(stack)
    for root in stack:
        count[root] = 1  # a seed is a consumer too
    while stack:
        for parent in parents_of(stack.pop()):
            if parent is None or (relevant is not None and parent not in relevant):
                continue
            count[parent] = count.get(parent, 0) + 1
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return count


def nodes_below(roots: Iterable[Any]) -> Iterator[Any]:
    """Yield every node that a root depends on, and the roots, each once."""
    stack, seen = list(roots), set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend([p for p in parents_of(node) if p is not None])


def forget_gradients(roots: Iterable[Any]) -> None:
    """Drop the gradients that a pass which failed has left on its nodes, wherever it stopped."""
    for node in nodes_below(roots):
        node.g = None


def leading_to(roots: Iterable[Any], targets: Any) -> set[Any]:
    """Return the nodes through which a root depends on a target."""
    order = list(nodes_below(roots))
    found = set(targets)
    # Parents are older than their consumers, but a Leaf's and an Output's ticks don't order them.
    order.sort(key=lambda node: (node.born, type(node) is Output))
    for node in order:
        if node not in found and any(p in found for p in parents_of(node) if p is not None):
            found.add(node)
    return found


def explore(roots: Iterable[Any], targets: Any, since: int) -> tuple[set[Any], dict[Any, None]]:
    """Return the nodes through which a root depends on a target, and what else it depends on.

    The walk ends at the targets, at what was made before the tick ``since``, and at leaves. What it
    meets of those last two is the second result: the history that a function of the targets had
    from elsewhere. Leaves that a transform makes carry the tick of their making, so that those of
    a transform inside, which is over, don't count.
    """
    order: list[Any] = []
    elsewhere: dict[Any, None] = {}
    stack, seen = list(dict.fromkeys(roots)), set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in targets:
            elsewhere.update(dict.fromkeys([p for p in parents_of(node) if p is not None]))
            continue
        if node.born < since:
            elsewhere[node] = None
            continue
        order.append(node)
        stack.extend([p for p in parents_of(node) if p is not None])
    found = set(targets)
    order.sort(key=lambda node: (node.born, type(node) is Output))
    for node in order:
        if any(p in found for p in parents_of(node) if p is not None):
            found.add(node)
    return found, elsewhere
