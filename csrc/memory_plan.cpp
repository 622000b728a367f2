#include "memory_plan.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "memory.hpp"

namespace tfl {
namespace {

constexpr std::size_t alignment = 64;
// The time to find the places grows with the square of the number of blocks.
constexpr std::size_t most_blocks = 5000;
constexpr std::size_t most_traces = 4;
constexpr std::size_t unlike_before_trace = 2;

// In front of each block of an arena, in an alignment of its own.
struct Header {
  std::size_t number, size;
};

std::size_t room_of(std::size_t size) {
  return alignment + std::max(alignment, (size + alignment - 1) / alignment * alignment);
}

using Interval = std::pair<std::size_t, std::size_t>;

// Takes `cut` out of intervals, and returns whether it met any.
bool subtract(std::vector<Interval>& from, Interval cut) {
  std::vector<Interval> rest;
  bool met = false;
  for (const Interval& one : from) {
    if (cut.second <= one.first || one.second <= cut.first) {
      rest.push_back(one);
      continue;
    }
    met = true;
    if (one.first < cut.first) rest.emplace_back(one.first, cut.first);
    if (cut.second < one.second) rest.emplace_back(cut.second, one.second);
  }
  from.swap(rest);
  return met;
}

// One of the cache's blocks, and who has it when.
struct Shared {
  std::size_t size;
  std::vector<Interval> lives;

  bool is_free(Interval life) const {
    return std::none_of(lives.begin(), lives.end(), [&](const Interval& one) {
      return one.first < life.second && life.first < one.second;
    });
  }
};

// Puts large blocks that have no place into blocks of the cache, the largest first, each into one of
// at most so many halves of its own size; returns what to ask for. What lasts may be kept by itself
// after its run, and so takes no more than half as much again.
std::vector<std::size_t> shared_sizes(const std::vector<std::size_t>& order,
                                      const std::vector<BlockLife>& lives, std::size_t halves) {
  std::vector<std::size_t> asked;
  std::vector<Shared> shared;
  for (const std::size_t i : order) {
    const std::size_t size = cached_size(lives[i].size);
    const Interval life{lives[i].born, lives[i].gone};
    const std::size_t most = size / 2 * (lives[i].gone == never ? 3 : halves);
    Shared* best = nullptr;
    for (Shared& one : shared) {  // none is smaller
      if (one.size > most || (best && one.size >= best->size)) continue;
      if (one.is_free(life)) best = &one;
    }
    if (!best) {
      shared.push_back({size, {}});
      best = &shared.back();
    }
    best->lives.push_back(life);
    asked.push_back(best->size);
  }
  return asked;
}

// What the cache comes to hold, and whether each run allocates, since its bound is less than all.
struct Holding {
  bool allocates;
  std::size_t bytes;

  bool operator<(const Holding& other) const {
    return std::pair(allocates, bytes) < std::pair(other.allocates, other.bytes);
  }
};

// For blocks that ask for such sizes: of each as many as are there at one time, within the bound.
Holding held_for(const std::vector<std::size_t>& order, const std::vector<BlockLife>& lives,
                 const std::vector<std::size_t>& asked) {
  using Changes = std::map<std::size_t, std::ptrdiff_t>;  // by time
  const auto most_of = [](const Changes& changes) {
    std::ptrdiff_t now = 0, most = 0;
    for (const auto& [time, change] : changes) most = std::max(most, now += change);
    return static_cast<std::size_t>(most);
  };
  std::map<std::size_t, Changes> counts;  // by size
  Changes bytes;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const BlockLife& life = lives[order[k]];
    const std::size_t size = cached_size(asked[k]);
    for (Changes* changes : {&counts[size], &bytes}) {
      const auto amount = static_cast<std::ptrdiff_t>(changes == &bytes ? size : 1);
      (*changes)[life.born] += amount;
      (*changes)[life.gone] -= amount;
    }
  }
  std::size_t total = 0;
  for (const auto& [size, changes] : counts) total += size * most_of(changes);
  const std::size_t bound = most_of(bytes) + cache_slack;
  return {total > bound, std::min(total, bound)};
}

}  // namespace

