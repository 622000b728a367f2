#include "elements.hpp"

#include <map>

#include "checks.hpp"

namespace check {
namespace {

using tfl::ElementProgram;
using tfl::ElementStep;
using tfl::Kind;
using tfl::Operation;
using tfl::Storage;

template <typename T>
constexpr Storage storage_of() {
  if (std::is_same_v<T, float>) return Storage::float32;
  if (std::is_same_v<T, double>) return Storage::float64;
  if (std::is_same_v<T, unsigned char>) return Storage::truth;
  return sizeof(T) == 4 ? Storage::int32 : Storage::int64;
}

ElementStep step(Operation operation, Kind kind, std::vector<std::uint16_t> operands,
                 std::vector<double> parameters = {}) {
  ElementStep made{operation, kind, {}, {}, 0};
  std::copy(operands.begin(), operands.end(), made.operands.begin());
  std::copy(parameters.begin(), parameters.end(), made.parameters.begin());
  return made;
}

void prepare(ElementProgram& program) {
  const std::string wrong = program.prepare();
  EXPECT(wrong.empty(), wrong);
}

template <typename T>
tfl::ArrayView view(const Guarded<T>& array, std::vector<std::ptrdiff_t> steps,
                    std::ptrdiff_t first = 0) {
  for (std::ptrdiff_t& each : steps) each *= static_cast<std::ptrdiff_t>(sizeof(T));
  char* data = reinterpret_cast<char*>(const_cast<T*>(array.data()));
  return {data + first * static_cast<std::ptrdiff_t>(sizeof(T)), steps};
}

void run(const ElementProgram& program, const std::vector<std::size_t>& shape,
         const std::vector<tfl::ArrayView>& ins, const std::vector<tfl::ArrayView>& outs,
         const tfl::ArrayView* result = nullptr) {
  tfl::ElementCall call;
  EXPECT(call.lay(program, shape, ins, outs, result), "the call must have few axes");
  tfl::element_kernels().run(call);
}

// ---- every operation against the standard library in double

double as_integer(double x, double least, double end) {
  return x >= least && x < end ? std::trunc(x) : least;
}

using Function = double (*)(double x, double y);
double softplus_of(double x) { return 2 * x > 3 ? x : std::log1p(std::exp(2 * x)) / 2; }

const std::map<std::string, Function>& functions() {
#define TFL_AS(name, expression) \
  {name, [](double x, [[maybe_unused]] double y) -> double { return expression; }}
  static const std::map<std::string, Function> known = {
      TFL_AS("add", x + y), TFL_AS("subtract", x - y), TFL_AS("multiply", x * y),
      TFL_AS("divide", x / y), TFL_AS("negative", -x), TFL_AS("abs", std::fabs(x)),
      TFL_AS("sign", (x > 0) - (x < 0)), TFL_AS("square", x * x), TFL_AS("cube", x * x * x),
      TFL_AS("reciprocal", 1 / x), TFL_AS("maximum", x > y ? x : y),
      TFL_AS("minimum", x < y ? x : y), TFL_AS("copy", x), TFL_AS("equal", x == y),
      TFL_AS("not_equal", x != y), TFL_AS("less", x < y), TFL_AS("less_equal", x <= y),
      TFL_AS("greater", x > y), TFL_AS("greater_equal", x >= y),
      TFL_AS("logical_and", x != 0 && y != 0), TFL_AS("logical_or", x != 0 || y != 0),
      TFL_AS("logical_xor", (x != 0) != (y != 0)), TFL_AS("logical_not", x == 0),
      TFL_AS("bitwise_and", double(std::int64_t(x) & std::int64_t(y))),
      TFL_AS("bitwise_or", double(std::int64_t(x) | std::int64_t(y))),
      TFL_AS("bitwise_xor", double(std::int64_t(x) ^ std::int64_t(y))),
      TFL_AS("bitwise_invert", double(~std::int64_t(x))), TFL_AS("isnan", std::isnan(x)),
      TFL_AS("isinf", std::isinf(x)), TFL_AS("isfinite", std::isfinite(x)),
      TFL_AS("signbit", std::signbit(x)), TFL_AS("to_bool", x != 0),
      TFL_AS("to_int32", as_integer(x, -0x1p31, 0x1p31)),
      TFL_AS("to_int64", as_integer(x, -0x1p63, 0x1p63)), TFL_AS("to_float32", double(float(x))),
      TFL_AS("to_float64", x), TFL_AS("exp", std::exp(x)), TFL_AS("exp2", std::exp2(x)),
      TFL_AS("expm1", std::expm1(x)), TFL_AS("log", std::log(x)), TFL_AS("log1p", std::log1p(x)),
      TFL_AS("log2", std::log2(x)), TFL_AS("log10", std::log10(x)), TFL_AS("sqrt", std::sqrt(x)),
      TFL_AS("sin", std::sin(x)), TFL_AS("cos", std::cos(x)), TFL_AS("tan", std::tan(x)),
      TFL_AS("tanh", std::tanh(x)), TFL_AS("floor", std::floor(x)), TFL_AS("ceil", std::ceil(x)),
      TFL_AS("trunc", std::trunc(x)), TFL_AS("round", std::nearbyint(x)),
      TFL_AS("relu", x <= 0 ? 0 : x), TFL_AS("sigmoid", 1 / (1 + std::exp(-x))),
      TFL_AS("silu", x / (1 + std::exp(-x))), TFL_AS("sigmoid_with_tail", 1 / (1 + std::exp(-x))),
      TFL_AS("silu_with_tail", x / (1 + std::exp(-x))),
      TFL_AS("gelu", x * std::erfc(-x * 0.70710678118654752440) / 2),
      TFL_AS("gelu_tanh", x / (1 + std::exp(-1.5957691216057307117 * x * (1 + 0.044715 * x * x)))),
      TFL_AS("erf", std::erf(x)), TFL_AS("erfc", std::erfc(x)),
      TFL_AS("copysign", std::copysign(x, y)), TFL_AS("power", std::pow(x, y)),
      TFL_AS("power_half", std::pow(x, 0.5)), TFL_AS("elu", x > 0 ? x : 0.5 * std::expm1(x)),
      TFL_AS("softplus", softplus_of(x)),
      // What is halfway between halves goes to the even one.
      TFL_AS("to_float32_odd", x), TFL_AS("round_float16", std::nearbyint(x * 256) / 256),
      TFL_AS("round_bfloat16", std::nearbyint(x * 32) / 32)};
#undef TFL_AS
  return known;
}

template <typename T>
Guarded<T> operand(std::size_t count, unsigned seed, const std::string& name) {
  Guarded<T> made(count, T(0));
  const Guarded<double> values = normals<double>(count, seed, 2.0);
  for (std::size_t i = 0; i < count; ++i) {
    double value = values[i];
    if (name.compare(0, 6, "round_") == 0) value = 4.0 + std::fmod(std::fabs(value), 3.9);
    if (std::is_integral_v<T>) value = sizeof(T) == 1 ? value > 0 : std::trunc(4 * value);
    made[i] = static_cast<T>(value);
  }
  return made;
}

template <typename Out>
void hold(const ElementProgram& program, const std::vector<tfl::ArrayView>& ins,
          const std::vector<double>& expected, double units, Outputs& outputs) {
  Guarded<Out> out(expected.size(), Out(0));
  run(program, {expected.size()}, ins, {view(out, {1})});
  near(out, expected, unit<float>(0) + (std::is_integral_v<Out> ? 0.0 : unit<Out>(units)), 0.0);
  outputs.add(out);
}

template <typename T>
void check_operation(std::size_t number, std::size_t count) {
  const tfl::OperationFacts& facts = tfl::operation_facts[number];
  const Note note(facts.name, " of ", sizeof(T), " bytes, ", count, " elements");
  const Kind kind = tfl::kind_of(storage_of<T>());
  const auto found = functions().find(facts.name);
  if (facts.operands == 3) return;  // where, below
  EXPECT(found != functions().end(), "it has no function here");
  if (found == functions().end()) return;
  const Guarded<T> x = operand<T>(count, 1, facts.name), y = operand<T>(count, 2, facts.name);
  std::vector<double> expected(count);
  for (std::size_t i = 0; i < count; ++i) {
    expected[i] = found->second(double(x[i]), double(y[i]));
    if (kind <= Kind::int64 && facts.result < 0) expected[i] = double(T(std::int64_t(expected[i])));
  }
  ElementProgram program;
  program.inputs = {storage_of<T>(), storage_of<T>()};
  std::vector<std::uint16_t> operands = {0, 1};
  operands.resize(facts.operands);
  std::vector<double> parameters = {2.0, 3.0};
  if (facts.parameters == 1) parameters = {0.5};
  program.steps = {step(static_cast<Operation>(number), kind, operands, parameters)};
  const Kind result = facts.result < 0 ? kind : static_cast<Kind>(facts.result);
  program.outputs = {{2, static_cast<Storage>(result)}};
  prepare(program);
  const std::vector<tfl::ArrayView> ins = {view(x, {1}), view(y, {1})};
  for_every_way([&](Outputs& outputs) {
    // gelu of -6 has an exponent of 18, whose rounding shows.
    const double units = std::string(facts.name).compare(0, 4, "gelu") == 0 ? 60.0 : 6.0;
    switch (result) {
      case Kind::truth:
        return hold<unsigned char>(program, ins, expected, 0.0, outputs);
      case Kind::int32:
        return hold<std::int32_t>(program, ins, expected, 0.0, outputs);
      case Kind::int64:
        return hold<std::int64_t>(program, ins, expected, 0.0, outputs);
      case Kind::float32:
        return hold<float>(program, ins, expected, units, outputs);
      case Kind::float64:
        return hold<double>(program, ins, expected, units, outputs);
    }
  }, Same::in_one_set);
}

TFL_CHECK(every_operation_of_every_kind) {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{1037}}) {
    for (std::size_t i = 0; i < tfl::operation_count; ++i) {
      const unsigned kinds = tfl::operation_facts[i].kinds;
      if (kinds & tfl::kinds::truth) check_operation<unsigned char>(i, count);
      if (kinds & tfl::kinds::int32) check_operation<std::int32_t>(i, count);
      if (kinds & tfl::kinds::int64) check_operation<std::int64_t>(i, count);
      if (kinds & tfl::kinds::float32) check_operation<float>(i, count);
      if (kinds & tfl::kinds::float64) check_operation<double>(i, count);
    }
  }
}

