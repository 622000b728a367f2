"""Data sets, collation and the loader in one process."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
    transforms,
)
from tensorflowlite.errors import (
    ArgumentError,
    DtypeError,
    OutOfRangeError,
    ShapeError,
    StateError,
)


class Squares(Dataset):
    """Single samples, with no ``take``."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return np.full(3, index, np.float32), index * index


def numbers(size=10):
    return TensorDataset(np.arange(size))


def seen(loader):
    """Return the batches of an iteration as lists of numbers."""
    return [batch[0].numpy().tolist() for batch in loader]


# -- data sets -------------------------------------------------------------------------------------
def test_tensor_dataset_shares_arrays_and_takes_tensors():
    x = np.ones((4, 2), np.float32)
    data = TensorDataset(x, tfl.asarray(np.arange(4)), [0.5, 1.5, 2.5, 3.5])
    assert data.arrays[0] is x
    assert data.arrays[2].dtype == np.float32  # Python numbers get the default dtype
    assert len(data) == 4
    sample = data[1]
    assert sample[0].shape == (2,) and sample[1] == 1 and sample[2] == 1.5


def test_tensor_dataset_checks_lengths():
    with pytest.raises(ShapeError, match=r"must have one length, got shapes \(3,\), \(4, 2\)"):
        TensorDataset(np.ones(3), np.ones((4, 2)))
    with pytest.raises(ShapeError, match="every array must have a first axis"):
        TensorDataset(np.float32(1))
    with pytest.raises(ArgumentError, match="at least one array is needed, got none"):
        TensorDataset()


def test_a_dataset_needs_both_methods():
    class Half(Dataset):
        def __len__(self):
            return 1

    with pytest.raises(TypeError, match="__getitem__"):
        Half()


def test_subset_of_a_subset_keeps_the_fast_path():
    inner = Subset(numbers(), [9, 7, 5, 3])
    outer = Subset(inner, [2, 0])
    assert [outer[i][0] for i in range(2)] == [5, 9]
    assert seen(DataLoader(outer, batch_size=2)) == [[5, 9]]
    with pytest.raises(OutOfRangeError, match="every index must be from 0 to 3, got 4"):
        Subset(inner, [0, 4])


def test_random_split_parts_everything_once():
    parts = random_split(numbers(103), [0.7, 0.2, 0.1], seed=1)
    assert [len(part) for part in parts] == [73, 20, 10]
    values = [sample[0] for part in parts for sample in (part[i] for i in range(len(part)))]
    assert sorted(values) == list(range(103)) and values != sorted(values)
    again = random_split(numbers(103), [73, 20, 10], seed=1)
    for part, other in zip(parts, again, strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)
    other = random_split(numbers(103), [73, 20, 10], seed=2)
    assert not np.array_equal(parts[0].indices, other[0].indices)
    assert [len(part) for part in random_split(numbers(10), [0.7, 0.3])] == [7, 3]
    assert [len(part) for part in random_split(numbers(1), [1.0, 0.0])] == [1, 0]


@pytest.mark.parametrize("lengths", [[5, 6], [0.5, 0.6], [-1, 11], [], [float("nan"), 1.0]])
def test_random_split_checks_its_lengths(lengths):
    with pytest.raises(ArgumentError, match=r"random_split: the lengths must .*, got \["):
        random_split(numbers(10), lengths)


def test_stratified_split_keeps_the_proportions():
    classes = np.repeat([0, 1, 2], [600, 300, 100])
    parts = random_split(numbers(1000), [0.8, 0.2], seed=3, stratify=classes)
    for part in parts:
        counts = np.bincount(classes[part.indices]) / len(part)
        np.testing.assert_allclose(counts, [0.6, 0.3, 0.1], atol=1 / len(part))
    assert not np.intersect1d(parts[0].indices, parts[1].indices).size
    other = random_split(numbers(1000), [0.8, 0.2], seed=4, stratify=classes)
    assert not np.array_equal(np.sort(parts[1].indices), np.sort(other[1].indices))
    with pytest.raises(ShapeError, match=r"one class for each sample, \(10,\), got \(9,\)"):
        random_split(numbers(10), [5, 5], stratify=np.zeros(9))


# -- collation -------------------------------------------------------------------------------------
Point = namedtuple("Point", "x y")


