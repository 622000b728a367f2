// Every sum has a fixed order. Fused multiply-adds, where there are any (-ffp-contract=fast), let the
// instruction sets differ in the last bits.
#include "softmax.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "pool.hpp"
#include "portable.cuh"

#define TFL_FAMILY "softmax.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Softmaxes, softmax_kernels)
