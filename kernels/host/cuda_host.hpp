// What kernels use of CUDA, for g++: included before a .cu file, which is then run by fibers.hpp.
// tests/host_kernels.py compiles and launches.
#pragma once

#include <cmath>

#include "fibers.hpp"

#define __global__
#define __grid_constant__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) alignas(bytes)
#define __constant__ static const

// Blocks run one at a time, so that a static variable is the block's copy. Thread-local memory lies
// in one piece per library, which run_block poisons; AddressSanitizer, which doesn't look at
// thread-local memory, gets plain variables with red zones between them.
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static
#else
#define __shared__ static thread_local
#endif
#define TFL_DYNAMIC_SHARED(type, name) \
  type* name = reinterpret_cast<type*>(tfl_host::machine.dynamic_shared)

#define threadIdx (tfl_host::current().thread)
#define blockIdx (tfl_host::machine.block_index)
#define blockDim (tfl_host::machine.block)
#define gridDim (tfl_host::machine.grid)
constexpr int warpSize = tfl_host::warp_size;

// ---- barriers and warp operations. The last two parameters tell where the caller stands.

#define TFL_HOST_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(TFL_HOST_PLACE) {
  tfl_host::meet_block("__syncthreads", {file, line});
}

inline void __syncwarp(unsigned int mask = ~0u, TFL_HOST_PLACE) {
  tfl_host::meet_warp(mask, 0, 0, "__syncwarp", {file, line});
}

// A shuffle stays in its segment of `width` lanes: beyond it, a lane takes its own value.
template <typename T>
T __shfl_sync(unsigned int mask, T value, int source, int width = warpSize, TFL_HOST_PLACE) {
  const int first = tfl_host::lane() & ~(width - 1);
  return tfl_host::exchange(mask, value, first | (source & (width - 1)), "__shfl_sync",
                            {file, line});
}

template <typename T>
T __shfl_up_sync(unsigned int mask, T value, unsigned int delta, int width = warpSize,
                 TFL_HOST_PLACE) {
  const int lane = tfl_host::lane();
  const int source = lane - static_cast<int>(delta);
  const bool inside = source >= (lane & ~(width - 1));
  return tfl_host::exchange(mask, value, inside ? source : lane, "__shfl_up_sync", {file, line});
}

template <typename T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int delta, int width = warpSize,
                   TFL_HOST_PLACE) {
  const int lane = tfl_host::lane();
  const int source = lane + static_cast<int>(delta);
  const bool inside = source <= (lane | (width - 1));
  return tfl_host::exchange(mask, value, inside ? source : lane, "__shfl_down_sync", {file, line});
}

template <typename T>
T __shfl_xor_sync(unsigned int mask, T value, int bits, int width = warpSize, TFL_HOST_PLACE) {
  const int lane = tfl_host::lane();
  const int source = lane ^ bits;
  const bool inside = source <= (lane | (width - 1));
  return tfl_host::exchange(mask, value, inside ? source : lane, "__shfl_xor_sync", {file, line});
}

inline unsigned int __ballot_sync(unsigned int mask, int predicate, TFL_HOST_PLACE) {
  tfl_host::meet_warp(mask, predicate != 0, 0, "__ballot_sync", {file, line});
  return tfl_host::current().ballot;
}

inline int __any_sync(unsigned int mask, int predicate, TFL_HOST_PLACE) {
  tfl_host::meet_warp(mask, predicate != 0, 0, "__any_sync", {file, line});
  return tfl_host::current().ballot != 0;
}

inline int __all_sync(unsigned int mask, int predicate, TFL_HOST_PLACE) {
  tfl_host::meet_warp(mask, predicate != 0, 0, "__all_sync", {file, line});
  return tfl_host::current().ballot == mask;
}

inline unsigned int __activemask() {
  tfl_host::fail("__activemask says nothing that a kernel may rely on");
}

// Fibers run one at a time, so that memory is always in order.
inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- atomic operations, of integers only: sums of floats must not depend on the order of threads

template <typename T, typename F>
T tfl_host_atomic(T* address, F change) {
  static_assert(std::is_integral_v<T>, "atomic operations are for integers");
  const T old = *address;
  *address = change(old);
  return old;
}

