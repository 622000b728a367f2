"""The properties of the op table, as functions of a row and a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import Primitive, registry

from .backends import TestBackend
from .op_table import Constant, Row, Sample

# Of gradients against differences of the reference: central ones, with a step of 1e-6.
STEP, CLOSE = 1e-6, 2e-7
# Raw rules promote as NumPy and ml_dtypes do, traced ones round after every operation.
READINGS = {"float16": 8e-3, "bfloat16": 6e-2}


# -- arguments -------------------------------------------------------------------------------------
def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return an argument with every array in it changed."""
    if isinstance(value, np.ndarray | Constant):
        return change(value)
    if type(value) in (tuple, list):
        return type(value)([mapped(one, change) for one in value])
    if type(value) is dict:
        return {key: mapped(one, change) for key, one in value.items()}
    return value


def arrays_of(sample: Sample) -> list[Any]:
    """Return the arrays that a sample is differentiated by."""
    found: list[Any] = []
    mapped((sample.args, sample.kwargs), lambda a: found.append(a) if _moves(a) else None)
    return found


def _moves(array: Any) -> bool:
    return not isinstance(array, Constant) and array.dtype in dtypes.inexact


def replaced(sample: Sample, arrays: list[Any], constant: Callable[[Any], Any]) -> Sample:
    """Return a sample with other things in place of the arrays it is differentiated by."""
    rest = iter(arrays)

    def change(array: Any) -> Any:
        if _moves(array):
            return next(rest)
        return constant(array.array if isinstance(array, Constant) else array)

    made = Sample()
    made.args, made.kwargs = mapped(sample.args, change), mapped(sample.kwargs, change)
    return made


def on_backend(
    sample: Sample, backend: TestBackend, requires_grad: bool
) -> tuple[Sample, list[Any]]:
    """Return a sample of tensors, and those that it is differentiated by."""
    leaves = [backend.tensor(a, requires_grad) for a in arrays_of(sample)]
    return replaced(sample, leaves, backend.tensor), leaves


def plain(sample: Sample, dtype: Any = None) -> Sample:
    """Return a sample of NumPy arrays, float ones in another dtype if one is given."""
    arrays = [a if dtype is None else a.astype(dtype) for a in arrays_of(sample)]
    return replaced(sample, arrays, lambda a: a)


def call(function: Callable[..., Any], sample: Sample) -> list[Any]:
    """Return the outputs of a call as a list."""
    found = function(*sample.args, **sample.kwargs)
    return list(found) if isinstance(found, tuple | list) else [found]


# -- values ----------------------------------------------------------------------------------------
def exact_of(dtype: str) -> Any:
    """Return the dtype in which the reference of a dtype is computed; None for its own."""
    if dtype in ("float16", "bfloat16", "float32"):
        return np.float64
    return np.complex128 if dtype == "complex64" else None


def expected_dtypes(row: Row, dtype: str, sample: Sample) -> list[Any]:
    """Return the dtypes of the results: those of the reference, bfloat16 as float32's."""
    native = np.float32 if dtype == "bfloat16" else None
    found = []
    for result in call(row.reference, plain(sample, native)):
        kind = np.asarray(result).dtype
        if row.dtype_of is not None:
            kind = dtypes.as_dtype(row.dtype_of(dtype, kind))
        elif dtype == "bfloat16" and kind == np.float32:
            kind = dtypes.bfloat16
        found.append(kind)
    return found


def check_value(row: Row, backend: TestBackend, dtype: str) -> None:
    """Value, dtype, shape and strides; no aliasing of inputs, which stay as they were."""
    for sample in row.drawn(dtype):
        where = f"{row.name} {dtype} {sample}"
        tensors, _ = on_backend(sample, backend, False)
        given = _raw_arrays(tensors)
        before = [backend.host(a).copy() for a in given]
        with np.errstate(all="ignore"):
            outputs = call(row.function, tensors)
            expected = call(row.reference, plain(sample, exact_of(dtype)))
        kinds = expected_dtypes(row, dtype, sample)
        assert len(outputs) == len(expected), where
        for out, want, kind in zip(outputs, expected, kinds, strict=True):
            assert type(out) is tfl.Tensor, where
            assert type(out.array) is backend.array_type, where
            assert out.dtype == kind, f"{where}: {out.dtype} instead of {kind}"
            assert_close(backend.host(out), want, row.tolerance.get(out.dtype.name, 0), where)
            if not row.view:
                check_own_memory(out.array, given, where)
        for array, old in zip(given, before, strict=True):
            assert backend.host(array).tobytes() == old.tobytes(), f"{where}: an input was changed"


