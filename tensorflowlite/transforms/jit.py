"""`jit`: a function recorded once as a program of raw calls, and replayed without its Python.

The first call runs as it is. The second and third are recorded, and must give the same program;
later ones replay it. The key (shapes, dtypes, strides, devices, Python values) chooses among
recordings; guards (`jit_guards`) decide whether one still means the same. Where no recording fits,
the call is recorded anew.
"""

from __future__ import annotations

import functools
import threading
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.capture import turn
from ..core.primitive import watch
from ..core.tensor import Tensor
from ..errors import ArgumentError, CaptureError
from ..runtime import mode, shared, users_level
from .jit_keys import key_of
from .jit_recording import Options, Recording, bring_in_passes, record
from .sites import user_line
from .tree import Structure, flatten

_MOST_KEYS = 64  # of one function; the least recently used goes
_MOST_RECORDINGS = 8  # of one key
_WARN_AFTER, _STOP_AFTER = 4, 16  # recordings of one key


_PATIENCE = 10.0  # seconds to wait while another thread records, which may wait for this one
_FUSIONS = ("none", "exact", "all")
_ordering = threading.RLock()  # held while keys are added, dropped or listed, in their order


class CacheInfo(NamedTuple):
    """What became of a function's calls: see `Jitted.cache_info`."""

    replayed: int
    recorded: int
    eager: int
    programs: int


class _Key:
    """What is known of the calls of one key."""

    __slots__ = ("calls", "ready", "unproven", "recorded", "reason", "stopped", "escaped")

    def __init__(self) -> None:
        self.calls = self.recorded = 0
        self.ready: list[Recording] = []
        self.unproven: list[Recording] = []
        self.reason = ""
        self.stopped = self.escaped = False


