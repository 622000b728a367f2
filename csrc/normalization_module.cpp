#include "arguments.hpp"
#include "families.hpp"
#include "normalization.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

py::array vector_like(const py::array& array, py::ssize_t length) {
  return py::array(array.dtype(), std::vector<py::ssize_t>{length});
}

// The weight and the bias, one number each per column or channel; no bias without a weight.
void check_parameters(const Checker& check, const OptionalArray& weight, const OptionalArray& bias,
                      py::ssize_t length) {
  if (weight) check.vector("weight", *weight, length);
  if (bias) check.vector("bias", *bias, length);
  if (bias && !weight) refuse(check.op, "weight must be given with bias", "None");
}

void check_elements(const Checker& check, const py::array& x) {
  if (x.size() == 0) refuse(check.op, "x must have elements", shape_text(x));
}

void check_statistics(const Checker& check, const py::array& statistics, py::ssize_t count) {
  check.dtype("statistics", statistics);
  if (statistics.ndim() != 2 || statistics.shape(0) != 2 || statistics.shape(1) != count) {
    refuse(check.op, "statistics must have shape (2, " + std::to_string(count) + ")",
           shape_text(statistics));
  }
  check.contiguous("statistics", statistics);
}

NormalizedRows rows_of(const py::array& x) { return {extent(x, 0), extent(x, 1)}; }
NormalizedChannels channels_of(const py::array& x) {
  return {extent(x, 0), extent(x, 1), extent(x, 2)};
}

py::tuple normalize_rows(const py::array& x, const OptionalArray& weight, const OptionalArray& bias,
                         double eps, bool centered) {
  const Checker check("normalize_rows", "x", x, 2);
  check_elements(check, x);
  check_parameters(check, weight, bias, x.shape(1));
  py::array out = empty_like(x);
  py::array statistics(x.dtype(), std::vector<py::ssize_t>{2, x.shape(0)});
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Normalization<T> arguments{static_cast<const T*>(x.data()), data<T>(weight),
                                     data<T>(bias), static_cast<T*>(out.mutable_data()),
                                     static_cast<T*>(statistics.mutable_data()), nullptr, nullptr,
                                     eps, centered};
    const NormalizedRows shape = rows_of(x);
    const py::gil_scoped_release release;
    kernel(arguments, shape);
  };
  if (check.is_double) {
    run(0.0, normalization_kernels().rows_double);
  } else {
    run(0.0f, normalization_kernels().rows_float);
  }
  return py::make_tuple(out, statistics);
}

py::tuple normalize_channels(const py::array& x, const OptionalArray& weight,
                             const OptionalArray& bias, double eps) {
  const Checker check("normalize_channels", "x", x, 3);
  check_elements(check, x);
  check_parameters(check, weight, bias, x.shape(1));
  py::array out = empty_like(x);
  py::array mean = vector_like(x, x.shape(1)), variance = vector_like(x, x.shape(1));
  py::array statistics(x.dtype(), std::vector<py::ssize_t>{2, x.shape(1)});
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Normalization<T> arguments{static_cast<const T*>(x.data()),
                                     data<T>(weight),
                                     data<T>(bias),
                                     static_cast<T*>(out.mutable_data()),
                                     static_cast<T*>(statistics.mutable_data()),
                                     static_cast<T*>(mean.mutable_data()),
                                     static_cast<T*>(variance.mutable_data()),
                                     eps,
                                     true};
    const NormalizedChannels shape = channels_of(x);
    const py::gil_scoped_release release;
    kernel(arguments, shape);
  };
  if (check.is_double) {
    run(0.0, normalization_kernels().channels_double);
  } else {
    run(0.0f, normalization_kernels().channels_float);
  }
  return py::make_tuple(out, mean, variance, statistics);
}

// `normal` and `parameter` are the axes with a number of statistics, and of the weight, each.
template <typename Shape, typename Float, typename Double>
py::tuple gradient(const char* op, const py::array& g, const py::array& x,
                   const py::array& statistics, const OptionalArray& weight, bool centered,
                   int parts, int dimensions, int normal, Shape (*shape_of)(const py::array&),
                   Float kernel_float, Double kernel_double) {
  const Checker check(op, "x", x, dimensions);
  check_elements(check, x);
  check.like_first("g", g);
  check_statistics(check, statistics, x.shape(normal));
  if (weight) check.vector("weight", *weight, x.shape(1));
  if (parts < 1 || parts > 3) refuse(op, "parts must be 1, 2 or 3", std::to_string(parts));
  py::array dx = empty_like(x);
  OptionalArray dw, db;
  if (parts > 1) dw = vector_like(x, x.shape(1));
  if (parts > 2) db = vector_like(x, x.shape(1));
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const NormalizationGradient<T> arguments{
        static_cast<const T*>(g.data()),          static_cast<const T*>(x.data()),
        static_cast<const T*>(statistics.data()), data<T>(weight),
        static_cast<T*>(dx.mutable_data()),       mutable_data<T>(dw),
        mutable_data<T>(db),                      centered};
    const Shape shape = shape_of(x);
    const py::gil_scoped_release release;
    kernel(arguments, shape);
  };
  if (check.is_double) {
    run(0.0, kernel_double);
  } else {
    run(0.0f, kernel_float);
  }
  return py::make_tuple(dx, dw, db);
}

py::tuple rows_gradient(const py::array& g, const py::array& x, const py::array& statistics,
                        const OptionalArray& weight, bool centered, int parts) {
  const Normalizations& table = normalization_kernels();
  return gradient("normalize_rows_gradient", g, x, statistics, weight, centered, parts, 2, 0,
                  rows_of, table.rows_gradient_float, table.rows_gradient_double);
}

py::tuple channels_gradient(const py::array& g, const py::array& x, const py::array& statistics,
                            const OptionalArray& weight, int parts) {
  const Normalizations& table = normalization_kernels();
  return gradient("normalize_channels_gradient", g, x, statistics, weight, true, parts, 3, 1,
                  channels_of, table.channels_gradient_float, table.channels_gradient_double);
}

}  // namespace

void add_normalization(py::module_& module) {
  module.def("normalize_rows", &normalize_rows, "x"_a.noconvert(), "weight"_a.noconvert(),
             "bias"_a.noconvert(), "eps"_a, "centered"_a,
             "Rows of (rows, columns), normalised, and their statistics: the means (0 where not "
             "centered), and one over the standard deviations.");
  module.def("normalize_channels", &normalize_channels, "x"_a.noconvert(), "weight"_a.noconvert(),
             "bias"_a.noconvert(), "eps"_a,
             "Channels of (outer, channels, inner), normalised, with the means, the variances and "
             "the statistics.");
  module.def("normalize_rows_gradient", &rows_gradient, "g"_a.noconvert(), "x"_a.noconvert(),
             "statistics"_a.noconvert(), "weight"_a.noconvert(), "centered"_a, "parts"_a,
             "The gradient g of normalised rows, taken to x, and to the weight and the bias where "
             "parts is 2 or 3.");
  module.def("normalize_channels_gradient", &channels_gradient, "g"_a.noconvert(),
             "x"_a.noconvert(), "statistics"_a.noconvert(), "weight"_a.noconvert(), "parts"_a,
             "The same for normalised channels.");
}

}  // namespace tfl
