#include "attention.hpp"

#include "checks.hpp"

namespace check {
namespace {

using tfl::AttentionBackward;
using tfl::AttentionForward;
using tfl::AttentionMask;
using tfl::AttentionShape;

enum class MaskKind { none, counts, added };

struct Case {
  AttentionShape shape;
  MaskKind mask;
  std::size_t gap;  // between rows
};

// About 64, the length of a block, and widths about vectors.
std::vector<Case> cases() {
  std::vector<Case> all = {
      {{1, 1, 1, 1, 1, 1, false, 1.0}, MaskKind::none, 0},
      {{2, 2, 5, 7, 4, 6, true, 0.5}, MaskKind::added, 3},
      {{3, 1, 70, 65, 17, 33, true, 0.3}, MaskKind::none, 1},
      {{2, 2, 3, 67, 32, 5, false, 0.3}, MaskKind::counts, 0},
      {{1, 1, 130, 5, 16, 16, true, -0.3}, MaskKind::none, 0},
      {{1, 3, 4, 70, 9, 8, true, 0.2}, MaskKind::counts, 2},
  };
  // Split over threads: by tasks, and the keys of a lone head.
  all.push_back({{slow ? 4u : 17u, 1, 66, 64, 16, 16, true, 0.25}, MaskKind::none, 0});
  all.push_back({{1, 1, slow ? 70u : 200u, slow ? 130u : 300u, 16, 16, false, 0.25},
                 MaskKind::none, 0});
  return all;
}

// Matrices one after the other, with a gap behind each row but the last.
template <typename T>
struct Stack {
  std::size_t count, rows, width, pitch;
  Guarded<T> values;
  std::vector<std::ptrdiff_t> starts;

  Stack(std::size_t count, std::size_t rows, std::size_t width, std::size_t gap, Guarded<T> values)
      : count(count), rows(rows), width(width), pitch(width + gap), values(std::move(values)) {
    for (std::size_t i = 0; i < count; ++i) starts.push_back(i * rows * pitch);
  }
  static std::size_t size(std::size_t count, std::size_t rows, std::size_t width, std::size_t gap) {
    return count * rows * (width + gap) - gap;
  }
  static Stack random(std::size_t count, std::size_t rows, std::size_t width, std::size_t gap,
                      unsigned seed) {
    return {count, rows, width, gap, normals<T>(size(count, rows, width, gap), seed)};
  }
  static Stack empty(std::size_t count, std::size_t rows, std::size_t width, std::size_t gap) {
    return {count, rows, width, gap, Guarded<T>(size(count, rows, width, gap), T(77))};
  }

  tfl::Matrices<const T> read() const {
    return {values.data(), starts.data(), static_cast<std::ptrdiff_t>(pitch)};
  }
  tfl::Matrices<T> written() {
    return {values.data(), starts.data(), static_cast<std::ptrdiff_t>(pitch)};
  }
  double at(std::size_t matrix, std::size_t row, std::size_t i) const {
    return static_cast<double>(values[(matrix * rows + row) * pitch + i]);
  }
  // The numbers without the gaps, which must be as they were.
  std::vector<double> found() const {
    std::vector<double> numbers;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i % pitch < width) {
        numbers.push_back(static_cast<double>(values[i]));
      } else {
        EXPECT(values[i] == T(77), "the gap at ", i, " holds ", values[i]);
      }
    }
    return numbers;
  }
};

template <typename T>
struct Inputs {
  Case of;
  std::size_t all;
  Stack<T> query, key, value, y;
  Guarded<unsigned char> counts;
  Guarded<T> added;
  std::vector<std::ptrdiff_t> mask_starts;

  explicit Inputs(const Case& of)
      : of(of),
        all(of.shape.heads * of.shape.groups),
        query(Stack<T>::random(all, of.shape.rows, of.shape.width, of.gap, 1)),
        key(Stack<T>::random(of.shape.heads, of.shape.columns, of.shape.width, of.gap, 2)),
        value(Stack<T>::random(of.shape.heads, of.shape.columns, of.shape.depth, of.gap, 3)),
        y(Stack<T>::random(all, of.shape.rows, of.shape.depth, of.gap, 4)),
        counts(integers<unsigned char>(of.shape.rows * of.shape.columns, 2, 5)),
        added(normals<T>(of.shape.rows * of.shape.columns, 6)),
        mask_starts(all, 0) {
    // A query that no key takes part in.
    for (std::size_t i = 0; i < of.shape.columns; ++i) counts[i] = 0;
  }

  AttentionMask mask() const {
    const auto row = static_cast<std::ptrdiff_t>(of.shape.columns);
    if (of.mask == MaskKind::none) return {nullptr, nullptr, 0, 0, false};
    if (of.mask == MaskKind::counts) return {counts.data(), mask_starts.data(), row, 1, true};
    return {added.data(), mask_starts.data(), row, 1, false};
  }
  double masked(std::size_t row, std::size_t column) const {
    const std::size_t at = row * of.shape.columns + column;
    if (of.shape.causal && column > row) return -INFINITY;
    if (of.mask == MaskKind::counts) return counts[at] ? 0.0 : -INFINITY;
    return of.mask == MaskKind::added ? static_cast<double>(added[at]) : 0.0;
  }
};

// The same in double, by plain loops.
struct Expected {
  std::vector<double> out, sums, query, key, value;
};

