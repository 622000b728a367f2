// Pooling for one instruction set; included by pooling.cpp.
//
// A window is worked on in two steps: down its columns, where the rows of the image lie contiguous,
// into a buffer in the first-level cache, then along that buffer. Where windows don't overlap, the
// rows of several windows stand in the buffer one after the other, so that the second step has a
// long loop for small images, too.
#include "lanes.inl"

namespace tfl {
namespace TFL_INSTRUCTIONS {

constexpr std::size_t buffer_size = 2048;
// What an element of the image costs, in steps as `pieces_of` counts them.
constexpr double step_cost = 1.5;
// Loops that run over whole vectors do so by this many windows, where strides and extents are at
// most `most_rounded`: other windows have longer ways to go anyway.
constexpr std::size_t rounded = TFL_VECTOR_BYTES;
constexpr std::size_t most_rounded = 8;
constexpr std::size_t slack = (rounded + 1) * most_rounded;
// The row of a place outside the image: behind all others.
constexpr int outside = 1 << 16;

template <typename T>
struct Integers;
template <>
struct Integers<float> {
  using type = std::int32_t;
};
template <>
struct Integers<double> {
  using type = std::int64_t;
};
template <typename T>
using IntegerOf = typename Integers<T>::type;

// Windows first ... last - 1 of some rows of windows, as they stand in the buffer: row after row,
// `pitch` elements each.
struct Strip {
  std::size_t row, rows;      // rows of windows, counted over all planes
  std::size_t first, count;   // windows along a row
  std::size_t pitch, length;  // elements of a row in the buffer, and how many of them are read
};

// Calls work(strip) for all windows, in pieces of whole rows.
template <typename Work>
static void for_each_strip(const PoolShape& s, const Work& work) {
  const PoolAxis& columns = s.columns;
  const std::size_t extent = columns.extent();
  const std::size_t pitch = columns.count * columns.stride;
  const bool joined = extent <= columns.stride && pitch <= buffer_size;
  const std::size_t most_rows = joined ? std::max<std::size_t>(1, buffer_size / pitch) : 1;
  const std::size_t fitting = (buffer_size - extent) / columns.stride + 1;
  const std::size_t total = s.planes * s.rows.count;
  const double cost = static_cast<double>(s.rows.kernel * columns.size) * step_cost;
  const std::size_t pieces = pieces_of(total, cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, total);
    for (std::size_t row = first_of(piece, pieces, total); row < end;) {
      const std::size_t rows = std::min(most_rows, end - row);
      for (std::size_t first = 0; first < columns.count; first += fitting) {
        const std::size_t count = std::min(fitting, columns.count - first);
        const std::size_t length = (count - 1) * columns.stride + extent;
        work(Strip{row, rows, first, count, joined ? pitch : length, length});
      }
      row += rows;
    }
  });
}

// A row of windows: which one of which plane.
struct Row {
  std::size_t plane, index;
};

// Calls work(b, row) for the rows b = 0, 1, ... of a strip.
template <typename Work>
static inline void for_each_row(const PoolShape& s, const Strip& strip, const Work& work) {
  Row row{strip.row / s.rows.count, strip.row % s.rows.count};
  for (std::size_t b = 0; b < strip.rows; ++b) {
    work(b, row);
    if (++row.index == s.rows.count) row = {row.plane + 1, 0};
  }
}

// The rows of the image that a row of windows sees: places begin ... end - 1 of the window, the
// first at `data`, the others `step` elements apart.
template <typename T>
struct Seen {
  std::size_t begin, end, step;
  T* data;
};

template <typename T>
static Seen<T> seen_by(const PoolShape& s, T* image, Row row) {
  const PoolAxis& rows = s.rows;
  const std::size_t start = row.index * rows.stride;
  std::size_t begin = 0, end = rows.kernel;
  while (begin < end && start + begin * rows.dilation < rows.padding) ++begin;
  while (end > begin && start + (end - 1) * rows.dilation >= rows.padding + rows.size) --end;
  const std::size_t top = begin < end ? start + begin * rows.dilation - rows.padding : 0;
  const std::size_t width = s.columns.size;
  return {begin, end, rows.dilation * width, image + (row.plane * rows.size + top) * width};
}

