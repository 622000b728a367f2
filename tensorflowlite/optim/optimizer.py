"""`Optimizer`: what all optimizers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .. import runtime
from ..core.tensor import Tensor
from ..errors import ArgumentError, DeviceError, DtypeError, StateError
from ..ops import optimizers as rules
from ..ops.creation import asarray
from ..runtime import observe, set_mode
from .hooks import Hooked


class ParamGroup(dict[str, Any]):
    """Parameters that share hyperparameters.

    ``group["lr"]`` reads as a Python float; writing it updates the 0-d array on the device that
    the update rule reads. The step count is such an array too: one for all parameters that have
    made the same number of steps.
    """

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        super().__init__({key: value for key, value in values.items() if key != "lr"})
        self.name = name
        first = values["params"][0]
        self.rate = rules.scalar_for(0.0, first)
        self.step = rules.step_for(0, first)
        self["lr"] = values["lr"]

    def __getitem__(self, key: str) -> Any:
        if key == "lr" and runtime.shared.captures:  # what a recorded step computes of it is fixed
            observe(self.rate, self._rate_of)
        return super().__getitem__(key)

    def _rate_of(self, _: Tensor) -> tuple[Any, ...]:
        return (super().__getitem__("lr"),)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "lr":
            value = number(self.name, "lr", value)
            rules.write_scalar(self.rate, value)
        super().__setitem__(key, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several hyperparameters."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> ParamGroup:  # type: ignore[misc, override]
        self.update(other)
        return self


def number(name: str, key: str, value: Any, below: float | None = None) -> float:
    """Return a hyperparameter as a float; raise unless it is in [0, ``below``)."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise DtypeError(f"{name}: {key} must be a number, got {value!r}") from None
    if below is not None and not 0 <= found < below:
        raise ArgumentError(f"{name}: {key} must lie in [0, {below:g}), got {value}")
    if not found >= 0:
        raise ArgumentError(f"{name}: {key} must not be negative, got {value}")
    return found


