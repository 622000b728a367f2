// The cross-entropy of logits with class indices, forward and backward. Pointers and targets are
// checked by the caller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tfl {

// Logits are (rows, classes). `weight`, one number per class, may be null. A target that is `ignored`
// has no loss and no gradient; any other lies in [0, classes).
template <typename T>
struct Targets {
  std::size_t rows, classes;
  const std::int64_t* target;
  const T* weight;
  std::int64_t ignored;
  T smoothing;
};

struct Losses {
  // loss of each row, and softmax(x).
  void (*cross_entropy_float)(const float* x, const Targets<float>&, float* loss, float* softmax);
  void (*cross_entropy_double)(const double* x, const Targets<double>&, double* loss,
                               double* softmax);
  // The gradient g of each row's loss, taken to the logits.
  void (*gradient_float)(const float* g, const float* softmax, const Targets<float>&, float* dx);
  void (*gradient_double)(const double* g, const double* softmax, const Targets<double>&,
                          double* dx);
};

const Losses& losses_kernels();

}  // namespace tfl
