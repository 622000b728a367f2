// Convolutions whose groups have few channels: each element by its own sum, for their products would
// leave most of a tile empty. Arrays are in C order.
// TFL_TYPE: the arrays' type. TFL_ACTIVATION: a struct of activations.cuh.
#include "activations.cuh"
#include "convolution.cuh"
#include "reduce.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Activation = TFL_ACTIVATION;
using tfl::Convolution;
using tfl::OnPlace;

constexpr int threads = 256;

namespace {

// An element of an array (images, channels of all groups, places).
struct Element {
  long long image, channel;
  int place;
  bool there;

  TFL_DEVICE Element(const Convolution& convolution, long long channels, long long places) {
    const long long index = static_cast<long long>(blockIdx.x) * threads + threadIdx.x;
    const long long plane = index / places;
    place = static_cast<int>(index - plane * places);
    image = plane / channels;
    channel = plane - image * channels;
    there = image < convolution.images;
  }
};

// Sums weight times image over a window.
TFL_DEVICE W sum_of_window(const Convolution& convolution, const tfl::WindowPlace& window,
                           const T* x, const T* weights) {
  const tfl::Axis* axes = convolution.axes;
  W sum = 0;
  for (int i = 0; i < convolution.kernel(0); ++i) {
    const int y = axes[0].position(window.at[0], i);
    for (int j = 0; j < convolution.kernel(1); ++j) {
      const int row = axes[1].position(window.at[1], j);
#pragma unroll 4
      for (int k = 0; k < convolution.kernel(2); ++k, ++weights) {
        const int z = axes[2].position(window.at[2], k);
        const int place = (y * convolution.size(1) + row) * convolution.size(2) + z;
        const W value = convolution.in_image(y, row, z) ? tfl::widen(x[place]) : W(0);
        sum += tfl::widen(*weights) * value;
      }
    }
  }
  return sum;
}

// Sums weight times gradient over the windows that a place is in.
TFL_DEVICE W sum_of_place(const Convolution& convolution, const int (&at)[3], const T* y,
                          const T* weights) {
  const tfl::Axis* axes = convolution.axes;
  W sum = 0;
  for (OnPlace i(axes[0], at[0]); i.more(); i.next()) {
    if (!i.inside()) continue;
    for (OnPlace j(axes[1], at[1]); j.more(); j.next()) {
      if (!j.inside()) continue;
      for (OnPlace k(axes[2], at[2]); k.more(); k.next()) {
        if (!k.inside()) continue;
        const int tap = (i.tap * convolution.kernel(1) + j.tap) * convolution.kernel(2) + k.tap;
        const int window = (i.window * convolution.count(1) + j.window) * convolution.count(2) +
                           k.window;
        sum += tfl::widen(weights[tap]) * tfl::widen(y[window]);
      }
    }
  }
  return sum;
}

}  // namespace

// Weights lie as (outputs of all groups, channels, taps). `saved` gets what comes before the
// activation, unless it is null.
extern "C" TFL_KERNEL(256, 4)
    direct_forward(const __grid_constant__ Convolution convolution, const T* x, const T* weights,
                   const T* bias, T* out, T* saved, double slope) {
  const long long outputs = convolution.outputs.number;
  const long long channels = convolution.channels.number;
  const Element element(convolution, convolution.groups * outputs, convolution.windows());
  if (!element.there) return;
  const long long first = element.image * convolution.groups + element.channel / outputs;
  const tfl::WindowPlace window(element.place, convolution);
  W sum = bias ? tfl::widen(bias[element.channel]) : W(0);
  for (long long channel = 0; channel < channels; ++channel) {
    sum += sum_of_window(convolution, window,
                         x + (first * channels + channel) * convolution.places(),
                         weights + (element.channel * channels + channel) * convolution.taps());
  }
  const long long to = (element.image * convolution.groups * outputs + element.channel) *
                           convolution.windows() +
                       element.place;
  out[to] = tfl::narrow<T>(Activation::template forward<W>(sum, static_cast<W>(slope)));
  if (saved) saved[to] = tfl::narrow<T>(sum);
}

extern "C" TFL_KERNEL(256, 4)
    direct_input_gradient(const __grid_constant__ Convolution convolution, const T* y,
                          const T* weights, T* out) {
  const long long outputs = convolution.outputs.number;
  const long long channels = convolution.channels.number;
  const Element element(convolution, convolution.groups * channels, convolution.places());
  if (!element.there) return;
  const long long group = element.channel / channels;
  const long long channel = element.channel - group * channels;
  int at[3];
  int rest = element.place;
  at[2] = rest % convolution.size(2);
  rest /= convolution.size(2);
  at[1] = rest % convolution.size(1);
  at[0] = rest / convolution.size(1);
  W sum = 0;
  for (long long i = 0; i < outputs; ++i) {
    const long long output = group * outputs + i;
    sum += sum_of_place(
        convolution, at,
        y + (element.image * convolution.groups * outputs + output) * convolution.windows(),
        weights + (output * channels + channel) * convolution.taps());
  }
  const long long plane = element.image * convolution.groups * channels + element.channel;
  out[plane * convolution.places() + element.place] = tfl::narrow<T>(sum);
}

// The sums of `chunk` windows of all images. Grid: weights, chunks.
extern "C" TFL_KERNEL(256, 4)
    direct_weight_gradient(const __grid_constant__ Convolution convolution, const T* y, const T* x,
                           W* partials, long long chunk) {
  const long long outputs = convolution.outputs.number;
  const long long channels = convolution.channels.number;
  const int taps = convolution.taps();
  const tfl::Tap tap(static_cast<int>(blockIdx.x % taps), convolution.kernels);
  const long long pair = blockIdx.x / taps;  // of output and channel
  const long long output = pair / channels;
  const long long channel = output / outputs * channels + pair % channels;
  const long long all = convolution.images * convolution.windows();
  const long long begin = blockIdx.y * chunk;
  const long long end = begin + chunk < all ? begin + chunk : all;
  const tfl::Axis* axes = convolution.axes;
  W sum = 0;
#pragma unroll 2
  for (long long i = begin + threadIdx.x; i < end; i += threads) {
    const int number = static_cast<int>(i);
    const tfl::WindowPlace window(number, convolution);
    const int at_y = axes[0].position(window.at[0], tap.at[0]);
    const int at_x = axes[1].position(window.at[1], tap.at[1]);
    const int at_z = axes[2].position(window.at[2], tap.at[2]);
    if (!convolution.in_image(at_y, at_x, at_z)) continue;
    const long long of_image = window.image * convolution.groups;
    const T* gradients = y + (of_image * outputs + output) * convolution.windows();
    const T* image = x + (of_image * channels + channel) * convolution.places();
    sum += tfl::widen(gradients[number - window.image * convolution.windows()]) *
           tfl::widen(image[(at_y * convolution.size(1) + at_x) * convolution.size(2) + at_z]);
  }
  sum = tfl::over_block<tfl::Sum>(sum);
  if (threadIdx.x == 0) {
    partials[blockIdx.y * static_cast<long long>(gridDim.x) + blockIdx.x] = sum;
  }
}

extern "C" TFL_KERNEL(1024)
    direct_weight_sum(const W* partials, T* out, long long parts, long long weights) {
  tfl::sum_columns(partials, out, parts, weights);
}
