// Philox streams for one instruction set; included by random.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

// Blocks are made 64 at a time, lane by lane, so that the compiler turns each loop into vector
// code.
constexpr std::size_t blocks_at_once = 64;
constexpr std::size_t elements_at_once = 4 * blocks_at_once;

static void philox_blocks(Stream stream, std::uint64_t first_block, std::uint32_t* __restrict out) {
  const std::uint32_t stream_low = static_cast<std::uint32_t>(stream.stream);
  const std::uint32_t stream_high = static_cast<std::uint32_t>(stream.stream >> 32);
  std::uint32_t c0[blocks_at_once], c1[blocks_at_once], c2[blocks_at_once], c3[blocks_at_once];
  for (std::size_t i = 0; i < blocks_at_once; ++i) {
    const std::uint64_t block = first_block + i;
    c0[i] = static_cast<std::uint32_t>(block);
    c1[i] = static_cast<std::uint32_t>(block >> 32);
    c2[i] = stream_low;
    c3[i] = stream_high;
  }
  for (std::size_t i = 0; i < blocks_at_once; ++i) {
    philox4x32_10(c0[i], c1[i], c2[i], c3[i], static_cast<std::uint32_t>(stream.seed),
                  static_cast<std::uint32_t>(stream.seed >> 32));
  }
  for (std::size_t i = 0; i < blocks_at_once; ++i) {
    out[4 * i] = c0[i];
    out[4 * i + 1] = c1[i];
    out[4 * i + 2] = c2[i];
    out[4 * i + 3] = c3[i];
  }
}

// Calls use(bits, count) with the 32-bit elements first ... first + count - 1, some hundred at a
// time.
template <typename Use>
static void for_each_bits(Stream stream, std::uint64_t first, std::size_t count, Use use) {
  std::uint32_t bits[elements_at_once];
  std::size_t skipped = first % 4;
  std::uint64_t block = first / 4;
  while (count > 0) {
    philox_blocks(stream, block, bits);
    const std::size_t taken = std::min(count, elements_at_once - skipped);
    use(bits + skipped, taken);
    count -= taken;
    block += blocks_at_once;
    skipped = 0;
  }
}

// The same for 64-bit elements: two 32-bit ones each, the lower half first. `first` counts 64-bit
// elements.
template <typename Use>
static void for_each_bits64(Stream stream, std::uint64_t first, std::size_t count, Use use) {
  std::uint64_t wide[elements_at_once / 2];
  for_each_bits(stream, 2 * first, 2 * count, [&](const std::uint32_t* bits, std::size_t taken) {
    for (std::size_t i = 0; i < taken / 2; ++i) {
      wide[i] = bits[2 * i] | static_cast<std::uint64_t>(bits[2 * i + 1]) << 32;
    }
    use(wide, taken / 2);
  });
}

static void random_bits(Stream stream, std::uint64_t first, std::size_t count, std::uint32_t* out) {
  for_each_bits(stream, first, count, [&](const std::uint32_t* bits, std::size_t taken) {
    std::memcpy(out, bits, taken * sizeof *bits);
    out += taken;
  });
}

static void uniform_float(Stream stream, std::uint64_t first, std::size_t count, float* out) {
  for_each_bits(stream, first, count, [&](const std::uint32_t* bits, std::size_t taken) {
    for (std::size_t i = 0; i < taken; ++i) out[i] = uniform_from_bits(bits[i]);
    out += taken;
  });
}

static void uniform_double(Stream stream, std::uint64_t first, std::size_t count, double* out) {
  for_each_bits64(stream, first, count, [&](const std::uint64_t* bits, std::size_t taken) {
    for (std::size_t i = 0; i < taken; ++i)
      out[i] = uniform_from_bits(static_cast<unsigned long long>(bits[i]));
    out += taken;
  });
}

// Normals of up to elements_at_once probabilities. The central range is computed for all of them;
// the 15 % outside it are gathered, computed together and put back, which keeps every loop but the
// last free of branches.
template <typename T>
static void normals(const double* __restrict p, std::size_t count, T* __restrict out) {
  std::uint32_t outside[elements_at_once];
  double tail[elements_at_once], argument[elements_at_once], value[elements_at_once];
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<T>(normal_central(p[i]));
  for (std::size_t i = 0; i < count; ++i) {
    outside[found] = static_cast<std::uint32_t>(i);
    found += normal_is_central(p[i]) ? 0 : 1;
  }
  for (std::size_t i = 0; i < found; ++i) tail[i] = p[outside[i]];
  for (std::size_t i = 0; i < found; ++i) argument[i] = normal_tail_argument(tail[i]);
  for (std::size_t i = 0; i < found; ++i) value[i] = normal_tail(tail[i], argument[i]);
  for (std::size_t i = 0; i < found; ++i) {
    const double chosen = argument[i] <= 5.0 ? value[i] : normal_far_tail(tail[i], argument[i]);
    out[outside[i]] = static_cast<T>(chosen);
  }
}

static void normal_float(Stream stream, std::uint64_t first, std::size_t count, float* out) {
  double p[elements_at_once];
  for_each_bits(stream, first, count, [&](const std::uint32_t* bits, std::size_t taken) {
    for (std::size_t i = 0; i < taken; ++i) p[i] = probability_from_bits(bits[i]);
    normals(p, taken, out);
    out += taken;
  });
}

static void normal_double(Stream stream, std::uint64_t first, std::size_t count, double* out) {
  double p[elements_at_once];
  for_each_bits64(stream, first, count, [&](const std::uint64_t* bits, std::size_t taken) {
    for (std::size_t i = 0; i < taken; ++i)
      p[i] = probability_from_bits(static_cast<unsigned long long>(bits[i]));
    normals(p, taken, out);
    out += taken;
  });
}

template <typename T>
static void dropout(Stream stream, std::uint64_t first, std::size_t count, std::uint32_t threshold,
                    double scale, const T* x, T* out, std::uint8_t* keep) {
  const T factor = static_cast<T>(scale);
  for_each_bits(stream, first, count, [&](const std::uint32_t* bits, std::size_t taken) {
#pragma GCC ivdep
    for (std::size_t i = 0; i < taken; ++i) {
      const std::int32_t kept = bits[i] >= threshold ? 1 : 0;
      keep[i] = static_cast<std::uint8_t>(kept);
      out[i] = x[i] * static_cast<T>(kept) * factor;
    }
    x += taken;
    out += taken;
    keep += taken;
  });
}

static const Random table = {
    random_bits,   uniform_float,  uniform_double, normal_float,
    normal_double, dropout<float>, dropout<double>,
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
