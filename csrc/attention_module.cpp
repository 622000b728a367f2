#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <numeric>

#include "arguments.hpp"
#include "attention.hpp"
#include "families.hpp"

namespace tfl {

using namespace pybind11::literals;

namespace {

using Sizes = std::vector<py::ssize_t>;

// An array of matrices: leading axes, rows, and numbers that are neighbours.
void check_matrices(const char* op, const char* name, const py::array& array) {
  if (array.ndim() < 2)
    refuse(op, std::string(name) + " must have at least 2 dimensions", shape_text(array));
  if (array.size() == 0) refuse(op, std::string(name) + " must not be empty", shape_text(array));
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
    refuse(op, std::string(name) + " must be aligned", "unaligned memory");
  const py::ssize_t last = array.ndim() - 1, item = array.itemsize();
  if (array.shape(last) > 1 && array.strides(last) != item)
    refuse(op, std::string(name) + " must have neighbours along its last axis",
           "a stride of " + std::to_string(array.strides(last)) + " bytes");
  for (py::ssize_t axis = 0; axis < last; ++axis) {
    if (array.shape(axis) > 1 && array.strides(axis) % item)
      refuse(op, std::string(name) + " must have strides of whole numbers",
             std::to_string(array.strides(axis)) + " bytes");
  }
}

void check_shape(const char* op, const char* name, const py::array& array, const Sizes& wanted) {
  if (!std::equal(wanted.begin(), wanted.end(), array.shape(), array.shape() + array.ndim())) {
    std::string text;
    for (const py::ssize_t size : wanted) text += (text.empty() ? "" : ", ") + std::to_string(size);
    refuse(op, std::string(name) + " must have shape (" + text + ")", shape_text(array));
  }
}

// Where the matrix of each place in the leading axes `lead` begins. The array has those axes too;
// along one of size 1 it is repeated.
std::vector<std::ptrdiff_t> starts_of(const py::array& array, const Sizes& lead) {
  std::vector<std::ptrdiff_t> starts{0};
  for (std::size_t axis = 0; axis < lead.size(); ++axis) {
    const std::ptrdiff_t step =
        array.shape(axis) == 1 ? 0 : array.strides(axis) / array.itemsize();
    std::vector<std::ptrdiff_t> longer;
    longer.reserve(starts.size() * lead[axis]);
    for (const std::ptrdiff_t start : starts) {
      for (py::ssize_t i = 0; i < lead[axis]; ++i) longer.push_back(start + i * step);
    }
    starts = std::move(longer);
  }
  return starts;
}

std::ptrdiff_t step_of(const py::array& array, py::ssize_t axis) {
  return array.shape(axis) == 1 ? 0 : array.strides(axis) / array.itemsize();
}

// A new array whose axes lie in memory in the order of another one's, the last one innermost: heads
// that were split off the rows of a layer's output are joined again without a copy.
py::array made_as(const py::array& like, py::ssize_t last_size) {
  const py::ssize_t last = like.ndim() - 1;
  Sizes shape(like.shape(), like.shape() + last), order(last), strides(last + 1);
  shape.push_back(last_size);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](py::ssize_t one, py::ssize_t other) {
    return std::abs(like.strides(one)) > std::abs(like.strides(other));
  });
  std::size_t step = like.itemsize();
  strides[last] = like.itemsize();
  step *= last_size;
  for (auto axis = order.rbegin(); axis != order.rend(); ++axis) {
    strides[*axis] = static_cast<py::ssize_t>(step);
    step *= shape[*axis];
  }
  return py::array(like.dtype(), shape, strides);  // refuses sizes that overflow
}

// The checked inputs of a call.
struct Call {
  const char* op;
  bool is_double;
  Sizes lead, key_lead;
  AttentionShape shape;
  std::vector<std::vector<std::ptrdiff_t>> starts;
  AttentionMask mask{nullptr, nullptr, 0, 0, false};

