#include <algorithm>
#include <array>
#include <new>

#include "arguments.hpp"
#include "bias_activation.hpp"
#include "convolution.hpp"
#include "families.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

using Pair = std::array<Index, 2>;
using Padding = std::array<Pair, 2>;  // before and behind, of rows and of columns
constexpr Index most = (Index{1} << 31) - 1;

struct Geometry {
  const char* op;
  Pair stride;
  Padding padding;
  Pair dilation;
  Index groups;
};

std::string text_of(const Pair& pair) {
  return "(" + std::to_string(pair[0]) + ", " + std::to_string(pair[1]) + ")";
}

void check_within(const char* op, const char* name, const Pair& pair, Index least) {
  if (std::min(pair[0], pair[1]) < least || std::max(pair[0], pair[1]) > most) {
    refuse(op, std::string(name) + " must be from " + std::to_string(least) + " to 2^31 - 1",
           text_of(pair));
  }
}

void check_sizes(const char* op, const char* name, const std::vector<Index>& sizes) {
  for (const Index size : sizes) {
    if (size < 0 || size > most) {
      refuse(op, std::string(name) + " must have sizes from 0 to 2^31 - 1", std::to_string(size));
    }
  }
}

std::vector<Index> sizes_of(const py::array& array) {
  return std::vector<Index>(array.shape(), array.shape() + array.ndim());
}

// Nothing here overflows: every number is below 2^31.
Index windows(Index size, Index kernel, Index stride, const Pair& padding, Index dilation) {
  const Index room = size + padding[0] + padding[1] - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

ConvolutionShape shape_of(const Geometry& geometry, const std::vector<Index>& x,
                          const std::vector<Index>& weight) {
  const char* op = geometry.op;
  check_within(op, "stride", geometry.stride, 1);
  check_within(op, "dilation", geometry.dilation, 1);
  check_within(op, "padding of rows", geometry.padding[0], 0);
  check_within(op, "padding of columns", geometry.padding[1], 0);
  check_sizes(op, "x", x);
  check_sizes(op, "weight", weight);
  if (weight[2] < 1 || weight[3] < 1)
    refuse(op, "the kernel must have at least one element", text_of({weight[2], weight[3]}));
  const Index groups = geometry.groups;
  // Of nothing any number of groups is a divisor; one per channel is the most that there are.
  const Index most_groups = std::max<Index>({1, weight[0], x[1]});
  if (groups < 1 || groups > most_groups || weight[0] % groups || x[1] != weight[1] * groups) {
    refuse(op, "groups must divide the channels of x and weight, with x's in weight's second axis",
           std::to_string(groups) + " for " + std::to_string(x[1]) + " channels and weight (" +
               std::to_string(weight[0]) + ", " + std::to_string(weight[1]) + ", ...)");
  }
  ConvolutionShape shape{};
  shape.images = x[0];
  shape.groups = groups;
  shape.inputs = weight[1];
  shape.outputs = weight[0] / groups;
  shape.height = x[2];
  shape.width = x[3];
  shape.kernel_height = weight[2];
  shape.kernel_width = weight[3];
  shape.row_stride = geometry.stride[0];
  shape.column_stride = geometry.stride[1];
  shape.row_dilation = geometry.dilation[0];
  shape.column_dilation = geometry.dilation[1];
  shape.top = geometry.padding[0][0];
  shape.left = geometry.padding[1][0];
  shape.result_height = windows(x[2], weight[2], geometry.stride[0], geometry.padding[0],
                                geometry.dilation[0]);
  shape.result_width = windows(x[3], weight[3], geometry.stride[1], geometry.padding[1],
                               geometry.dilation[1]);
  return shape;
}

std::vector<Index> result_sizes(const ConvolutionShape& shape) {
  return {shape.images, shape.groups * shape.outputs, shape.result_height, shape.result_width};
}

void check_result(const char* op, const py::array& y, const ConvolutionShape& shape) {
  const std::vector<Index> expected = result_sizes(shape);
  if (sizes_of(y) != expected) {
    std::string text = "(";
    for (std::size_t i = 0; i < 4; ++i) text += (i ? ", " : "") + std::to_string(expected[i]);
    refuse(op, "y must have the convolution's shape " + text + ")", shape_text(y));
  }
}

void check_operand(const Checker& check, const char* name, const py::array& array) {
  check.dtype(name, array);
  if (array.ndim() != 4)
    refuse(check.op, std::string(name) + " must have 4 dimensions", shape_text(array));
  check.contiguous(name, array);
}

template <typename T>
const ConvolutionOf<T>& kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return convolution_kernels().of_float;
  } else {
    return convolution_kernels().of_double;
  }
}

