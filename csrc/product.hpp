// Products of matrices in blocks of our own, each on one thread of the pool.
//
// OpenBLAS splits a product by the number of its threads, and its sums depend on that. These blocks
// follow from the shapes alone: the same bits on any number of threads, for up to a fifth more time.
#pragma once

#include "blas.hpp"

namespace tfl {

struct Sizes {
  std::int64_t rows, columns, depth;
};

// A block of the result: rows [row, row_end), columns [column, column_end).
struct Block {
  std::int64_t row, row_end, column, column_end;
};

struct Grid {
  std::size_t along_rows, along_columns;
};

// How a product is split.
Grid grid_of(Sizes sizes);
Block block_of(Sizes sizes, Grid grid, std::size_t index);

// out = a b for one block.
template <typename T>
void multiply_block(Block block, std::int64_t depth, Matrix<T> a, Matrix<T> b, T* out,
                    std::int64_t leading) {
  a.data += a.transposed ? block.row : block.row * a.leading;
  b.data += b.transposed ? block.column * b.leading : block.column;
  gemm(block.row_end - block.row, block.column_end - block.column, depth, a, b,
       out + block.row * leading + block.column, leading);
}

// out (rows, columns), in C order, = a b. The caller has adopted a BLAS.
void multiply(Sizes sizes, Matrix<float> a, Matrix<float> b, float* out);
void multiply(Sizes sizes, Matrix<double> a, Matrix<double> b, double* out);

}  // namespace tfl
