#include "gated_activation.hpp"

#include "activations.cuh"
#include "checks.hpp"

namespace check {
namespace {

#define TFL_NAME(type, name) #name,
const char* const names[] = {TFL_FOR_EACH_ACTIVATION(TFL_NAME)};
#undef TFL_NAME
constexpr int count_of_activations = sizeof names / sizeof *names;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// An activation of x and its derivative, in the order of TFL_FOR_EACH_ACTIVATION.
struct Pair {
  double value, derivative;
};
Pair reference(int activation, double x) {
  const double density = std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
  const double share = 0.5 * std::erfc(-x * std::sqrt(0.5));
  const double s = logistic(x), t = std::tanh(x);
  const double bend = logistic(std::sqrt(8 / M_PI) * (x + 0.044715 * x * x * x));
  const double bend_slope = std::sqrt(8 / M_PI) * (1 + 3 * 0.044715 * x * x);
  const Pair pairs[] = {
      {x, 1},
      {x > 0 ? x : 0, x > 0 ? 1.0 : 0.0},
      {x > 0 ? x : 0.01 * x, x > 0 ? 1.0 : 0.01},
      {s, s * (1 - s)},
      {t, 1 - t * t},
      {x * s, s * (1 + x * (1 - s))},
      {x * share, share + x * density},
      {x * bend, bend + x * bend * (1 - bend) * bend_slope},
  };
  static_assert(sizeof pairs / sizeof *pairs == count_of_activations, "a pair for each");
  return pairs[activation];
}

template <typename T>
const tfl::GatedOf<T>& kernels() {
  if constexpr (sizeof(T) == 4) {
    return tfl::gated_activation_kernels().of_float;
  } else {
    return tfl::gated_activation_kernels().of_double;
  }
}

template <typename T>
void check_case(int activation, std::size_t count) {
  const Note note(names[activation], " ", count, " elements");
  const Guarded<T> g = normals<T>(count, 1), x = normals<T>(count, 2, 3.0),
                   y = normals<T>(count, 3);
  std::vector<double> out(count), dx(count), dy(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Pair pair = reference(activation, double(x[i]));
    out[i] = pair.value * double(y[i]);
    dx[i] = double(g[i]) * double(y[i]) * pair.derivative;
    dy[i] = double(g[i]) * pair.value;
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> made(count), of_x(count), of_y(count);
    kernels<T>().forward(activation, x.data(), y.data(), made.data(), count);
    near(made, out, unit<T>(20), unit<T>(20));
    kernels<T>().backward(activation, g.data(), x.data(), y.data(), of_x.data(), of_y.data(),
                          count);
    near(of_x, dx, unit<T>(40), unit<T>(40), "dx");
    near(of_y, dy, unit<T>(20), unit<T>(20), "dy");
    Guarded<T> same_x(x), same_g(g), same_y(y);
    kernels<T>().forward(activation, same_x.data(), y.data(), same_x.data(), count);
    near(same_x, out, unit<T>(20), unit<T>(20), "x in place");
    kernels<T>().backward(activation, same_g.data(), x.data(), same_y.data(), same_g.data(),
                          same_y.data(), count);
    near(same_g, dx, unit<T>(40), unit<T>(40), "dx in place of g");
    near(same_y, dy, unit<T>(20), unit<T>(20), "dy in place of y");
    for (const Guarded<T>* one : {&made, &of_x, &of_y, &same_x, &same_g, &same_y})
      outputs.add(*one);
  }, Same::in_one_set);
}

TFL_CHECK(gates_of_every_activation) {
  for (int activation = 0; activation < count_of_activations; ++activation) {
    for (const std::size_t count : {0, 1, 19, 300}) {
      check_case<float>(activation, count);
      check_case<double>(activation, count);
    }
  }
}

TFL_CHECK(gates_that_are_split) {
  check_case<float>(5, 50021);
  check_case<double>(6, 50021);
}

}  // namespace
}  // namespace check
