#include "pool.hpp"

#include <atomic>
#include <thread>

#include "checks.hpp"

namespace check {
namespace {

using tfl::first_of;
using tfl::parallel;
using tfl::pieces_of;
using tfl::set_thread_count;
using tfl::together;

constexpr int turns = slow ? 40 : 200;

// Whether each of `count` pieces ran once. What they write isn't atomic: a piece that ran twice at
// one time, or after `parallel` returned, is a race.
bool runs_each_once(std::size_t count) {
  std::vector<int> times(count, 0);
  parallel(count, [&](std::size_t i) { ++times[i]; });
  for (const int n : times) {
    if (n != 1) return false;
  }
  return true;
}

// Pieces that wait for all of them to have come; false after a piece that came twice.
bool meet_together(std::size_t count) {
  std::atomic<std::size_t> arrived{0};
  std::vector<int> times(count, 0);
  together(count, [&](std::size_t i) {
    ++times[i];
    ++arrived;
    while (arrived.load() < count) std::this_thread::yield();
  });
  for (const int n : times) {
    if (n != 1) return false;
  }
  return arrived.load() == count;
}

// Runs `work(thread)` on several threads at once; returns how often it was false.
template <typename Work>
int wrong_at_once(int threads, const Work& work) {
  std::atomic<int> wrong{0}, ready{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      ++ready;
      while (ready.load() < threads) std::this_thread::yield();
      for (int i = 0; i < turns; ++i) wrong += work(t) ? 0 : 1;
    });
  }
  for (std::thread& thread : all) thread.join();
  return wrong.load();
}

TFL_CHECK(every_piece_runs_once) {
  for (const std::size_t threads : {1, 2, 3, 7}) {
    set_thread_count(threads);
    for (std::size_t count = 0; count < 70; ++count)
      EXPECT(runs_each_once(count), count, " pieces on ", threads, " threads");
  }
  set_thread_count(1);
}

TFL_CHECK(pieces_that_wait_have_threads) {
  for (const std::size_t threads : {1, 2}) {
    set_thread_count(threads);
    for (std::size_t count = 0; count < 9; ++count)
      EXPECT(meet_together(count), count, " pieces on ", threads, " threads");
  }
  set_thread_count(1);
}

TFL_CHECK(nested) {
  set_thread_count(3);
  for (int i = 0; i < turns; ++i) {
    std::atomic<int> wrong{0};
    parallel(5, [&](std::size_t) {
      std::atomic<std::size_t> inner{0};
      parallel(4, [&](std::size_t) {
        parallel(3, [&](std::size_t) { ++inner; });
      });
      wrong += inner.load() == 12 ? 0 : 1;
    });
    EXPECT(wrong.load() == 0, "turn ", i);
  }
  set_thread_count(1);
}

TFL_CHECK(waiting_inside_a_piece) {
  set_thread_count(2);
  for (int i = 0; i < turns / 10; ++i) {
    std::atomic<int> wrong{0};
    parallel(3, [&](std::size_t) { wrong += meet_together(3) ? 0 : 1; });
    EXPECT(wrong.load() == 0, "turn ", i);
  }
  set_thread_count(1);
}

TFL_CHECK(from_several_threads) {
  for (const std::size_t threads : {1, 2, 4}) {
    set_thread_count(threads);
    const int wrong =
        wrong_at_once(4, [](int t) { return runs_each_once(static_cast<std::size_t>(3 + 5 * t)); });
    EXPECT(wrong == 0, wrong, " wrong on ", threads, " threads");
  }
  set_thread_count(1);
}

TFL_CHECK(both_kinds_and_other_counts_from_several_threads) {
  const int wrong = wrong_at_once(4, [](int t) {
    if (t == 0) return meet_together(4);
    if (t == 1) {
      static std::size_t next = 0;
      set_thread_count(1 + next++ % 5);
    }
    return runs_each_once(17);
  });
  EXPECT(wrong == 0, wrong, " wrong");
  set_thread_count(1);
}

TFL_CHECK(what_pieces_write_is_seen_after) {
  set_thread_count(4);
  std::vector<std::size_t> values(1000);
  for (std::size_t turn = 1; turn <= static_cast<std::size_t>(turns); ++turn) {
    parallel(8, [&](std::size_t piece) {
      for (std::size_t i = first_of(piece, 8, values.size());
           i < first_of(piece + 1, 8, values.size()); ++i) {
        values[i] += i;
      }
    });
    for (std::size_t i = 0; i < values.size(); i += 37)
      EXPECT(values[i] == turn * i, "element ", i, " in turn ", turn);
  }
  set_thread_count(1);
}

TFL_CHECK(pieces_cover_all_items) {
  for (const std::size_t count : {0, 1, 2, 63, 64, 65, 1000, 12345}) {
    for (const std::size_t pieces : {1, 2, 3, 63, 64}) {
      EXPECT(first_of(0, pieces, count) == 0, "the first of ", pieces);
      EXPECT(first_of(pieces, pieces, count) == count, "the end of ", pieces);
      for (std::size_t piece = 0; piece < pieces; ++piece) {
        const std::size_t size = first_of(piece + 1, pieces, count) - first_of(piece, pieces, count);
        EXPECT(size == count / pieces || size == count / pieces + 1, "piece ", piece, " of ",
               pieces, " for ", count);
      }
    }
  }
  const std::size_t huge = ~std::size_t{0};
  EXPECT(first_of(64, 64, huge) == huge && first_of(1, 64, huge) == huge / 64, "sizes near 2**64");
}

TFL_CHECK(numbers_of_pieces_follow_from_the_work_alone) {
  for (const std::size_t count : {0, 1, 5, 100, 1000000}) {
    for (const double cost : {0.0, 1.0, 1e5, 1e300}) {
      set_thread_count(1);
      const std::size_t pieces = pieces_of(count, cost);
      EXPECT(pieces >= 1 && pieces <= 64 && (pieces <= count || pieces == 1), pieces, " for ",
             count);
      set_thread_count(7);
      EXPECT(pieces_of(count, cost) == pieces, count, " on other threads");
    }
  }
  EXPECT(pieces_of(1000, 1e6, 200) == 200 && pieces_of(1000, 1.0) == 1, "bounds");
  set_thread_count(1);
}

}  // namespace
}  // namespace check