def _raw_arrays(sample: Sample) -> list[Any]:
    found: list[Any] = []

    def walk(value: Any) -> None:
        if type(value) is tfl.Tensor:
            found.append(value.array)
        elif isinstance(value, tuple | list):
            for one in value:
                walk(one)

    walk((*sample.args, *sample.kwargs.values()))
    return found


def memory_of(array: Any) -> Any:
    """Return the NumPy array that lies under an array of NumPy or the shadow device."""
    return getattr(array, "_array", array)


def check_own_memory(out: Any, inputs: list[Any], where: str) -> None:
    """An output that is no view shares no memory with an input, nor elements with itself."""
    for one in inputs:
        if hasattr(memory_of(out), "__array_interface__"):
            assert not np.shares_memory(memory_of(out), memory_of(one)), (
                f"{where}: aliases an input"
            )
    for length, stride in zip(out.shape, out.strides, strict=True):
        assert length <= 1 or stride != 0 or out.size == 0, f"{where}: elements share memory"


def assert_close(found: Any, expected: Any, tolerance: float, where: str) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{where}: shape {found.shape}, not {expected.shape}"
    if found.dtype.kind not in "biu":
        kind = np.complex128 if found.dtype.kind == "c" else np.float64
        found, expected = found.astype(kind), expected.astype(kind)
    np.testing.assert_allclose(found, expected, tolerance, tolerance, err_msg=where)


# -- gradients -------------------------------------------------------------------------------------
def random_like(rng: Any, array: Any) -> Any:
    values = rng.normal(size=array.shape)
    return values + 1j * rng.normal(size=array.shape) if array.dtype.kind == "c" else values


def stepped(array: Any, step: Any) -> Any:
    """Return ``array + step``, laid out as the array is."""
    out = np.empty_like(array)
    out[...] = array + step
    return out


def dot(x: Any, y: Any) -> float:
    """The real inner product; complex numbers are pairs of reals."""
    return float(np.sum(np.real(np.conj(x) * y)))


def gradients(row: Row, backend: TestBackend, sample: Sample, weights: list[Any],
              trace: bool) -> tuple[list[Any], list[Any], list[Any]]:  # fmt: skip
    """Return the leaves, the incoming gradients and the gradients of one call."""
    tensors, leaves = on_backend(sample, backend, True)
    outputs = [y for y in call(row.function, tensors) if y.dtype in dtypes.inexact]
    incoming = [backend.tensor(w, trace) for w in weights]
    used = [(y, w) for y, w in zip(outputs, incoming, strict=True) if y.requires_grad]
    if not used:
        return leaves, incoming, [None] * len(leaves)
    found = tape.grad([y for y, _ in used], leaves, [w for _, w in used], create_graph=trace)
    return leaves, incoming, found


def check_gradients(row: Row, backend: TestBackend, dtype: str) -> None:
    """First and second derivatives along random directions, against differences.

    The first ones are held against the NumPy reference, which knows nothing of the tape; the second
    ones, of traced rules, against differences of what the raw rules give.
    """
    rng = np.random.default_rng(7)
    for sample in row.drawn(dtype):
        where = f"{row.name} {dtype} {sample}"
        points = arrays_of(sample)
        moves = [random_like(rng, a) for a in points]

        high, low = (reference_at(row, sample, moves, step) for step in (STEP, -STEP))
        weights = [random_like(rng, np.asarray(y)) for y in high]
        _, _, found = gradients(row, backend, sample, weights, trace=False)
        given = 0.0
        for g, array, v in zip(found, points, moves, strict=True):
            if g is not None:
                assert g.shape == array.shape and g.dtype == array.dtype, where
                given += dot(backend.host(g), v)
        expected = sum(
            dot(w, (y - z) / (2 * STEP)) for w, y, z in zip(weights, high, low, strict=True)
        )
        scale = 1 + abs(expected)
        assert abs(given - expected) <= CLOSE * scale, f"{where}: {given} instead of {expected}"
        if row.orders > 1:
            check_second(row, backend, sample, weights, moves, rng, where)


