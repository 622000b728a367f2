"""Random element programs and arrays for them, and how near to the slots' results is near.

A program's steps are held one by one: each against its slot on the very operands that the executor
gave, so that no error grows along a chain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.elements import programs
from tensorflowlite.backend.elements.programs import ElementProgram, Input, Reduction, Step
from tensorflowlite.backend.elements.table import FUNCTIONS, SUPPORTED
from tensorflowlite.backend.native import extension as native

Array = np.ndarray[Any, Any]
Run = Callable[[ElementProgram, Sequence[Array], Sequence[Array]], None]

# Whose results needn't have the slots' bits, and by how many units in the last place they may
# differ. Of those in IN_DOUBLE, float32's and halves' are held to double's.
IN_DOUBLE = {*FUNCTIONS, "power", "elu", "softplus"} - {"sqrt"}
UNITS: dict[str, float] = {
    **dict.fromkeys(IN_DOUBLE, 2.0), "tan": 3.0, "softplus": 3.0, "sigmoid": 3.0, "silu": 4.0,
    "erf": 4.0, "erfc": 5.0, "gelu": 4.0,
}  # fmt: skip
DTYPES = (
    dtypes.bool_, dtypes.int32, dtypes.int64, dtypes.float16, dtypes.bfloat16, dtypes.float32,
    dtypes.float64,
)  # fmt: skip
ATTRIBUTES: dict[str, list[tuple[Any, ...]]] = {
    "softplus": [(1.0, 20.0), (2.0, 3.0)], "leaky_relu": [(0.01,), (0.0,), (0.25,)],
    "elu": [(1.0,), (0.5,)], "hardtanh": [(-1.0, 1.0), (-0.3, 0.7)],
    "gelu": [("none",), ("tanh",)],
}  # fmt: skip
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    np.inf,
    -np.inf,
    np.nan,
    1e-40,
    -1e-40,
    3e38,
    7e4,
    -1e-6,
    100.0,
]
INTEGERS = [0, 1, -1, 2**31 - 1, -(2**31), 7, -12]


def units_apart(found: Array, wanted: Array) -> Array:
    """Return by how many units in the last place the values differ; NaN equals NaN."""
    if found.dtype.kind in "bi":
        return np.where(found == wanted, 0.0, np.inf)
    wide = np.float64 if found.dtype != dtypes.float64 else np.longdouble
    one, other = found.astype(wide), wanted.astype(wide)
    with np.errstate(all="ignore"):
        space = np.abs(_spacing(wanted).astype(wide))
        apart = np.abs(one - other) / space
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _spacing(x: Array) -> Array:
    if x.dtype != dtypes.bfloat16:
        return np.spacing(np.abs(x))
    _, exponent = np.frexp(np.abs(x).astype(np.float32))
    return np.ldexp(np.float32(1), np.maximum(exponent - 8, -133))


def same_bits(found: Array, wanted: Array) -> bool:
    """Whether values are the same, signs of zeros too; one NaN is like another."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if found.dtype.kind in "bi":
        return bool((found == wanted).all())
    nan = np.isnan(wanted)
    signs = np.signbit(found) == np.signbit(wanted)
    return bool(((found == wanted) & signs | nan & np.isnan(found)).all())


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return numbers of every size, some of them special."""
    dtype = np.dtype(dtype)
    if dtype == dtypes.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "i":
        small = rng.integers(-9, 10, shape)
        special = rng.choice(INTEGERS, shape)
        return np.where(rng.random(shape) < 0.2, special, small).astype(dtype)
    with np.errstate(all="ignore"):
        usual = rng.standard_normal(shape) * np.exp(rng.normal(0, 1.5, shape))
        special = rng.choice(SPECIAL, shape)
        return np.where(rng.random(shape) < 0.1, special, usual).astype(dtype)


def laid(rng: np.random.Generator, array: Array) -> Array:
    """Return the same numbers as some view: other orders of axes, steps, backwards."""
    way = rng.integers(0, 5)
    if way == 0 or array.ndim == 0:
        return array.copy()
    if way == 1:
        order = rng.permutation(array.ndim)
        return array.transpose(order).copy().transpose(np.argsort(order))
    steps = [int(rng.choice([1, 2, -1, -2] if way > 2 else [1, -1])) for _ in range(array.ndim)]
    room = np.zeros(
        [max(1, n * abs(s)) for n, s in zip(array.shape, steps, strict=True)], array.dtype
    )
    view = room[tuple(slice(None, None, s) for s in steps)]
    view = view[tuple(slice(0, n) for n in array.shape)]
    view[...] = array
    return view


def attributes_for(rng: np.random.Generator, op: str) -> tuple[Any, ...]:
    choices = ATTRIBUTES.get(op, [()])
    return choices[int(rng.integers(len(choices)))]


class Sample:
    """A program and arrays for it."""

    def __init__(
        self, seed: int, most_steps: int = 9, shapes: Any = None, dtypes: Any = DTYPES
    ) -> None:
        self.rng = rng = np.random.default_rng(seed)
        shapes = shapes or SHAPES
        self.shape: tuple[int, ...] = shapes[int(rng.integers(len(shapes)))]
        self.inputs = [self._input(i, dtypes) for i in range(int(rng.integers(1, 4)))]
        self.steps: list[Step] = []
        for _ in range(int(rng.integers(1, most_steps + 1))):
            self._add_step(dtypes)
        first, count = len(self.inputs), len(self.steps)
        outputs = {first + count - 1, *map(int, first + rng.integers(0, count, rng.integers(0, 3)))}
        self.program = ElementProgram(tuple(self.inputs), tuple(self.steps), tuple(outputs))
        if rng.random() < 0.5:
            self._end()
        self.arrays = [
            laid(rng, numbers(rng, self._shape_of(one), one.dtype)) for one in self.inputs
        ]
        programs.validate(self.program)

    def _input(self, number: int, dtypes: Any) -> Input:
        spans = tuple([number == 0 or bool(self.rng.random() < 0.7) for _ in self.shape])
        # An axis of length 1 is spanned by all.
        spans = tuple([span or size == 1 for span, size in zip(spans, self.shape, strict=True)])
        return Input(dtypes[int(self.rng.integers(len(dtypes)))], spans)

    def _shape_of(self, one: Input) -> tuple[int, ...]:
        return tuple([n if spans else 1 for n, spans in zip(self.shape, one.spans, strict=True)])

    def _dtype(self, value: int) -> Any:
        count = len(self.inputs)
        return self.inputs[value].dtype if value < count else self.steps[value - count].dtype

    def _add_step(self, allowed: Any) -> None:
        rng, values = self.rng, len(self.inputs) + len(self.steps)
        if rng.random() < 0.1:
            dtype = allowed[int(rng.integers(len(allowed)))]
            number = numbers(rng, (1,), dtype)[0]
            self.steps.append(programs.constant(number, dtype))
            return
        while True:
            key = KEYS[int(rng.integers(len(KEYS)))]
            op, wanted = key[0], (key[1:2] if key[0] == "cast" else key[1:])
            if any(dtype not in allowed for dtype in (*wanted, SUPPORTED[key])):
                continue
            places = [[v for v in range(values) if self._dtype(v) == dtype] for dtype in wanted]
            if not all(places):
                continue
            operands = tuple([int(rng.choice(place[-4:])) for place in places])
            attributes = (key[2],) if op == "cast" else attributes_for(rng, op)
            self.steps.append(Step(op, operands, attributes, SUPPORTED[key]))
            return

    def _end(self) -> None:
        rng = self.rng
        axes = tuple([i for i in range(len(self.shape)) if rng.random() < 0.5])
        op = str(rng.choice(programs.FOLDS))
        if op in ("max", "min") and 0 in [self.shape[axis] for axis in axes]:
            op = "sum"
        value = len(self.inputs) + len(self.steps) - 1
        outputs = self.program.outputs if rng.random() < 0.5 else ()
        reduction = Reduction(op, value, axes, bool(rng.random() < 0.5))
        self.program = self.program._replace(outputs=outputs, reduction=reduction)

    def outs(self, program: ElementProgram, plain: bool = False) -> list[Array]:
        """Return arrays to write to, in some layout; those of ``arrays`` where they may be."""
        shapes = [(self.shape, program.dtype_of(value)) for value in program.outputs]
        if program.reduction is not None:
            shapes.append((programs.result_shape(program, self.shape), program.result_dtype()))
        made = [np.full(shape, 7).astype(dtype) for shape, dtype in shapes]
        return made if plain else [laid(self.rng, one) for one in made]


# One element, ragged rows short and long, many axes, nothing.
SHAPES = [
    (), (1,), (7,), (3000,), (1, 1), (5, 3), (37, 41), (3, 1100), (1100, 3), (2, 3, 4), (9, 1, 130),
    (4, 17, 33), (2, 3, 2, 5), (0,), (3, 0), (0, 4), (2, 1, 3, 1, 2),
]  # fmt: skip
KEYS = sorted(SUPPORTED, key=str)


def every_value(program: ElementProgram) -> ElementProgram:
    """Return the program that writes all its steps' values."""
    first = len(program.inputs)
    outputs = tuple(range(first, first + len(program.steps)))
    return program._replace(outputs=outputs, reduction=None)


