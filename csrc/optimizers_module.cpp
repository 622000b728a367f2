#include <algorithm>
#include <complex>

#include <pybind11/complex.h>

#include "arguments.hpp"
#include "families.hpp"
#include "optimizers.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

// A group's arrays: all parameters, all gradients, and each kind of state, one per parameter.
// Models have hundreds of arrays, so they are looked at through NumPy's structures.
class Gathered {
 public:
  // Why the arrays can't be worked on, null where they can. Texts are made only for an error.
  const char* gather(const py::tuple& tensors, std::size_t kinds) {
    if (kinds < 2 || kinds > 2 + most_states || tensors.size() % kinds != 0)
      return "kinds must be 2 ... 5 and divide the number of arrays";
    const std::size_t count = tensors.size() / kinds;
    parameters.resize(count);
    starts.assign(count + 1, 0);
    memory_.clear();
    memory_.reserve(tensors.size());
    for (std::size_t i = 0; i < count; ++i) {
      if (const char* reason = gather_one(tensors, i, count, kinds)) return reason;
      starts[i + 1] = starts[i] + parameters[i].size;
    }
    return overlapping() ? "written arrays must not share memory with another" : nullptr;
  }

  std::vector<StepArrays> parameters;
  std::vector<std::size_t> starts;

 private:
  struct Memory {
    const char* begin;
    const char* end;
    bool written;
  };

  const char* gather_one(const py::tuple& tensors, std::size_t i, std::size_t count,
                         std::size_t kinds) {
    const py::detail::PyArray_Proxy* first = nullptr;
    StepArrays& one = parameters[i];
    int order = py::array::c_style | py::array::f_style;
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      PyObject* object = PyTuple_GET_ITEM(tensors.ptr(), static_cast<py::ssize_t>(kind * count + i));
      if (!py::detail::npy_api::get().PyArray_Check_(object)) return "all must be arrays";
      const auto* array = py::detail::array_proxy(object);
      if (!first) {
        first = array;
        if (!read_type(array->descr, &one)) return "parameters must be float or complex";
        one.size = parts_;
        for (int axis = 0; axis < array->nd; ++axis)
          one.size *= static_cast<std::size_t>(array->dimensions[axis]);
      } else if (array->descr != first->descr || array->nd != first->nd ||
                 !std::equal(array->dimensions, array->dimensions + array->nd,
                             first->dimensions)) {
        return "a gradient and a state must have the parameter's shape and dtype";
      }
      order &= array->flags;
      if (!order || !(array->flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
        return "arrays must be aligned, contiguous and in one order";
      const bool written = kind != 1;
      if (written && !(array->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_))
        return "parameters and states must be writeable";
      one.arrays[kind] = array->data;
      const std::size_t bytes = one.size * (one.is_double ? sizeof(double) : sizeof(float));
      if (bytes) memory_.push_back({array->data, array->data + bytes, written});
    }
    return nullptr;
  }

  bool read_type(const PyObject* descriptor, StepArrays* one) {
    // NumPy's own descriptors are there once, and for ever.
    static const PyObject* const types[] = {
        py::dtype::of<float>().release().ptr(), py::dtype::of<double>().release().ptr(),
        py::dtype::of<std::complex<float>>().release().ptr(),
        py::dtype::of<std::complex<double>>().release().ptr()};
    for (std::size_t type = 0; type < 4; ++type) {
      if (descriptor == types[type]) {
        one->is_double = type % 2;
        parts_ = type < 2 ? 1 : 2;
        return true;
      }
    }
    return false;
  }

  bool overlapping() {
    std::sort(memory_.begin(), memory_.end(),
              [](const Memory& a, const Memory& b) { return a.begin < b.begin; });
    // How far the written arrays before reach, and the others.
    const char *written_end = nullptr, *read_end = nullptr;
    for (const Memory& one : memory_) {
      if (one.begin < written_end || (one.written && one.begin < read_end)) return true;
      const char*& reach = one.written ? written_end : read_end;
      reach = std::max(reach, one.end);
    }
    return false;
  }

  std::size_t parts_ = 1;
  std::vector<Memory> memory_;
};

bool accepts_step(const py::tuple& tensors, std::size_t kinds) {
  Gathered gathered;
  return gathered.gather(tensors, kinds) == nullptr;
}

std::size_t rule_index(const std::string& name) {
  const Optimizers& table = optimizers_kernels();
  for (std::size_t i = 0; i < table.count; ++i) {
    if (name == table.rules[i].name) return i;
  }
  throw py::value_error("optimizer_step: rule must be one of optimizer_rules(), got '" + name +
                        "'");
}

void optimizer_step(const std::string& name, const py::tuple& tensors,
                    const std::vector<double>& constants) {
  const std::size_t index = rule_index(name);
  const StepRule& rule = optimizers_kernels().rules[index];
  const std::size_t kinds = 2 + rule.states;
  Gathered gathered;
  if (const char* reason = gathered.gather(tensors, kinds))
    refuse("optimizer_step", reason, std::to_string(tensors.size()) + " arrays");
  const std::size_t row = shared_constants + rule.constants;
  const std::size_t count = gathered.parameters.size();
  if (constants.size() != row && constants.size() != row * count) {
    refuse("optimizer_step",
           "constants must be " + std::to_string(row) + " numbers, or that many per parameter",
           std::to_string(constants.size()));
  }
  const std::size_t stride = constants.size() == row ? 0 : row;
  py::gil_scoped_release release;
  optimizers_kernels().step(index, {gathered.parameters.data(), gathered.starts.data(), count,
                                    constants.data(), stride});
}

py::dict optimizer_rules() {
  const Optimizers& table = optimizers_kernels();
  py::dict rules;
  for (std::size_t i = 0; i < table.count; ++i) {
    const StepRule& rule = table.rules[i];
    rules[rule.name] = py::make_tuple(rule.states, shared_constants + rule.constants);
  }
  return rules;
}

}  // namespace

void add_optimizers(py::module_& module) {
  module.def("optimizer_rules", &optimizer_rules,
             "Names of update rules, each with its number of states and of constants.");
  module.def("accepts_step", &accepts_step, "tensors"_a, "kinds"_a,
             "Whether optimizer_step takes these arrays, so many kinds of them.");
  module.def("optimizer_step", &optimizer_step, "rule"_a, "tensors"_a, "constants"_a,
             "Update all parameters and states in place. tensors has all parameters, all "
             "gradients, and for each state one array per parameter; constants begin with the "
             "gradient's sign, the L2 penalty and what is left of a parameter after its decay.");
}

}  // namespace tfl
