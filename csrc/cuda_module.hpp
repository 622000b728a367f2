// The part of the Python module that reaches CUDA's libraries.
#pragma once

#include <pybind11/pybind11.h>

namespace tfl {

void add_cuda(pybind11::module_& module);

}  // namespace tfl
