// A stand-in for libcublasLt on the host: the entry points that csrc/ uses, with the library's
// numbers, sizes and rules, computing on host memory in double. Column-major, as there. And one entry
// point of libcuda.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "types.cuh"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int SUCCESS = 0, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15;
constexpr int R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14;

using Attributes = std::map<int, std::vector<std::uint8_t>>;

struct Descriptor {
  Attributes values;
};
struct Layout {
  Attributes values;
};

// attribute -> bytes, as cublasLt.h says.
const std::map<int, std::size_t> descriptor_sizes = {{0, 4},  {1, 4},  {3, 4},  {4, 4},  {7, 4},
                                                     {8, 8},  {10, 8}, {11, 8}, {12, 8}, {13, 8}};
const std::map<int, std::size_t> layout_sizes = {{0, 4}, {1, 4}, {2, 8}, {3, 8},
                                                 {4, 8}, {5, 4}, {6, 8}};
const std::map<int, std::size_t> preference_sizes = {{1, 8}, {3, 4}, {5, 4}, {6, 4},
                                                     {7, 4}, {8, 4}};

int set(Attributes& values, const std::map<int, std::size_t>& sizes, int attribute,
        const void* value, std::size_t size) {
  const auto found = sizes.find(attribute);
  if (found == sizes.end() || found->second != size || !value) return INVALID_VALUE;
  const auto* bytes = static_cast<const std::uint8_t*>(value);
  values[attribute].assign(bytes, bytes + size);
  return SUCCESS;
}

std::int64_t value(const Attributes& values, int attribute) {
  const auto found = values.find(attribute);
  if (found == values.end()) return 0;
  std::int64_t out = 0;
  std::memcpy(&out, found->second.data(), found->second.size());
  return out;
}

int get(const Attributes& values, int attribute, void* out, std::size_t size,
        std::size_t* written) {
  const std::int64_t found = value(values, attribute);
  std::memcpy(out, &found, size);
  *written = size;
  return SUCCESS;
}

double load(const void* array, std::int64_t i, int type) {
  switch (type) {
    case R_64F:
      return static_cast<const double*>(array)[i];
    case R_16F:
      return tfl::to_float(static_cast<const tfl::float16*>(array)[i]);
    case R_16BF:
      return tfl::to_float(static_cast<const tfl::bfloat16*>(array)[i]);
    default:
      return static_cast<const float*>(array)[i];
  }
}

void store(void* array, std::int64_t i, int type, double x) {
  switch (type) {
    case R_64F:
      static_cast<double*>(array)[i] = x;
      break;
    case R_16F:
      static_cast<tfl::float16*>(array)[i] = tfl::to_float16(static_cast<float>(x));
      break;
    case R_16BF:
      static_cast<tfl::bfloat16*>(array)[i] = tfl::to_bfloat16(static_cast<float>(x));
      break;
    default:
      static_cast<float*>(array)[i] = static_cast<float>(x);
  }
}

