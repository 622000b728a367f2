// Fused multiply-adds, where there are any (-ffp-contract=fast), make the activations a third
// quicker; by them the instruction sets differ in the last bits.
#include "gated_activation.hpp"

#include "activations.cuh"
#include "pool.hpp"

#define TFL_FAMILY "gated_activation.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(GatedActivation, gated_activation_kernels)
