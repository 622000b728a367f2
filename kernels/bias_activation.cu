// A layer's bias and activation, forward, and their gradients in one sweep.
// TFL_TYPE: the arrays' type. TFL_ACTIVATION: a struct of activations.cuh.
#include "activations.cuh"
#include "reduce.cuh"
#include "strips.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using A = TFL_ACTIVATION;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

constexpr int threads = 256;
constexpr int at_once = 2;  // packs that a thread has under way

namespace {

// The channel of an element: the array is (..., channels, length), and so many elements are a
// period.
struct Place {
  long long channel, offset;

  TFL_DEVICE Place(long long position, long long length) {
    if (length == 1) {
      channel = position;
    } else if (position < 1ll << 32 && length < 1ll << 32) {  // in a quarter of the time
      channel = static_cast<unsigned int>(position) / static_cast<unsigned int>(length);
    } else {
      channel = position / length;
    }
    offset = position - channel * length;
  }

  TFL_DEVICE void advance(long long channels, long long length) {
    if (++offset < length) return;
    offset = 0;
    if (++channel == channels) channel = 0;
  }
};

TFL_DEVICE void activate(T& z, T& out, W bias, W slope) {
  const W sum = tfl::widen(z) + bias;
  z = tfl::narrow<T>(sum);
  out = tfl::narrow<T>(A::template forward<W>(sum, slope));
}

TFL_DEVICE void activate_pack(Pack& z, Pack& out, const T* bias, long long position,
                              long long channels, long long length, bool bias_packed, W slope) {
  Place place(position, length);
  if (bias_packed) {
    const Pack b = *reinterpret_cast<const Pack*>(bias + place.channel);
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) activate(z.at[j], out.at[j], tfl::widen(b.at[j]), slope);
    return;
  }
#pragma unroll
  for (int j = 0; j < Pack::size; ++j) {
    activate(z.at[j], out.at[j], tfl::widen(bias[place.channel]), slope);
    place.advance(channels, length);
  }
}

TFL_DEVICE T gradient(T g, T saved, W slope) {
  return tfl::narrow<T>(tfl::widen(g) * A::template derivative<W>(tfl::widen(saved), slope));
}

// `count` packs from `first` on, a block's threads apart: all loads are under way before the first
// is waited for, which a branch between them would prevent.
template <int count>
TFL_DEVICE void gradient_of_packs(const T* g, const T* saved, T* dz, long long first, W slope) {
  Pack x[count], s[count];
#pragma unroll
  for (int k = 0; k < count; ++k) {
    x[k] = tfl::read_once(reinterpret_cast<const Pack*>(g) + first + k * threads);
    s[k] = tfl::read_once(reinterpret_cast<const Pack*>(saved) + first + k * threads);
  }
#pragma unroll
  for (int k = 0; k < count; ++k) {
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) x[k].at[j] = gradient(x[k].at[j], s[k].at[j], slope);
    reinterpret_cast<Pack*>(dz)[first + k * threads] = x[k];
  }
}

struct Forward {
  const T *z, *bias;
  T *out, *saved;
  long long channels, length;
  bool bias_packed;
  W slope;

  // As gradient_of_packs().
  template <int count>
  TFL_DEVICE void packs(long long first) const {
    Pack x[count];
#pragma unroll
    for (int k = 0; k < count; ++k) {
      x[k] = tfl::read_once(reinterpret_cast<const Pack*>(z) + first + k * threads);
    }
    const long long period = channels * length;
    const long long step = threads * Pack::size % period;
    long long position = bias ? first * Pack::size % period : 0;
#pragma unroll
    for (int k = 0; k < count; ++k) {
      Pack y;
      if (bias) {
        activate_pack(x[k], y, bias, position, channels, length, bias_packed, slope);
        position += step;
        if (position >= period) position -= period;
      } else {
#pragma unroll
        for (int j = 0; j < Pack::size; ++j) activate(x[k].at[j], y.at[j], W(0), slope);
      }
      if (saved) reinterpret_cast<Pack*>(saved)[first + k * threads] = x[k];
      reinterpret_cast<Pack*>(out)[first + k * threads] = y;
    }
  }
};

}  // namespace

