"""The only room that knows array libraries and devices.

Everything above it asks for slots by name and never which library answers.
"""

from __future__ import annotations

from . import dtypes as dtypes
from .base import Backend as Backend
from .base import Device as Device
from .base import as_array as as_array
from .base import backend_for as backend_for
from .base import backend_of as backend_of
from .base import by_array_type as by_array_type
from .base import changing as changing
from .base import decompositions as decompositions
from .base import families as families
from .base import is_array as is_array
from .base import number_types as number_types
from .base import register as register
from .cupy_backend import cupy_backend as cupy_backend
from .numpy_backend import from_data as from_data
from .numpy_backend import host_array as host_array
from .numpy_backend import index_array as index_array
from .numpy_backend import ndarray as ndarray
from .numpy_backend import numpy_backend as numpy_backend
from .numpy_backend import settled as settled
from .numpy_backend import takes_out as takes_out
from .slots.array import INDEX as INDEX
from .slots.array import Kept as Kept
