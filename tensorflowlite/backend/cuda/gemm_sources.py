"""Where candidates for products on the GPU come from: cuBLASLt, our two kernels, two passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from . import hopper, tiles
from .activation_slots import ACTIVATIONS, BiasActivation
from .blas import Blas, Product
from .gated_slots import GatedActivation
from .gemm import FAILURES, Candidate, Gemm, Operands, Problem, Run
from .kernels import Kernels, source_of


def saves_output(activation: str | None) -> bool:
    """Return whether an activation's gradient is computed from its output."""
    return activation is not None and ACTIVATIONS[activation][1]


def epilogue_of(problem: Problem) -> str | None:
    """Return cuBLASLt's epilogue that does the whole problem; None where there is none.

    Its GELU is the tanh form, its aux what we save. Its ReLU in a backward pass wants a mask of
    bits, which nobody saves; its GELU's slope is off by 5.7e-3 of the greatest gradient in
    bfloat16, where a rounding is 2e-3 (measured on an H200), and isn't taken.
    """
    if problem.kind == "product":
        return "default"
    if problem.kind != "forward":
        return None
    if problem.activation is None:
        return "bias" if problem.bias else "default"
    if problem.activation == "relu":
        # How a ReLU treats NaN is found out by a bias of NaN.
        return "relu_bias" if problem.bias else None
    # Too coarse for float32. The leading dimension of aux must be a multiple of 8.
    half = problem.dtype in dtypes.half
    if problem.activation == "gelu_tanh" and half and problem.n % 8 == 0:
        return "gelu_aux_bias" if problem.bias else "gelu_aux"
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
        try:
            plan = self._blas.plan(product_of(problem, epilogue), (a, b, out, min(out, rest)))
        except FAILURES:
            return []  # the other sources' ways remain
        return [
            Candidate(f"cublaslt {epilogue} {i}", self._runner(problem, plan, i))
            for i in range(len(plan.algorithms))
        ]

    def _runner(self, problem: Problem, plan: Any, algorithm: int) -> Run:
        xp, blas, dtype = self._xp, self._blas, problem.dtype
        batch = (problem.batch,) if problem.batch > 1 else ()
        shape = (*batch, problem.m, problem.n)

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

        return forward if problem.kind == "forward" else product


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
        aux_leading=problem.n if epilogue in ("gelu_aux", "gelu_aux_bias") else 0,
    )


class Activations(NamedTuple):
    """The kernels of a bias and an activation, and of a gate, for what no epilogue does."""

    ready: Callable[[numpy.dtype[Any], str | None], bool]
    forward: Callable[[Any, Any, str | None], tuple[Any, Any]]  # (z, bias, name) -> (out, saved)
    gradient: Callable[[Any, Any, str], tuple[Any, Any]]  # (g, saved, name) -> (dz, db)
    total: Callable[[Any, Any, str], Any]  # (partial sums, dtype, name) -> db
    gated_ready: Callable[[numpy.dtype[Any], str | None], bool]
    # (g, gate, y, name) -> the gradients of the gate and of y; g may be overwritten
    gated_gradient: Callable[[Any, Any, Any, str], tuple[Any, Any]]


class HopperSource:
    """Our kernel of Hopper's own instructions, with tiles of different widths."""

    def __init__(self, xp: Any, kernels: Kernels, activations: Activations) -> None:
        self._xp, self._kernels, self._activations = xp, kernels, activations

    @property
    def version(self) -> str:
        text = source_of(hopper.FILE)
        return "hopper " + hashlib.sha256(text.encode()).hexdigest()

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        if problem.batch > 1 or min(problem.alignments) < 16:
            return
        if problem.a_leading != (problem.m if problem.a_transposed else problem.k):
            return
        if problem.b_leading != (problem.k if problem.b_transposed else problem.n):
            return
        epilogue = {"product": 0, "forward": 1, "backward": 2}.get(problem.kind)
        if epilogue is None:
            return
        # The kernel calls a layer's weight, (n, k) in memory, not transposed.
        theirs = hopper.Problem(
            problem.m, problem.n, problem.k, problem.dtype, problem.a_transposed,
            not problem.b_transposed, epilogue, problem.activation,
        )  # fmt: skip
        if not hopper.accepts(theirs):
            return
        if problem.kind == "backward" and not self._activations.ready(
            problem.dtype, problem.activation
        ):
            return
        for columns in hopper.TILE_COLUMNS:
            if self._kernels.ready(hopper.FILE, **hopper.defines(theirs, columns)):
                yield Candidate(f"hopper {columns}", self._runner(problem, theirs, columns))

    def _runner(self, problem: Problem, theirs: hopper.Problem, columns: int) -> Run:
        def launch(*arrays: Any) -> None:
            hopper.run(self._kernels, theirs, columns, *arrays)

        parts = hopper.partial_rows(problem.m)
        return fused(self._xp, problem, launch, parts, self._activations.total)


