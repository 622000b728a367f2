#include "sums.hpp"

#include <cmath>
#include <limits>

#include "checks.hpp"

namespace check {
namespace {

template <typename T>
void run(const tfl::RowTotals<T>& a) {
  if constexpr (sizeof(T) == 4) {
    tfl::sum_kernels().rows_float(a);
  } else {
    tfl::sum_kernels().rows_double(a);
  }
}

template <typename T>
void check_case(std::size_t rows, std::size_t columns, double divisor) {
  const Note note(rows, " rows of ", columns);
  const Guarded<T> x = normals<T>(rows * columns, 1);
  std::vector<double> expected(rows);
  double largest = 1.0;
  for (std::size_t i = 0; i < rows; ++i) {
    double size = 0.0;
    for (std::size_t j = 0; j < columns; ++j) {
      expected[i] += double(x[i * columns + j]) / divisor;
      size += std::abs(double(x[i * columns + j])) / divisor;
    }
    largest = std::max(largest, size);
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> out(rows);
    run<T>({x.data(), out.data(), rows, columns, divisor});
    // Of numbers of both signs: relative to the sum of their sizes.
    near(out, expected, unit<T>(), unit<T>(4) * largest);
    outputs.add(out);
  });
}

TFL_CHECK(row_shapes) {
  const std::size_t shapes[][2] = {{0, 5}, {3, 0}, {1, 1}, {7, 3}, {300, 49}, {40, 1023},
                                   {5, 1025}, {2, 40000}, {1, 200001}, {3, 32768}};
  for (const auto& shape : shapes) {
    check_case<float>(shape[0], shape[1], 1.0);
    check_case<double>(shape[0], shape[1], 1.0);
    if (shape[1] > 0) check_case<float>(shape[0], shape[1], double(shape[1]));
  }
}

TFL_CHECK(nan_and_infinity_of_rows) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> x(4 * 70, 1.0f);
  x[3] = infinity;
  x[70 + 69] = NAN;
  x[140] = infinity;
  x[141] = -infinity;
  for (float* one = &x[210]; one != &x[210] + 70; ++one) *one = -0.0f;
  for_every_way([&](Outputs& outputs) {
    Guarded<float> out(4);
    run<float>({x.data(), out.data(), 4, 70, 1.0});
    EXPECT(out[0] == infinity && std::isnan(out[1]) && std::isnan(out[2]), "they come through");
    EXPECT(out[3] == 0.0f && !std::signbit(out[3]), "the sum of negative zeros");
    static_cast<void>(outputs);
  });
}

}  // namespace
}  // namespace check