double tf32(double x) {
  std::uint32_t bits;
  const float single = static_cast<float>(x);
  std::memcpy(&bits, &single, 4);
  bits = (bits + 0x1000u) & ~0x1fffu;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double gelu_derivative(double x) {
  const double c = std::sqrt(2 / M_PI), t = std::tanh(c * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
}

struct Settings {
  std::set<int> failing;      // algorithms that fail when they run
  std::set<int> unsupported;  // epilogues without an algorithm
  int algorithms = 4;
  bool relu_keeps_nan = true;
  std::vector<std::int64_t> runs;  // algorithm and epilogue of each run
  Attributes preference;           // the last search's
  std::int64_t bias_alignment = 0, aux_alignment = 0, stream = 0;
} settings;

struct Algorithm {
  std::uint64_t algo[8];
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

}  // namespace

// -- what tests set and read --------------------------------------------------------------------
EXPORT void fake_reset() { settings = Settings(); }
EXPORT void fake_fail(int algorithm) { settings.failing.insert(algorithm); }
EXPORT void fake_refuse(int epilogue) { settings.unsupported.insert(epilogue); }
EXPORT void fake_algorithms(int count) { settings.algorithms = count; }
EXPORT void fake_lose_nan() { settings.relu_keeps_nan = false; }
EXPORT std::int64_t fake_runs() { return static_cast<std::int64_t>(settings.runs.size() / 2); }
EXPORT std::int64_t fake_run(std::int64_t i) { return settings.runs[static_cast<std::size_t>(i)]; }
EXPORT std::int64_t fake_preference(int attribute) {
  return value(settings.preference, attribute);
}
EXPORT std::int64_t fake_stream() { return settings.stream; }
EXPORT std::int64_t fake_pointer_alignment(int aux) {
  return aux ? settings.aux_alignment : settings.bias_alignment;
}

// -- cuBLASLt -----------------------------------------------------------------------------------
EXPORT int cublasLtCreate(void** handle) {
  *handle = &settings;
  return SUCCESS;
}
EXPORT std::size_t cublasLtGetVersion() { return 130900; }
EXPORT const char* cublasLtGetStatusName(int status) {
  return status == NOT_SUPPORTED      ? "CUBLAS_STATUS_NOT_SUPPORTED"
         : status == INVALID_VALUE    ? "CUBLAS_STATUS_INVALID_VALUE"
         : status == EXECUTION_FAILED ? "CUBLAS_STATUS_EXECUTION_FAILED"
                                      : "CUBLAS_STATUS";
}
EXPORT const char* cublasLtGetStatusString(int) { return "the fake refuses"; }

EXPORT int cublasLtMatmulDescCreate(void** made, int compute, int scale) {
  auto* descriptor = new Descriptor;
  set(descriptor->values, descriptor_sizes, 0, &compute, 4);
  set(descriptor->values, descriptor_sizes, 1, &scale, 4);
  const std::uint32_t epilogue = 1;
  set(descriptor->values, descriptor_sizes, 7, &epilogue, 4);
  *made = descriptor;
  return SUCCESS;
}
EXPORT int cublasLtMatmulDescDestroy(void* descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return SUCCESS;
}
EXPORT int cublasLtMatmulDescSetAttribute(void* descriptor, int attribute, const void* from,
                                          std::size_t size) {
  return set(static_cast<Descriptor*>(descriptor)->values, descriptor_sizes, attribute, from, size);
}
EXPORT int cublasLtMatmulDescGetAttribute(void* descriptor, int attribute, void* out,
                                          std::size_t size, std::size_t* written) {
  return get(static_cast<Descriptor*>(descriptor)->values, attribute, out, size, written);
}
EXPORT int cublasLtMatrixLayoutCreate(void** made, int type, std::uint64_t rows,
                                      std::uint64_t columns, std::int64_t leading) {
  auto* layout = new Layout;
  const std::int32_t one = 1;
  set(layout->values, layout_sizes, 0, &type, 4);
  set(layout->values, layout_sizes, 2, &rows, 8);
  set(layout->values, layout_sizes, 3, &columns, 8);
  set(layout->values, layout_sizes, 4, &leading, 8);
  set(layout->values, layout_sizes, 5, &one, 4);
  *made = layout;
  return leading < static_cast<std::int64_t>(rows) ? INVALID_VALUE : SUCCESS;
}
EXPORT int cublasLtMatrixLayoutDestroy(void* layout) {
  delete static_cast<Layout*>(layout);
  return SUCCESS;
}
EXPORT int cublasLtMatrixLayoutSetAttribute(void* layout, int attribute, const void* from,
                                            std::size_t size) {
  return set(static_cast<Layout*>(layout)->values, layout_sizes, attribute, from, size);
}
EXPORT int cublasLtMatrixLayoutGetAttribute(void* layout, int attribute, void* out,
                                            std::size_t size, std::size_t* written) {
  return get(static_cast<Layout*>(layout)->values, attribute, out, size, written);
}
EXPORT int cublasLtMatmulPreferenceCreate(void** made) {
  *made = new Descriptor;
  return SUCCESS;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) {
  delete static_cast<Descriptor*>(preference);
  return SUCCESS;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* from,
                                                std::size_t size) {
  return set(static_cast<Descriptor*>(preference)->values, preference_sizes, attribute, from, size);
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(void* handle, void* descriptor, void*, void*, void*,
                                          void*, void* preference, int count, Algorithm* found,
                                          int* number) {
  if (handle != &settings) return INVALID_VALUE;
  const Attributes& values = static_cast<Descriptor*>(descriptor)->values;
  settings.preference = static_cast<Descriptor*>(preference)->values;
  settings.bias_alignment = value(values, 8);
  settings.aux_alignment = value(values, 11);
  const int epilogue = static_cast<int>(value(values, 7));
  *number = 0;
  if (settings.unsupported.count(epilogue)) return NOT_SUPPORTED;
  if ((epilogue & 128) && value(values, 12) % 8) return NOT_SUPPORTED;
  *number = std::min(count, settings.algorithms);
  for (int i = 0; i < *number; ++i) {
    found[i] = Algorithm{};
    found[i].algo[0] = 0xa160u + static_cast<unsigned>(i);
    found[i].workspace = 1024u * static_cast<unsigned>(i);
  }
  return SUCCESS;
}

EXPORT int cublasLtMatmul(void* handle, void* descriptor, const void* alpha, const void* a,
                          void* a_layout, const void* b, void* b_layout, const void* beta,
                          const void* c, void* c_layout, void* d, void* d_layout, const void* algo,
                          void* workspace, std::size_t workspace_bytes, void* stream) {
  const Attributes& op = static_cast<Descriptor*>(descriptor)->values;
  const Attributes& of_a = static_cast<Layout*>(a_layout)->values;
  const Attributes& of_b = static_cast<Layout*>(b_layout)->values;
  const Attributes& of_d = static_cast<Layout*>(d_layout)->values;
  const int algorithm =
      static_cast<int>(*static_cast<const std::uint64_t*>(algo)) - 0xa160;
  const int epilogue = static_cast<int>(value(op, 7));
  settings.runs.insert(settings.runs.end(), {algorithm, epilogue});
  settings.stream = reinterpret_cast<std::int64_t>(stream);
  if (handle != &settings || algorithm < 0 || c_layout != d_layout || c != d) return INVALID_VALUE;
  if (algorithm && (!workspace || workspace_bytes < 1024u * static_cast<unsigned>(algorithm)))
    return INVALID_VALUE;
  if (settings.failing.count(algorithm)) return EXECUTION_FAILED;
  const int type = static_cast<int>(value(of_d, 0));
  const bool wide = value(op, 1) == R_64F, rounds = value(op, 0) == 77;
  if (value(of_a, 0) != type || value(of_b, 0) != type || wide != (type == R_64F))
    return INVALID_VALUE;
  const auto number = [wide](const void* at) {
    return wide ? *static_cast<const double*>(at) : *static_cast<const float*>(at);
  };
  const double scale = number(alpha), keep = number(beta);
  const bool ta = value(op, 3), tb = value(op, 4);
  const std::int64_t m = value(of_d, 2), n = value(of_d, 3), k = value(of_a, ta ? 2 : 3);
  if (value(of_a, ta ? 3 : 2) != m || value(of_b, tb ? 2 : 3) != n ||
      value(of_b, tb ? 3 : 2) != k || value(of_a, 5) != value(of_d, 5) ||
      value(of_b, 5) != value(of_d, 5))
    return INVALID_VALUE;
  const std::int64_t lda = value(of_a, 4), ldb = value(of_b, 4), ldd = value(of_d, 4);
  void* bias = reinterpret_cast<void*>(value(op, 8));
  void* aux = reinterpret_cast<void*>(value(op, 11));
  const std::int64_t aux_leading = value(op, 12);
  for (std::int64_t batch = 0; batch < value(of_d, 5); ++batch) {
    const std::int64_t at_a = batch * value(of_a, 6), at_b = batch * value(of_b, 6);
    const std::int64_t at_d = batch * value(of_d, 6), at_aux = batch * value(op, 13);
    const std::int64_t at_bias = batch * value(op, 10);
    const auto element_a = [&](std::int64_t i, std::int64_t l) {
      const double x = load(a, at_a + (ta ? l + i * lda : i + l * lda), type);
      return rounds ? tf32(x) : x;
    };
    const auto element_b = [&](std::int64_t l, std::int64_t j) {
      const double x = load(b, at_b + (tb ? j + l * ldb : l + j * ldb), type);
      return rounds ? tf32(x) : x;
    };
    std::vector<double> sums(static_cast<std::size_t>(epilogue & 512 ? n : m), 0.0);
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t i = 0; i < m; ++i) {
        double x = 0;
        for (std::int64_t l = 0; l < k; ++l) x += element_a(i, l) * element_b(l, j);
        x *= scale;
        if (keep != 0) x += keep * load(d, at_d + i + j * ldd, type);
        if (epilogue & 4) x += load(bias, at_bias + i, type);
        const std::int64_t place = at_aux + i + j * aux_leading;
        if (epilogue & 8) return NOT_SUPPORTED;
        if (epilogue & 64) {
          x *= gelu_derivative(load(aux, place, type));
          if (epilogue & 16) sums[static_cast<std::size_t>(i)] += x;
        } else if (epilogue & 32) {
          if (epilogue & 128) store(aux, place, type, x);
          x = gelu(x);
        } else if (epilogue & 2) {
          if (epilogue & 128) return NOT_SUPPORTED;
          x = settings.relu_keeps_nan && std::isnan(x) ? x : (x > 0 ? x : 0);
        }
        store(d, at_d + i + j * ldd, type, x);
      }
    }
    for (std::int64_t l = 0; l < k && (epilogue & 256); ++l)
      for (std::int64_t i = 0; i < m; ++i) sums[static_cast<std::size_t>(i)] += element_a(i, l);
    for (std::int64_t l = 0; l < k && (epilogue & 512); ++l)
      for (std::int64_t j = 0; j < n; ++j) sums[static_cast<std::size_t>(j)] += element_b(l, j);
    if (epilogue & (16 | 256 | 512)) {
      for (std::size_t i = 0; i < sums.size(); ++i)
        store(bias, at_bias + static_cast<std::int64_t>(i), type, sums[i]);
    }
  }
  return SUCCESS;
}

// -- the driver ---------------------------------------------------------------------------------
// A map of the fake holds what it was made of: type, rank, interleave, swizzle, promotion, fill,
// then shape, strides, box, element strides.
EXPORT int cuTensorMapEncodeTiled(void* map, int type, std::uint32_t rank, void* address,
                                  const std::uint64_t* shape, const std::uint64_t* strides,
                                  const std::uint32_t* box, const std::uint32_t* element_strides,
                                  int interleave, int swizzle, int promotion, int fill) {
  if (reinterpret_cast<std::uintptr_t>(map) % 64) return 1;
  if (reinterpret_cast<std::uintptr_t>(address) == 0xbad0) return 1;
  auto* out = static_cast<std::uint32_t*>(map);
  *out++ = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(address));
  for (int one : {type, static_cast<int>(rank), interleave, swizzle, promotion, fill})
    *out++ = static_cast<std::uint32_t>(one);
  for (std::uint32_t i = 0; i < rank; ++i) *out++ = static_cast<std::uint32_t>(shape[i]);
  for (std::uint32_t i = 0; i + 1 < rank; ++i) *out++ = static_cast<std::uint32_t>(strides[i]);
  for (std::uint32_t i = 0; i < rank; ++i) *out++ = box[i];
  for (std::uint32_t i = 0; i < rank; ++i) *out++ = element_strides[i];
  return 0;
}
