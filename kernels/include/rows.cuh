// Passes over a row of numbers by the threads that share it: threadIdx.x along the row, and where
// that is one warp, threadIdx.y is another row. Two forms with the same members:
//   Held<T>       the row lies in registers, TFL_PACKS packs per thread, and is read once
//   Looped<T, P>  each pass reads it, P (a pack or one number) at a time
// What a pass calls gets some numbers that lie side by side, and the column of the first.
#pragma once

#include "reduce.cuh"

namespace tfl {

template <typename T>
struct Single {
  static constexpr int size = 1;
  T at[1];
};

#if defined(TFL_PACKS)

// The blocks that a multiprocessor must be able to have at once. With many packs, code for chips
// before Hopper takes more registers; those chips need fewer threads for their memory's speed.
#if TFL_PACKS > 4 && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define TFL_ROW_BLOCKS 1
#else
#define TFL_ROW_BLOCKS TFL_BLOCKS
#endif

template <typename T>
struct Held {
  Pack<T> packs[TFL_PACKS];
  int columns;

  // Whether the threads hold a row of so many columns.
  static TFL_DEVICE bool holds(long long columns) {
    return columns <= static_cast<long long>(blockDim.x) * TFL_PACKS * Pack<T>::size;
  }

  TFL_DEVICE Held(const T* row, long long columns_) : columns(static_cast<int>(columns_)) {
#pragma unroll
    for (int p = 0; p < TFL_PACKS; ++p) {
      if (column(p) < columns) {
        packs[p] = read_once(reinterpret_cast<const Pack<T>*>(row + column(p)));
      }
    }
  }

  TFL_DEVICE int column(int p) const {
    return (p * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * Pack<T>::size;
  }

  template <typename Visit>
  TFL_DEVICE void for_each(Visit visit) {
#pragma unroll
    for (int p = 0; p < TFL_PACKS; ++p) {
      if (column(p) < columns) visit(packs[p], static_cast<long long>(column(p)));
      one_by_one();
    }
#pragma unroll
    for (int p = 0; p < TFL_PACKS; ++p) forget(packs[p]);
  }

  // Writes what `function` makes of the numbers to another row.
  template <typename Function>
  TFL_DEVICE void write(T* out, Function function) {
#pragma unroll
    for (int p = 0; p < TFL_PACKS; ++p) {
      if (column(p) < columns) {
        *reinterpret_cast<Pack<T>*>(out + column(p)) =
            function(packs[p], static_cast<long long>(column(p)));
      }
      one_by_one();
    }
  }

  // With many packs, a compiler that works on several at once runs out of registers.
  static TFL_DEVICE void one_by_one() {
#if defined(__CUDA_ARCH__) && TFL_PACKS > 4
    __syncwarp();
#endif
  }
};

#endif

template <typename T, typename P>
struct Looped {
  const T* row;
  long long columns;

  TFL_DEVICE Looped(const T* row_, long long columns_) : row(row_), columns(columns_) {}

  template <typename Visit>
  TFL_DEVICE void for_each(Visit visit) {
    const long long step = static_cast<long long>(blockDim.x) * P::size;
    for (long long column = threadIdx.x * P::size; column < columns; column += step) {
      visit(*reinterpret_cast<const P*>(row + column), column);
    }
  }

  template <typename Function>
  TFL_DEVICE void write(T* out, Function function) {
    for_each([&](const P& numbers, long long column) {
      *reinterpret_cast<P*>(out + column) = function(numbers, column);
    });
  }
};

// The row of this thread: a grid has a group of threads for each.
TFL_DEVICE long long row_of_thread() {
  return static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y;
}

}  // namespace tfl
