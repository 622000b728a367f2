"""Reading and assigning by keys, beyond the op table: any key, views of views, in-place changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorflowlite as tfl
from tensorflowlite.backend import INDEX, dtypes
from tensorflowlite.errors import (
    DeviceError,
    DtypeError,
    GradientError,
    OutOfRangeError,
    ShapeError,
)
from tests.backends import backend as backend


def numbered(shape, dtype=np.float64):
    return (np.arange(np.prod(shape, dtype=int)) + 1).reshape(shape).astype(dtype)


@st.composite
def shape_and_key(draw):
    """A shape, and a key of slices, integers, None, ..., index arrays and masks that fits it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    key, axis, dots = [], 0, False
    while axis < len(shape) and draw(st.integers(0, 5)):
        n = shape[axis]
        kind = draw(st.sampled_from(["slice", "integer", "array", "mask", "none", "dots"]))
        if kind == "slice":
            key.append(draw(st.slices(n)))
        elif kind == "integer":
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "array":
            key.append(draw(hnp.arrays(np.int64, common, elements=st.integers(-n, n - 1))))
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[: draw(st.integers(0, n))] = True
            key.append(mask)
        elif kind == "none":
            key.append(None)
            continue
        elif not dots:
            key.append(...)
            dots = True
            axis += draw(st.integers(0, len(shape) - axis - 1)) if axis < len(shape) else 0
            continue
        else:
            continue
        axis += 1
    return shape, tuple(key)


def fits(shape, key):
    """Return what NumPy reads by a key; None where it refuses."""
    try:
        return np.asarray(numbered(shape)[key])
    except IndexError:
        return None


def tensors(key):
    return tuple([tfl.tensor(part) if isinstance(part, np.ndarray) else part for part in key])


@given(shape_and_key())
def test_any_key_reads_what_numpy_reads(case) -> None:
    shape, key = case
    expected = fits(shape, key)
    x = tfl.tensor(numbered(shape), requires_grad=True)
    if expected is None:
        with pytest.raises(OutOfRangeError, match="getitem: "):
            x[tensors(key)]
        return
    found = x[tensors(key)]
    np.testing.assert_array_equal(found.detach().numpy(), expected)
    weights = numbered(expected.shape)
    (found * tfl.tensor(weights)).sum().backward()
    gradient = np.zeros(shape)
    np.add.at(gradient, key, weights)
    np.testing.assert_allclose(x.grad.numpy(), gradient)


@given(shape_and_key(), st.integers(0, 2))
def test_any_key_assigns_what_numpy_assigns(case, dropped) -> None:
    shape, key = case
    region = fits(shape, key)
    if region is None:
        return
    values = 100 + numbered(region.shape[dropped:])
    expected = numbered(shape)
    expected[key] = values
    leaf = tfl.tensor(numbered(shape), requires_grad=True)
    given_values = tfl.tensor(values, requires_grad=True)
    x = leaf * 1.0
    x[tensors(key)] = given_values
    np.testing.assert_array_equal(x.detach().numpy(), expected)
    weights = numbered(shape)
    (x * tfl.tensor(weights)).sum().backward()
    # What each place holds in the end says where its gradient goes.
    marks = np.full(shape, -1)
    marks[key] = np.broadcast_to(np.arange(values.size).reshape(values.shape), region.shape)
    np.testing.assert_allclose(leaf.grad.numpy(), np.where(marks < 0, weights, 0))
    by_value = np.zeros(values.size)
    np.add.at(by_value, marks[marks >= 0], weights[marks >= 0])
    np.testing.assert_allclose(given_values.grad.numpy(), by_value.reshape(values.shape))


@given(st.data())
@settings(max_examples=40)
def test_take_along_axis_matches_numpy(data) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    wanted = list(shape)
    wanted[axis] = data.draw(st.integers(0, 5))
    indices = data.draw(hnp.arrays(np.int64, tuple(wanted), elements=st.integers(-n, n - 1)))
    x = tfl.tensor(numbered(shape), requires_grad=True)
    found = tfl.take_along_axis(x, tfl.tensor(indices), axis)
    np.testing.assert_array_equal(
        found.detach().numpy(), np.take_along_axis(numbered(shape), indices, axis)
    )
    found.sum().backward()
    counts = np.zeros(shape)
    for place in np.ndindex(*wanted):
        target = list(place)
        target[axis] = indices[place] % n
        counts[tuple(target)] += 1
    np.testing.assert_array_equal(x.grad.numpy(), counts)


