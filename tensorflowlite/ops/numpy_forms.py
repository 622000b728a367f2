"""Our operations with the parameters of NumPy's functions, where more than names differ."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..backend import dtypes
from ..core.entry import lift
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, UnsupportedArgumentError
from . import (
    casting,
    creation,
    cumulative,
    elementwise,
    indexing,
    joining,
    mutating,
    reduction,
    shaping,
    sorting,
    tensor_methods,
)
from . import einsum as products
from .numpy_ufuncs import deliver, reduce


def _targets(out: Any) -> tuple[Any, ...]:
    return () if out is None else (out,)


def _layout(name: str, order: Any) -> None:
    if order not in ("C", "K", "A", None):
        raise UnsupportedArgumentError(
            f"{name}: order must be 'C' on tensors, got {order!r}; transpose before and after"
        )


# -- reductions ------------------------------------------------------------------------------------
def _reducing(called: str, function: Any) -> Any:
    """Return ``np.sum`` and the like: the reduction of a universal function over all axes."""

    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
             initial: Any = None, where: Any = True) -> Any:  # fmt: skip
        options = {"axis": axis, "dtype": dtype, "keepdims": keepdims, "initial": initial}
        return reduce(f"np.{call.__name__}", called, function, (creation.asarray(a),),
                      _targets(out), {**options, "where": where})  # fmt: skip

    return call


def _without_dtype(called: str, function: Any) -> Any:
    inner = _reducing(called, function)

    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False,
             initial: Any = None, where: Any = True) -> Any:  # fmt: skip
        return inner(a, axis, None, out, keepdims, initial, where)

    return call


def _truth(called: str, function: Any) -> Any:
    inner = _reducing(called, function)

    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *,
             where: Any = True) -> Any:  # fmt: skip
        return inner(a, axis, None, out, keepdims, None, where)

    return call


sum, prod = _reducing("add", elementwise.add), _reducing("multiply", elementwise.multiply)
max = amax = _without_dtype("maximum", elementwise.maximum)
min = amin = _without_dtype("minimum", elementwise.minimum)
all = _truth("logical_and", elementwise.logical_and)
any = _truth("logical_or", elementwise.logical_or)


def _count(a: Tensor, axis: Any, where: Any) -> Any:
    mask = shaping.broadcast_to(creation.asarray(where, device=a.device), a.shape)
    kind = dtypes.real_of(a.dtype) if dtypes.is_inexact(a.dtype) else dtypes.float64
    return reduction.sum(casting.astype(mask, kind), axis=axis, keepdims=True)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *,
         where: Any = True) -> Any:  # fmt: skip
    """`np.mean`."""
    a = creation.asarray(a) if dtype is None else casting.astype(creation.asarray(a), dtype)
    if where is True:
        result = reduction.mean(a, axis=axis, keepdims=bool(keepdims))
    else:
        result = _masked_mean(a, axis, where)
        result = result if keepdims else shaping.squeeze(result, axis=_axes(a, axis))
    return deliver("np.mean", result, _targets(out))


def _axes(a: Tensor, axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(a.ndim))
    return tuple(axis) if isinstance(axis, tuple | list) else (axis,)


def _masked_mean(a: Tensor, axis: Any, where: Any) -> Tensor:
    kept = elementwise.where(where, a, creation.zeros_like(a))
    return reduction.sum(kept, axis=axis, keepdims=True) / _count(a, axis, where)


def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
        keepdims: Any = False, *, where: Any = True, mean: Any = None, correction: Any = None
        ) -> Any:  # fmt: skip
    """`np.var`."""
    return deliver("np.var", _spread(a, axis, dtype, ddof, keepdims, where, mean, correction),
                   _targets(out))  # fmt: skip


def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
        keepdims: Any = False, *, where: Any = True, mean: Any = None, correction: Any = None
        ) -> Any:  # fmt: skip
    """`np.std`."""
    found = _spread(a, axis, dtype, ddof, keepdims, where, mean, correction)
    return deliver("np.std", elementwise.sqrt(found), _targets(out))


def _spread(a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, where: Any, mean: Any,
            correction: Any) -> Tensor:  # fmt: skip
    a = creation.asarray(a) if dtype is None else casting.astype(creation.asarray(a), dtype)
    less = ddof if correction is None else correction
    if where is True and mean is None:
        return reduction.var(a, axis=axis, correction=less, keepdims=bool(keepdims))
    middle = _masked_mean(a, axis, where) if mean is None else mean
    away = elementwise.where(where, a - middle, creation.zeros_like(a))
    square = elementwise.real(away * elementwise.conj(away))
    result = reduction.sum(square, axis=axis, keepdims=True) / (_count(a, axis, where) - less)
    return result if keepdims else shaping.squeeze(result, axis=_axes(a, axis))


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """`np.ptp`."""
    result = max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims)
    return deliver("np.ptp", result, _targets(out))


# -- what an array is ------------------------------------------------------------------------------
def shape(a: Any) -> tuple[int, ...]:
    """`np.shape`."""
    return creation.asarray(a).shape


def ndim(a: Any) -> int:
    """`np.ndim`."""
    return creation.asarray(a).ndim


def size(a: Any, axis: Any = None) -> int:
    """`np.size`."""
    a = creation.asarray(a)
    if axis is None:
        return a.size
    found = 1
    for one in _axes(a, axis):
        found *= a.shape[one]
    return found


def iscomplexobj(x: Any) -> bool:
    """`np.iscomplexobj`."""
    return creation.asarray(x).dtype.kind == "c"


def isrealobj(x: Any) -> bool:
    """`np.isrealobj`."""
    return not iscomplexobj(x)


def _like(fill: Any) -> Any:
    def call(a: Any, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None, *,
             device: Any = None) -> Tensor:  # fmt: skip
        if shape is None:
            return fill(a, dtype=dtype, device=device)
        kind = a.dtype if dtype is None else dtype
        return fill(creation.empty(shape, dtype=kind, device=device or a.device))

    return call


empty_like, zeros_like = _like(creation.empty_like), _like(creation.zeros_like)
ones_like = _like(creation.ones_like)


def full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: Any = True,
              shape: Any = None, *, device: Any = None) -> Tensor:  # fmt: skip
    """`np.full_like`."""
    made = empty_like(a, dtype, shape=shape, device=device)
    made[...] = lift(fill_value, made)
    return made


# -- copies and casts ------------------------------------------------------------------------------
def copy(a: Any, order: Any = "K", subok: Any = False) -> Tensor:
    """`np.copy`."""
    return casting.clone(creation.asarray(a))


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """`np.astype`."""
    return casting.astype(x, dtype, copy=copy)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """`np.copyto`: into a tensor, recorded."""
    source = creation.asarray(src)
    deliver("np.copyto", source, (dst,), where)


def putmask(a: Any, mask: Any, values: Any) -> None:
    """`np.putmask`; ``values`` must broadcast, since NumPy's repetition isn't recorded."""
    deliver("np.putmask", creation.asarray(values), (a,), mask)


def place(arr: Any, mask: Any, vals: Any) -> None:
    """`np.place`."""
    _must_be_tensor("np.place", arr)
    count: Any = reduction.count_nonzero(creation.asarray(mask)).item()
    arr[creation.asarray(mask)] = _repeated(creation.asarray(vals), count)


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """`np.put`."""
    _must_be_tensor("np.put", a)
    _only("np.put", "mode", mode, "raise")
    places = shaping.ravel(creation.asarray(ind))
    values = _repeated(creation.asarray(v), places.size)
    flat = casting.clone(shaping.ravel(a))
    flat[places] = values
    mutating.copy_(a, shaping.reshape(flat, a.shape))


def _repeated(values: Tensor, count: int) -> Tensor:
    """Return as many values as asked for, from the start again where they end."""
    values = shaping.ravel(values)
    times = -(-count // builtin_max(values.size, 1))
    return joining.tile(values, (times,))[:count]


def builtin_max(x: int, y: int) -> int:
    """The larger of two integers; `max` is NumPy's here."""
    return x if x > y else y


