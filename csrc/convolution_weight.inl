// The gradient by the weights: for every (channel, tap) of x and channel of y the sum over images
// and places. Vectors run over the channels of y, which is transposed for it, a band at a time.

// How the work is cut: pieces that share a result sum up by themselves, and then in order.
struct WeightCuts {
  Index sums;    // partial results: cuts of the images' bands
  Index inputs;  // cuts of the channels of x
};

constexpr Index partial_bytes = Index{2} << 20;

static WeightCuts weight_cuts(const Correlation& work, Index units, Index taps, Index item) {
  const Index bytes = std::max<Index>(1, work.outputs * work.inputs * taps * item);
  const Index wanted = (least_pieces + work.groups - 1) / work.groups;
  WeightCuts cuts{};
  cuts.sums = std::max<Index>(1, std::min({partial_bytes / bytes, units, wanted}));
  cuts.inputs = std::max<Index>(1, std::min(work.inputs, (wanted + cuts.sums - 1) / cuts.sums));
  return cuts;
}

// `to`, (place, channel in `across`), from channels of y that lie `step` apart.
template <typename T>
static void transpose_run(const T* y, Index step, Index channels, Index across, Index count,
                          T* to) {
  constexpr Index lanes = Vectors<T>::lanes;
  for (Index i = 0; i < count; i += lanes, to += lanes * across) {
    for (Index c = 0; c < across; c += lanes) {
      const T* from = y + c * step + i;
      if (i + lanes <= count && c + lanes <= channels) {
        transpose_square(from, step, to + c, across);
        continue;
      }
      const Index places = std::min(lanes, count - i);
      for (Index place = 0; place < places; ++place)
        std::fill(to + place * across + c, to + place * across + c + lanes, T(0));
      transpose_part(from, step, std::min(lanes, channels - c), places, to + c, across);
    }
  }
}

template <typename T>
static void transpose_y(const T* y, Index step, Index channels, Index across, Index rows,
                        Index columns, Index row_step, T* to) {
  if (columns == row_step) {
    transpose_run(y, step, channels, across, rows * columns, to);
    return;
  }
  for (Index i = 0; i < rows; ++i)
    transpose_run(y + i * row_step, step, channels, across, columns, to + i * columns * across);
}

template <typename T>
struct Collecting {
  const Correlation& work;
  const T* y;
  const T* x;
  const Planes planes;  // none
  Cuts cuts;
  WeightCuts pieces;
  VectorBlocks<T> blocks;
  Index taps, units;

  Collecting(const Correlation& work, const T* y, const T* x)
      : work(work),
        y(y),
        x(x),
        cuts(cuts_of(work, planes, sizeof(T))),
        blocks(work.outputs),
        taps(static_cast<Index>(work.phases[0].taps.size())),
        units(work.images * cuts.count()) {
    pieces = weight_cuts(work, units, taps, sizeof(T));
  }

  Index first_input(Index cut) const { return cut * work.inputs / pieces.inputs; }
  Index across() const { return blocks.across(); }
  // Numbers in one partial result of a group.
  Index partial() const { return work.inputs * taps * across(); }
};

// Adds one band's part to `sums`, (block of channels of y, channel of x, tap, channel of y).
template <typename T>
static bool collect_band(const Collecting<T>& shared, Index group, Index image, Index number,
                         Index first, Index last, T* sums) {
  const Correlation& work = shared.work;
  constexpr Index lanes = Vectors<T>::lanes;
  const Band band = band_of(work, shared.cuts, shared.planes, number);
  const Index copy = band.copied ? (last - first) * band.channel : 0;
  static thread_local Scratch scratch;
  const Room<T> room(scratch, copy + band.rows * band.columns * 2 * lanes);
  if (!room.begin) return false;
  const T* source = shared.x + ((image * work.groups + group) * work.inputs + first) *
                                   work.height * work.width;
  if (band.copied) {
    pack_band(work, shared.planes, band, last - first, source, room.begin);
    source = room.begin;
  } else {
    source += band.origin;
  }
  const std::vector<Index> tap_offsets = offsets_of(work, shared.planes, band, work.phases[0]);
  std::vector<Index> offsets;
  for (Index channel = 0; channel < last - first; ++channel)
    for (const Index offset : tap_offsets) offsets.push_back(channel * band.channel + offset);
  const Index pairs = static_cast<Index>(offsets.size());
  const Blocks pair_blocks(pairs);
  const Index result = work.result_height * work.result_width;
  T* transposed = room.begin + copy;
  for (Index block = 0; block < shared.blocks.count; ++block) {
    const Index width = shared.blocks.width(block), across = width * lanes;
    const Index channel = shared.blocks.first(block);
    const T* y = shared.y +
                 ((image * work.groups + group) * work.outputs + channel) * result +
                 band.first_row * work.result_width + band.first_column;
    transpose_y(y, result, shared.blocks.used(block), across, band.rows, band.columns,
                work.result_width, transposed);
    for (Index i = 0; i < pair_blocks.count; ++i) {
      const Index pair = pair_blocks.first(i);
      collect_of<T>(pair_blocks.rows(i), width)(
          source, &offsets[static_cast<std::size_t>(pair)], band.rows, band.columns,
          band.row_step * band.pitch, band.column_step, transposed, sums + pair * across);
    }
    sums += pairs * across;
  }
  return true;
}

