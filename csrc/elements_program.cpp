#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "elements.hpp"

namespace tfl {

#define TFL_OPERATION_FACTS(name, operands, parameters, of_kinds, result, cost) \
  OperationFacts{#name, operands, parameters, kinds::of_kinds, result, cost},
const std::array<OperationFacts, operation_count> operation_facts = {
    TFL_FOR_EACH_OPERATION(TFL_OPERATION_FACTS)};
#undef TFL_OPERATION_FACTS

std::size_t size_of(Kind kind) {
  constexpr std::size_t sizes[] = {1, 4, 8, 4, 8};
  return sizes[static_cast<std::size_t>(kind)];
}

std::size_t size_of(Storage storage) {
  return storage >= Storage::float16 ? 2 : size_of(kind_of(storage));
}

namespace {

// The kinds of a step's operands and of its result; false where they don't fit together.
bool kinds_fit(const ElementStep& step, const std::vector<Kind>& kinds, std::size_t known,
               Kind& result) {
  result = step.kind;
  if (step.operation == Operation::constant) return true;
  const OperationFacts& facts = operation_facts[static_cast<std::size_t>(step.operation)];
  if (!(facts.kinds >> static_cast<unsigned>(step.kind) & 1u)) return false;
  for (std::size_t i = 0; i < facts.operands; ++i) {
    const bool condition = step.operation == Operation::where && i == 0;
    if (step.operands[i] >= known) return false;
    if (kinds[step.operands[i]] != (condition ? Kind::truth : step.kind)) return false;
  }
  if (facts.result >= 0) result = static_cast<Kind>(facts.result);
  return true;
}

std::size_t operands_of(const ElementStep& step) {
  return step.operation == Operation::constant
             ? 0
             : operation_facts[static_cast<std::size_t>(step.operation)].operands;
}

}  // namespace

std::string ElementProgram::prepare() {
  const std::size_t values = inputs.size() + steps.size();
  if (inputs.empty()) return "there must be an input";
  if (values > most_values) return "there must be at most 256 inputs and steps";
  if (outputs.empty() && !reduction) return "there must be an output or a reduction";
  kinds.clear();
  for (const Storage storage : inputs) kinds.push_back(kind_of(storage));
  cost = 0.3;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    Kind result;
    if (!kinds_fit(steps[i], kinds, kinds.size(), result))
      return "step " + std::to_string(i) + " must have operands before it, of its kind";
    kinds.push_back(result);
    if (steps[i].operation != Operation::constant)
      cost += operation_facts[static_cast<std::size_t>(steps[i].operation)].cost;
  }
  last_use.assign(values, 0);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (std::size_t k = 0; k < operands_of(steps[i]); ++k) last_use[steps[i].operands[k]] = i;
  }
  std::vector<bool> given(values, false);
  for (const Output& output : outputs) {
    if (output.value < inputs.size() || output.value >= values || given[output.value])
      return "outputs must be steps, each once";
    if (kind_of(output.storage) != kinds[output.value]) return "outputs must have their values' kind";
    given[output.value] = true;
    last_use[output.value] = steps.size();
  }
  if (reduction) {
    if (reduction->value >= values) return "the reduction must be of a value";
    const Kind kind = kinds[reduction->value], made = kind_of(reduction->storage);
    const bool wide = reduction->fold == Fold::sum && (kind == Kind::truth || kind == Kind::int32);
    if (reduction->fold == Fold::mean && kind <= Kind::int64) return "means must be of floats";
    if (made != (wide ? Kind::int64 : kind)) return "the reduction must have its value's dtype";
    last_use[reduction->value] = steps.size();
  }
  // Inputs and constants keep their registers: what fills them may stay there.
  std::size_t count = 0;
  std::vector<std::uint16_t> free;
  registers.assign(values, 0);
  std::size_t widest = 1;
  for (const Kind kind : kinds) widest = std::max(widest, size_of(kind));
  for (std::size_t i = 0; i < inputs.size(); ++i) registers[i] = static_cast<std::uint16_t>(count++);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::size_t value = inputs.size() + i;
    if (steps[i].operation == Operation::constant || free.empty()) {
      registers[value] = static_cast<std::uint16_t>(count++);
    } else {
      registers[value] = free.back();
      free.pop_back();
    }
    // Free from the next step on: a result never lies where an operand does.
    for (std::size_t k = 0; k < operands_of(steps[i]); ++k) {
      const std::size_t operand = steps[i].operands[k];
      const auto* const begin = steps[i].operands.data();
      const bool again = std::find(begin, begin + k, operand) != begin + k;
      const bool stays = operand < inputs.size() ||
                         steps[operand - inputs.size()].operation == Operation::constant;
      if (last_use[operand] == i && !stays && !again) free.push_back(registers[operand]);
    }
  }
  if (count > most_registers) return "there must be at most 32 inputs, constants and values at a time";
  tile = std::min<std::size_t>(register_bytes / widest, 1024);
  return "";
}

