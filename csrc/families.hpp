// The parts of the Python module, one per family of kernels. Each checks what comes in, releases the
// interpreter and calls the kernels.
#pragma once

#include <pybind11/pybind11.h>

namespace tfl {

void add_elements(pybind11::module_& module);
void add_functions(pybind11::module_& module);
void add_gated_activation(pybind11::module_& module);
void add_identities(pybind11::module_& module);
void add_losses(pybind11::module_& module);
void add_memory(pybind11::module_& module);
void add_threads(pybind11::module_& module);
void add_normalization(pybind11::module_& module);
void add_row_sums(pybind11::module_& module);
void add_softmax(pybind11::module_& module);
void add_sums(pybind11::module_& module);
void add_product(pybind11::module_& module);
void add_random(pybind11::module_& module);
void add_bias_activation(pybind11::module_& module);
void add_attention(pybind11::module_& module);
void add_convolution(pybind11::module_& module);
void add_optimizers(pybind11::module_& module);
void add_pooling(pybind11::module_& module);
void add_cuda(pybind11::module_& module);

}  // namespace tfl
