"""Run a benchmark by name."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def names() -> list[str]:
    """Return the names of the benchmarks that can be run."""
    found = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    return sorted(name for name in found if name not in ("__main__", "measure"))


def main(arguments: list[str]) -> int:
    """Run one benchmark; its own arguments follow its name."""
    if not arguments or arguments[0] not in names():
        print(f"usage: python -m benchmarks {{{','.join(names())}}} [--check] [--save FILE]")
        return 2
    module = importlib.import_module(f"benchmarks.{arguments[0]}")
    return module.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