TFL_CHECK(sines_of_huge_numbers_and_logarithms_of_odd_ones) {
  ElementProgram program;
  program.inputs = {Storage::float32};
  program.steps = {step(Operation::sin, Kind::float32, {0}), step(Operation::cos, Kind::float32, {0}),
                   step(Operation::log, Kind::float32, {0})};
  program.outputs = {{1, Storage::float32}, {2, Storage::float32}, {3, Storage::float32}};
  prepare(program);
  const std::vector<float> odd = {0.0f, -0.0f, 1e-40f, 1e6f, 1.1e6f, -3e30f, 3.1415927f, 355.0f,
                                  INFINITY, -INFINITY, NAN, 1e-45f, 1.0f, 1.0000001f};
  const Guarded<float> x(odd);
  std::vector<double> sine, cosine, logarithm;
  for (const float each : odd) {
    sine.push_back(std::sin(double(each)));
    cosine.push_back(std::cos(double(each)));
    logarithm.push_back(std::log(double(each)));
  }
  for_every_set([&] {
    Guarded<float> a(odd.size()), b(odd.size()), c(odd.size());
    run(program, {odd.size()}, {view(x, {1})}, {view(a, {1}), view(b, {1}), view(c, {1})});
    near(a, sine, unit<float>(2), 0.0, "sin");
    near(b, cosine, unit<float>(2), 0.0, "cos");
    near(c, logarithm, unit<float>(2), 0.0, "log");
    EXPECT(std::signbit(a[1]) && !std::signbit(a[0]), "sin of zeros");
  });
}

