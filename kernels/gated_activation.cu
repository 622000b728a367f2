// Gated activations act(x) y and their gradients, each in one sweep.
// TFL_TYPE: the arrays' type. TFL_ACTIVATION: a struct of activations.cuh.
#include "activations.cuh"
#include "strips.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using A = TFL_ACTIVATION;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

constexpr int threads = 256;
constexpr int at_once = 2;  // packs of each array that a thread has under way

namespace {

template <int size>
using Piece = tfl::Piece<T, size>;

struct Forward {
  const T *x, *y;
  T* out;
  W slope;

  // `count` pieces from element `first` on, a block's threads apart: all loads are under way before
  // the first is waited for, which a branch between them would prevent.
  template <int size, int count>
  TFL_DEVICE void pieces(long long first) const {
    Piece<size> a[count], b[count];
#pragma unroll
    for (int k = 0; k < count; ++k) {
      a[k] = tfl::read_piece<size>(x + first + k * threads * size);
      b[k] = tfl::read_piece<size>(y + first + k * threads * size);
    }
#pragma unroll
    for (int k = 0; k < count; ++k) {
#pragma unroll
      for (int j = 0; j < size; ++j) {
        const W value = A::template forward<W>(tfl::widen(a[k].at[j]), slope);
        a[k].at[j] = tfl::narrow<T>(value * tfl::widen(b[k].at[j]));
      }
      tfl::write_piece(out + first + k * threads * size, a[k]);
    }
  }
};

struct Backward {
  const T *g, *x, *y;
  T *dx, *dy;
  W slope;

  // As Forward::pieces().
  template <int size, int count>
  TFL_DEVICE void pieces(long long first) const {
    Piece<size> c[count], a[count], b[count];
#pragma unroll
    for (int k = 0; k < count; ++k) {
      c[k] = tfl::read_piece<size>(g + first + k * threads * size);
      a[k] = tfl::read_piece<size>(x + first + k * threads * size);
      b[k] = tfl::read_piece<size>(y + first + k * threads * size);
    }
#pragma unroll
    for (int k = 0; k < count; ++k) {
#pragma unroll
      for (int j = 0; j < size; ++j) {
        const auto of = tfl::gated_gradient(A{}, tfl::widen(c[k].at[j]), tfl::widen(a[k].at[j]),
                                            tfl::widen(b[k].at[j]), slope);
        a[k].at[j] = tfl::narrow<T>(of.gate);
        b[k].at[j] = tfl::narrow<T>(of.y);
      }
      tfl::write_piece(dx + first + k * threads * size, a[k]);
      tfl::write_piece(dy + first + k * threads * size, b[k]);
    }
  }
};

// All elements: packs where every address allows them, the rest one by one.
template <typename Work>
TFL_DEVICE void sweep(const Work& work, long long count, bool packed) {
  const long long packs = packed ? count / Pack::size : 0;
  const long long tile = threads * at_once;
  for (long long first = blockIdx.x * tile + threadIdx.x; first < packs;
       first += gridDim.x * tile) {
    if (first + (at_once - 1) * threads < packs) {
      work.template pieces<Pack::size, at_once>(first * Pack::size);
      continue;
    }
    for (long long i = first; i < packs; i += threads) {
      work.template pieces<Pack::size, 1>(i * Pack::size);
    }
  }
  const long long thread = static_cast<long long>(blockIdx.x) * threads + threadIdx.x;
  for (long long i = packs * Pack::size + thread; i < count;
       i += static_cast<long long>(gridDim.x) * threads) {
    work.template pieces<1, 1>(i);
  }
}

}  // namespace

// out = act(x) y over `count` elements.
extern "C" TFL_KERNEL(256, 2)
    gated_activation_forward(const T* x, const T* y, T* out, long long count, double slope) {
  const bool packed = tfl::aligned(x) && tfl::aligned(y) && tfl::aligned(out);
  sweep(Forward{x, y, out, static_cast<W>(slope)}, count, packed);
}

// dx = g y act'(x) and dy = g act(x) over `count` elements; dx may be g itself.
extern "C" TFL_KERNEL(256, 2)
    gated_activation_backward(const T* g, const T* x, const T* y, T* dx, T* dy, long long count,
                              double slope) {
  const bool packed = tfl::aligned(g) && tfl::aligned(x) && tfl::aligned(y) &&
                      tfl::aligned(dx) && tfl::aligned(dy);
  sweep(Backward{g, x, y, dx, dy, static_cast<W>(slope)}, count, packed);
}
