"""The entry points: how a call of an operation becomes an array and, where needed, a node.

There are four forms, each a closure made for one primitive, with no shared ``apply`` between: a
small operation costs less than a microsecond over the array library's own call. What is rare
stands in `recover`: it is reached only when the call raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import (  # fmt: skip
    as_array,
    by_array_type,
    dtypes,
    families,
    host_array,
    is_array,
    ndarray,
    number_types,
)
from ..backend.base import device_constants
from ..errors import DtypeError
from ..runtime import mode, shared, tick
from .messages import explain
from .nodes import JointNode, Node
from .primitive import Primitive, Redirected, make_output, registry, traced
from .tensor import Tensor, new, wrap
from .views import register_view

bfloat16, float32 = dtypes.bfloat16, dtypes.float32
_none: dict[Any, Any] = {}


class _NoParents(dict[int, tuple[None, ...]]):
    def __missing__(self, count: int) -> tuple[None, ...]:
        return self.setdefault(count, (None,) * count)


_NO_PARENTS = _NoParents()
_ready = (float, int)


# -- numbers and arrays as operands ----------------------------------------------------------------
constants: dict[Any, dict[Any, Any]] = {dtype: {} for dtype in dtypes.inexact}
_float32_constants = constants[dtypes.float32]


def constant(value: Any, dtype: Any) -> Any:
    """Return a Python number as a read-only 0-d array, weakly promoted with ``dtype``.

    NumPy handles 0-d arrays faster than numbers, so the common ones are kept. Signed zeros and
    NaN are made anew: as keys they would be mistaken for one another.
    """
    target = dtypes.with_scalar(dtype, value)
    array = as_array(value, target)
    array.flags.writeable = False
    kept = constants.get(dtype)
    if kept is not None and target == dtype and value == value and value != 0:
        if len(kept) > 1024:
            kept.clear()
        kept[value] = array
    return array


def _on_device(array: Any, value: Any, like: Tensor) -> Any:
    """Return a constant where ``like`` lives, kept: a transfer would cost more than its use."""
    key = (repr(value), like.array.dtype, like.device)
    found = device_constants.get(key)
    if found is None:
        if len(device_constants) > 1024:
            device_constants.clear()
        found = by_array_type[type(like.array)].from_host(array, like.device)
        device_constants[key] = found
    return found


def lift(value: Any, like: Tensor) -> Tensor:
    """Return an operand as a tensor: arrays are shared, numbers are weak beside ``like``."""
    kind = type(value)
    if kind is Tensor:
        return value
    if isinstance(value, number_types):
        if kind not in (bool, int, float, complex):
            value = value.item()  # NumPy's scalars are as weak as Python's numbers
            if type(value) not in (bool, int, float, complex):
                value = float(value)
        array = constant(value, like.array.dtype)
        if type(like.array) is not ndarray:
            array = _on_device(array, value, like)
        return wrap(array, None)
    if is_array(value):
        return wrap(value, None)
    if isinstance(value, ndarray):
        return wrap(as_array(value), None)
    hint = "; make a tensor of it with tensor(...)" if kind in (list, tuple) else ""
    raise DtypeError(
        f"tensor: an operand must be a Tensor, an array or a number, got {kind.__qualname__}{hint}"
    )


def of_one_batch(tensors: list[Tensor]) -> list[Tensor]:
    """Return the inputs of an operation; inside vmap all of them members of the same batch."""
    for x in tensors:
        join = by_array_type[type(x.array)].join
        if join is not None:
            return list(join(tensors))
    return tensors


def recover(call: Callable[..., Any], op: Primitive, args: tuple[Any, ...], error: Exception,
            attributes: tuple[Any, ...] = ()) -> Any:  # fmt: skip
    """Finish a call that raised: convert what is no tensor yet, or say what is wrong."""
    if type(error) is Redirected:
        return error.instead(*args, *attributes)
    like = next((x for x in args if type(x) is Tensor), None)
    if like is None:
        like = wrap(as_array(0.0, dtypes.default["f"]), None)
        arrays = [x for x in args if is_array(x)]
        if arrays:
            like = wrap(arrays[0], None)
    lifted = tuple([lift(x, like) for x in args])
    kinds = {type(x.array) for x in lifted}
    before = [x.array for x in lifted]
    if kinds != {ndarray}:
        joining = [k for k in map(by_array_type.__getitem__, kinds) if k.join is not None]
        if joining:  # all operands become members of the same batch, or else recording
            join: Any = max(joining, key=lambda k: k.batches).join
            lifted = join(lifted)
    if any(new_one is not old for new_one, old in zip(lifted, args, strict=True)) or any(
        x.array is not array for x, array in zip(lifted, before, strict=True)
    ):
        return call(*lifted, *attributes)
    raise explain(op, error, [x.array for x in lifted], attributes) from error


# -- one array -------------------------------------------------------------------------------------
def unary_entry(op: Primitive) -> Callable[[Any], Tensor]:
    """Return the entry point of ``op(x)``."""
    implementations = op.implementations
    run = implementations[ndarray]
    saves_input, saves_output = "x" in op.saved_names, "out" in op.saved_names
    differentiable = op.differentiable

    def replace(others: Any) -> None:
        nonlocal run, implementations
        run, implementations = others[ndarray], others

    def call(x: Any, /) -> Tensor:
        try:
            array = x.array
            if type(array) is ndarray:
                out = run(array)
                if type(out) is not ndarray:
                    out = host_array(out)
            else:
                out = implementations[type(array)](array)
        except Exception as error:
            return recover(call, op, (x,), error)
        tensor = new(Tensor)
        tensor.array = out
        tensor.base = None
        parent = x.node
        if parent is None or not differentiable or (shared.special and not mode.grad):
            tensor.node = None
            return tensor
        tensor.node = node = Node()
        node.op = op
        node.p0 = parent
        node.p1 = node.g = node.hooks = None
        node.born = tick()
        if saves_input:
            node.s0 = array
        if saves_output:
            node.out = out
        dtype = array.dtype
        node.fix = None if dtype is out.dtype and dtype is not bfloat16 else (array.shape, dtype)
        return tensor

    op.replacers.append(replace)
    return call


# -- two arrays ------------------------------------------------------------------------------------
def _decline(call: Callable[..., Any], op: Primitive, args: tuple[Any, Any],
             error: Exception) -> Any:  # fmt: skip
    """Finish an operator's call that raised: what is no operand gives NotImplemented."""
    try:
        lift(args[1], args[0])
    except DtypeError:
        return NotImplemented
    return recover(call, op, args, error)


