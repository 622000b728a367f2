// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, 2011) and
// what is made of its bits. tensorflowlite/backend/philox.py defines the streams and says the same
// in NumPy, bit for bit: the order of the operations below is part of the definition. Compile with
// -ffp-contract=off (g++) or --fmad=false (NVRTC, nvcc).
#pragma once

#include "portable.cuh"

namespace tfl {

// One round. The products are 32 x 32 -> 64 bits.
TFL_DEVICE void philox_round(unsigned int& c0, unsigned int& c1, unsigned int& c2, unsigned int& c3,
                             unsigned int key0, unsigned int key1) {
  const unsigned long long product0 = 0xD2511F53ull * c0;
  const unsigned long long product1 = 0xCD9E8D57ull * c2;
  const unsigned int high0 = static_cast<unsigned int>(product0 >> 32);
  const unsigned int high1 = static_cast<unsigned int>(product1 >> 32);
  c0 = high1 ^ c1 ^ key0;
  c1 = static_cast<unsigned int>(product1);
  c2 = high0 ^ c3 ^ key1;
  c3 = static_cast<unsigned int>(product0);
}

// The four lanes of one block, in place: counter in, random bits out.
TFL_DEVICE void philox4x32_10(unsigned int& c0, unsigned int& c1, unsigned int& c2,
                              unsigned int& c3, unsigned int key0, unsigned int key1) {
  for (int round = 0; round < 10; ++round) {
    philox_round(c0, c1, c2, c3, key0, key1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// [0, 1): the upper 24 or 53 bits.
TFL_DEVICE float uniform_from_bits(unsigned int bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}
TFL_DEVICE double uniform_from_bits(unsigned long long bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// (0, 1), symmetric about 1/2, for the inverse of the normal distribution function: never 0, never
// 1, and 1 - p is exact.
TFL_DEVICE double probability_from_bits(unsigned int bits) {
  return (static_cast<double>(bits >> 9) + 0.5) * 0x1p-23;
}
TFL_DEVICE double probability_from_bits(unsigned long long bits) {
  return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
}

// The inverse of the normal distribution function: algorithm AS 241, PPND16 (Wichura 1988),
// relative accuracy 1e-16, in three ranges. Only + - * / and sqrt, each correctly rounded.

TFL_DEVICE bool normal_is_central(double p) {
  const double q = p - 0.5;
  return q <= 0.425 && q >= -0.425;
}

TFL_DEVICE double normal_central(double p) {
  const double q = p - 0.5;
  const double r = 0.180625 - q * q;
  const double numerator =
      ((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r +
          45921.953931549871457) *
             r +
         13731.693765509461125) *
            r +
        1971.5909503065514427) *
           r +
       133.14166789178437745) *
          r +
      3.387132872796366608;
  const double denominator =
      ((((((5226.495278852854561 * r + 28729.085735721942674) * r + 39307.89580009271061) * r +
          21213.794301586595867) *
             r +
         5394.1960214247511077) *
            r +
        687.1870074920579083) *
           r +
       42.313330701600911252) *
          r +
      1.0;
  return q * (numerator / denominator);
}

// log(p) of a positive normal double: p = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh(s),
// s = (m - 1) / (m + 1).
TFL_DEVICE double log_by_series(double p) {
  long long bits;
  memcpy(&bits, &p, sizeof bits);
  const long long exponent = (bits - 0x3FE6A09E667F3BCDll) >> 52;
  const long long mantissa_bits = bits - exponent * (1ll << 52);
  double m;
  memcpy(&m, &mantissa_bits, sizeof m);
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  const double series =
      ((((((((((2.0 / 23.0) * z + 2.0 / 21.0) * z + 2.0 / 19.0) * z + 2.0 / 17.0) * z +
            2.0 / 15.0) *
               z +
           2.0 / 13.0) *
              z +
          2.0 / 11.0) *
             z +
         2.0 / 9.0) *
            z +
        2.0 / 7.0) *
           z +
       2.0 / 5.0) *
          z +
      2.0 / 3.0;
  return static_cast<double>(exponent) * 0.69314718055994530942 + (2.0 * s + s * (z * series));
}

// sqrt(-log(min(p, 1 - p))), from 1.6 at the edge of the central range upwards.
TFL_DEVICE double normal_tail_argument(double p) {
  const double tail = p < 0.5 ? p : 1.0 - p;
  return sqrt(-log_by_series(tail));
}

TFL_DEVICE double normal_tail(double p, double argument) {
  const double r = argument - 1.6;
  const double numerator =
      ((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) *
              r +
          1.27045825245236838258) *
             r +
         3.64784832476320460504) *
            r +
        5.7694972214606914055) *
           r +
       4.6303378461565452959) *
          r +
      1.42343711074968357734;
  const double denominator = ((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r +
                                  0.0151986665636164571966) *
                                     r +
                                 0.14810397642748007459) *
                                    r +
                                0.68976733498510000455) *
                                   r +
                               1.6763848301838038494) *
                                  r +
                              2.05319162663775882187) *
                                 r +
                             1.0;
  const double value = numerator / denominator;
  return p < 0.5 ? -value : value;
}

// For tail probabilities below exp(-25).
TFL_DEVICE double normal_far_tail(double p, double argument) {
  const double r = argument - 5.0;
  const double numerator = ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r +
                                0.0012426609473880784386) *
                                   r +
                               0.026532189526576123093) *
                                  r +
                              0.29656057182850489123) *
                                 r +
                             1.7848265399172913358) *
                                r +
                            5.4637849111641143699) *
                               r +
                           6.6579046435011037772;
  const double denominator = ((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r +
                                  1.8463183175100546818e-5) *
                                     r +
                                 7.868691311456132591e-4) *
                                    r +
                                0.0148753612908506148525) *
                                   r +
                               0.13692988092273580531) *
                                  r +
                              0.59983220655588793769) *
                                 r +
                             1.0;
  const double value = numerator / denominator;
  return p < 0.5 ? -value : value;
}

TFL_DEVICE double normal_from_probability(double p) {
  if (normal_is_central(p)) return normal_central(p);
  const double argument = normal_tail_argument(p);
  return argument <= 5.0 ? normal_tail(p, argument) : normal_far_tail(p, argument);
}

}  // namespace tfl
