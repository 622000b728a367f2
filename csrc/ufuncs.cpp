// NumPy's floor_divide, tanh and expm1 with the Array API standard's answers at infinity and zero.
//
// Each is a universal function of its own that runs NumPy's loops, and mends what they give for the
// few elements that the standard wants otherwise. A Python function around NumPy's would cost every
// call a look at the operands.
#include "ufuncs.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace py = pybind11;

namespace {

// What NumPy's C interface says of a universal function, up to what is read here.
using Loop = void (*)(char** args, const std::ptrdiff_t* sizes, const std::ptrdiff_t* steps,
                      void* data);
struct UniversalFunction {
  PyObject_HEAD
  int inputs, outputs, arguments, identity;
  Loop* loops;
  void* const* data;
  int count, reserved;
  const char* name;
  const char* types;
};
using Make = PyObject* (*)(Loop*, void* const*, const char*, int, int, int, int, const char*,
                           const char*, int);
using Register = int (*)(void*, int, Loop, const int*, void*);

struct Original {
  Loop run;
  void* data;
};

constexpr std::ptrdiff_t BLOCK = 256;

template <class T>
T load(const char* place) {
  T value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

template <class T>
void store(char* place, T value) {
  std::memcpy(place, &value, sizeof value);
}

// -- floor_divide -----------------------------------------------------------------------------------
// By bits, so that one text serves every float. With an infinite operand the result is the floor
// of the quotient: infinite over finite stays infinite, finite over infinite is a zero.
template <class Bits, Bits INFINITE, Bits NOT_A_NUMBER>
Bits floor_of_quotient(Bits x, Bits y) {
  constexpr Bits SIGN = Bits(1) << (8 * sizeof(Bits) - 1);
  const Bits sign = (x ^ y) & SIGN, a = x & ~SIGN, b = y & ~SIGN;
  if (a > INFINITE || b > INFINITE || a == b) return NOT_A_NUMBER;
  return a == INFINITE ? Bits(sign | INFINITE) : sign;
}

template <class Bits, Bits INFINITE, Bits NOT_A_NUMBER, Bits ONE>
void floor_divide(char** args, const std::ptrdiff_t* sizes, const std::ptrdiff_t* steps,
                  void* data) {
  constexpr Bits SIGN = Bits(1) << (8 * sizeof(Bits) - 1);
  const Original& original = *static_cast<const Original*>(data);
  // A reduction, and an accumulation, read what they have just written.
  const bool depends = args[0] + steps[0] == args[2] && steps[0] == steps[2];
  const std::ptrdiff_t block = depends ? 1 : BLOCK;
  Bits x[BLOCK], y[BLOCK], mended[BLOCK];
  bool special[BLOCK];
  const std::ptrdiff_t inner[3] = {sizeof(Bits), sizeof(Bits), steps[2]};
  for (std::ptrdiff_t start = 0; start < sizes[0]; start += block) {
    const std::ptrdiff_t count = std::min(block, sizes[0] - start);
    char* out = args[2] + start * steps[2];
    bool any = false;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      x[i] = load<Bits>(args[0] + (start + i) * steps[0]);
      y[i] = load<Bits>(args[1] + (start + i) * steps[1]);
      special[i] = Bits(x[i] & ~SIGN) == INFINITE || Bits(y[i] & ~SIGN) == INFINITE;
      any |= special[i];
    }
    if (any) {
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        if (!special[i]) continue;
        mended[i] = floor_of_quotient<Bits, INFINITE, NOT_A_NUMBER>(x[i], y[i]);
        x[i] = y[i] = ONE;  // NumPy would warn of infinities
      }
    }
    char* operands[3] = {reinterpret_cast<char*>(x), reinterpret_cast<char*>(y), out};
    original.run(operands, &count, inner, original.data);
    if (any) {
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        if (special[i]) store(out + i * steps[2], mended[i]);
      }
    }
  }
}

constexpr Loop FLOOR_DIVIDE_HALF = floor_divide<std::uint16_t, 0x7c00, 0x7e00, 0x3c00>;
constexpr Loop FLOOR_DIVIDE_SINGLE =
    floor_divide<std::uint32_t, 0x7f800000u, 0x7fc00000u, 0x3f800000u>;