def _must_be_tensor(name: str, a: Any) -> None:
    if not isinstance(a, Tensor):
        raise DtypeError(f"{name}: what is changed must be a Tensor, got {type(a).__name__}")


def _only(name: str, key: str, value: Any, taken: Any) -> None:
    if value != taken:
        raise UnsupportedArgumentError(f"{name}: {key} must be {taken!r} on tensors, got {value!r}")


# -- shapes ----------------------------------------------------------------------------------------
def reshape(a: Any, /, shape: Any = None, order: Any = "C", *, newshape: Any = None,
            copy: Any = None) -> Tensor:  # fmt: skip
    """`np.reshape`."""
    _layout("np.reshape", order)
    return shaping.reshape(creation.asarray(a), newshape if shape is None else shape, copy=copy)


def ravel(a: Any, order: Any = "C") -> Tensor:
    """`np.ravel`."""
    _layout("np.ravel", order)
    return shaping.ravel(creation.asarray(a))


def transpose(a: Any, axes: Any = None) -> Tensor:
    """`np.transpose`."""
    a = creation.asarray(a)
    if axes is None:
        return tensor_methods.reversed_axes(a)
    return shaping.permute_dims(a, tuple(operator.index(one) for one in axes))


def squeeze(a: Any, axis: Any = None) -> Tensor:
    """`np.squeeze`."""
    return shaping.squeeze(creation.asarray(a), axis=axis)


