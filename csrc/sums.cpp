// A row's sum is made of parts whose places follow from the shape alone, and so do its bits.
#include "sums.hpp"

#include <algorithm>
#include <vector>

#include "pool.hpp"

#define TFL_FAMILY "sums.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(SumKernels, sum_kernels)
