"""Sequences of unequal lengths: packed, padded, and apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy

from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops.creation import asarray, full
from ...ops.indexing import take
from ...ops.joining import concat


class PackedSequence(NamedTuple):
    """Sequences of unequal lengths without padding: the rows of each step one after the other.

    Made by `pack_padded_sequence` or `pack_sequence`; recurrent layers take it and return one.

    Attributes
    ----------
    data : Tensor, shape (rows, ...)
    batch_sizes : Tensor, int64, shape (steps,), on the CPU
        How many sequences each step has.
    sorted_indices : Tensor, int64, or None
        Which sequence stands at each place, from the longest to the shortest.
    unsorted_indices : Tensor, int64, or None
        At which place each sequence stands.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> packed = rnn.pack_sequence([tfl.tensor([1, 2, 3]), tfl.tensor([4, 5])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move the data to a device, or cast it; as `Tensor.to`.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite.nn.utils import rnn
        >>> rnn.pack_sequence([tfl.ones(2)]).to(tfl.float64).data.dtype.name
        'float64'
        """
        data = self.data.to(*args, **kwargs)
        order = [None if i is None else asarray(i, device=data.device) for i in self[2:]]
        return PackedSequence(data, self.batch_sizes, *order)


def _lengths(name: str, lengths: Any) -> Any:
    """Return lengths as NumPy's integers on the host."""
    values = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    found = numpy.asarray(values, numpy.int64)
    if found.ndim != 1 or found.size == 0 or found.min() <= 0:
        raise ArgumentError(f"{name}: lengths must be positive, one per sequence, got {values}")
    return found


def _places(lengths: Any) -> tuple[Any, Any, Any]:
    """Return of every packed row its step and its sequence, and how many each step has."""
    steps = numpy.arange(lengths.max())[:, None]
    step, sequence = numpy.nonzero(steps < lengths)
    return step, sequence, (steps < lengths).sum(1)


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:  # fmt: skip
    """Pack sequences that are padded to one length.

    Parameters
    ----------
    input : Tensor, shape (length, batch, ...), or (batch, length, ...) with ``batch_first``
    lengths : Tensor or sequence of int
        How long each sequence is.
    batch_first : bool
        Whether the batch is the first axis.
    enforce_sorted : bool
        Whether to require lengths from the longest to the shortest; False sorts them.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ArgumentError
        The lengths aren't positive, aren't sorted where they must be, or exceed the input.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> x = tfl.tensor([[1, 0, 0], [2, 3, 4]])
    >>> packed = rnn.pack_padded_sequence(x, [1, 3], batch_first=True, enforce_sorted=False)
    >>> packed.data, packed.batch_sizes, packed.sorted_indices
    (tensor([2, 1, 3, 4]), tensor([2, 1, 1]), tensor([1, 0]))
    """
    name = "pack_padded_sequence"
    if input.ndim < 2:
        raise ShapeError(f"{name}: input must have two axes at least, got {input.shape}")
    found = _lengths(name, lengths)
    batch, longest = input.shape[:2] if batch_first else input.shape[1::-1]
    if len(found) != batch or found.max() > longest:
        raise ArgumentError(
            f"{name}: there must be {batch} lengths of at most {longest}, got {found.tolist()} for "
            f"input {input.shape}; batch_first={batch_first}"
        )
    order = None
    if enforce_sorted:
        if (numpy.diff(found) > 0).any():
            raise ArgumentError(
                f"{name}: lengths must go from the longest to the shortest, got {found.tolist()}; "
                "enforce_sorted=False sorts them"
            )
    else:
        order = numpy.argsort(-found, kind="stable")
        found = found[order]
    step, place, sizes = _places(found)
    sequence = place if order is None else order[place]
    rows = sequence * longest + step if batch_first else step * batch + sequence
    flat = input.reshape((batch * longest, *input.shape[2:]))
    data = take(flat, asarray(rows, device=input.device), axis=0)
    if order is None:
        return PackedSequence(data, asarray(sizes))
    return PackedSequence(
        data, asarray(sizes), asarray(order, device=input.device),
        asarray(numpy.argsort(order), device=input.device),
    )  # fmt: skip


def _padded(rows: Tensor, places: Any, value: float) -> Tensor:
    """Return ``rows`` at ``places``, and ``value`` where a place is minus one."""
    padding = full((1, *rows.shape[1:]), value, dtype=rows.dtype, device=rows.device)
    places = numpy.where(places < 0, rows.shape[0], places)
    found = take(
        concat([rows, padding], axis=0), asarray(places.ravel(), device=rows.device), axis=0
    )
    return found.reshape((*places.shape, *rows.shape[1:]))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo `pack_padded_sequence`.

    Parameters
    ----------
    sequence : PackedSequence
        What to take apart.
    batch_first : bool
        Whether the batch comes first in the result.
    padding_value : float
        What stands behind the shorter sequences.
    total_length : int, optional
        The length to pad to; by default that of the longest sequence.

    Returns
    -------
    padded : Tensor, shape (length, batch, ...), or (batch, length, ...) with ``batch_first``
    lengths : Tensor, int64, shape (batch,), on the CPU

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> packed = rnn.pack_sequence([tfl.tensor([1, 2, 3]), tfl.tensor([4, 5])])
    >>> rnn.pad_packed_sequence(packed, batch_first=True)
    (tensor([[1, 2, 3],
            [4, 5, 0]]), tensor([3, 2]))
    """
    sizes = numpy.asarray(sequence.batch_sizes.tolist(), numpy.int64)
    longest = len(sizes)
    if total_length is not None and total_length < longest:
        raise ArgumentError(
            f"pad_packed_sequence: total_length must be at least {longest}, the length of the "
            f"longest sequence, got {total_length}"
        )
    places = numpy.arange(sizes[0]) + numpy.cumsum([0, *sizes[:-1]])[:, None]
    places = numpy.where(numpy.arange(sizes[0]) < sizes[:, None], places, -1)
    lengths = (places >= 0).sum(0)
    if sequence.unsorted_indices is not None:
        order = numpy.asarray(sequence.unsorted_indices.tolist(), numpy.int64)
        places, lengths = places[:, order], lengths[order]
    if total_length is not None:
        places = numpy.pad(places, ((0, total_length - longest), (0, 0)), constant_values=-1)
    padded = _padded(sequence.data, places.T if batch_first else places, padding_value)
    return padded, asarray(lengths)


def pad_sequence(sequences: Iterable[Tensor], batch_first: bool = False,
                 padding_value: float = 0.0, padding_side: str = "right") -> Tensor:  # fmt: skip
    """Stack sequences, padded to the length of the longest.

    Parameters
    ----------
    sequences : sequence of Tensor, shape (length, ...) each
        The axes after the first must agree.
    batch_first : bool
        Whether the batch comes first in the result.
    padding_value : float
        What stands beside the shorter sequences.
    padding_side : str
        'right' puts it behind, 'left' before them.

    Returns
    -------
    Tensor, shape (length, batch, ...), or (batch, length, ...) with ``batch_first``

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> rnn.pad_sequence([tfl.tensor([1, 2, 3]), tfl.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if padding_side not in ("right", "left"):
        raise ArgumentError(
            f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}"
        )
    given = list(sequences)
    shapes = [x.shape for x in given]
    if not given or any(len(s) < 1 or s[1:] != shapes[0][1:] for s in shapes):
        raise ShapeError(
            f"pad_sequence: there must be sequences that agree after the first axis, got {shapes}"
        )
    lengths = numpy.asarray([shape[0] for shape in shapes])
    offsets, longest = numpy.cumsum([0, *lengths[:-1]]), lengths.max()
    steps = numpy.arange(longest) - (
        (longest - lengths)[:, None] if padding_side == "left" else numpy.zeros((1, 1), int)
    )
    inside = (steps >= 0) & (steps < lengths[:, None])
    places = numpy.where(inside, steps + offsets[:, None], -1)
    return _padded(concat(given, axis=0), places if batch_first else places.T, padding_value)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """Undo `pad_sequence`.

    Parameters
    ----------
    padded_sequences : Tensor, shape (length, batch, ...), or (batch, length, ...)
    lengths : Tensor or sequence of int
        How long each sequence is.
    batch_first : bool
        Whether the batch is the first axis.

    Returns
    -------
    list of Tensor, shape (length, ...) each

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> rnn.unpad_sequence(tfl.tensor([[1, 2, 3], [4, 0, 0]]), [3, 1], batch_first=True)
    [tensor([1, 2, 3]), tensor([4])]
    """
    found = _lengths("unpad_sequence", lengths).tolist()
    if batch_first:
        return [padded_sequences[i, :length] for i, length in enumerate(found)]
    return [padded_sequences[:length, i] for i, length in enumerate(found)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of unequal lengths.

    Parameters
    ----------
    sequences : sequence of Tensor, shape (length, ...) each
        The axes after the first must agree.
    enforce_sorted : bool
        Whether to require them from the longest to the shortest; False sorts them.

    Returns
    -------
    PackedSequence

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> rnn.pack_sequence([tfl.tensor([1, 2, 3]), tfl.tensor([4])]).data
    tensor([1, 4, 2, 3])
    """
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo `pack_sequence`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.utils import rnn
    >>> rnn.unpack_sequence(rnn.pack_sequence([tfl.tensor([1, 2]), tfl.tensor([4])]))
    [tensor([1, 2]), tensor([4])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences)
    return unpad_sequence(padded, lengths)
