// The product of two operands, C (rows x columns) += A (rows x depth) B (depth x columns), a tile
// of C by each block. It knows neither where operands come from nor where the sums go: an operand
// is anything that tells where its elements are, and finish() hands the sums to whoever asks.
//
// An operand is a struct with
//
//   using Type                         of its elements
//   static constexpr bool along_depth  whether neighbours in memory follow each other along the
//                                      depth, or along the outer axis (the rows of A, the columns
//                                      of B)
//   static constexpr int group         how many neighbours are fetched at once: one, or 16 bytes of
//                                      them, whose address is a multiple of 16 then
//   struct Line                        what is worth knowing of an outer index before the main loop
//   Line line(outer)                   and what is known of it (of `group` of them from there on
//                                      where they lie along the outer axis)
//   const Type* find(line, depth, count)
//                                      where the group at this depth begins, and in `count` how
//                                      many of its elements there are, 0 to `group`. The others
//                                      count as zeros, and where there are none nothing is read.
//                                      `depth` is a multiple of `group` for groups along the depth,
//                                      `outer` for those along the outer axis.
//
// Indices are long long and may lie past the end. `Matrix` is the operand that lies in memory;
// a convolution's windows can be another.
//
//   TileProduct<Math, A, B, STAGES> product;        Math: HalfMath, Tf32Math, FloatMath
//   product.run(a, b, row, column, step, steps, memory);
//   product.finish(memory, consume);
//
// A kernel has Math::threads threads, of one axis, and product_bytes of dynamic shared memory, and
// every thread of a block calls both. One step is Math::depth of the depth. `consume(row, column,
// sums)` gets `outputs` neighbouring sums of a row, all of them for the tile's whole area, rows and
// columns counted from the tile's; a thread's column is the same each time (column_of_thread).
#pragma once

#include "async_copy.cuh"
#include "mma.cuh"

namespace tfl {

// ---- operands

// A matrix: rows of the depth (ALONG_DEPTH) or of the outer axis, `leading` elements apart.
template <typename T, bool ALONG_DEPTH, int GROUP>
struct Matrix {
  using Type = T;
  static constexpr bool along_depth = ALONG_DEPTH;
  static constexpr int group = GROUP;
  const T* array;
  long long outers, depths, leading;

  struct Line {
    const T* start;
    int count;  // of the group that exist: all or none along the depth
  };

  static TFL_DEVICE int within(long long first, long long end) {
    const long long left = end - first;
    return left >= GROUP ? GROUP : left > 0 ? static_cast<int>(left) : 0;
  }
  TFL_DEVICE Line line(long long outer) const {
    if constexpr (ALONG_DEPTH) {
#if defined(__CUDA_ARCH__)
      // Lines of single elements are many, and made anew in each step: a compiler that held them
      // all would run out of registers.
      if constexpr (GROUP == 1) asm volatile("" : "+l"(outer));
#endif
      return {array + outer * leading, outer < outers ? GROUP : 0};
    }
    return {array + outer, within(outer, outers)};
  }
  TFL_DEVICE const T* find(const Line& line, long long depth, int& count) const {
    if constexpr (ALONG_DEPTH) {
      count = line.count ? within(depth, depths) : 0;
      return line.start + depth;
    }
    count = depth < depths ? line.count : 0;
    return line.start + depth * leading;
  }
};

// ---- an operand's tile in shared memory

template <typename T, int size>
struct alignas(sizeof(T) * size) Group {
  T at[size];
};

// As the operand lies: EXTENT rows of the depth, or DEPTH rows of the outer axis. Padding makes
// neighbouring rows begin in different banks for all that reads them below.
template <typename Operand, int EXTENT, int DEPTH, int THREADS>
struct OperandTile {
  using T = typename Operand::Type;
  static constexpr bool along_depth = Operand::along_depth;
  static constexpr int group = Operand::group;
  static constexpr int inner = along_depth ? DEPTH : EXTENT;
  static constexpr int padding = along_depth || sizeof(T) != 4 ? 16 / sizeof(T) : 8;
  static constexpr int stride = inner + padding;
  static constexpr int elements = (along_depth ? EXTENT : DEPTH) * stride;

