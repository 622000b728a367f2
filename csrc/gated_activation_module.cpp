#include "arguments.hpp"
#include "bias_activation.hpp"
#include "families.hpp"
#include "gated_activation.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

template <typename T>
const GatedOf<T>& kernels_of() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return gated_activation_kernels().of_float;
  } else {
    return gated_activation_kernels().of_double;
  }
}

template <typename Run>
void for_dtype(const Checker& check, const Run& run) {
  if (check.is_double) {
    run(0.0);
  } else {
    run(0.0f);
  }
}

py::array forward(const py::array& x, const py::array& y, const std::string& activation) {
  const char* op = "gated_activation";
  const int index = activation_index(op, activation);
  const Checker check(op, "x", x, x.ndim());
  check.like_first("y", y);
  py::array out = empty_like(x);
  for_dtype(check, [&](auto zero) {
    using T = decltype(zero);
    const T* of_x = static_cast<const T*>(x.data());
    const T* of_y = static_cast<const T*>(y.data());
    T* to = static_cast<T*>(out.mutable_data());
    const std::size_t count = static_cast<std::size_t>(x.size());
    const py::gil_scoped_release release;
    kernels_of<T>().forward(index, of_x, of_y, to, count);
  });
  return out;
}

py::tuple backward(const py::array& g, const py::array& x, const py::array& y,
                   const std::string& activation, const OptionalArray& dx_or_none) {
  const char* op = "gated_activation_gradient";
  const int index = activation_index(op, activation);
  const Checker check(op, "g", g, g.ndim());
  check.like_first("x", x);
  check.like_first("y", y);
  if (dx_or_none) {
    check.like_first("dx", *dx_or_none);
    check.written("dx", *dx_or_none, {&g, &x, &y}, {});
  }
  py::array dx = dx_or_none ? *dx_or_none : empty_like(g);
  py::array dy = empty_like(g);
  for_dtype(check, [&](auto zero) {
    using T = decltype(zero);
    const T* of_g = static_cast<const T*>(g.data());
    const T* of_x = static_cast<const T*>(x.data());
    const T* of_y = static_cast<const T*>(y.data());
    T* of_dx = static_cast<T*>(dx.mutable_data());
    T* of_dy = static_cast<T*>(dy.mutable_data());
    const std::size_t count = static_cast<std::size_t>(g.size());
    const py::gil_scoped_release release;
    kernels_of<T>().backward(index, of_g, of_x, of_y, of_dx, of_dy, count);
  });
  return py::make_tuple(dx, dy);
}

}  // namespace

void add_gated_activation(py::module_& module) {
  module.def("gated_activation", &forward, "x"_a.noconvert(), "y"_a.noconvert(), "activation"_a,
             "act(x) y, for arrays of any shape.");
  module.def("gated_activation_gradient", &backward, "g"_a.noconvert(), "x"_a.noconvert(),
             "y"_a.noconvert(), "activation"_a, "dx"_a.noconvert() = py::none(),
             "(g y act'(x), g act(x)) for arrays of any shape. The first is written to dx where "
             "given, which may be an input itself.");
}

}  // namespace tfl
