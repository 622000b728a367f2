#include "instructions.hpp"

#include <atomic>

namespace tfl {
namespace {

std::atomic<int> chosen{-1};

std::vector<Instructions> found_here() {
  std::vector<Instructions> found;
#ifdef TFL_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    found.push_back(Instructions::avx512);
  }
  if (avx2) found.push_back(Instructions::avx2);
#endif
  found.push_back(Instructions::generic);
  return found;
}

}  // namespace

const std::vector<Instructions>& available_instructions() {
  static const std::vector<Instructions> sets = found_here();
  return sets;
}

const char* name_of(Instructions set) {
  switch (set) {
    case Instructions::avx512:
      return "avx512";
    case Instructions::avx2:
      return "avx2";
    default:
      return "generic";
  }
}

Instructions instructions_in_use() {
  const int set = chosen.load(std::memory_order_relaxed);
  if (set >= 0) return static_cast<Instructions>(set);
  const Instructions best = available_instructions()[0];
  use_instructions(best);
  return best;
}

void use_instructions(Instructions set) {
  chosen.store(static_cast<int>(set), std::memory_order_relaxed);
}

}  // namespace tfl