constexpr Loop FLOOR_DIVIDE_DOUBLE =
    floor_divide<std::uint64_t, 0x7ff0000000000000u, 0x7ff8000000000000u, 0x3ff0000000000000u>;

float widened(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

std::uint16_t rounded(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (value != value) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float floor_of_quotient(float x, float y) {
  if (y == 0 || std::isinf(x) || std::isinf(y)) return std::floor(x / y);
  const float rest = std::fmod(x, y);
  float quotient = (x - rest) / y;
  if (rest != 0 && (y < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0f, x / y);
  const float whole = std::floor(quotient);
  return quotient - whole > 0.5f ? whole + 1 : whole;
}

void floor_divide_bfloat16(char** args, const std::ptrdiff_t* sizes, const std::ptrdiff_t* steps,
                           void*) {
  for (std::ptrdiff_t i = 0; i < sizes[0]; ++i) {
    const float x = widened(load<std::uint16_t>(args[0] + i * steps[0]));
    const float y = widened(load<std::uint16_t>(args[1] + i * steps[1]));
    store(args[2] + i * steps[2], rounded(floor_of_quotient(x, y)));
  }
}

template <float (*FUNCTION)(float)>
void of_bfloat16(char** args, const std::ptrdiff_t* sizes, const std::ptrdiff_t* steps, void*) {
  for (std::ptrdiff_t i = 0; i < sizes[0]; ++i) {
    const float x = widened(load<std::uint16_t>(args[0] + i * steps[0]));
    store(args[1] + i * steps[1], rounded(FUNCTION(x)));
  }
}

float tanh_of(float x) { return std::tanh(x); }
float expm1_of(float x) { return std::expm1(x); }

// -- of one complex number --------------------------------------------------------------------------
// At infinity the standard gives the imaginary part its own sign; C has that of sin(2 imag).
template <class Real>
std::complex<Real> mended_tanh(std::complex<Real> z, std::complex<Real> out) {
  if (!std::isinf(z.real()) || !std::isfinite(z.imag())) return out;
  return {out.real(), std::copysign(Real(0), z.imag())};
}

// exp has the limits and the signs of zeros that NumPy's formula loses.
template <class Real>
std::complex<Real> mended_expm1(std::complex<Real> z, std::complex<Real> out) {
  const Real x = z.real(), y = z.imag();
  if (y == 0) return {std::expm1(x) + Real(0), y};  // of -0 it is 0
  if (std::isfinite(x) && std::isfinite(y)) return out;
  constexpr Real nan = std::numeric_limits<Real>::quiet_NaN();
  if (std::isinf(x) && x < 0) {
    if (!std::isfinite(y)) return {-1, std::isnan(y) ? Real(0) : std::copysign(Real(0), y)};
    return {-1, std::copysign(Real(0), std::sin(y))};
  }
  if (std::isinf(x)) {
    if (!std::isfinite(y)) return {x, nan};
    return {x * std::cos(y), x * std::sin(y)};
  }
  return {nan, nan};
}

template <class Real, std::complex<Real> (*MEND)(std::complex<Real>, std::complex<Real>)>
void of_complex(char** args, const std::ptrdiff_t* sizes, const std::ptrdiff_t* steps,
                void* data) {
  using Number = std::complex<Real>;
  const Original& original = *static_cast<const Original*>(data);
  Number z[BLOCK];  // a copy: out may be where the input is
  const std::ptrdiff_t inner[2] = {sizeof(Number), steps[1]};
  for (std::ptrdiff_t start = 0; start < sizes[0]; start += BLOCK) {
    const std::ptrdiff_t count = std::min(BLOCK, sizes[0] - start);
    char* out = args[1] + start * steps[1];
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      z[i] = load<Number>(args[0] + (start + i) * steps[0]);
    }
    char* operands[2] = {reinterpret_cast<char*>(z), out};
    original.run(operands, &count, inner, original.data);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      store(out + i * steps[1], MEND(z[i], load<Number>(out + i * steps[1])));
    }
  }
}

// NumPy's numbers of dtypes.
enum : char { SINGLE = 11, DOUBLE = 12, COMPLEX_SINGLE = 14, COMPLEX_DOUBLE = 15,
              COMPLEX_LONG_DOUBLE = 16, HALF = 23 };

struct Replacement {
  const char* name;
  char type;
  Loop loop;
};
const Replacement REPLACEMENTS[] = {
    {"floor_divide", HALF, FLOOR_DIVIDE_HALF},
    {"floor_divide", SINGLE, FLOOR_DIVIDE_SINGLE},
    {"floor_divide", DOUBLE, FLOOR_DIVIDE_DOUBLE},
    {"tanh", COMPLEX_SINGLE, of_complex<float, mended_tanh<float>>},
    {"tanh", COMPLEX_DOUBLE, of_complex<double, mended_tanh<double>>},
    {"expm1", COMPLEX_SINGLE, of_complex<float, mended_expm1<float>>},
    {"expm1", COMPLEX_DOUBLE, of_complex<double, mended_expm1<double>>},
};

Loop replacement(const std::string& name, const char* types, int arguments) {
  for (const Replacement& one : REPLACEMENTS) {
    if (name == one.name && std::all_of(types, types + arguments, [&](char type) {
          return type == one.type;
        })) {
      return one.loop;
    }
  }
  return nullptr;
}

}  // namespace

