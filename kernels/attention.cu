// Attention by scaled dot products, forward and backward, in tiles: the matrix of scores is never
// held (Dao, "FlashAttention-2", 2023). Gradients are summed by whoever owns them, not atomically:
// queries by blocks of queries, keys and values by blocks of keys.
// TFL_TYPE: the arrays' type. TFL_WIDTH: the tiles' width, a multiple of 32; what the arrays lack of
// it counts as zeros.
#include "mma.cuh"

using T = TFL_TYPE;
using Strips = tfl::Strips<T>;

constexpr bool is_float = sizeof(T) == 4;
constexpr int width = TFL_WIDTH;
constexpr int stride = width + Strips::padding;
// tensorflowlite/backend/cuda/attention_slots.py has these, too.
constexpr int warps = is_float ? 2 : 4;
constexpr int threads = 32 * warps;
constexpr int own_rows = 16 * warps;                 // of a block: a strip per warp
constexpr int forward_columns = is_float ? 32 : 64;  // of a tile
constexpr int backward_columns = is_float ? 16 : 32;

// Blocks on a multiprocessor, by the registers that they need.
constexpr int blocks_of_queries = is_float ? 2 : 3;

constexpr float log2_of_e = 1.44269504088896340736f;
constexpr float log_of_2 = 0.69314718055994530942f;
TFL_DEVICE float minus_infinity() { return tfl::float_of(0xff800000u); }

// Queries are (heads, groups, rows, width), keys (heads, columns, width), values (heads, columns,
// depth). The heads and groups are those of a mask by three sizes with a stride each.
struct Shape {
  long long groups, rows, columns, width, depth, causal;
  long long packed;  // rows of all arrays are whole packs, at multiples of 16 bytes
  long long mask_sizes[3], mask_strides[3], mask_row, mask_column;
};

struct Mask {
  const unsigned char* shown;  // null: all are
  const float* added;          // null: nothing is
  TFL_DEVICE Mask of(const Shape& shape, long long index) const {
    const long long inner = index % shape.mask_sizes[2];
    const long long rest = index / shape.mask_sizes[2];
    const long long offset = rest / shape.mask_sizes[1] * shape.mask_strides[0] +
                             rest % shape.mask_sizes[1] * shape.mask_strides[1] +
                             inner * shape.mask_strides[2];
    return {shown ? shown + offset : nullptr, added ? added + offset : nullptr};
  }
};

// ---- tiles in shared memory

// Rows of a tile from an array's rows `first` ... `last - 1`, with zeros beyond and to the right.
template <int ROWS>
TFL_DEVICE void load_tile(T* tile, const T* array, long long first, long long last,
                          long long array_width, bool packed, float factor) {
  using Pack = tfl::Pack<T>;
  constexpr int packs = width / Pack::size;
  for (int i = threadIdx.x; i < ROWS * packs; i += threads) {
    const int row = i / packs;
    const int column = i % packs * Pack::size;
    Pack values{};
    if (first + row < last) {
      const T* source = array + (first + row) * array_width + column;
      if (packed) {
        if (column < array_width) values = *reinterpret_cast<const Pack*>(source);
      } else {
#pragma unroll
        for (int j = 0; j < Pack::size; ++j) {
          if (column + j < array_width) values.at[j] = source[j];
        }
      }
    }
    if (is_float) {
#pragma unroll
      for (int j = 0; j < Pack::size; ++j) {
        values.at[j] = tfl::narrow<T>(tfl::widen(values.at[j]) * factor);
      }
    }
    *reinterpret_cast<Pack*>(tile + row * stride + column) = values;
  }
}

// Writes a warp's strip, whose first row is `first`, times a factor of each row.
TFL_DEVICE void store_strip(const float (&strip)[width / 8][4], T* array, long long first,
                            long long last, long long array_width, const float (&factors)[2]) {
  const int g = tfl::lane_of_thread() / 4;
  const int t = tfl::lane_of_thread() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const long long row = first + g + 8 * half;
    if (row >= last) continue;
#pragma unroll
    for (int j = 0; j < width / 8; ++j) {
      const int column = 8 * j + 2 * t;
      const T left = tfl::narrow<T>(strip[j][2 * half] * factors[half]);
      const T right = tfl::narrow<T>(strip[j][2 * half + 1] * factors[half]);
      T* target = array + row * array_width + column;
      if (column < array_width) target[0] = left;
      if (column + 1 < array_width) target[1] = right;
    }
  }
}

// ---- scores, times log2(e)

struct Scores {
  const Shape& shape;
  Mask mask;
  float factor;

