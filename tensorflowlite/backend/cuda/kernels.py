"""The kernels of ``kernels/``: which file runs where, compiling them, and the one checked launcher.

A kernel is a function ``extern "C"`` in a ``.cu`` file. What varies (types, activations, sizes of
tiles) are macros, so that only what a program uses is ever compiled.
"""

from __future__ import annotations

import functools
import math
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy

from ...errors import ArgumentError, DeviceError
from .. import dtypes
from ..paths import kernels_directory
from . import kernel_cache, nvrtc

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

# Which architectures a file is for, where it isn't for all. "sm_90a" is Hopper with its own
# instructions (wgmma, setmaxnreg), which no other chip runs.
ONLY: dict[str, tuple[str, ...]] = {"gemm_hopper.cu": ("sm_90a",)}

# The sources' names of the dtypes.
TYPE_NAMES = {
    dtypes.float16: "tfl::float16",
    dtypes.bfloat16: "tfl::bfloat16",
    dtypes.float32: "float",
    dtypes.float64: "double",
}

# What every chip can launch; and its bytes of dynamic shared memory per block, by capability.
_MOST_THREADS, _MOST_OF_BLOCK = 1024, (1024, 1024, 64)
_MOST_BLOCKS = (2**31 - 1, 65535, 65535)
_SHARED_EVERYWHERE = 48 * 1024
_MOST_SHARED = {
    (7, 5): 64 * 1024, (8, 0): 163 * 1024, (8, 6): 99 * 1024, (8, 7): 163 * 1024,
    (8, 9): 99 * 1024, (9, 0): 227 * 1024, (10, 0): 227 * 1024, (10, 3): 227 * 1024,
    (11, 0): 227 * 1024, (12, 0): 99 * 1024, (12, 1): 99 * 1024,
}  # fmt: skip


class Generated(NamedTuple):
    """A source that no file holds: its text, which may include headers, and a name for messages.

    It stands wherever a file's name does. Products and sums don't become one in it.
    """

    name: str
    text: str


Source = str | Generated


class AsItLies:
    """An array that a kernel takes whatever its strides are: it is told of them."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array


class ByValue:
    """A structure that a kernel takes by value. Structures come before all other arguments."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class Function(Protocol):
    """A loaded kernel: it is launched by calling it.

    The arguments come packed as C lays them out; ``layout`` says how, in the letters of `struct`.
    """

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared: int,
        layout: str,
        packed: bytes,
    ) -> None: ...


class Driver(Protocol):
    """What knows a device: loads machine code, and launches. Tests have stand-ins."""

    def capability(self) -> tuple[int, int]:
        """Return the compute capability of the current device."""

    def device(self) -> int:
        """Return the number of the current device."""

    def multiprocessors(self) -> int:
        """Return how many multiprocessors the current device has."""

    def load(self, machine_code: bytes, entries: list[str]) -> dict[str, Function]:
        """Return the functions of some machine code."""

    def address(self, array: Any) -> int:
        """Return where an array's elements begin."""

    def device_of(self, array: Any) -> int | None:
        """Return the number of the device that an array lies on; None where on the host."""


def architecture_for(file: Source, capability: tuple[int, int]) -> str | None:
    """Return what a file is compiled for on a device; None where it isn't for that device."""
    plain = f"sm_{capability[0]}{capability[1]}"
    if not isinstance(file, str) or file not in ONLY:
        return plain
    return next((one for one in ONLY[file] if one in (plain, f"{plain}a")), None)


@functools.cache
def source_of(file: Source) -> str:
    """Return a file's text with its headers in place of their ``#include`` lines, each once."""
    folder = kernels_directory()
    seen: set[str] = set()

    def whole(name: str, text: str) -> str:
        lines = []
        for number, line in enumerate(text.splitlines(), 1):
            found = re.match(r'\s*#include "([\w.]+)"', line)
            if found is None or found[1] == "host_math.cuh":  # read by host compilers only
                lines.append("" if line.strip() == "#pragma once" else line)
            elif found[1] in seen:
                lines.append("")
            else:
                seen.add(found[1])
                lines.append(whole(found[1], read(folder / "include" / found[1])))
                lines.append(f'#line {number + 1} "{name}"')
        return f'#line 1 "{name}"\n' + "\n".join(lines)

    def read(path: Any) -> str:
        return str(path.read_text(encoding="utf-8"))

    return whole(file, read(folder / file)) if isinstance(file, str) else whole(*file)


