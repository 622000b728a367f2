"""Slots of layer and root-mean-square normalisation by kernels, over axes that lie side by side.

Forward reads a row once and keeps it in registers for both passes of the variance. Backward reads
each row once too: the blocks keep the sums for the weight and the bias while they take rows, and a
second kernel adds the blocks' sums, in the same order every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import base, dtypes
from .kernels import Kernels
from .layout import (
    REGISTERS,
    RowLayout,
    chunks_of,
    in_c_order,
    of_one_float,
    pack_size,
    power_of_2,
    row_layout,
    type_defines,
)

_FORWARD, _BACKWARD = "normalization.cu", "normalization_gradient.cu"
_WARP, _WARPS_PER_BLOCK, _MOST_THREADS = 32, 8, 512
_SWEEP_THREADS = 256  # as in normalize_parameter_gradient
# By the packs that a thread holds; half precision has twice the sums per pack.
_REGISTERS_PER_THREAD = {1: 80, 2: 96, 4: 128}
_REGISTERS_PER_THREAD_OF_HALF = {1: 80, 2: 128}


def gradient_layout(rows: int, columns: int, dtype: Any, blocks: int) -> RowLayout:
    """Return the threads for a backward pass that holds rows and sums in registers.

    Parameters
    ----------
    rows, columns
        How many there are.
    dtype
        The dtype of the rows.
    blocks
        The multiprocessors of the device.

    Examples
    --------
    >>> layout = gradient_layout(16384, 4096, dtypes.bfloat16, 132)
    >>> layout.grid, layout.block
    (264, (256, 1))
    """
    packs = -(-columns // pack_size(dtype))
    if packs <= 2 * _WARP:
        held, block = -(-packs // _WARP), (_WARP, _WARPS_PER_BLOCK)
    else:
        held = 4 if packs > 2 * _MOST_THREADS and dtype == dtypes.float32 else 2
        block = (min(-(-packs // (_WARP * held)) * _WARP, _MOST_THREADS), 1)
    threads = max(128, power_of_2(block[0] * block[1]))
    half = dtype in dtypes.half
    registers = (_REGISTERS_PER_THREAD_OF_HALF if half else _REGISTERS_PER_THREAD)[held]
    at_once = max(1, REGISTERS // (threads * registers))
    defines = {
        **type_defines(dtype),
        "TFL_PACKS": held,
        "TFL_THREADS": threads,
        "TFL_BLOCKS": at_once,
    }
    grid = min(-(-rows // block[1]), blocks * at_once)
    return RowLayout(grid, block, defines)


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of normalisations that kernels implement."""

    def over_last(centered: bool) -> Callable[..., Any]:
        def run(x: Any, *rest: Any) -> tuple[Any, Any]:
            *parameters, ndim, eps = rest
            x = in_c_order(xp, x)
            weight, bias = [*(in_c_order(xp, p) for p in parameters), None, None][:2]
            out = xp.empty_like(x)
            lead = x.shape[: x.ndim - ndim]
            rows, columns = math.prod(lead), math.prod(x.shape[x.ndim - ndim :])
            statistics = xp.empty((2, *lead, *[1] * ndim), dtypes.accumulator(x.dtype))
            grid, block, defines = row_layout(rows, columns, x.dtype, 1)
            kernels.launch(
                _FORWARD, "normalize", defines, grid, block, x, weight, bias, out, statistics, rows,
                columns, float(eps), centered,
            )  # fmt: skip
            return out, statistics

        return run

    def accepts_over_last(x: Any, *rest: Any) -> bool:
        *parameters, ndim, _ = rest
        shape = x.shape[x.ndim - ndim :]
        return bool(
            of_one_float(x, *parameters)
            and x.size > 0
            and all(p.shape == shape for p in parameters)
            and kernels.ready(_FORWARD, **row_layout(1, math.prod(shape), x.dtype, 1).defines)
        )

    def norm_gradient(y: Any, x: Any, statistics: Any, *rest: Any) -> tuple[Any, ...]:
        *weights, axes, _, centered, parts = rest
        shape = x.shape[x.ndim - len(axes) :]
        arrays = [in_c_order(xp, a) for a in (y, x, statistics)]
        weight = in_c_order(xp, weights[0]) if weights else None
        backward = _Backward(xp, kernels, arrays, weight, math.prod(shape), bool(centered))
        dx, sums = backward.run(parts)
        return (dx, *[one.reshape((1,) * (x.ndim - len(axes)) + shape) for one in sums])

    def accepts_gradient(y: Any, x: Any, statistics: Any, *rest: Any) -> bool:
        *weights, axes, parameter_axes, _, _ = rest
        lead = x.ndim - len(axes)
        return bool(
            tuple(axes) == tuple(range(lead, x.ndim))
            and tuple(parameter_axes) == tuple(range(lead))
            and of_one_float(y, x, *weights)
            and y.shape == x.shape
            and x.size > 0
            and statistics.dtype == dtypes.accumulator(x.dtype)
            and statistics.shape == (2, *x.shape[:lead], *[1] * len(axes))
            and all(w.size == math.prod(x.shape[lead:]) for w in weights)
            and kernels.ready(_BACKWARD, **_defines(x.shape[lead:], x.dtype))
        )

    def guarded(slot: str, implementation: Any, accepts: Any) -> Callable[..., Any]:
        return base.guarded(slot, implementation, accepts, lambda *args: library(slot)(*args))

    return {
        "layer_norm": guarded("layer_norm", over_last(True), accepts_over_last),
        "rms_norm": guarded("rms_norm", over_last(False), accepts_over_last),
        "norm_gradient": guarded("norm_gradient", norm_gradient, accepts_gradient),
    }