// The columns of the image in a row of the buffer: begin ... end - 1 there hold the columns from
// `column` on.
struct Inside {
  std::size_t begin, end, column;
};

static Inside inside_of(const PoolAxis& columns, const Strip& strip) {
  const std::size_t start = strip.first * columns.stride;  // counted from the padding
  const std::size_t begin =
      std::min(columns.padding > start ? columns.padding - start : 0, strip.length);
  const std::size_t column = start + begin - columns.padding;
  const std::size_t left = column < columns.size ? columns.size - column : 0;
  return {begin, begin + std::min(left, strip.length - begin), column};
}

// -- maximum --------------------------------------------------------------------------------------
// Nested choices, not conditions joined by | and &: GCC turns only those into vector code. NaN goes
// through; its place doesn't matter.
template <typename T>
static inline T higher(T value, T next) {
  return next > value ? next : next != next ? next : value;
}

template <typename T, bool Keep>
static void highest_of_rows(const Seen<const T>& seen, std::size_t column, std::size_t count,
                            T* __restrict values, IntegerOf<T>* __restrict rows) {
  using Integer = IntegerOf<T>;
  const T* from = seen.data + column;
  const Integer first = static_cast<Integer>(seen.begin);
  const Integer seen_rows = static_cast<Integer>(seen.end - seen.begin);
  in_vectors<T>(count, [&](auto lanes, std::size_t x) {
    using Values = VectorOf<T, lanes>;
    using Numbers = VectorOf<Integer, lanes>;
    const T* at = from + x;
    Values value = load<Values>(at);
    Numbers row = first - Numbers{};
    for (Integer r = 1; r < seen_rows; ++r) {
      at += seen.step;
      const Values next = load<Values>(at);
      const Numbers higher = next > value;
      row = higher ? first + r - Numbers{} : row;
      value = (higher | (next != next)) ? next : value;
    }
    std::memcpy(values + x, &value, sizeof value);
    if (Keep) std::memcpy(rows + x, &row, sizeof row);
  });
}

// KW and S are the window's length and stride where they are known, dilation 1, else 0.
template <typename T, bool Keep, int KW, int S>
static void highest_along(const PoolShape& s, const T* __restrict values,
                          const IntegerOf<T>* __restrict rows, std::size_t count,
                          T* __restrict out, std::uint8_t* __restrict places) {
  using Integer = IntegerOf<T>;
  const std::size_t kernel = KW ? KW : s.columns.kernel;
  const std::size_t stride = S ? S : s.columns.stride;
  const std::size_t dilation = KW ? 1 : s.columns.dilation;
  const Integer width = static_cast<Integer>(kernel);
  const Integer taps = static_cast<Integer>(s.rows.kernel * kernel);
  for (std::size_t o = 0; o < count; ++o) {
    T value = values[o * stride];
    Integer place = Keep ? rows[o * stride] * width : 0;
#pragma GCC unroll 4
    for (std::size_t j = 1; j < kernel; ++j) {
      const std::size_t at = o * stride + j * dilation;
      const T next = values[at];
      if (Keep) {
        const Integer there = rows[at] * width + static_cast<Integer>(j);
        const Integer before = there < place ? there : place;
        place = next > value ? there : next == value ? before : place;
      }
      value = higher(value, next);
    }
    out[o] = value;
    if (Keep) {
      place = place >= taps ? 0 : place;
      places[o] = static_cast<std::uint8_t>(value != value ? 0 : place);
    }
  }
}

template <typename T, bool Keep>
static auto along_for(const PoolAxis& columns) {
  const auto is = [&](std::size_t kernel, std::size_t stride) {
    return columns.kernel == kernel && columns.stride == stride && columns.dilation == 1;
  };
  return is(2, 2)   ? highest_along<T, Keep, 2, 2>
         : is(3, 2) ? highest_along<T, Keep, 3, 2>
         : is(3, 1) ? highest_along<T, Keep, 3, 1>
                    : highest_along<T, Keep, 0, 0>;
}

