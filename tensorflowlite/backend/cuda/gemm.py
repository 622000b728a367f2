"""Which way a matrix product goes on the GPU: the fastest that was measured.

For a problem (sizes, layouts, dtype, what the product ends with) there are candidates: cuBLASLt's
algorithms with the end in their epilogue, kernels of our own, and the plain product with a kernel
after it. The first large product of its kind times them; the name of the fastest is kept on disk.
With `use_deterministic_algorithms` nothing is timed: the first that works is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy

from ...errors import DeviceError
from ...version import __version__
from .. import threads
from ..base import Watcher, choices
from . import kernel_cache
from .blas import Blas, Queue

# Multiplications from which on measuring pays; smaller products take the first candidate.
LARGE = 2**27
_FINALISTS, _ROUNDS = 3, 3
# What a candidate may raise without harm to others.
FAILURES = (RuntimeError, MemoryError, ValueError)


class Problem(NamedTuple):
    """What is to be computed of ``a`` (m, k) and ``b`` (k, n), and how they lie.

    ``kind`` is ``"product"`` (a b), ``"forward"`` (act(a b + bias), and what its gradient needs),
    ``"backward"`` ((a b) act'(saved), and its sums along m) or ``"gated"`` ((a b) y act'(saved) and
    (a b) act(saved), the gradients of act(saved) y, where y is ``gated``). A transposed ``a`` lies
    in memory as (k, m), a transposed ``b`` as (n, k). Results are in C order.
    """

    kind: str
    m: int
    n: int
    k: int
    a_transposed: bool
    b_transposed: bool
    a_leading: int
    b_leading: int
    dtype: numpy.dtype[Any]
    alignments: tuple[int, int, int]  # of the addresses of a, of b, and of the others
    tf32: bool = False
    activation: str | None = None
    bias: bool = False
    batch: int = 1
    a_stride: int = 0
    b_stride: int = 0

    @property
    def plain(self) -> Problem:
        """The product alone."""
        a, b, _ = self.alignments
        return self._replace(kind="product", activation=None, bias=False, alignments=(a, b, 256))


class Operands(NamedTuple):
    """The arrays of a problem; ``a`` and ``b`` are views of the logical shape."""

    a: Any
    b: Any
    bias: Any = None
    saved: Any = None
    gated: Any = None  # what the gate `saved` is applied to


# Computes into new arrays: a product (out,), a forward (out, saved), a backward (dz, db), and for
# gated features the gradients of `saved` and of `gated`.
Run = Callable[[Operands], tuple[Any, ...]]


class Candidate(NamedTuple):
    """One way to do it."""

    name: str
    run: Run


class Source(Protocol):
    """Where candidates come from."""

    @property
    def version(self) -> str:
        """What changes when a candidate of one name does."""

    def candidates(self, problem: Problem) -> Iterable[Candidate]:
        """Return ways to do a problem; none where it isn't taken."""


