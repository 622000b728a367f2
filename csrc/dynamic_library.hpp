// Libraries that are looked for when they are first needed, so that the extension builds and loads
// where there is no CUDA.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace tfl {

// What a CUDA library refused; Python's RuntimeError.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A shared library, the first of `candidates` that loads. Of names without a folder one that the
// process has already is taken before all others: two copies of one library waste memory and
// disagree. It stays loaded, for what it has started outlives any object here.
class DynamicLibrary {
 public:
  explicit DynamicLibrary(const std::vector<std::string>& candidates);

  template <typename Function>
  void find(const char* name, Function*& function) const {
    function = reinterpret_cast<Function*>(address_of(name));
  }
  const std::string& path() const { return path_; }

 private:
  void* address_of(const char* name) const;

  void* handle_ = nullptr;
  std::string path_;
};

}  // namespace tfl
