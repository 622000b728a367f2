// Every sum has a fixed order. Fused multiply-adds, where there are any (-ffp-contract=fast), and the
// width of vectors let the instruction sets differ in the last bits.
#include "normalization.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "instructions.hpp"
#include "pool.hpp"

#ifdef TFL_X86
#include <immintrin.h>
#endif

#define TFL_FAMILY "normalization.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Normalizations, normalization_kernels)
