// Bias + activation, forward and backward, for one instruction set; included by bias_activation.cpp.
// Everything goes through tiles that stay in the first-level cache: the loops over an activation
// are then the only ones made once per activation, and they are free of branches.
namespace tfl {
namespace TFL_INSTRUCTIONS {

constexpr std::size_t tile = 1024;
// Rows are joined to one of up to this length, where they are short, and their bias is repeated.
constexpr std::size_t joined = 512;
// Gradient sums: double, in blocks of this many rows, then the blocks.
constexpr std::size_t block_rows = 64;
// What an element costs, in steps as `pieces_of` counts them.
constexpr double step_cost = 2.0;
constexpr std::size_t lanes = 16;
// Elements of a gradient that are made at a time: they are still in the first-level cache when read.
constexpr std::size_t fill_size = 4096;

// `in` may be `out`; the pragma says that they overlap in no other way.
template <typename A, typename T>
static void activate(const T* in, T* out, std::size_t count, T slope) {
#pragma GCC ivdep
  for (std::size_t i = 0; i < count; ++i) out[i] = A::forward(in[i], slope);
}

template <typename A, typename T>
static void differentiate(const T* g, const T* saved, T* dz, std::size_t count, T slope) {
#pragma GCC ivdep
  for (std::size_t i = 0; i < count; ++i) dz[i] = g[i] * A::derivative(saved[i], slope);
}

template <typename T>
using Activate = void (*)(const T*, T*, std::size_t, T);
template <typename T>
using Differentiate = void (*)(const T*, const T*, T*, std::size_t, T);

// Indexed as the names in module.cpp: both come from TFL_FOR_EACH_ACTIVATION.
#define TFL_ACTIVATE(type, name) activate<type, T>,
#define TFL_DIFFERENTIATE(type, name) differentiate<type, T>,
template <typename T>
static Activate<T> activate_of(int activation) {
  static constexpr Activate<T> functions[] = {TFL_FOR_EACH_ACTIVATION(TFL_ACTIVATE)};
  return functions[activation];
}
template <typename T>
static Differentiate<T> differentiate_of(int activation) {
  static constexpr Differentiate<T> functions[] = {TFL_FOR_EACH_ACTIVATION(TFL_DIFFERENTIATE)};
  return functions[activation];
}
#undef TFL_ACTIVATE
#undef TFL_DIFFERENTIATE

// One tile: `bias` is null, one value per element, or (stride 0) one value for all of them.
template <typename T>
static void forward_tile(const Forward<T>& a, std::size_t at, const T* bias, bool one_bias,
                         std::size_t count, Activate<T> function) {
  const T* z = a.z + at;
  T buffer[tile];
  T* before = a.residual ? a.residual + at : buffer;
  if (!bias) {
    if (before == buffer) {
      function(z, a.out + at, count, a.slope);
      return;
    }
    if (before != z) std::memcpy(before, z, count * sizeof(T));
  } else if (one_bias) {
    const T b = *bias;
#pragma GCC ivdep
    for (std::size_t i = 0; i < count; ++i) before[i] = z[i] + b;
  } else {
#pragma GCC ivdep
    for (std::size_t i = 0; i < count; ++i) before[i] = z[i] + bias[i];
  }
  function(before, a.out + at, count, a.slope);
}

// A long row made of `count` short ones, so that no loop is too short for vectors.
static Rows join_rows(Rows shape, std::size_t* count) {
  *count = shape.columns * 2 > joined || shape.columns == 0 ? 1 : joined / shape.columns;
  return {shape.rows / *count, shape.columns * *count};
}

// All elements alike, without a bias: calls work(first, length) for tiles of them.
template <typename Work>
static void for_each_tile(std::size_t size, const Work& work) {
  const std::size_t tiles = (size + tile - 1) / tile;
  const std::size_t pieces = pieces_of(tiles, tile * step_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, tiles);
    for (std::size_t i = first_of(piece, pieces, tiles); i < end; ++i)
      work(i * tile, std::min(tile, size - i * tile));
  });
}

// Calls work(at, length) for the tiles of a row.
template <typename Work>
static inline void for_each_part(std::size_t row, std::size_t inner, const Work& work) {
  for (std::size_t j = 0; j < inner; j += tile) work(row * inner + j, std::min(tile, inner - j));
}

// Calls work(index, at, length) for tiles of the rows of (outer, channels, inner), row by row.
template <typename Work>
static void for_each_channel(Channels shape, const Work& work) {
  const std::size_t rows = shape.outer * shape.channels;
  const std::size_t pieces = pieces_of(rows, static_cast<double>(shape.inner) * step_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, rows);
    for (std::size_t row = first_of(piece, pieces, rows); row < end; ++row) {
      for_each_part(row, shape.inner,
                    [&](std::size_t at, std::size_t length) { work(row, at, length); });
    }
  });
}

template <typename T>
static void forward_rows(int activation, const Forward<T>& a, Rows shape) {
  const Activate<T> function = activate_of<T>(activation);
  if (!a.bias) {
    for_each_tile(shape.rows * shape.columns, [&](std::size_t at, std::size_t length) {
      forward_tile<T>(a, at, nullptr, false, length, function);
    });
    return;
  }
  std::size_t count;
  const Rows whole = join_rows(shape, &count);
  T repeated[joined];
  const T* bias = a.bias;
  if (count > 1) {
    for (std::size_t i = 0; i < whole.columns; ++i) repeated[i] = a.bias[i % shape.columns];
    bias = repeated;
  }
  const std::size_t pieces =
      pieces_of(whole.rows, static_cast<double>(whole.columns) * step_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, whole.rows);
    for (std::size_t row = first_of(piece, pieces, whole.rows); row < end; ++row) {
      for (std::size_t j = 0; j < whole.columns; j += tile) {
        forward_tile(a, row * whole.columns + j, bias + j, false,
                     std::min(tile, whole.columns - j), function);
      }
    }
  });
  const std::size_t done = whole.rows * whole.columns;
  const std::size_t rest = shape.rows * shape.columns - done;
  if (rest > 0) forward_tile(a, done, bias, false, rest, function);
}

