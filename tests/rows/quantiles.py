"""Rows of medians and quantiles, and of the reductions that leave out NaN."""

from __future__ import annotations

import warnings

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tensorflowlite.ops.quantiles import METHODS
from tests.op_table import Constant, Row, Sample

exact = ("float64", "float32", "float16", "bfloat16", "int64")


def quiet(function):
    """NumPy's function without its warnings about slices of NaN."""

    def run(*args, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **options)

    return run


def kept(function):
    """NumPy's quantile in the dtype of the data, where it takes that of a list of parts."""

    def run(x, *args, **options):
        out = np.asarray(quiet(function)(x, *args, **options))
        return out.astype(x.dtype) if x.dtype.kind == "f" else out

    return run


def apart(draw, *shape):
    return draw.distinct(*shape)


def medians(draw):
    yield Sample(apart(draw, 3, 4))
    yield Sample(apart(draw, 3, 4), axis=0)
    yield Sample(apart(draw, 3, 4), -1, keepdims=True)
    yield Sample(apart(draw, 2, 3, 3), axis=(0, -1))
    yield Sample(draw())
    yield Sample(draw(0, 3), axis=1)
    yield Sample(apart(draw, 3, 5).T, 1)
    if gives_nan(draw):
        yield Sample(draw(0, 3))
        yield Sample(draw(0, 3), axis=0)
    if gives_nan(draw):
        yield Sample(Constant(np.array([[1, np.nan, 3], [4, 5, 6]], draw.dtype)), 1)


def quantiles(scale=1.0):
    def samples(draw):
        parts = np.array([[0.0, 0.3], [0.5, 1.0]]) * scale
        for method in METHODS:
            yield Sample(apart(draw, 3, 4), 0.35 * scale, method=method)
            yield Sample(apart(draw, 3, 4), parts.tolist(), 1, method=method)
        yield Sample(apart(draw, 2, 3, 3), 0.8 * scale, axis=(0, 2), keepdims=True)
        yield Sample(apart(draw, 3, 5).T, parts[0].tolist(), 0)
        yield Sample(draw(), 0.5 * scale)
        yield Sample(draw(3, 0), 0.5 * scale, axis=0)
        if gives_nan(draw):
            yield Sample(Constant(np.array([[1, np.nan, 3], [4, 5, 6]], draw.dtype)), 0.5, 1)

    return samples


def holds_nan(draw):
    """Whether NaN is drawn: not where NumPy's reference is given bfloat16, which it can't count."""
    return draw.dtype.kind == "f"


def gives_nan(draw):
    """Whether results may be NaN: not where differences of them are taken."""
    return draw.dtype.name in ("float32", "float16")


def with_holes(draw):
    """NaN here and there; nothing is differentiated by it."""
    x = apart(draw, 3, 4)
    if holds_nan(draw):
        x = x.copy()
        x[0, 1] = x[2, 0] = np.nan
        x = Constant(x)
    yield Sample(x)
    yield Sample(x, axis=0)
    yield Sample(x, -1, keepdims=True)


def nan_reductions(draw):
    yield from with_holes(draw)
    yield Sample(apart(draw, 3, 4))
    yield Sample(apart(draw, 2, 3, 2), axis=(0, -1))
    yield Sample(apart(draw, 3, 4).T, 1)
    yield Sample(draw())
    yield Sample(draw(3, 0), axis=0)


def nan_sums(draw):
    yield from nan_reductions(draw)
    yield Sample(draw(0, 3), 0)
    if holds_nan(draw):
        yield Sample(Constant(np.full((2, 2), np.nan, draw.dtype)), 1)


def nan_places(draw):
    yield from with_holes(draw)
    yield Sample(apart(draw, 3, 4).T, 1)
    yield Sample(draw(3, 0), axis=0)


def nan_quantiles(draw):
    holes = next(iter(with_holes(draw))).args[0]
    for method in METHODS:
        yield Sample(holes, [0.2, 0.5, 0.9], 1, method=method)
    yield Sample(apart(draw, 3, 4), 0.35, 0, keepdims=True)
    yield Sample(apart(draw, 3, 4).T, 0.35)
    yield Sample(draw(3, 0), 0.5, axis=0)
    if gives_nan(draw):
        yield Sample(Constant(np.full((2, 2), np.nan, draw.dtype)), 0.5, 1)


def nan_percentages(draw):
    yield Sample(next(iter(with_holes(draw))).args[0], [20, 50, 90], 1)
    yield Sample(apart(draw, 3, 4).T, 35)
    yield Sample(draw(3, 0), 50, axis=0)


def nan_spreads(draw):
    yield from nan_reductions(draw)
    for sample in with_holes(draw):
        yield Sample(*sample.args, ddof=1, **sample.kwargs)


def running(draw):
    yield from with_holes_only(draw)
    yield Sample(draw(3, 4).T, -1)
    yield Sample(draw(0, 3), 0)


def with_holes_only(draw):
    for sample in with_holes(draw):
        if not sample.kwargs.get("keepdims"):
            yield sample


def nan_row(name, samples=nan_reductions, dtypes=exact, **options):
    return Row(getattr(tfl, name), quiet(getattr(np, name)), samples=samples, dtypes=dtypes,
               covers=(), **options)  # fmt: skip


line = np.zeros(3)
rows = [
    Row(
        tfl.median, kept(np.median), samples=medians, dtypes=exact, covers=(),
        errors=[
            ((line, 1), ShapeError, "median: axis must lie in [-1, 1), got 1"),
            ((line.astype(complex),), DtypeError, "median: x must be real, got complex128"),
        ],
    ),
    Row(
        tfl.quantile, kept(np.quantile), samples=quantiles(), dtypes=exact, covers=(),
        errors=[
            ((line, 1.5), ArgumentError, "quantile: q must lie in [0, 1], got 1.5"),
            ((np.zeros(0), 0.5), ArgumentError,
             "quantile: at least one element is needed, got shape (0,)"),
        ],
    ),
    Row(tfl.percentile, kept(np.percentile), samples=quantiles(100.0), dtypes=("float64", "int64"),
        covers=(), errors=[((line, 101), ArgumentError, "percentile: q must lie in [0, 100]")]),
    Row(tfl.nanquantile, kept(np.nanquantile), samples=nan_quantiles,
        dtypes=("float64", "float32"), covers=()),
    Row(tfl.nanpercentile, kept(np.nanpercentile), samples=nan_percentages, dtypes=("float64",),
        covers=()),
    nan_row("nanmedian", dtypes=("float64", "float32", "int64")),
    nan_row("nansum", nan_sums),
    nan_row("nanprod", nan_sums, dtypes=("float64", "float32", "int64")),
    nan_row("nanmean"),
    nan_row("nanvar", nan_spreads),
    nan_row("nanstd", nan_spreads, dtypes=("float32", "float16", "int64")),
    nan_row("nanmax"),
    nan_row("nanmin"),
    nan_row("nanargmax", nan_places, orders=0, errors=[
        ((np.full(2, np.nan),), ArgumentError, "nanargmax: some element must not be NaN")]),
    nan_row("nanargmin", nan_places, orders=0),
    nan_row("nancumsum", running, dtypes=("float64", "float32", "int64")),
    nan_row("nancumprod", running, dtypes=("float64", "int64")),
]  # fmt: skip
