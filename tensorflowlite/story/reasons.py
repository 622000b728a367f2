"""Why a parameter's gradient is what it is: the way from the loss, and where it was lost."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..backend import dtypes
from ..core.primitive import Primitive

VANISHED = 1e-6  # a gradient that is less than this part of the greatest of the step's
STIFLED = 1e-4  # an operation that lets through less than this part
EXPLODED = 1e3  # what multiplies a gradient by more, where it ends beyond that, too
SWOLLEN = 1e6  # the same of all operations together
TINY = 1e-30  # below this float32 comes to its end

Flow = dict[str, Any]
Term = tuple[Flow, dict[str, Any]]  # a flow, and one of its parts


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
        self.roots = [p["root"] for p in iteration["passes"] if p["root"] is not None]
        self.flow_of: dict[int, list[Flow]] = {}
        self.terms_of: dict[int | None, list[Term]] = {}  # what reached each value
        for flow in iteration["flows"]:
            if flow["call"] is not None:
                self.flow_of.setdefault(flow["call"], []).append(flow)
            for part in flow["parts"]:
                self.terms_of.setdefault(part["value"], []).append((flow, part))
        self.named: dict[str, list[int]] = {}
        for place, value in enumerate(self.values):
            self.named.setdefault(value["name"], []).append(place)
        self.greatest = max(
            (self._reached(i) for i, v in enumerate(self.values) if v["kind"] == "parameter"),
            default=0.0,
        )

    def why(self, name: str, frozen: bool) -> Found:
        """Return what became of the gradient of a parameter."""
        if not self.it["passes"]:
            return Found("no backward", "no backward pass was recorded in this step")
        places = self.named.get(name)
        if not places:
            return Found("unused", "no operation of the step takes it")
        terms = [term for place in places for term in self.terms_of.get(place, ())]
        if terms:
            return self._arrived(places, terms)
        if frozen:
            return Found("frozen", "it doesn't require grad: requires_grad is False")
        return self._lost(places[0])

    # -- a gradient that came ----------------------------------------------------------------------
    def _arrived(self, places: list[int], terms: list[Term]) -> Found:
        way = self._way(places)
        path = tuple([flow["call"] for flow, _ in way])
        products = [part["product"] for _, part in terms]
        if any(map(_broken, products)):
            return self._not_finite(places, path)
        norm = max(map(_norm, products))
        if norm == 0:
            return self._zero(places, path)
        gains = [(_gain(flow, part), flow["call"]) for flow, part in way]
        if max(self._reached(place) for place in places) < VANISHED * self.greatest:
            return self._vanished(places[0], gains, norm, path)
        stifled = [(most, call) for (_, most), call in gains if most < STIFLED]
        if stifled:
            return self._vanished(places[0], gains, norm, path)
        most = max(((least, call) for (least, _), call in gains), default=(1.0, None))
        if most[1] is not None and norm > EXPLODED:
            if most[0] > EXPLODED:
                return Found(
                    "exploded",
                    f"the gradient becomes {most[0]:.2g} times as large in {self._named(most[1])}"
                    f"{self._habit(most[1])}; its norm is {norm:.2g}",
                    most[1], path,
                )  # fmt: skip
            total = math.prod(least for (least, _), _ in gains)
            if total > SWOLLEN:
                return Found(
                    "exploded",
                    f"the gradient becomes {total:.2g} times as large step by step, over "
                    f"{len(path)} operations, most of all, {most[0]:.2g} times, in "
                    f"{self._named(most[1])}; its norm is {norm:.2g}",
                    most[1], path,
                )  # fmt: skip
        return Found(
            "healthy", f"a gradient of norm {norm:.3g} comes through {len(path)} operations",
            None, path,
        )  # fmt: skip

    def _vanished(
        self, value: int, gains: list[tuple[tuple[float, float], int]], norm: float,
        path: tuple[int, ...],
    ) -> Found:  # fmt: skip
        least = min(((most, call) for (_, most), call in gains), default=(1.0, None))
        if least[1] is None:
            return Found("vanished", f"of the gradient {norm:.2g} arrives", None, path)
        habit = self._habit(least[1]) or self._cancelled(value, path)
        where = f"{self._named(least[1])}{habit}"
        total = math.prod(most for (_, most), _ in gains)
        if total < least[0] ** 2:  # one operation alone doesn't account for it
            return Found(
                "vanished",
                f"of the gradient {total:.2g} is left step by step, over {len(path)} operations; "
                f"least of all, {least[0]:.2g}, by {where}; {norm:.2g} arrives",
                least[1], path,
            )  # fmt: skip
        return Found(
            "vanished", f"of the gradient {least[0]:.2g} is left by {where}; {norm:.2g} arrives",
            least[1], path,
        )  # fmt: skip

    def _zero(self, places: list[int], path: tuple[int, ...]) -> Found:
        """Name the operation nearest to the parameter that made zero of what wasn't."""
        waiting, seen = list(places), set(places)
        ends: list[tuple[float, int]] = []
        changed = None
        while waiting:
            for flow, _ in self.terms_of.get(waiting.pop(0), ()):
                call = flow["call"]
                if _lives(flow["upstream"]):
                    ends.append((max(map(_norm, _several(flow["upstream"]))), call))
                    continue
                outputs = [one for one in self.calls[call]["outputs"] if one not in seen]
                alive = [
                    part for one in outputs for _, part in self.terms_of.get(one, ())
                    if _norm(part["product"])
                ]  # fmt: skip
                if alive and changed is None:
                    changed = (call, len(alive))
                seen.update(outputs)
                waiting += outputs if not alive else []
        if ends:
            above, call = max(ends)
            if above < TINY:
                return Found(
                    "vanished",
                    f"the gradient became smaller and smaller, {above:.2g} is what reaches "
                    f"{self._named(call)}; then numbers this small are zero", call, path,
                )  # fmt: skip
            return Found(
                "zero", f"the gradient becomes zero in {self._named(call)}{self._habit(call)}",
                call, path,
            )  # fmt: skip
        if changed is not None:
            call, several = changed
            how = "the terms that reach it cancel" if several > 1 else "a hook makes zero of it"
            return Found(
                "zero", f"the gradient of the result of {self._named(call)} is zero: {how}",
                call, path,
            )  # fmt: skip
        return Found("zero", "the gradient is zero from the start", None, path)

    def _not_finite(self, places: list[int], path: tuple[int, ...]) -> Found:
        """Name what made NaN or infinity: an input, a parameter, an operation, or its rule."""
        towards = self._towards_roots()
        forward = [
            (number, call) for number, call in enumerate(self.calls)
            if towards.intersection(call["outputs"])
        ]  # fmt: skip
        if all(not _broken(self.values[root]["array"]) for root in self.roots):
            found = self._broken_rule(places, path)
            if found is not None:
                return found
        for number, call in forward:
            given = [self.values[one["value"]] for one in call["inputs"]]
            made = [self.values[one]["array"] for one in call["outputs"]]
            if not any(map(_broken, made)):
                continue
            own = next(
                (v for v in given if v["array"].get("nan") and v["made_by"] is None), None
            )
            if own is not None:
                what = f"{own['kind']} {own['name']}".strip()
                return Found(
                    "nan", f"the {what} has NaN itself; it is used in {self._named(number)}",
                    number, path,
                )  # fmt: skip
            is_nan = any(one.get("nan") for one in made)
            if any(v["array"].get("nan") for v in given):
                continue
            infinite = any(v["array"].get("inf") for v in given)
            if not infinite or is_nan:
                return Found(
                    "nan", f"{self._named(number)} gives {'NaN' if is_nan else 'infinity'} of "
                    f"{'infinite' if infinite else 'finite'} inputs{self._habit(number)}",
                    number, path,
                )  # fmt: skip
        return self._broken_rule(places, path) or Found(
            "nan", "an input, or a parameter, isn't finite itself", None, path
        )

    def _broken_rule(self, places: list[int], path: tuple[int, ...]) -> Found | None:
        """Name the rule that made NaN or infinity of a finite gradient."""
        fed = {*places}.union(*map(self._fed_by, places))
        for flow in self.it["flows"]:
            above = _several(flow["upstream"])
            if any(map(_broken, above)) or flow["call"] is None:
                continue
            broken = [
                part["product"] for part in flow["parts"]
                if part["value"] in fed and _broken(part["product"])
            ]  # fmt: skip
            if not broken:
                continue
            norm = max(map(_norm, above), default=0.0)
            if norm > SWOLLEN:
                return Found(
                    "exploded", f"the gradient grew to a norm of {norm:.2g}, until it isn't finite "
                    f"any more in {self._named(flow['call'])}", flow["call"], path,
                )  # fmt: skip
            return Found(
                "nan", "of a finite gradient the rule of "
                f"{self._named(flow['call'])} makes NaN or infinity{self._habit(flow['call'])}",
                flow["call"], path,
            )  # fmt: skip
        return None

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
        unusual = not 1e-3 < max(abs(low), abs(high)) < 1e3
        if name in ("log", "sqrt", "divide", "power", "exp") or (
            name in ("linear", "matmul") and unusual
        ):
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
                if one["value"] in reached and one["value"] not in self.terms_of
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

    def _way(self, places: list[int]) -> list[Term]:
        """Return the terms through which most of the gradient came, from the loss on."""
        found: list[Term] = []
        seen: set[int] = set()
        while True:
            terms = [
                (flow, part) for place in places for flow, part in self.terms_of.get(place, ())
                if flow["call"] not in seen
            ]  # fmt: skip
            if not terms:
                return found[::-1]
            most = max(terms, key=lambda term: _norm(term[1]["product"]))
            found.append(most)
            seen.add(most[0]["call"])
            places = self.calls[most[0]["call"]]["outputs"]

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

    def _reached(self, value: int) -> float:
        """Return the root mean square of the gradient that reached a value."""
        terms = self.terms_of.get(value, ())
        return max((_scale(part["product"]) for _, part in terms), default=0.0)

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


def _gain(flow: Flow, part: dict[str, Any]) -> tuple[float, float]:
    """Return how many times larger a gradient is below a call: the least and the most to say.

    What spreads a number over many, or adds many up, changes their size, but not what they mean:
    root mean square and norm differ there.
    """
    above, below = _several(flow["upstream"]), part["product"]
    norm, scale = max(map(_norm, above), default=0.0), max(map(_scale, above), default=0.0)
    if not norm or not scale:
        return 1.0, 1.0
    found = (_norm(below) / norm, _scale(below) / scale)
    if not below["shape"] and not any(one["shape"] for one in above):
        return min(*found, 1.0), max(found)  # a loss is scaled, as for float16, or weighted
    return min(found), max(found)


def _several(upstream: Any) -> list[Any]:
    above = upstream if isinstance(upstream, list) else [upstream]
    return [one for one in above if one is not None]


def _lives(upstream: Any) -> bool:
    return any(_norm(one) > 0 for one in _several(upstream))


def _broken(array: dict[str, Any]) -> bool:
    return bool(array.get("nan") or array.get("inf"))
