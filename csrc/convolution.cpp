// Products become fused multiply-adds where the processor has them (setup.py), and the width of
// vectors decides nothing about the order of a sum: each has one, over channels and taps, or over
// places.
#include "convolution.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "bias_activation.hpp"
#include "convolution_plan.hpp"
#include "pool.hpp"
#include "scratch.hpp"

#define TFL_FAMILY "convolution.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Convolution, convolution_kernels)
