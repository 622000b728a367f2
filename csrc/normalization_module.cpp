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

// x as (rows, columns), where a row is what its last axes span.
NormalizedRows rows_of(const Checker& check, int axes) {
  const py::array& x = check.first;
  if (axes < 0 || axes > x.ndim())
    refuse(check.op, "axes must be a number of axes of x", std::to_string(axes));
  NormalizedRows shape{1, 1};
  const py::ssize_t lead = x.ndim() - axes;
  for (py::ssize_t i = 0; i < x.ndim(); ++i)
    (i < lead ? shape.rows : shape.columns) *= extent(x, static_cast<int>(i));
  return shape;
}

// x as (outer, channels, inner), where the channels are its second axis.
NormalizedChannels channels_of(const Checker& check) {
  const py::array& x = check.first;
  if (x.ndim() < 2) refuse(check.op, "x must have 2 dimensions or more", shape_text(x));
  NormalizedChannels shape{extent(x, 0), extent(x, 1), 1};
  for (py::ssize_t i = 2; i < x.ndim(); ++i) shape.inner *= extent(x, static_cast<int>(i));
  return shape;
}

py::tuple normalize_rows(const py::array& x, const OptionalArray& weight, const OptionalArray& bias,
                         int axes, double eps, bool centered) {
  const Checker check("normalize_rows", "x", x, x.ndim());
  check_elements(check, x);
  const NormalizedRows shape = rows_of(check, axes);
  check_parameters(check, weight, bias, static_cast<py::ssize_t>(shape.columns));
  py::array out = empty_like(x);
  py::array statistics(x.dtype(), {py::ssize_t{2}, static_cast<py::ssize_t>(shape.rows)});
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Normalization<T> arguments{static_cast<const T*>(x.data()), data<T>(weight),
                                     data<T>(bias), static_cast<T*>(out.mutable_data()),
                                     static_cast<T*>(statistics.mutable_data()), nullptr, nullptr,
                                     eps, centered};
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
  const Checker check("normalize_channels", "x", x, x.ndim());
  check_elements(check, x);
  const NormalizedChannels shape = channels_of(check);
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

// The `shape` has `statistics_count` statistics of each kind, and the weight `parameters` elements.
template <typename Shape, typename Float, typename Double>
py::tuple gradient(const Checker& check, const py::array& g, const py::array& statistics,
                   const OptionalArray& weight, bool centered, int parts, Shape shape,
                   std::size_t statistics_count, std::size_t parameters, Float kernel_float,
                   Double kernel_double) {
  const py::array& x = check.first;
  const py::ssize_t length = static_cast<py::ssize_t>(parameters);
  check_elements(check, x);
  check.like_first("g", g);
  check_statistics(check, statistics, static_cast<py::ssize_t>(statistics_count));
  if (weight) check.vector("weight", *weight, length);
  if (parts < 1 || parts > 3) refuse(check.op, "parts must be 1, 2 or 3", std::to_string(parts));
  py::array dx = empty_like(x);
  OptionalArray dw, db;
  if (parts > 1) dw = vector_like(x, length);
  if (parts > 2) db = vector_like(x, length);
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const NormalizationGradient<T> arguments{
        static_cast<const T*>(g.data()),          static_cast<const T*>(x.data()),
        static_cast<const T*>(statistics.data()), data<T>(weight),
        static_cast<T*>(dx.mutable_data()),       mutable_data<T>(dw),
        mutable_data<T>(db),                      centered};
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
                        const OptionalArray& weight, int axes, bool centered, int parts) {
  const Normalizations& table = normalization_kernels();
  const Checker check("normalize_rows_gradient", "x", x, x.ndim());
  const NormalizedRows shape = rows_of(check, axes);
  return gradient(check, g, statistics, weight, centered, parts, shape, shape.rows, shape.columns,
                  table.rows_gradient_float, table.rows_gradient_double);
}

py::tuple channels_gradient(const py::array& g, const py::array& x, const py::array& statistics,
                            const OptionalArray& weight, int parts) {
  const Normalizations& table = normalization_kernels();
  const Checker check("normalize_channels_gradient", "x", x, x.ndim());
  const NormalizedChannels shape = channels_of(check);
  return gradient(check, g, statistics, weight, true, parts, shape, shape.channels, shape.channels,
                  table.channels_gradient_float, table.channels_gradient_double);
}

}  // namespace

void add_normalization(py::module_& module) {
  module.def("normalize_rows", &normalize_rows, "x"_a.noconvert(), "weight"_a.noconvert(),
             "bias"_a.noconvert(), "axes"_a, "eps"_a, "centered"_a,
             "x, normalised over its last axes, and the rows' statistics: the means (0 where not "
             "centered), and one over the standard deviations.");
  module.def("normalize_channels", &normalize_channels, "x"_a.noconvert(), "weight"_a.noconvert(),
             "bias"_a.noconvert(), "eps"_a,
             "x, normalised over all axes but its second, with the means, the variances and "
             "the statistics.");
  module.def("normalize_rows_gradient", &rows_gradient, "g"_a.noconvert(), "x"_a.noconvert(),
             "statistics"_a.noconvert(), "weight"_a.noconvert(), "axes"_a, "centered"_a,
             "parts"_a,
             "The gradient g of normalised rows, taken to x, and to the weight and the bias where "
             "parts is 2 or 3.");
  module.def("normalize_channels_gradient", &channels_gradient, "g"_a.noconvert(),
             "x"_a.noconvert(), "statistics"_a.noconvert(), "weight"_a.noconvert(), "parts"_a,
             "The same for normalised channels.");
}

}  // namespace tfl
