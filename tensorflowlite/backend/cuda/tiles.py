"""The matrix product for every chip (``kernels/gemm_tiles.cu``): its variants, and its launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from .activation_slots import SLOPE, type_of
from .gemm import Problem
from .kernels import ByValue, Kernels
from .layout import pack_size, type_defines

FILE = "gemm_tiles.cu"
KINDS = ("product", "forward", "backward", "gated")  # in the order of TFL_EPILOGUE

_LEAST_CAPABILITY = {
    dtypes.float16: (7, 5), dtypes.bfloat16: (8, 0), dtypes.float32: (7, 5),
    dtypes.float64: (7, 5),
}  # fmt: skip
_AMPERE = (8, 0)  # the first with tf32, and with copies that go on while a block computes
_ROOMY = ((8, 0), (8, 7), (9, 0), (10, 0), (10, 3), (11, 0))  # room for two blocks of 3 stages
_DEPTH_BYTES, _PADDING = 64, 16  # of a row along the depth in shared memory
_PADDING_OF_FLOATS = 32  # of rows along the outer axis
_MOST_BLOCKS = 2**31 - 1
_ADDING = (64, 4)  # threads of a block that adds up

# A block's tile, and what a split of the depth is for: so many blocks keep any GPU at work, and so
# many steps are worth a block. They are the same on every GPU, and with them the sums' order.
_LARGE, _SMALL = (128, 128), (64, 64)
_ENOUGH_BLOCKS, _LEAST_STEPS = 128, 8
_CHUNK = 64  # rows whose sums a block that adds up makes


class Plan(NamedTuple):
    """One way to do a problem: the tile, and in how many parts of how many steps the depth goes."""

    rows: int
    columns: int
    splits: int
    steps: int

    @property
    def name(self) -> str:
        """What a candidate is called."""
        end = f" split {self.splits}" if self.splits > 1 else ""
        return f"tiles {self.rows}x{self.columns}{end}"


def accepts(problem: Problem, capability: tuple[int, int]) -> bool:
    """Return whether the kernel takes a problem on a device."""
    sizes = (problem.m, problem.n, problem.k)
    if problem.dtype not in _LEAST_CAPABILITY or min(sizes) < 1 or max(sizes) >= 2**31:
        return False
    if problem.kind != "product" and problem.batch > 1:
        return False
    return capability >= _LEAST_CAPABILITY[problem.dtype]


def plans(problem: Problem) -> Iterator[Plan]:
    """Yield the ways to do a problem, the one to take untried first."""
    shapes = [_SMALL] if problem.dtype == dtypes.float64 else [_LARGE, _SMALL]
    if len(shapes) > 1 and _tiles(problem, *_LARGE) < _ENOUGH_BLOCKS:
        shapes.reverse()
    steps = -(-problem.k // _depth(problem.dtype))
    for rows, columns in shapes:
        tiles = _tiles(problem, rows, columns)
        wanted = min(_ENOUGH_BLOCKS // tiles, steps // _LEAST_STEPS)
        if wanted > 1:  # with few tiles, so that a grid of what adds them up is small, too
            part = -(-steps // wanted)
            yield Plan(rows, columns, -(-steps // part), part)
        if tiles <= _MOST_BLOCKS:
            yield Plan(rows, columns, 1, steps)


def _tiles(problem: Problem, rows: int, columns: int) -> int:
    return -(-problem.m // rows) * -(-problem.n // columns) * problem.batch


def _depth(dtype: Any) -> int:
    return _DEPTH_BYTES // int(dtype.itemsize)


def _group(alignment: int, leading: int, dtype: Any) -> int:
    """Return how many elements can be fetched at once."""
    rows_align = alignment % 16 == 0 and leading * dtype.itemsize % 16 == 0
    return pack_size(dtype) if rows_align else 1


def stages(capability: tuple[int, int]) -> int:
    """Return how many tiles of the operands a block holds."""
    return 3 if capability in _ROOMY else 2


def defines(problem: Problem, plan: Plan, capability: tuple[int, int]) -> dict[str, Any]:
    """Return the macros of the kernel's variant for a problem."""
    a, b, _ = problem.alignments
    return {
        **type_defines(problem.dtype),
        "TFL_TF32": int(problem.tf32 and capability >= _AMPERE),
        "TFL_ROWS": plan.rows,
        "TFL_COLUMNS": plan.columns,
        "TFL_STAGES": stages(capability),
        "TFL_A_TRANSPOSED": int(problem.a_transposed),
        "TFL_B_TRANSPOSED": int(problem.b_transposed),
        "TFL_A_GROUP": _group(a, problem.a_leading, problem.dtype),
        "TFL_B_GROUP": _group(b, problem.b_leading, problem.dtype),
        "TFL_EPILOGUE": KINDS.index(problem.kind),
        "TFL_ACTIVATION": type_of(problem.activation),
    }


