// Images (images, channels, places) as (images, places, channels), a square at a time.
// TFL_TYPE: the arrays' type.
#include "types.cuh"

using T = TFL_TYPE;
constexpr int square = 32;
constexpr int height = 8;

// Grid: squares along the places, along the channels, images. Block: 32 x 8.
extern "C" TFL_KERNEL(square * height)
    channels_last(const T* x, T* out, long long images, long long channels, long long places) {
  __shared__ T room[square][square + 1];
  const long long first_place = static_cast<long long>(blockIdx.x) * square;
  const long long first_channel = static_cast<long long>(blockIdx.y) * square;
  for (long long image = blockIdx.z; image < images; image += gridDim.z) {
    const T* from = x + image * channels * places;
    T* to = out + image * channels * places;
    __syncthreads();  // what was there has been read
#pragma unroll
    for (int i = threadIdx.y; i < square; i += height) {
      const long long channel = first_channel + i;
      const long long place = first_place + threadIdx.x;
      if (channel < channels && place < places) {
        room[i][threadIdx.x] = from[channel * places + place];
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = threadIdx.y; i < square; i += height) {
      const long long channel = first_channel + threadIdx.x;
      const long long place = first_place + i;
      if (channel < channels && place < places) {
        to[place * channels + channel] = room[threadIdx.x][i];
      }
    }
  }
}