  static constexpr int groups = inner / group;  // of a row
  static constexpr int rounds = EXTENT * DEPTH / (THREADS * group);
  static_assert(THREADS % groups == 0 && rounds * THREADS * group == EXTENT * DEPTH,
                "each thread must have the same number of groups, in one place of their rows");
  static constexpr int down = THREADS / groups;  // rows between a thread's groups
  static constexpr bool async = copies_async<group * static_cast<int>(sizeof(T))>;

  using Line = typename Operand::Line;
  // Groups along the outer axis have one line, others one each; many aren't worth their registers.
  static constexpr int lines = along_depth ? rounds : 1;
  static constexpr int kept = lines <= 4 ? lines : 1;

  // Fetches tile after tile: what can't be copied asynchronously waits in registers.
  struct Fetcher {
    const Operand& operand;
    long long first;
    Line line[kept];
    Group<T, group> held[async ? 1 : rounds];

    TFL_DEVICE Fetcher(const Operand& operand, long long first) : operand(operand), first(first) {
      if constexpr (kept == lines) {
#pragma unroll
        for (int i = 0; i < kept; ++i) line[i] = operand.line(outer_of(i));
      }
    }
    static TFL_DEVICE int row_of(int round) { return threadIdx.x / groups + round * down; }
    static TFL_DEVICE int place_of() { return threadIdx.x % groups * group; }
    TFL_DEVICE long long outer_of(int round) const {
      return first + (along_depth ? row_of(round) : place_of());
    }
    TFL_DEVICE const T* find(int round, long long depth, int& count) const {
      const long long at = depth + (along_depth ? place_of() : row_of(round));
      if constexpr (kept == lines) return operand.find(line[along_depth ? round : 0], at, count);
      return operand.find(operand.line(outer_of(round)), at, count);
    }
    static TFL_DEVICE T* target(T* tile, int round) {
      return tile + row_of(round) * stride + place_of();
    }

    TFL_DEVICE void begin(long long depth, T* tile) {
#pragma unroll
      for (int i = 0; i < rounds; ++i) {
        int count;
        const T* from = find(i, depth, count);
        if constexpr (async) {
          copy_async<group * static_cast<int>(sizeof(T))>(target(tile, i), from,
                                                          count * static_cast<int>(sizeof(T)));
        } else {
          load(held[i], from, count);
        }
      }
    }
    static TFL_DEVICE void load(Group<T, group>& to, const T* from, int count) {
      if (count == group) {
        to = *reinterpret_cast<const Group<T, group>*>(from);
        return;
      }
#pragma unroll
      for (int j = 0; j < group; ++j) to.at[j] = j < count ? from[j] : T{};
    }
    TFL_DEVICE void end(T* tile) const {
      if constexpr (!async) {
#pragma unroll
        for (int i = 0; i < rounds; ++i) {
          *reinterpret_cast<Group<T, group>*>(target(tile, i)) = held[i];
        }
      }
    }
  };
};

// ---- what multiplies tiles: ROWS x COLUMNS sums, spread over a block's threads

// What tensor cores have in common: warps of ROWS / 2 rows and 32 columns, in strips of 16 rows.
template <typename T, int ROWS, int COLUMNS>
struct TensorMath {
  using Type = T;
  using Sum = float;
  static constexpr int rows = ROWS;
  static constexpr int columns = COLUMNS;
  static constexpr int depth = 64 / sizeof(T);
  static constexpr int across = COLUMNS / 32;  // warps
  static constexpr int threads = 2 * across * 32;
  static constexpr int slices = ROWS / 32;
  static constexpr int slice_rows = 32;
  float sums[slices][4][4] = {};

  static TFL_DEVICE int first_row() { return threadIdx.x / 32 / across * (ROWS / 2); }
  static TFL_DEVICE int first_column() { return threadIdx.x / 32 % across * 32; }

