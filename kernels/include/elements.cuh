// The operations of element programs (tensorflowlite/backend/elements/programs.py), once for csrc and
// for generated CUDA kernels. An operation is a type with a function `of`: the operands, then the
// parameters. Numbers are computed as one of five kinds: truth, int, long long, float, double.
//
// What a processor rounds correctly is rounded so here, after every operation: compile without
// contraction what joins them.
#pragma once

#include "activations.cuh"
#include "types.cuh"

#if defined(__CUDACC__)
#define TFL_LIBRARY(name) ::name
#else
#define TFL_LIBRARY(name) std::name
#endif

namespace tfl {
namespace elements {

using truth = unsigned char;  // 0 or 1; what comes in may be any byte

template <typename T>
struct IsFloat {
  static constexpr bool value = false;
};
template <>
struct IsFloat<float> {
  static constexpr bool value = true;
};
template <>
struct IsFloat<double> {
  static constexpr bool value = true;
};

// What integers are added in, so that they wrap.
template <typename T>
struct Wrapping {
  using type = T;
};
template <>
struct Wrapping<int> {
  using type = unsigned int;
};
template <>
struct Wrapping<long long> {
  using type = unsigned long long;
};
template <typename T>
using wrapping = typename Wrapping<T>::type;

// ---- arithmetic

#define TFL_ELEMENT_INFIX(name, sign)                                          \
  struct name {                                                                \
    template <typename T>                                                      \
    static TFL_DEVICE T of(T x, T y) {                                         \
      return static_cast<T>(wrapping<T>(x) sign wrapping<T>(y));               \
    }                                                                          \
  };
TFL_ELEMENT_INFIX(add, +)
TFL_ELEMENT_INFIX(subtract, -)
TFL_ELEMENT_INFIX(multiply, *)
TFL_ELEMENT_INFIX(divide, /)
TFL_ELEMENT_INFIX(bitwise_and, &)
TFL_ELEMENT_INFIX(bitwise_or, |)
TFL_ELEMENT_INFIX(bitwise_xor, ^)
#undef TFL_ELEMENT_INFIX

struct bitwise_invert {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    return ~x;
  }
};

struct negative {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    if constexpr (IsFloat<T>::value) {
      return -x;
    } else {
      return static_cast<T>(wrapping<T>(0) - wrapping<T>(x));
    }
  }
};

struct abs {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    if constexpr (IsFloat<T>::value) {
      return TFL_LIBRARY(fabs)(x);
    } else {
      return x < 0 ? negative::of(x) : x;
    }
  }
};

struct square {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    return multiply::of(x, x);
  }
};

struct cube {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    return x * x * x;
  }
};

struct reciprocal {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    return T(1) / x;
  }
};

struct sign {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    const T unit = x > T(0) ? T(1) : (x < T(0) ? T(-1) : T(0));
    return x != x ? x : unit;
  }
};

// NaN where there is one; of equal numbers the second.
struct maximum {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return x > y || x != x ? x : y;
  }
};

struct minimum {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return x < y || x != x ? x : y;
  }
};

struct copy {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    return x;
  }
};

struct where {
  template <typename T>
  static TFL_DEVICE T of(truth condition, T x, T y) {
    return condition ? x : y;
  }
};

// ---- comparison and logic

#define TFL_ELEMENT_COMPARISON(name, sign)           \
  struct name {                                      \
    template <typename T>                            \
    static TFL_DEVICE truth of(T x, T y) {           \
      return x sign y;                               \
    }                                                \
  };
TFL_ELEMENT_COMPARISON(equal, ==)
TFL_ELEMENT_COMPARISON(not_equal, !=)
TFL_ELEMENT_COMPARISON(less, <)
TFL_ELEMENT_COMPARISON(less_equal, <=)
TFL_ELEMENT_COMPARISON(greater, >)
TFL_ELEMENT_COMPARISON(greater_equal, >=)
#undef TFL_ELEMENT_COMPARISON

struct logical_and {
  static TFL_DEVICE truth of(truth x, truth y) { return (x != 0) & (y != 0); }
};
struct logical_or {
  static TFL_DEVICE truth of(truth x, truth y) { return (x != 0) | (y != 0); }
};
struct logical_xor {
  static TFL_DEVICE truth of(truth x, truth y) { return (x != 0) != (y != 0); }
};
struct logical_not {
  static TFL_DEVICE truth of(truth x) { return x == 0; }
};

struct isnan {
  template <typename T>
  static TFL_DEVICE truth of(T x) {
    return x != x;
  }
};
struct isinf {
  template <typename T>
  static TFL_DEVICE truth of(T x) {
    return TFL_LIBRARY(fabs)(x) == static_cast<T>(infinity<float>());
  }
};
struct isfinite {
  template <typename T>
  static TFL_DEVICE truth of(T x) {
    return TFL_LIBRARY(fabs)(x) < static_cast<T>(infinity<float>());
  }
};
struct signbit {
  template <typename T>
  static TFL_DEVICE truth of(T x) {
    return TFL_LIBRARY(copysign)(T(1), x) < T(0);
  }
};

// ---- other kinds of number. What an integer can't hold is its least number, as on x86.

struct to_bool {
  template <typename T>
  static TFL_DEVICE truth of(T x) {
    return x != T(0);
  }
};

template <typename To>
struct ToInteger {
  template <typename T>
  static TFL_DEVICE To of(T x) {
    if constexpr (IsFloat<T>::value) {
      constexpr T end = sizeof(To) == 4 ? T(2147483648.0) : T(9223372036854775808.0);
      constexpr To least = static_cast<To>(1ull << (8 * sizeof(To) - 1));
      // Of an int all numbers down to above -2^31 - 1 are rounded to one.
      const bool held = (sizeof(To) == 4 && sizeof(T) == 8 ? x > -end - T(1) : x >= -end) && x < end;
      return held ? static_cast<To>(held ? x : T(0)) : least;
    } else {
      return static_cast<To>(x);
    }
  }
};
using to_int32 = ToInteger<int>;
using to_int64 = ToInteger<long long>;