// Calls run(T()) for the arrays' dtype without the interpreter.
template <typename Run>
void run_released(bool is_double, const Run& run) {
  bool complete;
  {
    py::gil_scoped_release release;
    complete = is_double ? run(double()) : run(float());
  }
  if (!complete) throw std::bad_alloc();
}

template <typename T>
const T* values(const py::array& array) {
  return static_cast<const T*>(array.data());
}

py::tuple forward(const py::array& x, const py::array& weight, const Pair& stride,
                  const Padding& padding, const Pair& dilation, Index groups,
                  const OptionalArray& bias, const std::string& activation, bool keep_before) {
  const Geometry geometry{"convolution", stride, padding, dilation, groups};
  const Checker check(geometry.op, "x", x, 4);
  check_operand(check, "weight", weight);
  const int index = activation_index(geometry.op, activation);
  if (bias) check.vector("bias", *bias, weight.shape(0));
  const ConvolutionShape shape = shape_of(geometry, sizes_of(x), sizes_of(weight));
  py::array out(x.dtype(), result_sizes(shape));
  py::object before = py::none();
  void* before_data = nullptr;
  if (keep_before) {
    py::array made(x.dtype(), result_sizes(shape));
    before_data = made.mutable_data();
    before = made;
  }
  const bool ends = bias || keep_before || activation != "identity";
  run_released(check.is_double, [&](auto zero) {
    using T = decltype(zero);
    const ConvolutionEnd<T> end{data<T>(bias), static_cast<T*>(before_data), index};
    return kernels<T>().forward(shape, values<T>(x), values<T>(weight), ends ? &end : nullptr,
                                static_cast<T*>(out.mutable_data()));
  });
  return py::make_tuple(out, before);
}

py::array input_gradient(const py::array& y, const py::array& weight,
                         const std::array<Index, 4>& sizes, const Pair& stride,
                         const Padding& padding, const Pair& dilation, Index groups) {
  const Geometry geometry{"convolution_input_gradient", stride, padding, dilation, groups};
  const Checker check(geometry.op, "y", y, 4);
  check_operand(check, "weight", weight);
  const std::vector<Index> x_sizes(sizes.begin(), sizes.end());
  const ConvolutionShape shape = shape_of(geometry, x_sizes, sizes_of(weight));
  check_result(geometry.op, y, shape);
  py::array out(y.dtype(), x_sizes);
  run_released(check.is_double, [&](auto zero) {
    using T = decltype(zero);
    return kernels<T>().input_gradient(shape, values<T>(y), values<T>(weight),
                                       static_cast<T*>(out.mutable_data()));
  });
  return out;
}

py::array weight_gradient(const py::array& y, const py::array& x, const std::array<Index, 4>& sizes,
                          const Pair& stride, const Padding& padding, const Pair& dilation,
                          Index groups) {
  const Geometry geometry{"convolution_weight_gradient", stride, padding, dilation, groups};
  const Checker check(geometry.op, "y", y, 4);
  check_operand(check, "x", x);
  const std::vector<Index> weight_sizes(sizes.begin(), sizes.end());
  const ConvolutionShape shape = shape_of(geometry, sizes_of(x), weight_sizes);
  check_result(geometry.op, y, shape);
  py::array out(y.dtype(), weight_sizes);
  run_released(check.is_double, [&](auto zero) {
    using T = decltype(zero);
    return kernels<T>().weight_gradient(shape, values<T>(y), values<T>(x),
                                        static_cast<T*>(out.mutable_data()));
  });
  return out;
}

}  // namespace

void add_convolution(py::module_& module) {
  module.def("convolution", &forward, "x"_a.noconvert(), "weight"_a.noconvert(), "stride"_a,
             "padding"_a, "dilation"_a, "groups"_a, "bias"_a.noconvert() = py::none(),
             "activation"_a = "identity", "keep_before"_a = false,
             "(act(z + bias), and z + bias where keep_before says so or None), z the convolution of "
             "images (images, channels, height, width). padding is ((top, bottom), (left, right)).");
  module.def("convolution_input_gradient", &input_gradient, "y"_a.noconvert(),
             "weight"_a.noconvert(), "shape"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a,
             "The gradient of a convolution's images, of `shape`, from its result's gradient y.");
  module.def("convolution_weight_gradient", &weight_gradient, "y"_a.noconvert(), "x"_a.noconvert(),
             "shape"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a,
             "The gradient of a convolution's kernels, of `shape`, from its result's gradient y.");
}

}  // namespace tfl
