"""The names that PyTorch has too, and how a line of a table is compared with PyTorch.

A line runs the same call on both libraries. Its arrays are NumPy's: those of floats become tensors
of the dtype under test that are differentiated by, unless they are wrapped in `Constant`. All that
comes back is compared (tensors, numbers, texts, shapes, dtypes), and so are the gradients along
random cotangents.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.utils.parametrize
import torch.optim.swa_utils

import tensorflowlite as tfl
from tests.op_table import Constant, Draw, elementwise

# Our public places, and where PyTorch has the same names.
PLACES: dict[str, tuple[str, ...]] = {
    "": ("", "special", "func"),
    **{place: (place,) for place in (
        "linalg", "fft", "Tensor", "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn",
        "nn.utils.parametrize", "nn.utils.parametrizations", "optim", "optim.lr_scheduler",
        "optim.swa_utils", "amp", "autograd", "random", "cuda",
    )},
}  # fmt: skip
# What a module imports for itself.
_FOREIGN = ("typing", "collections", "contextlib", "__future__")
# Relative to the larger of 1 and the value: sums of a few dozen products in another order.
CLOSE = {"float64": 1e-9, "float32": 2e-4}


def place_of(kit: Any, place: str) -> Any:
    return operator.attrgetter(place)(kit) if place else kit


def their_place(name: str) -> tuple[Any, str] | None:
    """Return where PyTorch has a name of ours, and the name's last part."""
    place, _, last = name.rpartition(".")
    for theirs in PLACES[place]:
        if hasattr(place_of(torch, theirs), last):
            return place_of(torch, theirs), last
    return None


def found(kit: Any, name: str) -> Any:
    """Return what a library has under a dotted name; our places' names."""
    if kit is torch:
        where = their_place(name)
        assert where is not None, f"PyTorch has no {name}"
        return getattr(*where)
    place, _, last = name.rpartition(".")
    return getattr(place_of(kit, place), last)


def shared_names() -> list[str]:
    """Return every public name of ours that PyTorch has in the same place."""
    names = []
    for place in PLACES:
        ours = place_of(tfl, place)
        for last in sorted(dir(ours)):
            name = f"{place}.{last}".lstrip(".")
            if last.startswith("_") or their_place(name) is None:
                continue
            values = getattr(ours, last), found(torch, name)
            if any(inspect.ismodule(value) or _foreign(value) for value in values):
                continue
            names.append(name)
    return names


def _foreign(value: Any) -> bool:
    module = getattr(value, "__module__", None) or type(value).__module__
    return module.split(".")[0] in _FOREIGN


def also_known_as(names: Iterable[str]) -> dict[str, str]:
    """Return the names under which both libraries have what another name already stands for."""
    first: dict[tuple[int, int], str] = {}
    again = {}
    for name in sorted(names, key=lambda name: (name.count("."), name)):
        values = found(tfl, name), found(torch, name)
        if not all(callable(value) for value in values):
            continue
        pair = id(values[0]), id(values[1])
        if pair in first:
            again[name] = first[pair]
        first.setdefault(pair, name)
    return again


class NoDerivative(Exception):
    """PyTorch has no derivative of it, or can't compute it."""