def test_python_lists_bools_and_tensors_are_keys() -> None:
    a = numbered((3, 4))
    x = tfl.tensor(a)
    for key, same in [
        ([0, 2], [0, 2]),
        ([True, False, True], [True, False, True]),
        ((slice(None), [1, 1]), (slice(None), [1, 1])),
        (tfl.tensor(1), 1),
        ((tfl.tensor(1), tfl.tensor(2)), (1, 2)),
        (np.int64(2), 2),
        (slice(tfl.tensor(1), None), slice(1, None)),
        (x > 6, a > 6),
        (tfl.tensor([], dtype=tfl.int64), []),
        (True, True),
        (np.True_, True),
        ((), ()),
    ]:
        np.testing.assert_array_equal(x[key].numpy(), a[same], err_msg=str(key))


def test_an_element_is_a_view() -> None:
    x = tfl.zeros((2, 3))
    one = x[1, 2]
    assert one.shape == ()
    one += 5
    assert x[1, 2].item() == 5
    row = tfl.zeros(3)
    element = row[0]
    element += 2
    assert row.tolist() == [2, 0, 0]


def test_assignment_through_views_of_views_is_recorded(backend) -> None:
    w = backend.leaf([2.0, 3.0])
    x = backend.tensor(np.ones((3, 4))) * 1.0
    inner = tfl.swapaxes(x[1:][:, ::-1], 0, 1)[1:3]
    inner[0] = w * w
    (x * backend.tensor(numbered((3, 4)))).sum().backward()
    # inner[0] is x[1:, 2]: numbered 7 and 11.
    np.testing.assert_allclose(backend.host(w.grad), [2 * 2 * 7, 2 * 3 * 11])


