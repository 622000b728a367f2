"""Views and in-place changes, recorded.

A view remembers its root and the path to it; a root knows its live views, weakly. A recorded
in-place operation gives the root a ``write_view`` node and every live view a fresh ``read_view``
node, so that ``o = zeros(3); o[0:2] *= w; o.sum()`` has the right gradient.
"""

from __future__ import annotations

from typing import Any
from weakref import ref as reference

from ..backend import backend_of, ndarray, takes_out
from ..errors import ArgumentError, DtypeError, GradientError
from ..runtime import mode, note_change, owner_of, shared, tick
from .messages import explain
from .nodes import JointNode, Leaf, Node
from .primitive import Primitive, registry
from .tensor import Tensor, recording

Path = tuple[tuple[Primitive, Any], ...]
VIEWED_LEAF: frozenset[Any] = frozenset()  # the base of a root with views that it doesn't know


def register_view(x: Tensor, view: Tensor, op: Primitive, attribute: Any) -> None:
    """Remember that ``view`` shares the memory of ``x``'s root, if it does (a reshape may copy)."""
    if shared.special and not mode.views:
        return
    base = x.base
    root, path = base if type(base) is tuple else (x, ())
    owner, array = view.array.base, root.array
    if owner is not array and owner is not array.base:
        return
    views = root.base
    if type(root.node) is Leaf:
        # Changing a leaf or a view of it raises, so nothing has to be brought up to date.
        view.base = (root, ())
        if views is None:
            root.base = VIEWED_LEAF
        return
    view.base = (root, (*path, (op, attribute)))
    if views is None:
        root.base = [reference(view)]
        return
    if views is VIEWED_LEAF:
        return
    views.append(reference(view))
    count = len(views)
    if count >= 16 and count & (count - 1) == 0:  # at powers of two: amortised
        views[:] = [one for one in views if one() is not None]


def prepare_change(name: str, x: Tensor, others: tuple[Tensor, ...] = ()) -> bool:
    """Return whether an in-place change of ``x`` is to be recorded; raise where it can't be."""
    root = x
    if type(x.base) is tuple:
        root, path = x.base
        for length, stride in zip(x.array.shape, x.array.strides, strict=True):
            if stride == 0 and length > 1 and x.array.size:
                raise ArgumentError(
                    f"{name}: each element must have memory of its own, got a broadcast view "
                    f"{x.dtype} {x.shape}; clone() it first"
                )
    if not recording():
        return False
    if type(root.node) is Leaf or type(x.node) is Leaf:
        what = "a leaf that requires grad" if root is x else "a view of a leaf that requires grad"
        raise GradientError(
            f"{name}: the tensor must not be {what}, got {x.dtype} {x.shape}; "
            "use no_grad(), or change a copy"
        )
    if not any(t.node is not None for t in (x, root, *others)):
        return False
    if any(t.node is not None for t in others) and x.array.dtype.kind not in "fcV":
        raise DtypeError(
            f"{name}: a tensor that takes recorded values must be float or complex, got {x.dtype}; "
            "cast with astype(float32) first"
        )
    if root.base is VIEWED_LEAF:
        raise GradientError(
            f"{name}: the tensor must know its views, got {x.dtype} {x.shape}, of which some were "
            "made while it required grad; clone() it first"
        )
    if x.node is None and root.node is not None:  # a view that was made without recording
        x.node = _view_node("read_view", root, path, None)
    return True


def finish_change(name: str, x: Tensor, node: Any) -> Tensor:
    """Stamp the change just made to ``x``; where recorded, bring its root and views up to date."""
    now = note_change(x.array, name)
    if node is None:
        return x
    node.born = now  # its own change must not look like a later one
    if type(x.base) is tuple:
        root, path = x.base
        root.node = _view_node("write_view", root, path, node)
    else:
        root = x
        x.node = node
    live = []
    for one in root.base or ():
        view = one()
        if view is not None:
            live.append(one)
            view.node = _view_node("read_view", root, view.base[1], None)
    root.base = live or None
    return x


def _view_node(name: str, root: Tensor, path: Path, second: Any) -> Node:
    node = Node()
    node.op = registry[name]
    node.p0, node.p1 = root.node, second
    node.s1 = root.array.shape
    node.attributes = path
    node.g = node.hooks = node.fix = None
    node.born = tick()
    return node


def plain_node(op: Primitive, xs: Any, arrays: Any, attribute: Any, out: Any) -> Node:
    """Return the node of an operation of the plain forms, outside the entry points."""
    node = Node()
    node.op = op
    node.p0 = xs[0].node
    node.p1 = xs[1].node if len(xs) > 1 else None
    node.g = node.hooks = None
    wanted = {
        name
        for names, x in zip(op.saves, xs, strict=True)
        if x.node is not None
        for name in names
    }
    if op.inputs[0] in wanted:
        node.s0 = arrays[0]
    if len(xs) > 1:
        if op.inputs[1] in wanted:
            node.s1 = arrays[1]
        node.attributes = (arrays[0].shape, arrays[1].shape)
        node.fix = (arrays[0].shape, arrays[0].dtype, arrays[1].shape, arrays[1].dtype)
    else:
        node.s1 = arrays[0].shape
        node.attributes = attribute
        node.fix = (arrays[0].shape, arrays[0].dtype)
    if "out" in wanted:
        node.out = out
    node.born = tick()
    return node


def enter_all(xs: Any) -> None:
    """Make tensors from outside part of what this thread records for `jit`, if it does."""
    capture = mode.capture
    if capture is not None and not capture.running:
        for x in xs:
            capture.session.enter(x)


def of_one_batch(name: str, x: Tensor, others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what is written into ``x`` as tensors of its batch, where one of them has one."""
    if shared.captures:
        enter_all((x, *others))
    for one in (x, *others):
        beside = backend_of(one.array).beside
        if beside is not None:
            return beside(name, x, others)
    return others


def change_in_place(op: Primitive, name: str, *xs: Tensor) -> Tensor:
    """Run a unary or binary operation into its first input, and return that."""
    x = xs[0]
    if shared.captures:
        enter_all(xs)
    if len(xs) > 1 and (type(xs[1].array) is not ndarray or type(x.array) is not ndarray):
        xs = (x, *of_one_batch(name, x, xs[1:]))
    track = prepare_change(name, x, xs[1:])
    arrays = [t.array for t in xs]
    try:
        backend = backend_of(x.array)
        for array in arrays:
            if type(array) is not backend.array_type:
                raise DtypeError("devices differ")
        run = op.implementations[backend.array_type]
        before = arrays
        if track:  # what a rule needs of the memory that is about to change is kept as a copy
            memory = owner_of(x.array)
            before = [
                a.copy() if input_name in op.saved_names and owner_of(a) is memory else a
                for a, input_name in zip(arrays, op.inputs, strict=True)
            ]
        node = plain_node(op, xs, before, None, x.array) if track else None
        if takes_out(run):
            run(*arrays, out=x.array)
        else:
            backend.assign(x.array, run(*arrays))
    except Exception as error:
        raise explain(op, error, arrays, (), name) from error
    return finish_change(name, x, node)


def release(node: Node | JointNode) -> None:
    """Drop what a node saved: its backward is done."""
    if type(node) is Node:
        node.s0 = node.s1 = node.out = None
    else:
        node.saved = node.out = node.residual = node.attributes = None  # type: ignore[union-attr]
    node.op = None