  // A slice is one strip of each warp. Row `row` of it is this one of the tile:
  template <typename TileA>
  static TFL_DEVICE int row_of(int slice, int row) {
    return row / 16 * (ROWS / 2) + 16 * slice + row % 16;
  }
  template <typename TileA, typename TileB>
  TFL_DEVICE void write_slice(int slice, float* room, int stride) const {
    const int g = lane_of_thread() / 4;
    const int t = lane_of_thread() % 4;
    float* to = room + (threadIdx.x / 32 / across * 16 + g) * stride + first_column() + 2 * t;
#pragma unroll
    for (int i = 0; i < slices; ++i) {
      if (i != slice) continue;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        *reinterpret_cast<Group<float, 2>*>(to + 8 * j) = {sums[i][j][0], sums[i][j][1]};
        *reinterpret_cast<Group<float, 2>*>(to + 8 * stride + 8 * j) = {sums[i][j][2],
                                                                      sums[i][j][3]};
      }
    }
  }
};

// Half precision as it is.
template <typename T, int ROWS, int COLUMNS>
struct HalfMath : TensorMath<T, ROWS, COLUMNS> {
  using Base = TensorMath<T, ROWS, COLUMNS>;

  template <typename TileA, typename TileB>
  TFL_DEVICE void multiply(const T* a, const T* b) {
    const int row = Base::first_row();
    const int column = Base::first_column();
#pragma unroll
    for (int k = 0; k < Base::depth; k += 16) {
      unsigned int left[Base::slices][4];
#pragma unroll
      for (int i = 0; i < Base::slices; ++i) {
        if constexpr (TileA::along_depth) {
          load_matrices<false, true>(a + (row + 16 * i) * TileA::stride + k, TileA::stride,
                                     left[i]);
        } else {
          load_matrices<true, false>(a + k * TileA::stride + row + 16 * i, TileA::stride, left[i]);
        }
      }
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
        unsigned int right[4];
        if constexpr (TileB::along_depth) {
          load_matrices<false, false>(b + (column + 8 * j) * TileB::stride + k, TileB::stride,
                                      right);
        } else {
          load_matrices<true, true>(b + k * TileB::stride + column + 8 * j, TileB::stride, right);
        }
#pragma unroll
        for (int i = 0; i < Base::slices; ++i) {
          mma<T>(this->sums[i][j], left[i], right[0], right[1]);
          mma<T>(this->sums[i][j + 1], left[i], right[2], right[3]);
        }
      }
    }
  }
};

// Floats, rounded to tf32.
template <int ROWS, int COLUMNS>
struct Tf32Math : TensorMath<float, ROWS, COLUMNS> {
  using Base = TensorMath<float, ROWS, COLUMNS>;

  template <typename Tile>
  static TFL_DEVICE unsigned int element(const float* tile, int outer, int k) {
    return to_tf32(tile[Tile::along_depth ? outer * Tile::stride + k : k * Tile::stride + outer]);
  }
  template <typename TileA, typename TileB>
  TFL_DEVICE void multiply(const float* a, const float* b) {
    const int row = Base::first_row() + lane_of_thread() / 4;
    const int column = Base::first_column() + lane_of_thread() / 4;
    const int t = lane_of_thread() % 4;
#pragma unroll
    for (int k = 0; k < Base::depth; k += 8) {
      unsigned int left[Base::slices][4];
#pragma unroll
      for (int i = 0; i < Base::slices; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          left[i][j] = element<TileA>(a, row + 16 * i + 8 * (j % 2), k + t + 4 * (j / 2));
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const unsigned int upper = element<TileB>(b, column + 8 * j, k + t);
        const unsigned int lower = element<TileB>(b, column + 8 * j, k + t + 4);
#pragma unroll
        for (int i = 0; i < Base::slices; ++i) {
          mma_tf32(this->sums[i][j], left[i], upper, lower);
        }
      }
    }
  }
};

// float and double with all their digits: 16 x 16 threads, ROWS / 16 by COLUMNS / 16 sums each.
template <typename T, int ROWS, int COLUMNS>
struct FloatMath {
  using Type = T;
  using Sum = T;
  static constexpr int rows = ROWS;
  static constexpr int columns = COLUMNS;
  static constexpr int depth = 64 / sizeof(T);
  static constexpr int threads = 256;
  static constexpr int down = ROWS / 16;
  static constexpr int right = COLUMNS / 16;
  static constexpr int slices = down;
  static constexpr int slice_rows = 16;
  static constexpr int size = Pack<T>::size;
  static_assert(down % size == 0 && right % size == 0, "sums come in packs");
  T sums[down][right] = {};

