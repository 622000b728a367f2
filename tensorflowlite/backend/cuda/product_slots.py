"""Slots of products on the GPU, alone and with what a layer does around them, by `gemm`.

Transposed views are read as they lie. Half precision is multiplied as it is and summed in float32.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from ..slots.product import product_slots
from . import devices as cuda
from .blas import MOST_ELEMENTS, Blas, CupyQueue, alignment, batch_stride, layout
from .gemm import Gemm, Operands, Problem
from .gemm_sources import (
    Activations,
    BlasSource,
    HopperSource,
    TilesSource,
    Unfused,
    activation_kernels,
    epilogue_of,
)
from .kernels import Kernels

_TYPES = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)


class Products:
    """Products of arrays: what they are as problems, and when they are left to the library."""

    def __init__(self, xp: Any, gemm: Gemm, driver: Any, library: Callable[..., Any]) -> None:
        self.xp, self.gemm, self._driver, self._library = xp, gemm, driver, library
        # Without cuBLASLt: whether there is another way, by device and dtype; and what was told.
        self._others: dict[Any, bool] = {}
        self._told: set[str] = set()

    def usable(self, *arrays: Any) -> bool:
        """Return whether these arrays of one dtype can be multiplied here."""
        dtype, driver = arrays[0].dtype, self._driver
        if dtype not in _TYPES or (self.gemm.blas.reason != "" and not self._found(dtype)):
            return False
        here = driver.device()
        for array in arrays:
            if array.dtype != dtype or not array.size or driver.device_of(array) != here:
                return False
            if array.size > MOST_ELEMENTS:
                # All rows of a stack may become those of one matrix.
                columns = array.shape[-1]
                if max(columns, array.size // columns) > MOST_ELEMENTS:
                    return False
        return True

    def _found(self, dtype: numpy.dtype[Any]) -> bool:
        """Return whether cuBLASLt was found, or another way; tell once where it wasn't."""
        reason = self.gemm.blas.why_not()
        if not reason:
            return True
        key = (self._driver.device(), dtype)
        found = self._others.get(key)
        if found is None:
            # Ours do what follows a product without a further pass.
            self.gemm.sources.sort(key=lambda source: isinstance(source, Unfused))
            one = Problem("product", 8, 8, 8, False, False, 8, 8, dtype, (16, 16, 256))
            found = self._others[key] = any(self.gemm.candidates(one))
        instead = "our own kernel takes its place"
        if not found:
            instead = f"the array library's slower products of {dtype} are taken"
        if instead not in self._told:
            self._told.add(instead)
            warnings.warn(f"matmul: {reason}; {instead}", RuntimeWarning, stacklevel=5)
        return found

    def matrix(self, array: Any) -> tuple[Any, tuple[bool, int]]:
        """Return a matrix, copied if it lies neither in C order nor transposed, and its layout."""
        found = layout(array.shape, array.strides, array.itemsize)
        if found is None or found[1] > MOST_ELEMENTS:
            array = self.xp.ascontiguousarray(array)
            found = (False, array.shape[1])
        return array, found

    def run(
        self, kind: str, x: Any, y: Any, bias: Any = None, saved: Any = None,
        gated: Any = None, activation: str | None = None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Compute a problem of two matrices; ``gated`` is what the gate ``saved`` is applied to."""
        x, (x_transposed, x_leading) = self.matrix(x)
        y, (y_transposed, y_leading) = self.matrix(y)
        address = self._driver.address
        rest = 256
        for array in (bias, saved, gated):
            if array is not None:
                rest = min(rest, alignment(address(array)))
        problem = Problem(
            kind,
            x.shape[0],
            y.shape[1],
            x.shape[1],
            x_transposed,
            y_transposed,
            x_leading,
            y_leading,
            x.dtype,
            (alignment(address(x)), alignment(address(y)), rest),
            self.tf32(x.dtype),
            activation,
            bias is not None,
        )
        return self.gemm.run(problem, Operands(x, y, bias, saved, gated))

    @staticmethod
    def tf32(dtype: numpy.dtype[Any]) -> bool:
        return dtype == dtypes.float32 and cuda.get_float32_matmul_precision() != "highest"

    def batched(self, x: Any, y: Any) -> Any:
        """Return the product of two stacks of matrices, whose batch axes broadcast."""
        batch = numpy.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        if y.ndim == 2 and x.flags.c_contiguous:
            rows = x.reshape(-1, x.shape[-1])
            return self.run("product", rows, y)[0].reshape(*x.shape[:-1], y.shape[1])
        x, (x_transposed, x_leading), x_stride = self.stack(x, batch)
        y, (y_transposed, y_leading), y_stride = self.stack(y, batch)
        (m, k), n = x.shape[-2:], y.shape[-1]
        address = self._driver.address
        problem = Problem(
            "product",
            m,
            n,
            k,
            x_transposed,
            y_transposed,
            x_leading,
            y_leading,
            x.dtype,
            (
                stack_alignment(address(x), x_stride, x.itemsize),
                stack_alignment(address(y), y_stride, y.itemsize),
                256,
            ),
            self.tf32(x.dtype),
            batch=math.prod(batch),
            a_stride=x_stride,
            b_stride=y_stride,
        )
        return self.gemm.run(problem, Operands(x, y))[0].reshape(*batch, m, n)

    def stack(self, array: Any, batch: tuple[int, ...]) -> tuple[Any, tuple[bool, int], int]:
        """Return a stack of matrices, its matrices' layout and the distance between them."""
        if array.ndim == 2:
            array, found = self.matrix(array)
            return array, found, 0
        size = array.itemsize
        whole = array
        if array.shape[:-2] != batch:
            whole = self.xp.broadcast_to(array, batch + array.shape[-2:])
        stride = batch_stride(batch, whole.strides[:-2], size)
        lies = layout(array.shape[-2:], array.strides[-2:], size)
        if stride is None or lies is None or lies[1] > MOST_ELEMENTS:
            whole = self.xp.ascontiguousarray(whole)
            return whole, (False, whole.shape[-1]), whole.shape[-2] * whole.shape[-1]
        return whole, lies, stride

    def matmul(self, x: Any, y: Any) -> Any:
        if x.dtype != y.dtype:
            common = dtypes.promote(x.dtype, y.dtype)
            if common not in _TYPES:
                return self._library(x, y)
            x, y = x.astype(common, copy=False), y.astype(common, copy=False)
        if not x.ndim or not y.ndim or not self.usable(x, y):
            return self._library(x, y)
        if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
            return self._library(x, y)  # it says what is wrong
        if x.ndim == 2 and y.ndim == 2:
            return self.run("product", x, y)[0]
        if x.ndim == 1:
            return self.matmul(x[None], y)[..., 0, :] if y.ndim > 1 else self._inner(x, y)
        if y.ndim == 1:
            return self.matmul(x, y[:, None])[..., 0]
        if not _broadcast(x.shape[:-2], y.shape[:-2]):
            return self._library(x, y)
        return self.batched(x, y)

    def _inner(self, x: Any, y: Any) -> Any:
        return self.run("product", x[None], y[:, None])[0].reshape(())


def stack_alignment(address: int, stride: int, size: int) -> int:
    """Return the alignment that all matrices of a stack have."""
    return min(alignment(address), alignment(stride * size))


def _broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(x[::-1], y[::-1], strict=False))