template <typename To>
struct ToFloat {
  template <typename T>
  static TFL_DEVICE To of(T x) {
    return static_cast<To>(x);
  }
};
using to_float32 = ToFloat<float>;
using to_float64 = ToFloat<double>;

// A double as a float that rounds on to half precision as the double itself: what is lost shows in
// the last bit.
struct to_float32_odd {
  static TFL_DEVICE float of(double x) {
    const float near = static_cast<float>(x);
    const double back = static_cast<double>(near);
    const double size = TFL_LIBRARY(fabs)(x);
    const unsigned int bits = bits_of(near);
    const unsigned int below = bits - (TFL_LIBRARY(fabs)(back) > size ? 1u : 0u);
    return back == x || x != x ? near : float_of(below | 1u);
  }
};

struct round_float16 {
  static TFL_DEVICE float of(float x) { return to_float(to_float16(x)); }
};
struct round_bfloat16 {
  static TFL_DEVICE float of(float x) { return to_float(to_bfloat16(x)); }
};

// ---- functions of floats

#define TFL_ELEMENT_FUNCTION(name, expression) \
  struct name {                                \
    template <typename T>                      \
    static TFL_DEVICE T of(T x) {              \
      return expression;                       \
    }                                          \
  };
TFL_ELEMENT_FUNCTION(exp, exponential(x))
TFL_ELEMENT_FUNCTION(exp2, TFL_LIBRARY(exp2)(x))
TFL_ELEMENT_FUNCTION(expm1, TFL_LIBRARY(expm1)(x))
TFL_ELEMENT_FUNCTION(log, logarithm(x))
TFL_ELEMENT_FUNCTION(log1p, logarithm_of_one_plus(x))
TFL_ELEMENT_FUNCTION(log2, TFL_LIBRARY(log2)(x))
TFL_ELEMENT_FUNCTION(log10, TFL_LIBRARY(log10)(x))
TFL_ELEMENT_FUNCTION(sqrt, square_root(x))
TFL_ELEMENT_FUNCTION(sin, TFL_LIBRARY(sin)(x))
TFL_ELEMENT_FUNCTION(cos, TFL_LIBRARY(cos)(x))
TFL_ELEMENT_FUNCTION(tan, TFL_LIBRARY(tan)(x))
TFL_ELEMENT_FUNCTION(tanh, hyperbolic_tangent(x))
TFL_ELEMENT_FUNCTION(floor, TFL_LIBRARY(floor)(x))
TFL_ELEMENT_FUNCTION(ceil, TFL_LIBRARY(ceil)(x))
TFL_ELEMENT_FUNCTION(trunc, TFL_LIBRARY(trunc)(x))
TFL_ELEMENT_FUNCTION(round, TFL_LIBRARY(rint)(x))
TFL_ELEMENT_FUNCTION(relu, Relu::forward(x, T(0)))
TFL_ELEMENT_FUNCTION(sigmoid, Sigmoid::forward(x, T(0)))
TFL_ELEMENT_FUNCTION(silu, Silu::forward(x, T(0)))
TFL_ELEMENT_FUNCTION(gelu, Gelu::forward(x, T(0)))
TFL_ELEMENT_FUNCTION(gelu_tanh, GeluTanh::forward(x, T(0)))
#if defined(__CUDACC__)
TFL_ELEMENT_FUNCTION(erf, ::erf(x))
#else
TFL_ELEMENT_FUNCTION(erf, error_function(x))
#endif
TFL_ELEMENT_FUNCTION(erfc, error_complement(x))
#undef TFL_ELEMENT_FUNCTION

struct copysign {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return TFL_LIBRARY(copysign)(x, y);
  }
};

struct power {
  template <typename T>
  static TFL_DEVICE T of(T x, T y) {
    return TFL_LIBRARY(pow)(x, y);
  }
};

// x ** 0.5, which of -infinity is infinity and of -0 is 0.
struct power_half {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    const T far = static_cast<T>(infinity<float>());
    return x == -far ? far : square_root(x) + T(0);
  }
};

struct elu {
  template <typename T>
  static TFL_DEVICE T of(T x, T alpha) {
    return x > T(0) ? x : alpha * TFL_LIBRARY(expm1)(x);
  }
};

// Those of activations.cuh are 0 where exp(-x) overflows; these keep the tail, as the slots of half
// precision do.
struct sigmoid_with_tail {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    const T small = exponential(-TFL_LIBRARY(fabs)(x));
    return (x < T(0) ? small : T(1)) / (T(1) + small);
  }
};
struct silu_with_tail {
  template <typename T>
  static TFL_DEVICE T of(T x) {
    return x * sigmoid_with_tail::of(x);
  }
};

struct softplus {
  template <typename T>
  static TFL_DEVICE T of(T x, T beta, T threshold) {
    const T scaled = x * beta;
    const T magnitude = TFL_LIBRARY(fabs)(scaled);
    const T positive = scaled < T(0) ? T(0) : scaled;  // and NaN
#if defined(__CUDACC__)
    const T tail = logarithm_of_one_plus(exponential(-magnitude));
#else
    const T tail = logarithm_of_one_to_two(exponential(-magnitude));
#endif
    return scaled > threshold ? x : (positive + tail) / beta;
  }
};

}  // namespace elements
}  // namespace tfl
