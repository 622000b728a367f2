"""Docstrings of the elementwise families, in NumPy's style, with an example that runs."""

from __future__ import annotations

from typing import Any

_UNARY = """{what}, elementwise.

    Parameters
    ----------
    x : Tensor or array
        Any shape.

    Returns
    -------
    Tensor
        Of the shape of ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.{{name}}(tfl.tensor({given}))
    tensor({result})
    """

_BINARY = """{what}, elementwise: ``{formula}``.

    Parameters
    ----------
    x, y : Tensor, array or number
        Shapes that broadcast; one of them must be a tensor or an array. Numbers are weak: they
        take the dtype of the other.

    Returns
    -------
    Tensor
        Of the broadcast shape and the promoted dtype.

    Raises
    ------
    ShapeError
        The shapes don't broadcast.
    DeviceError
        The tensors are on different devices.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> {example}
    {result}
    """


def _list(values: Any) -> str:
    """Return values as NumPy prints an array of them: all with a point, padded to one width."""
    if isinstance(values, str):
        return values
    texts = [f"{value:g}" if value % 1 else f"{value:g}." for value in values]
    width = max(len(text.partition(".")[2]) for text in texts)
    padded = [text + " " * (width - len(text.partition(".")[2])) for text in texts]
    return f"[{', '.join(padded)}]"


def unary_doc(what: str, given: Any, result: Any) -> str:
    """Return the docstring of ``name(x)``; `declare` fills in the name."""
    return _UNARY.format(what=what, given=given, result=_list(result))


def binary_doc(what: str, formula: str, second: Any, result: Any) -> str:
    """Return the docstring of ``name(x, y)`` for ``x = [1, 2]`` and a number ``second``."""
    if result is None:
        return _BINARY.format(
            what=what,
            formula=formula,
            example="tfl.{name}(tfl.tensor([1]), tfl.tensor([1])).shape",
            result="(1,)",
        )  # fmt: skip
    return _BINARY.format(
        what=what,
        formula=formula,
        example=f"tfl.{{name}}(tfl.tensor([1.0, 2.0]), {second})",
        result=f"tensor({_list(result)})",
    )
