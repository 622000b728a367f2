// Attention by scaled dot products, forward and backward, in blocks: the matrix of scores is never
// held. Arguments are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

// Many matrices of one shape: where each begins and how far its rows are apart, in elements. The
// numbers of a row are neighbours.
template <typename T>
struct Matrices {
  T* data;
  const std::ptrdiff_t* starts;
  std::ptrdiff_t row;

  T* at(std::size_t index) const { return data + starts[index]; }
};

// What is added to the scores, or which of them count; data is null where there is no mask.
struct AttentionMask {
  const void* data;
  const std::ptrdiff_t* starts;
  std::ptrdiff_t row, column;
  bool counts;  // of bool; else of the scores' type
};

// `groups` matrices of queries in a row share the keys and values of one of `heads`.
struct AttentionShape {
  std::size_t heads, groups, rows, columns, width, depth;
  bool causal;
  double scale;
};

// sums are the logarithms of the softmax's divisors, heads x groups x rows.
template <typename T>
struct AttentionForward {
  Matrices<const T> query, key, value;
  AttentionMask mask;
  Matrices<T> out;
  T* sums;
};

template <typename T>
struct AttentionBackward {
  Matrices<const T> y, query, key, value, out;
  AttentionMask mask;
  const T* sums;
  Matrices<T> query_gradient, key_gradient, value_gradient;
};

// Each says whether there was memory for it.
struct Attention {
  bool (*forward_float)(const AttentionForward<float>&, const AttentionShape&);
  bool (*forward_double)(const AttentionForward<double>&, const AttentionShape&);
  bool (*backward_float)(const AttentionBackward<float>&, const AttentionShape&);
  bool (*backward_double)(const AttentionBackward<double>&, const AttentionShape&);
};

const Attention& attention_kernels();

}  // namespace tfl