  // A warp is 4 down and 8 across.
  static TFL_DEVICE int row_of_thread() { return threadIdx.x / 64 * 4 + lane_of_thread() / 8; }
  static TFL_DEVICE int column_of_thread() {
    return threadIdx.x / 32 % 2 * 8 + lane_of_thread() % 8;
  }
  // Which outer index is number i of a thread's: neighbours where memory has packs of them.
  template <typename Tile>
  static TFL_DEVICE int outer_of(int thread, int i) {
    return Tile::along_depth ? thread + 16 * i : (thread + i / size * 16) * size + i % size;
  }
  // `size` of a thread's outer indices from number `first` on, by as many of the depth.
  template <typename Tile>
  static TFL_DEVICE void load(const T* tile, int thread, int first, int k, T (&found)[size][size]) {
#pragma unroll
    for (int i = 0; i < size; ++i) {
      const int at = Tile::along_depth
                         ? outer_of<Tile>(thread, first + i) * Tile::stride + k
                         : (k + i) * Tile::stride + outer_of<Tile>(thread, first);
      const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(tile + at);
#pragma unroll
      for (int j = 0; j < size; ++j) {
        (Tile::along_depth ? found[i][j] : found[j][i]) = pack.at[j];
      }
    }
  }

  template <typename TileA, typename TileB>
  TFL_DEVICE void multiply(const T* a, const T* b) {
#pragma unroll 1
    for (int k = 0; k < depth; k += size) {
      T of_b[right / size][size][size];
#pragma unroll
      for (int j = 0; j < right / size; ++j) {
        load<TileB>(b, column_of_thread(), j * size, k, of_b[j]);
      }
#pragma unroll
      for (int i = 0; i < down; i += size) {
        T of_a[size][size];
        load<TileA>(a, row_of_thread(), i, k, of_a);
#pragma unroll
        for (int l = 0; l < size; ++l) {
#pragma unroll
          for (int y = 0; y < size; ++y) {
#pragma unroll
            for (int j = 0; j < right; ++j) {
              sums[i + y][j] += of_a[y][l] * of_b[j / size][j % size][l];
            }
          }
        }
      }
    }
  }

  template <typename TileA>
  static TFL_DEVICE int row_of(int slice, int row) {
    return outer_of<TileA>(row, slice);
  }
  template <typename TileA, typename TileB>
  TFL_DEVICE void write_slice(int slice, T* room, int stride) const {
    T* to = room + row_of_thread() * stride;
#pragma unroll
    for (int i = 0; i < down; ++i) {
      if (i != slice) continue;
#pragma unroll
      for (int j = 0; j < right; ++j) to[outer_of<TileB>(column_of_thread(), j)] = sums[i][j];
    }
  }
};

// ---- the main loop, and what becomes of the sums

template <typename Math, typename A, typename B, int STAGES>
struct TileProduct {
  using T = typename Math::Type;
  using Sum = typename Math::Sum;
  using TileA = OperandTile<A, Math::rows, Math::depth, Math::threads>;
  using TileB = OperandTile<B, Math::columns, Math::depth, Math::threads>;
  static constexpr int threads = Math::threads;
  static constexpr int stage_elements = TileA::elements + TileB::elements;
  static constexpr int product_bytes = STAGES * stage_elements * static_cast<int>(sizeof(T));
  static_assert(STAGES >= 2, "one stage is read while another is filled");

  static constexpr int outputs = 16 / sizeof(T);  // what finish() hands over at once
  static constexpr int groups = Math::columns / outputs;
  static constexpr int room_stride = Math::columns + 8;
  static constexpr int room_elements = Math::slice_rows * room_stride;
  static_assert(Math::threads % groups == 0, "a thread's column is the same in each row");
  static_assert(room_elements * static_cast<int>(sizeof(Sum)) <= product_bytes &&
                    Math::threads * outputs * static_cast<int>(sizeof(Sum)) <= product_bytes,
                "the sums take the room of the operands");
  Math math;

  static TFL_DEVICE int column_of_thread() { return threadIdx.x % groups * outputs; }

