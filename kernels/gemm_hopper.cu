// The matrix product of half-precision types on Hopper, with what a layer does next in its epilogue.
//
// D (m x n) = A (m x k) B (k x n), accumulated in float. Persistent blocks of three warpgroups: one
// thread of the first keeps the copy engine (TMA) filling a ring of tiles, the other two multiply
// (wgmma) 64 rows each of a tile of 128 x TFL_N. Two blocks make a cluster: they work on tiles that
// lie above each other and share the tiles of B, of which each loads half for both.
//
//   TFL_TYPE           tfl::bfloat16 or tfl::float16, and TFL_OPERANDS its name in PTX, twice
//   TFL_N              128, 192 or 256
//   TFL_A_TRANSPOSED   0: A is stored as m x k. 1: as k x m
//   TFL_B_TRANSPOSED   0: B is stored as n x k (a layer's weight). 1: as k x n
//   TFL_EPILOGUE       0: D
//                      1: act(D + bias); `saved` gets D + bias where it isn't null
//                      2: D act'(saved), and sums over each 64 rows of it for the bias gradient
//   TFL_ACTIVATION     a struct of activations.cuh
#include "activations.cuh"
#include "types.cuh"
#include "wgmma.cuh"

using T = TFL_TYPE;
using A = TFL_ACTIVATION;

constexpr int ROWS = 128, COLUMNS = TFL_N, DEPTH = 64;
constexpr int STAGES = COLUMNS == 256 ? 3 : 4;
constexpr int WORKERS = 2;  // warpgroups that multiply
constexpr int CLUSTER = 2;
constexpr int CHUNK = 64;  // columns that the epilogue moves at once: 128 bytes
constexpr int CHUNKS = COLUMNS / CHUNK;
constexpr bool A_TRANSPOSED = TFL_A_TRANSPOSED, B_TRANSPOSED = TFL_B_TRANSPOSED;

constexpr int A_BYTES = ROWS * DEPTH * 2, B_BYTES = COLUMNS * DEPTH * 2;
constexpr int STAGE_BYTES = A_BYTES + B_BYTES;
constexpr int GROUP_BYTES = 64 * DEPTH * 2;  // 64 elements of an outer axis by DEPTH
constexpr int CHUNK_BYTES = 64 * CHUNK * 2;
constexpr int ROW_GROUP = 8 * 128;  // eight rows of 128 bytes: what the swizzle permutes
// The halves of B's tile fall between 64-column groups, or, for 192, between rows of 8.
constexpr int HALF_COLUMNS = COLUMNS / CLUSTER;

struct Barriers {
  unsigned long long full[STAGES], empty[STAGES], saved[WORKERS];
};

constexpr int SUMS_BYTES = TFL_EPILOGUE == 2 ? WORKERS * 4 * COLUMNS * 4 : 0;
static_assert(STAGES * STAGE_BYTES + WORKERS * CHUNKS * CHUNK_BYTES + SUMS_BYTES +
                      static_cast<int>(sizeof(Barriers)) <=
                  227 * 1024,
              "the tiles must fit in shared memory");

// Where a tile lies. Consecutive clusters take eight rows of tiles before the next column, so that
// those at work at one time share operands in the second-level cache.
struct Tiles {
  int rows, columns, count;

  __device__ Tiles(long long m, long long n)
      : rows(static_cast<int>((m + CLUSTER * ROWS - 1) / (CLUSTER * ROWS))),
        columns(static_cast<int>((n + COLUMNS - 1) / COLUMNS)),
        count(rows * columns) {}

  __device__ void locate(int tile, int& row, int& column) const {
    constexpr int BAND = 8;
    const int band = tile / (BAND * columns);
    const int height = min(BAND, rows - band * BAND);
    const int inside = tile - band * BAND * columns;
    row = band * BAND + inside % height;
    column = inside / height;
  }
};

struct Ring {
  int stage = 0, parity = 0;

