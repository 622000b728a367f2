"""Random numbers: Philox4x32-10 streams keyed by the seed.

Every draw takes the generator's next stream, and element ``e`` of a draw depends on the seed, the
stream and ``e`` alone: the same seed gives the same bits on a CPU and a GPU. The generator of a
device begins, at its first draw after the seed, with the stream that is next on the others: a model
that is made on the CPU and moved to a GPU draws there what it would have drawn on the CPU.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from .. import runtime
from ..backend import dtypes, from_data
from ..core.entry import declare
from ..core.tensor import Tensor, wrap
from ..errors import ArgumentError, DeviceError
from .creation import move
from .shaping import shape_argument


def _source(name: str, attributes: tuple[str, ...]) -> Any:
    return declare(
        name, ("state",), (None,), attributes=attributes, changes=(0,),
        doc="Draws from the generator's state.",
    )  # fmt: skip


_uniform = _source("random_uniform", ("shape", "dtype"))
_normal = _source("random_normal", ("shape", "dtype"))
_integers = _source("random_integers", ("shape", "low", "high"))
_permutation = _source("random_permutation", ("count",))
_stream = _source("random_stream", ())
_keep = declare(
    "random_keep",
    ("stream",),
    (None,),
    attributes=("shape", "probability"),
    doc="Which elements stay where each is dropped with a probability: a function of the stream.",
)
_dropout = declare(
    "dropout",
    ("x", "state"),
    lambda g, residual, probability: (g * residual * (1 / (1 - probability)), None),
    attributes=("probability",),
    joint=True,
    keeps_residual=True,
    changes=(1,),
    doc="``x`` with elements zeroed at random and the others scaled up.",
)


class _State:
    """The state of a device's generator, made anew when the seed was set since."""

    __slots__ = ("generation", "tensor", "drawn")

    def __init__(self, generation: int, tensor: Tensor) -> None:
        self.generation, self.tensor = generation, tensor
        self.drawn = False  # whether anything was: until then it follows the others


_states: dict[str, _State] = {}
_lock = threading.Lock()


def _state(device: Any) -> Tensor:
    """Return the state that a draw moves on; inside vmap, where it may draw for every sample."""
    found = _found(device)
    found.drawn = True
    if runtime.mode.levels:
        from ..core.batching import lift_state

        return lift_state(found.tensor)
    return found.tensor


def _plain_state(device: Any) -> Tensor:
    return _found(device).tensor


def _reachable(state: Tensor) -> Tensor:
    """Return a state to read and set, also while another thread records, which holds it then."""
    if runtime.mode.capture is not None:
        return state
    array = state.array  # once: another thread may begin or end to record at any time
    if hasattr(array, "capture"):
        from ..backend.programs.capture import inside

        array = inside(array)
    return wrap(array, None)


def _found(device: Any) -> _State:
    key = str(device or "cpu")
    found = _states.get(key)
    if found is None or found.generation != runtime.seed.generation:
        with _lock:
            found = _make_state(key)
    # While `jit` records it holds the states; it let them follow before.
    if not found.drawn and not runtime.shared.captures:
        _follow(found)
    return found


def _follow(state: _State) -> None:
    """Let a generator that nothing was drawn from go on where the others are."""
    generation = runtime.seed.generation
    with _lock:
        others = {id(one): one for one in _states.values() if one.generation == generation}
        streams = [_reachable(one.tensor).tolist()[1] for one in others.values() if one.drawn]
        if not state.drawn:
            _reachable(state.tensor).array[1] = max(streams, default=0)


def _make_state(key: str) -> _State:
    """Return a device's state, the same one by each of its names: "cuda" and "cuda:0"."""
    generation = runtime.seed.generation
    array = from_data("random", [runtime.seed.value, 0], dtypes.uint64)
    fresh = wrap(move(array, key), None)
    found = _states.get(str(fresh.device))
    if found is None or found.generation != generation:
        found = _State(generation, fresh)
    _states[key] = _states[str(fresh.device)] = found
    return found


def make_states() -> None:
    """Make the states of all devices that have drawn before anew, where the seed was set since."""
    for key in list(_states):
        _plain_state(key)


