// Convolutions and their gradients as products of matrices that are never held: the operands here
// tell tiles.cuh where the elements of a window are. Channels are those of one group.
//   TFL_TYPE           the arrays' type
//   TFL_ROWS, TFL_COLUMNS, TFL_STAGES, TFL_TF32
//                      the tile of a block, and how it is multiplied
//   TFL_LAST           whether channels lie side by side, behind the places
//   TFL_GROUP          how many elements are read at once: 1, or 16 bytes of what lies side by side:
//                      channels; or places, where windows are places (and an image's are whole
//                      groups)
#pragma once

#include "convolution.cuh"
#include "tiles.cuh"

namespace tfl {

// ---- operands of the images

// Windows by taps: outer (image, window), depth (tap, channel).
template <typename T, bool ALONG_DEPTH, int GROUP>
struct Windows {
  using Type = T;
  static constexpr bool along_depth = ALONG_DEPTH;
  static constexpr int group = GROUP;
  const Convolution& convolution;
  const T* x;

  struct Line {
    const T* image;
    int at[3];
    bool there;
  };

  TFL_DEVICE Line line(long long outer) const {
    const bool there = outer < convolution.images * convolution.windows();
    const WindowPlace place(there ? static_cast<int>(outer) : 0, convolution);
    const Axis* axes = convolution.axes;
    return {x + place.image * convolution.x.image,
            {axes[0].position(place.at[0], 0), axes[1].position(place.at[1], 0),
             axes[2].position(place.at[2], 0)},
            there};
  }
  TFL_DEVICE const T* find(const Line& line, long long depth, int& count) const {
    int index = static_cast<int>(depth);
    const int channel = convolution.channels.split(index);
    const Tap tap(index, convolution.kernels);
    const Axis* axes = convolution.axes;
    const int y = line.at[0] + tap.at[0] * static_cast<int>(axes[0].dilation);
    const int x = line.at[1] + tap.at[1] * static_cast<int>(axes[1].dilation);
    const int z = line.at[2] + tap.at[2] * static_cast<int>(axes[2].dilation);
    const bool there =
        line.there && tap.at[0] < convolution.kernel(0) && convolution.in_image(y, x, z);
    count = there ? GROUP : 0;
    return line.image + (there ? convolution.image_place(y, x, z) +
                                     channel * convolution.x.channel
                               : 0);
  }
};

// Taps by windows: outer (tap, channel), depth (image, window).
template <typename T, bool ALONG_DEPTH, int GROUP>
struct Taps {
  using Type = T;
  static constexpr bool along_depth = ALONG_DEPTH;
  static constexpr int group = GROUP;
  const Convolution& convolution;
  const T* x;

  struct Line {
    const T* channel;
    int at[3];
    bool there;
  };

  TFL_DEVICE Line line(long long outer) const {
    int index = static_cast<int>(outer);
    const int channel = convolution.channels.split(index);
    const Tap tap(index, convolution.kernels);
    const bool there = tap.at[0] < convolution.kernel(0);
    const Axis* axes = convolution.axes;
    return {x + channel * convolution.x.channel,
            {axes[0].position(0, tap.at[0]), axes[1].position(0, tap.at[1]),
             axes[2].position(0, tap.at[2])},
            there};
  }
  TFL_DEVICE const T* find(const Line& line, long long depth, int& count) const {
    const WindowPlace place(static_cast<int>(depth), convolution);
    const Axis* axes = convolution.axes;
    const int y = line.at[0] + place.at[0] * static_cast<int>(axes[0].stride);
    const int x = line.at[1] + place.at[1] * static_cast<int>(axes[1].stride);
    const int z = line.at[2] + place.at[2] * static_cast<int>(axes[2].stride);
    const bool there =
        line.there && place.image < convolution.images && convolution.in_image(y, x, z);
    count = there ? GROUP : 0;
    return line.channel +
           (there ? place.image * convolution.x.image + convolution.image_place(y, x, z) : 0);
  }
};

// ---- operands of the outputs

// Outputs by windows: outer a channel of the outputs, depth (image, window).
template <typename T, bool ALONG_DEPTH, int GROUP>
struct Outputs {
  using Type = T;
  static constexpr bool along_depth = ALONG_DEPTH;
  static constexpr int group = GROUP;
  const Convolution& convolution;
  const T* y;

