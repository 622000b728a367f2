// Backward: a task is a run of keys of one head with all the queries that see them. It has the
// gradients of its keys and values whole. That of the queries is a sum over runs: where there is
// but one, it grows in the result itself, else in parts of their own, added in order in the end.

// How the keys of a head are split, by shapes alone.
template <typename T>
struct Runs {
  Index blocks, count;
  bool direct;  // the queries' gradient grows in the result

  explicit Runs(const AttentionShape& shape) {
    constexpr std::size_t enough = 16;  // tasks
    blocks = (shape.columns + block_columns - 1) / block_columns;
    const std::size_t wanted = shape.heads >= enough ? 1 : (enough - 1) / shape.heads + 1;
    count = std::min<Index>(wanted, blocks);
    direct = count == 1 && static_cast<Index>(shape.width) % Vectors<T>::lanes == 0;
  }
};

template <typename T>
struct BackwardRun {
  const AttentionBackward<T>& a;
  const AttentionShape& shape;
  const Runs<T>& runs;
  T* parts;  // of the queries' gradient: run, matrix, row, column; null where it is direct
  Index key_head, run, first_block, width, depth, pitch, depth_pitch;
  T *keys_across, *values_across, *keys, *queries, *ys, *weights, *slopes, *key_sums, *value_sums;
  T* inner;  // of y and the output, per query

  static std::size_t room(const AttentionShape& shape) {
    const Index pitch = padded<T>(shape.width), depth_pitch = padded<T>(shape.depth);
    return sizeof(T) * ((3 * block_columns + block_rows) * pitch +
                        (2 * block_columns + block_rows) * depth_pitch +
                        2 * block_rows * block_columns + shape.groups * shape.rows);
  }

  BackwardRun(const AttentionBackward<T>& a, const AttentionShape& shape, const Runs<T>& runs,
              T* parts, Index task, T* room)
      : a(a), shape(shape), runs(runs), parts(parts) {
    key_head = task / runs.count;
    run = task % runs.count;
    first_block = first_of(run, runs.count, runs.blocks);
    width = shape.width;
    depth = shape.depth;
    pitch = padded<T>(width);
    depth_pitch = padded<T>(depth);
    const auto next = [&](Index size) { return std::exchange(room, room + size); };
    keys_across = next(block_columns * pitch);
    keys = next(block_columns * pitch);
    key_sums = next(block_columns * pitch);
    queries = next(block_rows * pitch);
    values_across = next(block_columns * depth_pitch);
    value_sums = next(block_columns * depth_pitch);
    ys = next(block_rows * depth_pitch);
    weights = next(block_rows * block_columns);
    slopes = next(block_rows * block_columns);
    inner = room;
  }

  Index head_of(Index group) const { return key_head * static_cast<Index>(shape.groups) + group; }

  // The queries' gradient from a row on, and the step from row to row.
  T* gradient_at(Index group, Index row) const {
    const Index head = head_of(group);
    if (runs.direct) return a.query_gradient.at(head) + row * a.query_gradient.row;
    const Index heads = shape.heads * shape.groups, rows = shape.rows;
    return parts + ((run * heads + head) * rows + row) * pitch;
  }
  Index gradient_step() const { return runs.direct ? a.query_gradient.row : pitch; }

  void compute() {
    const Index groups = shape.groups, columns = shape.columns;
    const Index hidden = first_row_of(first_block * block_columns);
    for (Index group = 0; group < groups; ++group) {
      find_inner(group, hidden);
      if (!runs.direct) std::fill(gradient_at(group, 0), gradient_at(group, hidden), T(0));
    }
    const Index end = first_of(run + 1, runs.count, runs.blocks);
    for (Index block = first_block; block < end; ++block) {
      const Index first = block * block_columns;
      take_keys(block, first, std::min(block_columns, columns - first));
    }
  }

  // The first row that sees keys from `column` on.
  Index first_row_of(Index column) const {
    return shape.causal ? std::min<Index>(column, shape.rows) : 0;
  }

