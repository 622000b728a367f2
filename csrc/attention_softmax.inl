// What is done to scores, row by row.

constexpr Index block_columns = 64;  // keys at a time: the length of a row of scores
constexpr Index block_rows = 64;     // queries at a time

template <typename T>
TFL_DEVICE Vector<T> filled(T value) {
  return Vector<T>{} + value;
}

template <typename T>
TFL_DEVICE Vector<T> larger(Vector<T> a, Vector<T> b) {
  return b > a ? b : a;
}

template <typename T>
TFL_DEVICE T largest_lane(Vector<T> x) {
  T lanes[Vectors<T>::lanes];
  store<T>(lanes, x);
  for (Index half = Vectors<T>::lanes / 2; half > 0; half /= 2) {
    for (Index i = 0; i < half; ++i)
      lanes[i] = lanes[i + half] > lanes[i] ? lanes[i + half] : lanes[i];
  }
  return lanes[0];
}

template <typename T>
TFL_DEVICE T sum_of_lanes(Vector<T> x) {
  T lanes[Vectors<T>::lanes];
  store<T>(lanes, x);
  for (Index half = Vectors<T>::lanes / 2; half > 0; half /= 2) {
    for (Index i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
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
    const Index step = mask.column;
    if (mask.counts) {
      const unsigned char* counts = static_cast<const unsigned char*>(mask.data) + at;
      for (Index i = 0; i < count; ++i)
        scores[i] += counts[i * step] ? T(0) : -std::numeric_limits<T>::infinity();
    } else {
      const T* added = static_cast<const T*>(mask.data) + at;
      for (Index i = 0; i < count; ++i) scores[i] += added[i * step];
    }
  }
};

// How many columns of a block from `first` on a row sees.
static Index seen_by(Index row, Index first, Index count, bool causal) {
  return causal ? std::max(std::min(count, row + 1 - first), Index{0}) : count;
}

// Adds the mask to what a row sees of a block's scores, and hides the rest up to `end`.
template <typename T>
static void mask_row(const AttentionMask& mask, Index head, Index row, Index first, Index seen,
                     Index end, T* scores) {
  if (mask.data) MaskRow<T>(mask, head, row, first).add_to(scores, seen);
  for (Index i = seen; i < end; ++i) scores[i] = -std::numeric_limits<T>::infinity();
}
