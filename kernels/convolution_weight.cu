// The gradient of a convolution by its weights, as the product of the outputs' gradient and the
// windows. Its depth, all windows of all images, goes in parts to several blocks; their sums are
// added up in one order. Macros of convolution_operands.cuh.
#include "convolution_operands.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Math = tfl::TileMath;
using Outputs = tfl::Outputs<T, !TFL_LAST, TFL_GROUP>;
using Taps = tfl::Taps<T, !TFL_LAST, TFL_GROUP>;
using Product = tfl::TileProduct<Math, Outputs, Taps, TFL_STAGES>;
using tfl::Convolution;

namespace {

struct Ending {
  long long row, column, rows, columns;
  W* products;

  TFL_DEVICE void operator()(int row_in_tile, int, const W (&sums)[Product::outputs]) const {
    if (row + row_in_tile >= rows) return;
    W* to = products + (row + row_in_tile) * columns + column;
#pragma unroll
    for (int i = 0; i < Product::outputs; ++i) {
      if (column + i < columns) to[i] = sums[i];
    }
  }
};

}  // namespace

// The sums of each part, (groups, parts, outputs, taps, channels). Grid: tiles, parts of each group.
extern "C" TFL_KERNEL(Math::threads, tfl::tile_blocks<Product>)
    convolution_weight_gradient(const __grid_constant__ Convolution convolution, const T* y,
                                const T* x, W* products) {
  TFL_DYNAMIC_SHARED(T, memory);
  const long long group = blockIdx.y / convolution.splits;
  const long long part = blockIdx.y % convolution.splits;
  const long long outputs = convolution.outputs.number;
  const long long channels = convolution.channels.number;
  const long long columns = channels * convolution.taps();
  const tfl::BlockTile tile(outputs, columns);
  const Outputs a{convolution, y + group * outputs * convolution.y.channel};
  const Taps b{convolution, x + group * channels * convolution.x.channel};
  const long long depth = convolution.images * convolution.windows();
  const long long all = (depth + Math::depth - 1) / Math::depth;
  const long long step = part * convolution.steps;
  const long long end = step + convolution.steps < all ? step + convolution.steps : all;
  Product product;
  product.run(a, b, tile.row, tile.column, static_cast<int>(step), static_cast<int>(end), memory);
  Ending ending{tile.row, tile.column + Product::column_of_thread(), outputs, columns,
                products + blockIdx.y * outputs * columns};
  product.finish(memory, ending);
}

// Adds up the parts, in their order; weights lie as (groups, outputs, channels, taps).
extern "C" TFL_KERNEL(256)
    convolution_weight_sum(const W* products, T* out, long long count, long long outputs,
                           long long channels, long long taps, long long parts) {
  const long long element = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  if (element >= count) return;
  const long long area = outputs * taps * channels;
  const long long group = element / area;
  const long long row = element % area / (taps * channels);
  const long long tap = element % taps;
  const long long channel = element / taps % channels;
  const W* from = products + group * parts * area + (row * taps + tap) * channels + channel;
  W sum = 0;
#pragma unroll 4
  for (long long i = 0; i < parts; ++i) sum += from[i * area];
  out[element] = tfl::narrow<T>(sum);
}