template <typename T, bool Keep>
static void highest(const PoolShape& s, const T* x, T* out, std::uint8_t* places) {
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  const auto along = along_for<T, Keep>(s.columns);
  // Whole vectors: a rest would be slow, its choices branches that can't be foretold.
  const bool rounds = s.columns.stride <= most_rounded && s.columns.extent() <= most_rounded;
  for_each_strip(s, [&](const Strip& strip) {
    T values[buffer_size + slack], found[buffer_size + rounded];
    IntegerOf<T> rows[buffer_size + slack];
    std::uint8_t found_places[buffer_size + rounded];
    const std::size_t count = strip.rows * strip.count;
    const std::size_t run = rounds ? (count + rounded - 1) / rounded * rounded : count;
    const std::size_t used = (strip.rows - 1) * strip.pitch + strip.length;
    const std::size_t read = (run - 1) * s.columns.stride + s.columns.extent();
    for (std::size_t i = used; i < read; ++i) values[i] = 0;
    if (Keep) std::fill(rows + used, rows + std::max(used, read), 0);
    const Inside inside = inside_of(s.columns, strip);
    for_each_row(s, strip, [&](std::size_t b, Row at) {
      T* value = values + b * strip.pitch;
      IntegerOf<T>* row = rows + b * strip.pitch;
      const Seen<const T> seen = seen_by(s, x, at);
      const std::size_t begin = seen.begin < seen.end ? inside.begin : strip.length;
      const std::size_t end = seen.begin < seen.end ? inside.end : strip.length;
      std::fill(value, value + begin, lowest);
      std::fill(value + end, value + strip.length, lowest);
      if (Keep) {
        std::fill(row, row + begin, outside);
        std::fill(row + end, row + strip.length, outside);
      }
      if (begin < end)
        highest_of_rows<T, Keep>(seen, inside.column, end - begin, value + begin, row + begin);
    });
    const std::size_t at = strip.row * s.columns.count + strip.first;
    along(s, values, rows, run, found, found_places);
    std::memcpy(out + at, found, count * sizeof(T));
    if (Keep) std::memcpy(places + at, found_places, count);
  });
}

template <typename T>
static void max_pool(const PoolShape& s, const T* x, T* out, std::uint8_t* places) {
  if (places) {
    highest<T, true>(s, x, out, places);
  } else {
    highest<T, false>(s, x, out, nullptr);
  }
}

// -- places ---------------------------------------------------------------------------------------
// Calls work(window, element) for each window of some planes whose place is inside the image.
template <typename Work>
static void for_each_place(const PoolShape& s, std::size_t plane, const std::uint8_t* places,
                           const Work& work) {
  const PoolAxis &rows = s.rows, &columns = s.columns;
  const std::size_t taps = rows.kernel * columns.kernel;
  std::uint32_t down[most_places], right[most_places];  // from the window's first place
  for (std::size_t tap = 0; tap < taps; ++tap) {
    down[tap] = static_cast<std::uint32_t>(tap / columns.kernel * rows.dilation);
    right[tap] = static_cast<std::uint32_t>(tap % columns.kernel * columns.dilation);
  }
  std::size_t window = plane * rows.count * columns.count;
  const std::size_t image = plane * rows.size * columns.size;
  for (std::size_t i = 0; i < rows.count; ++i) {
    for (std::size_t j = 0; j < columns.count; ++j, ++window) {
      const std::size_t tap = places[window];
      if (tap >= taps) continue;
      // Before the image they wrap around to something large.
      const std::size_t y = i * rows.stride + down[tap] - rows.padding;
      const std::size_t x = j * columns.stride + right[tap] - columns.padding;
      if (y < rows.size && x < columns.size) work(window, image + y * columns.size + x);
    }
  }
}

template <typename Work>
static void for_each_plane(const PoolShape& s, double cost, const Work& work) {
  const std::size_t pieces = pieces_of(s.planes, cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, s.planes);
    for (std::size_t plane = first_of(piece, pieces, s.planes); plane < end; ++plane) work(plane);
  });
}

