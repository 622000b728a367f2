"""Work shared by threads: every piece once, errors passed on, BLAS as it was before."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tensorflowlite.backend import threads
from tensorflowlite.backend.slots import workers
from tensorflowlite.backend.slots.windows import out_length, taps


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64, 1000])
@pytest.mark.parametrize("size", [0, 1, 3, 8, 2000])
def test_pieces_cover_the_range_evenly(count: int, size: int) -> None:
    parts = workers.pieces(count, size)
    assert [i for first, last in parts for i in range(first, last)] == list(range(count))
    lengths = {last - first for first, last in parts}
    assert not lengths or max(lengths) - min(lengths) <= 1
    assert not lengths or max(lengths) <= max(size, 1)


def threads_of_blas() -> int | None:
    """The thread count of NumPy's BLAS; None where it can't be asked."""
    return threads._blas.count() if threads._blas.known else None


@pytest.mark.parametrize("threaded", [False, True])
def test_share_runs_every_piece_once(threaded: bool) -> None:
    before = threads_of_blas()
    seen: list[tuple[int, int, int]] = []
    limits: set[int | None] = set()

    def begin() -> Any:
        def process(index: int, first: int, last: int) -> None:
            seen.append((index, first, last))
            limits.add(threads_of_blas())

        return process

    parts = workers.pieces(100, 3)
    workers.share(parts, begin, threaded)
    assert sorted(seen) == [(i, *part) for i, part in enumerate(parts)]
    assert limits == {None if before is None else 1}
    assert threads_of_blas() == before


@pytest.mark.parametrize("threaded", [False, True])
def test_share_passes_errors_on(threaded: bool) -> None:
    before = threads_of_blas()

    def begin() -> Any:
        def process(index: int, first: int, last: int) -> None:
            raise MemoryError(f"piece {index}")

        return process

    with pytest.raises(MemoryError, match="piece"):
        workers.share(workers.pieces(10, 1), begin, threaded)
    assert threads_of_blas() == before


def test_share_from_several_threads_at_once() -> None:
    before = threads_of_blas()
    totals: list[int] = []

    def one() -> None:
        seen: list[int] = []

        def begin() -> Any:
            return lambda index, first, last: seen.extend(range(first, last))

        workers.share(workers.pieces(50, 2), begin, True)
        totals.append(sum(seen))

    callers = [threading.Thread(target=one) for _ in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert totals == [sum(range(50))] * 4
    assert threads_of_blas() == before


@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_taps_read_what_windows_cover(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    pad = (padding, padding)
    count = out_length(size, kernel, stride, pad, dilation)
    found = taps((size,), (count,), (kernel,), (stride,), (pad,), (dilation,))
    assert [tap.column[2] for tap in found] == list(range(kernel))
    for tap in found:
        outputs = range(count)[tap.out[2]]
        places = range(size)[tap.image[2]]
        expected = [
            (o, o * stride + tap.column[2] * dilation - padding)
            for o in range(count)
            if 0 <= o * stride + tap.column[2] * dilation - padding < size
        ]
        assert list(zip(outputs, places, strict=True)) == expected
