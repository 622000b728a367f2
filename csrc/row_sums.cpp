// A place's sum is made by one piece in the order of its rows, so its bits depend on nothing else.
#include "row_sums.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "pool.hpp"

#define TFL_FAMILY "row_sums.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(RowSumKernels, row_sum_kernels)
