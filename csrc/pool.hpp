// The threads that every kernel and BLAS share. A second pool beside it would fight for the cores.
#pragma once

#include <cstddef>

namespace tfl {

// How many threads work, the caller's among them. At first what OMP_NUM_THREADS, the processors
// that the process may use and its control group allow.
std::size_t thread_count();
void set_thread_count(std::size_t count);

using Call = void (*)(const void* work, std::size_t index);
void run_on_pool(std::size_t count, Call call, const void* work);
void run_together(std::size_t count, Call call, const void* work);

template <typename Work>
void call_work(const void* work, std::size_t index) {
  (*static_cast<const Work*>(work))(index);
}

// Calls work(0) ... work(count - 1), each once, on as many threads as there are, in any order; the
// caller's thread takes part. `count` must follow from the shapes alone, never from the number of
// threads, and no piece may read what another writes: then the bits don't depend on the threads.
// A call inside a piece, or while another thread's pieces run, runs on the caller's thread alone.
// Pieces must not throw, and must not call BLAS but under OneBlasThread: its threads are these.
template <typename Work>
void parallel(std::size_t count, const Work& work) {
  if (count == 1) {
    work(std::size_t{0});
  } else if (count > 1) {
    run_on_pool(count, call_work<Work>, &work);
  }
}

// The same where the pieces wait for each other: every one has a thread of its own.
template <typename Work>
void together(std::size_t count, const Work& work) {
  run_together(count, call_work<Work>, &work);
}

// How to split `count` equal items of `cost` elementary steps each: the number of pieces, at most
// `most`, of which each is worth waking a thread for.
std::size_t pieces_of(std::size_t count, double cost, std::size_t most = 64);

// The first item of a piece; the one after its last is the next one's.
inline std::size_t first_of(std::size_t piece, std::size_t pieces, std::size_t count) {
  return count / pieces * piece + (count % pieces) * piece / pieces;
}

}  // namespace tfl