def options_of(file: Source, defines: Mapping[str, Any]) -> list[str]:
    """Return the compiler's options for one variant of a file."""
    options = [f"-D{name}={value}" for name, value in sorted(defines.items())]
    if file == "gemm_hopper.cu":  # rounded to half precision at the end
        options.append("--use_fast_math")
    # Random numbers have the same bits everywhere: no product and sum become one.
    exact = file == "random.cu" or isinstance(file, Generated)
    return [*options, "--fmad=false"] if exact else options


def name_of(file: Source) -> str:
    """Return a source's name for messages."""
    return file if isinstance(file, str) else file.name


def entries_of(file: Source) -> list[str]:
    """Return the names of the kernels that a file holds."""
    return re.findall(r'extern "C" .*?TFL_KERNEL\([^)]*\)\s*(\w+)\(', source_of(file))


def compiled(file: Source, defines: Mapping[str, Any], architecture: str) -> bytes:
    """Return the machine code of one variant of a file, from the disk or from the compiler.

    Raises
    ------
    CompileError
        The compiler refuses it, or there is none.
    """
    found = nvrtc.compiler()
    version = "none" if found is None else f"{found.version[0]}.{found.version[1]}"
    options = options_of(file, defines)
    source = source_of(file)
    name = kernel_cache.key_of(architecture, version, source, *options) + ".cubin"
    code = kernel_cache.load(name)
    if code is None:
        code = nvrtc.compile_source(source, name_of(file), architecture, options)[0]
        kernel_cache.store(name, code)
    return code


def _within(sizes: tuple[int, ...], least: int, most: tuple[int, ...]) -> bool:
    return 0 < len(sizes) <= len(most) and all(
        least <= size <= bound for size, bound in zip(sizes, most, strict=False)
    )


