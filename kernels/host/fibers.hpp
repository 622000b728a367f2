// Runs the threads of CUDA blocks on one thread of a CPU, so that a kernel's text can be tested where
// there is no GPU. Each CUDA thread is a fiber (a stack of its own); blocks run one after another. A
// fiber runs until it waits at a barrier or a warp operation, and goes on only when all that have to
// be there are there: what a GPU would hang on, or silently compute wrongly, is an error in words.
//
// Threads are resumed in one of three orders: a kernel that lacks a barrier gives another result in
// one of them. Shared memory is poisoned (0xff: NaN, or -1) before each block.
#pragma once

#include <link.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

struct uint3 {
  unsigned int x, y, z;
};
struct dim3 {
  unsigned int x = 1, y = 1, z = 1;
};

#if defined(__x86_64__)
// Saves the registers that a called function must keep, exchanges the stacks, and restores.
extern "C" __attribute__((visibility("hidden"))) void tfl_host_switch(void** from, void* to);
asm(R"(
.text
.hidden tfl_host_switch
.type tfl_host_switch, @function
tfl_host_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
#else
#error "kernels/host/fibers.hpp: tfl_host_switch must be written for this processor (x86-64 has it)"
#endif

namespace tfl_host {

constexpr int saved_registers = 6;
constexpr int warp_size = 32;
constexpr unsigned char poison = 0xff;
// Far more than the registers and local memory of a kernel that doesn't spill.
constexpr std::size_t stack_size = 128 << 10;
// Bytes of poison after dynamic shared memory, which must still be poison after the block.
constexpr std::size_t guard_size = 4096;

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
  const void* const* values;  // one pointer to each argument's bytes
  const std::uint64_t* sizes;
  const char* kinds;  // NumPy's letters: 'u', 'i', 'f', 'V'
};

struct Machine {
  dim3 grid, block;
  uint3 block_index;
  Order order;
  std::uint32_t random;
  std::vector<Fiber> fibers;
  char* stacks;
  unsigned char* dynamic_shared;
  std::uint64_t shared_size;
  void* scheduler;  // its stack pointer while a fiber runs
  int current;      // the fiber that runs
  int live;         // fibers that aren't done
  std::string error;
  void (*body)(const void* const* arguments);
  const void* const* arguments;
};

inline Machine machine;

inline Fiber& current() { return machine.fibers[machine.current]; }
inline int lane() { return machine.current % warp_size; }

inline std::string text_of(Place place) {
  return std::string(place.file) + ":" + std::to_string(place.line);
}
inline std::string text_of(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

// ---- what a fiber does

// An error ends the launch: the fiber never runs again, and nothing is unwound across the switch.
[[noreturn]] inline void fail(const std::string& message) {
  Fiber& me = current();
  machine.error = message + " [thread " + text_of(me.thread) + " of block " +
                  text_of(machine.block_index) + "]";
  tfl_host_switch(&me.stack_pointer, machine.scheduler);
  __builtin_trap();
}

inline void wait(State state, const char* operation, Place place) {
  Fiber& me = current();
  me.state = state;
  me.operation = operation;
  me.place = place;
  tfl_host_switch(&me.stack_pointer, machine.scheduler);
}

// Meets the other lanes of the mask; after it `taken` and `ballot` hold what they gave.
inline void meet_warp(unsigned int mask, std::uint64_t given, int source, const char* operation,
                      Place place) {
  if (!(mask >> lane() & 1u)) {
    fail(std::string(operation) + " at " + text_of(place) + ": the caller isn't in its own mask");
  }
  Fiber& me = current();
  me.mask = mask;
  me.given = given;
  me.source = source;
  wait(State::at_warp_operation, operation, place);
}

// `source` is a lane of the warp. From a lane outside the mask comes poison.
template <typename T>
T exchange(unsigned int mask, T value, int source, const char* operation, Place place) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t given = 0;
  std::memcpy(&given, &value, sizeof value);
  meet_warp(mask, given, source, operation, place);
  T result;
  std::memcpy(&result, &current().taken, sizeof result);
  return result;
}

inline void run_fiber() {
  machine.body(machine.arguments);
  current().state = State::done;
  --machine.live;
  tfl_host_switch(&current().stack_pointer, machine.scheduler);
  __builtin_trap();
}

// ---- what the scheduler does

inline std::uint32_t next_random() {
  machine.random = machine.random * 1664525u + 1013904223u;
  return machine.random >> 8;
}

inline void arrange(std::vector<long long>& places) {
  const long long count = static_cast<long long>(places.size());
  for (long long i = 0; i < count; ++i) {
    places[i] = machine.order == Order::descending ? count - 1 - i : i;
  }
  if (machine.order != Order::shuffled) return;
  for (long long i = count - 1; i > 0; --i) std::swap(places[i], places[next_random() % (i + 1)]);
}

// Gives the lanes of a mask what they asked for, once all of them are there. `first` is the warp's
// first fiber, `mask` what one of its waiting lanes named. False: some are still to come.
inline bool open_warp(int first, unsigned int mask, const Fiber& asking) {
  const int count = static_cast<int>(machine.fibers.size());
  unsigned int ballot = 0;
  for (int k = 0; k < warp_size; ++k) {
    if (!(mask >> k & 1u)) continue;
    const std::string where = std::string(asking.operation) + " at " + text_of(asking.place);
    if (first + k >= count) {
      machine.error = where + ": the mask names lane " + std::to_string(k) + ", which doesn't exist";
      return false;
    }
    const Fiber& other = machine.fibers[first + k];
    if (other.state == State::done) {
      machine.error = where + ": the mask names lane " + std::to_string(k) + ", which has returned";
      return false;
    }
    if (other.state != State::at_warp_operation) return false;
    if (other.mask != mask) {
      machine.error = where + ": the lanes name different masks";
      return false;
    }
    if (std::strcmp(other.operation, asking.operation) != 0 ||
        other.place.line != asking.place.line) {
      machine.error = where + ": lane " + std::to_string(k) + " is at " + other.operation + ", " +
                      text_of(other.place);
      return false;
    }
    if (other.given) ballot |= 1u << k;
  }
  for (int k = 0; k < warp_size; ++k) {
    if (!(mask >> k & 1u)) continue;
    Fiber& other = machine.fibers[first + k];
    const bool inside = other.source >= 0 && (mask >> other.source & 1u);
    other.taken = inside ? machine.fibers[first + other.source].given : ~std::uint64_t{0};
    other.ballot = ballot;
    other.state = State::runnable;
  }
  return true;
}

inline bool open_warps() {
  bool opened = false;
  const int count = static_cast<int>(machine.fibers.size());
  for (int i = 0; i < count; ++i) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state != State::at_warp_operation) continue;
    opened |= open_warp(i / warp_size * warp_size, fiber.mask, fiber);
    if (!machine.error.empty()) return false;
  }
  return opened;
}

