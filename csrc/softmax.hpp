// softmax and log_softmax of rows. Pointers are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

struct Softmaxes {
  // out is apart from x; both are (rows, columns) with a column at least.
  void (*softmax_float)(const float* x, float* out, std::size_t rows, std::size_t columns);
  void (*softmax_double)(const double* x, double* out, std::size_t rows, std::size_t columns);
  void (*log_softmax_float)(const float* x, float* out, std::size_t rows, std::size_t columns);
  void (*log_softmax_double)(const double* x, double* out, std::size_t rows, std::size_t columns);
};

const Softmaxes& softmax_kernels();

}  // namespace tfl
