"""What `jit` needs of the core: tensors that become part of a recording, and leave it.

While a thread records, every tensor that an operation meets holds a `CapturedArray`: arguments
from the start, a tensor from outside (a parameter, a state) from the first operation that sees it.
At the end all of them hold their own arrays again. What was met, and how it was found, is what a
replay has to check before it runs.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from ..backend import backend_of
from ..backend.batching.batched_array import BatchedArray
from ..backend.programs.capture import Capture, capturing, inside
from ..backend.programs.captured_array import CapturedArray
from ..backend.programs.program import Program, root_of
from ..errors import CaptureError
from ..runtime import mode, shared
from .nodes import Leaf
from .primitive import Redirected, traced, watch
from .tensor import Tensor, operation_of, recording, wrap

# One thread records at a time; a second one that would runs its function as it is.
turn = threading.Lock()


_is_tensor: Callable[[Any], bool] = Tensor.__instancecheck__


def _young_tensors() -> list[Tensor]:
    """Return the tensors of the collector's first generation.

    One call looks through all objects, and leaves none of the others: while it runs no other thread
    does, which would fail to make a tuple of a generator where somebody holds the unfinished one.
    """
    found: Iterable[Any]
    try:
        found = list(filter(_is_tensor, chain.from_iterable(map(gc.get_objects, (0,)))))
    except Exception:  # of an object that gives itself another class: a weak proxy, a mock
        found = gc.get_objects(0)
    # One that another thread is making has no array yet.
    return [one for one in found if type(one) is Tensor and hasattr(one, "array")]


class Outside:
    """A tensor from outside: what it held when the recording began, and its gradient then.

    ``grad`` is ``"none"``, ``"kept"`` (added to), ``"set"`` (whatever it was) or ``"ignored"``
    (nothing has asked for it).
    """

    __slots__ = (
        "tensor", "array", "captured", "differentiated", "hooks", "grad", "before", "needed",
    )  # fmt: skip

    def __init__(self, tensor: Tensor, array: Any, captured: CapturedArray) -> None:
        self.tensor, self.array, self.captured = weakref.ref(tensor), array, captured
        self.differentiated = type(tensor.node) is Leaf
        self.hooks = hooks_of(tensor)
        self.grad, self.before, self.needed = "set", None, True


class Marks:
    """Tensors, not kept alive, each with the first thing that was said of it."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def add(self, x: Tensor, what: Any = None) -> None:
        if x not in self:
            self._found[id(x)] = (weakref.ref(x), what)

    def __contains__(self, x: Tensor) -> bool:
        found = self._found.get(id(x))
        return found is not None and found[0]() is x

    def items(self) -> list[tuple[Tensor, Any]]:
        """Return those that are alive, and what was said."""
        pairs = [(reference(), what) for reference, what in self._found.values()]
        return [(x, what) for x, what in pairs if x is not None]


