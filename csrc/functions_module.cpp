#include "arguments.hpp"
#include "families.hpp"
#include "functions.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

template <typename T>
const FunctionsOf<T>& kernels_of() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return function_kernels().of_float;
  } else {
    return function_kernels().of_double;
  }
}

// Calls run(x, out, count, kernels) for the dtype of x, without the interpreter.
template <typename Run>
py::array of_every_element(const char* op, const py::array& x, const Run& run) {
  const Checker check(op, "x", x, x.ndim());
  py::array out = empty_like(x);
  const auto with = [&](auto zero) {
    using T = decltype(zero);
    const T* from = static_cast<const T*>(x.data());
    T* to = static_cast<T*>(out.mutable_data());
    const std::size_t count = static_cast<std::size_t>(x.size());
    const py::gil_scoped_release release;
    run(from, to, count, kernels_of<T>());
  };
  if (check.is_double) {
    with(0.0);
  } else {
    with(0.0f);
  }
  return out;
}

py::array error_function(const py::array& x) {
  return of_every_element("erf", x, [](auto from, auto to, std::size_t count, const auto& kernels) {
    kernels.error_function(from, to, count);
  });
}

py::array error_complement(const py::array& x) {
  return of_every_element("erfc", x, [](auto from, auto to, std::size_t count, const auto& kernels) {
    kernels.error_complement(from, to, count);
  });
}

py::array softplus(const py::array& x, double beta, double threshold) {
  return of_every_element(
      "softplus", x, [=](auto from, auto to, std::size_t count, const auto& kernels) {
        using T = std::remove_pointer_t<decltype(to)>;
        kernels.softplus(from, to, count, static_cast<T>(beta), static_cast<T>(threshold));
      });
}

}  // namespace

void add_functions(py::module_& module) {
  module.def("erf", &error_function, "x"_a.noconvert(), "erf(x) for arrays of any shape.");
  module.def("erfc", &error_complement, "x"_a.noconvert(), "1 - erf(x) for arrays of any shape.");
  module.def("softplus", &softplus, "x"_a.noconvert(), "beta"_a, "threshold"_a,
             "log(1 + exp(beta x)) / beta for arrays of any shape; x where beta x > threshold.");
}

}  // namespace tfl
