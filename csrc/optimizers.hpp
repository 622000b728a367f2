// One step of an optimizer over all parameters of a group. Pointers are checked by the caller.
#pragma once

#include <cstddef>

namespace tfl {

// What a rule is made of: how many states an element has, and how many constants of its own beside
// those of every rule.
struct StepRule {
  const char* name;
  std::size_t states, constants;
};

constexpr std::size_t most_states = 3;
// The constants of every rule come first: the gradient's sign, the slope of the L2 penalty (0: there
// is none) and what is left of a parameter after its decay.
constexpr std::size_t shared_constants = 3;
constexpr std::size_t most_constants = shared_constants + 6;

// A parameter, its gradient, its states: so many elements each.
struct StepArrays {
  void* arrays[2 + most_states];
  std::size_t size;
  bool is_double;
};

struct Step {
  const StepArrays* parameters;
  const std::size_t* starts;  // where each parameter begins among all elements, and the end
  std::size_t count;
  const double* constants;  // one row per parameter, or (stride 0) one for all
  std::size_t stride;
};

struct Optimizers {
  const StepRule* rules;
  std::size_t count;
  void (*step)(std::size_t rule, const Step&);
};

const Optimizers& optimizers_kernels();

}  // namespace tfl
