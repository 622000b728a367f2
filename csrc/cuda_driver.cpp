#include "cuda_driver.hpp"

#include <algorithm>
#include <cstring>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace tfl {
namespace {

#if defined(_WIN32)
void* load(const std::string& name, bool only_if_loaded) {
  return only_if_loaded ? GetModuleHandleA(name.c_str()) : LoadLibraryA(name.c_str());
}
void* symbol(void* handle, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle), name));
}
std::string why() { return "error " + std::to_string(GetLastError()); }
#else
void* load(const std::string& name, bool only_if_loaded) {
  return dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | (only_if_loaded ? RTLD_NOLOAD : 0));
}
void* symbol(void* handle, const char* name) { return dlsym(handle, name); }
std::string why() {
  const char* text = dlerror();
  return text ? text : "no message";
}
#endif

struct ElementType {
  const char* name;
  int code;  // CUtensorMapDataType
  std::uint64_t size;
};
constexpr ElementType element_types[] = {
    {"uint8", 0, 1},   {"uint16", 1, 2},  {"uint32", 2, 4},   {"int32", 3, 4},
    {"uint64", 4, 8},  {"int64", 5, 8},   {"float16", 6, 2},  {"float32", 7, 4},
    {"float64", 8, 8}, {"bfloat16", 9, 2}, {"tfloat32", 11, 4},
};

template <typename T>
std::string text_of(const std::vector<T>& values) {
  std::string text = "(";
  for (std::size_t i = 0; i < values.size(); ++i)
    text += (i ? ", " : "") + std::to_string(values[i]);
  return text + (values.size() == 1 ? ",)" : ")");
}

void require(bool holds, const std::string& requirement, const std::string& got) {
  if (!holds) throw std::invalid_argument("tensor_map: " + requirement + ", got " + got);
}

// Returns the place of a value in a list of choices, as the driver numbers them.
int place_of(const char* name, int value, std::initializer_list<int> choices) {
  const auto found = std::find(choices.begin(), choices.end(), value);
  std::string known;
  for (int choice : choices) known += (known.empty() ? "" : ", ") + std::to_string(choice);
  require(found != choices.end(), std::string(name) + " must be one of " + known,
          std::to_string(value));
  return static_cast<int>(found - choices.begin());
}

const ElementType& element_type(const std::string& name) {
  std::string known;
  for (const ElementType& type : element_types) {
    if (name == type.name) return type;
    known += std::string(known.empty() ? "" : ", ") + type.name;
  }
  throw std::invalid_argument("tensor_map: dtype must be one of " + known + ", got '" + name + "'");
}

void check(const TensorMap& map, const ElementType& type) {
  const std::size_t rank = map.shape.size();
  require(rank >= 1 && rank <= 5, "shape must have 1 to 5 axes", text_of(map.shape));
  require(map.strides.size() == rank && map.box.size() == rank,
          "strides and box must have as many axes as shape",
          text_of(map.strides) + " and " + text_of(map.box));
  require(map.address % 16 == 0 && map.address != 0, "address must be a multiple of 16",
          std::to_string(map.address));
  require(map.strides.back() == type.size, "the last axis must be contiguous",
          text_of(map.strides));
  for (std::size_t i = 0; i < rank; ++i) {
    require(map.shape[i] >= 1 && map.shape[i] <= (std::uint64_t{1} << 32),
            "every axis must have 1 to 2**32 elements", text_of(map.shape));
    require(map.box[i] >= 1 && map.box[i] <= 256, "every side of the box must be 1 to 256",
            text_of(map.box));
    require(i + 1 == rank ||
                (map.strides[i] % 16 == 0 && map.strides[i] < (std::uint64_t{1} << 40)),
            "strides must be multiples of 16 below 2**40", text_of(map.strides));
  }
  const std::uint64_t inner = map.box.back() * type.size;
  require(inner % 16 == 0, "the box's last side must be a multiple of 16 bytes",
          std::to_string(inner) + " bytes");
  require(map.swizzle == 0 || inner <= static_cast<std::uint64_t>(map.swizzle),
          "the box's last side must be at most the swizzle's " + std::to_string(map.swizzle) +
              " bytes",
          std::to_string(inner) + " bytes");
}

}  // namespace

DynamicLibrary::DynamicLibrary(const std::vector<std::string>& candidates) {
  for (const bool only_if_loaded : {true, false}) {
    for (const std::string& name : candidates) {
      if (only_if_loaded && name.find('/') != std::string::npos) continue;
      handle_ = load(name, only_if_loaded);
      if (handle_) {
        path_ = name;
        return;
      }
      if (!only_if_loaded) path_ += (path_.empty() ? "" : "; ") + why();
    }
  }
  throw CudaError("a shared library must load, got " +
                  (path_.empty() ? std::string("no candidates") : path_));
}

void* DynamicLibrary::address_of(const char* name) const {
  void* found = symbol(handle_, name);
  if (!found) throw CudaError(path_ + ": it must have " + name + ", got none; is it too old?");
  return found;
}

CudaDriver::CudaDriver(const std::vector<std::string>& candidates) : library_(candidates) {
  library_.find("cuTensorMapEncodeTiled", encode_);
  library_.find("cuGetErrorName", get_error_name_);
  library_.find("cuGetErrorString", get_error_string_);
}

std::string CudaDriver::error_text(int error) const {
  const char* name = nullptr;
  const char* text = nullptr;
  get_error_name_(error, &name);
  get_error_string_(error, &text);
  return std::string(name ? name : "an unknown error") + " (" + std::to_string(error) + ")" +
         (text ? std::string(": ") + text : "");
}

std::array<std::uint8_t, 128> CudaDriver::tensor_map(const TensorMap& map) const {
  const ElementType& type = element_type(map.dtype);
  check(map, type);
  const int swizzle = place_of("swizzle", map.swizzle, {0, 32, 64, 128});
  const int promotion = place_of("l2_promotion", map.l2_promotion, {0, 64, 128, 256});
  // The driver counts axes from the innermost, whose stride it knows.
  const std::vector<std::uint64_t> shape(map.shape.rbegin(), map.shape.rend());
  const std::vector<std::uint64_t> strides(map.strides.rbegin() + 1, map.strides.rend());
  const std::vector<std::uint32_t> box(map.box.rbegin(), map.box.rend());
  const std::vector<std::uint32_t> ones(shape.size(), 1);
  alignas(64) std::array<std::uint8_t, 128> out{};
  const int error =
      encode_(out.data(), type.code, static_cast<std::uint32_t>(shape.size()),
              reinterpret_cast<void*>(static_cast<std::uintptr_t>(map.address)), shape.data(),
              strides.data(), box.data(), ones.data(), 0, swizzle, promotion, 0);
  if (error) throw CudaError("tensor_map: the driver must take it, got " + error_text(error));
  return out;
}

}  // namespace tfl
