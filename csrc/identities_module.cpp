// Whether objects hold the very objects that they held: the quick look of the guards of `jit`.
//
// Identities alone are compared. While something is looked at the collector is off, so that no code
// but this runs, and nothing that was found there goes away.
#include <pybind11/pybind11.h>
#include <structmember.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "families.hpp"

namespace tfl {

namespace py = pybind11;

namespace {

// How an object holds others.
enum class Form { list, tuple, dict, set, values, object, tensors, slots, type };

struct Inner;

// What an object held. The pointers are compared and never followed, but for those that were just
// met again.
struct Node {
  Form form = Form::values;
  PyTypeObject* type = nullptr;  // which the object must have; of values there is none
  std::vector<PyObject*> found;  // of dicts the keys, and then the values
  std::vector<Py_ssize_t> offsets;
  std::vector<Inner> inner;
};

struct Inner {
  std::size_t place;
  Node node;
};

// Where the object to look at comes from.
enum class Source { weak, held, cells, names, attributes, call };

struct Root {
  Source source;
  PyObject* of;
  bool never;
  Node node;
};

struct Known {
  PyTypeObject* tensor;
  PyObject* missing;  // stands where nothing is
  PyObject* any;      // stands for whatever is there
  PyObject* empty;    // stands for None and an empty list
};

class NoCollection {
 public:
  NoCollection() : was_on(PyGC_Disable() != 0) {}
  ~NoCollection() {
    if (was_on) PyGC_Enable();
  }
  NoCollection(const NoCollection&) = delete;
  NoCollection& operator=(const NoCollection&) = delete;

 private:
  bool was_on;
};

py::object referent(PyObject* reference) {
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* found = nullptr;
  if (PyWeakref_GetRef(reference, &found) < 0) PyErr_Clear();
  return py::reinterpret_steal<py::object>(found);
#else
  PyObject* found = PyWeakref_GetObject(reference);
  return found == Py_None ? py::object() : py::reinterpret_borrow<py::object>(found);
#endif
}

py::object dict_of_type(PyObject* type) {
#if PY_VERSION_HEX >= 0x030C0000
  return py::reinterpret_steal<py::object>(PyType_GetDict(reinterpret_cast<PyTypeObject*>(type)));
#else
  return py::reinterpret_borrow<py::object>(reinterpret_cast<PyTypeObject*>(type)->tp_dict);
#endif
}

// The `__dict__` of an object or a class; null where there is none.
py::object dict_of(PyObject* value, bool is_type) {
  py::object dict =
      is_type ? dict_of_type(value)
              : py::reinterpret_steal<py::object>(PyObject_GenericGetDict(value, nullptr));
  if (!dict) PyErr_Clear();
  return dict && PyDict_Check(dict.ptr()) ? dict : py::object();
}

class Looker {
 public:
  Looker(const py::tuple& roots, const Known& known, py::list& kept) : known(known) {
    for (const py::handle one : roots) {
      const auto root = py::cast<py::tuple>(one);
      kept.append(root[1]);
      Root made{source_of(py::cast<std::string>(root[0])), py::object(root[1]).ptr(),
                root[2].is_none(), {}};
      if (!made.never) made.node = node_of(py::cast<py::tuple>(root[2]), kept);
      made.never = made.never || !fits(made);
      all.push_back(std::move(made));
    }
  }

  // The first root, from `start` on, that holds other objects; -1 if none does.
  Py_ssize_t first(Py_ssize_t start) const {
    for (std::size_t i = start < 0 ? 0 : start; i < all.size(); ++i) {
      if (!is_same(all[i])) return i;
    }
    return -1;
  }

 private:
  Known known;
  std::vector<Root> all;

  // -- building ----------------------------------------------------------------------------------
  static Source source_of(const std::string& name) {
    if (name == "weak") return Source::weak;
    if (name == "held") return Source::held;
    if (name == "cells") return Source::cells;
    if (name == "names") return Source::names;
    if (name == "attributes") return Source::attributes;
    if (name == "call") return Source::call;
    throw py::value_error("Identities: a source must be a known one, got " + name);
  }