  struct Line {
    const T* channel;
    bool there;
  };

  TFL_DEVICE Line line(long long outer) const {
    return {y + outer * convolution.y.channel, outer < convolution.outputs.number};
  }
  TFL_DEVICE const T* find(const Line& line, long long depth, int& count) const {
    if constexpr (!ALONG_DEPTH && GROUP > 1) {  // one window after the other, of all images
      const bool there = line.there && depth < convolution.images * convolution.windows();
      count = there ? GROUP : 0;
      return line.channel + (there ? depth * convolution.y.place : 0);
    }
    const int image = WindowPlace(static_cast<int>(depth), convolution).image;
    const bool there = line.there && image < convolution.images;
    count = there ? GROUP : 0;
    const int window = static_cast<int>(depth) - image * convolution.windows();
    return line.channel +
           (there ? image * convolution.y.image + window * convolution.y.place : 0);
  }
};

// Of the places of images that are `stride` apart along each axis the same taps lie on windows: a
// phase. Taps and places are counted within it.
struct Phase {
  int first_place[3], places[3], first_tap[3], taps[3], first_window[3];
  Divisor taps_along[3];

  TFL_DEVICE Phase(int index, const Convolution& convolution) {
#pragma unroll
    for (int i = 2; i >= 0; --i) {
      const Axis& axis = convolution.axes[i];
      const int stride = static_cast<int>(axis.stride);
      const int rest = index % stride;
      index /= stride;
      const int before = static_cast<int>(axis.before);
      first_place[i] = (rest - before % stride + stride) % stride;
      const int left = static_cast<int>(axis.size) - first_place[i];
      places[i] = left > 0 ? (left + stride - 1) / stride : 0;
      const int common = static_cast<int>(axis.common.number);
      const int step = static_cast<int>(axis.step.number);
      const int from = (first_place[i] + before) / common;
      first_tap[i] = from % step * static_cast<int>(axis.inverse) % step;
      const int behind = static_cast<int>(axis.kernel) - first_tap[i];
      taps[i] = rest % common == 0 && behind > 0 ? (behind + step - 1) / step : 0;
      first_window[i] = (from - first_tap[i] * static_cast<int>(axis.back)) / step;
      taps_along[i] = divisor(taps[i] > 0 ? taps[i] : 1);
    }
  }
  TFL_DEVICE int all_taps() const { return taps[0] * taps[1] * taps[2]; }
  TFL_DEVICE int all_places() const { return places[0] * places[1] * places[2]; }

  static TFL_DEVICE Divisor divisor(int number) {
    unsigned int shift = 0;
    while (1ll << shift < number) ++shift;
    const unsigned long long scaled = 1ull << (32 + shift);
    return {number, static_cast<unsigned int>((scaled + number - 1) / number), shift};
  }
};

struct PhasePlace {
  int image, at[3];

  TFL_DEVICE PhasePlace(int index, const Phase& phase) {
    at[2] = index % phase.places[2];
    index /= phase.places[2];
    at[1] = index % phase.places[1];
    index /= phase.places[1];
    at[0] = index % phase.places[0];
    image = index / phase.places[0];
  }
};

// Places of images by the taps on them: outer (image, place), depth (tap, channel of the outputs).
template <typename T, bool ALONG_DEPTH, int GROUP>
struct Places {
  using Type = T;
  static constexpr bool along_depth = ALONG_DEPTH;
  static constexpr int group = GROUP;
  const Convolution& convolution;
  const Phase& phase;
  const T* y;

  struct Line {
    const T* image;
    int at[3];
    bool there;
  };