def diag(v: Any, k: int = 0) -> Tensor:
    """`np.diag`."""
    return shaping.diag(creation.asarray(v), k)


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Tensor, ...]:
    """`np.broadcast_arrays`."""
    return tuple(shaping.broadcast_arrays(*[creation.asarray(one) for one in args]))


def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Tensor:
    """`np.broadcast_to`."""
    return shaping.broadcast_to(array, shape)


def concatenate(arrays: Sequence[Any], /, axis: Any = 0, out: Any = None, *, dtype: Any = None,
                casting: str = "same_kind") -> Any:  # fmt: skip
    """`np.concatenate`."""
    result = joining.concat(list(arrays), axis=axis)
    if dtype is not None:
        result = result.astype(dtype)
    return deliver("np.concatenate", result, _targets(out))


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """`np.array_split`."""
    ary = creation.asarray(ary)
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        short, longer = divmod(ary.shape[axis], sections)
        lengths = [short + 1] * longer + [short] * (sections - longer)
        ends = [0]
        for length in lengths:
            ends.append(ends[-1] + length)
        indices_or_sections = ends[1:-1]
    return list(joining.split(ary, indices_or_sections, axis=axis))


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """`np.split`."""
    return list(joining.split(creation.asarray(ary), indices_or_sections, axis=axis))


def hsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """`np.hsplit`."""
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """`np.vsplit`."""
    return split(ary, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """`np.dsplit`."""
    return split(ary, indices_or_sections, 2)


def tile(A: Any, reps: Any) -> Tensor:
    """`np.tile`."""
    return joining.tile(creation.asarray(A), reps)


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """`np.meshgrid`."""
    _only("np.meshgrid", "sparse", sparse, False)
    return tuple(creation.meshgrid(*[creation.asarray(x) for x in xi], indexing=indexing))


# -- choosing --------------------------------------------------------------------------------------
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """`np.where`."""
    if x is None and y is None:
        return indexing.nonzero(condition)
    return elementwise.where(condition, x, y)


def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None,
         max: Any = None, **options: Any) -> Any:  # fmt: skip
    """`np.clip`."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    result = elementwise.clip(creation.asarray(a), low, high)
    return deliver("np.clip", result, _targets(out), options.get("where", True))


def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """`np.take`."""
    a, indices = creation.asarray(a), creation.asarray(indices)
    if mode != "raise":
        length = a.size if axis is None else a.shape[axis]
        low, high = 0, length - 1
        indices = indices % length if mode == "wrap" else elementwise.clip(indices, low, high)
    result = indexing.take(shaping.ravel(a), shaping.ravel(indices), axis=0) if axis is None else (
        indexing.take(a, shaping.ravel(indices), axis=axis)
    )
    if indices.ndim != 1:
        place = 0 if axis is None else operator.index(axis) % a.ndim
        lengths = result.shape
        result = shaping.reshape(result, lengths[:place] + indices.shape + lengths[place + 1 :])
    return deliver("np.take", result, _targets(out))


def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Tensor:
    """`np.take_along_axis`."""
    if axis is None:
        arr, axis = shaping.ravel(arr), 0
    return indexing.take_along_axis(arr, creation.asarray(indices), axis=axis)


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
         kind: Any = None) -> Tensor:  # fmt: skip
    """`np.isin`."""
    from . import sets

    like = element if isinstance(element, Tensor) else test_elements
    element = creation.asarray(element, device=like.device)
    return sets.isin(element, creation.asarray(test_elements, device=like.device), invert=invert)


def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
         ) -> Tensor:  # fmt: skip
    """`np.sort`."""
    a = creation.asarray(a)
    return sorting.sort(shaping.ravel(a), axis=0) if axis is None else sorting.sort(a, axis=axis)


def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
            ) -> Tensor:  # fmt: skip
    """`np.argsort`."""
    a = creation.asarray(a)
    if axis is None:
        return sorting.argsort(shaping.ravel(a), axis=0)
    return sorting.argsort(a, axis=axis)


def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """`np.round`."""
    return deliver("np.round", tensor_methods.round(creation.asarray(a), decimals), _targets(out))


around = round


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """`np.cumsum`."""
    result = cumulative.cumsum(creation.asarray(a), axis=axis, dtype=dtype)
    return deliver("np.cumsum", result, _targets(out))


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """`np.cumprod`."""
    result = cumulative.cumprod(creation.asarray(a), axis=axis, dtype=dtype)
    return deliver("np.cumprod", result, _targets(out))


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """`np.diff`; numbers before and behind stand for a whole slice."""
    a = creation.asarray(a)
    edge = list(a.shape)
    edge[axis] = 1
    ends = [
        shaping.broadcast_to(lift(one, a), tuple(edge))
        if one is not None and shape(one) == ()
        else one
        for one in (prepend, append)
    ]
    return cumulative.diff(a, n=n, axis=axis, prepend=ends[0], append=ends[1])


def polyval(p: Any, x: Any) -> Tensor:
    """`np.polyval`: the highest power first, by Horner's rule."""
    like = p if isinstance(p, Tensor) else x
    p, x = lift(creation.asarray(p, device=like.device), like), lift(x, like)
    total = creation.zeros_like(x)
    for coefficient in joining.unstack(p):
        total = total * x + coefficient
    return total


