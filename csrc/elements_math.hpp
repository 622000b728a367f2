// Vectorisable log, sin and cos for element programs: fdlibm's polynomials, free of branches.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "elements.cuh"

namespace tfl {
namespace elements {

// log(x), off by less than 1 unit in the last place. Subnormal numbers are scaled first.
TFL_DEVICE float quick_logarithm(float x) {
  const bool small = x < 0x1p-126f;
  const float scaled = small ? x * 0x1p25f : x;
  // The mantissa in [sqrt(1/2), sqrt(2)).
  const std::uint32_t bits = bits_from_float(scaled) + (0x3f800000u - 0x3f3504f3u);
  const std::int32_t exponent = static_cast<std::int32_t>(bits >> 23) - 127 - (small ? 25 : 0);
  const float f = float_from_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const float k = static_cast<float>(exponent);
  const float s = f / (2.0f + f);
  const float z = s * s;
  const float w = z * z;
  const float series = z * (0.66666662693f + w * 0.28498786688f) +
                       w * (0.40000972152f + w * 0.24279078841f);
  const float half = 0.5f * f * f;
  const float found =
      (s * (half + series) + k * 9.0580006145e-06f - half) + f + k * 6.9313812256e-01f;
  const float finite = x < INFINITY ? found : x;  // and NaN
  const float positive = x == 0.0f ? -INFINITY : finite;
  return x < 0.0f ? NAN : positive;
}

TFL_DEVICE double quick_logarithm(double x) {
  const bool small = x < 0x1p-1022;
  const double scaled = small ? x * 0x1p54 : x;
  std::uint64_t bits;
  std::memcpy(&bits, &scaled, sizeof bits);
  bits += 0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull;
  const std::uint64_t mantissa = (bits & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull;
  double m;
  std::memcpy(&m, &mantissa, sizeof m);
  // The exponent as a double by its bits: vectors of AVX2 have no other way.
  const std::uint64_t shifted = (bits >> 52) | 0x4330000000000000ull;
  double k;
  std::memcpy(&k, &shifted, sizeof k);
  k -= 4503599627370496.0 + 1023.0 + (small ? 54.0 : 0.0);
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double w = z * z;
  const double odd = w * (3.999999999940941908e-01 +
                          w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double even =
      z * (6.666666666666735130e-01 +
           w * (2.857142874366239149e-01 +
                w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  const double half = 0.5 * f * f;
  const double found =
      k * 6.93147180369123816490e-01 -
      ((half - (s * (half + (odd + even)) + k * 1.90821492927058770002e-10)) - f);
  const double finite = x < static_cast<double>(INFINITY) ? found : x;
  const double positive = x == 0.0 ? -static_cast<double>(INFINITY) : finite;
  return x < 0.0 ? static_cast<double>(NAN) : positive;
}

// Beyond it sines are libm's.
constexpr float quick_sine_bound = 1e6f;

// sin(x + quarters pi / 2) for |x| up to the bound: in double, whose rounding a float doesn't show.
TFL_DEVICE float quick_sine(float x, std::uint64_t quarters) {
  const double wide = x;
  const double shifted = wide * 0.63661977236758134308 + 6755399441055744.0;
  const double n = shifted - 6755399441055744.0;
  const double r = (wide - n * 1.57079631090164184570e+00) - n * 1.58932547735281966916e-08;
  std::uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const std::uint64_t quadrant = bits + quarters;
  const double z = r * r;
  const double series = z * (-0x15555554cbac77p-55 +
                             z * (0x111110896efbb2p-59 +
                                  z * (-0x1a00f9e2cae774p-65 + z * 0x16cd878c3b46a7p-71)));
  const double sine = r * (1.0 + series);  // of -0 it is -0
  const double cosine = 1.0 + z * (-0x1ffffffd0c5e81p-54 +
                                   z * (0x155553e1053a42p-57 +
                                        z * (-0x16c087e80f1e27p-62 + z * 0x199342e0ee5069p-68)));
  const double chosen = quadrant & 1 ? cosine : sine;
  return static_cast<float>(quadrant & 2 ? -chosen : chosen);
}

}  // namespace elements
}  // namespace tfl
