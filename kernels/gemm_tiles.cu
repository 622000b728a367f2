// The matrix product on every chip, with what a layer does next: sums are kept in float (double for
// double), halves and tf32 go through the tensor cores.
//
// D (m x n) = A (m x k) B (k x n), of as many matrices as a batch has. Where there are few tiles
// the depth is split: each block writes the products of its part, and a second kernel adds them.
//
//   TFL_TYPE           float, double, tfl::float16 or tfl::bfloat16
//   TFL_TF32           1: floats are rounded to tf32
//   TFL_ROWS           and TFL_COLUMNS of a block's tile: 64 or 128
//   TFL_STAGES         tiles of the operands in shared memory
//   TFL_A_TRANSPOSED   0: A is stored as m x k. 1: as k x m
//   TFL_B_TRANSPOSED   0: B is stored as k x n. 1: as n x k (a layer's weight)
//   TFL_A_GROUP        elements of A that are fetched at once: 1, or 16 bytes where its rows begin
//                      at multiples of 16 bytes; TFL_B_GROUP likewise
//   TFL_EPILOGUE       0: D
//                      1: act(D + bias); `saved` gets D + bias. Both may be null
//                      2: D act'(saved), and its sums over each tile's rows for the bias gradient
//                      3: D y act'(saved), and D act(saved) as `dy`: where the next layer takes
//                         act(saved) y, the gradients of both
//   TFL_ACTIVATION     a struct of activations.cuh
#include "activations.cuh"
#include "strips.cuh"
#include "tiles.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;
using Act = TFL_ACTIVATION;
using A = tfl::Matrix<T, !TFL_A_TRANSPOSED, TFL_A_GROUP>;
using B = tfl::Matrix<T, TFL_B_TRANSPOSED, TFL_B_GROUP>;

namespace {

// Which of the ways in tiles.cuh a type takes.
template <typename Type>
struct Way {
  using Math = tfl::HalfMath<Type, TFL_ROWS, TFL_COLUMNS>;
};
template <>
struct Way<float> {
#if TFL_TF32
  using Math = tfl::Tf32Math<TFL_ROWS, TFL_COLUMNS>;
#else
  using Math = tfl::FloatMath<float, TFL_ROWS, TFL_COLUMNS>;
#endif
};
template <>
struct Way<double> {
  using Math = tfl::FloatMath<double, TFL_ROWS, TFL_COLUMNS>;
};

}  // namespace

using Math = Way<T>::Math;
using Product = tfl::TileProduct<Math, A, B, TFL_STAGES>;
constexpr int outputs = Product::outputs;
using Pack = tfl::Pack<T>;

// Blocks on a multiprocessor. 128 registers a thread are enough for halves, but not where they wait
// in registers on their way to shared memory, nor for the addresses of single elements, nor with
// column sums beside a large tile's, nor with a gate and a transposed A. Those of floats need more.
constexpr bool greedy = !Product::TileA::async || !Product::TileB::async || TFL_A_GROUP == 1 ||
                        TFL_B_GROUP == 1 || TFL_EPILOGUE == 2 ||
                        (TFL_EPILOGUE == 3 && TFL_A_TRANSPOSED) || sizeof(T) != 2;
constexpr int blocks = greedy ? 128 / TFL_ROWS : 512 / Math::threads;

// tensorflowlite/backend/cuda/tiles.py has these, too.
constexpr int adding_width = 64;  // columns of a block that adds up
constexpr int adding_height = 4;

struct Shape {
  long long m, n, k;
  long long a_leading, b_leading;  // elements from row to row, as stored
  long long a_stride, b_stride;    // from matrix to matrix of a batch
  long long splits, steps;         // parts of the depth, and Math::depth in each
};

namespace {

// The end of one element: from the sum to what is written. `y` becomes its gradient.
TFL_DEVICE void end_element(W sum, W bias, W slope, T& out, T& saved, T& y, W& total) {
  if constexpr (TFL_EPILOGUE == 1) {
    sum += bias;
    saved = tfl::narrow<T>(sum);
    sum = Act::template forward<W>(sum, slope);
  } else if constexpr (TFL_EPILOGUE == 2) {
    sum *= Act::template derivative<W>(tfl::widen(saved), slope);
    total += sum;
  } else if constexpr (TFL_EPILOGUE == 3) {
    const auto of = tfl::gated_gradient(Act{}, sum, tfl::widen(saved), tfl::widen(y), slope);
    sum = of.gate;
    y = tfl::narrow<T>(of.y);
  }
  out = tfl::narrow<T>(sum);
}

// What happens to a tile's sums. A thread's columns are the same in every row.
struct Ending {
  long long m, n, row, column;
  T *out, *saved;
  const T* y;
  T* dy;
  W* products;  // of a part of the depth; null where the sums are whole
  W slope;
  bool packed;
  W bias[outputs];
  W totals[outputs];

  // How many of the thread's columns there are.
  TFL_DEVICE int count() const {
    return column + outputs <= n ? outputs : column < n ? static_cast<int>(n - column) : 0;
  }
  template <typename U>
  TFL_DEVICE void write(U* to, const U* values) const {
    if (packed) {
      constexpr int size = tfl::Pack<U>::size;
#pragma unroll
      for (int i = 0; i < outputs; i += size) {
        tfl::Pack<U> pack;
#pragma unroll
        for (int j = 0; j < size; ++j) pack.at[j] = values[i + j];
        *reinterpret_cast<tfl::Pack<U>*>(to + i) = pack;
      }
      return;
    }
#pragma unroll
    for (int i = 0; i < outputs; ++i) {
      if (i < count()) to[i] = values[i];
    }
  }
  TFL_DEVICE Pack read(const T* from) const {
    if (packed) return tfl::read_once(reinterpret_cast<const Pack*>(from));
    Pack found{};
#pragma unroll
    for (int i = 0; i < outputs; ++i) {
      if (i < count()) found.at[i] = from[i];
    }
    return found;
  }