  TFL_DEVICE Line line(long long outer) const {
    const bool there = outer < convolution.images * phase.all_places();
    const PhasePlace place(there ? static_cast<int>(outer) : 0, phase);
    return {y + place.image * convolution.y.image,
            {place.at[0] + phase.first_window[0], place.at[1] + phase.first_window[1],
             place.at[2] + phase.first_window[2]},
            there};
  }
  TFL_DEVICE const T* find(const Line& line, long long depth, int& count) const {
    int index = static_cast<int>(depth);
    const int channel = convolution.outputs.split(index);
    const Tap tap(index, phase.taps_along);
    const Axis* axes = convolution.axes;
    const int y = line.at[0] - tap.at[0] * static_cast<int>(axes[0].back);
    const int x = line.at[1] - tap.at[1] * static_cast<int>(axes[1].back);
    const int z = line.at[2] - tap.at[2] * static_cast<int>(axes[2].back);
    const bool there = line.there && tap.at[0] < phase.taps[0] && inside(y, convolution.count(0)) &&
                       inside(x, convolution.count(1)) && inside(z, convolution.count(2));
    count = there ? GROUP : 0;
    const int window = (y * convolution.count(1) + x) * convolution.count(2) + z;
    return line.image +
           (there ? window * convolution.y.place + channel * convolution.y.channel : 0);
  }
};

// The weights for them: outer a channel, depth as before. They lie as (channels, taps, outputs).
template <typename T, int GROUP>
struct PhaseWeights {
  using Type = T;
  static constexpr bool along_depth = true;
  static constexpr int group = GROUP;
  const Convolution& convolution;
  const Phase& phase;
  const T* weights;

  struct Line {
    const T* channel;
    bool there;
  };

  TFL_DEVICE Line line(long long outer) const {
    const bool there = outer < convolution.channels.number;
    return {weights + (there ? outer * convolution.taps() * convolution.outputs.number : 0), there};
  }
  TFL_DEVICE const T* find(const Line& line, long long depth, int& count) const {
    int index = static_cast<int>(depth);
    const int channel = convolution.outputs.split(index);
    const Tap tap(index, phase.taps_along);
    const bool there = line.there && tap.at[0] < phase.taps[0];
    count = there ? GROUP : 0;
    int at[3];
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      at[i] = phase.first_tap[i] + tap.at[i] * static_cast<int>(convolution.axes[i].step.number);
    }
    const int number = (at[0] * convolution.kernel(1) + at[1]) * convolution.kernel(2) + at[2];
    return line.channel + (there ? number * convolution.outputs.number + channel : 0);
  }
};

// ---- how tiles are multiplied

template <typename T>
struct TileWay {
  using Math = HalfMath<T, TFL_ROWS, TFL_COLUMNS>;
};
template <>
struct TileWay<float> {
#if TFL_TF32
  using Math = Tf32Math<TFL_ROWS, TFL_COLUMNS>;
#else
  using Math = FloatMath<float, TFL_ROWS, TFL_COLUMNS>;
#endif
};
template <>
struct TileWay<double> {
  using Math = FloatMath<double, TFL_ROWS, TFL_COLUMNS>;
};
using TileMath = TileWay<TFL_TYPE>::Math;

// Blocks on a multiprocessor: 128 registers a thread are enough for halves, unless operands wait in
// registers on their way to shared memory.
template <typename Product>
constexpr int tile_blocks =
    Product::TileA::async && Product::TileB::async && sizeof(TFL_TYPE) == 2
        ? 512 / TileMath::threads
        : TFL_ROWS * TFL_COLUMNS == 64 * 64 ? 2 : 1;

// The tile of a block, of a matrix rows x columns.
struct BlockTile {
  long long row, column;

  TFL_DEVICE BlockTile(long long rows, long long columns) {
    const TilePlace place(blockIdx.x, (rows + TFL_ROWS - 1) / TFL_ROWS,
                          (columns + TFL_COLUMNS - 1) / TFL_COLUMNS);
    row = place.row * TFL_ROWS;
    column = place.column * TFL_COLUMNS;
  }
};

}  // namespace tfl
