// Gated activations and their gradients. Pointers are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

template <typename T>
struct GatedOf {
  // out = act(x) y. out may be x or y itself.
  void (*forward)(int activation, const T* x, const T* y, T* out, std::size_t count);
  // dx = g y act'(x), and dy = g act(x). Each may be one of the inputs itself.
  void (*backward)(int activation, const T* g, const T* x, const T* y, T* dx, T* dy,
                   std::size_t count);
};

struct GatedActivation {
  GatedOf<float> of_float;
  GatedOf<double> of_double;
};

const GatedActivation& gated_activation_kernels();

}  // namespace tfl
