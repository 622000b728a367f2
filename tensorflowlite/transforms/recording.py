"""A function's call, recorded from inputs of its own: with it every transform of functions starts.

The inputs are fresh, so no ``.grad`` is written and a tensor may stand for several of them. Where
an input has history its fresh one hangs on it, so that the outer derivative sees through. After the
call the graph of the outputs is walked once: if it reaches nothing that was there before, the
derivatives are plain numbers and the quick pass on raw arrays finds them; else they are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import dtypes
from ..core import tape
from ..core.graph import explore
from ..core.nodes import make_leaf
from ..core.primitive import traced
from ..core.tensor import Tensor, recording, wrap
from ..errors import ArgumentError, DtypeError, ShapeError, TensorflowliteError
from ..ops.arguments import as_tensor
from ..ops.creation import zeros_like
from ..runtime import mode, set_mode, tick
from . import tree

Function = Callable[..., Any]


def check_function(name: str, fun: Any) -> None:
    """Raise unless ``fun`` can be called."""
    if isinstance(fun, Tensor) or not callable(fun):
        hint = "; gradients of tensors are autograd.grad(outputs, inputs)" if name == "grad" else ""
        raise DtypeError(f"{name}: fun must be a function, got {type(fun).__name__}{hint}")


def places_of(name: str, argnums: int | Sequence[int], count: int) -> list[int]:
    """Return ``argnums`` as places among ``count`` positional arguments."""
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for number in numbers:
        if not -count <= number < count:
            raise ArgumentError(
                f"{name}: argnums must name positional arguments, got {number} for {count} of them"
            )
    return [number % count for number in numbers]


def lift_leaves(name: str, values: Sequence[Any], places: Sequence[str]) -> list[Tensor]:
    """Return the leaves of a tree as tensors that can be differentiated by."""
    lifted = []
    for value, place in zip(values, places, strict=True):
        try:
            x = as_tensor(value)
        except TensorflowliteError:
            raise DtypeError(
                f"{name}: inputs must be tensors, arrays or numbers, got {type(value).__name__} in "
                f"{place}; leave it out of argnums"
            ) from None
        if x.dtype not in dtypes.inexact:
            raise DtypeError(
                f"{name}: inputs must be float or complex, got {x.dtype} {x.shape} in {place}; "
                "cast it with astype(float32), or leave it out of argnums"
            )
        lifted.append(x)
    if mode.levels:  # inside vmap each sample differentiates by inputs of its own
        lifted = [_lifted(x) for x in lifted]
    return lifted


def _lifted(x: Tensor) -> Tensor:
    from ..core.batching import lift_to_levels

    return lift_to_levels(x)


def fresh_leaf(x: Tensor) -> Tensor:
    """Return a leaf that shares ``x``'s array, and knows when it was made."""
    if mode.levels:
        x = _lifted(x)
    leaf = make_leaf(x.array)
    leaf.born = tick()
    return wrap(x.array, leaf)


def _fresh(x: Tensor, linked: bool) -> Tensor:
    # A copy where there is history: a change in place inside must not reach the outer tensor.
    return traced.positive(x) if linked and x.node is not None else fresh_leaf(x)


class Recorded:
    """A call of ``fun``, recorded: its fresh inputs, its outputs, and what these depend on.

    Parameters
    ----------
    name
        The transform, for errors.
    fun, args, kwargs
        The call.
    places
        The positional arguments to differentiate by.
    has_aux
        Whether ``fun`` returns a pair of the output and something else.
    """

    def __init__(self, name: str, fun: Function, args: Sequence[Any], kwargs: dict[str, Any],
                 places: Sequence[int], has_aux: bool) -> None:  # fmt: skip
        self.name = name
        self.ambient = recording()
        self.since = tick()
        leaves, self.structure = tree.flatten(tuple([args[i] for i in places]))
        texts = [f"argument {i}{path}" for i in places
                 for path in tree.paths(tree.flatten(args[i])[1])]  # fmt: skip
        self.inputs = lift_leaves(name, leaves, texts)
        with set_mode(grad=True):
            given = [_fresh(x, self.ambient) for x in self.inputs]
            # Tensors of our own: a change in place gives the function's another node.
            self.inputs = [wrap(x.array, x.node) for x in given]
            self.targets = {x.node for x in self.inputs}
            filled = list(args)
            for place, value in zip(places, tree.unflatten(self.structure, given), strict=True):
                filled[place] = value
            result = fun(*filled, **kwargs)
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise ArgumentError(
                    f"{name}: with has_aux the function must return (output, aux), got "
                    f"{type(result).__name__}"
                )
            result, self.aux = result
        outputs, self.output_structure = tree.flatten(result)
        self.outputs = [self._output(one) for one in outputs]
        roots = [y.node for y in self.outputs if y.node is not None]
        self.relevant, elsewhere = explore(roots, self.targets, self.since)
        self.outer = self.ambient and bool(elsewhere)
        if self.aux is not None:
            self.aux = self.settle(self.aux)

    def _output(self, value: Any) -> Tensor:
        try:
            return as_tensor(value)
        except TensorflowliteError:
            raise DtypeError(
                f"{self.name}: the function must return tensors or numbers, got "
                f"{type(value).__name__}; return what is something else as aux, with has_aux=True"
            ) from None

    def settle(self, aux: Any) -> Any:
        """Return a tree whose tensors keep only the history that they have from elsewhere."""
        return tree.map_leaves(self._settled, aux)

    def _settled(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.node is None:
            return value
        if self.ambient and explore([value.node], self.targets, self.since)[1]:
            return value
        return value.detach()

    def depends(self, output: Tensor) -> bool:
        """Whether an output depends on an input."""
        return output.node is not None and output.node in self.relevant

    def finished(self) -> list[Tensor]:
        """Return the outputs as the caller gets them."""
        if not self.outer:
            return [y.detach() for y in self.outputs]
        return [self._settled(y) for y in self.outputs]

    def pull_back(
        self, cotangents: Sequence[Tensor], trace: bool, retain: bool = True
    ) -> list[Tensor]:
        """Return the cotangents of the inputs."""
        pairs = [
            (y, g) for y, g in zip(self.outputs, cotangents, strict=True) if self.depends(y)
        ]  # fmt: skip
        found: list[Tensor | None] = [None] * len(self.inputs)
        if pairs:
            found = tape.grad([y for y, _ in pairs], self.inputs, [g for _, g in pairs],
                              retain or trace, trace, self.relevant)  # fmt: skip
        return [
            zeros_like(x.detach()) if g is None else g
            for x, g in zip(self.inputs, found, strict=True)
        ]


def matching(name: str, what: str, like: Sequence[Tensor], values: Sequence[Any]) -> list[Tensor]:
    """Return tangents or cotangents as tensors of the shapes and dtypes of ``like``."""
    lifted = []
    for x, value in zip(like, values, strict=True):
        t = as_tensor(value)
        if t.shape != x.shape:
            raise ShapeError(
                f"{name}: {what} must have the shape {x.shape} of what it belongs to, got {t.shape}"
            )
        lifted.append(t if t.dtype == x.dtype else traced.cast(t, x.dtype))
    return lifted
