// Nothing is contracted to fused multiply-adds (-ffp-contract=off) and every sum has a fixed order,
// so all instruction sets give the same bits.
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