// ---- layouts: the sum x + row where it is above the constant, else that, times a column; and this
// plus x, times the sum. The first may be written where x is.

template <typename T>
ElementProgram chain() {
  const Kind kind = tfl::kind_of(storage_of<T>());
  ElementProgram program;
  program.inputs = {storage_of<T>(), storage_of<T>(), storage_of<T>()};
  ElementStep half = step(Operation::constant, kind, {}, {0.5});
  program.steps = {step(Operation::add, kind, {0, 1}),     half,
                   step(Operation::less, kind, {4, 3}),    step(Operation::where, kind, {5, 3, 4}),
                   step(Operation::multiply, kind, {6, 2}), step(Operation::add, kind, {7, 0}),
                   step(Operation::multiply, kind, {8, 3})};
  program.outputs = {{7, storage_of<T>()}, {9, storage_of<T>()}};
  return program;
}

template <typename T>
double plain(T x, T row, T column, double* second) {
  const T sum = x + row;
  const T product = (T(0.5) < sum ? sum : T(0.5)) * column;
  *second = double(T(T(product + x) * sum));
  return double(product);
}

enum class Order { plain, transposed, backwards, apart, in_place };

template <typename T>
void check_layout(std::size_t rows, std::size_t columns, Order order) {
  const Note note(rows, " x ", columns, " of ", sizeof(T), " bytes, order ", int(order));
  const std::ptrdiff_t m = std::ptrdiff_t(rows), n = std::ptrdiff_t(columns);
  const std::size_t gap = order == Order::apart ? 2 : 1;
  Guarded<T> x = normals<T>(rows * columns * gap, 1);
  const Guarded<T> row = normals<T>(columns, 2), column = normals<T>(rows, 3);
  std::vector<std::ptrdiff_t> steps = {n, 1};
  std::ptrdiff_t first = 0;
  if (order == Order::transposed) steps = {1, m};
  if (order == Order::apart) steps = {2 * n, 2};
  if (order == Order::backwards) {
    steps = {-n, -1};
    first = rows * columns > 0 ? m * n - 1 : 0;
  }
  std::vector<double> one(rows * columns), two(rows * columns);
  for (std::ptrdiff_t i = 0; i < m; ++i) {
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const std::size_t at = std::size_t(i * n + j);
      one[at] = plain<T>(x[std::size_t(first + i * steps[0] + j * steps[1])], row[std::size_t(j)],
                         column[std::size_t(i)], &two[at]);
    }
  }
  ElementProgram program = chain<T>();
  prepare(program);
  for_every_way([&](Outputs& outputs) {
    Guarded<T> own(x), first_out(rows * columns), second_out(rows * columns);
    // In place the first output is x, which the second still reads.
    const bool same = order == Order::in_place;
    const tfl::ArrayView in = view(own, steps, first);
    run(program, {rows, columns}, {in, view(row, {0, 1}), view(column, {1, 0})},
        {same ? in : view(first_out, {n, 1}), view(second_out, {n, 1})});
    near(same ? own : first_out, one, 0.0);
    near(second_out, two, 0.0);
    outputs.add(same ? own : first_out);
    outputs.add(second_out);
  });
}