  TFL_DEVICE void operator()(int in_tile, int, const W (&sums)[outputs]) {
    const long long here = row + in_tile;
    if (here >= m || !count()) return;
    const long long at = here * n + column;
    if (products) {
      write(products + at, sums);
      return;
    }
    Pack result;
    Pack kept{};
    Pack other{};
    if constexpr (TFL_EPILOGUE >= 2) kept = read(saved + at);
    if constexpr (TFL_EPILOGUE == 3) other = read(y + at);
#pragma unroll
    for (int i = 0; i < outputs; ++i) {
      end_element(sums[i], bias[i], slope, result.at[i], kept.at[i], other.at[i], totals[i]);
    }
    if (TFL_EPILOGUE == 1 && saved) write(saved + at, kept.at);
    if constexpr (TFL_EPILOGUE == 3) write(dy + at, other.at);
    write(out + at, result.at);
  }
};

}  // namespace

extern "C" TFL_KERNEL(Math::threads, blocks)
    gemm_tiles(const __grid_constant__ Shape shape, const T* a, const T* b, const T* bias, T* out,
               T* saved, const T* y, T* dy, W* partial_sums, W* products, double slope) {
  TFL_DYNAMIC_SHARED(T, memory);
  const long long rows = (shape.m + TFL_ROWS - 1) / TFL_ROWS;
  const long long columns = (shape.n + TFL_COLUMNS - 1) / TFL_COLUMNS;
  const long long rest = blockIdx.x / (rows * columns);
  const tfl::TilePlace place(blockIdx.x % (rows * columns), rows, columns);
  const long long split = rest % shape.splits;
  const long long matrix = rest / shape.splits;
  const long long row = place.row * TFL_ROWS;
  const long long column = place.column * TFL_COLUMNS;
  const long long all = (shape.k + Math::depth - 1) / Math::depth;
  const long long step = split * shape.steps;
  const long long steps = step + shape.steps < all ? step + shape.steps : all;

  Product product;
  product.run(A{a + matrix * shape.a_stride, shape.m, shape.k, shape.a_leading},
              B{b + matrix * shape.b_stride, shape.n, shape.k, shape.b_leading}, row, column,
              static_cast<int>(step), static_cast<int>(steps), memory);

  const long long area = shape.m * shape.n;
  Ending ending{shape.m, shape.n, row, column + Product::column_of_thread(), out + matrix * area,
                saved, y, dy, products ? products + rest * area : nullptr, static_cast<W>(slope),
                // One's rows begin at multiples of 16 bytes only where the other's do.
                shape.n % outputs == 0 && tfl::aligned(out) && tfl::aligned(saved) &&
                    tfl::aligned(y) && tfl::aligned(dy) && tfl::aligned(products),
                {}, {}};
  if (TFL_EPILOGUE == 1 && bias) {
#pragma unroll
    for (int i = 0; i < outputs; ++i) {
      if (i < ending.count()) ending.bias[i] = tfl::widen(bias[ending.column + i]);
    }
  }
  product.finish(memory, ending);
  if (TFL_EPILOGUE == 2 && !products) {
    tfl::add_columns<Product>(ending.totals, memory, partial_sums + place.row * shape.n + column,
                              shape.n - column);
  }
}

// Adds up the products of the parts of the depth, in their order, and ends as above. `partial_sums`
// gets a row for every `chunk` rows. Were no number of blocks named, a register of a gate's SiLU
// would spill in double on sm_100.
extern "C" TFL_KERNEL(adding_width * adding_height, 4)
    gemm_tiles_add(const W* products, const T* bias, T* out, T* saved, const T* y, T* dy,
                   W* partial_sums, long long m, long long n, long long splits, long long chunk,
                   double slope) {
  const long long column = static_cast<long long>(blockIdx.x) * adding_width + threadIdx.x;
  const long long first = blockIdx.y * chunk;
  const long long last = first + chunk < m ? first + chunk : m;
  const long long area = m * n;
  products += blockIdx.z * splits * area;
  out += blockIdx.z * area;
  W total[1] = {0};
  if (column < n) {
    const W of_bias = TFL_EPILOGUE == 1 && bias ? tfl::widen(bias[column]) : W(0);
    for (long long row = first + threadIdx.y; row < last; row += adding_height) {
      const long long at = row * n + column;
      W sum = 0;
#pragma unroll 4
      for (long long i = 0; i < splits; ++i) sum += products[i * area + at];
      T kept{};
      T other{};
      if constexpr (TFL_EPILOGUE >= 2) kept = saved[at];
      if constexpr (TFL_EPILOGUE == 3) other = y[at];
      end_element(sum, of_bias, static_cast<W>(slope), out[at], kept, other, total[0]);
      if (TFL_EPILOGUE == 1 && saved) saved[at] = kept;
      if constexpr (TFL_EPILOGUE == 3) dy[at] = other;
    }
  }
  if constexpr (TFL_EPILOGUE == 2) {
    __shared__ W room[adding_width * adding_height];
    tfl::fold_strip<1>(total, room, partial_sums, column, n);
  }
}
