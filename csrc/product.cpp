#include "product.hpp"

#include <algorithm>
#include <cmath>

#include "pool.hpp"

namespace tfl {
namespace {

// Multiplications in a block: where there are few blocks, what is worth waking a thread; where there
// are many, what is worth packing both operands' parts again.
constexpr double least_of_few = 6e6, least_of_many = 32e6;
constexpr std::size_t few = 4, many = 64;
// A block's edges are whole register tiles of every kernel of OpenBLAS.
constexpr std::int64_t edge = 16;

template <typename T>
void multiply_in_blocks(Sizes sizes, Matrix<T> a, Matrix<T> b, T* out) {
  const Grid grid = grid_of(sizes);
  const OneBlasThread held;
  parallel(grid.along_rows * grid.along_columns, [&](std::size_t i) {
    const Block block = block_of(sizes, grid, i);
    multiply_block(block, sizes.depth, a, b, out, sizes.columns);
  });
}

// The bound number `i` of `count` about equal parts of `length`, at a multiple of `edge`.
std::int64_t bound(std::int64_t length, std::size_t count, std::size_t i) {
  if (i == count) return length;
  const std::int64_t tiles = (length + edge - 1) / edge;
  const std::int64_t before =
      tiles * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(count);
  return std::min(length, before * edge);
}

}  // namespace

Grid grid_of(Sizes sizes) {
  const double work = static_cast<double>(sizes.rows) * static_cast<double>(sizes.columns) *
                      static_cast<double>(sizes.depth);
  std::size_t pieces = 1;
  while (pieces < many) {
    const double least = pieces < few ? least_of_few : least_of_many;
    if (work < 2.0 * static_cast<double>(pieces) * least) break;
    pieces *= 2;
  }
  // Each block packs its part of both operands: the squarest blocks pack least.
  Grid best{1, 1};
  double least = INFINITY;
  for (std::size_t down = 1; down <= pieces; down *= 2) {
    const std::size_t across = pieces / down;
    if ((down > 1 && sizes.rows < static_cast<std::int64_t>(down) * edge) ||
        (across > 1 && sizes.columns < static_cast<std::int64_t>(across) * edge)) {
      continue;
    }
    const double packed = static_cast<double>(across) * static_cast<double>(sizes.rows) +
                          static_cast<double>(down) * static_cast<double>(sizes.columns);
    if (packed < least) {
      least = packed;
      best = {down, across};
    }
  }
  return best;
}

Block block_of(Sizes sizes, Grid grid, std::size_t index) {
  const std::size_t down = index / grid.along_columns, across = index % grid.along_columns;
  return {bound(sizes.rows, grid.along_rows, down), bound(sizes.rows, grid.along_rows, down + 1),
          bound(sizes.columns, grid.along_columns, across),
          bound(sizes.columns, grid.along_columns, across + 1)};
}

void multiply(Sizes sizes, Matrix<float> a, Matrix<float> b, float* out) {
  multiply_in_blocks(sizes, a, b, out);
}
void multiply(Sizes sizes, Matrix<double> a, Matrix<double> b, double* out) {
  multiply_in_blocks(sizes, a, b, out);
}

}  // namespace tfl
