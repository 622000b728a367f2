// The gradients of normalisation over rows that lie side by side (normalization.cu).
// TFL_TYPE: the arrays' type. TFL_PACKS: packs of a row that a thread holds.
#include "reduce.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Pack = tfl::Pack<T>;

namespace {

constexpr int held = TFL_PACKS;
// Whether the next row is under way while the sums of one are taken: as far as registers go.
constexpr bool ahead = held < 4;

struct Statistics {
  W mean, rstd;

  TFL_DEVICE Statistics(const W* all, long long rows, long long row)
      : mean(all[row]), rstd(all[rows + row]) {}
  TFL_DEVICE W normal(T x) const { return (tfl::widen(x) - mean) * rstd; }
};

TFL_DEVICE W weighted(T g, const T* weight, long long column) {
  return weight ? tfl::widen(g) * tfl::widen(weight[column]) : tfl::widen(g);
}

// dx = rstd (g - normal mean(g normal) - mean(g)), where g is the incoming gradient times the
// weight; the last mean only where the mean was subtracted.
TFL_DEVICE T input_gradient(W g, W normal, W with_normal, W plain, W rstd) {
  return tfl::narrow<T>((g - normal * with_normal - plain) * rstd);
}

TFL_DEVICE int column_of(int p) {
  return (p * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * Pack::size;
}

// What a thread has of one row of y and x.
struct Pair {
  Pack y[held], x[held];

  TFL_DEVICE void load(const T* y_row, const T* x_row, int columns) {
#pragma unroll
    for (int p = 0; p < held; ++p) {
      if (column_of(p) >= columns) continue;
      y[p] = tfl::read_once(reinterpret_cast<const Pack*>(y_row + column_of(p)));
      x[p] = tfl::read_once(reinterpret_cast<const Pack*>(x_row + column_of(p)));
    }
  }
};

TFL_DEVICE Pack weight_at(const T* weight, int column) {
  return *reinterpret_cast<const Pack*>(weight + column);
}

// One row: dx, and what it adds to the gradients of the weight and the bias.
TFL_DEVICE void take_row(Pair& row, const T* weight, const Statistics& of, bool centered,
                         int columns, T* dx, W (&weight_sums)[held][Pack::size],
                         W (&bias_sums)[held][Pack::size]) {
  W with_normal = 0, plain = 0;
#pragma unroll
  for (int p = 0; p < held; ++p) {
    if (column_of(p) >= columns) continue;
    Pack w{};
    if (weight) w = weight_at(weight, column_of(p));
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) {
      const W y = tfl::widen(row.y[p].at[j]), normal = of.normal(row.x[p].at[j]);
      const W g = weight ? y * tfl::widen(w.at[j]) : y;
      with_normal += g * normal;
      plain += g;
      weight_sums[p][j] += y * normal;
      bias_sums[p][j] += y;
    }
  }
  with_normal = tfl::over_row<tfl::Sum>(with_normal) / W(columns);
  plain = centered ? tfl::over_row<tfl::Sum>(plain) / W(columns) : W(0);
#pragma unroll
  for (int p = 0; p < held; ++p) {
    tfl::forget(row.y[p]);
    tfl::forget(row.x[p]);
  }
#pragma unroll
  for (int p = 0; p < held; ++p) {
    if (column_of(p) >= columns) continue;
    Pack w{}, out;
    if (weight) w = weight_at(weight, column_of(p));
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) {
      const W y = tfl::widen(row.y[p].at[j]);
      const W g = weight ? y * tfl::widen(w.at[j]) : y;
      out.at[j] = input_gradient(g, of.normal(row.x[p].at[j]), with_normal, plain, of.rstd);
    }
    *reinterpret_cast<Pack*>(dx + column_of(p)) = out;
  }
}

// Writes a block's sums; those of its warps, where each has rows of its own, are added first.
TFL_DEVICE void store_sums(W* to, W (&sums)[held][Pack::size], int columns) {
  __shared__ W room[8][32];
  if (blockDim.y > 1) {
#pragma unroll
    for (int p = 0; p < held; ++p) {
#pragma unroll
      for (int j = 0; j < Pack::size; ++j) {
        room[threadIdx.y][threadIdx.x] = sums[p][j];
        __syncthreads();
        sums[p][j] = 0;
        for (int k = 0; k < static_cast<int>(blockDim.y); ++k) sums[p][j] += room[k][threadIdx.x];
        __syncthreads();
      }
    }
    if (threadIdx.y) return;
  }
#pragma unroll
  for (int p = 0; p < held; ++p) {
    if (column_of(p) >= columns) continue;
#pragma unroll
    for (int j = 0; j < Pack::size; ++j) to[column_of(p) + j] = sums[p][j];
  }
}

}  // namespace

