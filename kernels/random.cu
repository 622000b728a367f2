// Random numbers of Philox streams, the bits that tensorflowlite/backend/philox.py defines. Compile
// without contraction (--fmad=false).
// TFL_TYPE: what dropout, uniform and normal numbers are made in.
#include "philox.cuh"
#include "types.cuh"

using T = TFL_TYPE;
using u32 = unsigned int;
using u64 = unsigned long long;

// A stream is two numbers on the device, seed and stream.
TFL_DEVICE void bits_of_block(const u64* stream, u64 block, u32* bits) {
  bits[0] = static_cast<u32>(block);
  bits[1] = static_cast<u32>(block >> 32);
  bits[2] = static_cast<u32>(stream[1]);
  bits[3] = static_cast<u32>(stream[1] >> 32);
  tfl::philox4x32_10(bits[0], bits[1], bits[2], bits[3], static_cast<u32>(stream[0]),
                     static_cast<u32>(stream[0] >> 32));
}

// Takes the generator's next stream: each call another one, whatever runs beside it.
extern "C" TFL_KERNEL(32) take_stream(u64* state, u64* stream) {
  if (threadIdx.x != 0) return;
  stream[0] = state[0];
  stream[1] = atomicAdd(state + 1, 1ull);
}

// Fills `out` with from(bits of an element): 16 bytes a thread at a time. Types of 8 bytes are made
// of two 32-bit elements, others of one.
template <typename Out, typename F>
TFL_DEVICE void fill(const u64* stream, Out* out, long long size, const F& from) {
  constexpr int run = tfl::Pack<Out>::size;
  constexpr int blocks = sizeof(Out) == 8 ? run / 2 : run / 4;
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  const long long runs = (size + run - 1) / run;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < runs;
       i += stride) {
    tfl::Pack<Out> values;
#pragma unroll
    for (int j = 0; j < blocks; ++j) {
      u32 bits[4];
      bits_of_block(stream, static_cast<u64>(i) * blocks + j, bits);
      if constexpr (sizeof(Out) == 8) {
        values.at[2 * j] = from(static_cast<u64>(bits[1]) << 32 | bits[0]);
        values.at[2 * j + 1] = from(static_cast<u64>(bits[3]) << 32 | bits[2]);
      } else {
#pragma unroll
        for (int lane = 0; lane < 4; ++lane) values.at[4 * j + lane] = from(bits[lane]);
      }
    }
    const long long left = size - i * run;
    if (left >= run) {
      reinterpret_cast<tfl::Pack<Out>*>(out)[i] = values;
    } else {
#pragma unroll
      for (int j = 0; j < run; ++j) {
        if (j < left) out[i * run + j] = values.at[j];
      }
    }
  }
}

struct AsTheyAre {
  TFL_DEVICE u32 operator()(u32 bits) const { return bits; }
  TFL_DEVICE u64 operator()(u64 bits) const { return bits; }
};

extern "C" TFL_KERNEL(256) random_bits(const u64* stream, u32* out, long long size) {
  fill(stream, out, size, AsTheyAre{});
}

extern "C" TFL_KERNEL(256) random_bits64(const u64* stream, u64* out, long long size) {
  fill(stream, out, size, AsTheyAre{});
}

// Rounded to the nearest half, the greatest would become 1: so the digits that a half has.
template <typename Out>
struct Uniform {
  template <typename Bits>
  TFL_DEVICE Out operator()(Bits bits) const {
    return tfl::uniform_from_bits(bits);
  }
};
template <>
struct Uniform<tfl::float16> {
  TFL_DEVICE tfl::float16 operator()(u32 bits) const {
    return tfl::to_float16(static_cast<float>(bits >> 21) * 0x1p-11f);
  }
};
template <>
struct Uniform<tfl::bfloat16> {
  TFL_DEVICE tfl::bfloat16 operator()(u32 bits) const {
    return tfl::to_bfloat16(static_cast<float>(bits >> 24) * 0x1p-8f);
  }
};

extern "C" TFL_KERNEL(256) random_uniform(const u64* stream, T* out, long long size) {
  fill(stream, out, size, Uniform<T>{});
}