  // Adds the product over steps `step` ... `steps` - 1 of the depth, for the tile that begins at
  // this row and column.
  TFL_DEVICE void run(const A& a, const B& b, long long row, long long column, int step, int steps,
                      T* memory) {
    typename TileA::Fetcher of_a(a, row);
    typename TileB::Fetcher of_b(b, column);
    int next = step;   // to be fetched
    int filled = 0;    // the stage for it
    int current = 0;   // the stage that is read
#pragma unroll 1
    for (; filled < STAGES - 1; ++filled, ++next) {
      if (next < steps) {
        T* stage = memory + filled * stage_elements;
        begin(of_a, of_b, next, stage);
        end(of_a, of_b, stage);
      }
      copies_commit();
    }
#pragma unroll 1
    for (; step < steps; ++step, ++next) {
      copies_wait<STAGES - 2>();
      __syncthreads();  // this stage is there for all; the one before has been read by all
      T* stage = memory + filled * stage_elements;
      if (next < steps) begin(of_a, of_b, next, stage);
      copies_commit();
      const T* tiles = memory + current * stage_elements;
      math.template multiply<TileA, TileB>(tiles, tiles + TileA::elements);
      if (next < steps) end(of_a, of_b, stage);
      filled = current;
      if (++current == STAGES) current = 0;
    }
    copies_wait<0>();
  }

  // Hands the sums to `consume`; `memory` is what run() used.
  template <typename Consume>
  TFL_DEVICE void finish(T* memory, Consume& consume) {
    Sum* room = reinterpret_cast<Sum*>(memory);
    const int column = column_of_thread();
#pragma unroll 1
    for (int slice = 0; slice < Math::slices; ++slice) {
      __syncthreads();  // what was there has been read
      math.template write_slice<TileA, TileB>(slice, room, room_stride);
      __syncthreads();
#pragma unroll 1
      for (int row = threadIdx.x / groups; row < Math::slice_rows;
           row += Math::threads / groups) {
        Sum sums[outputs];
        const auto* from = reinterpret_cast<const Pack<Sum>*>(room + row * room_stride + column);
#pragma unroll
        for (int i = 0; i < outputs; ++i) {
          sums[i] = from[i / Pack<Sum>::size].at[i % Pack<Sum>::size];
        }
        consume(Math::template row_of<TileA>(slice, row), column, sums);
      }
    }
  }

 private:
  static TFL_DEVICE void begin(typename TileA::Fetcher& of_a, typename TileB::Fetcher& of_b,
                               int step, T* stage) {
    const long long depth = static_cast<long long>(step) * Math::depth;
    of_a.begin(depth, stage);
    of_b.begin(depth, stage + TileA::elements);
  }
  static TFL_DEVICE void end(const typename TileA::Fetcher& of_a,
                             const typename TileB::Fetcher& of_b, T* stage) {
    of_a.end(stage);
    of_b.end(stage + TileA::elements);
  }
};

// Adds up what each thread of a TileProduct has of its columns, always in the same order; the sums
// of the tile's columns go to `to`, as far as there are columns.
template <typename Product>
TFL_DEVICE void add_columns(const typename Product::Sum (&sums)[Product::outputs],
                            typename Product::T* memory, typename Product::Sum* to,
                            long long columns) {
  using Sum = typename Product::Sum;
  constexpr int width = Product::groups * Product::outputs;
  constexpr int threads = Product::threads;
  Sum* room = reinterpret_cast<Sum*>(memory);
  __syncthreads();  // what was there has been read
#pragma unroll
  for (int i = 0; i < Product::outputs; ++i) {
    room[threadIdx.x / Product::groups * width + Product::column_of_thread() + i] = sums[i];
  }
  __syncthreads();
  for (int column = threadIdx.x; column < width && column < columns; column += threads) {
    Sum sum = 0;
    for (int y = 0; y < threads / Product::groups; ++y) sum += room[y * width + column];
    to[column] = sum;
  }
}

// Which tile of a matrix a block takes. Consecutive ones go down a band of eight rows of tiles
// before the next column, so that those at work at one time share operands in the second cache.
struct TilePlace {
  long long row, column;

  TFL_DEVICE TilePlace(long long tile, long long rows, long long columns) {
    constexpr long long height = 8;
    const long long band = tile / (height * columns);
    const long long left = rows - band * height;
    const long long tall = left < height ? left : height;
    const long long inside = tile - band * height * columns;
    row = band * height + inside % tall;
    column = inside / tall;
  }
};

}  // namespace tfl
