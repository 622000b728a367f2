// Cross-entropy for one instruction set; included by losses.cpp. A row is read from memory once: its
// later passes find it in the cache.
namespace tfl {
namespace TFL_INSTRUCTIONS {

#include "softmax_steps.inl"

constexpr double element_cost = 4.0;

template <typename T>
static double weight_total(const Targets<T>& a) {
  if (!a.weight) return static_cast<double>(a.classes);
  double total = 0.0;
  for (std::size_t j = 0; j < a.classes; ++j) total += static_cast<double>(a.weight[j]);
  return total;
}

// The sum over the classes of weight times x - shift.
template <typename T>
static double weighted_sum(const Targets<T>& a, const T* x, T shift) {
  double total = 0.0;
  for (std::size_t j = 0; j < a.classes; ++j) {
    const T weight = a.weight ? a.weight[j] : T(1);
    total += static_cast<double>(weight) * static_cast<double>(x[j] - shift);
  }
  return total;
}

// Calls work(row) for every row, in pieces.
template <typename T, typename Work>
static void for_each_row(const Targets<T>& a, const Work& work) {
  const std::size_t pieces = pieces_of(a.rows, static_cast<double>(a.classes) * element_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, a.rows);
    for (std::size_t row = first_of(piece, pieces, a.rows); row < end; ++row) work(row);
  });
}

template <typename T>
static void cross_entropy(const T* logits, const Targets<T>& a, T* loss, T* softmax) {
  const double all_weights = a.smoothing != T(0) ? weight_total(a) : 0.0;
  for_each_row(a, [&](std::size_t row) {
    const T* x = logits + row * a.classes;
    T* p = softmax + row * a.classes;
    const T shift = greatest(x, a.classes);
    const double sum = exponentials(x, shift, p, a.classes);
    const T factor = static_cast<T>(1.0 / sum);
#pragma GCC ivdep
    for (std::size_t j = 0; j < a.classes; ++j) p[j] *= factor;
    if (a.target[row] == a.ignored) {
      loss[row] = T(0);
      return;
    }
    const std::size_t t = static_cast<std::size_t>(a.target[row]);
    const double norm = std::log(sum);
    const double weight = a.weight ? static_cast<double>(a.weight[t]) : 1.0;
    double found = (norm - static_cast<double>(x[t] - shift)) * weight *
                   (1.0 - static_cast<double>(a.smoothing));
    if (a.smoothing != T(0)) {
      const double logs = weighted_sum(a, x, shift) - norm * all_weights;
      found -= logs * static_cast<double>(a.smoothing) / static_cast<double>(a.classes);
    }
    loss[row] = static_cast<T>(found);
  });
}

template <typename T>
static void gradient(const T* g, const T* softmax, const Targets<T>& a, T* dx) {
  const bool smooth = a.smoothing != T(0);
  const T all_weights = smooth ? static_cast<T>(weight_total(a)) : T(0);
  for_each_row(a, [&](std::size_t row) {
    const T* p = softmax + row * a.classes;
    T* out = dx + row * a.classes;
    if (a.target[row] == a.ignored) {
      std::fill(out, out + a.classes, T(0));
      return;
    }
    const std::size_t t = static_cast<std::size_t>(a.target[row]);
    const T hit = g[row] * (a.weight ? a.weight[t] : T(1)) * (T(1) - a.smoothing);
    const T spread = smooth ? g[row] * a.smoothing / static_cast<T>(a.classes) : T(0);
    const T scale = smooth ? hit + spread * all_weights : hit;
    if (!smooth) {
#pragma GCC ivdep
      for (std::size_t j = 0; j < a.classes; ++j) out[j] = p[j] * scale;
    } else if (a.weight) {
#pragma GCC ivdep
      for (std::size_t j = 0; j < a.classes; ++j) out[j] = p[j] * scale - spread * a.weight[j];
    } else {
#pragma GCC ivdep
      for (std::size_t j = 0; j < a.classes; ++j) out[j] = p[j] * scale - spread;
    }
    out[t] -= hit;
  });
}

static const Losses table = {cross_entropy<float>, cross_entropy<double>, gradient<float>,
                             gradient<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
