"""The state of a module as a flat dict of tensors, out and in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..core.tensor import Tensor
from ..errors import StateError, TensorflowliteError
from ..ops.creation import asarray
from ..runtime import set_mode
from .hooks import Hook, Hooked, RemovableHandle
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module

EXTRA = "_extra_state"


class LoadResult(NamedTuple):
    """What loading with ``strict=False`` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Stateful(Hooked):
    """What `Module` knows about its state: giving it away, taking it in, and hooks around both."""

    # Class attributes, made the instance's own when the first hook is registered.
    _state_hooks: Mapping[int, Any] = {}
    _state_pre_hooks: Mapping[int, Any] = {}
    _load_hooks: Mapping[int, Any] = {}
    _load_pre_hooks: Mapping[int, Any] = {}
    _spare: frozenset[str] = frozenset()  # what a state may lack: it stays as it is then

    # -- saving and loading ----------------------------------------------------------------------
    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Return all parameters and persistent buffers by path, sharing their memory.

        Parameters
        ----------
        prefix : str
            Put before each path.
        keep_vars : bool
            Return the parameters themselves rather than detached tensors.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> {name: t.shape for name, t in nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        return state_dict(cast("Module", self), prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> LoadResult:
        """Copy values into the parameters and buffers, which stay the same tensors.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            What `state_dict` returned, or arrays under the same paths.
        strict : bool
            Whether every path must be there and no other. Shapes must always match.
        assign : bool
            Whether the given tensors take the place of the module's, with their dtype and device.
            An optimizer is made afterwards, then.

        Returns
        -------
        LoadResult
            ``missing_keys`` and ``unexpected_keys``; both are empty where ``strict``.

        Raises
        ------
        StateError
            One error that lists everything missing, unexpected and misshapen; nothing was changed.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> a, b = nn.Linear(2, 3), nn.Linear(2, 3)
        >>> b.load_state_dict(a.state_dict())
        LoadResult(missing_keys=[], unexpected_keys=[])
        """
        return load_state_dict(cast("Module", self), state_dict, strict, assign)

    # -- what isn't a tensor, and hooks ----------------------------------------------------------
    def get_extra_state(self) -> Any:
        """Called by ``state_dict`` where a subclass defines it: what to save beside tensors."""
        raise NotImplementedError(f"{type(self).__name__}: the module has no extra state")

    def set_extra_state(self, state: Any) -> None:
        """Called by ``load_state_dict`` with what ``get_extra_state`` returned."""
        raise NotImplementedError(f"{type(self).__name__}: the module has no extra state")

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module's state is taken.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> layer = nn.Linear(2, 3)
        >>> handle = layer.register_state_dict_pre_hook(lambda *given: print(given[1:]))
        >>> state = layer.state_dict()
        ('', False)
        """
        return self._add_hook("_state_pre_hooks", hook, False)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)``, which may change the state.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> layer = nn.Linear(2, 3)
        >>> handle = layer.register_state_dict_post_hook(lambda *given: given[1].pop("bias"))
        >>> list(layer.state_dict())
        ['weight']
        """
        return self._add_hook("_state_hooks", hook, False)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call a hook before a state is loaded; it may change the state, a copy, in place.

        It is called as ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)``; texts that it appends to the last are raised.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> norm = nn.RMSNorm(2)
        >>> def rename(module, state, prefix, *others):
        ...     state[prefix + "weight"] = state.pop(prefix + "gamma")
        >>> handle = norm.register_load_state_dict_pre_hook(rename)
        >>> norm.load_state_dict({"gamma": tfl.zeros(2)})
        LoadResult(missing_keys=[], unexpected_keys=[])
        """
        return self._add_hook("_load_pre_hooks", hook, False)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, result)`` after a state was loaded; it may change the result's lists.

        Names that it takes out of ``result.missing_keys`` or ``result.unexpected_keys`` aren't
        complained of.

        Examples
        --------
        >>> from tensorflowlite import nn
        >>> layer = nn.Linear(2, 3)
        >>> handle = layer.register_load_state_dict_post_hook(
        ...     lambda module, result: result.missing_keys.clear()
        ... )
        >>> layer.load_state_dict({})
        LoadResult(missing_keys=[], unexpected_keys=[])
        """
        return self._add_hook("_load_hooks", hook, False)


def _modules(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """Yield each module with what stands before its names, also twice."""
    for path, one in module.named_modules(prefix=prefix, remove_duplicate=False):
        yield f"{path}." if path else "", one


def _has_extra(module: Module, method: str) -> bool:
    return getattr(type(module), method) is not getattr(Stateful, method)


def _entries(start: str, module: Module) -> Iterator[tuple[str, str, Tensor]]:
    """Yield what is saved of a module itself: its parameters, then its buffers."""
    for name, tensor in module._own_parameters():
        yield start + name, name, tensor
    for name, tensor in module._own_buffers():
        if module._buffers[name]:
            yield start + name, name, tensor


def state_dict(module: Module, prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Return all parameters, persistent buffers and extra states by path."""
    found: dict[str, Any] = {}
    everything = list(_modules(module, prefix.removesuffix(".")))
    for start, one in everything:
        for hook in list(one._state_pre_hooks.values()):
            hook(one, start, keep_vars)
        for path, _, tensor in _entries(start, one):
            found[path] = tensor if keep_vars else tensor.detach()
        if _has_extra(one, "get_extra_state"):
            found[start + EXTRA] = one.get_extra_state()
    for start, one in reversed(everything):
        for hook in list(one._state_hooks.values()):
            hook(one, found, start, {})
    return found


def load_state_dict(
    module: Module, given: Mapping[str, Any], strict: bool, assign: bool
) -> LoadResult:
    """Copy values into a module's tensors; all is checked before anything is changed."""
    if not isinstance(given, Mapping):
        raise StateError(
            f"load_state_dict: the state must be a mapping, got {type(given).__name__}"
        )
    given = dict(given)
    everything = list(_modules(module))
    missing: list[str] = []
    unexpected: list[str] = []
    problems: list[str] = []
    for start, one in everything:
        for hook in list(one._load_pre_hooks.values()):
            hook(one, given, start, {}, strict, missing, unexpected, problems)
    places = {
        path: (one, name, tensor)
        for start, one in everything
        for path, name, tensor in _entries(start, one)
    }
    extra = {
        start + EXTRA: one for start, one in everything if _has_extra(one, "set_extra_state")
    }
    missing += [
        path
        for path in (*places, *extra)
        if path not in given and not (path in places and places[path][1] in places[path][0]._spare)
    ]
    unexpected += [path for path in given if path not in places and path not in extra]
    values, misfits = _fitting(places, given)
    if misfits:
        problems.insert(0, f"misshapen {', '.join(misfits)}")
    result = LoadResult(missing, unexpected)
    watched = any(one._load_hooks for _, one in everything)
    if not watched or problems:
        _raise_unless_fits(module, result, problems, strict)
    with set_mode(grad=False):
        for path, value in values.items():
            one, name, tensor = places[path]
            if assign:
                _assign(one, name, tensor, value)
            else:
                tensor[...] = asarray(value, dtype=tensor.dtype, device=tensor.device)
    for path, one in extra.items():
        if path in given:
            one.set_extra_state(given[path])
    for _, one in reversed(everything):
        for hook in list(one._load_hooks.values()):
            hook(one, result)
    if watched:
        _raise_unless_fits(module, result, problems, strict)
    return result


def _fitting(
    places: Mapping[str, tuple[Module, str, Tensor]], given: Mapping[str, Any]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the values that fit their tensors, and what to say about the others."""
    values, misfits = {}, []
    for path, (_, _, tensor) in places.items():
        if path not in given:
            continue
        try:
            value = asarray(given[path]).detach()
        except TensorflowliteError:
            misfits.append(f"{path!r} {type(given[path]).__name__} for {tensor.shape}")
            continue
        if value.shape != tensor.shape:
            misfits.append(f"{path!r} {value.shape} for {tensor.shape}")
        elif value.dtype.kind == "c" and tensor.dtype.kind != "c":
            misfits.append(f"{path!r} {value.dtype} for {tensor.dtype}")
        else:
            values[path] = value
    return values, misfits


def _raise_unless_fits(
    module: Module, result: LoadResult, problems: list[str], strict: bool
) -> None:
    problems = list(problems)
    if strict:
        for kind, paths in (
            ("unexpected", result.unexpected_keys), ("missing", result.missing_keys),
        ):  # fmt: skip
            if paths:
                problems.insert(0, f"{kind} {', '.join(map(repr, paths))}")
    if problems:
        hint = "; strict=False leaves out missing and unexpected names" if strict else ""
        raise StateError(
            f"load_state_dict: the state must fit {type(module).__name__}, got "
            + "; ".join(problems)
            + hint
        )


def _assign(module: Module, name: str, tensor: Tensor, value: Tensor) -> None:
    """Set the value itself in place of a tensor, a parameter where that is one."""
    if tensor.is_parameter:
        value = Parameter(value, tensor.requires_grad)
    vars(module)[name] = value


def zero_gradients(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Drop gradients, or fill them with zeros."""
    for parameter in parameters:
        grad = parameter.grad
        if set_to_none or grad is None:
            parameter.grad = None
        else:
            with set_mode(grad=False):
                grad.detach()[...] = 0
