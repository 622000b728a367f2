"""Element programs as values: what is well formed, what may be a step, and their plain meaning."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from tensorflowlite.backend.cuda import element_source as cuda_element_source
from tensorflowlite.backend.elements import layout as element_layout
from tensorflowlite.backend.elements import lowering as element_lowering
from tensorflowlite.backend.elements import programs as element_programs
from tensorflowlite.backend.elements import table as element_table
from tensorflowlite.backend.elements.lowering import lowered
from tensorflowlite.backend.elements.programs import (
    SUPPORTED,
    ElementProgram,
    Input,
    Reduction,
    Step,
    constant,
    inputs_of,
    readable,
    run_by_numpy,
    supports,
    validate,
    values_by_numpy,
)
from tensorflowlite.backend.native import elements as native_elements
from tensorflowlite.errors import ArgumentError

from . import element_samples

F4, F8, F2, I4, B1 = (np.dtype(name) for name in ("f4", "f8", "f2", "i4", "?"))
X = Input(F4, (True, True))
EXP = Step("exp", (0,), (), F4)
GOOD = ElementProgram((X, X), (EXP, Step("add", (1, 2), (), F4)), (3,))


@pytest.mark.parametrize(
    "module",
    [element_programs, element_table, element_lowering, element_layout, native_elements,
     cuda_element_source],
    ids=lambda module: module.__name__.rpartition(".")[2],
)  # fmt: skip
def test_examples(module):
    assert doctest.testmod(module).failed == 0


def test_supported_dtypes_are_the_slots():
    """And what may be a step is a slot of the CPU's backend for those dtypes."""
    for op, kinds, attributes in element_samples.single_steps():
        given = element_samples.operands_for(np.random.default_rng(0), kinds, 3)
        dtype = supports(op, kinds, attributes)
        step = Step(op, tuple(range(len(kinds))), attributes, dtype)
        program = ElementProgram(inputs_of(given), (step,), (len(kinds),))
        validate(program)
        assert values_by_numpy(program, given)[-1].dtype == dtype, (op, kinds)


def test_what_no_step_can_be():
    assert supports("sort", [F4]) is None
    assert supports("negative", [B1]) is None and supports("subtract", [B1, B1]) is None
    assert supports("add", [F2, F4]) is None and supports("add", [np.dtype("c8")] * 2) is None
    assert supports("elu", [F4], ()) is None and supports("elu", [F4], (float("nan"),)) is None
    assert supports("gelu", [F4], ("other",)) is None
    assert supports("cast", [F4], (np.dtype("c8"),)) is None
    assert ("power", I4, I4) not in SUPPORTED


