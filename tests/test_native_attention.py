"""Native attention: right against float64, the same bits on any threads, clear errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import backend_for
from tensorflowlite.backend.native import extension as native
from tensorflowlite.backend.slots import attention as attention_slots
from tensorflowlite.core import primitive
from tensorflowlite.nn import functional as F

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]

# Leading axes of queries, those of keys, queries, keys, their width, that of values.
CASES = [
    ((), (), 1, 1, 1, 1),
    ((2, 3), (2, 3), 64, 64, 32, 32),
    ((2,), (2,), 65, 130, 17, 24),  # blocks and vectors that aren't full
    ((1, 2), (1, 2), 130, 66, 40, 16),
    ((3,), (3,), 5, 1, 8, 8),  # one key
    ((3,), (3,), 1, 200, 128, 64),  # one query
    ((2, 3, 2), (2, 3, 1), 20, 70, 16, 9),  # heads that share keys
    ((2, 3), (), 7, 9, 4, 5),  # all of them do
    ((20,), (20,), 70, 70, 16, 16),  # the queries' gradient grows in place
    ((1, 1, 2), (1, 1, 1), 3, 400, 130, 1),
]
SHORT = [CASES[i] for i in (2, 3, 6)]
cases = pytest.mark.parametrize("case", CASES, ids=[f"case{i}" for i in range(len(CASES))])
causality = pytest.mark.parametrize("causal", [False, True], ids=["whole", "causal"])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
binding = pytest.mark.binding
SLOTS = backend_for("cpu")
REFERENCE = attention_slots.slots(np)
SCALE = 0.3


def look_up_again() -> None:
    for name in REFERENCE:
        SLOTS.replace(name, SLOTS.slots[name])
    primitive.look_up_again()


@pytest.fixture
def numpys_slots(native_module: ModuleType) -> Iterator[dict[str, Any]]:
    """The slots that run what the extension's don't take, for a test to put others."""
    library, others = SLOTS.library, dict(REFERENCE)
    assert library is not None
    SLOTS.library = lambda name: others[name] if name in others else library(name)
    look_up_again()
    yield others
    SLOTS.library = library
    look_up_again()


@pytest.fixture
def only_native(numpys_slots: dict[str, Any]) -> None:
    """NumPy's slots fail: what is tested runs in the extension."""

    def refuse(*args: Any) -> Any:
        pytest.fail("NumPy's slot was called")

    numpys_slots.update(dict.fromkeys(REFERENCE, refuse))


@pytest.fixture
def calls_of_numpy(numpys_slots: dict[str, Any]) -> list[str]:
    """Return the list of the calls of NumPy's slots that will be made."""
    made: list[str] = []

    def noted(name: str) -> Any:
        return lambda *args: (made.append(name), REFERENCE[name](*args))[1]

    numpys_slots.update({name: noted(name) for name in REFERENCE})
    return made


def arrays(case: Any, dtype: Any = np.float64, seed: int = 0) -> list[Array]:
    """Return queries, keys, values and the output's gradient."""
    lead, shared, rows, columns, width, depth = case
    generator = np.random.default_rng(seed)
    shapes = [
        (*lead, rows, width), (*shared, columns, width), (*shared, columns, depth),
        (*lead, rows, depth),
    ]  # fmt: skip
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


def wide(x: Any) -> Any:
    return x.astype(np.float64) if x is not None and x.dtype == np.float32 else x


def run(slots: Any, query: Array, key: Array, value: Array, y: Array, causal: bool,
        mask: Any = None, scale: float = SCALE) -> list[Array]:  # fmt: skip
    """Return the output, the sums, and the three gradients."""
    rest = () if mask is None else (mask,)
    out, sums = slots["attention"](query, key, value, *rest, causal, scale, 0.0)
    found = slots["attention_gradient"](
        y, query, key, value, out, sums, *rest, causal, scale, 0.0, False
    )
    return [out, sums, *found]


def by_extension(*args: Any, **keywords: Any) -> list[Array]:
    names = ("attention", "attention_gradient")
    return run({name: getattr(SLOTS, name) for name in names}, *args, **keywords)


