"""The contenders whose code has PyTorch's form: PyTorch, its compiled mode, tensorflowlite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import cpu_data, cpu_functions, cpu_models
from .contender_base import STEPS, Case, LeftOut, Outcome
from .cpu_data import Spec


class Modules:
    """Steps and operations written with modules, optimizers and ``backward``.

    Parameters
    ----------
    lib
        The library, handed to the definitions.
    numpy_of
        Returns a copy of a tensor as a NumPy array.
    compiled
        Wraps what is to be compiled: a network, or a function of tensors.
    whole
        Wraps a whole step, or an operation with its backward.
    adamw
        Options of its AdamW.
    """

    def __init__(self, lib: Any, numpy_of: Callable[[Any], np.ndarray],
                 compiled: Callable[[Any], Any] | None = None,
                 whole: Callable[[Any], Any] | None = None, **adamw: Any) -> None:  # fmt: skip
        self.lib, self.numpy_of = lib, numpy_of
        self.compiled = compiled or (lambda what: what)
        self.whole = whole
        self.adamw = {"lr": 1e-3, **adamw}

    def versions(self) -> dict[str, str]:
        return {self.lib.__name__: str(self.lib.__version__), "numpy": np.__version__}

    def release(self) -> None:
        if hasattr(self.lib.cpu, "empty_cache"):  # PyTorch's CPU keeps none
            self.lib.cpu.empty_cache()

    def build(self, spec: Spec) -> Case:
        if spec["kind"] == "step":
            return self._step(spec)
        if spec["op"] == "adamw":
            return self._adamw(spec)
        return self._operation(spec)

    # -- whole steps -------------------------------------------------------------------------------
    def _step(self, spec: Spec) -> Case:
        lib = self.lib
        weights, (x, target) = cpu_data.parameters(spec), cpu_data.batch(spec)
        network = cpu_models.build(lib, spec)
        held = dict(network.named_parameters())
        if held.keys() != weights.keys():
            raise AssertionError(f"{spec['model']}: parameters {[*held]}, weights {[*weights]}")
        optimizer: Any = None

        def load() -> None:
            with lib.no_grad():
                for name, array in weights.items():
                    held[name].copy_(lib.tensor(array))

        def renew() -> None:
            nonlocal optimizer
            load()
            new = lib.optim.AdamW(network.parameters(), **self.adamw)
            if optimizer is None or self.whole is None:
                optimizer = new
            else:  # what is recorded is recorded of the first one
                optimizer.load_state_dict(new.state_dict())
            optimizer.zero_grad()

        load()
        model = self.compiled(network)
        loss_of = cpu_models.loss_of(lib, spec)
        inputs, targets = lib.tensor(x), lib.tensor(target)

        def gradients() -> Any:
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            loss.backward()
            return loss

        def step() -> Any:
            loss = gradients()
            optimizer.step()
            return loss

        step = self.whole(step) if self.whole else step

        def outcome() -> Outcome:
            renew()
            found = {"loss:0": self.numpy_of(gradients())}
            for name, leaf in held.items():
                found[f"gradient:{name}"] = self.numpy_of(leaf.grad)
            optimizer.step()
            for place in range(1, STEPS):
                found[f"loss:{place}"] = self.numpy_of(step())
            for name, leaf in held.items():
                found[f"parameter:{name}"] = self.numpy_of(leaf)
            return found

        data = {**weights, "x": x, "target": target}
        return Case(step, outcome, cpu_data.digest(data), renew)

    # -- operations --------------------------------------------------------------------------------
    def _operation(self, spec: Spec) -> Case:
        lib = self.lib
        arrays = cpu_functions.arrays(spec)
        tensors = {name: lib.tensor(array) for name, array in arrays.items()}
        leaves = cpu_functions.leaves(spec)
        for name in leaves:
            tensors[name].requires_grad_(True)
        function = self.compiled(cpu_functions.of_modules(lib, spec))
        lib.manual_seed(cpu_data.SEED)
        seed = tensors.pop("g", None)

        def forward() -> Any:
            with lib.no_grad():
                return function(**tensors)

        def both() -> Any:
            for name in leaves:
                tensors[name].grad = None
            out = function(**tensors)
            out.backward(seed) if seed is not None else out.backward()
            return out

        call = both if leaves else forward
        call = self.whole(call) if self.whole else call

        def outcome() -> Outcome:
            found = {"out": self.numpy_of(call())}
            for name in leaves:
                found[f"gradient:{name}"] = self.numpy_of(tensors[name].grad)
            return cpu_functions.compared(spec, found, arrays)

        return Case(call, outcome, cpu_data.digest(arrays))

    def _adamw(self, spec: Spec) -> Case:
        lib = self.lib
        arrays = cpu_functions.arrays(spec)
        count = len(arrays) // 2
        leaves = [lib.tensor(arrays[f"p{place}"]).requires_grad_(True) for place in range(count)]
        for place, leaf in enumerate(leaves):
            leaf.grad = lib.tensor(arrays[f"g{place}"])
        optimizer = lib.optim.AdamW(leaves, **self.adamw)

        def outcome() -> Outcome:
            for _ in range(STEPS):
                optimizer.step()
            return {f"out:{place}": self.numpy_of(leaf) for place, leaf in enumerate(leaves)}

        return Case(optimizer.step, outcome, cpu_data.digest(arrays))


def tensorflowlite(threads: int) -> Modules:
    """Return the contender of our own."""
    import tensorflowlite as tfl

    tfl.set_num_threads(threads)
    return Modules(tfl, lambda tensor: np.array(tensor.detach().numpy()))


def tensorflowlite_jit(threads: int) -> Modules:
    """Return our own with steps, and operations with their backward, under `jit`."""
    found = tensorflowlite(threads)
    found.whole = found.lib.jit
    return found


def torch(threads: int) -> Modules:
    """Return PyTorch in eager mode, with its fused AdamW."""
    try:
        import torch
    except ImportError:
        raise LeftOut("PyTorch isn't installed") from None
    torch.set_num_threads(threads)
    return Modules(torch, lambda tensor: tensor.detach().numpy().copy(), fused=True)


def torch_compile(threads: int) -> Modules:
    """Return PyTorch's compiled mode; its optimizer stays eager and fused."""
    found = torch(threads)
    found.compiled = lambda what: found.lib.compile(what, dynamic=False)
    return found
