// The convolution and its gradient by the input: both are a Correlation.

// Memory for one call, kept by the thread that asked for the next call's sake. Null where there is
// none.
template <typename T>
struct Room {
  T* begin = nullptr;
  explicit Room(Scratch& scratch, Index count)
      : begin(static_cast<T*>(scratch.room(static_cast<std::size_t>(count) * sizeof(T)))) {}
};

// Vectors of channels, or of places? A tile's sums cost its depth in steps; to put them away costs
// as much as some more.
template <typename T>
static bool channels_in_vectors(const Correlation& work) {
  constexpr Index lanes = Vectors<T>::lanes;
  Index taps = 0;
  for (const Phase& phase : work.phases) taps += static_cast<Index>(phase.taps.size());
  const double depth = static_cast<double>(work.inputs * taps) /
                       static_cast<double>(std::max<std::size_t>(work.phases.size(), 1));
  const Planes planes = planes_read(work);
  const Band band = band_of(work, cuts_of(work, planes, sizeof(T)), planes, 0);
  const Index run = (band.rows - 1) * band.pitch + band.columns;
  const Index runs = (run + lanes - 1) / lanes;
  const VectorBlocks<T> blocks(work.outputs);
  const double places = static_cast<double>(band.rows * band.columns);
  const double alone = blocks.vectors == 1 ? 1.5 : 1.0;
  const bool copied = band_of(work, cuts_of(work, {}, sizeof(T)), {}, 0).copied;
  const double copies = static_cast<double>(work.inputs * runs) * 4.0;
  const double by_places = static_cast<double>(work.outputs * runs) * (depth + 6.0) + copies;
  const double by_channels = static_cast<double>(blocks.vectors) * places * (depth + 6.0) * alone +
                             (copied ? copies : 0.0);
  return by_channels < by_places;
}

// Everything that the pieces of one call share.
template <typename T>
struct Correlating {
  const Correlation& work;
  const bool by_channels;  // channels in vectors
  Planes planes;
  std::vector<PlannedBand> bands;
  bool gaps = false;  // phases without taps: the result is 0 there
  Blocks rows;
  VectorBlocks<T> vectors;
  Index blocks;                      // of channels, one way or the other
  std::vector<Index> phase_weights;  // where a phase's packed weights begin within a group's
  Index group_weights = 0;
  const T* source;
  const T* weights = nullptr;  // packed
  bool finite = false;         // so that a tap that reads zeros gives zeros
  T* out;
  const ConvolutionEnd<T>* end;

  Correlating(const Correlation& work, const T* source, const ConvolutionEnd<T>* end, T* out)
      : work(work),
        by_channels(channels_in_vectors<T>(work)),
        planes(by_channels ? Planes() : planes_read(work)),
        bands(plan_bands(work, cuts_of(work, planes, sizeof(T)), planes)),
        rows(work.outputs),
        vectors(work.outputs),
        blocks(by_channels ? vectors.count : rows.count),
        source(source),
        out(out),
        end(end) {
    const Index across = by_channels ? vectors.across() : work.outputs;
    for (const Phase& phase : work.phases) {
      gaps = gaps || phase.taps.empty();
      phase_weights.push_back(group_weights);
      group_weights += across * work.inputs * static_cast<Index>(phase.taps.size());
    }
  }

  Index first(Index block) const {
    return by_channels ? vectors.first(block) : rows.first(block);
  }
  Index channels(Index block) const {
    return by_channels ? vectors.used(block) : rows.rows(block);
  }
  // Numbers of a block's packed weights for one channel of the source and one tap.
  Index across(Index block) const {
    return by_channels ? vectors.across(block) : rows.rows(block);
  }
  // Where the packed weights of a block begin.
  Index block_weights(Index group, std::size_t phase, Index block) const {
    const Index taps = static_cast<Index>(work.phases[phase].taps.size());
    return group * group_weights + phase_weights[phase] + first(block) * work.inputs * taps;
  }
};

