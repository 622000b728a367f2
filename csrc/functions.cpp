#include "functions.hpp"

#include <algorithm>

#include "pool.hpp"
#include "portable.cuh"

#define TFL_FAMILY "functions.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Functions, function_kernels)
