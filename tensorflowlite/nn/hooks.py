"""Hooks: functions that run before and after a module's ``forward``, and in its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ArgumentError

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
    _hooked = False  # whether any hook was: a call reads this one alone
    _forward_hooks: Mapping[int, Any] = {}
    _forward_pre_hooks: Mapping[int, Any] = {}
    _backward_hooks: Mapping[int, Any] = {}
    _backward_pre_hooks: Mapping[int, Any] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: the module must define forward()")

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each ``forward``.

        What it returns, where it isn't None, takes the output's place.

        Parameters
        ----------
        hook : callable
            The hook.
        prepend : bool
            Run it before those registered earlier, instead of after.
        with_kwargs : bool
            Call it as ``hook(module, args, kwargs, output)``.
        always_call : bool
            Call it also where ``forward`` raised, with None for the output.

        Returns
        -------
        RemovableHandle

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
        return self._add_hook("_forward_hooks", (hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each ``forward``.

        What it returns, where it isn't None, takes the arguments' place (a value that is no tuple
        is the only argument).

        Parameters
        ----------
        hook : callable
            The hook.
        prepend : bool
            Run it before those registered earlier, instead of after.
        with_kwargs : bool
            Call it as ``hook(module, args, kwargs)``; it returns None or ``(args, kwargs)``.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> relu = nn.ReLU()
        >>> handle = relu.register_forward_pre_hook(lambda module, args: args[0] - 1)
        >>> relu(tfl.tensor([0.0, 3.0]))
        tensor([0., 2.])
        """
        return self._add_hook("_forward_pre_hooks", (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the inputs' gradients are ready.

        Both are tuples, one entry per positional argument and per output: None for what is no
        tensor and for an output that wasn't used, zeros for an input that was not. What it returns,
        where it isn't None, takes ``grad_input``'s place. Where no input requires grad, the hook
        runs when the outputs' gradients are ready.

        Parameters
        ----------
        hook : callable
            The hook.
        prepend : bool
            Run it before those registered earlier, instead of after.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> tanh = nn.Tanh()
        >>> handle = tanh.register_full_backward_hook(
        ...     lambda module, grad_input, grad_output: (grad_input[0] * 10,)
        ... )
        >>> x = tfl.zeros(2).requires_grad_()
        >>> tanh(x).sum().backward()
        >>> x.grad
        tensor([10., 10.])
        """
        return self._add_hook("_backward_hooks", hook, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the outputs' gradients are ready.

        What it returns, where it isn't None, takes ``grad_output``'s place.

        Parameters
        ----------
        hook : callable
            The hook.
        prepend : bool
            Run it before those registered earlier, instead of after.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn
        >>> tanh = nn.Tanh()
        >>> handle = tanh.register_full_backward_pre_hook(lambda module, g: (g[0] * 10,))
        >>> x = tfl.zeros(2).requires_grad_()
        >>> tanh(x).sum().backward()
        >>> x.grad
        tensor([10., 10.])
        """
        return self._add_hook("_backward_pre_hooks", hook, prepend)

    def _add_hook(self, kind: str, entry: Any, prepend: bool) -> RemovableHandle:
        hooks = vars(self).get(kind)
        if hooks is None:
            hooks = {}
            object.__setattr__(self, kind, hooks)
        object.__setattr__(self, "_hooked", True)
        key = max(hooks, default=0) + 1
        others = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[key] = entry
        hooks.update(others)
        return RemovableHandle(hooks, key)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        try:
            return self._run_with_hooks(args, kwargs, called)
        except Exception:
            for key, (hook, with_kwargs, always_call) in list(self._forward_hooks.items()):
                if always_call and key not in called:
                    _after(hook, with_kwargs, self, args, kwargs, None)
            raise

    def _run_with_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]
    ) -> Any:
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            args, kwargs = _before(hook, with_kwargs, self, args, kwargs)
        crossing = None
        if self._backward_hooks or self._backward_pre_hooks:
            from .backward_hooks import Crossing

            crossing = Crossing(self, self._backward_hooks, self._backward_pre_hooks)
            args = crossing.enter(args)
        output = self.forward(*args, **kwargs)
        for key, (hook, with_kwargs, _) in list(self._forward_hooks.items()):
            called.add(key)
            result = _after(hook, with_kwargs, self, args, kwargs, output)
            if result is not None:
                output = result
        return output if crossing is None else crossing.leave(output)


def _before(
    hook: Hook, with_kwargs: bool, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Any]:
    result = hook(module, args, kwargs) if with_kwargs else hook(module, args)
    if result is None:
        return args, kwargs
    if not with_kwargs:
        return (result if isinstance(result, tuple) else (result,)), kwargs
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            "register_forward_pre_hook: with_kwargs the hook must return None or (args, kwargs), "
            f"got {type(result).__name__}"
        )
    return result


def _after(hook: Hook, with_kwargs: bool, module: Any, args: Any, kwargs: Any, output: Any) -> Any:
    return hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
