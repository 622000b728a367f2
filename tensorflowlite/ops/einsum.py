"""Sums of products of any number of tensors, in Einstein's notation.

An equation is brought into one form first, by recorded operations: a letter that an operand
repeats becomes a diagonal, an axis of length 1 that broadcasts is dropped, a letter that stands in
one operand alone is summed. What is left is the primitive: its gradient by an operand is the same
primitive, with the incoming gradient in the operand's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .arguments import one_axis, several_axes, tensor_list
from .declare import general
from .shaping import _diagonal, _permute, _reshape

Labels = tuple[Any, ...]


def _einsum_rule(k, g, need, xs, labels, out_labels):
    gradients = []
    for i, wanted in enumerate(need):
        others = (*xs[:i], *xs[i + 1 :])
        names = (out_labels, *labels[:i], *labels[i + 1 :])
        gradients.append(k.einsum(g, *others, names, labels[i]) if wanted else None)
    return gradients


_einsum = general(
    "einsum",
    ("xs",),
    _einsum_rule,
    "The sum of products; every letter stands in another operand or in the result too.",
    attributes=("labels", "out_labels"),
    variadic=True,
)


def einsum(equation: str, /, *xs: Tensor) -> Tensor:
    """Sum of products of the operands, as an equation of letters says.

    Parameters
    ----------
    equation : str
        A letter for each axis: ``"ij,jk->ik"``. A letter that stands for several axes takes them
        along together, one that the result lacks is summed over; without ``->`` the result has
        the letters that stand once, in alphabetical order. ``...`` stands for any further axes,
        which broadcast.
    *xs : Tensor
        One for each term of the equation. float16 and bfloat16 are accumulated in float32 and
        rounded once.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        The equation can't be read, or has another number of terms than there are operands.
    ShapeError
        The axes of one letter have different lengths.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tfl.einsum("ij,jk->ik", x, x)
    tensor([[ 7., 10.],
            [15., 22.]])
    >>> tfl.einsum("ii", x)
    tensor(5.)
    """
    tensors = tensor_list("einsum", xs)
    return _run(tensors, _plan(equation, tuple([x.array.shape for x in tensors])))


@lru_cache(maxsize=1024)
def _plan(equation: str, shapes: tuple[tuple[int, ...], ...]) -> Plan:
    terms, result = _read(equation, [len(shape) for shape in shapes])
    return _plan_terms("einsum", shapes, terms, result, equation)


def _read(equation: str, ndims: Sequence[int]) -> tuple[list[Labels], Labels]:
    """Return the labels of each operand and of the result; those of ``...`` are integers."""
    if not isinstance(equation, str):
        raise ArgumentError(f"einsum: the equation must be a string, got {equation!r:.60}")
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    written = left.split(",")
    if len(written) != len(ndims):
        raise ArgumentError(
            f"einsum: the equation must have a term for each operand, got {len(written)} terms in "
            f"{equation!r} and {len(ndims)} operands"
        )
    surplus = 0
    for term, ndim in zip(written, ndims, strict=True):
        letters = len(_letters(term, equation))
        if letters > ndim or (letters < ndim and "..." not in term):
            raise ArgumentError(
                f"einsum: a term must name each axis, got {term!r} in {equation!r} for {ndim} axes"
            )
        surplus = max(surplus, ndim - letters)
    terms = [
        _spread(term, ndim - len(_letters(term, equation)), surplus)
        for term, ndim in zip(written, ndims, strict=True)
    ]
    if arrow:
        wanted = _letters(right, equation)
        if len(set(wanted)) != len(wanted):
            raise ArgumentError(f"einsum: the result must not repeat a letter, got {equation!r}")
        unknown = sorted(set(wanted) - {label for term in terms for label in term})
        if unknown:
            raise ArgumentError(
                f"einsum: each letter of the result must stand in a term, got {unknown[0]!r} in "
                f"{equation!r}"
            )
        return terms, _spread(right, surplus if "..." in right else 0, surplus)
    named = [label for term in terms for label in term if isinstance(label, str)]
    once = sorted([label for label in set(named) if named.count(label) == 1])
    return terms, (*range(surplus), *once)


def _letters(term: str, equation: str) -> str:
    letters = term.replace("...", "", 1)
    if letters and not (letters.isascii() and letters.isalpha()):
        raise ArgumentError(
            "einsum: an equation holds letters, commas, '...' and one '->', got "
            f"{term!r} in {equation!r}"
        )
    return letters


def _spread(term: str, count: int, surplus: int) -> Labels:
    """Return a term's labels; ``...`` becomes the last ``count`` of ``surplus`` numbers."""
    before, dots, after = term.partition("...")
    return (*before, *(range(surplus - count, surplus) if dots else ()), *after)


