// Sums over an array's leading axes, as a matrix's column sums: a bias' gradient above all.
// TFL_TYPE: the array's type. Each block sums a strip of columns over a chunk of rows; a second
// kernel adds the chunks' sums up, so that the same bits come out again.
#include "reduce.cuh"
#include "strips.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

constexpr int threads = 256;
constexpr int at_once = 4;  // rows that a thread has under way

namespace {

// `count` rows of one piece wide column: all loads are under way before the first is waited for.
template <int size, int count>
TFL_DEVICE void add_rows(const T* x, long long stride, W* sums) {
  tfl::Piece<T, size> piece[count];
#pragma unroll
  for (int k = 0; k < count; ++k) piece[k] = tfl::read_piece<size>(x + k * stride);
#pragma unroll
  for (int k = 0; k < count; ++k) {
#pragma unroll
    for (int j = 0; j < size; ++j) sums[j] += tfl::widen(piece[k].at[j]);
  }
}

template <int size>
TFL_DEVICE void sum_strip(const T* x, W* partials, W* room, long long strip, long long rows,
                          long long columns, long long chunk) {
  const long long column = (strip * blockDim.x + threadIdx.x) * size;
  const long long begin = blockIdx.y * chunk;
  const long long end = begin + chunk < rows ? begin + chunk : rows;
  const long long step = blockDim.y;
  W sums[size] = {};
  if (column < columns) {
    long long row = begin + threadIdx.y;
    for (; row + (at_once - 1) * step < end; row += at_once * step) {
      add_rows<size, at_once>(x + row * columns + column, step * columns, sums);
    }
    for (; row < end; row += step) add_rows<size, 1>(x + row * columns + column, 0, sums);
  }
  tfl::fold_strip<size>(sums, room, partials, column, columns);
}

}  // namespace

// Grid: strips of columns, chunks. Block: 256 threads, along the columns and along the rows.
extern "C" TFL_KERNEL(256, 2)
    sum_chunks(const T* x, W* partials, long long rows, long long columns, long long chunk) {
  __shared__ W room[threads * Pack::size];
  if (columns % Pack::size == 0 && tfl::aligned(x)) {
    sum_strip<Pack::size>(x, partials, room, blockIdx.x, rows, columns, chunk);
    return;
  }
  // The grid is made for strips of packs; a strip of numbers is narrower.
  for (long long strip = blockIdx.x; strip * blockDim.x < columns; strip += gridDim.x) {
    __syncthreads();
    sum_strip<1>(x, partials, room, strip, rows, columns, chunk);
  }
}

extern "C" TFL_KERNEL(1024)
    sum_partials(const W* partials, T* out, long long parts, long long columns) {
  tfl::sum_columns(partials, out, parts, columns);
}
