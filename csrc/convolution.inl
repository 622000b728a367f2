// Convolutions for one instruction set; included by convolution.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

#include "squares.inl"
#include "convolution_tiles.inl"
#include "convolution_transpose.inl"
#include "convolution_packing.inl"
#include "convolution_correlate.inl"
#include "convolution_weight.inl"

template <typename T>
static bool forward(const ConvolutionShape& shape, const T* x, const T* weight,
                    const ConvolutionEnd<T>* end, T* out) {
  return correlate_all(forward_correlation(shape), x, weight, end, out);
}

template <typename T>
static bool input_gradient(const ConvolutionShape& shape, const T* y, const T* weight, T* out) {
  return correlate_all<T>(input_gradient_correlation(shape), y, weight, nullptr, out);
}

template <typename T>
static constexpr ConvolutionOf<T> functions = {forward<T>, input_gradient<T>, weight_gradient<T>};

static const Convolution table = {functions<float>, functions<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
