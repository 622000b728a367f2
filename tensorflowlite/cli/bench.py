"""``tensorflowlite bench``: runs the benchmarks that ship with the package."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from ..backend.paths import benchmarks_directory
from ..errors import MissingDependencyError


def bench(arguments: list[str]) -> int:
    """Hand the arguments to the package of benchmarks; return its exit status."""
    try:
        folder = benchmarks_directory()
    except FileNotFoundError as error:
        raise MissingDependencyError(str(error)) from None
    # An installed package holds the folder under another name; its files say `benchmarks`.
    specification = importlib.util.spec_from_file_location(
        "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["benchmarks"] = module
    specification.loader.exec_module(module)
    return int(importlib.import_module("benchmarks.__main__").main(arguments) or 0)
