// Memory for work that asks for the same blocks in the same order every time, as a replay does.
//
// The first run is written down: which sizes are asked for, and when each block is given back. From
// that every block gets a place in one arena, over blocks that are given back before it is asked
// for; the next runs hand the places out. Nothing relies on runs being alike: a request of another
// size, or one whose place isn't free yet, is left to the next allocator, with all that follow.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace tfl {

struct PlanFigures {
  std::size_t arena;     // bytes of the arena
  std::size_t lasting;   // bytes of the blocks that outlive a run
  std::size_t requests;  // of the last run
  std::size_t fresh;     // those of them that got memory which neither was planned nor waited
  std::size_t traced;    // how many runs were written down
};

struct PlannedBlock {
  std::size_t size;
  std::size_t asked;  // of the next allocator, where it has no place
  std::size_t offset;
  bool lasts;   // is never given back
  bool placed;  // has a place
  std::vector<std::size_t> before;  // blocks whose places it takes: they must be free by then
};

// When blocks are asked for and given back, counted in requests of either kind.
struct BlockLife {
  std::size_t size, born, gone;
};
constexpr std::size_t never = ~std::size_t{0};

struct Places {
  std::vector<PlannedBlock> blocks;
  std::size_t size = 0;     // of the arena
  std::size_t lasting = 0;  // bytes that are never given back
  bool shares = false;      // whether large blocks share the cache's
};

// Returns places such that blocks that live at one time lie apart. Where `keeps`, every block has
// one, and those that are never given back for themselves. Else only small blocks have that are
// given back: for large ones the cache's blocks are as quick, and the memory that one of them leaves
// serves the next, where an arena has to be there for the whole run. Of the cache a large block asks
// for the size of one that is free by then, where the cache holds less for that; or no more than an
// eighth more, where each run would else allocate some anew.
Places places_of(const std::vector<BlockLife>& lives, bool keeps);

class Arena;

class MemoryPlan {
 public:
  // `keeps`: all blocks have places, the same in every run, also those that outlive it, and the
  // arena is held between runs.
  explicit MemoryPlan(bool keeps) : keeps_(keeps) {}
  ~MemoryPlan();
  MemoryPlan(const MemoryPlan&) = delete;
  MemoryPlan& operator=(const MemoryPlan&) = delete;

  // From `begin` to `end`, on one thread, what it asks for is the plan's. False where it can't be:
  // another plan serves the thread, another thread runs a plan that keeps its blocks, or there is
  // no memory. Then there is no `end`. `end` may come while an exception is on its way.
  bool begin();
  void end() noexcept;
  PlanFigures figures();

 private:
  void write_down();
  bool left_over() const;
  void drop_arena();

  const bool keeps_;
  std::mutex mutex_;
  bool running_ = false;
  bool rests_ = false;  // whether blocks wait that only runs before the plan asked for
  std::shared_ptr<const Places> places_;
  std::size_t traced_ = 0, unlike_ = 0, requests_ = 0, fresh_ = 0;
  Arena* held_ = nullptr;
};

// What the handler of NumPy's memory asks.
bool plan_serves();                                 // whether a plan serves this thread
// Null: the next allocator is to serve, and to be asked for `*asked` bytes.
void* take_planned(std::size_t size, bool zeroed, std::size_t* asked);
void note_taken(void* pointer, std::size_t size, bool fresh);  // it has, perhaps of what waited
bool give_planned(void* pointer);                              // whether it was an arena's
void note_given(void* pointer);                                // the next allocator gets it
std::size_t size_of_planned(const void* pointer);              // 0: it is no arena's

}  // namespace tfl
