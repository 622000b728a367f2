// Chains of elementwise operations in one pass over memory: a program of steps runs on tiles of some
// hundred elements, whose values stay in the first cache. A reduction of one value may end it.
//
// A program is made and checked once (`prepared`), laid over arrays (`ElementCall::lay`), and run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tfl {

// What arrays hold, and the kinds of number that are computed with; half precision as float.
enum class Storage : std::uint8_t { truth, int32, int64, float32, float64, float16, bfloat16 };
enum class Kind : std::uint8_t { truth, int32, int64, float32, float64 };
constexpr std::size_t kind_count = 5;

constexpr Kind kind_of(Storage storage) {
  return storage >= Storage::float16 ? Kind::float32 : static_cast<Kind>(storage);
}
std::size_t size_of(Storage storage);
std::size_t size_of(Kind kind);

// The kinds of the operands that an operation is for, as bits.
namespace kinds {
constexpr unsigned truth = 1, int32 = 2, int64 = 4, float32 = 8, float64 = 16;
constexpr unsigned integers = int32 | int64, floats = float32 | float64;
constexpr unsigned numbers = integers | floats, all = truth | numbers;
}  // namespace kinds

// APPLY(name in elements.cuh, operands, parameters, kinds, kind of the result or -1 for the operands',
// cost of an element in steps as `pieces_of` counts them).
#define TFL_FOR_EACH_OPERATION(APPLY)                         \
  APPLY(add, 2, 0, numbers, -1, 0.3)                          \
  APPLY(subtract, 2, 0, numbers, -1, 0.3)                     \
  APPLY(multiply, 2, 0, numbers, -1, 0.3)                     \
  APPLY(divide, 2, 0, floats, -1, 0.6)                        \
  APPLY(negative, 1, 0, numbers, -1, 0.3)                     \
  APPLY(abs, 1, 0, numbers, -1, 0.3)                          \
  APPLY(sign, 1, 0, numbers, -1, 0.3)                         \
  APPLY(square, 1, 0, numbers, -1, 0.3)                       \
  APPLY(cube, 1, 0, floats, -1, 0.3)                          \
  APPLY(reciprocal, 1, 0, floats, -1, 0.6)                    \
  APPLY(maximum, 2, 0, numbers, -1, 0.3)                      \
  APPLY(minimum, 2, 0, numbers, -1, 0.3)                      \
  APPLY(where, 3, 0, all, -1, 0.4)                            \
  APPLY(copy, 1, 0, all, -1, 0.3)                             \
  APPLY(equal, 2, 0, all, 0, 0.3)                             \
  APPLY(not_equal, 2, 0, all, 0, 0.3)                         \
  APPLY(less, 2, 0, all, 0, 0.3)                              \
  APPLY(less_equal, 2, 0, all, 0, 0.3)                        \
  APPLY(greater, 2, 0, all, 0, 0.3)                           \
  APPLY(greater_equal, 2, 0, all, 0, 0.3)                     \
  APPLY(logical_and, 2, 0, truth, 0, 0.1)                     \
  APPLY(logical_or, 2, 0, truth, 0, 0.1)                      \
  APPLY(logical_xor, 2, 0, truth, 0, 0.1)                     \
  APPLY(logical_not, 1, 0, truth, 0, 0.1)                     \
  APPLY(bitwise_and, 2, 0, integers, -1, 0.3)                 \
  APPLY(bitwise_or, 2, 0, integers, -1, 0.3)                  \
  APPLY(bitwise_xor, 2, 0, integers, -1, 0.3)                 \
  APPLY(bitwise_invert, 1, 0, integers, -1, 0.3)              \
  APPLY(isnan, 1, 0, floats, 0, 0.3)                          \
  APPLY(isinf, 1, 0, floats, 0, 0.3)                          \
  APPLY(isfinite, 1, 0, floats, 0, 0.3)                       \
  APPLY(signbit, 1, 0, floats, 0, 0.3)                        \
  APPLY(to_bool, 1, 0, numbers, 0, 0.3)                       \
  APPLY(to_int32, 1, 0, all, 1, 0.3)                          \
  APPLY(to_int64, 1, 0, all, 2, 0.6)                          \
  APPLY(to_float32, 1, 0, all, 3, 0.3)                        \
  APPLY(to_float64, 1, 0, all, 4, 0.3)                        \
  APPLY(to_float32_odd, 1, 0, float64, 3, 1.0)                \
  APPLY(round_float16, 1, 0, float32, 3, 1.0)                 \
  APPLY(round_bfloat16, 1, 0, float32, 3, 0.6)                \
  APPLY(exp, 1, 0, floats, -1, 2.0)                           \
  APPLY(exp2, 1, 0, floats, -1, 10.0)                         \
  APPLY(expm1, 1, 0, floats, -1, 20.0)                        \
  APPLY(log, 1, 0, floats, -1, 3.0)                           \
  APPLY(log1p, 1, 0, floats, -1, 20.0)                        \
  APPLY(log2, 1, 0, floats, -1, 10.0)                         \
  APPLY(log10, 1, 0, floats, -1, 20.0)                        \
  APPLY(sqrt, 1, 0, floats, -1, 1.0)                          \
  APPLY(sin, 1, 0, floats, -1, 4.0)                           \
  APPLY(cos, 1, 0, floats, -1, 4.0)                           \
  APPLY(tan, 1, 0, floats, -1, 30.0)                          \
  APPLY(tanh, 1, 0, floats, -1, 3.0)                          \
  APPLY(floor, 1, 0, floats, -1, 0.3)                         \
  APPLY(ceil, 1, 0, floats, -1, 0.3)                          \
  APPLY(trunc, 1, 0, floats, -1, 0.3)                         \
  APPLY(round, 1, 0, floats, -1, 0.3)                         \
  APPLY(relu, 1, 0, floats, -1, 0.3)                          \
  APPLY(sigmoid, 1, 0, floats, -1, 3.0)                       \
  APPLY(silu, 1, 0, floats, -1, 3.0)                          \
  APPLY(sigmoid_with_tail, 1, 0, float32, -1, 3.0)            \
  APPLY(silu_with_tail, 1, 0, float32, -1, 3.0)               \
  APPLY(gelu, 1, 0, floats, -1, 4.0)                          \
  APPLY(gelu_tanh, 1, 0, floats, -1, 4.0)                     \
  APPLY(erf, 1, 0, floats, -1, 8.0)                           \
  APPLY(erfc, 1, 0, floats, -1, 8.0)                          \
  APPLY(copysign, 2, 0, floats, -1, 0.3)                      \
  APPLY(power, 2, 0, floats, -1, 30.0)                        \
  APPLY(power_half, 1, 0, floats, -1, 1.0)                    \
  APPLY(elu, 1, 1, floats, -1, 20.0)                          \
  APPLY(softplus, 1, 2, floats, -1, 5.0)