static double plane_cost(const PoolShape& s) {
  return step_cost * static_cast<double>(s.rows.size * s.columns.size) +
         4.0 * static_cast<double>(s.rows.count * s.columns.count);
}

// Whether windows lie side by side, so that each place of the image belongs to at most one.
static bool tiled(const PoolShape& s) {
  const auto along = [](const PoolAxis& axis) {
    return axis.padding == 0 && axis.dilation == 1 && axis.kernel == axis.stride &&
           axis.count * axis.kernel <= axis.size;
  };
  return along(s.rows) && along(s.columns);
}

// Of the places base ... base + kernel - 1, the columns of one row of windows.
template <typename T, int KW>
static void place_along(const T* __restrict y, const std::uint8_t* __restrict places,
                        std::size_t count, std::size_t given, int base, T* __restrict out) {
  using Integer = IntegerOf<T>;
  const std::size_t kernel = KW ? KW : given;
  for (std::size_t o = 0; o < count; ++o) {
    Integer bits;
    std::memcpy(&bits, y + o, sizeof bits);
    const Integer place = static_cast<Integer>(places[o]) - base;
    for (std::size_t j = 0; j < kernel; ++j) {
      const Integer chosen = bits & -static_cast<Integer>(place == static_cast<Integer>(j));
      std::memcpy(out + o * kernel + j, &chosen, sizeof chosen);
    }
  }
}

// A row of the buffer into the image, as the i-th of a row of windows; with the first one the rows
// of the plane below its last window are cleared, too.
template <typename T>
static inline void write_row(const PoolShape& s, const Strip& strip, Row row, std::size_t i,
                             const T* from, T* out) {
  const std::size_t count = strip.count * s.columns.kernel, width = s.columns.size;
  T* plane = out + row.plane * s.rows.size * width;
  T* line = plane + (row.index * s.rows.kernel + i) * width;
  T* to = line + strip.first * s.columns.kernel;
  copy_row(from, count, to);
  if (strip.first + strip.count < s.columns.count) return;
  std::fill(to + count, line + width, T(0));
  if (i == 0 && row.index + 1 == s.rows.count)
    std::fill(plane + s.rows.count * s.rows.kernel * width, plane + s.rows.size * width, T(0));
}

template <typename T>
static void scatter_tiled(const PoolShape& s, const T* y, const std::uint8_t* places, T* out) {
  const std::size_t kernel = s.columns.kernel;
  const auto along = kernel == 2   ? place_along<T, 2>
                     : kernel == 3 ? place_along<T, 3>
                                   : place_along<T, 0>;
  for_each_strip(s, [&](const Strip& strip) {
    T buffer[buffer_size];
    const std::size_t at = strip.row * s.columns.count + strip.first;
    for (std::size_t i = 0; i < s.rows.kernel; ++i) {
      along(y + at, places + at, strip.rows * strip.count, kernel, static_cast<int>(i * kernel),
            buffer);
      for_each_row(s, strip, [&](std::size_t b, Row row) {
        write_row(s, strip, row, i, buffer + b * strip.count * kernel, out);
      });
    }
  });
}

template <typename T>
static void scatter(const PoolShape& s, const T* y, const std::uint8_t* places, T* out) {
  if (tiled(s)) {
    scatter_tiled(s, y, places, out);
    return;
  }
  const std::size_t size = s.rows.size * s.columns.size;
  for_each_plane(s, plane_cost(s), [&](std::size_t plane) {
    std::fill(out + plane * size, out + (plane + 1) * size, T(0));
    for_each_place(s, plane, places,
                   [&](std::size_t window, std::size_t at) { out[at] += y[window]; });
  });
}

template <typename T>
static void gather(const PoolShape& s, const T* x, const std::uint8_t* places, T* out) {
  const std::size_t windows = s.rows.count * s.columns.count;
  for_each_plane(s, plane_cost(s), [&](std::size_t plane) {
    std::fill(out + plane * windows, out + (plane + 1) * windows, T(0));
    for_each_place(s, plane, places,
                   [&](std::size_t window, std::size_t at) { out[window] = x[at]; });
  });
}

