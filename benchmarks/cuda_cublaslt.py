"""cuBLASLt through ctypes: the yardstick of the matrix products, apart from the package's own use.

Of the algorithms that its heuristic names, up to 16, each is run, and the fastest is the contender.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from tensorflowlite.backend.cuda.blas import candidates

DEFAULT, BIAS, GELU_AUX_BIAS, DGELU_BGRAD = 1, 4, 164, 208

_REAL = {"float32": 0, "float16": 2, "bfloat16": 14}
_COMPUTE_FLOAT32 = 68
_TRANSA, _TRANSB, _EPILOGUE, _BIAS, _AUX, _AUX_LD = 3, 4, 7, 8, 11, 12
_WORKSPACE_BYTES = 1
_WORKSPACE = 64 << 20
_MOST = 16


class _Heuristic(ctypes.Structure):
    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


class CublasLtError(RuntimeError):
    """A call that cuBLASLt refused, or no library."""


def find_library() -> ctypes.CDLL:
    """Return cuBLASLt, from where the package finds it.

    Raises
    ------
    CublasLtError
        There is none.
    """
    for place in candidates():
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    raise CublasLtError("libcublasLt.so wasn't found")


def stored(x: Any) -> tuple[bool, int]:
    """Return whether a matrix lies transposed in memory, and the length of its rows there.

    Examples
    --------
    >>> import numpy
    >>> stored(numpy.zeros((2, 3))), stored(numpy.zeros((2, 3)).T)
    ((False, 3), (True, 3))
    """
    if x.flags.c_contiguous:
        return False, x.shape[1]
    if x.T.flags.c_contiguous:
        return True, x.shape[0]
    raise CublasLtError(f"the matrix must be contiguous, got strides {x.strides} of {x.shape}")


class CublasLt:
    """A handle with a workspace.

    Parameters
    ----------
    cupy
        The array library that the arrays come from.
    once
        Times a call, in milliseconds.
    """

    def __init__(self, cupy: Any, once: Callable[[Callable[[], Any]], float]) -> None:
        self._library = find_library()
        self._cupy, self._once = cupy, once
        self._handle = ctypes.c_void_p()
        self._call("Create", ctypes.byref(self._handle))
        self._workspace = cupy.empty(_WORKSPACE, cupy.uint8)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, f"cublasLt{name}")(*arguments)
        if status:
            raise CublasLtError(f"cublasLt{name} gave status {status}")

    def _set(self, name: str, owner: Any, attribute: int, value: Any) -> None:
        size = ctypes.c_size_t(ctypes.sizeof(value))
        self._call(f"{name}SetAttribute", owner, attribute, ctypes.byref(value), size)

    def _layout(self, dtype: int, rows: int, columns: int, stride: int) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        sizes = ctypes.c_uint64(rows), ctypes.c_uint64(columns), ctypes.c_int64(stride)
        self._call("MatrixLayoutCreate", ctypes.byref(made), dtype, *sizes)
        return made

    def product(
        self, x: Any, y: Any, out: Any, epilogue: int = DEFAULT, bias: Any = None, aux: Any = None
    ) -> Callable[[], None]:
        """Return a call of the fastest algorithm for ``out = epilogue(x @ y)``.

        ``x`` and ``y`` may lie transposed; ``bias`` (or its gradient, which is written) runs along
        the columns of ``out``, ``aux`` has its shape.
        """
        # cuBLASLt's matrices are column-major: what it sees is outᵀ = yᵀ xᵀ.
        (rows, inner), columns = x.shape, y.shape[1]
        dtype = _REAL[str(out.dtype)]
        y_transposed, y_stride = stored(y)
        x_transposed, x_stride = stored(x)
        first, second = (columns, inner), (inner, rows)
        layouts = [
            self._layout(dtype, *(first[::-1] if y_transposed else first), y_stride),
            self._layout(dtype, *(second[::-1] if x_transposed else second), x_stride),
            self._layout(dtype, columns, rows, columns),
        ]
        description = ctypes.c_void_p()
        self._call("MatmulDescCreate", ctypes.byref(description), _COMPUTE_FLOAT32, 0)
        attributes: list[tuple[int, Any]] = [
            (_TRANSA, ctypes.c_int32(y_transposed)),
            (_TRANSB, ctypes.c_int32(x_transposed)),
            (_EPILOGUE, ctypes.c_uint32(epilogue)),
        ]
        if bias is not None:
            attributes.append((_BIAS, ctypes.c_void_p(bias.data.ptr)))
        if aux is not None:
            attributes.append((_AUX, ctypes.c_void_p(aux.data.ptr)))
            attributes.append((_AUX_LD, ctypes.c_int64(columns)))
        for attribute, value in attributes:
            self._set("MatmulDesc", description, attribute, value)

        def call_of(algorithm: Any) -> Callable[[], None]:
            one, zero = ctypes.c_float(1), ctypes.c_float(0)
            address = [ctypes.c_void_p(array.data.ptr) for array in (y, x, out)]

            def call() -> None:
                stream = ctypes.c_void_p(self._cupy.cuda.get_current_stream().ptr)
                self._call(
                    "Matmul", self._handle, description, ctypes.byref(one), address[0], layouts[0],
                    address[1], layouts[1], ctypes.byref(zero), address[2], layouts[2], address[2],
                    layouts[2], ctypes.byref(algorithm), ctypes.c_void_p(self._workspace.data.ptr),
                    ctypes.c_size_t(_WORKSPACE), stream,
                )  # fmt: skip

            call.arrays = (x, y, out, bias, aux)  # type: ignore[attr-defined]  # they stay alive
            return call

        return self._fastest([call_of(one) for one in self._algorithms(description, layouts)])

    def _algorithms(self, description: Any, layouts: list[Any]) -> list[Any]:
        preference = ctypes.c_void_p()
        self._call("MatmulPreferenceCreate", ctypes.byref(preference))
        size = ctypes.c_uint64(_WORKSPACE)
        self._set("MatmulPreference", preference, _WORKSPACE_BYTES, size)
        results, count = (_Heuristic * _MOST)(), ctypes.c_int()
        self._call(
            "MatmulAlgoGetHeuristic", self._handle, description, *layouts, layouts[2], preference,
            _MOST, results, ctypes.byref(count),
        )  # fmt: skip
        self._call("MatmulPreferenceDestroy", preference)
        return [one.algorithm for one in results[: count.value] if not one.state]

    def _fastest(self, calls: list[Callable[[], None]]) -> Callable[[], None]:
        best: tuple[float, Callable[[], None]] | None = None
        for call in calls:
            try:
                call()
                taken = min(self._once(call) for _ in range(3))
            except CublasLtError:
                continue
            if best is None or taken < best[0]:
                best = taken, call
        if best is None:
            raise CublasLtError("no algorithm runs this product")
        return best[1]