def close(found: list[Array], expected: list[Array], dtype: Any) -> None:
    bound = 2e-5 if dtype == np.float32 else 1e-13
    names = ("out", "sums", "query", "key", "value")
    for name, one, other in zip(names, found, expected, strict=True):
        assert one.dtype == dtype and one.shape == other.shape, name
        top = np.abs(other).max() + 1
        np.testing.assert_allclose(one, other, 0, bound * top, err_msg=name)


@binding
@cases
@causality
@dtypes
def test_values_and_gradients(only_native: None, case, causal: bool, dtype) -> None:
    given = arrays(case, dtype)
    expected = run(REFERENCE, *map(wide, given), causal)
    close(by_extension(*given, causal), expected, dtype)


@pytest.mark.parametrize("case", SHORT, ids=["rows", "columns", "groups"])
@causality
@dtypes
def test_every_instruction_set(only_native: None, case, causal: bool, dtype) -> None:
    given = arrays(case, dtype)
    expected = run(REFERENCE, *map(wide, given), causal)
    assert native.module is not None
    for name in native.module.instruction_sets():
        native.module.use_instruction_set(name)
        close(by_extension(*given, causal), expected, dtype)


@cases
@causality
def test_threads_give_the_same_bits(only_native: None, case, causal: bool) -> None:
    given = arrays(case, np.float32)
    found = []
    for count in (1, 2, 3):
        tfl.set_num_threads(count)
        found.append([one.tobytes() for one in by_extension(*given, causal)])
    assert found[0] == found[1] == found[2]


MASKS = [
    (2, 1, 65, 1), (1, 3, 1, 70), (65, 70), (2, 3, 65, 70), (1,), (70,),
]  # fmt: skip


@binding
@pytest.mark.parametrize("shape", MASKS, ids=str)
@pytest.mark.parametrize("kind", ["bool", "float32", "float64"])
@causality
def test_masks(only_native: None, shape, kind: str, causal: bool) -> None:
    given = arrays(((2, 3), (2, 3), 65, 70, 16, 12), np.float32)
    mask: Array = np.random.default_rng(1).standard_normal(shape)
    mask = mask > -0.5 if kind == "bool" else mask.astype(kind)
    if shape == (65, 70):
        mask[3] = False if kind == "bool" else -np.inf  # a query without any key
    expected = run(REFERENCE, *map(wide, given), causal, mask)
    found = by_extension(*given, causal, mask)
    close(found, expected, np.float32)
    if shape == (65, 70):
        assert not found[0][..., 3, :].any() and not found[2][..., 3, :].any()


def test_masks_of_groups_and_other_strides(only_native: None) -> None:
    given = arrays(((2, 3, 2), (2, 3, 1), 10, 70, 8, 8), np.float32)
    generator = np.random.default_rng(1)
    for mask in (
        generator.standard_normal((2, 1, 2, 70, 10)).astype(np.float32).swapaxes(-1, -2),
        (generator.standard_normal((3, 1, 20, 140)) > -0.5)[:, :, ::-2, ::2],
    ):
        expected = run(REFERENCE, *map(wide, given), False, wide(mask))
        close(by_extension(*given, False, mask), expected, np.float32)


def heads_apart(x: Array) -> Array:
    """The same values as rows of (batch, length, heads, width)."""
    return np.ascontiguousarray(x.swapaxes(-2, -3)).swapaxes(-2, -3)


@binding
@causality
def test_strided_inputs(only_native: None, causal: bool) -> None:
    """Heads that were split off rows are read where they lie; results lie as their inputs."""
    given = arrays(((2, 3), (2, 3), 66, 66, 16, 16), np.float32)
    expected = [one.tobytes() for one in by_extension(*given, causal)]
    apart = [heads_apart(x) for x in given]
    found = by_extension(*apart, causal)
    assert [one.tobytes() for one in found] == expected
    for one in (found[0], *found[2:]):
        assert one.swapaxes(1, 2).flags.c_contiguous
    joined = np.empty((2, 66, 3, 3, 16), np.float32)
    for i in range(3):
        joined[:, :, i] = apart[i].swapaxes(1, 2)
    packed = [joined[:, :, i].swapaxes(1, 2) for i in range(3)]
    assert [one.tobytes() for one in by_extension(*packed, apart[3], causal)] == expected
    backwards = [x[::-1].copy()[::-1] for x in given]
    assert [one.tobytes() for one in by_extension(*backwards, causal)] == expected
    columns = [np.asfortranarray(x) for x in given]  # rows that aren't neighbours' numbers
    assert [one.tobytes() for one in by_extension(*columns, causal)] == expected


