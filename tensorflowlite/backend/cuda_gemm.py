"""Which way a matrix product goes on the GPU: the fastest that was measured.

For a problem (sizes, layouts, dtype, what the product ends with) there are candidates: cuBLASLt's
algorithms with the end in their epilogue, kernels of our own, and the plain product with a kernel
after it. The first large product of its kind times them; the name of the fastest is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ..errors import DeviceError
from ..version import __version__
from . import kernel_cache
from .cuda_blas import Blas, Product, Queue

# Multiplications from which on measuring pays; smaller products take the first candidate.
LARGE = 2**27
_FINALISTS, _ROUNDS = 3, 3
_FAILURES = (RuntimeError, MemoryError, ValueError)


class Problem(NamedTuple):
    """What is to be computed of ``a`` (m, k) and ``b`` (k, n), and how they lie.

    ``kind`` is ``"product"`` (a b), ``"forward"`` (act(a b + bias), and what its gradient needs) or
    ``"backward"`` ((a b) act'(saved), and its sums along m). A transposed ``a`` lies in memory as
    (k, m), a transposed ``b`` as (n, k). Results are in C order.
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
    alignments: tuple[int, int, int]  # of the addresses of a, of b, and of bias or saved
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
        return self._replace(
            kind="product", activation=None, bias=False, alignments=(a, b, 256)
        )


class Operands(NamedTuple):
    """The arrays of a problem; ``a`` and ``b`` are views of the logical shape."""

    a: Any
    b: Any
    bias: Any = None
    saved: Any = None


# Computes into new arrays: a product (out,), a forward (out, saved), a backward (dz, db).
Run = Callable[[Operands], tuple[Any, ...]]


class Candidate(NamedTuple):
    """One way to do it."""

    name: str
    run: Run


class Source(NamedTuple):
    """Where candidates come from; ``version`` changes when those of one name change."""

    version: str
    candidates: Callable[[Problem], Sequence[Candidate]]


def saves_output(activation: str | None) -> bool:
    """Return whether an activation's gradient is computed from its output."""
    return activation in ("relu", "leaky_relu", "sigmoid", "tanh")


def epilogue_of(problem: Problem) -> str | None:
    """Return cuBLASLt's epilogue that does the whole problem; None where there is none.

    Its GELU is the tanh form, its aux what we save. Its ReLU in a backward pass wants a mask of
    bits, which nobody saves.
    """
    if problem.kind == "product":
        return "default"
    forward = problem.kind == "forward"
    if forward and problem.activation is None:
        return "bias" if problem.bias else "default"
    if forward and problem.activation == "relu":
        # How a ReLU treats NaN is found out by a bias of NaN.
        return "relu_bias" if problem.bias else None
    # The leading dimension of aux must be a multiple of 8.
    if problem.activation == "gelu_tanh" and problem.n % 8 == 0:
        if forward:
            return "gelu_aux_bias" if problem.bias else "gelu_aux"
        return "dgelu_bgrad"
    return None


class BlasSource:
    """cuBLASLt's algorithms as candidates, in the order in which the library proposes them."""

    def __init__(self, xp: Any, blas: Blas) -> None:
        self._xp, self._blas = xp, blas
        self.version = "cublaslt"

    def candidates(self, problem: Problem) -> list[Candidate]:
        epilogue = epilogue_of(problem)
        if epilogue is None:
            return []
        a, b, rest = problem.alignments
        # New arrays lie at multiples of 512 in a pool of CuPy's, of 16 at least in NumPy.
        out = 256 if hasattr(self._xp, "cuda") else 16
        plan = self._blas.plan(product_of(problem, epilogue), (a, b, out, min(out, rest)))
        return [
            Candidate(f"cublaslt {epilogue} {i}", self._runner(problem, plan, i))
            for i in range(len(plan.algorithms))
        ]

    def _runner(self, problem: Problem, plan: Any, algorithm: int) -> Run:
        xp, blas, dtype = self._xp, self._blas, problem.dtype
        shape = (problem.m, problem.n)
        if problem.batch > 1:
            shape = (problem.batch, *shape)  # type: ignore[assignment]

        def product(operands: Operands) -> tuple[Any, ...]:
            out = xp.empty(shape, dtype)
            blas.run(plan, algorithm, operands.a, operands.b, out)
            return (out,)

        def forward(operands: Operands) -> tuple[Any, ...]:
            out = xp.empty(shape, dtype)
            saved = out if saves_output(problem.activation) else None
            aux = None
            if problem.activation == "gelu_tanh":
                saved = aux = xp.empty(shape, dtype)
            blas.run(plan, algorithm, operands.a, operands.b, out, operands.bias, aux)
            return out, saved

        def backward(operands: Operands) -> tuple[Any, ...]:
            dz, db = xp.empty(shape, dtype), xp.empty(problem.n, dtype)
            blas.run(plan, algorithm, operands.a, operands.b, dz, db, operands.saved)
            return dz, db

        return {"product": product, "forward": forward, "backward": backward}[problem.kind]


def product_of(problem: Problem, epilogue: str) -> Product:
    """Return a problem in cuBLASLt's terms."""
    return Product(
        m=problem.m,
        n=problem.n,
        k=problem.k,
        a_transposed=problem.a_transposed,
        b_transposed=problem.b_transposed,
        a_leading=problem.a_leading,
        b_leading=problem.b_leading,
        out_leading=problem.n,
        batch=problem.batch,
        a_stride=problem.a_stride,
        b_stride=problem.b_stride,
        out_stride=problem.m * problem.n,
        dtype=problem.dtype.name,
        tf32=problem.tf32,
        epilogue=epilogue,
        aux_leading=problem.n if epilogue in ("gelu_aux", "gelu_aux_bias", "dgelu_bgrad") else 0,
    )


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
    sources
        Where candidates come from. Among small problems the first that works is taken.
    """

    def __init__(
        self, xp: Any, blas: Blas, driver: Any, queue: Queue, sources: Sequence[Any] = ()
    ) -> None:
        self._xp, self.blas, self._driver, self._queue = xp, blas, driver, queue
        self.sources: list[Any] = [BlasSource(xp, blas), *sources]
        self._chosen: dict[tuple[int, Problem], Candidate] = {}

    def run(self, problem: Problem, operands: Operands) -> tuple[Any, ...]:
        """Compute a problem on the current stream.

        Raises
        ------
        DeviceError
            No candidate takes the problem.
        """
        chosen = self._chosen.get((self._driver.device(), problem))
        if chosen is None:
            chosen = self._choose(problem, operands)
        return chosen.run(operands)

    def candidates(self, problem: Problem) -> list[Candidate]:
        """Return the ways to do a problem, all sources' together."""
        return [one for source in self.sources for one in source.candidates(problem)]

    def chosen(self) -> dict[Problem, str]:
        """Return the names of what was chosen for the current device, by problem."""
        here = self._driver.device()
        return {problem: one.name for (device, problem), one in self._chosen.items()
                if device == here}  # fmt: skip

    def _choose(self, problem: Problem, operands: Operands) -> Candidate:
        candidates = self.candidates(problem)
        if self._queue.capturing():
            # Nothing can be measured now; the next call that can chooses.
            return self._first(problem, [one for one in candidates if not _may_lose_nan(one)])
        large = problem.m * problem.n * problem.k * problem.batch >= LARGE
        name = self._name_on_disk(problem) if large else ""
        stored = (kernel_cache.load(name) or b"").decode(errors="replace") if name else ""
        found = next((one for one in candidates if one.name == stored), None)
        if found is None:
            candidates = [one for one in candidates if self._keeps_nan(one, operands)]
            found = self._first(problem, candidates)
            if large and len(candidates) > 1:
                found = self._fastest(problem, candidates, operands)
                kernel_cache.store(name, found.name.encode())
            elif not large:
                found = self._first_that_works(problem, candidates, operands)
        self._chosen[self._driver.device(), problem] = found
        return found

    def _name_on_disk(self, problem: Problem) -> str:
        """Return the name under which a choice is kept; it has all that times depend on."""
        versions = [source.version for source in self.sources]
        return (
            kernel_cache.key_of("gemm", __version__, self.blas.identity(), *versions, repr(problem))
            + ".choice"
        )

    def _keeps_nan(self, candidate: Candidate, operands: Operands) -> bool:
        """Return whether NaN stays NaN in an epilogue that may make it 0."""
        if not _may_lose_nan(candidate):
            return True
        nan = self._xp.full(operands.bias.shape, numpy.nan, operands.bias.dtype)
        try:
            out = candidate.run(operands._replace(bias=nan))[0]
            return bool((out != out).all())
        except _FAILURES:
            return False

    @staticmethod
    def _first(problem: Problem, candidates: Sequence[Candidate]) -> Candidate:
        if not candidates:
            raise DeviceError(f"matmul: a way to compute it is needed, got none for {problem}")
        return candidates[0]

    def _first_that_works(
        self, problem: Problem, candidates: Sequence[Candidate], operands: Operands
    ) -> Candidate:
        error: Exception | None = None
        for candidate in candidates:
            try:
                candidate.run(operands)
            except _FAILURES as failure:
                error = failure
            else:
                return candidate
        raise DeviceError(f"matmul: a candidate must run, got {error} for {problem}")

    def _fastest(
        self, problem: Problem, candidates: Sequence[Candidate], operands: Operands
    ) -> Candidate:
        """Return the fastest candidate: a short race of all, then a longer one of the best."""
        times: dict[Candidate, float] = {}
        error: Exception | None = None
        for candidate in candidates:
            try:
                times[candidate] = self._queue.time(lambda c=candidate: c.run(operands), 1)  # type: ignore[misc]
            except _FAILURES as failure:
                error = failure
        if not times:
            raise DeviceError(f"matmul: a candidate must run, got {error} for {problem}")
        finalists = sorted(times, key=times.__getitem__)[:_FINALISTS]
        # In turns, so that a change of the clock meets all alike.
        for _ in range(_ROUNDS if len(finalists) > 1 else 0):
            for candidate in finalists:
                again = self._queue.time(lambda c=candidate: c.run(operands), 2)  # type: ignore[misc]
                times[candidate] = min(times[candidate], again)
        return min(finalists, key=times.__getitem__)


def _may_lose_nan(candidate: Candidate) -> bool:
    return candidate.name.startswith("cublaslt relu")
