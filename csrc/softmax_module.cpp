#include "arguments.hpp"
#include "families.hpp"
#include "softmax.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

template <typename Float, typename Double>
py::array over_last_axis(const char* op, const py::array& x, Float kernel_float,
                         Double kernel_double) {
  const Checker check(op, "x", x, x.ndim());
  if (x.size() == 0 || x.ndim() == 0) refuse(op, "x must have elements and axes", shape_text(x));
  py::array out = empty_like(x);
  const std::size_t columns = extent(x, static_cast<int>(x.ndim()) - 1);
  const std::size_t rows = static_cast<std::size_t>(x.size()) / columns;
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const T* from = static_cast<const T*>(x.data());
    T* to = static_cast<T*>(out.mutable_data());
    const py::gil_scoped_release release;
    kernel(from, to, rows, columns);
  };
  if (check.is_double) {
    run(0.0, kernel_double);
  } else {
    run(0.0f, kernel_float);
  }
  return out;
}

py::array gradient(const py::array& g, const py::array& out, bool logs) {
  const Checker check("softmax_gradient", "g", g, g.ndim());
  if (g.size() == 0 || g.ndim() == 0) {
    refuse(check.op, "g must have elements and axes", shape_text(g));
  }
  check.like_first("out", out);
  py::array dx = empty_like(g);
  const std::size_t columns = extent(g, static_cast<int>(g.ndim()) - 1);
  const std::size_t rows = static_cast<std::size_t>(g.size()) / columns;
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const T* from = static_cast<const T*>(g.data());
    const T* saved = static_cast<const T*>(out.data());
    T* to = static_cast<T*>(dx.mutable_data());
    const py::gil_scoped_release release;
    kernel(from, saved, to, rows, columns, logs);
  };
  if (check.is_double) {
    run(0.0, softmax_kernels().gradient_double);
  } else {
    run(0.0f, softmax_kernels().gradient_float);
  }
  return dx;
}

}  // namespace

void add_softmax(py::module_& module) {
  module.def(
      "softmax",
      [](const py::array& x) {
        const Softmaxes& table = softmax_kernels();
        return over_last_axis("softmax", x, table.softmax_float, table.softmax_double);
      },
      "x"_a.noconvert(), "softmax over the last axis.");
  module.def(
      "log_softmax",
      [](const py::array& x) {
        const Softmaxes& table = softmax_kernels();
        return over_last_axis("log_softmax", x, table.log_softmax_float, table.log_softmax_double);
      },
      "x"_a.noconvert(), "log_softmax over the last axis.");
  module.def("softmax_gradient", &gradient, "g"_a.noconvert(), "out"_a.noconvert(), "logs"_a,
             "The gradient g of softmax's result, or with logs of log_softmax's, taken to the "
             "input, over the last axis.");
}

}  // namespace tfl