def test_the_call_of_a_model(only_native: None) -> None:
    """From and to (batch, length, heads · width), against the formula in float64."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 66, 3 * 24)).astype(np.float32)
    rows = tfl.tensor(x, requires_grad=True)
    heads = rows.reshape(2, 66, 3, 3, 8).transpose((2, 0, 3, 1, 4))
    out = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
    out.swapaxes(1, 2).reshape(2, 66, 24).square().sum().backward()
    exact = tfl.tensor(x.astype(np.float64), requires_grad=True)
    q, k, v = (exact.reshape(2, 66, 3, 3, 8).transpose((2, 0, 3, 1, 4))[i] for i in range(3))
    hidden = tfl.tensor(np.where(np.tri(66), 0.0, -np.inf))
    plain = F.softmax(q @ k.swapaxes(-1, -2) / math.sqrt(8) + hidden, -1) @ v
    plain.square().sum().backward()
    np.testing.assert_allclose(out.detach().numpy(), plain.detach().numpy(), 0, 1e-5)
    assert rows.grad is not None and exact.grad is not None
    np.testing.assert_allclose(rows.grad.numpy(), exact.grad.numpy(), 0, 1e-4)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)], ids=str)
def test_empty_arrays_are_numpy_s(calls_of_numpy: list[str], shape) -> None:
    x = np.ones(shape, np.float32)
    found = by_extension(x, x, x, x, False)
    assert all(one.shape == shape for one in (found[0], *found[2:]))
    assert calls_of_numpy == ["attention", "attention_gradient"]


def test_no_key(calls_of_numpy: list[str]) -> None:
    x, none = np.ones((2, 3, 4), np.float32), np.ones((2, 0, 4), np.float32)
    out, _, dq, dk, _ = by_extension(x, none, none, x, False)
    assert out.shape == dq.shape == x.shape and not out.any() and not dq.any()
    assert dk.shape == none.shape


def test_what_is_left_to_numpy(calls_of_numpy: list[str]) -> None:
    """Dropout, half precision, keys repeated in the middle, and the gradient of a mask."""
    q, k, v, y = arrays(((2, 3), (2, 3), 5, 5, 4, 4), np.float32)
    F.scaled_dot_product_attention(*map(tfl.tensor, (q, k, v)), dropout_p=0.5)
    half = [tfl.tensor(x.astype(np.float16)) for x in (q, k, v)]
    F.scaled_dot_product_attention(*half)
    SLOTS.attention(q, k[:1], v[:1], False, SCALE, 0.0)
    assert calls_of_numpy == ["attention"] * 3
    mask = np.zeros((5, 5), np.float32)
    out, sums = SLOTS.attention(q, k, v, mask, False, SCALE, 0.0)
    found = SLOTS.attention_gradient(y, q, k, v, out, sums, mask, False, SCALE, 0.0, True)
    assert len(found) == 4 and calls_of_numpy == ["attention"] * 3 + ["attention_gradient"]


@dtypes
@pytest.mark.parametrize("columns", [5, 130])
def test_not_a_number_stays_in_its_rows(only_native: None, dtype, columns: int) -> None:
    given = arrays(((1, 2), (1, 2), 9, columns, 8, 8), dtype)
    given[0][0, 1, 4, 2] = np.nan
    out, sums, dq, dk, dv = by_extension(*given, False)
    for found in (out, sums, dq):
        wrong = np.isnan(found).reshape(2, 9, -1)
        assert wrong[1, 4].all() and wrong.sum() == wrong[1, 4].size
    assert np.isnan(dk[0, 1]).all() and np.isnan(dv[0, 1]).all()
    assert np.isfinite(dk[0, 0]).all() and np.isfinite(dv[0, 0]).all()
    given = arrays(((1, 2), (1, 2), 9, columns, 8, 8), dtype)
    given[2][0, 1, 4, 2] = np.nan
    out = by_extension(*given, False)[0]
    assert np.isnan(out[0, 1, :, 2]).all() and np.isnan(out).sum() == 9


@dtypes
@pytest.mark.parametrize("payload", [0, 1, 255])
def test_every_not_a_number(only_native: None, dtype, payload: int) -> None:
    """The exponential works on bits: whatever they are, NaN stays NaN."""
    bits = np.uint32 if dtype == np.float32 else np.uint64
    for sign in (np.nan, -np.nan):
        odd = np.array([sign], dtype)
        odd.view(bits)[...] += bits(payload)
        given = arrays(((), (), 3, 70, 8, 8), dtype)
        given[1][40, 3] = odd[0]
        found = by_extension(*given, False)
        assert np.isnan(found[0]).all() and np.isnan(found[1]).all()
        assert np.isnan(found[2]).all() and np.isnan(found[4]).all()


@dtypes
@causality
def test_infinities_are_as_numpy_has_them(only_native: None, dtype, causal: bool) -> None:
    generator = np.random.default_rng(0)
    for value in (np.inf, -np.inf):
        for place in range(3):
            given = arrays(((2,), (2,), 6, 70, 8, 8), dtype)
            given[place][0, 2, generator.integers(8)] = value
            with np.errstate(invalid="ignore"):
                expected = run(REFERENCE, *given, causal)
            found = by_extension(*given, causal)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one[1], other[1], 0, 1e-4)
            # Behind a row that sees an infinity NumPy's blocks and ours hold 0 times infinity.
            for one, other in zip(found[:2], expected[:2], strict=True):
                finite = np.isfinite(other[0]) & np.isfinite(one[0])
                np.testing.assert_allclose(one[0][finite], other[0][finite], 0, 1e-4)
                assert (np.isnan(one[0, 2:]) == np.isnan(other[0, 2:])).all()


@dtypes
def test_large_scores(only_native: None, dtype) -> None:
    """Scores far apart: weights of 0 and 1 exactly, and sums that don't overflow."""
    given = arrays(((2,), (2,), 66, 130, 16, 16), dtype)
    given[0] *= 1e4
    expected = run(REFERENCE, *given, True)
    noise = 100 * np.finfo(dtype).eps * np.array([1, 1, 1, 1e4, 1])  # what a row of queries brings
    for one, other, bound in zip(by_extension(*given, True), expected, noise, strict=True):
        np.testing.assert_allclose(one, other, 1e-4, 1e-3 * np.abs(other).max() + bound)
    one_key = arrays(((), (), 3, 1, 4, 4), dtype)
    one_key[0] *= 1e18
    out, _, dq, dk, _ = by_extension(*one_key, False)
    np.testing.assert_array_equal(out, np.broadcast_to(one_key[2], (3, 4)))
    assert np.abs(dq).max() <= 1e-5 and np.isfinite(dk).all()
    zeros = [np.zeros_like(x) for x in given]
    out, sums = by_extension(*zeros, True)[:2]
    np.testing.assert_allclose(sums[0], np.log(np.arange(66) + 1.0), 1e-6)
    assert not out.any()