  // Whether all of a tile counts, as it is.
  TFL_DEVICE bool plain(long long first_row, long long rows, long long first_column,
                        long long columns) const {
    return !mask.shown && !mask.added && first_row + rows <= shape.rows &&
           first_column + columns <= shape.columns &&
           (!shape.causal || first_column + columns - 1 <= first_row);
  }
  TFL_DEVICE float at(float product, long long row, long long column) const {
    if (row >= shape.rows || column >= shape.columns || (shape.causal && column > row)) {
      return minus_infinity();
    }
    float score = product * factor;
    const long long place = row * shape.mask_row + column * shape.mask_column;
    if (mask.added) score += mask.added[place] * log2_of_e;
    // A sum, so that NaN stays.
    if (mask.shown && !mask.shown[place]) score += minus_infinity();
    return score;
  }
};

// What scores are multiplied by: floats have the scale in the queries already, so that large ones
// don't overflow.
TFL_DEVICE float score_factor(double scale) {
  return is_float ? log2_of_e : static_cast<float>(scale) * log2_of_e;
}

// ---- forward

extern "C" TFL_KERNEL(threads, blocks_of_queries)
    attention_forward(const __grid_constant__ Shape shape, const T* query, const T* key,
                      const T* value, const unsigned char* shown, const float* added, T* out,
                      float* sums, double scale) {
  TFL_DYNAMIC_SHARED(T, memory);
  T* queries = memory;
  T* keys = queries + own_rows * stride;
  T* values = keys + forward_columns * stride;
  const int warp = threadIdx.x / 32;
  const int g = tfl::lane_of_thread() / 4;
  const int t = tfl::lane_of_thread() % 4;
  T* space = values + forward_columns * stride +
             warp * Strips::scratch * (forward_columns + Strips::padding);
  // The last rows first: with a causal mask they take longest.
  const long long tiles = (shape.rows + own_rows - 1) / own_rows;
  const long long index = blockIdx.x / tiles;
  const long long begin = (tiles - 1 - blockIdx.x % tiles) * own_rows;
  const long long head = index / shape.groups;
  query += index * shape.rows * shape.width;
  key += head * shape.columns * shape.width;
  value += head * shape.columns * shape.depth;
  const Scores scores{shape, Mask{shown, added}.of(shape, index), score_factor(scale)};
  load_tile<own_rows>(queries, query, begin, shape.rows, shape.width, shape.packed,
                      static_cast<float>(scale));
  float found[width / 8][4] = {};
  float top[2] = {minus_infinity(), minus_infinity()};
  float total[2] = {};
  const long long first_row = begin + 16 * warp;
  const long long end = shape.causal && begin + own_rows < shape.columns ? begin + own_rows
                                                                         : shape.columns;
  for (long long first = 0; first < end; first += forward_columns) {
    __syncthreads();
    load_tile<forward_columns>(keys, key, first, shape.columns, shape.width, shape.packed, 1.0f);
    load_tile<forward_columns>(values, value, first, shape.columns, shape.depth, shape.packed,
                               1.0f);
    __syncthreads();
    float p[forward_columns / 8][4] = {};
    Strips::by_columns<forward_columns, width>(p, queries + 16 * warp * stride, keys);
    const bool plain = scores.plain(first_row, 16, first, forward_columns);
    float new_top[2] = {top[0], top[1]};
#pragma unroll
    for (int j = 0; j < forward_columns / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = g + i / 2 * 8;
        const int column = 8 * j + 2 * t + i % 2;
        p[j][i] = plain ? p[j][i] * scores.factor
                        : scores.at(p[j][i], first_row + row, first + column);
        new_top[i / 2] = fmaxf(new_top[i / 2], p[j][i]);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float& most = new_top[half];
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
      // Nothing seen yet: any number will do, but infinity less infinity.
      const float used = most == minus_infinity() ? 0.0f : most;
      const float shrink = exp2f(top[half] - used);
      top[half] = most;
      total[half] *= shrink;
#pragma unroll
      for (int j = 0; j < width / 8; ++j) {
        found[j][2 * half] *= shrink;
        found[j][2 * half + 1] *= shrink;
      }
#pragma unroll
      for (int j = 0; j < forward_columns / 8; ++j) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          p[j][i] = exp2f(p[j][i] - used);
          total[half] += p[j][i];
        }
      }
    }
    Strips::by_rows<width, forward_columns>(found, p, values, space);
  }
  float factors[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    total[half] += __shfl_xor_sync(~0u, total[half], 1);
    total[half] += __shfl_xor_sync(~0u, total[half], 2);
    if (total[half] == 0.0f) total[half] = 1.0f;
    factors[half] = 1.0f / total[half];
    const float used = top[half] == minus_infinity() ? 0.0f : top[half];
    const long long row = first_row + g + 8 * half;
    if (t == 0 && row < shape.rows) {
      sums[index * shape.rows + row] = used * log_of_2 + logf(total[half]);
    }
  }
  store_strip(found, out + index * shape.rows * shape.depth, first_row, shape.rows, shape.depth,
              factors);
}

