"""`vmap`: a function of one sample as a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..backend import is_array, number_types
from ..backend.batching.batched_array import Level, levels_of
from ..backend.batching.levels import way_of
from ..core.batching import bind_batch, unwrap
from ..core.primitive import traced
from ..core.tensor import Tensor, wrap
from ..errors import ArgumentError, DtypeError, ShapeError, UnsupportedArgumentError
from ..ops.arguments import as_tensor, one_axis
from ..runtime import mode
from . import tree

_RANDOMNESS = ("error", "different", "same")


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    axis_size: int | None = None,
    randomness: str = "error",
    chunk_size: int | None = None,
    in_dims: Any = ...,
    out_dims: Any = ...,
) -> Callable[..., Any]:
    """Return ``fun`` for a batch: each call of it runs on all samples at once.

    ``fun`` is written for one sample. Inside it the tensors look like those of one sample, and the
    operations run on the whole batch. Gradients go through, on both sides: `vmap` of ``grad(f)``
    gives the gradients of each sample, ``grad`` of a function that calls `vmap` those of them all.

    What reads a value (``if x > 0``, ``x.item()``, a mask as an index) raises `BatchingError`, and
    so does an in-place change of a tensor that all samples share. A few operations run on one
    sample after the other, with the same result; `batching_of` says which.

    Parameters
    ----------
    fun : callable
        A function of trees (nested tuples, lists and dicts) of tensors.
    in_axes : int, None or tree
        Which axis of each argument is the batch; None: every sample gets the whole argument. A
        tuple says it for each argument, and may be nested as the argument is. Keyword arguments
        are mapped over their first axis.
    out_axes : int, None or tree
        Where the batch stands in each result; None for a result that is the same for every sample.
        A result that doesn't depend on the sample is repeated.
    axis_size : int, optional
        The size of the batch; needed where nothing is mapped over.
    randomness : {'error', 'different', 'same'}
        What random numbers drawn by ``fun`` do: raise, differ from sample to sample, or not.
    chunk_size : int, optional
        How many samples run at once; None runs all of them. Less memory for more time.
    in_dims, out_dims
        PyTorch's names of ``in_axes`` and ``out_axes``.

    Returns
    -------
    callable
        With the arguments of ``fun``, each with its batch axis.

    Raises
    ------
    ShapeError
        The arguments' batches differ in size.
    BatchingError
        ``fun`` does what can't be done for a batch.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tfl.vmap(lambda row: (row * row).sum())(x)
    tensor([ 5., 25.])
    >>> weight = tfl.tensor([1.0, 10.0])
    >>> tfl.vmap(lambda w, row: w @ row, in_axes=(None, 0))(weight, x)
    tensor([21., 43.])
    """
    in_axes = in_axes if in_dims is ... else _renamed("in_", in_axes, in_dims)
    out_axes = out_axes if out_dims is ... else _renamed("out_", out_axes, out_dims)
    if randomness not in _RANDOMNESS:
        raise ArgumentError(f"vmap: randomness must be one of {_RANDOMNESS}, got {randomness!r}")
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ArgumentError(f"vmap: chunk_size must be a positive integer, got {chunk_size!r}")

    @functools.wraps(fun, updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((args, kwargs))
        axes = _axes_of_arguments(in_axes, args, kwargs)
        leaves = [_argument(leaf, axis) for leaf, axis in zip(leaves, axes, strict=True)]
        axes = [
            None if axis is None else one_axis("vmap", axis, leaf.ndim)
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        size = _size_of(leaves, axes, tree.paths(structure), axis_size)
        steps = size if chunk_size is None or size == 0 else chunk_size
        if steps >= size:
            found = _run(fun, structure, leaves, axes, size, randomness, out_axes)
            return tree.unflatten(found[1], found[0])
        parts = []
        for start in range(0, size, steps):
            stop = min(start + steps, size)
            piece = [
                leaf if axis is None else _slice(leaf, axis, start, stop)
                for leaf, axis in zip(leaves, axes, strict=True)
            ]
            parts.append(_run(fun, structure, piece, axes, stop - start, randomness, out_axes))
        return _joined(parts)

    return batched


def _renamed(side: str, axes: Any, dims: Any) -> Any:
    if axes != 0:
        raise UnsupportedArgumentError(
            f"vmap: one of {side}axes and {side}dims is needed, got {axes!r} and {dims!r}"
        )
    return dims


def _slice(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return traced.getitem(x, (*(slice(None),) * axis, slice(start, stop)))


def _joined(parts: list[Any]) -> Any:
    """Return the results of the chunks as one."""
    _, structure, axes = parts[0]
    columns = zip(*[leaves for leaves, _, _ in parts], strict=True)
    leaves = [
        column[0] if axis is None else traced.concat(*column, axis)
        for column, axis in zip(columns, axes, strict=True)
    ]
    return tree.unflatten(structure, leaves)


def _run(fun: Any, structure: Any, leaves: list[Any], axes: list[Any], size: int, randomness: str,
         out_axes: Any) -> tuple[list[Any], Any, list[Any]]:  # fmt: skip
    """Run a function on one batch; return the results' leaves, structure and batch axes."""
    level = Level(size, randomness)
    before = mode.levels
    mode.levels = (*before, level)
    try:
        given = [
            leaf if axis is None else bind_batch(leaf, (level, axis))
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        args, kwargs = tree.unflatten(structure, given)
        result = fun(*args, **kwargs)
        found, out_structure = tree.flatten(result)
        places = _prefix("out_axes", out_axes, result)
        outs, out_places = [], []
        for one, axis in zip(found, places, strict=True):
            if type(one) is not Tensor:
                one = _result(one)
            place = None if axis is None else one_axis("vmap", axis, one.ndim + 1)
            outs.append(_outside(one, level, place))
            out_places.append(place)
    finally:
        mode.levels = before
    return outs, out_structure, out_places


def _outside(x: Tensor, level: Level, axis: int | None) -> Tensor:
    if level in levels_of(x.array):
        return unwrap(x, level, axis)
    if axis is None:
        return x
    shape = x.shape
    x = traced.reshape(x, (*shape[:axis], 1, *shape[axis:]))
    return traced.broadcast_to(x, (*shape[:axis], level.size, *shape[axis:]))


def _result(value: Any) -> Tensor:
    if isinstance(value, number_types) or is_array(value):
        return as_tensor(value)
    raise DtypeError(
        f"vmap: the function must return tensors, in a tree of them, got {type(value).__name__}"
    )


def _argument(value: Any, axis: Any) -> Any:
    if axis is None:
        return value
    if type(value) is Tensor:
        found = value
    elif is_array(value):
        found = wrap(value, None)
    else:
        raise DtypeError(
            f"vmap: only tensors can be mapped over, got {type(value).__name__}; give it in_axes="
            "None"
        )
    if not found.ndim:
        raise ShapeError(
            f"vmap: an argument that is mapped over needs an axis, got shape (); in_axes={axis} "
            "must be None for it"
        )
    return found


def _axes_of_arguments(in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ArgumentError(
            f"vmap: in_axes must say an axis for each argument, got {len(in_axes)} for "
            f"{len(args)} arguments"
        )
    return _prefix("in_axes", in_axes, args) + _prefix("in_axes", 0, kwargs)


def _prefix(name: str, axes: Any, value: Any) -> list[Any]:
    """Return an axis for each leaf of ``value``; one axis stands for a whole subtree."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(tree.flatten(value)[0])
    parts, ours = tree.parts_of(value), tree.parts_of(axes)
    if ours is None:
        raise ArgumentError(
            f"vmap: {name} must hold integers and None, got {type(axes).__name__}"
        )
    if parts is None or set(parts[0]) != set(ours[0]):
        raise ArgumentError(
            f"vmap: {name} must be built as what it is for, got {axes!r} for "
            f"{type(value).__name__}"
        )
    of = dict(zip(*ours, strict=True))
    return [
        axis
        for key, one in zip(*parts, strict=True)
        for axis in _prefix(name, of[key], one)
    ]


def _size_of(leaves: list[Any], axes: list[Any], paths: list[str], axis_size: int | None) -> int:
    sizes = {
        _shown(path): leaf.shape[axis]
        for leaf, axis, path in zip(leaves, axes, paths, strict=True)
        if axis is not None
    }
    if axis_size is not None:
        sizes["axis_size"] = axis_size
    if not sizes:
        raise ArgumentError(
            "vmap: at least one argument must be mapped over, got in_axes=None for all; or say "
            "axis_size"
        )
    if len(set(sizes.values())) > 1:
        raise ShapeError(f"vmap: the sizes of the mapped axes must agree, got sizes {sizes}")
    size: int = next(iter(sizes.values()))
    return size


def _shown(path: str) -> str:
    """Return how an argument is called: ``args[0]['weight']``, ``mask``."""
    if path.startswith("[0]"):
        return "args" + path[3:]
    return path[3:].replace("['", "", 1).replace("']", "", 1)


def batching_of(name: str) -> str:
    """Return how an operation runs inside `vmap`, by the name of its primitive.

    Parameters
    ----------
    name : str
        As in ``tfl.exp.primitive.name``.

    Returns
    -------
    str
        ``"batched"``: at once; ``"parts"``: as the operations that it is made of; ``"loop"``: on
        one sample after the other; ``"refused"``: what it gives depends on values.

    Examples
    --------
    >>> from tensorflowlite.transforms.vmap import batching_of
    >>> batching_of("exp"), batching_of("nonzero")
    ('batched', 'refused')
    """
    return way_of(name)
