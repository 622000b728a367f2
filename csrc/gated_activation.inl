// Gated activations and their gradients, for one instruction set; included by gated_activation.cpp.
// What is read and written is of the size of the layer, so each does all in one sweep.
namespace tfl {
namespace TFL_INSTRUCTIONS {

// What an element costs, in steps as `pieces_of` counts them.
constexpr double gated_cost = 4.0;
constexpr double slope_after_layer = 0.01;  // of leaky_relu

// Calls work(begin, end) for pieces of the elements.
template <typename Work>
static void in_pieces(std::size_t count, const Work& work) {
  const std::size_t pieces = pieces_of(count, gated_cost);
  parallel(pieces, [&](std::size_t piece) {
    work(first_of(piece, pieces, count), first_of(piece + 1, pieces, count));
  });
}

// Outputs may be inputs; the pragmas say that they overlap in no other way.
template <typename A, typename T>
static void gate(const T* x, const T* y, T* out, std::size_t count) {
  in_pieces(count, [=](std::size_t begin, std::size_t end) {
#pragma GCC ivdep
    for (std::size_t i = begin; i < end; ++i) out[i] = A::forward(x[i], T(slope_after_layer)) * y[i];
  });
}

template <typename A, typename T>
static void gate_gradient(const T* g, const T* x, const T* y, T* dx, T* dy, std::size_t count) {
  in_pieces(count, [=](std::size_t begin, std::size_t end) {
#pragma GCC ivdep
    for (std::size_t i = begin; i < end; ++i) {
      const auto of = gated_gradient(A{}, g[i], x[i], y[i], T(slope_after_layer));
      dx[i] = of.gate;
      dy[i] = of.y;
    }
  });
}

// Indexed as the names in bias_activation_module.cpp: both come from TFL_FOR_EACH_ACTIVATION.
#define TFL_GATE(type, name) gate<type, T>,
#define TFL_GATE_GRADIENT(type, name) gate_gradient<type, T>,
template <typename T>
static void gated_forward(int activation, const T* x, const T* y, T* out, std::size_t count) {
  using Gate = void (*)(const T*, const T*, T*, std::size_t);
  static constexpr Gate functions[] = {TFL_FOR_EACH_ACTIVATION(TFL_GATE)};
  functions[activation](x, y, out, count);
}

template <typename T>
static void gated_backward(int activation, const T* g, const T* x, const T* y, T* dx, T* dy,
                           std::size_t count) {
  using Gradient = void (*)(const T*, const T*, const T*, T*, T*, std::size_t);
  static constexpr Gradient functions[] = {TFL_FOR_EACH_ACTIVATION(TFL_GATE_GRADIENT)};
  functions[activation](g, x, y, dx, dy, count);
}
#undef TFL_GATE
#undef TFL_GATE_GRADIENT

template <typename T>
static constexpr GatedOf<T> gated_of = {gated_forward<T>, gated_backward<T>};

static const GatedActivation table = {gated_of<float>, gated_of<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
