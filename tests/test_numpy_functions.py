"""NumPy's functions on tensors: recorded, constant or refused, and never detached in silence."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import GradientError, UnsupportedArgumentError
from tensorflowlite.ops.numpy_table import CONSTANT, FUNCTIONS, UFUNCS, found
from tests.numpy_functions import (
    CHANGING,
    PAGE,
    SYMMETRIC,
    calls_of,
    meaning,
    page,
    public_functions,
)

ALL = public_functions()
RECORDED = [name for name in ALL if meaning(name) == "recorded" and name not in CHANGING]
CASES = [
    pytest.param(name, args, options, id=f"{name}-{i}")
    for name in ALL
    if meaning(name) != "refused" and name not in CHANGING
    for i, (args, options) in enumerate(calls_of(name, ALL[name]))
]


def as_tensors(value: Any, leaves: list[tfl.Tensor]) -> Any:
    """Make tensors of the float arrays in the arguments, which require grad."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fc":
            return value
        leaves.append(tfl.tensor(value, requires_grad=True))
        return leaves[-1]
    if isinstance(value, list | tuple):
        return type(value)(as_tensors(one, leaves) for one in value)
    return value


def flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [one for part in value for one in flat(part)]
    return [value]


def as_array(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, tfl.Tensor) else np.asarray(value)


def test_every_public_function_has_one_meaning() -> None:
    """What the table names exists in NumPy and here; what it doesn't name is refused."""
    from_numpy = {name for name in (*UFUNCS, *FUNCTIONS) if name.startswith("numpy.")}
    assert from_numpy <= set(ALL)
    assert {*UFUNCS, *FUNCTIONS} >= CONSTANT
    assert all(callable(found(place)) for place in (*UFUNCS.values(), *FUNCTIONS.values()))
    assert len(RECORDED) > 120


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.numpy_functions"


@pytest.mark.parametrize(("name", "args", "options"), CASES)
def test_value_and_recording(name: str, args: Any, options: Any) -> None:
    """The numbers are NumPy's; float results of what is recorded carry a gradient, and it is right
    in a random direction."""
    function = ALL[name]
    leaves: list[tfl.Tensor] = []
    given = as_tensors(args, leaves)
    if not leaves:  # nothing to differentiate by
        given = [tfl.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    named = {key: as_tensors(value, leaves) for key, value in options.items()}
    results, wanted = flat(function(*given, **named)), flat(function(*args, **options))
    assert len(results) == len(wanted)
    for result, expected in zip(results, wanted, strict=True):
        assert np.shape(as_array(result)) == np.shape(expected)
        if name == "numpy.empty_like":  # it holds anything
            continue
        if isinstance(expected, str | np.dtype):
            assert result == expected
        else:
            np.testing.assert_allclose(as_array(result), expected, rtol=1e-6, atol=1e-9)
    carrying = [r for r in results if isinstance(r, tfl.Tensor) and r.requires_grad]
    if name in CONSTANT or not leaves:
        assert not carrying
        return
    assert carrying, f"{name} lost the gradient"
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=r.shape) for r in results]
    arrays = [leaf.detach().numpy() for leaf in leaves]
    directions = [rng.normal(size=a.shape) for a in arrays]
    if name in SYMMETRIC:
        directions = [d + d.T for d in directions]

    def total(step: float) -> Any:
        moved = iter([a + step * d for a, d in zip(arrays, directions, strict=True)])
        values = flat(function(*rebuilt(args, moved), **rebuilt(options, moved)))
        return sum(np.sum(w * v).real for w, v in zip(weights, values, strict=True))

    loss = sum((tfl.asarray(w) * r).real.sum() for w, r in zip(weights, results, strict=True)
               if isinstance(r, tfl.Tensor) and r.requires_grad)  # fmt: skip
    loss.backward()
    slope = sum(
        np.sum(leaf.grad.numpy() * d) if leaf.grad is not None else 0.0
        for leaf, d in zip(leaves, directions, strict=True)
    )
    step = 1e-6
    difference = (total(step) - total(-step)) / (2 * step)
    single = any(as_array(r).dtype == np.float32 for r in results)
    limit = 0.5 if single else 2e-5  # differences of float32 values hold no more
    assert abs(np.real(slope) - difference) <= limit * max(1.0, abs(difference))


def rebuilt(value: Any, moved: Any) -> Any:
    """The arguments with every float array replaced by the next of ``moved``."""
    if isinstance(value, np.ndarray):
        return next(moved) if value.dtype.kind in "fc" else value
    if isinstance(value, list | tuple):
        return type(value)(rebuilt(one, moved) for one in value)
    if isinstance(value, dict):
        return {key: rebuilt(one, moved) for key, one in value.items()}
    return value


@pytest.mark.parametrize("name", [name for name in CHANGING if meaning(name) == "recorded"])
def test_what_changes_its_argument(name: str) -> None:
    args, options = CHANGING[name]
    expected = args[0].copy()
    ALL[name](expected, *args[1:], **options)
    leaf = tfl.tensor(args[0], requires_grad=True)
    changed = leaf * 1
    ALL[name](changed, *args[1:], **options)
    np.testing.assert_allclose(as_array(changed), expected)
    changed.sum().backward()
    assert leaf.grad is not None
    np.testing.assert_array_equal(leaf.grad.numpy(), expected == args[0])


