"""The native extension ``tensorflowlite._native``, and why it isn't there where it isn't.

``module`` is the extension (built from ``csrc/``) or None; nothing else imports it by name.
Everything it does is done by NumPy or CuPy without it, so a missing extension costs speed alone.
The environment variable ``TENSORFLOWLITE_NATIVE=0`` leaves it aside.
"""

from __future__ import annotations

import importlib
import json
import os
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["build_record", "in_c_order", "is_in_c_order", "module", "why_not"]

_NAME = "tensorflowlite._native"
_PACKAGE = Path(__file__).resolve().parents[2]
_RECORD = _PACKAGE / "_native_build.json"


def build_record() -> dict[str, str]:
    """What setup.py wrote about the build of the extension.

    Returns
    -------
    dict
        ``reason`` (one line, "" after a build that succeeded) and ``output`` (the end of what the
        compiler printed); empty where nothing was ever built, as in a bare checkout.

    Examples
    --------
    >>> set(build_record()) <= {"reason", "output", "fingerprint"}
    True
    """
    try:
        record = json.loads(_RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: str(value) for name, value in record.items()}


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("TENSORFLOWLITE_NATIVE") == "0":
        return None, "left aside by TENSORFLOWLITE_NATIVE=0"
    # An editable install of another checkout would lend its own extension to an import by name.
    if PathFinder.find_spec(_NAME, [str(_PACKAGE)]) is None:
        reason = build_record().get("reason")
        return None, reason or "not built; run: python setup.py build_ext --inplace"
    try:
        return importlib.import_module(_NAME), ""
    except ImportError as error:
        return None, f"built, but it doesn't load: {' '.join(str(error).split())}"


module, _reason = _load()


def why_not() -> str:
    """Why the extension isn't loaded, in one line; "" where it is.

    Examples
    --------
    >>> (why_not() == "") == (module is not None)
    True
    """
    return _reason


def is_in_c_order(array: Any) -> bool:
    """Whether a NumPy array lies as kernels read it: side by side in C order, and aligned.

    Examples
    --------
    >>> import numpy
    >>> is_in_c_order(numpy.zeros((2, 3))), is_in_c_order(numpy.zeros((2, 3)).T)
    (True, False)
    """
    flags = array.flags
    return flags.c_contiguous and flags.aligned


def in_c_order(array: Any) -> Any:
    """Return a NumPy array as kernels read it: itself, or a copy.

    Examples
    --------
    >>> import numpy
    >>> in_c_order(numpy.zeros((2, 3)).T).strides
    (16, 8)
    """
    return array if is_in_c_order(array) else array.copy()