def reference_at(row: Row, sample: Sample, moves: list[Any], step: float) -> list[Any]:
    """Return the reference's float and complex outputs a step along ``moves``."""
    moved = [stepped(a, step * v) for a, v in zip(arrays_of(sample), moves, strict=True)]
    found = call(row.reference, replaced(sample, moved, lambda a: a))
    return [y for y in found if np.asarray(y).dtype.kind in "fc"]


def check_second(row: Row, backend: TestBackend, sample: Sample, weights: list[Any],
                 moves: list[Any], rng: Any, where: str) -> None:  # fmt: skip
    points = arrays_of(sample)
    outer = [random_like(rng, a) for a in points]
    pushes = [random_like(rng, w) for w in weights]

    def projected(step: float) -> float:
        moved = [stepped(a, step * v) for a, v in zip(points, moves, strict=True)]
        pushed = [w + step * p for w, p in zip(weights, pushes, strict=True)]
        at = replaced(sample, moved, Constant)
        _, _, found = gradients(row, backend, at, pushed, trace=False)
        return sum(
            dot(u, backend.host(g)) for u, g in zip(outer, found, strict=True) if g is not None
        )

    leaves, incoming, first = gradients(row, backend, sample, weights, trace=True)
    used = [(g, backend.tensor(u)) for g, u in zip(first, outer, strict=True)
            if g is not None and g.requires_grad]  # fmt: skip
    expected = (projected(STEP) - projected(-STEP)) / (2 * STEP)
    given = 0.0
    if used:
        second = tape.grad([g for g, _ in used], [*leaves, *incoming], [u for _, u in used])
        for g, v in zip(second, [*moves, *pushes], strict=True):
            if g is not None:
                given += dot(backend.host(g), v)
    # The first derivatives, of which this is a difference, are exact to 1e-12 or so.
    scale = 1 + abs(expected)
    assert abs(given - expected) <= 1e-6 * scale, f"{where}, order 2: {given} instead of {expected}"


def check_readings(row: Row, backend: TestBackend, dtype: str) -> None:
    """A rule read raw gives what it gives traced, in the input's dtype and for any layout of g."""
    rng = np.random.default_rng(11)
    tolerance = READINGS.get(dtype, row.tolerance[dtype])
    for sample in row.drawn(dtype):
        where = f"{row.name} {dtype} {sample}"
        tensors, _ = on_backend(sample, backend, False)
        shapes = [
            (y.shape, y.dtype) for y in call(row.function, tensors) if y.dtype in dtypes.inexact
        ]
        for layout in (dense, spread, repeated):
            weights = [layout(rng, shape, kind) for shape, kind in shapes]
            _, _, raw = gradients(row, backend, sample, weights, trace=False)
            _, _, traced = gradients(row, backend, sample, weights, trace=True)
            for one, two, array in zip(raw, traced, arrays_of(sample), strict=True):
                assert (one is None) == (two is None), where
                if one is None:
                    continue
                assert one.dtype == two.dtype == array.dtype, f"{where}: {one.dtype}, {two.dtype}"
                assert type(one.array) is type(two.array) is backend.array_type, where
                assert one.shape == two.shape == array.shape, where
                assert_close(backend.host(one), backend.host(two), tolerance, where)


def dense(rng: Any, shape: Any, kind: Any) -> Any:
    return np.asarray(random_like(rng, np.empty(shape, kind))).astype(kind)


def spread(rng: Any, shape: Any, kind: Any) -> Any:
    """An incoming gradient with gaps."""
    return dense(rng, (*shape, 2), kind)[..., 0]


def repeated(rng: Any, shape: Any, kind: Any) -> Any:
    """The incoming gradient of a sum: one number everywhere, read-only."""
    return np.broadcast_to(dense(rng, (), kind), shape)


def check_no_gradient(row: Row, backend: TestBackend) -> None:
    """What has no gradient gives tensors without history."""
    for sample in row.drawn(row.dtypes[0]):
        tensors, _ = on_backend(sample, backend, True)
        with np.errstate(all="ignore"):
            for out in call(row.function, tensors):
                assert not out.requires_grad, f"{row.name} {sample}"


