#include "arguments.hpp"
#include "families.hpp"
#include "random.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

// Fills `out` with elements offset, offset + 1, ... of a stream.
template <typename T>
void fill(const char* op, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset,
          py::array& out, void (*kernel)(Stream, std::uint64_t, std::size_t, T*)) {
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
  fill("random_bits", seed, stream, offset, out, random_kernels().bits);
}

void uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::array out) {
  if (py::isinstance<py::array_t<float>>(out)) {
    fill("uniform", seed, stream, offset, out, random_kernels().uniform_float);
  } else if (py::isinstance<py::array_t<double>>(out)) {
    fill("uniform", seed, stream, offset, out, random_kernels().uniform_double);
  } else {
    refuse("uniform", "out must be float32 or float64", py::str(out.dtype()).cast<std::string>());
  }
}

void normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::array out) {
  if (py::isinstance<py::array_t<float>>(out)) {
    fill("normal", seed, stream, offset, out, random_kernels().normal_float);
  } else if (py::isinstance<py::array_t<double>>(out)) {
    fill("normal", seed, stream, offset, out, random_kernels().normal_double);
  } else {
    refuse("normal", "out must be float32 or float64", py::str(out.dtype()).cast<std::string>());
  }
}

}  // namespace

void add_random(py::module_& module) {
  module.def("random_bits", &random_bits, "seed"_a, "stream"_a, "offset"_a, "out"_a.noconvert(),
             "Fill out, uint32 (n,), with elements offset ... of a Philox stream.");
  module.def("uniform", &uniform, "seed"_a, "stream"_a, "offset"_a, "out"_a.noconvert(),
             "Fill out, float32 or float64 (n,), with uniforms in [0, 1).");
  module.def("normal", &normal, "seed"_a, "stream"_a, "offset"_a, "out"_a.noconvert(),
             "Fill out, float32 or float64 (n,), with standard normals.");
}

}  // namespace tfl
