#include "cublas_lt.hpp"

#include <initializer_list>
#include <utility>

namespace tfl {
namespace {

// The library's numbers, from cublasLt.h, cublas_api.h and library_types.h.
constexpr int transpose_no = 0, transpose_yes = 1;
enum DescriptorAttribute {
  compute_type = 0,
  scale_type = 1,
  transpose_a = 3,
  transpose_b = 4,
  epilogue_kind = 7,
  bias_pointer = 8,
  bias_stride = 10,
  aux_pointer = 11,
  aux_leading_dimension = 12,
  aux_stride = 13,
};
enum LayoutAttribute {
  layout_type = 0,
  layout_rows = 2,
  layout_columns = 3,
  layout_leading = 4,
  layout_batch = 5,
  layout_stride = 6,
};
enum PreferenceAttribute {
  most_workspace = 1,
  reduction_schemes = 3,
  alignment_a = 5,
  alignment_b = 6,
  alignment_c = 7,
  alignment_d = 8,
};

struct ElementType {
  const char* name;
  int type, scale, compute;
};
constexpr int real_32 = 0, compute_32 = 68, compute_tf32 = 77;
constexpr ElementType element_types[] = {
    {"float16", 2, real_32, compute_32},
    {"bfloat16", 14, real_32, compute_32},
    {"float32", 0, real_32, compute_32},
    {"float64", 1, 1, 70},
};

[[noreturn]] void refuse(const std::string& requirement, const std::string& got) {
  throw std::invalid_argument("product: " + requirement + ", got " + got);
}

const ElementType& element_type(const std::string& name) {
  for (const ElementType& type : element_types) {
    if (name == type.name) return type;
  }
  refuse("dtype must be float16, bfloat16, float32 or float64", "'" + name + "'");
}

int epilogue_code(const std::string& name) {
  const auto found = epilogues().find(name);
  if (found != epilogues().end()) return found->second;
  std::string known;
  for (const auto& one : epilogues()) known += (known.empty() ? "" : ", ") + one.first;
  refuse("epilogue must be one of " + known, "'" + name + "'");
}

constexpr int bias_bit = 4, bias_gradient_bit = 16, aux_bit = 128, sums = 256 | 512;

void check(const Product& p) {
  if (p.m < 1 || p.n < 1 || p.k < 1 || p.batch < 1) {
    refuse("m, n, k and batch must be at least 1",
           std::to_string(p.m) + ", " + std::to_string(p.n) + ", " + std::to_string(p.k) + ", " +
               std::to_string(p.batch));
  }
  const auto leading = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) {
      refuse(std::string(name) + "_leading must be at least " + std::to_string(least),
             std::to_string(value));
    }
  };
  leading("a", p.a_leading, p.a_transposed ? p.m : p.k);
  leading("b", p.b_leading, p.b_transposed ? p.k : p.n);
  leading("out", p.out_leading, p.n);
  if (epilogue_code(p.epilogue) & aux_bit) leading("aux", p.aux_leading, p.n);
  if (p.tf32 && p.dtype != "float32") refuse("tf32 must go with float32", "'" + p.dtype + "'");
}

}  // namespace

const std::map<std::string, int>& epilogues() {
  // "sum_a" and "sum_b" are BGRADB and BGRADA: the library's A is our b.
  static const std::map<std::string, int> table = {
      {"default", 1},    {"relu", 2},           {"relu_aux", 130},      {"bias", 4},
      {"relu_bias", 6},  {"relu_aux_bias", 134}, {"drelu", 136},         {"drelu_bgrad", 152},
      {"gelu", 32},      {"gelu_aux", 160},     {"gelu_bias", 36},      {"gelu_aux_bias", 164},
      {"dgelu", 192},    {"dgelu_bgrad", 208},  {"sum_b", 256},         {"sum_a", 512},
  };
  return table;
}

