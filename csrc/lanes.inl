// Vectors of an instruction set, and loops over short rows; included by a family's .inl.
namespace tfl {
namespace TFL_INSTRUCTIONS {

template <typename T, std::size_t Lanes>
struct Vectors {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <typename T, std::size_t Lanes>
using VectorOf = typename Vectors<T, Lanes>::type;

template <typename Vector, typename T>
static inline Vector load(const T* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

// Calls work(lanes, x) for x = 0 ... count - 1, so many at a time as the constant `lanes` says. The
// last vector begins early instead of leaving a rest: work must bear to do an element twice.
template <std::size_t Lanes, typename Work>
static inline void in_vectors_of(std::size_t count, const Work& work) {
  constexpr std::integral_constant<std::size_t, Lanes> lanes{};
  std::size_t x = 0;
  for (; x + Lanes <= count; x += Lanes) work(lanes, x);
  if (x < count) work(lanes, count - Lanes);
}

template <typename T, typename Work>
static inline void in_vectors(std::size_t count, const Work& work) {
  constexpr std::size_t widest = TFL_VECTOR_BYTES / sizeof(T);
  constexpr std::size_t half = TFL_VECTOR_BYTES > 16 ? widest / 2 : widest;
  constexpr std::size_t least = 16 / sizeof(T);
  if (count >= widest) {
    in_vectors_of<widest>(count, work);
  } else if (count >= half) {
    in_vectors_of<half>(count, work);
  } else if (count >= least) {
    in_vectors_of<least>(count, work);
  } else {
    in_vectors_of<1>(count, work);
  }
}

template <typename T>
static inline void copy_row(const T* __restrict from, std::size_t count, T* __restrict to) {
  in_vectors<T>(count, [&](auto lanes, std::size_t x) {
    for (std::size_t i = 0; i < lanes; ++i) to[x + i] = from[x + i];
  });
}

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
