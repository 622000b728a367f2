// A convolution with its bias and activation, as the product of the weights and the windows.
// Macros of convolution_operands.cuh, and TFL_ACTIVATION: a struct of activations.cuh.
#include "activations.cuh"
#include "convolution_operands.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Activation = TFL_ACTIVATION;
using Math = tfl::TileMath;
using Weights = tfl::Matrix<T, true, 16 / sizeof(T)>;
using Windows = tfl::Windows<T, TFL_LAST, TFL_GROUP>;
using Product = tfl::TileProduct<Math, Weights, Windows, TFL_STAGES>;
using tfl::Convolution;

namespace {

// What happens to the sums of one output's neighbouring windows.
struct Ending {
  const Convolution& convolution;
  long long row, column, first_output;
  const T* bias;
  T *out, *saved;
  W slope;
  bool packed;

  TFL_DEVICE void operator()(int row_in_tile, int, const W (&sums)[Product::outputs]) const {
    const long long output = row + row_in_tile;
    if (output >= convolution.outputs.number) return;
    const W shift = bias ? tfl::widen(bias[first_output + output]) : W(0);
    tfl::Pack<T> before, after;
#pragma unroll
    for (int i = 0; i < Product::outputs; ++i) {
      before.at[i] = tfl::narrow<T>(sums[i] + shift);
      after.at[i] = tfl::narrow<T>(Activation::template forward<W>(sums[i] + shift, slope));
    }
    write(output, before, after);
  }

  TFL_DEVICE void write(long long output, const tfl::Pack<T>& before,
                        const tfl::Pack<T>& after) const {
    const long long windows = convolution.windows();
    const long long all = convolution.images * windows;
    if (column >= all) return;
    long long image = tfl::WindowPlace(static_cast<int>(column), convolution).image;
    long long window = column - image * windows;
    const auto offset = [&] {
      return (image * convolution.groups * convolution.outputs.number + first_output + output) *
                 windows +
             window;
    };
    if (packed) {
      *reinterpret_cast<tfl::Pack<T>*>(out + offset()) = after;
      if (saved) *reinterpret_cast<tfl::Pack<T>*>(saved + offset()) = before;
      return;
    }
#pragma unroll
    for (int i = 0; i < Product::outputs; ++i) {
      if (column + i >= all) return;
      out[offset()] = after.at[i];
      if (saved) saved[offset()] = before.at[i];
      if (++window == windows) {
        window = 0;
        ++image;
      }
    }
  }
};

}  // namespace

// Weights lie as (groups, outputs, depth), their rows `leading` elements apart, with zeros between.
// Grid: tiles, groups. `saved` gets what comes before the activation, unless it is null.
extern "C" TFL_KERNEL(Math::threads, tfl::tile_blocks<Product>)
    convolution_forward(const __grid_constant__ Convolution convolution, const T* x,
                        const T* weights, const T* bias, T* out, T* saved, long long leading,
                        double slope) {
  TFL_DYNAMIC_SHARED(T, memory);
  const long long outputs = convolution.outputs.number;
  const long long channels = convolution.channels.number;
  const long long group = blockIdx.y;
  const long long depth = channels * convolution.taps();
  const tfl::BlockTile tile(outputs, convolution.images * convolution.windows());
  const Weights a{weights + group * outputs * leading, outputs, leading, leading};
  const Windows b{convolution, x + group * channels * convolution.x.channel};
  Product product;
  product.run(a, b, tile.row, tile.column, 0,
              static_cast<int>((depth + Math::depth - 1) / Math::depth), memory);
  Ending ending{convolution,
                tile.row,
                tile.column + Product::column_of_thread(),
                group * outputs,
                bias,
                out,
                saved,
                static_cast<W>(slope),
                convolution.windows() % Product::outputs == 0 && tfl::aligned(out) &&
                    tfl::aligned(saved)};
  product.finish(memory, ending);
}
