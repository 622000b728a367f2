"""Operations with a gradient of the user's own, in PyTorch's form."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..backend import dtypes, ndarray
from ..core.entry import of_one_batch
from ..core.nodes import JointNode
from ..core.primitive import Primitive, make_output, traced
from ..core.tensor import Tensor, recording, wrap
from ..errors import DtypeError, GradientError, ShapeError, UnsupportedArgumentError
from ..runtime import set_mode, tick
from .anomaly import look_at_function


class Context:
    """What `Function.forward` hands to `Function.backward`: saved tensors and any attributes.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        Which arguments of ``apply`` need a gradient; the others' may be None.
    """

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: list[tuple[Any, Any]] = []
        self._constant: tuple[Tensor, ...] = ()
        self._materialize = True
        self._node: JointNode | None = None  # while backward runs; else it would be a cycle

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs or other tensors for `Function.backward`.

        Inputs and outputs come back with their history, so that ``backward`` can be differentiated;
        one that was changed in place since is found.
        """
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise DtypeError(
                    f"save_for_backward: Tensors or None are needed, got {type(tensor).__name__}; "
                    "set other values as attributes of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that were saved, with their history where the pass is recorded."""
        if self._to_save:  # asked for within forward
            return self._to_save
        return tuple([self._rebuild(array, parent) for array, parent in self._saved])

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say that outputs are constants: they don't require grad; their gradients are zero."""
        self._constant = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether ``backward`` gets zeros (the default) or None for an output not used."""
        self._materialize = value

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Raise: ``forward`` must not change its inputs."""
        raise UnsupportedArgumentError(
            f"mark_dirty: forward must not change its inputs, got {len(inputs)} that it does; "
            "return new tensors, or clone() the input first"
        )

    def _rebuild(self, array: Any, parent: Any) -> Tensor | None:
        if array is None:
            return None
        if type(parent) is int:  # an output of this operation
            parent = None if self._node is None else make_output(self._node, parent)
        return wrap(array, parent)

    def _settle(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Keep arrays and nodes instead of tensors: an output saved here would make a cycle."""
        for tensor in self._to_save:
            if tensor is None:
                self._saved.append((None, None))
                continue
            parent: Any = next((x.node for x in inputs if x is tensor), None)
            for i, out in enumerate(outputs):
                if out is tensor and not any(out is one for one in self._constant):
                    parent = i
            self._saved.append((tensor.array, parent))
        self._to_save = ()


class Function:
    """An operation with its own gradient: subclass it and call ``apply``.

    ``forward(ctx, *args)`` computes on tensors without recording; ``backward(ctx, *grads)`` returns
    a gradient (or None) per argument of ``forward``. Written with tensor operations, ``backward``
    can itself be differentiated. Where ``setup_context(ctx, inputs, output)`` is defined,
    ``forward`` is called without ``ctx``. Gradients of complex values are PyTorch's: conjugates.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> class Cube(tfl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x * x
    >>> x = tfl.tensor([2.0], requires_grad=True)
    >>> Cube.apply(x).sum().backward()
    >>> x.grad
    tensor([12.])
    """

    _primitive: Primitive

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._primitive = Primitive(
            cls.__name__, ("values",), _rule, attributes=("context", "function", "positions"),
            variadic=True, outputs=0, tensors=True, registered=False,
        )  # fmt: skip

    @staticmethod
    def forward(*args: Any) -> Any:
        """Compute the output from ``ctx`` and the arguments; override it."""
        raise NotImplementedError("Function: forward must be overridden")

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Any, ...], output: Any) -> None:
        """Called after a ``forward`` that is written without ``ctx``, to save what is needed."""
        raise NotImplementedError("Function: setup_context must be overridden")

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        """Return a gradient, or None, for each argument of ``forward``; override it."""
        raise NotImplementedError("Function: backward must be overridden")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run the operation on ``args`` and record it where a tensor among them requires grad."""
        context = Context()
        positions = tuple(i for i, arg in enumerate(args) if isinstance(arg, Tensor))
        inputs = [args[i] for i in positions]
        if any(type(x.array) is not ndarray for x in inputs):
            inputs = of_one_batch(inputs)
            members = iter(inputs)
            args = tuple([next(members) if isinstance(arg, Tensor) else arg for arg in args])
        context.needs_input_grad = tuple(
            isinstance(arg, Tensor) and arg.node is not None for arg in args
        )
        with set_mode(grad=False):
            if cls.setup_context is Function.setup_context:
                result = cls.forward(context, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(context, args, result)
        several = isinstance(result, tuple | list)
        results = list(result) if several else [result]
        places = [i for i, one in enumerate(results) if isinstance(one, Tensor)]
        outputs = [results[i] for i in places]
        if not outputs:
            raise DtypeError(
                f"{cls.__name__}.forward: must return Tensors, got {type(result).__name__}"
            )
        if not recording() or not any(context.needs_input_grad):
            return result
        carries = [
            y.dtype in dtypes.inexact and not any(y is one for one in context._constant)
            for y in outputs
        ]
        node = JointNode()
        node.op = cls._primitive
        node.parents = tuple([x.node for x in inputs])
        node.g = node.hooks = node.out = node.residual = None
        node.attributes = (context, cls, (positions, places, len(results)))
        node.fix = tuple([(x.shape, x.dtype) for x in inputs])
        node.forms = tuple([
            (y.shape, y.dtype, context._materialize and y.dtype in dtypes.inexact) for y in outputs
        ])  # fmt: skip
        node.born = tick()
        context._settle(inputs, outputs)
        node.saved = tuple([array for array, _ in context._saved])
        for number, (place, y) in enumerate(zip(places, outputs, strict=True)):
            results[place] = wrap(y.array, make_output(node, number) if carries[number] else None)
        return tuple(results) if several else results[0]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `Function.backward` that can't be differentiated itself.

    It runs without recording; a derivative of what it returns raises, instead of being wrong.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> class Double(tfl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...
    ...     @staticmethod
    ...     @tfl.autograd.once_differentiable
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> x = tfl.tensor(1.0, requires_grad=True)
    >>> tfl.autograd.grad(Double.apply(x), x)
    (tensor(2.),)
    """

    @functools.wraps(backward)
    def run(ctx: Context, *grads: Tensor | None) -> Any:
        with set_mode(grad=False):
            results = backward(ctx, *grads)
        if not recording() or ctx._node is None:
            return results
        several = isinstance(results, tuple | list)
        node = JointNode()
        node.op = _refuses
        node.parents = (
            *[g.node for g in grads if g is not None],
            *[parent for parent in ctx._node.parents if parent is not None],
        )
        found = list(results) if several else [results]
        node.g = node.hooks = node.out = node.residual = None
        node.saved, node.attributes, node.fix = (), (), (None,) * len(node.parents)
        node.forms = tuple([(r.shape, r.dtype, True) for r in found if r is not None])
        node.born = tick()
        numbers = iter(range(len(found)))
        marked = [
            None if r is None else wrap(r.array, make_output(node, next(numbers))) for r in found
        ]
        return marked if several else marked[0]

    return run


def _refuse(need: Any) -> Any:
    raise GradientError(
        "once_differentiable: the backward must be differentiated once only, got a derivative of "
        "it; write it with tensor operations and take the mark away"
    )


_refuses = Primitive(
    "once_differentiable", ("values",), _refuse, variadic=True, outputs=0, registered=False
)


def _conjugated(x: Tensor | None) -> Tensor | None:
    """Cross the boundary between the tape's plain transposes and PyTorch's convention."""
    return traced.conj(x) if x is not None and x.dtype.kind == "c" else x


def _rule(node: Any, g: Any, need: Any, context: Context, function: type[Function],
          positions: Any) -> Any:  # fmt: skip
    given, places, total = positions
    grads: list[Tensor | None] = [None] * total
    for place, one in zip(places, g, strict=True):
        grads[place] = _conjugated(one)
    context._node = node
    try:
        results = function.backward(context, *grads)
    finally:
        context._node = None
    results = list(results) if isinstance(results, tuple | list) else [results]
    count = len(context.needs_input_grad)
    if len(results) < count or any(one is not None for one in results[count:]):
        raise GradientError(
            f"{function.__name__}.backward: a gradient or None per argument of forward is needed, "
            f"got {len(results)} for {count}"
        )
    found = []
    for i, wanted, (shape, _) in zip(given, need, node.fix, strict=True):
        r = results[i] if wanted else None
        if r is not None:
            _check_result(function.__name__, i, r, shape)
        found.append(_conjugated(r))
    look_at_function(node.op, node, found, g)
    return found


def _check_result(name: str, place: int, r: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(r, Tensor):
        raise DtypeError(
            f"{name}.backward: gradients must be Tensors or None, got {type(r).__name__} for "
            f"argument {place}"
        )
    extra = len(r.shape) - len(shape)
    if extra < 0 or any(
        ours not in (1, theirs) for ours, theirs in zip(shape, r.shape[extra:], strict=True)
    ):
        raise ShapeError(
            f"{name}.backward: the gradient must have the shape {shape} of argument {place}, or "
            f"one that it broadcasts to, got {r.shape}"
        )
