#include "memory.hpp"

#ifdef __linux__
#include <malloc.h>
#endif
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace tfl {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t huge_page = std::size_t{1} << 21;

// To an eighth of the power of two below.
std::size_t rounded(std::size_t size) {
  std::size_t step = page;
  while (step * 16 <= size) step *= 2;
  return (size + step - 1) / step * step;
}

class Cache {
 public:
  void* take(std::size_t wanted, bool zeroed, bool* waited, std::size_t room) {
    if (wanted > SIZE_MAX / 4) return nullptr;
    const std::size_t size = rounded(std::max(wanted, room));
    std::unique_lock<std::mutex> lock(mutex_);
    const auto found = waiting_.find(size);
    if (found != waiting_.end() && !found->second.empty()) {
      void* pointer = found->second.back()->pointer;
      forget(found->second.back());
      ++figures_.hits;
      hand_out(pointer, size);
      lock.unlock();
      if (waited) *waited = true;
      if (zeroed) std::memset(pointer, 0, wanted);
      return pointer;
    }
    ++figures_.misses;
    make_room(size);
    const std::size_t filled = zeroed ? 0 : wanted;
    void* pointer = map(size, filled);
    if (!pointer) {
      shrink(0, 0);
      pointer = map(size, filled);
    }
    if (!pointer) return nullptr;
    if (waited) *waited = false;
    hand_out(pointer, size);
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    if (address < lowest_.load()) lowest_.store(address);
    if (address > highest_.load()) highest_.store(address);
    return pointer;
  }

  bool give(void* pointer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = blocks_.find(pointer);
    if (found == blocks_.end()) return false;
    const std::size_t size = found->second;
    blocks_.erase(found);
    figures_.used -= size;
    figures_.cached += size;
    by_age_.push_back({pointer, size});
    waiting_[size].push_back(std::prev(by_age_.end()));
    shrink(limit_, most_used_ + cache_slack);
    return true;
  }

  std::size_t size_of(const void* pointer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = blocks_.find(const_cast<void*>(pointer));
    return found == blocks_.end() ? 0 : found->second;
  }

  // Whether a pointer can be a block at all; small arrays lie elsewhere.
  bool may_hold(const void* pointer) const {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    return address >= lowest_.load() && address <= highest_.load();
  }

  MemoryFigures figures() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return figures_;
  }

  void reset_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    figures_.peak = figures_.used;
  }

  void empty() {
    const std::lock_guard<std::mutex> lock(mutex_);
    shrink(0, 0);
    most_used_ = figures_.used;
  }

  void limit(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    limit_ = bytes;
    shrink(limit_, most_used_ + cache_slack);
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  struct Waiting {
    void* pointer;
    std::size_t size;
  };
  using Place = std::list<Waiting>::iterator;

  // Memory of which `filled` bytes will be written: one call for their pages takes half the time of
  // a fault for each.
  static void* map(std::size_t size, std::size_t filled) {
    const bool large = size >= 2 * huge_page;
    const std::size_t room = large ? size + huge_page : size;
    void* got = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) return nullptr;
#if defined(MADV_POPULATE_WRITE)
    if (!large && filled > 0) madvise(got, filled, MADV_POPULATE_WRITE);
#endif
    if (!large) return got;
    const auto start = reinterpret_cast<std::uintptr_t>(got);
    const std::uintptr_t aligned = (start + huge_page - 1) / huge_page * huge_page;
    if (aligned > start) munmap(got, aligned - start);
    const std::size_t behind = start + room - (aligned + size);
    if (behind > 0) munmap(reinterpret_cast<void*>(aligned + size), behind);
#if defined(MADV_HUGEPAGE)
    madvise(reinterpret_cast<void*>(aligned), size, MADV_HUGEPAGE);
#endif
    return reinterpret_cast<void*>(aligned);
  }

  void hand_out(void* pointer, std::size_t size) {
    blocks_[pointer] = size;
    figures_.used += size;
    figures_.peak = std::max(figures_.peak, figures_.used);
    most_used_ = std::max(most_used_, figures_.used);
  }

  // Before fresh memory for a block of `size`: together with it the bound holds, too.
  void make_room(std::size_t size) {
    const std::size_t most = std::max(most_used_, figures_.used + size) + cache_slack;
    shrink(limit_, most - size);
  }

  void forget(Place place) {
    std::vector<Place>& same = waiting_[place->size];
    if (same.back() == place) {  // the youngest, which serves a request
      same.pop_back();
    } else {
      same.erase(std::find(same.begin(), same.end(), place));
    }
    figures_.cached -= place->size;
    by_age_.erase(place);
  }

  // Gives the oldest blocks back until both bounds hold.
  void shrink(std::size_t most_cached, std::size_t most_together) {
    while (!by_age_.empty() && (figures_.cached > most_cached ||
                                figures_.used + figures_.cached > most_together)) {
      const Waiting oldest = by_age_.front();
      forget(by_age_.begin());
      munmap(oldest.pointer, oldest.size);
    }
  }

  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> blocks_;  // those in use
  std::unordered_map<std::size_t, std::vector<Place>> waiting_;
  std::list<Waiting> by_age_;
  std::atomic<std::uintptr_t> lowest_{UINTPTR_MAX}, highest_{0};  // of all blocks there ever were
  std::size_t most_used_ = 0;
  std::size_t limit_ = SIZE_MAX;
  MemoryFigures figures_{};
};

// Never destroyed: arrays are freed until the process ends.
Cache& cache() {
  static Cache* const one = [] {
    static Cache* made = new Cache;
    pthread_atfork([] { made->lock(); }, [] { made->unlock(); }, [] { made->unlock(); });
    return made;
  }();
  return *one;
}

}  // namespace

void* take_block(std::size_t size, bool zeroed, bool* waited, std::size_t room) {
  return cache().take(size, zeroed, waited, room);
}
bool give_block(void* pointer) { return cache().may_hold(pointer) && cache().give(pointer); }
std::size_t size_of_block(const void* pointer) {
  return cache().may_hold(pointer) ? cache().size_of(pointer) : 0;
}
MemoryFigures memory_figures() { return cache().figures(); }
void reset_peak() { cache().reset_peak(); }
std::size_t cached_size(std::size_t size) { return rounded(size); }
void release_waiting() { cache().empty(); }
void empty_cache() {
  release_waiting();
#ifdef __GLIBC__
  malloc_trim(0);  // small arrays' memory, which the C library keeps
#endif
}
void limit_cache(std::size_t bytes) { cache().limit(bytes); }

}  // namespace tfl
