// Random numbers: elements first ... first + count - 1 of a stream
// (tensorflowlite/backend/philox.py defines them). Pointers are checked by the caller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tfl {

struct Stream {
  std::uint64_t seed;
  std::uint64_t stream;
};

struct Random {
  void (*bits)(Stream, std::uint64_t first, std::size_t count, std::uint32_t* out);
  void (*uniform_float)(Stream, std::uint64_t first, std::size_t count, float* out);
  void (*uniform_double)(Stream, std::uint64_t first, std::size_t count, double* out);
  void (*normal_float)(Stream, std::uint64_t first, std::size_t count, float* out);
  void (*normal_double)(Stream, std::uint64_t first, std::size_t count, double* out);
  // keep = bits >= threshold, out = x * keep * scale; out may be x.
  void (*dropout_float)(Stream, std::uint64_t first, std::size_t count, std::uint32_t threshold,
                        double scale, const float* x, float* out, std::uint8_t* keep);
  void (*dropout_double)(Stream, std::uint64_t first, std::size_t count, std::uint32_t threshold,
                         double scale, const double* x, double* out, std::uint8_t* keep);
};

const Random& random_kernels();

}  // namespace tfl
