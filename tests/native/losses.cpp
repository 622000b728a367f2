#include "losses.hpp"

#include <algorithm>

#include "checks.hpp"

namespace check {
namespace {

using tfl::Losses;
using tfl::Targets;

constexpr std::int64_t ignored = -100;

template <typename T>
const auto& cross_entropy(const Losses& table) {
  if constexpr (sizeof(T) == 4) return table.cross_entropy_float;
  else return table.cross_entropy_double;
}
template <typename T>
const auto& gradient(const Losses& table) {
  if constexpr (sizeof(T) == 4) return table.gradient_float;
  else return table.gradient_double;
}

struct Expected {
  std::vector<double> loss, softmax, dx;
};

template <typename T>
Expected expected_of(const Guarded<T>& x, const Targets<T>& a, const Guarded<T>& g) {
  const std::size_t classes = a.classes;
  Expected out{std::vector<double>(a.rows), std::vector<double>(x.size()),
               std::vector<double>(x.size())};
  double weights = 0;
  for (std::size_t j = 0; j < classes; ++j) weights += a.weight ? double(a.weight[j]) : 1.0;
  for (std::size_t row = 0; row < a.rows; ++row) {
    const T* z = x.data() + row * classes;
    double shift = -INFINITY, sum = 0, spread = 0;
    for (std::size_t j = 0; j < classes; ++j) shift = std::max(shift, double(z[j]));
    for (std::size_t j = 0; j < classes; ++j) sum += std::exp(double(z[j]) - shift);
    const double norm = shift + std::log(sum), smooth = double(a.smoothing) / double(classes);
    for (std::size_t j = 0; j < classes; ++j) {
      out.softmax[row * classes + j] = std::exp(double(z[j]) - norm);
      spread += (a.weight ? double(a.weight[j]) : 1.0) * (norm - double(z[j]));
    }
    if (a.target[row] == ignored) continue;
    const auto t = static_cast<std::size_t>(a.target[row]);
    const double hit = (a.weight ? double(a.weight[t]) : 1.0) * (1 - double(a.smoothing));
    out.loss[row] = hit * (norm - double(z[t])) + smooth * spread;
    for (std::size_t j = 0; j < classes; ++j) {
      const double p = out.softmax[row * classes + j];
      const double own = a.weight ? double(a.weight[j]) : 1.0;
      out.dx[row * classes + j] =
          double(g[row]) * (p * (hit + smooth * weights) - smooth * own - (j == t ? hit : 0.0));
    }
  }
  return out;
}

template <typename T>
void check_case(std::size_t rows, std::size_t classes, bool weighted, double smoothing) {
  const Note note(rows, "x", classes, weighted ? " weighted" : "", ", smoothing ", smoothing);
  const Guarded<T> x = normals<T>(rows * classes, 1, 3.0), g = normals<T>(rows, 2);
  Guarded<T> weight = normals<T>(classes, 3);
  for (std::size_t j = 0; j < classes; ++j) weight[j] = std::fabs(weight[j]);
  Guarded<std::int64_t> target =
      integers<std::int64_t>(rows, static_cast<std::uint32_t>(classes), 4);
  for (std::size_t row = 2; row < rows; row += 5) target[row] = ignored;
  const Targets<T> a{rows, classes, target.data(), weighted ? weight.data() : nullptr, ignored,
                     static_cast<T>(smoothing)};
  const Expected expected = expected_of(x, a, g);
  for_every_way([&](Outputs& outputs) {
    const Losses& table = tfl::losses_kernels();
    Guarded<T> loss(rows), softmax(x.size()), dx(x.size());
    cross_entropy<T>(table)(x.data(), a, loss.data(), softmax.data());
    gradient<T>(table)(g.data(), softmax.data(), a, dx.data());
    near(loss, expected.loss, unit<T>(8), unit<T>(40), "loss");
    near(softmax, expected.softmax, unit<T>(40), 0, "softmax");
    near(dx, expected.dx, unit<T>(40), unit<T>(20), "dx");
    outputs.add(loss);
    outputs.add(softmax);
    outputs.add(dx);
  }, Same::in_one_set);
}

TFL_CHECK(shapes) {
  const std::size_t shapes[][2] = {{0, 3}, {1, 1}, {7, 2}, {6, 17}, {300, 41}, {5, 1023}, {9, 2100}};
  for (const auto& shape : shapes) {
    for (const bool weighted : {false, true}) {
      for (const double smoothing : {0.0, 0.125}) {
        check_case<float>(shape[0], shape[1], weighted, smoothing);
        check_case<double>(shape[0], shape[1], weighted, smoothing);
      }
    }
  }
}

TFL_CHECK(nan_and_infinity) {
  const Guarded<float> x(std::vector<float>{1, NAN, 2, INFINITY, 0, 0, -INFINITY, 0, 0});
  const Guarded<std::int64_t> target(std::vector<std::int64_t>{0, 1, 1});
  const Targets<float> a{3, 3, target.data(), nullptr, ignored, 0.0f};
  for_every_set([&] {
    Guarded<float> loss(3), softmax(9);
    tfl::losses_kernels().cross_entropy_float(x.data(), a, loss.data(), softmax.data());
    EXPECT(std::isnan(loss[0]) && std::isnan(loss[1]), "rows with NaN and infinity");
    EXPECT(softmax[6] == 0 && std::fabs(loss[2] - std::log(2.0f)) < 1e-6f, "minus infinity");
  });
}

}  // namespace
}  // namespace check
