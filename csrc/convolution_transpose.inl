// Channels and places exchanged.

// `to`, (place, channel in `across`), from channels that lie `step` apart.
template <typename T>
static void transpose_run(const T* channels_from, Index step, Index channels, Index across, Index count,
                          T* to) {
  constexpr Index lanes = Vectors<T>::lanes;
  for (Index i = 0; i < count; i += lanes, to += lanes * across) {
    for (Index c = 0; c < across; c += lanes) {
      const T* from = channels_from + c * step + i;
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