def hold_step(step: Step, operands: Sequence[Array], found: Array, more: float = 0.0) -> None:
    """Hold a step's result to that of its slot on the same operands."""
    small = ElementProgram(
        tuple([Input(x.dtype, (True,) * found.ndim) for x in operands]),
        (step._replace(operands=tuple(range(len(operands)))),), (len(operands),),
    )  # fmt: skip
    # The slots' kernels take what lies together.
    together = [np.array(x, order="C") for x in operands]
    wanted = np.broadcast_to(programs.values_by_numpy(small, together)[-1], found.shape)
    assert wanted.dtype == found.dtype == step.dtype, (step, wanted.dtype)
    if step.op not in UNITS:
        assert same_bits(found, wanted), what(step, operands, found, wanted)
        return
    if step.op == "gelu" and native.module is None:
        return  # NumPy's formula for it loses the tail
    halved = step.op == "gelu" and step.dtype in dtypes.half
    if halved or (step.op in IN_DOUBLE and step.dtype != dtypes.float64):
        with np.errstate(all="ignore"):
            exact = in_double(step, together)
            wanted = np.broadcast_to(exact.astype(step.dtype), found.shape)
    apart = units_apart(found, wanted)
    if halved:  # computed in float32, which may lose what is below its normal numbers
        tiny = np.maximum(np.abs(found), np.abs(wanted)).astype(np.float32) < 2.0**-126
        apart = np.where(tiny, 0, apart)
    allowed = np.broadcast_to(allowed_units(step, together) + more, found.shape)
    near = apart <= allowed
    assert near.all(), (apart.max(), what(step, operands, found, np.where(near, found, wanted)))