class Gemm:
    """Chooses a candidate for each problem, and runs it.

    Parameters
    ----------
    xp
        The array library.
    blas
        cuBLASLt.
    driver
        Knows the current device.
    queue
        Times, and says when nothing can be timed.
    """

    def __init__(self, xp: Any, blas: Blas, driver: Any, queue: Queue) -> None:
        self.xp, self.blas, self.driver, self._queue = xp, blas, driver, queue
        # Where candidates come from; of those of a small problem the first that works is taken.
        self.sources: list[Source] = []
        self._chosen: dict[tuple[int, Problem, bool], Candidate] = {}
        # What was chosen before somebody began to watch, who is told of it at its next use.
        self._untold: dict[tuple[int, Problem, bool], Candidate] = {}
        self._watcher: Watcher | None = None
        choices.add(self)

    def watched_by(self, watcher: Watcher | None) -> None:
        """Tell a watcher of choices from now on; None ends that."""
        self._watcher = watcher
        known = self._untold | self._chosen
        self._chosen, self._untold = (known, {}) if watcher is None else ({}, known)

    def run(self, problem: Problem, operands: Operands) -> tuple[Any, ...]:
        """Compute a problem on the current stream.

        Raises
        ------
        DeviceError
            No candidate takes the problem.
        """
        fixed = threads.are_deterministic_algorithms_enabled()
        chosen = self._chosen.get((self.driver.device(), problem, fixed))
        if chosen is None:
            chosen = self._choose(problem, operands, fixed)
        return chosen.run(operands)

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        """Yield the ways to do a problem, source by source."""
        for source in self.sources:
            yield from source.candidates(problem)

    def chosen(self) -> dict[Problem, str]:
        """Return the names of what was chosen for the current device, by problem."""
        here = self.driver.device()
        known = self._untold | self._chosen
        now = (here, threads.are_deterministic_algorithms_enabled())
        return {key[1]: one.name for key, one in known.items() if (key[0], key[2]) == now}

    def forget(self) -> None:
        """Choose anew: of what was measured, what is kept on disk."""
        self._chosen.clear()

    def _choose(self, problem: Problem, operands: Operands, fixed: bool) -> Candidate:
        key = (self.driver.device(), problem, fixed)
        found = self._untold.pop(key, None) or self._decide(problem, operands, fixed)
        if found is None:
            # Nothing can be measured now; the next call that can chooses.
            for candidate in self.candidates(problem):
                if not _may_lose_nan(candidate):
                    return candidate
            raise _no_way(problem, None)
        self._chosen[key] = found
        if self._watcher is not None:
            self._watcher.chose(described(problem), found.name)
        return found

    def _decide(self, problem: Problem, operands: Operands, fixed: bool) -> Candidate | None:
        """Return the candidate to keep; None where nothing can be tried now."""
        if self._queue.capturing():
            return None
        if fixed or problem.m * problem.n * problem.k * problem.batch < LARGE:
            return self._first_that_works(problem, operands)
        return self._fastest_or_stored(problem, operands)

    def _first_that_works(self, problem: Problem, operands: Operands) -> Candidate:
        error: Exception | None = None
        for candidate in self.candidates(problem):
            if not self._keeps_nan(candidate, problem, operands):
                continue
            try:
                candidate.run(operands)
            except FAILURES as failure:
                error = failure
            else:
                return candidate
        raise _no_way(problem, error)

    def _fastest_or_stored(self, problem: Problem, operands: Operands) -> Candidate:
        versions = [source.version for source in self.sources]
        name = kernel_cache.key_of("gemm", __version__, self.blas.identity(), *versions,
                                   repr(problem)) + ".choice"  # fmt: skip
        candidates = list(self.candidates(problem))
        stored = (kernel_cache.load(name) or b"").decode(errors="replace")
        for candidate in candidates:
            if candidate.name == stored:
                return candidate
        candidates = [one for one in candidates if self._keeps_nan(one, problem, operands)]
        found = self._fastest(problem, candidates, operands)
        kernel_cache.store(name, found.name.encode())
        return found

    def _fastest(
        self, problem: Problem, candidates: Sequence[Candidate], operands: Operands
    ) -> Candidate:
        """Return the fastest candidate: a short race of all, then a longer one of the best."""

        def seconds(candidate: Candidate, iterations: int) -> float:
            return self._queue.time(lambda: candidate.run(operands), iterations)

        times: dict[Candidate, float] = {}
        error: Exception | None = None
        for candidate in candidates:
            try:
                times[candidate] = seconds(candidate, 1)
            except FAILURES as failure:
                error = failure
        if not times:
            raise _no_way(problem, error)
        best = sorted(times, key=times.__getitem__)[:_FINALISTS]
        # In turns, so that a change of the clock meets all alike.
        for _ in range(_ROUNDS if len(best) > 1 else 0):
            for candidate in best:
                times[candidate] = min(times[candidate], seconds(candidate, 2))
        return min(best, key=times.__getitem__)

    def _keeps_nan(self, candidate: Candidate, problem: Problem, operands: Operands) -> bool:
        """Return whether NaN stays NaN in an epilogue that may make it 0."""
        if not _may_lose_nan(candidate):
            return True
        bias = operands.bias
        nan = self.xp.asarray(numpy.full(bias.shape, numpy.nan, bias.dtype))
        try:
            ends = candidate.run(operands._replace(bias=nan))[0][:: max(1, problem.m - 1)]
        except FAILURES:
            return False
        to_host = getattr(self.xp, "asnumpy", numpy.asarray)
        return bool(numpy.isnan(to_host(ends).astype(numpy.float32)).all())


def described(problem: Problem) -> str:
    """Return what a problem is, in one line."""
    layout = ("t" if problem.a_transposed else "n") + ("t" if problem.b_transposed else "n")
    end = f" {problem.activation}" if problem.activation else ""
    end += " + bias" if problem.bias else ""
    sizes = f"{problem.m}x{problem.n}x{problem.k}"
    return f"{problem.kind} {layout} {sizes} {problem.dtype.name}{end}"


def _may_lose_nan(candidate: Candidate) -> bool:
    return candidate.name.startswith("cublaslt relu")


def _no_way(problem: Problem, error: Exception | None) -> Exception:
    if isinstance(error, MemoryError):  # who calls says more of it
        return error
    return DeviceError(f"matmul: a way to compute it must run, got {error} for {problem}")
