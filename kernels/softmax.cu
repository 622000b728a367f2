// softmax, log_softmax and the cross-entropy of classes, over rows that lie side by side.
// TFL_TYPE: the arrays' type.
#include "rows.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

namespace {

// What a row's softmax needs: its greatest number, and the sums of the numbers less that, and of
// their exponentials.
struct Norm {
  W greatest, shifted, sum;
};

template <typename Row>
TFL_DEVICE Norm norm_of(Row& row, bool wants_shifted = false) {
  W greatest = tfl::Greatest::nothing<W>();
  row.for_each([&](const auto& x, long long) {
#pragma unroll
    for (const T& value : x.at) greatest = tfl::Greatest::of(greatest, tfl::widen(value));
  });
  greatest = tfl::over_row<tfl::Greatest>(greatest);
  W sum = 0, shifted = 0;
  row.for_each([&](const auto& x, long long) {
#pragma unroll
    for (const T& value : x.at) {
      const W one = tfl::widen(value) - greatest;
      shifted += one;
      sum += tfl::exponential(one);
    }
  });
  if (wants_shifted) shifted = tfl::over_row<tfl::Sum>(shifted);
  return {greatest, shifted, tfl::over_row<tfl::Sum>(sum)};
}

template <typename Row>
TFL_DEVICE void write_probabilities(Row& row, const Norm& norm, T* out) {
  const W scale = W(1) / norm.sum;
  row.write(out, [&](auto x, long long) {
#pragma unroll
    for (T& value : x.at) {
      value = tfl::narrow<T>(tfl::exponential(tfl::widen(value) - norm.greatest) * scale);
    }
    return x;
  });
}

template <typename Row>
TFL_DEVICE void softmax_row(const T* x, T* out, long long rows, long long columns,
                            bool logarithms) {
  const long long i = tfl::row_of_thread();
  if (i >= rows) return;
  Row row(x + i * columns, columns);
  const Norm norm = norm_of(row);
  if (!logarithms) {
    write_probabilities(row, norm, out + i * columns);
    return;
  }
  const W log_sum = tfl::logarithm(norm.sum);
  row.write(out + i * columns, [&](auto y, long long) {
#pragma unroll
    for (T& value : y.at) value = tfl::narrow<T>((tfl::widen(value) - norm.greatest) - log_sum);
    return y;
  });
}

struct Classes {
  const long long* target;
  const W* weight;  // null: 1 each
  long long count, ignored;
  double smoothing;
};

// What a target asks for: `chosen` is its weight, 0 where it is ignored and NaN where it is neither
// ignored nor a class.
struct Target {
  long long place;
  bool kept;
  W chosen;

  TFL_DEVICE Target(const Classes& classes, long long row) {
    place = classes.target[row];
    kept = place != classes.ignored;
    const bool inside = place >= 0 && place < classes.count;
    if (!inside) place = 0;
    chosen = classes.weight ? classes.weight[place] : W(1);
    if (!kept) chosen = 0;
    else if (!inside) chosen = tfl::not_a_number<W>();
  }
};

// What smoothing takes from every class: the sum of the weighted logarithms. With weights the row
// is read again, by numbers: the weights would take the registers that hold it.
TFL_DEVICE W spread_of(const T* x, const Norm& norm, W log_sum, const Classes& classes) {
  const W scale = W(-classes.smoothing / classes.count);
  if (!classes.weight) return (norm.shifted - W(classes.count) * log_sum) * scale;
  W sum = 0;
  tfl::Looped<T, tfl::Single<T>> row(x, classes.count);
  row.for_each([&](const auto& value, long long column) {
    sum += ((tfl::widen(value.at[0]) - norm.greatest) - log_sum) * classes.weight[column];
  });
  return tfl::over_row<tfl::Sum>(sum) * scale;
}

template <typename Row>
TFL_DEVICE void cross_entropy_row(const T* x, const Classes& classes, T* loss, T* probabilities,
                                  long long rows) {
  const long long i = tfl::row_of_thread(), columns = classes.count;
  if (i >= rows) return;
  Row row(x + i * columns, columns);
  const Norm norm = norm_of(row, classes.smoothing != 0 && !classes.weight);
  const W log_sum = tfl::logarithm(norm.sum);
  W spread = 0;
  if (classes.smoothing != 0) spread = spread_of(x + i * columns, norm, log_sum, classes);
  if (threadIdx.x == 0) {
    const Target target(classes, i);
    const W shifted = tfl::widen(x[i * columns + target.place]) - norm.greatest;
    const W result = (log_sum - shifted) * target.chosen * W(1 - classes.smoothing) + spread;
    loss[i] = tfl::narrow<T>(target.kept ? result : W(0));
  }
  write_probabilities(row, norm, probabilities + i * columns);
}

TFL_DEVICE bool rows_packed(const void* one, const void* two, long long columns) {
  return columns % Pack::size == 0 && tfl::aligned(one) && tfl::aligned(two);
}

}  // namespace

