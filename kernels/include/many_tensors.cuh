// One launch over the elements of many tensors: each block takes a run of one tensor's elements.
#pragma once

#include "types.cuh"

namespace tfl {

// A launch's tensors, `KINDS` arrays of each. It is a kernel's parameter: nothing is uploaded, and a
// launch reads the addresses of its own time. 4096 bytes of parameters are what every CUDA takes.
constexpr int tensors_per_launch = 64;

template <int KINDS>
struct Tensors {
  void* arrays[KINDS][tensors_per_launch];
  long long sizes[tensors_per_launch];
  int first_block[tensors_per_launch + 1];
  int count;
};

// What one block of `threads` threads works on: two packs per thread at a time, four times.
template <typename T>
constexpr int elements_per_block(int threads) {
  return threads * Pack<T>::size * 8;
}

// The tensor of a block: the last one that begins no later.
template <int KINDS>
TFL_DEVICE int tensor_of(const Tensors<KINDS>& tensors, int block) {
  int low = 0;
  int high = tensors.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (tensors.first_block[middle] <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

template <int KINDS, typename T>
struct PackOfEach {
  Pack<T> of[KINDS];
};

template <typename F, int KINDS, typename T>
TFL_DEVICE void update_pack(const F& update, PackOfEach<KINDS, T>& packs) {
#pragma unroll
  for (int j = 0; j < Pack<T>::size; ++j) {
    wide<T> x[KINDS];
#pragma unroll
    for (int k = 0; k < KINDS; ++k) x[k] = widen(packs.of[k].at[j]);
    update(x);
#pragma unroll
    for (int k = 0; k < KINDS; ++k) {
      if (F::writes >> k & 1) packs.of[k].at[j] = narrow<T>(x[k]);
    }
  }
}

template <typename F, int KINDS, typename T>
TFL_DEVICE void load_packs(T* const (&arrays)[KINDS], long long i, PackOfEach<KINDS, T>& packs) {
#pragma unroll
  for (int k = 0; k < KINDS; ++k) packs.of[k] = reinterpret_cast<const Pack<T>*>(arrays[k])[i];
}

template <typename F, int KINDS, typename T>
TFL_DEVICE void store_packs(T* const (&arrays)[KINDS], long long i,
                            const PackOfEach<KINDS, T>& packs) {
#pragma unroll
  for (int k = 0; k < KINDS; ++k) {
    if (F::writes >> k & 1) reinterpret_cast<Pack<T>*>(arrays[k])[i] = packs.of[k];
  }
}

// Runs `update` on this block's elements: it gets one element of each kind, widened, and changes
// those kinds whose bits are set in F::writes.
template <typename T, int KINDS, typename F>
TFL_DEVICE void update_elements(const Tensors<KINDS>& tensors, const F& update) {
  const int tensor = tensor_of(tensors, blockIdx.x);
  const long long begin = static_cast<long long>(blockIdx.x - tensors.first_block[tensor]) *
                          elements_per_block<T>(blockDim.x);
  const long long left = tensors.sizes[tensor] - begin;
  const int most = elements_per_block<T>(blockDim.x);
  const int size = left < most ? static_cast<int>(left) : most;
  T* arrays[KINDS];
  unsigned long long together = 0;
#pragma unroll
  for (int k = 0; k < KINDS; ++k) {
    arrays[k] = static_cast<T*>(tensors.arrays[k][tensor]) + begin;
    together |= reinterpret_cast<unsigned long long>(arrays[k]);
  }
  const int packs = together % 16 == 0 ? size / Pack<T>::size : 0;
  // Two at a time: the loads of both are on their way together.
  for (int i = threadIdx.x; i < packs; i += 2 * blockDim.x) {
    const int next = i + blockDim.x;
    PackOfEach<KINDS, T> first;
    PackOfEach<KINDS, T> second;
    load_packs<F>(arrays, i, first);
    if (next < packs) load_packs<F>(arrays, next, second);
    update_pack(update, first);
    store_packs<F>(arrays, i, first);
    if (next < packs) {
      update_pack(update, second);
      store_packs<F>(arrays, next, second);
    }
  }
  for (int i = packs * Pack<T>::size + threadIdx.x; i < size; i += blockDim.x) {
    wide<T> x[KINDS];
#pragma unroll
    for (int k = 0; k < KINDS; ++k) x[k] = widen(arrays[k][i]);
    update(x);
#pragma unroll
    for (int k = 0; k < KINDS; ++k) {
      if (F::writes >> k & 1) arrays[k][i] = narrow<T>(x[k]);
    }
  }
}

}  // namespace tfl