@pytest.mark.parametrize("name", [name for name in ALL if meaning(name) == "refused"])
def test_what_is_refused_says_so(name: str) -> None:
    """A TypeError that names the function, wherever a tensor is handed in; nothing is returned."""
    t = tfl.tensor([[0.5, 0.25], [0.25, 0.5]], requires_grad=True)
    function = ALL[name]
    if isinstance(function, np.ufunc):
        arguments = [t] * function.nin
    elif name in ("numpy.savez", "numpy.savez_compressed"):
        arguments = ["file", t]
    else:
        arguments = [t] * _required(function)
    with pytest.raises(TypeError, match=r"np\.[\w.]+: tensors aren't taken"):
        function(*arguments)


def _required(function: Any) -> int:
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return max(1, sum(p.default is p.empty and p.kind in kinds for p in parameters))


# -- the methods of universal functions ------------------------------------------------------------
METHODS: dict[str, Any] = {
    "reduce": lambda t: np.add.reduce(t),
    "reduce of all": lambda t: np.multiply.reduce(t, axis=None),
    "reduce, kept": lambda t: np.maximum.reduce(t, axis=1, keepdims=True),
    "reduce with initial": lambda t: np.add.reduce(t, axis=1, initial=2.0),
    "reduce where": lambda t: np.add.reduce(t, where=np.eye(3) > 0),
    "reduce of another": lambda t: np.subtract.reduce(t, axis=1),
    "accumulate": lambda t: np.add.accumulate(t, axis=1),
    "accumulate of another": lambda t: np.divide.accumulate(t),
    "outer": lambda t: np.multiply.outer(t, np.arange(2.0)),
    "reduceat": lambda t: np.add.reduceat(t, [0, 2, 1], axis=1),
    "where": lambda t: np.where(np.eye(3) > 0, np.sin(t), 0),
    "dtype": lambda t: np.add(t, 1, dtype=np.float32),
    "reflected": lambda t: np.ones((3, 3)) @ t,
    "reflected subtraction": lambda t: np.arange(3.0) - t,
    "scalar": lambda t: np.float64(2) * t,
    "list": lambda t: np.add(t, [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_universal_functions(name: str) -> None:
    values = np.random.default_rng(1).uniform(0.5, 1.5, (3, 3))
    t = tfl.tensor(values, requires_grad=True)
    result = METHODS[name](t)
    assert isinstance(result, tfl.Tensor) and result.requires_grad
    np.testing.assert_allclose(as_array(result), METHODS[name](values), rtol=1e-6)


def test_outputs_are_recorded() -> None:
    t = tfl.tensor([0.0, 1.0], requires_grad=True)
    out = tfl.zeros(2)
    assert np.exp(t, out=out) is out
    out.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), np.exp([0.0, 1.0]), rtol=1e-6)
    kept = tfl.tensor([7.0, 7.0])
    np.add(t, 1, out=kept, where=np.array([True, False]))
    assert kept.tolist() == [1.0, 7.0]
    whole, part = tfl.zeros(2), tfl.zeros(2)
    np.divmod(tfl.tensor([5.0, 7.0]), 3, out=(whole, part))
    assert whole.tolist() == [1.0, 2.0] and part.tolist() == [2.0, 1.0]


def test_an_array_takes_no_recorded_result() -> None:
    t = tfl.tensor([0.0, 1.0], dtype=tfl.float64, requires_grad=True)
    array = np.zeros(2)
    with pytest.raises(GradientError, match=r"np.add: out= must be a Tensor"):
        array += t
    with pytest.raises(GradientError, match=r"np.add.at: the first operand must be a Tensor"):
        np.add.at(array, [0], t[:1])
    array += t.detach()
    assert array.tolist() == [0.0, 1.0]


def test_additions_at_places() -> None:
    t = tfl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    changed, values = t * 1, tfl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    np.add.at(changed, [0, 0, 2], values)
    np.subtract.at(changed, 1, 1.0)
    assert changed.tolist() == [4.0, 1.0, 6.0]
    changed.sum().backward()
    assert t.grad.tolist() == values.grad.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(TypeError, match=r"np.multiply.at: repeated places"):
        np.multiply.at(changed, [0], 2.0)


def test_unknown_options_are_named() -> None:
    t = tfl.ones((2, 2))
    with pytest.raises(UnsupportedArgumentError, match=r"np.sin: signature= isn't recorded"):
        np.sin(t, signature="d->d")
    with pytest.raises(UnsupportedArgumentError, match=r"np.reshape: order must be 'C'"):
        np.reshape(t, (4,), order="F")


def test_a_function_of_the_users_own_is_refused() -> None:
    t = tfl.ones(2)
    with pytest.raises(TypeError, match="tensors aren't taken"):
        np.frompyfunc(abs, 1, 1)(t)
    assert np.vectorize(abs)(np.array([-1.0])) == 1.0


def test_an_array_of_another_kind_is_asked_first() -> None:
    class Other:
        __array_ufunc__ = staticmethod(lambda *a, **k: "other")
        __array_function__ = staticmethod(lambda *a, **k: "other")

    t = tfl.ones(2)
    assert np.add(t, Other()) == "other"
    assert np.concatenate([t, Other()]) == "other"
