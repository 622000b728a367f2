// Bias + activation, forward and backward. Pointers are checked by the caller.
#pragma once

#include <cstddef>
#include <string>

namespace tfl {

// out = act(z + bias), and residual = z + bias where residual isn't null. bias may be null.
// out and residual may each be z itself.
template <typename T>
struct Forward {
  const T* z;
  const T* bias;
  T* out;
  T* residual;
  T slope;
};

// Writes rows [row, row + count) of a gradient, before they are read.
struct Fill {
  void (*call)(const void* context, std::size_t row, std::size_t count) = nullptr;
  const void* context = nullptr;
};

// dz = g * act'(saved), and db = its sums where db isn't null. dz may be g or saved itself. For
// channels, `fill` may make g as it is needed, in the order of memory.
template <typename T>
struct Backward {
  const T* g;
  const T* saved;
  T* dz;
  T* db;
  T slope;
  Fill fill = {};
};

// Arrays are (rows, columns) with one bias per column, or (outer, channels, inner) with one per
// channel.
struct Rows {
  std::size_t rows, columns;
};
struct Channels {
  std::size_t outer, channels, inner;
};

struct BiasActivation {
  void (*forward_rows_float)(int activation, const Forward<float>&, Rows);
  void (*forward_rows_double)(int activation, const Forward<double>&, Rows);
  void (*backward_rows_float)(int activation, const Backward<float>&, Rows);
  void (*backward_rows_double)(int activation, const Backward<double>&, Rows);
  void (*forward_channels_float)(int activation, const Forward<float>&, Channels);
  void (*forward_channels_double)(int activation, const Forward<double>&, Channels);
  void (*backward_channels_float)(int activation, const Backward<float>&, Channels);
  void (*backward_channels_double)(int activation, const Backward<double>&, Channels);
};

const BiasActivation& bias_activation_kernels();

// The number of an activation's name; raises ValueError for others.
int activation_index(const char* op, const std::string& name);

}  // namespace tfl