  static Form form_of(const std::string& name) {
    if (name == "list") return Form::list;
    if (name == "tuple") return Form::tuple;
    if (name == "dict") return Form::dict;
    if (name == "set") return Form::set;
    if (name == "values") return Form::values;
    if (name == "object") return Form::object;
    if (name == "tensors") return Form::tensors;
    if (name == "slots") return Form::slots;
    if (name == "type") return Form::type;
    throw py::value_error("Identities: a form must be a known one, got " + name);
  }

  static Node node_of(const py::tuple& given, py::list& kept) {
    Node node;
    node.form = form_of(py::cast<std::string>(given[0]));
    const py::object type = given[1];
    if (!type.is_none()) {
      if (!PyType_Check(type.ptr())) throw py::value_error("Identities: a type must be one");
      node.type = reinterpret_cast<PyTypeObject*>(type.ptr());
      kept.append(type);
    } else if (node.form != Form::values) {
      throw py::value_error("Identities: all but values have a type");
    }
    for (const py::handle one : py::cast<py::tuple>(given[2])) node.found.push_back(one.ptr());
    for (const py::handle one : py::cast<py::tuple>(given[3])) {
      node.offsets.push_back(offset_of(one, node.type));
    }
    if (node.form == Form::slots && node.offsets.size() != node.found.size()) {
      throw py::value_error("Identities: each slot must hold one object");
    }
    for (const py::handle one : py::cast<py::tuple>(given[4])) {
      const auto pair = py::cast<py::tuple>(one);
      const auto place = py::cast<std::size_t>(pair[0]);
      if (place >= node.found.size()) throw py::value_error("Identities: no such place");
      node.inner.push_back({place, node_of(py::cast<py::tuple>(pair[1]), kept)});
    }
    for (const py::handle one : py::cast<py::tuple>(given[5])) kept.append(one);
    return node;
  }

  static Py_ssize_t offset_of(py::handle descriptor, PyTypeObject* type) {
    if (type && Py_TYPE(descriptor.ptr()) == &PyMemberDescr_Type) {
      const auto* slot = reinterpret_cast<PyMemberDescrObject*>(descriptor.ptr());
      if (slot->d_member->type == T_OBJECT_EX && PyType_IsSubtype(type, PyDescr_TYPE(slot))) {
        return slot->d_member->offset;
      }
    }
    throw py::value_error("Identities: a slot must be one that a class has declared");
  }

  // Whether what a root is looked for in is of the kind that the source reads.
  static bool fits(const Root& root) {
    PyObject* of = root.of;
    const bool values = root.node.form == Form::values;
    if (root.source == Source::weak) return PyWeakref_Check(of) && !values;
    if (root.source == Source::held) return !values;
    if (!values) return false;
    if (!PyTuple_Check(of)) return false;
    if (root.source == Source::call) {
      return PyTuple_GET_SIZE(of) == 2 && PyWeakref_Check(PyTuple_GET_ITEM(of, 1));
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(of); ++i) {
      PyObject* one = PyTuple_GET_ITEM(of, i);
      if (root.source == Source::cells ? !PyCell_Check(one)
                                       : !PyTuple_Check(one) || PyTuple_GET_SIZE(one) != 2) {
        return false;
      }
      if (root.source == Source::names && !PyDict_Check(PyTuple_GET_ITEM(one, 0))) return false;
    }
    return static_cast<std::size_t>(PyTuple_GET_SIZE(of)) == root.node.found.size();
  }

