// Sums and greatest values over the lanes of a warp and the threads of a block: always in the same
// order, and every thread gets the result.
#pragma once

#include "types.cuh"

namespace tfl {

struct Sum {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return x + y;
  }
  template <typename T>
  static TFL_DEVICE T nothing() {
    return T(0);
  }
};

// NaN where there is one, as NumPy's.
struct Greatest {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return y > x || y != y ? y : x;
  }
  template <typename T>
  static TFL_DEVICE T nothing() {
    return -infinity<T>();
  }
};

// Over `lanes` neighbours, a power of 2 of at most 32; whole warps take part.
template <typename Operation, typename T>
TFL_DEVICE T over_lanes(T x, int lanes = 32) {
  for (int offset = lanes / 2; offset; offset /= 2) {
    x = Operation::of(x, __shfl_xor_sync(0xffffffffu, x, offset));
  }
  return x;
}

// Over all threads of a block of whole warps.
template <typename Operation, typename T>
TFL_DEVICE T over_block(T x) {
  __shared__ T room[32];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  const int warps = blockDim.x * blockDim.y / 32;
  x = over_lanes<Operation>(x);
  __syncthreads();  // the last call's values have been read
  if (thread % 32 == 0) room[thread / 32] = x;
  __syncthreads();
  x = thread % 32 < warps ? room[thread % 32] : Operation::template nothing<T>();
  return over_lanes<Operation>(x);
}

// Over the threads of one threadIdx.y: a warp of its own, or else the whole block.
template <typename Operation, typename T>
TFL_DEVICE T over_row(T x) {
  return blockDim.x == 32 ? over_lanes<Operation>(x) : over_block<Operation>(x);
}

// The sums over `parts` rows of partial sums, for a block of 32 x 32 threads and 32 columns.
template <typename Out, typename T>
TFL_DEVICE void sum_columns(const T* partials, Out* out, long long parts, long long columns) {
  __shared__ T room[32][33];
  const long long column = blockIdx.x * 32ll + threadIdx.x;
  T sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (long long part = threadIdx.y; part < parts; part += 32) {
      sum += partials[part * columns + column];
    }
  }
  room[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  sum = over_lanes<Sum>(room[threadIdx.x][threadIdx.y]);
  const long long mine = blockIdx.x * 32ll + threadIdx.y;
  if (threadIdx.x == 0 && mine < columns) out[mine] = narrow<Out>(sum);
}

}  // namespace tfl
