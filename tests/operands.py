"""What the tests of operators and methods have in common: arrays, operators, a comparison."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

import tensorflowlite as tfl

from .backends import TestBackend

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
B = np.array([[3.0, 1.0, 2.0], [2.0, 4.0, 1.5]])
INTEGERS = np.array([[1, 2, 3], [12, 10, 7]])
ARITHMETIC = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.pow,
)  # fmt: skip
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
BITWISE = (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift)


def same(found: Any, expected: Any, backend: TestBackend) -> None:
    assert type(found) is tfl.Tensor
    np.testing.assert_allclose(backend.host(found), expected, rtol=1e-12)
    assert found.dtype == np.asarray(expected).dtype