// -- mean -----------------------------------------------------------------------------------------
template <typename T>
static void sum_of_rows(const Seen<const T>& seen, std::size_t column, std::size_t count,
                        T* __restrict sums) {
  const T* from = seen.data + column;
  const std::size_t seen_rows = seen.end - seen.begin;
  in_vectors<T>(count, [&](auto lanes, std::size_t x) {
    T sum[lanes];
    const T* next = from + x;
    for (std::size_t i = 0; i < lanes; ++i) sum[i] = next[i];
    for (std::size_t r = 1; r < seen_rows; ++r) {
      next += seen.step;
      for (std::size_t i = 0; i < lanes; ++i) sum[i] += next[i];
    }
    for (std::size_t i = 0; i < lanes; ++i) sums[x + i] = sum[i];
  });
}

template <typename T, int KW, int S>
static void sum_along(const PoolAxis& columns, const T* __restrict sums, std::size_t count,
                      T* __restrict out) {
  const std::size_t kernel = KW ? KW : columns.kernel;
  const std::size_t stride = S ? S : columns.stride;
  for (std::size_t o = 0; o < count; ++o) {
    T sum = sums[o * stride];
    for (std::size_t j = 1; j < kernel; ++j) sum += sums[o * stride + j];
    out[o] = sum;
  }
}

template <typename T>
static auto sums_for(const PoolAxis& columns) {
  const auto is = [&](std::size_t kernel, std::size_t stride) {
    return columns.kernel == kernel && columns.stride == stride;
  };
  return is(2, 2)   ? sum_along<T, 2, 2>
         : is(3, 2) ? sum_along<T, 3, 2>
         : is(3, 1) ? sum_along<T, 3, 1>
                    : sum_along<T, 0, 0>;
}

// What the sum of a window is divided by.
template <typename T>
class Divisor {
 public:
  Divisor(const PoolShape& s, const double* rows, const double* columns)
      : rows_(rows), columns_(columns), uniform_(true) {
    for (std::size_t i = 1; i < s.rows.count; ++i) uniform_ &= rows[i] == rows[0];
    for (std::size_t j = 1; j < s.columns.count; ++j) uniform_ &= columns[j] == columns[0];
  }

  // The windows of a strip; `to` may be `from`.
  void divide(const PoolShape& s, const Strip& strip, const T* from, T* to) const {
    if (uniform_) {
      const T divisor = static_cast<T>(rows_[0] * columns_[0]);
#pragma GCC ivdep
      for (std::size_t i = 0; i < strip.rows * strip.count; ++i) to[i] = from[i] / divisor;
      return;
    }
    for_each_row(s, strip, [&](std::size_t b, Row row) {
      const double along = rows_[row.index];
      const std::size_t at = b * strip.count;
#pragma GCC ivdep
      for (std::size_t j = 0; j < strip.count; ++j)
        to[at + j] = from[at + j] / static_cast<T>(along * columns_[strip.first + j]);
    });
  }

 private:
  const double* rows_;
  const double* columns_;
  bool uniform_;
};

template <typename T>
static void mean(const PoolShape& s, const T* x, const double* row_divisors,
                 const double* column_divisors, T* out) {
  if (tiled(s) && s.rows.kernel == s.rows.size && s.columns.kernel == s.columns.size) {
    // One window over the whole image, whose places lie contiguous.
    const RowTotals<T> planes{x, out, s.planes, s.rows.size * s.columns.size,
                              row_divisors[0] * column_divisors[0]};
    if constexpr (sizeof(T) == 4) {
      sum_kernels().rows_float(planes);
    } else {
      sum_kernels().rows_double(planes);
    }
    return;
  }
  const auto along = sums_for<T>(s.columns);
  const Divisor<T> divisor(s, row_divisors, column_divisors);
  for_each_strip(s, [&](const Strip& strip) {
    T sums[buffer_size];
    const Inside inside = inside_of(s.columns, strip);
    for_each_row(s, strip, [&](std::size_t b, Row row) {
      T* sum = sums + b * strip.pitch;
      const Seen<const T> seen = seen_by(s, x, row);
      const std::size_t begin = seen.begin < seen.end ? inside.begin : strip.length;
      const std::size_t end = seen.begin < seen.end ? inside.end : strip.length;
      std::fill(sum, sum + begin, T(0));
      std::fill(sum + end, sum + strip.length, T(0));
      if (begin < end) sum_of_rows(seen, inside.column, end - begin, sum + begin);
    });
    T* to = out + strip.row * s.columns.count + strip.first;
    along(s.columns, sums, strip.rows * strip.count, to);
    divisor.divide(s, strip, to, to);
  });
}

