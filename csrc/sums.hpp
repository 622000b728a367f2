// Sums of the elements of whole rows, which lie side by side. Pointers are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

// out (rows,) receives the sums of x (rows, columns), each divided by `divisor`. Added in T where
// few are added to one number, else in double.
template <typename T>
struct RowTotals {
  const T* x;
  T* out;
  std::size_t rows, columns;
  double divisor;
};

struct SumKernels {
  void (*rows_float)(const RowTotals<float>&);
  void (*rows_double)(const RowTotals<double>&);
};

const SumKernels& sum_kernels();

}  // namespace tfl