def enter_states(enter: Callable[[Tensor], None]) -> None:
    """Call ``enter`` with the state of every device that has one: what `jit` records changes."""
    for key in list(_states):
        enter(_plain_state(key))


def stream_for(x: Tensor) -> Tensor:
    """Take the generator's next stream where ``x`` lives: two numbers that stand for its bits."""
    return _stream(_state(x.device))


def manual_seed(seed: int) -> None:
    """Set the seed of everything random: initialisation, dropout, shuffling, augmentation.

    The numbers are the same on every device, for any number of threads and workers, with `jit` or
    without. All threads of the program draw from one generator: no two draws are the same, but
    which thread gets which stream is a matter of time. Two models that are trained in two threads
    have the same bits each time if they are made before the threads start, and draw nothing then.

    Parameters
    ----------
    seed : int
        Any integer in [0, 2**63).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.manual_seed(7)
    >>> a = tfl.rand(3)
    >>> tfl.manual_seed(7)
    >>> bool((tfl.rand(3) == a).all())
    True
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ArgumentError(f"manual_seed: seed must be an integer in [0, 2**63), got {seed!r}")
    runtime.set_seed(seed)


def initial_seed() -> int:
    """Return the seed that was set last; 0 where none was.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.manual_seed(7)
    >>> tfl.initial_seed()
    7
    """
    return runtime.seed.value


def get_state(device: Any = None) -> list[int]:
    """Return the generator's state on a device: the seed and the next stream.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.manual_seed(7)
    >>> _ = tfl.rand(3)
    >>> tfl.random.get_state()
    [7, 1]
    """
    return _reachable(_plain_state(device)).tolist()


def set_state(state: list[int], device: Any = None) -> None:
    """Set the generator's state on a device to one that `get_state` returned.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> state = tfl.random.get_state()
    >>> a = tfl.rand(3)
    >>> tfl.random.set_state(state)
    >>> bool((tfl.rand(3) == a).all())
    True
    """
    seed, stream = state
    if seed != runtime.seed.value:
        runtime.set_seed(seed)
    found = _found(device)
    _reachable(found.tensor).array[1], found.drawn = stream, True


def generator_name(device: Any) -> str:
    """Return the full name of the device that a generator lives on: "cuda:0" for "cuda"."""
    return str(_plain_state(device).device)


def get_states(device: Any = None) -> dict[str, list[int]]:
    """Return the generator's state where something was drawn, and on the given device, by name.

    The stream is -1 where nothing was drawn yet: that generator follows the others.
    """
    own = _found(device)
    make_states()
    states = [one for one in list(_states.values()) if one.drawn or one is own]
    seed = runtime.seed.value
    return {
        str(one.tensor.device): _reachable(one.tensor).tolist() if one.drawn else [seed, -1]
        for one in states
    }


def set_states(states: dict[str, list[int]]) -> None:
    """Set the generators to what `get_states` returned; those of other devices follow.

    The states of devices that this machine lacks are left out.
    """
    seed = next(iter(states.values()))[0]
    if seed != runtime.seed.value:
        runtime.set_seed(seed)
    for key in list(_states):
        _found(key).drawn = False
    for key, state in states.items():
        if state[1] >= 0:
            with contextlib.suppress(DeviceError):
                set_state(state, key)


def snapshot() -> dict[str, Any]:
    """Return a copy of the generator's state on every device that has one, kept there."""
    return {key: _reachable(_plain_state(key)).array.copy() for key in list(_states)}


def go_back(states: dict[str, Any]) -> None:
    """Set the generators to what `snapshot` returned; those of other devices follow."""
    for key in list(_states):
        state = _reachable(_plain_state(key)).array
        if key in states:
            state[...] = states[key]
        else:
            state[1] = 0
            _found(key).drawn = False


def _float(dtype: Any) -> Any:
    found = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    if found not in dtypes.real_inexact:
        raise ArgumentError(f"random: dtype must be a float one, got {found}")
    return found


