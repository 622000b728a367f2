#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "blas.hpp"
#include "families.hpp"
#include "instructions.hpp"
#include "pool.hpp"

namespace tfl {

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

py::tuple instruction_sets() {
  const std::vector<Instructions>& sets = available_instructions();
  py::tuple names(sets.size());
  for (std::size_t i = 0; i < sets.size(); ++i) names[i] = name_of(sets[i]);
  return names;
}

void use_instruction_set(const std::string& name) {
  for (const Instructions set : available_instructions()) {
    if (name == name_of(set)) {
      use_instructions(set);
      return;
    }
  }
  throw py::value_error("use_instruction_set: name must be one of instruction_sets(), got '" +
                        name + "'");
}

void choose_threads(py::ssize_t count) {
  if (count < 1 || count > 1024) {
    throw py::value_error("set_num_threads: count must be between 1 and 1024, got " +
                          std::to_string(count));
  }
  set_thread_count(static_cast<std::size_t>(count));
}

}  // namespace

void add_threads(py::module_& module) {
  module.def("instruction_sets", &instruction_sets,
             "Names of the instruction sets that this processor runs, best first.");
  module.def("instruction_set", [] { return name_of(instructions_in_use()); },
             "The instruction set in use.");
  module.def("use_instruction_set", &use_instruction_set, "name"_a,
             "Use another of instruction_sets(), in every thread.");
  module.def("num_threads", &thread_count, "How many threads kernels run on.");
  module.def("set_num_threads", &choose_threads, "count"_a,
             "Let kernels run on so many threads, the caller's among them.");
  module.def("adopt_blas", &adopt_blas, "path"_a,
             "Let the OpenBLAS of a loaded library run on the kernels' threads; whether it can.");
  module.def("blas_threads", &blas_threads,
             "How many threads a matrix product may take; 0 where no OpenBLAS was adopted.");
  module.def("set_blas_threads", [](std::size_t count) { set_blas_threads(count); }, "count"_a,
             "Let matrix products take so many threads.");
}

}  // namespace tfl
