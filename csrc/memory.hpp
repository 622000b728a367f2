// Memory for large arrays, kept for the next one of its size when it is freed.
//
// Fresh memory from the system costs a page fault for every 4 KiB, more than most operations on it;
// a training step asks for the same sizes again and again.
#pragma once

#include <cstddef>

namespace tfl {

// Blocks from this size on are the cache's; smaller ones are left to the next allocator.
constexpr std::size_t least_cached = std::size_t{1} << 15;
// Over the peak of what was in use: sizes that differ a little from one step to the next.
constexpr std::size_t cache_slack = std::size_t{1} << 23;

struct MemoryFigures {
  std::size_t used;    // bytes of blocks that are handed out
  std::size_t peak;    // the most that `used` has been since the last reset
  std::size_t cached;  // bytes of blocks that wait for their next use
  std::size_t hits;    // requests that a waiting block served
  std::size_t misses;  // requests that went to the system
};

// Returns a block of at least `size` bytes, aligned to 64; null where the system has none. `zeroed`
// says whether those must hold zeros; `*waited` tells whether the block was there. It takes what a
// block of `room` bytes takes, where that is more.
void* take_block(std::size_t size, bool zeroed, bool* waited = nullptr, std::size_t room = 0);
// Whether `pointer` is the cache's; if so the block is kept or given back.
bool give_block(void* pointer);
// The size of one of the cache's blocks; 0 for any other pointer.
std::size_t size_of_block(const void* pointer);

// What a block takes: sizes are rounded up, so that arrays of about one size share blocks.
std::size_t cached_size(std::size_t size);

MemoryFigures memory_figures();
void reset_peak();
// Gives every waiting block back to the system; `empty_cache` also what the C library keeps.
void release_waiting();
void empty_cache();
// At most so many bytes wait. Beyond that, used and waiting blocks together are held to the most
// that was ever in use at one time, so that the cache costs a process no memory.
void limit_cache(std::size_t bytes);

}  // namespace tfl
