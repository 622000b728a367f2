// Memory that a thread keeps for its next use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace tfl {

class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::free(memory_); }

  // At least so many bytes, aligned to 64, with any values; null where there is no memory. Valid
  // until the next call.
  void* room(std::size_t bytes) {
    // More than this isn't kept at hand for long: it goes with the next smaller wish.
    constexpr std::size_t modest = std::size_t{4} << 20;
    if (memory_ && bytes <= size_ && (size_ <= modest || bytes > modest)) return memory_;
    std::free(memory_);
    if (bytes > SIZE_MAX - 63) bytes = SIZE_MAX - 63;
    size_ = (bytes + 63) / 64 * 64;
    memory_ = std::aligned_alloc(64, size_ ? size_ : 64);
    if (!memory_) size_ = 0;
    return memory_;
  }

 private:
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tfl
