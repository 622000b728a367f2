// Sums over an array's leading axes, as a matrix's column sums: a bias' gradient above all.
// TFL_TYPE: the array's type. Each block sums a strip of columns over a chunk of rows; a second
// kernel adds the chunks' sums up, so that the same bits come out again.
#include "reduce.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

constexpr int threads = 256;
constexpr int at_once = 4;  // rows that a thread has under way

namespace {

// A row's part that belongs to a thread; zeros beyond the row's end.
TFL_DEVICE Pack part_of(const T* row, long long column, long long columns, bool packed) {
  if (packed) return *reinterpret_cast<const Pack*>(row + column);
  Pack part;
#pragma unroll
  for (int j = 0; j < Pack::size; ++j) {
    part.at[j] = column + j < columns ? row[column + j] : tfl::narrow<T>(W(0));
  }
  return part;
}

}  // namespace

// Blocks of (across, down) threads, both powers of 2: one pack of columns for each threadIdx.x.
extern "C" TFL_KERNEL(256, 2)
    sum_chunks(const T* x, W* partials, long long rows, long long columns, long long chunk) {
  __shared__ W room[threads * Pack::size];
  const bool packed = columns % Pack::size == 0 && tfl::aligned(x);
  const long long column =
      (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) * Pack::size;
  const long long first = blockIdx.y * chunk;
  const long long end = first + chunk < rows ? first + chunk : rows;
  W sums[Pack::size] = {};
  if (column < columns) {
    long long row = first + threadIdx.y;
    for (; row + (at_once - 1) * blockDim.y < end; row += at_once * blockDim.y) {
      Pack part[at_once];
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        part[i] = part_of(x + (row + i * blockDim.y) * columns, column, columns, packed);
      }
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
#pragma unroll
        for (int j = 0; j < Pack::size; ++j) sums[j] += tfl::widen(part[i].at[j]);
      }
    }
    for (; row < end; row += blockDim.y) {
      const Pack part = part_of(x + row * columns, column, columns, packed);
#pragma unroll
      for (int j = 0; j < Pack::size; ++j) sums[j] += tfl::widen(part.at[j]);
    }
  }
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int j = 0; j < Pack::size; ++j) room[j * threads + thread] = sums[j];
  for (int down = blockDim.y / 2; down; down /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) < down) {
#pragma unroll
      for (int j = 0; j < Pack::size; ++j) {
        room[j * threads + thread] += room[j * threads + thread + down * blockDim.x];
      }
    }
  }
  if (threadIdx.y == 0) {
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) {
      if (column + j < columns) {
        partials[blockIdx.y * columns + column + j] = room[j * threads + thread];
      }
    }
  }
}

extern "C" TFL_KERNEL(1024)
    sum_partials(const W* partials, T* out, long long parts, long long columns) {
  tfl::sum_columns(partials, out, parts, columns);
}
