// Universal functions of NumPy with the answers of the Array API standard; see ufuncs.cpp.
#pragma once

#include <pybind11/pybind11.h>

// `bfloat16` is the number of that dtype.
pybind11::object mended_ufunc(const pybind11::object& ufunc, int bfloat16);
