#include "blas.hpp"

#include <dlfcn.h>

#include <mutex>

#include "pool.hpp"

namespace tfl {
namespace {

using RunJob = void (*)(int thread, void* job, int attribute);
using Callback = void (*)(int wait, RunJob run, int count, std::size_t size, void* jobs,
                          int attribute);
template <typename T>
using Gemm = void (*)(int order, int transpose_a, int transpose_b, std::int64_t rows,
                      std::int64_t columns, std::int64_t depth, T alpha, const T* a,
                      std::int64_t leading_a, const T* b, std::int64_t leading_b, T beta, T* c,
                      std::int64_t leading_c);
constexpr int row_major = 101, plain = 111, transposed = 112;

struct Library {
  int (*get_threads)();
  void (*set_threads)(int);
  void (*set_callback)(Callback);
  Gemm<float> sgemm;
  Gemm<double> dgemm;
};
Library blas{};

std::mutex threads_mutex;
std::size_t wanted = 1;  // threads of a product
int holders = 0;         // that want one thread

// The jobs of a product wait for each other's parts, so each needs a thread.
void run_jobs(int, RunJob run, int count, std::size_t size, void* jobs, int attribute) {
  together(static_cast<std::size_t>(count), [=](std::size_t i) {
    run(static_cast<int>(i), static_cast<char*>(jobs) + i * size, attribute);
  });
}

template <typename Function>
bool find(void* library, const char* name, Function* found) {
  *found = reinterpret_cast<Function>(dlsym(library, name));
  return *found != nullptr;
}

template <typename T>
void call(Gemm<T> function, std::int64_t rows, std::int64_t columns, std::int64_t depth,
          Matrix<T> a, Matrix<T> b, T* out, std::int64_t leading) {
  function(row_major, a.transposed ? transposed : plain, b.transposed ? transposed : plain, rows,
           columns, depth, T(1), a.data, a.leading, b.data, b.leading, T(0), out, leading);
}

}  // namespace

bool adopt_blas(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (!library) return false;
  Library found{};
  // The names of the build with 64-bit sizes, which is the one in NumPy's wheels.
  if (!find(library, "scipy_openblas_get_num_threads64_", &found.get_threads) ||
      !find(library, "scipy_openblas_set_num_threads64_", &found.set_threads) ||
      !find(library, "scipy_openblas_set_threads_callback_function64_", &found.set_callback) ||
      !find(library, "scipy_cblas_sgemm64_", &found.sgemm) ||
      !find(library, "scipy_cblas_dgemm64_", &found.dgemm)) {
    dlclose(library);
    return false;
  }
  found.set_callback(run_jobs);
  const std::lock_guard<std::mutex> lock(threads_mutex);
  blas = found;
  wanted = static_cast<std::size_t>(blas.get_threads());
  return true;
}

bool blas_adopted() { return blas.sgemm != nullptr; }

std::size_t blas_threads() {
  const std::lock_guard<std::mutex> lock(threads_mutex);
  return blas_adopted() ? wanted : 0;
}

void set_blas_threads(std::size_t count) {
  const std::lock_guard<std::mutex> lock(threads_mutex);
  wanted = count;
  if (blas_adopted() && holders == 0) blas.set_threads(static_cast<int>(count));
}

OneBlasThread::OneBlasThread() {
  const std::lock_guard<std::mutex> lock(threads_mutex);
  if (holders++ == 0 && wanted != 1) blas.set_threads(1);
}

OneBlasThread::~OneBlasThread() {
  const std::lock_guard<std::mutex> lock(threads_mutex);
  if (--holders == 0 && wanted != 1) blas.set_threads(static_cast<int>(wanted));
}

void gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, Matrix<float> a,
          Matrix<float> b, float* out, std::int64_t leading) {
  call(blas.sgemm, rows, columns, depth, a, b, out, leading);
}

void gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, Matrix<double> a,
          Matrix<double> b, double* out, std::int64_t leading) {
  call(blas.dgemm, rows, columns, depth, a, b, out, leading);
}

}  // namespace tfl
