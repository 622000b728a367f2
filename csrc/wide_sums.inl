// Sums in double over vectors; included by families inside their instruction set's namespace.
constexpr std::size_t wide = TFL_VECTOR_BYTES / sizeof(double);
constexpr std::size_t side_by_side = 4;  // chains of additions that don't wait for each other

typedef double Wide __attribute__((vector_size(TFL_VECTOR_BYTES)));
typedef float Narrow __attribute__((vector_size(TFL_VECTOR_BYTES / 2)));

static inline Wide load_wide(const double* from) {
  Wide values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

static inline Wide load_wide(const float* from) {
  Narrow values;
  std::memcpy(&values, from, sizeof values);
#if TFL_VECTOR_BYTES == 64
  return (Wide)_mm512_maskz_cvtps_pd(0xff, (__m256)values);  // GCC would convert the halves apart
#else
  return __builtin_convertvector(values, Wide);
#endif
}

struct WideSum {
  Wide parts[side_by_side] = {};
  double rest = 0.0;

  double total() const {
    const Wide joined = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    double sum = rest;
    for (std::size_t lane = 0; lane < wide; ++lane) sum += joined[lane];
    return sum;
  }
};

// Adds term(from[i]...) for every i; the term is computed in double, a vector or a number at a time.
template <typename Term, typename... T>
static inline void accumulate(WideSum& sum, std::size_t count, const Term& term,
                              const T*... from) {
  WideSum local = sum;
  std::size_t i = 0;
  for (; i + side_by_side * wide <= count; i += side_by_side * wide) {
    for (std::size_t k = 0; k < side_by_side; ++k)
      local.parts[k] += term(load_wide(from + i + k * wide)...);
  }
  for (; i + wide <= count; i += wide) local.parts[0] += term(load_wide(from + i)...);
  for (; i < count; ++i) local.rest += term(static_cast<double>(from[i])...);
  sum = local;
}