TFL_CHECK(layouts_of_arrays) {
  const std::pair<std::size_t, std::size_t> shapes[] = {{0, 3}, {1, 1},    {3, 5},
                                                        {700, 3}, {3, 2100}, {70, 71}};
  for (const auto& [rows, columns] : shapes) {
    for (const Order order : {Order::plain, Order::transposed, Order::backwards, Order::apart,
                              Order::in_place}) {
      check_layout<float>(rows, columns, order);
      if (order == Order::backwards) check_layout<double>(rows, columns, order);
    }
  }
}

TFL_CHECK(outputs_in_column_order) {
  const std::size_t rows = 37, columns = 50;
  const Guarded<float> x = normals<float>(rows * columns, 1);
  ElementProgram program;
  program.inputs = {Storage::float32};
  program.steps = {step(Operation::add, Kind::float32, {0, 0})};
  program.outputs = {{1, Storage::float32}};
  prepare(program);
  Guarded<float> out(rows * columns);
  run(program, {rows, columns}, {view(x, {50, 1})}, {view(out, {1, 37})});
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j)
      EXPECT(out[i + 37 * j] == 2 * x[i * 50 + j], i, ", ", j);
  }
}

// ---- reductions of x * x over the first, the last, or all axes

template <typename T>
void check_fold(tfl::Fold fold, std::size_t rows, std::size_t columns, std::vector<std::size_t> axes) {
  const Note note(rows, " x ", columns, " of ", sizeof(T), " bytes, fold ", int(fold), " over ",
                  axes.size(), " from ", axes[0]);
  const Kind kind = tfl::kind_of(storage_of<T>());
  const Guarded<T> x = normals<T>(rows * columns, 5);
  const bool first = axes[0] == 0, all = axes.size() == 2;
  const std::size_t kept = all ? 1 : first ? columns : rows;
  const double none = fold == tfl::Fold::max ? -1.0 : fold == tfl::Fold::min ? INFINITY : 0.0;
  std::vector<long double> sums(kept, none);  // in double the reference would be the worse one
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      long double& place = sums[all ? 0 : first ? j : i];
      const long double value = static_cast<T>(T(x[i * columns + j] * x[i * columns + j]));
      if (fold == tfl::Fold::max) place = std::max(place, value);
      else if (fold == tfl::Fold::min) place = std::min(place, value);
      else place += value / (fold == tfl::Fold::mean ? rows * columns / kept : 1);
    }
  }
  const std::vector<double> expected(sums.begin(), sums.end());
  ElementProgram program;
  program.inputs = {storage_of<T>()};
  program.steps = {step(Operation::square, kind, {0})};
  program.outputs = {{1, storage_of<T>()}};
  program.reduction = ElementProgram::Reduction{fold, 1, storage_of<T>(), axes, false};
  prepare(program);
  for_every_way([&](Outputs& outputs) {
    Guarded<T> out(rows * columns), result(kept);
    const std::ptrdiff_t n = std::ptrdiff_t(columns);
    const tfl::ArrayView to = view(result, {first ? 0 : 1, first && !all ? 1 : 0});
    run(program, {rows, columns}, {view(x, {n, 1})}, {view(out, {n, 1})}, &to);
    near(result, expected, unit<T>(sizeof(T) == 4 ? 1 : 16));
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT(out[i] == T(x[i] * x[i]), i);
    outputs.add(result);
  }, Same::in_one_set);
}