class Plan(NamedTuple):
    """What is done to each operand before the primitive, and what the primitive is told.

    Of an operand: the shape without axes of length 1 that broadcast, the diagonals to take, the
    axes to sum over; None and () where there is nothing to do.
    """

    operands: tuple[tuple[Any, tuple[tuple[int, int], ...], tuple[int, ...]], ...]
    labels: tuple[tuple[int, ...], ...]
    result: tuple[int, ...]


def _run(xs: Sequence[Tensor], plan: Plan) -> Tensor:
    """Return the sum of products as planned."""
    ready = []
    for x, (shape, diagonals, sums) in zip(xs, plan.operands, strict=True):
        if shape is not None:
            x = _reshape(x, shape)
        for first, second in diagonals:
            x = _diagonal(x, (0, first, second))
        if sums:
            total = traced.sum(x, sums)
            if total.array.dtype != x.array.dtype:  # small integers are summed wide
                total = traced.cast(total, x.array.dtype)
            x = total
        ready.append(x)
    if len(ready) == 1:
        return _permute(ready[0], tuple([plan.labels[0].index(label) for label in plan.result]))
    return _einsum(*ready, plan.labels, plan.result)


def _plan_terms(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    terms: Sequence[Labels],
    result: Labels,
    equation: str,
) -> Plan:
    """Return how to sum the products of operands whose axes are labelled by ``terms``."""
    size = _sizes(name, shapes, terms, equation)
    simple = [_simplify(shape, term, size) for shape, term in zip(shapes, terms, strict=True)]
    count: dict[Any, int] = {}
    for _, _, labels in simple:
        for label in labels:
            count[label] = count.get(label, 0) + 1
    number = {label: i for i, label in enumerate(count)}
    operands, left = [], []
    for shape, diagonals, labels in simple:
        alone = [n for n in labels if count[n] == 1 and n not in result]
        operands.append((shape, diagonals, tuple([labels.index(label) for label in alone])))
        left.append(tuple([number[label] for label in labels if label not in alone]))
    return Plan(tuple(operands), tuple(left), tuple([number[label] for label in result]))


def _sizes(
    name: str, shapes: Sequence[tuple[int, ...]], terms: Sequence[Labels], equation: str
) -> dict[Any, int]:
    """Return the length of each label; lengths of 1 broadcast."""
    size: dict[Any, int] = {}
    for shape, labels in zip(shapes, terms, strict=True):
        for label, length in zip(labels, shape, strict=True):
            known = size.get(label, 1)
            if known == 1 or known == length:
                size[label] = length
            elif length != 1:
                what = f"the axes {label!r}" if isinstance(label, str) else "the axes of '...'"
                raise ShapeError(
                    f"{name}: {what} must have one length, got {known} and {length} in "
                    f"{equation!r} with {' and '.join(map(str, shapes))}"
                )
    return size


def _simplify(
    shape: tuple[int, ...], labels: Labels, size: dict[Any, int]
) -> tuple[Any, tuple[tuple[int, int], ...], Labels]:
    """Return the shape without broadcast axes, the diagonals to take, and the labels after that."""
    kept = [
        (n, label) for n, label in zip(shape, labels, strict=True) if n != 1 or size[label] == 1
    ]
    new_shape = None if len(kept) == len(shape) else tuple([n for n, _ in kept])
    labels = tuple([label for _, label in kept])
    diagonals = []
    while len(set(labels)) != len(labels):
        label = next(label for i, label in enumerate(labels) if label in labels[:i])
        first = labels.index(label)
        second = labels.index(label, first + 1)
        diagonals.append((first, second))
        labels = (*[one for i, one in enumerate(labels) if i not in (first, second)], label)
    return new_shape, tuple(diagonals), labels


