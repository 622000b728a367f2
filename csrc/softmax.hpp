// softmax and log_softmax of rows, and their gradients. Pointers are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

struct Softmaxes {
  // out is apart from x; both are (rows, columns) with a column at least.
  void (*softmax_float)(const float* x, float* out, std::size_t rows, std::size_t columns);
  void (*softmax_double)(const double* x, double* out, std::size_t rows, std::size_t columns);
  void (*log_softmax_float)(const float* x, float* out, std::size_t rows, std::size_t columns);
  void (*log_softmax_double)(const double* x, double* out, std::size_t rows, std::size_t columns);
  // The gradient g of softmax's result `out`, or with `logs` of log_softmax's, taken to x. dx is apart
  // from both.
  void (*gradient_float)(const float* g, const float* out, float* dx, std::size_t rows,
                         std::size_t columns, bool logs);
  void (*gradient_double)(const double* g, const double* out, double* dx, std::size_t rows,
                          std::size_t columns, bool logs);
};

const Softmaxes& softmax_kernels();

}  // namespace tfl
