// Copies of matrices with rows and columns exchanged. Pointers and steps are checked by the caller.
#pragma once

#include <cstdint>

namespace tfl {

// `to` (columns, rows), contiguous, from (rows, columns) whose rows lie `step` apart.
template <typename T>
struct MatrixCopy {
  std::int64_t rows, columns, step;
  const T* from;
  T* to;
};

struct TransposeKernels {
  void (*transpose_float)(const MatrixCopy<float>&);
  void (*transpose_double)(const MatrixCopy<double>&);
};

const TransposeKernels& transpose_kernels();

}  // namespace tfl
