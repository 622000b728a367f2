#include "arguments.hpp"
#include "families.hpp"
#include "sums.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

void row_totals(const py::array& x, py::array out, double divisor) {
  const Checker check("row_totals", "x", x, 2);
  check.vector("out", out, x.shape(0));
  check.written("out", out, {}, {&x});
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const RowTotals<T> arguments{static_cast<const T*>(x.data()),
                                 static_cast<T*>(out.mutable_data()), extent(x, 0), extent(x, 1),
                                 divisor};
    const py::gil_scoped_release release;
    kernel(arguments);
  };
  if (check.is_double) {
    run(0.0, sum_kernels().rows_double);
  } else {
    run(0.0f, sum_kernels().rows_float);
  }
}

}  // namespace

void add_sums(py::module_& module) {
  module.def("row_totals", &row_totals, "x"_a.noconvert(), "out"_a.noconvert(), "divisor"_a = 1.0,
             "out (rows,) = the sums of the elements of each row of x, divided by divisor.");
}

}  // namespace tfl
