"""NVIDIA's run-time compiler, called through ctypes: CUDA C++ in, machine code out.

It needs no GPU and no toolkit: the wheel ``nvidia-cuda-nvrtc`` is enough, which ``cupy[ctk]`` and
PyTorch bring along.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import TensorflowliteError
from . import libraries


class CompileError(TensorflowliteError, RuntimeError):
    """A kernel's source that the compiler refuses; ``log`` holds all that it printed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class Compiler(NamedTuple):
    """The library, and its version."""

    library: ctypes.CDLL
    version: tuple[int, int]


@functools.cache
def compiler() -> Compiler | None:
    """Return the compiler; None where none is installed.

    Examples
    --------
    >>> found = compiler()
    >>> found is None or found.version >= (12, 0)
    True
    """
    for name in libraries.candidates("libnvrtc", "cuda_nvrtc"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        major, minor = ctypes.c_int(), ctypes.c_int()
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        if library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)) == 0:
            return Compiler(library, (major.value, minor.value))
    return None


def why_not() -> str:
    """Return why nothing can be compiled, with the command that mends it; "" where it can.

    Examples
    --------
    >>> (why_not() == "") == (compiler() is not None)
    True
    """
    if compiler() is None:
        return (
            "nvrtc: kernels are compiled by libnvrtc.so, got none; run: "
            "pip install nvidia-cuda-nvrtc"
        )
    return ""


def first_error(log: str) -> str:
    """Return the first error that a compiler's log tells of, in one line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")


def compile_source(
    source: str, name: str, architecture: str, options: Sequence[str] = ()
) -> tuple[bytes, str]:
    """Compile one file to machine code (a cubin), or to PTX.

    Parameters
    ----------
    source, name
        The text, and the file's name for messages.
    architecture
        ``"sm_80"``, or ``"sm_90a"`` for what only Hopper has; ``"compute_90a"`` for its PTX.
    options
        More options, as NVRTC takes them.

    Returns
    -------
    machine_code : bytes
    log : str
        What the compiler printed; warnings, and ptxas' report where it was asked for.

    Raises
    ------
    CompileError
        The source has an error, or no compiler is installed.
    """
    found = compiler()
    if found is None:
        raise CompileError(why_not())  # the same for every file, so that it is told once
    library = found.library
    program = ctypes.c_void_p()
    _check(found, library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), name.encode(), 0, None, None), name)  # fmt: skip
    try:
        texts = [f"-arch={architecture}", "-std=c++17", "--device-as-default-execution-space"]
        texts += options
        array = (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])
        status = library.nvrtcCompileProgram(program, len(texts), array)
        log = _read(found, program, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
        if status:
            raise CompileError(
                f"{name}: it must compile for {architecture}, got: {first_error(log)}", log
            )
        kind = "PTX" if architecture.startswith("compute_") else "CUBIN"
        return _read(found, program, kind), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _check(found: Compiler, status: int, name: str) -> None:
    if status:
        message = found.library.nvrtcGetErrorString(status).decode()
        raise CompileError(f"{name}: NVRTC must take the program, got {message}")


def _read(found: Compiler, program: ctypes.c_void_p, what: str) -> bytes:
    """Return one of a program's results, whose size NVRTC tells first."""
    size = ctypes.c_size_t()
    _check(found, getattr(found.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), what)
    text = ctypes.create_string_buffer(size.value)
    _check(found, getattr(found.library, f"nvrtcGet{what}")(program, text), what)
    return text.raw
