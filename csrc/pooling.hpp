// Maximum and mean over windows of images, forward and backward. Pointers are checked by the caller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tfl {

// Along one axis: so many windows of `kernel` places, `dilation` apart, the first of which begins
// `padding` before the image.
struct PoolAxis {
  std::size_t size, count, kernel, stride, padding, dilation;
  std::size_t extent() const { return (kernel - 1) * dilation + 1; }
};

struct PoolShape {
  std::size_t planes;
  PoolAxis rows, columns;
};

// A window may reach over so many columns, and have so many places less one.
constexpr std::size_t most_extent = 1024;
constexpr std::size_t most_places = 256;

// Images are (planes, rows, columns); what belongs to windows is (planes, windows along rows,
// windows along columns). A place is its number in the window, the columns fastest.
struct Pooling {
  // places may be null. It is 0 for NaN, and where a window has no place inside the image.
  void (*max_float)(const PoolShape&, const float* x, float* out, std::uint8_t* places);
  void (*max_double)(const PoolShape&, const double* x, double* out, std::uint8_t* places);
  // Zeros, with y added at the places; a place outside the image is none.
  void (*scatter_float)(const PoolShape&, const float* y, const std::uint8_t* places, float* out);
  void (*scatter_double)(const PoolShape&, const double* y, const std::uint8_t* places,
                         double* out);
  // The values at the places, zero for one outside.
  void (*gather_float)(const PoolShape&, const float* x, const std::uint8_t* places, float* out);
  void (*gather_double)(const PoolShape&, const double* x, const std::uint8_t* places,
                        double* out);
  // Sums over windows, each divided by the product of its row's and its column's divisor.
  void (*mean_float)(const PoolShape&, const float* x, const double* row_divisors,
                     const double* column_divisors, float* out);
  void (*mean_double)(const PoolShape&, const double* x, const double* row_divisors,
                      const double* column_divisors, double* out);
  // What the gradient y of the means gives to each place, dilation 1.
  void (*spread_float)(const PoolShape&, const float* y, const double* row_divisors,
                       const double* column_divisors, float* out);
  void (*spread_double)(const PoolShape&, const double* y, const double* row_divisors,
                        const double* column_divisors, double* out);
};

const Pooling& pooling_kernels();

}  // namespace tfl
