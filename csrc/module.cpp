// The Python module tensorflowlite._native.
#include <pybind11/pybind11.h>

#include "families.hpp"
#include "ufuncs.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

PYBIND11_MODULE(_native, module) {
  module.doc() =
      "CPU kernels of tensorflowlite. Arrays are NumPy's; every function says what it accepts and "
      "raises ValueError.";
  tfl::add_elements(module);
  tfl::add_functions(module);
  tfl::add_gated_activation(module);
  tfl::add_identities(module);
  tfl::add_losses(module);
  tfl::add_memory(module);
  tfl::add_threads(module);
  tfl::add_normalization(module);
  tfl::add_row_sums(module);
  tfl::add_softmax(module);
  tfl::add_sums(module);
  tfl::add_product(module);
  tfl::add_random(module);
  tfl::add_bias_activation(module);
  tfl::add_attention(module);
  tfl::add_convolution(module);
  tfl::add_optimizers(module);
  tfl::add_pooling(module);
  tfl::add_cuda(module);
  module.def("mended_ufunc", &mended_ufunc, "ufunc"_a, "bfloat16"_a,
             "NumPy's floor_divide, tanh or expm1 with the Array API's answers at infinity; "
             "bfloat16 is the number of that dtype.");
}
