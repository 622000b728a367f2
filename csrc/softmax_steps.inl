// The steps of a row's softmax; included by families inside their instruction set's namespace.
constexpr std::size_t lanes = 16;
constexpr std::size_t tile = 1024;  // elements summed in T; tiles are summed in double

// The greatest element, NaN aside: those show in the sum of exponentials.
template <typename T>
static T greatest(const T* x, std::size_t count) {
  T best[lanes];
  for (std::size_t lane = 0; lane < lanes; ++lane) best[lane] = -std::numeric_limits<T>::infinity();
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane)
      best[lane] = x[i + lane] > best[lane] ? x[i + lane] : best[lane];
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) best[lane] = x[i] > best[lane] ? x[i] : best[lane];
  T found = best[0];
  for (std::size_t lane = 1; lane < lanes; ++lane) found = best[lane] > found ? best[lane] : found;
  return found;
}

template <typename T>
static double sum_of_tile(const T* x, std::size_t count) {
  T sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += x[i + lane];
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) sums[lane] += x[i];
  double total = 0.0;
  for (std::size_t lane = 0; lane < lanes; ++lane) total += static_cast<double>(sums[lane]);
  return total;
}

// out = exp(x - shift), and its sum.
template <typename T>
static double exponentials(const T* x, T shift, T* out, std::size_t count) {
  double total = 0.0;
  for (std::size_t at = 0; at < count; at += tile) {
    const std::size_t length = std::min(tile, count - at);
    const T* from = x + at;
    T* to = out + at;
#pragma GCC ivdep
    for (std::size_t i = 0; i < length; ++i) to[i] = exponential(from[i] - shift);
    total += sum_of_tile(to, length);
  }
  return total;
}
