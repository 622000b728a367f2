"""Hooks: functions that run before and after a module's ``forward``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Hook = Callable[..., Any]


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes it away; also a context manager."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Hooked:
    """What `Module` knows about hooks: registering them, and calls that run them."""

    # Class attributes, made the instance's own when the first hook is registered.
    _forward_hooks: Mapping[int, Any] = {}
    _forward_pre_hooks: Mapping[int, Any] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: the module must define forward()")

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each ``forward``.

        What it returns, where it isn't None, takes the output's place. With ``with_kwargs`` the
        hook is called as ``hook(module, args, kwargs, output)``.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> relu = nn.ReLU()
        >>> handle = relu.register_forward_hook(lambda module, args, output: output * 10)
        >>> relu(tfl.tensor([-1.0, 2.0]))
        tensor([ 0., 20.])
        >>> handle.remove()
        """
        return self._add_hook("_forward_hooks", hook, prepend, with_kwargs)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each ``forward``.

        What it returns, where it isn't None, takes the arguments' place (a value that is no tuple
        is the only argument). With ``with_kwargs`` the hook is called as
        ``hook(module, args, kwargs)`` and returns None or ``(args, kwargs)``.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> relu = nn.ReLU()
        >>> handle = relu.register_forward_pre_hook(lambda module, args: args[0] - 1)
        >>> relu(tfl.tensor([0.0, 3.0]))
        tensor([0., 2.])
        """
        return self._add_hook("_forward_pre_hooks", hook, prepend, with_kwargs)

    def _add_hook(self, kind: str, hook: Hook, prepend: bool, with_kwargs: bool) -> RemovableHandle:
        hooks = vars(self).get(kind)
        if hooks is None:
            hooks = {}
            object.__setattr__(self, kind, hooks)
        key = max(hooks, default=0) + 1
        if prepend:
            others = dict(hooks)
            hooks.clear()
            hooks[key] = (hook, with_kwargs)
            hooks.update(others)
        else:
            hooks[key] = (hook, with_kwargs)
        return RemovableHandle(hooks, key)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            if with_kwargs:
                result = hook(self, args, kwargs)
                if result is not None:
                    args, kwargs = result
            else:
                result = hook(self, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
        output = self.forward(*args, **kwargs)
        for hook, with_kwargs in list(self._forward_hooks.values()):
            result = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            if result is not None:
                output = result
        return output