  // -- looking -----------------------------------------------------------------------------------
  bool is_same(const Root& root) const {
    if (root.never) return false;
    py::object value;
    std::vector<py::object> owned;  // what code of others' may let go of
    switch (root.source) {
      case Source::weak:
        value = referent(root.of);
        if (!value) return false;
        break;
      case Source::held:
        value = py::reinterpret_borrow<py::object>(root.of);
        break;
      case Source::call:  // runs code of others'
        value = referent(PyTuple_GET_ITEM(root.of, 1));
        if (!value) return false;
        value = py::reinterpret_steal<py::object>(
            PyObject_CallOneArg(PyTuple_GET_ITEM(root.of, 0), value.ptr()));
        if (!value) throw py::error_already_set();
        if (!PyTuple_CheckExact(value.ptr())) return false;
        break;
      case Source::attributes:  // and so may this
        owned.reserve(root.node.found.size());
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(root.of); ++i) {
          PyObject* pair = PyTuple_GET_ITEM(root.of, i);
          owned.push_back(py::reinterpret_steal<py::object>(
              PyObject_GetAttr(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1))));
          if (!owned.back()) PyErr_Clear();
        }
        break;
      case Source::names:  // keys may be compared by it, where they are no strings
        owned.reserve(root.node.found.size());
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(root.of); ++i) {
          PyObject* pair = PyTuple_GET_ITEM(root.of, i);
          owned.push_back(py::reinterpret_borrow<py::object>(
              PyDict_GetItemWithError(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1))));
          if (!owned.back()) PyErr_Clear();
        }
        break;
      case Source::cells:
        break;
    }
    const NoCollection none;
    if (root.source == Source::weak || root.source == Source::held) {
      return is_same(root.node, value.ptr());
    }
    if (root.source == Source::call) return is_same_array(root.node, value.ptr());
    for (std::size_t i = 0; i < root.node.found.size(); ++i) {
      PyObject* now = root.source == Source::cells ? PyCell_GET(PyTuple_GET_ITEM(root.of, i))
                                                   : owned[i].ptr();
      if ((now ? now : known.missing) != root.node.found[i]) return false;
    }
    return inside(root.node);
  }

  bool is_same(const Node& node, PyObject* value) const {
    if (node.form == Form::values) return is_same_array(node, value);
    if (Py_TYPE(value) != node.type) return false;
    switch (node.form) {
      case Form::list:
      case Form::tuple:
        return is_same_array(node, value);
      case Form::dict:
        return is_same_dict(node, value);
      case Form::set:
        return is_same_set(node, value);
      case Form::slots:
        return is_same_slots(node, value);
      default: {
        const py::object dict = dict_of(value, node.form == Form::type);
        if (!dict) return node.found.empty();
        return node.form == Form::tensors ? are_same_tensors(node, dict.ptr())
                                          : is_same_dict(node, dict.ptr());
      }
    }
  }

  // Of what was found again at its place: it is there, and nothing else runs.
  bool inside(const Node& node) const {
    for (const Inner& one : node.inner) {
      if (!is_same(one.node, node.found[one.place])) return false;
    }
    return true;
  }

  bool is_same_array(const Node& node, PyObject* value) const {
    if (!PyList_CheckExact(value) && !PyTuple_CheckExact(value)) return false;
    const auto size = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(value));
    if (size != node.found.size()) return false;
    if (size && std::memcmp(PySequence_Fast_ITEMS(value), node.found.data(),
                            size * sizeof(PyObject*)) != 0) {
      return false;
    }
    return inside(node);
  }

  bool is_same_dict(const Node& node, PyObject* dict) const {
    const std::size_t size = node.found.size() / 2;
    if (static_cast<std::size_t>(PyDict_Size(dict)) != size) return false;
    Py_ssize_t at = 0;
    PyObject *key = nullptr, *value = nullptr;
    for (std::size_t i = 0; PyDict_Next(dict, &at, &key, &value); ++i) {
      if (i >= size || key != node.found[i] || value != node.found[size + i]) return false;
    }
    return inside(node);
  }

  bool are_same_tensors(const Node& node, PyObject* dict) const {
    const std::size_t size = node.found.size() / 2;
    std::size_t i = 0;
    Py_ssize_t at = 0;
    PyObject *key = nullptr, *value = nullptr;
    while (PyDict_Next(dict, &at, &key, &value)) {
      if (Py_TYPE(value) != known.tensor) continue;
      if (i >= size || key != node.found[i] || value != node.found[size + i]) return false;
      ++i;
    }
    return i == size;
  }

  bool is_same_set(const Node& node, PyObject* set) const {
    if (static_cast<std::size_t>(PySet_GET_SIZE(set)) != node.found.size()) return false;
    const auto elements = py::reinterpret_steal<py::object>(PyObject_GetIter(set));
    std::size_t i = 0;
    while (elements) {
      const auto one = py::reinterpret_steal<py::object>(PyIter_Next(elements.ptr()));
      if (!one) break;
      if (i >= node.found.size() || one.ptr() != node.found[i++]) return false;
    }
    if (PyErr_Occurred()) PyErr_Clear();
    return i == node.found.size() && inside(node);
  }

  bool is_same_slots(const Node& node, PyObject* value) const {
    for (std::size_t i = 0; i < node.offsets.size(); ++i) {
      PyObject* expected = node.found[i];
      PyObject* now = slot_at(value, node.offsets[i]);
      if (expected == known.any || now == expected) continue;
      if (expected != known.empty) return false;
      if (now != Py_None && !(PyList_CheckExact(now) && PyList_GET_SIZE(now) == 0)) return false;
    }
    for (const Inner& one : node.inner) {
      if (!is_same(one.node, slot_at(value, node.offsets[one.place]))) return false;
    }
    return true;
  }

  PyObject* slot_at(PyObject* value, Py_ssize_t offset) const {
    PyObject* now = nullptr;
    std::memcpy(&now, reinterpret_cast<const char*>(value) + offset, sizeof now);
    return now ? now : known.missing;
  }
};

