"""Native steps of optimizers: NumPy's bits, for every rule, instruction set and thread count."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
import tensorflowlite.ops.optimizers  # declares the decompositions, before a slot is looked up
from tensorflowlite.backend import backend_for
from tensorflowlite.backend.native import optimizer_slots as native_slots
from tensorflowlite.backend.slots import optimizer as optimizer_slots

Array = np.ndarray[Any, Any]
LIBRARY = optimizer_slots.slots(np)
# Lengths below, at and above a vector; one that several pieces share; shapes without an element.
SHAPES = [(3, 5), (0, 2), (), (40001,), (17,), (16,)]
ADAM = [
    (0.9, 0.999, 1e-8, decay, decoupled, amsgrad, maximize)
    for decay, decoupled, amsgrad, maximize in itertools.product(
        (0.0, 0.1), (False, True), (False, True), (False, True)
    )
]
SGD = [
    (momentum, dampening, decay, nesterov, maximize)
    for momentum, dampening, decay, nesterov, maximize in itertools.product(
        (0.0, 0.9), (0.0, 0.3), (0.0, 0.1), (False, True), (False, True)
    )
    if momentum or not (nesterov or dampening)
]


@pytest.fixture
def steps(native_module: ModuleType) -> Iterator[dict[str, Any]]:
    before = tfl.get_num_threads(), native_module.instruction_set()
    yield native_slots.slots(native_module, LIBRARY.__getitem__)
    tfl.set_num_threads(before[0])
    native_module.use_instruction_set(before[1])


def tensors(kinds: int, dtype: Any) -> list[Array]:
    """Return parameters, gradients and states; states aren't negative."""
    rng = np.random.default_rng(kinds)
    made = [np.asarray(rng.standard_normal(shape), dtype) for _ in range(kinds) for shape in SHAPES]
    for state in made[2 * len(SHAPES) :]:
        np.abs(state, out=state)
    special = made[len(SHAPES) + 3]
    special[:6] = [np.nan, np.inf, -np.inf, 0, 1e-40, -0.0]
    return made


def stepped(slot: Any, arrays: list[Array], options: Any, count: int, lr: float = 0.01) -> Any:
    copies, step = [np.array(x) for x in arrays], np.array(count)
    if hasattr(slot, "accepts"):
        assert slot.accepts(np.array(lr), step, *copies, *options)
    assert slot(np.array(lr), step, *copies, *options) == ()
    assert step == count + 1
    return copies


def cases() -> list[Any]:
    adam = [("adam_step", 5 if options[5] else 4, options) for options in ADAM]
    return adam + [("sgd_step", 3 if options[0] else 2, options) for options in SGD]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_are_those_of_numpy(steps: Any, native_module: ModuleType, dtype: Any) -> None:
    for name, kinds, options in cases():
        given = tensors(kinds, dtype)
        for count in (0, 3):
            expected = stepped(LIBRARY[name], given, options, count)
            for chosen in native_module.instruction_sets():
                native_module.use_instruction_set(chosen)
                for threads in (1, 2, 3):
                    tfl.set_num_threads(threads)
                    found = stepped(steps[name], given, options, count)
                    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
                        np.testing.assert_array_equal(a, b, f"{name} {options} {i}")


def test_complex_numbers_are_pairs(steps: Any) -> None:
    for name, options, kinds in (("adam_step", ADAM[3], 5), ("sgd_step", SGD[-1], 3)):
        kinds = kinds if name == "sgd_step" or options[5] else 4
        rng = np.random.default_rng(0)
        given = [rng.random((4, 3)) + 1j * rng.random((4, 3)) for _ in range(kinds)]
        found = stepped(steps[name], given, options, 2)
        for a, b in zip(found, stepped(LIBRARY[name], given, options, 2), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)


