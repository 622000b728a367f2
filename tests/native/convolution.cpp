#include "convolution.hpp"

#include <algorithm>

#include "checks.hpp"

namespace check {
namespace {

using tfl::ConvolutionEnd;
using tfl::ConvolutionOf;
using tfl::ConvolutionShape;
using tfl::Index;

constexpr int identity = 0, relu = 1;  // in the order of TFL_FOR_EACH_ACTIVATION

struct Geometry {
  Index images, groups, inputs, outputs, height, width, kernel_height, kernel_width;
  Index row_stride = 1, column_stride = 1, row_padding = 0, column_padding = 0;
  Index row_dilation = 1, column_dilation = 1;
};

const Geometry geometries[] = {
    {1, 1, 1, 1, 1, 1, 1, 1},
    {2, 1, 3, 5, 7, 6, 3, 3, 1, 1, 1, 1},
    {2, 1, 4, 17, 9, 11, 3, 3, 2, 2, 1, 1},
    {3, 1, 33, 18, 5, 5, 1, 1},
    {1, 1, 5, 7, 8, 9, 1, 1, 2, 3},
    {1, 1, 2, 3, 13, 12, 5, 7, 3, 2, 2, 3},
    {2, 6, 1, 1, 9, 10, 3, 3, 1, 1, 1, 1},    // each channel by itself
    {1, 3, 2, 4, 8, 7, 2, 3, 1, 2, 0, 2},     // groups
    {1, 1, 2, 3, 15, 14, 3, 3, 1, 2, 2, 3, 2, 3},  // dilated
    {1, 1, 2, 2, 2, 3, 4, 4, 1, 1, 3, 3},     // larger than the image
    {1, 1, 2, 2, 2, 2, 3, 3, 1, 1, 0, 0},     // no place at all
    {0, 1, 2, 2, 4, 4, 3, 3},
    {2, 1, 0, 3, 4, 4, 3, 3},
    {2, 1, 3, 0, 4, 4, 3, 3},
    {5, 1, 16, 34, 12, 13, 3, 3, 1, 1, 1, 1},  // split over threads
};

Index windows(Index size, Index kernel, Index stride, Index padding, Index dilation) {
  const Index room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

ConvolutionShape shape_of(const Geometry& a) {
  return {a.images, a.groups, a.inputs, a.outputs, a.height, a.width,
          windows(a.height, a.kernel_height, a.row_stride, a.row_padding, a.row_dilation),
          windows(a.width, a.kernel_width, a.column_stride, a.column_padding, a.column_dilation),
          a.kernel_height, a.kernel_width, a.row_stride, a.column_stride, a.row_dilation,
          a.column_dilation, a.row_padding, a.column_padding};
}

// Calls work(x's index, weight's index, y's index) for every product of a convolution.
template <typename Work>
void for_each_product(const ConvolutionShape& s, const Work& work) {
  for (Index image = 0; image < s.images; ++image)
    for (Index group = 0; group < s.groups; ++group)
      for (Index o = 0; o < s.outputs; ++o)
        for (Index row = 0; row < s.result_height; ++row)
          for (Index column = 0; column < s.result_width; ++column)
            for (Index i = 0; i < s.inputs; ++i)
              for (Index r = 0; r < s.kernel_height; ++r)
                for (Index c = 0; c < s.kernel_width; ++c) {
                  const Index y = row * s.row_stride - s.top + r * s.row_dilation;
                  const Index x = column * s.column_stride - s.left + c * s.column_dilation;
                  if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
                  const Index output = group * s.outputs + o;
                  const Index channel = image * s.groups * s.inputs + group * s.inputs + i;
                  const Index result = image * s.groups * s.outputs + output;
                  work((channel * s.height + y) * s.width + x,
                       ((output * s.inputs + i) * s.kernel_height + r) * s.kernel_width + c,
                       (result * s.result_height + row) * s.result_width + column);
                }
}

// A sum of products and the sum of their magnitudes, by which rounding is judged.
struct Sums {
  std::vector<double> values, scales;
  explicit Sums(std::size_t size) : values(size), scales(size) {}
  void add(Index i, double product) {
    values[static_cast<std::size_t>(i)] += product;
    scales[static_cast<std::size_t>(i)] += std::fabs(product);
  }
  double scale() const {
    return scales.empty() ? 0.0 : *std::max_element(scales.begin(), scales.end());
  }
};

template <typename T>
const ConvolutionOf<T>& kernels() {
  if constexpr (sizeof(T) == 4) return tfl::convolution_kernels().of_float;
  else return tfl::convolution_kernels().of_double;
}

template <typename T>
void check_geometry(const Geometry& geometry) {
  const ConvolutionShape s = shape_of(geometry);
  const auto size = [](Index a, Index b, Index c) { return static_cast<std::size_t>(a * b * c); };
  const Index outputs = s.groups * s.outputs, places = s.result_height * s.result_width;
  const Guarded<T> x = normals<T>(size(s.images, s.groups * s.inputs, s.height * s.width), 1);
  const Guarded<T> weight =
      normals<T>(size(outputs, s.inputs, s.kernel_height * s.kernel_width), 2);
  const Guarded<T> y = normals<T>(size(s.images, outputs, places), 3);
  const Guarded<T> bias = normals<T>(static_cast<std::size_t>(outputs), 4);
  Sums forward(y.size()), of_x(x.size()), of_weight(weight.size());
  for_each_product(s, [&](Index i, Index j, Index k) {
    const double a = static_cast<double>(x.data()[i]), b = static_cast<double>(weight.data()[j]);
    const double g = static_cast<double>(y.data()[k]);
    forward.add(k, a * b);
    of_x.add(i, g * b);
    of_weight.add(j, g * a);
  });
  std::vector<double> with_bias = forward.values, after(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto channel = static_cast<Index>(i) / places % outputs;
    with_bias[i] += static_cast<double>(bias.data()[channel]);
    after[i] = std::fmax(with_bias[i], 0.0);
  }
  const double few = unit<T>(8);
  for_every_way([&](Outputs& all) {
    Guarded<T> plain(y.size()), out(y.size()), before(y.size()), dx(x.size()), dw(weight.size());
    const ConvolutionOf<T>& table = kernels<T>();
    const ConvolutionEnd<T> end{bias.data(), before.data(), relu};
    EXPECT(table.forward(s, x.data(), weight.data(), nullptr, plain.data()), "memory");
    EXPECT(table.forward(s, x.data(), weight.data(), &end, out.data()), "memory");
    EXPECT(table.input_gradient(s, y.data(), weight.data(), dx.data()), "memory");
    EXPECT(table.weight_gradient(s, y.data(), x.data(), dw.data()), "memory");
    near(plain, forward.values, few, few * forward.scale(), "forward");
    near(before, with_bias, few, few * (4 + forward.scale()), "before");
    near(out, after, few, few * (4 + forward.scale()), "after");
    near(dx, of_x.values, few, few * of_x.scale(), "input_gradient");
    near(dw, of_weight.values, few, few * of_weight.scale(), "weight_gradient");
    all.add(plain);
    all.add(before);
    all.add(out);
    all.add(dx);
    all.add(dw);
  }, Same::in_one_set);
}

TFL_CHECK(geometries) {
  for (const Geometry& a : geometries) {
    const Note note(a.images, "x", a.groups, "x", a.inputs, "->", a.outputs, ", ", a.height, "x",
                    a.width, ", kernel ", a.kernel_height, "x", a.kernel_width, ", stride ",
                    a.row_stride, "x", a.column_stride);
    check_geometry<float>(a);
    check_geometry<double>(a);
  }
}

TFL_CHECK(nan_stays_where_it_is_read) {
  const ConvolutionShape s = shape_of({1, 1, 2, 3, 6, 6, 3, 3, 1, 1, 1, 1});
  Guarded<float> x(72, 1.0f), weight(54, 0.0f);
  x[0] = NAN;
  x[71] = INFINITY;
  std::vector<double> expected(108, 0.0);
  for (const std::size_t channel : {0, 36, 72}) {
    for (const std::size_t place : {0, 1, 6, 7, 28, 29, 34, 35}) expected[channel + place] = NAN;
  }
  for_every_set([&] {
    Guarded<float> out(108);
    const ConvolutionEnd<float> end{nullptr, nullptr, identity};
    EXPECT(tfl::convolution_kernels().of_float.forward(s, x.data(), weight.data(), &end,
                                                       out.data()), "memory");
    near(out, expected, 0);
  });
}

}  // namespace
}  // namespace check
