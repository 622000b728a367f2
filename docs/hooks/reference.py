"""The pages of the API reference: directives for mkdocstrings, written from the running package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import surface
from griffe._internal.docstrings import numpy as docstrings
from surface import Name

import tensorflowlite as tfl

# Of an object under several names the first place in this order has the text.
FIRST = ("", *surface.PLACES)


_parsed = docstrings.parse_docstring_annotation


def _type_as_written(annotation: str, *others: Any, **more: Any) -> Any:
    """Leave a type as it is: "Tensor, shape (..., m, k) or (k,)" would be read as a tuple."""
    if re.fullmatch(r"[\w.]+", annotation):
        return _parsed(annotation, *others, **more)
    return annotation


docstrings.parse_docstring_annotation = _type_as_written


def written() -> dict[str, str]:
    """The text of each page by its path under ``docs/``."""
    homes: dict[int, Name] = {}
    for place in FIRST:
        for name in surface.names_of(place):
            if callable(name.value):
                homes.setdefault(id(name.value), name)
    for home in homes.values():
        if isinstance(home.value, FunctionType) and home.place != "einops":
            _locate(home)
    found = {"reference/tensor.md": _tensor(homes)}
    listed = ["- [tfl.Tensor](tensor.md)"]
    for page, (title, sections) in surface.pages().items():
        found[f"reference/{page}.md"] = "\n".join(_page(title, sections, homes))
        count = sum(len(names) for _, names in sections)
        listed.append(f"- [{title}]({page}.md): {count} names")
    found["reference/index.md"] = (
        "# Reference\n\nEvery public name, from the docstrings of the installed package; their "
        "examples run in the tests. `tfl` stands for `import tensorflowlite as tfl`.\n\n"
        + "\n".join(listed) + "\n"
    )  # fmt: skip
    return found


def _locate(home: Name) -> None:
    """Tell where an object is found that names another module: what declarations make does."""
    named: Any = sys.modules.get(home.value.__module__)
    for part in home.value.__qualname__.split("."):
        named = getattr(named, part, None)
    if named is not home.value:
        home.value.__module__ = home.path.rpartition(".")[0]
        home.value.__name__ = home.value.__qualname__ = home.name


def _page(
    title: str, sections: list[tuple[str, list[Name]]], homes: dict[int, Name]
) -> Iterator[str]:
    yield f"# {title}\n"
    for heading, names in sections:
        if heading:
            yield f"## {heading}\n"
        others = []
        for name in names:
            foreign = str(getattr(name.value, "__module__", "")).partition(".")[0]
            if foreign == "einops":
                others.append(f"| `{name.spoken}` | einops' own function, which is recorded |")
            elif not callable(name.value):
                others.append(f"| `{name.spoken}` | {_value(name)} |")
            elif homes[id(name.value)] != name:
                home = homes[id(name.value)]
                others.append(f"| `{name.spoken}` | [`{home.spoken}`][{home.path}] |")
            else:
                yield _directive(name, 3 if heading else 2)
        if others:
            yield "\n".join(["| name | is |", "|---|---|", *others, ""])


def _value(name: Name) -> str:
    if name.value is None:
        return "`None`: a new axis in an index"
    if isinstance(name.value, float):
        return f"`{name.value!r}`"
    return f"the dtype `{name.value}`"


def _directive(name: Name, level: int) -> str:
    """One object; of a class also its methods and properties, below it."""
    identifier, anchor = name.path, []
    if isinstance(sys.modules.get(name.path), ModuleType):
        # A file has the name too, and would be taken for it: the function by its own place.
        identifier = f"{name.value.__module__}.{name.value.__qualname__}"
        anchor = [f"[](){{#{name.path}}}\n"]
    lines = [
        *anchor,
        f"::: {identifier}",
        "    options:",
        f"      heading: {name.spoken}",
        f"      toc_label: {name.name}",
        f"      heading_level: {level}",
    ]
    if isinstance(name.value, type):
        members = [one for one in surface.members_of(name.value) if _documented(name.value, one)]
        lines += [f"      members: {members}", f"      inherited_members: {members}"]
    return "\n".join(lines) + "\n"


def _documented(owner: type, member: str) -> bool:
    """Whether a member says more than the method that it overrides, or is new."""
    return bool(getattr(owner, member).__doc__)


def _tensor(homes: dict[int, Name]) -> str:
    """`Tensor`: most methods are functions under the same name, and are told there."""
    members = surface.members_of(tfl.Tensor)
    functions = {
        name.name: homes[id(name.value)]
        for place in ("linalg", "nn.functional", "")
        for name in surface.names_of(place)
        if callable(name.value)
    }
    linked, told = [], []
    for member in members:
        method = isinstance(getattr(tfl.Tensor, member), FunctionType)
        function = functions.get(member) if method else None
        if function is not None:
            linked.append(f"| `{member}` | [`{function.spoken}`][{function.path}] |")
        elif member.endswith("_") and member.rstrip("_") in functions:
            function = functions[member.rstrip("_")]
            linked.append(f"| `{member}` | [`{function.spoken}`][{function.path}], in place |")
        else:
            told.append(member)
    lines = [
        "::: tensorflowlite.Tensor",
        "    options:",
        "      heading_level: 1",
        "      heading: tfl.Tensor",
        "      toc_label: Tensor",
        f"      members: {told}",
        f"      inherited_members: {told}",
        "\n## Methods that are functions\n",
        "The tensor is the function's first argument; `x.name_(...)` changes `x` itself.\n",
        "| method | function |",
        "|---|---|",
        *linked,
    ]
    return "\n".join(lines) + "\n"