def test_overlapping_assignments_keep_the_last(backend) -> None:
    first, second = backend.leaf([1.0, 2.0, 3.0]), backend.leaf(5.0)
    x = backend.tensor(np.zeros(4)) * 1.0
    x[0:3] = first
    x[1:] = second
    x[2] = x[0] * 10
    (x * backend.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    np.testing.assert_allclose(backend.host(first.grad), [1001, 0, 0])
    np.testing.assert_allclose(backend.host(second.grad), 1010)


def test_a_shifted_copy_onto_itself() -> None:
    leaf = tfl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = leaf * 1.0
    x[1:] = x[:-1]
    assert x.tolist() == [1, 1, 2]
    (x * tfl.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert leaf.grad.tolist() == [11, 100, 0]


def test_duplicate_places_keep_the_last_value_and_its_gradient() -> None:
    values = tfl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tfl.zeros(3)
    x[tfl.tensor([0, 1, 0])] = values
    assert x.tolist() == [3, 2, 0]
    (x * tfl.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert values.grad.tolist() == [0, 10, 1]


def test_assignment_in_half_precision_keeps_the_dtype() -> None:
    for dtype in (tfl.bfloat16, tfl.float16):
        x = tfl.zeros((3, 2), dtype=dtype)
        value = tfl.tensor([1.5, 2.5], dtype=tfl.float32, requires_grad=True)
        x[1] = value
        assert x.dtype == dtype and x[1].tolist() == [1.5, 2.5]
        x.sum().backward()
        assert value.grad.dtype == tfl.float32 and value.grad.tolist() == [1, 1]


def test_assignment_takes_lower_kinds_only() -> None:
    x = tfl.zeros(3)
    x[0] = tfl.tensor(1.5, dtype=tfl.float64)
    x[1] = 2
    x[2] = True
    assert x.tolist() == [1.5, 2, 1]
    x[:] = np.float64(0.25)
    assert x.tolist() == [0.25] * 3
    with pytest.raises(
        DtypeError, match="setitem: values must be of the tensor's kind or a lower one, got complex"
    ):
        x[0] = 1j
    with pytest.raises(DtypeError, match="got float64 into int64"):
        tfl.zeros(2, dtype=tfl.int64)[0] = 1.5
    with pytest.raises(
        DtypeError, match="an operand must be a Tensor, an array or a number, got str"
    ):
        x[0] = "1"


def test_assignment_to_leaves_raises_and_changes_nothing() -> None:
    x = tfl.zeros(3, requires_grad=True)
    with pytest.raises(
        GradientError, match=r"setitem: the tensor must not be a leaf that requires grad"
    ):
        x[0] = 1
    view = x[1:]
    with pytest.raises(GradientError, match=r"a view of a leaf that requires grad"):
        view[0] = 1
    assert x.tolist() == [0, 0, 0]
    with tfl.no_grad():
        x[0] = 1
    assert x.tolist() == [1, 0, 0]


def test_a_mask_assigns_only_where_it_is_true() -> None:
    leaf = tfl.tensor(numbered((2, 3)), requires_grad=True)
    x = leaf * 1.0
    x[x > 3] = 0.0
    assert x.tolist() == [[1, 2, 3], [0, 0, 0]]
    x.sum().backward()
    assert leaf.grad.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_errors_name_the_key(backend) -> None:
    x = backend.tensor(numbered((2, 3)))
    with pytest.raises(
        OutOfRangeError, match="getitem: index 2 is out of bounds for axis 0 with size 2"
    ):
        x[2]
    with pytest.raises(OutOfRangeError, match="getitem: too many indices"):
        x[0, 0, 0]
    with pytest.raises(OutOfRangeError, match="getitem: boolean index did not match"):
        x[backend.tensor([True])]
    with pytest.raises(
        ShapeError,
        match=r"setitem: values must broadcast to the shape of x\[key\], got \(2,\) -> \(3,\)",
    ):
        x[0] = backend.tensor([1.0, 2.0])
    if not backend.on_host:
        with pytest.raises(DeviceError, match="must be on one device"):
            x[0] = tfl.tensor([1.0, 2.0, 3.0])
        with pytest.raises(DeviceError, match="must be on one device"):
            x[tfl.tensor([0])]


def test_indices_out_of_range_count_round_on_a_device(backend) -> None:
    """On the CPU they raise; a device would have to be waited for."""
    x, index = backend.tensor(numbered((3,))), backend.tensor(np.array([0, 4, -5]))
    for read in (
        lambda: x[index], lambda: tfl.take(x, index), lambda: tfl.take_along_axis(x, index),
        lambda: tfl.gather(x, 0, index),
    ):  # fmt: skip
        if backend.on_host:
            with pytest.raises(OutOfRangeError):
                read()
        else:
            np.testing.assert_array_equal(backend.host(read()), numbered((3,))[[0, 1, 1]])


def test_the_last_of_several_values_for_a_place_stays(backend) -> None:
    """Also where the device would keep any of them; and the gradient goes to that one."""
    rng = np.random.default_rng(0)
    for keys in (
        lambda i, j, mask: (i,), lambda i, j, mask: (i, j), lambda i, j, mask: (slice(None), j),
        lambda i, j, mask: (i, slice(1, 3), j), lambda i, j, mask: (i[:, None], j),
        lambda i, j, mask: (slice(None), i[:2], j[:2]), lambda i, j, mask: (mask, j[:1], 0),
    ):  # fmt: skip
        given = keys(rng.integers(-4, 4, 9), rng.integers(-4, 4, 9), np.arange(4) > 1)
        expected = numbered((4, 4, 4))
        values = rng.normal(size=expected[given].shape)
        expected[given] = values
        x, value = backend.tensor(numbered((4, 4, 4))), backend.leaf(values)
        x[tuple(backend.tensor(p) if isinstance(p, np.ndarray) else p for p in given)] = value
        np.testing.assert_array_equal(backend.host(x), expected)
        x.sum().backward()
        stays = backend.host(value.grad) == 1
        np.testing.assert_array_equal(np.sort(values[stays]), np.sort(np.setdiff1d(
            expected, numbered((4, 4, 4)))))  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "uint16", "bool", "complex64",
                                   "bfloat16", "float16", "uint64"])  # fmt: skip
def test_sums_at_places_in_dtypes_that_devices_lack(backend, dtype) -> None:
    """Small integers wrap, halves are rounded once."""
    kind = dtypes.as_dtype(dtype)
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2 if dtype == "bool" else 120, 50).astype(kind)
    index = rng.integers(0, 3, 50)
    wide = np.complex128 if kind.kind == "c" else np.float64 if kind.kind in "fV" else np.int64
    expected = np.zeros(3, wide)
    np.add.at(expected, index, values.astype(wide))
    found = backend.backend.scatter_along_axis(
        backend.array(values), backend.array(index), 0, (3,)
    )
    assert found.dtype == kind
    np.testing.assert_array_equal(backend.host(found), expected.astype(kind))
    rows = backend.backend.scatter_add(
        backend.array(values.reshape(25, 2)), backend.array(index[:25]), (INDEX,), (3, 2)
    )
    expected = np.zeros((3, 2), wide)
    np.add.at(expected, index[:25], values.reshape(25, 2).astype(wide))
    np.testing.assert_array_equal(backend.host(rows), expected.astype(kind))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "int64", "uint8", "uint64"])
