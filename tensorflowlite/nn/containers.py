"""Modules that hold modules: `Sequential`, `ModuleList`, `ModuleDict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from ..errors import ArgumentError, OutOfRangeError
from .module import Module

_Numbered = TypeVar("_Numbered", bound="NumberedModules")


class NumberedModules(Module):
    """Modules under the names "0", "1", ...: what `Sequential` and `ModuleList` share."""

    def _held(self) -> list[tuple[str, Module]]:
        return [(name, m) for name, m in vars(self).items() if isinstance(m, Module)]

    def _set_all(self, modules: list[Module]) -> None:
        for name, _ in self._held():
            delattr(self, name)
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    def _name_at(self, index: int) -> str:
        held = self._held()
        if not -len(held) <= index < len(held):
            raise OutOfRangeError(
                f"{type(self).__name__}: index must lie in [{-len(held)}, {len(held)}), got {index}"
            )
        return held[index][0]

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in self._held()])

    def __contains__(self, module: object) -> bool:
        return any(one is module for one in self)

    def __getitem__(self: _Numbered, index: Any) -> Any:
        if isinstance(index, slice):
            part = type(self).__new__(type(self))
            Module.__init__(part)
            for number, (name, module) in enumerate(self._held()[index]):
                part.add_module(str(number) if name.isdigit() else name, module)
            return part
        return getattr(self, self._name_at(index.__index__()))

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_at(index.__index__()), module)

    def __delitem__(self, index: Any) -> None:
        held = self._held()
        gone = held[index] if isinstance(index, slice) else [(self._name_at(index), None)]
        names = {name for name, _ in gone}
        for name, _ in held:
            delattr(self, name)
        for number, (name, module) in enumerate([item for item in held if item[0] not in names]):
            self.add_module(str(number) if name.isdigit() else name, module)

    def append(self: _Numbered, module: Module) -> _Numbered:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: _Numbered, modules: Iterable[Module]) -> _Numbered:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: _Numbered, index: int, module: Module) -> _Numbered:
        """Put a module before the one at ``index``."""
        modules = list(self)
        modules.insert(index, module)
        self._set_all(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take the module at ``index`` out and return it."""
        module = self[index]
        del self[index % len(self)]
        return module

    def _repr_children(self) -> list[str]:
        """One line for modules in a row that read alike."""
        runs: list[list[Any]] = []
        for name, module in self._held():
            text = repr(module)
            if runs and runs[-1][2] == text and runs[-1][1].isdigit() and name.isdigit():
                runs[-1][1] = name
                runs[-1][3] += 1
            else:
                runs.append([name, name, text, 1])
        return [
            f"({first}): {text}" if count == 1 else f"({first}-{last}): {count} x {text}"
            for first, last, text, count in runs
        ]


class Sequential(NumberedModules):
    """Modules called one after the other.

    Parameters
    ----------
    *modules : Module
        The modules in order, or one mapping of names to modules.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> model(tfl.zeros((5, 2))).shape
    (5, 3)
    """

    def __add__(self, other: Sequential) -> Sequential:
        """Return the modules of both, one after the other."""
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Iterable[Module]) -> Sequential:
        return self.extend(other)

    def __mul__(self, count: int) -> Sequential:
        """Return the modules repeated, the same ones."""
        return Sequential(*list(self) * count)

    __rmul__ = __mul__

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for number, module in enumerate(modules):
                self.add_module(str(number), module)

    def forward(self, x: Any) -> Any:
        for module in list(vars(self).values()):
            if isinstance(module, Module):
                x = module(x)
        return x

    def _repr_children(self) -> list[str]:
        return Module._repr_children(self)


class ModuleList(NumberedModules):
    """A list of modules, whose parameters belong to the module that it is an attribute of.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules in order.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), layers[-1]
    (3, Linear(in_features=2, out_features=2, bias=True))
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ModuleDict(Module):
    """A dict of modules, whose parameters belong to the module that it is an attribute of.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        The modules in order.

    Examples
    --------
    >>> from tensorflowlite import nn
    >>> heads = nn.ModuleDict({"left": nn.Linear(2, 1), "right": nn.Identity()})
    >>> list(heads), heads["right"]
    (['left', 'right'], Identity())
    >>> heads.update({"middle": nn.ReLU()})
    >>> heads.pop("right"), list(heads)
    (Identity(), ['left', 'middle'])
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __getitem__(self, name: str) -> Module:
        found = vars(self).get(name)
        if not isinstance(found, Module):
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def keys(self) -> list[str]:
        """Return the names."""
        return [name for name, _ in self.items()]

    def values(self) -> list[Module]:
        """Return the modules."""
        return [module for _, module in self.items()]

    def items(self) -> list[tuple[str, Module]]:
        """Return the names and the modules."""
        return [(name, m) for name, m in vars(self).items() if isinstance(m, Module)]

    def pop(self, name: str) -> Module:
        """Take the module ``name`` out and return it."""
        module = self[name]
        del self[name]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for name in self.keys():
            del self[name]

    def update(self, modules: Any) -> None:
        """Set modules from a mapping or from pairs."""
        pairs = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        for name, module in pairs:
            if not isinstance(name, str):
                raise ArgumentError(f"ModuleDict: names must be strings, got {name!r}")
            self.add_module(name, module)
