#include <cstring>

#include "activations.cuh"
#include "arguments.hpp"
#include "bias_activation.hpp"
#include "families.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

struct Activation {
  const char* name;
  bool from_output;
};

#define TFL_ROW(type, name) {#name, type::from_output},
constexpr Activation activations[] = {TFL_FOR_EACH_ACTIVATION(TFL_ROW)};
#undef TFL_ROW

}  // namespace

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

namespace {

void check_slope(const char* op, double slope) {
  if (!(slope >= 0.0)) {
    refuse(op, "slope must be at least 0, for its derivative is read from the output's sign",
           std::to_string(slope));
  }
}

template <typename T>
Forward<T> forward_arguments(const py::array& z, const OptionalArray& bias, py::array& out,
                                  OptionalArray& residual, double slope) {
  return {static_cast<const T*>(z.data()), data<T>(bias), static_cast<T*>(out.mutable_data()),
          mutable_data<T>(residual), static_cast<T>(slope)};
}

template <typename T>
Backward<T> backward_arguments(const py::array& g, const py::array& saved, py::array& dz,
                                    OptionalArray& db, double slope) {
  return {static_cast<const T*>(g.data()), static_cast<const T*>(saved.data()),
          static_cast<T*>(dz.mutable_data()), mutable_data<T>(db), static_cast<T>(slope)};
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
  const BiasActivation& table = bias_activation_kernels();
  const auto run = [&](auto arguments, auto rows, auto channels) {
    py::gil_scoped_release release;
    if (dimensions == 2) {
      rows(index, arguments, Rows{extent(z, 0), extent(z, 1)});
    } else {
      channels(index, arguments, Channels{extent(z, 0), extent(z, 1), extent(z, 2)});
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
  const BiasActivation& table = bias_activation_kernels();
  const auto run = [&](auto arguments, auto rows, auto channels) {
    py::gil_scoped_release release;
    if (dimensions == 2) {
      rows(index, arguments, Rows{extent(g, 0), extent(g, 1)});
    } else {
      channels(index, arguments, Channels{extent(g, 0), extent(g, 1), extent(g, 2)});
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

// Arrays of any shape, all elements alike.
py::array apply_activation(const py::array& x, const std::string& activation) {
  const char* op = "activation_forward";
  const int index = activation_index(op, activation);
  const Checker check(op, "x", x, x.ndim());
  py::array out = empty_like(x);
  const BiasActivation& table = bias_activation_kernels();
  const Rows shape{1, static_cast<std::size_t>(x.size())};
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Forward<T> arguments{static_cast<const T*>(x.data()), nullptr,
                               static_cast<T*>(out.mutable_data()), nullptr, T(0.01)};
    const py::gil_scoped_release release;
    kernel(index, arguments, shape);
  };
  if (check.is_double) {
    run(0.0, table.forward_rows_double);
  } else {
    run(0.0f, table.forward_rows_float);
  }
  return out;
}

py::array apply_gradient(const py::array& g, const py::array& saved, const std::string& activation) {
  const char* op = "activation_gradient";
  const int index = activation_index(op, activation);
  const Checker check(op, "g", g, g.ndim());
  check.like_first("saved", saved);
  py::array dz = empty_like(g);
  const BiasActivation& table = bias_activation_kernels();
  const Rows shape{1, static_cast<std::size_t>(g.size())};
  const auto run = [&](auto zero, auto kernel) {
    using T = decltype(zero);
    const Backward<T> arguments{static_cast<const T*>(g.data()),
                                static_cast<const T*>(saved.data()),
                                static_cast<T*>(dz.mutable_data()), nullptr, T(0.01)};
    const py::gil_scoped_release release;
    kernel(index, arguments, shape);
  };
  if (check.is_double) {
    run(0.0, table.backward_rows_double);
  } else {
    run(0.0f, table.backward_rows_float);
  }
  return dz;
}

py::dict activation_table() {
  py::dict table;
  for (const Activation& activation : activations) {
    table[activation.name] = activation.from_output ? "from_output" : "from_input";
  }
  return table;
}

}  // namespace

void add_bias_activation(py::module_& module) {
  module.def("activations", &activation_table,
             "Activation names, each with what its derivative is computed from: 'from_output' or "
             "'from_input'.");
  module.def("activation_forward", &apply_activation, "x"_a.noconvert(), "activation"_a,
             "An activation of every element of an array of any shape.");
  module.def("activation_gradient", &apply_gradient, "g"_a.noconvert(), "saved"_a.noconvert(),
             "activation"_a, "g times the activation's derivative, for arrays of any shape.");
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

}  // namespace tfl
