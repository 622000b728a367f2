#include "pooling.hpp"

#include "checks.hpp"

namespace check {
namespace {

using tfl::PoolAxis;
using tfl::Pooling;
using tfl::PoolShape;

PoolAxis axis(std::size_t size, std::size_t kernel, std::size_t stride, std::size_t padding = 0,
              std::size_t dilation = 1) {
  const std::size_t extent = (kernel - 1) * dilation + 1, room = size + 2 * padding;
  return {size, room < extent ? 0 : (room - extent) / stride + 1, kernel, stride, padding, dilation};
}

std::vector<PoolShape> shapes() {
  return {
      {3, axis(1, 1, 1), axis(1, 1, 1)},
      {5, axis(6, 2, 2), axis(7, 2, 2)},
      {2, axis(9, 3, 2, 1), axis(11, 3, 2, 1)},
      {2, axis(7, 3, 1, 1), axis(66, 3, 1, 1)},
      {1, axis(8, 2, 3), axis(9, 4, 5)},
      {2, axis(12, 3, 2, 0, 2), axis(13, 2, 1, 1, 3)},
      {1, axis(5, 5, 1), axis(40, 16, 16, 3)},
      {2, axis(3, 2, 2), axis(2500, 2, 2)},
      {1, axis(4, 3, 1, 1), axis(2100, 5, 3, 2)},
      {150, axis(12, 3, 2, 1), axis(13, 3, 2, 1)},  // split over threads
      {70, axis(14, 2, 2), axis(15, 2, 2)},
  };
}

std::size_t images(const PoolShape& s) { return s.planes * s.rows.size * s.columns.size; }
std::size_t windows(const PoolShape& s) { return s.planes * s.rows.count * s.columns.count; }

// Calls work(window, place, image's index) for every place of a window that is inside the image.
template <typename Work>
void for_each_place(const PoolShape& s, const Work& work) {
  const auto inside = [](const PoolAxis& a, std::size_t window, std::size_t place, std::size_t* at) {
    const std::size_t padded = window * a.stride + place * a.dilation;
    *at = padded - a.padding;
    return padded >= a.padding && padded < a.size + a.padding;
  };
  std::size_t window = 0;
  for (std::size_t plane = 0; plane < s.planes; ++plane) {
    for (std::size_t i = 0; i < s.rows.count; ++i) {
      for (std::size_t j = 0; j < s.columns.count; ++j, ++window) {
        for (std::size_t place = 0; place < s.rows.kernel * s.columns.kernel; ++place) {
          std::size_t row, column;
          if (inside(s.rows, i, place / s.columns.kernel, &row) &&
              inside(s.columns, j, place % s.columns.kernel, &column)) {
            work(window, place, (plane * s.rows.size + row) * s.columns.size + column);
          }
        }
      }
    }
  }
}

template <typename T>
struct Kernels;
#define TFL_KERNELS(type)                                  \
  template <>                                              \
  struct Kernels<type> {                                   \
    const Pooling& table = tfl::pooling_kernels();         \
    decltype(table.max_##type) max = table.max_##type;     \
    decltype(table.scatter_##type) scatter = table.scatter_##type; \
    decltype(table.gather_##type) gather = table.gather_##type;    \
    decltype(table.mean_##type) mean = table.mean_##type;          \
    decltype(table.spread_##type) spread = table.spread_##type;    \
  };
// max_float scatter_float gather_float mean_float spread_float
TFL_KERNELS(float)
// max_double scatter_double gather_double mean_double spread_double
TFL_KERNELS(double)
#undef TFL_KERNELS

template <typename T>
void check_maxima(const PoolShape& s) {
  const Guarded<T> x = normals<T>(images(s), 1), y = normals<T>(windows(s), 2);
  std::vector<double> best(windows(s), -INFINITY), places(windows(s), 0.0), given(images(s), 0.0);
  std::vector<std::size_t> from(windows(s));
  for_each_place(s, [&](std::size_t window, std::size_t place, std::size_t i) {
    if (!(static_cast<double>(x[i]) > best[window])) return;
    best[window] = static_cast<double>(x[i]);
    places[window] = static_cast<double>(place);
    from[window] = i;
  });
  for (std::size_t i = 0; i < windows(s); ++i) given[from[i]] += static_cast<double>(y[i]);
  for_every_way([&](Outputs& outputs) {
    const Kernels<T> kernels;
    Guarded<T> out(windows(s)), alone(windows(s)), gathered(windows(s)), scattered(images(s));
    Guarded<std::uint8_t> where(windows(s), 99);
    kernels.max(s, x.data(), out.data(), where.data());
    kernels.max(s, x.data(), alone.data(), nullptr);
    kernels.gather(s, x.data(), where.data(), gathered.data());
    kernels.scatter(s, y.data(), where.data(), scattered.data());
    near(out, best, 0, 0, "max");
    near(alone, best, 0, 0, "max without places");
    near(where, places, 0, 0, "places");
    near(gathered, best, 0, 0, "gather");
    near(scattered, given, unit<T>(8), unit<T>(20), "scatter");
    outputs.add(out);
    outputs.add(where);
    outputs.add(gathered);
    outputs.add(scattered);
  });
}

template <typename T>
void check_means(const PoolShape& s) {
  const Guarded<T> x = normals<T>(images(s), 3), y = normals<T>(windows(s), 4);
  Guarded<double> rows(s.rows.count), columns(s.columns.count);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = 1.0 + static_cast<double>(i % 3);
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i] = 2.0 + static_cast<double>(i % 2);
  std::vector<long double> wide_means(windows(s)), wide_given(images(s));
  for_each_place(s, [&](std::size_t window, std::size_t, std::size_t i) {
    const double divisor = rows[window / s.columns.count % s.rows.count] *
                           columns[window % s.columns.count];
    wide_means[window] += static_cast<long double>(x[i]) / divisor;
    wide_given[i] += static_cast<long double>(y[window]) / divisor;
  });
  const std::vector<double> means(wide_means.begin(), wide_means.end());
  const std::vector<double> given(wide_given.begin(), wide_given.end());
  const bool spreads = s.rows.dilation == 1 && s.columns.dilation == 1;
  for_every_way([&](Outputs& outputs) {
    const Kernels<T> kernels;
    Guarded<T> out(windows(s)), dx(images(s));
    kernels.mean(s, x.data(), rows.data(), columns.data(), out.data());
    near(out, means, unit<T>(8), unit<T>(40), "mean");
    outputs.add(out);
    if (!spreads) return;
    kernels.spread(s, y.data(), rows.data(), columns.data(), dx.data());
    near(dx, given, unit<T>(8), unit<T>(40), "spread");
    outputs.add(dx);
  });
}

TFL_CHECK(maxima_and_means) {
  for (const PoolShape& s : shapes()) {
    const Note note(s.planes, "x", s.rows.size, "x", s.columns.size, ", window ", s.rows.kernel,
                    "x", s.columns.kernel, ", stride ", s.rows.stride, "x", s.columns.stride);
    check_maxima<float>(s);
    check_maxima<double>(s);
    if (s.rows.dilation > 1) continue;
    check_means<float>(s);
    check_means<double>(s);
  }
}

// More places than a byte can number: of one window, side by side, and over the edges.
TFL_CHECK(means_of_large_windows) {
  const PoolShape large[] = {{5, axis(28, 28, 28), axis(27, 27, 27)},
                             {2, axis(38, 19, 19), axis(40, 20, 20)},
                             {1, axis(33, 17, 3, 5), axis(66, 20, 7, 7)}};
  for (const PoolShape& s : large) {
    const Note note("windows of ", s.rows.kernel, "x", s.columns.kernel);
    check_means<double>(s);
  }
}

TFL_CHECK(nan_and_places_outside) {
  const PoolShape s{1, axis(2, 2, 2), axis(4, 2, 2)};
  const Guarded<float> x(std::vector<float>{1, NAN, 3, -INFINITY, 2, 5, 3, -INFINITY});
  const Guarded<std::uint8_t> where(std::vector<std::uint8_t>{3, 200});
  for_every_set([&] {
    Guarded<float> out(2), gathered(2), scattered(8);
    Guarded<std::uint8_t> places(2, 99);
    const Kernels<float> kernels;
    kernels.max(s, x.data(), out.data(), places.data());
    near(out, {NAN, 3}, 0, 0, "max");
    near(places, {0, 0}, 0, 0, "places");
    // No memory outside is read or written, whatever a place says.
    kernels.gather(s, x.data(), where.data(), gathered.data());
    kernels.scatter(s, x.data(), where.data(), scattered.data());
    near(gathered, {5, 0}, 0, 0, "gather");
    near(scattered, {0, 0, 0, 0, 0, 1, 0, 0}, 0, 0, "scatter");
  });
}

}  // namespace
}  // namespace check
