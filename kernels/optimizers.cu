// The update rules of SGD, Adam and AdamW over all parameters of a group, and the unscaling of
// gradients. `lr` and `step` lie on the device and are read there.
// TFL_TYPE: the parameters' type; their gradients and states have it too.
#include "many_tensors.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;

// What a rule minimises along: the gradient, its sign, the L2 penalty's slope.
TFL_DEVICE W direction(W parameter, W gradient, W sign, W penalty) {
  gradient *= sign;
  return penalty != W(0) ? gradient + parameter * penalty : gradient;
}

// ---- SGD. The kinds are parameter, gradient, momentum buffer.

struct Sgd {
  static constexpr int writes = 0b001;
  W rate, sign, penalty;
  TFL_DEVICE void operator()(W (&x)[2]) const {
    x[0] -= direction(x[0], x[1], sign, penalty) * rate;
  }
};

struct SgdMomentum {
  static constexpr int writes = 0b101;
  W rate, sign, penalty, momentum, share;
  bool first, nesterov;
  TFL_DEVICE void operator()(W (&x)[3]) const {
    W g = direction(x[0], x[1], sign, penalty);
    x[2] = first ? g : x[2] * momentum + g * share;
    g = nesterov ? g + x[2] * momentum : x[2];
    x[0] -= g * rate;
  }
};

// One thread counts a step, before the updates that read it.
extern "C" TFL_KERNEL(32) sgd_begin(long long* step) {
  if (threadIdx.x == 0) *step += 1;
}

extern "C" TFL_KERNEL(256)
    sgd_step(const __grid_constant__ tfl::Tensors<2> tensors, const double* lr, double sign,
             double penalty) {
  tfl::update_elements<T>(
      tensors, Sgd{static_cast<W>(*lr), static_cast<W>(sign), static_cast<W>(penalty)});
}

extern "C" TFL_KERNEL(256)
    sgd_momentum_step(const __grid_constant__ tfl::Tensors<3> tensors, const double* lr,
                      const long long* step, double sign, double penalty, double momentum,
                      double dampening, long long nesterov) {
  const SgdMomentum update{static_cast<W>(*lr),           static_cast<W>(sign),
                           static_cast<W>(penalty),       static_cast<W>(momentum),
                           static_cast<W>(1 - dampening), *step == 1,
                           nesterov != 0};
  tfl::update_elements<T>(tensors, update);
}

// ---- Adam. The kinds are parameter, gradient, running means of it and of its square, and for
// AMSGrad the greatest of the latter.

struct AdamFactors {
  double rate;    // lr over the first mean's correction
  double spread;  // the root of the second mean's correction
  double keep;    // what a decoupled decay leaves of a parameter
};

// One thread counts a step and computes what all elements have in common.
extern "C" TFL_KERNEL(32)
    adam_begin(const double* lr, long long* step, AdamFactors* factors, double beta1, double beta2,
               double decay) {
  if (threadIdx.x != 0) return;
  const long long count = *step + 1;
  *step = count;
  factors->rate = *lr / (1.0 - pow(beta1, static_cast<double>(count)));
  factors->spread = sqrt(1.0 - pow(beta2, static_cast<double>(count)));
  factors->keep = 1.0 - *lr * decay;
}

template <int KINDS>
struct Adam {
  static constexpr int writes = KINDS == 5 ? 0b11101 : 0b1101;
  W rate, spread, keep, sign, penalty, beta2, share1, share2, eps;
  TFL_DEVICE void operator()(W (&x)[KINDS]) const {
    const W g = direction(x[0], x[1], sign, penalty);
    x[2] += (g - x[2]) * share1;
    x[3] = x[3] * beta2 + g * g * share2;
    W square = x[3];
    if (KINDS == 5) {
      // NaN stays, on either side.
      const W greatest = x[KINDS - 1];
      square = square > greatest || square != square ? square : greatest;
      x[KINDS - 1] = square;
    }
    x[0] = x[0] * keep - x[2] / (square_root(square) / spread + eps) * rate;
  }
  static TFL_DEVICE float square_root(float value) { return sqrtf(value); }
  static TFL_DEVICE double square_root(double value) { return sqrt(value); }
};

template <int KINDS>
TFL_DEVICE void run_adam(const tfl::Tensors<KINDS>& tensors, const AdamFactors* factors,
                         double sign, double penalty, double beta1, double beta2, double eps) {
  const Adam<KINDS> update{static_cast<W>(factors->rate), static_cast<W>(factors->spread),
                           static_cast<W>(factors->keep), static_cast<W>(sign),
                           static_cast<W>(penalty),       static_cast<W>(beta2),
                           static_cast<W>(1 - beta1),     static_cast<W>(1 - beta2),
                           static_cast<W>(eps)};
  tfl::update_elements<T>(tensors, update);
}

// Blocks on a multiprocessor: more would spill registers of halves and doubles.
constexpr int adam_blocks = sizeof(T) == 4 ? 4 : 3;

extern "C" TFL_KERNEL(256, adam_blocks)
    adam_step(const __grid_constant__ tfl::Tensors<4> tensors, const AdamFactors* factors,
              double sign, double penalty, double beta1, double beta2, double eps) {
  run_adam(tensors, factors, sign, penalty, beta1, beta2, eps);
}

extern "C" TFL_KERNEL(256, 2)
    adam_amsgrad_step(const __grid_constant__ tfl::Tensors<5> tensors, const AdamFactors* factors,
                      double sign, double penalty, double beta1, double beta2, double eps) {
  run_adam(tensors, factors, sign, penalty, beta1, beta2, eps);
}

// ---- the loss scale

struct Unscale {
  static constexpr int writes = 0b1;
  W inverse;
  float* found;
  TFL_DEVICE void operator()(W (&x)[1]) const {
    // Infinity and NaN alone differ from zero times themselves. All that write, write the same.
    if (x[0] * W(0) != W(0)) *found = 1.0f;
    x[0] *= inverse;
  }
};

extern "C" TFL_KERNEL(256)
    unscale(const __grid_constant__ tfl::Tensors<1> tensors, float* found, const float* scale) {
  tfl::update_elements<T>(tensors, Unscale{static_cast<W>(1.0f / *scale), found});
}