struct CublasLtApi {
  explicit CublasLtApi(const std::vector<std::string>& candidates) : library(candidates) {
    const DynamicLibrary& from = library;
    from.find("cublasLtCreate", create);
    from.find("cublasLtGetVersion", version);
    from.find("cublasLtGetStatusName", status_name);
    from.find("cublasLtGetStatusString", status_text);
    from.find("cublasLtMatmulDescCreate", descriptor_create);
    from.find("cublasLtMatmulDescDestroy", descriptor_destroy);
    from.find("cublasLtMatmulDescSetAttribute", descriptor_set);
    from.find("cublasLtMatmulDescGetAttribute", descriptor_get);
    from.find("cublasLtMatrixLayoutCreate", layout_create);
    from.find("cublasLtMatrixLayoutDestroy", layout_destroy);
    from.find("cublasLtMatrixLayoutSetAttribute", layout_set);
    from.find("cublasLtMatrixLayoutGetAttribute", layout_get);
    from.find("cublasLtMatmulPreferenceCreate", preference_create);
    from.find("cublasLtMatmulPreferenceDestroy", preference_destroy);
    from.find("cublasLtMatmulPreferenceSetAttribute", preference_set);
    from.find("cublasLtMatmulAlgoGetHeuristic", heuristic);
    from.find("cublasLtMatmul", matmul);
  }

  void check(const char* call, int status) const {
    if (!status) return;
    throw CudaError(std::string(call) + ": the call must succeed, got " + status_name(status) +
                    " (" + std::to_string(status) + "): " + status_text(status));
  }

  DynamicLibrary library;
  int (*create)(void** handle);
  std::size_t (*version)();
  const char* (*status_name)(int);
  const char* (*status_text)(int);
  int (*descriptor_create)(void**, int compute, int scale);
  int (*descriptor_destroy)(void*);
  int (*descriptor_set)(void*, int attribute, const void*, std::size_t);
  int (*descriptor_get)(void*, int attribute, void*, std::size_t, std::size_t* written);
  int (*layout_create)(void**, int type, std::uint64_t rows, std::uint64_t columns,
                       std::int64_t leading);
  int (*layout_destroy)(void*);
  int (*layout_set)(void*, int attribute, const void*, std::size_t);
  int (*layout_get)(void*, int attribute, void*, std::size_t, std::size_t* written);
  int (*preference_create)(void**);
  int (*preference_destroy)(void*);
  int (*preference_set)(void*, int attribute, const void*, std::size_t);
  int (*heuristic)(void* handle, void* descriptor, void* a, void* b, void* c, void* d,
                   void* preference, int count, Algorithm* found, int* number);
  int (*matmul)(void* handle, void* descriptor, const void* alpha, const void* a, void* a_layout,
                const void* b, void* b_layout, const void* beta, const void* c, void* c_layout,
                void* d, void* d_layout, const void* algorithm, void* workspace,
                std::size_t workspace_bytes, void* stream);
};

Plan::Plan(std::shared_ptr<const CublasLtApi> api, const Product& product)
    : api_(std::move(api)), product_(product) {
  check(product);
  const ElementType& type = element_type(product.dtype);
  const int epilogue = epilogue_code(product.epilogue);
  takes_bias_ = epilogue & (bias_bit | bias_gradient_bit | sums);
  takes_aux_ = epilogue & aux_bit;
  is_double_ = product.dtype == "float64";
  try {
    api_->check("cublasLtMatmulDescCreate",
                api_->descriptor_create(&descriptor_, product.tf32 ? compute_tf32 : type.compute,
                                        type.scale));
    const std::int32_t of_a = product.b_transposed ? transpose_yes : transpose_no;
    const std::int32_t of_b = product.a_transposed ? transpose_yes : transpose_no;
    set(transpose_a, &of_a, sizeof of_a);
    set(transpose_b, &of_b, sizeof of_b);
    const std::uint32_t kind = static_cast<std::uint32_t>(epilogue);
    set(epilogue_kind, &kind, sizeof kind);
    if (takes_aux_) set(aux_leading_dimension, &product.aux_leading, sizeof product.aux_leading);
    if (takes_aux_ && product.batch > 1) {
      const std::int64_t stride = product.m * product.aux_leading;
      set(aux_stride, &stride, sizeof stride);
    }
    const Product& p = product;
    layout_a_ = p.b_transposed ? layout(p.k, p.n, p.b_leading, p.b_stride)
                               : layout(p.n, p.k, p.b_leading, p.b_stride);
    layout_b_ = p.a_transposed ? layout(p.m, p.k, p.a_leading, p.a_stride)
                               : layout(p.k, p.m, p.a_leading, p.a_stride);
    layout_out_ = layout(p.n, p.m, p.out_leading, p.out_stride);
  } catch (...) {
    release();
    throw;
  }
}