template <typename T>
static void forward_channels(int activation, const Forward<T>& a, Channels shape) {
  if (!a.bias) {
    forward_rows(activation, a, {shape.outer * shape.channels, shape.inner});
    return;
  }
  const Activate<T> function = activate_of<T>(activation);
  for_each_channel(shape, [&](std::size_t row, std::size_t at, std::size_t length) {
    forward_tile(a, at, a.bias + row % shape.channels, true, length, function);
  });
}

template <typename T>
static void backward_flat(const Backward<T>& a, std::size_t size, Differentiate<T> function) {
  for_each_tile(size, [&](std::size_t at, std::size_t length) {
    function(a.g + at, a.saved + at, a.dz + at, length, a.slope);
  });
}

// One tile of one long row: its gradient, added to the block's sums.
template <typename T>
static void backward_tile(const Backward<T>& a, std::size_t at, std::size_t length,
                          Differentiate<T> function, double* sums) {
  T* dz = a.dz + at;
  function(a.g + at, a.saved + at, dz, length, a.slope);
  for (std::size_t i = 0; i < length; ++i) sums[i] += static_cast<double>(dz[i]);
}

template <typename T>
static void backward_rows(int activation, const Backward<T>& a, Rows shape) {
  const Differentiate<T> function = differentiate_of<T>(activation);
  if (!a.db) {
    backward_flat(a, shape.rows * shape.columns, function);
    return;
  }
  std::size_t count;
  const Rows whole = join_rows(shape, &count);
  const std::size_t strips = (whole.columns + tile - 1) / tile;
  const std::size_t blocks = (whole.rows + block_rows - 1) / block_rows;
  const double cost = static_cast<double>(block_rows * std::min(whole.columns, tile)) * step_cost;
  const std::size_t pieces = pieces_of(blocks * strips, cost);
  std::vector<double> sums(blocks * whole.columns, 0.0);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, blocks * strips);
    for (std::size_t i = first_of(piece, pieces, blocks * strips); i < end; ++i) {
      const std::size_t block = i / strips, j = i % strips * tile;
      const std::size_t length = std::min(tile, whole.columns - j);
      const std::size_t last = std::min((block + 1) * block_rows, whole.rows);
      for (std::size_t row = block * block_rows; row < last; ++row) {
        backward_tile(a, row * whole.columns + j, length, function,
                      sums.data() + block * whole.columns + j);
      }
    }
  });
  std::vector<double> total(whole.columns, 0.0);
  for (std::size_t block = 0; block < blocks; ++block) {
    const double* one = sums.data() + block * whole.columns;
    for (std::size_t j = 0; j < whole.columns; ++j) total[j] += one[j];
  }
  const std::size_t done = whole.rows * whole.columns;
  const std::size_t rest = shape.rows * shape.columns - done;
  if (rest > 0) backward_tile(a, done, rest, function, total.data());
  for (std::size_t j = 0; j < shape.columns; ++j) {
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) sum += total[i * shape.columns + j];
    a.db[j] = static_cast<T>(sum);
  }
}

template <typename T>
static double sum_of(const T* values, std::size_t count) {
  // One running sum would chain every addition to the last: 16 of them side by side, then a tree.
  double sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane)
      sums[lane] += static_cast<double>(values[i + lane]);
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) sums[lane] += static_cast<double>(values[i]);
  for (std::size_t half = lanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

template <typename T>
static void backward_channels(int activation, const Backward<T>& a, Channels shape) {
  const Differentiate<T> function = differentiate_of<T>(activation);
  if (!a.db) {
    backward_flat(a, shape.outer * shape.channels * shape.inner, function);
    return;
  }
  const std::size_t rows = shape.outer * shape.channels;
  if (rows == 0 || shape.inner == 0) {
    std::fill(a.db, a.db + shape.channels, T(0));
    return;
  }
  std::vector<double> sums(rows, 0.0);
  const std::size_t filled = a.fill.call ? std::max<std::size_t>(1, fill_size / shape.inner) : rows;
  const std::size_t pieces = pieces_of(rows, static_cast<double>(shape.inner) * step_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, rows);
    for (std::size_t row = first_of(piece, pieces, rows); row < end;) {
      const std::size_t last = std::min(end, row + filled);
      if (a.fill.call) a.fill.call(a.fill.context, row, last - row);
      for (; row < last; ++row) {
        for_each_part(row, shape.inner, [&](std::size_t at, std::size_t length) {
          function(a.g + at, a.saved + at, a.dz + at, length, a.slope);
          sums[row] += sum_of(a.dz + at, length);
        });
      }
    }
  });
  for (std::size_t c = 0; c < shape.channels; ++c) {
    double sum = 0.0;
    for (std::size_t i = 0; i < shape.outer; ++i) sum += sums[i * shape.channels + c];
    a.db[c] = static_cast<T>(sum);
  }
}

static const BiasActivation table = {
    forward_rows<float>,      forward_rows<double>,      backward_rows<float>,
    backward_rows<double>,    forward_channels<float>,   forward_channels<double>,
    backward_channels<float>, backward_channels<double>,
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