def shared_bytes(problem: Problem, plan: Plan, capability: tuple[int, int]) -> int:
    """Return the shared memory that a block takes."""
    size, depth = int(problem.dtype.itemsize), _depth(problem.dtype)
    padding = _PADDING_OF_FLOATS if size == 4 else _PADDING
    found = 0
    for along_depth, extent in (
        (not problem.a_transposed, plan.rows), (problem.b_transposed, plan.columns),
    ):  # fmt: skip
        inner = extent * (_DEPTH_BYTES + _PADDING)
        found += inner if along_depth else depth * (extent * size + padding)
    return stages(capability) * found


def threads(problem: Problem, plan: Plan, capability: tuple[int, int]) -> int:
    """Return the threads of a block."""
    tensor = problem.dtype in dtypes.half or (problem.tf32 and capability >= _AMPERE)
    return 2 * plan.columns if tensor else 256


def partial_rows(problem: Problem, plan: Plan) -> int:
    """Return how many rows of partial sums a backward problem makes."""
    return -(-problem.m // (_CHUNK if plan.splits > 1 else plan.rows))


def launcher(xp: Any, kernels: Kernels, problem: Problem, plan: Plan) -> Callable[..., None]:
    """Return what launches a problem on the current device, and on no other.

    It takes

    a, b : arrays that lie as the problem says
    out : array in C order
    bias : array, shape (n,), or None
        For the forward kind.
    saved : array, shape (m, n), or None
        The forward kind writes the pre-activation to it, the backward and gated ones read it.
    partial_sums : array, shape (partial_rows(problem, plan), n), or None
        For the backward kind, in what the dtype is summed in.
    y, dy : arrays, shape (m, n), or None
        For the gated kind: what the gate ``saved`` is applied to, and where its gradient goes.
    """
    m, n, k, batch, splits = problem.m, problem.n, problem.k, problem.batch, plan.splits
    address, capability = kernels.driver.address, kernels.driver.capability()
    variant = defines(problem, plan, capability)
    blocks = _tiles(problem, plan.rows, plan.columns) * splits
    block, shared = threads(problem, plan, capability), shared_bytes(problem, plan, capability)
    sizes = [m, n, k, problem.a_leading, problem.b_leading, problem.a_stride, problem.b_stride,
             splits, plan.steps]  # fmt: skip
    shape = ByValue(numpy.array(sizes, numpy.int64).tobytes())
    width, height = _ADDING
    # Column sums are made of whole chunks; else a block takes few rows.
    chunk = _CHUNK if problem.kind == "backward" else height
    adding = (-(-n // width), -(-m // chunk), batch)

    def launch(a: Any, b: Any, out: Any, bias: Any, saved: Any, partial_sums: Any, y: Any = None,
               dy: Any = None) -> None:  # fmt: skip
        products = None
        if splits > 1:
            products = xp.empty((batch * splits, m, n), dtypes.accumulator(problem.dtype))
        # As addresses: views aren't in C order, and the problem says how they lie.
        operands = numpy.uint64(address(a)), numpy.uint64(address(b))
        kernels.launch(FILE, "gemm_tiles", variant, blocks, block, shape, *operands, bias, out,
                       saved, y, dy, partial_sums, products, SLOPE, shared=shared)  # fmt: skip
        if splits > 1:
            kernels.launch(FILE, "gemm_tiles_add", variant, adding, _ADDING, products, bias, out,
                           saved, y, dy, partial_sums, m, n, splits, chunk, SLOPE)  # fmt: skip

    return launch