Plan::~Plan() { release(); }

void Plan::release() {
  for (void* one : {layout_a_, layout_b_, layout_out_}) {
    if (one) api_->layout_destroy(one);
  }
  if (descriptor_) api_->descriptor_destroy(descriptor_);
}

void Plan::set(int attribute, const void* value, std::size_t size) {
  api_->check("cublasLtMatmulDescSetAttribute",
              api_->descriptor_set(descriptor_, attribute, value, size));
}

void* Plan::layout(std::int64_t rows, std::int64_t columns, std::int64_t leading,
                   std::int64_t stride) {
  void* made = nullptr;
  api_->check("cublasLtMatrixLayoutCreate",
              api_->layout_create(&made, element_type(product_.dtype).type,
                                  static_cast<std::uint64_t>(rows),
                                  static_cast<std::uint64_t>(columns), leading));
  if (product_.batch > 1) {
    const std::int32_t batch = static_cast<std::int32_t>(product_.batch);
    int status = api_->layout_set(made, layout_batch, &batch, sizeof batch);
    if (!status) status = api_->layout_set(made, layout_stride, &stride, sizeof stride);
    if (status) api_->layout_destroy(made);
    api_->check("cublasLtMatrixLayoutSetAttribute", status);
  }
  return made;
}

std::map<std::string, std::int64_t> Plan::described() const {
  std::map<std::string, std::int64_t> found;
  const auto read = [&](const std::string& name, auto get, void* from, int attribute,
                        std::size_t size) {
    std::int64_t value = 0;
    std::size_t written = 0;
    api_->check("GetAttribute", get(from, attribute, &value, size, &written));
    found[name] = value;
  };
  const std::initializer_list<std::pair<const char*, int>> of_descriptor = {
      {"compute_type", compute_type}, {"scale_type", scale_type}, {"transpose_a", transpose_a},
      {"transpose_b", transpose_b},   {"epilogue", epilogue_kind}};
  for (const auto& [name, attribute] : of_descriptor)
    read(name, api_->descriptor_get, descriptor_, attribute, 4);
  read("aux_leading", api_->descriptor_get, descriptor_, aux_leading_dimension, 8);
  for (const auto& [letter, from] : {std::pair<const char*, void*>{"a_", layout_a_},
                                     {"b_", layout_b_},
                                     {"out_", layout_out_}}) {
    read(letter + std::string("type"), api_->layout_get, from, layout_type, 4);
    read(letter + std::string("rows"), api_->layout_get, from, layout_rows, 8);
    read(letter + std::string("columns"), api_->layout_get, from, layout_columns, 8);
    read(letter + std::string("leading"), api_->layout_get, from, layout_leading, 8);
    read(letter + std::string("batch"), api_->layout_get, from, layout_batch, 4);
    read(letter + std::string("stride"), api_->layout_get, from, layout_stride, 8);
  }
  return found;
}

CublasLt::CublasLt(const std::vector<std::string>& candidates)
    : api_(std::make_shared<const CublasLtApi>(candidates)) {}

const std::string& CublasLt::path() const { return api_->library.path(); }

std::size_t CublasLt::version() const { return api_->version(); }

void CublasLt::open() {
  if (!handle_) api_->check("cublasLtCreate", api_->create(&handle_));
}

std::shared_ptr<Plan> CublasLt::plan(const Product& product) const {
  return std::make_shared<Plan>(api_, product);
}

