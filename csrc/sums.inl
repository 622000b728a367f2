// Sums of rows' elements for one instruction set; included by sums.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

constexpr std::size_t stretch = 1024;               // elements that are added in T
constexpr std::size_t part = std::size_t{1} << 15;  // elements of a row that a piece adds up
constexpr double element_cost = 0.25;

// The sum of some elements, which `width` lanes share.
template <std::size_t width, typename T>
static double sum_by(const T* x, std::size_t count) {
  T sums[width] = {};
  std::size_t i = 0;
  for (; i + width <= count; i += width) {
    for (std::size_t k = 0; k < width; ++k) sums[k] += x[i + k];
  }
  T rest = 0;
  for (std::size_t k = 0; i + k < count; ++k) rest += x[i + k];
  // One half is added to the other until one number is left: few additions wait for each other.
#pragma GCC unroll 8
  for (std::size_t half = width / 2; half > 0; half /= 2) {
    for (std::size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  return static_cast<double>(sums[0]) + static_cast<double>(rest);
}

template <typename T>
static double sum_of(const T* x, std::size_t count) {
  // The same for every instruction set, and so are the bits.
  constexpr std::size_t vector = 64 / sizeof(T), several = 4 * vector;
  if (count < 4 * several) return sum_by<vector>(x, count);
  double total = 0.0;
  for (std::size_t start = 0; start < count; start += stretch)
    total += sum_by<several>(x + start, std::min(stretch, count - start));
  return total;
}

template <typename T>
static void rows(const RowTotals<T>& a) {
  const std::size_t parts = std::max<std::size_t>(1, (a.columns + part - 1) / part);
  if (parts == 1) {
    const double cost = static_cast<double>(a.columns) * element_cost;
    const std::size_t pieces = pieces_of(a.rows, cost);
    parallel(pieces, [&](std::size_t piece) {
      const std::size_t end = first_of(piece + 1, pieces, a.rows);
      for (std::size_t row = first_of(piece, pieces, a.rows); row < end; ++row)
        a.out[row] = static_cast<T>(sum_of(a.x + row * a.columns, a.columns) / a.divisor);
    });
    return;
  }
  std::vector<double> totals(a.rows * parts);
  const std::size_t pieces = pieces_of(totals.size(), static_cast<double>(part) * element_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, totals.size());
    for (std::size_t i = first_of(piece, pieces, totals.size()); i < end; ++i) {
      const std::size_t start = i % parts * part;
      totals[i] = sum_of(a.x + i / parts * a.columns + start, std::min(part, a.columns - start));
    }
  });
  for (std::size_t row = 0; row < a.rows; ++row) {
    double total = 0.0;
    for (std::size_t i = 0; i < parts; ++i) total += totals[row * parts + i];
    a.out[row] = static_cast<T>(total / a.divisor);
  }
}

static const SumKernels table = {rows<float>, rows<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
