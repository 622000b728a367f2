// Attention for one instruction set; included by attention.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

using Index = std::ptrdiff_t;

#include "attention_tiles.inl"
#include "attention_softmax.inl"
#include "attention_forward.inl"
#include "attention_backward.inl"

static const Attention table = {
    forward<float>,
    forward<double>,
    backward<float>,
    backward<double>,
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
