"""The shadow device: a stand-in for a GPU's array library that wraps NumPy.

A `ShadowArray` behaves as a CuPy array does where that differs from NumPy's, or more strictly:
results without axes stay arrays; nothing converts to a NumPy array, a number or a bool by itself;
NumPy arrays don't mix in; views know their base, broadcast ones can be written to, and flags know
no ``writeable``; functions that CuPy lacks aren't there. Copies to the host are counted. Where
CuPy's functions give something else than NumPy's, those of `device_ways` stand in.

`install` registers it as the device ``"shadow"``, with the very slots that the CPU backend has,
called with another namespace.
"""

from __future__ import annotations

import operator
import threading
from typing import Any

import numpy as np

from tensorflowlite.backend import Backend, Device, register
from tensorflowlite.backend.base import by_device_type
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.backend.slots.special import of_wide

from . import device_ways

# What NumPy has and CuPy hasn't (15.0): a slot that calls one of these would fail on a GPU.
_LACKING = frozenset(
    ["block", "einsum_path", "geomspace", "insert", "matvec", "vecmat", "vecdot", "unstack"]
)
_REFUSED = {  # keyword arguments that CuPy's functions don't take
    "initial": ["sum", "prod", "max", "min", "amax", "amin", "any", "all", "mean", "var", "std"],
    "where": ["sum", "prod", "max", "min", "amax", "amin", "any", "all", "mean", "var", "std"],
    "stable": ["sort", "argsort"],
}
_PLAIN = frozenset(
    ["result_type", "can_cast", "promote_types", "finfo", "iinfo", "isscalar", "issubdtype"]
)


class HostCopies:
    """How many arrays were copied to the host."""

    count = 0

    @classmethod
    def add(cls) -> None:
        if taking.by is not None:
            taking.by.refuse("cudaErrorStreamCaptureUnsupported: a copy to the host")
        cls.count += 1


class _Taking(threading.local):
    """Who takes the work of a thread instead of doing it (tests/fake_graphs.py)."""

    by: Any = None


taking = _Taking()


def _work(function: Any, *sources: Any) -> Any:
    """Do what reads or changes sources, and return its result as the device's."""
    if taking.by is None:
        return _wrap(function(), *sources)
    return taking.by.take(function, sources, lambda result: _wrap(result, *sources))


class Flags:
    """The layout of an array, as CuPy tells it: no ``writeable``, nothing to set."""

    __slots__ = ("c_contiguous", "f_contiguous", "owndata")

    def __init__(self, array: Any, owndata: bool) -> None:
        self.c_contiguous, self.f_contiguous = array.flags.c_contiguous, array.flags.f_contiguous
        self.owndata = owndata

    @property
    def forc(self) -> bool:
        return self.f_contiguous or self.c_contiguous

    @property
    def fnc(self) -> bool:
        return self.f_contiguous and not self.c_contiguous


def _owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _unwrap(value: Any) -> Any:
    if type(value) is ShadowArray:
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if type(value) in (tuple, list):
        return type(value)(map(_unwrap, value))
    if isinstance(value, tuple):  # a kind of tuple: axes that are kept, named results
        return tuple(map(_unwrap, value))
    return value


def _key(key: Any) -> Any:
    if type(key) is tuple:
        return tuple(map(_key, key))
    if isinstance(key, list | np.ndarray):
        raise TypeError(f"Unsupported type {type(key)}")
    return _unwrap(key)


def _wrap(result: Any, *sources: Any) -> Any:
    """Return NumPy's result as a shadow, as a view of the source whose memory it shares."""
    if isinstance(result, tuple | list):
        wrapped = [_wrap(one, *sources) for one in result]
        return wrapped if type(result) is list else tuple(wrapped)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    array = np.asarray(result)
    if array.dtype.kind in "fiubc" and array.dtype == np.longdouble:
        raise TypeError("the device has no long double")
    for source in sources:
        if array is source._array:
            return source
        if _owner(array) is _owner(source._array):
            return ShadowArray(array, source if source.base is None else source.base)
    return ShadowArray(array)


def _sources(args: Any) -> list[Any]:
    found: list[Any] = []
    for arg in args:
        if type(arg) is ShadowArray:
            found.append(arg)
        elif isinstance(arg, tuple | list):
            found += _sources(arg)
    return found


def _refuse(name: str) -> Any:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{name}: implicit conversion of a shadow array is not allowed")

    return refuse


