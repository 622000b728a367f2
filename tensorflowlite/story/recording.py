"""Recording a story: what notices calls, backward passes, gradient rules and steps.

While a story is recorded a few functions are exchanged for others that write down what they see and
call what they stand for; afterwards they are the very ones that were there. Only the thread that
began is looked at.
"""

from __future__ import annotations

import bisect
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..backend import as_array, backend_of, is_array
from ..core.graph import nodes_below
from ..core.nodes import JointNode, Leaf, Node, Output
from ..core.primitive import Primitive, exchange_rules, registry, watch
from ..core.tape import Pass
from ..core.tensor import Tensor
from ..optim import Optimizer
from ..optim.grad_scaler import GradScaler
from ..runtime import mode, tick
from ..transforms.exchanging import Exchanges
from ..transforms.function import Function
from ..transforms.sites import Site, user_frames
from .flows import Flows
from .iteration import Iteration
from .places import Places
from .updates import names_of, record_changes, record_step

_UNTOLD = "Operations inside vmap, or recorded by jit, aren't told one by one."
_SAID = 60  # characters of an attribute
failures: list[Exception] = []  # the latest of what recordings themselves couldn't do


class Recorder:
    """Writes down what happens from `start` to `stop`."""

    def __init__(self) -> None:
        self.places = Places()
        self.iterations = [Iteration()]
        self.optimizers: list[Optimizer] = []
        self.notes: list[str] = []
        self.passes: list[Pass] = []  # those that run, the innermost last
        self.in_rules = 0
        self.is_trying = False  # whether an optimizer calls its closure
        self._ends = False  # whether an optimizer has ended the step under way
        self._resting = 0
        self._thread = threading.get_ident()
        self._exchanges = Exchanges()
        self._flows = Flows(self)
        self._ticks: list[int] = []
        self._nodes: list[tuple[str, int, int]] = []  # by ticks: operation, iteration, call

    # -- on and off --------------------------------------------------------------------------------
    def start(self) -> None:
        """Exchange the functions."""
        exchange = self._exchanges.exchange
        exchange(Pass, "run", self._pass(Pass.run))
        exchange(Tensor, "detach", self._detach(Tensor.detach))
        exchange(Function, "apply", classmethod(self._apply(vars(Function)["apply"].__func__)))
        exchange(GradScaler, "update", self._rested(GradScaler.update))
        self._watch_steps()
        self._restore_rules = exchange_rules(self._flows.watched)
        watch.start(self.wrap)

    def stop(self) -> None:
        """Put all back that was there."""
        watch.stop(self.wrap)
        self._restore_rules()
        self._flows.restore()
        self._exchanges.restore()
        self.attempt(self.end_iteration)
        self._resting += 1  # who came in later may still hand on to what stood in

    def _watch_steps(self) -> None:
        self._exchanges.exchange_in_all(Optimizer, "step", self._step)
        self._exchanges.exchange_in_all(Optimizer, "zero_grad", self._rested)

    @property
    def here(self) -> Iteration:
        """The iteration under way."""
        return self.iterations[-1]

    def is_looking(self) -> bool:
        """Whether what happens now, on this thread, is to be written down."""
        if self._resting or threading.get_ident() != self._thread:
            return False
        if mode.levels or mode.capture is not None:
            self.note(_UNTOLD)
            return False
        return not self.in_rules or (len(self.passes) == 1 and self.passes[0].trace)

    def can_read(self, arrays: Iterable[Any]) -> bool:
        """Whether arrays have values: those of a whole batch, made inside vmap, haven't."""
        if any(is_array(one) and backend_of(one).join is not None for one in arrays):
            self.note(_UNTOLD)
            return False
        return True

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Look away: from what the recording itself computes, and the inside of a step."""
        self._resting += 1
        try:
            yield
        finally:
            self._resting -= 1

    def note(self, sentence: str) -> None:
        """Tell something about the story as a whole, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def attempt(self, look: Callable[..., Any], *args: Any) -> Any:
        """Look at something; what fails in that is a gap in the story, never the user's error."""
        try:
            with self.resting():
                return look(*args)
        except Exception as error:
            del failures[:-10]
            failures.append(error)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self.note(f"Something couldn't be recorded, so that the story has a gap: {text}")
            return None

    def next_iteration(self) -> None:
        """End the iteration under way, unless it is empty."""
        self._ends = False
        if not self.here.is_empty():
            self.end_iteration()
            self.iterations.append(Iteration())

    def end_iteration(self) -> None:
        """Write down what was done to parameters by hand, and give names to the values."""
        self.finish()
        record_changes(self)

    def finish(self) -> None:
        """Give names to the values of the iteration under way."""
        for optimizer in self.optimizers:
            for place, p in enumerate(_parameters(optimizer)):
                self._name(p, f"params[{place}]", "parameter")
        for name, p in self.places.named("parameters"):
            self._name(p, name, "parameter")
        for name, buffer in self.places.named("buffers"):
            self._name(buffer, name, "input")

    def _name(self, tensor: Tensor, name: str, kind: str) -> None:
        place = self.here.place_of(tensor.array)
        known = place is not None and self.here.values[place]["name"]
        if not known or not name.startswith("params["):
            self.here.name(tensor.array, name, kind)

    # -- operations --------------------------------------------------------------------------------
    def wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return an implementation that writes its calls down."""
        op = registry.get(name)
        if op is None:
            return run

        def recorded(*args: Any, **options: Any) -> Any:
            if not self.is_looking() or not self.can_read(args):
                return run(*args, **options)
            begun = self.attempt(lambda: self._begin_call(_inputs(op, args)))
            result = run(*args, **options)
            result, outputs = _as_arrays(op, result)
            if begun is not None:
                site, inputs = begun
                self.attempt(
                    lambda: self.call(op, site, inputs, outputs, _attributes(op, args))
                )
            return result

        return recorded

    def _begin_call(
        self, given: list[tuple[str, Any]], goes_on: bool = True
    ) -> tuple[Site, list[tuple[str, int]]]:
        """Return where a call was made, and the numbers of what it is given.

        ``goes_on``: whether it may belong to the step that an optimizer has just ended.
        """
        site = Site()
        self._begin_step([x for _, x in given] if goes_on else [], site)
        return site, [(label, self.value(x)) for label, x in given]

    def _begin_step(self, arrays: list[Any], site: Site) -> None:
        here = self.here
        if self._ends:
            if not self._goes_on(arrays) and not self._belongs_to_step(arrays, site):
                self.next_iteration()
            return
        by_hand = bool(here.passes) and mode.grad and not self.passes
        if by_hand and any(self._is_stepped(array) for array in arrays):
            self.next_iteration()

    def _goes_on(self, arrays: list[Any]) -> bool:
        """Whether a call after an optimizer's step goes on with what was computed before it.

        A generator's loss does: it takes what was generated before the discriminator's step, and
        its gradient flows back through calls of this iteration.
        """
        here = self.here
        places = [place for array in arrays if (place := here.place_of(array)) is not None]
        if not mode.grad or self.passes or not any(map(here.carries_gradient, places)):
            return False
        # A layer is called: another step is under way. What is only looked at is no step.
        self._ends = not any(here.values[place]["kind"] == "parameter" for place in places)
        return True

    def _belongs_to_step(self, arrays: list[Any], site: Site) -> bool:
        """Whether a call does something to parameters after their step: clips or averages them."""
        here = self.here
        if mode.grad or site.modules is not None:
            return False
        for place in map(here.place_of, arrays):
            value = None if place is None else here.values[place]
            made_by = None if value is None else value["made_by"]
            if value is not None and value["kind"] == "parameter":
                return True
            if made_by is not None and here.calls[made_by]["phase"] == "update":
                return True
        return False

    def _is_stepped(self, array: Any) -> bool:
        """Whether an array is a parameter that was changed in place, as a step by hand does."""
        here = self.here
        place = here.place_of(array)
        if place is None or here.values[place]["kind"] != "parameter":
            return False
        # An optimizer's step may stand in the middle of an iteration.
        return here.is_changed(array) and all(one["value"] != place for one in here.updates)

    def value(self, array: Any) -> int:
        """Return the number of an array that something is done with."""
        place = self.here.place_of(array)
        if place is not None:
            is_changed = self.here.is_changed(array)
            if is_changed:
                place = self.here.met_again(array)
            if is_changed or place in self.here.fresh:  # a parameter may be made in the step itself
                name, is_parameter = self._name_of(array)
                if mode.grad:  # what initialises it records nothing
                    self.here.fresh.discard(place)
                if is_parameter:
                    self.here.name(array, name, "parameter")
            return place
        name, is_parameter = self._name_of(array)
        kind = "parameter" if is_parameter else "input"
        if not name and array.ndim == 0:
            kind = "constant"
        return self.here.met(array, kind=kind, name=name)

    def _name_of(self, array: Any) -> tuple[str, bool]:
        """Return an array's path in a model, or its variable, and whether it is a parameter."""
        name, is_parameter = variable_of(array)
        if is_parameter:  # ``for p in model.parameters()`` has another name for it
            paths = self.places.named("parameters")
            name = next((path for path, p in paths if p.array is array), name)
        return name, is_parameter

    def is_parameter(self, place: int, leaf: Leaf) -> None:
        """Note that the gradient of a value is kept: it ends there."""
        self.here.leaves[place] = leaf
        value = self.here.values[place]
        value["kind"] = "parameter"
        if not value["name"]:
            array = self.here.array_of(place)
            value["name"] = "" if array is None else variable_of(array)[0]

    def call(
        self, op: Primitive | str, site: Site, inputs: list[tuple[str, int]], outputs: list[Any],
        attributes: dict[str, str],
    ) -> int:  # fmt: skip
        """Write a call down, which has just been made."""
        here = self.here
        phase, number = "forward", None
        if self.passes:
            phase, number = "backward", len(here.passes) - 1
        elif here.passes and not mode.grad:
            phase = "update"  # what clips gradients, or takes a step by hand
        call = here.add("call", {
            "operation": self.places.operation(op), "module": self.places.module(site),
            "source": self.places.source(site),
            "inputs": [{"name": name, "value": value} for name, value in inputs],
            "outputs": [], "attributes": attributes, "recorded": False,
            "phase": phase, "pass": number,
        })  # fmt: skip
        here.told.append((op, mode.grad))
        # A node takes its tick right after its implementation ran; other threads tick between.
        self._ticks.append(tick())
        name = op if isinstance(op, str) else op.name
        self._nodes.append((name, len(self.iterations) - 1, call))
        of_numbers = all(value in here.fresh or here.is_nameless(value) for _, value in inputs)
        for array in outputs:
            place = here.met(array, made_by=call)
            here.calls[call]["outputs"].append(place)
            if of_numbers:
                here.fresh.add(place)
        return call

    def call_of(self, node: Any) -> int | None:
        """Return the number of the call, in the iteration under way, that recorded a node."""
        if type(node) is Output:
            node = node.main
        if type(node) is Leaf or node.op is None:
            return None
        place = bisect.bisect(self._ticks, node.born) - 1
        if place < 0 or self._nodes[place][0] != node.op.name:
            return None  # made where nobody looked: inside vmap, or by an earlier story
        _, iteration, call = self._nodes[place]
        return call if iteration == len(self.iterations) - 1 else None

    def _detach(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def detach(x: Any) -> Any:
            detached = original(x)
            if x.node is None or not mode.grad or self.passes or not self.is_looking():
                return detached
            detached.array = x.array[...]  # the same memory, but told apart
            given = [("x", x.array)]
            self.attempt(lambda: self.call(
                "detach", *self._begin_call(given, goes_on=False), [detached.array], {}
            ))  # fmt: skip
            return detached

        return detach

    def _apply(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def apply(cls: Any, *args: Any) -> Any:
            if not self.is_looking():
                return original(cls, *args)
            given = [
                (f"values[{i}]", x.array) for i, x in enumerate(args) if isinstance(x, Tensor)
            ]
            begun = self.attempt(self._begin_call, given)
            with self.resting():
                result = original(cls, *args)
            if begun is not None:
                self.attempt(self._applied, cls.__name__, begun, result)
            return result

        return apply

    def _applied(self, name: str, begun: tuple[Any, Any], result: Any) -> None:
        """Write a call of a user's own function down."""
        results = result if isinstance(result, tuple) else (result,)
        outputs = [one.array for one in results if isinstance(one, Tensor)]
        made = [one.node for one in results if isinstance(one, Tensor) and one.node is not None]
        call = self.call(name, *begun, outputs, {})
        for node in made:
            main = node.main if type(node) is Output else node
            self._flows.watch_own(main.op)
            self._ticks[-1] = main.born
        self.here.calls[call]["recorded"] = bool(made)

    # -- backward passes ---------------------------------------------------------------------------
    def _pass(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run(this: Any) -> None:
            if self._resting or threading.get_ident() != self._thread or self.in_rules:
                original(this)
                return
            self.attempt(self._begin_pass, this)
            self.passes.append(this)
            self._flows.begin()
            try:
                original(this)
            finally:
                self.passes.pop()
                self.attempt(self._flows.end)

        return run

    def _begin_pass(self, this: Pass) -> None:
        if self._ends:
            self.next_iteration()
        here = self.here
        value = None
        try:
            self._mark(this.roots)
            value = self._value_of(next(iter(this.roots), None))
        finally:
            here.add("pass", {"root": value, "create_graph": bool(this.trace)})
        if here.loss is None and value is not None:
            here.loss = here.values[value]["array"].get("values", [None])[0]

    def _value_of(self, node: Any) -> int | None:
        """Return the value whose gradient a node stands for; of a leaf none."""
        call = None if node is None else self.call_of(node)
        if call is None:
            return None
        index = node.index if type(node) is Output else 0
        outputs = self.here.calls[call]["outputs"]
        return outputs[index] if index < len(outputs) else None

    def _mark(self, roots: Any) -> None:
        """Mark the calls that the tape knows, below the roots."""
        for node in nodes_below(roots):
            call = self.call_of(node) if type(node) in (Node, JointNode) else None
            if call is not None:
                self.here.calls[call]["recorded"] = True

    # -- steps -------------------------------------------------------------------------------------
    def _step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.is_looking() or self.passes or self.is_trying:
                return original(optimizer, *args, **kwargs)
            self._watch_steps()  # a class that was defined since has a step of its own
            if all(known is not optimizer for known in self.optimizers):
                self.optimizers.append(optimizer)
            closure = bool(args) or kwargs.get("closure") is not None
            if closure:
                self.note(
                    f"{type(optimizer).__name__} calls a closure: the losses that it tries are "
                    "told, and of the parameters the step as a whole."
                )
            result = record_step(self, optimizer, closure, lambda: original(
                optimizer, *args, **kwargs))  # fmt: skip
            self.here.optimized.update(names_of(self, optimizer).values())
            self._ends = True
            return result

        return step

    def _rested(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def rested(*args: Any, **kwargs: Any) -> Any:
            with self.resting():
                return original(*args, **kwargs)

        return rested


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _inputs(op: Primitive, args: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the arrays that a call was given, with their names."""
    count = len(args) - len(op.attributes) if op.variadic else len(op.inputs)
    given = args[: max(count, 0)]
    return [
        (name, x) for name, x in zip(op.input_names(len(given)), given, strict=False) if is_array(x)
    ]


def _attributes(op: Primitive, args: tuple[Any, ...]) -> dict[str, str]:
    rest = args[len(args) - len(op.attributes) :] if op.variadic else args[len(op.inputs) :]
    return {name: _said(value) for name, value in zip(op.attributes, rest, strict=False)}


def _said(value: Any) -> str:
    if is_array(value) or type(value) is Tensor:
        return f"{value.dtype} {value.shape}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = " ".join(repr(value).split())
    return text if len(text) <= _SAID else text[: _SAID - 1] + "…"


def _as_arrays(op: Primitive, result: Any) -> tuple[Any, list[Any]]:
    """Return an implementation's result, scalars made arrays, and the arrays of its outputs."""
    if op.keeps_residual:
        out, residual = result
        plain, outputs = _as_arrays_of(out)
        return (plain, residual), outputs
    return _as_arrays_of(result)


def _as_arrays_of(out: Any) -> tuple[Any, list[Any]]:
    if isinstance(out, tuple | list):
        arrays = [one if is_array(one) else as_array(one) for one in out]
        return type(out)(arrays) if type(out) in (tuple, list) else out, arrays
    array = out if is_array(out) else as_array(out)
    return array, [array]


def variable_of(array: Any) -> tuple[str, bool]:
    """Return the name that the user's code has for an array, and whether it is a parameter.

    The outermost name: functions call what they are given ``x``.
    """
    found = ("", False)
    for frame in user_frames():
        for space in (frame.f_globals, frame.f_locals):
            for name, one in list(space.items()):
                if type(one) is Tensor and one.array is array and name.isidentifier():
                    found = name, bool(one.is_leaf and one.requires_grad)
                    break
    return found
