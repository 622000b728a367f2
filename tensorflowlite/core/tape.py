"""The backward pass.

Nodes are visited from the youngest to the oldest by their ``born`` tick: a heap holds those that
wait, and is bypassed on chains; there is no recursion. An ordinary pass runs the gradient rules on
raw arrays; with ``create_graph`` the same rules run on tensors and are recorded.

Ownership: the first gradient that reaches a node is borrowed unless its rule made it, two parents
that receive the same array own neither, and an owned one is added into in place. Inside the pass
gradients of complex values are plain transposes; seeds, hooks and results are conjugated at the
boundary, so that users see PyTorch's convention.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Sequence
from typing import Any

from ..backend import as_array, backend_of, by_array_type, ndarray, settled
from ..errors import DeviceError, DtypeError, GradientError, ShapeError, StaleValueError
from ..runtime import changed, changed_by, note_change, owner_of, set_mode, shared
from .graph import count_consumers, forget_gradients, leading_to, parents_of
from .messages import no_room_in_backward
from .nodes import JointNode, Leaf, Node, Output
from .primitive import Primitive, traced
from .tensor import AfterAccumulation, Tensor, operation_of, wrap
from .views import release


class Deferred:
    """An unevaluated gradient, handed to the operation that can do the joint work.

    A subclass says in ``evaluate(k)`` what it stands for, for where nobody takes it.
    """

    __slots__ = ()

    def evaluate(self, k: Any) -> Any:
        """Return the gradient itself, by the raw operations ``k``."""
        raise NotImplementedError


DEFER = "defer"  # in ``need``: the rule may hand over a `Deferred` for this input
_FREED = (
    "backward: the graph was used by an earlier backward pass, which freed it; pass "
    "retain_graph=True to the earlier one"
)


def defer(consumer: Primitive, producer: Primitive, payload: Any = None) -> None:
    """Let ``consumer`` hand ``producer`` an unevaluated gradient, where it is the only consumer.

    ``payload`` is the rule that makes what is handed over, of a consumer of the plain forms; the
    rule of a joint one gets `DEFER` in ``need`` instead of True. The producer is one with a joint
    rule that knows the payload, or one that may defer in its turn: then what it is handed arrives
    in the payload rule's ``g``. Raw passes only: derivatives of higher order see the plain rules.
    """
    if consumer.defers is None:
        consumer.defers = {}
    if payload is not None:
        names = consumer._names(payload)
        payload = consumer._adapter(payload, names, consumer.form != "general", False)
    consumer.defers[producer] = payload


# -- one gradient ----------------------------------------------------------------------------------
def fit_raw(g: Any, shape: Any, dtype: Any, k: Any) -> Any:
    """Un-broadcast and cast a raw gradient to its input's shape and dtype."""
    if g.shape != shape:
        g = k.sum_to(g, shape)
    if g.dtype != dtype:
        g = k.cast(g, dtype)
    return g if type(g) is k.array_type else as_array(g)


def _fit_traced(g: Tensor, shape: Any, dtype: Any, k: Any) -> Tensor:
    if g.array.shape != shape:
        g = traced.sum_to(g, shape)
    if g.array.dtype != dtype:
        g = traced.cast(g, dtype)
    return g


def _check_stale(node: Any) -> None:
    """Raise if a value that ``node`` saved was changed in place since."""
    op, born = node.op, node.born
    if type(node) is Node:
        saved = [
            (name, getattr(node, slot, None))
            for name, slot in zip(op.inputs, ("s0", "s1"), strict=False)
        ]
        saved.append(("out", getattr(node, "out", None)))
    else:
        names = op.input_names(len(node.saved or ())) if op.variadic else op.inputs
        saved = list(zip(names, node.saved or (), strict=False))
        outs = node.out if op.outputs != 1 else (node.out,)
        saved += [("out", array) for array in outs or ()] + [("residual", node.residual)]
    for name, array in saved:
        if array is None or type(array) is tuple or not hasattr(array, "base"):
            continue
        key = id(owner_of(array))
        when = changed.get(key, 0)
        if when > born or (when == born and name not in ("out", "residual")):
            what = f"output {name}" if name in ("out", "residual") else f"input {name}"
            raise StaleValueError(
                f"{op.called} (op #{born}): {what}, {array.dtype} {array.shape}, was changed in "
                f"place by {changed_by[key]} (op #{when}) after it was saved for backward; use an "
                "operation that makes a new tensor instead, or clone() it first"
            )


