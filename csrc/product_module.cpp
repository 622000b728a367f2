#include "arguments.hpp"
#include "families.hpp"
#include "matrix_transpose.hpp"
#include "product.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

constexpr const char* op = "product";

// How a matrix lies; one that lies in no such way is refused.
template <typename T>
Matrix<T> matrix_of(const char* name, const py::array& array) {
  if (array.ndim() != 2)
    refuse(op, std::string(name) + " must have 2 dimensions", shape_text(array));
  const py::ssize_t size = static_cast<py::ssize_t>(sizeof(T));
  const py::ssize_t down = array.strides(0), across = array.strides(1);
  const bool aligned = array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  const auto fits = [&](py::ssize_t leading, py::ssize_t inner, py::ssize_t length) {
    return inner == size && leading % size == 0 && leading >= std::max<py::ssize_t>(length, 1) * size;
  };
  if (aligned && fits(down, across, array.shape(1)))
    return {static_cast<const T*>(array.data()), down / size, false};
  if (aligned && fits(across, down, array.shape(0)))
    return {static_cast<const T*>(array.data()), across / size, true};
  refuse(op, std::string(name) + " must be aligned with its rows or its columns contiguous",
         "another memory order");
}

template <typename T>
void run(const py::array& x, const py::array& y, py::array& out) {
  const Matrix<T> a = matrix_of<T>("x", x), b = matrix_of<T>("y", y);
  if (x.shape(1) != y.shape(0)) {
    refuse(op, "inner sizes must match", shape_text(x) + " and " + shape_text(y));
  }
  if (out.ndim() != 2 || out.shape(0) != x.shape(0) || out.shape(1) != y.shape(1)) {
    refuse(op, "out must have the rows of x and the columns of y", shape_text(out));
  }
  if (x.size() == 0 || y.size() == 0)
    refuse(op, "x and y must not be empty", shape_text(x) + " and " + shape_text(y));
  const Checker check(op, "out", out, 2);
  check.written("out", out, {}, {&x, &y});
  T* target = static_cast<T*>(out.mutable_data());
  const Sizes sizes{x.shape(0), y.shape(1), x.shape(1)};
  py::gil_scoped_release release;
  multiply(sizes, a, b, target);
}

void product(const py::array& x, const py::array& y, py::array out) {
  if (!blas_adopted()) refuse(op, "a BLAS must have been adopted", "none");
  if (!x.dtype().equal(y.dtype()) || !x.dtype().equal(out.dtype())) {
    refuse(op, "x, y and out must have one dtype",
           py::str(x.dtype()).cast<std::string>() + ", " + py::str(y.dtype()).cast<std::string>() +
               " and " + py::str(out.dtype()).cast<std::string>());
  }
  if (py::isinstance<py::array_t<float>>(x)) {
    run<float>(x, y, out);
  } else if (py::isinstance<py::array_t<double>>(x)) {
    run<double>(x, y, out);
  } else {
    refuse(op, "x must be float32 or float64", py::str(x.dtype()).cast<std::string>());
  }
}

template <typename T>
MatrixCopy<T> copy_of(const py::array& x, py::array& out) {
  return {x.shape(0), x.shape(1), x.shape(1), static_cast<const T*>(x.data()),
          static_cast<T*>(out.mutable_data())};
}

py::array transposed(const py::array& x) {
  const Checker check("transposed", "x", x, 2);
  py::array out(x.dtype(), std::vector<py::ssize_t>{x.shape(1), x.shape(0)});
  if (check.is_double) {
    const auto copy = copy_of<double>(x, out);
    const py::gil_scoped_release release;
    transpose_kernels().transpose_double(copy);
  } else {
    const auto copy = copy_of<float>(x, out);
    const py::gil_scoped_release release;
    transpose_kernels().transpose_float(copy);
  }
  return out;
}

}  // namespace

void add_product(py::module_& module) {
  module.def("product", &product, "x"_a.noconvert(), "y"_a.noconvert(), "out"_a.noconvert(),
             "x @ y of two matrices, written to out.");
  module.def("transposed", &transposed, "x"_a.noconvert(),
             "A copy of a matrix with rows and columns exchanged.");
}

}  // namespace tfl
