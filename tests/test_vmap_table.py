"""`vmap` of every operation of the op table against a loop over the samples."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import ops
from tensorflowlite.backend import dtypes
from tensorflowlite.errors import BatchingError

from .op_properties import mapped
from .op_table import Constant, Row, Sample, all_rows

for _module in pkgutil.iter_modules(ops.__path__):  # some are imported at first use only
    importlib.import_module(f"{ops.__name__}.{_module.name}")
BATCH = 3
ROWS = all_rows()
_BY_VALUE = (
    "nonzero argwhere flatnonzero compress extract bincount unique unique_all unique_counts "
    "unique_inverse unique_values union1d intersect1d setdiff1d setxor1d trim_zeros"
)
# What can't run on a batch, with the reason; each is shown to raise.
REFUSED = dict.fromkeys(_BY_VALUE.split(), "the shape of the result depends on values")
REFUSED["bincount with weights"] = REFUSED["bincount"]
REFUSED["unique slices"] = REFUSED["unique"]
REFUSED.update({
    row.name: "the arguments are changed in place"
    for row in ROWS
    if any(name.endswith("_step") or name == "unscale_gradients" for name in row.covers)
})  # fmt: skip
NOT_INTO = ("can't write a value for each sample", "a tensor from outside of vmap")
# What changes its argument: raises where the values of a batch go into a tensor that isn't one.
IN_PLACE = {
    "write_view", "setitem", "setitem by arrays", "setitem by masks", "scatter_", "scatter_add_",
    "index_add_", "fill_diagonal", "put_along_axis", "update_scale",
}  # fmt: skip


def drawn(row: Row) -> list[Sample]:
    """Return a row's samples of the dtype that differentiates, or of the first."""
    wanted = [d for d in ("float64", "complex128") if d in row.dtypes] or row.dtypes[:1]
    return row.drawn(wanted[0])


def arrays_in(sample: Sample) -> list[Any]:
    found: list[Any] = []
    mapped((sample.args, sample.kwargs), lambda a: found.append(a))
    return [a.array if isinstance(a, Constant) else a for a in found]


def spread(rng: Any, array: Any, count: int) -> Any:
    """Return a batch of variations of an array, all in its domain: its elements shuffled.

    One that is in order stays so: it may be bounds.
    """
    flat = array.reshape(-1)
    if array.ndim == 1 and array.dtype.kind in "iuf":
        steps = np.diff(array)
        if (steps >= 0).all() or (steps <= 0).all():
            return np.stack([array] * count)
    others = [rng.permutation(flat).reshape(array.shape) for _ in range(count - 1)]
    return np.stack([array, *others])


def function_of(row: Row, sample: Sample) -> Any:
    """Return the row's function of a sample's arrays alone, with its outputs as a list."""

    def run(*arrays: Any) -> Any:
        rest = iter(arrays)
        args, kwargs = mapped((sample.args, sample.kwargs), lambda a: next(rest))
        found = row.function(*args, **kwargs)
        return list(found) if isinstance(found, tuple | list) else [found]

    return run


def mappings(count: int) -> list[tuple[int | None, ...]]:
    """Return which arrays are mapped: all, each alone, and all along the last axis."""
    found: list[tuple[int | None, ...]] = [(0,) * count, (-1,) * count]
    if 1 < count <= 4:
        found += [tuple([0 if i == one else None for i in range(count)]) for one in range(count)]
    return found


def axes_for(arrays: list[Any], axes: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the axes with None for the state of a generator, which has no samples."""
    pairs = zip(arrays, axes, strict=True)
    return tuple([None if array.dtype == np.uint64 else axis for array, axis in pairs])


def batch_of(rng: Any, array: Any, axis: int | None) -> Any:
    """Return a batch along an axis; the state of a generator is none."""
    if axis is None:
        return tfl.Tensor(array)
    return tfl.Tensor(np.moveaxis(spread(rng, array, BATCH), 0, axis))


def sample_of(x: Any, axis: int | None, index: int) -> Any:
    return x if axis is None else tfl.Tensor(np.asarray(np.take(x.numpy(), index, axis)))


def close(given: Any, expected: Any, where: str) -> None:
    # A batch is summed in another order than a sample, in float64.
    given, expected = np.asarray(given), np.asarray(expected)
    assert given.dtype == expected.dtype and given.shape == expected.shape, where
    if given.dtype == dtypes.bfloat16:
        given, expected = given.astype("f4"), expected.astype("f4")
    np.testing.assert_allclose(given, expected, rtol=1e-10, atol=1e-10, err_msg=where)


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in REFUSED], ids=repr)
def test_a_batch_equals_a_loop(row: Row) -> None:
    rng = np.random.default_rng(5)
    for sample in drawn(row):
        arrays = arrays_in(sample)
        run = function_of(row, sample)
        for axes in mappings(len(arrays)) if arrays else ():
            axes = axes_for(arrays, axes)
            if set(axes) == {None}:
                continue
            where = f"{row.name} {sample} in_axes={axes}"
            given = [batch_of(rng, a, axis) for a, axis in zip(arrays, axes, strict=True)]
            samples = [
                [sample_of(x, axis, i) for x, axis in zip(given, axes, strict=True)]
                for i in range(BATCH)
            ]
            with np.errstate(all="ignore"):
                expected = [run(*one) for one in samples]
                try:
                    outputs = tfl.vmap(run, in_axes=axes, randomness="same")(*given)
                except BatchingError as error:  # a row that is refused on purpose: see REFUSED
                    assert row.name in IN_PLACE and None in axes, where
                    assert any(text in str(error) for text in NOT_INTO), where
                    continue
            for i, out in enumerate(outputs):
                close(out.numpy(), np.stack([one[i].numpy() for one in expected]), where)


DIFFERENTIABLE = [row for row in ROWS if row.orders and row.name not in REFUSED]


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=repr)
def test_gradients_of_each_sample_equal_a_loop(row: Row) -> None:
    rng = np.random.default_rng(6)
    sample = drawn(row)[0]
    arrays = arrays_in(sample)
    run = function_of(row, sample)
    moves = [i for i, a in enumerate(arrays) if a.dtype in dtypes.inexact]
    if not moves:
        return

    def loss(*xs: Any) -> Any:
        total = 0.0
        for out in run(*xs):
            if out.dtype in dtypes.inexact:
                total = total + (tfl.abs(out) ** 2 + tfl.real(out)).sum()
        return total

    axes = axes_for(arrays, (0,) * len(arrays))
    given = [batch_of(rng, a, axis) for a, axis in zip(arrays, axes, strict=True)]
    with np.errstate(all="ignore"):
        of_each = tfl.grad(loss, argnums=tuple(moves))
        found = tfl.vmap(of_each, in_axes=axes, randomness="same")(*given)
        expected = [
            of_each(*[sample_of(x, axis, i) for x, axis in zip(given, axes, strict=True)])
            for i in range(BATCH)
        ]
    for i, one in enumerate(found):
        close(one.numpy(), np.stack([e[i].numpy() for e in expected]), f"{row.name} {sample} {i}")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_depends_on_values_is_refused(name: str) -> None:
    (row,) = [row for row in ROWS if row.name == name]
    sample = drawn(row)[0]
    arrays = arrays_in(sample)
    rng = np.random.default_rng(7)
    given = [batch_of(rng, a, 0) for a in arrays]
    axes = axes_for(arrays, (0,) * len(arrays))
    with pytest.raises(BatchingError, match=r"vmap"):
        tfl.vmap(function_of(row, sample), in_axes=axes)(*given)
