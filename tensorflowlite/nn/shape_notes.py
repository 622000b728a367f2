"""What there is to say when shapes don't fit inside a module: a note on the exception.

Nothing is written down before: what was called stands in the frames that the exception came
through, and what the input went through in the graph, where gradients are recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..core.graph import parents_of
from ..core.nodes import JointNode, Leaf, Node, Output
from ..core.tensor import Tensor

_MOST_STEPS = 12  # of the input's history
_MOST_NAMES = 8  # of the tensors in a forward
_PACKAGE = __name__.partition(".")[0]


def note_shapes(model: Any, error: BaseException) -> None:
    """Note on an error of shapes where inside ``model`` it arose; a note of before is replaced."""
    with contextlib.suppress(Exception):  # whatever a module makes of this, the error comes first
        _note(model, error)


def _note(model: Any, error: BaseException) -> None:
    calls = list(_calls(error))
    if not calls:
        return
    paths = {module: path for path, module in model.named_modules()}
    module, args = calls[-1]
    lines = [f"in {_named(module, paths)}, {_expectation(module)}, which got {_shapes(args)}"]
    if len(calls) > 1:
        around = " > ".join(f"{_named(one, paths)} {_shapes(given)}" for one, given in calls[:-1])
        lines.append(f"called with shapes: {around}")
    came = [text for x in args if isinstance(x, Tensor) and (text := _history(x, model))]
    lines += [f"the input came this way: {text}" for text in came[:2]]
    lines += _locals(error)
    text = "\n".join(lines)
    notes = getattr(error, "__notes__", None)
    before = getattr(error, "_shapes_note", None)
    if notes is not None and before in notes:
        notes.remove(before)
    error._shapes_note = text  # type: ignore[attr-defined]
    error.add_note(text)


def _frames(error: BaseException) -> Iterator[Any]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _calls(error: BaseException) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the modules that were called and what with, the outermost first."""
    for frame, _ in _frames(error):
        if frame.f_code.co_name == "__call__" and hasattr(frame.f_locals.get("self"), "_hooked"):
            yield frame.f_locals["self"], frame.f_locals.get("args", ())


def _named(module: Any, paths: dict[Any, str]) -> str:
    path = paths.get(module, "")
    return f"model.{path}" if path else "model"


def _expectation(module: Any) -> str:
    """Return what a module takes, as far as it says: its settings and its parameters' shapes."""
    own = [f"{name} {p.shape}" for name, p in module._own_parameters()]
    text = f"{type(module).__name__}({module.extra_repr()})"
    return f"{text} with {', '.join(own)}" if own else text


def _shapes(args: tuple[Any, ...]) -> str:
    found = [str(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in args]
    return " and ".join(found) or "nothing"


def _locals(error: BaseException) -> list[str]:
    """Return the shapes of the tensors that the innermost `forward` of the user's has at hand."""
    found = [
        (frame, line)
        for frame, line in _frames(error)
        if frame.f_globals.get("__name__", "").partition(".")[0] != _PACKAGE
        and frame.f_code.co_name == "forward"
    ]
    if not found:
        return []
    frame, line = found[-1]
    tensors = {k: x for k, x in frame.f_locals.items() if isinstance(x, Tensor)}
    at_hand = ", ".join(f"{name} {x.shape}" for name, x in list(tensors.items())[:_MOST_NAMES])
    return [f"at {frame.f_code.co_filename}:{line} there are {at_hand}"] if at_hand else []


# -- the way of the input --------------------------------------------------------------------------
def _history(x: Tensor, model: Any) -> str:
    """Return the operations that made a tensor, with the shapes that are known; "" without any."""
    owners = {
        p.node: path.rpartition(".")[0] for path, p in model.named_parameters() if p.requires_grad
    }
    node: Any = x.node
    shape: Any = x.shape
    steps: list[str] = []
    while node is not None and type(node) is not Leaf and len(steps) < _MOST_STEPS:
        node = node.main if type(node) is Output else node
        parents = list(parents_of(node) or ())
        owner = next((owners[p] for p in parents if owners.get(p)), "")
        name = getattr(node.op, "called", "an operation") + (f" of {owner!r}" if owner else "")
        steps.append(f"{name} {shape}" if shape is not None else name)
        place = next((i for i, p in enumerate(parents) if p is not None and p not in owners), 0)
        if place < len(parents):
            shape = _input_shape(node, place, shape)
            node = parents[place]
        else:
            node = None
        if node in owners:  # only the parameters are left: what they met was given
            node = None
    if not steps:
        return ""
    start = [] if shape is None else [str(shape)]
    return " -> ".join([*start, *reversed(steps)])


def _input_shape(node: Any, place: int, out: Any) -> Any:
    """Return the shape of an input of a recorded operation; None where it wasn't kept."""
    if type(node) is JointNode:
        return node.fix[place][0]
    fix = node.fix
    if fix is not None:
        return fix[2 * place]
    if type(node) is Node:
        saved = getattr(node, "s1" if place else "s0", None)
        if saved is not None and hasattr(saved, "shape"):
            return saved.shape
        kept = getattr(node, "s1", None)
        if not place and type(kept) is tuple:
            return kept
    if getattr(node.op, "name", "") == "permute_dims" and out is not None:
        return tuple(out[node.attributes.index(axis)] for axis in range(len(out)))
    return out if getattr(node.op, "form", "") in ("unary", "binary") else None