class TilesSource:
    """Our kernel for every chip, with large tiles and small ones, and with its depth split."""

    def __init__(self, xp: Any, kernels: Kernels, activations: Activations) -> None:
        self._xp, self._kernels, self._activations = xp, kernels, activations

    @property
    def version(self) -> str:
        text = source_of(tiles.FILE)
        return "tiles " + hashlib.sha256(text.encode()).hexdigest()

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        capability, activation = self._kernels.driver.capability(), problem.activation
        if not tiles.accepts(problem, capability):
            return
        if activation is not None and activation not in ACTIVATIONS:
            return
        if problem.kind == "backward" and not self._activations.ready(problem.dtype, activation):
            return
        for plan in tiles.plans(problem):
            defines = tiles.defines(problem, plan, capability)
            if self._kernels.ready(tiles.FILE, **defines):
                yield Candidate(plan.name, self._runner(problem, plan))

    def _runner(self, problem: Problem, plan: tiles.Plan) -> Run:
        launch = tiles.launcher(self._xp, self._kernels, problem, plan)
        parts = tiles.partial_rows(problem, plan)
        return fused(self._xp, problem, launch, parts, self._activations.total)


def fused(
    xp: Any, problem: Problem, launch: Callable[..., None], parts: int, total: Callable[..., Any]
) -> Run:
    """Return how a kernel that does a whole problem is run.

    ``launch`` takes a, b, out, bias, saved and ``parts`` rows of partial column sums, which
    ``total`` adds up; for gated features also ``gated`` and where its gradient goes.
    """
    dtype, activation = problem.dtype, problem.activation
    batch = (problem.batch,) if problem.batch > 1 else ()
    shape = (*batch, problem.m, problem.n)

    def product(operands: Operands) -> tuple[Any, ...]:
        out = xp.empty(shape, dtype)
        launch(operands.a, operands.b, out, None, None, None)
        return (out,)

    def forward(operands: Operands) -> tuple[Any, ...]:
        out, output = xp.empty(shape, dtype), saves_output(activation)
        saved = None if output or activation is None else xp.empty(shape, dtype)
        launch(operands.a, operands.b, out, operands.bias, saved, None)
        return out, out if output else saved

    def backward(operands: Operands) -> tuple[Any, ...]:
        dz = xp.empty(shape, dtype)
        sums = xp.empty((parts, problem.n), dtypes.accumulator(dtype))
        launch(operands.a, operands.b, dz, None, operands.saved, sums)
        return dz, total(sums, dtype, str(activation))

    def gated(operands: Operands) -> tuple[Any, ...]:
        of_gate, dy = xp.empty(shape, dtype), xp.empty(shape, dtype)
        launch(operands.a, operands.b, of_gate, None, operands.saved, None, operands.gated, dy)
        return of_gate, dy

    kinds = {"product": product, "forward": forward, "backward": backward, "gated": gated}
    return kinds[problem.kind]


class Unfused:
    """Candidates that compute the product alone, and what follows in a pass of its own."""

    version = "unfused"

    def __init__(self, gemm: Gemm, activations: Activations) -> None:
        self._gemm, self._activations = gemm, activations

    def candidates(self, problem: Problem) -> list[Candidate]:
        run = self._runner(problem)
        return [] if run is None else [Candidate("unfused", run)]

    def _runner(self, problem: Problem) -> Run | None:
        activation, activations = problem.activation, self._activations
        if problem.kind == "product":
            return None
        plain = problem.plain

        def product(operands: Operands) -> Any:
            return self._gemm.run(plain, Operands(operands.a, operands.b))[0]

        def biased(operands: Operands) -> tuple[Any, ...]:
            z = product(operands)
            if operands.bias is not None:
                z += operands.bias
            return z, None

        name = str(activation)
        if problem.kind == "gated":
            if not activations.gated_ready(problem.dtype, activation):
                return None
            of_gate = activations.gated_gradient
            return lambda operands: of_gate(product(operands), operands.saved, operands.gated, name)
        if not activations.ready(problem.dtype, activation):
            return biased if activation is None else None
        forward, gradient = activations.forward, activations.gradient
        if problem.kind == "forward":
            return lambda operands: forward(product(operands), operands.bias, activation)
        return lambda operands: gradient(product(operands), operands.saved, name)


def activation_kernels(xp: Any, kernels: Kernels) -> Activations:
    """Return the kernels of `activation_slots` and `gated_slots`."""
    run, gates = BiasActivation(xp, kernels), GatedActivation(xp, kernels)

    def ready(dtype: numpy.dtype[Any], activation: str | None) -> bool:
        return (activation is None or activation in ACTIVATIONS) and run.ready(dtype, activation)

    def gated_ready(dtype: numpy.dtype[Any], activation: str | None) -> bool:
        return activation in ACTIVATIONS and gates.ready(dtype, activation)

    return Activations(
        ready,
        lambda z, bias, activation: run.after_layer(z, bias, activation, False),
        lambda g, saved, activation: run.gradient_with_bias(g, saved, activation, -1),
        run.total,
        gated_ready,
        lambda g, gate, y, activation: gates.gradient(g, gate, y, activation, into=g),
    )
