// Every sum has a fixed order. Fused multiply-adds, where there are any (-ffp-contract=fast), make
// the activations a third quicker; by them the instruction sets differ in the last bits.
#include "bias_activation.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "activations.cuh"
#include "pool.hpp"

#define TFL_FAMILY "bias_activation.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(BiasActivation, bias_activation_kernels)