SPOILED = {
    "there must be an input": GOOD._replace(inputs=(), steps=(), outputs=()),
    "the same axes": GOOD._replace(inputs=(X, Input(F4, (True,)))),
    "must have dtypes of programs": GOOD._replace(inputs=(X, X._replace(dtype=np.dtype("c8")))),
    "values before it": GOOD._replace(steps=(Step("exp", (2,), (), F4),), outputs=(2,)),
    "an operation of programs": GOOD._replace(steps=(EXP._replace(op="sort"),), outputs=(2,)),
    "must be float32, got float64": GOOD._replace(steps=(EXP._replace(dtype=F8),), outputs=(2,)),
    "outputs must be steps": GOOD._replace(outputs=(0,)),
    "each once": GOOD._replace(outputs=(3, 3)),
    "an output or a reduction": GOOD._replace(outputs=()),
    "must be one of": GOOD._replace(reduction=Reduction("prod", 3, (0,), False)),
    "of a value, got": GOOD._replace(reduction=Reduction("sum", 4, (0,), False)),
    "sorted and among 2": GOOD._replace(reduction=Reduction("sum", 3, (1, 0), False)),
    "among 2, got (2,)": GOOD._replace(reduction=Reduction("sum", 3, (2,), False)),
    "as constant() makes it": GOOD._replace(
        steps=(Step("constant", (), (1.0,), F4),), outputs=(2,)
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SPOILED)
def test_malformed_programs_are_refused(sentence):
    validate(GOOD)
    with pytest.raises(ArgumentError) as raised:
        validate(SPOILED[sentence])
    assert sentence in str(raised.value)


def test_programs_are_keys():
    zero, other = (
        GOOD._replace(steps=(constant(number, F4), EXP), outputs=(3,)) for number in (0.0, -0.0)
    )
    again = GOOD._replace(steps=(constant(0, F4), EXP), outputs=(3,))
    assert zero == again and hash(zero) == hash(again) and zero != other
    assert constant(float("nan"), F4) == constant(float("nan"), F4)


def test_arrays_must_be_the_program_s():
    x = np.ones((2, 3), "f4")
    run_by_numpy(GOOD, [x, x], [np.empty((2, 3), "f4")])
    for arrays, outs, sentence in [
        ([x], [x.copy()], "there must be 2 arrays"),
        ([x, x[0]], [x.copy()], "array 1 must span"),
        ([x, x[:, :2]], [x.copy()], "must broadcast"),
        ([x, x.astype("f8")], [x.copy()], "array 1 must be float32"),
        ([x, x[None]], [x.copy()], "they must have 2 axes"),
        ([x, x], [x[:1].copy()], "outs must be"),
        ([x, x], [x.astype("f8")], "outs must be"),
        ([x, x], [], "outs must be"),
    ]:
        for run in (run_by_numpy, native_elements.run):
            with pytest.raises(ArgumentError) as raised:
                run(GOOD, arrays, outs)
            assert sentence in str(raised.value)
    fold = GOOD._replace(reduction=Reduction("max", 3, (0,), False))
    empty = np.ones((0, 3), "f4")
    with pytest.raises(ArgumentError, match="an element or more"):
        native_elements.bind(fold, [empty, empty], [empty.copy(), empty[:, :0].reshape(0)[:0]])


def test_listing_names_everything():
    program = GOOD._replace(
        steps=(*GOOD.steps, constant(2.5, F4)), reduction=Reduction("mean", 3, (1,), True)
    )
    assert readable(program).splitlines()[2:] == [
        "v2: float32 = exp(v0)", "v3: float32 = add(v1, v2)", "v4: float32 = constant(2.5)",
        "write v3", "write float32 = mean(v3) over axes (1,), kept",
    ]  # fmt: skip


def test_constants_and_conversions_are_written_out():
    half = Input(F2, (True,))
    steps = (
        constant(2.0, F2), Step("power", (0, 1), (), F2), Step("cast", (0,), (F8,), F8),
        Step("add", (3, 3), (), F8), Step("cast", (0,), (F4,), F4),
    )  # fmt: skip
    found = lowered(ElementProgram((half,), steps, (2, 4, 5)))
    assert [one.operation for one in found.instructions] == [
        "constant", "square", "round_float16", "to_float64", "add", "copy",
    ]  # fmt: skip
    assert found.outputs == ((3, F2), (5, F8), (6, F4))


def test_axes_that_lie_together_are_joined():
    laid = element_layout.laid
    # In column order all over; a broadcast axis; the reduced axes come last or first.
    assert laid((3, 4), [(4, 12), (4, 12)], 0).sizes == (12,)
    assert laid((3, 4), [(16, 4), (4, 0)], 0).sizes == (3, 4)
    rows = laid((3, 4, 5), [(80, 20, 4), (4, 0, 0)], 0, (1, 2))
    assert (rows.sizes, rows.kept, rows.rows) == ((3, 20), 1, True)
    columns = laid((3, 4, 5), [(80, 20, 4), (0, 0, 4)], 0, (0, 1))
    assert (columns.sizes, columns.kept, columns.rows) == ((12, 5), 1, False)
    assert (columns.kept_size(), columns.reduced_size(), rows.kept_size()) == (5, 12, 3)
