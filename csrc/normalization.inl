// Normalisation for one instruction set; included by normalization.cpp. Statistics are summed in
// double, the variance about the mean. A row, and a channel where it fits, is read from memory once:
// its later passes find it in the cache.
#include "lanes.inl"

namespace tfl {
namespace TFL_INSTRUCTIONS {

#include "wide_sums.inl"

// What an element costs, in steps as `pieces_of` counts them.
constexpr double forward_cost = 3.0;
constexpr double backward_cost = 5.0;
constexpr std::size_t tile = 1024;     // elements of a row summed in T; tiles are summed in double
constexpr std::size_t block_rows = 32;  // rows summed in T; blocks of them are summed in double
constexpr std::size_t strip = 64;       // columns, where each is normalised

// The mean and the variance of what `each(visit)` hands to visit(values, count), twice.
template <typename T, typename Each>
static void moments(std::size_t count, bool centered, const Each& each, double* mean,
                    double* variance) {
  WideSum sum, squares;
  *mean = 0.0;
  if (centered) {
    each([&](const T* x, std::size_t length) {
      accumulate(sum, length, [](auto value) { return value; }, x);
    });
    *mean = sum.total() / static_cast<double>(count);
  }
  const double middle = *mean;
  const auto square = [middle](auto value) {
    const auto apart = value - middle;
    return apart * apart;
  };
  each([&](const T* x, std::size_t length) { accumulate(squares, length, square, x); });
  *variance = squares.total() / static_cast<double>(count);
}

// Writes the statistics of row or channel i of `count`; returns one over the standard deviation.
template <typename T>
static T keep_statistics(const Normalization<T>& a, std::size_t i, std::size_t count, double mean,
                         double variance) {
  const T rstd = static_cast<T>(1.0 / std::sqrt(variance + a.eps));
  a.statistics[i] = static_cast<T>(mean);
  a.statistics[count + i] = rstd;
  if (a.mean) a.mean[i] = static_cast<T>(mean);
  if (a.variance) a.variance[i] = static_cast<T>(variance);
  return rstd;
}

template <typename T>
static void scale_row(const Normalization<T>& a, const T* x, T* out, std::size_t count, T mean,
                      T rstd) {
  const T *weight = a.weight, *bias = a.bias;
  if (!weight) {
#pragma GCC ivdep
    for (std::size_t j = 0; j < count; ++j) out[j] = (x[j] - mean) * rstd;
  } else if (!bias) {
#pragma GCC ivdep
    for (std::size_t j = 0; j < count; ++j) out[j] = (x[j] - mean) * rstd * weight[j];
  } else {
#pragma GCC ivdep
    for (std::size_t j = 0; j < count; ++j) out[j] = (x[j] - mean) * rstd * weight[j] + bias[j];
  }
}

template <typename T>
static void normalize_rows(const Normalization<T>& a, NormalizedRows shape) {
  const std::size_t columns = shape.columns;
  const std::size_t pieces =
      pieces_of(shape.rows, static_cast<double>(columns) * forward_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, shape.rows);
    for (std::size_t row = first_of(piece, pieces, shape.rows); row < end; ++row) {
      const T* x = a.x + row * columns;
      double mean, variance;
      moments<T>(columns, a.centered, [&](const auto& visit) { visit(x, columns); }, &mean,
                 &variance);
      const T rstd = keep_statistics(a, row, shape.rows, mean, variance);
      scale_row(a, x, a.out + row * columns, columns, static_cast<T>(mean), rstd);
    }
  });
}

// Calls work(channel, each) for every channel, where each(visit) calls visit(at, inner) for every
// image's part of it.
template <typename Work>
static void for_each_channel(NormalizedChannels shape, double cost, const Work& work) {
  const double elements = static_cast<double>(shape.outer) * static_cast<double>(shape.inner);
  const std::size_t pieces = pieces_of(shape.channels, elements * cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, shape.channels);
    for (std::size_t channel = first_of(piece, pieces, shape.channels); channel < end; ++channel) {
      work(channel, [&](const auto& visit) {
        for (std::size_t image = 0; image < shape.outer; ++image)
          visit((image * shape.channels + channel) * shape.inner, shape.inner);
      });
    }
  });
}

// Calls work(first, length) for strips of the columns of (rows, columns).
template <typename Work>
static void for_each_strip(std::size_t rows, std::size_t columns, double cost, const Work& work) {
  const std::size_t strips = (columns + strip - 1) / strip;
  const std::size_t pieces = pieces_of(strips, static_cast<double>(rows * strip) * cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, strips);
    for (std::size_t i = first_of(piece, pieces, strips); i < end; ++i)
      work(i * strip, std::min(strip, columns - i * strip));
  });
}