void CublasLt::search(Plan& plan, int count, std::size_t workspace_bytes,
                      const Alignments& alignments) const {
  if (!handle_) throw CudaError("search: the library must be open, got no handle; call open()");
  const std::lock_guard<std::mutex> lock(plan.mutex_);
  // The search looks at no data, but at the alignment of these addresses.
  if (plan.takes_bias_) {
    plan.bias_ = alignments.bias;
    plan.set(bias_pointer, &plan.bias_, sizeof plan.bias_);
    if (plan.product_.batch > 1) plan.set(bias_stride, &plan.product_.n, sizeof plan.product_.n);
  }
  if (plan.takes_aux_) {
    plan.aux_ = alignments.aux;
    plan.set(aux_pointer, &plan.aux_, sizeof plan.aux_);
  }
  void* preference = nullptr;
  api_->check("cublasLtMatmulPreferenceCreate", api_->preference_create(&preference));
  int status = 0;
  const auto prefer = [&](int attribute, const auto& value) {
    if (!status) status = api_->preference_set(preference, attribute, &value, sizeof value);
  };
  // Parts of a sum over k meet in the type of the computation, never in half precision.
  const bool half = element_type(plan.product_.dtype).type == 2 ||
                    element_type(plan.product_.dtype).type == 14;
  prefer(most_workspace, static_cast<std::uint64_t>(workspace_bytes));
  prefer(reduction_schemes, static_cast<std::uint32_t>(half ? 2 : 7));
  prefer(alignment_a, alignments.b);
  prefer(alignment_b, alignments.a);
  prefer(alignment_c, alignments.out);
  prefer(alignment_d, alignments.out);
  std::vector<Algorithm> found(static_cast<std::size_t>(count));
  int number = 0;
  const char* call = "cublasLtMatmulPreferenceSetAttribute";
  if (!status) {
    call = "cublasLtMatmulAlgoGetHeuristic";
    status = api_->heuristic(handle_, plan.descriptor_, plan.layout_a_, plan.layout_b_,
                             plan.layout_out_, plan.layout_out_, preference, count, found.data(),
                             &number);
  }
  api_->preference_destroy(preference);
  api_->check(call, status);
  plan.algorithms_.clear();
  for (int i = 0; i < number; ++i) {
    if (!found[i].state) plan.algorithms_.push_back(found[i]);
  }
}

void CublasLt::run(Plan& plan, std::size_t algorithm, const Buffers& buffers, double alpha,
                   double beta, std::uint64_t stream) const {
  const std::lock_guard<std::mutex> lock(plan.mutex_);
  if (algorithm >= plan.algorithms_.size()) {
    refuse("algorithm must be below " + std::to_string(plan.algorithms_.size()) +
               ", the number that search() found",
           std::to_string(algorithm));
  }
  const Algorithm& chosen = plan.algorithms_[algorithm];
  if (chosen.workspace > buffers.workspace_bytes) {
    refuse("the workspace must have " + std::to_string(chosen.workspace) + " bytes",
           std::to_string(buffers.workspace_bytes));
  }
  if (!buffers.a || !buffers.b || !buffers.out || (plan.takes_bias_ && !buffers.bias) ||
      (plan.takes_aux_ && !buffers.aux)) {
    refuse("every array of the epilogue '" + plan.product_.epilogue + "' must be given",
           "a null address");
  }
  if (plan.takes_bias_ && plan.bias_ != buffers.bias) {
    plan.bias_ = buffers.bias;
    plan.set(bias_pointer, &plan.bias_, sizeof plan.bias_);
  }
  if (plan.takes_aux_ && plan.aux_ != buffers.aux) {
    plan.aux_ = buffers.aux;
    plan.set(aux_pointer, &plan.aux_, sizeof plan.aux_);
  }
  const auto pointer = [](std::uint64_t address) {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
  };
  const float alpha_single = static_cast<float>(alpha), beta_single = static_cast<float>(beta);
  const void* alpha_pointer = plan.is_double_ ? static_cast<const void*>(&alpha) : &alpha_single;
  const void* beta_pointer = plan.is_double_ ? static_cast<const void*>(&beta) : &beta_single;
  void* out = pointer(buffers.out);
  api_->check("cublasLtMatmul",
              api_->matmul(handle_, plan.descriptor_, alpha_pointer, pointer(buffers.b),
                           plan.layout_a_, pointer(buffers.a), plan.layout_b_, beta_pointer, out,
                           plan.layout_out_, out, plan.layout_out_, chosen.algo,
                           pointer(buffers.workspace), buffers.workspace_bytes, pointer(stream)));
}

}  // namespace tfl
