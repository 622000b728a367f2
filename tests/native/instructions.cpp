#include "instructions.hpp"

#include <algorithm>

#include "checks.hpp"

namespace check {
namespace {

using tfl::Instructions;

TFL_CHECK(the_portable_set_is_always_there_and_last) {
  const std::vector<Instructions>& sets = tfl::available_instructions();
  EXPECT(!sets.empty() && sets.back() == Instructions::generic, "sets");
  EXPECT(std::is_sorted(sets.rbegin(), sets.rend()), "best first");
}

TFL_CHECK(the_set_in_use_is_the_chosen_one) {
  const Instructions before = tfl::instructions_in_use();
  for (const Instructions set : tfl::available_instructions()) {
    tfl::use_instructions(set);
    EXPECT(tfl::instructions_in_use() == set, tfl::name_of(set));
  }
  tfl::use_instructions(before);
}

TFL_CHECK(names_differ) {
  std::vector<std::string> names;
  for (const Instructions set : tfl::available_instructions()) names.push_back(tfl::name_of(set));
  std::sort(names.begin(), names.end());
  EXPECT(std::unique(names.begin(), names.end()) == names.end(), "names");
}

}  // namespace
}  // namespace check
