"""Each kernel against the library's slot of its name: ``python -m benchmarks check-kernels``.

Every slot of `backend/cuda/slots.py` runs on random data: each activation, dtype and layout, ragged
shapes, memory that was filled with NaN before. What it gives is compared with the library's slot in
float64 on the very same (rounded) inputs, computed on the host; products of small integers and
random bits must be equal. Nothing is timed.

``--small`` takes tiny shapes, one per code path, for compute-sanitizer: about a minute there.
``--ways`` checks products once more by each way that takes them on this device.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.base import guarded
from tensorflowlite.backend.cuda import devices as cuda
from tensorflowlite.backend.cuda import slots as cuda_slots

from . import check_ways, cuda_results
from .check_maker import Maker, Sample
from .check_samples import MAY_USE_LIBRARIES, SAMPLES
from .cuda_lab import fresh_seed, plain_backend
from .measure_cuda import described

# What an element may be off, of the greatest magnitude of its array's reference: by dtype. Inputs
# are of order one, so four roundings of that order, in the dtype of sums, come on top.
SHARE = {
    dtypes.bfloat16: 4e-3,
    dtypes.float16: 1e-3,
    dtypes.float32: 2e-6,
    dtypes.float64: 1e-13,
}


# -- devices ---------------------------------------------------------------------------------------
class Poisoned:
    """An array library whose ``empty`` arrays are full of NaN (of -1, where they hold integers)."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def _filled(self, made: Any) -> Any:
        if not made.size:
            return made
        if isinstance(made, numpy.ndarray):
            made.ravel(order="K").view(numpy.uint8).fill(255)
        else:  # without a kernel: nothing more for a sanitizer to check
            made.data.memset_async(255, made.nbytes)
        return made

    def empty(self, *args: Any, **kwargs: Any) -> Any:
        return self._filled(self._xp.empty(*args, **kwargs))

    def empty_like(self, *args: Any, **kwargs: Any) -> Any:
        return self._filled(self._xp.empty_like(*args, **kwargs))


class Counting:
    """Kernels that count their launches, by file and entry."""

    def __init__(self, kernels: Any) -> None:
        self._kernels = kernels
        self.launched: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def launch(self, file: str, entry: str, *args: Any, **kwargs: Any) -> None:
        self.launched[entry] = self.launched.get(entry, 0) + 1
        self._kernels.launch(file, entry, *args, **kwargs)


class Device:
    """Where the slots run.

    Parameters
    ----------
    xp
        The array library of the slots' arrays.
    kernels
        Compiles and launches; None where the library's slots themselves are looked at.
    poison
        Whether memory is filled with NaN before it is written.
    """

    def __init__(self, xp: Any, kernels: Any = None, poison: bool = True) -> None:
        self.xp = xp
        self.kernels = None if kernels is None else Counting(kernels)
        self.library = plain_backend(xp)
        self._given = Poisoned(xp) if poison else xp

    def table(self) -> dict[str, Callable[..., Any]]:
        """Return the slots to check."""
        if self.kernels is None:
            return {name: getattr(self.library, name) for name in SAMPLES}

        def library(name: str) -> Callable[..., Any]:
            return getattr(self.library, name)

        found = cuda_slots.slots(self._given, self.kernels, library)  # type: ignore[arg-type]
        return {name: self._choosing(name, slot) for name, slot in found.items()}

    def _choosing(self, name: str, slot: Callable[..., Any]) -> Callable[..., Any]:
        """Return a slot that leaves what it doesn't accept to the library, as a backend does."""
        accepts = getattr(slot, "accepts", None)
        if accepts is None:
            return slot
        otherwise = getattr(self.library, name)
        return guarded(name, slot, accepts, otherwise)

    def move(self, array: numpy.ndarray[Any, Any]) -> Any:
        """Return an array of the device with a host array's elements and layout."""
        if array.flags.c_contiguous or array.ndim < 2:
            return self._moved(array)
        if array.swapaxes(-1, -2).flags.c_contiguous:
            return self._moved(array.swapaxes(-1, -2)).swapaxes(-1, -2)
        wide = numpy.repeat(array, 2, -1)
        return self._moved(wide)[..., ::2]

    def _moved(self, array: Any) -> Any:
        return self.xp.array(numpy.array(array, order="C"))

    def host(self, array: Any) -> Any:
        """Return an array of the device as NumPy's."""
        return self.xp.asnumpy(array) if hasattr(self.xp, "asnumpy") else numpy.array(array)

    @property
    def launches(self) -> int:
        """How many launches there were."""
        return 0 if self.kernels is None else sum(self.kernels.launched.values())


def cuda_device(pool: bool, poison: bool) -> Device:
    """Return the current GPU; without the pool each array is an allocation of its own."""
    reason = cuda.why_not()
    if reason:
        raise RuntimeError(f"check-kernels: a usable NVIDIA GPU is needed, got none: {reason}")
    import cupy

    from tensorflowlite.backend.cuda.cupy_driver import CupyDriver
    from tensorflowlite.backend.cuda.kernels import Kernels

    if not pool:
        cupy.cuda.set_allocator(None)
    return Device(cupy, Kernels(CupyDriver(cupy)), poison)


