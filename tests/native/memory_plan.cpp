#include "memory_plan.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <thread>

#include "checks.hpp"
#include "memory.hpp"

namespace check {
namespace {

using tfl::BlockLife;
using tfl::MemoryPlan;
using tfl::never;
using tfl::PlannedBlock;
using tfl::Places;
using tfl::places_of;

// What NumPy's handler does with a plan, on memory of malloc.
unsigned char* take(std::size_t size) {
  std::size_t asked = size;
  void* place = tfl::plan_serves() ? tfl::take_planned(size, false, &asked) : nullptr;
  if (!place) {
    place = std::malloc(asked + 1);
    if (tfl::plan_serves()) tfl::note_taken(place, size, true);
  }
  return static_cast<unsigned char*>(place);
}

void give(void* pointer) {
  if (tfl::give_planned(pointer)) return;
  tfl::note_given(pointer);
  std::free(pointer);
}

std::vector<BlockLife> random_lives(unsigned seed, std::size_t count) {
  std::mt19937 bits(seed);
  std::vector<BlockLife> lives;
  std::vector<std::size_t> alive;
  std::size_t clock = 0;
  while (lives.size() < count) {
    if (!alive.empty() && bits() % 5 < 2) {
      const std::size_t place = bits() % alive.size();
      lives[alive[place]].gone = clock++;
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(place));
    } else {
      alive.push_back(lives.size());
      const std::size_t size = bits() % 7 == 0 ? tfl::least_cached + bits() % 9000 : bits() % 4000;
      lives.push_back({bits() % 5 == 0 ? 0 : size, clock++, never});
    }
  }
  return lives;
}

bool apart(const PlannedBlock& one, const PlannedBlock& other) {
  const auto end = [](const PlannedBlock& block) {
    return block.offset + 64 + std::max<std::size_t>(block.size, 1);
  };
  return end(one) <= other.offset || end(other) <= one.offset;
}

TFL_CHECK(blocks_that_live_at_one_time_lie_apart) {
  for (unsigned seed = 0; seed < (slow ? 10u : 60u); ++seed) {
    const std::vector<BlockLife> lives = random_lives(seed, 5 + seed * 3);
    for (const bool keeps : {false, true}) {
      const Note note("seed ", seed, ", keeps ", keeps);
      const Places places = places_of(lives, keeps);
      std::size_t lasting = 0;
      for (std::size_t i = 0; i < lives.size(); ++i) {
        const PlannedBlock& one = places.blocks[i];
        EXPECT(one.size == lives[i].size && one.lasts == (lives[i].gone == never), "block ", i);
        lasting += one.lasts ? one.size : 0;
        EXPECT(one.placed == (keeps || (!one.lasts && one.size < tfl::least_cached)), "placed");
        if (!one.placed) continue;
        EXPECT(one.offset % 64 == 0, "alignment of ", i);
        EXPECT(one.offset + 64 + one.size <= places.size, "the end of ", i);
        for (std::size_t j = 0; j < i; ++j) {
          const PlannedBlock& other = places.blocks[j];
          if (!other.placed) continue;
          const bool meet = one.lasts || other.lasts ||
                            (lives[i].born < lives[j].gone && lives[j].born < lives[i].gone);
          if (meet) EXPECT(apart(one, other), i, " and ", j);
        }
      }
      EXPECT(places.lasting == lasting, "lasting");
    }
  }
}

// What the cache comes to hold for blocks that ask for such sizes: of each the most at one time,
// within its bound; and whether each run allocates for that.
std::pair<std::size_t, bool> held(const std::vector<BlockLife>& lives, const Places* places) {
  std::map<std::size_t, std::vector<std::pair<std::size_t, std::ptrdiff_t>>> events;
  for (std::size_t i = 0; i < lives.size(); ++i) {
    if (lives[i].size < tfl::least_cached) continue;
    const std::size_t size = tfl::cached_size(places ? places->blocks[i].asked : lives[i].size);
    for (const std::size_t key : {size, std::size_t{0}}) {  // 0: all of them
      events[key].emplace_back(lives[i].born, size);
      if (lives[i].gone != never) events[key].emplace_back(lives[i].gone, -std::ptrdiff_t(size));
    }
  }
  std::size_t total = 0, in_use = 0;
  for (auto& [size, these] : events) {
    std::sort(these.begin(), these.end());
    std::ptrdiff_t now = 0, most = 0;
    for (const auto& [when, change] : these) most = std::max(most, now += change);
    (size ? total : in_use) += static_cast<std::size_t>(most);
  }
  const std::size_t bound = in_use + tfl::cache_slack;
  return {std::min(total, bound), total > bound};
}

// The same by trying: what the cache has at most in some runs; of each the next drops the results.
std::size_t held_by_runs(const std::vector<BlockLife>& lives, const Places* places) {
  std::map<std::size_t, std::size_t> events;
  for (std::size_t i = 0; i < lives.size(); ++i) {
    events[lives[i].born] = i;
    if (lives[i].gone != never) events[lives[i].gone] = i;
  }
  tfl::empty_cache();
  const auto all = [] { return tfl::memory_figures().used + tfl::memory_figures().cached; };
  const std::size_t before = all();
  std::size_t most = 0;
  std::vector<void*> blocks(lives.size());
  for (int run = 0; run < 4; ++run) {
    for (void* result : blocks) tfl::give_block(result);
    for (const auto& [when, i] : events) {
      const std::size_t size = lives[i].size;
      if (size < tfl::least_cached) continue;
      if (when == lives[i].born) {
        const std::size_t room = places ? places->blocks[i].asked : size;
        blocks[i] = tfl::take_block(size, false, nullptr, room);
      } else {
        tfl::give_block(blocks[i]);
        blocks[i] = nullptr;
      }
      most = std::max(most, all() - before);
    }
  }
  for (void* result : blocks) tfl::give_block(result);
  tfl::empty_cache();
  return most;
}

TFL_CHECK(large_blocks_share_memory_where_that_takes_less) {
  std::size_t shared = 0;
  for (unsigned seed = 0; seed < (slow ? 20u : 200u); ++seed) {
    std::vector<BlockLife> lives = random_lives(seed, 40);
    std::mt19937 bits(seed + 1000);
    const unsigned most = 900'000u << bits() % 6;  // of some the cache's bound is the less
    for (BlockLife& one : lives) {
      if (bits() % 3 != 0) one.size = tfl::least_cached + bits() % most;
    }
    const Places places = places_of(lives, false);
    const auto [apart, allocates] = held(lives, nullptr);
    const auto [together, still_allocates] = held(lives, &places);
    const Note note("seed ", seed, ": ", apart, " bytes held, ", together, " with a plan");
    EXPECT(places.shares || together == apart, "nothing is shared");
    EXPECT(together <= apart || (allocates && !still_allocates), "allocates as before");
    EXPECT(together <= apart + apart / 8, "much more");
    shared += places.shares;
    if (places.shares && seed % 10 == 0) {
      const std::size_t was = held_by_runs(lives, nullptr), is = held_by_runs(lives, &places);
      EXPECT(is <= was + was / 6, is, " by trying, ", was, " without a plan");
    }
    for (std::size_t i = 0; i < lives.size(); ++i) {
      const PlannedBlock& one = places.blocks[i];
      EXPECT(one.asked >= lives[i].size, "room for ", i);
      EXPECT(!one.placed || one.asked == lives[i].size, "no place for ", i);
      if (!one.lasts || one.size < tfl::least_cached) continue;
      EXPECT(2 * tfl::cached_size(one.asked) <= 3 * tfl::cached_size(one.size), "kept by itself");
    }
  }
  EXPECT(shared > 10, shared, " that share");
}

TFL_CHECK(what_the_cache_would_give_back_is_no_room_to_share) {
  // A large block, then many: one of them in the large one's would leave it in use.
  std::vector<BlockLife> lives{{64 << 20, 0, 1}};
  for (std::size_t i = 0; i < 64; ++i) lives.push_back({1 << 20, 2 + i, 100 + i});
  const Places places = places_of(lives, false);
  EXPECT(!places.shares && places.blocks[1].asked == 1 << 20, places.blocks[1].asked);
  EXPECT(held_by_runs(lives, &places) <= (64 << 20) + tfl::cache_slack, "within the bound");
}

TFL_CHECK(a_little_more_is_held_where_no_run_allocates_for_it) {
  // Apart they are 74 MiB, of which the cache would give some back.
  const std::size_t large = 32 << 20, small = 21 << 20;
  const Places places = places_of({{large, 0, 1}, {small, 2, 5}, {small, 3, 4}}, false);
  EXPECT(places.shares && places.blocks[1].asked == large, places.blocks[1].asked);
}

TFL_CHECK(a_small_result_that_is_kept_keeps_no_large_block) {
  const std::size_t large = 8 << 20, small = 1 << 15;
  const Places places = places_of({{large, 0, 1}, {large, 2, never}, {small, 3, never}}, false);
  EXPECT(places.blocks[2].asked == small, places.blocks[2].asked);
}

TFL_CHECK(a_block_takes_the_size_of_a_larger_one_that_is_free) {
  const std::size_t large = 1 << 20, small = large - (large >> 2);
  // The second asks for what the first has left; the third is there at the same time.
  const Places places = places_of({{large, 0, 1}, {small, 2, 5}, {small, 3, 4}}, false);
  EXPECT(places.blocks[0].asked == large && places.blocks[1].asked == large, "the first two");
  EXPECT(places.blocks[2].asked == small && places.shares, "the third");
  const Places kept = places_of({{large, 0, 1}, {small, 2, 5}}, true);
  EXPECT(kept.blocks[1].asked == small && !kept.shares, "all have places");
}

TFL_CHECK(places_are_taken_again) {
  // Two at a time, a hundred in a row.
  std::vector<BlockLife> lives;
  for (std::size_t i = 0; i < 100; ++i) lives.push_back({1000, 2 * i, 2 * i + 3});
  EXPECT(places_of(lives, false).size <= 2 * (1024 + 64), places_of(lives, false).size, " bytes");
}

// Takes and gives blocks, all of `size`, and checks that none is written over while it is held.
// Returns the two that it keeps.
std::vector<unsigned char*> work(std::size_t size, int* wrong) {
  std::vector<unsigned char*> held, kept;
  for (int i = 0; i < 40; ++i) {
    unsigned char* place = take(size + static_cast<std::size_t>(i % 3));
    if (reinterpret_cast<std::uintptr_t>(place) % 16 != 0) ++*wrong;
    std::memset(place, i, size);
    held.push_back(place);
    if (i == 7 || i == 20) {
      kept.push_back(held.back());
      held.pop_back();
    }
    if (held.size() > 3) {
      if (held[0][0] != held[0][size - 1]) ++*wrong;
      give(held[0]);
      held.erase(held.begin());
    }
  }
  for (unsigned char* place : held) give(place);
  if (kept[0][0] != 7 || kept[0][size - 1] != 7 || kept[1][size - 1] != 20) ++*wrong;
  return kept;
}

TFL_CHECK(later_runs_allocate_only_what_lasts) {
  int wrong = 0;
  for (const bool keeps : {false, true}) {
    const Note note("keeps ", keeps);
    MemoryPlan plan(keeps);
    std::vector<unsigned char*> before;
    for (int turn = 0; turn < 4; ++turn) {
      EXPECT(plan.begin(), "begin");
      std::vector<unsigned char*> kept = work(500, &wrong);
      plan.end();
      EXPECT(!tfl::plan_serves(), "after the end");
      const tfl::PlanFigures figures = plan.figures();
      EXPECT(figures.requests == 40 && figures.traced == 1, figures.requests, " requests");
      const std::size_t expected = turn == 0 ? 40 : keeps ? 0 : 2;
      EXPECT(figures.fresh == expected, figures.fresh, " allocated in run ", turn);
      if (turn > 1 && keeps) EXPECT(kept == before, "the same places");
      for (unsigned char* place : kept) give(place);
      before = kept;
    }
  }
  EXPECT(wrong == 0, wrong, " wrong");
}

TFL_CHECK(what_outlives_its_plan_stays) {
  unsigned char* kept = nullptr;
  int wrong = 0;
  const std::size_t used = tfl::memory_figures().used;
  {
    MemoryPlan plan(true);
    for (int turn = 0; turn < 2; ++turn) {
      EXPECT(plan.begin(), "begin");
      const std::vector<unsigned char*> both = work(500, &wrong);
      plan.end();
      if (turn == 1) kept = both[0];
      give(both[1]);
      if (turn == 0) give(both[0]);
    }
    EXPECT(tfl::size_of_planned(kept) >= 500, "the size of a block");
  }
  EXPECT(tfl::memory_figures().used > used, "the arena is there");
  EXPECT(kept[0] == 7 && kept[499] == 7, "its content");
  give(kept);
  EXPECT(tfl::memory_figures().used == used, "the arena is gone");
  EXPECT(wrong == 0, wrong, " wrong");
}

TFL_CHECK(a_block_that_is_still_held_is_not_written_over) {
  MemoryPlan plan(false);
  int wrong = 0;
  std::vector<unsigned char*> rest;
  // In the first run both are given back, later the first is held over the run.
  for (int turn = 0; turn < 6; ++turn) {
    EXPECT(plan.begin(), "begin");
    unsigned char* one = take(1000);
    std::memset(one, 1, 1000);
    if (turn == 0) give(one);
    unsigned char* two = take(1000);
    std::memset(two, 2, 1000);
    if (turn > 0 && one[999] != 1) ++wrong;
    give(two);
    plan.end();
    if (turn > 0) rest.push_back(one);
  }
  for (unsigned char* place : rest) {
    EXPECT(place[0] == 1 && place[999] == 1, "held");
    give(place);
  }
  EXPECT(wrong == 0, wrong, " wrong");
}

// As the frames of an exception hold them: of any run, of a plan that keeps its blocks.
TFL_CHECK(what_a_run_leaves_behind_is_not_written_over) {
  MemoryPlan plan(true);
  int wrong = 0;
  std::vector<unsigned char*> left;
  for (int turn = 0; turn < 12; ++turn) {
    EXPECT(plan.begin(), "begin");
    const bool fails = turn % 3 == 2;
    std::vector<unsigned char*> held;
    for (int i = 0; i < 20; ++i) {
      held.push_back(take(200 + 50 * static_cast<std::size_t>(i)));
      std::memset(held.back(), 100 + turn, 200 + 50 * static_cast<std::size_t>(i));
      if (fails && i == 7 + turn) break;
      if (held.size() > 4) {
        give(held.front());
        held.erase(held.begin());
      }
    }
    plan.end();
    for (unsigned char* place : held) {
      if (fails) left.push_back(place);
      else give(place);
    }
    for (unsigned char* place : left) wrong += place[0] != place[150];
  }
  std::size_t number = 0;
  for (unsigned char* place : left) wrong += (place[0] - 100) % 3 != 2 || ++number == 0;
  EXPECT(wrong == 0, wrong, " wrong");
  for (unsigned char* place : left) give(place);
}

// As a handler of signals, which keeps what it has made.
TFL_CHECK(what_came_in_between_is_not_written_over) {
  MemoryPlan plan(true);
  int wrong = 0;
  std::vector<unsigned char*> others;
  for (int turn = 0; turn < 9; ++turn) {
    EXPECT(plan.begin(), "begin");
    for (int i = 0; i < 6; ++i) {
      unsigned char* place = take(300);
      std::memset(place, 1, 300);
      if (turn % 2 == 1 && i == 2) {
        others.push_back(take(300));
        std::memset(others.back(), 9, 300);
      }
      give(place);
    }
    plan.end();
    for (unsigned char* place : others) wrong += place[0] != 9 || place[299] != 9;
  }
  EXPECT(wrong == 0, wrong, " wrong");
  for (unsigned char* place : others) give(place);
}

TFL_CHECK(an_empty_run_is_not_written_down) {
  MemoryPlan plan(false);
  EXPECT(plan.begin(), "begin");
  plan.end();
  EXPECT(plan.figures().traced == 0, "traced");
  int wrong = 0;
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT(plan.begin(), "begin");
    for (unsigned char* place : work(500, &wrong)) give(place);
    plan.end();
  }
  EXPECT(plan.figures().traced == 1 && plan.figures().fresh == 0 && wrong == 0, "planned");
}

