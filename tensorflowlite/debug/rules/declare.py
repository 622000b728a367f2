"""What a rule of `strict` is: its id, its name, what it says, and the moments it looks at.

A new rule is a subclass of `Rule` in the file of its family here; its declaration enters it in
`registry`. It needs a row in `tests/test_strict.py` (a bad example and a good twin) and in the
table of ``docs/strict.md``, which a test holds to what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ...transforms.sites import Site

if TYPE_CHECKING:
    from ..findings import Report
    from ..moments import Call, Graph, Step

registry: dict[str, type[Rule]] = {}
ALL = ("*",)  # for `Rule.operations`


class Limits(NamedTuple):
    """The thresholds of the rules: arguments of `strict`."""

    steps: int = 10
    exploding: float = 1e3
    vanishing: float = 1e-6


class Rule:
    """A rule. The first line of its docstring stands in the documents: what it looks for.

    A subclass overrides the moments that it looks at; the others aren't even called.
    """

    id: ClassVar[str] = ""  # stable: TFL and a number; the first digit is the family
    name: ClassVar[str] = ""
    found: ClassVar[str] = ""  # what is said, with values in braces
    mend: ClassVar[str] = ""  # how to mend it
    operations: ClassVar[tuple[str, ...]] = ()  # whose calls `before_call` and `after_call` see

    def __init_subclass__(cls) -> None:
        if cls.id in registry or any(cls.name == rule.name for rule in registry.values()):
            raise TypeError(f"{cls.__name__}: a rule {cls.id} {cls.name} is declared already")
        registry[cls.id] = cls

    def __init__(self, report: Report, limits: Limits) -> None:
        self.report, self.limits = report, limits

    def tell(self, site: Site, module: str = "", **values: Any) -> None:
        """Report a finding, once per place."""
        sentence = f"{self.found.format(**values)}; {self.mend}"
        self.report.add(self.id, self.name, sentence, site, module)

    # -- the moments -------------------------------------------------------------------------------
    def before_call(self, call: Call) -> None:
        """An operation of `operations` is called while gradients are recorded."""

    def after_call(self, call: Call) -> None:
        """It has returned ``call.result``."""

    def before_module(self, module: Any, args: tuple[Any, ...], outermost: bool) -> None:
        """A module is called while gradients are recorded."""

    def after_module(self, module: Any, started: int, ended: int) -> None:
        """The outermost module has returned; its nodes were born between two ticks."""

    def before_backward(self, graph: Graph) -> None:
        """A backward pass begins."""

    def before_step(self, step: Step) -> None:
        """An optimizer's step begins; where it has a closure, it has ended."""

    def after_step(self, step: Step) -> None:
        """An optimizer's step has ended."""

    def after_batch(self, loader: Any, batch: Any, trained: bool) -> None:
        """A loader is asked for more; whether there was a backward pass since the last time."""

    def after_epoch(self, loader: Any) -> None:
        """A loader has given its last batch."""


def find_rules(wanted: Iterable[str]) -> set[str]:
    """Return the ids of rules that are named by id or name; a KeyError for an unknown one."""
    by_name = {rule.name: key for key, rule in registry.items()}
    return {key if key in registry else by_name[key] for key in wanted}