  Call(const char* op, const py::array& query, const py::array& key, const py::array& value,
       const OptionalArray& mask_or_none, bool causal, double scale)
      : op(op), is_double(py::isinstance<py::array_t<double>>(query)) {
    if (!is_double && !py::isinstance<py::array_t<float>>(query))
      refuse(op, "query must be float32 or float64", py::str(query.dtype()).cast<std::string>());
    check(query, "query", query);
    check(query, "key", key);
    check(query, "value", value);
    const py::ssize_t axes = query.ndim() - 2;
    lead.assign(query.shape(), query.shape() + axes);
    if (key.ndim() != query.ndim())
      refuse(op, "key must have as many axes as query", shape_text(key));
    key_lead.assign(key.shape(), key.shape() + axes);
    set_shape(query, key, value, causal, scale);
    starts.reserve(9);
    if (mask_or_none) set_mask(query, *mask_or_none);
  }

  void check(const py::array& query, const char* name, const py::array& array) const {
    if (!array.dtype().equal(query.dtype())) {
      refuse(op, std::string(name) + " must have the dtype of query",
             py::str(array.dtype()).cast<std::string>());
    }
    check_matrices(op, name, array);
  }

  void set_shape(const py::array& query, const py::array& key, const py::array& value, bool causal,
                 double scale) {
    const py::ssize_t axes = query.ndim() - 2;
    shape = {1, 1, extent(query, axes), extent(key, axes), extent(query, axes + 1), 1, causal,
             scale};
    bool repeats = false;
    for (py::ssize_t axis = 0; axis < axes; ++axis) {
      if (!repeats && key_lead[axis] == lead[axis]) {
        shape.heads *= lead[axis];
        continue;
      }
      repeats = true;
      if (key_lead[axis] != 1) {
        refuse(op, "key must have the leading axes of query, or ones at their end",
               shape_text(key));
      }
      shape.groups *= lead[axis];
    }
    if (extent(key, axes + 1) != shape.width)
      refuse(op, "key must have the last axis of query", shape_text(key));
    if (value.ndim() != query.ndim())
      refuse(op, "value must have as many axes as query", shape_text(value));
    shape.depth = extent(value, axes + 1);
    Sizes wanted(key.shape(), key.shape() + axes + 1);
    wanted.push_back(value.shape(axes + 1));
    check_shape(op, "value", value, wanted);
  }

  void set_mask(const py::array& query, const py::array& array) {
    const bool counts = py::isinstance<py::array_t<bool>>(array);
    if (!counts && !array.dtype().equal(query.dtype())) {
      refuse(op, "mask must be bool or have the dtype of query",
             py::str(array.dtype()).cast<std::string>());
    }
    Sizes wanted = lead;
    wanted.push_back(shape.rows);
    wanted.push_back(shape.columns);
    bool fits = array.ndim() == query.ndim();
    for (py::ssize_t axis = 0; fits && axis < array.ndim(); ++axis) {
      fits = (array.shape(axis) == 1 || array.shape(axis) == wanted[axis]) &&
             (array.shape(axis) == 1 || array.strides(axis) % array.itemsize() == 0);
    }
    if (!fits) {
      refuse(op, "mask must have the axes of the scores, or ones, and strides of whole numbers",
             shape_text(array));
    }
    if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
      refuse(op, "mask must be aligned", "unaligned memory");
    const py::ssize_t axes = array.ndim() - 2;
    starts.push_back(starts_of(array, lead));
    mask = {array.data(), starts.back().data(), step_of(array, axes), step_of(array, axes + 1),
            counts};
  }

  template <typename T>
  Matrices<const T> input(const py::array& array, const Sizes& axes) {
    starts.push_back(starts_of(array, axes));
    return {static_cast<const T*>(array.data()), starts.back().data(),
            step_of(array, array.ndim() - 2)};
  }

  template <typename T>
  Matrices<T> output(py::array& array, const Sizes& axes) {
    starts.push_back(starts_of(array, axes));
    return {static_cast<T*>(array.mutable_data()), starts.back().data(),
            step_of(array, array.ndim() - 2)};
  }
};

template <typename T>
bool run_forward(Call& call, const py::array& query, const py::array& key, const py::array& value,
                 py::array& out, py::array& sums,
                 bool (*kernel)(const AttentionForward<T>&, const AttentionShape&)) {
  const AttentionForward<T> arguments = {call.input<T>(query, call.lead),
                                         call.input<T>(key, call.key_lead),
                                         call.input<T>(value, call.key_lead),
                                         call.mask,
                                         call.output<T>(out, call.lead),
                                         static_cast<T*>(sums.mutable_data())};
  py::gil_scoped_release release;
  return kernel(arguments, call.shape);
}

