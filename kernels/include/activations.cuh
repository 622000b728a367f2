// Each activation function and its derivative, once, for CUDA kernels and for csrc.
//
// An activation is a type with three members:
//   forward(x, slope)         act(x); only leaky_relu reads the slope
//   derivative(saved, slope)  act'(x), computed from `saved`
//   from_output               true: `saved` is act(x); false: `saved` is x
// NaN goes through every one of them.
#pragma once

#include "portable.cuh"

namespace tfl {

template <typename T>
TFL_DEVICE T logistic(T x) {
  return quotient(T(1), T(1) + exponential(-x));
}

// The standard normal distribution function; 0.7071... is the square root of 1/2.
template <typename T>
TFL_DEVICE T normal_cdf(T x) {
  return T(0.5) * error_complement(x * T(-0.70710678118654752440));
}

#if defined(TFL_QUICK)
// The tail is the exponential times q P(q), where q = 1 / (1 + 0.3 |x|); P is minimax in relative
// error. The density takes the same exponential, which is computed once.
TFL_DEVICE float normal_tail_factor(float q) {
  return ((((-0.07709735f * q + 0.21603687f) * q - 0.016947882f) * q + 0.1441963f) * q +
          0.11374194f) *
             q +
         0.12007423f;
}
#define TFL_NORMAL_TAIL 1
#elif !defined(__CUDACC__)
// The same with an error of 1.5e-7, the rounding of a float. On the host an erfc of full accuracy in
// the tail, which has to square its argument exactly, would take three times as long.
TFL_DEVICE float normal_tail_factor(float q) {
  return ((((((0.035674877f * q - 0.1572035f) * q + 0.2063542f) * q - 0.053684246f) * q +
            0.12856193f) *
               q +
           0.09991341f) *
              q +
          0.120753966f) *
             q +
         0.1196293f;
}
#define TFL_NORMAL_TAIL 1
#endif

#if !defined(__CUDACC__)
TFL_DEVICE double normal_cdf(double x) {
  return error_complement_over<2>(x * -0.70710678118654752440);
}
#endif

#if defined(TFL_NORMAL_TAIL)
TFL_DEVICE float normal_cdf(float x) {
  const float q = quotient(1.0f, 1.0f + 0.3f * (x < 0.0f ? -x : x));
  const float tail = exponential(-0.5f * x * x) * (q * normal_tail_factor(q));
  return x < 0.0f ? tail : 1.0f - tail;
}
#undef TFL_NORMAL_TAIL
#endif

// The standard normal density; 0.3989... is 1 / sqrt(2 pi).
template <typename T>
TFL_DEVICE T normal_density(T x) {
  return T(0.39894228040143267794) * exponential(T(-0.5) * x * x);
}

struct Identity {
  static constexpr bool from_output = true;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return x;
  }
  template <typename T>
  static TFL_DEVICE T derivative(T, T) {
    return T(1);
  }
};

struct Relu {
  static constexpr bool from_output = true;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return x <= T(0) ? T(0) : x;
  }
  template <typename T>
  static TFL_DEVICE T derivative(T out, T) {
    return out <= T(0) ? T(0) : T(1);
  }
};

// From the output, because a slope of at least 0 keeps the sign.
struct LeakyRelu {
  static constexpr bool from_output = true;
  template <typename T>
  static TFL_DEVICE T forward(T x, T slope) {
    return x <= T(0) ? x * slope : x;
  }
  template <typename T>
  static TFL_DEVICE T derivative(T out, T slope) {
    return out <= T(0) ? slope : T(1);
  }
};

struct Sigmoid {
  static constexpr bool from_output = true;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return logistic(x);
  }
  template <typename T>
  static TFL_DEVICE T derivative(T out, T) {
    return out * (T(1) - out);
  }
};

struct Tanh {
  static constexpr bool from_output = true;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return hyperbolic_tangent(x);
  }
  template <typename T>
  static TFL_DEVICE T derivative(T out, T) {
    return T(1) - out * out;
  }
};

struct Silu {
  static constexpr bool from_output = false;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return quotient(x, T(1) + exponential(-x));
  }
  template <typename T>
  static TFL_DEVICE T derivative(T x, T) {
    const T s = logistic(x);
    return s * (T(1) + x * (T(1) - s));
  }
};

// x times the normal distribution function (Hendrycks and Gimpel, 2016).
struct Gelu {
  static constexpr bool from_output = false;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return x * normal_cdf(x);
  }
  template <typename T>
  static TFL_DEVICE T derivative(T x, T) {
    return normal_cdf(x) + x * normal_density(x);
  }
};

// The same paper's approximation 0.5 x (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3), written as
// x logistic(2 u): equal, and free of the cancellation for negative x. 1.5957... is 2 sqrt(2/pi).
struct GeluTanh {
  static constexpr bool from_output = false;
  template <typename T>
  static TFL_DEVICE T forward(T x, T) {
    return x * logistic(T(1.59576912160573071176) * x * (T(1) + T(0.044715) * x * x));
  }
  template <typename T>
  static TFL_DEVICE T derivative(T x, T) {
    const T square = x * x;
    const T s = logistic(T(1.59576912160573071176) * x * (T(1) + T(0.044715) * square));
    const T slope_of_argument = T(1.59576912160573071176) * (T(1) + T(0.134145) * square);
    return s + x * s * (T(1) - s) * slope_of_argument;
  }
};

// act(x) and act'(x) from x. An activation's two functions share what a compiler can see that they
// share; where it can't, the pair is written out.
template <typename T>
struct ValueAndDerivative {
  T value, derivative;
};

template <typename A, typename T>
TFL_DEVICE ValueAndDerivative<T> value_and_derivative(A, T x, T slope) {
  const T value = A::forward(x, slope);
  return {value, A::derivative(A::from_output ? value : x, slope)};
}

template <typename T>
TFL_DEVICE ValueAndDerivative<T> value_and_derivative(Silu, T x, T) {
  const T s = logistic(x);
  return {x * s, s * (T(1) + x * (T(1) - s))};
}

template <typename T>
TFL_DEVICE ValueAndDerivative<T> value_and_derivative(GeluTanh, T x, T) {
  const T square = x * x;
  const T s = logistic(T(1.59576912160573071176) * x * (T(1) + T(0.044715) * square));
  const T slope_of_argument = T(1.59576912160573071176) * (T(1) + T(0.134145) * square);
  return {x * s, s + x * s * (T(1) - s) * slope_of_argument};
}

// The gradients of act(gate) y, of which `g` is the gradient, to the gate and to y.
template <typename T>
struct GatedGradient {
  T gate, y;
};

template <typename A, typename T>
TFL_DEVICE GatedGradient<T> gated_gradient(A act, T g, T gate, T y, T slope) {
  const auto of = value_and_derivative(act, gate, slope);
  return {g * y * of.derivative, g * of.value};
}

}  // namespace tfl

// The list of all activations: APPLY(type, name).
#define TFL_FOR_EACH_ACTIVATION(APPLY) \
  APPLY(Identity, identity)            \
  APPLY(Relu, relu)                    \
  APPLY(LeakyRelu, leaky_relu)         \
  APPLY(Sigmoid, sigmoid)              \
  APPLY(Tanh, tanh)                    \
  APPLY(Silu, silu)                    \
  APPLY(Gelu, gelu)                    \
  APPLY(GeluTanh, gelu_tanh)
