#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>

#include "arguments.hpp"
#include "elements.hpp"
#include "families.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

// A prepared program, and the dtypes that its arrays must have.
struct PreparedElements {
  ElementProgram program;
  std::vector<py::dtype> inputs, outputs;
  std::vector<py::dtype> result;  // one or none
};

// A program laid over arrays, which stay alive with it.
struct BoundElements {
  std::shared_ptr<PreparedElements> prepared;
  std::vector<py::array> arrays;
  ElementCall call;

  void run() const {
    const py::gil_scoped_release release;
    element_kernels().run(call);
  }
};

constexpr const char* prepare_name = "prepare_elements";

std::string text_of(const py::handle& object) { return py::repr(object).cast<std::string>(); }

py::sequence sequence_of(const char* op, const char* name, const py::handle& object) {
  if (!PyList_Check(object.ptr()) && !PyTuple_Check(object.ptr()))
    refuse(op, std::string(name) + " must be a list or a tuple", py::str(py::type::of(object)));
  return py::reinterpret_borrow<py::sequence>(object);
}

Storage storage_of(const py::handle& object) {
  if (!py::isinstance<py::dtype>(object))
    refuse(prepare_name, "dtypes must be numpy.dtype", py::str(py::type::of(object)));
  const py::dtype dtype = py::reinterpret_borrow<py::dtype>(object);
  const std::pair<const char*, Storage> known[] = {
      {"bool", Storage::truth},      {"int32", Storage::int32},     {"int64", Storage::int64},
      {"float16", Storage::float16}, {"float32", Storage::float32}, {"float64", Storage::float64},
      {"bfloat16", Storage::bfloat16}};
  const std::string name = py::str(dtype.attr("name"));
  for (const auto& [each, storage] : known) {
    if (name == each && dtype.attr("isnative").cast<bool>() &&
        static_cast<std::size_t>(dtype.itemsize()) == size_of(storage)) {
      return storage;
    }
  }
  refuse(prepare_name, "dtypes must be bool, int32, int64, bfloat16, float16, float32 or float64",
         text_of(object));
}

Kind kind_from(const std::string& name) {
  const char* const names[kind_count] = {"bool", "int32", "int64", "float32", "float64"};
  for (std::size_t i = 0; i < kind_count; ++i) {
    if (name == names[i]) return static_cast<Kind>(i);
  }
  refuse(prepare_name, "a step's kind must be bool, int32, int64, float32 or float64",
         "'" + name + "'");
}

std::uint16_t number_of_value(const py::handle& object) {
  const auto number = object.cast<std::int64_t>();
  if (number < 0 || number >= static_cast<std::int64_t>(most_values))
    refuse(prepare_name, "numbers of values must lie in [0, 256)", std::to_string(number));
  return static_cast<std::uint16_t>(number);
}

ElementStep constant_of(Kind kind, const py::sequence& parameters) {
  ElementStep step{Operation::constant, kind, {}, {}, 0};
  if (parameters.size() != 1)
    refuse(prepare_name, "a constant must have one parameter", std::to_string(parameters.size()));
  if (kind >= Kind::float32) {
    step.parameters[0] = py::object(parameters[0]).cast<double>();
    return step;
  }
  step.integer = py::object(parameters[0]).cast<std::int64_t>();
  const std::int64_t low = kind == Kind::truth ? 0 : std::numeric_limits<std::int32_t>::min();
  const std::int64_t high = kind == Kind::truth ? 1 : std::numeric_limits<std::int32_t>::max();
  if (kind != Kind::int64 && (step.integer < low || step.integer > high))
    refuse(prepare_name, "a constant must fit in its kind", std::to_string(step.integer));
  return step;
}

ElementStep step_of(const py::handle& object) {
  const py::sequence parts = sequence_of(prepare_name, "a step", object);
  if (parts.size() != 4)
    refuse(prepare_name, "a step must be (operation, kind, operands, parameters)", text_of(object));
  const auto name = py::object(parts[0]).cast<std::string>();
  const Kind kind = kind_from(py::object(parts[1]).cast<std::string>());
  const py::sequence operands = sequence_of(prepare_name, "operands", py::object(parts[2]));
  const py::sequence parameters = sequence_of(prepare_name, "parameters", py::object(parts[3]));
  if (name == "constant" && operands.size() == 0) return constant_of(kind, parameters);
  for (std::size_t i = 0; i < operation_count; ++i) {
    const OperationFacts& facts = operation_facts[i];
    if (name != facts.name) continue;
    if (operands.size() != facts.operands || parameters.size() != facts.parameters) {
      refuse(prepare_name,
             name + " must have " + std::to_string(facts.operands) + " operands and " +
                 std::to_string(facts.parameters) + " parameters",
             text_of(object));
    }
    ElementStep step{static_cast<Operation>(i), kind, {}, {}, 0};
    for (std::size_t k = 0; k < facts.operands; ++k)
      step.operands[k] = number_of_value(py::object(operands[k]));
    for (std::size_t k = 0; k < facts.parameters; ++k)
      step.parameters[k] = py::object(parameters[k]).cast<double>();
    return step;
  }
  refuse(prepare_name, "operations must be known", "'" + name + "'");
}