struct Normal {
  template <typename Bits>
  TFL_DEVICE T operator()(Bits bits) const {
    const double value = tfl::normal_from_probability(tfl::probability_from_bits(bits));
    return tfl::narrow<T>(static_cast<tfl::wide<T>>(value));
  }
};

extern "C" TFL_KERNEL(256) random_normal(const u64* stream, T* out, long long size) {
  fill(stream, out, size, Normal{});
}

// low + (bits span >> 64); a span of 0 means 2^64. The product is made by halves.
struct Integer {
  u64 low, span;
  TFL_DEVICE long long operator()(u64 bits) const {
    if (span != 0) {
      const u64 bits_low = bits & 0xffffffffull, bits_high = bits >> 32;
      const u64 span_low = span & 0xffffffffull, span_high = span >> 32;
      const u64 middle = bits_high * span_low + (bits_low * span_low >> 32);
      const u64 carried = bits_low * span_high + (middle & 0xffffffffull);
      bits = bits_high * span_high + (middle >> 32) + (carried >> 32);
    }
    return static_cast<long long>(bits + low);
  }
};

extern "C" TFL_KERNEL(256)
    random_integers(const u64* stream, long long* out, long long size, long long low,
                    long long span) {
  fill(stream, out, size, Integer{static_cast<u64>(low), static_cast<u64>(span)});
}

// Which elements stay; `bound` is at most 2^32.
struct Keep {
  long long bound;
  TFL_DEVICE unsigned char operator()(u32 bits) const { return bits >= bound; }
};

extern "C" TFL_KERNEL(256)
    random_keep(const u64* stream, unsigned char* out, long long size, long long bound) {
  fill(stream, out, size, Keep{bound});
}

// Whole blocks of random bits, and at least 16 bytes.
constexpr int dropout_run = tfl::Pack<T>::size < 4 ? 4 : tfl::Pack<T>::size;
struct alignas(16) Values {
  T at[dropout_run];
};
struct alignas(dropout_run) Kept {
  unsigned char at[dropout_run];
};

// A number is rounded to the dtype that NumPy multiplies in: float32 with bfloat16.
template <typename X>
struct Scale {
  static TFL_DEVICE tfl::wide<X> of(tfl::wide<X> scale) { return scale; }
};
template <>
struct Scale<tfl::float16> {
  static TFL_DEVICE float of(float scale) { return tfl::to_float(tfl::to_float16(scale)); }
};

// `out` and `keep` begin at multiples of 16 bytes; x need not.
extern "C" TFL_KERNEL(256)
    dropout(const u64* stream, const T* x, T* out, unsigned char* keep, long long size,
            long long bound, double scale) {
  using W = tfl::wide<T>;
  const W factor = Scale<T>::of(static_cast<W>(scale));
  const bool aligned = reinterpret_cast<u64>(x) % 16 == 0;
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  const long long runs = (size + dropout_run - 1) / dropout_run;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < runs;
       i += stride) {
    const long long left = size - i * dropout_run;
    const bool whole = left >= dropout_run;
    Values values;
    if (whole && aligned) {
      values = reinterpret_cast<const Values*>(x)[i];
    } else {
#pragma unroll
      for (int j = 0; j < dropout_run; ++j) {
        if (j < left) values.at[j] = x[i * dropout_run + j];
      }
    }
    Kept kept;
#pragma unroll
    for (int block = 0; block < dropout_run / 4; ++block) {
      u32 bits[4];
      bits_of_block(stream, static_cast<u64>(i) * (dropout_run / 4) + block, bits);
#pragma unroll
      for (int lane = 0; lane < 4; ++lane) {
        const int j = 4 * block + lane;
        const bool stays = bits[lane] >= bound;
        kept.at[j] = stays;
        // A product, so that NaN and infinity don't vanish.
        const W value = tfl::widen(values.at[j]) * (stays ? W(1) : W(0));
        values.at[j] = tfl::narrow<T>(value * factor);
      }
    }
    if (whole) {
      reinterpret_cast<Values*>(out)[i] = values;
      reinterpret_cast<Kept*>(keep)[i] = kept;
    } else {
#pragma unroll
      for (int j = 0; j < dropout_run; ++j) {
        if (j < left) {
          out[i * dropout_run + j] = values.at[j];
          keep[i * dropout_run + j] = kept.at[j];
        }
      }
    }
  }
}