// Forward over `count` elements (..., channels, length), the bias along the channels (none where
// null). `saved` gets what derivative() reads, where that isn't the output; it may be `z` itself.
extern "C" TFL_KERNEL(256, 2)
    bias_activation_forward(const T* z, const T* bias, T* out, T* saved, long long count,
                            long long channels, long long length, double slope_) {
  const W slope = static_cast<W>(slope_);
  const bool packed = tfl::aligned(z) && tfl::aligned(out) && tfl::aligned(saved);
  const long long packs = packed ? count / Pack::size : 0;
  const bool bias_packed = length == 1 && channels % Pack::size == 0 && tfl::aligned(bias);
  const long long period = channels * length;
  const long long tile = threads * at_once;
  const Forward forward{z, bias, out, saved, channels, length, bias_packed, slope};
  for (long long first = blockIdx.x * tile + threadIdx.x; first < packs;
       first += gridDim.x * tile) {
    if (first + (at_once - 1) * threads < packs) {
      forward.packs<at_once>(first);
      continue;
    }
    for (long long i = first; i < packs; i += threads) forward.packs<1>(i);
  }
  const long long thread = static_cast<long long>(blockIdx.x) * threads + threadIdx.x;
  for (long long i = packs * Pack::size + thread; i < count;
       i += static_cast<long long>(gridDim.x) * threads) {
    T x = z[i], y;
    activate(x, y, bias ? tfl::widen(bias[Place(i % period, length).channel]) : W(0), slope);
    if (saved) saved[i] = x;
    out[i] = y;
  }
}

// dz = g * act'(saved) over `count` elements.
extern "C" TFL_KERNEL(256, 2)
    activation_gradient(const T* g, const T* saved, T* dz, long long count, double slope_) {
  const W slope = static_cast<W>(slope_);
  const bool packed = tfl::aligned(g) && tfl::aligned(saved) && tfl::aligned(dz);
  const long long packs = packed ? count / Pack::size : 0;
  const long long tile = threads * at_once;
  for (long long first = blockIdx.x * tile + threadIdx.x; first < packs;
       first += gridDim.x * tile) {
    if (first + (at_once - 1) * threads < packs) {
      gradient_of_packs<at_once>(g, saved, dz, first, slope);
      continue;
    }
    for (long long i = first; i < packs; i += threads) {
      gradient_of_packs<1>(g, saved, dz, i, slope);
    }
  }
  const long long thread = static_cast<long long>(blockIdx.x) * threads + threadIdx.x;
  for (long long i = packs * Pack::size + thread; i < count;
       i += static_cast<long long>(gridDim.x) * threads) {
    dz[i] = gradient(g[i], saved[i], slope);
  }
}

namespace {

template <int size>
using Piece = tfl::Piece<T, size>;

// One piece of the gradient; its sum in W, unrounded, goes to `sums`.
template <int size>
TFL_DEVICE void gradient_piece(Piece<size>& g, const Piece<size>& saved, W* sums,
                               W slope) {
#pragma unroll
  for (int j = 0; j < size; ++j) {
    const W value =
        tfl::widen(g.at[j]) * A::template derivative<W>(tfl::widen(saved.at[j]), slope);
    g.at[j] = tfl::narrow<T>(value);
    sums[j] += value;
  }
}

// `count` rows of one piece wide column, from `row` on: all loads are under way before the first is
// waited for, which a branch between them would prevent.
template <int size, int count>
TFL_DEVICE void sweep_rows(const T* g, const T* saved, T* dz, long long row, long long stride,
                           long long columns, W* sums, W slope) {
  Piece<size> x[count], s[count];
#pragma unroll
  for (int k = 0; k < count; ++k) {
    x[k] = tfl::read_piece<size>(g + (row + k * stride) * columns);
    s[k] = tfl::read_piece<size>(saved + (row + k * stride) * columns);
  }
#pragma unroll
  for (int k = 0; k < count; ++k) {
    gradient_piece<size>(x[k], s[k], sums, slope);
    tfl::write_piece(dz + (row + k * stride) * columns, x[k]);
  }
}

// The rows begin, begin + stride ... < end of one piece wide column.
template <int size>
TFL_DEVICE void sweep(const T* g, const T* saved, T* dz, long long begin, long long end,
                      long long stride, long long columns, W* sums, W slope) {
  long long row = begin;
  for (; row + (at_once - 1) * stride < end; row += at_once * stride) {
    sweep_rows<size, at_once>(g, saved, dz, row, stride, columns, sums, slope);
  }
  for (; row < end; row += stride) {
    sweep_rows<size, 1>(g, saved, dz, row, stride, columns, sums, slope);
  }
}

// A block's strip of columns over its chunk of rows: threadIdx.x along the columns, threadIdx.y
// along the rows.
template <int size>
TFL_DEVICE void sweep_strip(const T* g, const T* saved, T* dz, W* partials, W* room,
                            long long strip, long long rows, long long columns, long long chunk,
                            W slope) {
  const long long column = (strip * blockDim.x + threadIdx.x) * size;
  const long long begin = blockIdx.y * chunk;
  const long long end = begin + chunk < rows ? begin + chunk : rows;
  W sums[size] = {};
  if (column < columns) {
    sweep<size>(g + column, saved + column, dz + column, begin + threadIdx.y, end, blockDim.y,
                columns, sums, slope);
  }
  tfl::fold_strip<size>(sums, room, partials, column, columns);
}

}  // namespace

