"""Where ``kernels/`` and ``benchmarks/`` are: inside an installed package, or beside it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["benchmarks_directory", "kernels_directory"]

_PACKAGE = Path(__file__).resolve().parents[1]


def _directory(name: str) -> Path:
    # A wheel holds them as tensorflowlite/_name; an editable install runs from the checkout itself.
    for candidate in (_PACKAGE / f"_{name}", _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"tensorflowlite: the folder {name!r} must be in the package as _{name} or beside it, "
        f"got neither under {_PACKAGE.parent}; install the package again"
    )


def kernels_directory() -> Path:
    """The folder of the device code: ``*.cu``, and ``include/*.cuh``.

    Raises
    ------
    FileNotFoundError
        Where the installation lacks it.

    Examples
    --------
    >>> (kernels_directory() / "include" / "activations.cuh").is_file()
    True
    """
    return _directory("kernels")


def benchmarks_directory() -> Path:
    """The folder of the benchmarks.

    Raises
    ------
    FileNotFoundError
        Where the installation lacks it.

    Examples
    --------
    >>> benchmarks_directory().name in ("benchmarks", "_benchmarks")
    True
    """
    return _directory("benchmarks")
