// What device compilers (nvcc, NVRTC) and g++ need to share one source: function marks and the
// elementary functions. No CUDA header is included: NVRTC and nvcc know the device functions by
// themselves.
//
// TFL_QUICK, set for arrays of half precision, takes functions in a few instructions whose relative
// error is at most 2e-5: the accurate ones would keep a kernel from the memory's speed.
#pragma once

#if defined(__CUDACC__)
#define TFL_DEVICE __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define TFL_DEVICE inline __attribute__((always_inline))
#else
#define TFL_DEVICE inline
#endif

#if defined(__CUDACC__)

namespace tfl {
#if defined(TFL_QUICK) && defined(__CUDA_ARCH__)
TFL_DEVICE float exponential(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504088896341f));
  return y;
}
TFL_DEVICE float quotient(float x, float y) {
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(y));
  return x * reciprocal;
}
TFL_DEVICE float hyperbolic_tangent(float x) {
  const float e = exponential(-2.0f * fabsf(x));
  const float far = copysignf(quotient(1.0f - e, 1.0f + e), x);
  return fabsf(x) < 0.06f ? x - x * x * x * 0.33333333f : far;
}
#else
TFL_DEVICE float exponential(float x) { return expf(x); }
TFL_DEVICE float quotient(float x, float y) { return x / y; }
TFL_DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
#endif
TFL_DEVICE double exponential(double x) { return exp(x); }
TFL_DEVICE double quotient(double x, double y) { return x / y; }
TFL_DEVICE double hyperbolic_tangent(double x) { return tanh(x); }
TFL_DEVICE float error_complement(float x) { return erfcf(x); }
TFL_DEVICE double error_complement(double x) { return erfc(x); }
TFL_DEVICE float logarithm(float x) { return logf(x); }
TFL_DEVICE double logarithm(double x) { return log(x); }
TFL_DEVICE float logarithm_of_one_plus(float x) { return log1pf(x); }
TFL_DEVICE double logarithm_of_one_plus(double x) { return log1p(x); }
TFL_DEVICE float square_root(float x) { return sqrtf(x); }
TFL_DEVICE double square_root(double x) { return sqrt(x); }
}  // namespace tfl

#else
#include "host_math.cuh"
#endif
