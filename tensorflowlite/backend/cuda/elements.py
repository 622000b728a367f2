"""Element programs on an NVIDIA GPU: each is compiled from text of its own at first use."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any

from ..elements.layout import Layout, laid, strides_of_result, strides_over
from ..elements.lowering import lowered
from ..elements.programs import ElementProgram, shape_of, validate
from .element_source import MOST_AXES, THREADS, folded_type, run_length, source
from .kernels import AsItLies, ByValue, Kernels
from .layout import chunks_of

Launch = Callable[[], None]
_MOST_BLOCKS = 1 << 20  # each takes another turn then
_WARP_ROWS = 1024  # rows up to here are folded by a warp
_LEAST_OF_ROW = 4096  # so many elements of a row are worth a block


def _nothing() -> None:
    """Run what has no element."""


def _layout_of(program: ElementProgram, shape: tuple[int, ...], arrays: Sequence[Any],
               outs: Sequence[Any]) -> Layout:  # fmt: skip
    ndim = len(shape)
    elementwise = len(program.outputs)
    strides = [strides_over(one, ndim) for one in (*arrays, *outs[:elementwise])]
    moving = [sum(step != 0 for step in one) for one in strides]
    leader = len(arrays) if elementwise else moving.index(max(moving))
    if program.reduction is None:
        return laid(shape, strides, leader)
    _, _, axes, keepdims = program.reduction
    strides.append(strides_of_result(outs[-1], ndim, axes, keepdims))
    return laid(shape, strides, leader, axes)


def _packed(layout: Layout) -> ByValue:
    """Return the kernels' structure of a layout."""

    def padded(values: tuple[int, ...]) -> list[int]:
        return [*values, *[0] * (MOST_AXES - len(values))]

    numbers = [*padded(layout.sizes), *[n for one in layout.strides for n in padded(one)]]
    return ByValue(struct.pack(f"{len(numbers)}q", *numbers))


def _defines(layout: Layout, size: int) -> dict[str, Any]:
    wide = "unsigned int" if size < 2**31 else "unsigned long long"
    return {"TFL_AXES": len(layout.sizes), "TFL_KEPT": layout.kept, "TFL_INDEX": wide}


def _is_plain(program: ElementProgram, layout: Layout) -> bool:
    """Whether every array is one number, or its elements lie side by side in the same order."""
    if len(layout.sizes) > 1:
        return False
    held = [(one.dtype, any(one.spans)) for one in program.inputs]
    held += [(program.dtype_of(value), True) for value in program.outputs]
    return all(
        not steps or steps[0] == (dtype.itemsize if spread else 0)
        for (dtype, spread), steps in zip(held, layout.strides, strict=True)
    )


class Elements:
    """Runs element programs by kernels.

    Parameters
    ----------
    xp
        The array library: CuPy, or NumPy where tests run the kernels on the host.
    kernels
        Compiles and launches.
    """

    def __init__(self, xp: Any, kernels: Kernels) -> None:
        self.xp, self.kernels = xp, kernels

    def bind(
        self, program: ElementProgram, arrays: Sequence[Any], outs: Sequence[Any],
        checked: tuple[int, ...] | None = None,
    ) -> Launch | None:  # fmt: skip
        """Return what runs a program over these arrays; it takes no arguments.

        None where it has no kernel: the arrays have too many axes that don't lie together, or the
        compiler is missing. ``arrays`` and ``outs`` are as for `native.elements.bind`; the caller
        sees to it that an output overlaps no array but one of the same layout. ``checked`` is the
        common shape where such arrays were bound before: they aren't looked at again.

        Raises
        ------
        ArgumentError
            The program isn't well formed, or the arrays aren't its own.
        """
        shape = checked
        if shape is None:
            validate(program)
            shape = shape_of(program, arrays, outs)
        layout = _layout_of(program, shape, arrays, outs)
        if len(layout.sizes) > MOST_AXES:
            return None
        if program.reduction is not None:
            return self._reduction(program, layout, arrays, outs)
        if 0 in shape:
            return _nothing
        size = layout.kept_size()
        if _is_plain(program, layout):
            blocks = -(-size // (THREADS * run_length(program)))
            return self._launch(program, "contiguous", "elements_contiguous", {}, blocks, THREADS,
                                *map(AsItLies, (*arrays, *outs)), size)  # fmt: skip
        return self._launch(program, "strided", "elements_strided", _defines(layout, size),
                            -(-size // THREADS), THREADS, _packed(layout),
                            *map(AsItLies, (*arrays, *outs)), size)  # fmt: skip

    def _launch(self, program: ElementProgram, form: str, entry: str, defines: dict[str, Any],
                grid: Any, block: Any, *arguments: Any) -> Launch | None:  # fmt: skip
        text = source(program, form)
        if not self.kernels.ready(text, **defines):
            return None
        first, *rest = grid if isinstance(grid, tuple) else (grid,)
        grid = (min(first, _MOST_BLOCKS) if form in ("contiguous", "strided") else first, *rest)
        return functools.partial(self.kernels.launch, text, entry, defines, grid, block, *arguments)

    def _reduction(self, program: ElementProgram, layout: Layout, arrays: Sequence[Any],
                   outs: Sequence[Any]) -> Launch | None:  # fmt: skip
        kept, length = layout.kept_size(), layout.reduced_size()
        if kept == 0:
            return _nothing
        assert program.reduction is not None
        # Of no elements a mean is 0 / 0.
        if length == 0:
            empty = float("nan") if program.reduction.op == "mean" else 0
            return functools.partial(outs[-1].fill, empty)
        form = "rows" if layout.rows else "columns"
        if layout.rows:
            across, down = (32, 8) if length <= _WARP_ROWS else (THREADS, 1)
            chunk, parts = chunks_of(length, kept, _LEAST_OF_ROW)
            grid = (-(-kept // down), parts)
        else:
            across, down = 32, 8
            chunk, parts = chunks_of(length, -(-kept // across), 32)
            grid = (-(-kept // across), parts)
        folded = folded_type(lowered(program))
        partials = self.xp.empty((parts, kept), folded) if parts > 1 else None
        divisor = length if program.reduction.op == "mean" else 0
        defines = _defines(layout, max(kept, length))
        sizes = (kept, length) if layout.rows else (length, kept)
        every = [AsItLies(one) for one in (*arrays, *outs[:-1])]
        first = self._launch(program, form, f"elements_{form}", defines, grid, (across, down),
                             _packed(layout), *every, partials, AsItLies(outs[-1]), *sizes, chunk,
                             divisor)  # fmt: skip
        if first is None or parts == 1:
            return first
        second = self._launch(program, form, "elements_finish", defines, -(-kept // 8), (32, 8),
                              _packed(layout), partials, AsItLies(outs[-1]), parts, kept,
                              divisor)  # fmt: skip
        assert second is not None

        def both() -> None:
            first()
            second()

        return both
