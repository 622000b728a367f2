"""Modules: what they hold, state dicts, modes, moving, hooks, paths in errors, reprs."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import (
    ArgumentError,
    DtypeError,
    OutOfRangeError,
    ShapeError,
    StateError,
)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.scale = nn.Parameter(tfl.ones(width))
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width, bias=False)
        self.register_buffer("calls", tfl.tensor(0))
        self.register_buffer("cache", tfl.zeros(2), persistent=False)
        self.note = "not a module"

    def forward(self, x):
        return x + self.fc2(nn.functional.relu(self.fc1(self.norm(x)))) * self.scale


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 3), Block(3), nn.Identity(), Block(3))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


BLOCK = ["scale", "norm.weight", "norm.bias", "fc1.weight", "fc1.bias", "fc2.weight"]


def test_parameters_come_in_the_order_in_which_they_were_set():
    assert [name for name, _ in Block(3).named_parameters()] == BLOCK
    names = [name for name, _ in Network().named_parameters()]
    assert names == [
        "encoder.0.weight", "encoder.0.bias",
        *[f"encoder.1.{name}" for name in BLOCK], *[f"encoder.3.{name}" for name in BLOCK],
        "head.weight", "head.bias",
    ]  # fmt: skip
    model = Network()
    assert len(list(model.parameters())) == len(names)
    assert [n for n, _ in model.named_parameters(prefix="m", recurse=False)] == []
    assert [n for n, _ in model.head.named_parameters(prefix="m")] == ["m.weight", "m.bias"]


def test_buffers_modules_and_children():
    model = Network()
    assert [name for name, _ in model.named_buffers()] == [
        "encoder.1.calls", "encoder.1.cache", "encoder.3.calls", "encoder.3.cache",
    ]  # fmt: skip
    assert [name for name, _ in model.named_children()] == ["encoder", "head"]
    assert [name for name, _ in model.named_modules()][:4] == [
        "", "encoder", "encoder.0", "encoder.1",
    ]  # fmt: skip
    assert model.get_submodule("encoder.1.fc1") is model.encoder[1].fc1
    assert model.get_submodule("") is model
    assert model.get_parameter("encoder.1.scale") is model.encoder[1].scale
    assert model.get_buffer("encoder.3.calls") is model.encoder[3].calls
    with pytest.raises(ArgumentError, match=r"get_submodule: .* got 'encoder.9': Seq"):
        model.get_submodule("encoder.9")
    with pytest.raises(ArgumentError, match=r"get_parameter: .*Block has no parameter 'calls'"):
        model.get_parameter("encoder.1.calls")
    with pytest.raises(ArgumentError, match=r"get_buffer: .*Block has no buffer 'scale'"):
        model.get_buffer("encoder.1.scale")


def test_a_shared_module_counts_once_and_is_saved_under_both_names():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert [n for n, _ in model.named_parameters(remove_duplicate=False)] == [
        "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    tied = nn.Linear(2, 2)
    tied.weight = shared.weight
    both = nn.ModuleList([shared, tied])
    assert [name for name, _ in both.named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_a_subclass_that_forgets_super_works():
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(tfl.ones(2))
            self.register_buffer("count", tfl.zeros(1))

    module = Forgetful()
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    assert list(module.state_dict()) == ["weight", "count"]
    assert module.train(False).training is False
    assert list(nn.Identity()._buffers) == [], "buffers must not be shared between classes"


def test_attributes_keep_their_kind():
    module = Block(2)
    text = r"Block: parameter 'scale' must stay a parameter .* Tensor; use nn\.Parameter"
    with pytest.raises(DtypeError, match=text):
        module.scale = tfl.ones(2)
    with pytest.raises(DtypeError, match="Block: buffer 'calls' must be a Tensor or None, got int"):
        module.calls = 3
    module.scale = None
    assert "scale" not in dict(module.named_parameters())
    module.calls = None
    assert "calls" not in dict(module.named_buffers())
    module.calls = tfl.tensor(4)
    assert "calls" in module.state_dict()
    del module.calls
    assert "calls" not in dict(module.named_buffers()) and not hasattr(module, "calls")
    with pytest.raises(ArgumentError, match="register_buffer: the name must be a string that"):
        module.register_buffer("a.b", tfl.ones(1))
    with pytest.raises(ArgumentError, match="add_module: the name must be free, got 'forward'"):
        module.add_module("forward", nn.Identity())
    with pytest.raises(DtypeError, match="add_module: 'x' must be a Module or None, got int"):
        module.add_module("x", 3)
    with pytest.raises(DtypeError, match="register_parameter: 'x' must be a parameter"):
        module.register_parameter("x", tfl.ones(1))
    module.register_parameter("x", nn.Parameter(tfl.ones(1)))
    module.register_parameter("y", None)
    assert "x" in dict(module.named_parameters()) and module.y is None


def test_state_dict_round_trip_keeps_the_tensors():
    a, b = Network(), Network()
    before = dict(b.named_parameters())
    result = b.load_state_dict(a.state_dict())
    assert result == ([], [])
    assert all(p is before[name] for name, p in b.named_parameters())
    x = tfl.tensor(np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(a(x).detach().numpy(), b(x).detach().numpy())
    state = a.state_dict()
    assert not any(t.requires_grad for t in state.values())
    assert "encoder.1.calls" in state and "encoder.1.cache" not in state
    assert a.state_dict(keep_vars=True)["head.weight"] is a.head.weight
    assert list(a.head.state_dict(prefix="p.")) == ["p.weight", "p.bias"]
    with tfl.no_grad():
        a.head.weight[...] = 7
    assert float(state["head.weight"][0, 0]) == 7, "the memory is shared"
    assert b.load_state_dict({k: v.numpy() for k, v in state.items()}) == ([], [])
    assert float(b.head.weight.detach()[0, 0]) == 7
    b.double().load_state_dict(state)
    assert b.head.weight.dtype == tfl.float64


def test_older_states_without_a_count_of_batches():
    a, b = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    a(tfl.tensor([[1.0, 2.0], [3.0, 5.0]]))
    state = a.state_dict()
    del state["num_batches_tracked"]
    assert b.load_state_dict(state) == ([], [])
    assert b.running_mean.tolist() == a.running_mean.tolist()
    assert b.num_batches_tracked.item() == 0
    del state["running_var"]
    with pytest.raises(StateError, match="got missing 'running_var';"):
        b.load_state_dict(state)


def test_loading_lists_everything_that_does_not_fit_and_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    state = {name: tfl.ones(t.shape) for name, t in model.state_dict().items()}
    del state["0.bias"], state["1.bias"]
    state["0.weight"] = tfl.ones((3, 2, 1))
    state["1.weight"] = tfl.ones((1, 3), dtype=tfl.complex64)
    state["extra"] = tfl.ones(1)
    with pytest.raises(StateError) as caught:
        model.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: the state must fit Sequential, got missing '0.bias', '1.bias'; "
        "unexpected 'extra'; misshapen '0.weight' (3, 2, 1) for (3, 2), '1.weight' complex64 for "
        "float32; strict=False leaves out missing and unexpected names"
    )
    with pytest.raises(StateError, match=r"got misshapen '0\.weight'"):
        model.load_state_dict(state, strict=False)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    result = model.load_state_dict({"0.bias": tfl.ones(3), "x": tfl.ones(1)}, strict=False)
    assert result.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert result.unexpected_keys == ["x"]
    assert model[0].bias.tolist() == [1, 1, 1]
    with pytest.raises(StateError, match="load_state_dict: the state must be a mapping, got list"):
        model.load_state_dict([])
    with pytest.raises(StateError, match=r"misshapen '0\.weight' str for"):
        model.load_state_dict({**state, "0.weight": "text"}, strict=False)


def test_modes_gradients_and_apply():
    model = Network()
    assert model.training and model.encoder[1].fc1.training
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())
    with pytest.raises(DtypeError, match="train: mode must be True or False, got 1"):
        model.train(1)
    seen = []
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen[0] == "Linear" and seen[-2:] == ["Linear", "Network"]

    model.requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.is_parameter for p in model.parameters())
    model.requires_grad_()
    model(tfl.ones((2, 4))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad(set_to_none=False)
    assert all(float(abs(p.grad).sum()) == 0 for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_casting_keeps_tensors_gradients_and_integers():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = list(model.parameters())
    model(tfl.ones((4, 2)) * tfl.tensor([[1.0], [2.0], [3.0], [4.0]])).sum().backward()
    assert model.double() is model
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.dtype == tfl.float64 == p.grad.dtype for p in model.parameters())
    assert all(p.requires_grad and p.is_parameter for p in model.parameters())
    assert model[1].running_mean.dtype == tfl.float64
    assert model[1].num_batches_tracked.dtype == tfl.int64
    for name, dtype in (("half", tfl.float16), ("bfloat16", tfl.bfloat16), ("float", tfl.float32)):
        getattr(model, name)()
        assert {p.dtype for p in model.parameters()} == {dtype}
    assert model.to("cpu", tfl.float64)[0].weight.dtype == tfl.float64
    assert model.to(tfl.zeros(1))[0].weight.dtype == tfl.float32
    assert model.to("float16")[0].weight.dtype == tfl.float16
    assert model.to(dtype=tfl.float32, device="cpu").cpu()[0].weight.dtype == tfl.float32
    with pytest.raises(DtypeError, match="to: dtype must be a float or complex one, got int64"):
        model.to(tfl.int64)


def test_a_tied_parameter_stays_tied():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    model.double()
    assert model[1].weight is model[0].weight
    copied = copy.deepcopy(model)
    assert copied[1].weight is copied[0].weight
    assert copied[0].weight is not model[0].weight
    np.testing.assert_array_equal(
        copied[0].weight.detach().numpy(), model[0].weight.detach().numpy()
    )
    assert copied[0].weight.is_parameter and copied[0].weight.requires_grad


def test_forward_hooks():
    layer, calls = nn.Linear(2, 2), []
    x = tfl.ones((1, 2))
    plain = layer(x)
    one = layer.register_forward_hook(lambda m, args, out: calls.append((m, args, out)))
    out = layer(x)
    assert calls[0][0] is layer and calls[0][1] == (x,) and calls[0][2] is out
    one.remove()
    one.remove()
    layer(x)
    assert len(calls) == 1
    with layer.register_forward_hook(lambda m, args, out: out * 2):
        np.testing.assert_allclose(layer(x).detach().numpy(), 2 * plain.detach().numpy())
    order = []
    layer.register_forward_hook(lambda *_: order.append("second"))
    layer.register_forward_hook(lambda *_: order.append("first"), prepend=True)
    layer.register_forward_pre_hook(lambda *_: order.append("pre"))
    layer(x)
    assert order == ["pre", "first", "second"]


def test_pre_hooks_change_the_arguments():
    class Add(nn.Module):
        def forward(self, x, y=0.0):
            return x + y

    module, x = Add(), tfl.ones(1)
    with module.register_forward_pre_hook(lambda m, args: args[0] * 3):
        assert module(x).item() == 3
    with module.register_forward_pre_hook(lambda m, args: (args[0], 5.0)):
        assert module(x).item() == 6
    with module.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"y": kwargs["y"] + 1}), with_kwargs=True
    ):
        assert module(x, y=1.0).item() == 3
    seen = []
    with module.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(kwargs), with_kwargs=True
    ):
        module(x, y=2.0)
    assert seen == [{"y": 2.0}]


def test_an_error_names_the_path_of_the_innermost_module():
    model = Network()
    with pytest.raises(ShapeError) as caught:
        model.encoder[3].fc1(tfl.ones((32, 5)))
    alone = str(caught.value)
    assert alone.startswith("linear: the last axis of x must be in_features=3, got x (32, 5)")
    assert "module" not in alone

    class Wrong(nn.Module):
        def forward(self, x):
            return x[:, :2]

    model.encoder[2] = Wrong()
    with pytest.raises(ShapeError) as caught:
        model(tfl.ones((32, 4)))
    text = str(caught.value)
    assert text.endswith("; module 'encoder.3.norm'") and text.count("module") == 1
    wide = nn.ModuleDict({"deep": nn.Sequential(model)})
    with pytest.raises(ShapeError, match=r"; module '0\.encoder\.3\.norm'\nin model\.0\.encoder"):
        wide["deep"](tfl.ones((32, 4)))
    bad = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 1))
    with pytest.raises(
        ShapeError, match=r"^linear: the last axis of x must be in_features=5, .*; module '2'\n"
    ):
        bad(tfl.ones((2, 3)))


def test_other_errors_pass_untouched():
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match=r"^'mine'$"):
        nn.Sequential(Broken())(tfl.ones(1))
    with pytest.raises(NotImplementedError, match="Module: the module must define forward"):
        nn.Module()(1)


def test_repr():
    assert repr(Network()) == (
        "Network(\n"
        "  (encoder): Sequential(\n"
        "    (0): Linear(in_features=4, out_features=3, bias=True)\n"
        "    (1): Block(\n"
        "      (norm): LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)\n"
        "      (fc1): Linear(in_features=3, out_features=6, bias=True)\n"
        "      (fc2): Linear(in_features=6, out_features=3, bias=False)\n"
        "    )\n"
        "    (2): Identity()\n"
        "    (3): Block(\n"
        "      (norm): LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)\n"
        "      (fc1): Linear(in_features=3, out_features=6, bias=True)\n"
        "      (fc2): Linear(in_features=6, out_features=3, bias=False)\n"
        "    )\n"
        "  )\n"
        "  (head): Linear(in_features=3, out_features=2, bias=True)\n"
        ")"
    )
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    )


def test_sequential_as_a_list():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Identity()
    model = nn.Sequential(a, b)
    assert len(model) == 2 and model[0] is a and model[-1] is b and list(model) == [a, b]
    assert b in model and c not in model
    assert model.append(c) is model and len(model) == 3
    assert list(model[1:]) == [b, c] and isinstance(model[1:], nn.Sequential)
    model.insert(0, c)
    assert list(model) == [c, a, b, c]
    del model[0]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert model.pop() is c and list(model) == [a, b]
    model[0] = c
    assert list(model) == [c, b]
    named = nn.Sequential({"first": a, "second": b})
    assert named.first is a and [n for n, _ in named.named_children()] == ["first", "second"]
    with pytest.raises(OutOfRangeError, match=r"Sequential: index must lie in \[-2, 2\), got 2"):
        named[2]
    with pytest.raises(DtypeError, match="add_module: '0' must be a Module or None, got function"):
        nn.Sequential(lambda x: x)


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers += [nn.ReLU()]
    layers.extend([nn.Tanh()])
    assert len(layers) == 3 and isinstance(layers[:2], nn.ModuleList)
    del layers[1:]
    assert len(layers) == 1 and len(list(layers.parameters())) == 2
    with pytest.raises(NotImplementedError):
        layers(1)

    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(2, 1)
    table.update([("c", nn.Tanh())])
    assert table.keys() == ["a", "b", "c"] and len(table) == 3 and "b" in table
    assert [name for name, _ in table.named_parameters()] == ["b.weight", "b.bias"]
    assert isinstance(table.pop("a"), nn.ReLU) and "a" not in table
    with pytest.raises(KeyError):
        table["training"]
    with pytest.raises(ArgumentError, match="add_module: the name must be free, got 'keys'"):
        table["keys"] = nn.ReLU()
    del table["b"]
    table.clear()
    assert len(table) == 0


def test_parameters():
    data = np.zeros(2, np.float32)
    p = nn.Parameter(data)
    assert p.numpy is not None and p.is_parameter and p.requires_grad and p.is_leaf
    data[0] = 3
    assert p.tolist() == [3, 0], "the memory is shared"
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    source = tfl.ones(2, requires_grad=True) * 2
    assert nn.Parameter(source).is_leaf
    with pytest.raises(DtypeError, match="float or complex"):
        nn.Parameter(tfl.tensor([1, 2]))


def test_activations_die_with_the_output():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    gc.collect()
    gc.disable()
    try:
        out = model(tfl.ones((3, 4)))
        kept = weakref.ref(out)
        del out
        assert kept() is None
    finally:
        gc.enable()


# -- hooks of states, assigned states, extra states ------------------------------------------------
class Counted(nn.Linear):
    calls = 0

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def test_extra_state_goes_with_the_others():
    model = nn.Sequential(Counted(2, 2))
    model[0].calls = 7
    state = model.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0._extra_state"]
    other = nn.Sequential(Counted(2, 2))
    other.load_state_dict(state)
    assert other[0].calls == 7
    del state["0._extra_state"]
    assert other.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]


def test_hooks_of_states_run_in_order():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    seen = []
    for name, one in (("whole", model), ("first", model[0])):
        one.register_state_dict_pre_hook(lambda m, p, k, name=name: seen.append((name, p)))
        one.register_state_dict_post_hook(lambda m, s, p, _, name=name: seen.append((name, len(s))))
    state = model.state_dict()
    assert seen == [("whole", ""), ("first", "0."), ("first", 4), ("whole", 4)]
    model[0].register_load_state_dict_pre_hook(
        lambda m, s, prefix, *others: s.update({prefix + "bias": tfl.ones(2)})
    )
    handle = model.register_load_state_dict_post_hook(lambda m, r: r.unexpected_keys.clear())
    model.load_state_dict({**state, "more": tfl.ones(1)})
    assert model[0].bias.tolist() == [1, 1] and "more" not in state
    handle.remove()
    with pytest.raises(StateError, match="unexpected 'more'"):
        model.load_state_dict({**state, "more": tfl.ones(1)})
    model.register_load_state_dict_pre_hook(lambda *given: given[-1].append("from a later version"))
    with pytest.raises(StateError, match="got from a later version"):
        model.load_state_dict(state)


def test_assigned_states_take_the_place():
    layer = nn.BatchNorm1d(2)
    layer.weight.requires_grad_(False)
    state = {path: value.double() if value.dtype.kind == "f" else value
             for path, value in layer.state_dict().items()}  # fmt: skip
    layer.load_state_dict(state, assign=True)
    assert layer.weight.dtype == layer.running_mean.dtype == tfl.float64
    assert isinstance(layer.weight, nn.Parameter) and not layer.weight.requires_grad
    assert layer.bias.requires_grad and not isinstance(layer.running_mean, nn.Parameter)
    assert [path for path, _ in layer.named_parameters()] == ["weight", "bias"]


def test_parameter_is_asked_for_by_isinstance():
    layer = nn.Linear(2, 2)
    assert isinstance(layer.weight, nn.Parameter)
    assert isinstance(layer.weight, (int, nn.Parameter))
    for other in (layer.weight.detach(), layer.weight * 1, 3.0):
        assert not isinstance(other, nn.Parameter)


def test_submodules_are_put_by_path():
    model = nn.Sequential(nn.Sequential(nn.ReLU()))
    model.set_submodule("0.0", nn.Tanh(), strict=True)
    model.set_submodule("0.gate", nn.Sigmoid())
    assert [path for path, _ in model.named_modules()] == ["", "0", "0.0", "0.gate"]
    with pytest.raises(ArgumentError, match=r"the path must lead to a module, got '0\.9'"):
        model.set_submodule("0.9", nn.Tanh(), strict=True)


def test_to_empty_keeps_shapes_and_parameters():
    layer = nn.BatchNorm1d(3).double()
    weight = layer.weight
    assert layer.to_empty(device="cpu") is layer and layer.weight is weight
    assert {t.shape for t in layer.state_dict().values()} == {(3,), ()}
    assert weight.dtype == tfl.float64 and layer.type("float32").weight.dtype == tfl.float32


def test_sequences_add_and_repeat():
    one, two = nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh(), nn.Identity())
    assert [type(m).__name__ for m in one + two] == ["ReLU", "Tanh", "Identity"]
    assert len(2 * two) == 4 and (two * 2)[2] is two[0]
    one += [nn.ELU()]
    assert len(one) == 2 and len(nn.ModuleList([nn.ReLU()]) + two) == 3


def test_lists_and_dicts_of_parameters():
    weights = nn.ParameterList([tfl.zeros(1), nn.Parameter(tfl.zeros(2)), "name"])
    assert [name for name, _ in weights.named_parameters()] == ["0", "1"]
    weights[0] = tfl.ones(3)
    assert isinstance(weights[0], nn.Parameter) and weights[-1] == "name"
    with pytest.raises(OutOfRangeError, match=r"index must lie in \[-3, 3\), got 3"):
        weights[3]
    scales = nn.ParameterDict({"a": tfl.zeros(1)}) | {"b": tfl.ones(1)}
    assert list(scales.state_dict()) == ["a", "b"] and len(list(scales.parameters())) == 2
    with pytest.raises(ArgumentError, match="the name must be free, got 'keys'"):
        scales["keys"] = tfl.zeros(1)
