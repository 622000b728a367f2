// Includes TFL_FAMILY once per instruction set, with
//   TFL_INSTRUCTIONS   the set's name, a namespace
//   TFL_VECTOR_BYTES   the size of its vectors
// Headers are included before: what they define is compiled for every processor.
#include "instructions.hpp"

#define TFL_INSTRUCTIONS generic
#define TFL_VECTOR_BYTES 16
#include TFL_FAMILY
#undef TFL_INSTRUCTIONS
#undef TFL_VECTOR_BYTES

#ifdef TFL_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define TFL_INSTRUCTIONS avx2
#define TFL_VECTOR_BYTES 32
#include TFL_FAMILY
#undef TFL_INSTRUCTIONS
#undef TFL_VECTOR_BYTES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#define TFL_INSTRUCTIONS avx512
#define TFL_VECTOR_BYTES 64
#include TFL_FAMILY
#undef TFL_INSTRUCTIONS
#undef TFL_VECTOR_BYTES
#pragma GCC pop_options
#endif