def test_collate_keeps_structures_and_dtypes():
    samples = [
        {"image": np.ones((2, 2), np.uint8), "at": Point(1, 2.5), "name": "a", "flag": True},
        {"image": np.zeros((2, 2), np.uint8), "at": Point(3, 4.5), "name": "b", "flag": False},
    ]
    batch = default_collate(samples)
    assert batch["image"].shape == (2, 2, 2) and batch["image"].dtype == np.uint8
    assert isinstance(batch["at"], Point)
    assert batch["at"].x.dtype == np.int64 and batch["at"].y.dtype == np.float32
    assert batch["name"] == ["a", "b"] and batch["flag"].dtype == np.bool_
    pair = default_collate([(np.float64(1), tfl.asarray(np.ones(2, np.float32)))] * 3)
    assert pair[0].dtype == np.float64 and pair[1].shape == (3, 2)


def test_collate_errors_are_one_sentence():
    with pytest.raises(ShapeError) as caught:
        default_collate([np.ones(3), np.ones(4), np.ones(3)])
    assert str(caught.value) == (
        "collate: the samples of a batch must have one shape, got (3,), (4,); pad or crop them, or "
        "give a collate_fn"
    )
    with pytest.raises(ShapeError, match="one structure, got dict, tuple"):
        default_collate([{"a": 1}, (1,)])
    with pytest.raises(ShapeError, match=r"the keys of all samples .* got \['a'\] and \['b'\]"):
        default_collate([{"a": 1}, {"b": 1}])
    with pytest.raises(ShapeError, match=r"the lengths of all samples .* got 1 and 2"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(DtypeError, match=r"a sample must be an array, .* got NoneType"):
        default_collate([None, None])


# -- the loader ------------------------------------------------------------------------------------
def test_batches_are_tuples_of_tensors():
    data = TensorDataset(np.arange(10, dtype=np.float32).reshape(5, 2), np.arange(5))
    batches = list(DataLoader(data, batch_size=2))
    assert [type(batch) for batch in batches] == [tuple] * 3
    assert all(isinstance(item, tfl.Tensor) for batch in batches for item in batch)
    assert [batch[0].shape for batch in batches] == [(2, 2), (2, 2), (1, 2)]
    assert batches[0][0].dtype == np.float32 and batches[0][1].dtype == np.int64
    batches[0][0].numpy()[...] = -1  # batches own their memory
    assert data.arrays[0].min() == 0


def test_length_and_drop_last():
    assert len(DataLoader(numbers(), 3)) == 4
    loader = DataLoader(numbers(), 3, drop_last=True)
    assert len(loader) == 3 and seen(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert seen(DataLoader(numbers(0), 3)) == []


def test_single_samples_give_the_same_as_take():
    batches = list(DataLoader(Squares(), 4))
    assert batches[2][0].numpy().tolist() == [[8] * 3, [9] * 3]
    assert batches[2][1].numpy().tolist() == [64, 81]


def test_a_dataset_can_be_anything_with_length_and_index():
    assert [x.numpy().tolist() for x in DataLoader(range(5), 3)] == [[0, 1, 2], [3, 4]]
    assert list(DataLoader(["a", "b", "c"], 2)) == [["a", "b"], ["c"]]


def test_rows_of_arrays_and_tensors_are_samples():
    x = np.arange(6).reshape(3, 2)
    for data in (x, tfl.asarray(x), Subset(x, [0, 1, 2])):
        batches = [batch.numpy().tolist() for batch in DataLoader(data, 2)]
        assert batches == [[[0, 1], [2, 3]], [[4, 5]]]


def test_collate_fn_comes_before_take():
    loader = DataLoader(numbers(4), 2, collate_fn=lambda rows: {"sum": np.array(sum(rows, ()))})
    assert [batch["sum"].numpy().tolist() for batch in loader] == [[0, 1], [2, 3]]


def test_shuffle_is_set_by_seed_and_epoch():
    loader = DataLoader(numbers(50), 50, True, seed=5)
    epochs = [seen(loader)[0] for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = DataLoader(numbers(50), 10, True, seed=5)
    again.set_epoch(2)
    assert [value for batch in seen(again) for value in batch] == epochs[2]
    assert seen(DataLoader(numbers(50), 50, True, seed=6))[0] != epochs[0]
    with pytest.raises(ArgumentError, match="the epoch must not be negative, got -1"):
        again.set_epoch(-1)


def test_the_seed_comes_from_manual_seed():
    tfl.manual_seed(11)
    loader = DataLoader(numbers(20), 20, True)
    assert loader.seed == 11
    assert seen(loader) == seen(DataLoader(numbers(20), 20, True, seed=11))


def test_leaving_an_iteration_begins_the_next_epoch():
    loader = DataLoader(numbers(6), 2, True, seed=0)
    for _ in loader:
        break
    reference = DataLoader(numbers(6), 2, True, seed=0)
    reference.set_epoch(1)
    assert seen(loader) == seen(reference)


def test_sampler_states_the_order():
    class Sampler:
        def __init__(self):
            self.epochs = []

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

        def __len__(self):
            return 3

        def __iter__(self):
            return iter([4, 4, 0])

    sampler = Sampler()
    loader = DataLoader(numbers(), 2, sampler=sampler)
    assert len(loader) == 2
    assert seen(loader) == [[4, 4], [0]] and seen(loader) == [[4, 4], [0]]
    assert sampler.epochs == [0, 1]
    with pytest.raises(OutOfRangeError, match="indices from 0 to 9, got 10"):
        seen(DataLoader(numbers(), 2, sampler=[3, 10]))


def test_state_goes_on_in_the_middle_of_an_epoch():
    def make():
        return DataLoader(numbers(20), 3, True, seed=9)

    whole = make()
    epochs = [seen(whole) for _ in range(3)]
    for epoch, taken in ((0, 0), (1, 1), (1, 4), (1, 7), (2, 2)):
        first = make()
        for _ in range(epoch):
            seen(first)
        batches = iter(first)
        for _ in range(taken):
            next(batches)
        state = first.state_dict()
        second = make()
        second.load_state_dict(state)
        rest = epochs[epoch][taken:]
        following = epochs[epoch + 1] if epoch < 2 else None
        if rest:
            assert state == {"seed": 9, "epoch": epoch, "position": taken}
            assert seen(second) == rest
        else:  # the epoch is done, though nobody asked for the end of it
            assert state == {"seed": 9, "epoch": epoch + 1, "position": 0}
        if following is not None:
            assert seen(second) == following
    with pytest.raises(StateError, match="the seed must be that of the loader, 1, got 9"):
        DataLoader(numbers(), seed=1).load_state_dict(state)


def test_transform_is_keyed_by_sample_and_epoch():
    x = np.random.default_rng(0).random((12, 1, 6, 6), dtype=np.float32)
    data = TensorDataset(x, np.arange(12))

    def pictures(batch_size, shuffle, epoch):
        loader = DataLoader(data, batch_size, shuffle, seed=2, transform=transforms.RandomShift(2))
        loader.set_epoch(epoch)
        found = {}
        for images, labels in loader:
            found.update(zip(labels.numpy().tolist(), images.numpy(), strict=True))
        return np.stack([found[label] for label in range(12)])

    np.testing.assert_array_equal(pictures(12, False, 1), pictures(5, True, 1))
    assert not np.array_equal(pictures(12, False, 0), pictures(12, False, 1))


def test_transform_takes_arrays_lists_and_named_tuples():
    def double(batch, random):
        return batch * 2

    assert next(iter(DataLoader(range(3), 3, transform=double))).numpy().tolist() == [0, 2, 4]
    points = [Point(1.0, 7), Point(2.0, 8)]
    batch = next(iter(DataLoader(points, 2, transform=double)))
    assert isinstance(batch, Point) and batch.x.numpy().tolist() == [2, 4]
    with pytest.raises(DtypeError, match="an array or begin with one, got dict"):
        next(iter(DataLoader([{"a": 1}], transform=double)))


def test_errors_of_samples_carry_a_note_that_names_them():
    class Broken(Squares):
        def __getitem__(self, index):
            if index == 7:
                raise KeyError("no picture")
            return super().__getitem__(index)

    with pytest.raises(KeyError) as caught:
        list(DataLoader(Broken(), 4))
    assert caught.value.__notes__ == ["loading sample 7"]


def test_device_moves_every_tensor():
    for batch in DataLoader(Squares(), 4, device="cpu"):
        assert [str(item.device) for item in batch] == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer of at least 1, got 2.5"),
        ({"num_workers": -1}, "num_workers must be an integer of at least 0, got -1"),
        ({"prefetch_factor": 0}, "prefetch_factor must be an integer of at least 1, got 0"),
        ({"seed": -1}, r"seed must be an integer from 0 to 2\*\*64 - 1, got -1"),
        ({"shuffle": True, "sampler": [1]}, "shuffle and sampler both state the order"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ArgumentError, match=f"DataLoader: {message}"):
        DataLoader(numbers(), **arguments)


def test_what_is_no_dataset_is_refused():
    with pytest.raises(DtypeError, match="must have __len__ and __getitem__, got int"):
        DataLoader(3)
