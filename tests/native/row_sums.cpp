#include "row_sums.hpp"

#include "checks.hpp"

namespace check {
namespace {

template <typename T>
void check_case(std::size_t count, std::size_t places, std::size_t columns) {
  const Note note(count, " rows to ", places, " places, ", columns, " columns");
  const Guarded<T> rows = normals<T>(count * columns, 1);
  Guarded<std::int64_t> place =
      integers<std::int64_t>(count, static_cast<std::uint32_t>(places), 2);
  std::vector<double> expected(places * columns);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t j = 0; j < columns; ++j) {
      expected[static_cast<std::size_t>(place[row]) * columns + j] +=
          double(rows[row * columns + j]);
    }
    if (row % 3 == 0) place[row] -= static_cast<std::int64_t>(places);
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> out(places * columns);
    const tfl::RowSums<T> a{rows.data(), place.data(), out.data(), count, places, columns};
    if constexpr (sizeof(T) == 4) {
      tfl::row_sum_kernels().scatter_float(a);
    } else {
      tfl::row_sum_kernels().scatter_double(a);
    }
    near(out, expected, unit<T>(), unit<T>(8));
    outputs.add(out);
  });
}

TFL_CHECK(scatter_shapes) {
  const std::size_t shapes[][3] = {{0, 3, 2},   {1, 1, 1},      {50, 9, 33},
                                   {20, 90, 3}, {700, 2, 257}, {300, 400, 130}};
  for (const auto& shape : shapes) {
    check_case<float>(shape[0], shape[1], shape[2]);
    check_case<double>(shape[0], shape[1], shape[2]);
  }
}

}  // namespace
}  // namespace check