# -- the pass --------------------------------------------------------------------------------------
class Pass:
    """One backward pass: what waits, what was reached, and how gradients are delivered."""

    def __init__(self, retain: bool, trace: bool, sink: dict[Any, Any] | None,
                 relevant: set[Any] | None) -> None:  # fmt: skip
        self.retain, self.trace, self.sink, self.relevant = retain, trace, sink, relevant
        self.heap: list[int] = []
        self.waiting: dict[int, Any] = {}
        self.leaves: dict[Leaf, None] = {}
        self.roots: list[Any] = []
        self.consumers: dict[Any, int] | None = None
        self.fit: Any = _fit_traced if trace else fit_raw
        self.k: Any = traced
        self.bounded = False  # nothing beyond a target is visited
        self.outside: Any = ()  # targets whose hooks wait for another pass

    def give(self, node: Any, g: Any, owned: bool) -> None:
        """Add a gradient to what has reached ``node``."""
        if node.g is None:
            node.g, node.owned = g, owned
            if type(node) is Leaf:
                self.leaves[node] = None
            else:
                self.waiting[-node.born] = node
                heapq.heappush(self.heap, -node.born)
        elif self.trace:
            node.g = traced.add(node.g, g)
        else:
            k = self.k if type(g) is self.k.array_type else by_array_type[type(g)]
            if type(node.g) is not type(g) and k.join is None:
                k = by_array_type[type(node.g)]  # of the two, the one that knows both
            if node.owned and g.ndim:
                k.add(node.g, g, node.g)
            else:
                total = k.add(node.g, g)
                node.g = total if type(total) is k.array_type else as_array(total)
                node.owned = True

    def may_defer(self, node: Any) -> bool:
        """Whether ``node`` has one consumer and nobody else looks at its gradient."""
        if node.g is not None or node.hooks is not None:
            return False
        if self.sink is not None and node in self.sink:
            return False
        if self.consumers is None:
            self.consumers = count_consumers(self.roots, self.relevant)
        return self.consumers[node] == 1

    def next(self) -> Any:
        return self.waiting.pop(heapq.heappop(self.heap)) if self.heap else None

    def run(self) -> None:
        """Visit every node that waits, and hand the leaves what reached them.

        On an error the graph is left as if nothing had happened.
        """
        node = self.next()
        try:
            while node is not None:
                node = self.plain(node) if type(node) is Node else self.several(node)
            self.deliver()
        except BaseException as error:
            told = no_room_in_backward(error)  # while the gradients are there
            forget_gradients(self.roots)
            if told is None:
                raise
            raise told from error

    def intercept(self, node: Any) -> bool:
        """Run a node's hooks and keep its gradient where it was asked for.

        Returns whether the pass goes on beyond the node.
        """
        if node.hooks and node not in self.outside:
            node.g, node.owned = _run_hooks(node, node.g, self.trace), False
        if self.sink is not None and node in self.sink:
            self.sink[node] = (node.g, node.owned)
            node.owned = False
            relevant = self.relevant or set()
            if self.bounded or not any(parent in relevant for parent in parents_of(node)):
                node.g = None
                return False  # nothing beyond was asked for: what lies there stays as it is
        return True

    def plain(self, node: Node | None) -> Any:
        """Run the rules of nodes of at most two inputs, as long as they come.

        Returns the next node that is of another kind. This loop is the hot path of every backward
        pass: what is rare stands in methods of its own.
        """
        heap, waiting, leaves = self.heap, self.waiting, self.leaves
        trace, relevant, fit, retain = self.trace, self.relevant, self.fit, self.retain
        watched = self.sink is not None
        k = self.k
        expected = Tensor if trace else k.array_type
        while type(node) is Node:
            if (watched or node.hooks is not None) and not self.intercept(node):
                node = self.next()
                continue
            g, owned, op, fix = node.g, node.owned, node.op, node.fix
            node.g = None
            if op is None:
                raise GradientError(_FREED)
            if shared.newest_change >= node.born:
                _check_stale(node)
            deferred = False
            if type(g) is not expected:
                if isinstance(g, Deferred):
                    deferred = True
                else:  # the graph crosses from one device to another
                    k = self.k = by_array_type[type(g)]
                    expected = k.array_type
            p0, p1 = node.p0, node.p1
            if relevant is not None:
                p0 = p0 if p0 in relevant else None
                p1 = p1 if p1 in relevant else None
            if op.defers is not None and p0 is not None and not trace:
                payload = op.defers.get(getattr(p0, "op", None))
                if payload is not None and self.may_defer(p0):
                    self.give(p0, payload(node, g, k, None), True)
                    p0 = None
            if deferred and (p0 is not None or p1 is not None):
                g, owned = g.evaluate(k), True
            rules = op.run_traced if trace else op.raw
            following = None
            if p0 is not None and rules[0] is not None:
                r = rules[0](node, g, k, None)
                if type(r) is not expected:
                    r = as_array(r)
                    if type(r) is not expected:
                        r = settled(r, g, op.crosses)
                if fix is not None:
                    r = fit(r, fix[0], fix[1], k)
                if r is g:
                    mine = owned = owned and p1 is None  # two that receive it own neither
                else:
                    # A view of an owned g may be handed on with it, unless elements repeat.
                    mine = trace or r.base is None or (
                        owned and p1 is None and r.base is g and 0 < r.size == g.size
                    )
                if p0.g is None:
                    p0.g, p0.owned = r, mine
                    if type(p0) is Leaf:
                        leaves[p0] = None
                    else:
                        following = p0
                else:
                    self.give(p0, r, mine)
            if p1 is not None and rules[1] is not None:
                r = rules[1](node, g, k, None)
                if type(r) is not expected:
                    r = as_array(r)
                    if type(r) is not expected:
                        r = settled(r, g, op.crosses)
                if fix is not None:
                    r = fit(r, fix[2], fix[3], k)
                mine = trace or (r is not g and r.base is None)
                if p1.g is None:
                    p1.g, p1.owned = r, mine
                    if type(p1) is Leaf:
                        leaves[p1] = None
                    else:
                        waiting[-p1.born] = p1
                        heapq.heappush(heap, -p1.born)
                elif p1.owned and not trace and r.ndim:  # as `give` does; here for speed
                    k.add(p1.g, r, p1.g)
                else:
                    self.give(p1, r, mine)
            if not retain:
                node.s0 = node.s1 = node.out = node.op = None
            if following is None:
                node = waiting.pop(heapq.heappop(heap)) if heap else None
            elif heap and heap[0] < -following.born:  # something younger waits
                waiting[-following.born] = following
                node = waiting.pop(heapq.heapreplace(heap, -following.born))
            else:
                node = following
        return node

    def several(self, node: Any) -> Any:
        """Visit a node of another kind than `Node`; return the next one that waits."""
        if (self.sink is None and node.hooks is None) or self.intercept(node):
            g = node.g
            node.g = None
            if type(node) is Output:
                self.give_output(node, g)
            else:
                op = node.op
                if op is None:
                    raise GradientError(_FREED)
                if shared.newest_change >= node.born:
                    _check_stale(node)
                self.joint(node, op, g)
                if not self.retain:
                    release(node)
        return self.next()

    def joint(self, node: JointNode, op: Primitive, g: Any) -> None:
        """Run the rule of a node with any number of inputs and outputs."""
        trace, relevant = self.trace, self.relevant
        parents = node.parents
        if relevant is not None:
            parents = tuple([p if p in relevant else None for p in parents])
        if op.outputs != 1:
            g = self.fill_outputs(node, g)
        elif not trace and type(g) is not self.k.array_type and type(g) in by_array_type:
            self.k = by_array_type[type(g)]
        k = self.k
        need: tuple[Any, ...] = tuple([p is not None for p in parents])
        first = parents[0] if parents else None
        if op.defers is not None and first is not None and not trace:
            producer = getattr(first, "op", None)
            if producer in op.defers and self.may_defer(first):
                need = (DEFER, *need[1:])
        if op.joint:
            results = (op.run_traced if trace else op.raw)(node, g, k, need)
        else:
            rules = op.run_traced if trace else op.raw
            results = [
                rule(node, g, k, need) if wanted and rule is not None else None
                for rule, wanted in zip(rules, need, strict=True)
            ]
        given: list[Any] = [*g] if op.outputs != 1 else [g]  # handed on, they have other owners
        for parent, r, form, wanted in zip(parents, results, node.fix, need, strict=True):
            if parent is None or r is None:
                continue
            if wanted is DEFER:
                self.give(parent, r, True)
                continue
            if type(r) is not (Tensor if trace else k.array_type):
                r = settled(r, g, op.crosses)
            if form is not None:
                r = self.fit(r, form[0], form[1], k)
            again = any(r is other for other in given)
            given.append(r)
            self.give(parent, r, trace or (r.base is None and not again))

    def give_output(self, output: Output, g: Any) -> None:
        """Collect the gradient of one output at the node that has them all."""
        main = output.main
        if main.op is None:
            raise GradientError(_FREED)
        if main.g is None:
            main.g, main.owned = [None] * len(main.forms), False
            self.waiting[-main.born] = main
            heapq.heappush(self.heap, -main.born)
        before = main.g[output.index]
        if before is not None:
            g = traced.add(before, g) if self.trace else as_array(self.k.add(before, g))
        main.g[output.index] = g

    def fill_outputs(self, node: JointNode, g: list[Any]) -> tuple[Any, ...]:
        """Return the gradients of all outputs, zeros where none arrived."""
        like = next(one for one in g if one is not None)
        if not self.trace and type(like) is not self.k.array_type:
            self.k = by_array_type[type(like)]
        return tuple([
            self.k.zeros_for(like, shape, dtype) if one is None and inexact else one
            for one, (shape, dtype, inexact) in zip(g, node.forms, strict=True)
        ])  # fmt: skip

    # -- delivery --------------------------------------------------------------------------------
    def deliver(self) -> None:
        """Hand the leaves what reached them."""
        for leaf in self.leaves:  # hooks may raise: all run before the first leaf is touched
            if leaf.hooks and leaf not in self.outside:
                leaf.g, leaf.owned = _run_hooks(leaf, leaf.g, self.trace), False
        for leaf in self.leaves:
            g, owned = leaf.g, leaf.owned
            leaf.g = None
            if self.sink is not None:
                if leaf in self.sink:
                    self.sink[leaf] = (g, owned)
                continue
            self.accumulate(leaf, g, owned)
            for hook in leaf.hooks or ():
                if type(hook) is AfterAccumulation:
                    hook.run()

    def accumulate(self, leaf: Leaf, g: Any, owned: bool) -> None:
        array = g.array if self.trace else g
        if type(array) is not ndarray:
            by_array_type[type(array)].check_leaf(array, leaf)
        if leaf.dtype.kind == "c":
            g, owned = traced.conj(g) if self.trace else as_array(backend_of(g).conj(g)), True
        before = leaf.grad
        if self.trace:
            leaf.grad = g if before is None else traced.add(before, g)
        elif before is None:
            leaf.grad = wrap(own(g, owned, leaf), None)
        else:
            backend_of(g).add(before.array, g, before.array)
            note_change(before.array, "backward")


