"""The tables of a story: modules, source lines, operations."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterator
from typing import Any

from ..core.primitive import Primitive, traced
from ..core.tensor import Tensor
from ..nn import Module
from ..transforms.sites import Site, user_frames
from .formulas import formulas_of, stands_for

_ABOVE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CUT = "The same values without history: no gradient flows back through it."


class Places:
    """Where operations were called, and what they are, each told once."""

    def __init__(self) -> None:
        self.sources: list[dict[str, Any]] = []
        self.operations: dict[str, dict[str, Any]] = {}
        self._roots: list[Module] = []
        self._known: dict[int, Module] = {}
        self._called: dict[int, str] = {}  # by the identities of roots, no two the same
        self._lines: dict[tuple[str, int, str], int] = {}

    def module(self, site: Site) -> int | None:
        """Return what stands for the module that called: its identity, until `tree`."""
        if site.modules is None:
            return None
        inner, outer = site.modules
        if id(outer) not in self._known:
            self._roots.append(outer)
            self._called[id(outer)] = self._own_name(outer)
            self._known.update({id(one): one for one in outer.modules()})
        self._known.setdefault(id(inner), inner)
        return id(inner)

    def roots(self) -> list[Module]:
        """Return the modules that are in no other one: a part may be called before the whole."""
        return [
            root for i, root in enumerate(self._roots)
            if not any(
                root is one for j, other in enumerate(self._roots) if i != j
                for one in other.modules() if other is not root
            )
        ]  # fmt: skip

    def _own_name(self, module: Module) -> str:
        """Return the variable that holds a module, or its class, and a number where it's taken."""
        name = _variable(module) or type(module).__name__
        taken, number = set(self._called.values()), 2
        own = name
        while own in taken:
            own, number = f"{name}{number}", number + 1
        return own

    def named(self, what: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters, or the buffers, of all models, with their paths.

        Of further models than the first the paths begin with what the model is called.
        """
        for number, root in enumerate(self.roots()):
            prefix = f"{self._called[id(root)]}." if number else ""
            for name, tensor in getattr(root, f"named_{what}")():
                yield prefix + name, tensor

    def tree(self) -> tuple[list[dict[str, Any]], dict[int, int]]:
        """Return the table of modules, parents first, and the number of each by its identity."""
        table: list[dict[str, Any]] = []
        numbers: dict[int, int] = {}
        for number, root in enumerate(self.roots()):
            own = self._called[id(root)] if number else ""
            by_path: dict[str, int] = {}
            for path, one in root.named_modules():
                above = path.rpartition(".")[0] if path else None
                by_path[path] = numbers[id(one)] = len(table)
                table.append({
                    "path": f"{own}.{path}" if own and path else path or own,
                    "type": type(one).__name__,
                    "parent": None if above is None else by_path.get(above, by_path[""]),
                    "parameters": sum(p.size for p in one.parameters()),
                })  # fmt: skip
        return table, numbers

    def source(self, site: Site) -> int | None:
        """Return the number of the user's line."""
        if not site.file:
            return None
        key = (site.file, site.line, site.function)
        if key not in self._lines:
            self._lines[key] = len(self.sources)
            self.sources.append({
                "file": _shown(site.file), "line": site.line, "function": site.function,
                "text": linecache.getline(site.file, site.line).strip()[:200],
            })  # fmt: skip
        return self._lines[key]

    def operation(self, op: Primitive | str) -> str:
        """Enter an operation, and return its name, the one that users know."""
        name = op if isinstance(op, str) else op.called
        if name not in self.operations:
            known = None if isinstance(op, str) else op
            self.operations[name] = {
                "summary": _CUT if name == "detach" else "" if known is None else _summary(known),
                "formulas": [] if known is None else formulas_of(known),
                "stands_for": None if known is None else stands_for(known),
            }
        return name


def _variable(module: Module) -> str:
    """Return the outermost name that the user's code has for a module."""
    found = ""
    for frame in user_frames():
        for space in (frame.f_globals, frame.f_locals):
            names = (name for name, one in list(space.items()) if one is module)
            found = next((name for name in names if name.isidentifier() and name != "self"), found)
    return found


def _summary(op: Primitive) -> str:
    doc = getattr(getattr(traced, op.name, None), "__doc__", None) or ""
    return " ".join(doc.strip().partition("\n\n")[0].replace("`", "").split())


def _shown(file: str) -> str:
    """Return a path as seen from here, where it is below, or from where the package lies."""
    for start in (os.curdir, _ABOVE):
        try:
            below = os.path.relpath(file, start)
        except ValueError:  # another drive
            continue
        if not below.startswith(os.pardir):
            return below
    return file
