"""The fibers that run kernels on the host: what CUDA promises holds, and seeded bugs are caught."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorflowlite.backend.cuda import kernels
from tensorflowlite.errors import ArgumentError, DeviceError

from .compilers import need_host
from .host_kernels import ORDERS, HostKernelError, HostKernels

ROOT = Path(__file__).resolve().parents[1]

# Mean and variance of rows, in the ways of the package's reductions: warp shuffles, then static
# shared memory; the row itself waits in dynamic shared memory, read by other threads than wrote it.
MOMENTS = """
#include "types.cuh"
using T = TFL_TYPE;

template <int threads>
TFL_DEVICE float block_sum(float value) {
  __shared__ float partial[threads / 32];
  for (int offset = 16; offset; offset /= 2) {
    value += __shfl_down_sync(0xffffffffu, value, offset);
  }
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < threads / 32; ++i) sum += partial[i];
  __syncthreads();  // trailing
  return sum;
}

extern "C" TFL_KERNEL(128) moments(const T* x, float* mean, float* variance, long long columns) {
  TFL_DYNAMIC_SHARED(float, row);
  const T* mine = x + blockIdx.x * columns;
  for (long long i = threadIdx.x; i < columns; i += blockDim.x) row[i] = tfl::widen(mine[i]);
  __syncthreads();  // row
  float sum = 0;
  for (long long i = threadIdx.x; i < columns; i += blockDim.x) sum += row[columns - 1 - i];
  const float average = block_sum<128>(sum) / columns;
  float squares = 0;
  for (long long i = threadIdx.x; i < columns; i += blockDim.x) {
    const float difference = row[i] - average;
    squares += difference * difference;
  }
  const float total = block_sum<128>(squares);
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = average;
    variance[blockIdx.x] = total / columns;
  }
}
"""


@pytest.fixture(autouse=True)
def _host() -> None:
    need_host()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes ``test.cu`` the only kernel file, with a text that may be changed in one place."""
    (tmp_path / "include").symlink_to(ROOT / "kernels" / "include")
    monkeypatch.setattr(kernels, "kernels_directory", lambda: tmp_path)

    def written(text: str, old: str = "", new: str = "") -> None:
        assert text.count(old) == 1 or not old, f"{old!r} stands {text.count(old)} times"
        (tmp_path / "test.cu").write_text(text.replace(old, new) if old else text)
        kernels.source_of.cache_clear()

    yield written
    kernels.source_of.cache_clear()


def run_moments(
    order: str, *, block: int = 128, shared: int | None = None, dtype: Any = np.float32,
    columns: int = 203, type_name: str = "float",
) -> bool:  # fmt: skip
    """Return whether the kernel gives the right moments in this order."""
    x = np.random.default_rng(3).normal(1, 2, (5, columns)).astype(dtype)
    mean, variance = np.full(5, np.inf, np.float32), np.full(5, np.inf, np.float32)
    HostKernels(order).launch(
        "test.cu", "moments", {"TFL_TYPE": type_name}, 5, block, x, mean, variance, columns,
        shared=4 * columns if shared is None else shared,
    )  # fmt: skip
    wide = x.astype(np.float64)
    error = max(np.abs(mean - wide.mean(1)).max(), np.abs(variance - wide.var(1)).max())
    return bool(error < 1e-5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("columns", [1, 31, 128, 203, 1000])
def test_a_right_kernel_is_right_in_every_order(
    write: Callable[..., None], order: str, columns: int
) -> None:
    write(MOMENTS)
    assert run_moments(order, columns=columns)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(np.float64, "double"), (np.float16, "tfl::float16"), (ml_dtypes.bfloat16, "tfl::bfloat16")],
)
def test_types(write: Callable[..., None], dtype: Any, name: str) -> None:
    # Of double, widen gives double, which the kernel then rounds as it stores the row.
    write(MOMENTS)
    assert run_moments("shuffled", dtype=dtype, type_name=name)


# ---- seeded bugs

