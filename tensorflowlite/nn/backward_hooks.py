"""Where the gradients of a module's inputs and outputs are seen, for its backward hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..transforms.function import Context, Function

Gradients = tuple[Tensor | None, ...]


class _Through(Function):
    """The values themselves; their gradients pass through a function, all at once."""

    @staticmethod
    def forward(
        ctx: Context, see: Callable[[Gradients], Gradients], zeros: bool, *xs: Tensor
    ) -> Any:
        ctx.set_materialize_grads(zeros)
        ctx.see = see  # type: ignore[attr-defined]
        outputs = tuple([x.detach() for x in xs])
        ctx.mark_non_differentiable(
            *[y for x, y in zip(xs, outputs, strict=True) if not x.requires_grad]
        )
        return outputs

    @staticmethod
    def backward(ctx: Context, *grads: Tensor | None) -> Any:
        return None, None, *ctx.see(grads)  # type: ignore[attr-defined]


class Crossing:
    """One call of a module that has backward hooks."""

    def __init__(self, module: Any, hooks: Mapping[int, Any], pre_hooks: Mapping[int, Any]) -> None:
        self.module = module
        self.hooks, self.pre_hooks = list(hooks.values()), list(pre_hooks.values())
        self.of_outputs: Gradients = ()
        self.enters = False  # whether a gradient leaves by an input
        self.arguments = 0

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the module's arguments, watched."""
        self.arguments = len(args)
        self.enters = any(isinstance(x, Tensor) and x.requires_grad for x in args)
        return tuple(_watched(args, self._see_inputs, True)) if self.hooks and self.enters else args

    def leave(self, output: Any) -> Any:
        """Return the module's output, watched."""
        if isinstance(output, Tensor):
            return _watched([output], self._see_outputs, False)[0]
        if not isinstance(output, tuple | list):
            return output
        watched = _watched(output, self._see_outputs, False)
        if hasattr(output, "_fields"):
            return type(output)(*watched)
        return type(output)(watched)

    def _see_outputs(self, grads: Gradients) -> Gradients:
        for hook in self.pre_hooks:
            grads = _replaced("register_full_backward_pre_hook", hook(self.module, grads), grads)
        self.of_outputs = grads
        if not self.enters:
            nothing: Gradients = (None,) * self.arguments
            for hook in self.hooks:
                result = hook(self.module, nothing, grads)
                found = _replaced("register_full_backward_hook", result, nothing)
                if any(one is not None for one in found):
                    raise ArgumentError(
                        "register_full_backward_hook: the hook must return None where no input "
                        f"requires grad, got {type(result).__name__}"
                    )
        return grads

    def _see_inputs(self, grads: Gradients) -> Gradients:
        for hook in self.hooks:
            result = hook(self.module, grads, self.of_outputs)
            grads = _replaced("register_full_backward_hook", result, grads)
        self.of_outputs = ()
        return grads


def _replaced(name: str, result: Any, grads: Gradients) -> Gradients:
    if result is None:
        return grads
    found = result if isinstance(result, tuple | list) else (result,)
    if len(found) != len(grads):
        raise ArgumentError(
            f"{name}: the hook must return None or a gradient for each of {len(grads)}, "
            f"got {len(found)}"
        )
    return tuple(found)


def _watched(values: Any, see: Callable[[Gradients], Gradients], zeros: bool) -> list[Any]:
    """Return values whose gradients pass through ``see``, a place for each value.

    A tensor that no gradient reaches has None, or ``zeros``, as PyTorch has it.
    """
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor)]
    found = list(values)
    if not any(found[i].requires_grad for i in places):
        return found

    def spread(grads: Gradients) -> Gradients:
        everywhere: list[Tensor | None] = [None] * len(found)
        for i, g in zip(places, grads, strict=True):
            everywhere[i] = g
        seen = see(tuple(everywhere))
        return tuple([seen[i] for i in places])

    through = _Through.apply(spread, zeros, *[found[i] for i in places])
    for i, x in zip(places, through, strict=True):
        found[i] = x
    return found
