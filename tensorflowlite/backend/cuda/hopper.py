"""The product of half-precision matrices on Hopper (``kernels/gemm_hopper.cu``), launched."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import dtypes
from .activation_slots import SLOPE, type_of
from .kernels import TYPE_NAMES, Kernels
from .tensor_maps import tensor_map

FILE = "gemm_hopper.cu"
TILE_COLUMNS = (256, 192, 128)
PLAIN, FORWARD, BACKWARD = range(3)  # TFL_EPILOGUE

_OPERANDS = {dtypes.float16: '"f16.f16"', dtypes.bfloat16: '"bf16.bf16"'}
_ROWS, _DEPTH, _GROUP, _CLUSTER, _THREADS = 128, 64, 64, 2, 384
_STAGES = {256: 3, 192: 4, 128: 4}


class Problem(NamedTuple):
    """A product out (m x n) = a (m x k) b (k x n), of arrays in C order.

    ``a_transposed``: ``a`` is stored as k x m. ``b_transposed``: ``b`` is stored as k x n, not as
    n x k as a layer's weight is.
    """

    m: int
    n: int
    k: int
    dtype: Any
    a_transposed: bool
    b_transposed: bool
    epilogue: int = PLAIN
    activation: str | None = None


def accepts(problem: Problem) -> bool:
    """Return whether the kernel takes a product: every row must be a multiple of 16 bytes."""
    m, n, k = problem.m, problem.n, problem.k
    rows = (m if problem.a_transposed else k, n if problem.b_transposed else k, n)
    return (
        problem.dtype in _OPERANDS
        and min(m, n, k) > 0
        and max(m, n, k) < 2**31
        and not any(row % 8 for row in rows)
    )


def defines(problem: Problem, columns: int) -> dict[str, Any]:
    """Return the macros of the kernel's variant for a product."""
    return {
        "TFL_TYPE": TYPE_NAMES[problem.dtype],
        "TFL_OPERANDS": _OPERANDS[problem.dtype],
        "TFL_N": columns,
        "TFL_A_TRANSPOSED": int(problem.a_transposed),
        "TFL_B_TRANSPOSED": int(problem.b_transposed),
        "TFL_EPILOGUE": problem.epilogue,
        "TFL_ACTIVATION": type_of(problem.activation),
    }


def shared_bytes(columns: int, epilogue: int) -> int:
    """Return the shared memory that a block takes."""
    stage = (_ROWS + columns) * _DEPTH * 2
    staged = _ROWS * columns * 2
    sums = 2 * 4 * columns * 4 if epilogue == BACKWARD else 0
    return _STAGES[columns] * stage + staged + sums + (2 * _STAGES[columns] + 2) * 8


def partial_rows(m: int) -> int:
    """Return how many rows of partial sums the backward epilogue writes."""
    return -(-m // _GROUP)


def run(
    kernels: Kernels,
    problem: Problem,
    columns: int,
    a: Any,
    b: Any,
    out: Any,
    bias: Any = None,
    saved: Any = None,
    partial_sums: Any = None,
) -> None:
    """Launch the product.

    Parameters
    ----------
    columns
        Of a tile: one of ``TILE_COLUMNS``.
    a, b, out : arrays in C order, as the problem says
    bias : array, shape (n,), optional
        For the forward epilogue.
    saved : array, shape (m, n), optional
        The forward epilogue writes the pre-activation to it, the backward one reads it.
    partial_sums : array of float32, shape (partial_rows(m), n)
        For the backward epilogue: column sums over 64 rows each.
    """
    m, n, k, dtype = problem[:4]
    blocks = _CLUSTER * (-(-m // (_ROWS * _CLUSTER))) * (-(-n // columns))
    blocks = min(blocks, kernels.multiprocessors() // _CLUSTER * _CLUSTER)
    address = kernels.driver.address
    box_a = (_DEPTH, _GROUP) if problem.a_transposed else (_ROWS, _DEPTH)
    box_b = (_DEPTH, _GROUP) if problem.b_transposed else (columns // _CLUSTER, _DEPTH)
    box_out = (_GROUP, _GROUP)
    out_map = tensor_map(address(out), (m, n), dtype, box_out)
    kernels.launch(
        FILE,
        "gemm_hopper",
        defines(problem, columns),
        blocks,
        _THREADS,
        tensor_map(address(a), (k, m) if problem.a_transposed else (m, k), dtype, box_a),
        tensor_map(address(b), (k, n) if problem.b_transposed else (n, k), dtype, box_b),
        out_map,
        out_map if saved is None else tensor_map(address(saved), (m, n), dtype, box_out),
        bias,
        partial_sums,
        m,
        n,
        k,
        saved is not None,
        SLOPE,
        shared=shared_bytes(columns, problem.epilogue),
    )
