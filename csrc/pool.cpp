#include "pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tfl {
namespace {

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A control group may give less time than the processors have: "max 100000" or "150000 100000".
double processors_of_control_group() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0.0;
  if (file >> quota >> period && quota != "max" && period > 0.0) {
    return std::strtod(quota.c_str(), nullptr) / period;
  }
  std::ifstream old_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream old_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double time = 0.0;
  if (old_quota >> time && old_period >> period && time > 0.0 && period > 0.0) return time / period;
  return INFINITY;
}

std::size_t usual_count() {
  std::size_t count = std::max(1u, std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = static_cast<std::size_t>(CPU_COUNT(&set));
#endif
  count = static_cast<std::size_t>(
      std::max(1.0, std::min(static_cast<double>(count), std::ceil(processors_of_control_group()))));
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const long wanted = std::strtol(text, nullptr, 10);
    if (wanted > 0) count = static_cast<std::size_t>(std::min(wanted, 1024l));
  }
  return count;
}

// One call of `parallel`. Threads draw the pieces' numbers from `next`.
struct Job {
  Call call;
  const void* work;
  std::size_t count;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> left;  // pieces that aren't done

  Job(Call call, const void* work, std::size_t count)
      : call(call), work(work), count(count), left(count) {}

  void draw() {
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      call(work, i);
      left.fetch_sub(1, std::memory_order_release);
    }
  }
};

thread_local bool inside = false;

// Helpers look for work for a few microseconds before they sleep: a training step hands out a new
// job every few microseconds, and waking a sleeper takes longer than many of them.
constexpr int turns_awake = 2000;

class Pool {
 public:
  void run(Job& job, std::size_t threads, bool each_its_own) {
    std::unique_lock<std::mutex> turn(turn_, std::defer_lock);
    if (each_its_own) {
      turn.lock();
    } else if (!turn.try_lock()) {
      job.draw();
      return;
    }
    grow(threads - 1);
    const std::size_t wanted = std::min(threads, job.count) - 1;
    seats_.store(wanted);
    job_.store(&job);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ticket_.fetch_add(1);
      if (asleep_ > 0) wake_.notify_all();
    }
    inside = true;
    job.draw();
    while (job.left.load(std::memory_order_acquire) > 0) pause_or_yield();
    inside = false;
    // Nobody may come in late: `job` is on the caller's stack.
    job_.store(nullptr);
    while (guests_.load() > 0) pause_or_yield();
  }

 private:
  void pause_or_yield() {
    static thread_local int turns = 0;
    if (++turns % 256 == 0) {
      std::this_thread::yield();
    } else {
      pause_briefly();
    }
  }

  void grow(std::size_t helpers) {
    while (threads_ < helpers) {
      std::thread([this, seen = ticket_.load()] { serve(seen); }).detach();
      ++threads_;
    }
  }

  void serve(std::uint64_t seen) {
    inside = true;
    for (;;) {
      int turns = 0;
      while (ticket_.load(std::memory_order_acquire) == seen && turns < turns_awake) {
        pause_briefly();
        ++turns;
      }
      if (ticket_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++asleep_;
        wake_.wait(lock, [&] { return ticket_.load(std::memory_order_acquire) != seen; });
        --asleep_;
      }
      seen = ticket_.load(std::memory_order_acquire);
      guests_.fetch_add(1);
      Job* job = job_.load();
      if (job && take_seat()) job->draw();
      guests_.fetch_sub(1, std::memory_order_release);
    }
  }

  bool take_seat() {
    std::size_t free = seats_.load();
    while (free > 0) {
      if (seats_.compare_exchange_weak(free, free - 1)) return true;
    }
    return false;
  }

  std::mutex turn_;  // held by the caller whose job runs
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<Job*> job_{nullptr};
  std::atomic<std::size_t> seats_{0};   // helpers that may still join the job
  std::atomic<std::size_t> guests_{0};  // helpers that may look at the job
  std::atomic<std::uint64_t> ticket_{0};
  std::size_t asleep_ = 0;
  std::size_t threads_ = 0;
};

std::atomic<Pool*> pool{nullptr};
std::atomic<std::size_t> chosen_count{0};

// Never destroyed: helpers live until the process ends. A forked child has none of the threads, so
// it starts with a pool of its own.
Pool& the_pool() {
  Pool* found = pool.load(std::memory_order_acquire);
  if (found) return *found;
  static std::mutex making;
  std::lock_guard<std::mutex> lock(making);
  found = pool.load(std::memory_order_acquire);
  if (!found) {
    found = new Pool;
    pool.store(found, std::memory_order_release);
#if defined(__linux__)
    static const int registered = pthread_atfork(nullptr, nullptr, [] {
      pool.store(nullptr);
      inside = false;
    });
    static_cast<void>(registered);
#endif
  }
  return *found;
}

}  // namespace

std::size_t thread_count() {
  std::size_t count = chosen_count.load(std::memory_order_relaxed);
  if (count == 0) {
    count = usual_count();
    chosen_count.store(count, std::memory_order_relaxed);
  }
  return count;
}

void set_thread_count(std::size_t count) { chosen_count.store(count); }

void run_on_pool(std::size_t count, Call call, const void* work) {
  const std::size_t threads = std::min(thread_count(), count);
  Job job(call, work, count);
  if (threads <= 1 || inside) {
    job.draw();
  } else {
    the_pool().run(job, threads, false);
  }
}

void run_together(std::size_t count, Call call, const void* work) {
  if (count == 0) return;
  if (inside) {  // the pool is at work, and its threads are taken
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < count; ++i) threads.emplace_back(call, work, i);
    call(work, 0);
    for (std::thread& thread : threads) thread.join();
    return;
  }
  Job job(call, work, count);
  if (count == 1) {
    job.draw();
  } else {
    the_pool().run(job, count, true);
  }
}

std::size_t pieces_of(std::size_t count, double cost, std::size_t most) {
  constexpr double worth = 20000.0;  // steps: some microseconds, what waking a thread takes
  const double pieces = std::min(static_cast<double>(count) * cost / worth,
                                 static_cast<double>(std::min(count, most)));
  return pieces < 1.0 ? 1 : static_cast<std::size_t>(pieces);
}

}  // namespace tfl
