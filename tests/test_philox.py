"""Philox streams: the published vectors, the definition element by element, and native bits."""

from __future__ import annotations

import doctest
import math
import statistics
import warnings
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorflowlite.backend import philox
from tensorflowlite.backend.native import extension as native
from tensorflowlite.errors import ArgumentError

words = st.integers(0, 2**64 - 1)
sizes = st.integers(0, 40)


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "module", None)


@pytest.fixture(params=["numpy", "native"])
def implementation(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue("without_native" if request.param == "numpy" else "native_module")
    return str(request.param)


# counter, key, output; each counter is (block low, block high, stream low, stream high).
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def parse(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("counter, key, expected", VECTORS)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    """The vectors of Random123, whose blocks lie beyond what an element index reaches."""
    block_low, block_high, stream_low, stream_high = parse(counter)
    key_low, key_high = parse(key)
    out = np.empty((1, 4), np.uint32)
    block = np.array([block_low | block_high << 32], np.uint64)
    philox.philox_blocks(key_low | key_high << 32, block, stream_low | stream_high << 32, out)
    assert out[0].tolist() == parse(expected)


def philox_in_integers(seed: int, stream: int, element: int) -> int:
    """One element, from the paper's description in Python integers."""
    block = element // 4
    c = [block & 0xFFFFFFFF, block >> 32, stream & 0xFFFFFFFF, stream >> 32]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (second >> 32) ^ c[1] ^ key[0],
            second & 0xFFFFFFFF,
            (first >> 32) ^ c[3] ^ key[1],
            first & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return c[element % 4]


@given(seed=words, stream=words, size=sizes, offset=st.integers(0, 2**61))
def test_elements_are_numbered(seed: int, stream: int, size: int, offset: int) -> None:
    bits = philox.random_bits(seed, stream, size, offset)
    assert bits.dtype == np.uint32
    assert bits.tolist() == [philox_in_integers(seed, stream, offset + i) for i in range(size)]
    # Whatever made those, NumPy makes the same.
    assert philox._bits(seed, stream, size, offset).tolist() == bits.tolist()
    wide = philox.random_bits64(seed, stream, size, offset)
    assert wide.dtype == np.uint64
    elements = [
        [philox_in_integers(seed, stream, 2 * (offset + i) + half) for half in (0, 1)]
        for i in range(size)
    ]
    assert wide.tolist() == [low | high << 32 for low, high in elements]


@pytest.mark.parametrize("function", [philox.uniform, philox.normal])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_part_is_the_part_of_the_whole(function, dtype, implementation: str) -> None:
    # The middle crosses the pieces that both implementations work in.
    whole = function(5, 6, 70_003, dtype)
    for start, stop in ((0, 1), (3, 70_003), (32_767, 32_770), (255, 1_026)):
        part = function(5, 6, stop - start, dtype, offset=start)
        assert part.dtype == dtype
        assert part.tobytes() == whole[start:stop].tobytes()


def test_uniforms_are_shifted_bits(implementation: str) -> None:
    bits = philox.random_bits(1, 2, 1000)
    single = philox.uniform(1, 2, 1000)
    assert single.dtype == np.float32
    assert single.tolist() == [int(word >> 8) / 2**24 for word in bits]
    wide = philox.random_bits64(1, 2, 1000)
    assert philox.uniform(1, 2, 1000, np.float64).tolist() == [int(w >> 11) / 2**53 for w in wide]


def test_normals_are_the_inverse_distribution(implementation: str) -> None:
    """Against the standard library; 1e-15 is a few units in the last place."""
    inverse = statistics.NormalDist().inv_cdf
    wide = philox.random_bits64(3, 4, 20_000)
    expected = np.array([inverse((int(w >> 12) + 0.5) / 2**52) for w in wide])
    np.testing.assert_allclose(philox.normal(3, 4, 20_000, np.float64), expected, rtol=3e-15)
    bits = philox.random_bits(3, 4, 20_000)
    expected = np.array([inverse((int(b >> 9) + 0.5) / 2**23) for b in bits])
    np.testing.assert_allclose(philox.normal(3, 4, 20_000), expected, rtol=2**-23)


def test_normal_tails_are_accurate_and_finite() -> None:
    p = np.concatenate([[2.0**-53, 1 - 2.0**-53, 0.5], 2.0 ** -np.arange(1, 53)])
    expected = [statistics.NormalDist().inv_cdf(value) for value in p]
    np.testing.assert_allclose(philox._normal_from_probability(p), expected, rtol=3e-15)
    every_upper_bit = np.array([0xFFFFFFFF, 0], np.uint32)
    extremes = philox._normal_from_bits(every_upper_bit)
    assert extremes[0] == -extremes[1] == pytest.approx(5.2947, abs=1e-4)


def test_log_by_series_is_a_logarithm() -> None:
    p = np.concatenate([np.linspace(2.0**-53, 0.5, 10_001), 2.0 ** -np.arange(1.0, 54)])
    np.testing.assert_allclose(
        philox._log_by_series(p), [math.log(value) for value in p], rtol=4e-16
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_follow_the_distribution(dtype) -> None:
    n = 200_000
    values = np.sort(philox.normal(11, 0, n, dtype).astype(np.float64))
    # Each bound is about four standard errors.
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((values**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((values**4).mean() - 3) < 4 * math.sqrt(96 / n)
    distribution = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in values])
    steps = np.arange(n + 1) / n
    distance = max((distribution - steps[:-1]).max(), (steps[1:] - distribution).max())
    assert distance * math.sqrt(n) < 1.63  # Kolmogorov-Smirnov at 1 %


def test_uniforms_follow_the_distribution() -> None:
    values = philox.uniform(12, 0, 160_000)
    assert values.min() >= 0 and values.max() < 1
    counts = np.bincount((values * 16).astype(int), minlength=16)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 30.6  # chi-squared, 15 degrees, 1 %


def test_streams_and_seeds_differ() -> None:
    base = philox.random_bits(1, 1, 1000)
    for other in (philox.random_bits(2, 1, 1000), philox.random_bits(1, 2, 1000)):
        assert (base == other).sum() < 5


@pytest.mark.parametrize("size", [0, 1, 3, 257, 100_003])
@pytest.mark.parametrize(
    "seed, stream, offset", [(0, 0, 0), (2**64 - 1, 2**64 - 1, 3), (9, 8, 2**40 + 1)]
)
def test_native_bits_are_numpy_bits(
    native_module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    stream: int,
    offset: int,
    size: int,
) -> None:
    def everything() -> list[bytes]:
        return [
            philox.random_bits(seed, stream, size, offset).tobytes(),
            philox.random_bits64(seed, stream, size, offset).tobytes(),
            philox.uniform(seed, stream, size, np.float32, offset).tobytes(),
            philox.uniform(seed, stream, size, np.float64, offset).tobytes(),
            philox.normal(seed, stream, size, np.float32, offset).tobytes(),
            philox.normal(seed, stream, size, np.float64, offset).tobytes(),
        ]

    in_use = native_module.instruction_set()
    found = {}
    try:
        for name in native_module.instruction_sets():
            native_module.use_instruction_set(name)
            found[name] = everything()
    finally:
        native_module.use_instruction_set(in_use)
    monkeypatch.setattr(native, "module", None)
    expected = everything()
    assert {name: bits == expected for name, bits in found.items()} == dict.fromkeys(found, True)


@given(
    seed=words,
    size=sizes,
    bounds=st.tuples(st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63)).filter(
        lambda pair: pair[0] != pair[1]
    ),
)
def test_randint_is_multiply_and_shift(seed: int, size: int, bounds: tuple[int, int]) -> None:
    low, high = sorted(bounds)
    values = philox.randint(seed, 3, size, low, high, offset=1)
    bits = philox.random_bits64(seed, 3, size, 1)
    assert values.dtype == np.int64
    assert values.tolist() == [low + (int(word) * (high - low) >> 64) for word in bits]


def test_randint_covers_its_range_evenly() -> None:
    counts = np.bincount(philox.randint(0, 0, 60_000, 0, 6))
    assert len(counts) == 6
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 15.1  # chi-squared, 5 degrees, 1 %


@given(seed=words, n=st.integers(0, 300))
def test_permutation_permutes(seed: int, n: int) -> None:
    order = philox.permutation(seed, 1, n)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    keys = philox.random_bits64(seed, 1, n)[order]
    assert (keys[:-1] <= keys[1:]).all()


def test_permutations_are_all_as_likely() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for stream in range(6_000):
        order = tuple(philox.permutation(0, stream, 3).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 15.1


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: philox.random_bits(-1, 0, 1),
         "random_bits: seed and stream must be in 0 ... 2**64 - 1, got seed=-1, stream=0"),
        (lambda: philox.normal(0, 2**64, 1),
         f"normal: seed and stream must be in 0 ... 2**64 - 1, got seed=0, stream={2**64}"),
        (lambda: philox.uniform(0, 0, -1),
         "uniform: size and offset must be at least 0 and add up to at most 2**62, "
         "got size=-1, offset=0"),
        (lambda: philox.random_bits64(0, 0, 1, 2**62),
         "random_bits64: size and offset must be at least 0 and add up to at most 2**62, "
         f"got size=1, offset={2**62}"),
        (lambda: philox.normal(0, 0, 1, np.float16),
         "normal: dtype must be float32 or float64, got float16"),
        (lambda: philox.randint(0, 0, 1, 3, 3),
         "randint: low must be below high, and both within int64, got low=3, high=3"),
    ],
)  # fmt: skip
def test_errors(call, sentence: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == sentence
    assert isinstance(caught.value, ValueError)


def test_numpy_never_warns(without_native: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (np.float32, np.float64):
            philox.normal(2**64 - 1, 2**64 - 1, 9, dtype, offset=2**62 - 9)
        philox.randint(2**64 - 1, 0, 9, -(2**63), 2**63)
        philox.randint(2**64 - 1, 0, 1, -(2**63), 2**63 - 1)


def test_examples() -> None:
    result = doctest.testmod(philox)
    assert result.failed == 0 and result.attempted >= 8


@pytest.mark.parametrize("name", ["random_bits", "uniform", "normal"])
def test_bits_do_not_depend_on_threads(native_module: ModuleType, name: str) -> None:
    import tensorflowlite as tfl

    before = tfl.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        tfl.set_num_threads(threads)
        found.append(getattr(philox, name)(seed=3, stream=4, size=100_003, offset=5).tobytes())
    tfl.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    piece = getattr(philox, name)(seed=3, stream=4, size=3000, offset=40_001)
    assert piece.tobytes() in found[0]