def hooks_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the identities of the hooks of a leaf."""
    return tuple(map(id, getattr(tensor.node, "hooks", None) or ()))


class Session:
    """One recording of one call of a function, on this thread."""

    def __init__(self) -> None:
        self.capture = Capture()
        self.capture.session = self  # type: ignore[attr-defined]
        self.capture.fresh_among = self._fresh_among
        self.skipped = False  # whether something was left out for what a value was
        self.outside: list[Outside] = []
        self.inputs: list[tuple[Tensor, Any]] = []
        self.grads_set = Marks()
        self.grads_before = Marks()  # with the gradient at first
        self.grads_read = Marks()
        self.grads_missing = Marks()
        self.observed: dict[int, tuple[Any, Any, tuple[Any, ...]]] = {}
        self.collecting = False
        self._survivors: list[weakref.ref[Tensor]] = []

    # -- beginning and end -------------------------------------------------------------------------
    def __enter__(self) -> Session:
        self.collecting = gc.isenabled()
        gc.collect(0)
        gc.disable()  # what is young at the end was made while recording
        mode.capture = self.capture
        shared.captures = 1
        watch.start(_entering)
        return self

    def __exit__(self, *exception: object) -> None:
        mode.capture = None
        shared.captures = 0
        watch.stop(_entering)
        self._restore()
        if isinstance(exception[1], CaptureError):  # any other leaves what it leaves without jit
            self._roll_back()
        # The recording's arrays go now, not when the collector finds a cycle.
        self.capture.close()
        del self.capture.session, self.capture.fresh_among  # type: ignore[attr-defined]
        if self.collecting:
            gc.enable()

    def _roll_back(self) -> None:
        """Leave no half of a step behind: memory and gradients are as they were before."""
        self.capture.roll_back()
        for tensor, grad in self.grads_before.items():
            if type(tensor.node) is Leaf:
                tensor.node.grad = grad

    def _restore(self) -> None:
        """Give all tensors their own arrays back, also where the function has raised."""
        for tensor, array in self.inputs:
            tensor.array = array
        for one in self.outside:
            held = one.tensor()
            if held is not None:
                held.array = one.array
        for tensor in self.young():
            array = tensor.array
            if type(array) is CapturedArray and array.capture is self.capture:
                tensor.array = array.value

    def young(self) -> list[Tensor]:
        """Return the tensors that were made since the recording began and are alive."""
        found = _young_tensors()
        survivors = [reference() for reference in self._survivors]
        return found + [one for one in survivors if one is not None]

    def _forget_garbage(self) -> None:
        """Let go of what only cycles hold; what is left is still known as young."""
        self._survivors = [weakref.ref(one) for one in self.young()]
        gc.collect(0)

    # -- tensors from outside ----------------------------------------------------------------------
    def add_input(self, x: Tensor) -> int:
        """Make an argument part of the program, and return its number."""
        self.check_history("an argument", x)
        known = len(self.capture.values)
        array = x.array
        captured = self.capture.enter("input", array)
        if captured.index != known:
            raise CaptureError(
                "jit: two arguments must not be the same tensor or share their array, got "
                f"{array.dtype.name} {tuple(array.shape)} twice; pass a copy"
            )
        self.inputs.append((x, array))
        x.array = captured
        return known

    def enter(self, x: Tensor) -> None:
        """Make a tensor part of the program, if it isn't."""
        array = x.array
        if type(array) is CapturedArray or type(array) is BatchedArray:
            return
        self.check_history("a tensor from outside", x)
        captured = self.capture.enter("outside", array)
        if self.capture.values[captured.index].kind == "input":
            raise CaptureError(
                "jit: a tensor from outside must not hold an argument's array, got "
                f"{array.dtype.name} {tuple(array.shape)}; pass a copy"
            )
        one = Outside(x, array, captured)
        self.outside.append(one)
        x.array = captured
        if one.differentiated:
            self._enter_grad(x, one)

    @staticmethod
    def check_history(what: str, x: Tensor) -> None:
        """Raise for a tensor that operations made which aren't recorded."""
        node = x.node
        if node is not None and type(node) is not Leaf and recording():
            raise CaptureError(
                f"jit: {what} must have no history, got {x.array.dtype.name} "
                f"{tuple(x.array.shape)} made by {operation_of(node)}; compute it inside the "
                "function, or detach() it"
            )

    def _enter_grad(self, x: Tensor, one: Outside) -> None:
        grad = x.node.grad
        self.grads_before.add(x, grad)
        if x in self.grads_set:
            one.grad = "set"
        elif grad is None:
            one.grad = "none"
        else:
            one.grad, one.before = "kept", grad
            self.enter(grad)

    def note_grad(self, x: Tensor, how: str) -> None:
        """Remember that the gradient of a leaf was set, read, or found missing."""
        array = x.array
        if type(array) is CapturedArray:
            values = self.capture.values
            if values[root_of(values, array.index)].kind == "made":
                return  # a leaf of the function's own
        grad = x.node.grad
        self.grads_before.add(x, grad)
        if how == "written":
            self.grads_set.add(x)
            self.enter(x)
            self._forget_grad(x, grad)
            return
        self.grads_read.add(x)
        self.enter(x)
        if grad is None and x not in self.grads_set:
            self.grads_missing.add(x)

    def _forget_grad(self, x: Tensor, grad: Tensor | None) -> None:
        """Let a gradient that was dropped before anything used it be whatever it is."""
        for one in self.outside:
            if one.tensor() is x and one.grad != "set":
                if grad is None or (
                    grad is one.before and grad.array.index not in self.capture.used
                ):
                    one.grad, one.before = "set", None
            elif grad is not None and one.tensor() is grad:
                one.needed = one.captured.index in self.capture.used

    def ignore_grads(self) -> None:
        """Let the gradients that nothing has asked for or changed be whatever they are."""
        used = self.capture.used
        ignored = set()
        for one in self.outside:
            x = one.tensor()
            if one.grad == "set" or x is None or type(x.node) is not Leaf:
                continue
            asked = x in self.grads_set or x in self.grads_read or x.node.grad is not one.before
            if asked or (one.before is not None and one.before.array.index in used):
                continue
            ignored.add(id(one.before))
            one.grad, one.before = "ignored", None
        for one in self.outside:
            if id(one.tensor()) in ignored:
                one.needed = False

    def _fresh_among(self, places: set[int]) -> set[int]:
        """Return the values that came in while recording: no tensor from before holds them."""
        young = {id(one) for one in self.young()}
        found = set(places)
        for one in self.outside:
            tensor = one.tensor()
            if tensor is not None and id(tensor) not in young:
                found.discard(one.captured.index)
        return found

    def unless(self, flags: Sequence[Tensor], run: Callable[[], Any]) -> Any:
        """Record what ``run`` does as what is left out where a flag is true.

        Where one is now, nothing runs, and what was recorded is of no use.
        """
        flag = flags[0]
        for other in flags[1:]:
            flag = traced.add(flag, other)
        self.enter(flag)
        value = flag.array.value
        if backend_of(value).to_host(value):
            self.skipped = True
            return None
        before = self.capture.unless
        if before is not None:
            raise CaptureError("jit: a step that depends on a value can't stand inside another")
        self.capture.unless = flag.array.index
        try:
            return run()
        finally:
            self.capture.unless = None

    def observe(self, owner: Any, values: Callable[[Any], tuple[Any, ...]]) -> None:
        """Remember values of an object: where others stand there, the recording doesn't fit."""
        if id(owner) not in self.observed:
            self.observed[id(owner)] = (owner, values, values(owner))

    # -- the result --------------------------------------------------------------------------------
    def escaped(self, kept: Iterable[Tensor]) -> list[Tensor]:
        """Return the tensors made while recording that live on, beside those given."""
        known = {id(one) for one in kept}
        known |= {id(one.base[0]) for one in kept if type(one.base) is tuple}
        found = self._escaping(known)
        if found:
            del found
            self._forget_garbage()
            found = self._escaping(known)
        return found

    def _escaping(self, known: set[int]) -> list[Tensor]:
        values = self.capture.values
        found = []
        for one in self.young():
            if type(one.array) is not CapturedArray or id(one) in known:
                continue
            if one.array.capture is not self.capture:
                continue
            index = root_of(values, one.array.index)
            if values[index].kind != "outside" or self._fresh_among({index}):
                found.append(one)
        return found

    def settle(self, outputs: Sequence[int]) -> None:
        """Make what came in while recording constants; results that are constants become copies."""
        capture, values = self.capture, self.capture.values
        outside = {i for i, value in enumerate(values) if value.kind == "outside"}
        for index in self._fresh_among(outside):
            values[index] = values[index]._replace(kind="constant")
        for index in outputs:
            root = root_of(values, index)
            if values[root].kind == "constant":
                capture.originals.setdefault(root, capture.held[root].copy())

    def rebound(self) -> list[Tensor]:
        """Return the tensors from outside that hold another array now."""
        pairs = [(one.tensor(), one.captured) for one in self.outside]
        return [x for x, captured in pairs if x is not None and x.array is not captured]

    def number_of(self, x: Tensor) -> int:
        """Return the number of a tensor's array in the program."""
        self.enter(x)
        return int(x.array.index)

    def program(self, inputs: Sequence[int], outputs: Sequence[int]) -> Program:
        """Return what was recorded."""
        return self.capture.program(tuple(inputs), tuple(outputs))


