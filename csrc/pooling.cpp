// Every value has one fixed order of operations, and nothing is contracted, so all instruction sets
// and numbers of threads give the same bits.
#include "pooling.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "pool.hpp"
#include "sums.hpp"

#define TFL_FAMILY "pooling.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Pooling, pooling_kernels)
