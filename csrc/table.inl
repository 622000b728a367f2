// The table of one instruction set; included by kernels.cpp.
namespace tfl {
namespace TFL_INSTRUCTIONS {

static const Kernels table = {
    TFL_INSTRUCTIONS_NAME,
    random_bits,
    uniform_float,
    uniform_double,
    normal_float,
    normal_double,
    forward_rows<float>,
    forward_rows<double>,
    backward_rows<float>,
    backward_rows<double>,
    forward_channels<float>,
    forward_channels<double>,
    backward_channels<float>,
    backward_channels<double>,
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