Fold fold_from(const std::string& name) {
  const char* const names[] = {"sum", "mean", "max", "min"};
  for (std::size_t i = 0; i < 4; ++i) {
    if (name == names[i]) return static_cast<Fold>(i);
  }
  refuse(prepare_name, "a reduction must be sum, mean, max or min", "'" + name + "'");
}

void read_reduction(const py::handle& object, PreparedElements& made) {
  const py::sequence parts = sequence_of(prepare_name, "the reduction", object);
  if (parts.size() != 5) {
    refuse(prepare_name, "the reduction must be (kind, value, dtype, axes, keepdims)",
           text_of(object));
  }
  ElementProgram::Reduction reduction;
  reduction.fold = fold_from(py::object(parts[0]).cast<std::string>());
  reduction.value = number_of_value(py::object(parts[1]));
  reduction.storage = storage_of(py::object(parts[2]));
  made.result.push_back(py::reinterpret_borrow<py::dtype>(py::object(parts[2])));
  for (const py::handle axis : sequence_of(prepare_name, "axes", py::object(parts[3]))) {
    const auto number = axis.cast<std::int64_t>();
    const auto least =
        reduction.axes.empty() ? 0 : static_cast<std::int64_t>(reduction.axes.back()) + 1;
    if (number < least || number > 63)
      refuse(prepare_name, "axes must be sorted, in [0, 64)", text_of(py::object(parts[3])));
    reduction.axes.push_back(static_cast<std::size_t>(number));
  }
  reduction.keeps = py::object(parts[4]).cast<bool>();
  made.program.reduction = reduction;
}

std::shared_ptr<PreparedElements> read_program(const py::object& inputs, const py::object& steps,
                                               const py::object& outputs,
                                               const py::object& reduction) {
  auto made = std::make_shared<PreparedElements>();
  for (const py::handle dtype : sequence_of(prepare_name, "inputs", inputs)) {
    made->program.inputs.push_back(storage_of(dtype));
    made->inputs.push_back(py::reinterpret_borrow<py::dtype>(dtype));
  }
  for (const py::handle step : sequence_of(prepare_name, "steps", steps))
    made->program.steps.push_back(step_of(step));
  for (const py::handle output : sequence_of(prepare_name, "outputs", outputs)) {
    const py::sequence pair = sequence_of(prepare_name, "an output", output);
    if (pair.size() != 2) refuse(prepare_name, "an output must be (value, dtype)", text_of(output));
    made->program.outputs.push_back(
        {number_of_value(py::object(pair[0])), storage_of(py::object(pair[1]))});
    made->outputs.push_back(py::reinterpret_borrow<py::dtype>(py::object(pair[1])));
  }
  if (!reduction.is_none()) read_reduction(reduction, *made);
  const std::string wrong = made->program.prepare();
  if (!wrong.empty()) refuse(prepare_name, wrong, "another program");
  return made;
}

std::shared_ptr<PreparedElements> prepare_elements(const py::object& inputs,
                                                   const py::object& steps,
                                                   const py::object& outputs,
                                                   const py::object& reduction) {
  try {
    return read_program(inputs, steps, outputs, reduction);
  } catch (const py::cast_error&) {  // Python would see a RuntimeError
    refuse(prepare_name, "names must be texts, numbers of values integers, parameters numbers",
           text_of(steps));
  }
}

// ---- a call's arrays

py::array array_of(const char* op, const std::string& name, const py::handle& object,
                   const py::dtype& dtype) {
  if (!py::isinstance<py::array>(object))
    refuse(op, name + " must be an array", py::str(py::type::of(object)));
  const py::array array = py::reinterpret_borrow<py::array>(object);
  const py::dtype has = array.dtype();
  if (!has.is(dtype) && !has.equal(dtype))
    refuse(op, name + " must be " + text_of(dtype), text_of(has));
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
    refuse(op, name + " must be aligned", "unaligned memory");
  return array;
}