// Channels of one element each: columns, normalised side by side.
template <typename T>
static void normalize_columns(const Normalization<T>& a, std::size_t rows, std::size_t columns) {
  for_each_strip(rows, columns, forward_cost, [&](std::size_t first, std::size_t length) {
    double means[strip] = {}, variances[strip] = {};
    T mean[strip], scale[strip], shift[strip];
    for (std::size_t row = 0; row < rows; ++row) {
      const T* x = a.x + row * columns + first;
      for (std::size_t j = 0; j < length; ++j) means[j] += static_cast<double>(x[j]);
    }
    for (std::size_t j = 0; j < length; ++j) means[j] /= static_cast<double>(rows);
    for (std::size_t row = 0; row < rows; ++row) {
      const T* x = a.x + row * columns + first;
      for (std::size_t j = 0; j < length; ++j) {
        const double apart = static_cast<double>(x[j]) - means[j];
        variances[j] += apart * apart;
      }
    }
    for (std::size_t j = 0; j < length; ++j) {
      const double variance = variances[j] / static_cast<double>(rows);
      const T rstd = keep_statistics(a, first + j, columns, means[j], variance);
      mean[j] = static_cast<T>(means[j]);
      scale[j] = a.weight ? rstd * a.weight[first + j] : rstd;
      shift[j] = a.bias ? a.bias[first + j] : T(0);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      const T* x = a.x + row * columns + first;
      T* out = a.out + row * columns + first;
#pragma GCC ivdep
      for (std::size_t j = 0; j < length; ++j) out[j] = (x[j] - mean[j]) * scale[j] + shift[j];
    }
  });
}

template <typename T>
static void normalize_channels(const Normalization<T>& a, NormalizedChannels shape) {
  if (shape.inner == 1) {
    normalize_columns(a, shape.outer, shape.channels);
    return;
  }
  for_each_channel(shape, forward_cost, [&](std::size_t channel, const auto& each) {
    double middle, variance;
    moments<T>(
        shape.outer * shape.inner, true,
        [&](const auto& visit) {
          each([&](std::size_t at, std::size_t length) { visit(a.x + at, length); });
        },
        &middle, &variance);
    const T mean = static_cast<T>(middle);
    const T rstd = keep_statistics(a, channel, shape.channels, middle, variance);
    const T scale = a.weight ? rstd * a.weight[channel] : rstd;
    const T shift = a.bias ? a.bias[channel] : T(0);
    each([&](std::size_t at, std::size_t length) {
      const T* x = a.x + at;
      T* out = a.out + at;
#pragma GCC ivdep
      for (std::size_t j = 0; j < length; ++j) out[j] = (x[j] - mean) * scale + shift;
    });
  });
}

template <typename V>
static double sum_of_lanes(const V& values, std::size_t lanes) {
  double sum = 0.0;
  for (std::size_t lane = 0; lane < lanes; ++lane) sum += static_cast<double>(values[lane]);
  return sum;
}

// What a row's gradient needs of the row: sums of g * weight, with what was normalised and alone.
struct RowSums {
  double with_normal = 0.0, plain = 0.0;
};

// One tile of a row: its sums, and its part of the sums over rows. `parts` is 1 without those, 2
// with the weight's and 3 with the bias's too.
template <typename T, bool weighted, int parts>
static void add_tile(const T* g, const T* x, const T* weight, T* dw, T* db, std::size_t count,
                     T mean, T rstd, RowSums& sums) {
  constexpr std::size_t lanes = TFL_VECTOR_BYTES / sizeof(T);
  using Vector = VectorOf<T, lanes>;
  Vector with_normal[2] = {}, plain[2] = {};
  const auto step = [&](std::size_t j, std::size_t k) {
    const Vector gradient = load<Vector>(g + j);
    const Vector normal = (load<Vector>(x + j) - mean) * rstd;
    if constexpr (parts > 1) {
      const Vector sum = load<Vector>(dw + j) + gradient * normal;
      std::memcpy(dw + j, &sum, sizeof sum);
    }
    if constexpr (parts > 2) {
      const Vector sum = load<Vector>(db + j) + gradient;
      std::memcpy(db + j, &sum, sizeof sum);
    }
    const Vector inner = weighted ? gradient * load<Vector>(weight + j) : gradient;
    with_normal[k] += inner * normal;
    plain[k] += inner;
  };
  std::size_t j = 0;
  for (; j + 2 * lanes <= count; j += 2 * lanes) {
    step(j, 0);
    step(j + lanes, 1);
  }
  if (j + lanes <= count) {
    step(j, 0);
    j += lanes;
  }
  sums.with_normal += sum_of_lanes(with_normal[0] + with_normal[1], lanes);
  sums.plain += sum_of_lanes(plain[0] + plain[1], lanes);
  for (; j < count; ++j) {
    const T normal = (x[j] - mean) * rstd;
    if constexpr (parts > 1) dw[j] += g[j] * normal;
    if constexpr (parts > 2) db[j] += g[j];
    const T inner = weighted ? g[j] * weight[j] : g[j];
    sums.with_normal += static_cast<double>(inner) * static_cast<double>(normal);
    sums.plain += static_cast<double>(inner);
  }
}