py::tuple attention_forward(const py::array& query, const py::array& key, const py::array& value,
                            const OptionalArray& mask, bool causal, double scale) {
  Call call("attention_forward", query, key, value, mask, causal, scale);
  py::array out = made_as(query, value.shape(value.ndim() - 1));
  py::array sums(query.dtype(), Sizes(query.shape(), query.shape() + query.ndim() - 1));
  const Attention& table = attention_kernels();
  const bool complete =
      call.is_double ? run_forward<double>(call, query, key, value, out, sums, table.forward_double)
                     : run_forward<float>(call, query, key, value, out, sums, table.forward_float);
  if (!complete) throw std::bad_alloc();
  return py::make_tuple(std::move(out), std::move(sums));
}

struct Given {
  const py::array &y, &query, &key, &value, &out, &sums;
};

template <typename T>
bool run_backward(Call& call, const Given& given, py::array (&found)[3],
                  bool (*kernel)(const AttentionBackward<T>&, const AttentionShape&)) {
  const AttentionBackward<T> arguments = {
      call.input<T>(given.y, call.lead),
      call.input<T>(given.query, call.lead),
      call.input<T>(given.key, call.key_lead),
      call.input<T>(given.value, call.key_lead),
      call.input<T>(given.out, call.lead),
      call.mask,
      static_cast<const T*>(given.sums.data()),
      call.output<T>(found[0], call.lead),
      call.output<T>(found[1], call.key_lead),
      call.output<T>(found[2], call.key_lead)};
  py::gil_scoped_release release;
  return kernel(arguments, call.shape);
}

py::tuple attention_backward(const py::array& y, const py::array& query, const py::array& key,
                             const py::array& value, const py::array& out, const py::array& sums,
                             const OptionalArray& mask, bool causal, double scale) {
  const char* op = "attention_backward";
  Call call(op, query, key, value, mask, causal, scale);
  Sizes wanted(query.shape(), query.shape() + query.ndim() - 1);
  call.check(query, "y", y);
  call.check(query, "out", out);
  if (!sums.dtype().equal(query.dtype()))
    refuse(op, "sums must have the dtype of query", py::str(sums.dtype()).cast<std::string>());
  check_shape(op, "sums", sums, wanted);
  if (!(sums.flags() & py::array::c_style) ||
      !(sums.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    refuse(op, "sums must be C-contiguous and aligned", "other memory");
  }
  wanted.push_back(value.shape(value.ndim() - 1));
  check_shape(op, "y", y, wanted);
  check_shape(op, "out", out, wanted);
  py::array found[3] = {made_as(query, query.shape(query.ndim() - 1)),
                        made_as(key, key.shape(key.ndim() - 1)),
                        made_as(value, value.shape(value.ndim() - 1))};
  const Given given = {y, query, key, value, out, sums};
  const Attention& table = attention_kernels();
  const bool complete = call.is_double
                            ? run_backward<double>(call, given, found, table.backward_double)
                            : run_backward<float>(call, given, found, table.backward_float);
  if (!complete) throw std::bad_alloc();
  return py::make_tuple(std::move(found[0]), std::move(found[1]), std::move(found[2]));
}

}  // namespace

void add_attention(py::module_& module) {
  module.def("attention_forward", &attention_forward, "query"_a.noconvert(), "key"_a.noconvert(),
             "value"_a.noconvert(), "mask"_a.noconvert() = py::none(), py::kw_only(), "causal"_a,
             "scale"_a,
             "softmax(query keyT scale + mask) value, and the logarithm of the softmax's divisor "
             "per row. Arrays have the same leading axes; at the end of those of key and value "
             "there may be ones. Rows are neighbours' numbers, at any strides.");
  module.def("attention_backward", &attention_backward, "y"_a.noconvert(), "query"_a.noconvert(),
             "key"_a.noconvert(), "value"_a.noconvert(), "out"_a.noconvert(), "sums"_a.noconvert(),
             "mask"_a.noconvert() = py::none(), py::kw_only(), "causal"_a, "scale"_a,
             "The gradients of query, key and value from that of the output, y, and what "
             "attention_forward returned.");
}

}  // namespace tfl
