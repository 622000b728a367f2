"""A primitive: one operation, declared once, with its gradient.

The parameter names of a gradient rule say what it needs, and so what the forward pass saves:

``g``                  the incoming gradient (a tuple where the operation has several outputs)
``k``                  the operations, by name: raw (a backend) or traced (`traced`)
``x``, ``y`` ...       an input, by its declared name (the last of a variadic one is a tuple)
``x_shape`` ...        an input's shape
``out``                the output (a tuple where there are several)
``residual``           what the implementation kept for backward beside its output
``need``               for joint rules: which inputs need a gradient, a tuple of bools
an attribute's name    its value
``node``               the recorded node, for rules that are the user's own

They are read once, when the operation is declared; an unknown name fails at import.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from ..backend import by_array_type, changing, decompositions
from ..backend.cuda.probe import in_forked_child
from ..runtime import set_mode, tick
from .nodes import JointNode, Output
from .tensor import Tensor, recording, wrap

Rule = Callable[..., Any]
Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]

registry: dict[str, Primitive] = {}
traced = SimpleNamespace()  # name -> entry point: the operations that a traced rule runs


class _Implementations(dict[type, Callable[..., Any]]):
    """Array type to implementation, looked up in the backend's table once."""

    def __init__(self, slot: str) -> None:
        self.slot = slot

    def __missing__(self, array_type: type) -> Callable[..., Any]:
        found = by_array_type[array_type].for_entry(self.slot)
        if watch.wrap is not None:
            found = watch.wrap(self.slot, found)
        self[array_type] = found
        return found


class _Watch:
    """What looks at every operation while it is there, as `detect_anomaly` does.

    ``inspects`` is whether one of those that watch must see each operation: then no program that
    was recorded may run in their place.
    """

    __slots__ = ("wrap", "inspects", "_watching", "_content")

    def __init__(self) -> None:
        self.wrap: Wrap | None = None
        self.inspects = False
        self._watching: list[Wrap] = []
        self._content: list[Wrap] = []

    def start(self, wrap: Wrap, *, inspects: bool = True) -> None:
        """Let ``wrap(slot, implementation)`` stand in for every implementation, until `stop`.

        One that doesn't inspect is content with those operations that are called.
        """
        self._watching.append(wrap)
        if not inspects:
            self._content.append(wrap)
        self._exchange()

    def stop(self, wrap: Wrap) -> None:
        """Take it out again, whoever came in meanwhile."""
        self._watching.remove(wrap)
        if wrap in self._content:
            self._content.remove(wrap)
        self._exchange()

    def _exchange(self) -> None:
        several = len(self._watching) > 1
        self.inspects = len(self._watching) > len(self._content)
        self.wrap = self._together if several else next(iter(self._watching), None)
        look_up_again()

    def _together(self, slot: str, run: Callable[..., Any]) -> Callable[..., Any]:
        for one in self._watching:
            run = one(slot, run)
        return run


watch = _Watch()


def look_up_again() -> None:
    """Let all operations look their implementations up anew: what watches them has changed."""
    for op in list(registry.values()):
        op.implementations.clear()
        for replace in op.replacers:
            replace(op.used)


in_forked_child.append(look_up_again)


class _Exchange:
    """Gradient rules that others stand in for, and what was there before."""

    def __init__(
        self, watched: Callable[[Primitive, Rule], Rule], deferring: bool,
        others: Sequence[Primitive],
    ) -> None:  # fmt: skip
        self._watched, self._deferring, self._others = watched, deferring, others
        self._before: list[tuple[Primitive, Any, Any, dict[Primitive, Rule] | None]] = []

    def begin(self) -> None:
        """Exchange the rules of all primitives."""
        for op in [*registry.values(), *self._others]:
            self.exchange(op)

    def exchange(self, op: Primitive) -> None:
        """Exchange the rules of a primitive."""
        defers = op.defers
        self._before.append((op, op.raw, op.run_traced, defers))
        op.raw, op.run_traced, op.defers = self._of(op, op.raw), self._of(op, op.run_traced), None
        if self._deferring and defers is not None:
            op.defers = dict(zip(defers, self._of(op, defers.values()), strict=True))

    def _of(self, op: Primitive, rules: Any) -> Any:
        if callable(rules):
            return self._watched(op, rules)
        return tuple([None if rule is None else self._watched(op, rule) for rule in rules])

    def end(self) -> None:
        """Put back what was there."""
        for op, raw, run_traced, defers in self._before:
            known, now = defers or {}, op.defers or {}
            late = {one: rule for one, rule in now.items() if one not in known}
            if late:  # agreed on meanwhile, by a module that came in
                defers = late if defers is None else defers
                defers.update(late)
            op.raw, op.run_traced, op.defers = raw, run_traced, defers
        self._before.clear()