BARRIERS = {
    "after the row": ("  __syncthreads();  // row\n", ""),
    "after the partial sums": ("  __syncthreads();\n  float sum", "  float sum"),
    "before the next partial sums": ("  __syncthreads();  // trailing\n", ""),
}


@pytest.mark.parametrize("where", BARRIERS)
def test_a_missing_barrier_shows_in_some_order(write: Callable[..., None], where: str) -> None:
    write(MOMENTS, *BARRIERS[where])
    assert not all(run_moments(order) for order in ORDERS)


SAID = [
    ("0xffffffffu", "0x0000ffffu", r"__shfl_down_sync at test\.cu:9: the caller isn't in its own"),
    ("0xffffffffu", "threadIdx.x % 2 ? 0xffffffffu : 0xfffffffdu",
     r"__shfl_down_sync at test\.cu:9: the lanes name different masks"),
    ("    value += __shfl", "    if (threadIdx.x % 32 < 16) value += __shfl",
     r"deadlock: threads wait for others that don't come: __shfl_down_sync at test\.cu:9; __sync"),
    ("  __syncthreads();\n  float sum", "  if (threadIdx.x < 64) __syncthreads();\n  float sum",
     r"divergent barrier: some threads are at __syncthreads at test\.cu:1\d, others at __sync"),
    ("  __syncthreads();  // row", "  if (threadIdx.x > 99) return;\n  __syncthreads();",
     r"divergent barrier: __syncthreads at test\.cu:24 waits for threads that have returned"),
    ("  __syncthreads();  // row", "  if (threadIdx.x < 32) __syncwarp(); else __syncthreads();",
     r"divergent barrier: some threads are at __syncthreads at test\.cu:12, others at"),
    ("float partial[threads / 32]", "float partial[threads / 32 - 1]",
     r"index out of bounds at test\.cu:11: 3 of 'float \[3\]'"),
    ("i < threads / 32", "i <= threads / 32", r"index out of bounds at test\.cu:14: 4 of 'fl"),
    ("row[i] = tfl", "row[i + 1] = tfl",
     "dynamic shared memory of 812 bytes was written to past its end, at byte 812"),
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("old", "new", "message"), SAID)
def test_a_bug_is_an_error_in_words(
    write: Callable[..., None], order: str, old: str, new: str, message: str
) -> None:
    write(MOMENTS, old, new)
    with pytest.raises(HostKernelError, match=message):
        run_moments(order)
    # What is left of the launch doesn't disturb the next one.
    write(MOMENTS)
    assert run_moments(order)


@pytest.mark.parametrize("order", ORDERS)
def test_numbers_of_threads_that_the_kernel_is_not_for(
    write: Callable[..., None], order: str
) -> None:
    write(MOMENTS)
    # The partial sums of absent warps are unwritten: NaN.
    assert not run_moments(order, block=96)
    with pytest.raises(HostKernelError, match="the mask names lane 4, which doesn't exist"):
        run_moments(order, block=100)
    with pytest.raises(HostKernelError, match="for at most 128 threads per block, got 160"):
        run_moments(order, block=160)
    with pytest.raises(HostKernelError, match="dynamic shared memory of 808 bytes was written to"):
        run_moments(order, shared=808)


def test_arguments_of_another_type(write: Callable[..., None]) -> None:
    write(MOMENTS)
    launcher, x = HostKernels(), np.zeros(4, np.float32)
    for place, arguments in {
        3: (x, x, x, 4.0), 0: (1, x, x, 4), 2: (x, x, 1.0, 4),
    }.items():  # fmt: skip
        with pytest.raises(HostKernelError, match=rf"^moments: argument {place} isn't of its par"):
            launcher.launch("test.cu", "moments", {"TFL_TYPE": "float"}, 1, 128, *arguments)
    with pytest.raises(HostKernelError, match=r"^moments: the kernel takes 4 arguments, got 3$"):
        launcher.launch("test.cu", "moments", {"TFL_TYPE": "float"}, 1, 128, x, x, x)