void broadcast(const char* op, const py::array& array, std::vector<std::size_t>& common) {
  const std::size_t axes = static_cast<std::size_t>(array.ndim());
  if (axes > common.size()) common.insert(common.begin(), axes - common.size(), 1);
  for (std::size_t i = 0; i < axes; ++i) {
    std::size_t& size = common[common.size() - axes + i];
    const std::size_t own = extent(array, static_cast<int>(i));
    if (size == 1) size = own;
    if (own != size && own != 1)
      refuse(op, "the arrays' shapes must broadcast", shape_text(array));
  }
}

ArrayView view_of(const py::array& array, std::size_t axes) {
  ArrayView view{const_cast<char*>(static_cast<const char*>(array.data())), {}};
  const std::size_t own = static_cast<std::size_t>(array.ndim());
  view.strides.assign(axes, 0);
  for (std::size_t i = 0; i < own; ++i) {
    const int axis = static_cast<int>(i);
    if (extent(array, axis) != 1) view.strides[axes - own + i] = array.strides(axis);
  }
  return view;
}

// Whether two elements of an array may share memory: a longer step must pass what shorter ones reach.
bool meets_itself(const py::array& array) {
  std::vector<std::pair<std::size_t, std::size_t>> steps;  // bytes, count
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (array.shape(i) == 0) return false;
    if (array.shape(i) > 1) {
      const py::ssize_t stride = array.strides(i);
      steps.emplace_back(stride < 0 ? -stride : stride, array.shape(i));
    }
  }
  std::sort(steps.begin(), steps.end());
  std::size_t reach = static_cast<std::size_t>(array.itemsize());
  for (const auto& [bytes, count] : steps) {
    if (bytes < reach) return true;
    reach += bytes * (count - 1);
  }
  return false;
}

bool same_layout(const py::array& one, const py::array& other) {
  if (one.data() != other.data() || one.ndim() != other.ndim() ||
      !one.dtype().is(other.dtype())) {
    return false;
  }
  for (py::ssize_t i = 0; i < one.ndim(); ++i) {
    if (one.shape(i) != other.shape(i) || one.strides(i) != other.strides(i)) return false;
  }
  return true;
}

// An output is an input itself or apart from all others.
void check_written(const char* op, const std::string& name, const std::vector<py::array>& arrays,
                   std::size_t inputs, bool may_be_input) {
  const py::array& out = arrays.back();
  if (!out.writeable()) refuse(op, name + " must be writeable", "a read-only array");
  if (meets_itself(out)) refuse(op, name + " must have memory of its own", "overlapping elements");
  for (std::size_t i = 0; i + 1 < arrays.size(); ++i) {
    const bool same = may_be_input && i < inputs && same_layout(out, arrays[i]);
    if (!same && Checker::overlap(out, arrays[i]))
      refuse(op, name + " must be an input itself or apart from all arrays", "overlapping memory");
  }
}

