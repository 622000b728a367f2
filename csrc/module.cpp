// The Python module tensorflowlite._native: checks what comes in, releases the interpreter, calls
// the kernels.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "activations.cuh"
#include "cuda_module.hpp"
#include "kernels.hpp"
#include "ufuncs.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

std::atomic<const tfl::Kernels*> chosen{nullptr};

const tfl::Kernels& kernels() {
  const tfl::Kernels* table = chosen.load(std::memory_order_relaxed);
  if (table) return *table;
  std::size_t count;
  table = tfl::available_kernels(&count)[0];
  chosen.store(table, std::memory_order_relaxed);
  return *table;
}

py::tuple instruction_sets() {
  std::size_t count;
  const tfl::Kernels* const* tables = tfl::available_kernels(&count);
  py::tuple names(count);
  for (std::size_t i = 0; i < count; ++i) names[i] = tables[i]->name;
  return names;
}

void use_instruction_set(const std::string& name) {
  std::size_t count;
  const tfl::Kernels* const* tables = tfl::available_kernels(&count);
  for (std::size_t i = 0; i < count; ++i) {
    if (name == tables[i]->name) {
      chosen.store(tables[i], std::memory_order_relaxed);
      return;
    }
  }
  throw py::value_error("use_instruction_set: name must be one of instruction_sets(), got '" +
                        name + "'");
}

struct Activation {
  const char* name;
  bool from_output;
};

#define TFL_ROW(type, name) {#name, tfl::type::from_output},
constexpr Activation activations[] = {TFL_FOR_EACH_ACTIVATION(TFL_ROW)};
#undef TFL_ROW

int activation_index(const char* op, const std::string& name) {
  int index = 0;
  for (const Activation& activation : activations) {
    if (name == activation.name) return index;
    ++index;
  }
  std::string known;
  for (const Activation& activation : activations)
    known += std::string(known.empty() ? "" : ", ") + activation.name;
  throw py::value_error(std::string(op) + ": activation must be one of " + known + ", got '" +
                        name + "'");
}

std::string shape_text(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i)
    text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + (array.ndim() == 1 ? ",)" : ")");
}

[[noreturn]] void refuse(const char* op, const std::string& requirement, const std::string& got) {
  throw py::value_error(std::string(op) + ": " + requirement + ", got " + got);
}

// The checks of one call: every array against the first one's dtype, and what each may be.
struct Checker {
  const char* op;
  py::array first;
  bool is_double;

  Checker(const char* op, const char* name, const py::array& array, py::ssize_t dimensions)
      : op(op), first(array), is_double(py::isinstance<py::array_t<double>>(array)) {
    if (!is_double && !py::isinstance<py::array_t<float>>(array)) {
      refuse(op, std::string(name) + " must be float32 or float64",
             py::str(array.dtype()).cast<std::string>());
    }
    if (array.ndim() != dimensions) {
      refuse(op, std::string(name) + " must have " + std::to_string(dimensions) + " dimensions",
             shape_text(array));
    }
    contiguous(name, array);
  }