def binary_entry(op: Primitive, *, contracts: Callable[[Any, Any], Tensor] | None = None,
                 recover: Callable[..., Any] = recover
                 ) -> Callable[[Any, Any], Tensor]:  # fmt: skip
    """Return the entry point of ``op(x, y)``; with ``recover=_decline`` an operator's.

    An elementwise operation needs un-broadcasting where the shapes differ; one that contracts the
    last two axes (matmul) where there are more than two. ``contracts`` is what such a one calls for
    inputs of fewer than two axes.
    """
    implementations = op.implementations
    run = implementations[ndarray]
    names = op.saves if op.differentiable else ((), ())
    x_for_x, x_for_y = "x" in names[0], "x" in names[1]
    y_for_x, y_for_y = "y" in names[0], "y" in names[1]
    out_for_x, out_for_y = "out" in names[0], "out" in names[1]
    saves_output = out_for_x or out_for_y
    saves_shapes = any(name.endswith("_shape") for name in op.saved_names)
    differentiable = op.differentiable

    def replace(others: Any) -> None:
        nonlocal run, implementations
        run, implementations = others[ndarray], others

    def call(x: Any, y: Any, /) -> Tensor:
        try:
            x_array = x.array
            kind = type(y)
            if kind is Tensor:
                y_array = y.array
                y_node = y.node
            elif kind in _ready and type(x_array) is ndarray:
                dtype = x_array.dtype
                kept = _float32_constants if dtype is float32 else constants.get(dtype, _none)
                y_array = kept.get(y)
                if y_array is None:
                    y_array = constant(y, dtype)
                y_node = None
            else:
                return recover(call, op, (x, y), DtypeError("no operand"))
            if contracts is not None and (x_array.ndim < 2 or y_array.ndim < 2):
                return contracts(x, y)
            if type(x_array) is ndarray and type(y_array) is ndarray:
                out = run(x_array, y_array)
                if type(out) is not ndarray:
                    out = host_array(out)
            elif type(x_array) is type(y_array):
                out = implementations[type(x_array)](x_array, y_array)
            else:
                raise DtypeError("devices differ")
        except Exception as error:
            return recover(call, op, (x, y), error)
        tensor = new(Tensor)
        tensor.array = out
        tensor.base = None
        x_node = x.node
        if (
            (x_node is None and y_node is None)
            or not differentiable
            or (shared.special and not mode.grad)
        ):
            tensor.node = None
            return tensor
        tensor.node = node = Node()
        node.op = op
        node.p0 = x_node
        node.p1 = y_node
        node.g = node.hooks = None
        node.born = tick()
        if x_node is not None:
            if x_for_x or (x_for_y and y_node is not None):
                node.s0 = x_array
            if y_for_x or (y_for_y and y_node is not None):
                node.s1 = y_array
        else:
            if x_for_y:
                node.s0 = x_array
            if y_for_y:
                node.s1 = y_array
        if saves_output and (
            (out_for_x and x_node is not None) or (out_for_y and y_node is not None)
        ):
            node.out = out
        if saves_shapes:
            node.attributes = (x_array.shape, y_array.shape)
        x_dtype = x_array.dtype
        if (
            x_dtype is y_array.dtype
            and (
                x_array.ndim == 2 == y_array.ndim if contracts is not None
                else kind is not Tensor or x_array.shape == y_array.shape
            )
            and x_dtype is not bfloat16
        ):
            node.fix = None
        else:
            node.fix = (x_array.shape, x_dtype, y_array.shape, y_array.dtype)
        return tensor

    op.replacers.append(replace)
    return call


