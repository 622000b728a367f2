// Element programs for one instruction set; included by elements.cpp.
#include "elements_steps.inl"
#include "elements_tiles.inl"
#include "elements_folds.inl"

namespace tfl {
namespace TFL_INSTRUCTIONS {

// Every element once, tile by tile.
static void run_elementwise(const ElementCall& call) {
  const std::size_t tile = call.program->tile;
  const std::size_t tiles = (call.total + tile - 1) / tile;
  const double cost = call.program->cost * static_cast<double>(std::min(tile, call.total));
  const std::size_t pieces = pieces_of(tiles, cost);
  parallel(pieces, [&](std::size_t piece) {
    Tiles work(call);
    const std::size_t end = std::min(first_of(piece + 1, pieces, tiles) * tile, call.total);
    for (std::size_t i = first_of(piece, pieces, tiles) * tile; i < end; i += tile)
      work.compute(i, std::min(tile, end - i));
  });
}

static void run(const ElementCall& call) {
  if (call.program->reduction) {
    run_reduction(call);
  } else if (call.total > 0) {
    run_elementwise(call);
  }
}

static const ElementKernels table = {run};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
