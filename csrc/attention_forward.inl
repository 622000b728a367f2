// Forward: a task is a block of queries of one head. Blocks of keys pass by, with a running maximum
// and a running sum per row.

template <typename T>
struct ForwardBlock {
  const AttentionForward<T>& a;
  const AttentionShape& shape;
  Index head, first_row, rows;  // the matrix of queries, and its part
  Index width, depth, pitch, depth_pitch;
  T *queries, *keys, *values, *scores, *found;
  T tops[block_rows], totals[block_rows];

  // The bytes that a task computes in.
  static std::size_t room(const AttentionShape& shape) {
    const Index pitch = padded<T>(shape.width), depth_pitch = padded<T>(shape.depth);
    return sizeof(T) * ((block_rows + block_columns) * pitch + tile_rows * block_columns +
                        (block_columns + block_rows) * depth_pitch);
  }

  ForwardBlock(const AttentionForward<T>& a, const AttentionShape& shape, Index task, T* room)
      : a(a), shape(shape) {
    const Index blocks = (shape.rows + block_rows - 1) / block_rows;
    head = task / blocks;
    first_row = task % blocks * block_rows;
    rows = std::min<Index>(block_rows, shape.rows - first_row);
    width = shape.width;
    depth = shape.depth;
    pitch = padded<T>(width);
    depth_pitch = padded<T>(depth);
    queries = room;
    keys = queries + block_rows * pitch;
    values = keys + block_columns * pitch;
    scores = values + block_columns * depth_pitch;
    found = scores + tile_rows * block_columns;
  }

  void run() {
    pack(a.query.at(head) + first_row * a.query.row, a.query.row, rows, width, T(1), queries);
    const Index columns = shape.columns;
    const Index end = shape.causal ? std::min(columns, first_row + rows) : columns;
    for (Index column = 0; column < end; column += block_columns)
      take(column, std::min(block_columns, end - column));
    finish();
  }

  // Takes in a block of keys.
  void take(Index first, Index count) {
    const Index of_keys = head / static_cast<Index>(shape.groups);
    pack_transposed(a.key.at(of_keys) + first * a.key.row, a.key.row, count, width,
                    static_cast<T>(shape.scale), keys, block_columns);
    pack(a.value.at(of_keys) + first * a.value.row, a.value.row, count, depth, T(1), values);
    for (Index row = 0; row < rows; row += tile_rows) {
      const Index strip_rows = std::min(tile_rows, rows - row);
      const Index seen = seen_by(first_row + row + strip_rows - 1, first, count, shape.causal);
      if (seen == 0) continue;
      const Index columns = padded<T>(seen);
      strip<T, Left::plain, Before::replaced>(strip_rows, columns, queries + row * pitch, pitch,
                                              keys, block_columns, width, scores, block_columns);
      for (Index i = 0; i < strip_rows; ++i)
        weigh(row + i, first, count, columns, scores + i * block_columns);
      T* to = found + row * depth_pitch;
      if (first == 0) {
        strip<T, Left::plain, Before::replaced>(strip_rows, depth_pitch, scores, block_columns,
                                                values, depth_pitch, seen, to, depth_pitch);
      } else {
        strip<T, Left::plain, Before::added>(strip_rows, depth_pitch, scores, block_columns,
                                             values, depth_pitch, seen, to, depth_pitch);
      }
    }
  }

  // Makes a row's scores weights, and what was found before smaller by as much as they are.
  void weigh(Index row, Index first, Index count, Index columns, T* scores) {
    constexpr Index lanes = Vectors<T>::lanes;
    const Index seen = seen_by(first_row + row, first, count, shape.causal);
    mask_row<T>(a.mask, head, first_row + row, first, seen, columns, scores);
    Vector<T> most = load(scores);
    for (Index i = lanes; i < columns; i += lanes) most = Larger<T>::join(most, load(scores + i));
    T top = joined<Larger<T>, T>(most);
    if (first > 0 && !(top > tops[row])) top = tops[row];
    // Where a mask hides everything the weights are zeros.
    const bool nothing = a.mask.data && top == -std::numeric_limits<T>::infinity();
    const T used = nothing ? T(0) : top;
    Vector<T> sum = {};
    for (Index i = 0; i < columns; i += lanes) {
      const Vector<T> weights = weights_of(load(scores + i) - used);
      store<T>(scores + i, weights);
      sum += weights;
    }
    T total = sum_of_lanes<T>(sum);
    if (first > 0) {
      const T change = tops[row] - used;
      if (change != T(0)) {
        const T shrink = exponential(change);
        T* to = found + row * depth_pitch;
        for (Index i = 0; i < depth_pitch; i += lanes) store<T>(to + i, load(to + i) * shrink);
        totals[row] *= shrink;
      }
      total += totals[row];
    }
    tops[row] = top;
    totals[row] = total;
  }

  void finish() {
    T* to = a.out.at(head) + first_row * a.out.row;
    T* sums = a.sums + head * static_cast<Index>(shape.rows) + first_row;
    for (Index row = 0; row < rows; ++row) {
      const bool nothing = a.mask.data && tops[row] == -std::numeric_limits<T>::infinity();
      const T total = a.mask.data && totals[row] == T(0) ? T(1) : totals[row];
      unpack(found + row * depth_pitch, 1, depth, T(1) / total, to + row * a.out.row, a.out.row);
      sums[row] = (nothing ? T(0) : tops[row]) + std::log(total);
    }
  }
};

// A task's products and weights, in the steps that `pieces_of` counts.
static double cost_of(const AttentionShape& shape, double rows, double columns, double products) {
  const double share = shape.causal ? 0.6 : 1.0;
  return share * rows * columns * (products * static_cast<double>(shape.width + shape.depth) + 2);
}

template <typename T>
static bool forward(const AttentionForward<T>& a, const AttentionShape& shape) {
  const std::size_t blocks = (shape.rows + block_rows - 1) / block_rows;
  const std::size_t tasks = shape.heads * shape.groups * blocks;
  const double rows = static_cast<double>(std::min<std::size_t>(shape.rows, block_rows));
  const std::size_t pieces =
      pieces_of(tasks, cost_of(shape, rows, static_cast<double>(shape.columns), 0.1));
  std::atomic<bool> complete{true};
  parallel(pieces, [&](std::size_t piece) {
    T* room = static_cast<T*>(attention_scratch().room(ForwardBlock<T>::room(shape)));
    if (!room) {
      complete = false;
      return;
    }
    const std::size_t end = first_of(piece + 1, pieces, tasks);
    for (std::size_t task = first_of(piece, pieces, tasks); task < end; ++task)
      ForwardBlock<T>(a, shape, static_cast<Index>(task), room).run();
  });
  return complete;
}
