"""The nodes of the graph: what an operation saved, and which nodes it was applied to."""

from __future__ import annotations

from typing import Any


class Node:
    """An operation with at most two inputs and one output, recorded.

    ``p0, p1`` are the parents, ``s0, s1`` the saved inputs (``s1`` holds the input's shape where
    there is one input), ``out`` the saved output; slots that nothing asked for stay unset.
    ``fix`` is None where gradients need neither un-broadcasting nor a cast.
    """

    __slots__ = (
        "op", "p0", "p1", "s0", "s1", "out", "attributes", "born", "fix", "g", "owned", "hooks",
    )  # fmt: skip
    op: Any
    p0: Any
    p1: Any
    s0: Any
    s1: Any
    out: Any
    attributes: Any
    born: Any
    fix: Any
    g: Any
    owned: Any
    hooks: Any


class JointNode:
    """An operation of any number of inputs and outputs, recorded.

    ``fix`` holds the shape and dtype of each input, ``forms`` those of each output.
    """

    __slots__ = (
        "op", "parents", "saved", "out", "residual", "attributes", "born", "fix", "forms",
        "g", "owned", "hooks",
    )  # fmt: skip
    op: Any
    parents: Any
    saved: Any
    out: Any
    residual: Any
    attributes: Any
    born: Any
    fix: Any
    forms: Any
    g: Any
    owned: Any
    hooks: Any


class Output:
    """One output of a node that has several."""

    __slots__ = ("main", "index", "born", "g", "owned", "hooks")
    main: Any
    index: Any
    born: Any
    g: Any
    owned: Any
    hooks: Any


class Leaf:
    """Where gradients end: a tensor that requires grad and that no operation made."""

    __slots__ = ("grad", "born", "g", "owned", "hooks", "shape", "dtype", "strides", "dense")
    grad: Any
    born: Any
    g: Any
    owned: Any
    hooks: Any
    shape: Any
    dtype: Any
    strides: Any
    dense: Any


LEAF_BORN = -1  # older than any operation


def make_leaf(array: Any) -> Any:
    """Return a leaf for a tensor that holds ``array``."""
    leaf: Any = Leaf()
    leaf.grad = leaf.hooks = leaf.g = None
    leaf.born = LEAF_BORN
    leaf.shape, leaf.dtype, leaf.strides = array.shape, array.dtype, array.strides
    leaf.dense = array.flags.forc
    return leaf
