// What is done to scores, row by row.

constexpr Index block_columns = 64;  // keys at a time: the length of a row of scores
constexpr Index block_rows = 64;     // queries at a time

template <typename T>
TFL_DEVICE Vector<T> filled(T value) {
  return Vector<T>{} + value;
}

// The lanes of a vector moved round by BY places.
template <typename T, int BY, int... LANE>
TFL_DEVICE Vector<T> moved(Vector<T> x, std::integer_sequence<int, LANE...>) {
  constexpr int lanes = sizeof...(LANE);
#if defined(__clang__)
  return __builtin_shufflevector(x, x, ((LANE + BY) % lanes)...);
#else
  return __builtin_shuffle(x, typename BitsOf<T>::type{((LANE + BY) % lanes)...});
#endif
}

// Joins the lanes in pairs, the pairs in pairs ...
template <typename Join, typename T, int BY = Vectors<T>::lanes / 2>
TFL_DEVICE T joined(Vector<T> x) {
  if constexpr (BY == 0) {
    return x[0];
  } else {
    constexpr std::make_integer_sequence<int, Vectors<T>::lanes> every;
    return joined<Join, T, BY / 2>(Join::join(x, moved<T, BY>(x, every)));
  }
}

template <typename T>
struct Larger {
  TFL_DEVICE static Vector<T> join(Vector<T> a, Vector<T> b) { return b > a ? b : a; }
};
template <typename T>
struct Sum {
  TFL_DEVICE static Vector<T> join(Vector<T> a, Vector<T> b) { return a + b; }
};

template <typename T>
TFL_DEVICE T sum_of_lanes(Vector<T> x) {
  return joined<Sum<T>, T>(x);
}

// exp for what is hardly above zero: as host_math.cuh has it, but 0 below 2^-125, which no sum of
// weights notices, and with no more than 88 above.
TFL_DEVICE Vector<float> weights_of(Vector<float> x) {
  using Bits = BitsOf<float>::type;
  const Vector<float> bounded = x > 88.0f ? filled(88.0f) : x;
  // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits, 127 above.
  const Vector<float> shifted = bounded * 1.44269504088896341f + 12583039.0f;
  const Vector<float> n = shifted - 12583039.0f;
  const Vector<float> r = (bounded - n * 0.693359375f) - n * -2.12194440054690583e-4f;
  const Vector<float> q =
      (((r * 0.0013780614826828241f + 0.008385219611227512f) * r + 0.04167035594582558f) * r +
       0.1666635274887085f) *
          r +
      0.4999997913837433f;
  const Vector<float> p = (r + r * r * q) + 1.0f;
  const Bits power = reinterpret_cast<Bits>(shifted) << 23;
  const Vector<float> found = p * reinterpret_cast<Vector<float>>(power);
  return x < -86.6f ? Vector<float>{} : found;
}

TFL_DEVICE Vector<double> weights_of(Vector<double> x) {
  constexpr Index lanes = Vectors<double>::lanes;
  double values[lanes];
  store<double>(values, x);
#pragma GCC ivdep
  for (Index i = 0; i < lanes; ++i) values[i] = exponential(values[i]);
  return load(values);
}

// The part of a mask that belongs to a row of scores.
template <typename T>
struct MaskRow {
  const AttentionMask& mask;
  Index at;

  MaskRow(const AttentionMask& mask, Index head, Index row, Index column)
      : mask(mask), at(mask.starts[head] + row * mask.row + column * mask.column) {}

  void add_to(T* scores, Index count) const {
    if (mask.column == 1) {
      add(scores, count, 1);
    } else {
      add(scores, count, mask.column);
    }
  }

 private:
  TFL_DEVICE void add(T* scores, Index count, Index step) const {
    constexpr T hidden = -std::numeric_limits<T>::infinity();
    if (mask.counts) {
      const unsigned char* counts = static_cast<const unsigned char*>(mask.data) + at;
#pragma GCC ivdep
      for (Index i = 0; i < count; ++i) scores[i] += counts[i * step] ? T(0) : hidden;
    } else {
      const T* added = static_cast<const T*>(mask.data) + at;
#pragma GCC ivdep
      for (Index i = 0; i < count; ++i) scores[i] += added[i * step];
    }
  }
};

// How many columns of a block from `first` on a row sees.
static Index seen_by(Index row, Index first, Index count, bool causal) {
  return causal ? std::max(std::min(count, row + 1 - first), Index{0}) : count;
}

template <typename T, int... LANE>
TFL_DEVICE typename BitsOf<T>::type numbered(std::integer_sequence<int, LANE...>) {
  return typename BitsOf<T>::type{LANE...};
}

// Adds the mask to what a row sees of a block's scores, and hides the rest up to `end`.
template <typename T>
static inline void mask_row(const AttentionMask& mask, Index head, Index row, Index first,
                            Index seen, Index end, T* scores) {
  constexpr Index lanes = Vectors<T>::lanes;
  if (mask.data) MaskRow<T>(mask, head, row, first).add_to(scores, seen);
  // Whole vectors, which are read next: a load waits for a store of a part of it.
  const Vector<T> hidden = filled(-std::numeric_limits<T>::infinity());
  Index i = seen / lanes * lanes;
  if (i < seen) {
    using Bits = typename BitsOf<T>::type;
    const Bits places = numbered<T>(std::make_integer_sequence<int, lanes>());
    const Bits bound = Bits{} + static_cast<typename BitsOf<T>::item>(seen - i);
    store<T>(scores + i, places < bound ? load(scores + i) : hidden);
    i += lanes;
  }
  for (; i < end; i += lanes) store<T>(scores + i, hidden);
}
