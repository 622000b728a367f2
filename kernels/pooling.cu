// Maximum and mean over windows of images, forward and backward. In the gradients each place of an
// image sums over the windows that it is in, so that sums have one order.
// TFL_TYPE: the arrays' type. TFL_INDEX: as in windows.cuh. TFL_LANES: threads that share a window,
// 1 or 32. TFL_ROWS, TFL_COLUMNS: the window's last two lengths; 0 where they aren't known.
#include "windows.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using tfl::Index;
using tfl::inside;

constexpr int threads = 256;
constexpr int lanes = TFL_LANES;
// How far loops are unrolled: not all compilers know macros there.
constexpr int rows_at_once = TFL_ROWS ? TFL_ROWS : 1;
constexpr int columns_at_once = TFL_COLUMNS ? TFL_COLUMNS : 4;

// Images are (outer, three axes, inner): channels lie before the axes or, as `inner`, behind them.
struct Pooling {
  tfl::Axis axes[3];
  tfl::Divisor inner, sizes[3], counts[3], kernels[3];
  long long windows, places;  // of all images, elements of arrays
  long long wide_places;      // whether taps are kept as int, else as unsigned char
  long long padded, given;    // what a mean's divisor counts; or the divisor, where it isn't 0

  TFL_DEVICE Index kernel(int axis) const { return static_cast<Index>(axes[axis].kernel); }
  TFL_DEVICE Index size(int axis) const { return static_cast<Index>(axes[axis].size); }
};

struct Position {
  Index outer, at[3], inner;

  TFL_DEVICE Position(Index element, const tfl::Divisor& channels,
                      const tfl::Divisor (&lengths)[3]) {
    inner = channels.split(element);
    at[2] = lengths[2].split(element);
    at[1] = lengths[1].split(element);
    at[0] = lengths[0].split(element);
    outer = element;
  }
  TFL_DEVICE Index offset(Index y, Index x, Index z, const Pooling& pooling) const {
    const Index place =
        ((outer * pooling.size(0) + y) * pooling.size(1) + x) * pooling.size(2) + z;
    return place * static_cast<Index>(pooling.inner.number) + inner;
  }
  // The same of a window.
  TFL_DEVICE Index window(Index y, Index x, Index z, const Pooling& pooling) const {
    const tfl::Axis* axes = pooling.axes;
    const Index place = ((outer * static_cast<Index>(axes[0].count) + y) *
                             static_cast<Index>(axes[1].count) + x) *
                            static_cast<Index>(axes[2].count) + z;
    return place * static_cast<Index>(pooling.inner.number) + inner;
  }
};

TFL_DEVICE Index thread_in_grid() {
  return static_cast<Index>(blockIdx.x) * threads + static_cast<Index>(threadIdx.x);
}

// Calls visit(inside the image, element, tap) for the taps of a window; the lanes that share it
// take turns.
template <typename Visit>
TFL_DEVICE void for_each_tap(const Pooling& pooling, const Position& window, int lane,
                             const Visit& visit) {
  const tfl::Axis* axes = pooling.axes;
  if constexpr (lanes > 1) {
    const Index taps = pooling.kernel(0) * pooling.kernel(1) * pooling.kernel(2);
#pragma unroll 4
    for (Index tap = lane; tap < taps; tap += lanes) {
      Index rest = tap;
      const Index z = axes[2].position(window.at[2], pooling.kernels[2].split(rest));
      const Index x = axes[1].position(window.at[1], pooling.kernels[1].split(rest));
      const Index y = axes[0].position(window.at[0], rest);
      visit(inside(y, pooling.size(0)) && inside(x, pooling.size(1)) && inside(z, pooling.size(2)),
            window.offset(y, x, z, pooling), tap);
    }
    return;
  }
  const Index rows = TFL_ROWS ? TFL_ROWS : pooling.kernel(1);
  const Index columns = TFL_COLUMNS ? TFL_COLUMNS : pooling.kernel(2);
  Index tap = 0;
  for (Index i = 0; i < pooling.kernel(0); ++i) {
    const Index y = axes[0].position(window.at[0], i);
#pragma unroll(rows_at_once)
    for (Index j = 0; j < rows; ++j) {
      const Index x = axes[1].position(window.at[1], j);
      const bool in_row = inside(y, pooling.size(0)) && inside(x, pooling.size(1));
#pragma unroll(columns_at_once)
      for (Index k = 0; k < columns; ++k, ++tap) {
        const Index z = axes[2].position(window.at[2], k);
        visit(in_row && inside(z, pooling.size(2)), window.offset(y, x, z, pooling), tap);
      }
    }
  }
}

