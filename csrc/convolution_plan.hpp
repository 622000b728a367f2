// How a convolution or its gradient by the input is cut up. Both are the same work, a Correlation:
//
//     result[m][place] = sum over (k, tap) of weight[m][k][tap] * source[k][place + tap]
//
// The gradient by the input of a convolution with strides is one of these for each phase of the
// input's rows and columns.
//
// A rectangle of places (a Band) is worked on at a time. Where there is padding, what it reads is
// copied first. Two ways of work read it differently.
//
// Vectors of channels take the places one by one, wherever they are.
//
// Vectors of places want neighbours side by side whatever the stride is: there is a plane per phase
// of the source's rows and columns. In a plane every row begins with its zeros of padding, and the
// zeros after a row are those before the next one. Places are then one run of numbers, row after
// row, and every tap is a fixed distance: vectors needn't end where rows do. The numbers that come
// out between two rows are dropped.
#pragma once

#include <vector>

#include "convolution.hpp"

namespace tfl {

// Pieces that a call should have at least, for all threads to have work.
constexpr Index least_pieces = 16;

struct Tap {
  Index row, column;  // from the place's own source element
  Index weight;       // which of the kernel's elements
};

struct Phase {
  Index first_row, first_column;  // of the result
  Index rows, columns;            // places
  std::vector<Tap> taps;
};

struct Correlation {
  Index images, groups, inputs, outputs;  // channels of source and result within one group
  Index height, width, result_height, result_width;
  Index row_step, column_step;                // of the source, from one place to the next
  Index result_row_step, result_column_step;  // of the result
  Index top, left;                            // the source's padding; negative where it is cropped
  Index rows, columns;                        // the places of the largest phase
  Index reach_rows, reach_columns;            // taps stay below
  Index output_step, input_step, group_step;  // of the weights
  std::vector<Phase> phases;
};

Correlation forward_correlation(const ConvolutionShape& shape);
Correlation input_gradient_correlation(const ConvolutionShape& shape);

// A rectangle of places, and how what it reads is laid out. A source that is read where it lies has
// `copied` false, and `origin` is where its first place reads.
struct Band {
  Index first_row, rows, first_column, columns;
  bool copied;
  Index origin;
  Index pitch;       // from one row of a plane to the next
  Index plane_rows;  // rows of a plane
  Index plane;       // from one plane to the next
  Index channel;     // from one channel to the next
  Index row_step, column_step;  // from one place to the next within a plane
};

struct Cuts {
  Index rows, columns;  // the number of bands along each axis
  Index count() const { return rows * columns; }
};

// The planes of a copy, each a phase of the source's rows and one of its columns; with none of them
// every row is copied whole, as vectors of channels want it.
struct Plane {
  Index row, column;
};
using Planes = std::vector<Plane>;
Planes planes_read(const Correlation& work);

// Cuts that keep a band near the cores and give every thread some. `item` is the size of a number.
Cuts cuts_of(const Correlation& work, const Planes& planes, Index item);
Band band_of(const Correlation& work, Cuts cuts, const Planes& planes, Index number);

// Where a phase's taps read, counted from where a place does.
std::vector<Index> offsets_of(const Correlation& work, const Planes& planes, const Band& band,
                              const Phase& phase);

// Places of a band, from the first row and column to before the last.
struct Rectangle {
  Index first_row, last_row, first_column, last_column;
  bool operator==(const Rectangle& other) const {
    return first_row == other.first_row && last_row == other.last_row &&
           first_column == other.first_column && last_column == other.last_column;
  }
};

// All bands of a call. For each phase and tap: the offset, and where it finds the source and not its
// padding.
struct PlannedBand : Band {
  std::vector<std::vector<Index>> offsets;
  std::vector<std::vector<Rectangle>> inside;
};
std::vector<PlannedBand> plan_bands(const Correlation& work, Cuts cuts, const Planes& planes);

// The taps that rows `first_row` to `last_row` can't do without: those before and behind them read
// nothing but padding there.
struct TapRange {
  Index first, count;
};
TapRange taps_inside(const std::vector<Rectangle>& inside, Index first_row, Index last_row);

}  // namespace tfl
