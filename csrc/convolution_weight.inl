// The gradient by the weights: for every (channel, tap) of x and channel of y the sum over images
// and places. Vectors run over the channels of y, which is transposed for it, a band at a time; or
// over places, where y has few channels.

// How the work is cut: pieces that share a result sum up by themselves, and then in order. Powers of
// two, that threads may get the same number of equal pieces.
struct WeightCuts {
  Index sums;    // partial results: cuts of the images' bands
  Index inputs;  // cuts of the channels of x, each of which turns y for itself
};

constexpr Index partial_bytes = Index{5} << 20;

// The greatest power of two up to a number, and at least 1.
static Index power_of_two(Index most) {
  Index power = 1;
  while (power * 2 <= most) power *= 2;
  return power;
}

static WeightCuts weight_cuts(const Correlation& work, Index units, Index taps, Index item) {
  const Index bytes = std::max<Index>(1, work.outputs * work.inputs * taps * item);
  const Index wanted = power_of_two(least_pieces / work.groups);
  WeightCuts cuts{};
  cuts.sums = power_of_two(std::min({partial_bytes / bytes, units, wanted}));
  cuts.inputs = power_of_two(std::min(work.inputs, wanted / cuts.sums));
  return cuts;
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

// Steps for a pair of a row of places: vectors of places are read at any address and have a rest at
// the end of the row.
template <typename T>
static bool outputs_in_vectors(const Correlation& work) {
  constexpr Index lanes = Vectors<T>::lanes;
  const VectorBlocks<T> blocks(work.outputs);
  const double by_places = static_cast<double>(work.outputs * ((work.columns + lanes - 1) / lanes));
  return static_cast<double>(blocks.vectors * work.columns) < 2.0 * by_places;
}

template <typename T>
struct Collecting {
  const Correlation& work;
  const T* y;
  const T* x;
  const bool by_channels;  // channels of y in vectors
  Planes planes;
  std::vector<PlannedBand> bands;
  WeightCuts pieces;
  VectorBlocks<T> blocks;
  Index taps, units;

  Collecting(const Correlation& work, const T* y, const T* x)
      : work(work),
        y(y),
        x(x),
        by_channels(outputs_in_vectors<T>(work)),
        planes(by_channels ? Planes() : planes_read(work)),
        bands(plan_bands(work, cuts_of(work, planes, sizeof(T)), planes)),
        blocks(work.outputs),
        taps(static_cast<Index>(work.phases[0].taps.size())),
        units(work.images * static_cast<Index>(bands.size())) {
    pieces = weight_cuts(work, units, taps, sizeof(T));
  }

  Index first_input(Index cut) const { return cut * work.inputs / pieces.inputs; }
  Index across() const { return blocks.across(); }
  // Numbers in one partial result of a group.
  Index partial() const { return work.inputs * taps * across(); }
};

// (channel, tap) pairs: where each reads, which of the sums is its own, and the band's places where
// it finds the source.
struct Pairs {
  std::vector<Index> offsets, order;
  std::vector<Rectangle> inside;
  Index count() const { return static_cast<Index>(offsets.size()); }
  // Where some pairs find the source: elsewhere is nothing but padding.
  Rectangle places(std::size_t first, std::size_t count) const {
    Rectangle all = inside[first];
    for (std::size_t pair = first + 1; pair < first + count; ++pair) {
      const Rectangle& one = inside[pair];
      all.first_row = std::min(all.first_row, one.first_row);
      all.last_row = std::max(all.last_row, one.last_row);
      all.first_column = std::min(all.first_column, one.first_column);
      all.last_column = std::max(all.last_column, one.last_column);
    }
    return all;
  }
};

// Pairs with the same places stand together.
static Pairs pairs_of(const PlannedBand& band, Index channels) {
  const std::vector<Rectangle>& inside = band.inside[0];
  const std::size_t taps = inside.size(), count = static_cast<std::size_t>(channels) * taps;
  Pairs pairs;
  pairs.offsets.reserve(count);
  pairs.order.reserve(count);
  pairs.inside.reserve(count);
  for (std::size_t begin = 0, end = 0; begin < taps; begin = end) {
    while (end < taps && inside[end] == inside[begin]) ++end;
    for (Index channel = 0; channel < channels; ++channel) {
      for (std::size_t tap = begin; tap < end; ++tap) {
        pairs.offsets.push_back(channel * band.channel + band.offsets[0][tap]);
        pairs.order.push_back(channel * static_cast<Index>(taps) + static_cast<Index>(tap));
        pairs.inside.push_back(inside[tap]);
      }
    }
  }
  return pairs;
}

// Channels of y in vectors: adds a band's part to `sums`, (block of channels, pair, channel).
template <typename T>
static void collect_channels(const Collecting<T>& shared, const PlannedBand& band, Index channels,
                             const T* source, const T* y, T* transposed, T* sums) {
  const Correlation& work = shared.work;
  const Index pitch = band.row_step * band.pitch;
  const Pairs pairs = pairs_of(band, channels);
  const Blocks pair_blocks(pairs.count());
  const Index plane = work.result_height * work.result_width;
  for (Index block = 0; block < shared.blocks.count; ++block) {
    const Index width = shared.blocks.width(block), across = shared.blocks.across(block);
    transpose_y(y + shared.blocks.first(block) * plane, plane, shared.blocks.used(block), across,
                band.rows, band.columns, work.result_width, transposed);
    const bool finite = all_finite(transposed, band.rows * band.columns * across);
    for (Index i = 0; i < pair_blocks.count; ++i) {
      const Index count = pair_blocks.rows(i);
      const std::size_t first = static_cast<std::size_t>(pair_blocks.first(i));
      const Rectangle places = finite ? pairs.places(first, static_cast<std::size_t>(count))
                                      : Rectangle{0, band.rows, 0, band.columns};
      const Index columns = places.last_column - places.first_column;
      const Index place = places.first_row * band.columns + places.first_column;
      collect_of<T>(count, width)(
          source + places.first_row * pitch + places.first_column * band.column_step,
          &pairs.offsets[first], places.last_row - places.first_row, columns, pitch,
          band.column_step, transposed + place * across, (band.columns - columns) * across,
          &pairs.order[first], sums);
    }
    sums += pairs.count() * across;
  }
}

// Places in vectors: adds a band's part to `sums`, (channel of y, pair).
template <typename T>
static void collect_places(const Collecting<T>& shared, const PlannedBand& band, Index channels,
                           const T* source, const T* y, T* copied, T* sums) {
  const Correlation& work = shared.work;
  constexpr Index lanes = Vectors<T>::lanes;
  std::vector<Index> offsets;
  offsets.reserve(static_cast<std::size_t>(channels * shared.taps));
  for (Index channel = 0; channel < channels; ++channel)
    for (const Index offset : band.offsets[0]) offsets.push_back(channel * band.channel + offset);
  const Index pairs = channels * shared.taps;
  const Blocks pair_blocks(pairs, most_dots);
  const Index across = (band.columns + lanes - 1) / lanes * lanes;
  for (Index channel = 0; channel < work.outputs; ++channel) {
    const T* from = y + channel * work.result_height * work.result_width;
    for (Index row = 0; row < band.rows; ++row, from += work.result_width) {
      T* to = copied + row * across;
      std::fill(to + across - lanes, to + across, T(0));
      copy_row(from, to, band.columns, 1);
    }
    for (Index i = 0; i < pair_blocks.count; ++i) {
      const Index pair = pair_blocks.first(i);
      dot_of<T>(pair_blocks.rows(i))(source, &offsets[static_cast<std::size_t>(pair)], band.rows,
                                     band.columns, band.pitch, copied, sums + pair);
    }
    sums += pairs;
  }
}

// Without memory for it: false.
template <typename T>
static bool collect_band(const Collecting<T>& shared, Index group, Index image, Index number,
                         Index first, Index last, T* sums) try {
  const Correlation& work = shared.work;
  constexpr Index lanes = Vectors<T>::lanes;
  const PlannedBand& band = shared.bands[static_cast<std::size_t>(number)];
  const Index copy = band.copied ? (last - first) * band.channel + lanes : 0;
  static thread_local Scratch scratch;
  const Room<T> room(scratch, copy + band.rows * (band.columns + lanes) * 2 * lanes);
  if (!room.begin) return false;
  const T* source = shared.x + ((image * work.groups + group) * work.inputs + first) *
                                   work.height * work.width;
  if (band.copied) {
    pack_band(work, shared.planes, band, last - first, source, room.begin);
    source = room.begin;
  } else {
    source += band.origin;
  }
  const T* y = shared.y + (image * work.groups + group) * work.outputs * work.result_height *
                              work.result_width +
               band.first_row * work.result_width + band.first_column;
  const auto collect = shared.by_channels ? collect_channels<T> : collect_places<T>;
  collect(shared, band, last - first, source, y, room.begin + copy, sums);
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

// The partial results of one cut of the channels of x and one block of y's, added up and put where
// they belong. Whole vectors are added; some pairs at a time are turned for the result.
template <typename T>
static void add_block(const Collecting<T>& shared, Index cut, Index block, const T* partials,
                      T* out) {
  constexpr Index at_once = 16;
  const Index pairs = (shared.first_input(cut + 1) - shared.first_input(cut)) * shared.taps;
  const Index begin = shared.first_input(cut) * shared.taps;
  const Index across = shared.blocks.across(block), used = shared.blocks.used(block);
  const T* from = partials + begin * shared.across() + shared.blocks.first(block) * pairs;
  T* to = out + shared.blocks.first(block) * shared.work.output_step + begin;
  T sums[at_once * 2 * Vectors<T>::lanes];
  for (Index pair = 0; pair < pairs; pair += at_once) {
    const Index count = std::min(at_once, pairs - pair), size = count * across;
    const T* first = from + pair * across;
    for (Index i = 0; i < size; ++i) sums[i] = first[i];
    for (Index part = 1; part < shared.pieces.sums; ++part) {
      const T* more = first + part * shared.partial();
      for (Index i = 0; i < size; ++i) sums[i] += more[i];
    }
    for (Index lane = 0; lane < used; ++lane) {
      T* row = to + lane * shared.work.output_step + pair;
      for (Index i = 0; i < count; ++i) row[i] = sums[i * across + lane];
    }
  }
}

// The same where places are in vectors: one channel of y after the other.
template <typename T>
static void add_channels(const Collecting<T>& shared, Index cut, const T* partials, T* out) {
  const Index pairs = (shared.first_input(cut + 1) - shared.first_input(cut)) * shared.taps;
  const Index begin = shared.first_input(cut) * shared.taps;
  for (Index channel = 0; channel < shared.work.outputs; ++channel) {
    const T* from = partials + begin * shared.across() + channel * pairs;
    T* to = out + channel * shared.work.output_step + begin;
    for (Index pair = 0; pair < pairs; ++pair) {
      T sum = from[pair];
      for (Index i = 1; i < shared.pieces.sums; ++i) sum += from[i * shared.partial() + pair];
      to[pair] = sum;
    }
  }
}

template <typename T>
static void add_partials(const Collecting<T>& shared, const T* partials, T* out) {
  const Index blocks = shared.by_channels ? shared.blocks.count : 1;
  const Index per_group = shared.pieces.inputs * blocks;
  parallel(static_cast<std::size_t>(shared.work.groups * per_group), [&](std::size_t i) {
    const Index group = static_cast<Index>(i) / per_group;
    const Index cut = static_cast<Index>(i) % per_group / blocks;
    const T* from = partials + group * shared.pieces.sums * shared.partial();
    T* to = out + group * shared.work.group_step;
    if (shared.by_channels) {
      add_block(shared, cut, static_cast<Index>(i) % blocks, from, to);
    } else {
      add_channels(shared, cut, from, to);
    }
  });
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
      const Index bands = static_cast<Index>(shared.bands.size());
      const Index end = (part + 1) * shared.units / shared.pieces.sums;
      for (Index unit = part * shared.units / shared.pieces.sums; unit < end; ++unit) {
        if (!collect_band(shared, group, unit / bands, unit % bands, first, last, sums))
          complete = false;
      }
    }
  });
  add_partials(shared, partials.begin, out);
  return complete;
}