#define TFL_HOST_ATOMIC(name, expression)                                      \
  template <typename T>                                                        \
  T name(T* address, std::common_type_t<T> value) {                            \
    return tfl_host_atomic(address, [=](T old) -> T { return (expression); }); \
  }
TFL_HOST_ATOMIC(atomicAdd, old + value)
TFL_HOST_ATOMIC(atomicSub, old - value)
TFL_HOST_ATOMIC(atomicExch, value)
TFL_HOST_ATOMIC(atomicMin, old < value ? old : value)
TFL_HOST_ATOMIC(atomicMax, old > value ? old : value)
TFL_HOST_ATOMIC(atomicAnd, old & value)
TFL_HOST_ATOMIC(atomicOr, old | value)
TFL_HOST_ATOMIC(atomicXor, old ^ value)
TFL_HOST_ATOMIC(atomicInc, old >= value ? 0 : old + 1)

template <typename T>
T atomicCAS(T* address, std::common_type_t<T> compare, std::common_type_t<T> value) {
  return tfl_host_atomic(address, [=](T old) { return old == compare ? value : old; });
}

// ---- loads, bits and arithmetic

template <typename T>
T __ldg(const T* address) {
  return *address;
}

template <typename To, typename From>
To tfl_host_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline unsigned int __float_as_uint(float x) { return tfl_host_bits<unsigned int>(x); }
inline float __uint_as_float(unsigned int x) { return tfl_host_bits<float>(x); }
inline int __float_as_int(float x) { return tfl_host_bits<int>(x); }
inline float __int_as_float(int x) { return tfl_host_bits<float>(x); }
inline long long __double_as_longlong(double x) { return tfl_host_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return tfl_host_bits<double>(x); }

inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned int>(x)) : 32; }
inline unsigned int __umulhi(unsigned int x, unsigned int y) {
  return static_cast<unsigned int>(static_cast<unsigned long long>(x) * y >> 32);
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }

// CUDA's take two types, and prefer a number to NaN.
template <typename X, typename Y>
std::common_type_t<X, Y> min(X x, Y y) {
  using T = std::common_type_t<X, Y>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(x), T(y));
  else return T(x) < T(y) ? T(x) : T(y);
}
template <typename X, typename Y>
std::common_type_t<X, Y> max(X x, Y y) {
  using T = std::common_type_t<X, Y>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(x), T(y));
  else return T(x) > T(y) ? T(x) : T(y);
}

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned int x, y; };
struct alignas(16) uint4 { unsigned int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned int x, unsigned int y, unsigned int z, unsigned int w) {
  return {x, y, z, w};
}

// ---- what -fsanitize=alignment,bounds calls. A GPU faults on an address that isn't a multiple of
// what it reads at once; an index past an array's end reads its neighbour.

namespace tfl_host {

struct CheckedPlace {
  const char* file;
  std::uint32_t line, column;
};
struct CheckedType {
  std::uint16_t kind, detail;
  char name[1];
};
struct Mismatch {
  CheckedPlace place;
  const CheckedType* type;
  unsigned char alignment_log2, what;
};
struct OutOfBounds {
  CheckedPlace place;
  const CheckedType* array;
  const CheckedType* index;
};

}  // namespace tfl_host

extern "C" __attribute__((used)) inline void __ubsan_handle_type_mismatch_v1(
    tfl_host::Mismatch* found, std::uintptr_t address) {
  const unsigned int alignment = 1u << found->alignment_log2;
  tfl_host::fail("misaligned access at %s:%u: %s lies at multiples of %u, got one %u past",
                 found->place.file, found->place.line, found->type->name, alignment,
                 static_cast<unsigned int>(address % alignment));
}

extern "C" __attribute__((used)) inline void __ubsan_handle_out_of_bounds(
    tfl_host::OutOfBounds* found, std::uintptr_t index) {
  tfl_host::fail("index out of bounds at %s:%u: %lld of %s", found->place.file, found->place.line,
                 static_cast<long long>(index), found->array->name);
}
