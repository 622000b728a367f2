"""What to say when memory runs out: what was asked for, and which tensors have the rest.

Nothing is written down before: after the failure the garbage collector's list has the tensors, the
nodes of the graph with what they saved, and the modules with their parameters. So the operation
that made a tensor is known where its node is alive, and the module where that operation used a
parameter of the module directly. The module that was running when memory ran out is told by its
call.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..backend import Backend, Device, backend_for, backend_of, is_array
from ..errors import OutOfMemoryError
from ..runtime import owner_of
from .graph import parents_of
from .nodes import JointNode, Leaf, Node, Output
from .tensor import Tensor, operation_of

_SHOWN = 10
# What stands on higher floors is known by a method.
_KNOWN_BY = (("modules", "named_parameters"), ("optimizers", "add_param_group"))


def out_of_memory(name: str, error: BaseException, device: Device) -> OutOfMemoryError:
    """Return the error to raise where an allocation of ``name`` on a device has failed."""
    backend = backend_for(device)
    asked = backend.asked_bytes(error)
    wanted = "the result" if asked is None else size_of(asked)
    figures = ", ".join(f"{size_of(n)} {what}" for n, what in _figures(backend, device))
    figures = f": {figures}" if figures else ""
    return OutOfMemoryError(
        f"{name}: {device} must have room for {wanted}, got too little{figures}; "
        "use smaller batches, drop tensors that are no longer needed, or compute under no_grad()",
        report(backend, device),
    )


def of_backward(error: BaseException) -> OutOfMemoryError:
    """Return the error to raise where a gradient rule has found no memory.

    Which operation's rule it was, and on which device, stands in the frames that it came through.
    """
    name, device = "backward", Device("cpu")
    traceback = error.__traceback__
    while traceback is not None:
        names = traceback.tb_frame.f_locals
        node, g = names.get("node"), names.get("g")
        if isinstance(node, Node | JointNode) and node.op is not None:
            name = f"backward of {node.op.called}"
        array = g.array if type(g) is Tensor else g
        if is_array(array):
            device = backend_of(array).device_of(array)
        traceback = traceback.tb_next
    return out_of_memory(name, error, device)


def size_of(count: float) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> size_of(1536), size_of(3 << 30)
    ('1.50 KiB', '3.00 GiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1024 or unit == "PiB":
            break
        count /= 1024
    return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.2f} {unit}"


def _figures(backend: Backend, device: Device) -> list[tuple[int, str]]:
    figures: dict[str, int] = {}
    with suppress(Exception):  # a device that is in trouble may not answer
        figures = backend.memory_stats(device)
    told = (
        ("used_bytes", "in use by arrays"),
        ("held_bytes", "held, with what waits for new ones"),
        ("free_bytes", "free on the device"),
        ("total_bytes", "in all"),
    )
    return [(figures[key], what) for key, what in told if key in figures]


def report(backend: Backend, device: Device) -> str:
    """Return the largest tensors of a device that are alive, a line for each."""
    alive = _Alive(backend, device)
    alive.look()
    rows = sorted(alive.rows.values(), key=lambda row: -row.size)
    if not rows:
        return "no tensors are alive there"
    total = size_of(sum(row.size for row in rows))
    shown = rows[:_SHOWN]
    lines = [f"the largest of {len(rows)} tensors alive, {total} in all:"]
    return "\n".join([*lines, *map(str, shown)])


def _sorted_objects() -> dict[Any, list[Any]]:
    """Return what is alive: tensors, nodes and leaves by type, modules, optimizers."""
    kinds = (Tensor, Node, JointNode, Leaf)
    found: dict[Any, list[Any]] = {key: [] for key in (*kinds, "modules", "optimizers")}
    groups: dict[type, list[Any] | None] = {kind: found[kind] for kind in kinds}
    for one in gc.get_objects():
        kind = type(one)
        if kind not in groups:  # there are far more objects than types
            groups[kind] = next(
                (found[group] for group, name in _KNOWN_BY if _has(kind, name)), None
            )
        group = groups[kind]
        if group is not None:
            group.append(one)
    return found


def _has(kind: type, name: str) -> bool:
    try:
        return hasattr(kind, name)
    except Exception:  # a metaclass of others
        return False


class _Row:
    """A piece of memory: its array, and what is known of it."""

    __slots__ = ("size", "shape", "dtype", "origin", "sure")

    def __init__(self, array: Any) -> None:
        self.size, self.shape, self.dtype = array.nbytes, tuple(array.shape), array.dtype
        self.origin, self.sure = "", -1

    def __str__(self) -> str:
        return f"{size_of(self.size):>12}  {self.dtype} {self.shape}  {self.origin}".rstrip()


class _Alive:
    """The memory of a device that tensors and the graph have."""

    def __init__(self, backend: Backend, device: Device) -> None:
        self._backend, self._device = backend, device
        self.rows: dict[int, _Row] = {}
        self._kept: list[Any] = []  # what has a row: its identity must not go to something else
        self._paths: dict[int, str] = {}  # a leaf's identity -> the path of its parameter

    def look(self) -> None:
        """Go through all that is alive; of several names for a piece of memory the surest stays."""
        found = _sorted_objects()
        for name in (self._name_parameters, self._name_states):
            with suppress(Exception):  # what users derive from ours may do what it likes
                name(found)
        for tensor in found[Tensor]:
            self._note_tensor(tensor)
        for node in found[Node]:
            self._note_node(node, (node.p0, node.p1), self._saved_of(node), None)
        for node in found[JointNode]:
            residual = node.residual if node.op is not None else None
            self._note_node(node, node.parents, node.saved or (), residual)
        for leaf in found[Leaf]:
            what = f"the gradient of {self._paths.get(id(leaf), 'a leaf')}"
            for array in (leaf.g, leaf.grad):
                self._note(array, what, 3)

    @staticmethod
    def _saved_of(node: Node) -> tuple[Any, ...]:
        return (getattr(node, "s0", None), getattr(node, "s1", None))

    def _name_parameters(self, found: Mapping[Any, list[Any]]) -> None:
        modules = found["modules"]
        inner = {id(child) for one in modules for child in one.children()}
        roots = [one for one in modules if id(one) not in inner]
        for root in roots:
            prefix = f"{type(root).__name__} " if len(roots) > 1 else ""
            for path, parameter in root.named_parameters():
                if parameter.node is not None:
                    self._paths[id(parameter.node)] = prefix + repr(path)
                self._note(parameter.array, f"the parameter {prefix}{path!r}", 4)
            for path, buffer in root.named_buffers():
                self._note(buffer.array, f"the buffer {prefix}{path!r}", 4)

    def _name_states(self, found: Mapping[Any, list[Any]]) -> None:
        for one in found["optimizers"]:
            for parameter, values in one.state.items():
                of = self._paths.get(id(parameter.node), "a leaf")
                for name, value in values.items():
                    self._note(value, f"{type(one).__name__}'s {name} of {of}", 4)

    def _note_tensor(self, tensor: Tensor) -> None:
        array, node = getattr(tensor, "array", None), getattr(tensor, "node", None)
        if type(node) is Leaf:
            self._note(array, "a leaf", 1)
        elif node is None:
            self._note(array, "made outside of the graph", 0)
        else:
            self._note(array, self._made_by(node), 2)

    def _note_node(self, node: Any, parents: Any, saved: Any, residual: Any) -> None:
        if node.op is None:
            return
        for parent, array in zip(parents, saved, strict=False):
            origin = self._made_by(parent) if type(parent) in (Node, JointNode, Output) else ""
            origin = f"{origin}, " if origin else ""
            self._note(array, f"{origin}saved by {self._described(node)}", 1)
        g = getattr(node, "g", None)
        for array in g if isinstance(g, tuple | list) else (g,):
            self._note(array, f"a gradient on its way to {self._described(node)}", 3)
        out = getattr(node, "out", None)
        for array in out if isinstance(out, tuple | list) else (out,):
            self._note(array, self._made_by(node), 2)
        for array in residual if isinstance(residual, tuple | list) else (residual,):
            self._note(array, f"kept by {self._described(node)}", 2)

    def _made_by(self, node: Any) -> str:
        return f"made by {self._described(node)}"

    def _described(self, node: Any) -> str:
        """Return an operation's name, and the module whose parameter it used."""
        main = node.main if type(node) is Output else node
        if main.op is None:
            return "an operation whose history was freed"
        paths = [self._paths[id(p)] for p in parents_of(main) if id(p) in self._paths]
        if not paths:
            return operation_of(main)
        model, _, path = paths[0].rstrip("'").rpartition("'")
        owner, dot, _ = path.rpartition(".")
        return f"{operation_of(main)} in {model}{owner!r}" if dot else operation_of(main)

    def _note(self, array: Any, origin: str, sure: int) -> None:
        array = array.array if type(array) is Tensor else array
        while hasattr(array, "value"):  # a batch inside vmap
            array = array.value
        if not is_array(array) or type(array) is not self._backend.array_type:
            return
        owner = owner_of(array)
        row = self.rows.get(id(owner))
        if row is None:
            here = self._backend.device_of(owner)
            # "cuda" is "cuda:0".
            if (here.type, here.index or 0) != (self._device.type, self._device.index or 0):
                return
            if not math.prod(owner.shape):
                return
            row = self.rows[id(owner)] = _Row(owner)
            self._kept.append(owner)
        if sure > row.sure:
            row.origin, row.sure = origin, sure
