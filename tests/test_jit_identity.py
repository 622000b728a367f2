"""The quick look of `jit`'s guards: the extension's and Python's see the same."""

from __future__ import annotations

import gc
import random
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.native import extension as native
from tensorflowlite.transforms.jit_identity import (
    Any_,
    Root,
    looking,
    looking_in_python,
    root_of,
    root_of_call,
    root_of_class,
    root_of_object,
    root_of_tensor,
)
from tensorflowlite.transforms.jit_variables import Source, contents

WAYS = [
    pytest.param(looking_in_python, id="python"),
    pytest.param(looking, id="native", marks=pytest.mark.skipif(
        native.module is None, reason="the native extension isn't loaded")),
]  # fmt: skip
Case = Callable[[], Iterator[Any]]
cases: list[Any] = []


def case(function: Case) -> Case:
    """Add a generator: its roots first, then what `looking` must return after each change."""
    cases.append(pytest.param(function, id=function.__name__))
    return function


@pytest.fixture(params=WAYS)
def look(request: pytest.FixtureRequest) -> Any:
    return request.param


def held(*values: Any) -> Root:
    return root_of(Source("held", values))


class Plain:
    """An object of the user's."""


@dataclass
class Options:
    scale: float = 2.0
    shift: Any = None


@dataclass(slots=True)
class Slotted:
    scale: float = 2.0
    shift: Any = None
    later: Any = field(init=False)


@dataclass(slots=True)
class SlottedAlso:
    scale: float = 2.0
    shift: Any = None
    later: Any = field(init=False)


# -- what both ways see ----------------------------------------------------------------------------
@case
def nothing_to_look_at():
    yield []
    yield -1


@case
def items_of_a_list():
    values = [1.5, "a", tfl.ones(2)]
    yield [held(values)]
    yield -1
    values[0] = float("1.5")
    yield 0
    values[0] = 2.5
    yield 0


@case
def a_list_that_grows_and_shrinks():
    values = [object(), object()]
    yield [held(values, 3)]
    values.append(None)
    yield 0
    values.pop()
    yield -1
    values.clear()
    yield 0


@case
def items_of_tuples_in_lists_in_dicts():
    inner = [1000.5]
    yield [held({"a": ([inner],)}), held([[[[inner]]]])]
    yield -1
    inner[0] = 7.5
    yield -1  # deeper than is compared


@case
def items_that_are_not_too_deep():
    inner = [1000.5]
    yield [held([[inner]])]
    inner[0] = 7.5
    yield 0


@case
def values_and_keys_of_a_dict():
    values: Any = {"a": 1000.5, "b": [1]}
    yield [held(values)]
    yield -1
    values["b"].append(2)
    yield 0
    values["b"].pop()
    yield -1
    values["c"] = values.pop("b")
    yield 0
    values["b"] = values.pop("c")
    yield -1
    values["a"] = values.pop("a")  # in another order
    yield 0
    values.clear()
    yield 0


@case
def a_dict_of_keys_that_raise():
    class Key:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("nothing asks whether keys are equal")

        def __hash__(self) -> int:
            return 3

    key = Key()
    values = {key: 1}
    yield [held(values)]
    yield -1
    values.clear()
    values[Key()] = 1
    yield 0


@case
def elements_of_sets():
    values, frozen = {1000.5, "a"}, frozenset([(1, 2)])
    yield [held(values, frozen)]
    yield -1
    values.add(3)
    yield 0
    values.remove(3)
    yield -1
    values.clear()
    yield 0


@case
def cells_of_a_closure():
    a: Any = 1.5
    b: Any = [1]

    def function():
        return a, b, c  # noqa: F821

    yield [root_of(Source("cells", function.__closure__))]
    yield -1
    b.append(2)
    yield 0
    b.pop()
    yield -1
    c = 3
    yield 0
    del c
    yield -1
    del a
    yield 0


@case
def names_in_dicts():
    names = {"a": 1.5, "b": [2]}
    yield [root_of(Source("names", ((names, "a"), (names, "b"), (names, "gone"))))]
    yield -1
    names["other"] = 3
    yield -1
    names["gone"] = 3
    yield 0
    del names["gone"]
    yield -1
    names["b"][0] = 5
    yield 0
    names.clear()
    yield 0


@case
def attributes():
    def function(x, k=[1.5], *, m=2.5):  # noqa: B006
        return x

    kinds = ("__defaults__", "__kwdefaults__", "gone")
    yield [root_of(Source("attributes", tuple([(function, one) for one in kinds])))]
    yield -1
    function.__defaults__[0][0] = 3.5
    yield 0
    function.__defaults__[0][0] = 1.5
    function.__kwdefaults__["m"] = 3.5
    yield 0
    function.__kwdefaults__ = None
    yield 0