// For columns that the threads hold, a multiple of a pack at addresses that are multiples of 16. A
// group of threads (a warp, or the block) takes every so many-th row and keeps the sums of its
// rows; the block writes them to its row of `weight_partials` and `bias_partials` (null: not asked
// for).
extern "C" TFL_KERNEL(TFL_THREADS, TFL_BLOCKS)
    normalize_gradient(const T* y, const T* x, const W* statistics, const T* weight, T* dx,
                       W* weight_partials, W* bias_partials, long long rows, long long columns_,
                       long long centered) {
  const int columns = static_cast<int>(columns_);
  const long long group = static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y;
  const long long groups = static_cast<long long>(gridDim.x) * blockDim.y;
  W weight_sums[held][Pack::size] = {}, bias_sums[held][Pack::size] = {};
  Pair next;
  if (ahead && group < rows) next.load(y + group * columns_, x + group * columns_, columns);
  for (long long i = group; i < rows; i += groups) {
    if (!ahead) next.load(y + i * columns_, x + i * columns_, columns);
    Pair row = next;
    if (ahead && i + groups < rows) {
      next.load(y + (i + groups) * columns_, x + (i + groups) * columns_, columns);
    }
    take_row(row, weight, Statistics(statistics, rows, i), centered, columns, dx + i * columns_,
             weight_sums, bias_sums);
  }
  if (weight_partials) store_sums(weight_partials + blockIdx.x * columns_, weight_sums, columns);
  if (bias_partials) store_sums(bias_partials + blockIdx.x * columns_, bias_sums, columns);
}

// dx of any row: two passes that read it.
extern "C" TFL_KERNEL(TFL_THREADS)
    normalize_input_gradient(const T* y, const T* x, const W* statistics, const T* weight, T* dx,
                             long long rows, long long columns, long long centered) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (i >= rows) return;
  const Statistics of(statistics, rows, i);
  const T *y_row = y + i * columns, *x_row = x + i * columns;
  W with_normal = 0, plain = 0;
  for (long long k = threadIdx.x; k < columns; k += blockDim.x) {
    const W g = weighted(y_row[k], weight, k);
    with_normal += g * of.normal(x_row[k]);
    plain += g;
  }
  with_normal = tfl::over_row<tfl::Sum>(with_normal) / W(columns);
  plain = centered ? tfl::over_row<tfl::Sum>(plain) / W(columns) : W(0);
  for (long long k = threadIdx.x; k < columns; k += blockDim.x) {
    dx[i * columns + k] = input_gradient(weighted(y_row[k], weight, k), of.normal(x_row[k]),
                                         with_normal, plain, of.rstd);
  }
}

// The sums for the weight and the bias of any columns. Grid: strips of blockDim.x columns,
// chunks of rows.
extern "C" TFL_KERNEL(256)
    normalize_parameter_gradient(const T* y, const T* x, const W* statistics, W* weight_partials,
                                 W* bias_partials, long long rows, long long columns,
                                 long long chunk) {
  __shared__ W room[2][256];
  const long long column = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  const long long begin = blockIdx.y * chunk;
  const long long end = begin + chunk < rows ? begin + chunk : rows;
  W with_normal = 0, plain = 0;
  if (column < columns) {
#pragma unroll 4
    for (long long i = begin + threadIdx.y; i < end; i += blockDim.y) {
      const W g = tfl::widen(y[i * columns + column]);
      with_normal += g * Statistics(statistics, rows, i).normal(x[i * columns + column]);
      plain += g;
    }
  }
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  room[0][thread] = with_normal;
  room[1][thread] = plain;
  __syncthreads();
  if (threadIdx.y || column >= columns) return;
  with_normal = plain = 0;
  for (unsigned int k = threadIdx.x; k < blockDim.x * blockDim.y; k += blockDim.x) {
    with_normal += room[0][k];
    plain += room[1][k];
  }
  weight_partials[blockIdx.y * columns + column] = with_normal;
  if (bias_partials) bias_partials[blockIdx.y * columns + column] = plain;
}

// A parameter's gradient from its partial sums.
extern "C" TFL_KERNEL(1024)
    sum_partials(const W* partials, W* out, long long parts, long long columns) {
  tfl::sum_columns(partials, out, parts, columns);
}
