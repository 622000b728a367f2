"""Finding the first operation that gives NaN or infinity.

While it is on, every implementation is called through a check, and so is every gradient rule; what
was called where is kept by the clock that numbers the nodes, so that a backward pass can say where
its operation was called. While it is off nothing is left of this: the operations call their
implementations themselves.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..backend import as_array, backend_of, dtypes, is_array
from ..core.primitive import Primitive, exchange_rules, registry, watch
from ..core.tensor import Tensor
from ..errors import NumericalError
from ..runtime import tick
from .sites import Site


class _Watcher:
    """What looks at operations and rules, and what it remembers of them."""

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.sites: list[tuple[str, Site]] = []

    # -- on and off --------------------------------------------------------------------------------
    def start(self) -> None:
        """Put the checks in."""
        self.restore_rules = exchange_rules(self.checked_rule)
        watch.start(self.wrap)

    def stop(self) -> None:
        """Take them out again."""
        watch.stop(self.wrap)
        self.restore_rules()

    # -- forward -----------------------------------------------------------------------------------
    def wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return an implementation with a check of what it gives."""

        def checked(*args: Any, **options: Any) -> Any:
            site = Site()
            self.ticks.append(tick())
            self.sites.append((name, site))
            before = [_Summary(x) for x in args if _is_inexact(x)] if options else []
            result = run(*args, **options)
            given = [x for x in args if _is_inexact(x)]
            op = registry.get(name)
            found = result[:1] if op is not None and op.keeps_residual else result
            values = list(found) if isinstance(found, tuple | list) else [found]
            for value in values:
                if given and _is_inexact(value):
                    summary = _Summary(value)
                    known = before or ([_Summary(x) for x in given] if summary.marks else [])
                    if summary.is_news(known) and not _asks_for_it(args):
                        self.report(name, summary, known, args, site)
            return result

        return checked

    def report(self, name: str, summary: _Summary, known: Sequence[_Summary], args: Any,
               site: Site) -> None:  # fmt: skip
        op = registry.get(name)
        names = op.input_names(len(args)) if op is not None else ()
        labels = [label for label, x in zip(names, args, strict=False) if _is_inexact(x)]
        called = op.called if op is not None else name
        self.found(
            f"{called}: the result must be finite, got {summary} of {_inputs(labels, known)}; "
            f"called in {site}",
            site,
        )

    def found(self, text: str, site: Site) -> None:
        """Do what is to be done with a result that isn't finite: here, raise."""
        raise NumericalError(text)

    # -- backward ----------------------------------------------------------------------------------
    def checked_rule(self, op: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Return one adapter with a check."""

        def run(node: Any, g: Any, k: Any, need: Any) -> Any:
            saved = _saved(node, op)
            given = [_Summary(x) for x in _arrays(g)]
            result = rule(node, g, k, need)
            self.look_at_gradients(op, node, result, given, saved)
            return result

        return run

    def look_at_gradients(self, op: Primitive, node: Any, result: Any, given: Sequence[_Summary],
                          saved: Any) -> None:  # fmt: skip
        """Raise if a rule has made what isn't finite of what is."""
        for array in _arrays(result):
            summary = _Summary(array)
            if not summary.is_news(given):
                continue
            text = _inputs(["the incoming gradient"] * len(given), given)
            if saved:
                text += ", with " + _inputs([name for name, _ in saved],
                                            [_Summary(array) for _, array in saved])  # fmt: skip
            raise NumericalError(
                f"{op.called}: the gradient must be finite, got {summary} of {text}"
                f"{self.origin(op, node)}"
            )

    def origin(self, op: Primitive, node: Any) -> str:
        """Say where the operation of a node was called, if that was while the check was on."""
        # A node takes its tick right after its implementation ran; other threads tick between.
        place = bisect.bisect(self.ticks, node.born) - 1
        while place >= 0 and self.sites[place][0] != op.name:
            place -= 1
        if place < 0:
            return "; it was called before detect_anomaly was on"
        site = self.sites[place][1]
        path = site.path()
        module = f"; module {path!r}" if path else ""
        return f"{module}; called in {site}"


def _is_inexact(x: Any) -> bool:
    # Implementations give scalars for arrays without axes; the entry points make arrays of them.
    return getattr(x, "dtype", None) in dtypes.inexact


def _whole(array: Any) -> Any:
    """Return an array with the samples of all batches in it, where it is one inside vmap."""
    while hasattr(array, "value"):
        array = array.value
    return array


def _arrays(values: Any) -> list[Any]:
    found = values if isinstance(values, tuple | list) else [values]
    arrays = [one.array if isinstance(one, Tensor) else one for one in found]
    return [one for one in arrays if _is_inexact(one)]


def _asks_for_it(args: Sequence[Any]) -> bool:
    """Whether an attribute isn't finite, such as a filling value: then it is meant."""
    numbers = [x for x in args if type(x) in (float, complex)]
    return any(x != x or abs(x) == float("inf") for x in numbers)


def _saved(node: Any, op: Primitive) -> list[tuple[str, Any]]:
    """Return what a node saved, by name."""
    saved = getattr(node, "saved", None)
    if saved is None:
        saved = [getattr(node, slot, None) for slot in ("s0", "s1")]
    out = getattr(node, "out", None)
    named = [*zip(op.input_names(len(saved)), saved, strict=False), ("out", out)]
    return [(name, array) for name, array in named if _is_inexact(array)]


def _inputs(names: Sequence[str], summaries: Sequence[_Summary]) -> str:
    return ", ".join(
        f"{name} {one.described()}" for name, one in zip(names, summaries, strict=False)
    )


class _Summary:
    """What there is to say about an array's values."""

    __slots__ = ("shape", "dtype", "low", "high", "nan", "infinite", "size")

    def __init__(self, array: Any) -> None:
        array = _whole(array if is_array(array) else as_array(array))
        host = backend_of(array).to_host(array)
        self.shape, self.dtype, self.size = array.shape, array.dtype, array.size
        if host.dtype not in dtypes.real_inexact or host.dtype == dtypes.bfloat16:
            host = abs(host) if host.dtype.kind == "c" else host.astype(dtypes.float32)
        finite = abs(host) < float("inf")  # false for NaN
        self.nan = int((host != host).sum())
        self.infinite = self.size - int(finite.sum()) - self.nan
        values = host[finite]
        self.low = float(values.min()) if values.size else None
        self.high = float(values.max()) if values.size else None

    @property
    def marks(self) -> bool:
        """Whether an element isn't finite."""
        return bool(self.nan or self.infinite)

    def is_news(self, known: Sequence[_Summary]) -> bool:
        """Whether there is NaN where there was none, or infinity of finite values."""
        if self.nan and not any(one.nan for one in known):
            return True
        return bool(self.infinite) and not any(one.marks for one in known)

    def described(self) -> str:
        """Return dtype, shape and range."""
        text = f"{self.dtype.name} {tuple(self.shape)}"
        if self.low is not None:
            text += f" in [{self.low:.4g}, {self.high:.4g}]"
        return f"{text} with {self._counted()}" if self.marks else text

    def _counted(self) -> str:
        parts = [f"{self.nan} NaN"] if self.nan else []
        parts += [f"{self.infinite} infinite"] if self.infinite else []
        return " and ".join(parts)

    def __str__(self) -> str:
        return f"{self._counted()} in {self.dtype.name} {tuple(self.shape)}"


class _Teller(_Watcher):
    """A watcher that tells of operations instead of raising."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tell = tell

    def found(self, text: str, site: Site) -> None:
        path = site.path()
        self.tell(f"{text}; module {path!r}" if path else text)


@contextlib.contextmanager
def telling_of_anomalies(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell`` with a sentence for each operation that gives NaN or infinity, of any thread.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.transforms.anomaly import telling_of_anomalies
    >>> found = []
    >>> with telling_of_anomalies(found.append):
    ...     y = tfl.log(tfl.tensor([1.0, 0.0]))
    >>> found[0].partition(";")[0]
    'log: the result must be finite, got 1 infinite in float32 (2,) of x float32 (2,) in [0, 1]'
    """
    teller = _Teller(tell)
    teller.start()
    try:
        yield
    finally:
        teller.stop()


# -- the public way in -----------------------------------------------------------------------------
_current: list[_Watcher] = []


def _set(on: bool) -> None:
    if on and not _current:
        watcher = _Watcher()
        _current.append(watcher)
        watcher.start()
    elif not on and _current:
        _current.pop().stop()


class detect_anomaly:
    """Raise at the first operation, forward or backward, that gives NaN or infinity.

    The error names the operation, the shapes and ranges of what went in, the module, and the line
    in the user's code that called it. What went in and wasn't finite already is left alone, and so
    is a value that was asked for, such as a mask filled with infinity. Everything is slower while
    it is on, and as fast as ever when it is off. A context manager, for all threads.

    Raises
    ------
    NumericalError
        Inside, at that operation.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0, 0.0], requires_grad=True)
    >>> with tfl.autograd.detect_anomaly():
    ...     try:
    ...         tfl.sqrt(x).sum().backward()
    ...     except tfl.errors.NumericalError as error:
    ...         print(str(error).partition(" of ")[0])
    sqrt: the gradient must be finite, got 1 infinite in float32 (2,)
    """

    _mode = True

    def __enter__(self) -> None:
        self._before = is_anomaly_enabled()
        _set(self._mode)

    def __exit__(self, *exception: object) -> None:
        _set(self._before)


class set_detect_anomaly(detect_anomaly):
    """Turn `detect_anomaly` on or off from the call on; as a context manager, until its end.

    Parameters
    ----------
    mode : bool
        Whether operations are checked.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> _ = tfl.autograd.set_detect_anomaly(True)
    >>> tfl.autograd.is_anomaly_enabled()
    True
    >>> _ = tfl.autograd.set_detect_anomaly(False)
    """

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._before = is_anomaly_enabled()
        _set(self._mode)

    def __enter__(self) -> None:
        """Stay as the call has set it."""


def is_anomaly_enabled() -> bool:
    """Return whether `detect_anomaly` is on.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.autograd.is_anomaly_enabled()
    False
    """
    return bool(_current)


def look_at_function(function: Primitive, node: Any, result: Any, g: Any) -> None:
    """Check what the backward of a custom function gave, while the check is on."""
    if _current:
        given = [_Summary(x) for x in _arrays(g)]
        _current[0].look_at_gradients(function, node, result, given, _saved(node, function))