class Kernels:
    """The kernels on the devices that a driver knows.

    Parameters
    ----------
    driver
        Loads and launches.
    compile
        ``(file, defines, architecture)`` to machine code.
    """

    def __init__(self, driver: Driver, compile: Callable[..., bytes] = compiled) -> None:
        self.driver = driver
        self._compile = compile
        self._loaded: dict[Any, dict[str, Function] | None] = {}
        self._told: set[str] = set()

    def multiprocessors(self) -> int:
        """Return how many multiprocessors the current device has."""
        return self.driver.multiprocessors()

    def ready(self, file: Source, **defines: Any) -> bool:
        """Return whether a variant of a file runs on the current device.

        The first call compiles it; a failure is told once, and what asked runs without it.
        """
        return self._functions(file, defines) is not None

    def _functions(self, file: Source, defines: dict[str, Any]) -> dict[str, Function] | None:
        key = (self.driver.device(), file, *defines.items())
        try:
            return self._loaded[key]
        except KeyError:
            pass
        architecture = architecture_for(file, self.driver.capability())
        functions = None
        if architecture is not None:
            try:
                code = self._compile(file, defines, architecture)
                functions = self.driver.load(code, entries_of(file))
            except (nvrtc.CompileError, DeviceError) as error:
                message = f"kernels: {error}; the slower way without the kernel is taken"
                if message not in self._told:
                    self._told.add(message)
                    warnings.warn(message, RuntimeWarning, stacklevel=4)
        self._loaded[key] = functions
        return functions

    def launch(
        self,
        file: Source,
        entry: str,
        defines: dict[str, Any],
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        *arguments: Any,
        shared: int = 0,
    ) -> None:
        """Launch a kernel.

        Parameters
        ----------
        file, entry, defines
            The variant, and the function in it.
        grid, block
            Numbers of blocks, and of threads in each. With no block nothing is launched.
        arguments
            Arrays in C order, or `AsItLies` in any (their addresses are handed on), None for a null
            pointer, ints (``long long``), floats (``double``), NumPy scalars and `ByValue` as they
            are.
        shared
            Bytes of dynamic shared memory.

        Raises
        ------
        DeviceError
            An array of another device, or a kernel that can't be had.
        ArgumentError
            An array that isn't in C order, an argument of another kind, or more blocks, threads or
            shared memory than there can be.
        """
        grid = grid if isinstance(grid, tuple) else (grid,)
        block = block if isinstance(block, tuple) else (block,)
        if not (len(grid) == len(block) == 1 and 0 <= grid[0] < 2**31 and 0 < block[0] <= 1024
                and 0 <= shared <= _SHARED_EVERYWHERE):  # fmt: skip
            self._check_sizes(entry, grid, block, shared)
        driver = self.driver
        current = driver.device()
        layout, values = "", []
        for place, argument in enumerate(arguments):
            kind = type(argument)
            if kind is int or kind is bool:
                layout += "q"
            elif kind is float:
                layout += "d"
            elif argument is None:
                layout += "P"
                argument = 0
            elif kind is ByValue or isinstance(argument, numpy.void):
                if layout.strip("0123456789s"):
                    raise ArgumentError(
                        f"{entry}: argument {place}, a structure, must come before all others; its "
                        "alignment isn't known"
                    )
                argument = argument.content if kind is ByValue else argument.tobytes()
                layout += f"{len(argument)}s"
            elif isinstance(argument, numpy.generic):
                layout += argument.dtype.char
                argument = argument.item()
            elif kind is AsItLies:
                if driver.device_of(argument.array) != current:
                    self._explain_array(entry, place, argument.array, current)
                layout += "P"
                argument = driver.address(argument.array)
            elif hasattr(argument, "strides"):
                if not argument.flags.c_contiguous or driver.device_of(argument) != current:
                    self._explain_array(entry, place, argument, current)
                layout += "P"
                argument = driver.address(argument)
            else:
                raise ArgumentError(
                    f"{entry}: argument {place} must be an array, a number or None, got "
                    f"{kind.__name__}"
                )
            values.append(argument)
        try:
            packed = struct.pack(layout, *values)
        except struct.error as error:
            raise ArgumentError(
                f"{entry}: all numbers must fit in the types of kernels, got {error} among "
                f"{arguments}"
            ) from None
        if 0 in grid:
            return
        functions = self._functions(file, defines)
        if functions is None:
            name = name_of(file)
            raise DeviceError(f"{entry}: {name} must run on this device; ask ready() first")
        functions[entry](grid, block, shared, layout, packed)

    def _explain_array(self, entry: str, place: int, array: Any, current: int) -> None:
        device = self.driver.device_of(array)
        if device == current:
            raise ArgumentError(
                f"{entry}: array {place} must be in C order, got strides {array.strides} of shape "
                f"{array.shape}"
            )
        place_of = "the host" if device is None else f"device {device}"
        raise DeviceError(
            f"{entry}: all arrays must lie on the current device {current}, got array {place} "
            f"on {place_of}"
        )

    def _check_sizes(self, entry: str, grid: Any, block: Any, shared: int) -> None:
        if not _within(block, 1, _MOST_OF_BLOCK) or math.prod(block) > _MOST_THREADS:
            raise ArgumentError(
                f"{entry}: a block must have 1 ... {_MOST_THREADS} threads, at most "
                f"{_MOST_OF_BLOCK} along its axes, got {block}"
            )
        if not _within(grid, 0, _MOST_BLOCKS):
            raise ArgumentError(
                f"{entry}: the grid must have at most {_MOST_BLOCKS} blocks, got {grid}"
            )
        if not 0 <= shared <= _SHARED_EVERYWHERE:
            most = _MOST_SHARED.get(self.driver.capability(), _SHARED_EVERYWHERE)
            if not 0 <= shared <= most:
                raise ArgumentError(
                    f"{entry}: a block must have at most {most} bytes of shared memory on this "
                    f"device, got {shared}"
                )
