"""Batched transforms and the draws of single samples."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tensorflowlite.backend import philox
from tensorflowlite.data import SampleRandom, transforms
from tensorflowlite.errors import ArgumentError, ShapeError


def images(samples=6, channels=2, height=5, width=7):
    count = samples * channels * height * width
    return (np.arange(count, dtype=np.float32) + 1).reshape(samples, channels, height, width)


def draws(samples=6, epoch=0, seed=0):
    return SampleRandom(seed, epoch, np.arange(samples))


# -- draws -----------------------------------------------------------------------------------------
def test_draws_are_elements_of_the_philox_streams():
    indices = [3, 2**33 + 1, 3]
    random = SampleRandom(7, 5, indices)
    for draw in range(2):
        stream = (3 << 56) | (5 << 16) | draw
        values = random.uniform((3,))
        for row, index in zip(values, indices, strict=True):
            np.testing.assert_array_equal(row, philox.uniform(7, stream, 3, offset=4 * index))


def test_draws_depend_on_the_sample_alone():
    whole = SampleRandom(1, 2, np.arange(100))
    part = SampleRandom(1, 2, np.array([70, 4]))
    for _ in range(3):
        np.testing.assert_array_equal(whole.uniform((6,))[[70, 4]], part.uniform((6,)))
    np.testing.assert_array_equal(whole.integers(0, 9)[[70, 4]], part.integers(0, 9))


def test_draws_differ_between_samples_draws_epochs_and_seeds():
    random = draws(1000)
    rows = [random.uniform(), random.uniform(), draws(1000, epoch=1).uniform()]
    rows.append(draws(1000, seed=1).uniform())
    assert len(np.unique(np.concatenate(rows))) > 3990
    assert abs(np.corrcoef(rows) - np.eye(4)).max() < 0.15


def test_integers_cover_their_range_evenly():
    values = draws(20_000).integers(-2, 3)
    assert values.dtype == np.int64
    found, counts = np.unique(values, return_counts=True)
    assert found.tolist() == [-2, -1, 0, 1, 2]
    assert abs(counts - 4000).max() < 250
    assert draws(3).integers(5, 6, (2, 4)).shape == (3, 2, 4)
    with pytest.raises(ArgumentError, match=r"high - low must be from 1 to 2\*\*24, got 3 and 3"):
        draws().integers(3, 3)


def test_a_draw_of_nothing_has_its_shape():
    assert draws(4).uniform((0,)).shape == (4, 0)
    assert SampleRandom(0, 0, []).uniform((3,)).shape == (0, 3)


# -- transforms ------------------------------------------------------------------------------------
def test_normalize_fit_makes_mean_zero_and_variance_one():
    rng = np.random.default_rng(0)
    for shape, axes in (((50, 3, 4, 5), (0, 2, 3)), ((200, 3), (0,))):
        offset = np.array([1.0, -20.0, 300.0]).reshape(3, *(1,) * (len(shape) - 2))
        batch = (rng.normal(size=shape) * 7 + offset).astype(np.float32)
        out = transforms.Normalize.fit(batch)(batch)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out.mean(axis=axes), 0, atol=1e-4)
        np.testing.assert_allclose(out.std(axis=axes), 1, atol=1e-4)


def test_normalize_leaves_a_constant_feature_at_zero_and_takes_bytes():
    batch = np.array([[3, 10], [3, 20]], np.uint8)
    transform = transforms.Normalize.fit(batch)
    assert transform(batch).tolist() == [[0, -1], [0, 1]]
    constant = np.full((1000, 1), 0.1, np.float32)
    assert transforms.Normalize.fit(constant).std.tolist() == [1.0]


def test_normalize_checks_its_numbers_and_shapes():
    with pytest.raises(ArgumentError, match=r"Normalize: std must be positive, got 0; use 1"):
        transforms.Normalize(0.0, [1.0, 0.0])
    with pytest.raises(ShapeError, match=r"got shape \(6, 2, 5, 7\) and mean \(3,\)"):
        transforms.Normalize([0.0, 1.0, 2.0], 1.0)(images())
    with pytest.raises(
        ShapeError, match=r"Normalize: the batch must be images .* got shape \(7,\)"
    ):
        transforms.Normalize(0.0, 1.0)(np.ones(7))
    with pytest.raises(ShapeError, match=r"Normalize.fit: .* got shape \(0, 3\)"):
        transforms.Normalize.fit(np.ones((0, 3)))
    with pytest.raises(ShapeError, match="must be numbers or have one axis"):
        transforms.Normalize(np.ones((2, 2)), 1.0)


def test_shift_moves_whole_images_and_fills_with_zeros():
    batch, out = images(200), transforms.RandomShift(2)(images(200), draws(200))
    moves = set()
    for before, after in zip(batch, out, strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2)))
        found = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if np.array_equal(after, padded[:, row : row + 5, column : column + 7])
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) == 25
    assert out.dtype == batch.dtype and out.flags.c_contiguous


def test_shift_by_nothing_is_the_identity():
    np.testing.assert_array_equal(transforms.RandomShift(0)(images(), draws()), images())


def test_crop_cuts_windows_of_the_padded_image():
    batch = images(40)
    out = transforms.RandomCrop((4, 6), padding=1)(batch, draws(40))
    assert out.shape == (40, 2, 4, 6)
    padded = np.pad(batch, ((0, 0), (0, 0), (1, 1), (1, 1)))
    corners = set()
    for before, after in zip(padded, out, strict=True):
        found = [
            (row, column)
            for row in range(4)
            for column in range(4)
            if np.array_equal(after, before[:, row : row + 4, column : column + 6])
        ]
        assert len(found) == 1
        corners.update(found)
    assert len(corners) > 10
    with pytest.raises(ShapeError, match="must be at least 9 x 9, got 7 x 9; raise padding"):
        transforms.RandomCrop(9, padding=1)(batch, draws(40))


def test_flip_turns_some_images_over_and_leaves_the_input():
    batch = images(300)
    out = transforms.RandomHorizontalFlip(0.25)(batch, draws(300))
    turned = (out == batch[..., ::-1]).all(axis=(1, 2, 3))
    kept = (out == batch).all(axis=(1, 2, 3))
    assert (turned ^ kept).all() and 50 < turned.sum() < 100
    np.testing.assert_array_equal(batch, images(300))
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(0)(batch, draws(300)), batch)


def test_compose_runs_in_order_with_draws_of_their_own():
    batch = images()
    shift = transforms.RandomShift(2)
    out = transforms.Compose([shift, shift, transforms.ToFloat(0.5)])(batch, draws())
    random = draws()
    np.testing.assert_array_equal(out, shift(shift(batch, random), random) / 2)
    random = draws()
    assert not np.array_equal(shift(batch, random), shift(batch, random))


def test_random_transforms_need_images_and_draws():
    for transform in (
        transforms.RandomShift(1),
        transforms.RandomCrop(2),
        transforms.RandomHorizontalFlip(),
    ):
        name = type(transform).__name__
        with pytest.raises(ShapeError, match=rf"{name}: the batch must be images .*\(3, 4\)"):
            transform(np.ones((3, 4)), draws(3))
        with pytest.raises(
            ArgumentError, match=f"{name}: random must have draws for the 6 samples"
        ):
            transform(images())
        with pytest.raises(ArgumentError, match="got draws for 5; outside a DataLoader"):
            transform(images(), draws(5))


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="pixels must not be negative, got -1"):
        transforms.RandomShift(-1)
    with pytest.raises(ArgumentError, match="got size 0 and padding 0"):
        transforms.RandomCrop(0)
    with pytest.raises(ArgumentError, match=r"p must be from 0 to 1, got 1\.5"):
        transforms.RandomHorizontalFlip(1.5)


def test_transforms_can_be_pickled_and_say_what_they_are():
    transform = transforms.Compose(
        [transforms.RandomCrop(4), transforms.RandomHorizontalFlip(), transforms.Normalize(0, 2)]
    )
    again = pickle.loads(pickle.dumps(transform))
    np.testing.assert_array_equal(again(images(), draws()), transform(images(), draws()))
    assert repr(again) == (
        "Compose([RandomCrop((4, 4), padding=0), RandomHorizontalFlip(p=0.5), "
        "Normalize(mean=0.0, std=2.0)])"
    )
