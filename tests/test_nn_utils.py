"""Calls of modules with other parameters, and parameters computed from others."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.autograd import grad
from tensorflowlite.errors import ArgumentError, ShapeError, StateError
from tensorflowlite.nn.utils import functional_call, parametrizations, parametrize


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()


x = tfl.tensor(np.random.default_rng(0).normal(size=(5, 3)))


# -- calls with other parameters -------------------------------------------------------------------
def test_functional_call_gives_what_the_module_with_those_parameters_gives():
    one, other = network(), network()
    state = dict(other.state_dict())
    expected = copy.deepcopy(other)(x)
    mine = {path: value.clone() for path, value in one.state_dict().items()}
    found = functional_call(one, state, x)
    np.testing.assert_array_equal(found.numpy(), expected.detach().numpy())
    for path, value in one.state_dict().items():  # the running figures too are those given
        np.testing.assert_array_equal(value.numpy(), mine[path].numpy())
    assert state["1.num_batches_tracked"].item() == 1


def test_functional_call_is_differentiable_by_what_is_given():
    model = network().eval()
    own = dict(model.named_parameters())
    given = {path: p.detach().clone().requires_grad_() for path, p in own.items()}
    loss = (functional_call(model, given, (x,)) ** 2).sum()
    found = grad(loss, list(given.values()), create_graph=True)
    (model(x) ** 2).sum().backward()
    for g, (path, p) in zip(found, own.items(), strict=True):
        np.testing.assert_allclose(g.detach().numpy(), p.grad.numpy(), 1e-12)
        assert given[path].grad is None
    (second,) = grad(sum((g * g).sum() for g in found), given["0.weight"])
    assert second.shape == (4, 3) and np.isfinite(second.numpy()).all()


def test_functional_call_restores_the_module_whatever_happens():
    model = network()
    own = dict(model.named_parameters())
    with pytest.raises(ShapeError):
        functional_call(model, {"0.weight": tfl.zeros((4, 9))}, x)
    assert all(p is own[path] for path, p in model.named_parameters())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: tfl.Tensor, scale: float = 1.0) -> tfl.Tensor:
        return self.second(self.first(x)) * scale


def test_functional_call_ties():
    model = Tied().double()
    eye = tfl.eye(3, dtype=tfl.float64)
    given = {"first.weight": 2 * eye}
    np.testing.assert_array_equal(functional_call(model, given, x).numpy(), 4 * x.numpy())
    apart = functional_call(model, given, x, {"scale": 3.0}, tie_weights=False)
    np.testing.assert_allclose(
        apart.detach().numpy(), 6 * x.numpy() @ model.first.weight.detach().numpy().T, 1e-12
    )
    with pytest.raises(ArgumentError, match=r"'first.weight' and 'second.weight' are one param"):
        functional_call(model, {"first.weight": eye, "second.weight": 2 * eye}, x)


def test_functional_call_takes_several_mappings_and_checks_names():
    model = nn.Linear(3, 2).double()
    weight = {"weight": tfl.ones((2, 3), dtype=tfl.float64)}
    bias = {"bias": tfl.zeros(2, dtype=tfl.float64)}
    found = functional_call(model, (weight, bias), x)
    np.testing.assert_allclose(found.numpy(), np.repeat(x.numpy().sum(1, keepdims=True), 2, 1))
    with pytest.raises(ArgumentError, match="each name must be given once, got 'bias' in two"):
        functional_call(model, (bias, bias), x)
    with pytest.raises(StateError, match="must fit Linear, got unexpected 'b'"):
        functional_call(model, {"b": bias["bias"]}, x)
    with pytest.raises(StateError, match="must fit Linear, got missing 'weight'"):
        functional_call(model, bias, x, strict=True)


def test_stacked_states():
    models = [nn.BatchNorm1d(3) for _ in range(2)]
    parameters, buffers = nn.utils.stack_module_state(models)
    assert {path: p.shape for path, p in parameters.items()} == {"weight": (2, 3), "bias": (2, 3)}
    assert all(p.requires_grad for p in parameters.values())
    assert buffers["num_batches_tracked"].shape == (2,)
    with pytest.raises(ArgumentError, match="must be of one class and in one mode"):
        nn.utils.stack_module_state([nn.ReLU(), nn.Tanh()])


# -- parametrizations ------------------------------------------------------------------------------
class Doubled(nn.Module):
    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return x * 2

    def right_inverse(self, x: tfl.Tensor) -> tfl.Tensor:
        return x / 2


def test_parametrizations_train_and_come_off():
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert [path for path, _ in layer.named_parameters()] == [
        "bias", "parametrizations.weight.original",
    ]  # fmt: skip
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy(), 1e-6)
    opt = optim.SGD(layer.parameters(), lr=0.1)
    layer(tfl.ones((1, 3))).sum().backward()
    opt.step()  # the original moves by 2 * 0.1, the computed tensor by twice that
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy() - 0.4, 1e-5, 1e-6)
    layer.weight = before
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy(), 1e-6)
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * before.numpy(), 1e-6)
    twin = copy.deepcopy(layer)
    original = layer.parametrizations.weight.original
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight is original
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * before.numpy(), 1e-6)
    assert parametrize.is_parametrized(twin, "weight")
    np.testing.assert_allclose(twin.weight.detach().numpy(), 2 * before.numpy(), 1e-6)


def test_two_tensors_of_one_module():
    layer = nn.Linear(3, 2)
    for name in ("weight", "bias"):
        parametrize.register_parametrization(layer, name, Doubled())
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert type(layer).__name__ == "ParametrizedLinear" and type(layer.bias) is tfl.Tensor
    assert sorted(layer.state_dict()) == ["parametrizations.bias.original", "weight"]


def test_parametrizations_refuse():
    class Wider(nn.Module):
        def forward(self, x):
            return x.unsqueeze(0)

    layer = nn.Linear(3, 2)
    with pytest.raises(ShapeError, match=r"must have the shape and dtype of the original float32"):
        parametrize.register_parametrization(layer, "weight", Wider())
    with pytest.raises(ArgumentError, match="must be one of a parameter or a buffer of Linear"):
        parametrize.register_parametrization(layer, "wait", Doubled())
    with pytest.raises(ArgumentError, match="the tensor must be parametrized, got 'weight'"):
        parametrize.remove_parametrizations(layer, "weight")
    assert list(layer.state_dict()) == ["weight", "bias"]
    parametrizations.weight_norm(layer)
    with pytest.raises(ArgumentError, match="needs one original, got 2"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


@pytest.mark.parametrize("place", [nn.utils, parametrizations])
def test_spectral_norm_finds_the_singular_value(place):
    tfl.manual_seed(0)
    layer = nn.Linear(6, 4).double()
    weight = layer.weight.detach().clone().numpy()
    place.spectral_norm(layer, n_power_iterations=300)
    layer(tfl.ones((1, 6), dtype=tfl.float64)).sum().backward()
    found = layer.weight.detach().numpy()
    np.testing.assert_allclose(found, weight / np.linalg.norm(weight, 2), 1e-9)


def test_normalised_weights_come_off():
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    nn.utils.weight_norm(layer, dim=None)
    assert layer.weight_g.shape == ()
    nn.utils.remove_weight_norm(layer)
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy(), 1e-6)
    assert layer.weight.is_parameter and list(layer.state_dict()) == ["bias", "weight"]
    with pytest.raises(ArgumentError, match="remove_weight_norm: 'weight' must be normalised so"):
        nn.utils.remove_weight_norm(layer)
    with pytest.raises(ArgumentError, match="spectral_norm: the name must be one of a parameter"):
        nn.utils.spectral_norm(layer, "wait")


def test_weight_norm_takes_states_of_the_older_form():
    older = nn.utils.weight_norm(nn.Linear(3, 2))
    layer = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)))
    layer.load_state_dict({f"0.{path}": value for path, value in older.state_dict().items()})
    np.testing.assert_array_equal(layer[0].weight.detach().numpy(), older.weight.detach().numpy())


# -- summaries -------------------------------------------------------------------------------------
def test_summary_counts_what_runs():
    block = nn.Linear(4, 4)
    model = nn.ModuleDict({
        "conv": nn.Conv2d(3, 4, 3, padding=1, groups=1), "norm": nn.BatchNorm2d(4), "twice": block,
        "layer": nn.LayerNorm(4), "unused": nn.Linear(2, 2), "attend": nn.MultiheadAttention(4, 2),
    })  # fmt: skip
    model["conv"].weight.requires_grad_(False)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = model

        def forward(self, image, scale):
            x = self.parts["norm"](self.parts["conv"](image)).mean((2, 3)) * scale
            x = self.parts["layer"](self.parts["twice"](self.parts["twice"](x)))
            return self.parts["attend"](x[None], x[None], x[None])[0]

    net = Net()
    net.parts["norm"].eval()
    found = nn.utils.summary(net, [(2, 3, 5, 6), tfl.tensor(2.0)])
    flops = {one.path: one.flops for one in found.modules}
    assert flops["parts.conv"] == 2 * 4 * 5 * 6 * (2 * 3 * 3 * 3 + 1)
    assert flops["parts.norm"] == 2 * (2 * 4 * 5 * 6)
    assert flops["parts.twice"] == 2 * (2 * 4 * (2 * 4 + 1))
    assert flops["parts.layer"] == 7 * 2 * 4
    # three projections of two rows, and the scores and their sums of one place for each
    assert flops["parts.attend"] == 3 * 2 * 2 * 4 * 4 + 2 * 2 * 2 * 1 * 4
    assert flops["parts.attend.out_proj"] == 2 * 2 * 4 * 4 + 2 * 4
    assert sum(flops.values()) == found.total_flops
    line = {one.path: one for one in found.modules}["parts.unused"]
    assert line.output_shape is None and line.calls == 0 and line.parameters == 6
    frozen = found.total_parameters - found.trainable_parameters
    assert frozen == 4 * 27 and found.total_parameters == sum(p.size for p in net.parameters())
    assert net.training and not net.parts["norm"].training
    assert net.parts["norm"].num_batches_tracked.item() == 0
    assert "    conv" not in str(found).splitlines()[2] and "frozen" in str(found)


def test_summary_leaves_no_hooks_where_the_call_fails():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(ShapeError):
        nn.utils.summary(model, (4, 5))
    assert model.training and not model[0]._forward_hooks


def test_summary_takes_shapes_tensors_lists_and_names():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x, scale=1.0, *, shift=None):
            x = self.layer(x) * scale
            return x if shift is None else x + shift

    model = Scaled()
    x = np.ones((3, 4), np.float32)
    whole = nn.utils.summary(model, (3, 4))
    assert whole.modules[1].output_shape == (3, 2) and whole.output_bytes == 3 * 2 * 4
    assert whole.total_bytes == 10 * 4
    for given in (
        [3, 4], (np.int64(3), 4), x, tfl.tensor(x), [x], [(3, 4)], ((3, 4), 2.0), [x, None][:1],
        {"x": (3, 4), "shift": tfl.ones(2)}, [tfl.tensor(x), tfl.tensor(2.0)],
    ):  # fmt: skip
        assert nn.utils.summary(model, given) == whole, given
    indices = nn.Sequential(nn.Embedding(5, 4), nn.BatchNorm1d(7)).half()
    found = nn.utils.summary(indices, (2, 7), dtype=tfl.int64)
    assert [one.output_shape for one in found.modules] == [(2, 7, 4)] * 3
    # weights in half precision, the running statistics and their counter
    assert found.output_bytes == 2 * (2 * 7 * 4 * 2)
    assert found.total_bytes == sum(
        one.size * one.dtype.itemsize for one in indices.state_dict().values()
    )
    assert str(found).splitlines()[-1].startswith(f"memory: {found.total_bytes} bytes of param")
    empty = nn.utils.summary(model, (0, 4))
    assert empty.modules[1].output_shape == (0, 2) and empty.total_flops == 0


def test_summary_without_an_input_calls_nothing():
    class Never(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(300, 500)

        def forward(self, x):
            raise AssertionError

    found = nn.utils.summary(Never())
    assert [(one.path, one.output_shape, one.calls) for one in found.modules] == [
        ("", None, 0), ("layer", None, 0),
    ]  # fmt: skip
    assert found.total_parameters == 150_500 and found.total_flops == found.output_bytes == 0
    assert str(found).splitlines()[-1] == (
        "memory: 587.9 KiB of parameters and buffers, 0 bytes of outputs"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((-1, 3), "lengths of at least 0 that make an array, got (-1, 3)"),
        ((10**12, 10**12), "make an array, got (1000000000000, 1000000000000)"),
        ("x", "a tensor, an array or a shape, got 'x'"), (5, "got 5"), (None, "got None"),
        ((True, 3), "got (True, 3)"), ((2.0, 3), "got (2.0, 3)"), (["a", 3], "got ['a', 3]"),
    ],
)  # fmt: skip
def test_summary_refuses_what_is_no_input(given, said):
    model = nn.Linear(3, 2)
    with pytest.raises(ArgumentError, match=re.escape(said)):
        nn.utils.summary(model, given)
    assert not model._forward_hooks and model.training