template <typename T, int KW>
static void repeat_along(const T* __restrict share, std::size_t count, std::size_t given,
                         T* __restrict out) {
  const std::size_t kernel = KW ? KW : given;
  for (std::size_t o = 0; o < count; ++o) {
    for (std::size_t j = 0; j < kernel; ++j) out[o * kernel + j] = share[o];
  }
}

template <typename T>
static void spread_tiled(const PoolShape& s, const T* y, const Divisor<T>& divisor, T* out) {
  const std::size_t kernel = s.columns.kernel;
  const auto along = kernel == 2   ? repeat_along<T, 2>
                     : kernel == 3 ? repeat_along<T, 3>
                                   : repeat_along<T, 0>;
  for_each_strip(s, [&](const Strip& strip) {
    T share[buffer_size], buffer[buffer_size];
    divisor.divide(s, strip, y + strip.row * s.columns.count + strip.first, share);
    along(share, strip.rows * strip.count, kernel, buffer);
    for_each_row(s, strip, [&](std::size_t b, Row row) {
      for (std::size_t i = 0; i < s.rows.kernel; ++i)
        write_row(s, strip, row, i, buffer + b * strip.count * kernel, out);
    });
  });
}

// One row of windows that may overlap and hang over the edges, added to its rows of the image.
template <typename T>
static void add_row(const PoolShape& s, Row at, const T* y, const Divisor<T>& divisor, T* out) {
  const PoolAxis& columns = s.columns;
  const std::size_t fitting = (buffer_size - columns.kernel) / columns.stride + 1;
  const std::size_t row = at.plane * s.rows.count + at.index;
  const Seen<T> seen = seen_by(s, out, at);
  for (std::size_t first = 0; first < columns.count; first += fitting) {
    T share[buffer_size], sums[buffer_size];
    const std::size_t count = std::min(fitting, columns.count - first);
    const std::size_t length = (count - 1) * columns.stride + columns.kernel;
    const Strip strip{row, 1, first, count, length, length};
    divisor.divide(s, strip, y + row * columns.count + first, share);
    std::fill(sums, sums + length, T(0));
    for (std::size_t j = 0; j < columns.kernel; ++j) {
      for (std::size_t o = 0; o < count; ++o) sums[o * columns.stride + j] += share[o];
    }
    const Inside inside = inside_of(columns, strip);
    for (std::size_t i = seen.begin; i < seen.end; ++i) {
      T* __restrict to = seen.data + (i - seen.begin) * seen.step + inside.column;
      const T* __restrict from = sums + inside.begin;
      for (std::size_t x = 0; x < inside.end - inside.begin; ++x) to[x] += from[x];
    }
  }
}

template <typename T>
static void spread(const PoolShape& s, const T* y, const double* row_divisors,
                   const double* column_divisors, T* out) {
  const Divisor<T> divisor(s, row_divisors, column_divisors);
  if (tiled(s)) {
    spread_tiled(s, y, divisor, out);
    return;
  }
  const std::size_t size = s.rows.size * s.columns.size;
  for_each_plane(s, plane_cost(s), [&](std::size_t plane) {
    std::fill(out + plane * size, out + (plane + 1) * size, T(0));
    for (std::size_t i = 0; i < s.rows.count; ++i) add_row(s, {plane, i}, y, divisor, out);
  });
}

static const Pooling table = {
    max_pool<float>, max_pool<double>, scatter<float>, scatter<double>, gather<float>,
    gather<double>,  mean<float>,      mean<double>,   spread<float>,   spread<double>,
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