@case
def fields_of_objects():
    plain, options, space = Plain(), Options(), SimpleNamespace(k=1.5)
    plain.count, plain.weight = 0, tfl.ones(2)
    yield [held(plain), held(options), held(space)]
    yield -1
    plain.count += 1  # no tensor
    yield -1
    weight, plain.weight = plain.weight, tfl.ones(2)
    yield 0
    del plain.weight
    yield 0
    plain.other = weight
    yield 0
    del plain.other
    plain.weight = weight
    yield -1
    options.shift = 3
    yield 1
    options.shift = None
    yield -1
    space.m = space.__dict__.pop("k")
    yield 2


@case
def an_object_that_gets_another_class():
    class Other:
        pass

    options = Options()
    yield [held(options)]
    options.__class__ = Other
    yield 0


@case
def slots_of_a_dataclass():
    value = Slotted()
    yield [held(value)]
    yield -1
    value.later = 1
    yield 0
    del value.later
    yield -1
    value.scale = 3.5
    yield 0


@case
def a_dict_that_a_class_makes_up():
    class Made:
        weight = tfl.ones(1)

        @property
        def __dict__(self):
            return {"weight": self.weight}

    yield [held(Made())]
    yield 0  # what it holds isn't seen, and so is compared


@case
def an_owner_that_goes():
    owner = Plain()
    owner.k = [1.5]
    yield [held(1), root_of_object(weakref.ref(owner), owner), held(2)]
    yield -1
    owner.k[0] = 2.5
    yield 1
    owner.k[0] = 1.5
    owner.m = owner.__dict__.pop("k")
    yield 1
    del owner
    gc.collect()
    yield 1


@case
def an_owner_whose_dict_is_exchanged():
    owner = Plain()
    owner.k = 1.5
    yield [root_of_object(weakref.ref(owner), owner)]
    owner.__dict__ = dict(owner.__dict__)
    yield -1
    owner.__dict__ = {"k": 2.5}
    yield 0
    owner.__dict__ = {}
    yield 0


@case
def attributes_of_a_class():
    class Base:
        factor = 1.5

    yield [root_of_class(weakref.ref(Base), Base)]
    yield -1
    Base.factor = 2.5
    yield 0


@case
def what_a_function_gives():
    owner = Plain()
    owner.values = (1.5, 2)
    call = (lambda one: one.values, weakref.ref(owner))
    yield [root_of_call(call, owner.values)]
    yield -1
    owner.values = (1.5, 2, 3)
    yield 0
    owner.values = ()
    yield 0
    del owner
    gc.collect()
    yield 0


@case
def a_function_that_changes_what_comes_next():
    owner, values = Plain(), [[1.5]]
    owner.left = 3

    def call(one):
        one.left -= 1
        if not one.left:
            values.clear()
        return ()

    yield [held(values), root_of_call((call, weakref.ref(owner)), ()), held(values, 1)]
    yield -1
    yield -1
    yield 2
    yield 0


@case
def tensors_and_gradients():
    plain, leaf = tfl.ones(2), tfl.ones(2, requires_grad=True)
    grad = leaf.grad = tfl.ones(2)
    yield [
        root_of_tensor(weakref.ref(plain), tfl.Tensor, False, array=plain.array),
        root_of_tensor(weakref.ref(leaf), tfl.Tensor, True, array=leaf.array, grad=grad),
        root_of_tensor(weakref.ref(leaf), tfl.Tensor, True, hooks=Any_),
    ]
    yield -1
    handle = leaf.register_hook(lambda g: g)
    yield 1
    handle.remove()
    yield -1
    leaf.grad = tfl.ones(2)
    yield 1
    leaf.grad = grad
    array, plain.array = plain.array, tfl.ones(2).array
    yield 0
    plain.array = array
    plain.requires_grad_()
    yield 0
    plain.requires_grad_(False)
    yield -1
    leaf.requires_grad_(False)
    yield 1
    del plain
    gc.collect()
    yield 0


@case
def more_than_a_look_goes_through():
    values: Any = [[] for _ in range(250)]
    yield [held(values), held(1)]
    yield 0


@pytest.mark.parametrize("function", cases)
def test_a_look_sees_what_was_exchanged(look: Any, function: Case) -> None:
    steps = function()
    first = look(next(steps))
    for number, expected in enumerate(steps):
        assert first(0) == expected, f"step {number}"


def test_a_look_goes_on_after_a_root_that_differs(look: Any) -> None:
    values: list[Any] = [[1], [2], [3], [4]]
    first = look([held(one) for one in values])
    values[1].clear()
    values[3].clear()
    assert [first(start) for start in range(5)] == [1, 1, 3, 3, -1]


def test_an_error_of_a_function_is_raised(look: Any) -> None:
    owner = Plain()
    first = look([root_of_call((lambda one: one.gone, weakref.ref(owner)), ())])
    with pytest.raises(AttributeError, match="gone"):
        first(0)


