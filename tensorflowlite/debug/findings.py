"""What `strict` has found: findings, and the report that holds them."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from ..errors import StrictError, StrictWarning
from ..transforms.sites import Site


class Finding(NamedTuple):
    """One thing that a rule has found.

    Attributes
    ----------
    rule, name : str
        The rule's id, such as ``"TFL101"``, and its short name.
    sentence : str
        What was found, and how to mend it.
    file, line : str and int
        Where in the user's code; "" and 0 where none was on the way.
    module : str
        The path of the module, or of the parameter, that it is about; "" where there is none.
    place : str
        All of that in words.
    """

    rule: str
    name: str
    sentence: str
    file: str
    line: int
    module: str
    place: str

    def __str__(self) -> str:
        place = f"; {self.place}" if self.place else ""
        return f"{self.rule} {self.name}: {self.sentence}{place}"


class Report:
    """What was found inside `strict`, in the order in which it was found.

    Attributes
    ----------
    findings : list of Finding
        One per rule and place.
    """

    def __init__(self, error: bool = False) -> None:
        self.findings: list[Finding] = []
        self._error = error
        self._told: set[tuple[str, str, int, str]] = set()

    def add(self, rule: str, name: str, sentence: str, site: Site, module: str) -> None:
        """Keep a finding and tell of it, unless the same was found at this place before."""
        key = (rule, site.file, site.line, module)
        if key in self._told:
            return
        self._told.add(key)
        parts = [f"module {module!r}"] if module and repr(module) not in sentence else []
        parts += [f"{site.file}:{site.line}, in {site.function}"] if site.file else []
        place = "; ".join(parts)
        found = Finding(rule, name, sentence, site.file, site.line, module, place)
        self.findings.append(found)
        if self._error:
            raise StrictError(str(found))
        warnings.warn_explicit(str(found), StrictWarning, site.file or "<unknown>", site.line)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "nothing was found"