// Whether none is found that isn't finite; looked for where channels are in vectors.
template <typename T>
static bool pack_all_weights(const Correlating<T>& shared, const T* weights, T* packed) {
  const Correlation& work = shared.work;
  const std::size_t phases = work.phases.size();
  const std::size_t of_group = static_cast<std::size_t>(shared.blocks) * phases;
  const std::size_t count = static_cast<std::size_t>(work.groups) * of_group;
  const double cost =
      static_cast<double>(shared.group_weights) / static_cast<double>(of_group);
  const std::size_t pieces = pieces_of(count, cost);
  std::atomic<bool> finite{true};
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t last = first_of(piece + 1, pieces, count);
    for (std::size_t i = first_of(piece, pieces, count); i < last; ++i) {
      const std::size_t phase = i % phases;
      const Index block = static_cast<Index>(i / phases) % shared.blocks;
      const Index group = static_cast<Index>(i / of_group);
      T* into = packed + shared.block_weights(group, phase, block);
      pack_weights(work, work.phases[phase], weights + group * work.group_step,
                   shared.first(block), shared.channels(block), shared.across(block), into);
      if (!shared.by_channels) continue;
      const Index taps = static_cast<Index>(work.phases[phase].taps.size());
      if (!all_finite(into, shared.across(block) * work.inputs * taps)) finite = false;
    }
  });
  return finite;
}

// The places of one block of channels with places in vectors, to `out`, whose channels lie
// `out_step` apart; it is written to the end of the last vector.
template <typename T>
static void correlate_runs(const T* packed, const Band& band, Index inputs,
                           const std::vector<Index>& offsets, const T* weights, Index channels,
                           Index places, T* out, Index out_step) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Tiles<T> tiles = tiles_of<T>(channels);
  const Index taps = static_cast<Index>(offsets.size());
  const Index wide = tiles.width * lanes;
  Index at = 0;
  for (; at + wide - lanes < places; at += wide)
    tiles.full(packed + at, inputs, band.channel, offsets.data(), taps, weights, out + at,
               out_step);
  for (; at < places; at += lanes)
    tiles.narrow(packed + at, inputs, band.channel, offsets.data(), taps, weights, out + at,
                 out_step);
}

// Sums as (place, channel in `across`) to channels that lie `out_step` apart. Up to `room` numbers
// may be written in each.
template <typename T>
static void store_places(const T* sums, Index places, Index channels, Index across, T* out,
                         Index out_step, Index room) {
  constexpr Index lanes = Vectors<T>::lanes;
  for (Index i = 0; i < places; i += lanes) {
    for (Index c = 0; c < channels; c += lanes) {
      const T* from = sums + i * across + c;
      T* to = out + c * out_step + i;
      if (i + lanes <= room && c + lanes <= channels) {
        transpose_square(from, across, to, out_step);
      } else {
        transpose_part(from, across, std::min(lanes, places - i), std::min(lanes, channels - c),
                       to, out_step);
      }
    }
  }
}

// The places of one block of channels in vectors, to `out` as above, one after another without
// gaps. Up to `room` numbers may be written in each channel.
template <typename T>
static void correlate_vectors(const T* source, const PlannedBand& band, std::size_t phase,
                              Index inputs, const T* weights, bool finite, Index width,
                              Index channels, Index rows, Index columns, T* out, Index out_step,
                              Index room) {
  constexpr Index lanes = Vectors<T>::lanes;
  alignas(64) T sums[(most_rows + lanes) * 2 * lanes] = {};
  Index places[most_rows];
  const Index* offsets = band.offsets[phase].data();
  const Index taps = static_cast<Index>(band.offsets[phase].size()), across = width * lanes;
  const Blocks tiles(rows * columns);
  Index row = 0, column = 0;
  for (Index tile = 0; tile < tiles.count; ++tile) {
    const Index first = tiles.first(tile), count = tiles.rows(tile);
    const TapRange read = finite ? taps_inside(band.inside[phase], row,
                                               (first + count - 1) / columns)
                                 : TapRange{0, taps};
    for (Index i = 0; i < count; ++i) {
      places[i] = row * band.row_step * band.pitch + column * band.column_step;
      if (++column == columns) {
        column = 0;
        ++row;
      }
    }
    // The result's lines come in while the sums are made; the first one was the last tile's.
    for (Index i = 0; i < channels; ++i)
      __builtin_prefetch(out + i * out_step + first + count - 1, 1);
    places_of<T>(count, width)(source, inputs, band.channel, offsets + read.first, read.count,
                               weights + read.first * across, (taps - read.count) * across, places,
                               sums);
    store_places(sums, count, channels, across, out + first, out_step, room - first);
  }
}

