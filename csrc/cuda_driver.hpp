// Libraries that are looked for when they are first needed, so that the extension builds and loads
// where there is no CUDA; and what is asked of NVIDIA's driver.
#pragma once

#include <array>
#include <cstdint>
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

// How an array of up to 5 axes is cut into the boxes that a tensor memory access moves. Axes are in
// the order of the array's shape: the last one is contiguous.
struct TensorMap {
  std::uint64_t address;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> strides;  // bytes
  std::vector<std::uint32_t> box;
  int swizzle;       // bytes: 0, 32, 64 or 128
  int l2_promotion;  // bytes: 0, 64, 128 or 256
};

class CudaDriver {
 public:
  explicit CudaDriver(const std::vector<std::string>& candidates);

  // Returns the 128 bytes that a kernel takes by value.
  std::array<std::uint8_t, 128> tensor_map(const TensorMap& map) const;
  // Returns the driver's words for one of its error codes.
  std::string error_text(int error) const;
  const std::string& path() const { return library_.path(); }

 private:
  DynamicLibrary library_;
  int (*encode_)(void* map, int type, std::uint32_t rank, void* address, const std::uint64_t* shape,
                 const std::uint64_t* strides, const std::uint32_t* box,
                 const std::uint32_t* element_strides, int interleave, int swizzle,
                 int l2_promotion, int fill);
  int (*get_error_name_)(int error, const char** text);
  int (*get_error_string_)(int error, const char** text);
};

}  // namespace tfl