def own(g: Any, owned: bool, leaf: Any = None) -> Any:
    """Return ``g`` if nobody else has it and it lies as ``leaf``'s array does; else a copy."""
    if leaf is None:
        return g if owned and g.base is None else backend_of(g).copy(g)
    if owned and g.strides == leaf.strides:
        return g
    copied = backend_of(g).empty_strided(g, leaf.shape, leaf.dtype, leaf.strides, leaf.dense)
    copied[...] = g
    return copied


def _run_hooks(node: Any, g: Any, trace: bool) -> Any:
    tensor = g if trace else wrap(g, None)
    is_complex = tensor.array.dtype.kind == "c"
    if is_complex:
        tensor = traced.conj(tensor)
    before = tensor
    with set_mode(grad=trace):
        for hook in list(node.hooks):
            result = hook(tensor)
            if result is not None:
                if type(result) is not Tensor or result.shape != before.shape:
                    got = getattr(result, "shape", type(result).__name__)
                    raise ShapeError(
                        f"register_hook: the hook must return None or a Tensor of shape "
                        f"{before.shape}, got {got}"
                    )
                tensor = result
        if tensor.dtype != before.dtype:
            tensor = traced.cast(tensor, before.dtype)
        if is_complex:
            tensor = traced.conj(tensor)
    return tensor if trace else tensor.array


