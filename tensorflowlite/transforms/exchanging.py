"""Exchanging functions for a while, so that what isn't looked at asks nothing and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Those that ended below one that is still on: (owner, name), the one that ended, what was there.
_ended: list[tuple[Any, str, Any, Any]] = []


class Exchanges:
    """Functions of modules and classes that others stand in for, until `restore`, once."""

    def __init__(self) -> None:
        self._exchanged: list[tuple[Any, str, Any, Any]] = []
        self._over = False

    def exchange(self, owner: Any, name: str, new: Any) -> None:
        """Put ``new`` in the place of an attribute that ``owner`` itself has."""
        self._exchanged.append((owner, name, vars(owner)[name], new))
        setattr(owner, name, new)

    def exchange_in_all(
        self, kind: type, name: str, standing_in: Callable[[Callable[..., Any]], Any]
    ) -> None:
        """Exchange a method of a class, and of every class below it that has one of its own.

        Called again it takes those that were defined meanwhile; after the end nothing.
        """
        if self._over:  # one that came in later still hands on to what stood there
            return
        done = {owner for owner, known, _, _ in self._exchanged if known == name}
        if name in vars(kind) and kind not in done:
            self.exchange(kind, name, standing_in(vars(kind)[name]))
        derived: type
        for derived in kind.__subclasses__():
            self.exchange_in_all(derived, name, standing_in)

    def restore(self) -> None:
        """Put back what was there.

        Where somebody who came in later has a place, that one hands on to what it found there, and
        leaves the place to what was there before both.
        """
        self._over = True
        for owner, name, before, new in reversed(self._exchanged):
            if vars(owner).get(name) is new:
                setattr(owner, name, _without_ended(owner, name, before))
            else:
                _ended.append((owner, name, new, before))
        self._exchanged.clear()


def _without_ended(owner: Any, name: str, found: Any) -> Any:
    """Return what stands where those that ended meanwhile are left out."""
    place = len(_ended)
    while place:
        place -= 1
        of, called, new, before = _ended[place]
        if of is owner and called == name and new is found:
            del _ended[place]
            found, place = before, len(_ended)
    return found
