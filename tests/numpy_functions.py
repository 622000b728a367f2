"""Calls of NumPy's public functions, for the test of what they mean on tensors, and for the page.

``python -m tests.numpy_functions`` writes ``docs/numpy-functions.md`` from the table of
``ops/numpy_table.py``; a test fails when it is stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tensorflowlite.ops.numpy_table import CONSTANT, FUNCTIONS, UFUNCS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "numpy-functions.md"
PLACES: dict[str, ModuleType] = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft}


def public_functions() -> dict[str, Any]:
    """Every public function that hands its call over to a tensor, by the name that NumPy gives."""
    found = {}
    for place, module in PLACES.items():
        for name in sorted(set(dir(module)) - {"test"}):
            value = getattr(module, name)
            if name.startswith("_") or isinstance(value, type):
                continue
            if isinstance(value, np.ufunc):
                found[f"{place}.{value.__name__}"] = value
            elif hasattr(value, "_implementation"):  # what NumPy's dispatcher gives a function
                found[f"{value.__module__}.{value.__name__}"] = value
    return found


def meaning(name: str) -> str:
    """``"recorded"``, ``"constant"`` or ``"refused"``."""
    if name in CONSTANT:
        return "constant"
    return "recorded" if name in UFUNCS or name in FUNCTIONS else "refused"


# -- a call of each --------------------------------------------------------------------------------
_rng = np.random.default_rng(0)


def draw(*shape: int, low: float = 0.2, high: float = 0.9) -> Any:
    return _rng.uniform(low, high, shape)


X, Y, SQUARE, VECTOR = draw(3, 4), draw(3, 4), draw(3, 3), draw(4)
DEFINITE = SQUARE @ SQUARE.T + np.eye(3)
ROWS, MASK = np.array([2, 0, 1]), X > 0.5
COUNTS = _rng.integers(0, 5, (3, 4))

Call = tuple[tuple[Any, ...], dict[str, Any]]


def call(*args: Any, **options: Any) -> Call:
    return args, options


CALLS: dict[str, list[Call]] = {
    "numpy.matmul": [call(X, Y.T), call(SQUARE, draw(3))],
    "numpy.vecdot": [call(X, Y)],
    "numpy.matvec": [call(X, VECTOR)],
    "numpy.vecmat": [call(VECTOR, X.T)],
    "numpy.arccosh": [call(X + 1)],
    "numpy.ldexp": [call(X, COUNTS)],
    "numpy.sum": [call(X), call(X, 1), call(X, axis=(0, 1), keepdims=True, initial=2.0),
                  call(X, where=MASK), call(X, dtype=np.float32)],
    "numpy.prod": [call(X), call(X, axis=-1, where=MASK)],
    "numpy.max": [call(X), call(X, axis=0, initial=0.5), call(X, 0, None, True)],
    "numpy.min": [call(X), call(X, axis=1, initial=0.5, where=MASK)],
    "numpy.mean": [call(X), call(X, 0), call(X, axis=1, where=Y > 0, keepdims=True)],
    "numpy.std": [call(X), call(X, axis=0, ddof=1)],
    "numpy.var": [call(X), call(X, axis=0, ddof=1), call(X, 1, where=Y > 0.1)],
    "numpy.append": [call(X, Y), call(X, Y, axis=0)],
    "numpy.apply_along_axis": [call(lambda row: row * row.sum(), 1, X)],
    "numpy.apply_over_axes": [call(np.sum, X, (0, 1))],
    "numpy.argpartition": [call(VECTOR, [0, 1, 2, 3])],
    "numpy.partition": [call(VECTOR, [0, 1, 2, 3])],
    "numpy.array_equal": [call(X, X), call(X, Y)],
    "numpy.array_equiv": [call(X, X)],
    "numpy.array_split": [call(X, 3, axis=1), call(X, [1, 2])],
    "numpy.astype": [call(X, np.float32)],
    "numpy.average": [call(X), call(X, axis=1, weights=VECTOR)],
    "numpy.bincount": [call(COUNTS.ravel(), X.ravel(), 7)],
    "numpy.block": [call([[X, Y], [Y, X]])],
    "numpy.broadcast_to": [call(X, (2, 3, 4))],
    "numpy.broadcast_arrays": [call(X, VECTOR)],
    "numpy.can_cast": [call(np.float32, np.float64)],
    "numpy.choose": [call(np.array([0, 1, 1, 0]), [VECTOR, VECTOR * 2])],
    "numpy.clip": [call(X, 0.3, 0.7), call(X, None, Y)],
    "numpy.column_stack": [call([VECTOR, VECTOR])],
    "numpy.compress": [call([True, False, True], X, axis=0)],
    "numpy.concatenate": [call([X, Y]), call((X, Y), axis=None), call([X, Y], -1)],
    "numpy.convolve": [call(VECTOR, draw(3)), call(VECTOR, draw(3), "same")],
    "numpy.correlate": [call(VECTOR, draw(3)), call(VECTOR, draw(3), "full")],
    "numpy.cross": [call(SQUARE, draw(3, 3))],
    "numpy.delete": [call(X, 1, axis=0), call(X, [0, 2], 1)],
    "numpy.diag": [call(SQUARE), call(VECTOR, 1)],
    "numpy.diff": [call(X), call(X, 2, axis=0), call(VECTOR, prepend=0.0)],
    "numpy.digitize": [call(X, np.array([0.2, 0.5, 0.7]))],
    "numpy.dot": [call(X, Y.T), call(VECTOR, VECTOR), call(X, 2.0)],
    "numpy.dsplit": [call(draw(2, 2, 4), 2)],
    "numpy.ediff1d": [call(X, to_begin=1.0)],
    "numpy.einsum": [call("ij,ij->i", X, Y)],
    "numpy.expand_dims": [call(X, 1), call(X, (0, -1))],
    "numpy.extract": [call(MASK, X)],
    "numpy.nan_to_num": [call(X, nan=1.0)],
    "numpy.unique_all": [call(X)],
    "numpy.corrcoef": [call(X)],
    "numpy.linalg.eig": [],
    "numpy.linalg.eigh": [],
    "numpy.linalg.qr": [call(X.T)],
    "numpy.linalg.svd": [call(X.T, full_matrices=False)],
    "numpy.imag": [call(X + 1j * Y)],
    "numpy.cumulative_sum": [call(VECTOR), call(X, axis=0, include_initial=True)],
    "numpy.cumulative_prod": [call(VECTOR), call(X, axis=1)],
    "numpy.full_like": [call(X, 3.0)],
    "numpy.geomspace": [call(VECTOR, VECTOR + 1, 5)],
    "numpy.linspace": [call(VECTOR, VECTOR + 1, 5), call(0.0, VECTOR, 5, endpoint=False, axis=-1)],
    "numpy.logspace": [call(VECTOR, VECTOR + 1, 5)],
    "numpy.gradient": [call(VECTOR), call(VECTOR, 0.5)],
    "numpy.histogram": [call(X, 4), call(X, [0.0, 0.4, 1.0])],
    "numpy.hsplit": [call(X, 2)],
    "numpy.hstack": [call([X, Y])],
    "numpy.vstack": [call([X, Y])],
    "numpy.dstack": [call([X, Y])],
    "numpy.inner": [call(X, Y), call(VECTOR, VECTOR)],
    "numpy.insert": [call(X, 1, 9.0, axis=0)],
    "numpy.interp": [call(X, np.array([0.0, 0.5, 1.0]), draw(3))],
    "numpy.intersect1d": [call(COUNTS, COUNTS + 2)],
    "numpy.union1d": [call(COUNTS, COUNTS + 2)],
    "numpy.setdiff1d": [call(COUNTS, COUNTS + 2)],
    "numpy.setxor1d": [call(COUNTS, COUNTS + 2)],
    "numpy.isin": [call(COUNTS, [1, 2])],
    "numpy.isclose": [call(X, Y)],
    "numpy.allclose": [call(X, X)],
    "numpy.ix_": [call(ROWS, ROWS)],
    "numpy.kron": [call(SQUARE, X)],
    "numpy.lexsort": [call((VECTOR, VECTOR[::-1]))],
    "numpy.matrix_transpose": [call(X)],
    "numpy.meshgrid": [call(VECTOR, draw(3)), call(VECTOR, draw(3), indexing="ij")],
    "numpy.moveaxis": [call(X, 0, 1)],
    "numpy.nanpercentile": [call(X, 30)],
    "numpy.nanquantile": [call(X, 0.3, axis=1)],
    "numpy.percentile": [call(X, 30), call(X, [20, 70], axis=0)],
    "numpy.quantile": [call(X, 0.3), call(X, 0.5, axis=1, method="nearest")],
    "numpy.outer": [call(VECTOR, VECTOR)],
    "numpy.pad": [call(X, 1), call(X, ((1, 2), (0, 1)), mode="reflect")],
    "numpy.piecewise": [call(VECTOR, [VECTOR > 0.5], [lambda v: v * 2, lambda v: v])],
    "numpy.polyval": [call(VECTOR, X)],
    "numpy.put_along_axis": [],
    "numpy.ravel_multi_index": [call((ROWS, ROWS), (3, 3))],
    "numpy.unravel_index": [call(ROWS, (3, 3))],
    "numpy.repeat": [call(X, 2), call(X, 2, axis=1)],
    "numpy.reshape": [call(X, (4, 3)), call(X, -1)],
    "numpy.resize": [call(X, (2, 5))],
    "numpy.result_type": [call(X, np.float32)],
    "numpy.roll": [call(X, 1), call(X, (1, 2), axis=(0, 1))],
    "numpy.rollaxis": [call(draw(2, 3, 4), 2)],
    "numpy.rot90": [call(X), call(X, 2)],
    "numpy.round": [call(X, 1)],
    "numpy.searchsorted": [call(np.sort(VECTOR), X), call(np.sort(VECTOR), 0.4, side="right")],
    "numpy.select": [call([MASK, Y > 0.5], [X, Y], 3.0)],
    "numpy.split": [call(X, 2, axis=1), call(X, [1])],
    "numpy.squeeze": [call(X[None]), call(X[None], axis=0)],
    "numpy.stack": [call([X, Y]), call([X, Y], axis=-1)],
    "numpy.swapaxes": [call(X, 0, 1)],
    "numpy.take": [call(X, [0, 2]), call(X, ROWS, axis=0), call(X, [[5, 1]], 1, mode="wrap")],
    "numpy.take_along_axis": [call(X, np.argsort(X, 1), 1)],
    "numpy.tensordot": [call(X, Y, axes=([1], [1]))],
    "numpy.tile": [call(X, (2, 1))],
    "numpy.trace": [call(SQUARE), call(SQUARE, 1)],
    "numpy.transpose": [call(X), call(draw(2, 3, 4), (1, 2, 0))],
    "numpy.tril": [call(X, -1)],
    "numpy.trim_zeros": [call(np.array([0, 1, 2, 0])), call(VECTOR)],
    "numpy.vander": [call(VECTOR), call(VECTOR, 3, increasing=True)],
    "numpy.vdot": [call(X, Y)],
    "numpy.vsplit": [call(draw(4, 2), 2)],
    "numpy.where": [call(MASK, X, Y), call(MASK)],
    "numpy.diag_indices_from": [call(SQUARE)],
    "numpy.tril_indices_from": [call(SQUARE)],
    "numpy.triu_indices_from": [call(SQUARE)],
    "numpy.cov": [call(X), call(X, rowvar=False, ddof=0)],
    "numpy.i0": [call(VECTOR)],
    "numpy.sort": [call(X), call(X, axis=None), call(X, 0)],
    "numpy.linalg.cross": [call(SQUARE, draw(3, 3))],
    "numpy.linalg.matmul": [call(X, Y.T)],
    "numpy.linalg.tensordot": [call(X, Y, axes=([1], [1]))],
    "numpy.linalg.vecdot": [call(X, Y)],
    "numpy.linalg.outer": [call(VECTOR, VECTOR)],
    "numpy.linalg.matrix_transpose": [call(X)],
    "numpy.linalg.lstsq": [call(X.T, VECTOR)],
    "numpy.linalg.solve": [call(DEFINITE, draw(3)), call(DEFINITE, X)],
    "numpy.linalg.tensorsolve": [call(DEFINITE, draw(3))],
    "numpy.linalg.tensorinv": [call(DEFINITE.reshape(3, 3), 1)],
    "numpy.linalg.multi_dot": [call([X, Y.T, SQUARE])],
    "numpy.linalg.matrix_power": [call(SQUARE, 3), call(DEFINITE, -2)],
    "numpy.linalg.norm": [call(X), call(X, axis=1), call(VECTOR, 1), call(X, "nuc")],
    "numpy.linalg.vector_norm": [call(X, axis=1)],
}  # fmt: skip
# Functions that change their first argument.
CHANGING: dict[str, Call] = {
    "numpy.copyto": call(X, Y, where=MASK),
    "numpy.putmask": call(X, MASK, Y),
    "numpy.place": call(X, MASK, draw(3)),
    "numpy.put": call(X, [0, 5], draw(2)),
    "numpy.put_along_axis": call(X, np.argmax(X, 1)[:, None], draw(3, 1), 1),
    "numpy.fill_diagonal": call(SQUARE, 5.0),
}
# What reads one triangle of a matrix: they are differentiated along symmetric directions.
SYMMETRIC = {"numpy.linalg.cholesky", "numpy.linalg.eigvalsh"}
_COMPLEX = {"numpy.fft.hfft", "numpy.fft.irfft", "numpy.fft.irfft2", "numpy.fft.irfftn"}


def calls_of(name: str, function: Any) -> Iterator[Call]:
    """The calls of a function: listed ones, or with one array where nothing is listed."""
    if name in CALLS:
        yield from CALLS[name]
    elif isinstance(function, np.ufunc):
        kinds = "".join(function.types)
        if "d" in kinds or "e" in kinds:
            yield call(*[(X, Y)[i % 2] for i in range(function.nin)])
        else:
            yield call(*[COUNTS for _ in range(function.nin)])
    elif name.startswith("numpy.linalg."):
        yield call(DEFINITE)
    elif name in _COMPLEX:
        yield call(X + 1j * Y)
    else:
        yield call(X)


# -- the page --------------------------------------------------------------------------------------
_HEAD = """# NumPy's functions on tensors

