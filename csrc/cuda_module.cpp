#include "families.hpp"

#include <pybind11/stl.h>

#include "cublas_lt.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

namespace tfl {
namespace {

using Names = std::vector<std::string>;
using release = py::call_guard<py::gil_scoped_release>;

py::list algorithms(const Plan& plan) {
  py::list found;
  for (const Algorithm& one : plan.algorithms())
    found.append(py::make_tuple(one.workspace, one.waves));
  return found;
}

void search(const CublasLt& library, Plan& plan, int count, std::size_t workspace_bytes,
            std::uint32_t a, std::uint32_t b, std::uint32_t out, std::uint32_t bias,
            std::uint32_t aux) {
  library.search(plan, count, workspace_bytes, {a, b, out, bias, aux});
}

void run(const CublasLt& library, Plan& plan, std::size_t algorithm, std::uint64_t a,
         std::uint64_t b, std::uint64_t out, std::uint64_t bias, std::uint64_t aux,
         std::uint64_t workspace, std::size_t workspace_bytes, std::uint64_t stream, double alpha,
         double beta) {
  library.run(plan, algorithm, {a, b, out, bias, aux, workspace, workspace_bytes}, alpha, beta,
              stream);
}

std::shared_ptr<Plan> plan(const CublasLt& library, std::int64_t m, std::int64_t n, std::int64_t k,
                           bool a_transposed, bool b_transposed, std::int64_t a_leading,
                           std::int64_t b_leading, std::int64_t out_leading, std::int64_t batch,
                           std::int64_t a_stride, std::int64_t b_stride, std::int64_t out_stride,
                           const std::string& dtype, bool tf32, const std::string& epilogue,
                           std::int64_t aux_leading) {
  return library.plan({m, n, k, a_transposed, b_transposed, a_leading, b_leading, out_leading,
                       batch, a_stride, b_stride, out_stride, dtype, tf32, epilogue, aux_leading});
}

}  // namespace

void add_cuda(py::module_& module) {
  module.def("epilogues", &epilogues, "What a product may end with: name -> cuBLASLt's number.");
  py::class_<Plan, std::shared_ptr<Plan>>(module, "Plan",
                                          "A product's descriptors and algorithms.")
      .def("described", &Plan::described, "What the library says that it was told.")
      .def_property_readonly("algorithms", &algorithms, "(workspace bytes, waves) of each.");
  py::class_<CublasLt>(module, "CublasLt", "cuBLASLt, the first candidate that loads.")
      .def(py::init<const Names&>(), "candidates"_a, release())
      .def_property_readonly("path", &CublasLt::path)
      .def_property_readonly("version", &CublasLt::version)
      .def("open", &CublasLt::open, release(), "Make the handle, for the current device.")
      .def("plan", &plan, py::kw_only(), "m"_a, "n"_a, "k"_a, "a_transposed"_a, "b_transposed"_a,
           "a_leading"_a, "b_leading"_a, "out_leading"_a, "batch"_a = 1, "a_stride"_a = 0,
           "b_stride"_a = 0, "out_stride"_a = 0, "dtype"_a, "tf32"_a = false,
           "epilogue"_a = "default", "aux_leading"_a = 0,
           "Describe out (m, n) = epilogue(op(a) op(b)), row-major. A transposed a lies in memory "
           "as (k, m), a transposed b as (n, k); leading dimensions and strides are in elements.")
      .def("search", &search, "plan"_a, "count"_a, "workspace_bytes"_a, py::kw_only(), "a"_a = 256,
           "b"_a = 256, "out"_a = 256, "bias"_a = 256, "aux"_a = 256, release(),
           "Find algorithms for a plan, given the alignments (bytes) of its arrays.")
      .def("run", &run, "plan"_a, "algorithm"_a, "a"_a, "b"_a, "out"_a, "bias"_a, "aux"_a,
           "workspace"_a, "workspace_bytes"_a, "stream"_a, "alpha"_a = 1.0, "beta"_a = 0.0,
           release(), "Hand a product to a stream; arrays are addresses, 0 where there is none.");
}

}  // namespace tfl
