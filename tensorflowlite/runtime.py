"""What all threads and floors share: grad mode, the clock of in-place changes.

Grad mode is per thread. A thread-local read costs 40 ns, so one global count of the threads that
are off the default guards it: while it is zero, nobody reads the thread-local.

In-place changes are found by a clock. ``changed`` maps the identity of the array that owns a piece
of memory to the tick of its newest change, and ``shared.newest_change`` is the newest of all: the
backward pass makes one compare per node, and looks further only where something was changed after
the node was born.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Mode(threading.local):
    grad = True
    views = True  # whether views are registered with their root (off in inference mode)
    levels: tuple[Any, ...] = ()  # of the calls of vmap that run, the innermost last
    capture: Any = None  # what records the raw calls of a function that `jit` runs


class _Shared:
    __slots__ = ("special", "newest_change", "casting", "captures")

    def __init__(self) -> None:
        self.special = 0  # how many threads have grad mode off
        self.newest_change = 0
        self.casting = 0  # how many regions of autocast are entered
        self.captures = 0  # how many threads record for `jit`


mode = _Mode()
shared = _Shared()
tick = itertools.count(1).__next__
_lock = threading.Lock()

changed: dict[int, int] = {}
changed_by: dict[int, str] = {}  # what made that newest change
_owners: dict[int, weakref.ref[Any]] = {}
_prune_at = 4096


_PACKAGE = __name__.partition(".")[0]


def is_ours(frame: Any) -> bool:
    """Whether a frame runs code of this package."""
    # The adapters of rules are compiled without a module of their own.
    name = frame.f_globals.get("__name__")
    return name is None or name.partition(".")[0] == _PACKAGE


def users_level() -> int:
    """Return the ``stacklevel`` of a warning that the caller gives, for the user's own line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and is_ours(frame):
        level, frame = level + 1, frame.f_back
    return level


_GENERATOR = 0x20  # inspect.CO_GENERATOR, without the cost of importing inspect


class set_mode:
    """Set grad mode for the current thread: a context manager and a decorator."""

    def __init__(self, grad: bool, views: bool = True) -> None:
        self._wanted = (grad, views)
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((mode.grad, mode.views))
        self._set(self._wanted)

    def __exit__(self, *exception: object) -> None:
        self._set(self._before.pop())

    def __call__(self, function: _Function) -> _Function:
        wanted = self._wanted
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _GENERATOR:
            return cast(_Function, _generator_in_mode(function, wanted))

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with set_mode(*wanted):
                return function(*args, **kwargs)

        return cast(_Function, wrapped)

    @staticmethod
    def _set(wanted: tuple[bool, bool]) -> None:
        grad, views = wanted
        if grad != mode.grad:
            with _lock:
                shared.special += -1 if grad else 1
        mode.grad, mode.views = grad, views


def _generator_in_mode(
    function: Callable[..., Any], wanted: tuple[bool, bool]
) -> Callable[..., Any]:
    """Return a generator function whose body runs in a mode, while its caller stays in its own."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        steps = function(*args, **kwargs)
        resume, value = steps.send, None
        while True:
            with set_mode(*wanted):
                try:
                    item = resume(value)
                except StopIteration as stop:
                    return stop.value
            try:
                resume, value = steps.send, (yield item)
            except GeneratorExit:
                with set_mode(*wanted):
                    steps.close()
                raise
            except BaseException as error:
                resume, value = steps.throw, error

    return wrapped


def owner_of(array: Any) -> Any:
    """Return the end of ``array``'s chain of bases: the array that stands for its memory."""
    kind, base = type(array), array.base
    while type(base) is kind:
        array, base = base, base.base
    return array


def note_change(array: Any, by: str) -> int:
    """Record that ``by`` just changed ``array``'s memory in place, and return the tick of it."""
    return note_changes((array,), by)


def note_changes(arrays: Iterable[Any], by: str) -> int:
    """Record the same of several arrays, at one tick."""
    now = tick()
    for array in arrays:
        owner = array if array.base is None else owner_of(array)
        key = id(owner)
        changed[key] = now
        changed_by[key] = by
        reference = _owners.get(key)
        if reference is None or reference() is not owner:
            _owners[key] = weakref.ref(owner)
            if len(_owners) > _prune_at:
                _prune()
    shared.newest_change = now
    return now


class Changes:
    """Changes that are made to the same arrays again and again, which stay alive."""

    def __init__(self, arrays: Iterable[Any], by: str) -> None:
        self._arrays, self._by = list(arrays), by
        self._owners = [owner_of(array) for array in self._arrays]
        self._makers: dict[int, str] = {}
        self._last = 0

    def note(self) -> None:
        """Record that they were just changed, at one tick, as `note_changes` does."""
        if not self._makers:
            self._last = note_changes(self._arrays, self._by)  # which knows their owners then
            self._makers = dict.fromkeys(map(id, self._owners), self._by)
            return
        if shared.newest_change != self._last:  # something else has changed others, or these
            changed_by.update(self._makers)
        self._last = now = tick()
        changed.update(dict.fromkeys(self._makers, now))
        shared.newest_change = now


def _prune() -> None:
    """Forget the arrays that are gone; a later one of the same identity has younger nodes."""
    global _prune_at
    with _lock:
        for key in [key for key, reference in list(_owners.items()) if reference() is None]:
            _owners.pop(key, None)
            changed.pop(key, None)
            changed_by.pop(key, None)
        _prune_at = max(4096, 2 * len(_owners))


class _Seed:
    """The seed that everything random starts from, and how often it was set."""

    __slots__ = ("value", "generation")

    def __init__(self) -> None:
        self.value = 0
        self.generation = 0


seed = _Seed()


def set_seed(value: int) -> None:
    """Set the seed; generators notice by its generation and start anew."""
    seed.value = value
    seed.generation += 1


def observe(owner: Any, values: Callable[[Any], tuple[Any, ...]]) -> None:
    """Let what this thread records for `jit` depend on what ``values(owner)`` returns.

    Called while `shared.captures` isn't zero: by what acts on plain Python values.
    """
    capture = mode.capture
    if capture is not None:
        capture.session.observe(owner, values)