# -- one array and one attribute -------------------------------------------------------------------
def attr1_entry(op: Primitive) -> Callable[[Any, Any], Tensor]:
    """Return the entry point of ``op(x, attribute)``; views are registered with their root."""
    implementations = op.implementations
    run = implementations[ndarray]
    saves_input, saves_output = "x" in op.saved_names, "out" in op.saved_names
    saves_shape = "x_shape" in op.saved_names
    view, differentiable = op.view, op.differentiable

    def replace(others: Any) -> None:
        nonlocal run, implementations
        run, implementations = others[ndarray], others

    def call(x: Any, attribute: Any, /) -> Tensor:
        try:
            array = x.array
            if type(array) is ndarray:
                out = run(array, attribute)
                if type(out) is not ndarray:
                    out = host_array(out)
            else:
                out = implementations[type(array)](array, attribute)
        except Exception as error:
            return recover(call, op, (x,), error, (attribute,))
        tensor = new(Tensor)
        tensor.array = out
        tensor.base = None
        parent = x.node
        if parent is None or not differentiable or (shared.special and not mode.grad):
            tensor.node = None
        else:
            tensor.node = node = Node()
            node.op = op
            node.p0 = parent
            node.p1 = node.g = node.hooks = node.fix = None
            node.born = tick()
            node.attributes = attribute
            if saves_input:
                node.s0 = array
            if saves_shape:
                node.s1 = array.shape
            if saves_output:
                node.out = out
            if not view:  # a view's gradient has its dtype already
                dtype = array.dtype
                if dtype is not out.dtype or dtype is bfloat16:
                    node.fix = (array.shape, dtype)
        if view and out.base is not None:
            register_view(x, tensor, op, attribute)
        return tensor

    op.replacers.append(replace)
    return call


# -- everything else -------------------------------------------------------------------------------
def general_entry(op: Primitive) -> Callable[..., Any]:
    """Return the entry point of ``op(*arrays, *attributes)``."""
    return variadic_entry(op) if op.variadic else fixed_entry(op)


