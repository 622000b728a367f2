// Nothing is contracted to fused multiply-adds (-ffp-contract=off) and every element is a function
// of its own values, so all instruction sets and numbers of threads give the same bits.
#include "optimizers.hpp"

#include <algorithm>
#include <cmath>

#include "pool.hpp"

#define TFL_FAMILY "optimizers.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Optimizers, optimizers_kernels)
