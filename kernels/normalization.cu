// Layer and root-mean-square normalisation over rows that lie side by side.
// TFL_TYPE: the arrays' type. `statistics` holds each row's mean (0 unless `centered`), and behind
// all of them each row's reciprocal deviation.
#include "rows.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

namespace {

// The numbers at a column, of as many as `P` has.
template <typename P>
TFL_DEVICE P numbers_at(const T* row, long long column) {
  return *reinterpret_cast<const P*>(row + column);
}

struct Moments {
  W mean, rstd;
};

// In two passes over the row's numbers, so that a large mean costs no digits.
template <typename Row>
TFL_DEVICE Moments moments_of(Row& row, long long columns, double eps, bool centered) {
  W mean = 0;
  if (centered) {
    row.for_each([&](const auto& x, long long) {
#pragma unroll
      for (const T& value : x.at) mean += tfl::widen(value);
    });
    mean = tfl::over_row<tfl::Sum>(mean) / W(columns);
  }
  W square = 0;
  row.for_each([&](const auto& x, long long) {
#pragma unroll
    for (const T& value : x.at) {
      const W centred = tfl::widen(value) - mean;
      square += centred * centred;
    }
  });
  square = tfl::over_row<tfl::Sum>(square) / W(columns);
  return {mean, W(1) / tfl::square_root(square + W(eps))};
}

template <typename Row>
TFL_DEVICE void normalize_row(const T* x, const T* weight, const T* bias, T* out, W* statistics,
                              long long rows, long long columns, double eps, bool centered) {
  const long long i = tfl::row_of_thread();
  if (i >= rows) return;
  Row row(x + i * columns, columns);
  const Moments moments = moments_of(row, columns, eps, centered);
  if (threadIdx.x == 0) {
    statistics[i] = moments.mean;
    statistics[rows + i] = moments.rstd;
  }
  row.write(out + i * columns, [&](auto y, long long column) {
    using P = decltype(y);
    P w{}, b{};
    if (weight) w = numbers_at<P>(weight, column);
    if (bias) b = numbers_at<P>(bias, column);
#pragma unroll
    for (int j = 0; j < P::size; ++j) {
      W value = (tfl::widen(y.at[j]) - moments.mean) * moments.rstd;
      if (weight) value *= tfl::widen(w.at[j]);
      if (bias) value += tfl::widen(b.at[j]);
      y.at[j] = tfl::narrow<T>(value);
    }
    return y;
  });
}

template <typename... Arrays>
TFL_DEVICE bool rows_packed(long long columns, const Arrays*... arrays) {
  return columns % Pack::size == 0 && (tfl::aligned(arrays) && ...);
}

}  // namespace

extern "C" TFL_KERNEL(TFL_THREADS, TFL_ROW_BLOCKS)
    normalize(const T* x, const T* weight, const T* bias, T* out, W* statistics, long long rows,
              long long columns, double eps, long long centered) {
  if (!rows_packed(columns, x, weight, bias, out)) {
    normalize_row<tfl::Looped<T, tfl::Single<T>>>(x, weight, bias, out, statistics, rows, columns,
                                                  eps, centered);
  } else if (tfl::Held<T>::holds(columns)) {
    normalize_row<tfl::Held<T>>(x, weight, bias, out, statistics, rows, columns, eps, centered);
  } else {
    normalize_row<tfl::Looped<T, Pack>>(x, weight, bias, out, statistics, rows, columns, eps,
                                        centered);
  }
}
