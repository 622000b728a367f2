// The numbers of a convolution over images of up to three axes. Channels are those of one group.
// Indices are ints: an image has fewer than 2^31 elements, and so many places have all images.
// tensorflowlite/backend/cuda/convolution.py fills the structures.
#pragma once

#include "windows.cuh"

namespace tfl {

// Elements from image to image, from channel to channel, from place to place.
struct Strides {
  long long image, channel, place;
};

struct Convolution {
  Axis axes[3];
  Divisor channels, outputs;  // of a group
  Divisor counts[3], kernels[3];
  long long images, groups;
  Strides x, y;            // of the images, of the outputs
  long long splits, steps;  // parts of the depth, and steps of the product in each

  TFL_DEVICE int size(int axis) const { return static_cast<int>(axes[axis].size); }
  TFL_DEVICE int count(int axis) const { return static_cast<int>(axes[axis].count); }
  TFL_DEVICE int kernel(int axis) const { return static_cast<int>(axes[axis].kernel); }
  TFL_DEVICE int taps() const { return kernel(0) * kernel(1) * kernel(2); }
  TFL_DEVICE int windows() const { return count(0) * count(1) * count(2); }
  TFL_DEVICE int places() const { return size(0) * size(1) * size(2); }

  // An element of the images, from where image and channel begin.
  TFL_DEVICE bool in_image(int y, int x, int z) const {
    return inside(y, size(0)) && inside(x, size(1)) && inside(z, size(2));
  }
  TFL_DEVICE long long image_place(int y, int x, int z) const {
    return ((y * size(1) + x) * size(2) + z) * this->x.place;
  }
};

// Which of all windows one is.
struct WindowPlace {
  int image, at[3];

  TFL_DEVICE WindowPlace(int index, const Convolution& convolution) {
    at[2] = convolution.counts[2].split(index);
    at[1] = convolution.counts[1].split(index);
    at[0] = convolution.counts[0].split(index);
    image = index;
  }
};

struct Tap {
  int at[3];

  TFL_DEVICE Tap(int index, const Divisor (&lengths)[3]) {
    at[2] = lengths[2].split(index);
    at[1] = lengths[1].split(index);
    at[0] = index;
  }
};

}  // namespace tfl
