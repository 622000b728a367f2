"""Native slots of the optimizers: all parameters of a group in one call, one pass over memory.

Each does what the slot of its name in `slots.optimizer` does, to the bit where numbers are real.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import accepting


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""

    def sgd_step(lr: Any, step: Any, *args: Any) -> tuple[()]:
        momentum, dampening, decay, nesterov, maximize = args[-5:]
        rate = float(lr)
        constants = [-1.0 if maximize else 1.0, decay, 1.0, rate]
        name = "sgd"
        if momentum:
            name = "sgd_nesterov" if nesterov else "sgd_momentum"
            constants.append(momentum)
            if int(step) == 0:
                name += "_first"
            else:
                constants.append(1 - dampening)
        module.optimizer_step(name, args[:-5], constants)
        step += 1
        return ()

    def accepts_sgd(lr: Any, step: Any, *args: Any) -> bool:
        return _are_counters(lr, step) and module.accepts_step(args[:-5], 3 if args[-5] else 2)

    def adam_step(lr: Any, step: Any, *args: Any) -> tuple[()]:
        beta1, beta2, eps, decay, decoupled, amsgrad, maximize = args[-7:]
        count, rate = int(step) + 1, float(lr)
        correction1, correction2 = 1 - beta1**count, 1 - beta2**count
        # lr / c1 * m / (sqrt(v / c2) + eps), as m / (sqrt(v) * scale + floor).
        scale = correction1 / (rate * math.sqrt(correction2)) if correction2 else math.inf
        floor = eps * correction1 / rate
        keep, penalty = (1 - rate * decay, 0.0) if decoupled else (1.0, decay)
        sign = -1.0 if maximize else 1.0
        constants = [sign, penalty, keep, 1 - beta1, beta2, 1 - beta2, scale, floor]
        module.optimizer_step("adam_amsgrad" if amsgrad else "adam", args[:-7], constants)
        step += 1
        return ()

    def accepts_adam(lr: Any, step: Any, *args: Any) -> bool:
        # At rate 0 only the means move, which NumPy's slot knows.
        return (
            _are_counters(lr, step)
            and bool(lr)
            and module.accepts_step(args[:-7], 5 if args[-2] else 4)
        )

    accepting(sgd_step, accepts_sgd)
    accepting(adam_step, accepts_adam)
    return {"sgd_step": sgd_step, "adam_step": adam_step}


def _are_counters(lr: Any, step: Any) -> bool:
    """Whether the learning rate and the step are one number each, and the step can be written."""
    return bool(lr.size == step.size == 1 and step.dtype == dtypes.int64 and step.flags.writeable)
