#include "product.hpp"

#include "checks.hpp"

namespace check {
namespace {

using tfl::Block;
using tfl::Grid;
using tfl::Sizes;

TFL_CHECK(blocks_cover_the_result_once) {
  for (const std::int64_t rows : {1, 15, 16, 17, 100, 1031}) {
    for (const std::int64_t columns : {1, 31, 64, 777}) {
      for (const std::int64_t depth : {1, 5000}) {
        const Note note(rows, "x", columns, "x", depth);
        const Sizes sizes{rows, columns, depth};
        const Grid grid = tfl::grid_of(sizes);
        std::vector<unsigned char> times(static_cast<std::size_t>(rows * columns), 0);
        for (std::size_t i = 0; i < grid.along_rows * grid.along_columns; ++i) {
          const Block block = tfl::block_of(sizes, grid, i);
          EXPECT(block.row < block.row_end && block.row_end <= rows, "rows of block ", i);
          EXPECT(block.column < block.column_end && block.column_end <= columns,
                 "columns of block ", i);
          for (std::int64_t row = block.row; row < block.row_end; ++row) {
            for (std::int64_t column = block.column; column < block.column_end; ++column)
              ++times[static_cast<std::size_t>(row * columns + column)];
          }
        }
        for (std::size_t i = 0; i < times.size(); ++i) {
          if (times[i] != 1) return fail("element " + std::to_string(i));
        }
      }
    }
  }
}

TFL_CHECK(huge_sizes) {
  const std::int64_t huge = std::int64_t{1} << 40;
  for (const Sizes sizes : {Sizes{huge, 1, 1}, {1, huge, 3}, {huge, huge, huge}}) {
    const Grid grid = tfl::grid_of(sizes);
    const std::size_t count = grid.along_rows * grid.along_columns;
    const Block last = tfl::block_of(sizes, grid, count - 1);
    EXPECT(count <= 64 && last.row_end == sizes.rows && last.column_end == sizes.columns, count);
  }
}

}  // namespace
}  // namespace check
