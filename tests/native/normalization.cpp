#include "normalization.hpp"

#include "checks.hpp"

namespace check {
namespace {

using tfl::Normalization;
using tfl::NormalizationGradient;
using tfl::NormalizedChannels;
using tfl::NormalizedRows;

// An array as groups that are normalised: element i of group n, and the parameter that it takes.
struct Layout {
  std::size_t groups, length, parameters;
  std::function<std::size_t(std::size_t, std::size_t)> at, parameter;
};

Layout layout_of(NormalizedRows shape) {
  const std::size_t columns = shape.columns;
  return {shape.rows, columns, columns,
          [=](std::size_t n, std::size_t i) { return n * columns + i; },
          [](std::size_t, std::size_t i) { return i; }};
}

Layout layout_of(NormalizedChannels shape) {
  return {shape.channels, shape.outer * shape.inner, shape.channels,
          [=](std::size_t n, std::size_t i) {
            return (i / shape.inner * shape.channels + n) * shape.inner + i % shape.inner;
          },
          [](std::size_t n, std::size_t) { return n; }};
}

struct Expected {
  std::vector<double> out, dx, dw, db, statistics;
};

template <typename T>
Expected expected_of(const Layout& layout, const Guarded<T>& x, const Guarded<T>& g,
                     const Guarded<T>& weight, const Guarded<T>& bias, double eps, bool centered) {
  const double count = double(layout.length);
  Expected e{std::vector<double>(x.size()), std::vector<double>(x.size()),
             std::vector<double>(layout.parameters), std::vector<double>(layout.parameters),
             std::vector<double>(2 * layout.groups)};
  for (std::size_t n = 0; n < layout.groups; ++n) {
    double mean = 0, variance = 0, with_normal = 0, plain = 0;
    const auto each = [&](const auto& visit) {
      for (std::size_t i = 0; i < layout.length; ++i) visit(layout.at(n, i), layout.parameter(n, i));
    };
    each([&](std::size_t at, std::size_t) { mean += centered ? double(x[at]) / count : 0; });
    each([&](std::size_t at, std::size_t) {
      variance += (double(x[at]) - mean) * (double(x[at]) - mean) / count;
    });
    const double rstd = 1 / std::sqrt(variance + eps);
    e.statistics[n] = mean;
    e.statistics[layout.groups + n] = rstd;
    each([&](std::size_t at, std::size_t p) {
      const double normal = (double(x[at]) - mean) * rstd, inner = double(g[at]) * double(weight[p]);
      e.out[at] = normal * double(weight[p]) + double(bias[p]);
      e.dw[p] += double(g[at]) * normal;
      e.db[p] += double(g[at]);
      with_normal += inner * normal / count;
      plain += centered ? inner / count : 0;
    });
    each([&](std::size_t at, std::size_t p) {
      const double normal = (double(x[at]) - mean) * rstd;
      e.dx[at] = (double(g[at]) * double(weight[p]) - plain - normal * with_normal) * rstd;
    });
  }
  return e;
}

template <typename T>
void run(const Normalization<T>& a, NormalizedRows shape) {
  if constexpr (sizeof(T) == 4) tfl::normalization_kernels().rows_float(a, shape);
  else tfl::normalization_kernels().rows_double(a, shape);
}
template <typename T>
void run(const Normalization<T>& a, NormalizedChannels shape) {
  if constexpr (sizeof(T) == 4) tfl::normalization_kernels().channels_float(a, shape);
  else tfl::normalization_kernels().channels_double(a, shape);
}
template <typename T>
void run(const NormalizationGradient<T>& a, NormalizedRows shape) {
  if constexpr (sizeof(T) == 4) tfl::normalization_kernels().rows_gradient_float(a, shape);
  else tfl::normalization_kernels().rows_gradient_double(a, shape);
}
template <typename T>
void run(const NormalizationGradient<T>& a, NormalizedChannels shape) {
  if constexpr (sizeof(T) == 4) tfl::normalization_kernels().channels_gradient_float(a, shape);
  else tfl::normalization_kernels().channels_gradient_double(a, shape);
}

template <typename T, typename Shape>
void check_case(Shape shape, bool centered) {
  constexpr double eps = 0.1;
  const Layout layout = layout_of(shape);
  const std::size_t size = layout.groups * layout.length;
  const Note note(layout.groups, " groups of ", layout.length, centered ? "" : ", not centered");
  const Guarded<T> x = normals<T>(size, 1, 3.0), g = normals<T>(size, 2);
  const Guarded<T> weight = normals<T>(layout.parameters, 3), bias = normals<T>(layout.parameters, 4);
  const Expected e = expected_of(layout, x, g, weight, bias, eps, centered);
  const double terms = std::sqrt(double(layout.groups + layout.length));
  const double own = sizeof(T) == 8 ? 16 : 1;  // the reference is rounded as coarsely
  for_every_way([&](Outputs& outputs) {
    Guarded<T> out(size), dx(size), dw(layout.parameters), db(layout.parameters);
    Guarded<T> statistics(2 * layout.groups), mean(layout.groups), variance(layout.groups);
    run(Normalization<T>{x.data(), weight.data(), bias.data(), out.data(), statistics.data(),
                         mean.data(), variance.data(), eps, centered},
        shape);
    run(NormalizationGradient<T>{g.data(), x.data(), statistics.data(), weight.data(), dx.data(),
                                 dw.data(), db.data(), centered},
        shape);
    near(out, e.out, unit<T>(8 * own), unit<T>(8 * own), "out");
    near(statistics, e.statistics, unit<T>(2 * own), unit<T>(2 * own), "statistics");
    near(dx, e.dx, unit<T>(20 * own), unit<T>(20 * own), "dx");
    near(dw, e.dw, unit<T>(8), unit<T>(8 * own) * terms, "dw");
    near(db, e.db, unit<T>(8), unit<T>(8 * own) * terms, "db");
    for (std::size_t n = 0; n < layout.groups; ++n) EXPECT(mean[n] == statistics[n], "mean");
    outputs.add(out);
    outputs.add(statistics);
    outputs.add(variance);
    outputs.add(dx);
    outputs.add(dw);
    outputs.add(db);
  }, Same::in_one_set);
}

TFL_CHECK(rows) {
  const NormalizedRows shapes[] = {{1, 1}, {7, 2}, {70, 17}, {150, 333}, {3, 2100}};
  for (const NormalizedRows shape : shapes) {
    for (const bool centered : {false, true}) {
      check_case<float>(shape, centered);
      check_case<double>(shape, centered);
    }
  }
}

TFL_CHECK(channels) {
  const NormalizedChannels shapes[] = {{2, 1, 1}, {40, 131, 1}, {5, 3, 2}, {9, 70, 49}, {2, 5, 1030}};
  for (const NormalizedChannels shape : shapes) {
    check_case<float>(shape, true);
    check_case<double>(shape, true);
  }
}

TFL_CHECK(without_parameters) {
  const Guarded<float> x(std::vector<float>{1, 3, 5, 5}), g(std::vector<float>{1, 0, 0, 1});
  for_every_set([&] {
    Guarded<float> out(4), statistics(4), dx(4);
    run(Normalization<float>{x.data(), nullptr, nullptr, out.data(), statistics.data(), nullptr,
                             nullptr, 1.0, true},
        NormalizedRows{2, 2});
    near(out, {-std::sqrt(0.5), std::sqrt(0.5), 0, 0}, 1e-6);
    run(NormalizationGradient<float>{g.data(), x.data(), statistics.data(), nullptr, dx.data(),
                                     nullptr, nullptr, true},
        NormalizedRows{2, 2});
    const double half = std::sqrt(0.5) / 4;
    near(dx, {half, -half, -0.5, 0.5}, 1e-6);
  });
}

}  // namespace
}  // namespace check