# -- which primitives run, and what decomposes -----------------------------------------------------
@contextmanager
def spied(backend: TestBackend) -> Iterator[set[str]]:
    """Collect the names of the primitives that run on a backend (not NumPy: it is bound early)."""
    ran: set[str] = set()
    kind = backend.array_type
    before = {op: op.implementations.get(kind) for op in registry.values()}

    def watch(op: Primitive) -> None:
        try:
            run = op.implementations[kind]
        except AttributeError:
            return  # no slot: nothing can call it

        def implementation(*args: Any) -> Any:
            ran.add(op.name)
            return run(*args)

        if type(run).__name__ == "ufunc":  # what takes an array to write to must go on doing so
            implementation = type(
                "ufunc", (), {"__call__": lambda self, *a, **o: (ran.add(op.name), run(*a, **o))[1]}
            )()
        op.implementations[kind] = implementation

    for op in registry.values():
        watch(op)
    try:
        yield ran
    finally:
        for op, run in before.items():
            op.implementations.pop(kind, None)
            if run is not None:
                op.implementations[kind] = run


def has_implementation(name: str, backend: TestBackend) -> bool:
    """Whether a primitive can be called: of some only the gradient is ever run."""
    found = getattr(backend.backend, name, None)
    return found is not None or registry[name].decompose is not None


def primitives_run(row: Row, backend: TestBackend) -> set[str]:
    """Return the primitives that a row's samples run, up to its second derivatives."""
    rng = np.random.default_rng(3)
    with spied(backend) as ran, np.errstate(all="ignore"):
        wanted = [d for d in row.dtypes if d in ("float64", "complex128")] or row.dtypes[:1]
        for sample in [sample for dtype in wanted for sample in row.drawn(dtype)]:
            if row.orders == 0:
                call(row.function, on_backend(sample, backend, False)[0])
                continue
            tensors, leaves = on_backend(sample, backend, True)
            outputs = [y for y in call(row.function, tensors) if y.requires_grad]
            incoming = [backend.leaf(random_like(rng, backend.host(y))) for y in outputs]
            if not outputs:
                continue
            first = tape.grad(outputs, leaves, incoming, create_graph=True)
            again = [g for g in first if g is not None and g.requires_grad]
            if again:
                ones = [backend.tensor(random_like(rng, backend.host(g))) for g in again]
                tape.grad(again, [*leaves, *incoming], ones, create_graph=True)
    return ran


@contextmanager
def decomposed(backend: TestBackend, names: Any) -> Iterator[None]:
    """Run the decompositions of primitives instead of a backend's own implementations."""
    kind = backend.array_type
    ops = [registry[name] for name in names]
    before = {op: op.implementations[kind] for op in ops}
    slots = dict(backend.backend.slots)
    for op in ops:
        run = partial(op.decompose, backend.backend)
        op.implementations[kind] = run
        backend.backend.replace(op.name, run)  # what raw rules call
    try:
        yield
    finally:
        for op, run in before.items():
            op.implementations[kind] = run
            backend.backend.replace(op.name, slots[op.name])


def check_decomposition(row: Row, backend: TestBackend, dtype: str, names: list[str]) -> None:
    """What a backend implements gives what its decomposition gives, forward and backward."""
    rng = np.random.default_rng(5)
    tolerance = 4 * READINGS.get(dtype, row.tolerance[dtype])
    for sample in row.drawn(dtype):
        where = f"{row.name} {dtype} {sample}"
        tensors, _ = on_backend(sample, backend, False)
        fused = call(row.function, tensors)
        with decomposed(backend, names):
            apart = call(row.function, tensors)
        for one, two in zip(fused, apart, strict=True):
            assert one.dtype == two.dtype, where
            assert_close(backend.host(one), backend.host(two), tolerance, where)
        if row.orders == 0:
            continue
        weights = [dense(rng, y.shape, y.dtype) for y in fused if y.dtype in dtypes.inexact]
        _, _, with_kernels = gradients(row, backend, sample, weights, trace=False)
        with decomposed(backend, names):
            _, _, without = gradients(row, backend, sample, weights, trace=False)
        for one, two in zip(with_kernels, without, strict=True):
            assert (one is None) == (two is None), where
            if one is not None:
                assert_close(backend.host(one), backend.host(two), tolerance, where)