def host_device(poison: bool) -> Device:
    """Return the CPU: the kernels on the tests' host shim where it is, else the library alone."""
    try:
        shim = importlib.import_module("tests.host_kernels")
    except ImportError:
        return Device(numpy, None, poison)
    if not cuda_slots._FAMILIES or shim.why_not():
        return Device(numpy, None, poison)
    return Device(numpy, shim.HostKernels(), poison)


# -- comparing -------------------------------------------------------------------------------------
def widened(value: Any) -> Any:
    """Return an argument as the reference takes it: float arrays in float64, copied."""
    if isinstance(value, numpy.ndarray):
        return value.astype(dtypes.float64) if value.dtype in SHARE else value.copy()
    return value


def flat(value: Any) -> list[Any]:
    """Return the arrays in a slot's nested result, in order; None keeps its place."""
    if isinstance(value, tuple | list):
        return [one for part in value for one in flat(part)]
    return [value]


def error_of(
    found: Any, expected: Any, exact: bool, share: float, absolute: float = 0.0
) -> float:
    """Return the worst error relative to what is allowed; infinity where one has NaN alone.

    ``share`` of the greatest magnitude is allowed, and ``absolute``.
    """
    if found is None or expected is None:
        return 0.0 if found is expected else math.inf
    expected = numpy.asarray(expected)
    if found.shape != expected.shape:
        return math.inf
    if not found.size:
        return 0.0
    if exact or found.dtype not in SHARE:
        wide = numpy.float64 if found.dtype in SHARE else found.dtype
        same = numpy.array_equal(
            found.astype(wide), expected.astype(wide), equal_nan=found.dtype in SHARE
        )
        return 0.0 if same else math.inf
    with numpy.errstate(all="ignore"):
        one, other = found.astype(numpy.float64), expected.astype(numpy.float64)
        if not numpy.array_equal(numpy.isnan(one), numpy.isnan(other)):
            return math.inf
        difference = numpy.where((one == other) | numpy.isnan(one), 0.0, numpy.abs(one - other))
        magnitude = numpy.abs(other[numpy.isfinite(other)])
    allowed = share * (magnitude.max() if magnitude.size else 1.0) + absolute
    allowed += 4 * float(numpy.finfo(dtypes.accumulator(found.dtype)).eps)
    return float(difference.max()) / allowed


def check_sample(device: Device, slot: Callable[..., Any], reference: Callable[..., Any],
                 sample: Sample) -> float:  # fmt: skip
    """Run a slot on one sample; return its worst error relative to what is allowed."""
    arguments = [
        device.move(value) if isinstance(value, numpy.ndarray) else value for value in sample.args
    ]
    # What must be equal bit by bit is computed in the same dtype.
    given = [value.copy() if isinstance(value, numpy.ndarray) else value for value in sample.args]
    with numpy.errstate(all="ignore"):
        found = slot(*arguments)
        given = given if sample.same_dtype else [widened(value) for value in sample.args]
        expected = reference(*given)
    found, expected = flat(found), flat(expected)
    arrays = [i for i, value in enumerate(sample.args) if isinstance(value, numpy.ndarray)]
    found += [arguments[i] for i in arrays]  # also those that must have stayed as they were
    expected += [given[i] for i in arrays]
    if len(found) != len(expected):
        return math.inf
    of_arguments = {value.dtype for value in sample.args if isinstance(value, numpy.ndarray)}
    errors = []
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        one = None if one is None else device.host(one)
        if one is not None and not _dtype_fits(one.dtype, other, of_arguments, sample):
            raise TypeError(f"a result has dtype {one.dtype}, the arguments {of_arguments}")
        share = 0.0
        if one is not None and one.dtype in SHARE:
            share = SHARE[one.dtype]
            if device.kernels is None:  # decompositions round, or widen, at each of their steps
                share = 8 * max([share, *[SHARE[dtype] for dtype in of_arguments & SHARE.keys()]])
        absolute = sample.absolute[place] if place < len(sample.absolute) else 0.0
        errors.append(error_of(one, other, sample.exact, share * sample.factor, absolute))
    return max(errors, default=0.0)


def _dtype_fits(found: Any, expected: Any, of_arguments: set[Any], sample: Sample) -> bool:
    """Whether a result's dtype is that of an argument, or what such are summed in."""
    if expected is None or found not in SHARE or sample.same_dtype:
        return expected is None or found == numpy.asarray(expected).dtype
    floats = [dtype for dtype in of_arguments if dtype in SHARE]
    return found in floats or found in [dtypes.accumulator(dtype) for dtype in floats]


def _slot_of(name: str) -> str:
    """Return the slot that a row is about: ``matmul`` of "matmul by unfused"."""
    return name.split(" by ")[0]


