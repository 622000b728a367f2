"""Hooks: functions that run before and after an optimizer's steps, and with its states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.tensor import HookHandle


class Hooked:
    """What `Optimizer` knows about hooks: registering them."""

    # Lists of hooks by the moment they are called at; the instance's own with the first hook.
    _hooks: Mapping[str, list[Any]] = {}

    def _add_hook(self, moment: str, hook: Callable[..., Any], prepend: bool) -> HookHandle:
        hooks = self._hooks.get(moment, [])
        hooks.insert(0 if prepend else len(hooks), hook)
        self._hooks = {**self._hooks, moment: hooks}
        return HookHandle(hooks, hook)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step.

        What it returns, where it isn't None, are the arguments that the step gets:
        ``(args, kwargs)``.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import optim
        >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=0.1)
        >>> handle = optimizer.register_step_pre_hook(lambda *args: print("before"))
        >>> optimizer.step()
        before
        >>> handle.remove()
        """
        return self._add_hook("step_pre", hook, False)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import optim
        >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=0.1)
        >>> handle = optimizer.register_step_post_hook(lambda *args: print("after"))
        >>> optimizer.step()
        after
        """
        return self._add_hook("step_post", hook, False)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call ``hook(optimizer)`` before each `state_dict`; with ``prepend`` before the others.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import optim
        >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=0.1)
        >>> handle = optimizer.register_state_dict_pre_hook(lambda optimizer: print("saving"))
        >>> state = optimizer.state_dict()
        saving
        """
        return self._add_hook("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call ``hook(optimizer, state_dict)`` after each `state_dict`.

        What it returns, where it isn't None, takes the state's place.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import optim
        >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=0.1)
        >>> hook = lambda optimizer, state: {**state, "note": "mine"}
        >>> handle = optimizer.register_state_dict_post_hook(hook)
        >>> optimizer.state_dict()["note"]
        'mine'
        """
        return self._add_hook("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call ``hook(optimizer, state_dict)`` before each `load_state_dict`.

        What it returns, where it isn't None, is loaded instead.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import optim
        >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=0.1)
        >>> handle = optimizer.register_load_state_dict_pre_hook(lambda *args: print("loading"))
        >>> optimizer.load_state_dict(optimizer.state_dict())
        loading
        """
        return self._add_hook("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call ``hook(optimizer)`` after each `load_state_dict`; with ``prepend`` before others.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import optim
        >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=0.1)
        >>> handle = optimizer.register_load_state_dict_post_hook(lambda *args: print("loaded"))
        >>> optimizer.load_state_dict(optimizer.state_dict())
        loaded
        """
        return self._add_hook("load_state_dict_post", hook, prepend)
