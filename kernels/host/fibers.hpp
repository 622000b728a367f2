// Runs the threads of CUDA blocks on one thread of a CPU, so that a kernel's text can be tested
// where there is no GPU. Each CUDA thread is a fiber (a stack of its own); blocks run one after
// another. A fiber runs until it waits at a barrier or a warp operation, and goes on only when all
// that have to be there are there: what a GPU would hang on, or silently compute wrongly, is an
// error in words.
//
// Warps and their lanes are resumed in one of three orders, each warp as far as it can go: a kernel
// that lacks a barrier gives another result in one of them. Shared memory is poisoned (0xff: NaN, or -1) before each block.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

struct uint3 {
  unsigned int x, y, z;
};
struct dim3 {
  unsigned int x = 1, y = 1, z = 1;
};

namespace tfl_host {

constexpr int warp_size = 32;

enum class Order { ascending, descending, shuffled };
enum class State { runnable, at_barrier, at_warp_operation, done };

// Where in the kernel's text an operation stands.
struct Place {
  const char* file;
  int line;
};

struct Fiber {
  void* stack_pointer;
  uint3 thread;
  State state;
  const char* operation;  // what it waits at
  Place place;
  // Of a warp operation: the lanes that take part, what this one gives, and from where it takes.
  unsigned int mask;
  int source;
  std::uint64_t given, taken;
  unsigned int ballot;
};

// What Python hands over: one launch.
struct Launch {
  unsigned int grid[3];
  unsigned int block[3];
  std::uint64_t shared;
  std::int32_t order;
  std::uint32_t seed;
  std::int32_t count;
  const void* const* values;  // where each argument lies in the packed ones
  const std::uint64_t* sizes;
  const char* kinds;  // NumPy's letters: 'u', 'i', 'f', 'V'
};

using Body = void (*)(const void* const* values);

struct Machine {
  dim3 grid, block;
  uint3 block_index;
  Order order;
  std::uint32_t random;
  Fiber* fibers;
  int count;    // of fibers
  int live;     // those that aren't done
  int current;  // the one that runs
  char* stacks;
  unsigned char* dynamic_shared;
  std::uint64_t shared_size;
  void* scheduler;  // its stack pointer while a fiber runs
  Body body;
  const void* const* values;
};

extern Machine machine;

inline Fiber& current() { return machine.fibers[machine.current]; }
inline int lane() { return machine.current % warp_size; }

// Ends the launch with an error: the fiber never runs again, nothing is unwound across the switch.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Stops the fiber until the block's other fibers are there too.
void meet_block(const char* operation, Place place);

// Stops it until the other lanes of the mask are there; then `taken` and `ballot` hold what they
// gave. From a source outside the mask comes poison.
void meet_warp(unsigned int mask, std::uint64_t given, int source, const char* operation,
               Place place);

// A fiber's copies that it doesn't wait for one by one: those since the last commit are a group.
// They are made when they are waited for, in order, so that a lacking wait shows.
void copy_later(void* to, const void* from, int bytes, int valid);
void commit_copies();
void wait_for_copies(int groups);  // all but so many groups, the youngest

template <typename T>
T exchange(unsigned int mask, T value, int source, const char* operation, Place place) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t), "a shuffle moves at most 8 bytes");
  std::uint64_t given = 0;
  std::memcpy(&given, &value, sizeof value);
  meet_warp(mask, given, source, operation, place);
  T result;
  std::memcpy(&result, &current().taken, sizeof result);
  return result;
}

// ---- from a launch to a kernel

enum class Kind { pointer, signed_integer, unsigned_integer, floating, other };

struct Parameter {
  Kind kind;
  std::uint64_t size, alignment;
};

template <typename T>
constexpr Parameter parameter_of() {
  Kind kind = Kind::other;
  if (std::is_pointer_v<T>) kind = Kind::pointer;
  if (std::is_integral_v<T>) {
    kind = std::is_signed_v<T> ? Kind::signed_integer : Kind::unsigned_integer;
  }
  if (std::is_floating_point_v<T>) kind = Kind::floating;
  return {kind, sizeof(T), alignof(T)};
}

// Returns null, or what went wrong.
const char* run(const Launch& launch, Body body, const Parameter* parameters, int count,
                long long most_threads);

template <typename T>
T load(const void* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <auto kernel, typename Signature>
struct Entry;

template <auto kernel, typename... Types>
struct Entry<kernel, void (*)(Types...)> {
  template <std::size_t... places>
  static void call(const void* const* values, std::index_sequence<places...>) {
    kernel(load<Types>(values[places])...);
  }
  static void body(const void* const* values) { call(values, std::index_sequence_for<Types...>{}); }
  static const char* run(const Launch& launch, long long most_threads) {
    static constexpr Parameter parameters[] = {parameter_of<Types>()...};
    return tfl_host::run(launch, body, parameters, sizeof...(Types), most_threads);
  }
};

// The numbers in the kernel's mark: the most threads per block, and the least blocks at once.
template <auto kernel>
const char* run(const Launch& launch, long long most_threads, int = 0) {
  return Entry<kernel, decltype(kernel)>::run(launch, most_threads);
}

}  // namespace tfl_host
