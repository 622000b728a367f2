"""From samples to a batch, and walks over nested batches. Host arrays only: workers run this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError

_NUMBERS = (bool, int, float, complex, np.generic)


def host_array(value: Any) -> np.ndarray:
    """Return an array, a tensor, or nested Python numbers as a NumPy array, shared if possible."""
    if isinstance(value, np.ndarray):
        return value
    if is_tensor(value):
        array: np.ndarray = value.numpy()
        return array
    array = np.asarray(value)
    if isinstance(value, np.generic):
        return array
    # Python numbers get the library's default dtypes.
    if array.dtype == np.float64:
        return array.astype(np.float32)
    return array.astype(np.complex64) if array.dtype == np.complex128 else array


def is_tensor(value: Any) -> bool:
    """Tell whether ``value`` is a tensor: workers needn't import what makes one."""
    return hasattr(value, "numpy") and hasattr(value, "requires_grad")


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply ``function`` to all that isn't a tuple, list or mapping, and keep the structure."""
    if isinstance(tree, tuple):
        leaves = [map_leaves(function, item) for item in tree]
        return type(tree)(*leaves) if hasattr(tree, "_fields") else tuple(leaves)
    if isinstance(tree, list):
        return [map_leaves(function, item) for item in tree]
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, item) for key, item in tree.items()}
    return function(tree)


def default_collate(samples: list[Any]) -> Any:
    """Make one batch of a list of samples: arrays are stacked along a new first axis.

    Parameters
    ----------
    samples : list
        Arrays, tensors, numbers, text, or tuples, lists and dicts of these, all of one structure
        and of equal shapes.

    Returns
    -------
    array, tuple, list or dict
        The structure of one sample with NumPy arrays (batch, ...) in it. Python numbers become
        float32, int64, complex64 or bool; text becomes a list.

    Raises
    ------
    ShapeError
        Where the samples have different shapes or structures.
    DtypeError
        Where a sample is something that can't be stacked.

    Examples
    --------
    >>> from tensorflowlite.data import default_collate
    >>> batch = default_collate([{"x": [1.0, 2.0], "y": 0}, {"x": [3.0, 4.0], "y": 1}])
    >>> batch["y"].tolist(), batch["x"][0].tolist()
    ([0, 1], [1.0, 3.0])
    """
    first = samples[0]
    if isinstance(first, (str, bytes)):
        return list(samples)
    if isinstance(first, Mapping):
        _check_structure(samples, Mapping, lambda sample: sorted(map(str, sample)))
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        _check_structure(samples, type(first), len)
        parts = [default_collate(list(items)) for items in zip(*samples, strict=True)]
        if isinstance(first, tuple):
            return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
        return parts
    if isinstance(first, (np.ndarray, *_NUMBERS)) or is_tensor(first):
        return _stack(samples)
    raise DtypeError(
        "collate: a sample must be an array, a tensor, a number, text, or a tuple, list or dict of "
        f"these, got {type(first).__name__}; convert it in __getitem__ or give a collate_fn"
    )


def _stack(samples: list[Any]) -> np.ndarray:
    # By type, not isinstance: numpy.float64 is a float and keeps its dtype.
    if all(type(sample) in (bool, int, float, complex) for sample in samples):
        return host_array(samples)
    arrays = [host_array(sample) for sample in samples]
    shapes = dict.fromkeys(array.shape for array in arrays)
    if len(shapes) > 1:
        raise ShapeError(
            "collate: the samples of a batch must have one shape, got "
            f"{', '.join(map(str, list(shapes)[:4]))}; pad or crop them, or give a collate_fn"
        )
    return np.stack(arrays)


def _check_structure(samples: list[Any], kind: Any, describe: Callable[[Any], Any]) -> None:
    if not all(isinstance(sample, kind) for sample in samples):
        names = dict.fromkeys(type(sample).__name__ for sample in samples)
        raise ShapeError(
            f"collate: the samples of a batch must have one structure, got {', '.join(names)}"
        )
    found = [describe(sample) for sample in samples]
    other = next((item for item in found if item != found[0]), None)
    if other is not None:
        what = "keys" if kind is Mapping else "lengths"
        raise ShapeError(
            f"collate: the {what} of all samples of a batch must be the same, got {found[0]} "
            f"and {other}"
        )
