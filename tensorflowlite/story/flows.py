"""The backward pass of a story: for every rule the gradient above, the derivative, the product."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backend import as_array, backend_of, from_data, is_array
from ..backend.array_summary import SMALL, summarize
from ..core.nodes import Leaf, Node
from ..core.primitive import Primitive
from ..core.tape import fit_raw
from ..core.tensor import Tensor, wrap
from ..runtime import set_mode

if TYPE_CHECKING:
    from .recording import Recorder

_MOST_JACOBIAN = 4096  # elements
_MOST_PROBED = 1 << 22  # elements of a gradient whose rule is run again to look at its derivative
Run = Callable[..., Any]


class Flows:
    """Watches the gradient rules."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._own: list[tuple[Primitive, Any, Any]] = []
        self._last: tuple[Any, int] | None = None  # node and flow

    def begin(self) -> None:
        """A backward pass begins."""
        self._last = None

    def end(self) -> None:
        """A backward pass is over: parameters are kept as they are before a step by hand."""
        here = self._recorder.here
        for place, leaf in here.leaves.items():
            array = here.array_of(place)
            if array is not None and leaf.grad is not None:
                kept = backend_of(array).copy(array)
                here.before[place] = (array, kept, summarize(leaf.grad.array))

    def watched(self, op: Primitive, rule: Run) -> Run:
        """Return what stands in for a gradient rule."""
        place = None
        for rules in (op.raw, op.run_traced):
            if not callable(rules):
                place = next((i for i, one in enumerate(rules) if one is rule), place)
        recorder = self._recorder

        def run(node: Any, g: Any, k: Any, need: Any) -> Any:
            if recorder.in_rules or not recorder.passes or not recorder.is_looking():
                return rule(node, g, k, need)
            above = g if isinstance(g, tuple) else (g,)
            if not recorder.can_read([_raw(one) for one in above if one is not None]):
                return rule(node, g, k, need)
            upstream = recorder.attempt(
                lambda: [None if one is None else summarize(_raw(one)) for one in above]
            )
            recorder.in_rules += 1
            try:
                result = rule(node, g, k, need)
                parts = recorder.attempt(self._parts, op, node, g, k, need, place, rule, result)
            finally:
                recorder.in_rules -= 1
            if upstream is not None and parts is not None:
                told = upstream if isinstance(g, tuple) else upstream[0]
                recorder.attempt(self._tell, op, node, told, parts)
            return result

        return run

    def watch_own(self, op: Primitive) -> None:
        """Watch an operation that isn't in the registry: a user's own."""
        if all(known is not op for known, _, _ in self._own):
            self._own.append((op, op.raw, op.run_traced))
            op.raw = self.watched(op, op.raw)
            op.run_traced = self.watched(op, op.run_traced)

    def restore(self) -> None:
        """Put the rules of those back."""
        for op, of_arrays, of_tensors in self._own:
            op.raw, op.run_traced = of_arrays, of_tensors
        self._own.clear()

    # -- one rule ----------------------------------------------------------------------------------
    def _parts(
        self, op: Primitive, node: Any, g: Any, k: Any, need: Any, place: int | None, rule: Run,
        result: Any,
    ) -> list[dict[str, Any]]:  # fmt: skip
        results = [(place, result)] if place is not None else list(enumerate(result))
        own = all(known is not op for known, _, _ in self._own)
        parts = []
        for i, r in results:
            parent = _parent(node, i)
            if r is None or parent is None or (place is None and not need[i]):
                continue
            product = _fitted(node, i, _raw(r))
            # A user's own rule may count its calls: it isn't run again.
            local = _local(node, g, k, need, rule, i, place is None, product) if own else None
            parts.append({
                "input": i, "value": None, "local": local, "product": summarize(product),
                "parent": parent,
            })  # fmt: skip
        return parts

    def _tell(self, op: Primitive, node: Any, upstream: Any, parts: list[dict[str, Any]]) -> None:
        recorder = self._recorder
        here, call = recorder.here, recorder.call_of(node)
        inputs = [] if call is None else here.calls[call]["inputs"]
        for part in parts:
            parent = part.pop("parent")
            if part["input"] < len(inputs):
                part["value"] = inputs[part["input"]]["value"]
                if type(parent) is Leaf:
                    recorder.is_parameter(part["value"], parent)
        if self._last is not None and self._last[0] is node:
            here.flows[self._last[1]]["parts"].extend(parts)
            return
        flow = here.add("flow", {
            "pass": len(here.passes) - 1, "call": call,
            "operation": recorder.places.operation(op), "upstream": upstream, "parts": parts,
        })  # fmt: skip
        self._last = (node, flow)


