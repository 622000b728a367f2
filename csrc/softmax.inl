// softmax and log_softmax for one instruction set; included by softmax.cpp. A row is read from memory
// once: its later passes find it in the cache.
namespace tfl {
namespace TFL_INSTRUCTIONS {

#include "softmax_steps.inl"

constexpr double element_cost = 4.0;

template <typename Work>
static void for_each_row(std::size_t rows, std::size_t columns, const Work& work) {
  const std::size_t pieces = pieces_of(rows, static_cast<double>(columns) * element_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, rows);
    for (std::size_t row = first_of(piece, pieces, rows); row < end; ++row) work(row * columns);
  });
}

template <typename T>
static void softmax(const T* x, T* out, std::size_t rows, std::size_t columns) {
  for_each_row(rows, columns, [&](std::size_t at) {
    T* to = out + at;
    const double sum = exponentials(x + at, greatest(x + at, columns), to, columns);
    const T factor = static_cast<T>(1.0 / sum);
#pragma GCC ivdep
    for (std::size_t j = 0; j < columns; ++j) to[j] *= factor;
  });
}

template <typename T>
static void log_softmax(const T* x, T* out, std::size_t rows, std::size_t columns) {
  for_each_row(rows, columns, [&](std::size_t at) {
    const T* from = x + at;
    T* to = out + at;
    const T shift = greatest(from, columns);
    // The exponentials themselves aren't needed: `to` holds them until the sum is known.
    const T norm = static_cast<T>(std::log(exponentials(from, shift, to, columns)));
#pragma GCC ivdep
    for (std::size_t j = 0; j < columns; ++j) to[j] = (from[j] - shift) - norm;
  });
}

// dx holds the products until their sum is known.
template <typename T>
static double products(const T* g, const T* out, T* dx, std::size_t count) {
  double total = 0.0;
  for (std::size_t at = 0; at < count; at += tile) {
    const std::size_t length = std::min(tile, count - at);
#pragma GCC ivdep
    for (std::size_t j = at; j < at + length; ++j) dx[j] = g[j] * out[j];
    total += sum_of_tile(dx + at, length);
  }
  return total;
}

template <typename T>
static double sum_of_row(const T* x, std::size_t count) {
  double total = 0.0;
  for (std::size_t at = 0; at < count; at += tile)
    total += sum_of_tile(x + at, std::min(tile, count - at));
  return total;
}

template <typename T>
static void gradient(const T* gradients, const T* outs, T* dxs, std::size_t rows,
                     std::size_t columns, bool logs) {
  for_each_row(rows, columns, [&](std::size_t at) {
    const T* g = gradients + at;
    const T* out = outs + at;
    T* dx = dxs + at;
    if (logs) {
      const T total = static_cast<T>(sum_of_row(g, columns));
#pragma GCC ivdep
      for (std::size_t j = 0; j < columns; ++j) dx[j] = g[j] - exponential(out[j]) * total;
    } else {
      const T total = static_cast<T>(products(g, out, dx, columns));
#pragma GCC ivdep
      for (std::size_t j = 0; j < columns; ++j) dx[j] = out[j] * (g[j] - total);
    }
  });
}

static const Softmaxes table = {softmax<float>,     softmax<double>, log_softmax<float>,
                                log_softmax<double>, gradient<float>, gradient<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