@functools.cache
def _ones_of(dtype: Any) -> Any:
    ones = as_array(1, dtype)
    ones.flags.writeable = False
    return ones


# -- the public ways in ----------------------------------------------------------------------------
def _seed(name: str, output: Tensor, gradient: Tensor | None, trace: bool) -> Any:
    """Return the incoming gradient of an output, raw or traced."""
    array = output.array
    if output.node is None:
        raise GradientError(
            f"{name}: the output must require grad, got {array.dtype} {array.shape} without "
            "history; it was made under no_grad, detached, or from tensors that don't require grad"
        )
    if gradient is None:
        if array.size != 1:
            raise GradientError(
                f"{name}: the output must be a scalar, got shape {array.shape}; pass "
                "gradient=, or reduce it with sum() or mean()"
            )
        ones = _ones_of(array.dtype) if type(array) is ndarray and array.ndim == 0 else None
        if ones is None:
            ones = backend_of(array).ones_like(array)
        return wrap(ones, None) if trace else ones
    if type(gradient) is not Tensor:
        raise DtypeError(f"{name}: gradient must be a Tensor, got {type(gradient).__name__}")
    if gradient.shape != array.shape:
        raise ShapeError(
            f"{name}: gradient must have the output's shape {array.shape}, got {gradient.shape}"
        )
    if type(gradient.array) is not type(array) and gradient.device != output.device:
        raise DeviceError(
            f"{name}: gradient must be on the output's device {output.device}, got "
            f"{gradient.device}"
        )
    if gradient.dtype != array.dtype or array.dtype.kind == "c":
        with set_mode(grad=trace):
            gradient = traced.conj(traced.cast(gradient, array.dtype))
    join = None if type(array) is ndarray else by_array_type[type(array)].join
    if join is not None:
        gradient = join((gradient, output))[0]
    return gradient if trace else gradient.array