namespace {

struct Axis {
  std::size_t size;
  bool reduced;
  std::vector<std::ptrdiff_t> strides;  // of every operand
};

// The axes longer than 1, the last one first in memory by the strides of the operand that leads.
std::vector<Axis> ordered(const std::vector<std::size_t>& common,
                          const std::vector<const ArrayView*>& views, std::size_t leader,
                          const std::vector<bool>& reduced) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < common.size(); ++i) {
    if (common[i] == 1) continue;
    Axis axis{common[i], reduced[i], {}};
    for (const ArrayView* view : views) axis.strides.push_back(view->strides[i]);
    axes.push_back(axis);
  }
  std::stable_sort(axes.begin(), axes.end(), [=](const Axis& one, const Axis& other) {
    return std::abs(one.strides[leader]) > std::abs(other.strides[leader]);
  });
  return axes;
}

std::size_t leader_of(const std::vector<const ArrayView*>& views, std::size_t inputs,
                      bool has_outputs) {
  if (has_outputs) return inputs;
  const auto moves = [&](std::size_t i) {
    const auto& strides = views[i]->strides;
    return std::count_if(strides.begin(), strides.end(), [](std::ptrdiff_t s) { return s != 0; });
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < inputs; ++i) {
    if (moves(i) > moves(best)) best = i;
  }
  return best;
}

bool joins(const Axis& outer, const Axis& inner) {
  if (outer.reduced != inner.reduced) return false;
  for (std::size_t k = 0; k < outer.strides.size(); ++k) {
    if (outer.strides[k] != inner.strides[k] * static_cast<std::ptrdiff_t>(inner.size)) return false;
  }
  return true;
}

}  // namespace

bool ElementCall::lay(const ElementProgram& of, const std::vector<std::size_t>& common,
                      const std::vector<ArrayView>& ins, const std::vector<ArrayView>& outs,
                      const ArrayView* folded) {
  program = &of;
  std::vector<const ArrayView*> views;
  for (const ArrayView& view : ins) views.push_back(&view);
  for (const ArrayView& view : outs) views.push_back(&view);
  if (folded) views.push_back(folded);
  std::vector<bool> is_reduced(common.size(), false);
  if (of.reduction) {
    for (const std::size_t axis : of.reduction->axes) is_reduced[axis] = true;
  }
  total = 1;
  for (const std::size_t size : common) total *= size;
  kept = reduced = 1;
  for (std::size_t i = 0; i < common.size(); ++i) (is_reduced[i] ? reduced : kept) *= common[i];

  std::vector<Axis> found = ordered(common, views, leader_of(views, ins.size(), !outs.empty()),
                                    is_reduced);
  rows = found.empty() || found.back().reduced || reduced <= 1;
  std::stable_partition(found.begin(), found.end(),
                        [&](const Axis& axis) { return axis.reduced != rows; });
  std::vector<Axis> joined;
  for (const Axis& axis : found) {
    if (!joined.empty() && joins(joined.back(), axis)) {
      const std::size_t size = joined.back().size * axis.size;
      joined.back() = axis;
      joined.back().size = size;
    } else {
      joined.push_back(axis);
    }
  }
  if (joined.size() > most_axes) return false;
  axes = joined.size();
  kept_axes = 0;
  for (std::size_t i = 0; i < axes; ++i) {
    shape[i] = joined[i].size;
    if (!joined[i].reduced) ++kept_axes;
  }

  const auto operand = [&](const ArrayView& view, std::size_t number, Storage storage) {
    ElementOperand made;
    made.data = view.data;
    made.storage = storage;
    std::ptrdiff_t wanted = static_cast<std::ptrdiff_t>(size_of(storage));
    made.whole = made.single = true;
    for (std::size_t i = axes; i-- > 0;) {
      made.strides[i] = joined[i].strides[number];
      made.whole = made.whole && made.strides[i] == wanted;
      made.single = made.single && made.strides[i] == 0;
      wanted *= static_cast<std::ptrdiff_t>(shape[i]);
    }
    return made;
  };
  inputs.clear();
  outputs.clear();
  for (std::size_t i = 0; i < ins.size(); ++i) inputs.push_back(operand(ins[i], i, of.inputs[i]));
  for (std::size_t i = 0; i < outs.size(); ++i) {
    outputs.push_back(operand(outs[i], ins.size() + i, of.outputs[i].storage));
    const std::size_t step = of.outputs[i].value - ins.size();
    for (std::size_t k = 0; k < ins.size(); ++k) {
      if (ins[k].data == outs[i].data && of.last_use[k] > step) outputs.back().delayed = true;
    }
    // Written where the value lies, it would be seen by what reads an input that is its memory.
    if (kind_of(outputs.back().storage) != static_cast<Kind>(outputs.back().storage))
      outputs.back().delayed = true;
  }
  if (folded) {
    result = ElementOperand{};
    result.data = folded->data;
    result.storage = of.reduction->storage;
    const std::size_t first = rows ? 0 : axes - kept_axes;
    for (std::size_t i = 0; i < kept_axes; ++i)
      result.strides[i] = joined[first + i].strides.back();
  }
  return true;
}

}  // namespace tfl