def test_extremes_at_places(backend, dtype) -> None:
    """Of float64 in all its digits; of numbers beside NaN it is NaN, whatever its sign."""
    kind = dtypes.as_dtype(dtype)
    rng = np.random.default_rng(2)
    x, source, index = rng.normal(size=4), rng.normal(size=40), rng.integers(0, 4, 40)
    if kind.kind in "iu":
        x, source = (np.abs(a * 50) for a in (x, source))
    else:
        source[:6] = [np.inf, -np.inf, 0.0, -0.0, np.nan, -np.nan]
        index[:6] = [0, 1, 2, 2, 3, 3]
    x, source = x.astype(kind), source.astype(kind)
    for largest in (True, False):
        expected = x.astype(np.float64 if kind.kind in "fV" else kind)
        combine = np.fmax if largest else np.fmin  # without a warning of NaN
        combine.at(expected, index, source.astype(expected.dtype))
        if kind.kind not in "iu":
            expected[3] = np.nan
        found = backend.backend.scatter_extreme(
            backend.array(x), backend.array(source), backend.array(index), 0, largest
        )
        assert found.dtype == kind
        np.testing.assert_array_equal(backend.host(found).astype(expected.dtype), expected)


def test_sums_of_many_rows_in_bfloat16_are_accumulated_in_float32() -> None:
    x = tfl.zeros((2, 3), dtype=tfl.bfloat16, requires_grad=True)
    x[tfl.zeros(1000, dtype=tfl.int64)].sum().backward()
    assert x.grad.tolist() == [[1000.0] * 3, [0.0] * 3]


def test_second_derivatives_of_indexing() -> None:
    x = tfl.tensor(numbered((3, 4)), requires_grad=True)
    index = tfl.tensor([0, 2, 0])

    def run(x):
        y = x * x
        y[1] = y[index][:, 1].sum() * x[2]
        return (y[index] * y[1] * x[1:2]).sum()

    assert tfl.autograd.gradcheck(run, x)
    assert tfl.autograd.gradgradcheck(run, x)


# -- small integers as indices ---------------------------------------------------------------------
def test_gradients_through_indices_of_small_dtypes(backend):
    """The axes are longer than uint8 and int8 can count."""
    i = backend.tensor(np.array([250, 199, 3], np.uint8))
    j = backend.tensor(np.array([7, -8, 100], np.int8))
    x = backend.leaf(np.zeros((300, 300)))
    for read, places in (
        (lambda: x[i], [250, 199, 3]),
        (lambda: x[i, j], ([250, 199, 3], [7, 292, 100])),
        (lambda: tfl.take(x, i, axis=1), (slice(None), [250, 199, 3])),
        (lambda: tfl.take_along_axis(x[:3], i.reshape(3, 1), axis=1), ([0, 1, 2], [250, 199, 3])),
        (lambda: tfl.nn.functional.embedding(i, x), [250, 199, 3]),
    ):
        x.grad = None
        read().sum().backward()
        expected = np.zeros((300, 300))
        expected[places] = 1
        np.testing.assert_array_equal(backend.host(x.grad), expected)
