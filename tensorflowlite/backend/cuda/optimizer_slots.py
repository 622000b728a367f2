"""Slots of the optimizers by kernels: all parameters of a group in a few launches.

The addresses travel as a kernel's parameter, so that nothing is uploaded; learning rate, step and
loss scale are read on the device, so that nothing waits for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from .kernels import TYPE_NAMES, ByValue, Kernels

_FILE = "optimizers.cu"
# As in kernels/include/many_tensors.cuh.
_PER_LAUNCH = 64
_THREADS, _PACKS_PER_THREAD = 256, 8


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of optimizers that kernels implement."""
    group = _Groups(xp, kernels)

    def sgd_step(lr: Any, step: Any, *args: Any) -> tuple[()]:
        *tensors, momentum, dampening, decay, nesterov, maximize = args
        sign = -1.0 if maximize else 1.0
        kernels.launch(_FILE, "sgd_begin", _variant(tensors), 1, 1, step)
        if momentum:
            rest = (lr, step, sign, float(decay), float(momentum), float(dampening), bool(nesterov))
            group.launch("sgd_momentum_step", tensors, 3, *rest)
        else:
            group.launch("sgd_step", tensors, 2, lr, sign, float(decay))
        return ()

    def adam_step(lr: Any, step: Any, *args: Any) -> tuple[()]:
        *tensors, beta1, beta2, eps, decay, decoupled, amsgrad, maximize = args
        apart, penalty = (float(decay), 0.0) if decoupled else (0.0, float(decay))
        betas = float(beta1), float(beta2)
        factors = xp.empty(3, dtypes.float64)
        begin = (lr, step, factors, *betas, apart)
        kernels.launch(_FILE, "adam_begin", _variant(tensors), 1, 1, *begin)
        rest = (factors, -1.0 if maximize else 1.0, penalty, *betas, float(eps))
        if amsgrad:
            group.launch("adam_amsgrad_step", tensors, 5, *rest)
        else:
            group.launch("adam_step", tensors, 4, *rest)
        return ()

    def unscale_gradients(found: Any, scale: Any, *gradients: Any) -> tuple[()]:
        group.launch("unscale", gradients, 1, found, scale)
        return ()

    def accepts_sgd(lr: Any, step: Any, *args: Any) -> bool:
        return _are_counters(lr, step) and group.accepts(args[:-5], 3 if args[-5] else 2)

    def accepts_adam(lr: Any, step: Any, *args: Any) -> bool:
        return _are_counters(lr, step) and group.accepts(args[:-7], 5 if args[-2] else 4)

    def accepts_unscale(found: Any, scale: Any, *gradients: Any) -> bool:
        single = found.dtype == scale.dtype == dtypes.float32 and found.size == scale.size == 1
        return single and group.accepts(gradients, 1)

    accepting(sgd_step, accepts_sgd)
    accepting(adam_step, accepts_adam)
    accepting(unscale_gradients, accepts_unscale)
    return {"sgd_step": sgd_step, "adam_step": adam_step, "unscale_gradients": unscale_gradients}


def _are_counters(lr: Any, step: Any) -> bool:
    """Whether the learning rate and the step are what the kernels read."""
    types = lr.dtype == dtypes.float64 and step.dtype == dtypes.int64
    return bool(types and lr.size == step.size == 1)


def _variant(tensors: Sequence[Any]) -> dict[str, str]:
    return {"TFL_TYPE": TYPE_NAMES[dtypes.real_of(tensors[0].dtype)]}


@functools.cache
def _table_of(kinds: int) -> numpy.dtype[Any]:
    """Return the layout of ``tfl::Tensors<kinds>``."""
    return numpy.dtype(
        [
            ("arrays", numpy.uint64, (kinds, _PER_LAUNCH)),
            ("sizes", numpy.int64, _PER_LAUNCH),
            ("first_block", numpy.int32, _PER_LAUNCH + 1),
            ("count", numpy.int32),
        ]
    )


class _Groups:
    """Lists of tensors, as kernels take them."""

    def __init__(self, xp: Any, kernels: Kernels) -> None:
        self.xp, self.kernels = xp, kernels

    def accepts(self, tensors: Sequence[Any], kinds: int) -> bool:
        """Whether each parameter's tensors have one dtype, and lie where kernels reach them."""
        count = len(tensors) // kinds
        if not count:
            return False
        driver = self.kernels.driver
        device = driver.device()
        found = {x.dtype: x for x in tensors[:count]}
        if any(dtypes.real_of(dtype) not in TYPE_NAMES for dtype in found):
            return False
        for i, x in enumerate(tensors):
            if x.dtype != tensors[i % count].dtype or driver.device_of(x) != device:
                return False
            # A gradient is only read, unless there is nothing else: a copy does as well.
            copied = kinds > 1 and count <= i < 2 * count
            if not (copied or x.flags.c_contiguous):
                return False
        return all(self.kernels.ready(_FILE, **_variant([x])) for x in found.values())

    def launch(self, entry: str, tensors: Sequence[Any], kinds: int, *rest: Any) -> None:
        """Run an update on all tensors, those of one dtype together."""
        count = len(tensors) // kinds
        by_type: dict[Any, list[list[Any]]] = {}
        for i in range(count):
            arrays = list(tensors[i::count])
            if arrays[0].size:
                by_type.setdefault(arrays[0].dtype, []).append(arrays)
        for found in by_type.values():
            for table, blocks in self._tables(found, kinds):
                variant = _variant(found[0])
                self.kernels.launch(_FILE, entry, variant, blocks, _THREADS, table, *rest)

    def _tables(self, found: list[list[Any]], kinds: int) -> Iterator[tuple[Any, int]]:
        """Yield each launch's table and its number of blocks."""
        address = self.kernels.driver.address
        dtype = found[0][0].dtype
        parts = 2 if dtype.kind == "c" else 1
        per_block = _THREADS * _PACKS_PER_THREAD * 16 // dtypes.real_of(dtype).itemsize
        for start in range(0, len(found), _PER_LAUNCH):
            several = found[start : start + _PER_LAUNCH]
            copies = [
                [x if x.flags.c_contiguous else self.xp.ascontiguousarray(x) for x in arrays]
                for arrays in several
            ]
            sizes = [arrays[0].size * parts for arrays in several]
            blocks = numpy.cumsum([0, *[-(-size // per_block) for size in sizes]])
            table = numpy.zeros((), _table_of(kinds))
            count = len(several)
            table["arrays"][:, :count] = numpy.array(
                [[address(x) for x in arrays] for arrays in copies], numpy.uint64
            ).T
            table["sizes"][:count] = sizes
            table["first_block"][: count + 1] = blocks
            table["count"] = count
            yield ByValue(table.tobytes()), int(blocks[-1])  # the copies live until the launch