  __device__ void next() {
    if (++stage == STAGES) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// Loads the tiles of A and B, one stage after the other, for all of this block's output tiles.
__device__ __forceinline__ void produce(const tfl::TensorMap* a, const tfl::TensorMap* b,
                                        unsigned int tiles_address, Barriers& barriers,
                                        const Tiles& tiles, int depth_steps, int rank) {
  Ring ring;
  for (int tile = blockIdx.x / CLUSTER; tile < tiles.count; tile += gridDim.x / CLUSTER) {
    int row, column;
    tiles.locate(tile, row, column);
    const int m = (row * CLUSTER + rank) * ROWS, n = column * COLUMNS;
    for (int step = 0; step < depth_steps; ++step, ring.next()) {
      const unsigned int full = tfl::shared_address(&barriers.full[ring.stage]);
      const unsigned int to_a = tiles_address + ring.stage * STAGE_BYTES, to_b = to_a + A_BYTES;
      const int k = step * DEPTH;
      tfl::barrier_wait(tfl::shared_address(&barriers.empty[ring.stage]), ring.parity ^ 1);
      tfl::barrier_expect(full, STAGE_BYTES);
      if (A_TRANSPOSED) {
        for (int i = 0; i < ROWS / 64; ++i)
          tfl::load_tile(to_a + i * GROUP_BYTES, a, full, m + 64 * i, k);
      } else {
        tfl::load_tile(to_a, a, full, k, m);
      }
      if (B_TRANSPOSED) {
        // Whole groups of 64 columns, by turns: 192 has three, of which the first block loads two.
        for (int i = rank; i < COLUMNS / 64; i += CLUSTER)
          tfl::load_tile_to_all(to_b + i * GROUP_BYTES, b, full, n + 64 * i, k, 3);
      } else {
        tfl::load_tile_to_all(to_b + rank * HALF_COLUMNS * 128, b, full, k,
                              n + rank * HALF_COLUMNS, 3);
      }
    }
  }
}

__device__ __forceinline__ unsigned int pair(float x, float y) {
  return static_cast<unsigned int>(tfl::narrow<T>(x).bits) |
         static_cast<unsigned int>(tfl::narrow<T>(y).bits) << 16;
}

__device__ __forceinline__ float low(unsigned int two) {
  return tfl::widen(T{static_cast<unsigned short>(two)});
}

__device__ __forceinline__ float high(unsigned int two) {
  return tfl::widen(T{static_cast<unsigned short>(two >> 16)});
}

// One warpgroup's part of a tile: its accumulators, and the chunks that go through shared memory.
struct Worker {
  float d[COLUMNS / 2];  // of row lane / 4 (+ 8) of each warp's 16: columns 8 j + 2 (lane % 4), + 1
  unsigned int chunks;   // address of this warpgroup's chunks
  int number, warp, lane;
  bool elected;

  // Tells the producers of both blocks that this warpgroup is done with a stage.
  __device__ void free_stage(Barriers& barriers, int stage) const {
    if (warp == 0 && lane < CLUSTER)
      tfl::barrier_arrive_at(tfl::shared_address(&barriers.empty[stage]), lane);
  }

  __device__ unsigned int matrices(int chunk, int j) const {
    // Four 8 x 8 matrices: rows 0-7 and 8-15 of the warp, columns 8 j and 8 (j + 1).
    const int row = warp * 16 + lane % 16, column = j + lane / 16;
    return chunks + chunk * CHUNK_BYTES + row * 128 + ((column ^ (row & 7)) << 4);
  }

  // Until the stores of what stood in the chunks have read it.
  __device__ __forceinline__ void acquire() {
    if (elected) tfl::store_wait_read<0>();
    tfl::warpgroup_barrier(1 + number);
  }

  __device__ __forceinline__ void release(const tfl::TensorMap* map, int m, int n) {
    tfl::fence_async();
    tfl::warpgroup_barrier(1 + number);
    if (elected) {
      for (int chunk = 0; chunk < CHUNKS; ++chunk)
        tfl::store_tile(map, chunks + chunk * CHUNK_BYTES, n + chunk * CHUNK, m);
      tfl::store_commit();
    }
  }

  __device__ __forceinline__ void write(int chunk) {
#pragma unroll
    for (int j = 0; j < CHUNK / 8; j += 2) {
      const float* x = d + chunk * (CHUNK / 2) + 4 * j;
      tfl::store_matrices(matrices(chunk, j), pair(x[0], x[1]), pair(x[2], x[3]),
                          pair(x[4], x[5]), pair(x[6], x[7]));
    }
  }

  // Writes the whole tile to where `map` says.
  __device__ __forceinline__ void store(const tfl::TensorMap* map, int m, int n) {
    acquire();
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; ++chunk) write(chunk);
    release(map, m, n);
  }

  __device__ __forceinline__ void add_bias(const T* bias, int n, long long columns) {
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; ++j) {
      const long long at = n + 8 * j + 2 * (lane % 4);
      // Columns come in eights: both of a pair lie inside or neither does.
      const unsigned int two =
          at < columns ? *reinterpret_cast<const unsigned int*>(bias + at) : 0u;
      d[4 * j] += low(two);
      d[4 * j + 1] += high(two);
      d[4 * j + 2] += low(two);
      d[4 * j + 3] += high(two);
    }
  }