`np.sin(t)`, `np.add.reduce(t)`, `np.concatenate([t, u])`, `array @ t`: where a NumPy function meets
a `Tensor`, the operation of that meaning runs on the tensor's device and is recorded. A function is

- **recorded**: gradients pass through it;
- **constant**: its result depends on shapes, dtypes or the order of values only, or is a truth
  value or a histogram; it has no gradient;
- **refused**: it raises a `TypeError` that names a way out.

Nothing is detached in silence: a tensor that requires grad isn't read as a bare array. Universal
functions take `out=`, `where=`, `dtype=` and their methods `reduce`, `accumulate`, `reduceat`,
`outer`, and `at` for `add` and `subtract`; where `where=` is false and no `out=` is given the
result is zero. `out=` must be a tensor where a gradient would pass. The universal functions of
`scipy.special` that stand in the table are recorded too.

The page is generated from `tensorflowlite/ops/numpy_table.py` (`python -m tests.numpy_functions`).
"""


def page() -> str:
    """The text of ``docs/numpy-functions.md``."""
    functions = public_functions()
    parts = [_HEAD]
    groups: list[tuple[str, Callable[[str], bool]]] = [
        ("Universal functions", lambda n: n.count(".") == 1 and isinstance(functions[n], np.ufunc)),
        ("numpy", lambda n: n.count(".") == 1 and not isinstance(functions[n], np.ufunc)),
        ("numpy.linalg", lambda n: n.startswith("numpy.linalg.")),
        ("numpy.fft", lambda n: n.startswith("numpy.fft.")),
    ]
    for title, belongs in groups:
        names = [name for name in functions if belongs(name)]
        parts.append(f"## {title}\n\n| | |\n|---|---|")
        for kind in ("recorded", "constant", "refused"):
            listed = [f"`{n.rpartition('.')[2]}`" for n in sorted(names) if meaning(n) == kind]
            parts.append(f"| {kind} | {' '.join(listed) or '–'} |")
        parts.append("")
    special = [f"`{n.rpartition('.')[2]}`" for n in sorted(UFUNCS) if n.startswith("scipy")]
    parts.append(f"## scipy.special\n\n| | |\n|---|---|\n| recorded | {' '.join(special)} |\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
