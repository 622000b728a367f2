#include "convolution_plan.hpp"

#include <algorithm>

namespace tfl {
namespace {

// Bytes of a band's source. A tile's reads slide over a few rows of it, which stay in a cache near
// the core; the rest is read once for each block of the result's channels.
constexpr Index source_bytes = Index{1} << 20;
constexpr Index most_columns = 512;
// Bands are worth a thread each: fewer than `least_pieces` are cut smaller, down to so many rows.
constexpr Index least_rows = 4;

Index ceiling(Index a, Index b) { return (a + b - 1) / b; }
Index floor_mod(Index a, Index b) { return (a % b + b) % b; }

// Along one axis: the taps that the result's elements of one phase read, with the source element
// each reads from, counted from the phase's number of the element.
struct AxisTap {
  Index kernel, from;
};

std::vector<AxisTap> axis_taps(Index phase, Index kernel, Index stride, Index dilation,
                               Index before) {
  std::vector<AxisTap> taps;
  for (Index i = 0; i < kernel; ++i) {
    const Index at = phase + before - i * dilation;
    if (floor_mod(at, stride) == 0) taps.push_back({i, at / stride});
  }
  return taps;
}

Index places_of_phase(Index size, Index phase, Index stride) {
  return size > phase ? (size - phase - 1) / stride + 1 : 0;
}

void find_reach(Correlation* work) {
  work->rows = work->columns = 0;
  work->reach_rows = work->reach_columns = 1;
  for (const Phase& phase : work->phases) {
    work->rows = std::max(work->rows, phase.rows);
    work->columns = std::max(work->columns, phase.columns);
    for (const Tap& tap : phase.taps) {
      work->reach_rows = std::max(work->reach_rows, tap.row + 1);
      work->reach_columns = std::max(work->reach_columns, tap.column + 1);
    }
  }
}

Index plane_pitch(const Correlation& work, Index first_column, Index columns) {
  // The last element read, and the padding before a row's first one. Reads beyond a row go on in
  // the next: there they must find zeros, and only where zeros are meant.
  const Index end = (columns - 1) * work.column_step + work.reach_columns;
  const Index before = work.left - first_column * work.column_step;
  const Index least = std::min(end, std::max(end - before, work.width + before));
  return std::max(columns, ceiling(least, work.column_step));
}

// A distance of at least so many numbers that is an odd multiple of a cache line: what lies so far
// apart uses all of the first-level cache.
Index spread(Index count) {
  constexpr Index line = 16;
  return (ceiling(count, line) | 1) * line;
}

// Along one axis: which of `count` places find the source, where the first reads at `at`.
void find_inside(Index at, Index step, Index size, Index count, Index* first, Index* last) {
  *first = std::min(std::max(ceiling(-at, step), Index{0}), count);
  *last = std::max(std::min(ceiling(size - at, step), count), *first);
}

std::vector<Rectangle> places_inside(const Correlation& work, const Band& band,
                                     const Phase& phase) {
  std::vector<Rectangle> inside;
  for (const Tap& tap : phase.taps) {
    Rectangle places{};
    find_inside(band.first_row * work.row_step + tap.row - work.top, work.row_step, work.height,
                band.rows, &places.first_row, &places.last_row);
    find_inside(band.first_column * work.column_step + tap.column - work.left, work.column_step,
                work.width, band.columns, &places.first_column, &places.last_column);
    inside.push_back(places);
  }
  return inside;
}

// The plane's number, or how many there are where it isn't among them.
Index number_of(const Planes& planes, Plane plane) {
  Index number = 0;
  for (const Plane& one : planes) {
    if (one.row == plane.row && one.column == plane.column) break;
    ++number;
  }
  return number;
}

}  // namespace

Correlation forward_correlation(const ConvolutionShape& shape) {
  const Index taps = shape.kernel_height * shape.kernel_width;
  Correlation work{};
  work.images = shape.images;
  work.groups = shape.groups;
  work.inputs = shape.inputs;
  work.outputs = shape.outputs;
  work.height = shape.height;
  work.width = shape.width;
  work.result_height = shape.result_height;
  work.result_width = shape.result_width;
  work.row_step = shape.row_stride;
  work.column_step = shape.column_stride;
  work.result_row_step = work.result_column_step = 1;
  work.top = shape.top;
  work.left = shape.left;
  work.output_step = shape.inputs * taps;
  work.input_step = taps;
  work.group_step = shape.outputs * shape.inputs * taps;
  Phase phase{0, 0, shape.result_height, shape.result_width, {}};
  for (Index i = 0; i < shape.kernel_height; ++i) {
    for (Index j = 0; j < shape.kernel_width; ++j) {
      phase.taps.push_back(
          {i * shape.row_dilation, j * shape.column_dilation, i * shape.kernel_width + j});
    }
  }
  work.phases.push_back(phase);
  find_reach(&work);
  return work;
}

Correlation input_gradient_correlation(const ConvolutionShape& shape) {
  const Index taps = shape.kernel_height * shape.kernel_width;
  Correlation work{};
  work.images = shape.images;
  work.groups = shape.groups;
  work.inputs = shape.outputs;
  work.outputs = shape.inputs;
  work.height = shape.result_height;
  work.width = shape.result_width;
  work.result_height = shape.height;
  work.result_width = shape.width;
  work.row_step = work.column_step = 1;
  work.result_row_step = shape.row_stride;
  work.result_column_step = shape.column_stride;
  work.output_step = taps;
  work.input_step = shape.inputs * taps;
  work.group_step = shape.outputs * shape.inputs * taps;
  Index top = 0, left = 0;
  bool any = false;
  for (Index i = 0; i < std::min(shape.row_stride, shape.height); ++i) {
    const auto rows =
        axis_taps(i, shape.kernel_height, shape.row_stride, shape.row_dilation, shape.top);
    for (Index j = 0; j < std::min(shape.column_stride, shape.width); ++j) {
      const auto columns = axis_taps(j, shape.kernel_width, shape.column_stride,
                                     shape.column_dilation, shape.left);
      Phase phase{i, j, places_of_phase(shape.height, i, shape.row_stride),
                  places_of_phase(shape.width, j, shape.column_stride), {}};
      for (const AxisTap& row : rows) {
        for (const AxisTap& column : columns) {
          phase.taps.push_back(
              {row.from, column.from, row.kernel * shape.kernel_width + column.kernel});
          top = any ? std::min(top, row.from) : row.from;
          left = any ? std::min(left, column.from) : column.from;
          any = true;
        }
      }
      work.phases.push_back(phase);
    }
  }
  for (Phase& phase : work.phases) {
    for (Tap& tap : phase.taps) {
      tap.row -= top;
      tap.column -= left;
    }
  }
  work.top = -top;
  work.left = -left;
  find_reach(&work);
  return work;
}

Planes planes_read(const Correlation& work) {
  Planes planes;
  for (const Phase& phase : work.phases) {
    for (const Tap& tap : phase.taps) {
      const Plane plane{tap.row % work.row_step, tap.column % work.column_step};
      if (number_of(planes, plane) == static_cast<Index>(planes.size())) planes.push_back(plane);
    }
  }
  return planes;
}

std::vector<Index> offsets_of(const Correlation& work, const Planes& planes, const Band& band,
                              const Phase& phase) {
  std::vector<Index> offsets;
  for (const Tap& tap : phase.taps) {
    if (planes.empty()) {
      offsets.push_back(tap.row * band.pitch + tap.column);
      continue;
    }
    const Index plane = number_of(planes, {tap.row % work.row_step, tap.column % work.column_step});
    offsets.push_back(plane * band.plane + tap.row / work.row_step * band.pitch +
                      tap.column / work.column_step);
  }
  return offsets;
}

Cuts cuts_of(const Correlation& work, const Planes& planes, Index item) {
  const Index columns = std::max(Index{1}, ceiling(work.columns, most_columns));
  const Index of_columns = ceiling(work.columns, columns);
  const Index halo_rows = (work.reach_rows - 1) / work.row_step;
  const Index numbers =  // that a row of places adds
      planes.empty() ? ((of_columns - 1) * work.column_step + work.reach_columns) * work.row_step
                     : static_cast<Index>(planes.size()) * plane_pitch(work, 0, of_columns);
  const Index row_bytes = std::max(Index{1}, numbers * work.inputs * item);
  Index rows = std::max(source_bytes / row_bytes - halo_rows, Index{1});
  const Index others = std::max(Index{1}, work.images * work.groups * columns);
  const Index wanted = ceiling(least_pieces, others);
  rows = std::min(rows, std::max(ceiling(work.rows, wanted), least_rows));
  return {std::max(Index{1}, ceiling(work.rows, rows)), columns};
}

Band band_of(const Correlation& work, Cuts cuts, const Planes& planes, Index number) {
  const Index row = number / cuts.columns, column = number % cuts.columns;
  Band band{};
  band.first_row = row * work.rows / cuts.rows;
  band.rows = (row + 1) * work.rows / cuts.rows - band.first_row;
  band.first_column = column * work.columns / cuts.columns;
  band.columns = (column + 1) * work.columns / cuts.columns - band.first_column;
  if (!planes.empty()) {
    band.copied = true;
    band.row_step = band.column_step = 1;
    band.pitch = plane_pitch(work, band.first_column, band.columns);
    band.plane_rows = band.rows + (work.reach_rows - 1) / work.row_step;
    // Behind the last row: what reads beyond it finds zeros as well.
    band.plane = band.plane_rows * band.pitch + (work.reach_columns - 1) / work.column_step + 1;
    band.channel = spread(static_cast<Index>(planes.size()) * band.plane);
    return band;
  }
  const Index top = band.first_row * work.row_step - work.top;
  const Index left = band.first_column * work.column_step - work.left;
  band.row_step = work.row_step;
  band.column_step = work.column_step;
  band.plane_rows = (band.rows - 1) * work.row_step + work.reach_rows;
  band.pitch = (band.columns - 1) * work.column_step + work.reach_columns;
  band.copied = top < 0 || left < 0 || top + band.plane_rows > work.height ||
                left + band.pitch > work.width;
  if (band.copied) {
    band.plane = band.plane_rows * band.pitch;
    band.channel = spread(band.plane);
  } else {
    band.pitch = work.width;
    band.plane = band.channel = work.height * work.width;
    band.origin = top * work.width + left;
  }
  return band;
}

std::vector<PlannedBand> plan_bands(const Correlation& work, Cuts cuts, const Planes& planes) {
  std::vector<PlannedBand> bands;
  for (Index i = 0; i < cuts.count(); ++i) {
    bands.push_back({band_of(work, cuts, planes, i), {}, {}});
    PlannedBand& band = bands.back();
    for (const Phase& phase : work.phases) {
      band.offsets.push_back(offsets_of(work, planes, band, phase));
      band.inside.push_back(places_inside(work, band, phase));
    }
  }
  return bands;
}

TapRange taps_inside(const std::vector<Rectangle>& inside, Index first_row, Index last_row) {
  const auto outside = [&](Index tap) {
    const Rectangle& places = inside[static_cast<std::size_t>(tap)];
    return places.last_row <= first_row || places.first_row > last_row;
  };
  Index first = 0, last = static_cast<Index>(inside.size());
  while (first < last && outside(first)) ++first;
  while (first < last && outside(last - 1)) --last;
  return {first, last - first};
}

}  // namespace tfl
