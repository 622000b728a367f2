#include "arguments.hpp"
#include "families.hpp"
#include "row_sums.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

void check_places(const Checker& check, const py::array& place, std::int64_t places) {
  if (!py::isinstance<py::array_t<std::int64_t>>(place))
    refuse(check.op, "place must be int64", py::str(place.dtype()).cast<std::string>());
  if (place.ndim() != 1 || place.shape(0) != check.first.shape(0)) {
    refuse(check.op, "place must have shape (" + std::to_string(check.first.shape(0)) + ",)",
           shape_text(place));
  }
  check.contiguous("place", place);
  const auto* values = static_cast<const std::int64_t*>(place.data());
  for (py::ssize_t i = 0; i < place.shape(0); ++i) {
    if (values[i] < -places || values[i] >= places) {
      throw py::index_error(std::string(check.op) + ": place must lie in [" +
                            std::to_string(-places) + ", " + std::to_string(places) + "), got " +
                            std::to_string(values[i]));
    }
  }
}

void scatter_rows(const py::array& rows, const py::array& place, py::array out) {
  const Checker check("scatter_rows", "rows", rows, 2);
  check.dtype("out", out);
  if (out.ndim() != 2 || out.shape(1) != rows.shape(1)) {
    refuse(check.op, "out must have shape (places, " + std::to_string(rows.shape(1)) + ")",
           shape_text(out));
  }
  check.contiguous("out", out);
  const std::int64_t places = out.shape(0);
  check_places(check, place, places);
  check.written("out", out, {}, {&rows, &place});
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const RowSums<T> arguments{static_cast<const T*>(rows.data()),
                               static_cast<const std::int64_t*>(place.data()),
                               static_cast<T*>(out.mutable_data()),
                               extent(rows, 0),
                               static_cast<std::size_t>(places),
                               extent(rows, 1)};
    const py::gil_scoped_release release;
    kernel(arguments);
  };
  if (check.is_double) {
    run(0.0, row_sum_kernels().scatter_double);
  } else {
    run(0.0f, row_sum_kernels().scatter_float);
  }
}

}  // namespace

void add_row_sums(py::module_& module) {
  module.def("scatter_rows", &scatter_rows, "rows"_a.noconvert(), "place"_a.noconvert(),
             "out"_a.noconvert(),
             "out (places, columns) = at each place the sum of the rows that go there. Negative "
             "places count from the end; IndexError for others outside.");
}

}  // namespace tfl