template <typename T>
std::vector<double> weights_of_row(const Inputs<T>& in, std::size_t matrix, std::size_t row,
                                   double* sum) {
  const AttentionShape& shape = in.of.shape;
  std::vector<double> p(shape.columns);
  double top = -INFINITY, total = 0;
  for (std::size_t j = 0; j < shape.columns; ++j) {
    double score = 0;
    for (std::size_t i = 0; i < shape.width; ++i)
      score += in.query.at(matrix, row, i) * in.key.at(matrix / shape.groups, j, i);
    p[j] = score * shape.scale + in.masked(row, j);
    top = std::fmax(top, p[j]);
  }
  if (top == -INFINITY) top = 0;
  for (double& each : p) total += each = std::exp(each - top);
  if (total == 0) total = 1;
  for (double& each : p) each /= total;
  *sum = top + std::log(total);
  return p;
}

template <typename T>
Expected expected_of(const Inputs<T>& in) {
  const AttentionShape& shape = in.of.shape;
  Expected e;
  e.query.resize(in.all * shape.rows * shape.width);
  e.key.resize(shape.heads * shape.columns * shape.width);
  e.value.resize(shape.heads * shape.columns * shape.depth);
  for (std::size_t matrix = 0; matrix < in.all; ++matrix) {
    const std::size_t head = matrix / shape.groups;
    for (std::size_t row = 0; row < shape.rows; ++row) {
      double sum, inner = 0;
      const std::vector<double> p = weights_of_row(in, matrix, row, &sum);
      e.sums.push_back(sum);
      std::vector<double> slopes(shape.columns), out(shape.depth);
      for (std::size_t j = 0; j < shape.columns; ++j) {
        for (std::size_t i = 0; i < shape.depth; ++i) {
          out[i] += p[j] * in.value.at(head, j, i);
          slopes[j] += in.y.at(matrix, row, i) * in.value.at(head, j, i);
          e.value[(head * shape.columns + j) * shape.depth + i] +=
              p[j] * in.y.at(matrix, row, i);
        }
        inner += p[j] * slopes[j];
      }
      e.out.insert(e.out.end(), out.begin(), out.end());
      for (std::size_t j = 0; j < shape.columns; ++j) {
        const double slope = p[j] * (slopes[j] - inner) * shape.scale;
        for (std::size_t i = 0; i < shape.width; ++i) {
          e.query[(matrix * shape.rows + row) * shape.width + i] += slope * in.key.at(head, j, i);
          e.key[(head * shape.columns + j) * shape.width + i] +=
              slope * in.query.at(matrix, row, i);
        }
      }
    }
  }
  return e;
}

bool forward(const AttentionForward<float>& a, const AttentionShape& shape) {
  return tfl::attention_kernels().forward_float(a, shape);
}
bool forward(const AttentionForward<double>& a, const AttentionShape& shape) {
  return tfl::attention_kernels().forward_double(a, shape);
}
bool backward(const AttentionBackward<float>& a, const AttentionShape& shape) {
  return tfl::attention_kernels().backward_float(a, shape);
}
bool backward(const AttentionBackward<double>& a, const AttentionShape& shape) {
  return tfl::attention_kernels().backward_double(a, shape);
}

template <typename T>
void near_found(const Stack<T>& found, const std::vector<double>& expected, const char* what) {
  const std::vector<double> numbers = found.found();
  EXPECT(numbers.size() == expected.size(), what);
  near_values(numbers.data(), expected.data(), numbers.size(), unit<T>(100), unit<T>(100), what);
}

template <typename T>
void check_case(const Case& of) {
  const Inputs<T> in(of);
  const AttentionShape& shape = of.shape;
  const Expected expected = expected_of(in);
  for_every_way([&](Outputs& outputs) {
    auto out = Stack<T>::empty(in.all, shape.rows, shape.depth, of.gap);
    auto query = Stack<T>::empty(in.all, shape.rows, shape.width, of.gap);
    auto key = Stack<T>::empty(shape.heads, shape.columns, shape.width, of.gap);
    auto value = Stack<T>::empty(shape.heads, shape.columns, shape.depth, of.gap);
    Guarded<T> sums(in.all * shape.rows);
    const auto q = in.query.read(), k = in.key.read(), v = in.value.read();
    EXPECT(forward({q, k, v, in.mask(), out.written(), sums.data()}, shape), "memory");
    near_found(out, expected.out, "out");
    near(sums, expected.sums, unit<T>(20), unit<T>(20), "sums");
    const AttentionBackward<T> arguments = {in.y.read(),     q,
                                            k,               v,
                                            out.read(),      in.mask(),
                                            sums.data(),     query.written(),
                                            key.written(),   value.written()};
    EXPECT(backward(arguments, shape), "memory");
    near_found(query, expected.query, "the gradient of queries");
    near_found(key, expected.key, "the gradient of keys");
    near_found(value, expected.value, "the gradient of values");
    for (const Stack<T>* each : {&out, &query, &key, &value}) outputs.add(each->values);
    outputs.add(sums);
  }, Same::in_one_set);
}

TFL_CHECK(shapes) {
  for (const Case& of : cases()) {
    const AttentionShape& s = of.shape;
    const Note note(s.heads, "x", s.groups, " heads, ", s.rows, " queries, ", s.columns, " keys, ",
                    s.width, " and ", s.depth, " wide", s.causal ? ", causal" : "");
    check_case<float>(of);
    check_case<double>(of);
  }
}

}  // namespace
}  // namespace check
