// Products of small matrices by a warp. A strip C of 16 rows lies spread over the warp's lanes: lane
// 4 g + t holds, of every eight columns j, C[g][8 j + 2 t], the one right of it, and the same two of
// row g + 8: c[j][0 ... 3]. Operands lie in shared memory, in rows of `K + padding` elements.
#pragma once

#include "types.cuh"

namespace tfl {

#if defined(__CUDA_ARCH__)
TFL_DEVICE unsigned int shared_offset(const void* pointer) {
  return static_cast<unsigned int>(__cvta_generic_to_shared(pointer));
}
#endif

TFL_DEVICE int lane_of_thread() { return static_cast<int>(threadIdx.x % 32); }

// Two halves in one word, the first in its lower half.
template <typename T>
TFL_DEVICE unsigned int two_halves(T first, T second) {
  return first.bits | static_cast<unsigned int>(second.bits) << 16;
}

template <typename T>
TFL_DEVICE T half_of(unsigned int word, int which) {
  return T{static_cast<unsigned short>(word >> (16 * which))};
}

// Four matrices of 8 x 8 halves, a word of each per lane: elements [g][2 t] and [g][2 t + 1], or
// with `TRANSPOSED` [2 t][g] and [2 t + 1][g]. They lie at `base`, two by two: the second is
// `below` the first where `DOWN_FIRST`, else right of it; the third and fourth likewise beside them.
template <bool TRANSPOSED, bool DOWN_FIRST, typename T>
TFL_DEVICE void load_matrices(const T* base, int stride, unsigned int (&words)[4]) {
  const int lane = lane_of_thread();
#if defined(__CUDA_ARCH__)
  const int inner = lane / 8 % 2;
  const int outer = lane / 16;
  const int down = lane % 8 + 8 * (DOWN_FIRST ? inner : outer);
  const unsigned int address =
      shared_offset(base + down * stride + 8 * (DOWN_FIRST ? outer : inner));
  if constexpr (TRANSPOSED) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
  }
#else
  const int g = lane / 4;
  const int t = lane % 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int down = 8 * (DOWN_FIRST ? i % 2 : i / 2);
    const int right = 8 * (DOWN_FIRST ? i / 2 : i % 2);
    const T* matrix = base + down * stride + right;
    words[i] = TRANSPOSED ? two_halves(matrix[2 * t * stride + g], matrix[(2 * t + 1) * stride + g])
                          : two_halves(matrix[g * stride + 2 * t], matrix[g * stride + 2 * t + 1]);
  }
#endif
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

#define TFL_MMA(type)                                                        \
  asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                       \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

template <typename T>
TFL_DEVICE void mma(float (&c)[4], const unsigned int (&a)[4], unsigned int b0, unsigned int b1);
template <>
TFL_DEVICE void mma<float16>(float (&c)[4], const unsigned int (&a)[4], unsigned int b0,
                             unsigned int b1) {
  TFL_MMA("f16");
}
template <>
TFL_DEVICE void mma<bfloat16>(float (&c)[4], const unsigned int (&a)[4], unsigned int b0,
                              unsigned int b1) {
  TFL_MMA("bf16");
}

#elif !defined(__CUDA_ARCH__)

// The same 16 x 16 times 16 x 8, by shuffles: a lane gathers its two rows and its two columns.
template <typename T>
TFL_DEVICE void mma(float (&c)[4], const unsigned int (&a)[4], unsigned int b0, unsigned int b1) {
  const int lane = lane_of_thread();
  for (int source = 0; source < 4; ++source) {
    unsigned int rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = __shfl_sync(~0u, a[i], (lane & ~3) + source);
    for (int column = 0; column < 2; ++column) {
      const int holder = (2 * (lane % 4) + column) * 4 + source;
      const unsigned int words[2] = {__shfl_sync(~0u, b0, holder), __shfl_sync(~0u, b1, holder)};
      for (int i = 0; i < 4; ++i) {
        for (int which = 0; which < 2; ++which) {
          c[i % 2 * 2 + column] += to_float(half_of<T>(rows[i], which)) *
                                   to_float(half_of<T>(words[i / 2], which));
        }
      }
    }
  }
}

#else

// Turing's tensor cores have no bfloat16: whoever launches asks for the capability first.
template <typename T>
TFL_DEVICE void mma(float (&)[4], const unsigned int (&)[4], unsigned int, unsigned int) {
  __trap();
}
// Of float16 they take half as many columns at a time.
template <>
TFL_DEVICE void mma<float16>(float (&c)[4], const unsigned int (&a)[4], unsigned int b0,
                             unsigned int b1) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(i ? b1 : b0));
  }
}

#endif

// ---- floats on the tensor cores, rounded to the 11 digits of tf32: 16 x 8 times 8 x 8. Lane
// 4 g + t holds A[g][t], A[g + 8][t], A[g][t + 4], A[g + 8][t + 4], and B[t][g] and B[t + 4][g].

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

