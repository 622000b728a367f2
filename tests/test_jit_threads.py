"""`jit` on several threads: what one records is no harm to what the others do."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.nn import functional as F

from .jit_worlds import bits


@pytest.fixture(autouse=True)
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], None], count: int = 4) -> None:
    """Run ``work`` on threads, and raise what the first one that failed has raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if errors:
        raise errors[0]


def test_other_threads_make_tuples_while_one_records() -> None:
    """A tuple of a generator can't be finished while somebody else holds it."""
    done = threading.Event()

    def work(number: int) -> None:
        while number and not done.is_set():
            assert len(tuple(i for i in range(30))) == 30
        if not number:
            try:
                for factor in range(150):
                    jitted = tfl.jit(lambda x, factor=factor: x * factor)
                    for _ in range(3):
                        jitted(tfl.ones(3))
            finally:
                done.set()

    together(work, 2)


@pytest.mark.parametrize("function", [
    lambda x: F.softmax(x * 2 + 1, 1), lambda x: x - x.mean(0),
])  # fmt: skip
def test_batches_of_many_sizes(function: Callable[[Any], Any]) -> None:
    jitted = tfl.jit(function, dynamic_batch=True)

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        for step in range(300):
            x = tfl.Tensor(rng.standard_normal((int(rng.integers(1, 120)), 3)).astype(np.float32))
            assert bits(jitted(x)) == bits(function(x))
            if step % 40 == 0:
                jitted.cache_info()
                jitted.explain()
            if step % 130 == 129:
                jitted.cache_clear()

    together(work)