STRUCTURES = """
#include "types.cuh"
struct Small { int a, b, c; };
struct Big { double x; int y; };
extern "C" TFL_KERNEL(1) right(Small s, int* out, Big* unused) { out[0] = s.a + s.c; }
extern "C" TFL_KERNEL(1) apart(Small s, Big b, double* out) { out[0] = s.a + b.x + b.y; }
"""


def test_structures_lie_where_the_kernel_reads_them(write: Callable[..., None]) -> None:
    write(STRUCTURES)
    small, big = kernels.ByValue(struct.pack("iii", 1, 2, 3)), kernels.ByValue(bytes(16))
    out = np.zeros(1, np.int32)
    HostKernels().launch("test.cu", "right", {}, 1, 1, small, out, None)
    assert out[0] == 4
    with pytest.raises(HostKernelError, match="argument 1 must lie at byte 16, got 12"):
        HostKernels().launch("test.cu", "apart", {}, 1, 1, small, big, out)


def test_the_launchers_own_checks_run_here_too(write: Callable[..., None]) -> None:
    write(MOMENTS)
    launcher, x = HostKernels(), np.zeros((4, 4), np.float32)
    with pytest.raises(ArgumentError, match="array 0 must be in C order"):
        launcher.launch("test.cu", "moments", {"TFL_TYPE": "float"}, 1, 128, x.T, x, x, 4)
    with pytest.raises(DeviceError, match="array 1 on the host"):
        foreign = memoryview(x)
        launcher.launch("test.cu", "moments", {"TFL_TYPE": "float"}, 1, 128, x, Foreign(foreign))


class Foreign:
    """An array of another library."""

    def __init__(self, memory: memoryview) -> None:
        self.strides, self.shape = memory.strides, memory.shape

    class flags:
        c_contiguous = True


def test_a_text_that_does_not_compile(write: Callable[..., None]) -> None:
    write(MOMENTS, "float average", "flat average")
    with pytest.raises(HostKernelError, match=r"test\.cu:26:9: error: .flat. does not name a type"):
        HostKernels().ready("test.cu", TFL_TYPE="float")


# ---- copies that go on while a thread computes

COPIES = """
#include "async_copy.cuh"
extern "C" TFL_KERNEL(32) doubled(const float* x, float* out, long long valid) {
  alignas(16) __shared__ float room[2][128];
  const int mine = 4 * threadIdx.x;
  tfl::copy_async<16>(&room[0][mine], x + mine, static_cast<int>(valid));
  tfl::copies_commit();
  tfl::copy_async<16>(&room[1][mine], x + 128 + mine, 16);
  tfl::copies_commit();
  tfl::copies_wait<1>();  // for the first
  __syncthreads();
  const int other = 127 - mine;
  for (int i = 0; i < 4; ++i) out[other - i] = 2 * room[0][other - i];
  tfl::copies_wait<0>();  // for the second
  __syncthreads();
  for (int i = 0; i < 4; ++i) out[128 + other - i] = 2 * room[1][other - i];
}
"""


def run_copies(order: str, valid: int = 16) -> Any:
    x, out = np.arange(1, 257, dtype=np.float32), np.zeros(256, np.float32)
    HostKernels(order).launch("test.cu", "doubled", {}, 1, 32, x, out, valid)
    return out


@pytest.mark.parametrize("order", ORDERS)
def test_copies_are_made_when_they_are_waited_for(write: Callable[..., None], order: str) -> None:
    write(COPIES)
    x = np.arange(1, 257, dtype=np.float32)
    np.testing.assert_array_equal(run_copies(order), 2 * x)
    # What isn't valid of a copy are zeros.
    part = np.where(np.arange(256) % 4 * (np.arange(256) < 128) < 2, 2 * x, 0)
    np.testing.assert_array_equal(run_copies(order, 8), part)
    write(COPIES, "  tfl::copies_wait<1>();  // for the first\n")
    out = run_copies(order)
    assert np.isnan(out[:128]).any() and (out[128:] == 2 * x[128:]).all()
    write(COPIES, "copies_wait<1>();  // for the first", "copies_wait<2>();")
    assert np.isnan(run_copies(order)[:128]).any()
    write(COPIES, "  tfl::copies_wait<1>();  // for the first\n  __syncthreads();\n",
          "  tfl::copies_wait<1>();\n")  # fmt: skip
    assert np.isnan(run_copies(order)).any()


