// How a window slides over images of up to three axes, and quick quotients to find one's place.
// TFL_INDEX: int, where all that is counted stays below 2^31, or long long.
// tensorflowlite/backend/cuda/windows.py fills the structures.
#pragma once

#include "types.cuh"

namespace tfl {

#if !defined(TFL_INDEX)
#define TFL_INDEX int
#endif
using Index = TFL_INDEX;

// Whether an index is inside [0, length): negative ones are large without a sign.
TFL_DEVICE bool inside(int at, int length) {
  return static_cast<unsigned int>(at) < static_cast<unsigned int>(length);
}
TFL_DEVICE bool inside(long long at, long long length) {
  return static_cast<unsigned long long>(at) < static_cast<unsigned long long>(length);
}

// A number to divide by. For ints a quotient is a product and a shift (Granlund and Montgomery,
// 1994), for x of at least 0.
struct Divisor {
  long long number;
  unsigned int factor, shift;

  TFL_DEVICE int quotient(int x) const {
    const unsigned int dividend = static_cast<unsigned int>(x);
    return static_cast<int>((__umulhi(factor, dividend) + dividend) >> shift);
  }
  TFL_DEVICE long long quotient(long long x) const { return x / number; }

  // Makes x the quotient, and returns the rest.
  TFL_DEVICE Index split(Index& x) const {
    const Index dividend = x;
    x = quotient(dividend);
    return dividend - x * static_cast<Index>(number);
  }
};

// `count` windows of `kernel` taps, `dilation` apart, the first of which begins `before` the image.
struct Axis {
  long long size, count, kernel, stride, before, behind, dilation;
  // dilation and stride over their greatest common divisor, and the inverse of the first modulo the
  // second: which taps of which windows lie on a place of the image.
  Divisor common, step;
  long long back, inverse;

  TFL_DEVICE Index position(Index window, Index tap) const {
    return window * static_cast<Index>(stride) - static_cast<Index>(before) +
           tap * static_cast<Index>(dilation);
  }
};

// The taps that lie on a place of the image, in ascending order, each with its window:
//   for (OnPlace on(axis, place); on.more(); on.next()) if (on.inside()) ...
struct OnPlace {
  const Axis& axis;
  Index tap, window;

  TFL_DEVICE OnPlace(const Axis& along, Index place) : axis(along) {
    Index whole = place + static_cast<Index>(axis.before);
    const Index rest = axis.common.split(whole);
    Index quotient = whole;
    quotient = axis.step.split(quotient) * static_cast<Index>(axis.inverse);
    tap = axis.step.split(quotient);
    const Index left = whole - tap * static_cast<Index>(axis.back);
    const bool none = rest != 0 || left < 0;
    window = none ? Index(-1) : axis.step.quotient(none ? Index(0) : left);
  }
  TFL_DEVICE bool more() const { return tap < static_cast<Index>(axis.kernel) && window >= 0; }
  TFL_DEVICE bool inside() const { return window < static_cast<Index>(axis.count); }
  TFL_DEVICE void next() {
    tap += static_cast<Index>(axis.step.number);
    window -= static_cast<Index>(axis.back);
  }
};

}  // namespace tfl
