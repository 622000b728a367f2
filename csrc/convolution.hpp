// Convolutions of images, their two gradients, and a layer's bias and activation behind them.
// Pointers and sizes are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

using Index = std::ptrdiff_t;

struct ConvolutionShape {
  Index images, groups, inputs, outputs;  // channels within one group
  Index height, width, result_height, result_width;
  Index kernel_height, kernel_width;
  Index row_stride, column_stride, row_dilation, column_dilation;
  Index top, left;  // the padding before; what follows behind is implied by the result's size
};

// act(z + bias); what is null is left out. `before` receives z + bias.
template <typename T>
struct ConvolutionEnd {
  const T* bias;
  T* before;
  int activation;
};

// Images are (images, groups * channels, height, width), kernels (groups * outputs, inputs,
// kernel_height, kernel_width), all C-contiguous. False where memory ran out: then the result's
// values mean nothing.
template <typename T>
struct ConvolutionOf {
  bool (*forward)(const ConvolutionShape&, const T* x, const T* weight, const ConvolutionEnd<T>*,
                  T* out);
  bool (*input_gradient)(const ConvolutionShape&, const T* y, const T* weight, T* out);
  bool (*weight_gradient)(const ConvolutionShape&, const T* y, const T* x, T* out);
};

struct Convolution {
  ConvolutionOf<float> of_float;
  ConvolutionOf<double> of_double;
};

const Convolution& convolution_kernels();

}  // namespace tfl
