// Sums of a matrix's columns: each block takes a strip of columns over a chunk of rows, threadIdx.x
// along the columns and threadIdx.y along the rows; what it finds is a row of partial sums.
#pragma once

#include "types.cuh"

namespace tfl {

// What is read and written at once: a pack, or one number.
template <typename T, int size>
struct Piece {
  T at[size];
};

template <int size, typename T>
TFL_DEVICE Piece<T, size> read_piece(const T* from) {
  Piece<T, size> piece;
  if constexpr (size == 1) {
    piece.at[0] = *from;
  } else {
    const Pack<T> pack = read_once(reinterpret_cast<const Pack<T>*>(from));
#pragma unroll
    for (int j = 0; j < size; ++j) piece.at[j] = pack.at[j];
  }
  return piece;
}

template <int size, typename T>
TFL_DEVICE void write_piece(T* to, const Piece<T, size>& piece) {
  if constexpr (size == 1) {
    *to = piece.at[0];
  } else {
    Pack<T> pack;
#pragma unroll
    for (int j = 0; j < size; ++j) pack.at[j] = piece.at[j];
    *reinterpret_cast<Pack<T>*>(to) = pack;
  }
}

// Adds up the sums of a block's threads along the rows, always in the same order. `room` holds
// `size` numbers for each thread.
template <int size, typename W>
TFL_DEVICE void fold_strip(const W (&sums)[size], W* room, W* partials, long long column,
                           long long columns) {
  const int width = blockDim.x * size;
#pragma unroll
  for (int j = 0; j < size; ++j) {
    room[threadIdx.y * width + j * blockDim.x + threadIdx.x] = sums[j];
  }
  __syncthreads();
  if (column >= columns || threadIdx.y) return;
#pragma unroll
  for (int j = 0; j < size; ++j) {
    W sum = 0;
    for (int y = 0; y < static_cast<int>(blockDim.y); ++y) {
      sum += room[y * width + j * blockDim.x + threadIdx.x];
    }
    partials[blockIdx.y * columns + column + j] = sum;
  }
}

}  // namespace tfl
