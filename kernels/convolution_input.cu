// The gradient of a convolution by its images, as the product of the weights and the outputs'
// gradient at the windows that each place is in. Macros of convolution_operands.cuh, and TFL_WEIGHT_GROUP:
// as TFL_GROUP, of the weights.
#include "convolution_operands.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Math = tfl::TileMath;
using Weights = tfl::PhaseWeights<T, TFL_WEIGHT_GROUP>;
using Places = tfl::Places<T, TFL_LAST, TFL_GROUP>;
using Product = tfl::TileProduct<Math, Weights, Places, TFL_STAGES>;
using tfl::Convolution;
using tfl::Phase;

namespace {

struct Ending {
  const Convolution& convolution;
  const Phase& phase;
  long long row, column, first_channel;
  T* out;
  bool packed;

  TFL_DEVICE T* target(const tfl::PhasePlace& place, long long channel) const {
    long long at[3];
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      at[i] = phase.first_place[i] + place.at[i] * convolution.axes[i].stride;
    }
    const long long plane =
        place.image * convolution.groups * convolution.channels.number + first_channel + channel;
    return out + plane * convolution.places() +
           (at[0] * convolution.size(1) + at[1]) * convolution.size(2) + at[2];
  }

  TFL_DEVICE void operator()(int row_in_tile, int, const W (&sums)[Product::outputs]) const {
    const long long channel = row + row_in_tile;
    const long long all = convolution.images * phase.all_places();
    if (channel >= convolution.channels.number || column >= all) return;
    tfl::Pack<T> pack;
#pragma unroll
    for (int i = 0; i < Product::outputs; ++i) pack.at[i] = tfl::narrow<T>(sums[i]);
    const int first = static_cast<int>(column);
    if (packed) {
      *reinterpret_cast<tfl::Pack<T>*>(target(tfl::PhasePlace(first, phase), channel)) = pack;
      return;
    }
#pragma unroll
    for (int i = 0; i < Product::outputs; ++i) {
      if (column + i < all) *target(tfl::PhasePlace(first + i, phase), channel) = pack.at[i];
    }
  }
};

}  // namespace

// Weights lie as (groups, channels, taps, outputs). Grid: tiles of the largest phase, phases of each
// group; a phase without taps gets zeros.
extern "C" TFL_KERNEL(Math::threads, tfl::tile_blocks<Product>)
    convolution_input_gradient(const __grid_constant__ Convolution convolution, const T* y,
                               const T* weights, T* out) {
  TFL_DYNAMIC_SHARED(T, memory);
  const tfl::Axis* axes = convolution.axes;
  const long long phases = axes[0].stride * axes[1].stride * axes[2].stride;
  const long long group = blockIdx.y / phases;
  const Phase phase(static_cast<int>(blockIdx.y % phases), convolution);
  const long long outputs = convolution.outputs.number;
  const long long channels = convolution.channels.number;
  const long long columns = convolution.images * phase.all_places();
  const long long rows_of_tiles = (channels + TFL_ROWS - 1) / TFL_ROWS;
  if (blockIdx.x >= rows_of_tiles * ((columns + TFL_COLUMNS - 1) / TFL_COLUMNS)) return;
  const tfl::BlockTile tile(channels, columns);
  const Weights a{convolution, phase, weights + group * channels * convolution.taps() * outputs};
  const Places b{convolution, phase, y + group * outputs * convolution.y.channel};
  const long long depth = outputs * phase.all_taps();
  Product product;
  product.run(a, b, tile.row, tile.column, 0,
              static_cast<int>((depth + Math::depth - 1) / Math::depth), memory);
  Ending ending{convolution,
                phase,
                tile.row,
                tile.column + Product::column_of_thread(),
                group * channels,
                out,
                phases == 1 && convolution.places() % Product::outputs == 0 && tfl::aligned(out)};
  product.finish(memory, ending);
}