def modf(x: Any) -> tuple[Tensor, Tensor]:
    """`np.modf`: the fractional and the whole part."""
    whole = elementwise.trunc(x)
    return elementwise.copysign(x - whole, x), whole


# -- products --------------------------------------------------------------------------------------
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Any:
    """`np.einsum`, with its subscripts as a string."""
    if not isinstance(operands[0], str):
        raise UnsupportedArgumentError(
            "np.einsum: the subscripts must be a string on tensors, got lists; write them as "
            "'ij,jk->ik'"
        )
    result = products.einsum(operands[0], *[creation.asarray(one) for one in operands[1:]])
    return deliver("np.einsum", result, _targets(out))


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """`np.dot`."""
    a, b = creation.asarray(a), creation.asarray(b)
    if a.ndim == 0 or b.ndim == 0:
        result = a * b
    else:
        result = products.tensordot(a, b, axes=((-1,), (-2 if b.ndim > 1 else -1,)))
    return deliver("np.dot", result, _targets(out))


def inner(a: Any, b: Any, /) -> Tensor:
    """`np.inner`."""
    a, b = creation.asarray(a), creation.asarray(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return products.tensordot(a, b, axes=((-1,), (-1,)))


def vdot(a: Any, b: Any, /) -> Tensor:
    """`np.vdot`: the first operand conjugated, both flattened."""
    a, b = creation.asarray(a), creation.asarray(b)
    return products.vecdot(shaping.ravel(a), shaping.ravel(b))


def matvec(a: Any, b: Any) -> Tensor:
    """`np.matvec`: stacks of matrices times vectors."""
    return (a @ lift(b, a)[..., None])[..., 0]


def vecmat(a: Any, b: Any) -> Tensor:
    """`np.vecmat`: vectors, conjugated, times stacks of matrices."""
    return (elementwise.conj(a)[..., None, :] @ lift(b, a))[..., 0, :]


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """`np.tensordot`."""
    return products.tensordot(creation.asarray(a), creation.asarray(b), axes=axes)


# -- numbers in a range ----------------------------------------------------------------------------
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
             dtype: Any = None, axis: int = 0, *, device: Any = None) -> Any:  # fmt: skip
    """`np.linspace` between tensors."""
    like = start if isinstance(start, Tensor) else stop
    start, stop = shaping.broadcast_arrays(lift(start, like), lift(stop, like))
    if not dtypes.is_inexact(start.dtype):
        start, stop = casting.astype(start, dtypes.float64), casting.astype(stop, dtypes.float64)
    if num < 0:
        raise ArgumentError(f"np.linspace: num must be at least 0, got {num}")
    parts = builtin_max(num - 1 if endpoint else num, 1)
    share = creation.arange(num, dtype=dtypes.real_of(start.dtype), device=start.device) / parts
    share = shaping.reshape(share, (num,) + (1,) * start.ndim)
    result = start * (1 - share) + stop * share
    if axis:
        result = shaping.moveaxis(result, 0, axis)
    if dtype is not None:
        result = casting.astype(result, dtype)
    return (result, (stop - start) / parts) if retstep else result


def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0,
             dtype: Any = None, axis: int = 0) -> Tensor:  # fmt: skip
    """`np.logspace` between tensors."""
    result = elementwise.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else casting.astype(result, dtype)


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None,
              axis: int = 0) -> Tensor:  # fmt: skip
    """`np.geomspace` between positive tensors."""
    like = start if isinstance(start, Tensor) else stop
    start, stop = elementwise.log(lift(start, like)), elementwise.log(lift(stop, like))
    result = elementwise.exp(linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else casting.astype(result, dtype)


# -- decompositions --------------------------------------------------------------------------------
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
        ) -> Any:  # fmt: skip
    """`np.linalg.svd`."""
    from . import linalg_decompositions as found

    _only("np.linalg.svd", "hermitian", hermitian, False)
    return found.svd(a, full_matrices=full_matrices) if compute_uv else found.svdvals(a)
