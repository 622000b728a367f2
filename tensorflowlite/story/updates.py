"""A step of an optimizer in a story: what each parameter was, got, and became."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backend import as_array, backend_of
from ..backend.array_summary import summarize
from ..core.tensor import Tensor
from ..optim import Optimizer

if TYPE_CHECKING:
    from .recording import Recorder


def record_step(
    recorder: Recorder, optimizer: Optimizer, closure: bool, step: Callable[[], Any]
) -> Any:
    """Run a step, and write down what it does to the parameters; return what it returned."""
    ready = recorder.attempt(_before, recorder, optimizer, closure)
    if ready is None:
        return step()
    if closure:
        recorder.is_trying = True
        try:
            result = step()
        finally:
            recorder.is_trying = False
    else:
        with recorder.resting():
            result = step()
    recorder.attempt(_record_due, recorder, optimizer, closure, *ready)
    return result


def _before(recorder: Recorder, optimizer: Optimizer, closure: bool) -> tuple[Any, Any, Any]:
    """Return the parameters whose turn it is, what they are before the step, and their names."""
    due = [
        (group, number, p)
        for group in optimizer.param_groups
        for number, p in enumerate(group["params"])
        if closure or p.grad is not None
    ]
    names = names_of(recorder, optimizer)
    before = {
        id(p): (
            backend_of(p.array).copy(p.array),
            None if p.grad is None else summarize(p.grad.array),
            _slots(optimizer, p),
        )
        for _, _, p in due
    }
    return due, before, names


def _record_due(
    recorder: Recorder, optimizer: Optimizer, closure: bool, due: Any, before: Any, names: Any
) -> None:
    if closure:  # what it was given may have its name only now
        names = names_of(recorder, optimizer)
        recorder.here.before.clear()
    with recorder.resting():
        for group, _, p in due:
            old, gradient, slots = before[id(p)]
            if closure and p.grad is not None:
                gradient = summarize(p.grad.array)
            now = _slots(optimizer, p)
            recorder.here.add("update", {
                "parameter": names[id(p)], "value": recorder.here.place_of(p.array),
                "optimizer": type(optimizer).__name__, "settings": _settings(group),
                "before": summarize(old), "gradient": gradient,
                "slots": [
                    {"name": name, "before": slots.get(name), "after": after}
                    for name, after in now.items()
                ],
                "step": summarize(_difference(p.array, old)),
                "after": summarize(p.array),
            })  # fmt: skip


def record_changes(recorder: Recorder) -> None:
    """Write down the parameters that were changed by hand since their gradients came."""
    here = recorder.here
    if recorder.is_trying:  # the step as a whole is told
        here.before.clear()
    stepped = {one["value"] for one in here.updates}
    with recorder.resting():
        for place, (array, old, gradient) in sorted(here.before.items()):
            if place in stepped or not here.is_changed(array):
                continue
            here.add("update", {
                "parameter": here.values[place]["name"] or f"value {place}", "value": place,
                "optimizer": "a step by hand", "settings": {}, "before": summarize(old),
                "gradient": gradient, "slots": [],
                "step": summarize(_difference(array, old)), "after": summarize(array),
            })  # fmt: skip
    here.before.clear()


def _difference(new: Any, old: Any) -> Any:
    return as_array(backend_of(old).subtract(new, old))


def names_of(recorder: Recorder, optimizer: Optimizer) -> dict[int, str]:
    """Return the paths of an optimizer's parameters, as the story's values have them."""
    recorder.finish()
    found, number = {}, 0
    for group in optimizer.param_groups:
        given = group.get("param_names")
        for i, p in enumerate(group["params"]):
            value = recorder.here.place_of(p.array)
            known = "" if value is None else recorder.here.values[value]["name"]
            own = given[i] if given is not None else f"params[{number}]"
            found[id(p)] = known or _path(recorder, p) or own
            number += 1
    return found


def _path(recorder: Recorder, p: Tensor) -> str:
    return next((name for name, one in recorder.places.named("parameters") if one is p), "")


def _slots(optimizer: Optimizer, p: Tensor) -> dict[str, Any]:
    return {
        name: summarize(value.array) if type(value) is Tensor else None
        for name, value in optimizer.state.get(p, {}).items()
    }


def _settings(group: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in group.items():
        if type(value) is Tensor and value.size == 1:
            found[key] = value.item()
        elif isinstance(value, bool | int | float | str) or value is None:
            found[key] = value
        elif key == "betas":
            found[key] = list(value)
    return found
