// What device compilers (nvcc, NVRTC) and g++ need to share one source: function marks and the
// elementary functions. No CUDA header is included: NVRTC and nvcc know the device functions by
// themselves.
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
TFL_DEVICE float exponential(float x) { return expf(x); }
TFL_DEVICE double exponential(double x) { return exp(x); }
TFL_DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
TFL_DEVICE double hyperbolic_tangent(double x) { return tanh(x); }
TFL_DEVICE float error_complement(float x) { return erfcf(x); }
TFL_DEVICE double error_complement(double x) { return erfc(x); }
}  // namespace tfl

#else
#include "host_math.cuh"
#endif
