#include "softmax.hpp"

#include <algorithm>

#include "checks.hpp"

namespace check {
namespace {

template <typename T>
void check_case(std::size_t rows, std::size_t columns) {
  const Note note(rows, "x", columns);
  const Guarded<T> x = normals<T>(rows * columns, 1, 5.0);
  const Guarded<T> g = normals<T>(rows * columns, 2, 1.0);
  std::vector<double> softmax(x.size()), logs(x.size()), dx(x.size()), dx_of_logs(x.size());
  for (std::size_t row = 0; row < rows; ++row) {
    const T* z = x.data() + row * columns;
    double shift = -INFINITY, sum = 0;
    for (std::size_t j = 0; j < columns; ++j) shift = std::max(shift, double(z[j]));
    for (std::size_t j = 0; j < columns; ++j) sum += std::exp(double(z[j]) - shift);
    for (std::size_t j = 0; j < columns; ++j) {
      logs[row * columns + j] = double(z[j]) - shift - std::log(sum);
      softmax[row * columns + j] = std::exp(logs[row * columns + j]);
    }
    double total = 0, products = 0;
    for (std::size_t j = row * columns; j < (row + 1) * columns; ++j) {
      total += double(g[j]);
      products += double(g[j]) * softmax[j];
    }
    for (std::size_t j = row * columns; j < (row + 1) * columns; ++j) {
      dx[j] = softmax[j] * (double(g[j]) - products);
      dx_of_logs[j] = double(g[j]) - softmax[j] * total;
    }
  }
  for_every_way([&](Outputs& outputs) {
    const tfl::Softmaxes& table = tfl::softmax_kernels();
    Guarded<T> out(x.size()), log_out(x.size()), to(x.size()), to_of_logs(x.size());
    if constexpr (sizeof(T) == 4) {
      table.softmax_float(x.data(), out.data(), rows, columns);
      table.log_softmax_float(x.data(), log_out.data(), rows, columns);
      table.gradient_float(g.data(), out.data(), to.data(), rows, columns, false);
      table.gradient_float(g.data(), log_out.data(), to_of_logs.data(), rows, columns, true);
    } else {
      table.softmax_double(x.data(), out.data(), rows, columns);
      table.log_softmax_double(x.data(), log_out.data(), rows, columns);
      table.gradient_double(g.data(), out.data(), to.data(), rows, columns, false);
      table.gradient_double(g.data(), log_out.data(), to_of_logs.data(), rows, columns, true);
    }
    near(out, softmax, unit<T>(60), unit<T>(), "softmax");
    near(log_out, logs, unit<T>(4), unit<T>(16), "log_softmax");
    near(to, dx, unit<T>(120), unit<T>(16), "softmax's gradient");
    near(to_of_logs, dx_of_logs, unit<T>(120), unit<T>(300), "log_softmax's gradient");
    outputs.add(to);
    outputs.add(to_of_logs);
    outputs.add(out);
    outputs.add(log_out);
  }, Same::in_one_set);
}

TFL_CHECK(softmax_shapes) {
  const std::size_t shapes[][2] = {{0, 3}, {1, 1}, {7, 2}, {6, 17}, {300, 41}, {5, 1023}, {9, 2100}};
  for (const auto& shape : shapes) {
    check_case<float>(shape[0], shape[1]);
    check_case<double>(shape[0], shape[1]);
  }
}

}  // namespace
}  // namespace check