// dz = g * act'(saved) over rows x columns, and the column sums of each chunk of rows.
// Grid: strips of columns, chunks. Block: 256 threads, along the columns and along the rows.
extern "C" TFL_KERNEL(256, 2)
    bias_activation_backward(const T* g, const T* saved, T* dz, W* partials, long long rows,
                             long long columns, long long chunk, double slope_) {
  __shared__ W room[threads * Pack::size];
  const W slope = static_cast<W>(slope_);
  const bool packed = columns % Pack::size == 0 && tfl::aligned(g) && tfl::aligned(saved) &&
                      tfl::aligned(dz);
  if (packed) {
    sweep_strip<Pack::size>(g, saved, dz, partials, room, blockIdx.x, rows, columns, chunk, slope);
    return;
  }
  // The grid is made for strips of packs; a strip of numbers is narrower.
  for (long long strip = blockIdx.x; strip * blockDim.x < columns; strip += gridDim.x) {
    __syncthreads();
    sweep_strip<1>(g, saved, dz, partials, room, strip, rows, columns, chunk, slope);
  }
}

namespace {

template <int size>
TFL_DEVICE W sweep_channel(const T* g, const T* saved, T* dz, long long images, long long channels,
                           long long length, long long chunk, long long piece, W slope) {
  const long long begin = blockIdx.y * chunk, from = blockIdx.z * piece;
  const long long end = begin + chunk < images ? begin + chunk : images;
  const long long to = from + piece < length ? from + piece : length;
  W sums[size] = {};
  for (long long offset = from + static_cast<long long>(threadIdx.x) * size; offset < to;
       offset += static_cast<long long>(blockDim.x) * size) {
    const long long i = blockIdx.x * length + offset;
    sweep<size>(g + i, saved + i, dz + i, begin + threadIdx.y, end, blockDim.y, channels * length,
                sums, slope);
  }
  W sum = sums[0];
#pragma unroll
  for (int j = 1; j < size; ++j) sum += sums[j];
  return sum;
}

}  // namespace

// The same over (images, channels, length): the sums of each chunk of images and piece of lengths.
// Grid: channels, chunks, pieces; a piece is a multiple of a pack. Block: along the lengths and
// along the images.
extern "C" TFL_KERNEL(256, 2)
    bias_activation_backward_channels(const T* g, const T* saved, T* dz, W* partials,
                                      long long images, long long channels, long long length,
                                      long long chunk, long long piece, double slope_) {
  const W slope = static_cast<W>(slope_);
  const bool packed =
      length % Pack::size == 0 && tfl::aligned(g) && tfl::aligned(saved) && tfl::aligned(dz);
  W sum = packed ? sweep_channel<Pack::size>(g, saved, dz, images, channels, length, chunk, piece,
                                             slope)
                 : sweep_channel<1>(g, saved, dz, images, channels, length, chunk, piece, slope);
  sum = tfl::over_block<tfl::Sum>(sum);
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    partials[(static_cast<long long>(blockIdx.y) * gridDim.z + blockIdx.z) * channels +
             blockIdx.x] = sum;
  }
}

// The bias gradient from its partial sums, rounded once.
extern "C" TFL_KERNEL(1024)
    sum_partials(const W* partials, T* out, long long parts, long long columns) {
  tfl::sum_columns(partials, out, parts, columns);
}
