"""``python start.py MODULE``: run a module of this folder as one of the package ``benchmarks``.

An installed package holds the folder under another name, and its files say ``benchmarks``. A
contender's interpreter needn't have tensorflowlite.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def load() -> None:
    """Make this folder the package ``benchmarks``."""
    specification = importlib.util.spec_from_file_location(
        "benchmarks", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["benchmarks"] = module
    specification.loader.exec_module(module)


if __name__ == "__main__":
    # A script's folder stands first on the path: its modules' names are no names of libraries.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != FOLDER]
    if (FOLDER.parent / "tensorflowlite" / "__init__.py").is_file():
        sys.path.insert(0, str(FOLDER.parent))  # a checkout
    load()
    sys.exit(importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:]))
