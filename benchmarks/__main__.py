"""Run a benchmark by name; with options alone, the CUDA suite."""

from __future__ import annotations

import importlib
import sys

# The names, and the modules here whose ``main`` they run.
PROGRAMS = {
    "overhead": "overhead",
    "cuda": "cuda",
    "check-kernels": "check_kernels",
    "sanitize": "sanitize",
    "table": "table",
}


def resolve(arguments: list[str]) -> tuple[str, list[str]] | None:
    """Return the module that arguments ask for, and what is left for it; None for no such name."""
    if arguments and arguments[0].startswith("--"):
        return PROGRAMS["cuda"], arguments
    if not arguments or arguments[0] not in PROGRAMS:
        return None
    return PROGRAMS[arguments[0]], arguments[1:]


def main(arguments: list[str]) -> int:
    """Run one benchmark; its own arguments follow its name."""
    found = resolve(arguments)
    if found is None:
        print(
            f"usage: python -m benchmarks {{{','.join(PROGRAMS)}}} ...\n"
            "       python -m benchmarks --device cuda --against torch,torch-compile,cupy,cublaslt"
        )
        return 2
    module = importlib.import_module(f"benchmarks.{found[0]}")
    return module.main(found[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