def in_double(step: Step, operands: Sequence[Array]) -> Array:
    """Return what a step's slot gives of the same operands in double."""
    wide = [x.astype(np.float64) for x in operands]
    if step.dtype in dtypes.half:  # of double's power with one exponent NumPy makes a root
        wide = [
            np.broadcast_to(x, np.broadcast_shapes(*[y.shape for y in wide])).copy() for x in wide
        ]
    return np.asarray(getattr(programs._slots(), step.op)(*wide, *step.attributes))


def allowed_units(step: Step, operands: Sequence[Array]) -> Any:
    if step.dtype in dtypes.half:
        return 1.0
    if step.op != "gelu":
        return UNITS[step.op]
    # Where it is an exponential, a rounding of its exponent (at most x^2 + |x|^3 / 4) shows.
    with np.errstate(all="ignore"):
        size = np.abs(operands[0].astype(np.float64))
        return UNITS[step.op] + np.where(size < 40, size**2 + size**3 / 4, 0)


def what(step: Step, operands: Sequence[Array], found: Array, wanted: Array) -> str:
    """Say where a result is wrong first."""
    if found.dtype.kind in "bi":
        wrong = found != wanted
    else:
        nan = np.isnan(found) & np.isnan(wanted)
        wrong = ~(nan | (found == wanted) & (np.signbit(found) == np.signbit(wanted)))
    places = np.argwhere(wrong)
    if not len(places):
        return f"{step}: other bits"
    at = tuple(places[0])
    own = [np.broadcast_to(x, found.shape)[at] for x in operands]
    return f"{step} at {at}: of {own} got {found[at]!r}, by the slot {wanted[at]!r}"


