// Runs the checks of the files beside it: all, or those whose file is named.
//
//     checks [--list] [NAME ...]
//
// Prints a line per check, what failed under it, and how many passed and failed at the end.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "checks.hpp"
#include "instructions.hpp"
#include "pool.hpp"

namespace check {
namespace {

constexpr int most_printed = 8;

struct Check {
  std::string family, name;
  void (*run)();
};

// In functions: the files' static objects are made in no known order.
std::vector<Check>& checks() {
  static std::vector<Check> all;
  return all;
}

std::vector<std::string>& notes() {
  static thread_local std::vector<std::string> texts;
  return texts;
}

std::string stem_of(const std::string& path) {
  const std::size_t start = path.find_last_of('/') + 1;  // npos + 1 is 0
  return path.substr(start, path.find_last_of('.') - start);
}

int failures = 0;  // of the running check; checks fail on the main thread

bool run_one(const Check& one) {
  failures = 0;
  const auto start = std::chrono::steady_clock::now();
  std::printf("%s: %s\n", one.family.c_str(), one.name.c_str());
  std::fflush(stdout);
  one.run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("  %s in %.2f s\n", failures ? "FAILED" : "passed", seconds.count());
  return failures == 0;
}

int run(const std::vector<std::string>& families) {
  std::stable_sort(checks().begin(), checks().end(),
                   [](const Check& a, const Check& b) { return a.family < b.family; });
  int passed = 0, failed = 0;
  for (const Check& one : checks()) {
    if (!families.empty() &&
        std::find(families.begin(), families.end(), one.family) == families.end()) {
      continue;
    }
    ++(run_one(one) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

}  // namespace

Registered::Registered(const char* file, const char* name, void (*run)()) {
  checks().push_back({stem_of(file), name, run});
}

void Note::push(const std::string& text) { notes().push_back(text); }
void Note::pop() { notes().pop_back(); }

void fail(const std::string& what) {
  if (++failures > most_printed) return;
  std::string where;
  for (const std::string& text : notes()) where += text + ", ";
  std::printf("  %s%s\n", where.c_str(), what.c_str());
}

void near_values(const double* found, const double* expected, std::size_t size, double relative,
                 double absolute, const char* what) {
  for (std::size_t i = 0; i < size; ++i) {
    const double bound = relative * std::fabs(expected[i]) + absolute;
    const bool holds = std::isnan(expected[i]) ? std::isnan(found[i])
                                               : found[i] == expected[i] ||
                                                     std::fabs(found[i] - expected[i]) <= bound;
    if (holds) continue;
    std::ostringstream text;
    text.precision(17);
    text << what << "[" << i << "] is " << found[i] << ", expected " << expected[i] << " within "
         << bound;
    fail(text.str());
    return;
  }
}

void for_every_set(const std::function<void()>& run) {
  const tfl::Instructions before = tfl::instructions_in_use();
  tfl::set_thread_count(1);
  for (const tfl::Instructions set : tfl::available_instructions()) {
    const Note note(tfl::name_of(set));
    tfl::use_instructions(set);
    run();
  }
  tfl::use_instructions(before);
}

void for_every_way(const std::function<void(Outputs&)>& run, Same same) {
  std::vector<Outputs> of_sets;
  for_every_set([&] {
    std::vector<Outputs> of_counts;
    for (const std::size_t count : thread_counts) {
      const Note note(count, " threads");
      tfl::set_thread_count(count);
      of_counts.emplace_back();
      run(of_counts.back());
      EXPECT(of_counts.back() == of_counts.front(), "the bits aren't those of one thread");
    }
    of_sets.push_back(of_counts.front());
    if (same == Same::in_all_sets) {
      EXPECT(of_sets.back() == of_sets.front(), "the bits aren't those of the best set");
    }
  });
  tfl::set_thread_count(1);
}

}  // namespace check

int main(int count, char** arguments) {
  const std::vector<std::string> families(arguments + 1, arguments + count);
  if (families.size() == 1 && families[0] == "--sets") {
    for (const tfl::Instructions set : tfl::available_instructions())
      std::printf("%s\n", tfl::name_of(set));
    return 0;
  }
  return check::run(families);
}
