// The steps of element programs: a loop over a tile for each operation and kind of number.
namespace tfl {
namespace TFL_INSTRUCTIONS {

using elements::truth;
using StepLoop = void (*)(const ElementStep& step, const void* const* operands, void* out,
                          std::size_t count);

template <std::size_t kind>
struct NumberOf;
template <>
struct NumberOf<0> {
  using type = truth;
};
template <>
struct NumberOf<1> {
  using type = int;
};
template <>
struct NumberOf<2> {
  using type = long long;
};
template <>
struct NumberOf<3> {
  using type = float;
};
template <>
struct NumberOf<4> {
  using type = double;
};

template <typename T, typename Out, typename Function>
static inline void each(const void* x, void* out, std::size_t count, const Function& function) {
  const T* from = static_cast<const T*>(x);
  Out* to = static_cast<Out*>(out);
#pragma GCC ivdep
  for (std::size_t i = 0; i < count; ++i) to[i] = function(from[i]);
}

template <typename T, typename Out, typename Function>
static inline void each(const void* x, const void* y, void* out, std::size_t count,
                        const Function& function) {
  const T* first = static_cast<const T*>(x);
  const T* second = static_cast<const T*>(y);
  Out* to = static_cast<Out*>(out);
#pragma GCC ivdep
  for (std::size_t i = 0; i < count; ++i) to[i] = function(first[i], second[i]);
}

template <typename Op, std::size_t operands, std::size_t parameters, typename T, typename Out>
struct Loop {
  static void run(const ElementStep& step, const void* const* in, void* out, std::size_t count) {
    if constexpr (operands == 2) {
      each<T, Out>(in[0], in[1], out, count, [](T x, T y) { return Op::of(x, y); });
    } else if constexpr (parameters == 0) {
      each<T, Out>(in[0], out, count, [](T x) { return Op::of(x); });
    } else if constexpr (parameters == 1) {
      const T first = static_cast<T>(step.parameters[0]);
      each<T, Out>(in[0], out, count, [=](T x) { return Op::of(x, first); });
    } else {
      const T first = static_cast<T>(step.parameters[0]);
      const T second = static_cast<T>(step.parameters[1]);
      each<T, Out>(in[0], out, count, [=](T x) { return Op::of(x, first, second); });
    }
  }
};

template <typename T>
struct Loop<elements::where, 3, 0, T, T> {
  static void run(const ElementStep&, const void* const* in, void* out, std::size_t count) {
    const truth* condition = static_cast<const truth*>(in[0]);
    const T* x = static_cast<const T*>(in[1]);
    const T* y = static_cast<const T*>(in[2]);
    T* to = static_cast<T*>(out);
#pragma GCC ivdep
    for (std::size_t i = 0; i < count; ++i) {
      const T first = x[i], second = y[i];  // both are read, so that no branch is left
      to[i] = condition[i] ? first : second;
    }
  }
};

// libm's functions are calls; these are loops of vectors.
template <typename T>
struct Loop<elements::log, 1, 0, T, T> {
  static void run(const ElementStep&, const void* const* in, void* out, std::size_t count) {
    each<T, T>(in[0], out, count, [](T x) { return elements::quick_logarithm(x); });
  }
};

static inline void sines(const void* in, void* out, std::size_t count, std::uint64_t quarters) {
  const float* x = static_cast<const float*>(in);
  float* to = static_cast<float*>(out);
  constexpr std::size_t at_once = 64;
  for (std::size_t start = 0; start < count; start += at_once) {
    const std::size_t length = std::min(at_once, count - start);
    float found[at_once];
    int far = 0;
#pragma GCC ivdep
    for (std::size_t i = 0; i < length; ++i) {
      const float one = x[start + i];
      far |= !(std::fabs(one) <= elements::quick_sine_bound);
      found[i] = elements::quick_sine(one, quarters);
    }
    if (far) {
      for (std::size_t i = 0; i < length; ++i) {
        const float one = x[start + i];
        if (!(std::fabs(one) <= elements::quick_sine_bound))
          found[i] = quarters ? std::cos(one) : std::sin(one);
      }
    }
    std::memcpy(to + start, found, length * sizeof(float));
  }
}

template <>
struct Loop<elements::sin, 1, 0, float, float> {
  static void run(const ElementStep&, const void* const* in, void* out, std::size_t count) {
    sines(in[0], out, count, 0);
  }
};
template <>
struct Loop<elements::cos, 1, 0, float, float> {
  static void run(const ElementStep&, const void* const* in, void* out, std::size_t count) {
    sines(in[0], out, count, 1);
  }
};

template <typename Op, std::size_t operands, std::size_t parameters, unsigned of_kinds, int result,
          std::size_t kind>
static constexpr StepLoop loop_of() {
  if constexpr ((of_kinds >> kind & 1u) == 0) {
    return nullptr;
  } else {
    using T = typename NumberOf<kind>::type;
    using Out = typename NumberOf<result < 0 ? kind : static_cast<std::size_t>(result)>::type;
    return Loop<Op, operands, parameters, T, Out>::run;
  }
}

#define TFL_LOOPS(name, operands, parameters, of_kinds, result, cost)                 \
  {loop_of<elements::name, operands, parameters, kinds::of_kinds, result, 0>(),       \
   loop_of<elements::name, operands, parameters, kinds::of_kinds, result, 1>(),       \
   loop_of<elements::name, operands, parameters, kinds::of_kinds, result, 2>(),       \
   loop_of<elements::name, operands, parameters, kinds::of_kinds, result, 3>(),       \
   loop_of<elements::name, operands, parameters, kinds::of_kinds, result, 4>()},
static constexpr StepLoop step_loops[operation_count][kind_count] = {
    TFL_FOR_EACH_OPERATION(TFL_LOOPS)};
#undef TFL_LOOPS

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
