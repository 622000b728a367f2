#include <algorithm>

#include "arguments.hpp"
#include "families.hpp"
#include "pool.hpp"
#include "random.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

// Calls work(begin, end) for pieces of whole groups that the kernels make at once: a stream's
// elements don't depend on each other.
template <typename Work>
void in_pieces(std::size_t count, const Work& work) {
  constexpr std::size_t group = 1024;
  constexpr double step_cost = 4.0;
  const std::size_t groups = (count + group - 1) / group;
  const std::size_t pieces = pieces_of(groups, step_cost * static_cast<double>(group));
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t begin = first_of(piece, pieces, groups) * group;
    work(begin, std::min(first_of(piece + 1, pieces, groups) * group, count));
  });
}

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
  in_pieces(count, [&](std::size_t begin, std::size_t end) {
    kernel({seed, stream}, offset + begin, end - begin, target + begin);
  });
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

// out = x * keep * scale, where keep says which of a stream's elements are at least `threshold`.
void dropout(std::uint64_t seed, std::uint64_t stream, std::uint32_t threshold, double scale,
             const py::array& x, py::array out, py::array keep) {
  const Checker check("dropout", "x", x, 1);
  check.like_first("out", out);
  if (!py::isinstance<py::array_t<bool>>(keep) || keep.ndim() != 1 || keep.shape(0) != x.shape(0))
    refuse("dropout", "keep must be bool, as long as x",
           py::str(keep.dtype()).cast<std::string>() + " " + shape_text(keep));
  check.contiguous("keep", keep);
  check.written("out", out, {&x}, {});
  check.written("keep", keep, {}, {&x, &out});
  const auto run = [&](auto kernel, auto* from, auto* to) {
    auto* kept = static_cast<std::uint8_t*>(keep.mutable_data());
    const std::size_t count = extent(x, 0);
    py::gil_scoped_release release;
    in_pieces(count, [&](std::size_t begin, std::size_t end) {
      kernel({seed, stream}, begin, end - begin, threshold, scale, from + begin, to + begin,
             kept + begin);
    });
  };
  if (check.is_double) {
    run(random_kernels().dropout_double, static_cast<const double*>(x.data()),
        static_cast<double*>(out.mutable_data()));
  } else {
    run(random_kernels().dropout_float, static_cast<const float*>(x.data()),
        static_cast<float*>(out.mutable_data()));
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
  module.def("dropout", &dropout, "seed"_a, "stream"_a, "threshold"_a, "scale"_a,
             "x"_a.noconvert(), "out"_a.noconvert(), "keep"_a.noconvert(),
             "Write to keep, bool (n,), whether a stream's elements are at least threshold, and "
             "x * keep * scale to out, which may be x.");
}

}  // namespace tfl