// ---- backward

// inner[row] = the sum of y out along a row of `depth`: what the softmax's gradient takes off. A
// warp per row.
extern "C" TFL_KERNEL(256)
    attention_inner(const T* y, const T* out, float* inner, long long rows, long long depth) {
  const long long stride_of_rows = static_cast<long long>(gridDim.x) * (blockDim.x / 32);
  for (long long row = static_cast<long long>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
       row < rows; row += stride_of_rows) {
    float sum = 0.0f;
    for (long long i = tfl::lane_of_thread(); i < depth; i += 32) {
      sum += tfl::widen(y[row * depth + i]) * tfl::widen(out[row * depth + i]);
    }
#pragma unroll
    for (int bit = 16; bit; bit /= 2) sum += __shfl_xor_sync(~0u, sum, bit);
    if (tfl::lane_of_thread() == 0) inner[row] = sum;
  }
}

// From scores and the gradient of the probabilities to the gradient of the scores, in place of the
// latter; the scores become probabilities. `sum` and `inner` are those of the element's row.
TFL_DEVICE void to_gradient(float& score, float& gradient, float sum, float inner) {
  score = exp2f(score - sum * log2_of_e);
  gradient = score * (gradient - inner);
}

extern "C" TFL_KERNEL(threads, blocks_of_queries)
    attention_query_gradient(const __grid_constant__ Shape shape, const T* y, const T* query,
                             const T* key, const T* value, const float* sums, const float* inner,
                             const unsigned char* shown, const float* added, T* dquery,
                             double scale) {
  constexpr int tile = backward_columns;
  TFL_DYNAMIC_SHARED(T, memory);
  T* queries = memory;
  T* incoming = queries + own_rows * stride;
  T* keys = incoming + own_rows * stride;
  T* values = keys + tile * stride;
  const int warp = threadIdx.x / 32;
  const int g = tfl::lane_of_thread() / 4;
  const int t = tfl::lane_of_thread() % 4;
  T* space = values + tile * stride + warp * Strips::scratch * (tile + Strips::padding);
  const long long tiles = (shape.rows + own_rows - 1) / own_rows;
  const long long index = blockIdx.x / tiles;
  const long long begin = (tiles - 1 - blockIdx.x % tiles) * own_rows;
  const long long head = index / shape.groups;
  key += head * shape.columns * shape.width;
  value += head * shape.columns * shape.depth;
  const Scores scores{shape, Mask{shown, added}.of(shape, index), score_factor(scale)};
  load_tile<own_rows>(queries, query + index * shape.rows * shape.width, begin, shape.rows,
                      shape.width, shape.packed, static_cast<float>(scale));
  load_tile<own_rows>(incoming, y + index * shape.rows * shape.depth, begin, shape.rows,
                      shape.depth, shape.packed, 1.0f);
  const long long first_row = begin + 16 * warp;
  float row_sums[2] = {};
  float row_inner[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const long long row = first_row + g + 8 * half;
    if (row < shape.rows) {
      row_sums[half] = sums[index * shape.rows + row];
      row_inner[half] = inner[index * shape.rows + row];
    }
  }
  float found[width / 8][4] = {};
  const long long end = shape.causal && begin + own_rows < shape.columns ? begin + own_rows
                                                                         : shape.columns;
  for (long long first = 0; first < end; first += tile) {
    __syncthreads();
    load_tile<tile>(keys, key, first, shape.columns, shape.width, shape.packed, 1.0f);
    load_tile<tile>(values, value, first, shape.columns, shape.depth, shape.packed, 1.0f);
    __syncthreads();
    float p[tile / 8][4] = {};
    float ds[tile / 8][4] = {};
    Strips::by_columns<tile, width>(p, queries + 16 * warp * stride, keys);
    Strips::by_columns<tile, width>(ds, incoming + 16 * warp * stride, values);
    const bool plain = scores.plain(first_row, 16, first, tile);
#pragma unroll
    for (int j = 0; j < tile / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = g + i / 2 * 8;
        const int column = 8 * j + 2 * t + i % 2;
        p[j][i] = plain ? p[j][i] * scores.factor
                        : scores.at(p[j][i], first_row + row, first + column);
        to_gradient(p[j][i], ds[j][i], row_sums[i / 2], row_inner[i / 2]);
      }
    }
    Strips::by_rows<width, tile>(found, ds, keys, space);
  }
  const float factors[2] = {static_cast<float>(scale), static_cast<float>(scale)};
  store_strip(found, dquery + index * shape.rows * shape.width, first_row, shape.rows, shape.width,
              factors);
}