def pair(name: str, key: str, value: Any) -> tuple[float, float]:
    """Return the two shares of a running mean; raise unless both are in [0, 1)."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ArgumentError(f"{name}: {key} must be two numbers, got {value!r}")
    first, second = [number(name, f"{key}[{i}]", one, below=1.0) for i, one in enumerate(value)]
    return first, second


def switches(name: str, **given: Any) -> dict[str, Any]:
    """Return PyTorch's switches between implementations, for a group; they change no number.

    ``foreach``, ``fused`` and ``capturable`` are kept, so that states interchange; the update is
    one call over all parameters, with counts and rates on the device, whatever they say.
    """
    if given.get("differentiable"):
        raise ArgumentError(
            f"{name}: differentiable must be False, got True; a step isn't recorded"
        )
    return given


class Optimizer(Hooked):
    """Base class of optimizers.

    A subclass names the states of a parameter (`state_names`) and updates a list of parameters
    by one primitive (`update`), or has a `step` of its own, as PyTorch's do. Gradients are dense:
    there are no sparse ones.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters; dicts are groups of their own: ``{"params": ..., "lr": 0.1}``.
    defaults : dict
        The hyperparameters of groups that don't set them.

    Attributes
    ----------
    param_groups : list of ParamGroup
        The groups, in order.
    state : dict of Tensor to dict
        For each parameter its states by name, and its step count.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> class Signs(optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...     def check(self, group):
    ...         assert group["lr"] >= 0
    ...     def state_names(self, group):
    ...         return ()
    ...     def update(self, group, step, parameters, gradients, states):
    ...         with tfl.no_grad():
    ...             for p, gradient in zip(parameters, gradients):
    ...                 p -= group["lr"] * tfl.sign(gradient)
    >>> x, y = tfl.tensor([3.0, -4.0], requires_grad=True), tfl.ones(1, requires_grad=True)
    >>> optimizer = Signs([x], lr=0.5)
    >>> optimizer.add_param_group({"params": [y], "lr": 0.25})
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> optimizer.zero_grad()
    >>> x
    tensor([ 2.5, -3.5], requires_grad=True)
    >>> optimizer.load_state_dict(optimizer.state_dict())
    """

    _complex = True  # whether complex parameters are taken: as pairs of real numbers

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[ParamGroup] = []
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        if isinstance(params, Tensor):
            raise DtypeError(
                f"{self._name}: parameters must be an iterable of tensors, got a Tensor; use [p]"
            )
        if hasattr(params, "named_parameters"):
            raise DtypeError(
                f"{self._name}: parameters must be an iterable of tensors, got the module "
                f"{type(params).__name__}; use its parameters()"
            )
        groups = list(params)
        if not groups:
            raise ArgumentError(f"{self._name}: parameters must hold at least one tensor, got none")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # -- what a subclass defines -----------------------------------------------------------------
    def check(self, group: Mapping[str, Any]) -> None:
        """Raise unless a group's hyperparameters are in their domains."""

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the states that each parameter of a group has; none by default."""
        return ()

    def update(
        self,
        group: ParamGroup,
        step: Tensor,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[list[Tensor]],
    ) -> None:
        """Update parameters in place, all in one call of a primitive."""
        raise NotImplementedError

    def new_state(self, group: Mapping[str, Any], name: str, p: Tensor) -> Tensor:
        """Called for each state that is made: return it as it is before the first step."""
        return rules.state_like(p)

    def names_for(self, group: Mapping[str, Any], p: Tensor) -> tuple[str, ...]:
        """Called for each parameter: return the names of its states, where they depend on it."""
        return self.state_names(group)

    def _gathered(self, names: tuple[str, ...], due: list[Tensor]) -> list[list[Tensor]]:
        """Return a list of states, one per parameter, for each of the names."""
        return [[self.state[p][name] for p in due] for name in names]

    # -- groups ----------------------------------------------------------------------------------
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, ``{"params": ..., "lr": ...}``.

        Raises
        ------
        ArgumentError
            The group is empty, a parameter occurs twice, or a hyperparameter is out of its domain.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise DtypeError(
                f"{self._name}: a group must be a dict with 'params', got {param_group!r:.60}"
            )
        given = param_group["params"]
        items = [given] if isinstance(given, Tensor) else list(given)
        if not items:
            raise ArgumentError(f"{self._name}: a group must hold at least one tensor, got none")
        names = [item[0] for item in items if isinstance(item, tuple)]
        params = [item[1] if isinstance(item, tuple) else item for item in items]
        if names and len(names) != len(params):
            raise ArgumentError(f"{self._name}: either all parameters have names or none has")
        held = {p for group in self.param_groups for p in group["params"]}
        for p in params:
            self._check_parameter(p, held, params[0])
            held.add(p)
        if self.param_groups and bool(names) != ("param_names" in self.param_groups[0]):
            raise ArgumentError(f"{self._name}: either all groups have names or none has")
        values = {**self.defaults, **param_group, "params": params}
        if names:
            values["param_names"] = names
        self.check(values)
        group = ParamGroup(self._name, values)
        for p in params:
            if p.requires_grad:
                self._create_states(group, p, group.step)
        self.param_groups.append(group)

    def _check_parameter(self, p: Any, held: set[Tensor], first: Tensor) -> None:
        if not isinstance(p, Tensor):
            raise DtypeError(f"{self._name}: parameters must be tensors, got {type(p).__name__}")
        if not p.is_leaf:
            raise ArgumentError(
                f"{self._name}: parameters must be leaves, got a tensor that an operation made"
            )
        if p.dtype.kind == "c" and not self._complex:
            raise DtypeError(f"{self._name}: parameters must be real, got {p.dtype} {p.shape}")
        if p in held:
            raise ArgumentError(
                f"{self._name}: each parameter must occur once, got {p.dtype} {p.shape} twice"
            )
        if p.device != first.device:
            raise DeviceError(
                f"{self._name}: the parameters of a group must be on one device, got "
                f"{first.device} and {p.device}; make a group for each"
            )

    # -- states ----------------------------------------------------------------------------------
    def _create_states(self, group: ParamGroup, p: Tensor, step: Tensor) -> dict[str, Tensor]:
        state = self.state.setdefault(p, {})
        names = self.names_for(group, p)
        for name in names:
            if name not in state:
                with set_mode(grad=False):
                    state[name] = self.new_state(group, name, p)
        if names and "step" not in state:
            state["step"] = step
        return state

    def _due(
        self, group: ParamGroup, names: tuple[str, ...]
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield the parameters that have a gradient, by their step count.

        Parameters share one count; those that sit out a step get a copy of it of their own.
        """
        params = group["params"]
        due = [p for p in params if p.grad is not None]
        if not due:
            return
        if not names:
            yield group.step, due
            return
        held, wanted = self.state, {*names, "step"}
        if not all(p in held and held[p].keys() >= wanted for p in due):
            fresh = rules.step_for(0, due[0])
            for p in due:
                self._create_states(group, p, fresh)
        steps = [held[p]["step"] for p in due]
        counts: dict[Tensor, list[Tensor]] = {steps[0]: due}
        if len({*steps}) > 1:
            counts = {}
            for p, step in zip(due, steps, strict=True):
                counts.setdefault(step, []).append(p)
        if len(due) < len(params):
            self._split_off([p for p in params if p.grad is None], counts)
        yield from list(counts.items())

    def _split_off(self, resting: Iterable[Tensor], counts: Mapping[Tensor, Any]) -> None:
        copies: dict[Tensor, Tensor] = {}
        for p in resting:
            state = self.state.get(p, {})
            step = state.get("step")
            if step is not None and step in counts:
                if step not in copies:
                    copies[step] = step.clone()
                state["step"] = copies[step]

    # -- what a user calls -----------------------------------------------------------------------
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients; those without one are left alone.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew, and returns the loss.

        Returns
        -------
        What ``closure`` returned, or None.
        """
        if closure is not None and not callable(closure):
            raise DtypeError(
                f"{self._name}: closure must be a function that returns the loss, got "
                f"{type(closure).__name__}"
            )
        if not self._hooks:
            return self._step(closure)
        args: tuple[Any, ...] = (closure,) if closure is not None else ()
        kwargs: dict[str, Any] = {}
        for hook in list(self._hooks.get("step_pre", ())):
            given = hook(self, args, kwargs)
            if given is not None:
                args, kwargs = given
        loss = self._step(*args, **kwargs)
        for hook in list(self._hooks.get("step_post", ())):
            hook(self, args, kwargs)
        return loss

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with set_mode(grad=True):
                loss = closure()
        if runtime.shared.captures:
            observe(self, _members)
        for group in self.param_groups:
            names = self.state_names(group)
            if runtime.shared.captures:
                observe(group, self._hyperparameters)
            for step, due in self._due(group, names):
                gradients = [p.grad for p in due]
                self.update(group, step, due, gradients, self._gathered(names, due))  # type: ignore[arg-type]
        return loss

    def _hyperparameters(self, group: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what a recorded step of a group depends on; our own rules read ``lr`` anew."""
        ours = type(self).__module__.partition(".")[0] == __name__.partition(".")[0]
        return tuple([value for key, value in group.items() if key != "lr" or not ours])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                if set_to_none or grad is None:
                    p.grad = None
                else:
                    with set_mode(grad=False):
                        grad.detach()[...] = 0

    def state_dict(self) -> dict[str, Any]:
        """Return states and hyperparameters; parameters are named by their positions.

        Returns
        -------
        dict
            ``{"state": {position: {name: Tensor}}, "param_groups": [dict]}``; a group holds
            ``param_names`` as well where the optimizer was given named parameters. The tensors
            are the optimizer's own.

        Examples
        --------
        >>> from tensorflowlite import nn, optim
        >>> optimizer = optim.SGD(nn.Linear(2, 3).parameters(), lr=0.1, momentum=0.9)
        >>> optimizer.state_dict()["param_groups"][0]["params"]
        [0, 1]
        """
        for hook in list(self._hooks.get("state_dict_pre", ())):
            hook(self)
        positions = {p: i for i, p in enumerate(self._parameters())}
        groups = [
            {key: value for key, value in group.items() if key != "params"}
            | {"params": [positions[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {positions[p]: dict(values) for p, values in self.state.items() if values}
        made = {"state": dict(sorted(state.items())), "param_groups": groups}
        for hook in list(self._hooks.get("state_dict_post", ())):
            made = hook(self, made) or made
        return made

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over states and hyperparameters that `state_dict` returned.

        Raises
        ------
        StateError
            Groups, sizes, names or shapes differ; nothing was changed.
        """
        for hook in list(self._hooks.get("load_state_dict_pre", ())):
            given = hook(self, state_dict)
            state_dict = state_dict if given is None else given
        self._load(state_dict)
        for hook in list(self._hooks.get("load_state_dict_post", ())):
            hook(self)

    def _load(self, state_dict: Mapping[str, Any]) -> None:
        saved, groups = self._read(state_dict)
        for group, given in zip(self.param_groups, groups, strict=True):
            for key, value in given.items():
                if key not in ("params", "param_names"):
                    group[key] = tuple(value) if isinstance(value, list) else value
            counts: dict[int, Tensor] = {}
            for p, position in zip(group["params"], given["params"], strict=True):
                values = saved.get(position)
                if values is None:
                    self.state.pop(p, None)
                    continue
                count = int(values.pop("step", 1 if values else 0))
                if count not in counts:
                    counts[count] = group.step if not counts else rules.step_for(count, p)
                    rules.write_scalar(counts[count], count)
                state = self._create_states(group, p, counts[count])
                if state or values:
                    state["step"] = counts[count]
                with set_mode(grad=False):
                    for name, value in values.items():
                        if name not in state:
                            state[name] = self.new_state(group, name, p)
                        dtype = state[name].dtype
                        state[name][...] = asarray(value, dtype=dtype, device=p.device)

    def _read(self, given: Any) -> tuple[dict[Any, dict[str, Any]], list[Any]]:
        """Check a state dict whole and return its states, with arrays as tensors, and groups."""
        problem = None
        if not isinstance(given, Mapping) or not {"state", "param_groups"} <= set(given):
            problem = "a dict with 'state' and 'param_groups' is needed"
        else:
            groups = list(given["param_groups"])
            have = [len(group["params"]) for group in self.param_groups]
            got = [len(group.get("params", ())) for group in groups]
            if got != have:
                problem = f"groups of {got} parameters for groups of {have}"
        if problem:
            raise StateError(f"load_state_dict: the state must fit {self._name}, got {problem}")
        saved: dict[Any, dict[str, Any]] = {}
        misfits = []
        for group, theirs in zip(self.param_groups, groups, strict=True):
            self.check({**group, **{k: v for k, v in theirs.items() if k != "params"}})
            for p, position in zip(group["params"], theirs["params"], strict=True):
                values = given["state"].get(position)
                if values is None:
                    continue
                read = {k: asarray(v).detach() for k, v in values.items() if v is not None}
                saved[position] = read
                for name, value in read.items():
                    wanted = self._shape_of(group, name, p)
                    if value.shape != (() if name == "step" else wanted):
                        misfits.append(
                            f"{name} of parameter {position} {value.shape} for "
                            f"{p.shape if name == 'step' else wanted}"
                        )
        if misfits:
            raise StateError(
                f"load_state_dict: the state must fit {self._name}, got {'; '.join(misfits)}"
            )
        return saved, groups

    def _shape_of(self, group: ParamGroup, name: str, p: Tensor) -> tuple[int, ...]:
        present = self.state.get(p, {}).get(name)
        return (self.new_state(group, name, p) if present is None else present).shape

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for number_, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number_}")
            lines += [
                f"    {key}: {value}"
                for key, value in sorted(group.items())
                if key not in ("params", "param_names")
            ]
        return "\n".join([*lines, ")"])


class RuledOptimizer(Optimizer):
    """An optimizer whose update is a rule of `ops.optimizers`, called with named options."""

    _rule: Any = None

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rule's options for a group."""
        raise NotImplementedError

    def update(
        self,
        group: ParamGroup,
        step: Tensor,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[list[Tensor]],
    ) -> None:
        self._rule(group.rate, step, parameters, gradients, states, **self.options(group))


def _members(optimizer: Optimizer) -> tuple[Any, ...]:
    """Return groups, parameters and states: what a recorded step goes through."""
    groups = optimizer.param_groups
    states = [one for state in optimizer.state.values() for one in state.values()]
    return (*groups, *[p for group in groups for p in group["params"]], *states)


def shared(group: Mapping[str, Any], decoupled: bool = False) -> dict[str, Any]:
    """Return the options that most rules have."""
    return {
        "weight_decay": group.get("weight_decay", 0.0),
        "decoupled": decoupled,
        "maximize": group["maximize"],
    }
