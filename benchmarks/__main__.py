"""Run a benchmark by name; with options alone, the suite of the device that they name."""

from __future__ import annotations

import argparse
import importlib
import sys

# The names, and the modules here whose ``main`` they run.
PROGRAMS = {
    "overhead": "overhead",
    "cpu": "cpu",
    "cuda": "cuda",
    "check-kernels": "check_kernels",
    "sanitize": "sanitize",
    "table": "table",
}


def device_of(arguments: list[str]) -> str:
    """Return the device that options name; the CPU where they name none."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", nargs="?", default="cpu", const="")
    return parser.parse_known_args(arguments)[0].device


def resolve(arguments: list[str]) -> tuple[str, list[str]] | None:
    """Return the module that arguments ask for, and what is left for it; None for no such name."""
    if arguments and arguments[0].startswith("--"):
        return PROGRAMS["cuda" if device_of(arguments).startswith("cuda") else "cpu"], arguments
    if not arguments or arguments[0] not in PROGRAMS:
        return None
    return PROGRAMS[arguments[0]], arguments[1:]


def main(arguments: list[str]) -> int:
    """Run one benchmark; its own arguments follow its name."""
    found = resolve(arguments)
    if found is None:
        print(
            f"usage: python -m benchmarks {{{','.join(PROGRAMS)}}} ...\n"
            "       python -m benchmarks --device cpu --against torch,torch-compile,jax,numpy\n"
            "       python -m benchmarks --device cuda --against torch,torch-compile,cupy,cublaslt"
        )
        return 2
    module = importlib.import_module(f"benchmarks.{found[0]}")
    return module.main(found[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
