#include "matrix_transpose.hpp"

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "pool.hpp"

using Index = std::int64_t;

#define TFL_FAMILY "matrix_transpose.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(TransposeKernels, transpose_kernels)
