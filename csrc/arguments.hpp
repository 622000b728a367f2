// What every binding checks before a kernel runs: it raises ValueError and nothing has changed.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tfl {

namespace py = pybind11;

inline std::string shape_text(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i)
    text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + (array.ndim() == 1 ? ",)" : ")");
}

[[noreturn]] inline void refuse(const char* op, const std::string& requirement,
                                const std::string& got) {
  throw py::value_error(std::string(op) + ": " + requirement + ", got " + got);
}

// The checks of one call: every array against the first one's dtype, and what each may be.
struct Checker {
  const char* op;
  py::array first;
  bool is_double;

  Checker(const char* op, const char* name, const py::array& array, py::ssize_t dimensions)
      : op(op), first(array), is_double(py::isinstance<py::array_t<double>>(array)) {
    if (!is_double && !py::isinstance<py::array_t<float>>(array)) {
      refuse(op, std::string(name) + " must be float32 or float64",
             py::str(array.dtype()).cast<std::string>());
    }
    if (array.ndim() != dimensions) {
      refuse(op, std::string(name) + " must have " + std::to_string(dimensions) + " dimensions",
             shape_text(array));
    }
    contiguous(name, array);
  }

  void contiguous(const char* name, const py::array& array) const {
    if (!(array.flags() & py::array::c_style)) {
      refuse(op, std::string(name) + " must be C-contiguous", "another memory order");
    }
    if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
      refuse(op, std::string(name) + " must be aligned", "unaligned memory");
    }
  }

  void dtype(const char* name, const py::array& array) const {
    if (!array.dtype().equal(first.dtype())) {
      refuse(op,
             std::string(name) + " must be " + py::str(first.dtype()).cast<std::string>() +
                 " as the first array",
             py::str(array.dtype()).cast<std::string>());
    }
  }

  void like_first(const char* name, const py::array& array) const {
    dtype(name, array);
    bool same = array.ndim() == first.ndim();
    for (py::ssize_t i = 0; same && i < array.ndim(); ++i) same = array.shape(i) == first.shape(i);
    if (!same)
      refuse(op, std::string(name) + " must have shape " + shape_text(first), shape_text(array));
    contiguous(name, array);
  }

  void vector(const char* name, const py::array& array, py::ssize_t length) const {
    dtype(name, array);
    if (array.ndim() != 1 || array.shape(0) != length) {
      refuse(op, std::string(name) + " must have shape (" + std::to_string(length) + ",)",
             shape_text(array));
    }
    contiguous(name, array);
  }

  // A written array may be one of `same` exactly, element by element, and overlaps nothing else.
  void written(const char* name, const py::array& array,
               std::initializer_list<const py::array*> same,
               std::initializer_list<const py::array*> apart) const {
    if (!array.writeable())
      refuse(op, std::string(name) + " must be writeable", "a read-only array");
    for (const py::array* other : same) {
      if (other && array.data() != other->data() && overlap(array, *other)) {
        refuse(op, std::string(name) + " must be an input itself or apart from it",
               "partly overlapping memory");
      }
    }
    for (const py::array* other : apart) {
      if (other && overlap(array, *other)) {
        refuse(op, std::string(name) + " must not share memory with another argument",
               "overlapping memory");
      }
    }
  }

  // Whether the addresses from each array's first byte to its last one meet.
  static bool overlap(const py::array& one, const py::array& other) {
    const auto [a, a_end] = reach(one);
    const auto [b, b_end] = reach(other);
    return a < b_end && b < a_end;
  }

 private:
  static std::pair<const char*, const char*> reach(const py::array& array) {
    const char* low = static_cast<const char*>(array.data());
    if (array.size() == 0) return {low, low};
    const char* high = low + array.itemsize();
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
      const py::ssize_t along = (array.shape(i) - 1) * array.strides(i);
      (along < 0 ? low : high) += along;
    }
    return {low, high};
  }
};

inline py::array empty_like(const py::array& array) {
  return py::array(array.dtype(),
                   std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()));
}

using OptionalArray = std::optional<py::array>;

inline const py::array* pointer(const OptionalArray& array) { return array ? &*array : nullptr; }

template <typename T>
T* mutable_data(OptionalArray& array) {
  return array ? static_cast<T*>(array->mutable_data()) : nullptr;
}

template <typename T>
const T* data(const OptionalArray& array) {
  return array ? static_cast<const T*>(array->data()) : nullptr;
}

inline std::size_t extent(const py::array& array, int axis) {
  return static_cast<std::size_t>(array.shape(axis));
}

}  // namespace tfl
