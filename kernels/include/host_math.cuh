// The elementary functions on the host. libm's are calls that a compiler can't vectorise, so these
// are branch-free: Cody-Waite reduction and minimax polynomials, at most 2 units in the last place
// (tests/test_native.py), with fused multiply-adds or without; those of the error functions of
// double and of softplus's logarithm stand in tests/test_native_functions.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "portable.cuh"

namespace tfl {

TFL_DEVICE float float_from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TFL_DEVICE std::uint32_t bits_from_float(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// x = n ln 2 + r: returns exp(r + correction), and n in `exponent`.
// Unsigned, because NaN arrives here too, with any bits. |x| is at most 104.
TFL_DEVICE float exponential_reduced(float x, float correction, std::uint32_t& exponent) {
  // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits.
  const float shifted = x * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  exponent = bits_from_float(shifted) - 0x4b400000u;
  // ln 2 in two parts; the first has 9 bits, so that n times it is exact.
  const float r = ((x - n * 0.693359375f) - n * -2.12194440054690583e-4f) + correction;
  const float q =
      (((0.0013780614826828241f * r + 0.008385219611227512f) * r + 0.04167035594582558f) * r +
       0.1666635274887085f) *
          r +
      0.4999997913837433f;
  return 1.0f + (r + r * r * q);
}

// exp(x + correction), where |correction| is small: a rounding error of x that the caller knows.
TFL_DEVICE float exponential_sum(float x, float correction) {
  // Beyond these bounds the result is 0 or infinity anyway; inside them the exponent below can't
  // overflow.
  const float low = x < -104.0f ? -104.0f : x;
  const float bounded = low > 89.0f ? 89.0f : low;
  std::uint32_t exponent;
  const float p = exponential_reduced(bounded, correction, exponent);
  // 2^n as two factors: n reaches 128 and -150, which a single float's exponent doesn't.
  const std::uint32_t half = ((exponent + 2048u) >> 1) - 1024u;
  const float first = float_from_bits((half + 127u) << 23);
  const float second = float_from_bits((exponent - half + 127u) << 23);
  return p * first * second;
}

TFL_DEVICE float exponential(float x) { return exponential_sum(x, 0.0f); }

// The same for double: the polynomial is exp's series up to r^13, its remainder 4e-18 where |r| <=
// ln 2 / 2.
TFL_DEVICE double exponential(double x) {
  const double low = x < -746.0 ? -746.0 : x;
  const double bounded = low > 710.0 ? 710.0 : low;
  const double shifted = bounded * 1.44269504088896340736 + 6755399441055744.0;
  const double n = shifted - 6755399441055744.0;
  // ln 2 in two parts; the first has 32 bits.
  const double r = (bounded - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  const double q =
      (((((((((((1.0 / 6227020800.0) * r + 1.0 / 479001600.0) * r + 1.0 / 39916800.0) * r +
              1.0 / 3628800.0) *
                 r +
             1.0 / 362880.0) *
                r +
            1.0 / 40320.0) *
               r +
           1.0 / 5040.0) *
              r +
          1.0 / 720.0) *
             r +
         1.0 / 120.0) *
            r +
        1.0 / 24.0) *
           r +
       1.0 / 6.0) *
          r +
      0.5;
  const double p = 1.0 + (r + r * r * q);
  std::uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const std::uint64_t exponent = bits - 0x4338000000000000ull;
  const std::uint64_t half = ((exponent + 2048u) >> 1) - 1024u;
  const std::uint64_t first_bits = (half + 1023u) << 52;
  const std::uint64_t second_bits = (exponent - half + 1023u) << 52;
  double first;
  double second;
  std::memcpy(&first, &first_bits, sizeof first);
  std::memcpy(&second, &second_bits, sizeof second);
  return p * first * second;
}

TFL_DEVICE float hyperbolic_tangent(float x) {
  const float a = std::fabs(x);
  const float z = x * x;
  const float near_zero =
      x +
      x * z *
          ((((-0.005102541297674179f * z + 0.020054861903190613f) * z - 0.05354612320661545f) * z +
            0.13328945636749268f) *
               z -
           0.333331823348999f);
  // tanh(10) is 1 in float, and up to there one factor makes 2^n.
  const float doubled = a > 10.0f ? 20.0f : 2.0f * a;
  std::uint32_t exponent;
  const float p = exponential_reduced(doubled, 0.0f, exponent);
  const float e = p * float_from_bits((exponent + 127u) << 23);
  const float far = std::copysign(1.0f - 2.0f / (e + 1.0f), x);
  return a < 0.65f ? near_zero : far;
}

TFL_DEVICE double hyperbolic_tangent(double x) {
  const double a = std::fabs(x);
  const double z = x * x;
  const double p = (((((((((((((-1.1687858974397004e-07 * z + 9.984237936271778e-07) * z -
                               4.404576798562937e-06) *
                                  z +
                              1.402208799041075e-05) *
                                 z -
                             3.798830638077052e-05) *
                                z +
                            9.626974354985488e-05) *
                               z -
                           0.00023889197007555244) *
                              z +
                          0.0005899641637897441) *
                             z -
                         0.00145582235941365) *
                            z +
                        0.003592126459550889) *
                           z -
                       0.008863235394320356) *
                          z +
                      0.021869488529109107) *
                         z -
                     0.05396825396806158) *
                        z +
                    0.13333333333333125) *
                       z -
                   0.3333333333333333;
  const double far = std::copysign(1.0 - 2.0 / (exponential(2.0 * a) + 1.0), x);
  return a < 0.9 ? x + x * z * p : far;
}

// erf(x) where |x| < 0.45.
TFL_DEVICE float error_near_zero(float x) {
  const float z = x * x;
  return x +
         x * ((((0.004775816574692726f * z - 0.02678106352686882f) * z + 0.11283125728368759f) * z -
               0.3761261999607086f) *
                  z +
              0.12837916612625122f);
}

// erfc keeps its relative accuracy in the upper tail, which x * normal_cdf(x) needs for negative x.
TFL_DEVICE float error_complement(float x) {
  const float magnitude = std::fabs(x);
  // erfc(t) = exp(-t^2) q P(q) with q = 1 / (1 + t/2); beyond 10.2 it is below the least float.
  const float t = magnitude > 10.2f ? 10.2f : magnitude;
  // In double, whose rounding the result doesn't show.
  const double q = 1.0 / (1.0 + 0.5 * static_cast<double>(t));
  const double p =
      ((((((((-0.025285941841576967 * q + 0.0459587967731587) * q + 0.10008400927231376) * q -
            0.30907319541091643) *
               q +
           0.1753420219591351) *
              q +
          0.009262673509981011) *
             q +
         0.19540244228945094) *
            q +
        0.2438490180074902) *
           q +
       0.28235515181092946) *
          q +
      0.28208508533982307;
  // t^2 exactly, as the square of t's upper half and the rest: an error of 1e-7 in t^2 = 100 would
  // show in the result.
  const float upper = float_from_bits(bits_from_float(t) & 0xfffff000u);
  const float power = exponential_sum(-(upper * upper), -((t - upper) * (t + upper)));
  const float tail = static_cast<float>(static_cast<double>(power) * (q * p));
  const float far = x < 0.0f ? 2.0f - tail : tail;
  const float chosen = magnitude < 0.45f ? 1.0f - error_near_zero(x) : far;
  return x != x ? x : chosen;
}

TFL_DEVICE float error_function(float x) {
  const float magnitude = std::fabs(x);
  const float far = std::copysign(1.0f - error_complement(magnitude), x);
  return magnitude < 0.45f ? error_near_zero(x) : far;
}

// The sum of coefficients times powers of s, the constant first.
template <typename T>
TFL_DEVICE T polynomial(T, T last) {
  return last;
}
template <typename T, typename... Rest>
TFL_DEVICE T polynomial(T s, T first, Rest... rest) {
  return first + s * polynomial(s, rest...);
}

// erf(x) where |x| < 1: x times a polynomial in 2 x^2 - 1.
TFL_DEVICE double error_near_zero(double x) {
  return x * polynomial(
                 2.0 * x * x - 1.0,
                 0.9654687386698673, -0.1405360890227171, 0.019852496688983708,
                 -0.0022854855611440673, 0.00021751715604160108, -1.7537169441492004e-05,
                 1.2233827383524026e-06, -7.511569160710623e-08, 4.115800597661665e-09,
                 -2.03524938661036e-10, 9.167606748998164e-12, -3.7910973708931526e-13,
                 1.4548169783352384e-14, -5.16472878942302e-16);
}

// erfc(x) / DIVISOR. No product comes last: it would be fused with what is added to it in some loops
// and not in others.
template <int DIVISOR>
TFL_DEVICE double error_complement_over(double x) {
  constexpr double whole = 1.0 / DIVISOR;
  const double magnitude = std::fabs(x);
  const double low = magnitude < 0.5 ? 0.5 : magnitude;
  const double t = low > 30.0 ? 30.0 : low;
  // erfc(t) (t + 2.5) exp(t^2), from its Chebyshev series for t >= 0.5.
  const double series = polynomial(
      (6.0 * ((t - 2.5) / (t + 2.5)) - 1.0) / 5.0,
      0.9317619336533658, -0.5558868683437239, 0.2592690992414702, -0.08707463736922195,
      0.016066325856326898, 0.0014074219611132587, -0.0016011436715102417,
      0.00013690726398470296, 0.00014939498848828364, -2.6687887673852498e-05,
      -1.753136759625875e-05, 3.4617699274112187e-06, 2.6063300552335365e-06,
      -3.279141906802319e-07, -4.4207198549957605e-07, -4.2247896533332555e-09,
      7.515963903501675e-08, 1.4131163489603445e-08, -1.1218028557092692e-08,
      -4.760353126679072e-09, 1.2334780245407104e-09, 9.536814455213352e-10,
      -7.043590768903697e-11, -9.542775560910596e-11);
  // t^2 exactly, as the square of t's upper half and the rest.
  std::uint64_t bits;
  std::memcpy(&bits, &t, sizeof bits);
  bits &= 0xfffffffff8000000ull;
  double upper;
  std::memcpy(&upper, &bits, sizeof upper);
  const double rest = -((t - upper) * (t + upper));  // above -3e-5
  const double correction = rest + rest * rest * (0.5 + rest * (1.0 / 6.0));
  const double scaled = exponential(-(upper * upper)) * (series + series * correction);
  const double tail = scaled / (DIVISOR * t + DIVISOR * 2.5);
  const double far = x < 0.0 ? 2.0 * whole - tail : tail;
  return magnitude < 0.5 ? whole - whole * error_near_zero(x) : far;
}

TFL_DEVICE double error_complement(double x) { return error_complement_over<1>(x); }

TFL_DEVICE double error_function(double x) {
  const double magnitude = std::fabs(x);
  const double far = std::copysign(1.0 - error_complement(magnitude), x);
  return magnitude < 1.0 ? error_near_zero(x) : far;
}

// log(1 + x) for x in [0, 1], as 2 artanh(x / (2 + x)): the series up to a remainder of 2e-10 in float
// and of 2e-19 in double.
template <typename T>
TFL_DEVICE T logarithm_of_one_to_two(T x) {
  constexpr int terms = sizeof(T) == 4 ? 8 : 17;
  const T s = x / (T(2) + x);
  const T z = s * s;
  T sum = T(1) / T(2 * terms + 1);
#pragma GCC unroll 17
  for (int i = terms - 1; i > 0; --i) sum = sum * z + T(1) / T(2 * i + 1);
  return T(2) * (s + s * z * sum);
}

template <typename T>
TFL_DEVICE T quotient(T x, T y) {
  return x / y;
}
template <typename T>
TFL_DEVICE T logarithm(T x) {
  return std::log(x);
}
template <typename T>
TFL_DEVICE T logarithm_of_one_plus(T x) {
  return std::log1p(x);
}
template <typename T>
TFL_DEVICE T square_root(T x) {
  return std::sqrt(x);
}

}  // namespace tfl
