// The scheduler of fibers.hpp: it lets fibers run that can, and opens what all have reached.
#include "fibers.hpp"

#include <link.h>
#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

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
#error "kernels/host/fibers.cpp: tfl_host_switch must be written for this processor (x86-64 has it)"
#endif

namespace tfl_host {

Machine machine;

namespace {

constexpr int saved_registers = 6;
constexpr unsigned char poison = 0xff;
// Far more than the registers and local memory of a kernel that doesn't spill.
constexpr std::size_t stack_size = 128 << 10;
// Bytes of poison after dynamic shared memory, which must still be poison after the block.
// AddressSanitizer has a red zone of its own there.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t guard_size = 0;
#else
constexpr std::size_t guard_size = 4096;
#endif
constexpr std::align_val_t shared_alignment{128};

std::string error;

std::string text_of(Place place) {
  return std::string(place.file) + ":" + std::to_string(place.line);
}

std::string text_of(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

std::string where(const Fiber& fiber) {
  return std::string(fiber.operation) + " at " + text_of(fiber.place);
}

void leave(State state, const char* operation, Place place) {
  Fiber& me = current();
  me.state = state;
  me.operation = operation;
  me.place = place;
  tfl_host_switch(&me.stack_pointer, machine.scheduler);
}

void run_fiber() {
  machine.body(machine.values);
  --machine.live;
  leave(State::done, "return", {"", 0});
  __builtin_trap();
}

// ---- copies that are made later

struct Copy {
  void* to;
  const void* from;
  int bytes, valid;
};

// Of one fiber: what it asked for, and where its groups end.
struct Copies {
  std::vector<Copy> asked;
  std::vector<std::size_t> ends;
};

std::vector<Copies> copies;

void make(const Copy& copy) {
  std::memcpy(copy.to, copy.from, copy.valid);
  std::memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

void check_copies() {
  for (const Copies& one : copies) {
    if (!one.asked.empty()) error = "a thread has returned without waiting for its copies";
  }
}

// ---- orders

std::uint32_t next_random() {
  machine.random = machine.random * 1664525u + 1013904223u;
  return machine.random >> 8;
}

void arrange(std::vector<long long>& places) {
  const long long count = static_cast<long long>(places.size());
  for (long long i = 0; i < count; ++i) {
    places[i] = machine.order == Order::descending ? count - 1 - i : i;
  }
  if (machine.order != Order::shuffled) return;
  for (long long i = count - 1; i > 0; --i) std::swap(places[i], places[next_random() % (i + 1)]);
}

// ---- warp operations

// Why a lane can't take part in what another one asks for; "" where it can, or is still to come.
std::string why_no_meeting(int place, const Fiber& asking) {
  const std::string name = "lane " + std::to_string(place % warp_size);
  if (place >= machine.count) return "the mask names " + name + ", which doesn't exist";
  const Fiber& other = machine.fibers[place];
  if (other.state == State::done) return "the mask names " + name + ", which has returned";
  if (other.state != State::at_warp_operation) return "";
  if (std::strcmp(other.operation, asking.operation) != 0 ||
      other.place.line != asking.place.line) {
    return name + " is at " + where(other);
  }
  return other.mask == asking.mask ? "" : "the lanes name different masks";
}

// Gives the lanes of a mask what they asked for, once all of them are there.
bool open_warp(int place) {
  const Fiber& asking = machine.fibers[place];
  const unsigned int mask = asking.mask;
  const int first = place / warp_size * warp_size;
  unsigned int ballot = 0;
  bool complete = true;
  for (int k = 0; k < warp_size; ++k) {
    if (!(mask >> k & 1u)) continue;
    const std::string reason = why_no_meeting(first + k, asking);
    if (!reason.empty()) {
      error = where(asking) + ": " + reason;
      return false;
    }
    complete = complete && machine.fibers[first + k].state == State::at_warp_operation;
    if (machine.fibers[first + k].given) ballot |= 1u << k;
  }
  if (!complete) return false;
  for (int k = 0; k < warp_size; ++k) {
    if (!(mask >> k & 1u)) continue;
    Fiber& fiber = machine.fibers[first + k];
    const bool inside = mask >> fiber.source & 1u;
    std::memset(&fiber.taken, poison, sizeof fiber.taken);
    if (inside) fiber.taken = machine.fibers[first + fiber.source].given;
    fiber.ballot = ballot;
    fiber.state = State::runnable;
  }
  return true;
}

// Lets a warp go on until it has to wait for others. A warp that is far ahead of the rest shows a
// missing barrier best; the shuffled order also stops in between.
bool run_warp(int first, std::vector<long long>& lanes) {
  bool ran = false;
  bool again = true;
  while (again) {
    again = false;
    arrange(lanes);
    for (const long long lane : lanes) {
      const int place = first + static_cast<int>(lane);
      if (place >= machine.count || machine.fibers[place].state != State::runnable) continue;
      machine.current = place;
      tfl_host_switch(&machine.scheduler, machine.fibers[place].stack_pointer);
      if (!error.empty()) return true;
      again = true;
    }
    for (int i = first; i < first + warp_size && i < machine.count && error.empty(); ++i) {
      if (machine.fibers[i].state == State::at_warp_operation) again |= open_warp(i);
    }
    ran |= again;
    if (!error.empty() || (machine.order == Order::shuffled && next_random() % 4 == 0)) break;
  }
  return ran;
}

// ---- the block's barrier

bool open_barrier() {
  const Fiber* first = nullptr;
  for (int i = 0; i < machine.count; ++i) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state == State::runnable || fiber.state == State::at_warp_operation) return false;
    if (fiber.state == State::done) continue;
    if (!first) first = &fiber;
    if (fiber.place.line != first->place.line) {
      error = "divergent barrier: some threads are at " + where(*first) + ", others at " +
              where(fiber);
      return false;
    }
  }
  if (!first) return false;
  if (machine.live != machine.count) {
    error = "divergent barrier: " + where(*first) + " waits for threads that have returned";
    return false;
  }
  for (int i = 0; i < machine.count; ++i) machine.fibers[i].state = State::runnable;
  return true;
}

std::string deadlock() {
  std::string text = "deadlock: threads wait for others that don't come:";
  for (int i = 0; i < machine.count; ++i) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state == State::done) continue;
    const std::string one = " " + where(fiber) + ";";
    if (text.find(one) == std::string::npos) text += one;
  }
  return text;
}

