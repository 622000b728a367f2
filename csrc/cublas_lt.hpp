// Products of row-major matrices by cuBLASLt, which is reached at run time without its header: the
// entry points, types and numbers used are declared here and in cublas_lt.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dynamic_library.hpp"

namespace tfl {

// out (m, n) = epilogue(alpha op(a) op(b) + beta out), `batch` times. A transposed a lies in memory
// as (k, m), a transposed b as (n, k). Leading dimensions and batch strides are in elements.
struct Product {
  std::int64_t m, n, k;
  bool a_transposed, b_transposed;
  std::int64_t a_leading, b_leading, out_leading;
  std::int64_t batch, a_stride, b_stride, out_stride;
  std::string dtype;     // float16, bfloat16, float32 or float64, of all arrays
  bool tf32;             // float32 is rounded to TF32 before it is multiplied
  std::string epilogue;  // one of epilogues()
  std::int64_t aux_leading;
};

// Addresses' common powers of two, in bytes.
struct Alignments {
  std::uint32_t a, b, out, bias, aux;
};

struct Algorithm {
  std::uint64_t algo[8];  // cublasLtMatmulAlgo_t
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Algorithm) == 96, "cublasLtMatmulHeuristicResult_t");

struct CublasLtApi;

// A product's descriptors, and the algorithms that were found for it.
class Plan {
 public:
  Plan(std::shared_ptr<const CublasLtApi> api, const Product& product);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // What the library says that it was told, by attribute.
  std::map<std::string, std::int64_t> described() const;
  const std::vector<Algorithm>& algorithms() const { return algorithms_; }

 private:
  friend class CublasLt;
  void set(int attribute, const void* value, std::size_t size);
  void* layout(std::int64_t rows, std::int64_t columns, std::int64_t leading, std::int64_t stride);
  void release();

  std::shared_ptr<const CublasLtApi> api_;
  Product product_;
  bool takes_bias_, takes_aux_, is_double_;
  void* descriptor_ = nullptr;
  // The library's matrices are column-major: it computes outᵀ = op(b)ᵀ op(a)ᵀ.
  void* layout_a_ = nullptr;
  void* layout_b_ = nullptr;
  void* layout_out_ = nullptr;
  std::vector<Algorithm> algorithms_;
  std::mutex mutex_;  // the pointers of an epilogue are kept in the descriptor
  std::uint64_t bias_ = 0, aux_ = 0;
};

struct Buffers {
  std::uint64_t a, b, out, bias, aux, workspace;
  std::size_t workspace_bytes;
};

// The library, and its handle for the device that was current when it was opened.
class CublasLt {
 public:
  explicit CublasLt(const std::vector<std::string>& candidates);

  const std::string& path() const;
  std::size_t version() const;
  void open();
  std::shared_ptr<Plan> plan(const Product& product) const;
  // Finds at most `count` algorithms for a plan, those first that the library thinks fastest.
  void search(Plan& plan, int count, std::size_t workspace_bytes, const Alignments&) const;
  void run(Plan& plan, std::size_t algorithm, const Buffers&, double alpha, double beta,
           std::uint64_t stream) const;

 private:
  std::shared_ptr<const CublasLtApi> api_;
  void* handle_ = nullptr;  // never given back: at exit the driver may be gone before
};

const std::map<std::string, int>& epilogues();

}  // namespace tfl