def _raw(one: Any) -> Any:
    return one.array if type(one) is Tensor else one if is_array(one) else as_array(one)


def _parent(node: Any, place: int) -> Any:
    return (node.p0, node.p1)[place] if type(node) is Node else node.parents[place]


def _fitted(node: Any, place: int, r: Any) -> Any:
    """Return what a rule gave as the tape hands it on: un-broadcast and cast."""
    if node.fix is None:
        return r
    if type(node) is Node:
        form = node.fix[2 * place : 2 * place + 2]
    else:
        form = node.fix[place]
    return r if not form else fit_raw(r, form[0], form[1], backend_of(r))


def _local(
    node: Any, g: Any, k: Any, need: Any, rule: Run, place: int, joint: bool, product: Any
) -> dict[str, Any] | None:  # fmt: skip
    """Return the derivative of a call by one input, as far as it can be shown.

    Rules are linear in the gradient above: ones give the slopes of an elementwise operation, and
    every unit vector a row of the Jacobian matrix.
    """
    if isinstance(g, tuple):
        return None
    above = _raw(g)
    if above.size > _MOST_PROBED or not above.size:
        return None
    wanted = need
    if joint:
        wanted = tuple([one if i == place else False for i, one in enumerate(need)])
    xp = backend_of(above)

    def of(probe: Any) -> Any:
        with set_mode(grad=False):
            found = rule(node, wrap(probe, None) if type(g) is Tensor else probe, k, wanted)
        return _raw(found[place] if joint else found)

    with xp.quiet():
        slopes = of(xp.ones_like(above))
        if slopes.shape == above.shape and _is_elementwise(xp, of, above, slopes):
            return {"kind": "elementwise", "array": summarize(slopes)}
        if above.size <= SMALL and above.size * product.size <= _MOST_JACOBIAN and product.size:
            return {"kind": "jacobian", "array": summarize(_jacobian(xp, of, node, place, above))}
    return None


def _is_elementwise(xp: Any, of: Run, above: Any, slopes: Any) -> bool:
    """Whether each element of a probe is multiplied by its own slope."""
    if slopes.dtype != above.dtype:
        return False
    host = xp.to_host(above)
    probe = host.copy()
    flat = probe.reshape(-1)
    flat[...] = 1
    flat[::3] = -2  # neither constant nor of the period of a usual axis
    flat[1::5] = 0
    found = xp.to_host(of(xp.from_host(probe, xp.device_of(above))))
    if found.shape != probe.shape:
        return False
    wanted = probe * xp.to_host(slopes)
    same = (abs(found - wanted) <= 1e-2 * abs(wanted)) | (found == wanted)
    return bool((same | (found != found) | (wanted != wanted)).all())


def _jacobian(xp: Any, of: Run, node: Any, place: int, above: Any) -> Any:
    host = xp.to_host(above)
    rows, dtype = [], host.dtype
    for i in range(host.size):
        probe = host.copy()
        flat = probe.reshape(-1)
        flat[...] = 0
        flat[i] = 1
        row = xp.to_host(_fitted(node, place, of(xp.from_host(probe, xp.device_of(above)))))
        rows.append(row.reshape(-1).tolist())
        dtype = row.dtype  # the input's: a real output may have a complex one
    return from_data("explain", rows, dtype)
