#include <algorithm>
#include <array>
#include <cstring>

#include "arguments.hpp"
#include "bias_activation.hpp"
#include "families.hpp"
#include "pooling.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

using Pair = std::array<py::ssize_t, 2>;
using Divisors = std::vector<double>;

// The window along rows and columns, as Python gives it.
struct Window {
  Pair kernel, stride, padding, dilation;
};

void check_axis(const char* op, const PoolAxis& axis) {
  // Beside what the buffers hold: products of these must not overflow.
  if (axis.count > 0 && axis.size > 0 &&
      axis.count - 1 > (axis.size + 2 * axis.padding) / axis.stride) {
    refuse(op, "windows must begin inside the padded image",
           std::to_string(axis.count) + " windows over " + std::to_string(axis.size) + " places");
  }
}

PoolAxis axis_of(const char* op, const Window& window, std::size_t axis, std::size_t size,
                 std::size_t count) {
  const auto checked = [&](const char* name, py::ssize_t value, py::ssize_t low) {
    if (value < low || value > (py::ssize_t{1} << 30))
      refuse(op, std::string(name) + " must be " + std::to_string(low) + " ... 2**30",
             std::to_string(value));
    return static_cast<std::size_t>(value);
  };
  const PoolAxis found{size,
                       count,
                       checked("kernel", window.kernel[axis], 1),
                       checked("stride", window.stride[axis], 1),
                       checked("padding", window.padding[axis], 0),
                       checked("dilation", window.dilation[axis], 1)};
  if (found.extent() > most_extent || found.padding > most_extent)
    refuse(op, "the window must reach over at most " + std::to_string(most_extent) + " places",
           std::to_string(std::max(found.extent(), found.padding)));
  check_axis(op, found);
  return found;
}

PoolShape shape_of(const char* op, const py::array& images, const py::array& windows,
                   const Window& window) {
  if (images.shape(0) != windows.shape(0))
    refuse(op, "images and windows must have as many planes", shape_text(windows));
  const PoolShape shape{extent(images, 0),
                        axis_of(op, window, 0, extent(images, 1), extent(windows, 1)),
                        axis_of(op, window, 1, extent(images, 2), extent(windows, 2))};
  return shape;
}

// Of windows whose places have numbers in a byte.
PoolShape numbered_shape_of(const char* op, const py::array& images, const py::array& windows,
                            const Window& window) {
  const PoolShape shape = shape_of(op, images, windows, window);
  if (shape.rows.kernel * shape.columns.kernel > most_places)
    refuse(op, "the window must have at most " + std::to_string(most_places) + " places",
           std::to_string(shape.rows.kernel * shape.columns.kernel));
  return shape;
}

void check_places(const Checker& check, const py::array& places, const py::array& windows) {
  if (!py::isinstance<py::array_t<std::uint8_t>>(places))
    refuse(check.op, "places must be uint8", py::str(places.dtype()).cast<std::string>());
  check.contiguous("places", places);
  if (places.ndim() != 3 || places.shape(0) != windows.shape(0) ||
      places.shape(1) != windows.shape(1) || places.shape(2) != windows.shape(2)) {
    refuse(check.op, "places must have shape " + shape_text(windows), shape_text(places));
  }
}

void check_array(const Checker& check, const char* name, const py::array& array) {
  check.dtype(name, array);
  if (array.ndim() != 3) {
    refuse(check.op, std::string(name) + " must have 3 dimensions", shape_text(array));
  }
  check.contiguous(name, array);
}

void check_divisors(const char* op, const PoolShape& shape, const Divisors& rows,
                    const Divisors& columns) {
  if (rows.size() != shape.rows.count || columns.size() != shape.columns.count) {
    refuse(op, "there must be a divisor per row and per column of windows",
           std::to_string(rows.size()) + " and " + std::to_string(columns.size()));
  }
}

void max_pool(const py::array& x, py::array out, OptionalArray places, Pair kernel, Pair stride,
              Pair padding, Pair dilation) {
  const Checker check("max_pool", "x", x, 3);
  check_array(check, "out", out);
  check.written("out", out, {}, {&x, pointer(places)});
  if (places) {
    check_places(check, *places, out);
    check.written("places", *places, {}, {&x});
  }
  const PoolShape shape = numbered_shape_of(check.op, x, out, {kernel, stride, padding, dilation});
  if (out.size() == 0) return;
  if (x.size() == 0) refuse(check.op, "x must not be empty", shape_text(x));
  std::uint8_t* where = mutable_data<std::uint8_t>(places);
  py::gil_scoped_release release;
  const Pooling& table = pooling_kernels();
  if (check.is_double) {
    table.max_double(shape, static_cast<const double*>(x.data()),
                     static_cast<double*>(out.mutable_data()), where);
  } else {
    table.max_float(shape, static_cast<const float*>(x.data()),
                    static_cast<float*>(out.mutable_data()), where);
  }
}

