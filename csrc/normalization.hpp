// Normalisation over rows and over channels, forward and backward. Pointers are checked by the
// caller.
#pragma once

#include <cstddef>

namespace tfl {

// out = (x - mean) / sqrt(variance + eps) * weight + bias; the mean is 0 where it isn't centered.
// `statistics` receives all means, then one over all standard deviations. weight, bias, mean and
// variance may be null.
template <typename T>
struct Normalization {
  const T *x, *weight, *bias;
  T *out, *statistics, *mean, *variance;
  double eps;
  bool centered;
};

// The gradient g of the output, taken to x, the weight and the bias. weight, dw and db may be null;
// there is no db without a dw.
template <typename T>
struct NormalizationGradient {
  const T *g, *x, *statistics, *weight;
  T *dx, *dw, *db;
  bool centered;
};

// Every row of (rows, columns) is normalised, and weight and bias have a number per column.
struct NormalizedRows {
  std::size_t rows, columns;
};
// Every channel of (outer, channels, inner) is normalised, and weight and bias have a number each.
struct NormalizedChannels {
  std::size_t outer, channels, inner;
};

struct Normalizations {
  void (*rows_float)(const Normalization<float>&, NormalizedRows);
  void (*rows_double)(const Normalization<double>&, NormalizedRows);
  void (*channels_float)(const Normalization<float>&, NormalizedChannels);
  void (*channels_double)(const Normalization<double>&, NormalizedChannels);
  void (*rows_gradient_float)(const NormalizationGradient<float>&, NormalizedRows);
  void (*rows_gradient_double)(const NormalizationGradient<double>&, NormalizedRows);
  void (*channels_gradient_float)(const NormalizationGradient<float>&, NormalizedChannels);
  void (*channels_gradient_double)(const NormalizationGradient<double>&, NormalizedChannels);
};

const Normalizations& normalization_kernels();

}  // namespace tfl
