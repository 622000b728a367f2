#include "optimizers.hpp"

#include "checks.hpp"

namespace check {
namespace {

using tfl::Step;
using tfl::StepArrays;
using tfl::StepRule;

constexpr std::size_t sizes[] = {0, 1, 5, 0, 17, 1000, 20011, 3};
constexpr std::size_t parameters = sizeof sizes / sizeof *sizes;

// One element in double: p and s become new.
void expected_step(const std::string& rule, const double* c, double& p, double g, double* s) {
  g = g * c[0] + p * c[1];
  p *= c[2];
  c += tfl::shared_constants;
  const bool nesterov = rule.find("nesterov") != std::string::npos;
  if (rule == "sgd") {
    p -= g * c[0];
  } else if (rule.rfind("sgd_", 0) == 0) {
    const bool first = rule.find("_first") != std::string::npos;
    s[0] = first ? g : s[0] * c[1] + g * c[2];
    p -= (nesterov ? s[0] * c[1] + g : s[0]) * c[0];
  } else {
    s[0] += (g - s[0]) * c[0];
    s[1] = s[1] * c[1] + g * g * c[2];
    double square = s[1];
    if (rule == "adam_amsgrad") square = s[2] = std::fmax(s[2], square);
    p -= s[0] / (std::sqrt(square) * c[3] + c[4]);
  }
}

std::vector<double> constants_of(const StepRule& rule, double penalty, std::size_t rows) {
  std::vector<double> all;
  for (std::size_t row = 0; row < rows; ++row) {
    all.insert(all.end(), {row % 2 ? -1.0 : 1.0, penalty, 0.99});
    for (std::size_t i = 0; i < rule.constants; ++i)
      all.push_back(0.1 + 0.1 * static_cast<double>(i) + 0.01 * static_cast<double>(row));
  }
  return all;
}

// Parameters, gradients and states of one call.
template <typename T>
struct Group {
  std::vector<Guarded<T>> arrays[2 + tfl::most_states];
  std::vector<StepArrays> table;
  std::vector<std::size_t> starts{0};

  explicit Group(std::size_t states) {
    for (std::size_t kind = 0; kind < 2 + states; ++kind) {
      arrays[kind].reserve(parameters);
      for (std::size_t i = 0; i < parameters; ++i) {
        arrays[kind].push_back(normals<T>(sizes[i], static_cast<unsigned>(10 * i + kind)));
        if (kind > 2) {  // sums of squares
          for (std::size_t j = 0; j < sizes[i]; ++j)
            arrays[kind][i][j] = std::fabs(arrays[kind][i][j]);
        }
      }
    }
    enter();
  }
  Group(const Group& other) {
    for (std::size_t kind = 0; kind < 2 + tfl::most_states; ++kind) {
      arrays[kind].reserve(parameters);
      for (const Guarded<T>& array : other.arrays[kind]) arrays[kind].push_back(array);
    }
    enter();
  }

 private:
  void enter() {
    for (std::size_t i = 0; i < parameters; ++i) {
      StepArrays one{{}, sizes[i], sizeof(T) == 8};
      for (std::size_t kind = 0; kind < 2 + tfl::most_states; ++kind)
        one.arrays[kind] = arrays[kind].empty() ? nullptr : arrays[kind][i].data();
      table.push_back(one);
      starts.push_back(starts.back() + sizes[i]);
    }
  }
};

template <typename T>
void check_rule(std::size_t index, const StepRule& rule, double penalty, std::size_t rows) {
  const Note note(rule.name, ", penalty ", penalty, ", ", rows, " rows of constants");
  const std::vector<double> constants = constants_of(rule, penalty, rows);
  const std::size_t stride = rows > 1 ? tfl::shared_constants + rule.constants : 0;
  const Group<T> before(rule.states);
  std::vector<double> expected[2 + tfl::most_states][parameters];
  for (std::size_t i = 0; i < parameters; ++i) {
    for (std::size_t j = 0; j < sizes[i]; ++j) {
      double values[2 + tfl::most_states] = {};
      for (std::size_t kind = 0; kind < 2 + rule.states; ++kind)
        values[kind] = static_cast<double>(before.arrays[kind][i][j]);
      expected_step(rule.name, constants.data() + i * stride, values[0], values[1], values + 2);
      for (std::size_t kind = 0; kind < 2 + rule.states; ++kind)
        expected[kind][i].push_back(values[kind]);
    }
  }
  for_every_way([&](Outputs& outputs) {
    Group<T> group = before;
    tfl::optimizers_kernels().step(index, {group.table.data(), group.starts.data(), parameters,
                                           constants.data(), stride});
    for (std::size_t kind = 0; kind < 2 + rule.states; ++kind) {
      for (std::size_t i = 0; i < parameters; ++i) {
        const Note which("array ", kind, " of parameter ", i);
        near(group.arrays[kind][i], expected[kind][i], unit<T>(20), unit<T>(40));
        outputs.add(group.arrays[kind][i]);
      }
    }
  });
}

TFL_CHECK(rules) {
  const tfl::Optimizers& table = tfl::optimizers_kernels();
  EXPECT(table.count >= 7, "rules");
  for (std::size_t i = 0; i < table.count; ++i) {
    check_rule<float>(i, table.rules[i], 0.0, 1);
    check_rule<double>(i, table.rules[i], 0.0, parameters);
    check_rule<float>(i, table.rules[i], 0.125, parameters);
    check_rule<double>(i, table.rules[i], 0.125, 1);
  }
}

TFL_CHECK(no_parameters) {
  const std::size_t start = 0;
  const double constants[tfl::most_constants] = {};
  for (std::size_t i = 0; i < tfl::optimizers_kernels().count; ++i)
    tfl::optimizers_kernels().step(i, {nullptr, &start, 0, constants, 0});
}

}  // namespace
}  // namespace check
