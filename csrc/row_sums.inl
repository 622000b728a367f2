// Sums of rows for one instruction set; included by row_sums.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

constexpr std::size_t strip = 256;  // columns summed together
constexpr double element_cost = 1.0;

// The rows in the order of their places: those of place p are order[first[p]] ... before first[p + 1].
struct Ordered {
  std::vector<std::size_t> first, order;
};

template <typename T>
static Ordered by_place(const RowSums<T>& a) {
  const auto place_of = [&](std::size_t row) {
    const std::int64_t place = a.place[row];
    return static_cast<std::size_t>(place < 0 ? place + static_cast<std::int64_t>(a.places)
                                              : place);
  };
  Ordered found{std::vector<std::size_t>(a.places + 2, 0), std::vector<std::size_t>(a.count)};
  // One place further on, so that the second sweep, which moves them, leaves the starts behind.
  for (std::size_t row = 0; row < a.count; ++row) ++found.first[place_of(row) + 2];
  for (std::size_t place = 2; place < a.places + 2; ++place)
    found.first[place] += found.first[place - 1];
  for (std::size_t row = 0; row < a.count; ++row)
    found.order[found.first[place_of(row) + 1]++] = row;
  return found;
}

template <typename T>
static void sum_place(const RowSums<T>& a, const Ordered& rows, std::size_t place) {
  const std::size_t begin = rows.first[place], end = rows.first[place + 1];
  T* out = a.out + place * a.columns;
  if (begin == end) {
    std::fill(out, out + a.columns, T(0));
    return;
  }
  for (std::size_t j = 0; j < a.columns; j += strip) {
    const std::size_t length = std::min(strip, a.columns - j);
    double sums[strip] = {};  // adding to 0 makes -0 of a lone row 0, as in NumPy's sums
    for (std::size_t i = begin; i < end; ++i) {
      const T* from = a.rows + rows.order[i] * a.columns + j;
#pragma GCC ivdep
      for (std::size_t k = 0; k < length; ++k) sums[k] += static_cast<double>(from[k]);
    }
    for (std::size_t k = 0; k < length; ++k) out[j + k] = static_cast<T>(sums[k]);
  }
}

template <typename T>
static void scatter(const RowSums<T>& a) {
  const Ordered rows = by_place(a);
  const std::size_t work = a.places + a.count;  // a place is written, a row read
  const std::size_t pieces = pieces_of(work, static_cast<double>(a.columns) * element_cost);
  // The first place of a piece: so many are places before it and rows that go there.
  const auto first_place = [&](std::size_t piece) {
    const std::size_t wanted = first_of(piece, pieces, work);
    std::size_t low = 0, high = a.places;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (rows.first[middle] + middle < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_place(piece + 1);
    for (std::size_t place = first_place(piece); place < end; ++place) sum_place(a, rows, place);
  });
}

static const RowSumKernels table = {scatter<float>, scatter<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