// -- the Python type -------------------------------------------------------------------------------
// Written by hand, for the collector has to see what it keeps: cells refer to functions, and those
// to their recordings.
struct Identities {
  PyObject_HEAD
  PyObject* kept;
  Looker* looker;
};

Identities* as_identities(PyObject* self) { return reinterpret_cast<Identities*>(self); }

PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject* named) {
  PyObject *roots = nullptr, *tensor = nullptr;
  Known known{};
  static const char* names[] = {"roots", "tensor", "missing", "any", "empty", nullptr};
  if (!PyArg_ParseTupleAndKeywords(arguments, named, "O!O!OOO", const_cast<char**>(names),
                                   &PyTuple_Type, &roots, &PyType_Type, &tensor, &known.missing,
                                   &known.any, &known.empty)) {
    return nullptr;
  }
  known.tensor = reinterpret_cast<PyTypeObject*>(tensor);
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  try {
    py::list kept;
    for (PyObject* one : {tensor, known.missing, known.any, known.empty}) {
      kept.append(py::handle(one));
    }
    as_identities(self)->looker =
        new Looker(py::reinterpret_borrow<py::tuple>(roots), known, kept);
    as_identities(self)->kept = kept.release().ptr();
    return self;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  }
  Py_DECREF(self);
  return nullptr;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_identities(self)->kept);
  return 0;
}

int clear(PyObject* self) {
  delete as_identities(self)->looker;
  as_identities(self)->looker = nullptr;
  Py_CLEAR(as_identities(self)->kept);
  return 0;
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* first(PyObject* self, PyObject* start) {
  const Py_ssize_t from = PyLong_AsSsize_t(start);
  if (from == -1 && PyErr_Occurred()) return nullptr;
  const Looker* looker = as_identities(self)->looker;
  try {
    return PyLong_FromSsize_t(looker ? looker->first(from) : from);
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyMethodDef methods[] = {
    {"first", first, METH_O,
     "Return the first root, from a number on, that holds other objects; -1 if none does."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("The objects that others held: see jit_identity.py.")},
    {Py_tp_new, reinterpret_cast<void*>(make)},
    {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_methods, methods},
    {0, nullptr}};

PyType_Spec spec = {"tensorflowlite._native.Identities", sizeof(Identities), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

void add_identities(py::module_& module) {
  const auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  module.attr("Identities") = type;
}

}  // namespace tfl