// A block of keys goes through all queries of its head: the scores are transposed, a row a key.
extern "C" TFL_KERNEL(threads, 2)
    attention_key_gradient(const __grid_constant__ Shape shape, const T* y, const T* query,
                           const T* key, const T* value, const float* sums, const float* inner,
                           const unsigned char* shown, const float* added, T* dkey, T* dvalue,
                           double scale) {
  constexpr int tile = backward_columns;
  TFL_DYNAMIC_SHARED(T, memory);
  T* keys = memory;
  T* values = keys + own_rows * stride;
  T* queries = values + own_rows * stride;
  T* incoming = queries + tile * stride;
  __shared__ float tile_sums[tile];
  __shared__ float tile_inner[tile];
  const int warp = threadIdx.x / 32;
  const int g = tfl::lane_of_thread() / 4;
  const int t = tfl::lane_of_thread() % 4;
  T* space = incoming + tile * stride + warp * Strips::scratch * (tile + Strips::padding);
  const long long tiles = (shape.columns + own_rows - 1) / own_rows;
  const long long head = blockIdx.x / tiles;
  const long long begin = blockIdx.x % tiles * own_rows;
  const long long first_key = begin + 16 * warp;
  load_tile<own_rows>(keys, key + head * shape.columns * shape.width, begin, shape.columns,
                      shape.width, shape.packed, 1.0f);
  load_tile<own_rows>(values, value + head * shape.columns * shape.depth, begin, shape.columns,
                      shape.depth, shape.packed, 1.0f);
  float dk[width / 8][4] = {};
  float dv[width / 8][4] = {};
  for (long long group = 0; group < shape.groups; ++group) {
    const long long index = head * shape.groups + group;
    const Scores scores{shape, Mask{shown, added}.of(shape, index), score_factor(scale)};
    const T* own_query = query + index * shape.rows * shape.width;
    const T* own_y = y + index * shape.rows * shape.depth;
    for (long long first = shape.causal ? begin / tile * tile : 0; first < shape.rows;
         first += tile) {
      __syncthreads();
      load_tile<tile>(queries, own_query, first, shape.rows, shape.width, shape.packed,
                      static_cast<float>(scale));
      load_tile<tile>(incoming, own_y, first, shape.rows, shape.depth, shape.packed, 1.0f);
      if (threadIdx.x < tile) {
        const long long row = first + threadIdx.x;
        const bool inside = row < shape.rows;
        tile_sums[threadIdx.x] = inside ? sums[index * shape.rows + row] : 0.0f;
        tile_inner[threadIdx.x] = inside ? inner[index * shape.rows + row] : 0.0f;
      }
      __syncthreads();
      float p[tile / 8][4] = {};
      float ds[tile / 8][4] = {};
      Strips::by_columns<tile, width>(p, keys + 16 * warp * stride, queries);
      Strips::by_columns<tile, width>(ds, values + 16 * warp * stride, incoming);
      const bool plain = scores.plain(first, tile, first_key, 16);
#pragma unroll
      for (int j = 0; j < tile / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = 8 * j + 2 * t + i % 2;
          p[j][i] = plain ? p[j][i] * scores.factor
                          : scores.at(p[j][i], first + row, first_key + g + i / 2 * 8);
          to_gradient(p[j][i], ds[j][i], tile_sums[row], tile_inner[row]);
        }
      }
      Strips::by_rows<width, tile>(dv, p, incoming, space);
      Strips::by_rows<width, tile>(dk, ds, queries, space);
    }
  }
  // Of floats the queries had the scale already.
  const float factor = is_float ? 1.0f : static_cast<float>(scale);
  const float factors[2] = {factor, factor};
  const float ones[2] = {1.0f, 1.0f};
  store_strip(dk, dkey + head * shape.columns * shape.width, first_key, shape.columns, shape.width,
              factors);
  store_strip(dv, dvalue + head * shape.columns * shape.depth, first_key, shape.columns,
              shape.depth, ones);
}