// Calls visit(window, tap) for the windows that a place is in, in the order of their taps.
template <typename Visit>
TFL_DEVICE void for_each_window(const Pooling& pooling, const Position& place, const Visit& visit) {
  for (tfl::OnPlace y(pooling.axes[0], place.at[0]); y.more(); y.next()) {
    if (!y.inside()) continue;
    for (tfl::OnPlace x(pooling.axes[1], place.at[1]); x.more(); x.next()) {
      if (!x.inside()) continue;
      for (tfl::OnPlace z(pooling.axes[2], place.at[2]); z.more(); z.next()) {
        if (!z.inside()) continue;
        visit(y, x, z, (y.tap * pooling.kernel(1) + x.tap) * pooling.kernel(2) + z.tap);
      }
    }
  }
}

TFL_DEVICE void store_tap(const Pooling& pooling, void* taps, Index window, Index tap) {
  if (pooling.wide_places) {
    static_cast<int*>(taps)[window] = static_cast<int>(tap);
  } else {
    static_cast<unsigned char*>(taps)[window] = static_cast<unsigned char>(tap);
  }
}

TFL_DEVICE Index load_tap(const Pooling& pooling, const void* taps, Index window) {
  if (pooling.wide_places) return static_cast<const int*>(taps)[window];
  return static_cast<const unsigned char*>(taps)[window];
}

// The greatest number so far, NaN if there is one, and the first tap that has it; -1 for none.
struct Greatest {
  W value;
  Index tap;

  TFL_DEVICE void take(W other, Index other_tap) {
    const bool first = other == value && other_tap < tap;
    if (other_tap >= 0 && (tap < 0 || other > value || other != other || first)) {
      value = other;
      tap = other_tap;
    }
  }
};

// `taps` may be null. It is 0 for NaN, and where a window has no tap inside the image.
extern "C" TFL_KERNEL(256)
    max_pool(const __grid_constant__ Pooling pooling, const T* x, T* out, void* taps) {
  const Index thread = thread_in_grid();
  const Index element = thread / lanes;
  if (element >= static_cast<Index>(pooling.windows)) return;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  Greatest greatest{-tfl::infinity<W>(), -1};
  for_each_tap(pooling, Position(element, pooling.inner, pooling.counts), lane,
               [&](bool there, Index place, Index tap) {
                 const W value = there ? tfl::widen(x[place]) : W(0);
                 greatest.take(value, there ? tap : Index(-1));
               });
#pragma unroll
  for (int offset = lanes / 2; offset; offset /= 2) {
    const W value = __shfl_xor_sync(0xffffffffu, greatest.value, offset);
    greatest.take(value, __shfl_xor_sync(0xffffffffu, greatest.tap, offset));
  }
  if (lane) return;
  out[element] = tfl::narrow<T>(greatest.value);
  const bool known = greatest.tap >= 0 && greatest.value == greatest.value;
  if (taps) store_tap(pooling, taps, element, known ? greatest.tap : Index(0));
}

// The first tap of each window whose element is `out`; 0 where none is.
extern "C" TFL_KERNEL(256)
    max_pool_places(const __grid_constant__ Pooling pooling, const T* x, const T* out,
                    void* taps) {
  const Index element = thread_in_grid() / lanes;
  if (element >= static_cast<Index>(pooling.windows)) return;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const W wanted = tfl::widen(out[element]);
  constexpr Index none = 0x7fffffff;
  Index found = none;
  for_each_tap(pooling, Position(element, pooling.inner, pooling.counts), lane,
               [&](bool there, Index place, Index tap) {
                 const W value = there ? tfl::widen(x[place]) : tfl::not_a_number<W>();
                 found = value == wanted && tap < found ? tap : found;
               });
#pragma unroll
  for (int offset = lanes / 2; offset; offset /= 2) {
    const Index other = __shfl_xor_sync(0xffffffffu, found, offset);
    found = other < found ? other : found;
  }
  if (lane == 0) store_tap(pooling, taps, element, found == none ? Index(0) : found);
}

