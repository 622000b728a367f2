#include "arguments.hpp"
#include "families.hpp"
#include "losses.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

// The targets of a call, checked: int64 (rows,), and `weight` one number per class.
template <typename T>
Targets<T> targets_of(const Checker& check, const py::array& target, const OptionalArray& weight,
                      std::int64_t ignored, double smoothing) {
  const std::size_t rows = extent(check.first, 0), classes = extent(check.first, 1);
  if (!py::isinstance<py::array_t<std::int64_t>>(target)) {
    refuse(check.op, "target must be int64", py::str(target.dtype()).cast<std::string>());
  }
  if (target.ndim() != 1 || extent(target, 0) != rows) {
    refuse(check.op, "target must have shape (" + std::to_string(rows) + ",)", shape_text(target));
  }
  check.contiguous("target", target);
  if (weight) check.vector("weight", *weight, check.first.shape(1));
  if (!(smoothing >= 0.0 && smoothing <= 1.0))
    refuse(check.op, "smoothing must lie in [0, 1]", std::to_string(smoothing));
  const auto* indices = static_cast<const std::int64_t*>(target.data());
  for (std::size_t i = 0; i < rows; ++i) {
    const bool inside = indices[i] >= 0 && indices[i] < static_cast<std::int64_t>(classes);
    if (!inside && indices[i] != ignored) {
      throw py::index_error(std::string(check.op) + ": target must lie in [0, " +
                            std::to_string(classes) + "), got " + std::to_string(indices[i]));
    }
  }
  return {rows, classes, indices, data<T>(weight), ignored, static_cast<T>(smoothing)};
}

py::tuple cross_entropy(const py::array& x, const py::array& target, const OptionalArray& weight,
                        std::int64_t ignored, double smoothing) {
  const Checker check("softmax_cross_entropy", "x", x, 2);
  py::array softmax = empty_like(x);
  py::array loss(x.dtype(), std::vector<py::ssize_t>{x.shape(0)});
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Targets<T> targets = targets_of<T>(check, target, weight, ignored, smoothing);
    const T* from = static_cast<const T*>(x.data());
    T* to_loss = static_cast<T*>(loss.mutable_data());
    T* to_softmax = static_cast<T*>(softmax.mutable_data());
    const py::gil_scoped_release release;
    kernel(from, targets, to_loss, to_softmax);
  };
  if (check.is_double) {
    run(0.0, losses_kernels().cross_entropy_double);
  } else {
    run(0.0f, losses_kernels().cross_entropy_float);
  }
  return py::make_tuple(loss, softmax);
}

py::array gradient(const py::array& g, const py::array& softmax, const py::array& target,
                   const OptionalArray& weight, std::int64_t ignored, double smoothing) {
  const Checker check("softmax_cross_entropy_gradient", "softmax", softmax, 2);
  check.vector("g", g, softmax.shape(0));
  py::array dx = empty_like(softmax);
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Targets<T> targets = targets_of<T>(check, target, weight, ignored, smoothing);
    const T* from = static_cast<const T*>(g.data());
    const T* p = static_cast<const T*>(softmax.data());
    T* to = static_cast<T*>(dx.mutable_data());
    const py::gil_scoped_release release;
    kernel(from, p, targets, to);
  };
  if (check.is_double) {
    run(0.0, losses_kernels().gradient_double);
  } else {
    run(0.0f, losses_kernels().gradient_float);
  }
  return dx;
}

py::array target_weights(const py::array& target, const OptionalArray& weight, std::int64_t classes,
                         std::int64_t ignored, const py::dtype& dtype) {
  constexpr const char* op = "target_weights";
  if (!py::isinstance<py::array_t<std::int64_t>>(target))
    refuse(op, "target must be int64", py::str(target.dtype()).cast<std::string>());
  if (!(target.flags() & py::array::c_style) ||
      !(target.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
    refuse(op, "target must be C-contiguous and aligned", "another memory order");
  py::array out(dtype, std::vector<py::ssize_t>(target.shape(), target.shape() + target.ndim()));
  const Checker check(op, "dtype", out, out.ndim());
  const auto* indices = static_cast<const std::int64_t*>(target.data());
  if (weight) check.vector("weight", *weight, classes);
  const std::size_t count = static_cast<std::size_t>(target.size());
  const auto run = [&](auto one) {
    using T = decltype(one);
    T* to = static_cast<T*>(out.mutable_data());
    const T* weights = data<T>(weight);
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t index = indices[i];
      if (index == ignored) {
        to[i] = T(0);
      } else if (index >= 0 && index < classes) {
        to[i] = weights ? weights[index] : T(1);
      } else {
        throw py::index_error(std::string(op) + ": target must lie in [0, " +
                              std::to_string(classes) + "), got " + std::to_string(index));
      }
    }
  };
  check.is_double ? run(1.0) : run(1.0f);
  return out;
}

}  // namespace

void add_losses(py::module_& module) {
  module.def("softmax_cross_entropy", &cross_entropy, "x"_a.noconvert(), "target"_a.noconvert(),
             "weight"_a.noconvert(), "ignored"_a, "smoothing"_a,
             "The cross-entropy of each row of logits with its target, and the rows' softmax. "
             "IndexError for a target that is no class.");
  module.def("softmax_cross_entropy_gradient", &gradient, "g"_a.noconvert(),
             "softmax"_a.noconvert(), "target"_a.noconvert(), "weight"_a.noconvert(), "ignored"_a,
             "smoothing"_a, "The gradient of each row's loss, taken to the logits.");
  module.def("target_weights", &target_weights, "target"_a.noconvert(), "weight"_a.noconvert(),
             "classes"_a, "ignored"_a, "dtype"_a,
             "What each target counts: its class's weight, 0 where it is ignored. IndexError for a "
             "target that is no class.");
}

}  // namespace tfl