// ---- shared memory

// Makes the library's thread-local memory exist before it is poisoned.
thread_local volatile char thread_local_begin;

// The static shared memory of kernels is the thread-local memory of this library (cuda_host.hpp).
int poison_thread_local(dl_phdr_info* object, std::size_t, void* inside) {
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

void poison_shared() {
  thread_local_begin = 0;
  dl_iterate_phdr(poison_thread_local, &machine);
  std::memset(machine.dynamic_shared, poison, machine.shared_size);
}

void check_guard() {
  const unsigned char* guard = machine.dynamic_shared + machine.shared_size;
  for (std::size_t i = 0; i < guard_size; ++i) {
    if (guard[i] == poison) continue;
    error = "dynamic shared memory of " + std::to_string(machine.shared_size) +
            " bytes was written to past its end, at byte " +
            std::to_string(machine.shared_size + i);
    return;
  }
}

// ---- blocks

void start_fibers() {
  const dim3& size = machine.block;
  for (int i = 0; i < machine.count; ++i) {
    const auto n = static_cast<unsigned int>(i);
    Fiber& fiber = machine.fibers[i];
    fiber = Fiber{};
    fiber.thread = {n % size.x, n / size.x % size.y, n / (size.x * size.y)};
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
  machine.live = machine.count;
  copies.assign(machine.count, Copies{});
}

void run_block(std::vector<long long>& warps, std::vector<long long>& lanes) {
  poison_shared();
  start_fibers();
  while (machine.live && error.empty()) {
    bool ran = false;
    arrange(warps);
    for (const long long warp : warps) {
      ran |= run_warp(static_cast<int>(warp) * warp_size, lanes);
      if (!error.empty()) return;
    }
    ran |= open_barrier();
    if (error.empty() && !ran && machine.live) error = deadlock();
  }
}

void run_grid() {
  const dim3& size = machine.grid;
  std::vector<long long> blocks(static_cast<std::size_t>(size.x) * size.y * size.z);
  std::vector<long long> warps((machine.count + warp_size - 1) / warp_size);
  std::vector<long long> lanes(warp_size);
  arrange(blocks);
  for (const long long block : blocks) {
    const auto i = static_cast<unsigned int>(block);
    machine.block_index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    run_block(warps, lanes);
    if (error.empty()) check_guard();
    if (error.empty()) check_copies();
    if (!error.empty()) return;
  }
}

// ---- a launch

// Whether an argument's bytes can be those of a parameter: a GPU's driver would take any.
bool fits(const Parameter& parameter, char kind, std::uint64_t size) {
  if (size != parameter.size) return false;
  switch (parameter.kind) {
    case Kind::pointer:
    case Kind::unsigned_integer:
      return kind == 'u';
    case Kind::signed_integer:
      return kind == 'i';
    case Kind::floating:
      return kind == 'f';
    default:
      return true;
  }
}

std::string why_not(const Launch& launch, const Parameter* parameters, int count,
                    long long most_threads) {
  if (launch.count != count) {
    return "the kernel takes " + std::to_string(count) + " arguments, got " +
           std::to_string(launch.count);
  }
  std::uint64_t end = 0;
  for (int i = 0; i < count; ++i) {
    const Parameter& parameter = parameters[i];
    const std::string name = "argument " + std::to_string(i);
    if (!fits(parameter, launch.kinds[i], launch.sizes[i])) {
      return name + " isn't of its parameter's type, got kind '" + launch.kinds[i] + "' of " +
             std::to_string(launch.sizes[i]) + " bytes";
    }
    // A kernel's parameters lie as those of a C structure.
    const std::uint64_t begin = (end + parameter.alignment - 1) / parameter.alignment *
                                parameter.alignment;
    const std::uint64_t got = static_cast<const char*>(launch.values[i]) -
                              static_cast<const char*>(launch.values[0]);
    if (got != begin) {
      return name + " must lie at byte " + std::to_string(begin) + ", got " + std::to_string(got);
    }
    end = begin + parameter.size;
  }
  const long long threads = 1ll * launch.block[0] * launch.block[1] * launch.block[2];
  if (threads > most_threads) {
    return "the kernel is for at most " + std::to_string(most_threads) +
           " threads per block, got " + std::to_string(threads);
  }
  return "";
}

}  // namespace

void fail(const char* format, ...) {
  char text[1024];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  error = std::string(text) + " [thread " + text_of(current().thread) + " of block " +
          text_of(machine.block_index) + "]";
  tfl_host_switch(&current().stack_pointer, machine.scheduler);
  __builtin_trap();
}

void meet_block(const char* operation, Place place) { leave(State::at_barrier, operation, place); }

void meet_warp(unsigned int mask, std::uint64_t given, int source, const char* operation,
               Place place) {
  if (!(mask >> lane() & 1u)) {
    fail("%s at %s:%d: the caller isn't in its own mask", operation, place.file, place.line);
  }
  Fiber& me = current();
  me.mask = mask;
  me.given = given;
  me.source = source;
  leave(State::at_warp_operation, operation, place);
}

void copy_later(void* to, const void* from, int bytes, int valid) {
  const auto off = reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from);
  if (valid && off % bytes) fail("a copy of %d bytes must begin at multiples of %d", bytes, bytes);
  if (valid < 0 || valid > bytes) fail("a copy of %d bytes can't have %d", bytes, valid);
  copies[machine.current].asked.push_back({to, from, bytes, valid});
}

