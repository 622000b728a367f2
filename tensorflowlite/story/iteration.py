"""What is written down of one training step: values, calls, flows of gradient and updates."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..backend.array_summary import summarize
from ..runtime import changed, owner_of, tick

_LOOKED_BACK = 8  # calls


class Iteration:
    """One step, in the order in which things happened.

    Lists of plain values, as `Story.to_json` writes them; arrays are summarised when they are met,
    so that what changes them in place later doesn't change what is told.
    """

    def __init__(self) -> None:
        self.loss: Any = None
        self.values: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.passes: list[dict[str, Any]] = []
        self.flows: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.order: list[list[Any]] = []
        self._lists = {
            "call": self.calls, "pass": self.passes, "flow": self.flows, "update": self.updates,
        }  # fmt: skip
        self.leaves: dict[int, Any] = {}  # by the numbers of their values
        self.before: dict[int, tuple[Any, Any, Any]] = {}  # array, copy and gradient, likewise
        self.optimized: set[str] = set()  # the parameters of the optimizers that took a step
        self.told: list[tuple[Any, bool]] = []  # of the calls: the operation, and grad mode
        self.fresh: set[int] = set()  # values that nothing with a name went into
        self._by_array: dict[int, tuple[Callable[[], Any], int, int]] = {}
        self._arrays: dict[int, Callable[[], Any]] = {}  # by the numbers of their values

    def place_of(self, array: Any) -> int | None:
        """Return the number of the value that an array is; None where it wasn't met."""
        known = self._by_array.get(id(array))
        return known[1] if known is not None and known[0]() is array else None

    def array_of(self, place: int) -> Any:
        """Return the array that a value was, if it is still there."""
        reference = self._arrays.get(place)
        array = None if reference is None else reference()
        return array if array is not None and self.place_of(array) == place else None

    def carries_gradient(self, place: int) -> bool:
        """Whether a value is a result that a gradient can flow through to a parameter."""
        todo, seen = [place], {place}
        while todo:
            call = self.values[todo.pop()]["made_by"]
            if call is None or not self._is_differentiated(call):
                continue
            given = [one["value"] for one in self.calls[call]["inputs"]]
            if any(self.values[one]["kind"] == "parameter" for one in given):
                return True
            todo += [one for one in given if one not in seen]
            seen.update(given)
        return False

    def _is_differentiated(self, call: int) -> bool:
        op, grad = self.told[call]
        if isinstance(op, str):
            return grad and op != "detach"
        return grad and op.differentiable

    def is_changed(self, array: Any) -> bool:
        """Whether an array was met, and changed in place since."""
        if self.place_of(array) is None:
            return False
        return changed.get(id(owner_of(array)), 0) > self._by_array[id(array)][2]

    def met(self, array: Any, **told: Any) -> int:
        """Write an array down as a new value, and return its number."""
        value = {"kind": "result", "name": "", "made_by": None, **told}
        self.values.append({**value, "array": summarize(array)})
        self._keep(array, len(self.values) - 1)
        return len(self.values) - 1

    def met_again(self, array: Any) -> int:
        """Write down what an array has become by a change in place.

        Where an operation just made what it holds, it is that operation's result.
        """
        known = self._by_array[id(array)][1]
        before, summary = self.values[known], summarize(array)
        taken = {place for _, place, _ in self._by_array.values()}
        recent = self.calls[: -_LOOKED_BACK - 1 : -1]
        # Rather one that was given what was there before: others may have made the same.
        changing = [c for c in recent if any(one["value"] == known for one in c["inputs"])]
        for call in changing or recent:
            for place in call["outputs"]:
                free = bool(changing) or place not in taken
                if free and self.values[place]["array"] == summary:
                    self._keep(array, place)
                    return place
        self.values.append({**before, "made_by": None, "array": summary})
        self._keep(array, len(self.values) - 1)
        return len(self.values) - 1

    def _keep(self, array: Any, place: int) -> None:
        reference = self._arrays[place] = _reference(array)
        self._by_array[id(array)] = (reference, place, tick())

    def add(self, what: str, entry: dict[str, Any]) -> int:
        """Append to one of the lists, and to the order of all."""
        entries = self._lists[what]
        entries.append(entry)
        self.order.append([what, len(entries) - 1])
        return len(entries) - 1

    def name(self, array: Any, name: str, kind: str) -> None:
        """Give the value that an array is its name.

        A parameter may have been made in the step itself, by what initialises it.
        """
        place = self.place_of(array)
        if place is None:
            return
        if kind == "parameter" or self.values[place]["made_by"] is None:
            self.values[place] |= {"name": name, "kind": kind}

    def is_nameless(self, place: int) -> bool:
        """Whether a value came from outside, and is neither a parameter nor a variable."""
        value = self.values[place]
        return value["made_by"] is None and value["kind"] != "parameter" and not value["name"]

    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not self.order

    def data(self, index: int, modules: dict[int, int]) -> dict[str, Any]:
        """Return it as plain values; ``modules`` has the numbers of modules by identity."""
        calls = [{**call, "module": modules.get(call["module"])} for call in self.calls]
        return {
            "index": index, "loss": self.loss, "values": self.values, "calls": calls,
            "passes": self.passes, "flows": self.flows, "updates": self.updates,
            "order": self.order,
        }  # fmt: skip


def _reference(array: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(array)
    except TypeError:  # this library's arrays can't be held weakly
        return lambda: array