#define TFL_OPERATION_NAME(name, operands, parameters, kinds, result, cost) name,
enum class Operation : std::uint8_t { TFL_FOR_EACH_OPERATION(TFL_OPERATION_NAME) count, constant };
#undef TFL_OPERATION_NAME
constexpr std::size_t operation_count = static_cast<std::size_t>(Operation::count);

struct OperationFacts {
  const char* name;
  std::size_t operands, parameters;
  unsigned kinds;
  int result;  // a Kind, or -1
  double cost;
};
extern const std::array<OperationFacts, operation_count> operation_facts;

// A step of a program. Values have numbers: inputs first, then steps.
struct ElementStep {
  Operation operation;
  Kind kind;  // of the operands; `where`'s condition is a truth
  std::array<std::uint16_t, 3> operands{};
  std::array<double, 2> parameters{};
  std::int64_t integer = 0;  // of a constant that isn't a float
};

enum class Fold : std::uint8_t { sum, mean, max, min };

struct ElementProgram {
  struct Output {
    std::uint16_t value;
    Storage storage;
  };
  struct Reduction {
    Fold fold;
    std::uint16_t value;
    Storage storage;
    std::vector<std::size_t> axes;  // sorted
    bool keeps;
  };

  std::vector<Storage> inputs;
  std::vector<ElementStep> steps;
  std::vector<Output> outputs;
  std::optional<Reduction> reduction;

  // Found by `prepare`: each value's kind, register and last reader (a step's number; `steps.size()`
  // where it is kept to the end).
  std::vector<Kind> kinds;
  std::vector<std::uint16_t> registers;
  std::vector<std::size_t> last_use;
  std::size_t tile = 0;  // elements
  double cost = 0.0;     // of an element

  // Checks all and finds the rest; returns what is wrong, "" where nothing is.
  std::string prepare();
};

constexpr std::size_t most_values = 256;
constexpr std::size_t most_registers = 32;
constexpr std::size_t register_bytes = 4096;
constexpr std::size_t most_axes = 8;  // after those that lie together were joined

// An array as a call reads or writes it: strides in bytes along the joined axes.
struct ElementOperand {
  char* data = nullptr;
  Storage storage = Storage::float32;
  std::array<std::ptrdiff_t, most_axes> strides{};
  bool whole = false;    // its elements lie side by side in the order of the call
  bool single = false;   // it is one number
  bool delayed = false;  // of an output: written when the tile's steps are done
};

// What an array is before axes are joined.
struct ArrayView {
  char* data;
  std::vector<std::ptrdiff_t> strides;  // along the common axes
};

struct ElementCall {
  const ElementProgram* program = nullptr;
  std::size_t axes = 0;
  std::array<std::size_t, most_axes> shape{};
  std::size_t total = 1;
  std::vector<ElementOperand> inputs, outputs;

  // With a reduction: the first axes are kept where `rows`, else the last ones are.
  bool rows = true;
  std::size_t kept_axes = 0;
  std::size_t kept = 1, reduced = 1;  // elements
  ElementOperand result;              // its strides go with the kept axes

  // Lays a program over arrays of a common shape; false where there are too many axes. `result` has
  // strides along all axes, 0 along those that are reduced.
  bool lay(const ElementProgram& of, const std::vector<std::size_t>& common,
           const std::vector<ArrayView>& ins, const std::vector<ArrayView>& outs,
           const ArrayView* folded);
};

struct ElementKernels {
  // Runs a call. Its arrays have been checked: outputs overlap nothing but inputs of the same layout.
  void (*run)(const ElementCall& call);
};

const ElementKernels& element_kernels();

}  // namespace tfl