inline bool open_barrier() {
  const Fiber* first = nullptr;
  for (const Fiber& fiber : machine.fibers) {
    if (fiber.state == State::runnable || fiber.state == State::at_warp_operation) return false;
    if (fiber.state != State::at_barrier) continue;
    if (!first) first = &fiber;
    if (fiber.place.line != first->place.line) {
      machine.error = "divergent __syncthreads: some threads are at " + text_of(first->place) +
                      ", others at " + text_of(fiber.place);
      return false;
    }
  }
  if (!first) return false;
  if (machine.live != static_cast<int>(machine.fibers.size())) {
    machine.error = "divergent __syncthreads at " + text_of(first->place) +
                    ": some threads of the block have returned";
    return false;
  }
  for (Fiber& fiber : machine.fibers) fiber.state = State::runnable;
  return true;
}

inline std::string deadlock() {
  std::string text = "deadlock: ";
  for (const Fiber& fiber : machine.fibers) {
    if (fiber.state == State::done) continue;
    const std::string one = std::string(fiber.operation) + " at " + text_of(fiber.place);
    if (text.find(one) == std::string::npos) text += (text.back() == ' ' ? "" : ", ") + one;
  }
  return text + " wait for threads that don't come";
}

// The static shared memory of kernels is the thread-local memory of this library (cuda_host.hpp).
inline int poison_thread_local(dl_phdr_info* object, std::size_t, void* inside) {
  const auto address = reinterpret_cast<std::uintptr_t>(inside);
  bool ours = false;
  std::size_t size = 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& header = object->dlpi_phdr[i];
    const std::uintptr_t begin = object->dlpi_addr + header.p_vaddr;
    ours |= header.p_type == PT_LOAD && begin <= address && address < begin + header.p_memsz;
    if (header.p_type == PT_TLS) size = header.p_memsz;
  }
  if (ours && size && object->dlpi_tls_data) std::memset(object->dlpi_tls_data, poison, size);
  return ours;
}