# -- lines -----------------------------------------------------------------------------------------
class Line:
    """A call that both libraries know under one name."""

    def __init__(self, name: str, call: Callable[..., Any] | None, args: Any, kwargs: Any) -> None:
        self.name, self.call, self.args, self.kwargs = name, call, args, kwargs
        self.finish: Callable[..., Any] | None = None
        self.least = 0.0
        if call is not None:
            last = name.rpartition(".")[2]
            if last not in said(call.__code__):
                raise TypeError(f"a line of {name} must call it, got a call of other names")

    def __repr__(self) -> str:
        return self.name

    def then(self, finish: Callable[..., Any]) -> Line:
        """Compare not what the call returns, but what a function makes of it."""
        self.finish = finish
        return self

    def within(self, close: float) -> Line:
        """Compare no more closely than this: where PyTorch itself is no nearer."""
        self.least = close
        return self

    def run(self, kit: Any, args: Any, kwargs: Any) -> Any:
        result = self.result(kit, args, kwargs)
        return result if self.finish is None else self.finish(result)

    def result(self, kit: Any, args: Any, kwargs: Any) -> Any:
        if self.call is not None:
            return self.call(kit, *args, **kwargs)
        if not self.name.startswith("Tensor."):
            return found(kit, self.name)(*args, **kwargs)
        last = self.name.removeprefix("Tensor.")
        x, *rest = args
        if not last.endswith("_"):
            value = getattr(x, last)
            return value(*rest, **kwargs) if callable(value) else value
        x = x.clone()  # a leaf can't be changed
        result = getattr(x, last)(*rest, **kwargs)
        return [x, result is x]


def said(code: Any) -> set[str]:
    """Return the attributes that a function's code and those inside it name."""
    inner = [one for one in code.co_consts if inspect.iscode(one)]
    return {*code.co_names, *[name for one in inner for name in said(one)]}


def call(name: str, *args: Any, **kwargs: Any) -> Line:
    """A plain call of the name; of a method, its first argument is the tensor."""
    return Line(name, None, args, kwargs)


def script(name: str, run: Callable[..., Any], *args: Any) -> Line:
    """``run(library, *tensors)``, for what is no plain call of the name."""
    return Line(name, run, args, {})


def everywhere(name: str, *rest: Any, **kwargs: Any) -> Iterator[Line]:
    """A function of one array on 2-d, 0-d, empty and not contiguous ones."""
    for sample in elementwise(Draw(name, "float64", (-3.0, 3.0))):
        yield call(name, *sample.args, *rest, **kwargs)


# -- comparing -------------------------------------------------------------------------------------
def translated(value: Any, leaves: list[Any], make: Any) -> Any:
    """Return arguments with tensors for their arrays; those to differentiate by into leaves."""
    if isinstance(value, Constant):
        return make(value.array, False)
    if isinstance(value, np.ndarray):
        leaves.append(make(value, value.dtype.kind in "fc"))
        return leaves[-1]
    if isinstance(value, list | tuple):
        return type(value)(translated(one, leaves, make) for one in value)
    return value


def ours_of(array: Any, requires_grad: bool) -> tfl.Tensor:
    return tfl.Tensor(array.copy(order="K"), requires_grad=requires_grad)


def theirs_of(array: Any, requires_grad: bool) -> Any:
    made = torch.from_numpy(np.array(array, order="C"))  # negative strides it doesn't take
    return made.requires_grad_(requires_grad)


def in_dtype(value: Any, dtype: str) -> Any:
    """Return arguments with their arrays of floats in a dtype."""
    if isinstance(value, Constant):
        return Constant(in_dtype(value.array, dtype))
    if isinstance(value, np.ndarray | np.generic):
        value = np.asarray(value)
        complexes = {"float64": "complex128", "float32": "complex64"}
        wanted = {"f": dtype, "c": complexes[dtype]}.get(value.dtype.kind)
        return value.astype(wanted, order="K") if wanted else value
    if isinstance(value, list | tuple):
        return type(value)(in_dtype(one, dtype) for one in value)
    return value


def compare_line(line: Line, dtype: str) -> None:
    """Run a line on both libraries; compare what comes back, and the gradients."""
    args = in_dtype(line.args, dtype)
    kwargs = {key: in_dtype(value, dtype) for key, value in line.kwargs.items()}
    sides = []
    for kit, make in ((tfl, ours_of), (torch, theirs_of)):
        leaves: list[Any] = []
        kit.manual_seed(0)  # lines that draw judge the numbers' spread
        given = translated(args, leaves, make)
        options = {key: translated(value, leaves, make) for key, value in kwargs.items()}
        sides.append((leaves, line.run(kit, given, options)))
    (xs, ours), (ts, theirs) = sides
    pairs: list[tuple[Any, Any]] = []
    close = max(CLOSE[dtype], line.least)
    same(ours, theirs, close, line.name, pairs)
    same_gradients(xs, ts, pairs, close)