  void find_inner(Index group, Index first) {
    constexpr Index lanes = Vectors<T>::lanes;
    const Index rows = shape.rows, head = head_of(group);
    for (Index row = first; row < rows; ++row) {
      const T* y = a.y.at(head) + row * a.y.row;
      const T* out = a.out.at(head) + row * a.out.row;
      Vector<T> sums = {};
      Index i = 0;
      for (; i + lanes <= depth; i += lanes) sums += load(y + i) * load(out + i);
      T sum = sum_of_lanes<T>(sums);
      for (; i < depth; ++i) sum += y[i] * out[i];
      inner[group * rows + row] = sum;
    }
  }

  void take_keys(Index block, Index first, Index count) {
    const T scale = static_cast<T>(shape.scale);
    const T* key = a.key.at(key_head) + first * a.key.row;
    const T* value = a.value.at(key_head) + first * a.value.row;
    pack_transposed(key, a.key.row, count, width, scale, keys_across, block_columns);
    pack(key, a.key.row, count, width, scale, keys);
    pack_transposed(value, a.value.row, count, depth, T(1), values_across, block_columns);
    const Index groups = shape.groups, rows = shape.rows, seen_from = first_row_of(first);
    if (seen_from == rows) {
      std::fill(key_sums, key_sums + count * pitch, T(0));
      std::fill(value_sums, value_sums + count * depth_pitch, T(0));
    }
    for (Index group = 0; group < groups; ++group) {
      for (Index row = seen_from; row < rows; row += block_rows) {
        const Index block_size = std::min(block_rows, rows - row);
        take_queries(group, row, block_size, first, count, block == first_block);
        if (group == 0 && row == seen_from) {
          add_to_sums<Before::replaced>(row, block_size, first, count);
        } else {
          add_to_sums<Before::added>(row, block_size, first, count);
        }
      }
    }
    const Index key_step = a.key_gradient.row, value_step = a.value_gradient.row;
    unpack(key_sums, count, width, scale, a.key_gradient.at(key_head) + first * key_step, key_step);
    unpack(value_sums, count, depth, T(1), a.value_gradient.at(key_head) + first * value_step,
           value_step);
  }

  // The weights of a block, their slopes, and what the queries' gradient gets of them.
  void take_queries(Index group, Index first_row, Index rows, Index first, Index count,
                    bool replaces) {
    const Index head = head_of(group), step = gradient_step();
    pack(a.query.at(head) + first_row * a.query.row, a.query.row, rows, width, T(1), queries);
    pack(a.y.at(head) + first_row * a.y.row, a.y.row, rows, depth, T(1), ys);
    for (Index row = 0; row < rows; row += tile_rows) {
      const Index strip_rows = std::min(tile_rows, rows - row);
      const Index seen = seen_by(first_row + row + strip_rows - 1, first, count, shape.causal);
      const Index columns = padded<T>(seen);
      T* p = weights + row * block_columns;
      T* ds = slopes + row * block_columns;
      strip<T, Left::plain, Before::replaced>(strip_rows, columns, queries + row * pitch, pitch,
                                              keys_across, block_columns, width, p, block_columns);
      strip<T, Left::plain, Before::replaced>(strip_rows, columns, ys + row * depth_pitch,
                                              depth_pitch, values_across, block_columns, depth, ds,
                                              block_columns);
      for (Index i = 0; i < strip_rows; ++i) {
        weigh(group, first_row + row + i, first, count, columns, p + i * block_columns,
              ds + i * block_columns);
      }
      T* to = gradient_at(group, first_row + row);
      if (replaces) {
        strip<T, Left::plain, Before::replaced>(strip_rows, pitch, ds, block_columns, keys, pitch,
                                                seen, to, step);
      } else {
        strip<T, Left::plain, Before::added>(strip_rows, pitch, ds, block_columns, keys, pitch,
                                             seen, to, step);
      }
    }
  }

