"""The moments of a training that rules look at, and how they are noticed.

While `strict` is on, a few functions are exchanged for others that tell the rules and call what
they stand for; afterwards they are the very ones that were there. Nothing asks whether it is on.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..core import tape
from ..core.graph import nodes_below
from ..core.primitive import watch
from ..core.tensor import Tensor
from ..data import DataLoader
from ..nn import Module
from ..optim import Optimizer
from ..runtime import mode, tick
from ..transforms.exchanging import Exchanges
from ..transforms.sites import Site
from .rules import ALL, Rule
from .rules.values import magnitude

_MOST_SITES = 8192
_RECENT = 4  # backward passes


class Call:
    """A call of an operation: its name, raw arguments and, afterwards, its raw result."""

    __slots__ = ("name", "args", "result", "_watcher", "_site", "_born")

    def __init__(self, watcher: Watcher, name: str, args: tuple[Any, ...]) -> None:
        self._watcher, self.name, self.args = watcher, name, args
        self.result: Any = None
        self._site: Site | None = None
        self._born: int | None = None

    def place(self) -> tuple[Site, str]:
        """Return where it was called: the line, and the module's path."""
        if self._site is None:
            self._site = Site()
        return self._site, self._site.path()

    def keep(self) -> int:
        """Remember the place for `Graph.place`; return the tick of the node that is made next."""
        if self._born is None:  # a node takes its tick right after its implementation returned
            self._born = self._watcher.keep(self.name, self.place()[0])
        return self._born


class Graph:
    """What a backward pass goes through."""

    def __init__(self, watcher: Watcher, roots: Iterable[Any]) -> None:
        self._watcher = watcher
        self.nodes = [node for node in nodes_below(roots) if hasattr(node, "op")]

    def place(self, node: Any) -> tuple[Site, str]:
        """Return where the operation of a node was called, or else the backward pass."""
        name, site = self._watcher.sites.get(node.born, ("", None))
        if site is None or name != getattr(node.op, "name", ""):
            site = Site()
        return site, site.path()


class Step:
    """A step of an optimizer."""

    def __init__(self, watcher: Watcher, optimizer: Optimizer) -> None:
        self.watcher, self.optimizer, self.site = watcher, optimizer, Site()
        self.parameters: list[Tensor] = [
            p for group in optimizer.param_groups for p in group["params"] if p.requires_grad
        ]

    def name_of(self, p: Tensor) -> str:
        """Return a parameter's path in its module, or what else tells it from others."""
        known = self.watcher.names().get(p.node)
        if known:
            return known
        for group in self.optimizer.param_groups:
            for i, one in enumerate(group["params"]):
                if one is p:
                    return group.get("param_names", {i: f"params[{i}]"})[i]
        return ""

    @functools.cached_property
    def magnitudes(self) -> dict[int, float]:
        """The greatest magnitude of each gradient, by the parameter's identity."""
        return {id(p): magnitude(p.grad) for p in self.parameters if p.grad is not None}


