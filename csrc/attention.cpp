// Every sum has a fixed order, whatever the number of threads. With fused multiply-adds, where
// there are any (-ffp-contract=fast), instruction sets differ in the last bits.
#include "attention.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "pool.hpp"
#include "portable.cuh"
#include "scratch.hpp"

namespace tfl {

// What a thread computes in, kept for its next block.
static Scratch& attention_scratch() {
  static thread_local Scratch scratch;
  return scratch;
}

}  // namespace tfl

#define TFL_FAMILY "attention.inl"
#include "each_instruction_set.inl"

TFL_CHOOSE(Attention, attention_kernels)
