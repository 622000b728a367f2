"""Convolutions as products whose operands are found where they lie: the variants and launches.

``kernels/include/convolution.cuh`` has the operands. Where a group's channels are whole packs of
16 bytes, images are read with their channels last (copied so, if they lie otherwise); convolutions
of single places read packs of places; others read element by element.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from ..slots.windows import Lengths, Padding, out_lengths
from . import devices as cuda
from . import windows
from .activation_slots import SLOPE, type_of
from .kernels import TYPE_NAMES, ByValue, Kernels
from .layout import in_c_order, pack_size, type_defines

FORWARD, INPUT, WEIGHT = "convolution.cu", "convolution_input.cu", "convolution_weight.cu"
_TRANSPOSE = "channels_last.cu"
_SQUARE, _HEIGHT = 32, 8  # as there
_MOST_GRID = 65535  # of its second and third axis
_LEAST_CAPABILITY = {
    dtypes.float16: (7, 5), dtypes.bfloat16: (8, 0), dtypes.float32: (7, 5),
    dtypes.float64: (7, 5),
}  # fmt: skip
_AMPERE = (8, 0)
_ROOMY = ((8, 0), (8, 7), (9, 0), (10, 0), (10, 3), (11, 0))  # room for two blocks of 3 stages
_DEPTH_BYTES = 64  # of a step of a product
# So many blocks keep any GPU at work; so many steps are worth a block. They are the same on every
# GPU, and with them the order of sums.
_ENOUGH_BLOCKS, _LEAST_STEPS = 128, 8


class Geometry(NamedTuple):
    """The numbers of one convolution."""

    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    stride: Lengths
    padding: Padding
    dilation: Lengths
    groups: int

    @property
    def lengths(self) -> Lengths:
        """How many windows there are along each axis."""
        return _lengths(self)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the outputs."""
        return (self.x_shape[0], self.w_shape[0], *self.lengths)

    @property
    def channels(self) -> int:
        """Channels of a group."""
        return self.w_shape[1]

    @property
    def outputs(self) -> int:
        """Channels of the outputs of a group."""
        return self.w_shape[0] // self.groups

    @property
    def taps(self) -> int:
        """Places of a window."""
        return math.prod(self.w_shape[2:])

    @property
    def places(self) -> int:
        """Places of an image."""
        return math.prod(self.x_shape[2:])

    @property
    def windows(self) -> int:
        """Windows of an image."""
        return math.prod(self.lengths)

    @property
    def pointwise(self) -> bool:
        """Whether windows are the places themselves."""
        return self.taps == math.prod(self.stride) == 1 and not any(map(any, self.padding))

    @property
    def phases(self) -> int:
        """How many kinds of places there are, by the taps on them."""
        return math.prod(self.stride)


@functools.lru_cache(maxsize=1024)
def _lengths(geometry: Geometry) -> Lengths:
    x_shape, w_shape, stride, padding, dilation, _ = geometry
    return out_lengths(x_shape[2:], tuple(w_shape[2:]), stride, padding, dilation)


class Way(NamedTuple):
    """How elements are read: with the channels last, and how many at once."""

    last: bool
    group: int

    @property
    def defines(self) -> dict[str, int]:
        """The macros that say so."""
        return {"TFL_LAST": int(self.last), "TFL_GROUP": self.group}


@functools.lru_cache(maxsize=1024)
def accepts(geometry: Geometry, dtype: Any, capability: tuple[int, int]) -> bool:
    """Return whether the kernels take a convolution on a device."""
    g = geometry
    if dtype not in _LEAST_CAPABILITY or capability < _LEAST_CAPABILITY[dtype]:
        return False
    if len(g.x_shape) not in (3, 4, 5) or not math.prod(g.x_shape) * math.prod(g.w_shape):
        return False
    if not windows.usable(g.stride, g.padding) or min(g.lengths) < 1:
        return False
    kernel = tuple(g.w_shape[2:])
    farthest = windows.farthest(
        g.x_shape[2:], g.lengths, kernel, g.stride, g.padding, g.dilation
    )
    images, channels, outputs = g.x_shape[0], g.x_shape[1], g.w_shape[0]
    most = max(
        farthest, images * g.places, images * g.windows, channels * g.places, outputs * g.windows,
        g.channels * g.taps, g.outputs * g.taps,
    )  # fmt: skip
    return most < windows.NARROW and g.groups * g.phases <= _MOST_GRID