@pytest.mark.parametrize("scale", [0.0, -0.5, 1e-30])
def test_scales(only_native: None, scale: float) -> None:
    given = arrays(((2,), (2,), 9, 70, 8, 8), np.float32)
    expected = run(REFERENCE, *map(wide, given), True, scale=scale)
    close(by_extension(*given, True, scale=scale), expected, np.float32)


def test_inputs_stay_as_they_were(only_native: None) -> None:
    given = arrays(((2,), (2,), 66, 70, 8, 8), np.float32)
    before = [x.copy() for x in given]
    for x in given:
        x.flags.writeable = False
    by_extension(*given, True)
    assert all((x == y).all() for x, y in zip(given, before, strict=True))


def test_memory_grows_with_the_length(only_native: None) -> None:
    """Not with its square: 4096 queries and keys would make scores of 64 MB."""
    x = np.ones((1, 4096, 8), np.float32)
    tfl.cpu.reset_peak_memory_stats()
    before = tfl.cpu.memory_stats()["used_bytes"]
    by_extension(x, x, x, x, True)
    assert tfl.cpu.memory_stats()["peak_bytes"] - before <= 20 * x.nbytes


F32 = np.ones((2, 3, 5, 4), np.float32)
SUMS = np.ones((2, 3, 5), np.float32)
ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"query": F32.astype(np.float16)}, "query must be float32 or float64, got float16"),
    ({"key": F32.astype(np.float64)}, "key must have the dtype of query, got float64"),
    ({"query": F32[0, 0, 0]}, "query must have at least 2 dimensions, got (4,)"),
    ({"query": F32[:0]}, "query must not be empty, got (0, 3, 5, 4)"),
    ({"query": np.ones((2, 3, 5, 8), np.float32)[..., ::2]},
     "query must have neighbours along its last axis, got a stride of 8 bytes"),
    ({"value": F32[0]}, "value must have as many axes as query, got (3, 5, 4)"),
    ({"key": F32[:, :2]}, "key must have the leading axes of query, or ones at their end, "
     "got (2, 2, 5, 4)"),
    ({"key": F32[:1]}, "key must have the leading axes of query, or ones at their end, "
     "got (1, 3, 5, 4)"),
    ({"key": F32[..., :3]}, "key must have the last axis of query, got (2, 3, 5, 3)"),
    ({"value": F32[:, :, :4]}, "value must have shape (2, 3, 5, 4), got (2, 3, 4, 4)"),
    ({"mask": np.ones((2, 3, 5, 5), np.int8)},
     "mask must be bool or have the dtype of query, got int8"),
    ({"mask": np.ones((5, 5), np.bool_)},
     "mask must have the axes of the scores, or ones, and strides of whole numbers, got (5, 5)"),
    ({"mask": np.ones((2, 3, 5, 4), np.bool_)},
     "mask must have the axes of the scores, or ones, and strides of whole numbers, "
     "got (2, 3, 5, 4)"),
]  # fmt: skip
BACKWARD_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"y": F32[:, :, :4]}, "y must have shape (2, 3, 5, 4), got (2, 3, 4, 4)"),
    ({"out": F32.astype(np.float64)}, "out must have the dtype of query, got float64"),
    ({"out": F32[..., :3]}, "out must have shape (2, 3, 5, 4), got (2, 3, 5, 3)"),
    ({"sums": SUMS[..., :4]}, "sums must have shape (2, 3, 5), got (2, 3, 4)"),
    ({"sums": SUMS.astype(np.float64)}, "sums must have the dtype of query, got float64"),
    ({"sums": np.asfortranarray(SUMS)}, "sums must be C-contiguous and aligned, got other memory"),
]  # fmt: skip


