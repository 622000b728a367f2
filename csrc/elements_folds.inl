// The reductions that end element programs. Floats are added in double, integers wrap. Each piece
// folds what is its own in order; the pieces' results are folded in order after.
namespace tfl {
namespace TFL_INSTRUCTIONS {

#include "wide_sums.inl"

// What is folded in, by the kind of the value.
template <typename T>
using Folded = std::conditional_t<std::is_floating_point_v<T>, double, long long>;

template <typename A>
static inline A added(A x, A y) {
  if constexpr (std::is_floating_point_v<A>) {
    return x + y;
  } else {
    return elements::add::of(x, y);
  }
}

struct FoldSum {
  template <typename A>
  static inline A start() {
    return A(0);
  }
  template <typename A>
  static inline A of(A x, A y) {
    return added(x, y);
  }
};
struct FoldMax {
  template <typename A>
  static inline A start() {
    if constexpr (std::is_floating_point_v<A>) return -std::numeric_limits<A>::infinity();
    return std::numeric_limits<A>::lowest();
  }
  template <typename A>
  static inline A of(A x, A y) {
    return elements::maximum::of(x, y);
  }
};
struct FoldMin {
  template <typename A>
  static inline A start() {
    if constexpr (std::is_floating_point_v<A>) return std::numeric_limits<A>::infinity();
    return std::numeric_limits<A>::max();
  }
  template <typename A>
  static inline A of(A x, A y) {
    return elements::minimum::of(x, y);
  }
};

template <typename F, typename T>
static inline Folded<T> fold_run(Folded<T> start, const T* values, std::size_t count) {
  using A = Folded<T>;
  if constexpr (std::is_same_v<F, FoldSum> && std::is_floating_point_v<T>) {
    WideSum sum;
    accumulate(sum, count, [](auto x) { return x; }, values);
    return start + sum.total();
  } else {
    constexpr std::size_t lanes = 16;
    A found = start;
    std::size_t i = 0;
    if (count >= 2 * lanes) {
      T side[lanes];
      for (std::size_t k = 0; k < lanes; ++k) side[k] = values[k];
      if constexpr (std::is_same_v<F, FoldSum>) {
        A wide[lanes];
        for (std::size_t k = 0; k < lanes; ++k) wide[k] = side[k];
        for (i = lanes; i + lanes <= count; i += lanes) {
          for (std::size_t k = 0; k < lanes; ++k)
            wide[k] = F::of(wide[k], static_cast<A>(values[i + k]));
        }
        for (std::size_t k = 0; k < lanes; ++k) found = F::of(found, wide[k]);
      } else {
        for (i = lanes; i + lanes <= count; i += lanes) {
          for (std::size_t k = 0; k < lanes; ++k) side[k] = F::of(side[k], values[i + k]);
        }
        for (std::size_t k = 0; k < lanes; ++k) found = F::of(found, static_cast<A>(side[k]));
      }
    }
    for (; i < count; ++i) found = F::of(found, static_cast<A>(values[i]));
    return found;
  }
}

// Writes the result at a place of the kept elements.
template <typename A>
static inline void write_result(const ElementCall& call, std::size_t number, A folded) {
  const std::size_t first = call.rows ? 0 : call.axes - call.kept_axes;
  char* address = call.result.data;
  for (std::size_t i = call.kept_axes; i-- > 0;) {
    const std::size_t size = call.shape[first + i];
    address += static_cast<std::ptrdiff_t>(number % size) * call.result.strides[i];
    number /= size;
  }
  const bool divided = call.program->reduction->fold == Fold::mean;
  const double count = static_cast<double>(call.reduced);
  with_storage(call.result.storage, [&](auto stored, auto kind) {
    using S = decltype(stored);
    using T = decltype(kind);
    const T made = divided ? static_cast<T>(static_cast<double>(folded) / count)
                           : static_cast<T>(folded);
    *reinterpret_cast<S*>(address) = Stored<S>::of(made);
  });
}

// So many parts of what lies along the reduced axes are folded apart: by the sizes alone.
static inline std::size_t parts_of(std::size_t groups, std::size_t elements) {
  constexpr std::size_t worth = 16384, most = 64;
  if (groups >= most / 2) return 1;
  return std::max<std::size_t>(1, std::min(most / std::max<std::size_t>(groups, 1),
                                           elements / worth));
}

// The reduced axes come last: a row is folded by one piece, or a long one by several.
template <typename F, typename T>
static void fold_rows(const ElementCall& call) {
  using A = Folded<T>;
  const std::size_t tile = call.program->tile, length = call.reduced;
  const std::size_t parts = parts_of(call.kept, length);
  const std::size_t value = call.program->reduction->value;
  std::vector<A> partial(parts > 1 ? call.kept * parts : 0);
  const std::size_t units = call.kept * parts;
  const std::size_t pieces =
      pieces_of(units, call.program->cost * static_cast<double>(length) / static_cast<double>(parts));
  parallel(pieces, [&](std::size_t piece) {
    Tiles work(call);
    std::size_t unit = first_of(piece, pieces, units);
    const std::size_t last = first_of(piece + 1, pieces, units);
    const auto start_of = [&](std::size_t u) {
      return u / parts * length + first_of(u % parts, parts, length);
    };
    const std::size_t end = start_of(last);
    A folded = F::template start<A>();
    std::size_t unit_end = start_of(unit + 1);
    for (std::size_t begin = start_of(unit); begin < end;) {
      const std::size_t count = std::min(tile, end - begin);
      work.compute(begin, count);
      const T* values = static_cast<const T*>(work.value(value));
      for (std::size_t i = 0; i < count;) {
        const std::size_t run = std::min(count - i, unit_end - begin - i);
        folded = fold_run<F>(folded, values + i, run);
        i += run;
        if (begin + i < unit_end) break;
        if (parts > 1) {
          partial[unit] = folded;
        } else {
          write_result(call, unit, folded);
        }
        folded = F::template start<A>();
        ++unit;
        unit_end = start_of(unit + 1);
      }
      begin += count;
    }
  });
  if (parts == 1) return;
  for (std::size_t row = 0; row < call.kept; ++row) {
    A folded = F::template start<A>();
    for (std::size_t part = 0; part < parts; ++part)
      folded = F::of(folded, partial[row * parts + part]);
    write_result(call, row, folded);
  }
}

// The reduced axes come first: each piece takes a strip of columns over a stretch of rows.
template <typename F, typename T>
static void fold_columns(const ElementCall& call) {
  using A = Folded<T>;
  constexpr std::size_t widest = 512;
  const std::size_t columns = call.kept;
  const std::size_t width = std::min(widest, columns);
  const std::size_t strips = (columns + width - 1) / width;
  const std::size_t parts = parts_of(strips, call.reduced * width);
  const std::size_t at_once = strips > 1 ? 1 : std::max<std::size_t>(1, call.program->tile / width);
  const std::size_t value = call.program->reduction->value;
  std::vector<A> partial(parts > 1 ? parts * columns : 0);
  const std::size_t units = strips * parts;
  const double cost = call.program->cost * static_cast<double>(call.reduced) *
                      static_cast<double>(width) / static_cast<double>(parts);
  const std::size_t pieces = pieces_of(units, cost);
  const auto fold_unit = [&](Tiles& work, std::size_t unit) {
    const std::size_t strip = unit / parts, part = unit % parts;
    const std::size_t column = strip * width, count = std::min(width, columns - column);
    const std::size_t end = first_of(part + 1, parts, call.reduced);
    A folded[widest];
    std::fill_n(folded, count, F::template start<A>());
    for (std::size_t row = first_of(part, parts, call.reduced); row < end; row += at_once) {
      const std::size_t rows = std::min(at_once, end - row);
      work.compute(row * columns + column, rows * count);
      const T* values = static_cast<const T*>(work.value(value));
      for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC ivdep
        for (std::size_t k = 0; k < count; ++k)
          folded[k] = F::of(folded[k], static_cast<A>(values[r * count + k]));
      }
    }
    for (std::size_t k = 0; k < count; ++k) {
      if (parts > 1) {
        partial[part * columns + column + k] = folded[k];
      } else {
        write_result(call, column + k, folded[k]);
      }
    }
  };
  parallel(pieces, [&](std::size_t piece) {
    Tiles work(call);
    const std::size_t end = first_of(piece + 1, pieces, units);
    for (std::size_t unit = first_of(piece, pieces, units); unit < end; ++unit)
      fold_unit(work, unit);
  });
  if (parts == 1) return;
  for (std::size_t column = 0; column < columns; ++column) {
    A folded = F::template start<A>();
    for (std::size_t part = 0; part < parts; ++part)
      folded = F::of(folded, partial[part * columns + column]);
    write_result(call, column, folded);
  }
}

template <typename F, typename T>
static void fold_all(const ElementCall& call) {
  if (call.reduced == 0) {
    for (std::size_t i = 0; i < call.kept; ++i)
      write_result(call, i, F::template start<Folded<T>>());
  } else if (call.total > 0) {
    call.rows ? fold_rows<F, T>(call) : fold_columns<F, T>(call);
  }
}

static void run_reduction(const ElementCall& call) {
  const ElementProgram::Reduction& reduction = *call.program->reduction;
  with_kind(call.program->kinds[reduction.value], [&](auto number) {
    using T = decltype(number);
    if (reduction.fold == Fold::max) {
      fold_all<FoldMax, T>(call);
    } else if (reduction.fold == Fold::min) {
      fold_all<FoldMin, T>(call);
    } else {
      fold_all<FoldSum, T>(call);
    }
  });
}

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