class ShadowArray:
    """An array of the shadow device."""

    __slots__ = ("_array", "_base", "__weakref__")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: Any, base: Any = None) -> None:
        self._array, self._base = array, base

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return NotImplemented  # np.exp(shadow) raises; beside a tensor it is the tensor's work

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    base = property(lambda self: self._base)
    flags = property(lambda self: Flags(self._array, self._base is None))
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))
    imag = property(lambda self: _wrap(self._array.imag, self))

    @property
    def real(self) -> ShadowArray:
        return _wrap(self._array.real, self) if self.dtype.kind == "c" else self

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    def __getitem__(self, key: Any) -> Any:
        sources, key, array = _sources((self, key)), _key(key), self._array

        def read() -> Any:
            found = device_ways.read(array, key)
            if not isinstance(found, np.ndarray):  # one element is a view too, not a scalar
                found = array[(*key, ...) if type(key) is tuple else (key, ...)]
            return found

        return _work(read, *sources)

    def __setitem__(self, key: Any, value: Any) -> None:
        sources, key, value = _sources((self, key, value)), _key(key), _unwrap(value)
        array = self._array
        _work(lambda: device_ways.assign(array, key, value), *sources)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"shadow({self._array!r})"

    def conj(self) -> ShadowArray:
        array = self._array
        return _work(lambda: array.conj(), self) if self.dtype.kind == "c" else self

    def item(self) -> Any:
        HostCopies.add()
        return self._array.item()

    def tolist(self) -> Any:
        HostCopies.add()
        return self._array.tolist()

    def get(self) -> Any:
        HostCopies.add()
        return self._array.copy()

    def fill(self, value: Any) -> None:
        array, value = self._array, device_ways.without_sign_of_zero(value)
        _work(lambda: array.fill(value), self)

    def set(self, array: Any, stream: Any = None) -> None:
        if not isinstance(array, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if (array.shape, array.dtype) != (self.shape, self.dtype):
            raise TypeError(f"{array.dtype} {array.shape} cannot be set to {self.dtype} array")
        if taking.by is not None:
            taking.by.upload()
        if stream is None:
            self._array[...] = array
        else:  # it is read when the copy is done (tests/fake_cupy.py)
            memory = self._array
            stream.enqueue(lambda: memory.__setitem__(..., array))

    def __deepcopy__(self, memo: Any) -> ShadowArray:
        return self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("a shadow array can't be pickled without a copy to the host")


for _name in ["bool", "float", "int", "complex", "index", "array"]:
    setattr(ShadowArray, f"__{_name}__", _refuse(f"__{_name}__"))


def _method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        for refused, names in _REFUSED.items():
            if refused in kwargs and name in names:
                raise TypeError(f"{name}() got an unexpected keyword argument {refused!r}")
        function = getattr(self._array, name)
        given, named = _unwrap(args), {key: _unwrap(value) for key, value in kwargs.items()}
        sources = _sources((*args, *kwargs.values()))
        return _work(lambda: function(*given, **named), self, *sources)

    method.__name__ = name
    return method


_METHODS = """
    reshape transpose swapaxes ravel flatten squeeze astype copy view sum prod mean var std max
    min any all argmax argmin argsort cumsum cumprod take repeat diagonal nonzero clip round dot
    trace sort
"""
_INFIX = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
for _name in _METHODS.split():
    setattr(ShadowArray, _name, _method(_name))


def _diagonal(self: ShadowArray, *args: Any) -> ShadowArray:
    """Return a view that can be written to, as CuPy's diagonal is; NumPy's is read-only."""
    view = self._array.diagonal(*args)
    view.flags.writeable = True
    return _wrap(view, self)


ShadowArray.diagonal = _diagonal


def _infix(name: str, reflected: bool = False) -> Any:
    function = getattr(operator, name)

    def operate(self: Any, other: Any) -> Any:
        if type(other) is not ShadowArray and getattr(other, "__array_ufunc__", 0) is None:
            return NotImplemented  # it has an operator of its own
        sources, array, other = _sources((self, other)), self._array, _unwrap(other)

        def compute() -> Any:
            found = function(other, array) if reflected else function(array, other)
            return found if name == "matmul" else device_ways.in_c_order(found)

        return _work(compute, *sources)

    return operate


def _changed(name: str) -> Any:
    function = getattr(operator, name)

    def change(self: Any, other: Any) -> Any:
        sources, before, other = _sources((self, other)), self._array, _unwrap(other)
        if name != "imatmul":
            device_ways.check_output((before, other), before)

        def compute() -> None:
            if function(before, other) is not before:
                raise TypeError(f"{name} made a new array")

        _work(compute, *sources)
        return self

    return change


for _name in _INFIX.split():
    _function = f"{_name}_" if _name in ("and", "or") else _name
    setattr(ShadowArray, f"__{_name}__", _infix(_function))
    setattr(ShadowArray, f"__r{_name}__", _infix(_function, reflected=True))
    setattr(ShadowArray, f"__i{_name}__", _changed(f"i{_name}"))
for _name in ["eq", "ne", "lt", "le", "gt", "ge"]:
    setattr(ShadowArray, f"__{_name}__", _infix(_name))
for _name in ["neg", "pos", "abs", "invert"]:
    setattr(
        ShadowArray,
        f"__{_name}__",
        (lambda f: lambda self: _work(
            lambda array=self._array: device_ways.in_c_order(f(array)), self
        ))(getattr(operator, _name)),
    )


# -- the namespace ---------------------------------------------------------------------------------
class _Function:
    """A function of NumPy that takes and returns shadow arrays."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.__name__ = function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for refused, names in _REFUSED.items():
            if refused in kwargs and self.__name__ in names:
                raise TypeError(f"{self.__name__}() got an unexpected keyword argument {refused!r}")
        given = device_ways.in_known_dtypes(self.__name__, _unwrap(args))
        named = {key: _unwrap(value) for key, value in kwargs.items()}
        sources = _sources((*args, *kwargs.values()))
        return _work(lambda: self._function(*given, **named), *sources)


class ufunc(_Function):
    """An elementwise function, with the methods that CuPy's have."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not set(kwargs) <= {"out", "dtype", "casting"}:
            raise TypeError(f"{self.__name__}: wrong arguments {sorted(kwargs)}")
        if not any(type(arg) is ShadowArray for arg in args):
            raise TypeError(f"{self.__name__}: at least one array is needed")
        if self._function.signature is None:  # not matmul
            count = self._function.nin
            for out in (*args[count:], kwargs.get("out")):
                device_ways.check_output(_unwrap(args[:count]), _unwrap(out))
            kwargs["order"] = "C"
        return super().__call__(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in ("at", "reduce", "reduceat", "accumulate", "outer"):
            raise AttributeError(name)
        return _Function(device_ways.method(self._function, name))


def _uploaded(data: Any, dtype: Any) -> ShadowArray:
    if taking.by is not None:
        taking.by.upload()
    return ShadowArray(device_ways.on_device(np.array(data, dtype)))


class Namespace:
    """NumPy's functions for shadow arrays."""

    ndarray = ShadowArray

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _LACKING:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        found = getattr(self._module, name)
        if isinstance(found, np.ufunc):
            made: Any = ufunc(found)
        elif name in ("linalg", "fft"):
            made = Namespace(found)
        elif name in _PLAIN or isinstance(found, type) or not callable(found):
            made = found
        else:
            made = _Function(device_ways.unchecked(found))
        setattr(self, name, made)
        return made

    def array(self, data: Any, dtype: Any = None, copy: Any = True, order: str = "K") -> Any:
        """Host data are copied to the device; arrays of the device are copied too."""
        if type(data) is ShadowArray:
            array = data._array
            return _work(lambda: np.array(array, dtype, order=order, copy=copy or None), data)
        return _uploaded(data, dtype)

    def asarray(self, data: Any, dtype: Any = None, order: str | None = None) -> Any:
        if type(data) is ShadowArray:
            array = data._array
            return _work(lambda: np.asarray(array, dtype, order), data)
        return _uploaded(data, dtype)

    def asnumpy(self, data: Any) -> Any:
        return data.get()

    def broadcast_to(self, x: Any, shape: Any) -> Any:
        view = np.broadcast_to(_unwrap(x), shape)
        writable = np.lib.stride_tricks.as_strided(x._array, view.shape, view.strides)
        return ShadowArray(writable, x if x.base is None else x.base)

    def copyto(
        self, target: Any, source: Any, casting: str = "same_kind", where: Any = None
    ) -> None:
        options = {} if where is None else {"where": _unwrap(where)}
        to, of = _unwrap(target), _unwrap(source)
        sources = _sources((target, source, where))
        _work(lambda: np.copyto(to, of, casting=casting, **options), *sources)


class ShadowBackend(Backend):
    """The backend of the shadow device."""

    def device_of(self, array: Any) -> Device:
        return Device("shadow:0")

    def from_host(self, array: Any, device: Device) -> ShadowArray:
        out = ShadowArray(np.empty(array.shape, array.dtype))
        out.set(np.asarray(array))
        return out

    def to_host(self, array: ShadowArray) -> Any:
        return array.get()


def install() -> Backend:
    """Register the shadow device, once; return its backend."""
    known = by_device_type.get("shadow")
    if known is not None:
        return known
    namespace = Namespace(np)
    slots = library_slots.slots(namespace)

    def filled(shape: Any, value: Any, dtype: Any, device: Device) -> Any:
        return namespace.full(shape, value, dtype)

    plain_erf = _Function(device_ways.erf)

    slots.update(filled=filled, erf=of_wide(plain_erf))
    made = ShadowBackend("shadow", namespace, ShadowArray, slots)
    register(made)
    return made
