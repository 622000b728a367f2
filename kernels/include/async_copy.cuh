// Copies from global to shared memory that go on while a thread computes (Ampere and later).
//
// A thread's copies since its last copies_commit() are a group; copies_wait<n>() returns when at
// most the n youngest groups are under way. A barrier then makes them known to the other threads.
// On the host a copy is made when it is waited for, so that a lacking wait shows.
#pragma once

#include "types.cuh"

#if !defined(TFL_ASYNC)
#if defined(__CUDACC__) && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 800)
#define TFL_ASYNC 0
#else
#define TFL_ASYNC 1  // also on the host, unless a test says otherwise
#endif
#endif

namespace tfl {

// Whether there are such copies of so many bytes.
template <int bytes>
constexpr bool copies_async = TFL_ASYNC && (bytes == 4 || bytes == 8 || bytes == 16);

// Copies `valid` of so many bytes, and writes zeros for the rest; with none `from` isn't read.
template <int bytes>
TFL_DEVICE void copy_async([[maybe_unused]] void* to, [[maybe_unused]] const void* from,
                           [[maybe_unused]] int valid) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned int target = static_cast<unsigned int>(__cvta_generic_to_shared(to));
  if constexpr (bytes == 16) {  // past the first cache: a tile is read once by each block
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(from),
                 "r"(valid)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(from),
                 "n"(bytes), "r"(valid)
                 : "memory");
  }
#elif !defined(__CUDACC__)
  tfl_host::copy_later(to, from, bytes, valid);
#endif
}

TFL_DEVICE void copies_commit() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
  tfl_host::commit_copies();
#endif
}

template <int groups>
TFL_DEVICE void copies_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#elif !defined(__CUDACC__)
  tfl_host::wait_for_copies(groups);
#endif
}

}  // namespace tfl