// Block: the threads of a row, and rows where those are a warp.
extern "C" TFL_KERNEL(TFL_THREADS, TFL_ROW_BLOCKS)
    softmax(const T* x, T* out, long long rows, long long columns, long long logarithms) {
  if (!rows_packed(x, out, columns)) {
    softmax_row<tfl::Looped<T, tfl::Single<T>>>(x, out, rows, columns, logarithms);
  } else if (tfl::Held<T>::holds(columns)) {
    softmax_row<tfl::Held<T>>(x, out, rows, columns, logarithms);
  } else {
    softmax_row<tfl::Looped<T, Pack>>(x, out, rows, columns, logarithms);
  }
}

// Each row's loss, and its probabilities, which the gradient reads.
extern "C" TFL_KERNEL(TFL_THREADS, TFL_ROW_BLOCKS)
    softmax_cross_entropy(const T* x, const long long* target, const W* weight, T* loss,
                          T* probabilities, long long rows, long long classes, long long ignored,
                          double smoothing) {
  const Classes all{target, weight, classes, ignored, smoothing};
  if (!rows_packed(x, probabilities, classes)) {
    cross_entropy_row<tfl::Looped<T, tfl::Single<T>>>(x, all, loss, probabilities, rows);
  } else if (tfl::Held<T>::holds(classes)) {
    cross_entropy_row<tfl::Held<T>>(x, all, loss, probabilities, rows);
  } else {
    cross_entropy_row<tfl::Looped<T, Pack>>(x, all, loss, probabilities, rows);
  }
}

namespace {

// What a row's gradient is made of: probability * scale - spread * weight, less `hit` at the
// target.
struct RowGradient {
  Target target;
  W hit, scale, spread;

  TFL_DEVICE RowGradient(const Classes& classes, const W* total, T y, long long row)
      : target(classes, row) {
    const W g = tfl::widen(y);
    hit = g * target.chosen * W(1 - classes.smoothing);
    spread = g * W(classes.smoothing / classes.count);
    scale = hit + (classes.smoothing != 0 ? spread * (total ? *total : W(classes.count)) : W(0));
  }

  TFL_DEVICE T of(T probability, const Classes& classes, long long column, bool here) const {
    W out = tfl::widen(probability) * scale;
    if (classes.smoothing != 0) out -= classes.weight ? spread * classes.weight[column] : spread;
    if (here) out -= hit;
    return target.kept ? tfl::narrow<T>(out) : tfl::narrow<T>(W(0));
  }
};

// `count` packs of a row's gradient: all loads are under way before the first is waited for, which
// a branch between them would prevent.
template <int count>
TFL_DEVICE void gradient_of_some(const RowGradient& gradient, const Classes& classes,
                                 const Pack* from, Pack* to, long long first, long long stride) {
  Pack x[count];
#pragma unroll
  for (int k = 0; k < count; ++k) x[k] = tfl::read_once(from + first + k * stride);
#pragma unroll
  for (int k = 0; k < count; ++k) {
    const long long i = first + k * stride;
    const long long away = gradient.target.place - i * Pack::size;
    const int here = away >= 0 && away < Pack::size ? static_cast<int>(away) : -1;
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) {
      x[k].at[j] = gradient.of(x[k].at[j], classes, i * Pack::size + j, j == here);
    }
    to[i] = x[k];
  }
}

// The packs first, first + stride ... of a row's gradient.
TFL_DEVICE void gradient_of_packs(const RowGradient& gradient, const Classes& classes,
                                  const Pack* from, Pack* to, long long first, long long stride) {
  constexpr int at_once = 4;
  const long long packs = classes.count / Pack::size;
  long long i = first;
  for (; i + (at_once - 1) * stride < packs; i += at_once * stride) {
    gradient_of_some<at_once>(gradient, classes, from, to, i, stride);
  }
  for (; i < packs; i += stride) gradient_of_some<1>(gradient, classes, from, to, i, stride);
}

}  // namespace

// The gradient of the logits. A block's rows are along y; where there is one, its columns are
// divided among `pieces` blocks.
extern "C" TFL_KERNEL(256, 2)
    softmax_cross_entropy_gradient(const T* y, const T* probabilities, const long long* target,
                                   const W* weight, const W* total, T* out, long long rows,
                                   long long classes, long long ignored, double smoothing,
                                   long long pieces) {
  const Classes all{target, weight, classes, ignored, smoothing};
  const bool packed = rows_packed(probabilities, out, classes);
  const long long piece = blockIdx.x % pieces;
  const long long step = gridDim.x / pieces * blockDim.y;
  for (long long row = blockIdx.x / pieces * blockDim.y + threadIdx.y; row < rows; row += step) {
    const RowGradient gradient(all, total, y[row], row);
    const T* from = probabilities + row * classes;
    T* to = out + row * classes;
    const long long first = piece * blockDim.x + threadIdx.x, stride = pieces * blockDim.x;
    if (packed) {
      gradient_of_packs(gradient, all, reinterpret_cast<const Pack*>(from),
                        reinterpret_cast<Pack*>(to), first, stride);
      continue;
    }
    for (long long i = first; i < classes; i += stride) {
      to[i] = gradient.of(from[i], all, i, i == gradient.target.place);
    }
  }
}
