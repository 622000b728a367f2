// Products of small matrices whose results stay in registers, and the copies that they read.

template <typename T>
struct Vectors {
  static constexpr Index lanes = TFL_VECTOR_BYTES / sizeof(T);
  typedef T type __attribute__((vector_size(TFL_VECTOR_BYTES)));
  // The same anywhere in memory.
  typedef T loose __attribute__((vector_size(TFL_VECTOR_BYTES), aligned(alignof(T)), may_alias));
};
template <typename T>
using Vector = typename Vectors<T>::type;

template <typename T>
TFL_DEVICE Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename Vectors<T>::loose*>(from);
}

template <typename T>
TFL_DEVICE void store(T* to, Vector<T> value) {
  *reinterpret_cast<typename Vectors<T>::loose*>(to) = value;
}

template <typename T>
static constexpr Index padded(Index size) {
  return (size + Vectors<T>::lanes - 1) / Vectors<T>::lanes * Vectors<T>::lanes;
}

// A tile's sums, two vectors wide, with a row of the right matrix and a number of the left one.
#if TFL_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr Index tile_rows = 8;
#elif TFL_VECTOR_BYTES == 32
constexpr Index tile_rows = 6;
#else
constexpr Index tile_rows = 4;
#endif

// The left matrix is read along its rows, or is one that lies transposed.
enum class Left { plain, transposed };
// What becomes of what the result held before.
enum class Before { replaced, added };

// c = a b, or c += a b: ROWS by WIDTH vectors, a sum over `depth`.
template <typename T, Left LEFT, Before BEFORE, int ROWS, int WIDTH>
static void tile(const T* a, Index a_step, const T* b, Index b_step, Index depth, T* c,
                 Index c_step) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Index row_step = LEFT == Left::plain ? a_step : 1;
  const Index depth_step = LEFT == Left::plain ? 1 : a_step;
  Vector<T> sums[ROWS][WIDTH] = {};
  for (Index k = 0; k < depth; ++k) {
    Vector<T> right[WIDTH];
#pragma GCC unroll 2
    for (int v = 0; v < WIDTH; ++v) right[v] = load(b + v * lanes);
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row) {
      const T left = a[row * row_step];
#pragma GCC unroll 2
      for (int v = 0; v < WIDTH; ++v) sums[row][v] += right[v] * left;
    }
    a += depth_step;
    b += b_step;
  }
#pragma GCC unroll 8
  for (int row = 0; row < ROWS; ++row) {
#pragma GCC unroll 2
    for (int v = 0; v < WIDTH; ++v) {
      T* to = c + row * c_step + v * lanes;
      store<T>(to, BEFORE == Before::added ? load(to) + sums[row][v] : sums[row][v]);
    }
  }
}

template <typename T>
using Tile = void (*)(const T*, Index, const T*, Index, Index, T*, Index);

template <typename T, Left LEFT, Before BEFORE, int... LESS>
static Tile<T> tile_among(Index rows, bool wide, std::integer_sequence<int, LESS...>) {
  static constexpr Tile<T> narrow_ones[] = {tile<T, LEFT, BEFORE, LESS + 1, 1>...};
  static constexpr Tile<T> wide_ones[] = {tile<T, LEFT, BEFORE, LESS + 1, 2>...};
  return wide ? wide_ones[rows - 1] : narrow_ones[rows - 1];
}

// The same for at most tile_rows rows and any number of columns, in whole vectors.
template <typename T, Left LEFT, Before BEFORE>
static void strip(Index rows, Index columns, const T* a, Index a_step, const T* b, Index b_step,
                  Index depth, T* c, Index c_step) {
  constexpr Index lanes = Vectors<T>::lanes;
  constexpr std::make_integer_sequence<int, tile_rows> less;
  const Tile<T> wide = tile_among<T, LEFT, BEFORE>(rows, true, less);
  Index column = 0;
  for (; column + 2 * lanes <= columns; column += 2 * lanes)
    wide(a, a_step, b + column, b_step, depth, c + column, c_step);
  if (column < columns) {
    const Tile<T> narrow = tile_among<T, LEFT, BEFORE>(rows, false, less);
    narrow(a, a_step, b + column, b_step, depth, c + column, c_step);
  }
}