// Makes the library's thread-local memory exist before it is poisoned.
inline thread_local volatile char thread_local_begin;

inline void poison_shared() {
  thread_local_begin = 0;
  dl_iterate_phdr(poison_thread_local, &machine);
  std::memset(machine.dynamic_shared, poison, machine.shared_size);
}

inline void start_fibers() {
  const dim3& size = machine.block;
  const unsigned int count = static_cast<unsigned int>(machine.fibers.size());
  for (unsigned int i = 0; i < count; ++i) {
    Fiber& fiber = machine.fibers[i];
    fiber = Fiber{};
    fiber.thread = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    char* stack = machine.stacks + i * stack_size;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack, stack_size);
#endif
    // The switch returns into run_fiber as if it had been called: 8 bytes off a multiple of 16.
    void** top = reinterpret_cast<void**>(stack + stack_size) - 2;
    top[0] = reinterpret_cast<void*>(run_fiber);
    top[1] = nullptr;
    fiber.stack_pointer = top - saved_registers;
  }
  machine.live = static_cast<int>(count);
}

inline void run_block(std::vector<long long>& places) {
  poison_shared();
  start_fibers();
  arrange(places);
  while (machine.live) {
    bool ran = false;
    for (const long long i : places) {
      if (machine.fibers[i].state != State::runnable) continue;
      machine.current = static_cast<int>(i);
      tfl_host_switch(&machine.scheduler, machine.fibers[i].stack_pointer);
      if (!machine.error.empty()) return;
      ran = true;
    }
    ran |= open_warps();
    if (!machine.error.empty()) return;
    ran |= open_barrier();
    if (!machine.error.empty()) return;
    if (!ran && machine.live) machine.error = deadlock();
    if (!machine.error.empty()) return;
    if (machine.order == Order::shuffled) arrange(places);
  }
}

inline void check_guard() {
#if !defined(__SANITIZE_ADDRESS__)
  const unsigned char* guard = machine.dynamic_shared + machine.shared_size;
  for (std::size_t i = 0; i < guard_size; ++i) {
    if (guard[i] == poison) continue;
    machine.error = "dynamic shared memory of " + std::to_string(machine.shared_size) +
                    " bytes was written to past its end, at byte " +
                    std::to_string(machine.shared_size + i);
    return;
  }
#endif
}

inline void run_grid() {
  const dim3& size = machine.grid;
  std::vector<long long> blocks(static_cast<std::size_t>(size.x) * size.y * size.z);
  std::vector<long long> threads(machine.fibers.size());
  arrange(blocks);
  for (const long long block : blocks) {
    const auto i = static_cast<unsigned int>(block);
    machine.block_index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    run_block(threads);
    if (machine.error.empty()) check_guard();
    if (!machine.error.empty()) return;
  }
}

