// The OpenBLAS that NumPy brings: its threads are replaced by the pool's, and its products called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tfl {

// Makes the library at `path`, which is loaded already, run on the pool. Returns whether it has what
// that takes; if not, nothing has changed.
bool adopt_blas(const std::string& path);
bool blas_adopted();

// How many threads a product may take that NumPy starts.
std::size_t blas_threads();
void set_blas_threads(std::size_t count);

// While one lives, every product takes one thread: then pieces of `parallel` may call `gemm`.
class OneBlasThread {
 public:
  OneBlasThread();
  ~OneBlasThread();
  OneBlasThread(const OneBlasThread&) = delete;
  OneBlasThread& operator=(const OneBlasThread&) = delete;
};

// A matrix in memory: element (i, j) is data[i * leading + j], or where it is transposed
// data[j * leading + i].
template <typename T>
struct Matrix {
  const T* data;
  std::int64_t leading;
  bool transposed;
};

// out (rows, columns) = a (rows, depth) b (depth, columns); `leading` is the distance of out's rows.
void gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, Matrix<float> a,
          Matrix<float> b, float* out, std::int64_t leading);
void gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, Matrix<double> a,
          Matrix<double> b, double* out, std::int64_t leading);

}  // namespace tfl
