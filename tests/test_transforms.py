"""Transforms of functions: against closed forms and central differences, to any order."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import (
    ArgumentError,
    DtypeError,
    GradientError,
    ShapeError,
    TensorflowliteError,
)
from tensorflowlite.transforms import tree


def f64(values: Any) -> tfl.Tensor:
    return tfl.tensor(values, dtype=tfl.float64)


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    found = found.numpy() if isinstance(found, tfl.Tensor) else found
    expected = expected.numpy() if isinstance(expected, tfl.Tensor) else expected
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# -- trees -----------------------------------------------------------------------------------------
Pair = namedtuple("Pair", "left right")

TREES = [
    1,
    None,
    (1, [2, 3], {"a": 4, "b": (5,)}),
    Pair(1, Pair([2], None)),
    OrderedDict(x=1, y=[2]),
    [],
    {},
]


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_a_tree_comes_back_as_it_was(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    rebuilt = tree.unflatten(structure, leaves)
    assert rebuilt == value
    assert type(rebuilt) is type(value)
    assert structure == tree.flatten(rebuilt)[1]
    assert hash(structure) == hash(tree.flatten(rebuilt)[1])
    assert len(tree.paths(structure)) == structure.count == len(leaves)


def test_trees_are_matched_by_the_keys_of_dicts() -> None:
    _, structure = tree.flatten({"a": 1, "b": [2, 3]})
    assert tree.flatten_like("op", structure, {"b": (5, 6), "a": 4}) == [4, 5, 6]
    assert structure == tree.flatten({"b": [0, 0], "a": 0})[1]
    assert tree.map_leaves(lambda x, y: x + y, {"a": 1}, {"a": 2}) == {"a": 3}
    assert tree.paths(structure) == ["['a']", "['b'][0]", "['b'][1]"]


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"a": 1}, "the trees must be built alike, got dict for {'a': *, 'b': [*]}"),
        ({"a": 1, "b": 2}, "the trees must be built alike, got int at ['b'] for [*]"),
        ({"a": [1], "b": [2]}, "a leaf is needed at ['a'], got list"),
        ({"a": None, "b": [2]}, "a leaf is needed at ['a'], got None"),
        (3, "the trees must be built alike, got int for"),
    ],
)
def test_trees_that_differ(other: Any, text: str) -> None:
    _, structure = tree.flatten({"a": 1, "b": [2]})
    with pytest.raises(ArgumentError) as error:
        tree.flatten_like("op", structure, other)
    assert str(error.value).startswith(f"op: {text}")


# -- grad ------------------------------------------------------------------------------------------
def test_perturbations_are_not_confused() -> None:
    assert tfl.grad(lambda x: x * tfl.grad(lambda y: x + y)(2.0))(1.0).item() == 1.0
    inner = lambda x: tfl.grad(lambda y: x * y * y)(2.0)  # noqa: E731
    assert tfl.grad(lambda x: x * inner(x))(3.0).item() == 24.0


def test_a_result_without_outer_history_is_a_constant() -> None:
    value, slope = tfl.value_and_grad(lambda x: x * tfl.grad(lambda y: x * y * y)(2.0))(3.0)
    assert not value.requires_grad
    assert not slope.requires_grad
    x = tfl.tensor(3.0, requires_grad=True)
    with tfl.no_grad():  # inside, the transform records all the same
        assert tfl.grad(lambda x: x**2)(x).item() == 6.0
        assert not tfl.grad(lambda x: x**2)(x).requires_grad


def test_every_order() -> None:
    function: Any = lambda x: x**5  # noqa: E731
    for expected in (80.0, 160.0, 240.0, 240.0, 120.0, 0.0):
        function = tfl.grad(function)
        assert function(2.0).item() == expected


def test_inputs_keep_their_grad_and_carry_the_outer_derivative() -> None:
    x = tfl.tensor(3.0, requires_grad=True)
    slope = tfl.grad(lambda x: x**3)(x)
    assert x.grad is None
    assert slope.requires_grad
    slope.backward()
    assert x.grad.item() == 18.0


def test_what_is_closed_over_keeps_its_history() -> None:
    layer = nn.Linear(3, 1).double()
    x = f64([[0.3, -0.2, 0.5]])

    def energy(x: tfl.Tensor) -> tfl.Tensor:
        return tfl.tanh(layer(x)).sum()

    force = tfl.grad(energy)(x)
    (force**2).sum().backward()
    weight, bias = layer.weight.detach(), layer.bias.detach()

    def penalty(weight: tfl.Tensor) -> tfl.Tensor:
        slope = 1 - tfl.tanh(x @ weight.T + bias) ** 2
        return ((slope * weight) ** 2).sum()

    close(layer.weight.grad, tfl.grad(penalty)(weight))
    assert x.grad is None


def test_trees_of_inputs() -> None:
    point = Pair({"w": f64([1.0, 2.0])}, [3.0, None])
    found = tfl.grad(lambda p: (p.left["w"] ** 2).sum() * p.right[0])(point)
    assert isinstance(found, Pair)
    close(found.left["w"], [6.0, 12.0])
    assert found.right[0].item() == 5.0
    assert found.right[1] is None


def test_argnums() -> None:
    def f(x: Any, y: Any, *, scale: float = 1.0) -> Any:
        return x * y * y * scale

    assert tfl.grad(f, argnums=1)(2.0, 3.0).item() == 12.0
    assert tfl.grad(f, argnums=-1)(2.0, 3.0, scale=2.0).item() == 24.0
    assert [g.item() for g in tfl.grad(f, argnums=(0, 1))(2.0, 3.0)] == [9.0, 12.0]
    assert tfl.grad(f)(2.0, np.float64(3.0)).item() == 9.0


def test_aux() -> None:
    w = tfl.tensor(2.0, requires_grad=True)

    def f(x: tfl.Tensor) -> Any:
        return x * x, {"twice": 2 * x, "outside": w * x, "text": "x"}

    slope, aux = tfl.grad(f, has_aux=True)(3.0)
    assert slope.item() == 6.0
    assert aux["text"] == "x"
    assert not aux["twice"].requires_grad
    aux["outside"].backward()
    assert w.grad.item() == 3.0
    (value, _), slope = tfl.value_and_grad(f, has_aux=True)(3.0)
    assert (value.item(), slope.item()) == (9.0, 6.0)


def test_as_a_decorator() -> None:
    @tfl.grad
    def slope(x: Any) -> Any:
        """Twice x."""
        return x * x

    assert slope.__name__ == "slope"
    assert slope.__doc__ == "Twice x."
    assert slope(4.0).item() == 8.0
    assert tfl.grad(nn.MSELoss())(tfl.ones(1), tfl.zeros(1)).item() == 2.0


def test_one_tensor_for_two_arguments() -> None:
    x = tfl.tensor(3.0, requires_grad=True)
    first, second = tfl.grad(lambda a, b: a * b * b, argnums=(0, 1))(x, x)
    assert (first.item(), second.item()) == (9.0, 18.0)


def test_what_the_output_does_not_depend_on() -> None:
    assert tfl.grad(lambda x: 5.0)(1.0).item() == 0.0
    unused = tfl.grad(lambda x, y: (y * y).sum())(tfl.ones((2, 3)), tfl.ones(2))
    assert unused.shape == (2, 3)
    assert not unused.numpy().any()


def test_a_complex_input() -> None:
    z = tfl.tensor([1 + 2j, 3 - 1j])
    close(tfl.grad(lambda z: (z.abs() ** 2).sum())(z), 2 * z.numpy(), 1e-6)


def test_no_memory_is_kept() -> None:
    seen = []

    def f(x: tfl.Tensor) -> tfl.Tensor:
        y = tfl.exp(x)
        seen.append(weakref.ref(y.array))
        return (y * y).sum()

    gc.disable()
    try:
        result = tfl.grad(f)(tfl.ones(4))
        assert seen[0]() is None
    finally:
        gc.enable()
    assert result.shape == (4,)


def test_changing_an_input_in_place() -> None:
    def f(x: tfl.Tensor) -> tfl.Tensor:
        x *= 2
        return x.sum()

    x = tfl.ones(2)
    with pytest.raises(GradientError, match="a leaf that requires grad"):
        tfl.grad(f)(x)
    outer = tfl.ones(2).requires_grad_()
    close(tfl.grad(f)(outer).detach(), [2.0, 2.0])
    close(outer.detach(), [1.0, 1.0])


# -- vjp and jvp -----------------------------------------------------------------------------------
def test_a_pull_back_may_be_called_again() -> None:
    out, pull = tfl.vjp(lambda x, p: {"a": x * p["w"], "b": p["w"]}, f64(2.0), {"w": f64(3.0)})
    assert not out["a"].requires_grad
    for scale in (1.0, 10.0):
        x, p = pull({"b": scale, "a": scale})
        assert (x.item(), p["w"].item()) == (3.0 * scale, 3.0 * scale)


def test_a_pull_back_is_differentiable_by_its_cotangent() -> None:
    _, pull = tfl.vjp(lambda x: x**2, f64([1.0, 2.0]))
    g = f64([3.0, 4.0]).requires_grad_()
    (pulled,) = pull(g)
    (pulled**2).sum().backward()
    close(g.grad, 2 * g.detach() * (2 * f64([1.0, 2.0])) ** 2)


def test_vjp_with_aux() -> None:
    out, pull, aux = tfl.vjp(lambda x: (x * x, "text"), f64(3.0), has_aux=True)
    assert (out.item(), aux, pull(1.0)[0].item()) == (9.0, "text", 6.0)


SMOOTH: list[Callable[..., Any]] = [
    lambda x: tfl.sin(x) * tfl.exp(-x),
    lambda x: tfl.sort(x) ** 3,
    lambda x: tfl.softmax(x, -1),
    lambda x: x / tfl.sqrt((x * x).sum()),
    lambda x: tfl.einsum("i,j->ij", x, tfl.tanh(x)),
    lambda x: (x.max(), x[::2] * 2),
]


@pytest.mark.parametrize("function", SMOOTH, ids=range(len(SMOOTH)))
def test_jvp_against_differences(function: Callable[..., Any]) -> None:
    x, t = f64([0.3, -1.2, 0.8]), f64([0.5, 0.1, -0.7])
    out, tangent = tfl.jvp(function, (x,), (t,))
    step = 1e-6
    plus, _ = tree.flatten(function(x + step * t))
    minus, _ = tree.flatten(function(x - step * t))
    found, _ = tree.flatten(tangent)
    for value, again in zip(*(tree.flatten(one)[0] for one in (out, function(x))), strict=True):
        close(value, again)
    for one, high, low in zip(found, plus, minus, strict=True):
        close(one, (high - low) / (2 * step), 1e-8)  # a central difference in float64


def test_jvp_to_any_order() -> None:
    push = lambda f: lambda x: tfl.jvp(f, (x,), (1.0,))[1]  # noqa: E731
    assert push(push(push(lambda x: x**4)))(2.0).item() == 48.0
    mixed = tfl.grad(lambda x: tfl.jvp(lambda y: tfl.sin(y) * x, (x,), (x,))[1])(f64(0.7))
    close(mixed, 2 * 0.7 * math.cos(0.7) - 0.49 * math.sin(0.7))


def test_jvp_of_what_has_no_derivative() -> None:
    def f(x: tfl.Tensor) -> Any:
        return tfl.argmax(x), tfl.ones(2), x * 2

    out, tangent, aux = tfl.jvp(lambda x: (f(x), 7), (f64([1.0, 2.0]),), (f64([1.0, 0.0]),), True)
    assert aux == 7
    assert out[0].item() == 1
    assert (tangent[0].dtype, tangent[0].item()) == (out[0].dtype, 0)
    close(tangent[1], [0.0, 0.0])
    close(tangent[2], [2.0, 0.0])


def test_jvp_of_a_holomorphic_function() -> None:
    z, t = tfl.tensor([1 + 2j]), tfl.tensor([1j])
    out, tangent = tfl.jvp(lambda z: z * z, (z,), (t,))
    close(out, z.numpy() ** 2, 1e-6)
    close(tangent, 2 * z.numpy() * t.numpy(), 1e-6)


# -- Jacobians and Hessians ------------------------------------------------------------------------
def differences(function: Callable[..., Any], x: tfl.Tensor, step: float = 1e-6) -> np.ndarray:
    """The Jacobian by central differences, of shape output + input."""
    columns = []
    for place in np.ndindex(x.shape):
        moved = np.zeros(x.shape)
        moved[place] = step
        high, low = function(x + f64(moved)), function(x - f64(moved))
        columns.append(((high - low) / (2 * step)).detach().numpy())
    return np.stack(columns, -1).reshape(*columns[0].shape, *x.shape)


def mixed(x: tfl.Tensor) -> tfl.Tensor:
    return (tfl.sin(x[:, 0]) * tfl.exp(x[:, 1])).sum() + (x**3).prod() + tfl.logsumexp(x)


POINT = f64([[0.3, -0.5], [1.1, 0.7]])


@pytest.mark.parametrize("jacobian", [tfl.jacrev, tfl.jacfwd])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: tfl.tanh(x) @ x,
        lambda x: tfl.softmax(x, -1),
        lambda x: x.sum(axis=0),
        lambda x: x.sum(),
        lambda x: tfl.ones(3, dtype=tfl.float64),
    ],
    ids=range(5),
)
def test_jacobians_against_differences(jacobian: Any, function: Callable[..., Any]) -> None:
    expected = differences(function, POINT)
    close(jacobian(function)(POINT), expected, 1e-8)  # a central difference in float64
    for size in (1, 3, 100):
        found = jacobian(function, chunk_size=size)(POINT)
        assert found.shape == expected.shape
        close(found, expected, 1e-8)


@pytest.mark.parametrize(
    "second",
    [
        tfl.hessian,
        lambda f: tfl.jacfwd(tfl.jacrev(f)),
        lambda f: tfl.jacrev(tfl.jacfwd(f)),
        lambda f: tfl.jacrev(tfl.jacrev(f)),
        lambda f: tfl.jacfwd(tfl.jacfwd(f)),
        lambda f: tfl.jacrev(tfl.grad(f)),
    ],
    ids=["hessian", "forward-reverse", "reverse-forward", "reverse-reverse", "forward-forward",
         "of grad"],
)  # fmt: skip
def test_hessians(second: Callable[..., Any]) -> None:
    expected = differences(tfl.grad(mixed), POINT)
    close(second(mixed)(POINT), expected, 1e-8)  # a central difference in float64


def test_a_hessian_in_closed_form() -> None:
    a = f64(np.arange(9.0).reshape(3, 3))
    close(tfl.hessian(lambda x: x @ a @ x)(f64([0.1, 0.2, 0.3])), a.numpy() + a.numpy().T)


def test_third_derivatives() -> None:
    x = f64([0.4, -0.3, 0.9])
    found = tfl.jacfwd(tfl.hessian(lambda x: tfl.sin(x).prod()))(x)
    expected = differences(tfl.hessian(lambda x: tfl.sin(x).prod()), x)
    close(found, expected, 1e-8)  # a central difference in float64


@pytest.mark.parametrize("jacobian", [tfl.jacrev, tfl.jacfwd])
def test_jacobians_of_trees(jacobian: Any) -> None:
    def f(p: Any, scale: Any) -> Any:
        return {"u": p["a"] * scale, "v": [p["b"].sum()]}, "text"

    p = {"a": f64([1.0, 2.0]), "b": f64([[3.0], [4.0]])}
    found, aux = jacobian(f, argnums=(0, 1), has_aux=True)(p, f64(5.0))
    assert aux == "text"
    close(found["u"][0]["a"], [[5.0, 0.0], [0.0, 5.0]])
    close(found["u"][0]["b"], np.zeros((2, 2, 1)))
    close(found["u"][1], [1.0, 2.0])
    close(found["v"][0][0]["a"], [0.0, 0.0])
    close(found["v"][0][0]["b"], [[1.0], [1.0]])
    close(found["v"][0][1], 0.0)


@pytest.mark.parametrize("jacobian", [tfl.jacrev, tfl.jacfwd])
def test_jacobians_of_nothing(jacobian: Any) -> None:
    assert jacobian(lambda x: x * 2)(tfl.ones((0, 2))).shape == (0, 2, 0, 2)
    assert jacobian(lambda x: x.sum())(tfl.ones((0, 2))).shape == (0, 2)
    assert jacobian(lambda x: x[:0])(tfl.ones(3)).shape == (0, 3)


def test_products_with_the_hessian() -> None:
    v = f64([[1.0, -2.0], [0.5, 3.0]])
    expected = np.tensordot(tfl.hessian(mixed)(POINT).numpy(), v.numpy(), 2)
    (found,) = tfl.hvp(mixed, (POINT,), (v,))
    close(found, expected)
    _, forward = tfl.jvp(tfl.grad(mixed), (POINT,), (v,))
    close(forward, expected)
    x, y = tfl.hvp(lambda x, y: x * x * y["k"], (f64(2.0), {"k": f64(3.0)}), (1.0, {"k": 10.0}))
    assert (x.item(), y["k"].item()) == (46.0, 4.0)


def test_what_is_closed_over_has_a_gradient_through_a_hessian() -> None:
    w = f64([2.0, 3.0]).requires_grad_()
    trace = tfl.hessian(lambda x: (w * x**3).sum())(f64([1.0, 2.0])).sum()
    trace.backward()
    close(w.grad, [6.0, 12.0])


# -- with vmap, on devices, in threads -------------------------------------------------------------
SAMPLES = f64([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.5]])


@pytest.mark.parametrize(
    "one",
    [
        tfl.grad(lambda x: (x**3).sum()),
        tfl.hessian(lambda x: (x**3).prod()),
        lambda x: tfl.jvp(lambda x: x**3 * x[0], (x,), (x,))[1],
        lambda x: tfl.hvp(lambda x: (x**3).prod(), (x,), (x * 2,))[0],
        lambda x: tfl.vjp(lambda y: y**3 * x[0], x)[1](x)[0],
        tfl.grad(lambda x: tfl.checkpoint(lambda x: (x**3).sum(), x)),
        tfl.grad(lambda x: tfl.grad(lambda y: (x * y**2).sum())(x).sum()),
    ],
    ids=range(7),
)
def test_for_each_sample(one: Callable[..., Any]) -> None:
    close(tfl.vmap(one)(SAMPLES), np.stack([one(x).numpy() for x in SAMPLES]))


def test_of_a_function_of_all_samples() -> None:
    def f(x: tfl.Tensor) -> tfl.Tensor:
        return tfl.vmap(lambda row: (row**2).sum() ** 2)(x).sum()

    close(tfl.grad(f)(SAMPLES), 4 * SAMPLES.numpy() * (SAMPLES.numpy() ** 2).sum(1, keepdims=True))
    out, tangent = tfl.jvp(f, (SAMPLES,), (SAMPLES,))
    close(tangent, 4 * out)  # it is homogeneous of degree four


def test_gradients_of_samples_carry_what_is_closed_over() -> None:
    w = f64([1.0, 2.0]).requires_grad_()
    tfl.vmap(tfl.grad(lambda x: ((x * w) ** 2).sum()))(SAMPLES).sum().backward()
    close(w.grad, 4 * w.detach() * SAMPLES.sum(axis=0))


def test_on_every_device(backend: Any) -> None:
    x = tfl.tensor([0.3, -0.7], device=backend.device)
    a = tfl.tensor([[1.0, 2.0], [3.0, 4.0]], device=backend.device)

    def f(x: tfl.Tensor) -> tfl.Tensor:
        return tfl.tanh(a @ x).sum() ** 2

    found = [tfl.grad(f)(x), tfl.jacfwd(f)(x), tfl.hessian(f)(x), tfl.hvp(f, (x,), (x,))[0],
             tfl.jvp(f, (x,), (x,))[1], tfl.grad(lambda x: tfl.checkpoint(f, x))(x)]  # fmt: skip
    assert all(one.device == x.device for one in found)
    plain = tfl.hessian(lambda x: tfl.tanh(a.to("cpu") @ x).sum() ** 2)(x.to("cpu"))
    close(tfl.hessian(f)(x).to("cpu"), plain, 1e-5)


def test_changes_in_place_inside() -> None:
    def f(x: tfl.Tensor) -> tfl.Tensor:
        y = tfl.zeros(2, dtype=tfl.float64)
        y[0] = x[0] * x[1]
        y[1] = x[1]
        return (y**2).sum()

    close(tfl.hessian(f)(f64([2.0, 3.0])), [[18.0, 24.0], [24.0, 10.0]])


def test_in_several_threads() -> None:
    found: list[float] = []

    def run() -> None:
        for _ in range(20):
            found.append(tfl.grad(tfl.grad(lambda x: x**3))(2.0).item())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [12.0] * 80


# -- bad input -------------------------------------------------------------------------------------
X = tfl.ones(2)
ERRORS: list[tuple[Callable[[], Any], type[TensorflowliteError], str]] = [
    (lambda: tfl.grad(X), DtypeError,
     "grad: fun must be a function, got Tensor; gradients of tensors are autograd.grad"),
    (lambda: tfl.vjp(3, X), DtypeError, "vjp: fun must be a function, got int"),
    (lambda: tfl.grad(lambda x: x)(2), DtypeError,
     "grad: inputs must be float or complex, got int64 () in argument 0; cast it with "
     "astype(float32), or leave it out of argnums"),
    (lambda: tfl.grad(lambda p: p["n"][0])({"n": [tfl.arange(2)]}), DtypeError,
     "grad: inputs must be float or complex, got int64 (2,) in argument 0['n'][0]"),
    (lambda: tfl.grad(lambda x: x)("text"), DtypeError,
     "grad: inputs must be tensors, arrays or numbers, got str in argument 0"),
    (lambda: tfl.grad(lambda x: x)(X), ShapeError,
     "grad: the function must return a scalar, got shape (2,)"),
    (lambda: tfl.value_and_grad(lambda x: (x.sum(), 1.0))(X), DtypeError,
     "value_and_grad: the function must return one scalar, got (*, *)"),
    (lambda: tfl.grad(lambda x: tfl.argmax(x))(X), DtypeError,
     "grad: the function must return a real float, got int64"),
    (lambda: tfl.grad(lambda z: z.sum())(tfl.tensor([1j])), DtypeError,
     "grad: the function must return a real float, got complex64; take its real or imaginary"),
    (lambda: tfl.grad(lambda x: "text")(X), DtypeError,
     "grad: the function must return tensors or numbers, got str"),
    (lambda: tfl.grad(lambda x: x.sum(), has_aux=True)(X), ArgumentError,
     "grad: with has_aux the function must return (output, aux), got Tensor"),
    (lambda: tfl.grad(lambda x: x, argnums=1)(X), ArgumentError,
     "grad: argnums must name positional arguments, got 1 for 1 of them"),
    (lambda: tfl.vjp(lambda x: x, X)[1](tfl.ones(3)), ShapeError,
     "vjp: the cotangent must have the shape (2,) of what it belongs to, got (3,)"),
    (lambda: tfl.vjp(lambda x: (x, x), X)[1](X), ArgumentError,
     "vjp: the trees must be built alike, got Tensor for (*, *)"),
    (lambda: tfl.jvp(lambda x: x, X, X), DtypeError,
     "jvp: primals must be a tuple with an entry per argument, got Tensor; write (x,)"),
    (lambda: tfl.jvp(lambda x: x, (X,), (X, X)), ArgumentError,
     "jvp: the trees must be built alike, got tuple for (*)"),
    (lambda: tfl.jacrev(lambda x: tfl.argmax(x))(X), DtypeError,
     "jacrev: outputs must be float or complex, got int64 ()"),
    (lambda: tfl.jacfwd(lambda x: x, chunk_size=0), ArgumentError,
     "jacfwd: chunk_size must be positive or None, got 0"),
    (lambda: tfl.hvp(lambda x: x.sum(), X, X), DtypeError,
     "hvp: primals must be a tuple with an entry per argument, got Tensor; write (x,)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=range(len(ERRORS)))
def test_errors(call: Callable[[], Any], kind: type[TensorflowliteError], text: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(text), str(error.value)