  // act(D + bias), and D + bias to `saved`.
  __device__ __forceinline__ void forward(const T* bias, const tfl::TensorMap* out,
                                          const tfl::TensorMap* saved, bool keeps, int m, int n,
                                          long long columns, float slope) {
    if (TFL_EPILOGUE == 1) {
      if (bias) add_bias(bias, n, columns);
      if (keeps) store(saved, m, n);
#pragma unroll
      for (int i = 0; i < COLUMNS / 2; ++i) d[i] = A::template forward<float>(d[i], slope);
    }
    store(out, m, n);
  }

  // Fetches what the forward pass saved of this tile into the chunks' places.
  __device__ void prefetch(const tfl::TensorMap* saved, unsigned int barrier, int m, int n) {
    if (!elected) return;
    tfl::store_wait_read<0>();
    tfl::barrier_expect(barrier, CHUNKS * CHUNK_BYTES);
    for (int chunk = 0; chunk < CHUNKS; ++chunk)
      tfl::load_tile(chunks + chunk * CHUNK_BYTES, saved, barrier, n + chunk * CHUNK, m);
  }

  // D act'(saved), in place of what was saved; its sums over this warp's 16 rows to `sums`.
  __device__ __forceinline__ void backward(const tfl::TensorMap* out, unsigned int barrier,
                                           int parity, float* sums, int m, int n, float slope) {
    tfl::barrier_wait(barrier, parity);
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; ++chunk) {
#pragma unroll
      for (int j = 0; j < CHUNK / 8; j += 2) {
        float* x = d + chunk * (CHUNK / 2) + 4 * j;
        unsigned int saved[4];
        tfl::load_matrices(matrices(chunk, j), saved);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          x[2 * i] *= A::template derivative<float>(low(saved[i]), slope);
          x[2 * i + 1] *= A::template derivative<float>(high(saved[i]), slope);
        }
      }
      __syncwarp();
      write(chunk);
      sum_rows(d + chunk * (CHUNK / 2), sums + chunk * CHUNK);
    }
    release(out, m, n);
  }

  // One step of adding up: a lane hands half of its columns to the lane across and takes over the
  // other half's sums. Returns which half it kept, as the first one's number.
  template <int half>
  __device__ __forceinline__ int hand_over(float (&s)[CHUNK / 4], int distance) {
    const bool upper = lane & distance;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float given = upper ? s[i] : s[i + half];
      const float kept = upper ? s[i + half] : s[i];
      s[i] = kept + __shfl_xor_sync(0xffffffffu, given, distance);
    }
    return upper ? half : 0;
  }

  // Adds up each column over the warp's 16 rows: eight lanes end with two columns each.
  __device__ __forceinline__ void sum_rows(const float* x, float* sums) {
    float s[CHUNK / 4];
#pragma unroll
    for (int j = 0; j < CHUNK / 8; ++j) {
      s[2 * j] = x[4 * j] + x[4 * j + 2];
      s[2 * j + 1] = x[4 * j + 1] + x[4 * j + 3];
    }
    int first = 0;
    first += hand_over<8>(s, 4);
    first += hand_over<4>(s, 8);
    first += hand_over<2>(s, 16);
    // Element i of a lane's 16 is column 8 (i / 2) + 2 (lane % 4) + i % 2.
    const int column = 8 * (first / 2) + 2 * (lane % 4);
    sums[column] = s[0];
    sums[column + 1] = s[1];
  }
};