def check_slot(device: Device, name: str, slot: Callable[..., Any], reference: Any,
               samples: Iterable[Sample]) -> dict[str, Any]:  # fmt: skip
    """Check one slot on its samples; return its row."""
    row: dict[str, Any] = {"slot": name, "samples": 0, "worst": 0.0, "at": "", "status": "PASS"}
    before, start = device.launches, time.perf_counter()
    failures = []
    for sample in samples:
        row["samples"] += 1
        try:
            with warnings.catch_warnings():
                # A kernel that doesn't compile warns and is done without: here that is a failure.
                warnings.filterwarnings("error", message="kernels: ")
                error = check_sample(device, slot, getattr(reference, _slot_of(name)), sample)
        except Exception as raised:
            failures.append(f"{sample.label}: {described(raised)}")
            row.setdefault("traceback", traceback.format_exc())
            continue
        if error > 1:
            failures.append(f"{sample.label}: {error:.3g} times what is allowed")
        if error > row["worst"]:
            row["worst"], row["at"] = error, sample.label
    row["launches"] = device.launches - before
    if not row["samples"]:
        failures.append("there are no samples")
    launched = device.kernels is None or row["launches"]
    if not launched and _slot_of(name) not in MAY_USE_LIBRARIES:
        failures.append("no kernel was launched: every sample went to the library")
    row["worst"] = float(f"{row['worst']:.3g}") if math.isfinite(row["worst"]) else "inf"
    row["seconds"] = round(time.perf_counter() - start, 2)
    if failures:
        row.update(status="FAIL", failures=failures[:20], failed=len(failures))
    return row


def run(device: Device, table: dict[str, Callable[..., Any]], small: bool, seed: int,
        done: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:  # fmt: skip
    """Check every slot of a table; ``done`` gets each row as it is made."""
    reference = plain_backend(numpy)
    rows = []
    for name, slot in sorted(table.items()):
        maker = SAMPLES.get(_slot_of(name))
        if maker is None:
            row: dict[str, Any] = {
                "slot": name, "samples": 0, "worst": "inf", "launches": 0, "status": "FAIL",
                "failures": ["there are no samples for this slot; add a maker to check_samples.py"],
            }  # fmt: skip
        else:
            make = Maker(numpy.random.default_rng(seed), small, reference)
            row = check_slot(device, name, slot, reference, maker(make))
            if not getattr(slot, "used", True) and row["status"] == "PASS":
                continue  # a way that isn't one here
        done(row)
        rows.append(row)
    return rows


def line(row: dict[str, Any]) -> str:
    """Return a slot's row as it is printed."""
    text = (
        f"{row['status']}  {row['slot']:32} {row['samples']:4} samples {row['launches']:5} launches"
        f"  worst error {row['worst']} of what is allowed"
    )
    return "\n".join([text, *[f"      {failure}" for failure in row.get("failures", ())]])


def main(arguments: list[str]) -> int:
    """Check the slots; 1 where one fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks check-kernels")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--slots", metavar="NAME,...", help="only these")
    parser.add_argument("--small", action="store_true", help="tiny shapes, one per code path")
    parser.add_argument("--ways", action="store_true", help="products by each way, too")
    parser.add_argument("--no-poison", action="store_true", help="for initcheck: nothing is filled")
    parser.add_argument("--no-pool", action="store_true", help="for memcheck: allocate each array")
    parser.add_argument("--seed", type=int, help="by default another one each time")
    parser.add_argument("--save", metavar="FILE", type=Path)
    options = parser.parse_args(arguments)
    poison = not options.no_poison
    try:
        if options.device == "cuda":
            device = cuda_device(not options.no_pool, poison)
        else:
            device = host_device(poison)
    except RuntimeError as error:
        print(error)
        return 2
    table = device.table()
    if options.ways:
        table.update(check_ways.slots(table))
    if options.slots is not None:
        names = options.slots.split(",")
        unknown = [name for name in names if name not in table]
        if unknown:
            parser.error(f"--slots: must be of {', '.join(sorted(table))}, got {','.join(unknown)}")
        table = {name: table[name] for name in names}
    seed = fresh_seed() if options.seed is None else options.seed
    machine = cuda_results.describe(device.xp if options.device == "cuda" else None)
    head = {
        "kind": "check-kernels", "device": options.device, "started": cuda_results.now(),
        "machine": machine, "small": options.small, "poisoned": poison, "seed": seed,
        "kernels": device.kernels is not None,
    }  # fmt: skip
    record = cuda_results.Record(
        options.save or cuda_results.default_path("check-kernels", machine), head
    )

    def done(row: dict[str, Any]) -> None:
        record.add(row)
        print(line(row), flush=True)

    rows = run(device, table, options.small, seed, done)
    failed = [row["slot"] for row in rows if row["status"] != "PASS"]
    print(f"{len(rows) - len(failed)} of {len(rows)} slots pass, seed {seed}; {record.path}")
    if not rows:
        print("check-kernels: no kernel provides a slot; nothing was checked")
    return 1 if failed or not rows else 0
