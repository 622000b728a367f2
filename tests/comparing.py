"""How the tests of the networks' operations hold derivatives to differences."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.autograd import gradcheck, gradgradcheck


def normal(*shape: int) -> Any:
    return np.random.default_rng([7, *shape]).standard_normal(shape)


def leaf(array: Any) -> tfl.Tensor:
    return tfl.tensor(array, requires_grad=True)


def check_orders(function: Any, *arrays: Any) -> None:
    """Hold the first and second derivatives against central differences."""
    inputs = [leaf(a) for a in arrays]
    gradcheck(function, inputs)
    gradgradcheck(function, inputs)