  void contiguous(const char* name, const py::array& array) const {
    if (!(array.flags() & py::array::c_style)) {
      refuse(op, std::string(name) + " must be C-contiguous", "another memory order");
    }
    if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
      refuse(op, std::string(name) + " must be aligned", "unaligned memory");
    }
  }

  void dtype(const char* name, const py::array& array) const {
    if (!array.dtype().equal(first.dtype())) {
      refuse(op,
             std::string(name) + " must be " + py::str(first.dtype()).cast<std::string>() +
                 " as the first array",
             py::str(array.dtype()).cast<std::string>());
    }
  }

  void like_first(const char* name, const py::array& array) const {
    dtype(name, array);
    bool same = array.ndim() == first.ndim();
    for (py::ssize_t i = 0; same && i < array.ndim(); ++i) same = array.shape(i) == first.shape(i);
    if (!same)
      refuse(op, std::string(name) + " must have shape " + shape_text(first), shape_text(array));
    contiguous(name, array);
  }

  void vector(const char* name, const py::array& array, py::ssize_t length) const {
    dtype(name, array);
    if (array.ndim() != 1 || array.shape(0) != length) {
      refuse(op, std::string(name) + " must have shape (" + std::to_string(length) + ",)",
             shape_text(array));
    }
    contiguous(name, array);
  }

  // A written array may be one of `same` exactly, element by element, and overlaps nothing else.
  void written(const char* name, const py::array& array,
               std::initializer_list<const py::array*> same,
               std::initializer_list<const py::array*> apart) const {
    if (!array.writeable())
      refuse(op, std::string(name) + " must be writeable", "a read-only array");
    for (const py::array* other : same) {
      if (other && array.data() != other->data() && overlap(array, *other)) {
        refuse(op, std::string(name) + " must be an input itself or apart from it",
               "partly overlapping memory");
      }
    }
    for (const py::array* other : apart) {
      if (other && overlap(array, *other)) {
        refuse(op, std::string(name) + " must not share memory with another argument",
               "overlapping memory");
      }
    }
  }

  static bool overlap(const py::array& one, const py::array& other) {
    const char* a = static_cast<const char*>(one.data());
    const char* b = static_cast<const char*>(other.data());
    return a < b + other.nbytes() && b < a + one.nbytes();
  }
};

py::array empty_like(const py::array& array) {
  return py::array(array.dtype(),
                   std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()));
}

void check_slope(const char* op, double slope) {
  if (!(slope >= 0.0)) {
    refuse(op, "slope must be at least 0, for its derivative is read from the output's sign",
           std::to_string(slope));
  }
}

using OptionalArray = std::optional<py::array>;

const py::array* pointer(const OptionalArray& array) { return array ? &*array : nullptr; }

template <typename T>
T* mutable_data(OptionalArray& array) {
  return array ? static_cast<T*>(array->mutable_data()) : nullptr;
}

template <typename T>
const T* data(const OptionalArray& array) {
  return array ? static_cast<const T*>(array->data()) : nullptr;
}

template <typename T>
tfl::Forward<T> forward_arguments(const py::array& z, const OptionalArray& bias, py::array& out,
                                  OptionalArray& residual, double slope) {
  return {static_cast<const T*>(z.data()), data<T>(bias), static_cast<T*>(out.mutable_data()),
          mutable_data<T>(residual), static_cast<T>(slope)};
}

template <typename T>
tfl::Backward<T> backward_arguments(const py::array& g, const py::array& saved, py::array& dz,
                                    OptionalArray& db, double slope) {
  return {static_cast<const T*>(g.data()), static_cast<const T*>(saved.data()),
          static_cast<T*>(dz.mutable_data()), mutable_data<T>(db), static_cast<T>(slope)};
}

std::size_t extent(const py::array& array, int axis) {
  return static_cast<std::size_t>(array.shape(axis));
}

py::array forward(const char* op, const py::array& z, const OptionalArray& bias,
                  const std::string& activation, const OptionalArray& out_or_none,
                  OptionalArray residual, double slope, int dimensions) {
  const int index = activation_index(op, activation);
  check_slope(op, slope);
  const Checker check(op, "z", z, dimensions);
  if (bias) check.vector("bias", *bias, z.shape(1));
  if (out_or_none) check.like_first("out", *out_or_none);
  if (residual) {
    check.like_first("residual", *residual);
    check.written("residual", *residual, {&z}, {pointer(bias), pointer(out_or_none)});
  }
  if (out_or_none) check.written("out", *out_or_none, {&z}, {pointer(bias)});
  py::array out = out_or_none ? *out_or_none : empty_like(z);
  const tfl::Kernels& table = kernels();
  const auto run = [&](auto arguments, auto rows, auto channels) {
    py::gil_scoped_release release;
    if (dimensions == 2) {
      rows(index, arguments, tfl::Rows{extent(z, 0), extent(z, 1)});
    } else {
      channels(index, arguments, tfl::Channels{extent(z, 0), extent(z, 1), extent(z, 2)});
    }
  };
  if (check.is_double) {
    run(forward_arguments<double>(z, bias, out, residual, slope), table.forward_rows_double,
        table.forward_channels_double);
  } else {
    run(forward_arguments<float>(z, bias, out, residual, slope), table.forward_rows_float,
        table.forward_channels_float);
  }
  return out;
}