py::object mended_ufunc(const py::object& ufunc, int bfloat16) {
  const py::module_ numpy = py::module_::import("numpy._core._multiarray_umath");
  if (!py::isinstance(ufunc, py::module_::import("numpy").attr("ufunc"))) {
    throw py::value_error("mended_ufunc: ufunc must be a universal function of NumPy");
  }
  void** interface = static_cast<void**>(
      PyCapsule_GetPointer(numpy.attr("_UFUNC_API").ptr(), nullptr));
  if (interface == nullptr) throw py::error_already_set();
  const auto make = reinterpret_cast<Make>(interface[1]);
  const auto enroll = reinterpret_cast<Register>(interface[2]);
  const auto& theirs = *reinterpret_cast<const UniversalFunction*>(ufunc.ptr());
  const std::string name = py::cast<std::string>(ufunc.attr("__name__"));
  if (name != "floor_divide" && name != "tanh" && name != "expm1") {
    throw py::value_error("mended_ufunc: ufunc must be floor_divide, tanh or expm1, got " + name);
  }

  // NumPy keeps these pointers for as long as the process lives.
  auto* loops = new std::vector<Loop>;
  auto* data = new std::vector<void*>;
  auto* types = new std::string;
  for (int i = 0; i < theirs.count; ++i) {
    const char* own = theirs.types + i * theirs.arguments;
    const bool plain = std::all_of(own, own + theirs.arguments, [](char number) {
      return number <= COMPLEX_LONG_DOUBLE || number == HALF;
    });
    if (!plain) continue;  // dates and objects
    Loop found = replacement(name, own, theirs.arguments);
    loops->push_back(found ? found : theirs.loops[i]);
    data->push_back(found ? new Original{theirs.loops[i], theirs.data ? theirs.data[i] : nullptr}
                          : theirs.data ? theirs.data[i] : nullptr);
    types->append(own, theirs.arguments);
  }
  auto* kept_name = new std::string(name);
  py::object made = py::reinterpret_steal<py::object>(
      make(loops->data(), data->data(), types->data(), static_cast<int>(loops->size()),
           theirs.inputs, theirs.outputs, theirs.identity, kept_name->c_str(), "", 0));
  if (!made) throw py::error_already_set();
  const int kinds[3] = {bfloat16, bfloat16, bfloat16};
  const Loop half = name == "floor_divide" ? floor_divide_bfloat16
                    : name == "tanh"       ? of_bfloat16<tanh_of>
                                           : of_bfloat16<expm1_of>;
  if (enroll(made.ptr(), bfloat16, half, kinds, nullptr) < 0) throw py::error_already_set();
  return made;
}
