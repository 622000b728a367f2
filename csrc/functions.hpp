// Functions of one number, of every element of an array. Pointers are checked by the caller; `out`
// may be `x`.
#pragma once

#include <cstddef>

namespace tfl {

template <typename T>
struct FunctionsOf {
  void (*error_function)(const T* x, T* out, std::size_t count);
  void (*error_complement)(const T* x, T* out, std::size_t count);
  // log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold.
  void (*softplus)(const T* x, T* out, std::size_t count, T beta, T threshold);
};

struct Functions {
  FunctionsOf<float> of_float;
  FunctionsOf<double> of_double;
};

const Functions& function_kernels();

}  // namespace tfl
