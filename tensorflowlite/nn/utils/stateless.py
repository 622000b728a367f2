"""Calls of a module with other parameters than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.tensor import Tensor
from ...errors import ArgumentError, StateError
from ...ops.joining import stack
from ..module import Module

State = Mapping[str, Tensor]


def _places(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Return where each parameter and buffer stands, by its path: a module's dict and a name."""
    found = {}
    for path, one in module.named_modules(remove_duplicate=False):
        start = f"{path}." if path else ""
        for own in (one._own_parameters(), one._own_buffers()):
            for name, _ in own:
                found[start + name] = (vars(one), name)
    return found


def _merged(given: State | Sequence[State]) -> dict[str, Tensor]:
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, Tensor] = {}
    for one in given:
        twice = [path for path in one if path in found]
        if twice:
            raise ArgumentError(
                f"functional_call: each name must be given once, got {twice[0]!r} in two mappings"
            )
        found.update(one)
    return found


def _with_ties(given: dict[str, Tensor], places: dict[str, Any]) -> dict[str, Tensor]:
    """Return the given values, those of shared parameters under every name that they have."""
    names: dict[int, list[str]] = {}
    for path, (held, name) in places.items():
        names.setdefault(id(held[name]), []).append(path)
    found = dict(given)
    for same in names.values():
        values = [given[path] for path in same if path in given]
        if any(value is not values[0] for value in values):
            raise ArgumentError(
                f"functional_call: {' and '.join(map(repr, same))} are one parameter and must be "
                "given one value, got several; tie_weights=False takes them apart"
            )
        if values:
            found.update(dict.fromkeys(same, values[0]))
    return found


def functional_call(
    module: Module,
    parameters_and_buffers: State | Sequence[State],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers than its own.

    For derivatives by the parameters as the arguments of a function. Meanwhile the module itself
    holds the others: two threads must not call one module so at one time.

    Parameters
    ----------
    module : Module
        It has its own parameters again afterwards, also where ``forward`` raised.
    parameters_and_buffers : mapping of str to Tensor, or a sequence of them
        The values by path; those that aren't given stay the module's own. Buffers that are given
        are what ``forward`` changes in place.
    args : tuple, or any other value
        The positional arguments; what is no tuple is the only one.
    kwargs : mapping, optional
        The keyword arguments.
    tie_weights : bool
        Whether a parameter that the module holds under several names is replaced under all.
    strict : bool
        Whether every parameter and buffer must be given.

    Returns
    -------
    Any
        What the module returned.

    Raises
    ------
    StateError
        A name that the module doesn't have, or with ``strict`` one that is missing.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> layer = nn.Linear(2, 1)
    >>> given = {"weight": tfl.ones((1, 2)), "bias": tfl.zeros(1)}
    >>> nn.utils.functional_call(layer, given, (tfl.tensor([[1.0, 2.0]]),))
    tensor([[3.]])
    """
    places, given = _places(module), _merged(parameters_and_buffers)
    unexpected = [path for path in given if path not in places]
    if tie_weights:
        given = _with_ties(given, places)
    missing = [path for path in places if path not in given] if strict else []
    problems = [
        f"{kind} {', '.join(map(repr, paths))}"
        for kind, paths in (("missing", missing), ("unexpected", unexpected))
        if paths
    ]
    if problems:
        raise StateError(
            f"functional_call: the names must fit {type(module).__name__}, got "
            + "; ".join(problems)
        )
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    own = [(*places[path], value) for path, value in given.items()]
    before = [(held, name, held[name]) for held, name, _ in own]
    try:
        for held, name, value in own:
            held[name] = value
        return module(*args, **(kwargs or {}))
    finally:
        for held, name, value in before:
            held[name] = value


def stack_module_state(
    models: Sequence[Module],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the parameters and the buffers of modules of one form, stacked along a new axis.

    With `functional_call` under ``vmap`` they run as one.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> parameters, buffers = nn.utils.stack_module_state([nn.Linear(2, 3) for _ in range(4)])
    >>> parameters["weight"].shape, buffers
    ((4, 3, 2), {})
    """
    if not models:
        raise ArgumentError("stack_module_state: at least one module is needed, got none")
    first = models[0]
    for other in models:
        if type(other) is not type(first) or other.training != first.training:
            raise ArgumentError(
                "stack_module_state: the modules must be of one class and in one mode, got "
                f"{type(first).__name__} and {type(other).__name__}"
            )
    parameters = {
        path: stack([model.get_parameter(path).detach() for model in models]).requires_grad_(
            one.requires_grad
        )
        for path, one in first.named_parameters()
    }
    buffers = {
        path: stack([model.get_buffer(path).detach() for model in models])
        for path, _ in first.named_buffers()
    }
    return parameters, buffers