// The elements at the windows' taps; 0 for a tap outside the image.
extern "C" TFL_KERNEL(256)
    max_pool_gather(const __grid_constant__ Pooling pooling, const T* x, const void* taps, T* out) {
  const Index element = thread_in_grid();
  if (element >= static_cast<Index>(pooling.windows)) return;
  const Position window(element, pooling.inner, pooling.counts);
  Index rest = load_tap(pooling, taps, element);
  const bool known = inside(rest, pooling.kernel(0) * pooling.kernel(1) * pooling.kernel(2));
  rest = known ? rest : Index(0);
  const tfl::Axis* axes = pooling.axes;
  const Index at_z = axes[2].position(window.at[2], pooling.kernels[2].split(rest));
  const Index at_x = axes[1].position(window.at[1], pooling.kernels[1].split(rest));
  const Index at_y = axes[0].position(window.at[0], rest);
  const bool there = known && inside(at_y, pooling.size(0)) && inside(at_x, pooling.size(1)) &&
                     inside(at_z, pooling.size(2));
  out[element] = there ? x[window.offset(at_y, at_x, at_z, pooling)] : tfl::narrow<T>(W(0));
}

// Each place's sum of the windows that chose it.
extern "C" TFL_KERNEL(256)
    max_pool_scatter(const __grid_constant__ Pooling pooling, const T* y, const void* taps,
                     T* out) {
  const Index element = thread_in_grid();
  if (element >= static_cast<Index>(pooling.places)) return;
  const Position place(element, pooling.inner, pooling.sizes);
  W sum = 0;
  for_each_window(pooling, place, [&](const tfl::OnPlace& along_y, const tfl::OnPlace& along_x,
                                      const tfl::OnPlace& along_z, Index tap) {
    const Index window =
        place.window(along_y.window, along_x.window, along_z.window, pooling);
    if (load_tap(pooling, taps, window) == tap) sum += tfl::widen(y[window]);
  });
  out[element] = tfl::narrow<T>(sum);
}

// How many places a mean is over along an axis: those of the image, or of its padding as well.
TFL_DEVICE Index covered(const tfl::Axis& axis, Index window, bool padded) {
  const Index low = padded ? -static_cast<Index>(axis.before) : Index(0);
  const Index high = static_cast<Index>(axis.size) + (padded ? static_cast<Index>(axis.behind) : 0);
  const Index start = axis.position(window, 0);
  const Index end = start + static_cast<Index>(axis.kernel);
  return (end < high ? end : high) - (start > low ? start : low);
}

TFL_DEVICE W divisor_of(const Pooling& pooling, Index y, Index x, Index z) {
  if (pooling.given) return static_cast<W>(pooling.given);
  const bool padded = pooling.padded;
  return static_cast<W>(covered(pooling.axes[0], y, padded) * covered(pooling.axes[1], x, padded) *
                        covered(pooling.axes[2], z, padded));
}

extern "C" TFL_KERNEL(256)
    avg_pool(const __grid_constant__ Pooling pooling, const T* x, T* out) {
  const Index element = thread_in_grid() / lanes;
  if (element >= static_cast<Index>(pooling.windows)) return;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const Position window(element, pooling.inner, pooling.counts);
  W sum = 0;
  for_each_tap(pooling, window, lane, [&](bool there, Index place, Index) {
    const W value = there ? tfl::widen(x[place]) : W(0);
    sum += value;
  });
#pragma unroll
  for (int offset = lanes / 2; offset; offset /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  }
  if (lane) return;
  out[element] =
      tfl::narrow<T>(sum / divisor_of(pooling, window.at[0], window.at[1], window.at[2]));
}

extern "C" TFL_KERNEL(256)
    avg_pool_gradient(const __grid_constant__ Pooling pooling, const T* y, T* out) {
  const Index element = thread_in_grid();
  if (element >= static_cast<Index>(pooling.places)) return;
  const Position place(element, pooling.inner, pooling.sizes);
  W sum = 0;
  for_each_window(pooling, place, [&](const tfl::OnPlace& along_y, const tfl::OnPlace& along_x,
                                      const tfl::OnPlace& along_z, Index) {
    const Index window =
        place.window(along_y.window, along_x.window, along_z.window, pooling);
    sum += tfl::widen(y[window]) /
           divisor_of(pooling, along_y.window, along_x.window, along_z.window);
  });
  out[element] = tfl::narrow<T>(sum);
}
