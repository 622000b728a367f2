// The CPU kernels as a table of functions, one table per instruction set. Pointers are checked by
// the caller (module.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace tfl {

// Random numbers: elements first ... first + count - 1 of a stream
// (tensorflowlite/backend/philox.py defines them).
struct Stream {
  std::uint64_t seed;
  std::uint64_t stream;
};

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

// dz = g * act'(saved), and db = its sums where db isn't null. dz may be g or saved itself.
template <typename T>
struct Backward {
  const T* g;
  const T* saved;
  T* dz;
  T* db;
  T slope;
};

// Arrays are (rows, columns) with one bias per column, or (outer, channels, inner) with one per
// channel.
struct Rows {
  std::size_t rows, columns;
};
struct Channels {
  std::size_t outer, channels, inner;
};

struct Kernels {
  const char* name;
  void (*random_bits)(Stream, std::uint64_t first, std::size_t count, std::uint32_t* out);
  void (*uniform_float)(Stream, std::uint64_t first, std::size_t count, float* out);
  void (*uniform_double)(Stream, std::uint64_t first, std::size_t count, double* out);
  void (*normal_float)(Stream, std::uint64_t first, std::size_t count, float* out);
  void (*normal_double)(Stream, std::uint64_t first, std::size_t count, double* out);
  void (*forward_rows_float)(int activation, const Forward<float>&, Rows);
  void (*forward_rows_double)(int activation, const Forward<double>&, Rows);
  void (*backward_rows_float)(int activation, const Backward<float>&, Rows);
  void (*backward_rows_double)(int activation, const Backward<double>&, Rows);
  void (*forward_channels_float)(int activation, const Forward<float>&, Channels);
  void (*forward_channels_double)(int activation, const Forward<double>&, Channels);
  void (*backward_channels_float)(int activation, const Backward<float>&, Channels);
  void (*backward_channels_double)(int activation, const Backward<double>&, Channels);
};

// The tables that this processor can run, best first, `count` of them.
const Kernels* const* available_kernels(std::size_t* count);

}  // namespace tfl