extern "C" __cluster_dims__(2, 1, 1) TFL_KERNEL(384, 1)
    gemm_hopper(const __grid_constant__ tfl::TensorMap a, const __grid_constant__ tfl::TensorMap b,
                const __grid_constant__ tfl::TensorMap out,
                const __grid_constant__ tfl::TensorMap saved, const T* bias, float* partial_sums,
                long long m, long long n, long long k, long long keeps, double slope) {
  extern __shared__ __align__(1024) unsigned char memory[];
  unsigned char* chunks = memory + STAGES * STAGE_BYTES;
  float* sums = reinterpret_cast<float*>(chunks + WORKERS * CHUNKS * CHUNK_BYTES);
  Barriers& barriers = *reinterpret_cast<Barriers*>(chunks + WORKERS * CHUNKS * CHUNK_BYTES +
                                                    SUMS_BYTES);
  const unsigned int tiles_address = tfl::shared_address(memory);
  const int group = threadIdx.x / 128;
  const int rank = static_cast<int>(tfl::block_in_cluster());
  const Tiles tiles(m, n);
  const int depth_steps = static_cast<int>((k + DEPTH - 1) / DEPTH);

  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      tfl::barrier_init(tfl::shared_address(&barriers.full[i]), 1);
      tfl::barrier_init(tfl::shared_address(&barriers.empty[i]), WORKERS * CLUSTER);
    }
    for (int i = 0; i < WORKERS; ++i)
      tfl::barrier_init(tfl::shared_address(&barriers.saved[i]), 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  tfl::cluster_barrier();

  if (group == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == 0)
      produce(&a, &b, tiles_address, barriers, tiles, depth_steps, rank);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    Worker worker;
    worker.number = group - 1;
    worker.warp = threadIdx.x / 32 % 4;
    worker.lane = threadIdx.x % 32;
    worker.elected = threadIdx.x % 128 == 0;
    worker.chunks = tfl::shared_address(chunks + worker.number * CHUNKS * CHUNK_BYTES);
    const unsigned int saved_barrier = tfl::shared_address(&barriers.saved[worker.number]);
    float* own_sums = sums + (worker.number * 4 + worker.warp) * COLUMNS;
    int saved_parity = 0;
    Ring ring;
    for (int tile = blockIdx.x / CLUSTER; tile < tiles.count; tile += gridDim.x / CLUSTER) {
      int row, column;
      tiles.locate(tile, row, column);
      const int at_m = (row * CLUSTER + rank) * ROWS + worker.number * 64, at_n = column * COLUMNS;
      int previous = -1;
      for (int step = 0; step < depth_steps; ++step, ring.next()) {
        const unsigned int tile_a = tiles_address + ring.stage * STAGE_BYTES +
                                    worker.number * GROUP_BYTES;
        const unsigned int tile_b = tiles_address + ring.stage * STAGE_BYTES + A_BYTES;
        tfl::barrier_wait(tfl::shared_address(&barriers.full[ring.stage]), ring.parity);
        tfl::wgmma_fence();
#pragma unroll
        for (int i = 0; i < DEPTH / 16; ++i) {
          // 16 steps of depth on: 32 bytes along a row, or two groups of eight rows.
          const int on_a = A_TRANSPOSED ? 2 * i * ROW_GROUP : 32 * i;
          const int on_b = B_TRANSPOSED ? 2 * i * ROW_GROUP : 32 * i;
          tfl::wgmma<A_TRANSPOSED, B_TRANSPOSED>(
              worker.d, tfl::operand(tile_a + on_a, GROUP_BYTES, ROW_GROUP),
              tfl::operand(tile_b + on_b, GROUP_BYTES, ROW_GROUP), step + i > 0);
        }
        tfl::wgmma_commit();
        // The step before is done now; its stage may be filled again, in both blocks.
        tfl::wgmma_wait<1>();
        if (previous >= 0) worker.free_stage(barriers, previous);
        previous = ring.stage;
        if (TFL_EPILOGUE == 2 && step == min(2, depth_steps - 1))
          worker.prefetch(&saved, saved_barrier, at_m, at_n);
      }
      tfl::wgmma_wait<0>();
      worker.free_stage(barriers, previous);
      if (TFL_EPILOGUE == 2) {
        worker.backward(&out, saved_barrier, saved_parity, own_sums, at_m, at_n,
                        static_cast<float>(slope));
        saved_parity ^= 1;
        // Four warps' sums become one, of 64 rows; rows beyond m are zero.
        tfl::warpgroup_barrier(1 + worker.number);
        const float* four = sums + worker.number * 4 * COLUMNS;
        for (int i = threadIdx.x % 128; i < COLUMNS && at_n + i < n; i += 128)
          if (at_m < m)
            partial_sums[static_cast<long long>(at_m / 64) * n + at_n + i] =
                (four[i] + four[i + COLUMNS]) + (four[i + 2 * COLUMNS] + four[i + 3 * COLUMNS]);
        tfl::warpgroup_barrier(1 + worker.number);
      } else {
        worker.forward(bias, &out, &saved, keeps != 0, at_m, at_n, n, static_cast<float>(slope));
      }
    }
    if (worker.elected) tfl::store_wait();
  }
  tfl::cluster_barrier();  // the other block may still write to this one's shared memory
}