def _start(
    name: str, this: Pass, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> None:
    """Seed a pass and run it."""
    roots = this.roots
    try:
        for output, gradient in zip(outputs, gradients, strict=True):
            seed = _seed(name, output, gradient, this.trace)
            if not this.trace and not roots:
                this.k = backend_of(seed)
            roots.append(output.node)
            this.give(output.node, seed, False)
    except BaseException:
        for root in roots:
            root.g = None
        raise
    this.run()


def _run(
    name: str, this: Pass, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> None:
    if not outputs:
        raise GradientError(f"{name}: at least one output is needed, got none")
    with backend_of(outputs[0].array).quiet():  # a slope of infinity is no news: sqrt at 0
        if not this.trace:  # rules run on raw arrays: there is nothing to record
            _start(name, this, outputs, gradients)
            return
        with set_mode(grad=True):
            _start(name, this, outputs, gradients)


def backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Accumulate the gradients of ``outputs`` in the leaves they depend on, or in ``inputs``."""
    retain = create_graph if retain_graph is None else retain_graph
    relevant = None
    if inputs is not None:
        for x in inputs:
            x.retain_grad()  # raises where it doesn't require grad
        roots = [output.node for output in outputs if output.node is not None]
        relevant = leading_to(roots, [x.node for x in inputs])
        outputs, gradients = _reaching(relevant, outputs, gradients)
    _run("backward", Pass(retain, create_graph, None, relevant), outputs, gradients)


def _reaching(relevant: set[Any], outputs: Any, gradients: Any) -> tuple[Any, Any]:
    """Return the outputs that depend on what is asked for; those without history raise later."""
    pairs = [
        (y, g)
        for y, g in zip(outputs, gradients, strict=True)
        if y.node is None or y.node in relevant
    ]
    return [y for y, _ in pairs], [g for _, g in pairs]


def grad(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    retain_graph: bool | None = None,
    create_graph: bool = False,
    relevant: set[Any] | None = None,
) -> list[Tensor | None]:
    """Return the gradients of ``outputs`` by ``inputs``; None for an input that wasn't reached.

    ``relevant`` are the nodes to visit, where they are known; the pass ends at the inputs then.
    """
    for i, x in enumerate(inputs):
        if x.node is None:
            raise GradientError(f"grad: inputs[{i}] must require grad, got {x.dtype} {x.shape}")
    retain = create_graph if retain_graph is None else retain_graph
    targets = [x.node for x in inputs]
    sink: dict[Any, Any] = dict.fromkeys(targets)
    this = Pass(retain, create_graph, sink, relevant)
    this.bounded = relevant is not None
    if relevant is None:
        roots = [output.node for output in outputs if output.node is not None]
        this.relevant = leading_to(roots, targets)
    _run("grad", this, outputs, gradients)
    results = []
    with set_mode(grad=create_graph):
        for x in inputs:
            found = sink[x.node]
            results.append(_result(found, x, create_graph))
            if found is not None:
                sink[x.node] = (found[0], False)  # an input that is named twice gets a copy
    return results


def _result(found: Any, x: Tensor, trace: bool) -> Tensor | None:
    if found is None:
        return None
    g, owned = found
    if x.array.dtype.kind == "c":
        g, owned = traced.conj(g) if trace else as_array(backend_of(g).conj(g)), True
    if trace:
        return g
    alone = owned and (type(g) is ndarray or by_array_type[type(g)].alone(g))
    return wrap(own(g, alone), None)


def name_of(tensor: Tensor) -> str:
    """Return the name of the operation that made a tensor; ``"leaf"`` where none did."""
    return "leaf" if tensor.is_leaf else operation_of(tensor.node)
