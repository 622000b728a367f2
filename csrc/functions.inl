// Functions of one number, for one instruction set; included by functions.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

// What an element costs, in steps as `pieces_of` counts them.
constexpr double function_cost = 8.0;

template <typename T, typename Function>
static void each(const T* x, T* out, std::size_t count, const Function& function) {
  const std::size_t pieces = pieces_of(count, function_cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t end = first_of(piece + 1, pieces, count);
#pragma GCC ivdep
    for (std::size_t i = first_of(piece, pieces, count); i < end; ++i) out[i] = function(x[i]);
  });
}

template <typename T>
static void of_error_function(const T* x, T* out, std::size_t count) {
  each(x, out, count, [](T one) { return error_function(one); });
}

template <typename T>
static void of_error_complement(const T* x, T* out, std::size_t count) {
  each(x, out, count, [](T one) { return error_complement(one); });
}

template <typename T>
static void of_softplus(const T* x, T* out, std::size_t count, T beta, T threshold) {
  each(x, out, count, [=](T one) {
    const T scaled = one * beta;
    const T magnitude = scaled < T(0) ? -scaled : scaled;
    const T positive = scaled < T(0) ? T(0) : scaled;  // and NaN
    const T smooth = (positive + logarithm_of_one_to_two(exponential(-magnitude))) / beta;
    return scaled > threshold ? one : smooth;
  });
}

template <typename T>
static constexpr FunctionsOf<T> functions = {of_error_function<T>, of_error_complement<T>,
                                             of_softplus<T>};

static const Functions table = {functions<float>, functions<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
