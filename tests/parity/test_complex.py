"""Complex numbers: values and gradients of every operation that both have, equal to PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite.autograd import grad
from tests.comparing import leaf

# Both compute in float64; what differs is the order of a few operations.
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
Function = Callable[..., Any]


def numbers(*shape: int, seed: int = 0) -> Any:
    """Complex numbers away from zero and from the cuts."""
    rng = np.random.default_rng([seed, *shape])
    real, imag = rng.uniform(0.2, 0.8, (2, *shape))
    return real + 1j * imag


def reals(*shape: int, seed: int = 1) -> Any:
    return numbers(*shape, seed=seed).real.copy()


def gradients_of(y: Any, xs: list[Any], g: Any, h: list[Any], library: Any) -> tuple[Any, Any]:
    """Return the gradients, and the gradients of their product with ``h``."""
    first = library(y, xs, g, create_graph=True, allow_unused=True)
    pairs = [(a, b) for a, b in zip(first, h, strict=True) if a is not None and a.requires_grad]
    if not pairs:
        return first, None
    second = library(
        [a for a, _ in pairs], xs, [b for _, b in pairs], allow_unused=True
    )  # fmt: skip
    return first, second


def same(found: Any, expected: Any) -> None:
    if expected is None:
        expected = torch.zeros(found.shape) if found is not None else None
    if found is None:
        assert expected is None or not expected.resolve_conj().detach().numpy().any()
        return
    wanted = expected.resolve_conj().resolve_neg().detach().numpy()
    np.testing.assert_allclose(found.detach().numpy(), wanted, **CLOSE)


def check(ours: Function, theirs: Function, *arrays: Any) -> None:
    """Compare value, gradients and second derivatives."""
    xs = [leaf(a) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = ours(*xs), theirs(*ts)
    same(y, t)
    rng = np.random.default_rng(5)

    def like(a: Any) -> Any:
        values = rng.normal(size=tuple(a.shape))
        complex_one = str(a.dtype).rpartition(".")[2].startswith("complex")
        return values + 1j * rng.normal(size=tuple(a.shape)) if complex_one else values

    g, h = np.asarray(like(t)), [like(a) for a in ts]
    found = gradients_of(y, xs, tfl.tensor(g), [tfl.tensor(b) for b in h], grad)
    wanted = gradients_of(t, ts, torch.tensor(g), list(map(torch.tensor, h)), torch.autograd.grad)
    for a, b in zip(found[0], wanted[0], strict=True):
        same(a, b)
    if found[1] is None or wanted[1] is None:
        assert all(b is None or not b.any() for b in (found[1] or wanted[1] or ()) if b is not None)
        return
    for a, b in zip(found[1], wanted[1], strict=True):
        same(a, b)


ONE = (
    "abs acos acosh asin asinh atan atanh conj cos cosh exp expm1 imag log log10 log1p log2 "
    "negative positive real reciprocal rsqrt sigmoid sin sinh sqrt square tan tanh"
)


@pytest.mark.parametrize("name", ONE.split())
@pytest.mark.parametrize("shape", [(3, 2), (), (0, 2)])
def test_of_one(name: str, shape: tuple[int, ...]) -> None:
    check(getattr(tfl, name), getattr(torch, name), numbers(*shape))


@pytest.mark.parametrize("name", ["abs", "tanh", "exp", "square", "sinh", "expm1", "conj"])
def test_at_zero(name: str) -> None:
    check(getattr(tfl, name), getattr(torch, name), np.array([0j, 1 + 1j]))


@pytest.mark.parametrize("exponent", [1, 2, 3])
def test_powers_of_zero(exponent: int) -> None:
    check(lambda x: x**exponent, lambda x: x**exponent, np.array([0j, 1 + 1j]))


def test_sign() -> None:
    check(tfl.sign, torch.sgn, numbers(3, 2) - 0.5 - 0.4j)


def test_silu() -> None:
    # PyTorch's own has no complex gradient.
    silu = tfl.nn.functional.silu
    check(silu, lambda x: x * torch.sigmoid(x), numbers(3, 2) - 0.5 - 0.4j)


def test_angle() -> None:
    check(tfl.angle, torch.angle, numbers(3, 2))


TWO = "add subtract multiply divide power"


@pytest.mark.parametrize("name", TWO.split())
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (numbers(3, 2), numbers(3, 2, seed=2)),
        (numbers(3, 1), numbers(2, seed=2)),
        (numbers(), numbers(2, 2, seed=2)),
        (numbers(3, 2), reals(2)),
        (reals(3, 2), numbers(2, seed=2)),
        (numbers(0, 2), numbers(2, seed=2)),
    ],
)
def test_of_two(name: str, x: Any, y: Any) -> None:
    check(getattr(tfl, name), torch.pow if name == "power" else getattr(torch, name), x, y)


@pytest.mark.parametrize("exponent", [2, 3.0, -1, 0, 0.5, 1 + 2j])
def test_power_of_a_number(exponent: Any) -> None:
    check(lambda x: x**exponent, lambda x: x**exponent, numbers(3))
    check(lambda x: 2.0**x, lambda x: 2.0**x, numbers(3))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: tfl.sum(x, 0), lambda x: x.sum(0)),
        (lambda x: tfl.mean(x, 1, keepdims=True), lambda x: x.mean(1, keepdim=True)),
        (lambda x: tfl.prod(x, 1), lambda x: x.prod(1)),
        (tfl.prod, torch.prod),
        (lambda x: tfl.var(x, 0, correction=1), lambda x: x.var(0, correction=1)),
        (lambda x: tfl.std(x, 1, correction=0), lambda x: x.std(1, correction=0)),
        (lambda x: tfl.cumulative_sum(x, 1), lambda x: x.cumsum(1)),
        (lambda x: tfl.cumulative_prod(x, 0), lambda x: x.cumprod(0)),
        (lambda x: tfl.diff(x, axis=0), lambda x: x.diff(dim=0)),
        (lambda x: tfl.logsumexp(x, 0), lambda x: x.logsumexp(0)),
        (lambda x: x[1:, ::2], lambda x: x[1:, ::2]),
        (lambda x: x[[0, 0, 2]], lambda x: x[[0, 0, 2]]),
        (lambda x: x.real * x.imag, lambda x: x.real * x.imag),
        (lambda x: (x * x.conj()).real, lambda x: (x * x.conj()).real),
        (lambda x: tfl.where(x.real > 0.5, x, x * x),
         lambda x: torch.where(x.real > 0.5, x, x * x)),
        (lambda x: tfl.take_along_axis(x, tfl.tensor([[1, 0, 1, 2]]), 0),
         lambda x: torch.take_along_dim(x, torch.tensor([[1, 0, 1, 2]]), 0)),
        (lambda x: tfl.concat([x, x * 2], 1), lambda x: torch.cat([x, x * 2], 1)),
        (lambda x: tfl.stack([x, x * x]), lambda x: torch.stack([x, x * x])),
        (lambda x: tfl.permute_dims(x, (1, 0)), lambda x: x.permute(1, 0)),
        (lambda x: tfl.flip(x, 0), lambda x: x.flip(0)),
        (lambda x: tfl.roll(x, 1, 1), lambda x: x.roll(1, 1)),
        (lambda x: tfl.repeat(x, 2, 1), lambda x: x.repeat_interleave(2, 1)),
        (lambda x: tfl.tile(x, (2, 1)), lambda x: x.tile((2, 1))),
        (lambda x: tfl.broadcast_to(x, (2, 3, 4)), lambda x: x.broadcast_to((2, 3, 4))),
        (lambda x: tfl.tril(x), lambda x: x.tril()),
        (lambda x: tfl.diagonal(x), lambda x: x.diagonal()),
        (lambda x: tfl.astype(x, tfl.complex64), lambda x: x.to(torch.complex64)),
        (lambda x: tfl.sqrt(tfl.sum(x.real**2 + x.imag**2)), lambda x: torch.linalg.norm(x)),
    ],
)  # fmt: skip
def test_of_a_matrix(ours: Function, theirs: Function) -> None:
    check(ours, theirs, numbers(3, 4))


@pytest.mark.parametrize(
    ("ours", "theirs", "shapes"),
    [
        (tfl.matmul, torch.matmul, [(2, 3), (3, 4)]),
        (tfl.matmul, torch.matmul, [(5, 2, 3), (3, 4)]),
        (tfl.matmul, torch.matmul, [(3,), (5, 3, 4)]),
        (tfl.matmul, torch.matmul, [(3,), (3,)]),
        (tfl.vecdot, lambda x, y: torch.linalg.vecdot(x, y), [(2, 3), (3,)]),
        (tfl.outer, torch.outer, [(2,), (3,)]),
        (lambda x, y: tfl.tensordot(x, y, axes=1), lambda x, y: torch.tensordot(x, y, 1),
         [(2, 3), (3, 4)]),
        (lambda x, y: tfl.einsum("ij,kj->ik", x, y), lambda x, y: torch.einsum("ij,kj->ik", x, y),
         [(2, 3), (4, 3)]),
    ],
)  # fmt: skip
def test_products(ours: Function, theirs: Function, shapes: list[Any]) -> None:
    check(ours, theirs, *[numbers(*shape, seed=i) for i, shape in enumerate(shapes)])
    mixed = [numbers(*shapes[0]), reals(*shapes[1])]
    check(ours, lambda x, y: theirs(x, y.to(x.dtype)), *mixed)


def test_what_goes_between_real_and_complex() -> None:
    check(lambda x: tfl.astype(x, tfl.complex128), lambda x: x.to(torch.complex128), reals(3))
    check(lambda x, y: x + 1j * y, torch.complex, reals(3), reals(3, seed=4))
    check(lambda x: x * (2 + 1j), lambda x: x * (2 + 1j), reals(3))


def test_what_is_changed_in_place() -> None:
    def ours(x: Any, y: Any) -> Any:
        z = x * 1
        z[1:] = y
        z[0] *= z[2]
        return z

    def theirs(x: Any, y: Any) -> Any:
        z = x * 1
        z[1:] = y
        z[0] = z[0].clone() * z[2].clone()
        return z

    check(ours, theirs, numbers(3, 2), numbers(2, seed=4))


def test_a_loss_goes_down() -> None:
    """The gradient of a real loss points uphill: along it a step back is a step down."""
    x = leaf(numbers(4))
    before = tfl.sum(tfl.abs(x * x - 1j) ** 2)
    before.backward()
    assert x.grad is not None
    after = tfl.sum(tfl.abs((x - 0.01 * x.grad) ** 2 - 1j) ** 2)
    assert after.item() < before.item()
