#include "bias_activation.hpp"

#include <algorithm>

#include "activations.cuh"
#include "checks.hpp"

namespace check {
namespace {

using tfl::Backward;
using tfl::BiasActivation;
using tfl::Channels;
using tfl::Forward;
using tfl::Rows;

constexpr double slope = 0.25;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
double gelu_argument(double x) { return std::sqrt(8 / M_PI) * (x + 0.044715 * x * x * x); }

// In the order of TFL_FOR_EACH_ACTIVATION; derivatives from what the kernels save.
struct Activation {
  double (*value)(double x);
  double (*derivative)(double saved);
};
const Activation activations[] = {
    {[](double x) { return x; }, [](double) { return 1.0; }},
    {[](double x) { return std::fmax(x, 0.0); }, [](double s) { return s > 0 ? 1.0 : 0.0; }},
    {[](double x) { return x > 0 ? x : slope * x; }, [](double s) { return s > 0 ? 1.0 : slope; }},
    {logistic, [](double s) { return s * (1 - s); }},
    {[](double x) { return std::tanh(x); }, [](double s) { return 1 - s * s; }},
    {[](double x) { return x * logistic(x); },
     [](double x) { return logistic(x) * (1 + x * logistic(-x)); }},
    {[](double x) { return x * normal_cdf(x); },
     [](double x) { return normal_cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }},
    {[](double x) { return x * logistic(gelu_argument(x)); },
     [](double x) {
       const double s = logistic(gelu_argument(x));
       return s + x * s * (1 - s) * std::sqrt(8 / M_PI) * (1 + 3 * 0.044715 * x * x);
     }},
};
#define TFL_NAME(type, name) #name,
const char* const names[] = {TFL_FOR_EACH_ACTIVATION(TFL_NAME)};
#undef TFL_NAME
#define TFL_FROM_OUTPUT(type, name) tfl::type::from_output,
const bool from_output[] = {TFL_FOR_EACH_ACTIVATION(TFL_FROM_OUTPUT)};
#undef TFL_FROM_OUTPUT
constexpr int count = sizeof names / sizeof *names;
static_assert(count == sizeof activations / sizeof *activations, "a reference for each activation");

// Rows are channels whose inner size is 1.
struct Case {
  Channels shape;
  bool rows;
  std::size_t size() const { return shape.outer * shape.channels * shape.inner; }
  std::size_t channel(std::size_t i) const { return i / shape.inner % shape.channels; }
};

std::vector<Case> cases(bool large) {
  if (large) return {{{67, 1030, 1}, true}, {{3, 7, 1100}, false}};
  // About 512, to which short rows are joined, and 1024, the tile.
  std::vector<Case> all;
  for (const Rows shape : {Rows{0, 5}, {5, 0}, {1, 1}, {7, 3}, {200, 10}, {3, 257}, {2, 2500}})
    all.push_back({{shape.rows, shape.columns, 1}, true});
  for (const Channels shape : {Channels{0, 3, 4}, {2, 0, 3}, {2, 3, 0}, {1, 1, 1}, {2, 5, 17}})
    all.push_back({shape, false});
  return all;
}

template <typename T>
void forward(int activation, const Forward<T>& arguments, const Case& of) {
  const BiasActivation& table = tfl::bias_activation_kernels();
  const Rows rows{of.shape.outer, of.shape.channels};
  if constexpr (sizeof(T) == 4) {
    if (of.rows) return table.forward_rows_float(activation, arguments, rows);
    return table.forward_channels_float(activation, arguments, of.shape);
  } else {
    if (of.rows) return table.forward_rows_double(activation, arguments, rows);
    return table.forward_channels_double(activation, arguments, of.shape);
  }
}

template <typename T>
void backward(int activation, const Backward<T>& arguments, const Case& of) {
  const BiasActivation& table = tfl::bias_activation_kernels();
  const Rows rows{of.shape.outer, of.shape.channels};
  if constexpr (sizeof(T) == 4) {
    if (of.rows) return table.backward_rows_float(activation, arguments, rows);
    return table.backward_channels_float(activation, arguments, of.shape);
  } else {
    if (of.rows) return table.backward_rows_double(activation, arguments, rows);
    return table.backward_channels_double(activation, arguments, of.shape);
  }
}

template <typename T>
void check_forward(int activation, const Case& of, bool with_bias) {
  const T slope_of_type = static_cast<T>(slope);
  const Guarded<T> z = normals<T>(of.size(), 1, 3.0), bias = normals<T>(of.shape.channels, 2);
  const T* b = with_bias ? bias.data() : nullptr;
  std::vector<double> before(of.size()), expected(of.size());
  for (std::size_t i = 0; i < of.size(); ++i) {
    before[i] = with_bias ? static_cast<T>(z[i] + bias[of.channel(i)]) : z[i];
    expected[i] = activations[activation].value(before[i]);
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> out(of.size());
    forward<T>(activation, {z.data(), b, out.data(), nullptr, slope_of_type}, of);
    near(out, expected, unit<T>(20), unit<T>(20));
    Guarded<T> in_place = z, residual(of.size());
    forward<T>(activation, {in_place.data(), b, in_place.data(), residual.data(), slope_of_type},
               of);
    near(in_place, expected, unit<T>(20), unit<T>(20), "z in place");
    near(residual, before, 0, 0, "residual");
    Guarded<T> kept = z, third(of.size());
    forward<T>(activation, {kept.data(), b, third.data(), kept.data(), slope_of_type}, of);
    near(kept, before, 0, 0, "residual in place");
    outputs.add(out);
    outputs.add(in_place);
    outputs.add(third);
  }, Same::in_one_set);
}

template <typename T>
void check_sums(const Guarded<T>& dz, const Guarded<T>& db, const Case& of) {
  std::vector<double> sums(of.shape.channels), scales(of.shape.channels);
  for (std::size_t i = 0; i < of.size(); ++i) {
    sums[of.channel(i)] += static_cast<double>(dz[i]);
    scales[of.channel(i)] += std::fabs(static_cast<double>(dz[i]));
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    // Sums are made in double and rounded once; the reference's own error is the greater part.
    const double bound = unit<T>(0.51) * std::fabs(sums[i]) + unit<double>(50) * scales[i];
    EXPECT(std::fabs(static_cast<double>(db[i]) - sums[i]) <= bound, "db[", i, "] is ", db[i],
           ", expected ", sums[i]);
  }
}

// Rows of a gradient that are made as they are needed: copied.
template <typename T>
struct Source {
  const T* from;
  T* to;
  std::size_t inner;

