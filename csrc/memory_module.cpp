// NumPy's arrays take their memory from the cache: a handler after NEP 49.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "families.hpp"
#include "memory.hpp"
#include "memory_plan.hpp"

namespace tfl {

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

// As NumPy's C interface declares them.
struct Allocator {
  void* context;
  void* (*allocate)(void* context, std::size_t size);
  void* (*allocate_zeroed)(void* context, std::size_t count, std::size_t size);
  void* (*reallocate)(void* context, void* pointer, std::size_t size);
  void (*release)(void* context, void* pointer, std::size_t size);
};
struct Handler {
  char name[127];
  std::uint8_t version;
  Allocator allocator;
};
constexpr int set_handler_number = 304, default_handler_number = 306;
constexpr const char* capsule_name = "mem_handler";

const Allocator* numpy_allocator = nullptr;  // for what isn't the cache's

void* take_unplanned(std::size_t size, bool zeroed, bool* waited, std::size_t room) {
  if (size >= least_cached) return take_block(size, zeroed, waited, room);
  if (zeroed) return numpy_allocator->allocate_zeroed(numpy_allocator->context, size, 1);
  return numpy_allocator->allocate(numpy_allocator->context, size);
}

void* take(std::size_t size, bool zeroed) {
  if (!plan_serves()) return take_unplanned(size, zeroed, nullptr, size);
  std::size_t asked = size;
  void* pointer = take_planned(size, zeroed, &asked);
  if (pointer) return pointer;
  bool waited = false;
  pointer = take_unplanned(size, zeroed, &waited, asked);
  note_taken(pointer, size, !waited);
  return pointer;
}

void* allocate(void*, std::size_t size) { return take(size, false); }

void* allocate_zeroed(void*, std::size_t count, std::size_t size) {
  if (size != 0 && count > SIZE_MAX / size) return nullptr;
  return take(count * size, true);
}

void release(void*, void* pointer, std::size_t size) {
  if (!pointer || give_planned(pointer)) return;
  note_given(pointer);
  if (!give_block(pointer)) numpy_allocator->release(numpy_allocator->context, pointer, size);
}

void* reallocate(void*, void* pointer, std::size_t size) {
  std::size_t before = pointer ? size_of_planned(pointer) : 0;
  if (before == 0 && pointer) before = size_of_block(pointer);
  if (before == 0) {
    note_given(pointer);
    return numpy_allocator->reallocate(numpy_allocator->context, pointer, size);
  }
  void* moved = take(size, false);
  if (!moved) return nullptr;
  std::memcpy(moved, pointer, std::min(before, size));
  release(nullptr, pointer, before);
  return moved;
}

Handler cache_handler = {
    "tensorflowlite", 1, {nullptr, allocate, allocate_zeroed, reallocate, release}};

void use_memory_cache(bool use) {
  const py::object capsule =
      py::module_::import("numpy._core._multiarray_umath").attr("_ARRAY_API");
  void** api = static_cast<void**>(PyCapsule_GetPointer(capsule.ptr(), nullptr));
  if (!api) throw py::error_already_set();
  PyObject* numpy_handler = *static_cast<PyObject**>(api[default_handler_number]);
  const auto set = reinterpret_cast<PyObject* (*)(PyObject*)>(api[set_handler_number]);
  if (!numpy_allocator) {
    const auto* handler =
        static_cast<const Handler*>(PyCapsule_GetPointer(numpy_handler, capsule_name));
    if (!handler) throw py::error_already_set();
    numpy_allocator = &handler->allocator;
  }
  py::object ours;
  if (use) {
    ours = py::reinterpret_steal<py::object>(PyCapsule_New(&cache_handler, capsule_name, nullptr));
    if (!ours) throw py::error_already_set();
  }
  PyObject* before = set(use ? ours.ptr() : numpy_handler);
  if (!before) throw py::error_already_set();
  Py_DECREF(before);
}

py::dict memory_stats() {
  const MemoryFigures figures = memory_figures();
  return py::dict("used_bytes"_a = figures.used, "peak_bytes"_a = figures.peak,
                  "held_bytes"_a = figures.used + figures.cached, "hits"_a = figures.hits,
                  "misses"_a = figures.misses);
}

// Calls a function whose arrays take their memory from a plan.
py::object run_planned(MemoryPlan& plan, const py::object& function, const py::tuple& arguments) {
  struct Serving {
    MemoryPlan* plan;
    ~Serving() {
      if (plan) plan->end();
    }
  } serving{plan.begin() ? &plan : nullptr};
  PyObject* result = PyObject_CallObject(function.ptr(), arguments.ptr());
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

py::dict plan_figures(MemoryPlan& plan) {
  const PlanFigures figures = plan.figures();
  return py::dict("arena_bytes"_a = figures.arena, "lasting_bytes"_a = figures.lasting,
                  "requests"_a = figures.requests, "allocations"_a = figures.fresh,
                  "traced"_a = figures.traced);
}

}  // namespace

void add_memory(py::module_& module) {
  py::class_<MemoryPlan>(module, "MemoryPlan",
                         "Memory for calls that ask for the same arrays each time.")
      .def(py::init<bool>(), "keeps"_a)
      .def("run", &run_planned, "function"_a, "arguments"_a,
           "Call a function on the plan's memory.")
      .def("figures", &plan_figures, "What the plan holds, and what the last call asked for.");
  module.def("use_memory_cache", &use_memory_cache, "use"_a,
             "Let the arrays that this thread makes take their memory from the cache, or not.");
  module.def("memory_stats", &memory_stats, "Figures of the cache, in bytes.");
  module.def("empty_cache", &empty_cache, "Give the memory that waits back to the system.");
  module.def("limit_cache", &limit_cache, "bytes"_a, "Let at most so many bytes wait.");
  module.def("reset_peak_memory", &reset_peak, "Count the peak from what is in use now.");
}

}  // namespace tfl