class Jitted:
    """A function that `jit` was applied to. Called as the function itself.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> @tfl.jit
    ... def double(x):
    ...     return x * 2
    >>> for i in range(5):
    ...     y = double(tfl.tensor([1.0, i]))
    >>> y, double.cache_info().replayed
    (tensor([2., 8.]), 2)
    """

    def __init__(
        self, function: Callable[..., Any], options: Options | None = None,
        dynamic_batch: bool = False,
    ) -> None:  # fmt: skip
        bring_in_passes()
        self._function, self._options = function, options or Options()
        self._keys: OrderedDict[Any, _Key] = OrderedDict()
        self._most_keys = _MOST_KEYS
        self._replayed = self._recorded = self._eager = 0
        functools.update_wrapper(self, function, updated=())
        self._batches: Any = None
        if dynamic_batch:
            from .jit_batches import MOST_SIZES, Batches  # at first use: not at import

            self._batches = Batches(function, self._called, self._options)
            self._most_keys = MOST_SIZES

    @property
    def _called(self) -> str:
        return getattr(self._function, "__name__", type(self._function).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if shared.captures:
            if mode.capture is not None or mode.levels:
                return self._function(*args, **kwargs)
        elif mode.levels or watch.inspects:  # somebody looks at every operation
            return self._function(*args, **kwargs)
        leaves: list[Any]
        structure: Structure | int
        if kwargs:  # in the order of their names
            kwargs = dict(sorted(kwargs.items()))
            leaves, structure = flatten((args, kwargs))
        else:
            for one in args:
                if type(one) is not Tensor:
                    leaves, structure = flatten(args)
                    break
            else:
                leaves, structure = list(args), len(args)
        key = key_of(leaves, structure, bool(kwargs))
        found = self._keys.get(key)
        if found is not None:
            for recording in found.ready:
                if not recording.guards.holds():
                    self._replayed += 1
                    return recording.replay(leaves)
        return self._miss(key, found, leaves, args, kwargs)

    def _miss(self, key: Any, found: _Key | None, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        with _ordering:
            if found is None:
                found = self._keys.setdefault(key, _Key())
                if len(self._keys) > self._most_keys:
                    self._keys.popitem(last=False)
            if key in self._keys:  # no other thread has dropped it
                self._keys.move_to_end(key)
        found.calls += 1
        sizes = None if self._batches is None else self._batches.sizes_of(key, leaves)
        plain = found.calls == 1 and not (sizes is not None and sizes.paddable)
        if plain or found.stopped or (sizes is not None and sizes.runs_plainly):
            self._eager += 1
            return self._function(*args, **kwargs)
        if not turn.acquire(timeout=_PATIENCE):  # another thread records
            self._eager += 1
            return self._function(*args, **kwargs)
        try:
            # While another thread recorded, it held tensors that this function reads too, as the
            # states of random numbers: with that over, a program may fit.
            fits = next((one for one in found.ready if not one.guards.holds()), None)
            if fits is None:
                self._tell(found)
                if not found.stopped:
                    return self._record(found, sizes, key, leaves, args, kwargs)
        finally:
            turn.release()
        if fits is None:
            return self._function(*args, **kwargs)
        self._replayed += 1
        return fits.replay(leaves)

    def _record(
        self, found: _Key, sizes: Any, key: Any, leaves: list[Any], args: Any, kwargs: Any
    ) -> Any:
        """Call the function and write down what it computes."""
        try:
            fitting = [one for one in found.unproven if not one.guards.holds()]
            # States are made at their first use: once that is no harm.
            result, recording = record(
                self._function, leaves, args, kwargs, forgiving=not found.escaped
            )
            self._keep(found, fitting, recording)
            if sizes is not None and recording is not None:
                self._pad(found, sizes, recording, key, leaves)
        except CaptureError as error:
            _locate(error)
            raise
        return result

    def _keep(self, found: _Key, fitting: list[Recording], recording: Recording | None) -> None:
        if recording is None:
            found.escaped = True
            self._eager += 1
            return
        recording.options = self._options
        self._recorded += 1
        found.recorded += 1
        found.escaped = False
        self._prove(found, fitting, recording)

    def _prove(self, found: _Key, fitting: list[Recording], recording: Recording) -> None:
        """Replay a program only when a second recording gave the same one."""
        for one in fitting:
            difference = one.difference(recording)
            found.unproven.remove(one)
            if not difference:
                found.ready.insert(0, recording)
                del found.ready[_MOST_RECORDINGS:]
                return
            found.reason = difference
        found.unproven.append(recording)
        del found.unproven[:-_MOST_RECORDINGS]

    def _pad(
        self, found: _Key, sizes: Any, recording: Recording, key: Any, leaves: list[Any]
    ) -> None:
        """Let a program for larger batches run calls such as the one that was recorded."""
        ready = self._batches.ready(sizes, recording, key, leaves)
        if ready is None:
            with _ordering:
                self._batches.trim(self._keys)
            return
        found.ready.insert(0, ready)
        del found.ready[_MOST_RECORDINGS:]
        found.unproven.clear()

    def _tell(self, found: _Key) -> None:
        """Warn of a function that is recorded again and again, and in the end let it be."""
        if found.recorded < _WARN_AFTER:
            return
        why = next((r for one in found.ready if (r := one.guards.holds())), "") or found.reason
        if found.recorded >= _STOP_AFTER:
            found.stopped = True
            told = "and runs as it is from now on"
        elif found.recorded == _WARN_AFTER:
            told = "and is recorded once more"
        else:
            return
        warnings.warn(
            f"jit: {self._called} was recorded {found.recorded} times for arguments of one form, "
            f"{told}; what changed last: {why or 'nothing that was recorded before'}",
            RuntimeWarning,
            stacklevel=users_level(),
        )

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Return the function bound to an instance, where it was defined in a class."""
        return self if instance is None else types.MethodType(self, instance)

    # -- to look at --------------------------------------------------------------------------------
    def cache_info(self) -> CacheInfo:
        """Return how many calls were replayed, recorded and run as they are, and the programs.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> tfl.jit(tfl.sin).cache_info()
        CacheInfo(replayed=0, recorded=0, eager=0, programs=0)
        """
        with _ordering:
            programs = [one for key in self._keys.values() for one in (*key.ready, *key.unproven)]
        recorded = self._recorded
        if self._batches is not None:
            recorded += self._batches.recorded
            programs += self._batches.programs()
        # Padded batches of many sizes have one program.
        distinct = {id(getattr(one, "recording", one)) for one in programs}
        return CacheInfo(self._replayed, recorded, self._eager, len(distinct))

    def cache_clear(self) -> None:
        """Forget all recordings.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> tfl.jit(tfl.sin).cache_clear()
        """
        with _ordering:
            self._keys.clear()
        if self._batches is not None:
            self._batches.clear()

    def memory_stats(self) -> dict[str, int]:
        """Return what the last replay of the newest program took of memory, on a CPU.

        Returns
        -------
        dict
            ``arena_bytes`` of memory that was planned, ``lasting_bytes`` of results, how many
            arrays were asked for (``requests``), for how many of them memory was allocated that
            was neither planned nor waiting in the cache (``allocations``), and how many replays
            were written down to plan (``traced``). Empty before a replay, on another device, and
            without the native extension.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> f = tfl.jit(lambda x: tfl.exp(tfl.sin(x)) * 2)
        >>> for _ in range(5):
        ...     y = f(tfl.ones(3))
        >>> f.memory_stats().get("allocations", 1)  # of the result
        1
        """
        recording = self._newest()
        return {} if recording is None else recording.memory_stats()

    def _newest(self) -> Recording | None:
        with _ordering:
            for one in reversed(self._keys.values()):
                for recording in (*one.ready, *one.unproven):
                    return recording
        return None

    def explain(self) -> str:
        """Return the newest program as text, a line for each raw call.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> f = tfl.jit(lambda x: tfl.sin(x) * 2)
        >>> for _ in range(3):
        ...     y = f(tfl.ones(3))
        >>> print(f.explain())
        %1 float32[3] = sin(%0)  [12 bytes]
        %3 float32[3] = multiply(%1, %2)  [12 bytes]
        """
        recording = self._newest()
        if recording is None:
            return f"{self._called}: nothing is recorded yet"
        note = "" if self._batches is None else self._batches.note()
        return recording.listing() + (f"\n{note}" if note else "")


def _locate(error: CaptureError) -> None:
    """Say in the message which line of the user's code it was."""
    line = user_line(error)
    if line:
        error.args = (f"{error.args[0]}; in {line}", *error.args[1:])


def jit(
    function: Callable[..., Any] | None = None, *, fusion: str = "exact",
    static_outputs: bool = False, dynamic_batch: bool = False,
) -> Any:  # fmt: skip
    """Record a function as a program of array calls, and replay it without its Python.

    For a whole training step (forward pass, ``backward``, the optimizer's step) or inference alone.
    The first call runs as it is; the second and third are recorded; where both gave the same
    program, later calls replay it. The results are those of the function itself, bit for bit but
    for what NaN is made of, and unless ``fusion="all"``.

    Parameters
    ----------
    function : callable
        Takes and returns tensors, nested in tuples, lists and dicts; other arguments must be
        hashable, and a change of one records anew. Without it, jit is a decorator.
    fusion : str
        Which runs of elementwise operations become one pass over memory. ``"exact"``, the default:
        those whose results have the bits of the operations themselves (arithmetic, comparisons,
        ``where``, casts, ``relu``, ``sqrt`` ...). ``"all"``: also functions such as ``exp`` and
        ``tanh`` and the sums, means and extremes that end a run; float32 and float64 may then
        differ in the last bits. ``"none"``: no run.
    static_outputs : bool
        Let every replay of a program write its results and gradients where the last one did,
        instead of into new memory: then it allocates nothing. What an earlier call returned is
        overwritten (copy what is to stay); where a backward needs it, that raises. Rows that are
        cut from the results of padded batches are copies, which stay.
    dynamic_batch : bool
        Let batches of many sizes share programs: for inference. Arguments whose leading axes change
        together are batched. A batch of two or more samples is padded to the next power of two, at
        least 8, by repeating its last sample, and the results are cut: where every operation keeps
        the rows of the samples apart, and no result is a view of an argument. Otherwise each size
        has a program of its own; `Jitted.explain` says why. Each size is recorded once, to see that
        the function does the same for it, and once for each power of two the function is also
        called with a padded batch. Products and sums of other numbers of rows may round otherwise.
        Empty batches run as they are.

    Returns
    -------
    Jitted
        Called as the function; `Jitted.cache_info` and `Jitted.explain` show what happens.

    Raises
    ------
    ArgumentError
        ``function`` can't be called, ``fusion`` is none of the three, or ``static_outputs`` or
        ``dynamic_batch`` is no bool.
    CaptureError
        While recording, with the line: a value is read (``item()``, ``bool()``, ``print``), a
        shape depends on data, an argument is changed in place, a tensor from outside is exchanged
        for another, a tensor made in the function lives on in Python, a result requires grad.

    Notes
    -----
    Arrays, parameters, gradients, optimizer states, random numbers, learning rates and the
    attributes of modules are followed, and so is what the function, and those of its package that
    it calls by name, name themselves: variables and what lists, dicts and sets in them hold, three
    deep; defaults; plain values and tensors of imported modules; fields of data classes. Of other
    objects tensors are. Side effects on other Python objects happen when the function is recorded,
    not when it is replayed: a counter that is raised, a list that grows.
    Where a replay raises, the gradients that it would have set may be gone, as after `zero_grad`.
    Fused operations don't warn of infinities and NaN; where NumPy shall raise for them
    (``np.errstate``), they run one by one.

    On a GPU the third replay makes CUDA graphs of the program, and later ones launch those. What
    can't be in one, such as a sort or a linear solver, runs between them; `Jitted.explain` tells
    which calls. Their memory stays until `Jitted.cache_clear`. The environment variable
    ``TENSORFLOWLITE_CUDA_GRAPHS=0`` leaves graphs aside.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn, optim
    >>> from tensorflowlite.nn import functional as F
    >>> model = nn.Linear(3, 1)
    >>> opt = optim.SGD(model.parameters(), lr=0.1)
    >>> @tfl.jit
    ... def step(x, y):
    ...     opt.zero_grad()
    ...     loss = F.mse_loss(model(x), y)
    ...     loss.backward()
    ...     opt.step()
    ...     return loss
    >>> losses = [float(step(tfl.ones(4, 3), tfl.zeros(4, 1))) for _ in range(6)]
    >>> losses[5] < losses[0], step.cache_info().replayed
    (True, 3)
    """
    if fusion not in _FUSIONS:
        known = ", ".join(map(repr, _FUSIONS))
        raise ArgumentError(f"jit: fusion must be one of {known}, got {fusion!r}")
    for name, given in (("static_outputs", static_outputs), ("dynamic_batch", dynamic_batch)):
        if not isinstance(given, bool):
            raise ArgumentError(f"jit: {name} must be True or False, got {given!r:.60}")
    if function is None:
        return functools.partial(
            jit, fusion=fusion, static_outputs=static_outputs, dynamic_batch=dynamic_batch
        )
    if not callable(function):
        raise ArgumentError(f"jit: function must be callable, got {type(function).__name__}")
    return Jitted(function, Options(fusion, static_outputs), dynamic_batch)
