#include "blas.hpp"

#include <dlfcn.h>

#include "pool.hpp"

namespace tfl {
namespace {

using RunJob = void (*)(int thread, void* job, int attribute);
using Callback = void (*)(int wait, RunJob run, int count, std::size_t size, void* jobs,
                          int attribute);

int (*get_threads)() = nullptr;
void (*set_threads)(int) = nullptr;

// The jobs of a product wait for each other's parts, so each needs a thread.
void run_jobs(int, RunJob run, int count, std::size_t size, void* jobs, int attribute) {
  together(static_cast<std::size_t>(count), [=](std::size_t i) {
    run(static_cast<int>(i), static_cast<char*>(jobs) + i * size, attribute);
  });
}

template <typename Function>
bool find(void* library, const std::string& name, const std::string& suffix, Function* found) {
  *found = reinterpret_cast<Function>(dlsym(library, (name + suffix).c_str()));
  return *found != nullptr;
}

}  // namespace

bool adopt_blas(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (!library) return false;
  for (const char* suffix : {"64_", ""}) {
    int (*get)() = nullptr;
    void (*set)(int) = nullptr;
    void (*set_callback)(Callback) = nullptr;
    if (find(library, "scipy_openblas_get_num_threads", suffix, &get) &&
        find(library, "scipy_openblas_set_num_threads", suffix, &set) &&
        find(library, "scipy_openblas_set_threads_callback_function", suffix, &set_callback)) {
      get_threads = get;
      set_threads = set;
      set_callback(run_jobs);
      return true;
    }
  }
  dlclose(library);
  return false;
}

std::size_t blas_threads() { return get_threads ? static_cast<std::size_t>(get_threads()) : 0; }

void set_blas_threads(std::size_t count) {
  if (set_threads) set_threads(static_cast<int>(count));
}

}  // namespace tfl