@binding
@pytest.mark.parametrize("changes, sentence", ERRORS)
def test_bad_arguments(native_module: ModuleType, changes, sentence: str) -> None:
    good = {"query": F32, "key": F32, "value": F32, "causal": False, "scale": 1.0}
    with pytest.raises(ValueError) as caught:
        native_module.attention_forward(**good | changes)
    assert str(caught.value) == f"attention_forward: {sentence}"


@binding
@pytest.mark.parametrize("changes, sentence", ERRORS[1:] + BACKWARD_ERRORS)
def test_bad_arguments_backward(native_module: ModuleType, changes, sentence: str) -> None:
    good = {"y": F32, "query": F32, "key": F32, "value": F32, "out": F32, "sums": SUMS,
            "causal": False, "scale": 1.0}  # fmt: skip
    with pytest.raises(ValueError) as caught:
        native_module.attention_backward(**good | changes)
    assert str(caught.value) == f"attention_backward: {sentence}"


@binding
def test_unaligned_arrays(native_module: ModuleType, only_native: None) -> None:
    """The binding refuses them, the slot copies."""
    memory = np.zeros(F32.nbytes + 1, np.uint8)
    odd = memory[1:].view(np.float32).reshape(F32.shape)
    odd[...] = F32
    with pytest.raises(ValueError, match=r"^attention_forward: key must be aligned"):
        native_module.attention_forward(F32, odd, F32, causal=False, scale=1.0)
    out, _ = SLOTS.attention(F32, odd, F32, False, 1.0, 0.0)
    np.testing.assert_allclose(out, 1.0, 1e-6)
