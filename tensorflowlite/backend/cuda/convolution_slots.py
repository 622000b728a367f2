"""Slots of the convolution and its gradients by kernels, with bias and activation in one of them.

Large ones are measured against the library's way (columns, a product, and a pass for bias and
activation), and the faster one's name is kept on disk, as of matrix products.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy

from ..base import accepting, guarded
from . import convolution as cuda_convolution
from . import convolution_direct
from .activation_slots import ACTIVATIONS, BiasActivation
from .blas import CupyQueue, Queue
from .convolution import FORWARD, INPUT, WEIGHT, Convolutions, Geometry
from .convolution_direct import DirectConvolutions
from .gemm import LARGE, Candidate, Gemm, Operands
from .kernels import Kernels, source_of
from .layout import of_one_float


class Problem(NamedTuple):
    """A convolution or one of its gradients, as `gemm.Gemm` distinguishes them."""

    file: str
    geometry: Geometry
    dtype: numpy.dtype[Any]
    last: tuple[bool, ...]  # whether each array lies with its channels last
    tf32: bool
    bias: bool = False
    activation: str | None = None

    @property
    def m(self) -> int:
        """Rows of the product."""
        return self.geometry.outputs

    @property
    def n(self) -> int:
        """Columns of the product."""
        return self.geometry.x_shape[0] * self.geometry.windows

    @property
    def k(self) -> int:
        """Depth of the product."""
        return self.geometry.channels * self.geometry.taps

    @property
    def batch(self) -> int:
        """How many products there are."""
        return self.geometry.groups


class Ways:
    """The ways to do a convolution: kernels of our own, and the library's with a pass after it."""

    def __init__(self, xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> None:
        self._implicit = Convolutions(xp, kernels)
        self._other = Convolutions(xp, kernels, other=True)
        self._direct = DirectConvolutions(xp, kernels)
        self.activations = BiasActivation(xp, kernels)
        self._library = library

    def own(self, geometry: Geometry) -> Convolutions | DirectConvolutions:
        """Return the kernels for a convolution."""
        few = convolution_direct.few_channels(geometry)
        return self._direct if few else self._implicit

    @property
    def version(self) -> str:
        """What changes when a candidate of one name does."""
        files = (FORWARD, INPUT, WEIGHT, convolution_direct.FILE)
        texts = "".join(map(source_of, files))
        return "convolution " + hashlib.sha256(texts.encode()).hexdigest()

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        """Yield the ways to do a problem that kernels of our own take."""
        own = self.own(problem.geometry)
        yield Candidate("kernel", lambda operands: self.kernel(problem, operands, own))
        if own is self._implicit:
            other = self._other
            yield Candidate("kernel 2", lambda operands: self.kernel(problem, operands, other))
        yield Candidate("columns", lambda operands: self.columns(problem, operands))

    @staticmethod
    def kernel(problem: Problem, operands: Operands, own: Convolutions | DirectConvolutions
               ) -> tuple[Any, ...]:  # fmt: skip
        """Compute a problem by a kernel of our own."""
        geometry, activation = problem.geometry, problem.activation
        if problem.file == INPUT:
            return (own.input_gradient(operands.a, operands.b, geometry),)
        if problem.file == WEIGHT:
            return (own.weight_gradient(operands.a, operands.b, geometry),)
        from_output = activation is None or ACTIVATIONS[activation][1]
        out, saved = own.forward(
            operands.a, operands.b, geometry, operands.bias, activation, not from_output
        )
        return out, saved if not from_output or activation is None else out

    def columns(self, problem: Problem, operands: Operands) -> tuple[Any, ...]:
        """Compute a problem by the library's slot."""
        x_shape, w_shape, *geometry = problem.geometry
        a, b = operands.a, operands.b
        if problem.file == INPUT:
            return (self._library("convolution_input_gradient")(a, b, x_shape, *geometry),)
        if problem.file == WEIGHT:
            return (self._library("convolution_weight_gradient")(a, b, w_shape, *geometry),)
        z = self._library("convolution")(a, b, *geometry)
        return self.activations.after_layer(z, operands.bias, problem.activation, True)


class _Device:
    """What measured times depend on."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def identity(self) -> str:
        return self._queue.device_name()


def chooser_of(xp: Any, ways: Ways, driver: Any, queue: Queue) -> Any:
    """Return what times the ways for each large problem, and takes the fastest."""
    device: Any = _Device(queue)
    chooser = Gemm(xp, device, driver, queue)
    source: Any = ways
    chooser.sources.append(source)
    return chooser


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Callable[..., Any]],
          chooser: Any = None) -> dict[str, Callable[..., Any]]:  # fmt: skip
    """Return the slots of convolutions.

    Parameters
    ----------
    xp, kernels, library
        As for `slots.slots`.
    chooser
        A stand-in for `Gemm`, for tests.
    """
    ways = Ways(xp, kernels, library)
    if chooser is None and hasattr(xp, "cuda"):  # what runs on the host isn't timed
        chooser = chooser_of(xp, ways, kernels.driver, CupyQueue(xp))

    def run(file: str, geometry: Geometry, a: Any, b: Any, bias: Any = None,
            activation: str | None = None) -> tuple[Any, ...]:  # fmt: skip
        read = (a, b) if file == WEIGHT else (a,)
        problem = Problem(
            file, geometry, a.dtype, tuple(map(cuda_convolution.lies_last, read)),
            cuda_convolution.tf32(a.dtype, kernels.driver.capability()), bias is not None,
            activation,
        )  # fmt: skip
        operands = Operands(a, b, bias)
        if chooser is None or problem.m * problem.n * problem.k * problem.batch < LARGE:
            return ways.kernel(problem, operands, ways.own(geometry))
        return tuple(chooser.run(problem, operands))

    def fits(file: str, geometry: Geometry, activation: str | None, images: tuple[Any, ...],
             *arrays: Any) -> bool:  # fmt: skip
        return of_one_float(*images, *arrays) and ways.own(geometry).accepts(
            file, geometry, activation, *images
        )

    def convolution(x: Any, w: Any, *geometry: Any) -> Any:
        return run(FORWARD, Geometry(x.shape, w.shape, *geometry), x, w)[0]

    def accepts(x: Any, w: Any, *geometry: Any) -> bool:
        return fits(FORWARD, Geometry(x.shape, w.shape, *geometry), None, (x,), w)

    def input_gradient(y: Any, w: Any, shape: Any, *geometry: Any) -> Any:
        return run(INPUT, Geometry(tuple(shape), w.shape, *geometry), y, w)[0]

    def accepts_input(y: Any, w: Any, shape: Any, *geometry: Any) -> bool:
        return fits(INPUT, Geometry(tuple(shape), w.shape, *geometry), None, (y,), w)

    def weight_gradient(y: Any, x: Any, shape: Any, *geometry: Any) -> Any:
        return run(WEIGHT, Geometry(x.shape, tuple(shape), *geometry), y, x)[0]

    def accepts_weight(y: Any, x: Any, shape: Any, *geometry: Any) -> bool:
        return fits(WEIGHT, Geometry(x.shape, tuple(shape), *geometry), None, (y, x))

    def conv_act(*args: Any) -> tuple[Any, Any]:
        (x, w, *bias), geometry, activation = parts(args)
        if fits(FORWARD, geometry, activation, (x,), w, *bias):
            out, saved = run(FORWARD, geometry, x, w, bias[0] if bias else None, activation)
            return out, saved
        z = library("convolution")(x, w, *geometry[2:])
        return ways.activations.after_layer(z, bias[0] if bias else None, activation, True)

    def parts(args: tuple[Any, ...]) -> tuple[list[Any], Geometry, str | None]:
        *arrays, stride, padding, dilation, groups, activation = args
        x, w = arrays[:2]
        geometry = Geometry(x.shape, w.shape, stride, padding, dilation, groups)
        return arrays, geometry, activation

    def accepts_layer(*args: Any) -> bool:
        arrays, geometry, activation = parts(args)
        return (
            (activation is None or activation in ACTIVATIONS)
            and of_one_float(*arrays)
            and all(array.size for array in arrays)
            and (
                fits(FORWARD, geometry, activation, (arrays[0],), *arrays[1:])
                or ways.activations.ready(arrays[0].dtype, activation)
            )
        )

    def choosing(slot: str, implementation: Any, accepts: Any) -> Callable[..., Any]:
        return guarded(slot, implementation, accepts, lambda *args: library(slot)(*args))

    return {
        "convolution": choosing("convolution", convolution, accepts),
        "convolution_input_gradient": choosing(
            "convolution_input_gradient", input_gradient, accepts_input
        ),
        "convolution_weight_gradient": choosing(
            "convolution_weight_gradient", weight_gradient, accepts_weight
        ),
        "conv_act": accepting(conv_act, accepts_layer),
    }
