"""What every row of the op table promises, on every backend."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import ops
from tensorflowlite.backend import numpy_backend
from tensorflowlite.backend.native import extension as native
from tensorflowlite.backend.native import slots as native_slots
from tensorflowlite.core.primitive import registry
from tensorflowlite.errors import TensorflowliteError

from . import op_properties as properties
from .backends import TestBackend, all_backends
from .op_table import Row, all_rows

for _module in pkgutil.iter_modules(ops.__path__):  # some are imported at first use only
    importlib.import_module(f"{ops.__name__}.{_module.name}")
ROWS = all_rows()
GRADIENT_DTYPES = ("float64", "complex128")
READING_DTYPES = ("float32", "float16", "bfloat16", "complex64")
# The form of every error: `op: requirement, got values; hint`.
FORM = re.compile(r"^[\w.]+: .+", re.DOTALL)


def cases(dtypes: tuple[str, ...] | None = None, differentiable: bool = False) -> list[Any]:
    """Return a case per row, backend and dtype."""
    return [
        pytest.param(row, backend, dtype, id=f"{row.name}-{backend.name}-{dtype}")
        for row in ROWS
        for backend in all_backends()
        for dtype in row.dtypes
        if (dtypes is None or dtype in dtypes) and not (differentiable and row.orders == 0)
    ]


@pytest.mark.parametrize(("row", "backend", "dtype"), cases())
def test_value(row: Row, backend: TestBackend, dtype: str) -> None:
    properties.check_value(row, backend, dtype)


@pytest.mark.parametrize(("row", "backend", "dtype"), cases(GRADIENT_DTYPES, True))
def test_gradients(row: Row, backend: TestBackend, dtype: str) -> None:
    properties.check_gradients(row, backend, dtype)


@pytest.mark.parametrize(("row", "backend", "dtype"), cases(READING_DTYPES, True))
def test_raw_rules_and_traced_ones(row: Row, backend: TestBackend, dtype: str) -> None:
    properties.check_readings(row, backend, dtype)


@pytest.mark.parametrize(
    ("row", "backend"),
    [
        pytest.param(row, backend, id=f"{row.name}-{backend.name}")
        for row in ROWS
        for backend in all_backends()
        if row.orders == 0
    ],
)
def test_no_gradient(row: Row, backend: TestBackend) -> None:
    properties.check_no_gradient(row, backend)


@pytest.mark.parametrize(
    ("row", "backend", "arguments", "exception", "text"),
    [
        pytest.param(row, backend, *error, id=f"{row.name}-{backend.name}-{i}")
        for row in ROWS
        for backend in all_backends()
        for i, error in enumerate((*row.errors, *(row.host_errors if backend.on_host else ())))
    ],
)
def test_errors(row: Row, backend: TestBackend, arguments: Any, exception: Any, text: str) -> None:
    def tensor(array: Any) -> tfl.Tensor:
        return backend.tensor(array)

    with pytest.raises(exception) as caught:
        row.function(*properties.mapped(arguments, tensor))
    assert isinstance(caught.value, TensorflowliteError)
    assert text in str(caught.value)
    assert FORM.match(str(caught.value)), str(caught.value)


# -- the fused operations --------------------------------------------------------------------------
def implemented(row: Row, backend: TestBackend) -> list[str]:
    """Return what a row covers that has a decomposition and, on this backend, a slot too."""
    return [
        name
        for name in row.covers
        if name in registry
        and registry[name].decompose is not None
        and name in backend.backend.slots
    ]


@pytest.mark.parametrize(
    ("row", "backend", "dtype"),
    [
        case
        for case in cases(("float64", "float32", "bfloat16"))
        if implemented(case.values[0], case.values[1])
    ],
)
def test_implementation_and_decomposition(row: Row, backend: TestBackend, dtype: str) -> None:
    properties.check_decomposition(row, backend, dtype, implemented(row, backend))


def test_rows_without_the_native_extension() -> None:
    """Where the extension is loaded: the rows of what it implements hold without it, too."""
    if native.module is None:
        return  # then all the other tests ran without it
    names = native_slots.slots(numpy_backend.slots)
    # pytest -k knows no spaces: a row's first word stands for all that begin with it.
    rows = sorted({row.name.split()[0] for row in ROWS if set(row.covers) & set(names)})
    assert rows, "no row covers what the extension implements"
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__,
         "-k", f"numpy and ({' or '.join(rows)})"],
        env={**os.environ, "TENSORFLOWLITE_NATIVE": "0", "TENSORFLOWLITE_TEST_BACKEND": ""},
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-3000:]
    assert " passed" in found.stdout and "TENSORFLOWLITE_NATIVE=0" in found.stdout


# -- completeness ----------------------------------------------------------------------------------
def test_every_primitive_has_a_row() -> None:
    covered = {name for row in ROWS for name in row.covers}
    assert sorted(set(registry) - covered) == []
    assert sorted(covered - set(registry)) == []


DEVICES = [backend for backend in all_backends() if not backend.on_host]


@pytest.mark.parametrize(
    ("row", "backend"),
    [
        pytest.param(row, backend, id=f"{row.name}-{backend.name}")
        for row in ROWS
        for backend in DEVICES
    ],
)
def test_a_row_runs_what_it_covers(row: Row, backend: TestBackend) -> None:
    """Each primitive that a row stands for is called, forward, backward or twice backward."""
    called = {name for name in row.covers if properties.has_implementation(name, backend)}
    assert sorted(called - properties.primitives_run(row, backend)) == []


# Updates by norms and means of a whole matrix: an empty one has none.
OF_MATRICES = (("adafactor_step",), ("muon_step",))


def test_rows_have_the_four_kinds_of_input() -> None:
    """Over all rows: 0-d, empty and non-contiguous arrays are everywhere that they can be."""
    for row in ROWS:
        arrays = [a for sample in row.drawn(row.dtypes[0]) for a in properties.arrays_of(sample)]
        if any(a.ndim > 0 for a in arrays):
            empty = any(a.size == 0 for a in arrays) or row.covers[:1] in OF_MATRICES
            assert empty, f"{row.name} has no empty sample"
            assert any(not a.flags.c_contiguous for a in arrays), (
                f"{row.name} has no strided sample"
            )


def test_draws_are_the_same_each_time() -> None:
    row = ROWS[0]
    first, second = row.drawn("float64"), row.drawn("float64")
    np.testing.assert_array_equal(first[0].args[0], second[0].args[0])
