// Compiles the kernels once per instruction set and finds out which of them this processor runs.
// Nothing is contracted to fused multiply-adds (-ffp-contract=off) and every sum has a fixed order,
// so all tables give the same bits.
#include "kernels.hpp"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <vector>

#include "activations.cuh"
#include "philox.cuh"

static_assert(FLT_EVAL_METHOD == 0,
              "the bits of random normals need arithmetic in the type's own precision");

#define TFL_INSTRUCTIONS generic
#define TFL_INSTRUCTIONS_NAME "generic"
#include "bias_activation.inl"
#include "philox.inl"
#include "table.inl"
#undef TFL_INSTRUCTIONS
#undef TFL_INSTRUCTIONS_NAME

// clang has no such pragma; there the generic table is the only one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TFL_X86 1

#pragma GCC push_options
#pragma GCC target("avx2")
#define TFL_INSTRUCTIONS avx2
#define TFL_INSTRUCTIONS_NAME "avx2"
#include "bias_activation.inl"
#include "philox.inl"
#include "table.inl"
#undef TFL_INSTRUCTIONS
#undef TFL_INSTRUCTIONS_NAME
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#define TFL_INSTRUCTIONS avx512
#define TFL_INSTRUCTIONS_NAME "avx512"
#include "bias_activation.inl"
#include "philox.inl"
#include "table.inl"
#undef TFL_INSTRUCTIONS
#undef TFL_INSTRUCTIONS_NAME
#pragma GCC pop_options
#endif

namespace tfl {

const Kernels* const* available_kernels(std::size_t* count) {
  static const std::vector<const Kernels*> tables = [] {
    std::vector<const Kernels*> found;
#ifdef TFL_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
      found.push_back(&avx512::table);
    }
    if (__builtin_cpu_supports("avx2")) found.push_back(&avx2::table);
#endif
    found.push_back(&generic::table);
    return found;
  }();
  *count = tables.size();
  return tables.data();
}

}  // namespace tfl