// ---- a launch

// Whether an argument's bytes can be those of a parameter: a GPU's driver would take any.
template <typename Parameter>
bool fits(char kind, std::uint64_t size) {
  if (size != sizeof(Parameter)) return false;
  if (std::is_pointer_v<Parameter>) return kind == 'u';
  if (std::is_integral_v<Parameter>) return kind == (std::is_signed_v<Parameter> ? 'i' : 'u');
  if (std::is_floating_point_v<Parameter>) return kind == 'f';
  return true;
}

template <typename... Parameters>
std::string why_not(const Launch& launch, long long most_threads, void (*)(Parameters...)) {
  const int count = sizeof...(Parameters);
  if (launch.count != count) {
    return "the kernel takes " + std::to_string(count) + " arguments, got " +
           std::to_string(launch.count);
  }
  int place = 0;
  std::string wrong;
  const auto check = [&](bool right) {
    if (!right && wrong.empty()) {
      wrong = "argument " + std::to_string(place) + " isn't of its parameter's type, got kind '" +
              launch.kinds[place] + "' of " + std::to_string(launch.sizes[place]) + " bytes";
    }
    ++place;
  };
  (check(fits<Parameters>(launch.kinds[place], launch.sizes[place])), ...);
  if (!wrong.empty()) return wrong;
  const long long threads = 1ll * launch.block[0] * launch.block[1] * launch.block[2];
  if (threads > most_threads) {
    return "the kernel is for at most " + std::to_string(most_threads) + " threads per block, got " +
           std::to_string(threads);
  }
  return "";
}

template <auto kernel, typename... Parameters, std::size_t... places>
void call(void (*)(Parameters...), const void* const* values, std::index_sequence<places...>) {
  kernel(*static_cast<const Parameters*>(values[places])...);
}

template <auto kernel, typename... Parameters>
void body(const void* const* values) {
  call<kernel>(kernel, values, std::index_sequence_for<Parameters...>{});
}

template <auto kernel, typename... Parameters>
auto body_of(void (*)(Parameters...)) {
  return body<kernel, Parameters...>;
}

// Runs a kernel; returns null, or what went wrong. `most_threads` stands first in its mark.
template <auto kernel>
const char* run(const Launch& launch, long long most_threads, int = 0) {
  machine.error = why_not(launch, most_threads, kernel);
  if (!machine.error.empty()) return machine.error.c_str();
  const auto size_of = [](const unsigned int* n) { return dim3{n[0], n[1], n[2]}; };
  machine.grid = size_of(launch.grid);
  machine.block = size_of(launch.block);
  machine.order = static_cast<Order>(launch.order);
  machine.random = launch.seed;
  machine.body = body_of<kernel>(kernel);
  machine.arguments = launch.values;
  machine.fibers.resize(1ull * machine.block.x * machine.block.y * machine.block.z);
  machine.shared_size = launch.shared;
#if defined(__SANITIZE_ADDRESS__)
  const std::size_t shared_bytes = launch.shared;  // its own red zone lies behind it
#else
  const std::size_t shared_bytes = launch.shared + guard_size;
#endif
  machine.dynamic_shared =
      static_cast<unsigned char*>(::operator new(shared_bytes, std::align_val_t{128}));
  std::memset(machine.dynamic_shared, poison, shared_bytes);
  const std::size_t stack_bytes = machine.fibers.size() * stack_size;
  void* stacks = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED) {
    machine.error = "no memory for the stacks of " + std::to_string(machine.fibers.size()) + " threads";
  } else {
    machine.stacks = static_cast<char*>(stacks);
    run_grid();
    munmap(stacks, stack_bytes);
  }
  ::operator delete(machine.dynamic_shared, std::align_val_t{128});
  return machine.error.empty() ? nullptr : machine.error.c_str();
}

}  // namespace tfl_host