void backward(const char* op, const py::array& g, const py::array& saved,
              const std::string& activation, py::array dz, OptionalArray db, double slope,
              int dimensions) {
  const int index = activation_index(op, activation);
  check_slope(op, slope);
  const Checker check(op, "g", g, dimensions);
  check.like_first("saved", saved);
  check.like_first("dz", dz);
  check.written("dz", dz, {&g, &saved}, {});
  if (db) {
    check.vector("db", *db, g.shape(1));
    check.written("db", *db, {}, {&g, &saved, &dz});
  }
  const tfl::Kernels& table = kernels();
  const auto run = [&](auto arguments, auto rows, auto channels) {
    py::gil_scoped_release release;
    if (dimensions == 2) {
      rows(index, arguments, tfl::Rows{extent(g, 0), extent(g, 1)});
    } else {
      channels(index, arguments, tfl::Channels{extent(g, 0), extent(g, 1), extent(g, 2)});
    }
  };
  if (check.is_double) {
    run(backward_arguments<double>(g, saved, dz, db, slope), table.backward_rows_double,
        table.backward_channels_double);
  } else {
    run(backward_arguments<float>(g, saved, dz, db, slope), table.backward_rows_float,
        table.backward_channels_float);
  }
}

// Fills `out` with elements offset, offset + 1, ... of a stream.
template <typename T>
void fill(const char* op, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset,
          py::array& out, void (*kernel)(tfl::Stream, std::uint64_t, std::size_t, T*)) {
  if (out.ndim() != 1) refuse(op, "out must have 1 dimension", shape_text(out));
  if (!(out.flags() & py::array::c_style) ||
      !(out.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    refuse(op, "out must be contiguous and aligned", "another memory order");
  }
  if (!out.writeable()) refuse(op, "out must be writeable", "a read-only array");
  const std::size_t count = extent(out, 0);
  // A 64-bit element is two of the 32-bit ones that the kernels count.
  if (offset > (std::uint64_t{1} << 63) - count)
    refuse(op, "offset + size must be at most 2**63", std::to_string(offset));
  T* target = static_cast<T*>(out.mutable_data());
  py::gil_scoped_release release;
  kernel({seed, stream}, offset, count, target);
}

void random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::array out) {
  if (!py::isinstance<py::array_t<std::uint32_t>>(out)) {
    refuse("random_bits", "out must be uint32", py::str(out.dtype()).cast<std::string>());
  }
  fill("random_bits", seed, stream, offset, out, kernels().random_bits);
}

void uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::array out) {
  if (py::isinstance<py::array_t<float>>(out)) {
    fill("uniform", seed, stream, offset, out, kernels().uniform_float);
  } else if (py::isinstance<py::array_t<double>>(out)) {
    fill("uniform", seed, stream, offset, out, kernels().uniform_double);
  } else {
    refuse("uniform", "out must be float32 or float64", py::str(out.dtype()).cast<std::string>());
  }
}

void normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::array out) {
  if (py::isinstance<py::array_t<float>>(out)) {
    fill("normal", seed, stream, offset, out, kernels().normal_float);
  } else if (py::isinstance<py::array_t<double>>(out)) {
    fill("normal", seed, stream, offset, out, kernels().normal_double);
  } else {
    refuse("normal", "out must be float32 or float64", py::str(out.dtype()).cast<std::string>());
  }
}

