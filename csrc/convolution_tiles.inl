// The innermost loops of convolutions: tiles of a result that stay in registers.

// Whether the product of zero with every one of the numbers is zero: none is infinite or NaN.
template <typename T>
static bool all_finite(const T* numbers, Index count) {
  using Vector = typename Vectors<T>::type;
  using Loose = typename Vectors<T>::loose;
  constexpr Index lanes = Vectors<T>::lanes;
  Vector products = {};
  Index i = 0;
  for (; i + lanes <= count; i += lanes)
    products += *reinterpret_cast<const Loose*>(numbers + i) * T(0);
  T sum = T(0);
  for (Index lane = 0; lane < lanes; ++lane) sum += products[lane];
  for (; i < count; ++i) sum += numbers[i] * T(0);
  return sum == T(0);
}

#if TFL_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int registers = 32;
constexpr int most_rows = 14;
#else
constexpr int registers = 16;
constexpr int most_rows = 6;
#endif

// How many vectors wide a tile of so many rows is: sums, one vector each and a weight fill the
// registers.
constexpr int width_of(int rows) {
  return (registers - 1) / (rows + 1) < 8 ? (registers - 1) / (rows + 1) : 8;
}

// Has numbers read through the pointer from memory again. There are more of them than registers: the
// compiler would keep some in vector registers, at the cost of the unit that multiplies.
template <typename T>
static inline __attribute__((always_inline)) void reload(const T*& pointer) {
  asm volatile("" : "+r"(pointer));
}

// ROWS channels of the result at WIDTH vectors of neighbouring places: the sum over channels of the
// source and over taps. Weights lie as (channel, tap, row).
template <typename T, int ROWS, int WIDTH>
static void correlate(const T* source, Index channels, Index channel_step, const Index* offsets,
                      Index taps, const T* weights, T* out, Index out_step) {
  using Vector = typename Vectors<T>::type;
  using Loose = typename Vectors<T>::loose;
  constexpr Index lanes = Vectors<T>::lanes;
  Vector sums[ROWS][WIDTH] = {};
  for (Index channel = 0; channel < channels; ++channel) {
    for (Index tap = 0; tap < taps; ++tap) {
      const T* at = source + offsets[tap];
      Vector values[WIDTH];
#pragma GCC unroll 8
      for (int v = 0; v < WIDTH; ++v) values[v] = *reinterpret_cast<const Loose*>(at + v * lanes);
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row) {
        const T weight = weights[row];
#pragma GCC unroll 8
        for (int v = 0; v < WIDTH; ++v) sums[row][v] += values[v] * weight;
      }
      weights += ROWS;
    }
    source += channel_step;
  }
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row) {
#pragma GCC unroll 8
    for (int v = 0; v < WIDTH; ++v)
      *reinterpret_cast<Loose*>(out + row * out_step + v * lanes) = sums[row][v];
  }
}

template <typename T>
using Correlate = void (*)(const T*, Index, Index, const Index*, Index, const T*, T*, Index);

// A tile of full width, and one vector wide for what is left over.
template <typename T>
struct Tiles {
  Correlate<T> full, narrow;
  int width;
};

template <typename T, int ROWS>
static constexpr Tiles<T> tiles_with() {
  return {correlate<T, ROWS, width_of(ROWS)>, correlate<T, ROWS, 1>, width_of(ROWS)};
}

template <typename T, int... LESS>
static Tiles<T> tiles_among(Index rows, std::integer_sequence<int, LESS...>) {
  static constexpr Tiles<T> all[] = {tiles_with<T, LESS + 1>()...};
  return all[rows - 1];
}

template <typename T>
static Tiles<T> tiles_of(Index rows) {
  return tiles_among<T>(rows, std::make_integer_sequence<int, most_rows>());
}

// The same with the result's channels in vectors, for ROWS places anywhere: `places` says where each
// reads. Weights lie as (channel, tap, vector), with `skipped` numbers between a channel's and the
// next's; sums as (place, vector).
template <typename T, int ROWS, int WIDTH>
static void correlate_places(const T* source, Index channels, Index channel_step,
                             const Index* offsets, Index taps, const T* weights, Index skipped,
                             const Index* places, T* out) {
  using Vector = typename Vectors<T>::type;
  using Loose = typename Vectors<T>::loose;
  constexpr Index lanes = Vectors<T>::lanes;
  Vector sums[ROWS][WIDTH] = {};
  for (Index channel = 0; channel < channels; ++channel) {
    for (Index tap = 0; tap < taps; ++tap) {
      const T* at = source + offsets[tap];
      reload(places);
      Vector values[WIDTH];
#pragma GCC unroll 8
      for (int v = 0; v < WIDTH; ++v)
        values[v] = *reinterpret_cast<const Loose*>(weights + v * lanes);
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row) {
        const T one = at[places[row]];
#pragma GCC unroll 8
        for (int v = 0; v < WIDTH; ++v) sums[row][v] += values[v] * one;
      }
      weights += WIDTH * lanes;
    }
    weights += skipped;
    source += channel_step;
  }
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row) {
#pragma GCC unroll 8
    for (int v = 0; v < WIDTH; ++v)
      *reinterpret_cast<Loose*>(out + (row * WIDTH + v) * lanes) = sums[row][v];
  }
}

template <typename T>
using CorrelatePlaces = void (*)(const T*, Index, Index, const Index*, Index, const T*, Index,
                                 const Index*, T*);