// Both ways between images and windows: `from` is read, `to` written; one of them are the images.
void by_places(const char* op, const py::array& from, const py::array& places, py::array to,
               const Window& window, bool scatter) {
  const Checker check(op, scatter ? "y" : "x", from, 3);
  check_array(check, "out", to);
  const py::array& windows = scatter ? from : to;
  const py::array& images = scatter ? to : from;
  check_places(check, places, windows);
  check.written("out", to, {}, {&from, &places});
  const PoolShape shape = numbered_shape_of(op, images, windows, window);
  if (images.size() == 0 && to.size() == 0) return;
  if (from.size() == 0) {
    if (to.size() > 0) std::memset(to.mutable_data(), 0, static_cast<std::size_t>(to.nbytes()));
    return;
  }
  if (to.size() == 0) return;
  const auto* where = static_cast<const std::uint8_t*>(places.data());
  py::gil_scoped_release release;
  const Pooling& table = pooling_kernels();
  if (check.is_double) {
    (scatter ? table.scatter_double : table.gather_double)(
        shape, static_cast<const double*>(from.data()), where,
        static_cast<double*>(to.mutable_data()));
  } else {
    (scatter ? table.scatter_float : table.gather_float)(
        shape, static_cast<const float*>(from.data()), where,
        static_cast<float*>(to.mutable_data()));
  }
}

// The scatter of a gradient, some planes at a time.
template <typename T>
struct Scatter {
  PoolShape shape;
  const T* y;
  const std::uint8_t* places;
  T* out;

  static void fill(const void* context, std::size_t row, std::size_t count) {
    const auto& whole = *static_cast<const Scatter*>(context);
    PoolShape part = whole.shape;
    part.planes = count;
    const std::size_t windows = row * part.rows.count * part.columns.count;
    T* out = whole.out + row * part.rows.size * part.columns.size;
    if constexpr (sizeof(T) == 4) {
      pooling_kernels().scatter_float(part, whole.y + windows, whole.places + windows, out);
    } else {
      pooling_kernels().scatter_double(part, whole.y + windows, whole.places + windows, out);
    }
  }
};

void pool_activation_gradient(const py::array& y, const py::array& places, const py::array& saved,
                              const std::string& activation, py::array dz, py::array db,
                              Pair kernel, Pair stride, Pair padding, Pair dilation) {
  constexpr const char* op = "pool_activation_gradient";
  const int index = activation_index(op, activation);
  const Checker check(op, "y", y, 3);
  check_array(check, "saved", saved);
  check_array(check, "dz", dz);
  if (dz.shape(0) != saved.shape(0) || dz.shape(1) != saved.shape(1) ||
      dz.shape(2) != saved.shape(2)) {
    refuse(op, "dz must have shape " + shape_text(saved), shape_text(dz));
  }
  check_places(check, places, y);
  check.vector("db", db, db.size());
  check.written("dz", dz, {}, {&y, &places, &saved});
  check.written("db", db, {}, {&y, &places, &saved, &dz});
  const PoolShape shape = numbered_shape_of(op, saved, y, {kernel, stride, padding, dilation});
  const std::size_t channels = static_cast<std::size_t>(db.size());
  if (y.size() == 0 || saved.size() == 0 || channels == 0 || shape.planes % channels != 0) {
    refuse(op, "there must be images, of as many planes as db is long",
           shape_text(saved) + " and " + shape_text(db));
  }
  const Channels rows{shape.planes / channels, channels, shape.rows.size * shape.columns.size};
  const auto run = [&](auto zero, auto backward) {
    using T = decltype(zero);
    T* to = static_cast<T*>(dz.mutable_data());
    const Scatter<T> scatter{shape, static_cast<const T*>(y.data()),
                             static_cast<const std::uint8_t*>(places.data()), to};
    const Backward<T> arguments{to,      static_cast<const T*>(saved.data()),     to,
                                static_cast<T*>(db.mutable_data()), T(0.01),
                                {Scatter<T>::fill, &scatter}};
    py::gil_scoped_release release;
    backward(index, arguments, rows);
  };
  if (check.is_double) {
    run(0.0, bias_activation_kernels().backward_channels_double);
  } else {
    run(0.0f, bias_activation_kernels().backward_channels_float);
  }
}

