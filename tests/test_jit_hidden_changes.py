"""`jit` is never silently wrong: changes that names, sets, defaults, slots and modules hide.

Each is seen by the extension's quick look, by Python's, and where nothing looks before values are
compared.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.transforms import jit_guards
from tensorflowlite.transforms.jit_identity import looking, looking_in_python

from . import imported_settings
from .jit_worlds import CALLS, World, Worlds, batch, check

world = Worlds()


def no_look(roots: Any) -> Any:
    """Return what finds nothing unchanged."""
    return lambda start: start if start < len(roots) else -1


@dataclass(slots=True)
class Slotted:
    scale: float = 2.0
    shift: Any = None
    later: Any = field(init=False)


@world(2)
def a_key_of_a_dict_attribute_is_renamed(jit):
    class Chooser(nn.Module):
        def forward(self, x):
            return x * self.options.get("scale", 1.0)

    model = Chooser()
    model.options = {"scale": 3.0}
    call = jit(model)
    for i in range(CALLS + 3):
        if i == 5:
            model.options["size"] = model.options.pop("scale")
        yield call(batch(i, 3))


@world(2)
def a_modules_attributes_are_renamed(jit):
    class Chooser(nn.Module):
        def forward(self, x):
            return x * getattr(self, "scale", 1.0)

    model = Chooser()
    model.scale = 3.0
    call = jit(model)
    for i in range(CALLS + 3):
        if i == 5:
            model.size = model.scale
            del model.scale
        yield call(batch(i, 3))


@world(2)
def a_class_attribute_is_renamed(jit):
    class Chooser(nn.Module):
        scale: Any = 3.0

        def forward(self, x):
            return x * getattr(self, "scale", 1.0)

    call = jit(Chooser())
    for i in range(CALLS + 3):
        if i == 5:
            Chooser.size = Chooser.scale  # type: ignore[attr-defined]
            del Chooser.scale
        yield call(batch(i, 3))


@world(2)
def a_key_of_a_plain_dict_is_renamed(jit):
    options: Any = {"scale": 3.0, (1, 2): 1}
    call = jit(lambda x: x * options.get("scale", 1.0) + ((1, 2) in options))
    for i in range(CALLS + 6):
        if i == 5:
            options["size"] = options.pop("scale")
            options[1, 2] = options.pop((1, 2))  # in the order of before
        if i == 8:
            options[1, 3] = options.pop((1, 2))
        yield call(batch(i, 3))


@world(2)
def a_set_changes(jit):
    parts = {"scale"}
    call = jit(lambda x: x * 3 if "scale" in parts else x)
    for i in range(CALLS + 3):
        if i == 5:
            parts.remove("scale")
            parts.add("shift")
        yield call(batch(i, 3))


@world(2)
def a_frozenset_of_a_module_changes(jit):
    class Chooser(nn.Module):
        def forward(self, x):
            return x * 3 if 2 in self.parts else x

    model = Chooser()
    model.parts = frozenset([1, 2])
    call = jit(model)
    for i in range(CALLS + 3):
        if i == 5:
            model.parts = frozenset([1, 3])
        yield call(batch(i, 3))


@world(2)
def a_tuple_of_a_set_changes(jit):
    w, parts = tfl.ones(3), {(1.5, "a")}
    call = jit(lambda x: x * w * sum(k for k, _ in parts))
    for i in range(CALLS + 3):
        if i == 5:
            parts.clear()
            parts.add((2.5, "a"))
        yield call(batch(i, 3))


@world(2)
def a_default_changes(jit):
    def helper(x, k=2.0):
        return x * k

    call = jit(lambda x: helper(x))
    for i in range(CALLS + 3):
        if i == 5:
            helper.__defaults__ = (3.0,)
        yield call(batch(i, 3))


@world(2)
def an_element_of_a_default_changes(jit):
    def step(x, k=[2.0]):  # noqa: B006
        return x * k[0]

    call = jit(step)
    for i in range(CALLS + 3):
        if i == 5:
            step.__defaults__[0][0] = 3.0
        yield call(batch(i, 3))


@world(2)
def a_default_of_a_keyword_changes(jit):
    def helper(x, *, k=2.0):
        return x * k

    call = jit(lambda x: helper(x))
    for i in range(CALLS + 3):
        if i == 5:
            helper.__kwdefaults__["k"] = 3.0
        yield call(batch(i, 3))


@world(2)
def a_default_of_forward_changes(jit):
    class Scale(nn.Module):
        def forward(self, x, k=2.0):
            return x * k

    call = jit(Scale())
    for i in range(CALLS + 3):
        if i == 5:
            Scale.forward.__defaults__ = (3.0,)
        yield call(batch(i, 3))


@world(2)
def a_slot_of_a_dataclass_changes(jit):
    options = Slotted()
    call = jit(lambda x: x * options.scale)
    for i in range(CALLS + 3):
        options.scale = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_slot_of_a_dataclass_gets_a_tensor(jit):
    options = Slotted()
    call = jit(lambda x: x * (getattr(options, "later", None) or 2.0))
    for i in range(CALLS + 3):
        if i == 5:
            options.later = 3.0
        yield call(batch(i, 3))


@world(2)
def a_slot_of_a_methods_object_changes(jit):
    @dataclass(slots=True)
    class Step:
        scale: float

        def __call__(self, x):
            return x * self.scale

        def step(self, x):
            return self(x)

    step = Step(2.0)
    call = jit(step.step)
    for i in range(CALLS + 3):
        step.scale = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_value_of_an_imported_module_changes(jit):
    call = jit(lambda x: x * imported_settings.scale)
    for i in range(CALLS + 3):
        imported_settings.scale = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))
    imported_settings.scale = 2.0


@world(2)
def a_value_of_a_module_of_another_package_changes(jit):
    settings = types.ModuleType("settings")
    settings.inner = types.ModuleType("settings.inner")  # type: ignore[attr-defined]
    settings.inner.scale = 2.0  # type: ignore[attr-defined]

    def step(x):
        def inner(y):
            return y * settings.inner.scale

        return inner(x)

    call = jit(step)
    for i in range(CALLS + 3):
        settings.inner.scale = 3.0 if i > 4 else 2.0  # type: ignore[attr-defined]
        yield call(batch(i, 3))


@world(2)
def a_tensor_of_an_imported_module_is_exchanged(jit):
    old, new = tfl.ones(3), tfl.ones(3) * 2
    call = jit(lambda x: x * imported_settings.weight)
    for i in range(CALLS + 3):
        imported_settings.weight = new if i > 4 else old
        yield call(batch(i, 3))


@world(4)
def what_the_code_does_not_look_up_in_a_module_is_no_matter(jit):
    class Counter:
        scale = 2.0

    counter = Counter()
    call = jit(lambda x: x * counter.scale * imported_settings.steady)
    for i in range(CALLS):
        imported_settings.scale = float(i)
        yield call(batch(i, 3))
    imported_settings.scale = 2.0


@pytest.mark.parametrize("look", [looking, looking_in_python, no_look])
@pytest.mark.parametrize(("function", "least"), world.found)
def test_a_change_is_seen(
    look: Any, function: World, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit_guards, "looking", look)
    check(function, least)