void commit_copies() {
  Copies& mine = copies[machine.current];
  mine.ends.push_back(mine.asked.size());
}

void wait_for_copies(int groups) {
  Copies& mine = copies[machine.current];
  const std::size_t count = mine.ends.size();
  if (count <= static_cast<std::size_t>(groups)) return;
  const std::size_t done = mine.ends[count - 1 - groups];
  for (std::size_t i = 0; i < done; ++i) make(mine.asked[i]);
  mine.asked.erase(mine.asked.begin(), mine.asked.begin() + done);
  mine.ends.erase(mine.ends.begin(), mine.ends.end() - groups);
  for (std::size_t& end : mine.ends) end -= done;
}

const char* run(const Launch& launch, Body body, const Parameter* parameters, int count,
                long long most_threads) {
  error = why_not(launch, parameters, count, most_threads);
  if (!error.empty()) return error.c_str();
  machine.grid = {launch.grid[0], launch.grid[1], launch.grid[2]};
  machine.block = {launch.block[0], launch.block[1], launch.block[2]};
  machine.order = static_cast<Order>(launch.order);
  machine.random = launch.seed;
  machine.body = body;
  machine.values = launch.values;
  std::vector<Fiber> fibers(1ull * machine.block.x * machine.block.y * machine.block.z);
  machine.fibers = fibers.data();
  machine.count = static_cast<int>(fibers.size());
  machine.shared_size = launch.shared;
  const std::size_t shared_bytes = launch.shared + guard_size;
  void* shared = ::operator new(shared_bytes, shared_alignment);
  machine.dynamic_shared = static_cast<unsigned char*>(shared);
  std::memset(machine.dynamic_shared, poison, shared_bytes);
  const std::size_t stack_bytes = fibers.size() * stack_size;
  void* stacks = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED) {
    error = "no memory for the stacks of " + std::to_string(fibers.size()) + " threads";
  } else {
    machine.stacks = static_cast<char*>(stacks);
    run_grid();
    munmap(stacks, stack_bytes);
  }
  ::operator delete(machine.dynamic_shared, shared_alignment);
  return error.empty() ? nullptr : error.c_str();
}

}  // namespace tfl_host