  static void write(const void* context, std::size_t row, std::size_t count) {
    const auto& source = *static_cast<const Source*>(context);
    const std::size_t first = row * source.inner, last = first + count * source.inner;
    std::copy(source.from + first, source.from + last, source.to + first);
  }
};

template <typename T>
void check_filled(int activation, const Case& of, const Guarded<T>& g, const Guarded<T>& saved,
                  const Guarded<T>& dz, const Guarded<T>& db) {
  if (of.rows) return;
  Guarded<T> made(of.size()), sums(of.shape.channels);
  const Source<T> source{g.data(), made.data(), of.shape.inner};
  tfl::Fill fill;
  fill.call = Source<T>::write;
  fill.context = &source;
  backward<T>(activation, {made.data(), saved.data(), made.data(), sums.data(),
                           static_cast<T>(slope), fill}, of);
  for (std::size_t i = 0; i < of.size(); ++i) EXPECT(made[i] == dz[i], "filled dz[", i, "]");
  for (std::size_t i = 0; i < of.shape.channels; ++i) EXPECT(sums[i] == db[i], "filled db[", i, "]");
}

template <typename T>
void check_backward(int activation, const Case& of) {
  const T slope_of_type = static_cast<T>(slope);
  const Guarded<T> g = normals<T>(of.size(), 3);
  Guarded<T> saved = normals<T>(of.size(), 4, 3.0);
  std::vector<double> expected(of.size());
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (from_output[activation])
      saved[i] = static_cast<T>(activations[activation].value(static_cast<double>(saved[i])));
    expected[i] = static_cast<double>(g[i]) *
                  activations[activation].derivative(static_cast<double>(saved[i]));
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> dz(of.size()), db(of.shape.channels);
    backward<T>(activation, {g.data(), saved.data(), dz.data(), db.data(), slope_of_type}, of);
    near(dz, expected, unit<T>(40), unit<T>(40), "dz");
    check_sums(dz, db, of);
    check_filled(activation, of, g, saved, dz, db);
    Guarded<T> in_g = g, in_saved = saved, again(of.shape.channels);
    backward<T>(activation, {in_g.data(), saved.data(), in_g.data(), nullptr, slope_of_type}, of);
    backward<T>(activation, {g.data(), in_saved.data(), in_saved.data(), again.data(),
                             slope_of_type}, of);
    near(in_g, expected, unit<T>(40), unit<T>(40), "g in place");
    near(in_saved, expected, unit<T>(40), unit<T>(40), "saved in place");
    outputs.add(dz);
    outputs.add(db);
    outputs.add(again);
  }, Same::in_one_set);
}

void check_all(bool large) {
  for (int activation = 0; activation < count; ++activation) {
    // Large ones are for the split over threads, which activations have in common.
    if (large && activation != 1 && activation != 6) continue;
    for (const Case& of : cases(large)) {
      const Note note(names[activation], " ", of.rows ? "rows " : "channels ", of.shape.outer, "x",
                      of.shape.channels, "x", of.shape.inner);
      for (const bool with_bias : {true, false}) {
        check_forward<float>(activation, of, with_bias);
        check_forward<double>(activation, of, with_bias);
      }
      check_backward<float>(activation, of);
      check_backward<double>(activation, of);
    }
  }
}

TFL_CHECK(small_shapes) { check_all(false); }
TFL_CHECK(shapes_that_are_split) { check_all(true); }

TFL_CHECK(nan_and_infinity) {
  const double infinity = INFINITY, nan = NAN;
  const Guarded<float> z(std::vector<float>{NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-42f});
  const Guarded<float> bias(std::size_t{6}, 0.0f);
  const std::vector<double> expected[] = {
      {nan, infinity, -infinity, 0, 0, 1e-42}, {nan, infinity, 0, 0, 0, 1e-42},
      {nan, infinity, -infinity, 0, 0, 1e-42}, {nan, 1, 0, 0.5, 0.5, 0.5},
      {nan, 1, -1, 0, 0, 1e-42},
  };
  for_every_set([&] {
    for (int activation = 0; activation < 5; ++activation) {
      const Note note(names[activation]);
      Guarded<float> out(6);
      forward<float>(activation, {z.data(), bias.data(), out.data(), nullptr, 0.25f},
                     {{1, 6, 1}, true});
      near(out, expected[activation], 1e-6, 1e-44);
    }
    for (int activation = 5; activation < count; ++activation) {
      const Note note(names[activation]);
      Guarded<float> out(6);
      forward<float>(activation, {z.data(), nullptr, out.data(), nullptr, 0.25f},
                     {{1, 6, 1}, true});
      EXPECT(std::isnan(out[0]) && out[1] == INFINITY, "of NaN and infinity");
      EXPECT(out[3] == 0 && out[4] == 0, "of zeros");
    }
  });
}

}  // namespace
}  // namespace check