def _defines(shape: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    return gradient_layout(1, math.prod(shape), dtype, 1).defines


class _Backward:
    """One backward pass: its arrays as rows, and its launches."""

    def __init__(self, xp: Any, kernels: Kernels, arrays: list[Any], weight: Any, columns: int,
                 centered: bool) -> None:  # fmt: skip
        self._xp, self._kernels = xp, kernels
        self._y, self._x, self._statistics = arrays
        self._weight, self._columns, self._centered = weight, columns, centered
        self._rows = self._x.size // columns
        self._wide = dtypes.accumulator(self._x.dtype)
        blocks = kernels.multiprocessors()
        self._layout = gradient_layout(self._rows, columns, self._x.dtype, blocks)

    def run(self, parts: int) -> tuple[Any, list[Any]]:
        """Return dx, and the gradients of the weight and the bias where they are asked for."""
        dx = self._xp.empty_like(self._x)
        partials = (self._at_once if self._held(dx) else self._apart)(dx, parts - 1)
        return dx, [self._total(one) for one in partials]

    def _held(self, dx: Any) -> bool:
        """Whether the threads hold a row, and read it in packs."""
        size = pack_size(self._x.dtype)
        held = self._layout.block[0] * self._layout.defines["TFL_PACKS"] * size
        arrays = [a for a in (self._y, self._x, self._weight, dx) if a is not None]
        address = self._kernels.driver.address
        aligned = all(address(array) % 16 == 0 for array in arrays)
        return self._columns % size == 0 and self._columns <= held and aligned

    def _launch(self, entry: str, grid: Any, block: Any, *args: Any) -> None:
        self._kernels.launch(_BACKWARD, entry, self._layout.defines, grid, block, *args)

    def _workspace(self, rows: int, count: int) -> list[Any]:
        return [self._xp.empty((rows, self._columns), self._wide) for _ in range(count)]

    def _at_once(self, dx: Any, count: int) -> list[Any]:
        grid, block = self._layout[:2]
        partials = self._workspace(grid, count)
        weight_partials, bias_partials = [*partials, None, None][:2]
        self._launch(
            "normalize_gradient", grid, block, self._y, self._x, self._statistics, self._weight, dx,
            weight_partials, bias_partials, self._rows, self._columns, self._centered,
        )  # fmt: skip
        return partials

    def _apart(self, dx: Any, count: int) -> list[Any]:
        block = self._layout.block
        self._launch(
            "normalize_input_gradient", -(-self._rows // block[1]), block, self._y, self._x,
            self._statistics, self._weight, dx, self._rows, self._columns, self._centered,
        )  # fmt: skip
        if not count:
            return []
        across = min(_WARP, power_of_2(self._columns))
        down = _SWEEP_THREADS // across
        strips = -(-self._columns // across)
        chunk, chunks = chunks_of(self._rows, strips, 4 * down)
        partials = self._workspace(chunks, count)
        weight_partials, bias_partials = [*partials, None][:2]
        self._launch(
            "normalize_parameter_gradient", (strips, chunks), (across, down), self._y, self._x,
            self._statistics, weight_partials, bias_partials, self._rows, self._columns, chunk,
        )  # fmt: skip
        return partials

    def _total(self, partials: Any) -> Any:
        out = self._xp.empty(self._columns, self._wide)
        self._launch("sum_partials", -(-out.size // 32), (32, 32), partials, out, *partials.shape)
        return out
