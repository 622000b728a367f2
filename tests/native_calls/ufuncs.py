from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np

from . import Arguments, Maker, call


@call("mended_ufunc")
def mended_ufunc(make: Maker) -> Iterator[Arguments]:
    yield {"ufunc": np.tanh, "bfloat16": np.dtype(ml_dtypes.bfloat16).num}