template <typename T, int WIDTH, int... LESS>
static CorrelatePlaces<T> places_among(Index rows, std::integer_sequence<int, LESS...>) {
  static constexpr CorrelatePlaces<T> all[] = {correlate_places<T, LESS + 1, WIDTH>...};
  return all[rows - 1];
}

template <typename T>
static CorrelatePlaces<T> places_of(Index rows, Index width) {
  constexpr auto sizes = std::make_integer_sequence<int, most_rows>();
  return width == 1 ? places_among<T, 1>(rows, sizes) : places_among<T, 2>(rows, sizes);
}

// The gradient by the weights: ROWS (channel, tap) pairs by WIDTH vectors of channels of y, added to
// the sums of pairs `order`. Rows of places read `pitch` apart, places in a row `step`; y lies as
// (place, vector), with `skipped` numbers between a row's and the next's.
template <typename T, int ROWS, int WIDTH>
static void collect(const T* source, const Index* offsets, Index rows, Index columns, Index pitch,
                    Index step, const T* y, Index skipped, const Index* order, T* sums_out) {
  using Vector = typename Vectors<T>::type;
  using Loose = typename Vectors<T>::loose;
  constexpr Index lanes = Vectors<T>::lanes;
  Vector sums[ROWS][WIDTH];
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row) {
#pragma GCC unroll 8
    for (int v = 0; v < WIDTH; ++v)
      sums[row][v] = *reinterpret_cast<Loose*>(sums_out + (order[row] * WIDTH + v) * lanes);
  }
  for (Index i = 0; i < rows; ++i, source += pitch, y += skipped) {
    const T* at = source;
    for (Index j = 0; j < columns; ++j, at += step, y += WIDTH * lanes) {
      reload(offsets);
      Vector values[WIDTH];
#pragma GCC unroll 8
      for (int v = 0; v < WIDTH; ++v) values[v] = *reinterpret_cast<const Loose*>(y + v * lanes);
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row) {
        const T one = at[offsets[row]];
#pragma GCC unroll 8
        for (int v = 0; v < WIDTH; ++v) sums[row][v] += values[v] * one;
      }
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row) {
#pragma GCC unroll 8
    for (int v = 0; v < WIDTH; ++v)
      *reinterpret_cast<Loose*>(sums_out + (order[row] * WIDTH + v) * lanes) = sums[row][v];
  }
}

template <typename T>
using Collect = void (*)(const T*, const Index*, Index, Index, Index, Index, const T*, Index,
                         const Index*, T*);

template <typename T, int WIDTH, int... LESS>
static Collect<T> collect_among(Index rows, std::integer_sequence<int, LESS...>) {
  static constexpr Collect<T> all[] = {collect<T, LESS + 1, WIDTH>...};
  return all[rows - 1];
}

template <typename T>
static Collect<T> collect_of(Index rows, Index width) {
  constexpr auto sizes = std::make_integer_sequence<int, most_rows>();
  return width == 1 ? collect_among<T, 1>(rows, sizes) : collect_among<T, 2>(rows, sizes);
}

// The gradient by the weights with places in vectors, for few channels of y: the sums of one of them
// for ROWS (channel, tap) pairs. y lies in rows of whole vectors, with zeros behind its places; the
// source's numbers there are masked, for they may be infinite.
template <typename T, int ROWS>
static void dot(const T* source, const Index* offsets, Index rows, Index columns, Index pitch,
                const T* y, T* sums_out) {
  using Vector = typename Vectors<T>::type;
  using Loose = typename Vectors<T>::loose;
  using Mask = typename IntegerOf<T>::type;
  constexpr Index lanes = Vectors<T>::lanes;
  const Index whole = columns / lanes * lanes;
  Mask mask;
  for (Index lane = 0; lane < lanes; ++lane) mask[lane] = lane < columns - whole ? -1 : 0;
  Vector sums[ROWS] = {};
  for (Index i = 0; i < rows; ++i, source += pitch) {
    for (Index j = 0; j < whole; j += lanes, y += lanes) {
      const Vector value = *reinterpret_cast<const Loose*>(y);
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row)
        sums[row] += value * *reinterpret_cast<const Loose*>(source + offsets[row] + j);
    }
    if (whole == columns) continue;
    const Vector value = *reinterpret_cast<const Loose*>(y);
    y += lanes;
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; ++row) {
      const Vector one = *reinterpret_cast<const Loose*>(source + offsets[row] + whole);
      sums[row] += value * reinterpret_cast<Vector>(reinterpret_cast<Mask>(one) & mask);
    }
  }
  for (int row = 0; row < ROWS; ++row) {
    T parts[lanes];
    *reinterpret_cast<Loose*>(parts) = sums[row];
    for (Index half = lanes / 2; half > 0; half /= 2)
      for (Index lane = 0; lane < half; ++lane) parts[lane] += parts[lane + half];
    sums_out[row] += parts[0];
  }
}

template <typename T>
using Dot = void (*)(const T*, const Index*, Index, Index, Index, const T*, T*);

constexpr int most_dots = 9;

template <typename T, int... LESS>
static Dot<T> dot_among(Index rows, std::integer_sequence<int, LESS...>) {
  static constexpr Dot<T> all[] = {dot<T, LESS + 1>...};
  return all[rows - 1];
}

template <typename T>
static Dot<T> dot_of(Index rows) {
  return dot_among<T>(rows, std::make_integer_sequence<int, most_dots>());
}