template <typename T, bool weighted>
static void differentiate_row(const T* g, const T* x, const T* weight, T* dx, std::size_t count,
                              T mean, T rstd, T with_normal, T plain) {
#pragma GCC ivdep
  for (std::size_t j = 0; j < count; ++j) {
    const T inner = weighted ? g[j] * weight[j] : g[j];
    dx[j] = (inner - plain - (x[j] - mean) * rstd * with_normal) * rstd;
  }
}

// The sums over the rows of one piece: short ones in T, which are emptied into the long ones.
template <typename T>
struct ParameterSums {
  T* blocks;
  double* totals;
  std::size_t columns, parts;

  T* block(std::size_t part) const { return part < parts ? blocks + part * columns : nullptr; }

  void empty() const {
#pragma GCC ivdep
    for (std::size_t j = 0; j < parts * columns; ++j) {
      totals[j] += static_cast<double>(blocks[j]);
      blocks[j] = T(0);
    }
  }
};

template <typename T, bool weighted, int parts>
static void rows_gradient_piece(const NormalizationGradient<T>& a, NormalizedRows shape,
                                std::size_t first, std::size_t end,
                                const ParameterSums<T>& parameters) {
  const std::size_t columns = shape.columns;
  for (std::size_t row = first; row < end; ++row) {
    const T *g = a.g + row * columns, *x = a.x + row * columns;
    const T mean = a.centered ? a.statistics[row] : T(0);
    const T rstd = a.statistics[shape.rows + row];
    RowSums sums;
    for (std::size_t j = 0; j < columns; j += tile) {
      T* dw = parts > 1 ? parameters.block(0) + j : nullptr;
      T* db = parts > 2 ? parameters.block(1) + j : nullptr;
      add_tile<T, weighted, parts>(g + j, x + j, weighted ? a.weight + j : nullptr, dw, db,
                                   std::min(tile, columns - j), mean, rstd, sums);
    }
    const double count = static_cast<double>(columns);
    const T with_normal = static_cast<T>(sums.with_normal / count);
    const T plain = a.centered ? static_cast<T>(sums.plain / count) : T(0);
    differentiate_row<T, weighted>(g, x, a.weight, a.dx + row * columns, columns, mean, rstd,
                                   with_normal, plain);
    if (parts > 1 && ((row - first) % block_rows == block_rows - 1 || row + 1 == end))
      parameters.empty();
  }
}

template <typename T, bool weighted>
static void choose_parts(const NormalizationGradient<T>& a, NormalizedRows shape, std::size_t first,
                         std::size_t end, const ParameterSums<T>& parameters) {
  if (a.db) {
    rows_gradient_piece<T, weighted, 3>(a, shape, first, end, parameters);
  } else if (a.dw) {
    rows_gradient_piece<T, weighted, 2>(a, shape, first, end, parameters);
  } else {
    rows_gradient_piece<T, weighted, 1>(a, shape, first, end, parameters);
  }
}

template <typename T>
static void rows_gradient(const NormalizationGradient<T>& a, NormalizedRows shape) {
  const std::size_t parts = a.db ? 2 : a.dw ? 1 : 0;
  const std::size_t length = parts * shape.columns;
  // Each piece has sums of its own: with half a block of rows they are small beside the rows.
  const std::size_t most = std::min<std::size_t>(64, shape.rows / (block_rows / 2) + 1);
  const std::size_t pieces =
      pieces_of(shape.rows, static_cast<double>(shape.columns) * backward_cost, most);
  std::vector<T> blocks(pieces * length, T(0));
  std::vector<double> totals(pieces * length, 0.0);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t first = first_of(piece, pieces, shape.rows);
    const std::size_t end = first_of(piece + 1, pieces, shape.rows);
    const ParameterSums<T> parameters{blocks.data() + piece * length,
                                      totals.data() + piece * length, shape.columns, parts};
    if (a.weight) {
      choose_parts<T, true>(a, shape, first, end, parameters);
    } else {
      choose_parts<T, false>(a, shape, first, end, parameters);
    }
  });
  for (std::size_t piece = 1; piece < pieces; ++piece) {
    const double* other = totals.data() + piece * length;
    for (std::size_t j = 0; j < length; ++j) totals[j] += other[j];
  }
  for (std::size_t j = 0; j < length; ++j) {
    T* to = j < shape.columns ? a.dw + j : a.db + (j - shape.columns);
    *to = static_cast<T>(totals[j]);
  }
}