BAD_COPIES = [
    ("copies_wait<0>();  // for the second", "copies_wait<1>();",
     "a thread has returned without waiting for its copies"),
    ("x + mine, static_cast<int>(valid)", "x + mine + 1, static_cast<int>(valid)",
     "a copy of 16 bytes must begin at multiples of 16"),
    ("static_cast<int>(valid)", "17", "a copy of 16 bytes can't have 17"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), BAD_COPIES)
def test_a_wrong_copy_is_an_error(
    write: Callable[..., None], old: str, new: str, message: str
) -> None:
    write(COPIES, old, new)
    with pytest.raises(HostKernelError, match=message):
        run_copies("ascending")
    write(COPIES)
    assert run_copies("ascending").all()


# ---- what CUDA promises

SHARED = """
#include "types.cuh"
template <typename T>
TFL_DEVICE T* in_template() {
  __shared__ T one[32];
  return one;
}
extern "C" TFL_KERNEL(32) left_over(float* out, long long writer) {
  __shared__ float plain[32];
  TFL_DYNAMIC_SHARED(float, dynamic);
  float* generic = in_template<float>();
  if (blockIdx.x == writer) {
    plain[threadIdx.x] = generic[threadIdx.x] = dynamic[threadIdx.x] = 1;
  }
  __syncthreads();
  float* mine = out + blockIdx.x * 96 + threadIdx.x;
  mine[0] = plain[threadIdx.x];
  mine[32] = generic[threadIdx.x];
  mine[64] = dynamic[threadIdx.x];
}
"""


@pytest.mark.parametrize("order", ORDERS)
def test_shared_memory_is_poisoned_before_each_block(
    write: Callable[..., None], order: str
) -> None:
    write(SHARED)
    out = np.zeros((4, 96), np.float32)
    for _ in range(2):
        HostKernels(order).launch("test.cu", "left_over", {}, 4, 32, out, 1, shared=128)
        assert np.isnan(out[[0, 2, 3]]).all() and (out[1] == 1).all()


