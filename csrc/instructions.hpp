// The instruction sets that kernels are compiled for, and the one in use.
//
// A family of kernels is three files: NAME.hpp declares a table of functions, `struct Name`; NAME.inl
// defines them and ends with `static const Name table = {...};`, all inside
// `namespace tfl { namespace TFL_INSTRUCTIONS {`; NAME.cpp says
//
//     #define TFL_FAMILY "NAME.inl"
//     #include "each_instruction_set.inl"
//     TFL_CHOOSE(Name, name_kernels)
//
// which compiles NAME.inl once per set and defines `const Name& tfl::name_kernels()`.
#pragma once

#include <string>
#include <vector>

namespace tfl {

enum class Instructions { generic, avx2, avx512 };

// Those that this processor runs, best first.
const std::vector<Instructions>& available_instructions();
const char* name_of(Instructions set);

Instructions instructions_in_use();
void use_instructions(Instructions set);

}  // namespace tfl

// clang has no pragma for targets; there, and with TFL_GENERIC, the generic code is the only one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(TFL_GENERIC)
#define TFL_X86 1
#endif

#if defined(TFL_X86)
#define TFL_CHOOSE(Table, function)               \
  namespace tfl {                                 \
  const Table& function() {                       \
    switch (instructions_in_use()) {              \
      case Instructions::avx512:                  \
        return avx512::table;                     \
      case Instructions::avx2:                    \
        return avx2::table;                       \
      default:                                    \
        return generic::table;                    \
    }                                             \
  }                                               \
  }
#else
#define TFL_CHOOSE(Table, function)                    \
  namespace tfl {                                      \
  const Table& function() { return generic::table; }   \
  }
#endif
