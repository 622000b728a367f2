// A layer's bias and activation, forward, and their gradients in one sweep.
// TFL_TYPE: the arrays' type. TFL_ACTIVATION: a struct of activations.cuh.
#include "activations.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using A = TFL_ACTIVATION;
using W = tfl::wide<T>;

// Forward over rows x columns, the bias along the columns (none where null). `saved` may be null or
// `out` itself. One thread a 16-byte pack; columns are a multiple of its size.
extern "C" TFL_KERNEL(256)
    bias_activation_forward(const T* z, const T* bias, T* out, T* saved, long long packs,
                            long long columns, double slope) {
  using Pack = tfl::Pack<T>;
  const long long packs_per_row = columns / Pack::size;
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs;
       i += stride) {
    Pack x = reinterpret_cast<const Pack*>(z)[i];
    Pack b{};
    if (bias) b = reinterpret_cast<const Pack*>(bias)[i % packs_per_row];
    Pack y;
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) {
      W sum = tfl::widen(x.at[j]);
      if (bias) sum += tfl::widen(b.at[j]);
      x.at[j] = tfl::narrow<T>(sum);
      y.at[j] = tfl::narrow<T>(A::template forward<W>(sum, static_cast<W>(slope)));
    }
    if (saved && !A::from_output) reinterpret_cast<Pack*>(saved)[i] = x;
    reinterpret_cast<Pack*>(out)[i] = y;
  }
}
