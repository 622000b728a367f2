#include "random.hpp"

#include "checks.hpp"

namespace check {
namespace {

using tfl::Random;
using tfl::Stream;

constexpr Stream streams[] = {{0, 0}, {0x123456789abcdef0u, 0xfedcba9876543210u}, {~0ull, ~0ull}};
// Blocks hold four elements, and 256 elements are made at a time.
constexpr std::size_t counts[] = {0, 1, 2, 3, 5, 255, 256, 257, 1000};
constexpr std::uint64_t starts[] = {0, 1, 3, 4, 1021, (1ull << 34) - 3, (1ull << 63) - 1000};

// Element i of a stream, as backend/philox.py defines it.
std::uint32_t element(Stream stream, std::uint64_t i) {
  std::uint32_t counter[4] = {static_cast<std::uint32_t>(i / 4),
                              static_cast<std::uint32_t>(i / 4 >> 32),
                              static_cast<std::uint32_t>(stream.stream),
                              static_cast<std::uint32_t>(stream.stream >> 32)};
  std::uint32_t keys[2] = {static_cast<std::uint32_t>(stream.seed),
                           static_cast<std::uint32_t>(stream.seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ull * counter[0], b = 0xCD9E8D57ull * counter[2];
    const std::uint32_t mixed[4] = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ keys[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ keys[1], static_cast<std::uint32_t>(a)};
    std::memcpy(counter, mixed, sizeof counter);
    keys[0] += 0x9E3779B9u;
    keys[1] += 0xBB67AE85u;
  }
  return counter[i % 4];
}

std::uint64_t wide_element(Stream stream, std::uint64_t i) {
  return element(stream, 2 * i) | static_cast<std::uint64_t>(element(stream, 2 * i + 1)) << 32;
}

template <typename Work>
void for_each_case(const Work& work) {
  for (const Stream stream : streams) {
    for (const std::uint64_t first : starts) {
      for (const std::size_t size : counts) {
        const Note note("seed ", stream.seed, ", elements ", first, " + ", size);
        work(stream, first, size);
      }
    }
  }
}

TFL_CHECK(bits_and_uniforms) {
  for_each_case([](Stream stream, std::uint64_t first, std::size_t size) {
    std::vector<double> narrow(size), wide(size), bits(size);
    for (std::size_t i = 0; i < size; ++i) {
      bits[i] = element(stream, first + i);
      narrow[i] = (element(stream, first + i) >> 8) * 0x1p-24;
      wide[i] = static_cast<double>(wide_element(stream, first + i) >> 11) * 0x1p-53;
    }
    for_every_set([&] {
      const Random& table = tfl::random_kernels();
      Guarded<std::uint32_t> out_bits(size);
      table.bits(stream, first, size, out_bits.data());
      near(out_bits, bits, 0, 0, "bits");
      Guarded<float> out_float(size);
      table.uniform_float(stream, first, size, out_float.data());
      near(out_float, narrow, 0, 0, "uniform_float");
      Guarded<double> out_double(size);
      table.uniform_double(stream, first, size, out_double.data());
      near(out_double, wide, 0, 0, "uniform_double");
    });
  });
}

// How far a normal is from the one of probability p, by the slope of the distribution function.
double distance(double x, double p) {
  const double tail = 0.5 * std::erfc(std::fabs(x) * std::sqrt(0.5));
  const double density = std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
  return std::fabs(tail - (x < 0 ? p : 1 - p)) / density;
}

TFL_CHECK(normals_invert_the_distribution) {
  for_each_case([](Stream stream, std::uint64_t first, std::size_t size) {
    for_every_way([&](Outputs& outputs) {
      const Random& table = tfl::random_kernels();
      Guarded<float> narrow(size);
      Guarded<double> wide(size);
      table.normal_float(stream, first, size, narrow.data());
      table.normal_double(stream, first, size, wide.data());
      outputs.add(narrow);
      outputs.add(wide);
      for (std::size_t i = 0; i < size; ++i) {
        const double p = ((element(stream, first + i) >> 9) + 0.5) * 0x1p-23;
        EXPECT(distance(narrow[i], p) <= unit<float>(2) * (1 + std::fabs(narrow[i])), "float ", i);
        const double q =
            (static_cast<double>(wide_element(stream, first + i) >> 12) + 0.5) * 0x1p-52;
        EXPECT(distance(wide[i], q) <= unit<double>(16) * (1 + std::fabs(wide[i])), "double ", i);
      }
    });
  });
}

template <typename T>
void check_dropout(void (*kernel)(Stream, std::uint64_t, std::size_t, std::uint32_t, double,
                                  const T*, T*, std::uint8_t*),
                   Stream stream, std::uint64_t first, std::size_t size) {
  constexpr std::uint32_t threshold = 0x60000000;
  const Guarded<T> x = normals<T>(size);
  std::vector<double> expected(size), expected_keep(size);
  for (std::size_t i = 0; i < size; ++i) {
    expected_keep[i] = element(stream, first + i) >= threshold;
    expected[i] = static_cast<double>(x[i]) * expected_keep[i] * 1.5;
  }
  Guarded<T> out(size), in_place = x;
  Guarded<std::uint8_t> keep(size, 99);
  kernel(stream, first, size, threshold, 1.5, x.data(), out.data(), keep.data());
  near(out, expected, unit<T>(1));
  near(keep, expected_keep, 0, 0, "keep");
  kernel(stream, first, size, threshold, 1.5, in_place.data(), in_place.data(), keep.data());
  near(in_place, expected, unit<T>(1), 0, "in place");
}

TFL_CHECK(dropout) {
  for_each_case([](Stream stream, std::uint64_t first, std::size_t size) {
    for_every_set([&] {
      check_dropout(tfl::random_kernels().dropout_float, stream, first, size);
      check_dropout(tfl::random_kernels().dropout_double, stream, first, size);
    });
  });
}

}  // namespace
}  // namespace check