py::dict activation_table() {
  py::dict table;
  for (const Activation& activation : activations) {
    table[activation.name] = activation.from_output ? "from_output" : "from_input";
  }
  return table;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() =
      "CPU kernels of tensorflowlite. Arrays are NumPy's; every function says what it accepts and "
      "raises ValueError.";

  module.def("instruction_sets", &instruction_sets,
             "Names of the instruction sets that this processor runs, best first.");
  module.def("instruction_set", [] { return kernels().name; }, "The instruction set in use.");
  module.def("use_instruction_set", &use_instruction_set, "name"_a,
             "Use another of instruction_sets(), in every thread.");
  module.def("activations", &activation_table,
             "Activation names, each with what its derivative is computed from: 'from_output' or "
             "'from_input'.");

  tfl::add_cuda(module);
  module.def("mended_ufunc", &mended_ufunc, "ufunc"_a, "bfloat16"_a,
             "NumPy's floor_divide, tanh or expm1 with the Array API's answers at infinity; "
             "bfloat16 is the number of that dtype.");

  module.def("random_bits", &random_bits, "seed"_a, "stream"_a, "offset"_a, "out"_a.noconvert(),
             "Fill out, uint32 (n,), with elements offset ... of a Philox stream.");
  module.def("uniform", &uniform, "seed"_a, "stream"_a, "offset"_a, "out"_a.noconvert(),
             "Fill out, float32 or float64 (n,), with uniforms in [0, 1).");
  module.def("normal", &normal, "seed"_a, "stream"_a, "offset"_a, "out"_a.noconvert(),
             "Fill out, float32 or float64 (n,), with standard normals.");

  const char* forward_text =
      "act(z + bias), written to out (made where it is None; z itself is allowed). residual, where "
      "given, receives z + bias.";
  const char* backward_text =
      "dz = g * act'(saved), and db = the sums of dz per bias where given. saved is the output or "
      "the input of the activation, "
      "as activations() says. dz may be g or saved itself.";
  module.def(
      "bias_activation_forward",
      [](const py::array& z, const OptionalArray& bias, const std::string& activation,
         const OptionalArray& out, const OptionalArray& residual, double slope) {
        return forward("bias_activation_forward", z, bias, activation, out, residual, slope, 2);
      },
      "z"_a.noconvert(), "bias"_a.noconvert(), "activation"_a, "out"_a.noconvert() = py::none(),
      "residual"_a.noconvert() = py::none(), py::kw_only(), "slope"_a = 0.01, forward_text);
  module.def(
      "bias_activation_forward_channels",
      [](const py::array& z, const OptionalArray& bias, const std::string& activation,
         const OptionalArray& out, const OptionalArray& residual, double slope) {
        return forward("bias_activation_forward_channels", z, bias, activation, out, residual,
                       slope, 3);
      },
      "z"_a.noconvert(), "bias"_a.noconvert(), "activation"_a, "out"_a.noconvert() = py::none(),
      "residual"_a.noconvert() = py::none(), py::kw_only(), "slope"_a = 0.01, forward_text);
  module.def(
      "bias_activation_backward",
      [](const py::array& g, const py::array& saved, const std::string& activation, py::array dz,
         const OptionalArray& db, double slope) {
        backward("bias_activation_backward", g, saved, activation, dz, db, slope, 2);
      },
      "g"_a.noconvert(), "saved"_a.noconvert(), "activation"_a, "dz"_a.noconvert(),
      "db"_a.noconvert() = py::none(), py::kw_only(), "slope"_a = 0.01, backward_text);
  module.def(
      "bias_activation_backward_channels",
      [](const py::array& g, const py::array& saved, const std::string& activation, py::array dz,
         const OptionalArray& db, double slope) {
        backward("bias_activation_backward_channels", g, saved, activation, dz, db, slope, 3);
      },
      "g"_a.noconvert(), "saved"_a.noconvert(), "activation"_a, "dz"_a.noconvert(),
      "db"_a.noconvert() = py::none(), py::kw_only(), "slope"_a = 0.01, backward_text);
}