# One closure per number of inputs and attributes, without a loop or a slice: those cost 2 µs.
_FIXED = """
def make(op, implementations, plans, plan):
    def call({inputs}, {attributes}/):
        try:
            {arrays} = {input_arrays}
            kind = type(a0)
            if {other_kinds}:
                raise DtypeError("devices differ")
            out = implementations[kind]({array_names}, {attributes})
        except Exception as error:
            return recover(call, op, ({inputs},), error, ({attributes}))
        {take_residual}
        {nodes} = {input_nodes}
        if ({no_node}) or {unrecorded}:
            {return_unrecorded}
        node = JointNode()
        node.op = op
        node.parents = ({nodes},)
        node.g = node.hooks = None
        node.attributes = ({attributes})
        node.fix = ({forms},)
        keep, keep_out, keep_residual = {plan}
        {keeps}, = keep
        node.saved = ({saved},)
        node.out = out if keep_out else None
        node.residual = {residual}
        node.forms = {output_forms}
        node.born = tick()
        {return_recorded}
    def replace(others):
        nonlocal implementations
        implementations = others
    op.replacers.append(replace)
    return call
"""


def _fixed_source(count: int, attributes: int, op: Primitive) -> str:
    """Return the source of an entry point of ``count`` inputs and so many attributes."""
    numbers = range(count)
    several = op.outputs != 1

    def each(text: str, separator: str = ", ") -> str:
        return separator.join(text.format(i) for i in numbers)

    take = ["out, residual = out"] if op.keeps_residual else []
    if not several:
        take += ["if kind is ndarray and type(out) is not ndarray:", "    out = as_array(out)"]
    key = "({},)".format(each("n{} is not None"))
    return _FIXED.format(
        inputs=each("x{}"),
        attributes="".join(f"t{i}, " for i in range(attributes)),
        arrays=each("a{}"),
        input_arrays=each("x{}.array"),
        other_kinds=" or ".join(f"type(a{i}) is not kind" for i in numbers[1:]) or "False",
        array_names=each("a{}"),
        take_residual="\n        ".join(take) or "pass",
        nodes=each("n{}"),
        input_nodes=each("x{}.node"),
        no_node=each("n{} is None", " and "),
        unrecorded="(shared.special and not mode.grad)" if op.differentiable else "True",
        return_unrecorded="return separate(out, None)" if several else "return wrap(out, None)",
        forms=each("(a{0}.shape, a{0}.dtype)"),
        plan="plan" if op.joint else f"plans.get({key}) or op.plan({key})",
        keeps=each("k{}"),
        saved=each("a{0} if k{0} else None"),
        residual="residual if keep_residual else None" if op.keeps_residual else "None",
        output_forms="output_forms(out)" if several else "None",
        return_recorded="return separate(out, node)" if several else "return wrap(out, node)",
    )


_makers_of_fixed: dict[str, Callable[..., Any]] = {}


def fixed_entry(op: Primitive) -> Callable[..., Any]:
    """Return the entry point of an operation with a fixed number of inputs."""
    source = _fixed_source(len(op.inputs), len(op.attributes), op)
    make = _makers_of_fixed.get(source)
    if make is None:
        names: dict[str, Any] = {}
        exec(source, globals(), names)
        make = _makers_of_fixed[source] = names["make"]
    plan = op.plan(len(op.inputs)) if op.joint else None
    return make(op, op.implementations, op.plans, plan)


def separate(out: Any, node: JointNode | None) -> tuple[Tensor, ...]:
    """Return the several outputs of an operation as tensors."""
    return tuple([
        wrap(a, make_output(node, i) if node is not None and node.forms[i][2] else None)
        for i, a in enumerate(out)
    ])  # fmt: skip


def output_forms(out: Any) -> tuple[tuple[Any, Any, bool], ...]:
    """Return shape and dtype of each output, and whether it can carry a gradient."""
    return tuple([(a.shape, a.dtype, a.dtype in dtypes.inexact) for a in out])


