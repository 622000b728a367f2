"""Rows of what slides a window over images of one to three axes."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tensorflowlite.errors import ArgumentError, ShapeError
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import conv, pooling
from tests.op_table import Row, Sample, floats

# A sum of k products rounds k times.
sums = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
complexes = {"complex128": 1e-11, "complex64": 2e-5}


def each(value, axes):
    return (value,) * axes if isinstance(value, int) else value


def windows(x, kernel, stride, padding, dilation, fill, ceil=False):
    """Return every window of padded images: (images, channels, *windows, *kernel)."""
    axes = x.ndim - 2
    for a in range(axes):
        k, s, p, d = (each(v, axes)[a] for v in (kernel, stride, padding, dilation))
        size, reach = x.shape[2 + a], d * (k - 1) + 1
        count = (size + 2 * p - reach) // s + 1
        if ceil:
            count = -(-(size + 2 * p - reach) // s) + 1
            count -= (count - 1) * s >= size + p
        after = max(p, (count - 1) * s + reach - size - p)
        pads = [(p, after) if one == 2 + a else (0, 0) for one in range(x.ndim)]
        padded = np.pad(x, pads, constant_values=fill)
        places = np.arange(count)[:, None] * s + np.arange(k) * d
        taken = np.take(padded, places, 2 + a)  # the window's places stand behind its number
        x = np.moveaxis(taken, 2 + a + 1, -1)
    return x


def window_axes(x):
    """The axes of `windows` that lie within a window."""
    return tuple(range(-((x.ndim - 2) // 2), 0))


# -- convolution -----------------------------------------------------------------------------------
def convolution(x, weight, stride=1, padding=0, dilation=1, groups=1):
    axes = x.ndim - 2
    places, within = "hwd"[:axes], "ijk"[:axes]
    taken = windows(x, weight.shape[2:], stride, padding, dilation, 0)
    parts = [
        np.einsum(f"nc{places}{within},oc{within}->no{places}", one, w)
        for one, w in zip(np.split(taken, groups, 1), np.split(weight, groups, 0), strict=True)
    ]
    return np.concatenate(parts, 1)


def convolutions(draw):
    yield Sample(draw(2, 3, 5, 4), draw(4, 3, 3, 2))
    yield Sample(draw(2, 2, 5, 6), draw(2, 2, 3, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2))
    yield Sample(draw(1, 4, 4, 4), draw(6, 2, 3, 3), padding=1, groups=2)
    yield Sample(draw(2, 3, 3, 3), draw(3, 1, 2, 2), groups=3)
    yield Sample(draw(2, 3, 4, 4), draw(2, 3, 1, 1))
    yield Sample(draw(4, 5, 3, 2).T, draw.strided(2, 3, 2, 2))
    yield Sample(draw(0, 2, 3, 3), draw(1, 2, 2, 2))
    yield Sample(draw(2, 2, 7), draw(3, 2, 3), stride=2, padding=1)
    yield Sample(draw(1, 2, 6), draw(4, 1, 2), dilation=3, groups=2)
    yield Sample(draw(1, 2, 3, 4, 3), draw(2, 2, 2, 2, 1), stride=(1, 2, 1), padding=(1, 0, 0))


def transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transposed convolution by its definition: every input puts a kernel into the output."""
    axes = x.ndim - 2
    stride, padding, more, dilation = (
        each(v, axes) for v in (stride, padding, output_padding, dilation)
    )
    kernel = weight.shape[2:]
    whole = [
        (x.shape[2 + a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 + more[a]
        for a in range(axes)
    ]
    outputs = weight.shape[1]
    out = np.zeros((x.shape[0], groups * outputs, *whole), np.result_type(x, weight))
    for group, (one, w) in enumerate(
        zip(np.split(x, groups, 1), np.split(weight, groups, 0), strict=True)
    ):
        for place in itertools.product(*map(range, kernel)):
            spread = np.einsum("nc...,co->no...", one, w[(..., *place)])
            key = tuple(
                slice(i * d, i * d + (n - 1) * s + 1, s)
                for i, d, n, s in zip(place, dilation, x.shape[2:], stride, strict=True)
            )
            out[(slice(None), slice(group * outputs, (group + 1) * outputs), *key)] += spread
    cut = tuple(slice(p, n - p) for p, n in zip(padding, whole, strict=True))
    out = out[(..., *cut)]
    return out if bias is None else out + bias.reshape((-1,) + (1,) * axes)


def transpositions(draw):
    yield Sample(draw(2, 3, 3, 4), draw(3, 2, 3, 2))
    yield Sample(draw(1, 4, 3, 3), draw(4, 1, 3, 3), draw(2), stride=2, padding=1, groups=2)
    yield Sample(draw(1, 2, 3, 2), draw(2, 2, 2, 3), None, (2, 3), (0, 1), (1, 2), 1, (1, 2))
    yield Sample(draw(0, 2, 3, 3), draw(2, 1, 2, 2))
    yield Sample(draw.strided(1, 2, 2, 3), draw(2, 1, 2, 2))


def transpositions_of_rows(draw):
    yield Sample(draw(2, 3, 4), draw(3, 2, 3), draw(2), stride=2, output_padding=1)
    yield Sample(draw.strided(1, 2, 3), draw(2, 1, 2))
    yield Sample(draw(0, 2, 3), draw(2, 1, 2))


def transpositions_of_volumes(draw):
    yield Sample(draw(1, 2, 2, 3, 2), draw(2, 1, 2, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1))
    yield Sample(draw.strided(1, 1, 2, 1, 2), draw(1, 1, 1, 2, 2))
    yield Sample(draw(0, 1, 2, 1, 2), draw(1, 1, 1, 2, 2))


def unfolded(x, kernel_size, dilation=1, padding=0, stride=1):
    taken = windows(x, each(kernel_size, 2), stride, padding, dilation, 0)
    images, channels, rows, columns, *kernel = taken.shape
    moved = taken.transpose(0, 1, 4, 5, 2, 3)
    return moved.reshape(images, channels * kernel[0] * kernel[1], rows * columns)


def folded(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Add columns back: the transpose of `unfolded`, as a matrix."""
    kernel = each(kernel_size, 2)
    channels = x.shape[1] // (kernel[0] * kernel[1])
    shape = (channels, *each(output_size, 2))
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    columns = unfolded(units, kernel, dilation, padding, stride)
    return np.einsum("ncl,pcl->np", x, columns).reshape(-1, *shape).astype(x.dtype)


def unfoldings(draw):
    yield Sample(draw(2, 3, 4, 5), 2)
    yield Sample(draw(1, 2, 5, 4), (3, 2), dilation=(1, 2), padding=(1, 0), stride=(2, 1))
    yield Sample(draw(0, 2, 3, 3), 2)
    yield Sample(draw(4, 5, 3, 2).T, 2)


def foldings(draw):
    yield Sample(draw(2, 12, 12), (4, 5), 2)
    yield Sample(draw(1, 12, 6), (5, 4), (3, 2), (1, 2), (1, 0), (2, 1))
    yield Sample(draw(0, 4, 4), 3, 2)
    yield Sample(draw.strided(1, 4, 4), 3, 2)


# -- pooling ---------------------------------------------------------------------------------------
def max_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    kernel = each(kernel_size, x.ndim - 2)
    least = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    taken = windows(x, kernel, stride or kernel, padding, dilation, least, ceil_mode)
    along = window_axes(taken)
    return taken.max(along, initial=least) if x.size else taken[(..., *[0] * len(along))]


def max_pool_with_places(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    kernel = each(kernel_size, x.ndim - 2)
    places = np.broadcast_to(np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:]), x.shape)
    least = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    values, places = [
        windows(a, kernel, stride or kernel, padding, dilation, low, ceil_mode)
        for a, low in ((x, least), (places, -1))
    ]
    shape = (*values.shape[: x.ndim], math.prod(kernel))
    best = values.reshape(shape).argmax(-1, keepdims=True)
    return [np.take_along_axis(a.reshape(shape), best, -1)[..., 0] for a in (values, places)]


def pooled_with_places(x, *args, **kwargs):
    return pooling.max_pool2d(x, *args, return_indices=True, **kwargs)


def pools(draw):
    yield Sample(draw.distinct(2, 3, 4, 6), 2)
    yield Sample(draw.distinct(1, 2, 5, 5), 3, 2, 1)
    yield Sample(draw.distinct(1, 2, 5, 4), (2, 3), (1, 2), ceil_mode=True)
    yield Sample(draw.distinct(5, 4, 2, 1).T, (2, 2))
    yield Sample(draw(0, 2, 4, 4), 2)


def dilated_pools(draw):
    yield from pools(draw)
    yield Sample(draw.distinct(1, 1, 6, 5), 2, 1, dilation=(3, 2))


def pools_of_rows(draw):
    yield Sample(draw.distinct(2, 2, 7), 3, 2, 1)
    yield Sample(draw.distinct(1, 2, 6), 2, ceil_mode=True)
    yield Sample(draw.distinct(6, 2, 1).T, 2)
    yield Sample(draw(0, 2, 4), 2)


def pools_of_volumes(draw):
    yield Sample(draw.distinct(1, 2, 4, 3, 4), 2, 1)
    yield Sample(draw.distinct(1, 1, 4, 4, 5), (2, 1, 3), (2, 1, 2), (1, 0, 1))
    yield Sample(draw.distinct(4, 2, 4, 1, 1).T, (2, 1, 2))
    yield Sample(draw(0, 1, 2, 2, 2), 2)


def avg_pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
             divisor_override=None):  # fmt: skip
    axes = x.ndim - 2
    kernel = each(kernel_size, axes)
    steps = stride or kernel
    taken = windows(x, kernel, steps, padding, 1, 0, ceil_mode)
    total = taken.sum(window_axes(taken))
    if divisor_override is not None:
        return total / np.asarray(divisor_override, x.dtype)
    inside = np.ones((1, 1, *x.shape[2:]))
    reach = 0
    if count_include_pad:
        pads = [(n, n) for n in each(padding, axes)]
        inside = np.pad(inside, [(0, 0), (0, 0), *pads], constant_values=1)
    else:
        reach = padding
    found = windows(inside, kernel, steps, reach, 1, 0, ceil_mode)
    count = found.sum(window_axes(found))
    return total / count[(slice(None), slice(None), *map(slice, total.shape[2:]))].astype(x.dtype)


def averages(draw):
    yield from pools(draw)
    yield Sample(draw(1, 2, 5, 5), 3, 2, 1, count_include_pad=False)
    yield Sample(draw(1, 2, 5, 6), 2, 2, 1, ceil_mode=True, count_include_pad=False)
    yield Sample(draw(1, 2, 4, 4), 2, divisor_override=3)


def adaptive(reduce):
    """Return the adaptive pooling by its definition: windows from floor to ceiling."""

    def pool(x, output_size):
        axes = x.ndim - 2
        count = each(output_size, axes)
        count = tuple(x.shape[2 + a] if n is None else n for a, n in enumerate(count))
        out = np.zeros((*x.shape[:2], *count), x.dtype)
        for place in np.ndindex(*count):
            key = tuple(
                slice(i * n // m, -(-(i + 1) * n // m))
                for i, n, m in zip(place, x.shape[2:], count, strict=True)
            )
            window = x[(..., *key)]
            out[(..., *place)] = reduce(window, axis=tuple(range(2, x.ndim)))
        return out

    return pool


def adaptive_samples(axes):
    def samples(draw):
        yield Sample(draw.distinct(2, 2, *(6, 4, 3)[:axes]), (3, 2, 3)[:axes])
        yield Sample(draw.distinct(1, 2, *(5, 7, 4)[:axes]), (3, 4, 2)[:axes])
        yield Sample(draw.distinct(1, 2, *(5, 3, 3)[:axes]), 1)
        yield Sample(draw.distinct(1, 1, *(3, 2, 2)[:axes]), (None, 3, 1)[:axes])
        yield Sample(draw.distinct(*(4, 3, 2)[:axes], 2, 1).T, (2, 2, 2)[:axes])
        yield Sample(draw(0, 2, *(4, 3, 2)[:axes]), 2)

    return samples


images = np.zeros((1, 1, 4, 4))
pool_errors = [
    ((images, 5), ShapeError, "the window must fit in the padded image, got x (1, 1, 4, 4)"),
    ((images, 2, 2, 2), ArgumentError, "padding must be at most half of kernel_size, got padding"),
    (
        (np.zeros((4, 4)), 2),
        ShapeError,
        "x must be (images, channels, height, width), got x (4, 4)",
    ),
]
rows = [
    Row(
        conv.convolution, convolution, samples=convolutions,
        dtypes=(*floats, "complex128", "complex64"), tolerance={**sums, **complexes},
        covers=("convolution", "convolution_input_gradient", "convolution_weight_gradient"),
        errors=[
            ((images, np.zeros((1, 2, 3, 3))), ShapeError, "conv2d: x must have 2 channels, got x"),
            ((images, np.zeros((1, 1, 5, 5))), ShapeError, "the kernel must fit in the padded"),
            ((images, np.zeros((1, 1, 5))), ShapeError, "conv1d: x must be (images, channels, len"),
        ],
    ),
    Row(
        F.conv_transpose2d, transposed, samples=transpositions, tolerance=sums,
        covers=("convolution_input_gradient",),
        errors=[
            ((images, np.zeros((2, 1, 3, 3))), ShapeError, "conv_transpose2d: x must have 2 chann"),
            (
                (images, np.zeros((1, 1, 3, 3)), None, 2, 0, 2),
                ArgumentError,
                "output_padding must be less than stride or dilation, got output_padding (2, 2)",
            ),
            (
                (images, np.zeros((1, 1, 1, 1)), None, 1, 3),
                ShapeError,
                "conv_transpose2d: the output must not be empty, got size (-2, -2)",
            ),
        ],
    ),
    Row(
        F.conv_transpose1d, transposed, samples=transpositions_of_rows, tolerance=sums,
        covers=("convolution_input_gradient",),
    ),
    Row(
        F.conv_transpose3d, transposed, samples=transpositions_of_volumes, tolerance=sums,
        covers=("convolution_input_gradient",),
    ),
    Row(
        F.unfold, unfolded, samples=unfoldings, covers=("window_columns", "window_images"),
        errors=[((images, 5), ShapeError, "unfold: the window must fit in the padded image")],
    ),
    Row(
        F.fold, folded, samples=foldings, covers=("window_images", "window_columns"),
        tolerance=sums,
        errors=[
            (
                (np.zeros((1, 4, 5)), 3, 2),
                ShapeError,
                "fold: x must be (images, channels * 4, 4), got x (1, 4, 5)",
            )
        ],
    ),
    Row(
        pooling.max_pool2d, max_pool, samples=dilated_pools, dtypes=(*floats, "int64", "uint8"),
        covers=("max_pool", "max_pool_scatter", "max_pool_gather"),
        errors=pool_errors,
    ),
    Row(
        pooled_with_places, max_pool_with_places, samples=dilated_pools,
        covers=("max_pool_places",),
    ),
    Row(pooling.max_pool1d, max_pool, samples=pools_of_rows),
    Row(pooling.max_pool3d, max_pool, samples=pools_of_volumes),
    Row(
        pooling.avg_pool2d, avg_pool, samples=averages,
        covers=("avg_pool", "avg_pool_gradient"), errors=pool_errors,
    ),
    Row(pooling.avg_pool1d, avg_pool, samples=pools_of_rows),
    Row(pooling.avg_pool3d, avg_pool, samples=pools_of_volumes),
    *[
        Row(
            getattr(F, f"adaptive_{name}_pool{axes}d"), adaptive(reduce), covers=(),
            samples=adaptive_samples(axes), tolerance=sums,
            errors=[
                ((np.zeros((3,)), 1), ShapeError, "x must be (images, channels, "),
                ((np.zeros((1, 2) + (4,) * axes), 0), ArgumentError, "output_size must be an int"),
            ],
        )
        for name, reduce in (("avg", np.mean), ("max", np.max))
        for axes in (1, 2, 3)
    ],
]  # fmt: skip