def slots(
    xp: Any,
    kernels: Kernels,
    library: Callable[[str], Callable[..., Any]],
    gemm: Gemm | None = None,
    activations: Activations | None = None,
) -> dict[str, Callable[..., Any]]:
    """Return the slots of products.

    Parameters
    ----------
    xp, kernels, library
        As for `slots.slots`.
    gemm, activations
        Stand-ins, for tests.
    """
    driver = kernels.driver
    if gemm is None:
        queue = CupyQueue(xp)
        gemm = Gemm(xp, Blas(xp, driver, queue), driver, queue)
    if activations is None:
        activations = activation_kernels(xp, kernels)
    gemm.sources += [
        BlasSource(xp, gemm.blas),
        Unfused(gemm, activations),
        HopperSource(xp, kernels, activations),
        TilesSource(xp, kernels, activations),
    ]
    products = Products(xp, gemm, driver, library("matmul"))

    def matmul(x: Any, y: Any) -> Any:
        return products.matmul(x, y)

    def rows_of(x: Any) -> Any:
        return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])

    def linear_act(x: Any, w: Any, *rest: Any) -> tuple[Any, Any]:
        *bias, activation = rest
        if bias or activation:
            b = xp.ascontiguousarray(bias[0]) if bias else None
            out, saved = products.run("forward", rows_of(x), w.T, b, activation=activation)
        else:
            (out,), saved = products.run("product", rows_of(x), w.T), None
        if x.ndim == 2:
            return out, saved
        shape = (*x.shape[:-1], w.shape[0])
        same = saved is out
        out = out.reshape(shape)
        if saved is not None:
            saved = out if same else saved.reshape(shape)
        return out, saved

    def has_way(kind: str, x: Any, n: int, bias: bool, activation: str | None) -> bool:
        """Return whether an activation's kernel is ready, or an epilogue does without it."""
        if activation is None:
            return True
        if activations.ready(x.dtype, activation):
            return True
        # One that keeps what must be kept: how a ReLU's epilogue treats NaN isn't known before.
        problem = Problem(kind, 8, n, 8, False, False, 8, n, x.dtype, (16, 16, 16),
                          activation=activation, bias=bias)  # fmt: skip
        return (
            activation != "relu"
            and epilogue_of(problem) is not None
            and any(gemm.candidates(problem))
        )

    def accepts_linear(*args: Any) -> bool:
        x, w, *rest = args
        *bias, activation = rest
        return (
            x.ndim >= 2
            and products.usable(x, w, *bias)
            and x.shape[-1] == w.shape[-1]
            and all(b.shape == w.shape[:1] for b in bias)
            and has_way("forward", x, w.shape[0], bool(bias), activation)
        )

    def product_activation_gradient(x: Any, w: Any, saved: Any, activation: str) -> Any:
        saved = xp.ascontiguousarray(saved)
        dz, db = products.run(
            "backward", rows_of(x), w, saved=rows_of(saved), activation=activation
        )
        return dz.reshape(saved.shape), db

    def accepts_gradient(x: Any, w: Any, saved: Any, activation: str) -> bool:
        return (
            x.ndim >= 2
            and w.ndim == 2
            and products.usable(x, w, saved)
            and x.shape[-1] == w.shape[0]
            and saved.shape == (*x.shape[:-1], w.shape[1])
            and has_way("backward", x, w.shape[1], False, activation)
        )

    def product_gated_gradient(x: Any, w: Any, gate: Any, y: Any, activation: str) -> Any:
        gate, y = xp.ascontiguousarray(gate), xp.ascontiguousarray(y)
        found = products.run(
            "gated", rows_of(x), w, saved=rows_of(gate), gated=rows_of(y), activation=activation
        )
        return tuple([one.reshape(gate.shape) for one in found])

    def accepts_gated(x: Any, w: Any, gate: Any, y: Any, activation: str) -> bool:
        return (
            x.ndim >= 2
            and w.ndim == 2
            and products.usable(x, w, gate, y)
            and x.shape[-1] == w.shape[0]
            and gate.shape == y.shape == (*x.shape[:-1], w.shape[1])
            and activations.gated_ready(x.dtype, activation)
        )

    matmul.gemm = gemm  # type: ignore[attr-defined]
    accepting(linear_act, accepts_linear)
    accepting(product_activation_gradient, accepts_gradient)
    accepting(product_gated_gradient, accepts_gated)
    return {
        "matmul": matmul,
        "einsum": product_slots(xp, products.matmul)["einsum"],
        "linear_act": linear_act,
        "product_activation_gradient": product_activation_gradient,
        "product_gated_gradient": product_gated_gradient,
    }
