"""Modules that hold parameters: `ParameterList`, `ParameterDict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, OutOfRangeError
from .module import Module
from .parameter import Parameter


def _as_parameter(value: Any) -> Any:
    """Return a tensor as a parameter, what is none as it is."""
    if isinstance(value, Tensor) and not value.is_parameter:
        return Parameter(value)
    return value


def _lines(items: Iterable[tuple[str, Any]]) -> list[str]:
    return [
        f"({name}): "
        + (
            f"Parameter of {value.dtype} {value.shape}"
            if isinstance(value, Tensor)
            else f"Object of type: {type(value).__name__}"
        )
        for name, value in items
    ]


class ParameterList(Module):
    """A list of parameters that belong to the module that it is an attribute of.

    Parameters
    ----------
    values : iterable, optional
        The parameters in order; tensors become parameters, other values stay what they are.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> weights = nn.ParameterList([tfl.zeros(n) for n in (1, 2)])
    >>> weights.append(tfl.ones(3))
    ParameterList(
      (0): Parameter of float32 (1,)
      (1): Parameter of float32 (2,)
      (2): Parameter of float32 (3,)
    )
    >>> [p.shape for p in weights[1:]], list(weights.state_dict())
    ([(2,), (3,)], ['0', '1', '2'])
    >>> weights.extend([tfl.ones(4)]).pop().shape
    (4,)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(values or ())

    def _name(self, index: Any) -> str:
        index = index.__index__()
        if not -self._size <= index < self._size:
            raise OutOfRangeError(
                f"ParameterList: index must lie in [{-self._size}, {self._size}), got {index}"
            )
        return str(index % self._size)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([vars(self)[str(i)] for i in range(self._size)])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return vars(self)[self._name(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name(index), _as_parameter(value))

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end."""
        setattr(self, str(self._size), _as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take the parameter at ``index`` out and return it."""
        values = list(self)
        value = values.pop(int(self._name(index)))
        for number in range(self._size):
            delattr(self, str(number))
        self._size = 0
        self.extend(values)
        return value

    def _repr_children(self) -> list[str]:
        return _lines((str(i), value) for i, value in enumerate(self))


class ParameterDict(Module):
    """A dict of parameters that belong to the module that it is an attribute of.

    Parameters
    ----------
    parameters : mapping of str to Tensor, or iterable of pairs, optional
        The parameters in order; tensors become parameters, other values stay what they are.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> scales = nn.ParameterDict({"left": tfl.ones(1)})
    >>> scales["right"] = tfl.ones(2)
    >>> list(scales.keys()), scales.pop("left").shape, list(scales.state_dict())
    (['left', 'right'], (1,), ['right'])
    >>> scales.update({"right": tfl.zeros(2), "up": tfl.ones(3)})
    >>> "up" in scales, scales.get("down", 0), len(scales)
    (True, 0, 2)
    >>> scales.setdefault("down", tfl.ones(4)).shape
    (4,)
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._names: list[str] = []
        self.update(parameters or {})

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return vars(self)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ArgumentError(f"ParameterDict: names must be strings, got {name!r}")
        if name not in self._names:
            self._check_name(name, "ParameterDict")
            self._names.append(name)
        setattr(self, name, _as_parameter(value))

    def __delitem__(self, name: str) -> None:
        self[name]
        self._names.remove(name)
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __or__(self, other: Mapping[str, Any]) -> ParameterDict:
        return ParameterDict({**dict(self.items()), **dict(other.items())})

    def __ior__(self, other: Mapping[str, Any]) -> ParameterDict:
        self.update(other)
        return self

    def keys(self) -> list[str]:
        """Return the names."""
        return list(self._names)

    def values(self) -> list[Any]:
        """Return the parameters."""
        return [vars(self)[name] for name in self._names]

    def items(self) -> list[tuple[str, Any]]:
        """Return the names and the parameters."""
        return [(name, vars(self)[name]) for name in self._names]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the parameter ``name``, or ``default`` where there is none."""
        return vars(self)[name] if name in self._names else default

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return the parameter ``name``, set to ``default`` first where there is none."""
        if name not in self._names:
            self[name] = default
        return self[name]

    def pop(self, name: str) -> Any:
        """Take the parameter ``name`` out and return it."""
        value = self[name]
        del self[name]
        return value

    def clear(self) -> None:
        """Take all parameters out."""
        for name in self.keys():
            del self[name]

    def update(self, parameters: Any) -> None:
        """Set parameters from a mapping or from pairs."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for name, value in pairs:
            self[name] = value

    def _repr_children(self) -> list[str]:
        return _lines(self.items())