def _entering(slot: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return an implementation that, on a thread that records, has its tensors captured first."""
    if hasattr(found, "captures"):
        return found

    def run(*args: Any, **options: Any) -> Any:
        capture = mode.capture
        if capture is None or capture.running or type(args[0]) is BatchedArray:
            return found(*args, **options)
        raise Redirected(_again(slot, capture.session))

    return run


def _again(slot: str, session: Session) -> Callable[..., Any]:
    """Return what calls an operation once more when its tensors have been captured."""

    def call(*args: Any) -> Any:
        tensors = [x for x in args if isinstance(x, Tensor)]
        for x in tensors:
            session.enter(x)
        return getattr(traced, slot)(*args)

    return call


def unless(flags: Sequence[Tensor], run: Callable[[], Any]) -> Any:
    """Return ``run()``, or None where a flag, 0-d, is true; `jit` records the choice itself."""
    if mode.capture is not None:
        return mode.capture.session.unless(flags, run)
    return None if any(bool(flag) for flag in flags) else run()


def _join(tensors: Any) -> Any:
    """Make the operands of one operation part of the recording.

    A thread that doesn't record gets the arrays themselves of what lies outside.
    """
    capture = mode.capture
    if capture is None:
        return tuple([
            wrap(inside(x.array), x.node) if type(x) is Tensor else x for x in tensors
        ])  # fmt: skip
    for x in tensors:
        if type(x) is Tensor:
            capture.session.enter(x)
    return tensors


capturing.join = _join
