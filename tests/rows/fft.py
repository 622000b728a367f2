"""Rows of Fourier transforms."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Row, Sample, complexes

reals = ("float64", "float32", "int64")
every = (*complexes, *reals)
tolerance = {"float32": 1e-5, "complex64": 1e-5}  # sums of a dozen elements


def along_one(draw):
    for norm in ("backward", "ortho", "forward"):
        yield Sample(draw(5), norm=norm)
        yield Sample(draw(2, 4), n=6, norm=norm)
    yield Sample(draw(4, 3), axis=0)
    yield Sample(draw(2, 5, 2), n=3, axis=-2)
    yield Sample(draw.strided(2, 4))
    yield Sample(draw(3, 4).T, n=1)
    yield Sample(draw(0, 3))


def over_several(draw):
    for norm in ("backward", "ortho", "forward"):
        yield Sample(draw(3, 4), norm=norm)
        yield Sample(draw(2, 3, 4), s=(4, 3), axes=(0, 2), norm=norm)
    yield Sample(draw(2, 4, 3), axes=(2, 0))
    yield Sample(draw(2, 3, 5), s=(2, 6), axes=(-2, -1))
    yield Sample(draw.strided(2, 4))
    yield Sample(draw(5))
    yield Sample(draw(0, 3, 2), axes=(1, 2))


def over_two(draw):
    yield Sample(draw(2, 3, 4))
    yield Sample(draw(4, 3, 2), s=(3, 5), axes=(1, 0), norm="ortho")
    yield Sample(draw.strided(3, 4))
    yield Sample(draw(0, 3, 2))


def spectra(draw):
    for n in (None, 1, 2, 5, 6, 9):
        yield Sample(draw(2, 4), n=n)
    for norm in ("ortho", "forward"):
        yield Sample(draw(4, 2), n=7, axis=0, norm=norm)
    yield Sample(draw.strided(2, 3))
    yield Sample(draw(0, 3))


def grids(draw):
    yield Sample(draw(5))
    yield Sample(draw(4, 3))
    yield Sample(draw(4, 3), axes=-1)
    yield Sample(draw.strided(2, 4), axes=(0, 1))
    yield Sample(draw(0, 3))


def row(name, samples, dtypes, covers, errors=()):
    return Row(
        getattr(tfl.fft, name),
        getattr(np.fft, name),
        samples=samples,
        dtypes=dtypes,
        tolerance=tolerance,
        covers=covers,
        errors=errors,
    )


c2c, r2c, c2r = ("fourier",), ("fourier_of_real",), ("fourier_to_real",)
rows = [
    row(
        "fft",
        along_one,
        every,
        c2c,
        [
            ((np.zeros((2, 3)), 0), ArgumentError, "fft: a length must be positive, got 0"),
            ((np.zeros((2, 3)), None, 2), ShapeError, "fft: axis must lie in [-2, 2), got 2"),
            ((np.zeros((2, 0)),), ShapeError, "fft: axis 1 must not be empty, got shape (2, 0)"),
            (
                (np.zeros(3), None, -1, "both"),
                ArgumentError,
                "fft: norm must be 'backward', 'ortho' or 'forward', got 'both'",
            ),
            (
                (np.zeros(3, np.float16),),
                DtypeError,
                "fft: the dtype must be float32, float64, complex64 or complex128, got float16; "
                "use x.astype(float32)",
            ),
        ],
    ),
    row("ifft", along_one, every, c2c),
    row(
        "rfft",
        along_one,
        reals,
        r2c,
        [
            (
                (np.zeros(3, np.complex128),),
                DtypeError,
                "rfft: the input must be real, got complex128; use fft",
            )
        ],
    ),
    row(
        "irfft",
        spectra,
        every,
        c2r,
        [
            (
                (np.zeros((2, 1)),),
                ShapeError,
                "irfft: axis 1 must have length 2 or more where no length is given, got shape "
                "(2, 1)",
            )
        ],
    ),
    row("hfft", spectra, every, c2r),
    row("ihfft", along_one, reals, r2c),
    row(
        "fftn",
        over_several,
        every,
        c2c,
        [
            (
                (np.zeros((2, 3)), (2, 2), (0,)),
                ShapeError,
                "fftn: as many lengths as axes are needed, got s=(2, 2) and axes=(0,)",
            ),
            (
                (np.zeros((2, 3)), None, (0, 0)),
                ShapeError,
                "fftn: axis must not repeat, got (0, 0)",
            ),
        ],
    ),
    row("ifftn", over_several, every, c2c),
    row("rfftn", over_several, reals, r2c + c2c),
    row("irfftn", over_several, every, c2r + c2c),
    row("fft2", over_two, every, c2c),
    row("ifft2", over_two, every, c2c),
    row("rfft2", over_two, reals, r2c + c2c),
    row("irfft2", over_two, every, c2r + c2c),
    row("fftshift", grids, every, ()),
    row("ifftshift", grids, every, ()),
]