Places places_of(const std::vector<BlockLife>& lives, bool keeps) {
  Places places;
  std::vector<PlannedBlock>& blocks = places.blocks;
  blocks.resize(lives.size());
  std::vector<std::size_t> order, cached;
  for (std::size_t i = 0; i < lives.size(); ++i) {
    const bool lasts = lives[i].gone == never;
    const bool placed = keeps || (!lasts && lives[i].size < least_cached);
    blocks[i] = {lives[i].size, lives[i].size, 0, lasts, placed, {}};
    if (lasts) places.lasting += lives[i].size;
    if (placed) order.push_back(i);
    else if (lives[i].size >= least_cached) cached.push_back(i);
  }
  // The largest first, each as low as it goes.
  const auto larger = [&](std::size_t one, std::size_t other) {
    return lives[one].size > lives[other].size;
  };
  std::stable_sort(order.begin(), order.end(), larger);
  std::stable_sort(cached.begin(), cached.end(), [&](std::size_t one, std::size_t other) {
    if (lives[one].size != lives[other].size) return larger(one, other);
    return lives[one].gone - lives[one].born > lives[other].gone - lives[other].born;
  });
  // What lasts is given back before the next run, so that its memory serves that one.
  std::vector<std::size_t> asked;
  for (const std::size_t i : cached) asked.push_back(lives[i].size);
  const Holding apart = held_for(cached, lives, asked);
  // A little more is worth it where no run allocates for that: fresh memory is slow.
  const std::size_t most = apart.bytes + (apart.allocates ? apart.bytes / 8 : 0);
  Holding least = apart;
  for (const std::size_t halves : {3, 4, 8, 1 << 16}) {
    std::vector<std::size_t> sizes = shared_sizes(cached, lives, halves);
    const Holding held = held_for(cached, lives, sizes);
    if (held.bytes > most || !(held < least)) continue;
    places.shares = true;
    least = held;
    asked.swap(sizes);
  }
  for (std::size_t k = 0; k < cached.size(); ++k) blocks[cached[k]].asked = asked[k];
  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t i : order) {
    const std::size_t born = blocks[i].lasts ? 0 : lives[i].born;
    const std::size_t room = room_of(lives[i].size);
    std::size_t offset = 0;
    for (const std::size_t j : placed) {
      const std::size_t other_born = blocks[j].lasts ? 0 : lives[j].born;
      if (lives[j].gone <= born || lives[i].gone <= other_born) continue;
      if (blocks[j].offset >= offset + room) break;
      offset = std::max(offset, blocks[j].offset + room_of(lives[j].size));
    }
    blocks[i].offset = offset;
    places.size = std::max(places.size, offset + room);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), offset,
                                   [&](std::size_t value, std::size_t j) {
                                     return value < blocks[j].offset;
                                   }),
                  i);
  }
  // Of those that lay there before only the last: it has had to wait for the others.
  for (std::size_t i = 0; i < lives.size(); ++i) {
    if (blocks[i].lasts || !blocks[i].placed) continue;
    std::vector<Interval> open{{blocks[i].offset, blocks[i].offset + room_of(lives[i].size)}};
    for (std::size_t j = i; j-- > 0 && !open.empty();) {
      if (blocks[j].lasts || !blocks[j].placed) continue;
      const Interval place{blocks[j].offset, blocks[j].offset + room_of(lives[j].size)};
      if (subtract(open, place)) blocks[i].before.push_back(j);
    }
  }
  return places;
}

// A stretch of memory that blocks are handed out from. It lives until the plan lets it go and the
// last of its blocks is given back.
class Arena {
 public:
  static Arena* make(const Places& places, bool keeps);

