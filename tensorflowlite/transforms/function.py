"""Operations with a gradient of the user's own, in PyTorch's form."""

from __future__ import annotations

from typing import Any

from ..backend import dtypes
from ..core.primitive import Primitive, make_output
from ..core.tensor import JointNode, Tensor, recording, wrap
from ..errors import DtypeError, GradientError
from ..runtime import set_mode, tick


class Context:
    """What `Function.forward` hands to `Function.backward`: saved tensors and any attributes."""

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: list[tuple[Any, Any]] = []
        self._node: JointNode | None = None  # while backward runs; else it would be a cycle

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs or other tensors for `Function.backward`."""
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that were saved, with their history where the pass is recorded."""
        return tuple([self._rebuild(array, parent) for array, parent in self._saved])

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
                if out is tensor:
                    parent = i
            self._saved.append((tensor.array, parent))
        self._to_save = ()


class Function:
    """An operation with its own gradient: subclass it and call ``apply``.

    ``forward(ctx, *args)`` computes on tensors without recording; ``backward(ctx, *grads)`` returns
    a gradient (or None) per argument of ``forward``. Written with tensor operations, ``backward``
    can itself be differentiated.

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
    def forward(ctx: Context, *args: Any) -> Any:
        """Compute the output; override it."""
        raise NotImplementedError("Function: forward must be overridden")

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        """Return a gradient, or None, for each argument of ``forward``; override it."""
        raise NotImplementedError("Function: backward must be overridden")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run the operation on ``args`` and record it where a tensor among them requires grad."""
        context = Context()
        positions = tuple(i for i, arg in enumerate(args) if type(arg) is Tensor)
        inputs = [args[i] for i in positions]
        context.needs_input_grad = tuple(
            type(arg) is Tensor and arg.node is not None for arg in args
        )
        with set_mode(grad=False):
            result = cls.forward(context, *args)
        outputs = [result] if type(result) is Tensor else list(result)
        for out in outputs:
            if type(out) is not Tensor:
                raise DtypeError(
                    f"{cls.__name__}.forward: must return Tensors, got {type(out).__name__}"
                )
        if not recording() or not any(context.needs_input_grad):
            return result
        node = JointNode()
        node.op = cls._primitive
        node.parents = tuple([x.node for x in inputs])
        node.g = node.hooks = node.out = node.residual = None
        node.attributes = (context, cls, positions)
        node.fix = tuple([(x.shape, x.dtype) for x in inputs])
        node.forms = tuple([(y.shape, y.dtype, y.dtype in dtypes.inexact) for y in outputs])
        node.born = tick()
        context._settle(inputs, outputs)
        node.saved = tuple([array for array, _ in context._saved])
        recorded = [
            wrap(y.array, make_output(node, i) if node.forms[i][2] else None)
            for i, y in enumerate(outputs)
        ]
        return recorded[0] if type(result) is Tensor else tuple(recorded)


def _rule(node: Any, g: Any, need: Any, context: Context, function: type[Function],
          positions: Any) -> Any:  # fmt: skip
    context._node = node
    try:
        results = function.backward(context, *g)
    finally:
        context._node = None
    results = list(results) if isinstance(results, tuple | list) else [results]
    count = len(context.needs_input_grad)
    if len(results) != count:
        raise GradientError(
            f"{function.__name__}.backward: a gradient or None per argument of forward is needed, "
            f"got {len(results)} for {count}"
        )
    return [results[i] if wanted else None for i, wanted in zip(positions, need, strict=True)]
