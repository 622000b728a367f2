"""Exchanging functions for a while, so that what isn't looked at asks nothing and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Exchanged:
    """An attribute that another stands in for."""

    __slots__ = ("owner", "name", "before", "new")

    def __init__(self, owner: Any, name: str, before: Any, new: Any) -> None:
        self.owner, self.name, self.before, self.new = owner, name, before, new


_all: list[_Exchanged] = []  # of everyone, the latest last


class Exchanges:
    """Functions of modules and classes that others stand in for, until `restore`, once."""

    def __init__(self) -> None:
        self._exchanged: list[_Exchanged] = []
        self._over = False

    def exchange(self, owner: Any, name: str, new: Any) -> None:
        """Put ``new`` in the place of an attribute that ``owner`` itself has."""
        one = _Exchanged(owner, name, vars(owner)[name], new)
        self._exchanged.append(one)
        _all.append(one)
        setattr(owner, name, new)

    def exchange_in_all(
        self, kind: type, name: str, standing_in: Callable[[Callable[..., Any]], Any]
    ) -> None:
        """Exchange a method of a class, and of every class below it that has one of its own.

        Called again it takes those that were defined meanwhile; after the end nothing.
        """
        if self._over:  # one that came in later still hands on to what stood there
            return
        done = {one.owner for one in self._exchanged if one.name == name}
        if name in vars(kind) and kind not in done:
            self.exchange(kind, name, standing_in(vars(kind)[name]))
        derived: type
        for derived in kind.__subclasses__():
            self.exchange_in_all(derived, name, standing_in)

    def restore(self) -> None:
        """Put back what was there.

        Where somebody who came in later has a place, that one hands on what it found there, and
        puts back what was there before this one.
        """
        self._over = True
        for one in reversed(self._exchanged):
            _all.remove(one)
            if vars(one.owner).get(one.name) is one.new:
                setattr(one.owner, one.name, one.before)
            for later in _all:
                if later.owner is one.owner and later.name == one.name and later.before is one.new:
                    later.before = one.before
        self._exchanged.clear()