class Watcher:
    """What tells the rules, from `start` to `stop`."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self._exchanges = Exchanges()
        self._state = _State()
        self.sites: dict[int, tuple[str, Site]] = {}  # by the ticks of the nodes that were made
        self.backwards = 0
        self.reached: dict[Any, int] = {}  # leaf to the number of the pass that reached it last
        self.optimizers: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self.models: weakref.WeakSet[Module] = weakref.WeakSet()

    def _looking(self, moment: str) -> list[Any]:
        """Return that moment of the rules that look at it."""
        return [
            getattr(rule, moment)
            for rule in self._rules
            if getattr(type(rule), moment) is not getattr(Rule, moment)
        ]

    # -- on and off --------------------------------------------------------------------------------
    def start(self) -> None:
        """Exchange the functions."""
        exchange = self._exchanges.exchange
        exchange(tape, "_run", self._backward(tape._run))
        exchange(Module, "__call__", self._called(Module.__call__))
        exchange(DataLoader, "__iter__", self._iterated(DataLoader.__iter__))
        exchange(Optimizer, "__init__", self._made(Optimizer.__init__))
        self._watch_steps()
        watch.start(self.wrap)

    def stop(self) -> None:
        """Put all back that was there."""
        watch.stop(self.wrap)
        self._exchanges.restore()

    # -- operations --------------------------------------------------------------------------------
    def wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return an implementation that tells the rules, where one looks at the operation."""
        wanted = [r for r in self._rules if name in r.operations or r.operations == ALL]
        before = [r.before_call for r in wanted if type(r).before_call is not Rule.before_call]
        after = [r.after_call for r in wanted if type(r).after_call is not Rule.after_call]
        if not wanted:
            return run

        def watched(*args: Any, **options: Any) -> Any:
            if not _is_looked_at():
                return run(*args, **options)
            call = Call(self, name, args)
            for tell in before:
                tell(call)
            call.result = run(*args, **options)
            for tell in after:
                tell(call)
            return call.result

        return watched

    def keep(self, name: str, site: Site) -> int:
        """Remember a site for the node that is made next, and return its tick."""
        if len(self.sites) > _MOST_SITES:
            for key in list(self.sites)[: _MOST_SITES // 2]:
                del self.sites[key]
        born = tick() + 1
        self.sites[born] = name, site
        return born

    # -- modules -----------------------------------------------------------------------------------
    def _called(self, original: Callable[..., Any]) -> Callable[..., Any]:
        before, after = self._looking("before_module"), self._looking("after_module")
        state = self._state

        @functools.wraps(original)
        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if not _is_looked_at():
                return original(module, *args, **kwargs)
            outermost = state.depth == 0
            if outermost:
                self.models.add(module)
            for tell in before:
                tell(module, args, outermost)
            started = tick()
            state.depth += 1
            try:
                output = original(module, *args, **kwargs)
            finally:
                state.depth -= 1
            if outermost:
                for tell in after:
                    tell(module, started, tick())
            return output

        return call

    def names(self) -> dict[Any, str]:
        """Return the paths of the parameters of all models that were called, by their leaves."""
        return {
            p.node: path
            for model in self.models
            for path, p in model.named_parameters()
            if p.requires_grad
        }

    # -- backward passes ---------------------------------------------------------------------------
    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        before = self._looking("before_backward")

        @functools.wraps(original)
        def run(name: str, this: Any, outputs: Any, gradients: Any) -> None:
            if mode.capture is None:
                graph = Graph(self, [y.node for y in outputs if y.node is not None])
                for tell in before:
                    tell(graph)
            original(name, this, outputs, gradients)
            if this.sink is None:
                self._note(this.leaves)

        return run

    def _note(self, leaves: Iterable[Any]) -> None:
        self.backwards += 1
        self.reached.update(dict.fromkeys(leaves, self.backwards))
        # A leaf keeps its gradient alive: of an input that required one, say. Those go.
        oldest = self.backwards - _RECENT
        stale = [leaf for leaf, last in list(self.reached.items()) if last < oldest]
        if stale:
            held = self.held()
            for leaf in stale:
                if leaf not in held:
                    self.reached.pop(leaf, None)

    def held(self) -> set[Any]:
        """Return the leaves of all parameters of the optimizers that are known."""
        optimizers = list(self.optimizers)
        return {p.node for one in optimizers for group in one.param_groups for p in group["params"]}

    # -- steps -------------------------------------------------------------------------------------
    def _watch_steps(self) -> None:
        self._exchanges.exchange_in_all(Optimizer, "step", self._stepped)

    def _made(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def make(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            self._watch_steps()  # a class that was defined since has a step of its own
            self.optimizers.add(optimizer)

        return make

    def _stepped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        before, after = self._looking("before_step"), self._looking("after_step")
        state = self._state

        @functools.wraps(original)
        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if optimizer in state.stepping or mode.capture is not None:
                return original(optimizer, *args, **kwargs)
            self.optimizers.add(optimizer)
            closure = bool(args) or kwargs.get("closure") is not None
            this = Step(self, optimizer)
            state.stepping.append(optimizer)
            try:
                if not closure:
                    for tell in before:
                        tell(this)
                result = original(optimizer, *args, **kwargs)
            finally:
                state.stepping.remove(optimizer)
            if closure:  # the gradients came meanwhile
                for tell in before:
                    tell(this)
            for tell in after:
                tell(this)
            return result

        return step

    # -- loaders -----------------------------------------------------------------------------------
    def _iterated(self, original: Callable[..., Any]) -> Callable[..., Any]:
        batches, epochs = self._looking("after_batch"), self._looking("after_epoch")

        def looked_at(loader: Any, given: Iterator[Any]) -> Iterator[Any]:
            for batch in given:
                before = self.backwards
                yield batch
                for tell in batches:
                    tell(loader, batch, self.backwards > before)
            for tell in epochs:
                tell(loader)

        @functools.wraps(original)
        def iterate(loader: Any) -> Iterator[Any]:
            return looked_at(loader, original(loader))

        return iterate


class _State(threading.local):
    """What a thread is inside of."""

    depth = 0  # of modules

    def __init__(self) -> None:
        self.stepping: list[Any] = []


def _is_looked_at() -> bool:
    """Whether gradients are recorded; not inside vmap, nor while a program is made."""
    return mode.grad and not mode.levels and mode.capture is None