def uniform(low: float = 0.0, high: float = 1.0, shape: Any = (), *, dtype: Any = None,
            device: Any = None) -> Tensor:  # fmt: skip
    """Return numbers drawn evenly from [low, high).

    Parameters
    ----------
    low, high : float
        The bounds.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype, optional
        A float dtype; float32 by default.
    device : str, optional
        Where the tensor lives.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.random.uniform(-1, 1, (2, 3))
    >>> x.shape, bool(((x >= -1) & (x < 1)).all())
    ((2, 3), True)
    """
    drawn = _uniform(_state(device), shape_argument("uniform", shape), _float(dtype))
    return drawn if (low, high) == (0.0, 1.0) else drawn * (high - low) + low


def normal(mean: float = 0.0, std: float = 1.0, shape: Any = (), *, dtype: Any = None,
           device: Any = None) -> Tensor:  # fmt: skip
    """Return numbers drawn from a normal distribution.

    Parameters
    ----------
    mean, std : float
        The mean and the standard deviation.
    shape : int or tuple of int
        The shape of the result.
    dtype, device
        As in `uniform`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.random.normal(shape=(2, 3)).dtype.name
    'float32'
    """
    if std < 0:
        raise ArgumentError(f"normal: std must not be negative, got {std}")
    drawn = _normal(_state(device), shape_argument("normal", shape), _float(dtype))
    return drawn if (mean, std) == (0.0, 1.0) else drawn * std + mean


def _shape_of(name: str, shape: tuple[Any, ...]) -> tuple[int, ...]:
    return shape_argument(name, shape[0] if len(shape) == 1 else shape)


def rand(*shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return numbers drawn evenly from [0, 1): ``rand(2, 3)`` or ``rand((2, 3))``.

    Parameters
    ----------
    *shape : int, or one tuple of int
        The shape of the result.
    dtype, device
        As in `uniform`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.rand(2, 3).shape
    (2, 3)
    """
    return uniform(shape=_shape_of("rand", shape), dtype=dtype, device=device)


def randn(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return standard normal numbers: ``randn(2, 3)`` or ``randn((2, 3))``.

    Parameters
    ----------
    *shape : int, or one tuple of int
        The shape of the result.
    dtype, device
        As in `uniform`.
    requires_grad : bool
        Whether to accumulate gradients of it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.randn(2, 3).shape
    (2, 3)
    """
    drawn = normal(shape=_shape_of("randn", shape), dtype=dtype, device=device)
    return drawn.requires_grad_() if requires_grad else drawn


def randint(low: int, high: Any = None, shape: Any = (), *, device: Any = None) -> Tensor:
    """Return int64 numbers drawn evenly from [low, high), or from [0, low) with one bound.

    Parameters
    ----------
    low, high : int
        The bounds; ``randint(high, shape)`` leaves the first of them out, as PyTorch does.
    shape : int or tuple of int
        The shape of the result.
    device : str, optional
        Where the tensor lives.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.random.randint(0, 10, (4,))
    >>> bool(((x >= 0) & (x < 10)).all())
    True
    """
    if isinstance(high, tuple | list):
        low, high, shape = 0, low, high
    elif high is None:
        low, high = 0, low
    if low >= high:
        raise ArgumentError(f"randint: low must be below high, got {low} and {high}")
    return _integers(_state(device), shape_argument("randint", shape), low, high)


def permutation(count: int, *, device: Any = None) -> Tensor:
    """Return the numbers 0 to ``count - 1`` in a random order, int64.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> sorted(tfl.random.permutation(4).tolist())
    [0, 1, 2, 3]
    """
    if count < 0:
        raise ArgumentError(f"permutation: count must not be negative, got {count}")
    return _permutation(_state(device), count)


def dropout(x: Tensor, probability: float = 0.5) -> Tensor:
    """Return ``x`` with each element zeroed with ``probability``, the others scaled up.

    The expectation stays the same: what is kept is divided by ``1 - probability``.

    Parameters
    ----------
    x : Tensor
        A float tensor.
    probability : float
        In [0, 1).

    Returns
    -------
    Tensor

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.random import dropout
    >>> tfl.manual_seed(0)
    >>> sorted(set(dropout(tfl.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    """
    if not 0 <= probability < 1:
        raise ArgumentError(f"dropout: probability must lie in [0, 1), got {probability}")
    return x if probability == 0 else _dropout(x, _state(x.device), float(probability))