// What a channel's gradient is made of, from the sums of g with x - mean and of g alone.
template <typename T>
struct ChannelTerms {
  T mean, slope, with_x, plain;

  ChannelTerms() = default;
  ChannelTerms(const NormalizationGradient<T>& a, std::size_t channel, std::size_t channels,
               double count, double sum_with_x, double sum) {
    const double rstd = static_cast<double>(a.statistics[channels + channel]);
    const double wide_slope = a.weight ? rstd * static_cast<double>(a.weight[channel]) : rstd;
    mean = a.statistics[channel];
    slope = static_cast<T>(wide_slope);
    with_x = static_cast<T>(sum_with_x * rstd * rstd * wide_slope / count);
    plain = static_cast<T>(sum * wide_slope / count);
    if (a.dw) a.dw[channel] = static_cast<T>(sum_with_x * rstd);
    if (a.db) a.db[channel] = static_cast<T>(sum);
  }
};

template <typename T>
static void columns_gradient(const NormalizationGradient<T>& a, std::size_t rows,
                             std::size_t columns) {
  for_each_strip(rows, columns, backward_cost, [&](std::size_t first, std::size_t length) {
    double sums_with_x[strip] = {}, sums[strip] = {};
    T mean[strip], slope[strip], with_x[strip], plain[strip];
    const T* means = a.statistics + first;
    for (std::size_t row = 0; row < rows; ++row) {
      const T *g = a.g + row * columns + first, *x = a.x + row * columns + first;
      for (std::size_t j = 0; j < length; ++j) {
        const double wide_g = static_cast<double>(g[j]);
        sums[j] += wide_g;
        sums_with_x[j] += wide_g * (static_cast<double>(x[j]) - static_cast<double>(means[j]));
      }
    }
    for (std::size_t j = 0; j < length; ++j) {
      const ChannelTerms<T> terms(a, first + j, columns, static_cast<double>(rows),
                                  sums_with_x[j], sums[j]);
      mean[j] = terms.mean;
      slope[j] = terms.slope;
      with_x[j] = terms.with_x;
      plain[j] = terms.plain;
    }
    for (std::size_t row = 0; row < rows; ++row) {
      const T *g = a.g + row * columns + first, *x = a.x + row * columns + first;
      T* dx = a.dx + row * columns + first;
#pragma GCC ivdep
      for (std::size_t j = 0; j < length; ++j)
        dx[j] = g[j] * slope[j] - plain[j] - (x[j] - mean[j]) * with_x[j];
    }
  });
}

template <typename T>
static void channels_gradient(const NormalizationGradient<T>& a, NormalizedChannels shape) {
  if (shape.inner == 1) {
    columns_gradient(a, shape.outer, shape.channels);
    return;
  }
  const double count = static_cast<double>(shape.outer * shape.inner);
  for_each_channel(shape, backward_cost, [&](std::size_t channel, const auto& each) {
    const double middle = static_cast<double>(a.statistics[channel]);
    WideSum sum_with_x, sum;
    each([&](std::size_t at, std::size_t length) {
      accumulate(sum_with_x, length,
                 [middle](auto g, auto x) { return g * (x - middle); }, a.g + at, a.x + at);
      accumulate(sum, length, [](auto g) { return g; }, a.g + at);
    });
    const ChannelTerms<T> terms(a, channel, shape.channels, count, sum_with_x.total(),
                                sum.total());
    each([&](std::size_t at, std::size_t length) {
      const T *g = a.g + at, *x = a.x + at;
      T* dx = a.dx + at;
#pragma GCC ivdep
      for (std::size_t j = 0; j < length; ++j)
        dx[j] = g[j] * terms.slope - terms.plain - (x[j] - terms.mean) * terms.with_x;
    });
  });
}

static const Normalizations table = {
    normalize_rows<float>,     normalize_rows<double>,     normalize_channels<float>,
    normalize_channels<double>, rows_gradient<float>,      rows_gradient<double>,
    channels_gradient<float>,  channels_gradient<double>,
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
