// Whole vectors of an instruction set, and squares of numbers transposed in them.

template <typename T>
struct Vectors {
  static constexpr Index lanes = TFL_VECTOR_BYTES / sizeof(T);
  typedef T type __attribute__((vector_size(TFL_VECTOR_BYTES)));
  // The same anywhere in memory.
  typedef T loose __attribute__((vector_size(TFL_VECTOR_BYTES), aligned(alignof(T)), may_alias));
};

template <typename T>
struct IntegerOf {
  typedef std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t> item;
  typedef item type __attribute__((vector_size(TFL_VECTOR_BYTES)));
};

// Exchanges the off-diagonal halves of squares of 2 * HALF in rows a and b.
template <typename T, int HALF, int... LANE>
static inline void exchange(typename Vectors<T>::type& a, typename Vectors<T>::type& b,
                            std::integer_sequence<int, LANE...>) {
  constexpr int lanes = static_cast<int>(Vectors<T>::lanes);
  const typename Vectors<T>::type one = a, other = b;
#if defined(__clang__)
  a = __builtin_shufflevector(one, other, (LANE & HALF ? lanes + LANE - HALF : LANE)...);
  b = __builtin_shufflevector(one, other, (LANE & HALF ? lanes + LANE : LANE + HALF)...);
#else
  using Mask = typename IntegerOf<T>::type;
  a = __builtin_shuffle(one, other, Mask{(LANE & HALF ? lanes + LANE - HALF : LANE)...});
  b = __builtin_shuffle(one, other, Mask{(LANE & HALF ? lanes + LANE : LANE + HALF)...});
#endif
}

template <typename T, int HALF>
static inline void exchange_all(typename Vectors<T>::type* rows) {
  constexpr int lanes = static_cast<int>(Vectors<T>::lanes);
  if constexpr (HALF > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if (!(i & HALF))
        exchange<T, HALF>(rows[i], rows[i + HALF], std::make_integer_sequence<int, lanes>());
    }
    exchange_all<T, HALF / 2>(rows);
  }
}

// `lanes` rows of as many numbers.
template <typename T>
static inline void transpose_square(const T* from, Index from_step, T* to, Index to_step) {
  using Vector = typename Vectors<T>::type;
  using Loose = typename Vectors<T>::loose;
  constexpr int lanes = static_cast<int>(Vectors<T>::lanes);
  Vector rows[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i)
    rows[i] = *reinterpret_cast<const Loose*>(from + i * from_step);
  exchange_all<T, lanes / 2>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) *reinterpret_cast<Loose*>(to + i * to_step) = rows[i];
}

// `to`[column][row] = `from`[row][column]; what lies outside the rectangle isn't touched.
template <typename T>
static void transpose_part(const T* from, Index from_step, Index rows, Index columns, T* to,
                           Index to_step) {
  for (Index row = 0; row < rows; ++row)
    for (Index column = 0; column < columns; ++column)
      to[column * to_step + row] = from[row * from_step + column];
}