// The partial results of one cut of the channels of x, added up and put where they belong.
template <typename T>
static void add_partials(const Collecting<T>& shared, Index group, Index cut, const T* partials,
                         T* out) {
  const Correlation& work = shared.work;
  constexpr Index lanes = Vectors<T>::lanes;
  const Index pairs = (shared.first_input(cut + 1) - shared.first_input(cut)) * shared.taps;
  const Index begin = shared.first_input(cut) * shared.taps;
  for (Index channel = 0; channel < work.outputs; ++channel) {
    const Index block = channel / (2 * lanes);
    const Index across = shared.blocks.width(block) * lanes;
    const T* from = partials + begin * shared.across() + shared.blocks.first(block) * pairs +
                    channel % (2 * lanes);
    T* to = out + group * work.group_step + channel * work.output_step + begin;
    for (Index pair = 0; pair < pairs; ++pair) {
      T sum = from[pair * across];
      for (Index i = 1; i < shared.pieces.sums; ++i)
        sum += from[i * shared.partial() + pair * across];
      to[pair] = sum;
    }
  }
}

template <typename T>
static bool weight_gradient(const ConvolutionShape& shape, const T* y, const T* x, T* out) {
  const Correlation work = forward_correlation(shape);
  const Collecting<T> shared(work, y, x);
  const Index per_group = shared.pieces.sums * shared.pieces.inputs;
  if (work.groups * work.group_step == 0) return true;
  static thread_local Scratch scratch;
  const Index size = work.groups * shared.pieces.sums * shared.partial();
  const Room<T> partials(scratch, size);
  if (!partials.begin) return false;
  const std::size_t count = static_cast<std::size_t>(work.groups * per_group);
  const double cost = static_cast<double>(work.group_step / shared.pieces.inputs) *
                      static_cast<double>(shape.result_height * shape.result_width) *
                      static_cast<double>(work.images) / static_cast<double>(shared.pieces.sums) /
                      8.0;
  const std::size_t pieces = pieces_of(count, cost);
  std::atomic<bool> complete{true};
  parallel(pieces, [&](std::size_t piece) {
    const std::size_t stop = first_of(piece + 1, pieces, count);
    for (std::size_t i = first_of(piece, pieces, count); i < stop; ++i) {
      const Index group = static_cast<Index>(i) / per_group;
      const Index part = static_cast<Index>(i) % per_group / shared.pieces.inputs;
      const Index cut = static_cast<Index>(i) % shared.pieces.inputs;
      const Index first = shared.first_input(cut), last = shared.first_input(cut + 1);
      T* sums = partials.begin + (group * shared.pieces.sums + part) * shared.partial() +
                first * shared.taps * shared.across();
      std::fill(sums, sums + (last - first) * shared.taps * shared.across(), T(0));
      const Index bands = shared.cuts.count();
      const Index end = (part + 1) * shared.units / shared.pieces.sums;
      for (Index unit = part * shared.units / shared.pieces.sums; unit < end; ++unit) {
        if (!collect_band(shared, group, unit / bands, unit % bands, first, last, sums))
          complete = false;
      }
    }
  });
  for (Index i = 0; i < work.groups * shared.pieces.inputs; ++i) {
    const Index group = i / shared.pieces.inputs;
    add_partials(shared, group, i % shared.pieces.inputs,
                 partials.begin + group * shared.pieces.sums * shared.partial(), out);
  }
  return complete;
}