// Rows times `factor`, with zeros behind them up to whole vectors.
template <typename T>
static void pack(const T* from, Index step, Index rows, Index width, T factor, T* to) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Index pitch = padded<T>(width);
  for (Index row = 0; row < rows; ++row, from += step, to += pitch) {
    Index i = 0;
    for (; i + lanes <= width; i += lanes) store<T>(to + i, load(from + i) * factor);
    for (; i < width; ++i) to[i] = from[i] * factor;
    for (; i < pitch; ++i) to[i] = T(0);
  }
}

// The first `width` numbers of each row, times `factor`.
template <typename T>
static void unpack(const T* from, Index rows, Index width, T factor, T* to, Index step) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Index pitch = padded<T>(width);
  for (Index row = 0; row < rows; ++row, from += pitch, to += step) {
    Index i = 0;
    for (; i + lanes <= width; i += lanes) store<T>(to + i, load(from + i) * factor);
    for (; i < width; ++i) to[i] = from[i] * factor;
  }
}

template <typename T>
struct BitsOf {
  typedef std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t> item;
  typedef item type __attribute__((vector_size(TFL_VECTOR_BYTES)));
};

// Interleaves the lower halves of two vectors, and the upper ones.
template <typename T, int... LANE>
TFL_DEVICE void interleave(Vector<T> one, Vector<T> other, Vector<T>& low, Vector<T>& high,
                           std::integer_sequence<int, LANE...>) {
  constexpr int lanes = sizeof...(LANE);
#if defined(__clang__)
  low = __builtin_shufflevector(one, other, (LANE / 2 + LANE % 2 * lanes)...);
  high = __builtin_shufflevector(one, other, (lanes / 2 + LANE / 2 + LANE % 2 * lanes)...);
#else
  using Mask = typename BitsOf<T>::type;
  low = __builtin_shuffle(one, other, Mask{(LANE / 2 + LANE % 2 * lanes)...});
  high = __builtin_shuffle(one, other, Mask{(lanes / 2 + LANE / 2 + LANE % 2 * lanes)...});
#endif
}

// A square of as many rows as a vector has lanes. Each round interleaves the halves of the rows.
template <typename T>
static void transpose_square(const T* from, Index step, T factor, T* to, Index pitch) {
  constexpr Index lanes = Vectors<T>::lanes;
  constexpr std::make_integer_sequence<int, lanes> every;
  Vector<T> now[lanes], next[lanes];
#pragma GCC unroll 16
  for (Index i = 0; i < lanes; ++i) now[i] = load(from + i * step) * factor;
#pragma GCC unroll 4
  for (Index round = 1; round < lanes; round *= 2) {
#pragma GCC unroll 8
    for (Index i = 0; i < lanes / 2; ++i)
      interleave<T>(now[i], now[i + lanes / 2], next[2 * i], next[2 * i + 1], every);
#pragma GCC unroll 16
    for (Index i = 0; i < lanes; ++i) now[i] = next[i];
  }
#pragma GCC unroll 16
  for (Index i = 0; i < lanes; ++i) store<T>(to + i * pitch, now[i]);
}

// Columns become rows of `pitch` numbers, times `factor`, with zeros behind them up to whole
// vectors.
template <typename T>
static void pack_transposed(const T* from, Index step, Index rows, Index width, T factor, T* to,
                            Index pitch) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Index squares = rows / lanes * lanes, whole = width / lanes * lanes;
  for (Index row = 0; row < squares; row += lanes) {
    for (Index i = 0; i < whole; i += lanes)
      transpose_square(from + row * step + i, step, factor, to + i * pitch + row, pitch);
  }
  for (Index i = 0; i < width; ++i) {
    for (Index row = i < whole ? squares : 0; row < rows; ++row)
      to[i * pitch + row] = from[row * step + i] * factor;
    for (Index row = rows; row < padded<T>(rows); ++row) to[i * pitch + row] = T(0);
  }
}
