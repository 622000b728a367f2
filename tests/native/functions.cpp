#include "functions.hpp"

#include "checks.hpp"

namespace check {
namespace {

template <typename T>
const tfl::FunctionsOf<T>& kernels() {
  if constexpr (sizeof(T) == 4) {
    return tfl::function_kernels().of_float;
  } else {
    return tfl::function_kernels().of_double;
  }
}

template <typename T>
void check_case(std::size_t count) {
  const Note note(count, " elements");
  const Guarded<T> x = normals<T>(count, 1, 3.0);
  std::vector<double> erf(count), erfc(count), softplus(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double one = double(x[i]);
    erf[i] = std::erf(one);
    erfc[i] = std::erfc(one);
    softplus[i] = one > 2.0 ? one : std::log1p(std::exp(2.0 * one)) / 2.0;
  }
  for_every_way([&](Outputs& outputs) {
    Guarded<T> out(count);
    kernels<T>().error_function(x.data(), out.data(), count);
    near(out, erf, unit<T>(4), 0.0, "erf");
    outputs.add(out);
    kernels<T>().error_complement(x.data(), out.data(), count);
    near(out, erfc, unit<T>(5), 2.0 * double(std::numeric_limits<T>::denorm_min()), "erfc");
    outputs.add(out);
    kernels<T>().softplus(x.data(), out.data(), count, T(2), T(4));
    near(out, softplus, unit<T>(4), 0.0, "softplus");
    outputs.add(out);
    Guarded<T> same(x);
    kernels<T>().softplus(same.data(), same.data(), count, T(2), T(4));
    near(same, softplus, unit<T>(4), 0.0, "softplus in place");
  }, Same::in_one_set);
}

TFL_CHECK(functions_of_every_element) {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{19},
                                  std::size_t{3000}, std::size_t{30011}}) {
    check_case<float>(count);
    check_case<double>(count);
  }
}

}  // namespace
}  // namespace check