void check_shape(const char* op, const std::string& name, const py::array& array,
                 const std::vector<std::size_t>& shape) {
  bool same = static_cast<std::size_t>(array.ndim()) == shape.size();
  for (std::size_t i = 0; same && i < shape.size(); ++i)
    same = extent(array, static_cast<int>(i)) == shape[i];
  if (same) return;
  std::string text = "(";
  for (const std::size_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  refuse(op, name + " must have shape " + text + ")", shape_text(array));
}

std::vector<std::size_t> reduced_shape(const char* op, const ElementProgram::Reduction& reduction,
                                       const std::vector<std::size_t>& common) {
  std::vector<std::size_t> shape = common;
  for (std::size_t i = reduction.axes.size(); i-- > 0;) {
    const std::size_t axis = reduction.axes[i];
    if (axis >= common.size())
      refuse(op, "the arrays must have the reduced axes", std::to_string(common.size()) + " axes");
    if (common[axis] == 0 && reduction.fold >= Fold::max)
      refuse(op, "max and min must be of an element or more", "none");
    if (reduction.keeps) {
      shape[axis] = 1;
    } else {
      shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    }
  }
  return shape;
}

// The strides of a reduction's result along the common axes, 0 along those that are reduced.
ArrayView view_of_result(const py::array& array, const ElementProgram::Reduction& reduction,
                         std::size_t axes) {
  ArrayView view{const_cast<char*>(static_cast<const char*>(array.data())), {}};
  std::size_t own = 0;
  for (std::size_t axis = 0, next = 0; axis < axes; ++axis) {
    const bool reduced = next < reduction.axes.size() && reduction.axes[next] == axis;
    if (reduced) ++next;
    view.strides.push_back(reduced ? 0 : array.strides(static_cast<int>(own)));
    if (!reduced || reduction.keeps) ++own;
  }
  return view;
}

std::unique_ptr<BoundElements> bind(const char* op,
                                    const std::shared_ptr<PreparedElements>& prepared,
                                    const py::object& arrays, const py::object& outs) {
  const ElementProgram& program = prepared->program;
  auto bound = std::make_unique<BoundElements>();
  bound->prepared = prepared;
  const py::sequence in = sequence_of(op, "arrays", arrays), to = sequence_of(op, "outs", outs);
  const std::size_t inputs = prepared->inputs.size(), outputs = prepared->outputs.size();
  if (in.size() != inputs || to.size() != outputs + prepared->result.size()) {
    refuse(op,
           "there must be " + std::to_string(inputs) + " arrays and " +
               std::to_string(outputs + prepared->result.size()) + " outs",
           std::to_string(in.size()) + " and " + std::to_string(to.size()));
  }
  std::vector<std::size_t> common;
  for (std::size_t i = 0; i < inputs; ++i) {
    bound->arrays.push_back(
        array_of(op, "array " + std::to_string(i), py::object(in[i]), prepared->inputs[i]));
    broadcast(op, bound->arrays.back(), common);
  }
  // What can't be counted can't be gone through either; an empty shape has nothing to count.
  std::size_t total = 1;
  for (const std::size_t size : common) {
    if (size != 0 && total > (std::size_t{1} << 60) / size)
      refuse(op, "the arrays must have at most 2^60 elements", "more");
    total *= size ? size : 1;
  }
  std::vector<ArrayView> ins, written;
  for (const py::array& array : bound->arrays) ins.push_back(view_of(array, common.size()));
  for (std::size_t i = 0; i < outputs; ++i) {
    const std::string name = "out " + std::to_string(i);
    bound->arrays.push_back(array_of(op, name, py::object(to[i]), prepared->outputs[i]));
    check_shape(op, name, bound->arrays.back(), common);
    check_written(op, name, bound->arrays, inputs, true);
    written.push_back(view_of(bound->arrays.back(), common.size()));
  }
  ArrayView result;
  if (program.reduction) {
    const std::string name = "out " + std::to_string(outputs);
    bound->arrays.push_back(array_of(op, name, py::object(to[outputs]), prepared->result[0]));
    check_shape(op, name, bound->arrays.back(), reduced_shape(op, *program.reduction, common));
    check_written(op, name, bound->arrays, inputs, false);
    result = view_of_result(bound->arrays.back(), *program.reduction, common.size());
  }
  if (!bound->call.lay(program, common, ins, written, program.reduction ? &result : nullptr))
    refuse(op, "the arrays must have at most 8 axes after those that lie together were joined",
           "more");
  return bound;
}

std::unique_ptr<BoundElements> bind_elements(const std::shared_ptr<PreparedElements>& program,
                                             const py::object& arrays, const py::object& outs) {
  return bind("bind_elements", program, arrays, outs);
}

void run_elements(const std::shared_ptr<PreparedElements>& program, const py::object& arrays,
                  const py::object& outs) {
  bind("run_elements", program, arrays, outs)->run();
}

}  // namespace

void add_elements(py::module_& module) {
  py::class_<PreparedElements, std::shared_ptr<PreparedElements>>(
      module, "PreparedElements", "A checked element program, for arrays of any shape.");
  py::class_<BoundElements>(module, "BoundElements",
                            "An element program over arrays; a call without arguments runs it.")
      .def("__call__", &BoundElements::run);
  module.def("prepare_elements", &prepare_elements, "inputs"_a, "steps"_a, "outputs"_a,
             "reduction"_a,
             "An element program of input dtypes, steps (operation, kind, operands, parameters), "
             "outputs (value, dtype) and a reduction (kind, value, dtype, axes, keepdims) or None.");
  module.def("bind_elements", &bind_elements, "program"_a.none(false), "arrays"_a, "outs"_a,
             "A program over arrays that broadcast; outs are those of outputs and of a reduction.");
  module.def("run_elements", &run_elements, "program"_a.none(false), "arrays"_a, "outs"_a,
             "Runs a program over arrays once.");
}

}  // namespace tfl
