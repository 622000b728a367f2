// Tiles and the pieces that threads take follow from shapes and strides alone, and so does the order
// of sums. The functions' last bits, and those of sums, differ between instruction sets.
#include "elements.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "elements_math.hpp"
#include "pool.hpp"

#define TFL_FAMILY "elements.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(ElementKernels, element_kernels)
