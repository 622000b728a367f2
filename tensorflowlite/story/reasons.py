"""Why a parameter's gradient is what it is: the way from the loss, and where it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..backend import dtypes
from ..core.primitive import Primitive

VANISHED = 1e-6  # a gradient that is less than this part of the greatest of the step's
STIFLED = 1e-4  # an operation that lets through less than this part
EXPLODED = 1e3  # what multiplies a gradient by more, where it ends beyond that, too


class Reason(NamedTuple):
    """Why a parameter's gradient is what it is.

    Attributes
    ----------
    parameter : str
        Its name.
    state : str
        ``"healthy"``, ``"vanished"``, ``"exploded"``, ``"zero"``, ``"nan"``, ``"cut"`` (its value
        reaches the loss, the gradient doesn't come back), ``"unused"``, ``"frozen"`` or
        ``"no backward"``.
    sentence : str
        What happened, and where.
    operation, file, line : str, str and int
        Where it happened; "" and 0 where there is no such place.
    path : list of str
        The operations from the loss to the parameter, as far as the gradient came.
    """

    parameter: str
    state: str
    sentence: str
    operation: str = ""
    file: str = ""
    line: int = 0
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.parameter}: {self.state}; {self.sentence}"


class Found(NamedTuple):
    """A reason in numbers of the story's lists."""

    state: str
    sentence: str
    call: int | None = None
    path: tuple[int, ...] = ()


class Detective:
    """Looks through one iteration of a story's data."""

    def __init__(self, data: dict[str, Any], iteration: dict[str, Any]) -> None:
        self.data, self.it = data, iteration
        self.calls, self.values = iteration["calls"], iteration["values"]
        self.flow_of: dict[int, list[dict[str, Any]]] = {}
        for flow in iteration["flows"]:
            if flow["call"] is not None:
                self.flow_of.setdefault(flow["call"], []).append(flow)
        self.graded = {part["value"] for flow in iteration["flows"] for part in flow["parts"]}
        self.roots = [p["root"] for p in iteration["passes"] if p["root"] is not None]

    def why(self, name: str, frozen: bool) -> Found:
        """Return what became of the gradient of a parameter."""
        if not self.it["passes"]:
            return Found("no backward", "no backward pass was recorded in this step")
        places = [i for i, v in enumerate(self.values) if v["name"] == name]
        if not places:
            return Found("unused", "no operation of the step takes it")
        # What changes a parameter in place leaves several values of its name.
        value = next((place for place in places if place in self.graded), places[0])
        terms = [
            part for flow in self.it["flows"] for part in flow["parts"] if part["value"] == value
        ]
        if terms:
            return self._arrived(value, terms)
        if frozen:
            return Found("frozen", "it doesn't require grad: requires_grad is False")
        return self._lost(value)

    # -- a gradient that came ----------------------------------------------------------------------
    def _arrived(self, value: int, terms: list[dict[str, Any]]) -> Found:
        path = self._path(value)
        if any(term["product"].get("nan") or term["product"].get("inf") for term in terms):
            return self._not_finite(value, path)
        norm = max(_norm(term["product"]) for term in terms)
        if norm == 0:
            return self._zero(value, path)
        ratios = [(gain, call) for call, gain in self._gains(path, value)]
        least = min(ratios, default=(1.0, None))
        most = max(ratios, default=(1.0, None))
        greatest = max((self._scale(u) for u in self._parameters()), default=0.0)
        own = self._scale(value)
        if least[1] is not None and (own < VANISHED * greatest or least[0] < STIFLED):
            return Found(
                "vanished",
                f"of the gradient {least[0]:.2g} is left by {self._named(least[1])}"
                f"{self._habit(least[1]) or self._cancelled(value, path)}; {norm:.2g} arrives",
                least[1], path,
            )  # fmt: skip
        if most[1] is not None and most[0] > EXPLODED and norm > EXPLODED:
            return Found(
                "exploded",
                f"the gradient becomes {most[0]:.2g} times as large in {self._named(most[1])}; "
                f"its norm is {norm:.2g}",
                most[1], path,
            )  # fmt: skip
        return Found(
            "healthy", f"a gradient of norm {norm:.3g} comes through {len(path)} operations",
            None, path,
        )  # fmt: skip

    def _zero(self, value: int, path: tuple[int, ...]) -> Found:
        """Name the operation nearest to the loss that made zero of what wasn't."""
        fed = self._fed_by(value) | {value}
        for flow in self.it["flows"]:
            if flow["call"] is None or not _lives(flow["upstream"]):
                continue
            for part in flow["parts"]:
                if part["value"] in fed and not _norm(part["product"]):
                    call = flow["call"]
                    return Found(
                        "zero",
                        f"the gradient becomes zero in {self._named(call)}{self._habit(call)}",
                        call, path,
                    )  # fmt: skip
        return Found("zero", "the gradient is zero from the start", None, path)

    def _not_finite(self, value: int, path: tuple[int, ...]) -> Found:
        for number, call in enumerate(self.calls):
            given = [self.values[one["value"]]["array"] for one in call["inputs"]]
            made = [self.values[one]["array"] for one in call["outputs"]]
            if any(map(_broken, made)) and not any(map(_broken, given)):
                kind = "NaN" if any(one.get("nan") for one in made) else "infinity"
                return Found(
                    "nan", f"{self._named(number)} gives {kind} of finite inputs"
                    f"{self._habit(number)}", number, path,
                )  # fmt: skip
        for flow in self.it["flows"]:
            above = flow["upstream"] if isinstance(flow["upstream"], list) else [flow["upstream"]]
            if any(one is not None and _broken(one) for one in above):
                continue
            if flow["call"] is not None and any(_broken(part["product"]) for part in flow["parts"]):
                return Found(
                    "nan", "of a finite gradient the rule of "
                    f"{self._named(flow['call'])} makes NaN or infinity", flow["call"], path,
                )  # fmt: skip
        return Found("nan", "an input, or a parameter, isn't finite itself", None, path)

    def _habit(self, call: int) -> str:
        """Say what the numbers show of an activation."""
        name = self.calls[call]["operation"]
        arrays = [self.values[one["value"]]["array"] for one in self.calls[call]["inputs"]]
        if not arrays or arrays[0].get("max") is None:
            return ""
        low, high = arrays[0]["min"], arrays[0]["max"]
        if not all(isinstance(end, int | float) for end in (low, high)):
            return ""
        ends = f"its inputs lie between {low:.3g} and {high:.3g}"
        if name == "relu" and high <= 0:
            return f": all its units are dead, {ends}"
        if name in ("sigmoid", "tanh", "softmax") and max(abs(low), abs(high)) > 5:
            return f": it is saturated, {ends}"
        if name in ("log", "sqrt", "divide", "power", "exp"):
            return f": {ends}"
        return ""

    def _cancelled(self, value: int, path: tuple[int, ...]) -> str:
        """Say where a bias can't matter, since a normalisation takes the mean away."""
        after = self.calls[path[-2]]["operation"] if len(path) > 1 else ""
        if after == "batch_norm" and len(self.values[value]["array"]["shape"]) == 1:
            return f": {after} (call {path[-2] + 1}) takes away what a bias adds"
        return ""

    # -- a gradient that didn't --------------------------------------------------------------------
    def _lost(self, value: int) -> Found:
        fed = self._fed_by(value)
        if not fed.intersection(self.roots):
            last = max((i for i, c in enumerate(self.calls) if self._takes(c, {value} | fed)),
                       default=None)  # fmt: skip
            where = f"; the last that used it is {self._named(last)}" if last is not None else ""
            return Found("unused", f"its value doesn't reach the loss{where}", last)
        towards = self._towards_roots()
        reached = {value}
        for number, call in enumerate(self.calls):
            if not self._takes(call, reached) or not towards.intersection(call["outputs"]):
                continue
            reason = self._cuts(number)
            if reason:
                return Found(
                    "cut", f"{reason} in {self._named(number)}", number, self._up_to(number)
                )
            missing = [
                one for one in call["inputs"]
                if one["value"] in reached and one["value"] not in self.graded
            ]  # fmt: skip
            if number in self.flow_of and missing:
                return Found(
                    "cut", f"there is no derivative by {missing[0]['name']} in "
                    f"{self._named(number)}", number, self._up_to(number),
                )  # fmt: skip
            reached.update(call["outputs"])
        return Found("cut", "the gradient doesn't come back to it; it may have been made without "
                            "requires_grad")  # fmt: skip

    def _cuts(self, number: int) -> str:
        call = self.calls[number]
        if call["operation"] == "detach":
            return "the history is cut off"
        if call["why_not"]:
            return call["why_not"]
        return ""

    # -- ways --------------------------------------------------------------------------------------
    def _takes(self, call: dict[str, Any], values: set[int]) -> bool:
        return call["phase"] == "forward" and any(one["value"] in values for one in call["inputs"])

    def _fed_by(self, value: int) -> set[int]:
        """Return the values that depend on one."""
        found = {value}
        for call in self.calls:
            if any(one["value"] in found for one in call["inputs"]):
                found.update(call["outputs"])
        return found - {value}

    def _towards_roots(self) -> set[int]:
        """Return the values that a root depends on."""
        found = set(self.roots)
        for call in reversed(self.calls):
            if found.intersection(call["outputs"]):
                found.update(one["value"] for one in call["inputs"])
        return found

    def _path(self, value: int) -> tuple[int, ...]:
        """Return the calls through which most of the gradient came, from the loss on."""
        fed, found = self._above(value), []
        at = next((root for root in self.roots if root in fed), None)
        while at is not None and at != value:
            call = self.values[at]["made_by"]
            if call is None or call in found:
                break
            found.append(call)
            parts = [
                part for flow in self.flow_of.get(call, ()) for part in flow["parts"]
                if part["value"] in fed
            ]  # fmt: skip
            if not parts:
                break
            at = max(parts, key=lambda part: _norm(part["product"]))["value"]
        return tuple(found)

    def _above(self, value: int) -> set[int]:
        """Return the values through which a gradient came to one, and itself."""
        found = {value}
        for flow in reversed(self.it["flows"]):
            if flow["call"] is not None and any(one["value"] in found for one in flow["parts"]):
                found.update(self.calls[flow["call"]]["outputs"])
        return found

    def _up_to(self, number: int) -> tuple[int, ...]:
        """Return the calls from the loss to one where the gradient stops."""
        target = next(iter(self.calls[number]["outputs"]), None)
        fed = set() if target is None else self._fed_by(target) | {target}
        found, at = [], next((root for root in self.roots if root in fed), None)
        while at is not None:
            call = self.values[at]["made_by"]
            if call is None or call in found:
                break
            found.append(call)
            if call == number:
                break
            inputs = [one["value"] for one in self.calls[call]["inputs"] if one["value"] in fed]
            at = inputs[0] if inputs else None
        return tuple(found)

    def _gains(self, path: tuple[int, ...], value: int) -> Iterator[tuple[int, float]]:
        """Yield of each call on a path how many times larger the gradient is below it."""
        follow = {*path}
        for call in path:
            for flow in self.flow_of.get(call, ()):
                above = flow["upstream"]
                if isinstance(above, list) or not _scale(above):
                    continue
                below = [
                    _scale(part["product"]) for part in flow["parts"]
                    if part["value"] == value or self._maker(part["value"]) in follow
                ]  # fmt: skip
                if below:
                    yield call, max(below) / _scale(above)

    def _maker(self, value: int | None) -> int | None:
        return None if value is None else self.values[value]["made_by"]

    def _parameters(self) -> list[int]:
        return [i for i, v in enumerate(self.values) if v["kind"] == "parameter"]

    def _scale(self, value: int) -> float:
        """Return the root mean square of the gradient that reached a value."""
        return max(
            (_scale(part["product"]) for flow in self.it["flows"] for part in flow["parts"]
             if part["value"] == value), default=0.0,
        )  # fmt: skip

    def _named(self, number: int) -> str:
        call = self.calls[number]
        text = f"{call['operation']} (call {number + 1}"
        if call["module"] is not None:
            module = self.data["modules"][call["module"]]
            text += f", {module['path'] or module['type']}"
        text += ")"
        if call["source"] is not None:
            source = self.data["sources"][call["source"]]
            text += f" at {source['file']}:{source['line']}"
        return text


def why_not_recorded(
    call: dict[str, Any], op: Primitive | str, grad: bool, outputs: list[dict[str, Any]]
) -> str:
    """Return why the tape can't have recorded a call that gradients were to flow through."""
    if call["recorded"]:
        return ""
    if not grad:
        return "nothing is recorded (no_grad)"
    names = {one["array"]["dtype"] for one in outputs}
    if outputs and not names & {dtype.name for dtype in dtypes.inexact}:
        return f"{' and '.join(sorted(names))} values carry no gradient"
    if not isinstance(op, str) and not op.differentiable:
        return "there is no derivative"
    return ""


def _norm(array: dict[str, Any]) -> float:
    norm = array.get("norm")
    return float(norm) if isinstance(norm, int | float) else 0.0


def _scale(array: dict[str, Any]) -> float:
    size = 1
    for length in array["shape"]:
        size *= length
    return _norm(array) / max(size, 1) ** 0.5


def _lives(upstream: Any) -> bool:
    above = upstream if isinstance(upstream, list) else [upstream]
    return any(one is not None and _norm(one) > 0 for one in above)


def _broken(array: dict[str, Any]) -> bool:
    return bool(array.get("nan") or array.get("inf"))
