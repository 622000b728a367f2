"""A quick look at whether anything that a guard compares was exchanged.

Most replays find the very objects of the recording. The look is straight-line code made for what
stood there; where it finds another object, the guard compares values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core.tensor import Tensor
from .jit_variables import DEPTH, fields, has_contents, is_plain

_MOST = 200  # lists and the like; a look at more takes as long as comparing them


def never(values: Any) -> bool:
    """Return that something was exchanged, or may have been."""
    return False


def unchanged(values: Iterable[Any]) -> Callable[[Any], bool]:
    """Return a function of values: whether they, and what they hold, are the objects of now.

    Of what `jit_variables.contents` goes into, only plain values are kept alive: of another object
    the identity may come again when it is gone.

    Examples
    --------
    >>> inner = [1, 2]
    >>> same = unchanged([inner, "a"])
    >>> same([inner, "a"]), same([inner, "b"])
    (True, False)
    >>> inner.append(3)
    >>> same([inner, "a"])
    False
    """
    names: dict[str, Any] = {"fields": fields, "tuple": tuple, "map": map, "id": id}
    lines = ["def same(values):"]

    def look(source: str, found: tuple[Any, ...], depth: int) -> None:
        number = len(names)
        if number > 2 * _MOST:
            return
        names[f"i{number}"] = tuple(map(id, found))
        names[f"p{number}"] = [one for one in found if is_plain(one)]
        lines.append(f"    v{number} = tuple({source})")
        lines.append(f"    if tuple(map(id, v{number})) != i{number}: return False")
        for place, value in enumerate(found if depth else ()):
            kind, inner = type(value), f"v{number}[{place}]"
            if kind is list or kind is tuple:
                look(inner, tuple(value), depth - 1)
            elif kind is dict:
                look(f"{inner}.values()", tuple(value.values()), depth - 1)
            elif kind is not Tensor and has_contents(value):
                look(f"fields({inner})", tuple(fields(value)), 0)

    look("values", tuple(values), DEPTH)
    if len(names) > 2 * _MOST:
        return never
    lines.append("    return True")
    exec(compile("\n".join(lines), "<guard>", "exec"), names)
    same: Callable[[Any], bool] = names["same"]
    return same
