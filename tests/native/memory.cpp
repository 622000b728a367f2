#include "memory.hpp"

#include <atomic>
#include <mutex>
#include <thread>

#include "checks.hpp"

namespace check {
namespace {

using tfl::empty_cache;
using tfl::give_block;
using tfl::least_cached;
using tfl::limit_cache;
using tfl::memory_figures;
using tfl::MemoryFigures;
using tfl::reset_peak;
using tfl::size_of_block;
using tfl::take_block;

constexpr std::size_t sizes[] = {1,       4095,      4096,          4097,         least_cached,
                                 100'003, 1 << 20,   (1 << 21) + 1, 5 << 20,      9'999'999};

bool all_are(const unsigned char* block, std::size_t size, unsigned char value) {
  for (std::size_t i = 0; i < size; i += i + 64 < size && size > 10000 ? 61 : 1) {
    if (block[i] != value) return false;
  }
  return true;
}

TFL_CHECK(blocks_hold_what_was_asked) {
  for (const std::size_t size : sizes) {
    const Note note(size, " bytes");
    for (int turn = 0; turn < 2; ++turn) {  // fresh memory, then a block that waited
      auto* block = static_cast<unsigned char*>(take_block(size, true));
      EXPECT(reinterpret_cast<std::uintptr_t>(block) % 64 == 0, "alignment");
      EXPECT(size_of_block(block) >= size, "size");
      EXPECT(all_are(block, size, 0), "zeros");
      std::memset(block, 0xA5, size_of_block(block));
      EXPECT(give_block(block) && size_of_block(block) == 0, "given back");
      EXPECT(!give_block(block), "twice");
    }
  }
  empty_cache();
}

TFL_CHECK(a_small_block_in_the_room_of_a_large_one) {
  constexpr std::size_t room = 1 << 20, size = 40'000;
  void* large = take_block(room, false);
  std::memset(large, 0xA5, room);
  give_block(large);
  auto* block = static_cast<unsigned char*>(take_block(size, true, nullptr, room));
  EXPECT(block == large && size_of_block(block) == room, "the block that waited");
  EXPECT(all_are(block, size, 0), "zeros");
  EXPECT(all_are(block + size, room - size, 0xA5), "no more zeros than were asked for");
  give_block(block);
  EXPECT(take_block(room, false, nullptr, size) == block, "room for less");
  give_block(block);
}

TFL_CHECK(other_pointers_are_nobodys) {
  int here = 0;
  void* block = take_block(1 << 20, false);
  EXPECT(!give_block(&here) && size_of_block(&here) == 0, "a local");
  EXPECT(!give_block(nullptr) && size_of_block(nullptr) == 0, "null");
  EXPECT(!give_block(static_cast<char*>(block) + 64), "inside a block");
  EXPECT(give_block(block), "the block");
}

TFL_CHECK(sizes_that_no_system_has) {
  const MemoryFigures before = memory_figures();
  for (const std::size_t size : {~std::size_t{0}, std::size_t{1} << 63, std::size_t{1} << 60})
    EXPECT(take_block(size, false) == nullptr, size, " bytes");
  EXPECT(memory_figures().used == before.used, "used");
}

TFL_CHECK(figures) {
  empty_cache();
  const std::size_t used = memory_figures().used;
  reset_peak();
  void* one = take_block(1 << 20, false);
  void* two = take_block(1 << 20, false);
  EXPECT(memory_figures().used == used + (2 << 20), "used");
  give_block(one);
  EXPECT(memory_figures().used == used + (1 << 20), "used after one");
  EXPECT(memory_figures().cached == 1 << 20, "cached");
  EXPECT(memory_figures().peak == used + (2 << 20), "peak");
  const std::size_t hits = memory_figures().hits;
  EXPECT(take_block(1 << 20, false) == one && memory_figures().hits == hits + 1, "hit");
  give_block(one);
  give_block(two);
  limit_cache(1 << 20);
  EXPECT(memory_figures().cached == 1 << 20, "limited");
  limit_cache(~std::size_t{0});
  empty_cache();
  EXPECT(memory_figures().cached == 0 && memory_figures().used == used, "emptied");
}

// Blocks that went from one thread to another.
class Exchange {
 public:
  struct Block {
    unsigned char* place;
    std::size_t size;
    unsigned char value;
  };
  void put(Block block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_.push_back(block);
  }
  bool get(Block* block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (blocks_.empty()) return false;
    *block = blocks_.front();
    blocks_.erase(blocks_.begin());
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;
};

// Takes a block, fills it, and now and then hands it to another thread; gives back what it gets.
int work(Exchange& exchange, unsigned seed, int turns) {
  std::mt19937 bits(seed);
  int wrong = 0;
  for (int i = 0; i < turns; ++i) {
    const std::size_t size = least_cached + bits() % 200'000;
    const bool zeroed = bits() % 4 == 0;
    auto* place = static_cast<unsigned char*>(take_block(size, zeroed));
    if (zeroed && !all_are(place, size, 0)) ++wrong;
    const auto value = static_cast<unsigned char>(bits());
    std::memset(place, value, size);
    exchange.put({place, size, value});
    Exchange::Block got;
    if (bits() % 3 != 0 && exchange.get(&got)) {
      if (!all_are(got.place, got.size, got.value) || size_of_block(got.place) < got.size) ++wrong;
      if (!give_block(got.place)) ++wrong;
    }
    if (bits() % 50 == 0) empty_cache();
    if (bits() % 20 == 0 && memory_figures().used == 0) ++wrong;
  }
  return wrong;
}

TFL_CHECK(several_threads_take_and_give) {
  empty_cache();
  const std::size_t used = memory_figures().used;
  Exchange exchange;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] { wrong += work(exchange, t, slow ? 100 : 400); });
  for (std::thread& thread : threads) thread.join();
  EXPECT(wrong.load() == 0, wrong.load(), " wrong");
  Exchange::Block rest;
  while (exchange.get(&rest)) EXPECT(give_block(rest.place), "the rest");
  EXPECT(memory_figures().used == used, "used");
  empty_cache();
  EXPECT(memory_figures().cached == 0, "cached");
}

}  // namespace
}  // namespace check