def way_of(geometry: Geometry, dtype: Any, last: bool, *channels: int) -> Way:
    """Return how arrays are read.

    Parameters
    ----------
    geometry, dtype
        The convolution.
    last
        Whether they lie with their channels last.
    channels
        Of a group, of each array.
    """
    pack = pack_size(dtype)
    packed = not any(n % pack for n in channels)
    if not (last and packed) and geometry.pointwise and geometry.places % pack == 0:
        return Way(False, pack)
    return Way(True, pack) if packed else Way(False, 1)


def tf32(dtype: Any, capability: tuple[int, int]) -> bool:
    """Return whether floats are rounded to tf32."""
    precise = cuda.get_float32_matmul_precision() == "highest"
    return dtype == dtypes.float32 and not precise and capability >= _AMPERE


class Tile(NamedTuple):
    """The tile of a block, and how it is multiplied."""

    rows: int
    columns: int
    dtype: Any
    tf32: bool
    stages: int

    @property
    def depth(self) -> int:
        """Elements of a step."""
        return _DEPTH_BYTES // int(self.dtype.itemsize)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 2 * self.columns if self.dtype in dtypes.half or self.tf32 else 256

    @property
    def defines(self) -> dict[str, Any]:
        """The macros of the kernels."""
        return {
            **type_defines(self.dtype), "TFL_TF32": int(self.tf32), "TFL_ROWS": self.rows,
            "TFL_COLUMNS": self.columns, "TFL_STAGES": self.stages,
        }  # fmt: skip

    def number(self, rows: int, columns: int) -> int:
        """Return how many tiles a matrix has."""
        return -(-rows // self.rows) * -(-columns // self.columns)

    def shared(self, a_along: bool, b_along: bool) -> int:
        """Return a block's bytes of shared memory; operands lie along the depth or across it."""
        size, found = int(self.dtype.itemsize), 0
        for along, extent in ((a_along, self.rows), (b_along, self.columns)):
            padding = 16 // size if along or size != 4 else 8
            found += (
                extent * (self.depth + padding) if along else self.depth * (extent + padding)
            )
        return self.stages * found * size


def tile_of(rows: int, columns: int, batch: int, dtype: Any, rounded: bool, stages: int,
            split: bool = False, other: bool = False) -> Tile:  # fmt: skip
    """Return the tile for so many products; where their depth is split it can be a large one.

    ``other``: the one that isn't taken untried.
    """
    small = Tile(64, 64, dtype, rounded, stages)
    if dtype == dtypes.float64 or columns <= 64:
        return small
    large = small._replace(rows=128 if rows > 64 else 64, columns=128)
    enough = split or large.number(rows, columns) * batch >= _ENOUGH_BLOCKS
    return large if enough != other else small


class Plan(NamedTuple):
    """How one product is launched."""

    file: str
    way: Way
    tile: Tile
    grid: tuple[int, int]
    variant: dict[str, Any]
    splits: int = 1  # of the depth, in so many steps each
    steps: int = 0


@functools.lru_cache(maxsize=1024)
def plan_of(file: str, geometry: Geometry, dtype: Any, last: bool, rounded: bool, stages: int,
            activation: str | None = None, other: bool = False) -> Plan:  # fmt: skip
    """Return how a convolution or one of its gradients is launched.

    Parameters
    ----------
    file
        Which of them.
    geometry, dtype
        The convolution.
    last
        Whether the arrays that are read lie with their channels last.
    rounded, stages
        Whether floats are rounded to tf32, and how many tiles of the operands a block holds.
    activation
        After a convolution.
    other
        As of `tile_of`.
    """
    g = geometry
    if file == WEIGHT:
        return _plan_of_weight(g, dtype, last, rounded, stages, other)
    if file == FORWARD:
        rows, columns, batch = g.outputs, g.x_shape[0] * g.windows, g.groups
        way = way_of(g, dtype, last, g.channels)
        more: dict[str, Any] = {"TFL_ACTIVATION": type_of(activation)}
    else:
        # The places of the largest phase; others have fewer.
        along = [-(-n // s) for n, s in zip(g.x_shape[2:], g.stride, strict=True)]
        rows, columns, batch = g.channels, g.x_shape[0] * math.prod(along), g.groups * g.phases
        way = way_of(g, dtype, last, g.outputs)
        pack = pack_size(dtype)
        more = {"TFL_WEIGHT_GROUP": 1 if g.outputs % pack else pack}
    tile = tile_of(rows, columns, batch, dtype, rounded, stages, other=other)
    variant = {**tile.defines, **way.defines, **more}
    return Plan(file, way, tile, (tile.number(rows, columns), batch), variant)


def _plan_of_weight(geometry: Geometry, dtype: Any, last: bool, rounded: bool, stages: int,
                    other: bool) -> Plan:  # fmt: skip
    g = geometry
    way = way_of(g, dtype, last, g.channels, g.outputs)
    columns = g.channels * g.taps
    tile = tile_of(g.outputs, columns, g.groups, dtype, rounded, stages, True, other)
    tiles = tile.number(g.outputs, columns)
    all_steps = -(-g.x_shape[0] * g.windows // tile.depth)
    wanted = min(2 * _ENOUGH_BLOCKS // (tiles * g.groups), all_steps // _LEAST_STEPS)
    steps = -(-all_steps // max(1, min(wanted, _MOST_GRID // g.groups)))
    splits = -(-all_steps // steps)
    variant = {**tile.defines, **way.defines}
    return Plan(WEIGHT, way, tile, (tiles, g.groups * splits), variant, splits, steps)


@functools.lru_cache(maxsize=1024)
def argument(geometry: Geometry, x_last: bool, y_last: bool, splits: int = 1, steps: int = 0
             ) -> ByValue:  # fmt: skip
    """Return ``Convolution`` of the kernels, of images and outputs with their channels last or not.

    ``splits`` and ``steps``: in how many parts the depth goes, and steps of each.
    """
    g = geometry
    missing = (1,) * (5 - len(g.x_shape))
    kernel, stride, padding, dilation = windows.over_three(
        tuple(g.w_shape[2:]), g.stride, g.padding, g.dilation
    )
    sizes, counts = missing + tuple(g.x_shape[2:]), missing + g.lengths
    along = zip(sizes, counts, kernel, stride, padding, dilation, strict=True)
    words = [word for one in along for word in windows.axis(*one)]
    for number in (g.channels, g.outputs, *counts, *kernel):
        words += windows.divisor(number)
    words += [g.x_shape[0], g.groups]
    for channels, places, last in (
        (g.x_shape[1], g.places, x_last), (g.w_shape[0], g.windows, y_last),
    ):  # fmt: skip
        words += [channels * places, *((1, channels) if last else (places, 1))]
    words += [splits, steps]
    return ByValue(numpy.array(words, numpy.int64).tobytes())


def behind(array: Any) -> Any:
    """Return a view of images with their channels last."""
    return array.transpose(0, *range(2, array.ndim), 1)


def lies_last(array: Any) -> bool:
    """Return whether images lie with their channels behind their axes."""
    return bool(not array.flags.c_contiguous and behind(array).flags.c_contiguous)


class Convolutions:
    """Launches the kernels.

    Parameters
    ----------
    xp
        The array library.
    kernels
        Compiles and launches.
    other
        Whether blocks take the tiles that aren't taken untried.
    """

    def __init__(self, xp: Any, kernels: Kernels, other: bool = False) -> None:
        self._xp, self._kernels, self._other = xp, kernels, other

    def plan(self, file: str, geometry: Geometry, activation: str | None, *images: Any) -> Plan:
        """Return how a convolution or a gradient is launched here, that reads these images."""
        capability = self._kernels.driver.capability()
        dtype = images[0].dtype
        last = all(map(lies_last, images))
        stages = 3 if capability in _ROOMY else 2
        rounded = tf32(dtype, capability)
        return plan_of(
            file, geometry, dtype, last, rounded, stages, activation, self._other
        )

    def accepts(self, file: str, geometry: Geometry, activation: str | None, *images: Any) -> bool:
        """Return whether a kernel does so here."""
        dtype, kernels = images[0].dtype, self._kernels
        if not accepts(geometry, dtype, kernels.driver.capability()):
            return False
        plan = self.plan(file, geometry, activation, *images)
        return (
            plan.grid[0] < 2**31
            and kernels.ready(file, **plan.variant)
            and (not plan.way.last or kernels.ready(_TRANSPOSE, TFL_TYPE=TYPE_NAMES[dtype]))
        )

    def _aligned(self, array: Any) -> Any:
        """Return an array that begins at a multiple of 16 bytes: itself, or a copy."""
        return array if self._kernels.driver.address(array) % 16 == 0 else array.copy()

    def _laid(self, array: Any, way: Way) -> Any:
        """Return images that lie as they are read; copied where they don't."""
        if not way.last:
            array = in_c_order(self._xp, array)
            return array if way.group == 1 else self._aligned(array)
        if behind(array).flags.c_contiguous:
            return self._aligned(behind(array))
        array = in_c_order(self._xp, array)
        images, channels = array.shape[:2]
        places = array.size // (images * channels)
        out = self._xp.empty((images, places, channels), array.dtype)
        grid = (-(-places // _SQUARE), -(-channels // _SQUARE), min(images, _MOST_GRID))
        variant = {"TFL_TYPE": TYPE_NAMES[array.dtype]}
        self._kernels.launch(_TRANSPOSE, "channels_last", variant, grid, (_SQUARE, _HEIGHT), array,
                             out, images, channels, places)  # fmt: skip
        return out

    def _grouped(self, geometry: Geometry, w: Any) -> Any:
        """Return weights as (groups, outputs, channels, taps)."""
        g = geometry
        w = in_c_order(self._xp, w)
        return w.reshape(g.groups, g.outputs, g.channels, g.taps)

    def forward(self, x: Any, w: Any, geometry: Geometry, bias: Any = None,
                activation: str | None = None, keep: bool = False) -> tuple[Any, Any]:  # fmt: skip
        """Return activation(convolution + bias), and what comes before the activation if kept."""
        xp, g = self._xp, geometry
        plan = self.plan(FORWARD, g, activation, x)
        weights = self._weights_in_rows(g, w)
        out = xp.empty(g.out_shape, x.dtype)
        saved = xp.empty(g.out_shape, x.dtype) if keep else None
        bias = None if bias is None else in_c_order(xp, bias)
        self._kernels.launch(
            FORWARD, "convolution_forward", plan.variant, plan.grid, plan.tile.threads,
            argument(g, plan.way.last, False), self._laid(x, plan.way), weights, bias, out,
            saved, weights.shape[1], SLOPE, shared=plan.tile.shared(True, plan.way.last),
        )  # fmt: skip
        return out, saved

    def _weights_in_rows(self, geometry: Geometry, w: Any) -> Any:
        """Return a row (taps, channels) for each output, with zeros up to a whole pack."""
        xp, g = self._xp, geometry
        depth, pack = g.channels * g.taps, pack_size(w.dtype)
        rows = in_c_order(xp, w).reshape(g.w_shape[0], depth)
        if g.taps > 1 and g.channels > 1:
            turned = rows.reshape(-1, g.channels, g.taps).swapaxes(1, 2)
            rows = xp.ascontiguousarray(turned).reshape(-1, depth)
        if depth % pack == 0:
            return self._aligned(rows)
        padded = xp.zeros((g.w_shape[0], -(-depth // pack) * pack), w.dtype)
        padded[:, :depth] = rows
        return padded

    def input_gradient(self, y: Any, w: Any, geometry: Geometry) -> Any:
        """Return the gradient by the images."""
        xp, g = self._xp, geometry
        plan = self.plan(INPUT, g, None, y)
        grouped = in_c_order(xp, w).reshape(g.groups, g.outputs, g.channels, g.taps)
        weights = self._aligned(xp.ascontiguousarray(grouped.transpose(0, 2, 3, 1)))
        out = xp.empty(g.x_shape, y.dtype)
        self._kernels.launch(
            INPUT, "convolution_input_gradient", plan.variant, plan.grid, plan.tile.threads,
            argument(g, False, plan.way.last), self._laid(y, plan.way), weights, out,
            shared=plan.tile.shared(True, plan.way.last),
        )  # fmt: skip
        return out

    def weight_gradient(self, y: Any, x: Any, geometry: Geometry) -> Any:
        """Return the gradient by the weights."""
        xp, g = self._xp, geometry
        plan = self.plan(WEIGHT, g, None, y, x)
        last, columns = plan.way.last, g.channels * g.taps
        shape = (g.groups, plan.splits, g.outputs, columns)
        products = xp.empty(shape, dtypes.accumulator(y.dtype))
        self._kernels.launch(
            WEIGHT, "convolution_weight_gradient", plan.variant, plan.grid, plan.tile.threads,
            argument(g, last, last, plan.splits, plan.steps), self._laid(y, plan.way),
            self._laid(x, plan.way), products, shared=plan.tile.shared(not last, not last),
        )  # fmt: skip
        out = xp.empty(g.w_shape, y.dtype)
        self._kernels.launch(
            WEIGHT, "convolution_weight_sum", plan.variant, -(-out.size // 256), 256, products, out,
            out.size, g.outputs, g.channels, g.taps, plan.splits,
        )  # fmt: skip
        return out