  bool holds(const void* pointer) const {
    const auto* place = static_cast<const char*>(pointer);
    return place >= start_ && place < start_ + size_;
  }
  bool is_free(std::size_t number) const { return live_[number].load() == 0; }
  void* hand_out(std::size_t number, const PlannedBlock& block) {
    if (!block.lasts) write_header(number, block);
    live_[number].fetch_add(1);
    references_.fetch_add(1);
    return start_ + block.offset + alignment;
  }
  void take_back(void* pointer) {
    live_[header(pointer).number].fetch_sub(1);
    let_go();
  }
  std::size_t size_of(const void* pointer) const { return header(pointer).size; }
  void let_go() {
    if (references_.fetch_sub(1) == 1) destroy();
  }

 private:
  Arena(char* start, std::size_t size, std::size_t blocks)
      : start_(start), size_(size), live_(blocks) {}
  void write_header(std::size_t number, const PlannedBlock& block) {
    *reinterpret_cast<Header*>(start_ + block.offset) = {number, block.size};
  }
  static const Header& header(const void* pointer) {
    return *reinterpret_cast<const Header*>(static_cast<const char*>(pointer) - alignment);
  }
  void destroy();

  char* const start_;
  const std::size_t size_;
  std::vector<std::atomic<std::uint32_t>> live_;  // how many arrays hold each block
  std::atomic<std::size_t> references_{1};        // the plan's, and one for each of those
};

namespace {

// All arenas, by their first address. Never destroyed: arrays are freed until the process ends.
struct Arenas {
  std::mutex mutex;
  std::map<const char*, Arena*> by_start;
  std::atomic<std::size_t> count{0};
};

Arenas& arenas() {
  static Arenas* const all = new Arenas;
  return *all;
}

// What serves a thread between `begin` and `end`.
struct Run {
  MemoryPlan* plan = nullptr;
  Arena* arena = nullptr;
  std::shared_ptr<const Places> places;
  std::size_t requests = 0, fresh = 0;
  bool traces = false;
  bool unlike = false;  // to the run that was written down
  std::size_t clock = 0;
  std::vector<BlockLife> lives;
  std::unordered_map<void*, std::size_t> numbers;
};

thread_local Run run;

Arena* arena_of(const void* pointer) {
  if (run.arena && run.arena->holds(pointer)) return run.arena;
  Arenas& all = arenas();
  if (all.count.load() == 0) return nullptr;
  const std::lock_guard<std::mutex> lock(all.mutex);
  auto found = all.by_start.upper_bound(static_cast<const char*>(pointer));
  if (found == all.by_start.begin()) return nullptr;
  --found;
  return found->second->holds(pointer) ? found->second : nullptr;
}

}  // namespace

Arena* Arena::make(const Places& places, bool keeps) {
  auto* start = static_cast<char*>(take_block(places.size, false));
  if (!start) return nullptr;
  Arena* arena = nullptr;
  try {
    arena = new Arena(start, places.size, places.blocks.size());
    const std::lock_guard<std::mutex> lock(arenas().mutex);
    arenas().by_start[start] = arena;
  } catch (const std::bad_alloc&) {
    delete arena;
    give_block(start);
    return nullptr;
  }
  arenas().count.fetch_add(1);
  // Of blocks that last here: they are handed out while an array of the last run may hold them.
  for (std::size_t i = 0; keeps && i < places.blocks.size(); ++i) {
    if (places.blocks[i].lasts) arena->write_header(i, places.blocks[i]);
  }
  return arena;
}

void Arena::destroy() {
  {
    Arenas& all = arenas();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.by_start.erase(start_);
    all.count.fetch_sub(1);
  }
  give_block(start_);
  delete this;
}

MemoryPlan::~MemoryPlan() {
  drop_arena();
}

