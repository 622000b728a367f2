// The gradient of an embedding: rows summed by the place that they go to. The order of the sums is
// that of the sorted rows, whatever runs when.
// TFL_TYPE: the rows' type.
#include "types.cuh"

using T = TFL_TYPE;
using W = tfl::wide<T>;

// A place's rows lie together once sorted: a run. Blocks take chunks of sorted rows, so that one
// long run is shared by many; what crosses a chunk's edge goes to `partial` and is joined later.
constexpr int chunk = 32;

template <int SIZE>
struct alignas(SIZE * sizeof(T)) Columns {
  T at[SIZE];
};

struct Runs {
  const T* rows;            // count x width
  const long long* order;   // which row comes i-th
  const long long* places;  // where the i-th row goes, ascending
  T* out;                   // rows of `width`
  W* partial;               // two rows for each chunk: of its first run, of its last
  long long count, width;
};

TFL_DEVICE long long chunk_of_thread() {
  return static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y;
}
TFL_DEVICE long long column_of_thread() {
  return static_cast<long long>(blockIdx.y) * blockDim.x + threadIdx.x;
}

template <int SIZE>
TFL_DEVICE void store_sum(const Runs& runs, long long place, long long column,
                          const W (&sum)[SIZE]) {
  Columns<SIZE> rounded;
#pragma unroll
  for (int j = 0; j < SIZE; ++j) rounded.at[j] = tfl::narrow<T>(sum[j]);
  *reinterpret_cast<Columns<SIZE>*>(runs.out + place * runs.width + column) = rounded;
}

template <int SIZE>
TFL_DEVICE void sum_chunk(const Runs& runs) {
  const long long number = chunk_of_thread();
  const long long column = column_of_thread() * SIZE;
  const long long first = number * chunk;
  if (first >= runs.count || column >= runs.width) return;
  const int size = runs.count - first < chunk ? static_cast<int>(runs.count - first) : chunk;
  const long long* places = runs.places + first;
  const bool continues = first > 0 && places[-1] == places[0];
  const bool goes_on = first + size < runs.count && places[size] == places[size - 1];
  W sum[SIZE] = {};
  bool in_first = true;
  // Several rows at a time: their loads don't wait for each other.
  constexpr int ahead = 4;
  for (int i = 0; i < size; i += ahead) {
    Columns<SIZE> rows[ahead];
#pragma unroll
    for (int j = 0; j < ahead; ++j) {
      if (i + j < size) {
        const T* row = runs.rows + runs.order[first + i + j] * runs.width + column;
        rows[j] = *reinterpret_cast<const Columns<SIZE>*>(row);
      }
    }
#pragma unroll
    for (int j = 0; j < ahead; ++j) {
      if (i + j >= size) break;
#pragma unroll
      for (int c = 0; c < SIZE; ++c) sum[c] += tfl::widen(rows[j].at[c]);
      const bool at_end = i + j + 1 == size;
      const long long place = places[i + j];
      if (!at_end && places[i + j + 1] == place) continue;
      if ((in_first && continues) || (at_end && goes_on)) {
        W* partial = runs.partial + (2 * number + (in_first ? 0 : 1)) * runs.width + column;
#pragma unroll
        for (int c = 0; c < SIZE; ++c) partial[c] = sum[c];
      } else {
        store_sum(runs, place, column, sum);
      }
#pragma unroll
      for (int c = 0; c < SIZE; ++c) sum[c] = W(0);
      in_first = false;
    }
  }
}

// The chunk in which a run begins that goes on in the next joins the run's parts.
template <int SIZE>
TFL_DEVICE void join_chunks(const Runs& runs) {
  const long long number = chunk_of_thread();
  const long long column = column_of_thread() * SIZE;
  const long long first = number * chunk;
  const long long next = first + chunk;
  if (next >= runs.count || column >= runs.width) return;
  const long long place = runs.places[next - 1];
  if (runs.places[next] != place) return;
  const bool whole = runs.places[first] == place;
  if (whole && first > 0 && runs.places[first - 1] == place) return;
  const W* partial = runs.partial + (2 * number + (whole ? 0 : 1)) * runs.width + column;
  W sum[SIZE];
#pragma unroll
  for (int c = 0; c < SIZE; ++c) sum[c] = partial[c];
  partial = runs.partial + 2 * (number + 1) * runs.width + column;
  for (long long i = next; i < runs.count && runs.places[i] == place; i += chunk) {
#pragma unroll
    for (int c = 0; c < SIZE; ++c) sum[c] += partial[c];
    partial += 2 * runs.width;
  }
  store_sum(runs, place, column, sum);
}

// Blocks are (columns, chunks) of threads. `packed`: rows are whole packs, at multiples of 16 bytes.
extern "C" TFL_KERNEL(128)
    sum_runs(const T* rows, const long long* order, const long long* places, T* out, W* partial,
             long long count, long long width, long long packed) {
  const Runs runs{rows, order, places, out, partial, count, width};
  if (packed) {
    sum_chunk<tfl::Pack<T>::size>(runs);
  } else {
    sum_chunk<1>(runs);
  }
}

extern "C" TFL_KERNEL(128)
    join_runs(const long long* places, T* out, W* partial, long long count, long long width,
              long long packed) {
  const Runs runs{nullptr, nullptr, places, out, partial, count, width};
  if (packed) {
    join_chunks<tfl::Pack<T>::size>(runs);
  } else {
    join_chunks<1>(runs);
  }
}