// The bias and the activation, where the rows of the result are still in the cache.
template <typename T>
static void finish(const ConvolutionEnd<T>& end, Index channel, T* out, Index at, Index count) {
  const Forward<T> forward{out + at, end.bias ? end.bias + channel : nullptr, out + at,
                           end.before ? end.before + at : nullptr, T(0.01)};
  const Channels shape{1, 1, static_cast<std::size_t>(count)};
  if constexpr (sizeof(T) == sizeof(float)) {
    bias_activation_kernels().forward_channels_float(end.activation, forward, shape);
  } else {
    bias_activation_kernels().forward_channels_double(end.activation, forward, shape);
  }
}

// One phase of one band: what blocks `first` to `last` give there. `source` is where its first place
// reads; `buffer` has channels `buffer_step` apart.
template <typename T>
static void correlate_phase(const Correlating<T>& shared, const PlannedBand& band, Index image,
                            Index group, std::size_t number, Index first, Index last,
                            const T* source, T* buffer, Index buffer_step) {
  const Correlation& work = shared.work;
  const Phase& phase = work.phases[number];
  const Index rows = std::min(band.rows, phase.rows - band.first_row);
  const Index columns = std::min(band.columns, phase.columns - band.first_column);
  if (rows <= 0 || columns <= 0 || (shared.gaps && phase.taps.empty())) return;
  const Index result_row = phase.first_row + band.first_row * work.result_row_step;
  const Index result_column = phase.first_column + band.first_column * work.result_column_step;
  const Index image_size = work.result_height * work.result_width;
  const bool whole_rows = columns == work.result_width;
  for (Index block = first; block < last; ++block) {
    const Index channels = shared.channels(block);
    const Index channel = group * work.outputs + shared.first(block);
    const Index at = (image * work.groups * work.outputs + channel) * image_size +
                     result_row * work.result_width + result_column;
    const T* weights = shared.weights + shared.block_weights(group, number, block);
    const bool direct = shared.by_channels && whole_rows && work.result_row_step == 1;
    Index pitch = columns;
    if (direct) {
      correlate_vectors(source, band, number, work.inputs, weights, shared.finite,
                        shared.vectors.width(block), channels, rows, columns, shared.out + at,
                        image_size, rows * columns);
    } else if (shared.by_channels) {
      correlate_vectors(source, band, number, work.inputs, weights, shared.finite,
                        shared.vectors.width(block), channels, rows, columns, buffer, buffer_step,
                        buffer_step);
    } else {
      pitch = band.pitch;
      correlate_runs(source, band, work.inputs, band.offsets[number], weights, channels,
                     (rows - 1) * pitch + columns, buffer, buffer_step);
    }
    for (Index i = 0; i < channels; ++i) {
      T* to = shared.out + at + i * image_size;
      if (!direct) {
        place_rows(buffer + i * buffer_step, pitch, rows, columns, to,
                   work.result_row_step * work.result_width, work.result_column_step);
      }
      if (!shared.end) continue;
      for (Index row = 0; row < (whole_rows ? 1 : rows); ++row) {
        finish(*shared.end, channel + i, shared.out, to - shared.out + row * work.result_width,
               whole_rows ? rows * columns : columns);
      }
    }
  }
}

