"""Element programs on the CPU, by the native extension (``csrc/elements.hpp``).

Where the extension isn't built, or doesn't take a program or its arrays, the slots run one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..elements.lowering import lowered
from ..elements.programs import ElementProgram, run_by_numpy, shape_of, validate
from . import extension as native


@functools.lru_cache(maxsize=4096)
def prepared(program: ElementProgram) -> Any:
    """Return the extension's form of a program; None where it has none.

    Raises
    ------
    ArgumentError
        The program isn't well formed.
    """
    validate(program)
    if native.module is None:
        return None
    found = lowered(program)
    try:
        return native.module.prepare_elements(
            found.inputs, found.instructions, found.outputs, found.reduction
        )
    except ValueError:  # it has more values than the extension's registers
        return None


def bind(program: ElementProgram, arrays: Sequence[Any], outs: Sequence[Any]) -> Callable[[], None]:
    """Return what runs a program over these arrays, which are checked once; it takes no arguments.

    Parameters
    ----------
    program
        Its inputs say what ``arrays`` are.
    arrays
        NumPy arrays that broadcast.
    outs
        An array of the common shape for each output; then one for the reduction's result. Outputs
        may be arrays of ``arrays`` themselves.

    Raises
    ------
    ArgumentError
        The program isn't well formed, or the arrays aren't its own.

    Examples
    --------
    >>> import numpy
    >>> from tensorflowlite.backend.elements.programs import Step, inputs_of
    >>> x, out = numpy.array([1.0, 4.0]), numpy.zeros(2)
    >>> step = Step("sqrt", (0,), (), x.dtype)
    >>> again = bind(ElementProgram(inputs_of([x]), (step,), (1,)), [x], [out])
    >>> again()
    >>> out
    array([1., 2.])
    """
    arrays, outs = tuple(arrays), tuple(outs)
    found = prepared(program)
    shape_of(program, arrays, outs)
    if found is not None:
        assert native.module is not None
        try:
            bound: Callable[[], None] = native.module.bind_elements(found, arrays, outs)
            return bound
        except ValueError:  # more axes than it joins, unaligned memory
            pass
    return functools.partial(run_by_numpy, program, arrays, outs)


def run(program: ElementProgram, arrays: Sequence[Any], outs: Sequence[Any]) -> None:
    """Run a program over arrays once; as `bind`, whose result is kept where it runs again.

    Examples
    --------
    >>> import numpy
    >>> from tensorflowlite.backend.elements.programs import Step, inputs_of
    >>> x, out = numpy.array([1.0, 4.0]), numpy.zeros(2)
    >>> run(ElementProgram(inputs_of([x]), (Step("sqrt", (0,), (), x.dtype),), (1,)), [x], [out])
    >>> out
    array([1., 2.])
    """
    bind(program, arrays, outs)()