def hold_reduction(program: ElementProgram, value: Array, found: Array, unit: float) -> None:
    """Hold a reduction's result to the values'; ``unit``: the rounding of what it adds in."""
    assert program.reduction is not None
    op, _, axes, keepdims = program.reduction
    wide = value.astype(np.longdouble) if value.dtype.kind != "i" else value.astype(object)
    with np.errstate(all="ignore"):
        if op in ("max", "min"):
            wanted = getattr(np, op)(wide, axis=axes, keepdims=keepdims)
            wanted = np.asarray(wanted).astype(value.dtype)
            assert ((found == wanted) | (found != found) & (wanted != wanted)).all()
            return
        if value.dtype.kind in "bi" and op == "sum":
            total = value.sum(axis=axes, keepdims=keepdims, dtype=np.int64)
            assert (found == total).all()
            return
        wide = value.astype(np.longdouble)
        exact = wide.sum(axis=axes, keepdims=keepdims)
        size = np.abs(wide).sum(axis=axes, keepdims=keepdims)
        count = max(1, int(np.prod([value.shape[axis] for axis in axes])))
        if op == "mean":
            exact, size = exact / count, size / count
        if not value.size and op == "mean":
            assert np.isnan(found).all()
            return
        last = {
            2: 2.0**-8 if found.dtype == dtypes.bfloat16 else 2.0**-11,
            4: 2.0**-24,
            8: 2.0**-53,
        }
        rounding = last[found.dtype.itemsize]
        least = 2.0**-25 if found.dtype == dtypes.float16 else 1e-45
        bound = rounding * 1.01 * np.abs(exact) + unit * (8 + count**0.5) * size + least
        error = np.abs(found.astype(np.longdouble) - exact)
        biggest = float(np.finfo(np.float32).max) if found.dtype.itemsize < 8 else np.inf
        largest = 65504.0 if found.dtype == dtypes.float16 else biggest
        fits = np.isfinite(exact) & (size < largest * 0.99)
    assert (error[fits] <= bound[fits]).all(), (error[fits].max(), program)
    nan = np.isnan(exact)
    assert np.isnan(found[nan]).all()


def hold(sample: Sample, run: Run, unit: float, more: float = 0.0) -> None:
    """Run a sample's program with all values written, hold each; then itself, bit for bit."""
    program, whole = sample.program, every_value(sample.program)
    values = sample.outs(whole, plain=True)
    kept = [array.copy() for array in sample.arrays]
    run(whole, sample.arrays, values)
    every = [*sample.arrays, *values]
    for step, found in zip(program.steps, values, strict=True):
        if step.op == "constant":
            assert same_bits(found, np.broadcast_to(programs.number_of(step), found.shape))
        else:
            hold_step(step, [every[operand] for operand in step.operands], found, more)
    outs = sample.outs(program)
    run(program, sample.arrays, outs)
    for value, out in zip(program.outputs, outs, strict=False):
        assert same_bits(out, every[value])
    if program.reduction is not None:
        hold_reduction(program, every[program.reduction.value], outs[-1], unit)
    for array, copy in zip(sample.arrays, kept, strict=True):
        assert array.tobytes() == copy.tobytes()


def single_steps() -> list[tuple[Any, ...]]:
    """Return (operation, dtypes..., attributes) of every operation that a program may have."""
    found = []
    for key in KEYS:
        if key[0] == "cast":
            found.append(("cast", (key[1],), (key[2],)))
        else:
            found += [(key[0], key[1:], attributes) for attributes in ATTRIBUTES.get(key[0], [()])]
    return found


def operands_for(rng: np.random.Generator, kinds: Sequence[Any], count: int) -> list[Array]:
    """Return operands among which every pair of special numbers is."""
    lists = []
    for dtype in kinds:
        special: list[Any] = SPECIAL if dtype.kind not in "bi" else INTEGERS
        with np.errstate(all="ignore"):
            lists.append(np.asarray(special[: 14 if len(kinds) < 3 else 5]).astype(dtype))
    pairs = list(itertools.product(*lists))
    with np.errstate(all="ignore"):
        every = [np.asarray([pair[i] for pair in pairs], dtype) for i, dtype in enumerate(kinds)]
        return [np.concatenate([one, numbers(rng, (count,), one.dtype)]) for one in every]
