// Update rules of the optimizers for one instruction set; included by optimizers.cpp. A rule is a
// structure: its constants, rounded once to the elements' type, and what it does with one element.
// The operations and their order are those of the rules in Python, so the bits are, too.
namespace tfl {
namespace TFL_INSTRUCTIONS {

// What an element costs, in steps as `pieces_of` counts them.
constexpr double step_cost = 2.5;

template <typename T>
struct Descent {
  static constexpr StepRule rule = {"sgd", 0, 1};
  T rate;
  explicit Descent(const double* c) : rate(static_cast<T>(c[0])) {}
  void operator()(T& p, T g, T*) const { p -= g * rate; }
};

template <typename T, bool Nesterov>
struct Momentum {
  static constexpr StepRule rule = {Nesterov ? "sgd_nesterov" : "sgd_momentum", 1, 3};
  T rate, momentum, share;
  explicit Momentum(const double* c)
      : rate(static_cast<T>(c[0])), momentum(static_cast<T>(c[1])), share(static_cast<T>(c[2])) {}
  void operator()(T& p, T g, T* s) const {
    s[0] = s[0] * momentum + g * share;
    p -= (Nesterov ? s[0] * momentum + g : s[0]) * rate;
  }
};

// The first step: the buffer may hold anything.
template <typename T, bool Nesterov>
struct FirstMomentum {
  static constexpr StepRule rule = {Nesterov ? "sgd_nesterov_first" : "sgd_momentum_first", 1, 2};
  T rate, momentum;
  explicit FirstMomentum(const double* c)
      : rate(static_cast<T>(c[0])), momentum(static_cast<T>(c[1])) {}
  void operator()(T& p, T g, T* s) const {
    s[0] = g;
    p -= (Nesterov ? g * momentum + g : g) * rate;
  }
};

template <typename T>
static T greater(T a, T b) {  // NaN where one is
  return a >= b || a != a ? a : b;
}

template <typename T, bool Amsgrad>
struct Adam {
  static constexpr StepRule rule = {Amsgrad ? "adam_amsgrad" : "adam", Amsgrad ? 3 : 2, 5};
  T share1, beta2, share2, scale, floor;
  explicit Adam(const double* c)
      : share1(static_cast<T>(c[0])),
        beta2(static_cast<T>(c[1])),
        share2(static_cast<T>(c[2])),
        scale(static_cast<T>(c[3])),
        floor(static_cast<T>(c[4])) {}
  void operator()(T& p, T g, T* s) const {
    s[0] += (g - s[0]) * share1;
    s[1] = s[1] * beta2 + g * g * share2;
    T square = s[1];
    if (Amsgrad) square = s[2] = greater(s[2], square);
    p -= s[0] / (std::sqrt(square) * scale + floor);
  }
};

// The elements begin ... end - 1 of one parameter.
template <template <typename> class Rule, typename T, bool Penalty>
static void run_span(const StepArrays& arrays, const double* constants, std::size_t begin,
                     std::size_t end) {
  constexpr std::size_t states = Rule<T>::rule.states;
  const Rule<T> rule(constants + shared_constants);
  const T sign = static_cast<T>(constants[0]);
  const T penalty = static_cast<T>(constants[1]);
  const T keep = static_cast<T>(constants[2]);
  T* const parameter = static_cast<T*>(arrays.arrays[0]);
  const T* const gradient = static_cast<const T*>(arrays.arrays[1]);
  T* state[most_states] = {};
  for (std::size_t k = 0; k < states; ++k) state[k] = static_cast<T*>(arrays.arrays[2 + k]);
#pragma GCC ivdep
  for (std::size_t i = begin; i < end; ++i) {
    T p = parameter[i];
    T g = gradient[i] * sign;
    T s[most_states] = {};
    if (states > 0) s[0] = state[0][i];
    if (states > 1) s[1] = state[1][i];
    if (states > 2) s[2] = state[2][i];
    if (Penalty) g = p * penalty + g;
    p *= keep;
    rule(p, g, s);
    parameter[i] = p;
    if (states > 0) state[0][i] = s[0];
    if (states > 1) state[1][i] = s[1];
    if (states > 2) state[2][i] = s[2];
  }
}

template <template <typename> class Rule>
static void run_one(const StepArrays& arrays, const double* constants, std::size_t begin,
                    std::size_t end) {
  const bool penalty = constants[1] != 0.0;
  const auto span = arrays.is_double ? (penalty ? run_span<Rule, double, true>
                                                : run_span<Rule, double, false>)
                                     : (penalty ? run_span<Rule, float, true>
                                                : run_span<Rule, float, false>);
  span(arrays, constants, begin, end);
}

template <typename T>
using PlainMomentum = Momentum<T, false>;
template <typename T>
using NesterovMomentum = Momentum<T, true>;
template <typename T>
using PlainFirst = FirstMomentum<T, false>;
template <typename T>
using NesterovFirst = FirstMomentum<T, true>;
template <typename T>
using PlainAdam = Adam<T, false>;
template <typename T>
using AmsgradAdam = Adam<T, true>;

#define TFL_FOR_EACH_RULE(X) \
  X(Descent)                 \
  X(PlainMomentum)           \
  X(NesterovMomentum)        \
  X(PlainFirst)              \
  X(NesterovFirst)           \
  X(PlainAdam)               \
  X(AmsgradAdam)

#define TFL_RULE(Rule) Rule<float>::rule,
#define TFL_RUN(Rule) run_one<Rule>,
static constexpr StepRule rules[] = {TFL_FOR_EACH_RULE(TFL_RULE)};
using RunOne = void (*)(const StepArrays&, const double*, std::size_t, std::size_t);
static constexpr RunOne runs[] = {TFL_FOR_EACH_RULE(TFL_RUN)};
#undef TFL_RULE
#undef TFL_RUN
#undef TFL_FOR_EACH_RULE

// All elements of all parameters are one row, cut into equal pieces.
static void step(std::size_t rule, const Step& a) {
  const std::size_t total = a.starts[a.count];
  const std::size_t pieces = pieces_of(total, step_cost);
  const RunOne run = runs[rule];
  parallel(pieces, [&](std::size_t piece) {
    std::size_t at = first_of(piece, pieces, total);
    const std::size_t end = first_of(piece + 1, pieces, total);
    std::size_t i = static_cast<std::size_t>(
                        std::upper_bound(a.starts, a.starts + a.count + 1, at) - a.starts) -
                    1;
    for (; at < end; ++i) {
      const std::size_t last = std::min(end, a.starts[i + 1]);
      if (last > at)
        run(a.parameters[i], a.constants + i * a.stride, at - a.starts[i], last - a.starts[i]);
      at = last;
    }
  });
}

static const Optimizers table = {rules, sizeof rules / sizeof *rules, step};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