  // Makes a row's scores weights `p`, and the gradients of the weights those of the scores.
  void weigh(Index group, Index row, Index first, Index count, Index columns, T* p, T* ds) {
    constexpr Index lanes = Vectors<T>::lanes;
    const Index rows = shape.rows, head = head_of(group);
    mask_row<T>(a.mask, head, row, first, seen_by(row, first, count, shape.causal), columns, p);
    const T sum = a.sums[head * rows + row], mean = inner[group * rows + row];
    for (Index i = 0; i < columns; i += lanes) {
      const Vector<T> w = weights_of(load(p + i) - sum);
      store<T>(p + i, w);
      store<T>(ds + i, w * (load(ds + i) - mean));
    }
    // The products over rows read on.
    for (Index i = columns; i < padded<T>(count); i += lanes) {
      store<T>(p + i, Vector<T>{});
      store<T>(ds + i, Vector<T>{});
    }
  }

  // Adds a block's part to the gradients of keys and values.
  template <Before BEFORE>
  void add_to_sums(Index first_row, Index rows, Index first, Index count) {
    for (Index column = 0; column < count; column += tile_rows) {
      const Index strip_rows = std::min(tile_rows, count - column);
      // Rows above don't see these keys.
      const Index from =
          shape.causal ? std::min(std::max(first + column - first_row, Index{0}), rows) : 0;
      const Index at = from * block_columns + column;
      strip<T, Left::transposed, BEFORE>(strip_rows, depth_pitch, weights + at, block_columns,
                                         ys + from * depth_pitch, depth_pitch, rows - from,
                                         value_sums + column * depth_pitch, depth_pitch);
      strip<T, Left::transposed, BEFORE>(strip_rows, pitch, slopes + at, block_columns,
                                         queries + from * pitch, pitch, rows - from,
                                         key_sums + column * pitch, pitch);
    }
  }
};

// Adds the runs' parts of the queries' gradient, in order.
template <typename T>
static void add_parts(const AttentionBackward<T>& a, const AttentionShape& shape, Index runs,
                      T* parts) {
  constexpr Index lanes = Vectors<T>::lanes;
  const Index pitch = padded<T>(shape.width), rows = shape.rows, width = shape.width;
  const std::size_t all = shape.heads * shape.groups * shape.rows;
  const std::size_t pieces = pieces_of(all, static_cast<double>(runs * pitch) * 0.2);
  parallel(pieces, [&](std::size_t piece) {
    const Index end = first_of(piece + 1, pieces, all);
    for (Index row = first_of(piece, pieces, all); row < end; ++row) {
      T* sum = parts + row * pitch;
      for (Index run = 1; run < runs; ++run) {
        const T* part = sum + run * static_cast<Index>(all) * pitch;
        for (Index i = 0; i < pitch; i += lanes) store<T>(sum + i, load(sum + i) + load(part + i));
      }
      const Matrices<T>& found = a.query_gradient;
      unpack(sum, 1, width, T(1), found.at(row / rows) + row % rows * found.row, found.row);
    }
  });
}

template <typename T>
static bool backward(const AttentionBackward<T>& a, const AttentionShape& shape) {
  const Runs<T> runs(shape);
  const std::size_t tasks = shape.heads * runs.count;
  std::unique_ptr<T[]> parts;
  if (!runs.direct) {
    const std::size_t size =
        runs.count * shape.heads * shape.groups * shape.rows * padded<T>(shape.width);
    parts.reset(new (std::nothrow) T[size]);
    if (!parts) return false;
  }
  const double columns = static_cast<double>(shape.columns) / static_cast<double>(runs.count);
  const double rows = static_cast<double>(shape.groups * shape.rows);
  const std::size_t pieces = pieces_of(tasks, cost_of(shape, rows, columns, 0.25));
  std::atomic<bool> complete{true};
  parallel(pieces, [&](std::size_t piece) {
    T* room = static_cast<T*>(attention_scratch().room(BackwardRun<T>::room(shape)));
    if (!room) {
      complete = false;
      return;
    }
    const std::size_t end = first_of(piece + 1, pieces, tasks);
    for (std::size_t task = first_of(piece, pieces, tasks); task < end; ++task) {
      BackwardRun<T>(a, shape, runs, parts.get(), static_cast<Index>(task), room).compute();
    }
  });
  if (complete && !runs.direct) add_parts(a, shape, runs.count, parts.get());
  return complete;
}
