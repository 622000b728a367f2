"""The Array API standard: every name of its namespace is there, with the standard's signature.

The names and signatures are those of array_api_strict, which holds to the standard.
"""

from __future__ import annotations

import inspect
from typing import Any

import array_api_strict
import numpy as np
import pytest

import tensorflowlite as tfl

# What it has beside the standard.
OWN = frozenset((
    "ArrayAPIStrictFlags", "Device", "get_array_api_strict_flags", "reset_array_api_strict_flags",
    "set_array_api_strict_flags",
))  # fmt: skip
EXTENSIONS = ("linalg", "fft")
NAMES = sorted(set(array_api_strict.__all__) - OWN - set(EXTENSIONS))


def public_functions() -> list[str]:
    return [name for name in NAMES if inspect.isfunction(getattr(array_api_strict, name))]


def test_every_name_is_there() -> None:
    assert len(NAMES) > 150
    assert not [name for name in NAMES if not hasattr(tfl, name)]
    assert tfl.__array_api_version__ <= array_api_strict.__array_api_version__


@pytest.mark.parametrize("name", public_functions())
def test_signature(name: str) -> None:
    """What the standard passes by position can be; what it names has its name and default."""
    wanted = inspect.signature(getattr(array_api_strict, name)).parameters.values()
    ours = inspect.signature(getattr(tfl, name)).parameters
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [p for p in ours.values() if p.kind in by_position]
    gathers = any(p.kind is p.VAR_POSITIONAL for p in ours.values())
    only = [p for p in wanted if p.kind is p.POSITIONAL_ONLY]
    assert gathers or len(places) >= len(only)
    for p in wanted:
        if p.kind is p.VAR_POSITIONAL:
            assert gathers
        elif p.kind is p.KEYWORD_ONLY and not p.name.startswith("_"):
            assert ours[p.name].kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD), p.name
            if isinstance(p.default, bool | int | float | str | None):  # no mark of its own
                assert ours[p.name].default == p.default, p.name


def test_every_method_of_an_array_is_there() -> None:
    strict = type(array_api_strict.asarray(0))
    names = [n for n in vars(strict) if not n.startswith("_") or n.startswith("__")]
    own = {"__module__", "__weakref__", "__buffer__"}
    assert not [name for name in names if name not in own and not hasattr(tfl.Tensor, name)]


@pytest.mark.parametrize("kind", [None, "bool", "integral", "real floating", ("bool", "numeric")])
def test_dtypes_are_the_same(kind: Any) -> None:
    ours = tfl.__array_namespace_info__().dtypes(kind=kind)
    theirs = array_api_strict.__array_namespace_info__().dtypes(kind=kind)
    assert set(ours) == set(theirs)
    assert all(ours[name] == np.dtype(theirs[name]._np_dtype) for name in ours)


@pytest.mark.parametrize("left", sorted(array_api_strict.__array_namespace_info__().dtypes()))
def test_promotion_is_the_same(left: str) -> None:
    for right in array_api_strict.__array_namespace_info__().dtypes():
        one, two = getattr(array_api_strict, left), getattr(array_api_strict, right)
        try:
            wanted = array_api_strict.result_type(one, two)
        except TypeError:
            continue  # the standard leaves it open
        found = tfl.result_type(getattr(tfl, left), getattr(tfl, right))
        assert found == wanted._np_dtype, (left, right)


def test_defaults_are_what_is_made() -> None:
    defaults = tfl.__array_namespace_info__().default_dtypes()
    assert tfl.zeros(1).dtype == tfl.asarray(1.0).dtype == defaults["real floating"]
    assert tfl.asarray(1j).dtype == defaults["complex floating"]
    assert tfl.asarray(1).dtype == tfl.arange(3).dtype == defaults["integral"]
    assert tfl.argmax(tfl.zeros(3)).dtype == defaults["indexing"]