bool MemoryPlan::begin() {
  if (run.plan) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (keeps_ && running_) return false;
  if (rests_) release_waiting();  // blocks of sizes that nobody will ask for
  rests_ = false;
  Arena* arena = nullptr;
  if (places_ && places_->size > 0) {
    arena = held_ ? held_ : Arena::make(*places_, keeps_);
    if (!arena) return false;
    if (keeps_) held_ = arena;
  }
  run.plan = this;
  run.arena = arena;
  run.places = places_;
  run.traces = !places_;
  run.requests = run.fresh = run.clock = 0;
  run.unlike = false;
  running_ = true;
  return true;
}

void MemoryPlan::end() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  running_ = false;
  requests_ = run.requests;
  fresh_ = run.fresh;
  run.plan = nullptr;
  if (run.traces) write_down();
  unlike_ = run.unlike ? unlike_ + 1 : 0;
  if (unlike_ >= unlike_before_trace && traced_ < most_traces) {
    unlike_ = 0;
    places_.reset();
    drop_arena();
  }
  if (held_ && left_over()) drop_arena();
  if (run.arena && !keeps_) run.arena->let_go();
  run.arena = nullptr;
  run.places.reset();
}

// Makes the places, of a run in which this thread has asked for any.
void MemoryPlan::write_down() {
  try {
    if (run.lives.size() > most_blocks) run.lives.clear();
    if (run.requests > 0) {
      places_ = std::make_shared<const Places>(places_of(run.lives, keeps_));
      ++traced_;
      rests_ = places_->shares;
    }
  } catch (const std::bad_alloc&) {
    places_.reset();
  }
  run.lives.clear();
  run.numbers.clear();
}

// Whether the run has left in the arena what the next one would write over, or may have: what holds
// an exception's frames, or came in between, such as a signal's handler.
bool MemoryPlan::left_over() const {
  if (run.unlike || run.requests != places_->blocks.size()) return true;
  for (std::size_t i = 0; i < places_->blocks.size(); ++i) {
    if (!places_->blocks[i].lasts && !held_->is_free(i)) return true;
  }
  return false;
}

void MemoryPlan::drop_arena() {
  if (held_) held_->let_go();
  held_ = nullptr;
}

PlanFigures MemoryPlan::figures() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool known = places_ != nullptr;
  return {known ? places_->size : 0, known ? places_->lasting : 0, requests_, fresh_, traced_};
}

bool plan_serves() { return run.plan != nullptr; }

void* take_planned(std::size_t size, bool zeroed, std::size_t* asked) {
  const std::size_t number = run.requests++;
  *asked = size;
  if (!run.traces && !run.unlike) {
    const std::vector<PlannedBlock>& blocks = run.places->blocks;
    run.unlike = number >= blocks.size() || blocks[number].size != size;
    if (!run.unlike) *asked = blocks[number].asked;
    if (!run.unlike && blocks[number].placed) {
      for (const std::size_t before : blocks[number].before)
        run.unlike = run.unlike || !run.arena->is_free(before);
      if (!run.unlike) {
        void* place = run.arena->hand_out(number, blocks[number]);
        if (zeroed) std::memset(place, 0, size);
        return place;
      }
    }
  }
  return nullptr;
}

void note_taken(void* pointer, std::size_t size, bool fresh) {
  if (fresh) ++run.fresh;
  if (!run.traces || !pointer) return;
  try {
    run.numbers[pointer] = run.lives.size();
    run.lives.push_back({size, run.clock++, never});
  } catch (const std::bad_alloc&) {
    run.numbers.erase(pointer);
  }
}

bool give_planned(void* pointer) {
  Arena* arena = arena_of(pointer);
  if (!arena) return false;
  arena->take_back(pointer);
  return true;
}

void note_given(void* pointer) {
  if (!run.traces) return;
  const auto found = run.numbers.find(pointer);
  if (found == run.numbers.end()) return;
  run.lives[found->second].gone = run.clock++;
  run.numbers.erase(found);
}

std::size_t size_of_planned(const void* pointer) {
  const Arena* arena = arena_of(pointer);
  return arena ? arena->size_of(pointer) : 0;
}

}  // namespace tfl
