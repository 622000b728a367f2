// Half-precision numbers, what sums of each type are kept in, and 16-byte vectors of each. No CUDA
// header is included, so that NVRTC needs none and g++ runs the same text (kernels/host/).
#pragma once

#include "portable.cuh"

// Marks a kernel (extern "C") and tells its most threads per block; the launcher finds the kernels'
// names by it.
#if defined(__CUDACC__)
#define TFL_KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)
#else
#define TFL_KERNEL(...) void
#endif

// Declares the block's dynamic shared memory; on the host kernels/host/cuda_host.hpp does.
#if defined(__CUDACC__)
#define TFL_DYNAMIC_SHARED(type, name)                          \
  extern __shared__ __align__(16) unsigned char name##_bytes[]; \
  type* name = reinterpret_cast<type*>(name##_bytes)
#endif

namespace tfl {

struct float16 {
  unsigned short bits;
};

struct bfloat16 {
  unsigned short bits;
};

#if defined(__CUDA_ARCH__)

TFL_DEVICE unsigned int bits_of(float x) { return __float_as_uint(x); }
TFL_DEVICE float float_of(unsigned int bits) { return __uint_as_float(bits); }

TFL_DEVICE float to_float(float16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}

TFL_DEVICE float16 to_float16(float x) {
  float16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}

#else

TFL_DEVICE unsigned int bits_of(float x) {
  unsigned int bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
TFL_DEVICE float float_of(unsigned int bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

TFL_DEVICE float to_float(float16 x) {
  const unsigned int sign = (x.bits & 0x8000u) << 16;
  const unsigned int rest = x.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
  // Half's exponent is 112 less than float's; the product also makes subnormals normal.
  return float_of(sign | bits_of(float_of(rest << 13) * 0x1p112f));
}

TFL_DEVICE float16 to_float16(float x) {
  const unsigned int bits = bits_of(x);
  const unsigned int sign = bits >> 16 & 0x8000u;
  const unsigned int rest = bits & 0x7fffffffu;
  unsigned int half;
  if (rest > 0x7f800000u) {
    half = 0x7fffu;
  } else if (rest >= 0x477ff000u) {  // 65520 and above
    half = 0x7c00u;
  } else if (rest < 0x38800000u) {  // below 2^-14: adding 1/2 leaves multiples of 2^-24
    half = bits_of(float_of(rest) + 0.5f) - 0x3f000000u;
  } else {
    half = (rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13;
  }
  return float16{static_cast<unsigned short>(sign | half)};
}

#endif

TFL_DEVICE float to_float(bfloat16 x) { return float_of(static_cast<unsigned int>(x.bits) << 16); }

TFL_DEVICE bfloat16 to_bfloat16(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  bfloat16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  const unsigned int bits = bits_of(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bfloat16{0x7fff};
  return bfloat16{static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#endif
}

// What a type is computed and summed in.
template <typename T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};
template <typename T>
using wide = typename Wide<T>::type;

TFL_DEVICE float widen(float x) { return x; }
TFL_DEVICE double widen(double x) { return x; }
TFL_DEVICE float widen(float16 x) { return to_float(x); }
TFL_DEVICE float widen(bfloat16 x) { return to_float(x); }

// A wide number rounded to T.
template <typename T>
TFL_DEVICE T narrow(wide<T> x);
template <>
TFL_DEVICE float narrow<float>(float x) { return x; }
template <>
TFL_DEVICE double narrow<double>(double x) { return x; }
template <>
TFL_DEVICE float16 narrow<float16>(float x) { return to_float16(x); }
template <>
TFL_DEVICE bfloat16 narrow<bfloat16>(float x) { return to_bfloat16(x); }

template <typename W>
TFL_DEVICE W not_a_number() {
  return float_of(0x7fc00000u);
}
template <typename W>
TFL_DEVICE W infinity() {
  return float_of(0x7f800000u);
}

// 16 bytes of a type, read and written at once where the address is a multiple of 16.
template <typename T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T at[size];
};

// Whether packs can be read and written at an address; a null pointer is no hindrance.
TFL_DEVICE bool aligned(const void* address) {
  return (reinterpret_cast<unsigned long long>(address) & 15) == 0;
}

// Reads what is read only once: it doesn't displace in the first cache what is read again.
template <typename T>
TFL_DEVICE Pack<T> read_once(const Pack<T>* from) {
#if defined(__CUDA_ARCH__)
  union {
    unsigned int words[4];
    Pack<T> pack;
  } read;
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(read.words[0]), "=r"(read.words[1]), "=r"(read.words[2]), "=r"(read.words[3])
               : "l"(from)
               : "memory");
  return read.pack;
#else
  return *from;
#endif
}

// Keeps a compiler from holding what one pass made of a pack (its numbers as floats, their
// exponentials) for the next pass: that is more registers than there are.
template <typename T>
TFL_DEVICE void forget([[maybe_unused]] Pack<T>& pack) {
#if defined(__CUDA_ARCH__)
  union {
    Pack<T> pack;
    unsigned int words[4];
  } same;
  same.pack = pack;
  asm volatile(""
               : "+r"(same.words[0]), "+r"(same.words[1]), "+r"(same.words[2]),
                 "+r"(same.words[3]));
  pack = same.pack;
#endif
}

}  // namespace tfl
