"""What watches operations and rules may end in any order, and leaves all as it was."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import exchange_rules, registry, watch
from tensorflowlite.debug import strict
from tensorflowlite.errors import NumericalError
from tensorflowlite.transforms.exchanging import Exchanges

WATCHING: dict[str, Callable[[], Any]] = {
    "profile": tfl.profile, "anomaly": tfl.autograd.detect_anomaly, "explain": tfl.explain,
    "strict": strict,
}  # fmt: skip


def step() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    nn.functional.cross_entropy(model(tfl.ones(2, 4)), tfl.tensor([0, 1])).backward()
    optimizer.step()


def places() -> list[Any]:
    """Return what is exchanged while something watches."""
    found: list[Any] = [tape._run, nn.Module.__call__, optim.SGD.step, watch.wrap, watch.inspects]
    for op in list(registry.values()):
        found += [op.raw, op.run_traced, op.defers, *(op.defers or {}).values()]
    return found


@pytest.mark.parametrize("outer, inner", list(itertools.permutations(WATCHING, 2)))
def test_they_end_in_any_order(outer: str, inner: str) -> None:
    for name in (outer, inner):  # so that the modules are there
        with WATCHING[name]():
            step()
    before = places()
    first, second = WATCHING[outer](), WATCHING[inner]()
    first.__enter__()
    second.__enter__()
    step()
    first.__exit__(None, None, None)
    step()
    second.__exit__(None, None, None)
    assert all(one is other for one, other in zip(places(), before, strict=True))


def test_one_goes_on_when_one_around_it_ends() -> None:
    around, anomaly = tfl.profile(), tfl.autograd.detect_anomaly()
    around.__enter__()
    anomaly.__enter__()
    around.__exit__(None, None, None)
    try:
        x = tfl.tensor([0.0], requires_grad=True)
        with pytest.raises(NumericalError, match="sqrt"):
            tfl.sqrt(x).sum().backward()
    finally:
        anomaly.__exit__(None, None, None)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_rules_come_back_in_any_order(order: tuple[int, ...]) -> None:
    def naming(name: int) -> Any:
        def watched(op: Any, rule: Any) -> Any:
            def run(*args: Any) -> Any:
                seen.append(name)
                return rule(*args)

            return run

        return watched

    seen: list[int] = []
    before = places()
    on = [0, 1, 2]
    ends = [exchange_rules(naming(name), deferring=bool(name)) for name in on]
    try:
        for name in order:
            ends[name]()
            on.remove(name)
            seen.clear()
            tfl.exp(tfl.ones(2, requires_grad=True)).backward(tfl.ones(2))
            assert seen == on[::-1]
    finally:
        for name in on:
            ends[name]()
    assert all(one is other for one, other in zip(places(), before, strict=True))


def test_an_exchange_that_fails_leaves_nothing() -> None:
    before = places()

    def fail(op: Any, rule: Any) -> Any:
        if op.name == "exp":
            raise RuntimeError("no")
        return lambda *args: rule(*args)

    with pytest.raises(RuntimeError, match="no"):
        exchange_rules(fail)
    assert all(one is other for one, other in zip(places(), before, strict=True))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_functions_come_back_in_any_order(order: tuple[int, ...]) -> None:
    class Owner:
        def name(self) -> str:
            return "own"

    def around(found: Any, name: int) -> Any:
        return lambda self: f"{name}{found(self)}"

    before = vars(Owner)["name"]
    each = [Exchanges() for _ in order]
    for name, one in enumerate(each):
        one.exchange(Owner, "name", around(vars(Owner)["name"], name))
    assert Owner().name() == "210own"
    for name in order:
        each[name].restore()
    assert vars(Owner)["name"] is before