_exchanges: list[_Exchange] = []  # those that are on, the innermost first
_exchanging = threading.RLock()


def exchange_rules(
    watched: Callable[[Primitive, Rule], Rule], *, deferring: bool = False,
    others: Sequence[Primitive] = (),
) -> Callable[[], None]:  # fmt: skip
    """Let ``watched(op, rule)`` stand in for every gradient rule; return what ends that.

    Nothing is handed over unevaluated meanwhile: it couldn't be looked at. Where ``deferring``, it
    is, and the rules that make what is handed over are exchanged too. ``others`` are primitives
    that can't be found by name. It may end in any order; ``watched`` is asked again for rules that
    it stood around where one below it ends.
    """
    this = _Exchange(watched, deferring, others)

    def restore() -> None:
        with _exchanging:
            above = _exchanges[_exchanges.index(this) + 1 :]
            for one in reversed([this, *above]):
                one.end()
            _exchanges.remove(this)
            for one in above:
                one.begin()

    with _exchanging:
        try:
            this.begin()
        except BaseException:
            this.end()
            raise
        _exchanges.append(this)
    return restore


class Primitive:
    """The declaration of an operation.

    Parameters
    ----------
    name
        The operation's name, and the name of its slot in the backends.
    inputs
        The names of the array inputs; where ``variadic``, the last one stands for any number.
    attributes
        The names of the other arguments, in the order of the implementation's parameters.
    rules
        One gradient rule per input (None: no gradient), or a single joint rule.
    joint
        Whether ``rules`` is one joint rule that returns a gradient per input.
    outputs
        How many arrays the implementation returns; 0 where the number varies.
    view
        Whether the output may share the first input's memory.
    keeps_residual
        Whether the implementation returns ``(out, residual)``.
    rebuild_residual
        ``(k, *inputs, *attributes)``: the residual by traced operations, for derivatives of
        higher order.
    tensors
        Whether the rule runs Tensor code also in an ordinary backward pass: the tape wraps and
        unwraps.
    form
        Which entry point calls it: ``"unary"``, ``"binary"``, ``"attr1"`` or ``"general"``.
    explain
        ``(shapes, *attributes)``: what to say when the implementation raised.
    decompose
        ``(k, *inputs, *attributes)``: the operation by others, where a backend has no slot for it
        or the slot doesn't accept the arguments.
    registered
        Whether the primitive can be found by name, and must have a row in the op table.
    called
        The name in errors, where users call it by another one.
    changes
        Which of its arguments the implementation changes, by place: a tuple, or ``"all"`` arrays.
    """

    __slots__ = (
        "name", "inputs", "attributes", "rules", "joint", "variadic", "outputs", "view",
        "keeps_residual", "rebuild_residual", "tensors", "differentiable", "saves", "saved_names",
        "implementations", "raw", "run_traced", "defers", "explain", "form", "decompose", "plans",
        "called", "replacers", "used", "crosses",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        inputs: Sequence[str],
        rules: Sequence[Rule | None] | Rule | None,
        *,
        attributes: Sequence[str] = (),
        joint: bool = False,
        variadic: bool = False,
        outputs: int = 1,
        view: bool = False,
        keeps_residual: bool = False,
        rebuild_residual: Callable[..., Any] | None = None,
        tensors: bool = False,
        form: str = "general",
        explain: Callable[..., str | None] | None = None,
        decompose: Callable[..., Any] | None = None,
        registered: bool = True,
        called: str | None = None,
        changes: tuple[int, ...] | str = (),
    ) -> None:
        if changes:
            changing[name] = changes
        if registered:
            if name in registry:
                raise TypeError(f"{name}: a primitive of that name is declared already")
            registry[name] = self
        self.name, self.inputs, self.attributes = name, tuple(inputs), tuple(attributes)
        self.called = called or name
        self.joint = joint or variadic
        self.variadic, self.outputs, self.view, self.tensors = variadic, outputs, view, tensors
        self.keeps_residual, self.rebuild_residual = keeps_residual, rebuild_residual
        self.form, self.explain, self.decompose = form, explain, decompose
        self.defers: dict[Primitive, Rule] | None = None
        self.crosses = False  # whether its gradient may be of another kind of array
        self.implementations = _Implementations(name)
        # Entry points hold what they use themselves, the CPU's apart; these give them another.
        self.used: dict[type, Callable[..., Any]] = self.implementations
        self.replacers: list[Callable[[dict[type, Callable[..., Any]]], None]] = []
        if decompose is not None:
            decompositions[name] = decompose
        if rules is None:
            rules = () if self.joint else (None,) * len(self.inputs)
        self.rules: tuple[Rule | None, ...] = (rules,) if callable(rules) else tuple(rules)
        self.differentiable = any(rule is not None for rule in self.rules)
        self.saves = tuple(self._names(rule) for rule in self.rules)
        self.plans: dict[tuple[bool, ...] | int, tuple[tuple[bool, ...], bool, bool]] = {}
        self.saved_names = frozenset(n for names in self.saves for n in names)
        plain = form != "general"
        self.raw: Any = tuple(self._adapter(r, n, plain, False) for r, n in self._pairs())
        self.run_traced: Any = tuple(self._adapter(r, n, plain, True) for r, n in self._pairs())
        if tensors:
            self.raw = tuple(_on_tensors(run) for run in self.run_traced)
        if self.joint and self.differentiable:
            (self.raw,), (self.run_traced,) = self.raw, self.run_traced
        if registered:
            for one in _exchanges:
                one.exchange(self)

    def __repr__(self) -> str:
        return self.name

    def input_names(self, count: int) -> tuple[str, ...]:
        """Return a name for each of ``count`` inputs; a variadic one's last repeats, or lacks."""
        return (self.inputs + (self.inputs[-1],) * (count - len(self.inputs)))[:count]

    def plan(self, need: tuple[bool, ...] | int) -> tuple[tuple[bool, ...], bool, bool]:
        """Return what to save: each input, the output, the residual.

        A joint rule saves the same whatever needs a gradient; for it ``need`` is the number of
        inputs.
        """
        wanted: frozenset[str] | set[str] = self.saved_names
        if isinstance(need, tuple):
            asked = [names for names, wants in zip(self.saves, need, strict=True) if wants]
            wanted = {name for names in asked for name in names}
        count = len(need) if isinstance(need, tuple) else need
        inputs = tuple([name in wanted for name in self.input_names(count)])
        self.plans[need] = plan = (inputs, "out" in wanted, "residual" in wanted)
        return plan

    def _pairs(self) -> Any:
        return zip(self.rules, self.saves, strict=True)

    def _names(self, rule: Rule | None) -> tuple[str, ...]:
        """Read a rule's parameter names and refuse the unknown ones."""
        if rule is None:
            return ()
        names = getattr(rule, "names", None)
        if names is None:
            code = rule.__code__
            names = code.co_varnames[: code.co_argcount]
        known = {"g", "k", "need", "node", "out", "residual", *self.attributes, *self.inputs}
        known |= {f"{name}_shape" for name in self.inputs}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise TypeError(
                f"{self.name}: a gradient rule asks for {unknown[0]!r}; known are {sorted(known)}"
            )
        return tuple(names)

    def _adapter(
        self, rule: Rule | None, names: tuple[str, ...], plain: bool, in_traced: bool
    ) -> Any:
        """Return ``(node, g, k, need) -> rule(...)``, fetching each parameter from the node."""
        if rule is None:
            return None
        fetch = self._fetch_plain if plain else self._fetch_joint
        given = {"g": "g", "k": "k", "need": "need", "node": "n"}
        arguments = [given.get(name) or fetch(name, in_traced) for name in names]
        return _bind(f"lambda n, g, k, need: rule({', '.join(arguments)})", rule)

    def _fetch_plain(self, name: str, in_traced: bool) -> str:
        if name == "out":
            return "wrap(n.out, n)" if in_traced else "n.out"
        if name in self.inputs:
            i = self.inputs.index(name)
            return f"wrap(n.s{i}, n.p{i})" if in_traced else f"n.s{i}"
        if name.endswith("_shape"):
            if len(self.inputs) == 1:
                return "n.s1"
            return f"n.attributes[{self.inputs.index(name.removesuffix('_shape'))}]"
        return "n.attributes"

    def _fetch_joint(self, name: str, in_traced: bool) -> str:
        if name == "out":
            if self.outputs == 1:
                return "wrap(n.out, n)" if in_traced else "n.out"
            return "rebuild_outputs(n)" if in_traced else "n.out"
        if name == "residual":
            return "rebuild_residual(n)" if in_traced else "n.residual"
        if name in self.inputs:
            i = self.inputs.index(name)
            if self.variadic and i == len(self.inputs) - 1:
                return f"rebuild_inputs(n, {i})" if in_traced else f"n.saved[{i}:]"
            return f"wrap(n.saved[{i}], n.parents[{i}])" if in_traced else f"n.saved[{i}]"
        if name.endswith("_shape"):
            i = self.inputs.index(name.removesuffix("_shape"))
            if self.variadic and i == len(self.inputs) - 1:
                return f"tuple([f[0] for f in n.fix[{i}:]])"
            return f"n.fix[{i}][0]"
        return f"n.attributes[{self.attributes.index(name)}]"