def variadic_entry(op: Primitive) -> Callable[..., Any]:
    """Return the entry point of an operation with any number of inputs."""
    implementations = op.implementations
    attribute_count = len(op.attributes)
    several, keeps_residual = op.outputs != 1, op.keeps_residual
    records = op.differentiable

    def replace(others: Any) -> None:
        nonlocal implementations
        implementations = others

    def call(*args: Any) -> Any:
        split = len(args) - attribute_count
        xs, attributes = args[:split], args[split:]
        try:
            arrays = [x.array for x in xs]
            kind = type(arrays[0])
            for array in arrays:
                if type(array) is not kind:
                    raise DtypeError("devices differ")
            out = implementations[kind](*arrays, *attributes)
        except Exception as error:
            return recover(call, op, xs, error, attributes)
        residual = node = None
        if keeps_residual:
            out, residual = out
        if kind is ndarray and not several and type(out) is not ndarray:
            out = as_array(out)
        if records and not (shared.special and not mode.grad):
            parents = tuple([x.node for x in xs])
            if parents != _NO_PARENTS[len(parents)]:
                node = joint_node(op, parents, arrays, attributes, out, residual)
        return separate(out, node) if several else wrap(out, node)

    op.replacers.append(replace)
    return call


def joint_node(op: Primitive, parents: tuple[Any, ...], arrays: Any, attributes: Any, out: Any,
               residual: Any = None) -> JointNode:  # fmt: skip
    """Return the node of a general operation, with what its rules need saved."""
    node = JointNode()
    node.op = op
    node.parents = parents
    node.g = node.hooks = None
    node.attributes = attributes
    node.fix = tuple([(a.shape, a.dtype) for a in arrays])
    need = len(parents) if op.joint else tuple([parent is not None for parent in parents])
    keeps = op.plans.get(need)
    if keeps is None:
        keeps = op.plan(need)
    inputs, keeps_out, keeps_residual = keeps
    node.saved = tuple([a if keep else None for a, keep in zip(arrays, inputs, strict=True)])
    node.out = out if keeps_out else None
    node.residual = residual if keeps_residual else None
    node.forms = None if op.outputs == 1 else output_forms(out)
    node.born = tick()
    return node


_makers: dict[str, Callable[..., Any]] = {
    "unary": unary_entry,
    "binary": binary_entry,
    "attr1": attr1_entry,
    "general": general_entry,
}


def declare(
    name: str,
    inputs: Any,
    rules: Any,
    *,
    form: str = "general",
    doc: str | None = None,
    entry: dict[str, Any] | None = None,
    **declaration: Any,
) -> Any:
    """Declare a primitive and return its entry point, known to traced rules by the same name."""
    op = Primitive(name, inputs, rules, form=form, **declaration)
    if form == "unary" or form == "binary":
        families[name] = "elementwise"
    elif op.attributes == ("axis",) and form == "attr1":
        families[name] = "axis"
    call = _makers[form](op, **(entry or {}))
    call.__name__ = call.__qualname__ = name
    call.__module__ = "tensorflowlite"
    call.__doc__ = doc.replace("{name}", name) if doc else doc
    call.primitive, call.options = op, entry or {}
    if form == "binary":
        call.operator = binary_entry(op, recover=_decline, **(entry or {}))
    setattr(traced, name, call)
    return call


def recorded_again(x: Tensor) -> Tensor:
    """Return a tensor of the same array, with a node of its own: freeing one leaves the other.

    The operation must be one of one input that saves nothing.
    """
    node = x.node
    if type(node) is not Node:
        return x
    other = Node()
    other.op, other.p0, other.p1 = node.op, node.p0, node.p1
    other.fix, other.attributes = node.fix, node.attributes
    other.g = other.hooks = None
    other.born = tick()
    return wrap(x.array, other)


def remade(call: Any) -> Callable[..., Any]:
    """Return another entry point of the same operation, which isn't redirected."""
    op = call.primitive
    made = _makers[op.form](op, **call.options)
    replace = op.replacers.pop()
    op.replacers.append(lambda others: replace(op.implementations))
    return made


def primitive(name: str) -> Primitive:
    """Return a declared primitive by name."""
    return registry[name]
