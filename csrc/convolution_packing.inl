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

// Few numbers, mostly: those one by one, where the compiler would call memset.
template <typename T>
static inline void put_zeros(T* begin, T* end) {
  if (end - begin > 16) {
    std::fill(begin, end, T(0));
    return;
  }
  for (; begin < end; ++begin) {
    *begin = T(0);
    asm volatile("" ::: "memory");
  }
}

// How a row of a plane comes from a row of the source: its numbers from `begin` to `end` are every
// `step`-th one from `first` on, the others zeros.
struct RowCopy {
  Index begin, end, first, step;
  RowCopy(Index width, Index left, Index step, Index pitch) : step(step) {
    begin = std::min(left < 0 ? (-left + step - 1) / step : 0, pitch);
    end = std::max(std::min(width > left ? (width - left - 1) / step + 1 : 0, pitch), begin);
    first = left + begin * step;
  }
};

// `whole_vectors`: behind the row of the source a vector's numbers can be read, and behind the
// row's copy they can be written.
template <typename T>
static inline void pack_row(const T* row, const RowCopy& copy, bool whole_vectors, T* to,
                            Index pitch) {
  using Loose = typename Vectors<T>::loose;
  constexpr Index lanes = Vectors<T>::lanes;
  if (copy.step == 1 && whole_vectors) {
    const Index count = copy.end - copy.begin;
    for (Index i = 0; i < count; i += lanes) {
      *reinterpret_cast<Loose*>(to + copy.begin + i) =
          *reinterpret_cast<const Loose*>(row + copy.first + i);
    }
  } else if (copy.end > copy.begin) {
    copy_row(row + copy.first, to + copy.begin, copy.end - copy.begin, copy.step);
  }
  put_zeros(to, to + copy.begin);
  put_zeros(to + copy.end, to + pitch);
}

template <typename T>
static void pack_band(const Correlation& work, const Planes& planes, const Band& band,
                      Index channels, const T* source, T* into) {
  static const Planes whole{{0, 0}};
  const Index row_step = planes.empty() ? 1 : work.row_step;
  const Index column_step = planes.empty() ? 1 : work.column_step;
  const Index size = work.height * work.width;
  for (Index c = 0; c < channels; ++c) {
    const T* image = source + c * size;
    T* packed = into + c * band.channel;
    for (const Plane& plane : planes.empty() ? whole : planes) {
      T* to = packed;
      packed += band.plane;
      const Index top = band.first_row * work.row_step + plane.row - work.top;
      const Index left = band.first_column * work.column_step + plane.column - work.left;
      const RowCopy copy(work.width, left, column_step, band.pitch);
      for (Index i = 0; i < band.plane_rows; ++i, to += band.pitch) {
        const Index row = top + i * row_step;
        if (row < 0 || row >= work.height) {
          std::fill(to, to + band.pitch, T(0));
        } else {
          const Index behind = (channels - c) * size - (row + 1) * work.width;
          pack_row(image + row * work.width, copy, behind >= Vectors<T>::lanes, to, band.pitch);
        }
      }
      std::fill(to, packed, T(0));
    }
  }
}

// Blocks of channels of the result, as even as they can be: a tile has one row for each of them.
struct Blocks {
  Index count, channels;
  explicit Blocks(Index channels, Index most = most_rows)
      : count((channels + most - 1) / most), channels(channels) {}
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
  const Index taps = static_cast<Index>(phase.taps.size());
  if (work.input_step == taps && across % Vectors<T>::lanes == 0) {
    // A forward pass: a channel of the result has its weights in one piece, in this order.
    transpose_run(weights + first * work.output_step, work.output_step, count, across,
                  work.inputs * taps, packed);
    return;
  }
  for (Index k = 0; k < work.inputs; ++k) {
    for (const Tap& tap : phase.taps) {
      const T* from = weights + first * work.output_step + k * work.input_step + tap.weight;
      copy_row(from, packed, count, work.output_step);
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
