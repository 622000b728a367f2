// Sums of whole rows, by where each row goes. Pointers and places are checked by the caller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tfl {

// out (places, columns) receives, at every place, the sum of the rows (rows, columns) that go there,
// added in their order in double.
template <typename T>
struct RowSums {
  const T* rows;
  const std::int64_t* place;  // of each row: in [0, places), or in [-places, 0) from the end
  T* out;
  std::size_t count, places, columns;
};

struct RowSumKernels {
  void (*scatter_float)(const RowSums<float>&);
  void (*scatter_double)(const RowSums<double>&);
};

const RowSumKernels& row_sum_kernels();

}  // namespace tfl