def test_only_plain_values_are_kept_alive(look: Any) -> None:
    values: Any = {"a": Plain(), "b": [Plain()]}
    references = [weakref.ref(values["a"]), weakref.ref(values["b"][0])]
    text = "".join(["made ", "here"])
    values["c"] = text
    before = sys.getrefcount(text)
    first = look([held(values)])
    assert sys.getrefcount(text) == before + 1
    values.clear()
    assert [one() for one in references] == [None, None]
    assert first(0) == 0


def test_another_object_at_the_same_place_is_seen(look: Any) -> None:
    """What is gone leaves its place to an object that holds other things, or nothing."""
    for kind in (SlottedAlso, Plain):
        values: Any = [Slotted()]
        first = look([held(values)])
        place, kept = id(values[0]), []
        values[0] = None
        for _ in range(1000):  # until a new one lies where the old one lay
            made = kind()
            if id(made) == place:
                break
            kept.append(made)
        values[0] = made
        assert first(0) == 0


def test_a_look_that_is_part_of_a_cycle_is_collected(look: Any) -> None:
    def make() -> Any:
        owner: Any = Plain()

        def function() -> Any:
            return owner

        owner.first = look([root_of(Source("cells", function.__closure__))])
        assert owner.first(0) == -1
        return weakref.ref(owner)

    reference = make()
    gc.collect()
    assert reference() is None


def test_a_collection_is_left_on_or_off(look: Any) -> None:
    values: list[Any] = [1]
    first = look([held(values)])
    for turn in (gc.disable, gc.enable):
        turn()
        assert first(0) == -1
        assert gc.isenabled() == (turn is gc.enable)


@pytest.mark.skipif(native.module is None, reason="the native extension isn't loaded")
@pytest.mark.parametrize(
    "roots",
    [
        (("held",),), ((1, 2, 3),), (("nowhere", (), ("values", None, (), (), (), ())),),
        (("held", (), ("knot", tuple, (), (), (), ())),),
        (("held", (), ("tuple", None, (), (), (), ())),),
        (("held", (), ("tuple", 3, (), (), (), ())),),
        (("held", (), ("slots", tuple, (1,), (), (), ())),),
        (("held", (), ("slots", tuple, (1,), (Slotted.scale,), (), ())),),
        (("held", (), ("slots", tuple, (1,), (3,), (), ())),),
        (("held", (), ("tuple", tuple, (), (), ((0, ("list", list, (), (), (), ())),), ())),),
    ],
)  # fmt: skip
def test_what_is_no_description_is_refused(roots: Any) -> None:
    with pytest.raises((ValueError, RuntimeError, IndexError, TypeError)):
        native.module.Identities(roots, tfl.Tensor, None, None, None)  # type: ignore[union-attr]


# -- any values, changed at random -----------------------------------------------------------------
TENSORS = [tfl.ones(1) for _ in range(3)]


def made(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9 if depth else 3)
    if kind < 3:
        return rng.choice([1, 2.5, "a", None, (1,), *TENSORS])
    some = [made(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind < 5:
        return some if kind == 3 else tuple(some)
    if kind == 5:
        return {rng.choice("abcd"): one for one in some}
    if kind == 6:
        return {rng.choice([1, 2, "x", (1, 2), TENSORS[0]]) for _ in range(3)}
    value = Plain() if kind == 7 else SimpleNamespace()
    value.__dict__.update({rng.choice("abc"): one for one in some})
    return value


def change(rng: random.Random, value: Any) -> None:
    """Change something in a value, or in what it holds."""
    kind = type(value)
    inner = list(value.values() if kind is dict else value if kind in (list, tuple) else ())
    if inner and (kind is tuple or rng.random() < 0.6):
        change(rng, rng.choice(inner))
    elif kind is list:
        rng.choice([lambda: value.append(made(rng, 1)), value.reverse, value.clear])()
    elif kind is dict and value and rng.random() < 0.5:
        value["z"] = value.pop(next(iter(value)))
    elif kind is dict:
        value["a"] = made(rng, 1)
    elif kind is set:
        rng.choice([lambda: value.add(9), value.clear])()
    elif kind in (Plain, SimpleNamespace):
        setattr(value, rng.choice("abcd"), made(rng, 1))


def test_what_looks_the_same_compares_the_same(look: Any) -> None:
    rng, seen = random.Random(7), 0
    for _ in range(1000):
        values = [made(rng, 4) for _ in range(3)]
        first = look([held(one) for one in values])
        before = [tuple(map(id, contents((one,)))) for one in values]
        kept = [contents((one,)) for one in values]  # so that no identity comes again
        for one in values:
            change(rng, one)
        for place, one in enumerate(values):
            same = tuple(map(id, contents((one,)))) == before[place]
            assert (first(place) != place) == same, (one, kept[place])
            seen += not same
    assert seen > 500
