"""Transforms of whole batches on the host: NumPy in, NumPy out.

A transform is any callable ``transform(batch, random)``: ``batch`` holds images (N, C, H, W) or
features (N, F), and ``random`` is a ``SampleRandom`` with one row of draws per sample. The loader
passes it, keyed by seed, epoch and sample, so an augmentation is the same for any number of
workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import ArgumentError, ShapeError
from .collate import host_array
from .sampling import SampleRandom

Transform = Callable[[np.ndarray, SampleRandom], np.ndarray]

__all__ = [
    "Compose",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomShift",
    "ToFloat",
    "Transform",
]


def _check_images(name: str, batch: np.ndarray) -> None:
    if batch.ndim != 4:
        raise ShapeError(
            f"{name}: the batch must be images (N, C, H, W), got shape {batch.shape}; add an axis "
            "for the channel with reshape"
        )


def _check_random(name: str, batch: np.ndarray, random: SampleRandom | None) -> SampleRandom:
    if random is None or len(random) != len(batch):
        got = "none" if random is None else f"draws for {len(random)}"
        raise ArgumentError(
            f"{name}: random must have draws for the {len(batch)} samples, got {got}; outside a "
            "DataLoader pass SampleRandom(seed, epoch, indices)"
        )
    return random


class Compose:
    """Several transforms, one after the other.

    Parameters
    ----------
    transforms : sequence of callables
        Each is called with the batch that the one before it returned.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data.transforms import Compose, Normalize, ToFloat
    >>> transform = Compose([ToFloat(), Normalize(0.5, 0.5)])
    >>> transform(np.array([[0, 255]], np.uint8)).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, batch: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        for transform in self.transforms:
            batch = transform(batch, random)
        return batch

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class ToFloat:
    """Make float32 of any numbers and multiply them; by default 0..255 becomes 0..1.

    Parameters
    ----------
    scale : float
        The factor.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data.transforms import ToFloat
    >>> ToFloat()(np.array([[0, 51, 255]], np.uint8)).round(3).tolist()
    [[0.0, 0.20000000298023224, 1.0]]
    """

    def __init__(self, scale: float = 1 / 255) -> None:
        self.scale = scale

    def __call__(self, batch: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        return np.multiply(batch, np.float32(self.scale), dtype=np.float32)

    def __repr__(self) -> str:
        return f"ToFloat(scale={self.scale:g})"


class Normalize:
    """Subtract the mean and divide by the standard deviation, per channel or feature.

    Parameters
    ----------
    mean, std : float or sequence of float
        One for all, or one for each of the C channels of images or the F features.

    Raises
    ------
    ArgumentError
        Where a standard deviation isn't positive.
    ShapeError
        Where the batch has another number of channels or features.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data.transforms import Normalize
    >>> Normalize([1.0, 2.0], 2.0)(np.array([[3.0, 2.0]], np.float32)).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean = np.asarray(host_array(mean), dtype=np.float32)
        self.std = np.asarray(host_array(std), dtype=np.float32)
        if self.mean.ndim > 1 or self.std.ndim > 1:
            raise ShapeError(
                "Normalize: mean and std must be numbers or have one axis, got shapes "
                f"{self.mean.shape} and {self.std.shape}"
            )
        if not (self.std > 0).all():
            raise ArgumentError(
                f"Normalize: std must be positive, got {self.std.min():g}; use 1 for a constant "
                "channel"
            )

    @classmethod
    def fit(cls, array: Any) -> Normalize:
        """Take mean and standard deviation of an array: of the training part only, in fairness.

        Parameters
        ----------
        array : array or tensor
            Images (N, C, H, W), over all but the channels; or features (N, F), over N. A channel
            that is constant gets the standard deviation 1.

        Returns
        -------
        Normalize
            The transform with float32 statistics, computed in float64.

        Examples
        --------
        >>> import numpy as np
        >>> from tensorflowlite.data.transforms import Normalize
        >>> Normalize.fit(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32))
        Normalize(mean=[2.0, 5.0], std=[1.0, 1.0])
        """
        values = host_array(array)
        if values.ndim not in (2, 4) or values.size == 0:
            raise ShapeError(
                "Normalize.fit: the array must be images (N, C, H, W) or features (N, F) with at "
                f"least one sample, got shape {values.shape}"
            )
        axes = (0, 2, 3) if values.ndim == 4 else (0,)
        mean = values.mean(axis=axes, dtype=np.float64)
        std = values.std(axis=axes, dtype=np.float64)
        # Rounding leaves some 1e-16 of a constant column; dividing by it would make noise of it.
        constant = std <= 1e-7 * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, std))

    def __call__(self, batch: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        per_channel = (-1, *(1,) * (batch.ndim - 2))
        for name, values in (("mean", self.mean), ("std", self.std)):
            if batch.ndim not in (2, 4) or (values.ndim == 1 and len(values) != batch.shape[1]):
                raise ShapeError(
                    "Normalize: the batch must be images (N, C, H, W) or features (N, F), with as "
                    f"many channels or features as the {name}, got shape {batch.shape} and "
                    f"{name} {values.shape}"
                )
        shifted = np.subtract(batch, self.mean.reshape(per_channel), dtype=np.float32)
        shifted /= self.std.reshape(per_channel)
        return shifted

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()})"


class RandomShift:
    """Move each image by up to so many pixels, rows and columns apart; zeros come in.

    Parameters
    ----------
    pixels : int
        The furthest move in each direction.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import SampleRandom
    >>> from tensorflowlite.data.transforms import RandomShift
    >>> images = np.ones((2, 1, 4, 4), np.float32)
    >>> RandomShift(1)(images, SampleRandom(0, 0, [0, 1])).shape
    (2, 1, 4, 4)
    """

    def __init__(self, pixels: int) -> None:
        if pixels < 0:
            raise ArgumentError(f"RandomShift: pixels must not be negative, got {pixels}")
        self.pixels = pixels

    def __call__(self, batch: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        _check_images("RandomShift", batch)
        random = _check_random("RandomShift", batch, random)
        return _random_windows(batch, self.pixels, batch.shape[2:], random)

    def __repr__(self) -> str:
        return f"RandomShift({self.pixels})"


class RandomCrop:
    """Cut a window of one size out of each image, at a place of its own.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    padding : int
        The zeros that are put around the image first, on each side.

    Raises
    ------
    ShapeError
        Where the padded image is smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import SampleRandom
    >>> from tensorflowlite.data.transforms import RandomCrop
    >>> images = np.ones((2, 3, 8, 8), np.float32)
    >>> RandomCrop(6)(images, SampleRandom(0, 0, [0, 1])).shape
    (2, 3, 6, 6)
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0) -> None:
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self.padding = padding
        if min(self.size) < 1 or padding < 0:
            raise ArgumentError(
                f"RandomCrop: size must be positive and padding not negative, got size {size} and "
                f"padding {padding}"
            )

    def __call__(self, batch: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        _check_images("RandomCrop", batch)
        random = _check_random("RandomCrop", batch, random)
        return _random_windows(batch, self.padding, self.size, random)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding})"