TFL_CHECK(another_size_is_written_down_anew) {
  MemoryPlan plan(false);
  int wrong = 0;
  const auto run = [&](std::size_t size) {
    EXPECT(plan.begin(), "begin");
    for (unsigned char* place : work(size, &wrong)) give(place);
    plan.end();
    return plan.figures().fresh;
  };
  EXPECT(run(500) == 40 && run(500) == 0, "one size");
  EXPECT(run(900) == 40 && run(500) == 0, "another one once");
  run(900);
  run(900);
  run(900);
  EXPECT(run(900) == 0 && plan.figures().traced == 2, "another one from then on");
  for (int i = 0; i < 20; ++i) run(1000 + 100 * static_cast<std::size_t>(i));
  EXPECT(plan.figures().traced <= 4, plan.figures().traced, " times written down");
  EXPECT(wrong == 0, wrong, " wrong");
}

TFL_CHECK(plans_do_not_nest) {
  MemoryPlan one(false), other(false);
  EXPECT(one.begin() && !other.begin() && !one.begin(), "inside");
  one.end();
  EXPECT(other.begin(), "after");
  other.end();
}

// One plan in several threads, whose blocks other threads give back.
TFL_CHECK(several_threads_run_one_plan) {
  for (const bool keeps : {false, true}) {
    MemoryPlan plan(keeps);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < (slow ? 10 : 50); ++turn) {
          int bad = 0;
          const bool serves = plan.begin();
          // A second run of a plan that keeps its blocks must not write where the first does.
          std::vector<unsigned char*> kept = work(400, &bad);
          if (keeps && serves && (kept[0][5] != 7 || kept[1][5] != 20)) ++bad;
          if (serves) plan.end();
          std::thread([&] {
            for (unsigned char* place : kept) give(place);
          }).join();
          wrong += bad;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT(wrong.load() == 0, wrong.load(), " wrong");
  }
}

}  // namespace
}  // namespace check