def test_dtypes_may_differ_between_parameters(steps: Any) -> None:
    given = [np.ones(3, dtype) for _ in range(4) for dtype in (np.float32, np.float64)]
    found = stepped(steps["adam_step"], given, ADAM[0], 0)
    for a, b in zip(found, stepped(LIBRARY["adam_step"], given, ADAM[0], 0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fortran_order_where_all_have_it(steps: Any) -> None:
    rng = np.random.default_rng(0)
    given = [np.asfortranarray(rng.random((4, 3))) for _ in range(4)]
    copies = [x.copy(order="F") for x in given]
    step = np.array(0)
    assert steps["adam_step"].accepts(np.array(0.1), step, *copies, *ADAM[0])
    steps["adam_step"](np.array(0.1), step, *copies, *ADAM[0])
    expected = stepped(LIBRARY["adam_step"], given, ADAM[0], 0, lr=0.1)
    for a, b in zip(copies, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    copies[2] = np.ascontiguousarray(copies[2])
    assert not steps["adam_step"].accepts(np.array(0.1), step, *copies, *ADAM[0])


def unfit() -> list[Any]:
    memory, other = np.ones(8), np.ones(6)
    read_only = np.ones(3)
    read_only.flags.writeable = False
    ones = [np.ones(3) for _ in range(5)]
    return [
        pytest.param([memory[:3], memory[2:5], *ones[:2]], id="a gradient in its parameter"),
        pytest.param([ones[0], ones[1], memory[:3], memory[1:4]], id="states that overlap"),
        pytest.param([ones[0], ones[0], ones[1], ones[2]], id="one array twice"),
        pytest.param([read_only, *ones[:3]], id="a parameter that is read-only"),
        pytest.param([*ones[:3], read_only], id="a state that is read-only"),
        pytest.param([ones[0], np.ones(1), *ones[2:4]], id="a gradient that broadcasts"),
        pytest.param([ones[0], np.ones(3, "f4"), *ones[2:4]], id="a gradient of another dtype"),
        pytest.param([other[::2], *ones[:3]], id="a parameter with gaps"),
        pytest.param([np.ones(3, "f2") for _ in range(4)], id="halves"),
        pytest.param([np.ones(3, "i8") for _ in range(4)], id="integers"),
        pytest.param([np.ones(3, ">f8") for _ in range(4)], id="another byte order"),
        pytest.param([1.0, *ones[:3]], id="no array"),
    ]


@pytest.mark.parametrize("arrays", unfit())
def test_what_does_not_fit_is_refused_and_left(native_module: ModuleType, arrays: Any) -> None:
    assert not native_module.accepts_step(tuple(arrays), 4)
    before = [np.array(x) for x in arrays]
    with pytest.raises(ValueError, match=r"^optimizer_step: "):
        native_module.optimizer_step("adam", tuple(arrays), [1.0] * 8)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments(native_module: ModuleType) -> None:
    ones = tuple([np.ones(3) for _ in range(4)])
    for rule, arrays, constants, text in [
        ("no rule", ones, [1.0] * 8, "rule must be one of"),
        ("adam", ones[:3], [1.0] * 8, "kinds must be 2"),
        ("adam", ones, [1.0] * 7, "constants must be 8 numbers"),
    ]:
        with pytest.raises(ValueError, match=text):
            native_module.optimizer_step(rule, arrays, constants)
    for arrays in (None, 3, np.ones(4)):
        with pytest.raises(TypeError):
            native_module.optimizer_step("adam", arrays, [1.0] * 8)
    assert all((x == 1).all() for x in ones)
    native_module.optimizer_step("adam", (), [1.0] * 8)


def test_aliases_are_left_to_numpy(steps: Any) -> None:
    """What the native slot declines gives the result of NumPy's slot."""
    backend, memory = backend_for("cpu"), np.arange(1.0, 9.0)
    for step in (backend.adam_step, LIBRARY["adam_step"]):
        memory[:] = np.arange(1.0, 9.0)
        step(np.array(0.1), np.array(0), memory[:4], memory[:4], memory[4:], np.ones(4), *ADAM[0])
        if step is backend.adam_step:
            first = memory.copy()
    np.testing.assert_array_equal(memory, first)


def test_at_rate_zero_only_the_means_move(steps: Any) -> None:
    arrays = [np.ones(3) for _ in range(4)]
    assert not steps["adam_step"].accepts(np.array(0.0), np.array(0), *arrays, *ADAM[0])
    backend_for("cpu").adam_step(np.array(0.0), np.array(0), *arrays, 0.5, *ADAM[0][1:])
    assert (arrays[0] == 1).all()


@pytest.mark.parametrize("name", ["adam_step", "sgd_step"])
def test_an_error_leaves_everything_as_it_was(steps: Any, name: str) -> None:
    """The second parameter can't be updated, so the first isn't either."""
    options, kinds = (ADAM[0], 4) if name == "adam_step" else (SGD[-1], 3)
    for fault in ("read-only", "shape"):
        arrays = [np.ones(3) for _ in range(2 * kinds)]
        if fault == "read-only":
            arrays[1].flags.writeable = False
        else:
            arrays[3] = np.ones(1)
        step = np.array(4)
        with pytest.raises(ValueError, match=rf"^{name}: .*(read-only|shape)"):
            getattr(backend_for("cpu"), name)(np.array(0.1), step, *arrays, *options)
        assert step == 4
        assert all((x == 1).all() for x in arrays)