TFL_CHECK(reductions_at_the_end) {
  // The last ones are long enough for several pieces of a sum.
  const std::pair<std::size_t, std::size_t> shapes[] = {{1, 1},   {5, 3},     {300, 3}, {3, 1100},
                                                        {40, 41}, {1, 34001}, {34001, 1}};
  for (const auto& [rows, columns] : shapes) {
    for (const tfl::Fold fold : {tfl::Fold::sum, tfl::Fold::mean, tfl::Fold::max, tfl::Fold::min}) {
      for (const std::vector<std::size_t>& axes :
           {std::vector<std::size_t>{0}, std::vector<std::size_t>{1}, std::vector<std::size_t>{0, 1}}) {
        const bool large = rows * columns > 10000;
        if (large && (slow || fold == tfl::Fold::mean || fold == tfl::Fold::min)) continue;
        check_fold<float>(fold, rows, columns, axes);
        if (!large) check_fold<double>(fold, rows, columns, axes);
      }
    }
  }
}

TFL_CHECK(a_reduction_of_nothing) {
  ElementProgram program;
  program.inputs = {Storage::float32};
  program.reduction = ElementProgram::Reduction{tfl::Fold::sum, 0, Storage::float32, {1}, false};
  prepare(program);
  const Guarded<float> x(0);
  Guarded<float> result(3);
  const tfl::ArrayView to = view(result, {1, 0});
  run(program, {3, 0}, {view(x, {0, 1})}, {}, &to);
  near(result, {0.0, 0.0, 0.0}, 0.0);
}

TFL_CHECK(programs_that_are_refused) {
  const auto refused = [](const ElementProgram& program) {
    ElementProgram own = program;
    return !own.prepare().empty();
  };
  const ElementProgram good = chain<float>();
  EXPECT(!refused(good), "a good one");
  ElementProgram bad = good;
  bad.steps[0].operands[1] = 3;
  EXPECT(refused(bad), "an operand that comes later");
  bad = good;
  bad.steps[0].kind = Kind::float64;
  EXPECT(refused(bad), "operands of another kind");
  bad = good;
  bad.steps[0].operation = Operation::logical_and;
  EXPECT(refused(bad), "a kind that the operation isn't for");
  bad = good;
  bad.outputs[1].value = 7;
  EXPECT(refused(bad), "an output twice");
  bad = good;
  bad.outputs[0].storage = Storage::int32;
  EXPECT(refused(bad), "an output of another kind");
  bad = good;
  bad.outputs.clear();
  EXPECT(refused(bad), "nothing to write");
  bad = good;
  bad.reduction = ElementProgram::Reduction{tfl::Fold::mean, 5, Storage::float64, {0}, false};
  EXPECT(refused(bad), "a mean of truths");
  bad = good;
  for (std::uint16_t i = 0; i < 32; ++i) bad.steps.push_back(bad.steps[1]);
  EXPECT(refused(bad), "more constants than registers");
}

}  // namespace
}  // namespace check