def tensordot(x: Tensor, y: Tensor, /, axes: Any = 2) -> Tensor:
    """Return the products of two tensors, summed over pairs of axes.

    Parameters
    ----------
    x, y : Tensor
        Any shapes whose paired axes have equal lengths.
    axes : int or pair of sequences of int
        The number of last axes of ``x`` and first axes of ``y``; or the axes of each.

    Returns
    -------
    Tensor
        The other axes of ``x``, then those of ``y``.

    Raises
    ------
    ShapeError
        Paired axes have different lengths, or the numbers of axes differ.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensordot(tfl.ones((2, 3)), tfl.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    x, y = tensor_list("tensordot", (x, y))
    x_axes, y_axes = _paired_axes(x.array.ndim, y.array.ndim, axes)
    for a, b in zip(x_axes, y_axes, strict=True):
        if x.array.shape[a] != y.array.shape[b]:
            raise ShapeError(
                f"tensordot: paired axes must have equal lengths, got {x.shape} along {a} and "
                f"{y.shape} along {b}: {x.array.shape[a]} != {y.array.shape[b]}"
            )
    x_labels = tuple(range(x.array.ndim))
    partner = dict(zip(y_axes, x_axes, strict=True))
    y_labels = tuple([partner.get(i, x.array.ndim + i) for i in range(y.array.ndim)])
    result = tuple([i for i in x_labels if i not in x_axes])
    result += tuple([label for label in y_labels if label >= x.array.ndim])
    return _einsum(x, y, (x_labels, y_labels), result)


def _paired_axes(x_ndim: int, y_ndim: int, axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if hasattr(axes, "__index__"):
        count = axes.__index__()
        if not 0 <= count <= min(x_ndim, y_ndim):
            raise ShapeError(
                f"tensordot: axes must lie in [0, {min(x_ndim, y_ndim)}], got {count} for "
                f"{x_ndim} and {y_ndim} axes"
            )
        return tuple(range(x_ndim - count, x_ndim)), tuple(range(count))
    first, second = axes
    found = several_axes("tensordot", first, x_ndim), several_axes("tensordot", second, y_ndim)
    if len(found[0]) != len(found[1]):
        raise ShapeError(f"tensordot: as many axes of each are needed, got {first} and {second}")
    return found


def outer(x: Tensor, y: Tensor, /) -> Tensor:
    """Return the product of each element of ``x`` with each of ``y``; both are flattened.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.outer(tfl.tensor([1.0, 2.0]), tfl.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x, y = tensor_list("outer", (x, y))
    return traced.multiply(_reshape(x, (x.array.size, 1)), _reshape(y, (1, y.array.size)))


def vecdot(x: Tensor, y: Tensor, /, axis: int = -1) -> Tensor:
    """Return the inner products along an axis; of complex tensors ``x`` is conjugated.

    Parameters
    ----------
    x, y : Tensor
        The other axes broadcast.
    axis : int
        The axis to sum over.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The axis has different lengths.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.vecdot(tfl.ones((2, 3)), tfl.ones(3))
    tensor([3., 3.])
    """
    x, y = tensor_list("vecdot", (x, y))
    if x.array.ndim == 0 or y.array.ndim == 0:
        raise ShapeError(f"vecdot: each tensor needs an axis, got {x.shape} and {y.shape}")
    ndim = max(x.array.ndim, y.array.ndim)
    place = one_axis("vecdot", axis, ndim) - ndim
    for one in (x, y):
        one_axis("vecdot", place, one.array.ndim)
    if x.array.shape[place] != y.array.shape[place]:
        raise ShapeError(
            f"vecdot: the lengths along axis {axis} must match, got {x.shape} and {y.shape}"
        )
    if x.array.dtype.kind == "c":
        x = traced.conj(x)
    labels = tuple(range(ndim))
    result = tuple([label for label in labels if label != ndim + place])
    terms = [labels[ndim - one.array.ndim :] for one in (x, y)]
    shapes = (x.array.shape, y.array.shape)
    return _run((x, y), _plan_terms("vecdot", shapes, terms, result, "x, y"))