// Zeros where the band's phases leave gaps, and for now where they don't.
template <typename T>
static void put_zeros_between(const Correlating<T>& shared, const Band& band, Index images,
                              Index first, Index last) {
  const Correlation& work = shared.work;
  const auto part = [](Index from, Index count, Index step, Index size, Index* begin, Index* end) {
    *begin = std::min(from * step, size);
    *end = std::min((from + count) * step, size);
  };
  Index top, bottom, left, right;
  part(band.first_row, band.rows, work.result_row_step, work.result_height, &top, &bottom);
  part(band.first_column, band.columns, work.result_column_step, work.result_width, &left, &right);
  for (Index channel = images * work.outputs + first; channel < images * work.outputs + last;
       ++channel) {
    for (Index row = top; row < bottom; ++row) {
      T* to = shared.out + (channel * work.result_height + row) * work.result_width;
      std::fill(to + left, to + right, T(0));
    }
  }
}

template <typename T>
static bool correlate_band(const Correlating<T>& shared, Index image, Index group, Index number,
                           Index first, Index last) {
  const Correlation& work = shared.work;
  constexpr Index lanes = Vectors<T>::lanes;
  const PlannedBand& band = shared.bands[static_cast<std::size_t>(number)];
  const Index copy = band.copied ? work.inputs * band.channel + 2 * lanes : 0;
  const Index step = band.rows * std::max(shared.by_channels ? 0 : band.pitch, band.columns) +
                     2 * lanes;
  const Index most_channels = shared.by_channels ? 2 * lanes : most_rows;
  static thread_local Scratch scratch;
  const Room<T> room(scratch, copy + most_channels * step);
  if (!room.begin) return false;
  const T* source = shared.source +
                    (image * work.groups + group) * work.inputs * work.height * work.width;
  if (band.copied) {
    pack_band(work, shared.planes, band, work.inputs, source, room.begin);
    source = room.begin;
  } else {
    source += band.origin;
  }
  if (shared.gaps) {
    put_zeros_between(shared, band, image * work.groups + group, shared.first(first),
                      shared.first(last - 1) + shared.channels(last - 1));
  }
  for (std::size_t phase = 0; phase < work.phases.size(); ++phase)
    correlate_phase(shared, band, image, group, phase, first, last, source, room.begin + copy,
                    step);
  return true;
}

template <typename T>
static bool correlate_all(const Correlation& work, const T* source, const T* weights,
                          const ConvolutionEnd<T>* end, T* out) {
  Correlating<T> shared(work, source, end, out);
  if (work.images * work.groups * work.outputs * work.rows * work.columns == 0) return true;
  static thread_local Scratch scratch;
  const Room<T> packed(scratch, std::max<Index>(work.groups * shared.group_weights, 1));
  if (!packed.begin) return false;
  shared.weights = packed.begin;
  shared.finite = pack_all_weights(shared, weights, packed.begin);
  const Index bands = static_cast<Index>(shared.bands.size());
  // Few bands: each is packed for several pieces, which share the channels of the result.
  const Index units = work.images * work.groups * bands;
  const Index shares = std::min(shared.blocks, (least_pieces + units - 1) / units);
  const std::size_t count = static_cast<std::size_t>(units * shares);
  const double cost = static_cast<double>(shared.group_weights) *
                      static_cast<double>(work.rows * work.columns) /
                      static_cast<double>(bands * shares) / 8.0;
  const std::size_t pieces = pieces_of(count, cost);
  std::atomic<bool> complete{true};
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t stop = first_of(piece + 1, pieces, count);
    for (std::size_t i = first_of(piece, pieces, count); i < stop; ++i) {
      const Index unit = static_cast<Index>(i) / shares, one = static_cast<Index>(i) % shares;
      if (!correlate_band(shared, unit / bands / work.groups, unit / bands % work.groups,
                          unit % bands, one * shared.blocks / shares,
                          (one + 1) * shared.blocks / shares)) {
        complete = false;
      }
    }
  });
  return complete;
}
