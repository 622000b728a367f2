// What convolutions copy before they compute, and where results are put.

// Copies every STEP-th number; STEP 0 stands for any other step.
template <typename T, int STEP>
static void copy_stepping(const T* from, T* to, Index count, Index step) {
  const Index by = STEP ? STEP : step;
#pragma GCC ivdep
  for (Index i = 0; i < count; ++i) to[i] = from[i * by];
}

template <typename T>
static void copy_row(const T* from, T* to, Index count, Index step) {
  if (step == 1) {
    copy_stepping<T, 1>(from, to, count, step);
  } else if (step == 2) {
    copy_stepping<T, 2>(from, to, count, step);
  } else {
    copy_stepping<T, 0>(from, to, count, step);
  }
}

// One row of a plane: zeros where the padding is.
template <typename T>
static void pack_row(const T* row, Index width, Index first, Index step, T* to, Index pitch) {
  // Elements i with 0 <= first + i * step < width.
  Index begin = first < 0 ? (-first + step - 1) / step : 0;
  Index end = width > first ? (width - first - 1) / step + 1 : 0;
  begin = std::min(begin, pitch);
  end = std::max(std::min(end, pitch), begin);
  std::fill(to, to + begin, T(0));
  if (end > begin) copy_row(row + first + begin * step, to + begin, end - begin, step);
  std::fill(to + end, to + pitch, T(0));
}

template <typename T>
static void pack_band(const Correlation& work, const Planes& planes, const Band& band,
                      Index channels, const T* source, T* packed) {
  static const Planes whole{{0, 0}};
  const Index row_step = planes.empty() ? 1 : work.row_step;
  const Index column_step = planes.empty() ? 1 : work.column_step;
  for (Index c = 0; c < channels; ++c) {
    const T* image = source + c * work.height * work.width;
    for (const Plane& plane : planes.empty() ? whole : planes) {
      T* to = packed;
      packed += band.plane;
      const Index top = band.first_row * work.row_step + plane.row - work.top;
      const Index left = band.first_column * work.column_step + plane.column - work.left;
      for (Index i = 0; i < band.plane_rows; ++i, to += band.pitch) {
        const Index row = top + i * row_step;
        if (row < 0 || row >= work.height) {
          std::fill(to, to + band.pitch, T(0));
        } else {
          pack_row(image + row * work.width, work.width, left, column_step, to, band.pitch);
        }
      }
      std::fill(to, packed, T(0));
    }
  }
}

// Blocks of channels of the result, as even as they can be: a tile has one row for each of them.
struct Blocks {
  Index count, channels;
  explicit Blocks(Index channels)
      : count((channels + most_rows - 1) / most_rows), channels(channels) {}
  Index first(Index block) const { return block * channels / count; }
  Index rows(Index block) const { return first(block + 1) - first(block); }
};

// The same in vectors: two of them at a time, the last time perhaps one.
template <typename T>
struct VectorBlocks {
  static constexpr Index lanes = Vectors<T>::lanes;
  Index channels, vectors, count;
  explicit VectorBlocks(Index channels)
      : channels(channels), vectors((channels + lanes - 1) / lanes), count((vectors + 1) / 2) {}
  Index width(Index block) const { return std::min<Index>(2, vectors - 2 * block); }
  Index across(Index block) const { return width(block) * lanes; }
  Index across() const { return vectors * lanes; }
  static Index first(Index block) { return 2 * lanes * block; }
  // How many of a block's lanes are channels.
  Index used(Index block) const { return std::min(across(block), channels - first(block)); }
};

// The weights of some channels of the result, as (channel of the source, tap, channel in `across`).
template <typename T>
static void pack_weights(const Correlation& work, const Phase& phase, const T* weights, Index first,
                         Index count, Index across, T* packed) {
  for (Index k = 0; k < work.inputs; ++k) {
    for (const Tap& tap : phase.taps) {
      const T* from = weights + first * work.output_step + k * work.input_step + tap.weight;
      for (Index i = 0; i < count; ++i) packed[i] = from[i * work.output_step];
      for (Index i = count; i < across; ++i) packed[i] = T(0);
      packed += across;
    }
  }
}

// Rows of places, `pitch` apart and with numbers between them that mean nothing, to rows of the
// result. Behind `from` a vector can be read.
template <typename T>
static void place_rows(const T* from, Index pitch, Index rows, Index columns, T* to,
                       Index row_step, Index column_step) {
  using Loose = typename Vectors<T>::loose;
  constexpr Index lanes = Vectors<T>::lanes;
  const Index vectors = (columns + lanes - 1) / lanes;
  for (Index i = 0; i < rows; ++i, from += pitch, to += row_step) {
    // Whole vectors: what they write beyond the row is written again with the next.
    if (column_step == 1 && row_step == columns && vectors * lanes <= (rows - i) * columns) {
      for (Index v = 0; v < vectors; ++v) {
        *reinterpret_cast<Loose*>(to + v * lanes) =
            *reinterpret_cast<const Loose*>(from + v * lanes);
      }
    } else if (column_step == 1) {
      for (Index j = 0; j < columns; ++j) to[j] = from[j];
    } else {
      for (Index j = 0; j < columns; ++j) to[j * column_step] = from[j];
    }
  }
}
