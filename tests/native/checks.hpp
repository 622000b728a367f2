// What the checks of the kernels have in common.
//
// A file NAME.cpp here checks the family csrc/NAME.hpp:
//
//     TFL_CHECK(name_of_the_check) {
//       const Guarded<float> x = normals<float>(columns);
//       for_every_way([&](Outputs& outputs) {
//         Guarded<float> out(columns);
//         name_kernels().forward(x.data(), out.data(), columns);
//         near(out, expected, 1e-6);
//         outputs.add(out);
//       });
//     }
//
// for_every_way runs its argument for every instruction set of the processor and several numbers of
// threads, and compares the outputs bit for bit. Arrays lie between guards, off the vectors' natural
// alignment: a write outside is seen always, a read outside by AddressSanitizer.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address))
#endif

namespace check {

// Whether the sanitizer, or an emulated processor, makes every step so slow that counts must be low.
#if defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
constexpr bool slow = true;
#else
constexpr bool slow = false;
#endif

// Notes a failure of the running check, with the notes that are in force. The check goes on.
void fail(const std::string& what);

// Says where a check is, for the text of a failure, as long as it lives.
class Note {
 public:
  template <typename... Parts>
  explicit Note(const Parts&... parts) {
    std::ostringstream text;
    static_cast<void>((text << ... << parts));
    push(text.str());
  }
  ~Note() { pop(); }
  Note(const Note&) = delete;
  Note& operator=(const Note&) = delete;

 private:
  static void push(const std::string& text);
  static void pop();
};

struct Registered {
  Registered(const char* file, const char* name, void (*run)());
};

#define TFL_CHECK(name)                                                            \
  static void check_##name();                                                      \
  static const check::Registered registered_##name(__FILE__, #name, check_##name); \
  static void check_##name()

// EXPECT(condition, what, ...): `what, ...` is printed where the condition doesn't hold.
template <typename... Parts>
void expect(bool holds, const char* condition, const Parts&... parts) {
  if (holds) return;
  std::ostringstream text;
  static_cast<void>((text << ... << parts));
  fail(text.str() + ": not " + condition);
}
#define EXPECT(condition, ...) check::expect(static_cast<bool>(condition), #condition, __VA_ARGS__)

constexpr std::size_t guard_bytes = 64;
constexpr unsigned char guard_value = 0xA5;

// An array between guards; its memory is aligned for T and for nothing more.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t size, T value = std::numeric_limits<T>::quiet_NaN())
      : size_(size), memory_(room(size), guard_value) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) + guard_bytes;
    start_ = guard_bytes + (64 - address % 64) % 64 + sizeof(T);
    for (std::size_t i = 0; i < size; ++i) data()[i] = value;
    poison();
  }
  explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
    for (std::size_t i = 0; i < size_; ++i) data()[i] = values[i];
  }
  Guarded(const Guarded& other) : Guarded(other.size_) {
    if (size_ > 0) std::memcpy(data(), other.data(), size_ * sizeof(T));
  }
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() {
    ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size());
    const std::size_t end = start_ + size_ * sizeof(T);
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      if ((i < start_ || i >= end) && memory_[i] != guard_value) {
        fail("an array of " + std::to_string(size_) + " elements was written outside, at byte " +
             std::to_string(static_cast<long long>(i) - static_cast<long long>(start_)));
        return;
      }
    }
  }

  T* data() { return reinterpret_cast<T*>(memory_.data() + start_); }
  const T* data() const { return reinterpret_cast<const T*>(memory_.data() + start_); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }

 private:
  static std::size_t room(std::size_t size) { return 3 * guard_bytes + (size + 1) * sizeof(T); }
  void poison() {
    const std::size_t end = start_ + size_ * sizeof(T);
    ASAN_POISON_MEMORY_REGION(memory_.data(), start_ / 8 * 8);
    ASAN_POISON_MEMORY_REGION(memory_.data() + end, memory_.size() - end);
  }

  std::size_t size_, start_;
  std::vector<unsigned char> memory_;
};

// Standard normals times `scale`, the same for the same seed.
template <typename T>
Guarded<T> normals(std::size_t size, unsigned seed = 0, double scale = 1.0) {
  std::mt19937 bits(seed);
  Guarded<T> values(size);
  for (std::size_t i = 0; i < size; ++i) {
    // Box and Muller's, for std::normal_distribution isn't the same everywhere.
    const double u = (bits() + 1.0) * 0x1p-32, v = bits() * 0x1p-32;
    values[i] = static_cast<T>(scale * std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  return values;
}

// Integers from 0 to count - 1, as indices are made.
template <typename T>
Guarded<T> integers(std::size_t size, std::uint32_t count, unsigned seed = 0) {
  std::mt19937 bits(seed);
  Guarded<T> values(size, T(0));
  for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<T>(bits() % count);
  return values;
}

// Compares with the same in double: |found - expected| <= relative |expected| + absolute; NaN only
// where NaN is expected.
void near_values(const double* found, const double* expected, std::size_t size, double relative,
                 double absolute, const char* what);

template <typename T>
void near(const Guarded<T>& found, const std::vector<double>& expected, double relative,
          double absolute = 0.0, const char* what = "out") {
  EXPECT(found.size() == expected.size(), what);
  if (found.size() != expected.size()) return;
  const std::vector<double> wide(found.data(), found.data() + found.size());
  near_values(wide.data(), expected.data(), wide.size(), relative, absolute, what);
}

// A few units in the last place of T, for tolerances.
template <typename T>
constexpr double unit(double count = 1.0) {
  return count * static_cast<double>(std::numeric_limits<T>::epsilon());
}

// The bits of what one run gave.
class Outputs {
 public:
  template <typename T>
  void add(const Guarded<T>& array) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(array.data());
    bytes_.insert(bytes_.end(), bytes, bytes + array.size() * sizeof(T));
  }
  bool operator==(const Outputs& other) const { return bytes_ == other.bytes_; }

 private:
  std::vector<unsigned char> bytes_;
};

// The numbers of threads that results are compared over.
constexpr std::size_t thread_counts[] = {1, 2, 4};

// Over the numbers of threads results agree bit for bit always; over the instruction sets where the
// family's .cpp says so.
enum class Same { in_all_sets, in_one_set };

// Calls `run` for every instruction set and number of threads, and compares what it adds.
void for_every_way(const std::function<void(Outputs&)>& run, Same same = Same::in_all_sets);

// Calls `run` once for every instruction set, on one thread.
void for_every_set(const std::function<void()>& run);

}  // namespace check
