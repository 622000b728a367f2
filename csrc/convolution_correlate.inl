// The convolution and its gradient by the input: both are a Correlation.

// Memory for one call, kept by the thread that asked for the next call's sake. Null where there is
// none.
template <typename T>
struct Room {
  T* begin = nullptr;
  explicit Room(Scratch& scratch, Index count)
      : begin(static_cast<T*>(scratch.room(static_cast<std::size_t>(count) * sizeof(T)))) {}
};

// Everything that the pieces of one call share.
template <typename T>
struct Correlating {
  const Correlation& work;
  std::vector<Plane> planes;
  Cuts cuts;
  Blocks blocks;
  std::vector<Index> phase_weights;  // where a phase's packed weights begin within a group's
  Index group_weights = 0;
  const T* source;
  const T* weights;  // packed
  T* out;
  const ConvolutionEnd<T>* end;

  Correlating(const Correlation& work, const T* source, const ConvolutionEnd<T>* end, T* out)
      : work(work),
        planes(planes_read(work)),
        cuts(cuts_of(work, static_cast<Index>(planes.size()), sizeof(T))),
        blocks(work.outputs),
        source(source),
        weights(nullptr),
        out(out),
        end(end) {
    for (const Phase& phase : work.phases) {
      phase_weights.push_back(group_weights);
      group_weights += work.outputs * work.inputs * static_cast<Index>(phase.taps.size());
    }
  }

  // Where the packed weights of a block begin.
  Index block_weights(Index group, std::size_t phase, Index block) const {
    const Index taps = static_cast<Index>(work.phases[phase].taps.size());
    return group * group_weights + phase_weights[phase] +
           blocks.first(block) * work.inputs * taps;
  }
};

template <typename T>
static void pack_all_weights(const Correlating<T>& shared, const T* weights, T* packed) {
  const Correlation& work = shared.work;
  const std::size_t phases = work.phases.size();
  const std::size_t count = static_cast<std::size_t>(work.groups * shared.blocks.count) * phases;
  const double cost = static_cast<double>(shared.group_weights) /
                      static_cast<double>(std::max<std::size_t>(count / work.groups, 1));
  const std::size_t pieces = pieces_of(count, cost);
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t last = first_of(piece + 1, pieces, count);
    for (std::size_t i = first_of(piece, pieces, count); i < last; ++i) {
      const std::size_t phase = i % phases;
      const Index block = static_cast<Index>(i / phases) % shared.blocks.count;
      const Index group = static_cast<Index>(i / phases) / shared.blocks.count;
      pack_weights(work, work.phases[phase], weights + group * work.group_step,
                   shared.blocks.first(block), shared.blocks.rows(block), packed + shared.block_weights(group, phase, block));
    }
  });
}

// The places of one block of channels, from the packed source to `out`, whose channels lie
// `out_step` apart; it is written to the end of the last vector.
template <typename T>
static void correlate_block(const T* packed, const Band& band, Index channels,
                            const std::vector<Index>& offsets, const T* weights, Index rows,
                            Index places, T* out, Index out_step) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Tiles<T> tiles = tiles_of<T>(rows);
  const Index taps = static_cast<Index>(offsets.size());
  const Index wide = tiles.width * lanes;
  Index at = 0;
  for (; at + wide - lanes < places; at += wide)
    tiles.full(packed + at, channels, band.channel, offsets.data(), taps, weights, out + at,
               out_step);
  for (; at < places; at += lanes)
    tiles.narrow(packed + at, channels, band.channel, offsets.data(), taps, weights, out + at,
                 out_step);
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

// One phase of one band: what blocks `first` to `last` give there.
template <typename T>
static void correlate_phase(const Correlating<T>& shared, const Band& band, Index image,
                            Index group, std::size_t number, Index first, Index last,
                            const T* packed, T* buffer, Index buffer_step) {
  const Correlation& work = shared.work;
  const Phase& phase = work.phases[number];
  const Index rows = std::min(band.rows, phase.rows - band.first_row);
  const Index columns = std::min(band.columns, phase.columns - band.first_column);
  if (rows <= 0 || columns <= 0) return;
  const std::vector<Index> offsets = offsets_of(work, shared.planes, band, phase);
  const Index places = (rows - 1) * band.pitch + columns;
  const Index result_row = phase.first_row + band.first_row * work.result_row_step;
  const Index result_column = phase.first_column + band.first_column * work.result_column_step;
  for (Index block = first; block < last; ++block) {
    const Index channels = shared.blocks.rows(block);
    correlate_block(packed, band, work.inputs, offsets,
                    shared.weights + shared.block_weights(group, number, block), channels, places, buffer,
                    buffer_step);
    for (Index i = 0; i < channels; ++i) {
      const Index channel = group * work.outputs + shared.blocks.first(block) + i;
      const Index plane = (image * work.groups * work.outputs + channel) * work.result_height;
      const Index at = (plane + result_row) * work.result_width + result_column;
      place_rows(buffer + i * buffer_step, band.pitch, rows, columns, shared.out + at,
                 work.result_row_step * work.result_width, work.result_column_step);
      if (!shared.end) continue;
      if (columns == work.result_width) {
        finish(*shared.end, channel, shared.out, at, rows * columns);
      } else {
        for (Index row = 0; row < rows; ++row)
          finish(*shared.end, channel, shared.out, at + row * work.result_width, columns);
      }
    }
  }
}

template <typename T>
static bool correlate_band(const Correlating<T>& shared, Index image, Index group, Index number,
                           Index first, Index last) {
  const Correlation& work = shared.work;
  constexpr Index slack = 8 * Vectors<T>::lanes;
  const Band band =
      band_of(work, shared.cuts, static_cast<Index>(shared.planes.size()), number);
  const Index source = work.inputs * band.channel + slack;
  const Index step = band.rows * band.pitch + slack;
  static thread_local Scratch scratch;
  const Room<T> room(scratch, source + most_rows * step);
  if (!room.begin) return false;
  pack_band(work, shared.planes, band, work.inputs,
            shared.source + (image * work.groups + group) * work.inputs * work.height * work.width,
            room.begin);
  for (std::size_t phase = 0; phase < work.phases.size(); ++phase) {
    correlate_phase(shared, band, image, group, phase, first, last, room.begin,
                    room.begin + source, step);
  }
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
  pack_all_weights(shared, weights, packed.begin);
  const Index bands = shared.cuts.count();
  // Few bands: each is packed for several pieces, which share the channels of the result.
  const Index units = work.images * work.groups * bands;
  const Index shares = std::min(shared.blocks.count, (least_pieces + units - 1) / units);
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
                          unit % bands, one * shared.blocks.count / shares,
                          (one + 1) * shared.blocks.count / shares)) {
        complete = false;
      }
    }
  });
  return complete;
}
