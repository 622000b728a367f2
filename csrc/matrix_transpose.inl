// Transposing for one instruction set; included by matrix_transpose.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

#include "squares.inl"

// What an element costs, in steps as `pieces_of` counts them.
constexpr double transpose_cost = 1.0;
// Columns of a strip: what it writes stays in the first-level cache until a line is full.
constexpr Index strip_columns = 64;

// Rows `row` ... `row_end` - 1, a strip of columns after the other.
template <typename T>
static void transpose_rows(const MatrixCopy<T>& a, Index row, Index row_end) {
  constexpr Index lanes = Vectors<T>::lanes;
  for (Index first = 0; first < a.columns; first += strip_columns) {
    const Index end = std::min(a.columns, first + strip_columns);
    for (Index i = row; i < row_end; i += lanes) {
      for (Index j = first; j < end; j += lanes) {
        const T* from = a.from + i * a.step + j;
        T* to = a.to + j * a.rows + i;
        if (i + lanes <= row_end && j + lanes <= end) {
          transpose_square(from, a.step, to, a.rows);
        } else {
          transpose_part(from, a.step, std::min(lanes, row_end - i), std::min(lanes, end - j), to,
                         a.rows);
        }
      }
    }
  }
}

template <typename T>
static void transpose(const MatrixCopy<T>& a) {
  if (a.rows == 0 || a.columns == 0) return;  // the other may be anything
  // A piece takes whole squares.
  constexpr Index lanes = Vectors<T>::lanes;
  const std::size_t bands = static_cast<std::size_t>((a.rows + lanes - 1) / lanes);
  const std::size_t pieces =
      pieces_of(bands, static_cast<double>(lanes * a.columns) * transpose_cost);
  parallel(pieces, [&](std::size_t piece) {
    const Index row = static_cast<Index>(first_of(piece, pieces, bands)) * lanes;
    const Index row_end = static_cast<Index>(first_of(piece + 1, pieces, bands)) * lanes;
    transpose_rows(a, row, std::min(row_end, a.rows));
  });
}

static const TransposeKernels table = {transpose<float>, transpose<double>};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