void by_mean(const char* op, const py::array& from, py::array to, const Window& window,
             const Divisors& rows, const Divisors& columns, bool spread) {
  const Checker check(op, spread ? "y" : "x", from, 3);
  check_array(check, "out", to);
  check.written("out", to, {}, {&from});
  const PoolShape shape = spread ? shape_of(op, to, from, window) : shape_of(op, from, to, window);
  check_divisors(op, shape, rows, columns);
  if (to.size() == 0) return;
  if (from.size() == 0) refuse(op, "arrays must not be empty", shape_text(from));
  py::gil_scoped_release release;
  const Pooling& table = pooling_kernels();
  if (check.is_double) {
    (spread ? table.spread_double : table.mean_double)(
        shape, static_cast<const double*>(from.data()), rows.data(), columns.data(),
        static_cast<double*>(to.mutable_data()));
  } else {
    (spread ? table.spread_float : table.mean_float)(
        shape, static_cast<const float*>(from.data()), rows.data(), columns.data(),
        static_cast<float*>(to.mutable_data()));
  }
}

}  // namespace

void add_pooling(py::module_& module) {
  module.def("max_pool", &max_pool, "x"_a.noconvert(), "out"_a.noconvert(),
             "places"_a.noconvert(), "kernel"_a, "stride"_a, "padding"_a, "dilation"_a,
             "The maximum of each window of x, (planes, rows, columns), written to out; its place "
             "in the window to places, uint8, where given. padding is the one before the image.");
  module.def(
      "max_pool_scatter",
      [](const py::array& y, const py::array& places, py::array out, Pair kernel, Pair stride,
         Pair padding, Pair dilation) {
        by_places("max_pool_scatter", y, places, out, {kernel, stride, padding, dilation}, true);
      },
      "y"_a.noconvert(), "places"_a.noconvert(), "out"_a.noconvert(), "kernel"_a, "stride"_a,
      "padding"_a, "dilation"_a, "Zeros with y added at each window's place, written to out.");
  module.def("pool_activation_gradient", &pool_activation_gradient, "y"_a.noconvert(),
             "places"_a.noconvert(), "saved"_a.noconvert(), "activation"_a, "dz"_a.noconvert(),
             "db"_a.noconvert(), "kernel"_a, "stride"_a, "padding"_a, "dilation"_a,
             "max_pool_scatter to an activation that saved (planes, rows, columns), its derivative "
             "to dz, and the sums of its channels to db.");
  module.def(
      "max_pool_gather",
      [](const py::array& x, const py::array& places, py::array out, Pair kernel, Pair stride,
         Pair padding, Pair dilation) {
        by_places("max_pool_gather", x, places, out, {kernel, stride, padding, dilation}, false);
      },
      "x"_a.noconvert(), "places"_a.noconvert(), "out"_a.noconvert(), "kernel"_a, "stride"_a,
      "padding"_a, "dilation"_a, "The value of x at each window's place, written to out.");
  module.def(
      "avg_pool",
      [](const py::array& x, py::array out, Pair kernel, Pair stride, Pair padding,
         const Divisors& rows, const Divisors& columns) {
        by_mean("avg_pool", x, out, {kernel, stride, padding, {1, 1}}, rows, columns, false);
      },
      "x"_a.noconvert(), "out"_a.noconvert(), "kernel"_a, "stride"_a, "padding"_a,
      "row_divisors"_a, "column_divisors"_a,
      "The sum of each window of x by the product of its divisors, written to out.");
  module.def(
      "avg_pool_gradient",
      [](const py::array& y, py::array out, Pair kernel, Pair stride, Pair padding,
         const Divisors& rows, const Divisors& columns) {
        by_mean("avg_pool_gradient", y, out, {kernel, stride, padding, {1, 1}}, rows, columns,
                true);
      },
      "y"_a.noconvert(), "out"_a.noconvert(), "kernel"_a, "stride"_a, "padding"_a,
      "row_divisors"_a, "column_divisors"_a,
      "What the gradient y of avg_pool gives to each place, written to out.");
}

}  // namespace tfl
