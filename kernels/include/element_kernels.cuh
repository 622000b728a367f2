// What generated kernels of element programs share (tensorflowlite/backend/cuda/element_source.py):
// how arrays are read and written, and how values are folded at the end.
#pragma once

#include "elements.cuh"
#include "reduce.cuh"

namespace tfl {
namespace elements {

// Numbers that lie side by side, read and written 16 bytes at a time or all at once.
template <typename T, int run>
struct alignas(run * sizeof(T) < 16 ? run * sizeof(T) : 16) Run {
  T at[run];
};

// The first `here` numbers from an address on; `packed` where all are read at once.
template <int run, typename T>
TFL_DEVICE Run<T, run> read_run(const T* from, int here, bool packed) {
  if (packed) return *reinterpret_cast<const Run<T, run>*>(from);
  Run<T, run> made;
#pragma unroll
  for (int j = 0; j < run; ++j) made.at[j] = from[j < here ? j : 0];
  return made;
}

template <int run, typename T>
TFL_DEVICE void write_run(T* to, const Run<T, run>& made, int here, bool packed) {
  if (packed) {
    *reinterpret_cast<Run<T, run>*>(to) = made;
    return;
  }
#pragma unroll
  for (int j = 0; j < run; ++j) {
    if (j < here) to[j] = made.at[j];
  }
}

TFL_DEVICE truth number_from(truth x) { return x; }
TFL_DEVICE int number_from(int x) { return x; }
TFL_DEVICE long long number_from(long long x) { return x; }
TFL_DEVICE float number_from(float x) { return x; }
TFL_DEVICE double number_from(double x) { return x; }
TFL_DEVICE float number_from(float16 x) { return to_float(x); }
TFL_DEVICE float number_from(bfloat16 x) { return to_float(x); }

template <typename S>
struct Stored {
  template <typename T>
  static TFL_DEVICE S of(T x) {
    return static_cast<S>(x);
  }
};
template <>
struct Stored<float16> {
  static TFL_DEVICE float16 of(float x) { return to_float16(x); }
};
template <>
struct Stored<bfloat16> {
  static TFL_DEVICE bfloat16 of(float x) { return to_bfloat16(x); }
};

template <typename T>
TFL_DEVICE T* moved(T* base, long long bytes) {
  return reinterpret_cast<T*>(reinterpret_cast<unsigned long long>(base) + bytes);
}

// Adds to each array's offset, in bytes, where element `number` of the axes first ... last lies.
template <int first, int last, typename Layout, typename Index>
TFL_DEVICE void locate(const Layout& layout, Index number, long long* offsets) {
#pragma unroll
  for (int axis = last; axis >= first; --axis) {
    Index place = number;
    if (axis > first) {
      const Index size = static_cast<Index>(layout.sizes[axis]);
      number = place / size;
      place -= number * size;
    }
#pragma unroll
    for (int i = 0; i < Layout::arrays; ++i) {
      offsets[i] += static_cast<long long>(place) * layout.strides[i][axis];
    }
  }
}

// ---- folding

struct FoldSum {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return add::of(x, y);
  }
  template <typename T>
  static TFL_DEVICE T nothing() {
    return T(0);
  }
};

// NaN where there is one, as NumPy's.
struct FoldMax {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return maximum::of(x, y);
  }
  template <typename T>
  static TFL_DEVICE T nothing() {
    if constexpr (IsFloat<T>::value) {
      return -static_cast<T>(infinity<float>());
    } else {
      return static_cast<T>(1ull << 63);
    }
  }
};

struct FoldMin {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return minimum::of(x, y);
  }
  template <typename T>
  static TFL_DEVICE T nothing() {
    if constexpr (IsFloat<T>::value) {
      return static_cast<T>(infinity<float>());
    } else {
      return static_cast<T>(~(1ull << 63));
    }
  }
};

// What was folded, as the result's type; `count` is 0 but for means.
template <typename S, typename W>
TFL_DEVICE S finished(W folded, long long count) {
  if constexpr (IsFloat<W>::value) {
    return Stored<S>::of(count ? folded / static_cast<W>(count) : folded);
  } else {
    return Stored<S>::of(folded);
  }
}

// The folds of a block's threads along y, in order; threadIdx.y == 0 gets them.
template <typename Fold, typename W>
TFL_DEVICE W over_rows(W folded) {
  __shared__ W room[8][32];
  room[threadIdx.y][threadIdx.x] = folded;
  __syncthreads();
  if (threadIdx.y == 0) {
    for (int y = 1; y < 8; ++y) folded = Fold::of(folded, room[y][threadIdx.x]);
  }
  return folded;
}

}  // namespace elements
}  // namespace tfl
