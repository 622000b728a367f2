#include "matrix_transpose.hpp"

#include "checks.hpp"

namespace check {
namespace {

template <typename T>
void check_case(std::int64_t rows, std::int64_t columns, std::int64_t step) {
  const Note note(rows, " rows, ", columns, " columns, ", step, " apart");
  // The last row ends with its columns: what lies behind it isn't read.
  const std::size_t size = static_cast<std::size_t>((rows - 1) * step + columns);
  const Guarded<T> from = normals<T>(size, 1);
  std::vector<double> expected(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      expected[static_cast<std::size_t>(j * rows + i)] =
          double(from[static_cast<std::size_t>(i * step + j)]);
    }
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> to(static_cast<std::size_t>(rows * columns));
    const tfl::MatrixCopy<T> copy{rows, columns, step, from.data(), to.data()};
    if constexpr (sizeof(T) == 4) {
      tfl::transpose_kernels().transpose_float(copy);
    } else {
      tfl::transpose_kernels().transpose_double(copy);
    }
    near(to, expected, 0.0, 0.0);
    outputs.add(to);
  });
}

TFL_CHECK(transposed_shapes) {
  const std::int64_t shapes[][3] = {{1, 1, 1},    {3, 5, 5},     {16, 16, 16},  {17, 33, 40},
                                    {15, 64, 64}, {65, 130, 131}, {256, 784, 784}};
  for (const auto& shape : shapes) {
    check_case<float>(shape[0], shape[1], shape[2]);
    check_case<double>(shape[0], shape[1], shape[2]);
  }
}

}  // namespace
}  // namespace check