def same(ours: Any, theirs: Any, close: float, what: str, pairs: list[tuple[Any, Any]]) -> None:
    """Compare nested results; the pairs of tensors are kept for their gradients."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, tfl.Tensor), f"{what}: {ours!r} is no tensor"
        assert plain(ours.dtype) == plain(theirs.dtype), f"{what}: {ours.dtype} {theirs.dtype}"
        near(ours, theirs, close, what)
        pairs.append((ours, theirs))
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), f"{what}: {list(ours)} {list(theirs)}"
        for key, value in theirs.items():
            same(ours[key], value, close, f"{what}[{key!r}]", pairs)
    elif isinstance(theirs, list | tuple):
        assert isinstance(ours, list | tuple) and len(ours) == len(theirs), f"{what}: {ours!r}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same(a, b, close, f"{what}[{i}]", pairs)
    else:
        a, b = plain(ours), plain(theirs)
        if isinstance(a, float) and isinstance(b, float):
            np.testing.assert_allclose(a, b, close, close, err_msg=what)
        else:
            assert type(a) is type(b) and a == b, f"{what}: {a!r} {b!r}"


def plain(value: Any) -> Any:
    """Return a dtype or a device as its name, and other values as they are."""
    if isinstance(value, torch.dtype | torch.device):
        return str(value).removeprefix("torch.")
    if isinstance(value, np.dtype):
        return value.name
    return str(value) if isinstance(value, tfl.device) else value


def near(ours: Any, other: Any, close: float, what: str) -> None:
    a = ours.detach().numpy() if isinstance(ours, tfl.Tensor) else np.asarray(ours)
    b = (
        other.detach().resolve_conj().resolve_neg().numpy() if isinstance(other, torch.Tensor)
        else np.asarray(other)
    )  # fmt: skip
    assert a.shape == b.shape, f"{what}: {a.shape} {b.shape}"
    scale = np.maximum(1, np.abs(np.nan_to_num(b.astype("c16"))))
    with np.errstate(all="ignore"):
        distance = np.abs(a.astype("c16") - b.astype("c16")) / scale
    equal = (a == b) | (np.isnan(a) & np.isnan(b)) if a.dtype.kind in "fc" else a == b
    assert np.all(equal | (distance <= close)), f"{what}: {a} {b}"


def same_gradients(xs: Any, ts: Any, pairs: list[tuple[Any, Any]], close: float) -> None:
    """Compare the gradients along the same random cotangents; none counts as zeros."""
    rng = np.random.default_rng(0)
    total: Any = 0.0
    expected: Any = 0.0
    for ours, other in pairs:
        if ours.requires_grad or other.requires_grad:
            weights = np.asarray(rng.normal(size=ours.shape)).astype(real_of(ours))
            total = total + (ours * tfl.tensor(weights)).real.sum()
            expected = expected + (other * torch.from_numpy(np.array(weights))).real.sum()
    if isinstance(expected, float):
        return
    if expected.requires_grad:
        try:
            expected.backward()
        except RuntimeError as error:
            raise NoDerivative from error
    if total.requires_grad:
        total.backward()
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        zero = np.zeros(x.shape)
        gradient = zero if x.grad is None else x.grad.numpy()
        wanted = zero if t.grad is None else t.grad.resolve_conj().numpy()
        near(gradient, wanted, close, f"gradient {i}")


def real_of(x: Any) -> str:
    """Return the dtype of a tensor's real parts."""
    return {"complex64": "float32", "complex128": "float64"}.get(x.dtype.name, x.dtype.name)
