"""Switching the recording of operations off and on, for the current thread."""

from __future__ import annotations

from typing import Any

from .. import runtime


class _Switch(runtime.set_mode):
    _grad = False

    def __new__(cls, function: object = None, **options: Any) -> object:  # type: ignore[misc]
        switch = super().__new__(cls)
        if callable(function):  # used as a bare decorator
            switch.__init__()  # type: ignore[misc]
            return switch(function)
        return switch

    def __init__(self, function: object = None) -> None:
        super().__init__(self._grad)


class no_grad(_Switch):
    """Record nothing inside: a context manager and a decorator.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0], requires_grad=True)
    >>> with tfl.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """


class enable_grad(_Switch):
    """Record inside, also where an outer `no_grad` is in force.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0], requires_grad=True)
    >>> with tfl.no_grad(), tfl.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    _grad = True


class set_grad_enabled(runtime.set_mode):
    """Record or don't, from the call on: a context manager, a decorator and a plain call.

    Parameters
    ----------
    mode : bool
        Whether to record. After a plain call it stays so; a context manager goes back at its end.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0], requires_grad=True)
    >>> for training in (True, False):
    ...     with tfl.set_grad_enabled(training):
    ...         print((x * 2).requires_grad)
    True
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode), runtime.mode.views)
        super().__enter__()

    def __enter__(self) -> None:
        self._set(self._wanted)  # what to go back to is known since the call

    def __call__(self, function: Any) -> Any:
        self.__exit__()  # as a decorator it holds within the function alone
        return super().__call__(function)


class inference_mode(_Switch):
    """Record nothing inside, not even which tensors are views of which.

    A view made inside must not be changed in place outside: its root wouldn't learn of it.

    Parameters
    ----------
    mode : bool
        Whether to; with False operations and views are recorded inside, whatever is in force
        outside.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> with tfl.inference_mode():
    ...     tfl.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool = True) -> None:
        runtime.set_mode.__init__(self, not mode, not mode)


def is_grad_enabled() -> bool:
    """Return whether operations are recorded on this thread.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.is_grad_enabled()
    True
    """
    return runtime.mode.grad