def _random_windows(
    batch: np.ndarray, padding: int, size: tuple[int, ...], random: SampleRandom
) -> np.ndarray:
    samples, channels, height, width = batch.shape
    height, width = height + 2 * padding, width + 2 * padding
    if height < size[0] or width < size[1]:
        raise ShapeError(
            f"RandomCrop: the padded images must be at least {size[0]} x {size[1]}, got {height} x "
            f"{width}; raise padding"
        )
    padded = np.zeros((samples, channels, height, width), batch.dtype)
    padded[:, :, padding : height - padding, padding : width - padding] = batch
    windows = sliding_window_view(padded, size, axis=(2, 3))
    # One draw for both: a product with the largest uniform still rounds below the count.
    counts = np.array([height - size[0] + 1, width - size[1] + 1], np.float32)
    rows, columns = (random.uniform((2,)) * counts).astype(np.intp).T
    picked: np.ndarray = windows[np.arange(samples), :, rows, columns]
    return np.ascontiguousarray(picked)


class RandomHorizontalFlip:
    """Turn left and right about in each image, with a probability.

    Parameters
    ----------
    p : float
        The probability, 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import SampleRandom
    >>> from tensorflowlite.data.transforms import RandomHorizontalFlip
    >>> images = np.arange(3.0).reshape(1, 1, 1, 3)
    >>> RandomHorizontalFlip(p=1.0)(images, SampleRandom(0, 0, [0])).ravel().tolist()
    [2.0, 1.0, 0.0]
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"RandomHorizontalFlip: p must be from 0 to 1, got {p}")
        self.p = p

    def __call__(self, batch: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        _check_images("RandomHorizontalFlip", batch)
        random = _check_random("RandomHorizontalFlip", batch, random)
        flipped = random.uniform() < self.p
        out = batch.copy()
        out[flipped] = batch[flipped, :, :, ::-1]
        return out

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p:g})"
