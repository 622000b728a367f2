// Nothing is contracted to fused multiply-adds (-ffp-contract=off), so all instruction sets give the
// same bits.
#include "random.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "philox.cuh"

static_assert(FLT_EVAL_METHOD == 0,
              "the bits of random normals need arithmetic in the type's own precision");

#define TFL_FAMILY "random.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Random, random_kernels)