def _rebuild_outputs(node: JointNode) -> tuple[Tensor, ...]:
    return tuple([
        wrap(array, make_output(node, i) if node.forms[i][2] else None)
        for i, array in enumerate(node.out)
    ])  # fmt: skip


def _rebuild_inputs(node: JointNode, start: int = 0) -> tuple[Tensor, ...]:
    return tuple([
        wrap(array, parent)
        for array, parent in zip(node.saved[start:], node.parents[start:], strict=True)
    ])  # fmt: skip


def _rebuild_residual(node: JointNode) -> Tensor | None:
    """A constant while nothing is recorded; else made again from the inputs, with their history."""
    if node.residual is None:
        return None
    if not recording() or node.op.rebuild_residual is None:
        return wrap(node.residual, None)
    return node.op.rebuild_residual(traced, *_rebuild_inputs(node), *node.attributes)


def make_output(node: JointNode, index: int) -> Output:
    """Return the node that stands for one output of a node with several."""
    output = Output()
    output.main, output.index, output.born = node, index, tick()
    output.g = output.hooks = None
    return output


def _on_tensors(run: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return a raw adapter for a rule that runs Tensor code: it wraps ``g``, unwraps results."""
    if run is None:
        return None

    def raw(node: Any, g: Any, k: Any, need: Any) -> Any:
        with set_mode(grad=False):
            wrapped = tuple(map(_wrap_raw, g)) if type(g) is tuple else _wrap_raw(g)
            results = run(node, wrapped, traced, need)
        if isinstance(results, tuple | list):
            return [None if r is None else r.array for r in results]
        return None if results is None else results.array

    return raw


def _wrap_raw(g: Any) -> Tensor | None:
    return None if g is None else wrap(g, None)


# Adapters of one pattern share one compiled factory: compiling each would double the import time.
_factories: dict[str, Callable[[Rule], Any]] = {}


def _bind(source: str, rule: Rule) -> Any:
    factory = _factories.get(source)
    if factory is None:
        names = {
            "wrap": wrap,
            "rebuild_outputs": _rebuild_outputs,
            "rebuild_inputs": _rebuild_inputs,
            "rebuild_residual": _rebuild_residual,
        }
        factory = _factories[source] = eval(f"lambda rule: {source}", names)
    return factory(rule)


# -- entry points that ask, at each call, whether to call something else --------------------------
# One gets no slower by it: while it is redirected its implementations are exchanged for some that
# ask. Backward passes, decompositions and changes in place don't ask.
Ask = Callable[[], Callable[..., Any] | None]


class Redirected(Exception):
    """Raised by an implementation of a redirected entry point: what to call instead."""

    def __init__(self, instead: Callable[..., Any]) -> None:
        super().__init__()
        self.instead = instead


class _Asking(dict[type, Callable[..., Any]]):
    """Array type to an implementation that asks first."""

    def __init__(self, op: Primitive, ask: Ask) -> None:
        self.op, self.ask = op, ask

    def __missing__(self, array_type: type) -> Callable[..., Any]:
        implementations, ask = self.op.implementations, self.ask

        def implementation(*args: Any) -> Any:
            instead = ask()
            if instead is None:
                return implementations[array_type](*args)
            raise Redirected(instead)

        self[array_type] = implementation
        return implementation


def redirect(call: Any, ask: Ask | None) -> None:
    """Let an entry point ask before each call; None ends that."""
    op = call.primitive
    op.used = op.implementations if ask is None else _Asking(op, ask)
    for replace in op.replacers:
        replace(op.used)
