"""The backends that the tests run on, and how a test moves arrays to and from one.

A test that takes the fixture ``backend`` runs once on NumPy and once on the shadow device; with
``TENSORFLOWLITE_TEST_BACKEND=cupy`` in the environment it runs on a GPU.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import Device, backend_for

from . import shadow

shadow.install()
_DEVICES = {"numpy": "cpu", "shadow": "shadow:0", "cupy": "cuda:0"}
_CHOSEN = os.environ.get("TENSORFLOWLITE_TEST_BACKEND")
NAMES = [_CHOSEN] if _CHOSEN else ["numpy", "shadow"]


class TestBackend:
    """A backend as tests see it: arrays in, tensors out, and back."""

    __test__ = False  # pytest would collect it by its name

    def __init__(self, name: str) -> None:
        self.name, self.device = name, _DEVICES[name]
        self.backend = backend_for(self.device)
        self.array_type = self.backend.array_type
        self.on_host = name == "numpy"

    def __repr__(self) -> str:
        return self.name

    def array(self, array: Any) -> Any:
        """Return a copy of a NumPy array on this backend, contiguous or not as it was."""
        if array.flags.c_contiguous or array.ndim == 0:
            return self._moved(array)
        if array.flags.f_contiguous:
            return self._moved(array.T).transpose()
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return self._moved(wide)[..., ::2]

    def _moved(self, array: Any) -> Any:
        return self.backend.from_host(np.array(array, order="C"), Device(self.device))

    def tensor(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> tfl.Tensor:
        """Return a tensor on this backend; an array's layout is kept."""
        array = np.asarray(data) if dtype is None else np.asarray(data).astype(dtype)
        return tfl.Tensor(self.array(array), requires_grad)

    def leaf(self, data: Any, dtype: Any = None) -> tfl.Tensor:
        return self.tensor(data, True, dtype)

    def host(self, tensor: Any) -> Any:
        """Return a tensor's (or an array's) elements as a NumPy array."""
        array = tensor.array if type(tensor) is tfl.Tensor else tensor
        return self.backend.to_host(array)


_BACKENDS = {name: TestBackend(name) for name in NAMES}


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest) -> TestBackend:
    return _BACKENDS[request.param]


def all_backends() -> list[TestBackend]:
    return list(_BACKENDS.values())