TFL_DEVICE unsigned int to_tf32(float x) {
  unsigned int bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

TFL_DEVICE void mma_tf32(float (&c)[4], const unsigned int (&a)[4], unsigned int b0,
                         unsigned int b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#elif !defined(__CUDA_ARCH__)

// To nearest, ties away from zero; infinity and NaN stay.
TFL_DEVICE unsigned int to_tf32(float x) {
  const unsigned int bits = bits_of(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}

TFL_DEVICE void mma_tf32(float (&c)[4], const unsigned int (&a)[4], unsigned int b0,
                         unsigned int b1) {
  const int lane = lane_of_thread();
  for (int source = 0; source < 4; ++source) {
    float rows[4];
    for (int i = 0; i < 4; ++i) {
      rows[i] = float_of(__shfl_sync(~0u, a[i], (lane & ~3) + source));
    }
    for (int column = 0; column < 2; ++column) {
      const int holder = (2 * (lane % 4) + column) * 4 + source;
      const float upper = float_of(__shfl_sync(~0u, b0, holder));
      const float lower = float_of(__shfl_sync(~0u, b1, holder));
      for (int i = 0; i < 2; ++i) c[2 * i + column] += rows[i] * upper + rows[i + 2] * lower;
    }
  }
}

#else

// Turing's tensor cores have none: whoever launches asks for the capability first.
TFL_DEVICE unsigned int to_tf32(float x) { return bits_of(x); }
TFL_DEVICE void mma_tf32(float (&)[4], const unsigned int (&)[4], unsigned int, unsigned int) {
  __trap();
}

#endif

// Products of strips. For halves they are those of the tensor cores, with sums in float.
template <typename T>
struct Strips {
  // Of rows in shared memory: 16 bytes more than a multiple of 64, so that the rows of a matrix lie
  // in different banks.
  static constexpr int padding = 8;
  static constexpr int scratch = 0;  // elements a warp needs for a strip of one column

  // C += A Bᵀ, where A is 16 x K and B is N x K.
  template <int N, int K>
  static TFL_DEVICE void by_columns(float (&c)[N / 8][4], const T* a, const T* b) {
    constexpr int stride = K + padding;
#pragma unroll
    for (int k = 0; k < K; k += 16) {
      unsigned int left[4];
      load_matrices<false, true>(a + k, stride, left);
#pragma unroll
      for (int n = 0; n < N; n += 16) {
        unsigned int right[4];
        load_matrices<false, false>(b + n * stride + k, stride, right);
        mma<T>(c[n / 8], left, right[0], right[1]);
        mma<T>(c[n / 8 + 1], left, right[2], right[3]);
      }
    }
  }

  // C += P B, where P is a strip of 16 x K, rounded to T, and B is K x N.
  template <int N, int K>
  static TFL_DEVICE void by_rows(float (&c)[N / 8][4], const float (&p)[K / 8][4], const T* b, T*) {
    constexpr int stride = N + padding;
#pragma unroll
    for (int k = 0; k < K; k += 16) {
      const auto& first = p[k / 8];
      const auto& second = p[k / 8 + 1];
      const unsigned int left[4] = {
          two_halves(narrow<T>(first[0]), narrow<T>(first[1])),
          two_halves(narrow<T>(first[2]), narrow<T>(first[3])),
          two_halves(narrow<T>(second[0]), narrow<T>(second[1])),
          two_halves(narrow<T>(second[2]), narrow<T>(second[3]))};
#pragma unroll
      for (int n = 0; n < N; n += 16) {
        unsigned int right[4];
        load_matrices<true, true>(b + k * stride + n, stride, right);
        mma<T>(c[n / 8], left, right[0], right[1]);
        mma<T>(c[n / 8 + 1], left, right[2], right[3]);
      }
    }
  }
};

// float has no tensor cores that keep its digits: each lane sums its own elements.
template <>
struct Strips<float> {
  static constexpr int padding = 4;
  static constexpr int scratch = 16;

  template <int N, int K>
  static TFL_DEVICE void by_columns(float (&c)[N / 8][4], const float* a, const float* b) {
    constexpr int stride = K + padding;
    const int g = lane_of_thread() / 4;
    const int t = lane_of_thread() % 4;
#pragma unroll 2
    for (int k = 0; k < K; k += 4) {
      const Pack<float> upper = *reinterpret_cast<const Pack<float>*>(a + g * stride + k);
      const Pack<float> lower = *reinterpret_cast<const Pack<float>*>(a + (g + 8) * stride + k);
#pragma unroll
      for (int n = 0; n < N; n += 8) {
#pragma unroll
        for (int side = 0; side < 2; ++side) {
          const float* column = b + (n + 2 * t + side) * stride + k;
          const Pack<float> right = *reinterpret_cast<const Pack<float>*>(column);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            c[n / 8][side] += upper.at[i] * right.at[i];
            c[n / 8][2 + side] += lower.at[i] * right.at[i];
          }
        }
      }
    }
  }

  template <int N, int K>
  static TFL_DEVICE void by_rows(float (&c)[N / 8][4], const float (&p)[K / 8][4], const float* b,
                                 float* space) {
    constexpr int stride = N + padding;
    constexpr int across = K + padding;
    const int g = lane_of_thread() / 4;
    const int t = lane_of_thread() % 4;
    __syncwarp();  // what was there has been read
#pragma unroll
    for (int j = 0; j < K / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) space[(g + i / 2 * 8) * across + 8 * j + 2 * t + i % 2] = p[j][i];
    }
    __syncwarp();
#pragma unroll 1
    for (int k = 0; k < K; k += 4) {
      const Pack<float> upper = *reinterpret_cast<const Pack<float>*>(space + g * across + k);
      const Pack<float> lower = *reinterpret_cast<const Pack<float>*>(space + (g + 8) * across + k);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* row = b + (k + i) * stride + 2 * t;
#pragma unroll
        for (int j = 0; j < N / 8; ++j) {
          const float left = row[8 * j];
          const float right = row[8 * j + 1];
          c[j][0] += upper.at[i] * left;
          c[j][1] += upper.at[i] * right;
          c[j][2] += lower.at[i] * left;
          c[j][3] += lower.at[i] * right;
        }
      }
    }
  }
};

}  // namespace tfl