WARPS = """
#include "types.cuh"
extern "C" TFL_KERNEL(64) shuffles(const long long* x, long long* out, long long by,
                                   long long width) {
  const long long mine = x[threadIdx.x];
  const unsigned int all = 0xffffffffu;
  out[threadIdx.x] = __shfl_sync(all, mine, by, width);
  out[threadIdx.x + 64] = __shfl_up_sync(all, mine, by, width);
  out[threadIdx.x + 128] = __shfl_down_sync(all, mine, by, width);
  out[threadIdx.x + 192] = __shfl_xor_sync(all, mine, by, width);
}
extern "C" TFL_KERNEL(64) votes(const long long* x, long long* out) {
  const int yes = x[threadIdx.x] != 0;
  out[threadIdx.x] = __ballot_sync(0xffffffffu, yes);
  out[threadIdx.x + 64] = __any_sync(0xffffffffu, yes);
  out[threadIdx.x + 128] = __all_sync(0xffffffffu, yes);
}
extern "C" TFL_KERNEL(32) halves(const float* x, float* out) {
  const unsigned int mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
  out[threadIdx.x] = __shfl_down_sync(mask, x[threadIdx.x], 8);
  out[threadIdx.x + 32] = __ballot_sync(mask, 1) == mask;
}
"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [4, 8, 32])
@pytest.mark.parametrize("by", [0, 1, 3, 7, 20])
def test_shuffles(write: Callable[..., None], order: str, width: int, by: int) -> None:
    write(WARPS)
    x = np.random.default_rng(1).integers(-(2**62), 2**62, 64)
    out = np.zeros((4, 64), np.int64)
    HostKernels(order).launch("test.cu", "shuffles", {}, 1, 64, x, out, by, width)
    lane = np.arange(64)
    first, last = lane // width * width, lane // width * width + width - 1
    xor = lane ^ by
    wanted = [
        first + by % width,
        np.where(lane - by >= first, lane - by, lane),
        np.where(lane + by <= last, lane + by, lane),
        np.where(xor <= last, xor, lane),
    ]
    np.testing.assert_array_equal(out, x[np.array(wanted)])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [0, 0xFFFFFFFF, 0x80000001, 0x0F0F1234])
def test_votes(write: Callable[..., None], order: str, bits: int) -> None:
    write(WARPS)
    second = bits ^ 0x00FF00FF
    x = np.array([word >> k & 1 for word in (bits, second) for k in range(32)])
    out = np.zeros((3, 64), np.int64)
    HostKernels(order).launch("test.cu", "votes", {}, 1, 64, x, out)
    for words, vote in zip(out, (int, bool, lambda b: b == 0xFFFFFFFF), strict=True):
        assert (words[:32] == vote(bits)).all() and (words[32:] == vote(second)).all()


@pytest.mark.parametrize("order", ORDERS)
def test_partial_masks(write: Callable[..., None], order: str) -> None:
    """Each half meets alone; what comes from a lane outside the mask is poison."""
    write(WARPS)
    x, out = np.arange(32, dtype=np.float32), np.zeros((2, 32), np.float32)
    HostKernels(order).launch("test.cu", "halves", {}, 1, 32, x, out)
    np.testing.assert_array_equal(out[0, :8], x[8:16])
    assert np.isnan(out[0, 8:16]).all()
    np.testing.assert_array_equal(out[0, 16:24], x[24:])
    np.testing.assert_array_equal(out[0, 24:], x[24:])  # beyond the warp a lane keeps its own
    assert (out[1] == 1).all()


GRID = """
#include "types.cuh"
extern "C" TFL_KERNEL(1024) visits(int* places, int* arrived) {
  const long long block =
      blockIdx.x + gridDim.x * (blockIdx.y + static_cast<long long>(gridDim.y) * blockIdx.z);
  const long long thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const long long threads = blockDim.x * blockDim.y * blockDim.z;
  places[block * threads + thread] = atomicAdd(arrived, 1);
}
extern "C" TFL_KERNEL(256) last_block(const int* x, int* partial, int* arrived, int* sum) {
  __shared__ int total;
  __shared__ bool last;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  atomicAdd(&total, x[blockIdx.x * blockDim.x + threadIdx.x]);
  __syncthreads();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = total;
    __threadfence();
    last = atomicAdd(arrived, 1) == static_cast<int>(gridDim.x) - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    *sum = 0;
    for (unsigned int i = 0; i < gridDim.x; ++i) *sum += partial[i];
  }
}
"""


def visits(order: str, grid: tuple[int, ...], block: tuple[int, ...], seed: int = 1) -> np.ndarray:
    places = np.full(np.prod(grid) * np.prod(block), -1, np.int32)
    launcher = HostKernels(order, seed=seed)
    launcher.launch("test.cu", "visits", {}, grid, block, places, np.zeros(1, np.int32))
    return places


def test_orders(write: Callable[..., None]) -> None:
    write(GRID)
    shape = ((3, 2, 2), (5, 4, 2))
    count = 12 * 40
    np.testing.assert_array_equal(visits("ascending", *shape), np.arange(count))
    np.testing.assert_array_equal(visits("descending", *shape), np.arange(count)[::-1])
    first, again, other = (visits("shuffled", *shape, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert sorted(first) == sorted(other) == list(range(count))
    assert (first != other).any() and (first != np.arange(count)).any()


@pytest.mark.parametrize("order", ORDERS)
def test_the_last_block_sums_up(write: Callable[..., None], order: str) -> None:
    write(GRID)
    x = np.random.default_rng(0).integers(-1000, 1000, (7, 256)).astype(np.int32)
    partial, arrived, total = (np.zeros(n, np.int32) for n in (7, 1, 1))
    HostKernels(order).launch("test.cu", "last_block", {}, 7, 256, x, partial, arrived, total)
    np.testing.assert_array_equal(partial, x.sum(1))
    assert total[0] == x.sum()


def test_many_launches_of_many_threads(write: Callable[..., None]) -> None:
    """The stacks of a launch (128 MiB of addresses here) are given back."""
    write(GRID)
    mappings = Path("/proc/self/maps")
    visits("shuffled", (1,), (1024,))
    before = len(mappings.read_text().splitlines())
    for _ in range(20):
        visits("shuffled", (1,), (1024,))
    assert len(mappings.read_text().splitlines()) <= before + 5


TRANSPOSE = """
#include "types.cuh"
extern "C" TFL_KERNEL(64) reverse_warps(const float* x, float* out) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  out[threadIdx.x] = tile[threadIdx.x ^ 31];
}
"""


def test_warps_synchronize_their_shared_memory(write: Callable[..., None]) -> None:
    x = np.random.default_rng(0).normal(size=64).astype(np.float32)

    def right(order: str) -> bool:
        out = np.zeros(64, np.float32)
        HostKernels(order).launch("test.cu", "reverse_warps", {}, 1, 64, x, out)
        return bool((out == x.reshape(2, 32)[:, ::-1].ravel()).all())

    write(TRANSPOSE)
    assert all(right(order) for order in ORDERS)
    write(TRANSPOSE, "  __syncwarp();\n", "")
    assert not any(right(order) for order in ORDERS)


VECTOR = """
#include "types.cuh"
extern "C" TFL_KERNEL(32) copy(const float* x, float* out, long long packs) {
  if (threadIdx.x >= packs) return;
  reinterpret_cast<tfl::Pack<float>*>(out)[threadIdx.x] =
      reinterpret_cast<const tfl::Pack<float>*>(x)[threadIdx.x];
}
"""


def test_a_misaligned_vector_is_an_error(write: Callable[..., None]) -> None:
    write(VECTOR)
    memory = np.arange(64, dtype=np.float32)
    start = -memory.ctypes.data % 16 // 4
    aligned, out = memory[start : start + 16], np.zeros(32, np.float32)
    target = out[-out.ctypes.data % 16 // 4 :]
    HostKernels().launch("test.cu", "copy", {}, 1, 32, aligned, target, 4)
    np.testing.assert_array_equal(target[:16], aligned)
    with pytest.raises(HostKernelError, match=r"misaligned access at test\.cu:[56]: .* one 4 p"):
        HostKernels().launch("test.cu", "copy", {}, 1, 32, memory[start + 1 :][:16], target, 4)


FUNCTIONS = """
#include "types.cuh"
extern "C" TFL_KERNEL(1) functions(const float* x, const unsigned int* n, float* numbers,
                                   long long* words) {
  numbers[0] = rsqrtf(x[0]);
  numbers[1] = max(x[1], x[0]);  // NaN and a number
  numbers[2] = min(x[0], 3);
  numbers[3] = __uint_as_float(__float_as_uint(x[0]) ^ 0x80000000u);
  numbers[4] = __int_as_float(__float_as_int(x[0]) + 1);
  numbers[5] = __ldg(x + 2);
  words[0] = __popc(n[0]);
  words[1] = __clz(n[0]);
  words[2] = __ffs(n[0]);
  words[3] = __umulhi(n[0], n[1]);
  words[4] = min(-1ll, 3);
  words[5] = max(n[0], n[1]);
}
"""


def test_functions(write: Callable[..., None]) -> None:
    write(FUNCTIONS)
    x, n = np.array([0.3, np.nan, 7], np.float32), np.array([0x00F01200, 0xDEADBEEF], np.uint32)
    numbers, words = np.zeros(6, np.float32), np.zeros(6, np.int64)
    HostKernels().launch("test.cu", "functions", {}, 1, 1, x, n, numbers, words)
    wanted = [1 / np.sqrt(x[0]), x[0], x[0], -x[0], np.nextafter(x[0], np.float32(1)), 7]
    np.testing.assert_array_equal(numbers, np.array(wanted, np.float32))
    a, b = (int(one) for one in n)
    assert words.tolist() == [a.bit_count(), 8, 10, a * b >> 32, -1, b]
