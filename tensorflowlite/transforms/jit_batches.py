"""`jit(dynamic_batch=True)`: one program for many sizes of a batch, where no call mixes rows.

A call of a size that is new is recorded, and so is the function on the batch padded to the next
bucket, a power of two. Where `programs.rows` finds that both programs are the same but for the
sizes, and that each row of the results depends on its sample alone, later calls of that size pad
their batch, replay the bucket's program, and return the rows that aren't padding. Every size is
compared once, for Python code may have chosen by it; what is kept of it is no program.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backend import backend_of
from ..backend.programs.program import same
from ..backend.programs.row_states import Rows
from ..backend.programs.rows import Verdict, blocked, compare
from ..core.tensor import Tensor, wrap
from ..errors import CaptureError
from ..runtime import users_level
from .jit_keys import arguments_of
from .jit_recording import Options, Recording, record
from .tree import flatten, unflatten

MOST_SIZES = 4096  # keys of one function, most of which hold no program
_MOST_OWN = 64  # keys with programs of their own
_MOST_FAMILIES = 64
_MOST_PROGRAMS = 2  # of one bucket; another one comes when what the function reads has changed
_STOP_OWN, _STOP_ALL = 4 * _MOST_OWN, 2 * MOST_SIZES  # recordings of one family
_SMALLEST = 8
_WHOLE = 0  # among buckets: what is refused for all of them
_meeting = threading.RLock()  # held while families are added, listed, or told of sizes


def bucket_of(count: int) -> int:
    """Return how many samples a batch is padded to: the next power of two, at least 8."""
    return max(_SMALLEST, 1 << (count - 1).bit_length())


class Padded:
    """Replays the program of a bucket for batches of one size below it, as a `Recording` does."""

    __slots__ = ("guards", "recording", "count", "bucket", "_places", "_rows", "_form")

    def __init__(self, guards: Any, recording: Recording, count: int, bucket: int,
                 places: tuple[int, ...], rows: tuple[Rows | None, ...], form: Recording
                 ) -> None:  # fmt: skip
        self.guards, self.recording, self.count, self.bucket = guards, recording, count, bucket
        self._places, self._rows = places, rows
        self._form = form.structure, form.results

    def replay(self, leaves: list[Any]) -> Any:
        """Run the program on padded arguments, and return the rows of the function's result."""
        structure, results = self._form
        outs, _ = flatten(self.recording.replay(padded(leaves, self._places, self.bucket)))
        made: list[Any] = []
        for (kind, what), out in zip(results, outs, strict=True):
            rows = self._rows[what] if kind == "value" else None
            if kind == "argument":
                made.append(leaves[what])
            else:
                made.append(out if rows is None else _first_rows(out, rows, self.count))
        return unflatten(structure, made)

    def memory_stats(self) -> dict[str, int]:
        """Return what the last replay of the bucket's program took."""
        return self.recording.memory_stats()

    def listing(self) -> str:
        """Return the bucket's program as text."""
        return self.recording.listing()


def padded(leaves: list[Any], places: tuple[int, ...], size: int) -> list[Any]:
    """Return arguments with some brought to ``size`` samples: the last one is repeated."""
    found = list(leaves)
    for place in places:
        array = leaves[place].array
        library, count = backend_of(array), array.shape[0]
        last = library.broadcast_to(array[count - 1 :], (size - count, *array.shape[1:]))
        found[place] = wrap(library.concat(array, last, 0), None)
    return found


def _first_rows(x: Tensor, rows: Rows, count: int) -> Tensor:
    """Return a copy of what belongs to the first samples: a view would keep all of it alive."""
    part = x.array[(*(slice(None),) * rows.axis, slice(count * rows.after))]
    return wrap(backend_of(part).copy(part), None)


class _Refusal(NamedTuple):
    """Why batches aren't padded, as long as what the recording depends on stays."""

    reason: str
    guards: Any


class Family:
    """What is known of calls that differ in the sizes of leading axes alone."""

    def __init__(self) -> None:
        self.first: tuple[int, ...] | None = None
        self.batched: tuple[int, ...] | None = None  # which sizes change together
        self.odd = False  # whether other sizes have changed
        self.programs: dict[int, list[Recording]] = {}  # by their buckets
        self.proven: set[int] = set()  # buckets that batches are padded to
        self.refused: dict[int, _Refusal] = {}
        self.own = self.recorded = 0
        self.stopped = False

    def count_of(self, sizes: tuple[int, ...]) -> int | None:
        """Return the size of the batch; None where it isn't known which one that is."""
        if self.first is None:
            self.first = sizes
        changed = tuple([i for i, n in enumerate(sizes) if n != self.first[i]])
        if self.batched is None and changed:
            if len({sizes[i] for i in changed}) == len({self.first[i] for i in changed}) == 1:
                self.batched = changed
            else:
                self.odd = True
        if self.batched is None or not self.batched:
            return None
        count = sizes[self.batched[0]]
        together = all(sizes[i] == count for i in self.batched)
        if not together or any(i not in self.batched for i in changed):
            self.odd = True
            return None
        return count

    def refusal(self, bucket: int) -> _Refusal | None:
        """Return why batches aren't padded to a bucket."""
        for place in (_WHOLE, bucket):
            found = self.refused.get(place)
            if found is not None:
                if not found.guards.holds():
                    return found
                self.refused.pop(place, None)
        return None

    def note(self) -> str:
        """Return what to tell of the family."""
        buckets = sorted(self.proven)
        lines = [f"batches: padded to {', '.join(map(str, buckets))}"] if buckets else []
        for bucket, refusal in sorted(self.refused.items()):
            among = f" up to {bucket}" if bucket else ""
            lines.append(f"batches: one program per size{among}; {refusal.reason}")
        if self.odd:
            lines.append("batches: one program per size where leading axes differ otherwise")
        return "\n".join(lines)


class Sizes(NamedTuple):
    """A call's family, and its batch: which arguments have it, and of what size."""

    family: Family
    samples: int | None
    places: tuple[int, ...]

    @property
    def paddable(self) -> bool:
        """Whether padding is possible by all that is known."""
        count = self.samples
        if count is None or count < 2:
            return False
        return self.family.refusal(bucket_of(count)) is None

    @property
    def runs_plainly(self) -> bool:
        """Whether the call is neither recorded nor replayed: of an empty batch, or one too many."""
        return self.samples == 0 or self.family.stopped


class Batches:
    """The families of one function's calls.

    Parameters
    ----------
    function
        What `jit` was applied to, and ``called`` its name.
    options
        Those of its recordings.
    """

    def __init__(self, function: Callable[..., Any], called: str, options: Options) -> None:
        self._function, self._called, self._options = function, called, options
        self._families: OrderedDict[Any, Family] = OrderedDict()
        self.recorded = 0

    def sizes_of(self, key: tuple[Any, ...], leaves: list[Any]) -> Sizes:
        """Return the family of a call, and the size of its batch."""
        form: list[Any] = []
        sizes: list[int] = []
        places: list[int] = []
        for place, (leaf, part) in enumerate(zip(leaves, key[-len(leaves) :], strict=False)):
            if type(leaf) is Tensor and leaf.array.shape:
                kind, shape, dtype, strides, plain = part
                # Those of an empty array, or of one sample, say nothing.
                order = None if leaf.array.flags.c_contiguous else strides
                form.append((kind, shape[1:], dtype, order, plain))
                sizes.append(shape[0])
                places.append(place)
            else:
                form.append(part)
        known = (key[: len(key) - len(leaves)], tuple(form))
        with _meeting:
            family = self._families.get(known)
            if family is None:
                family = self._families[known] = Family()
                if len(self._families) > _MOST_FAMILIES:
                    self._families.popitem(last=False)
            self._families.move_to_end(known)
            count = family.count_of(tuple(sizes))
            batched = () if count is None else tuple([places[i] for i in family.batched or ()])
        if any(leaves[place].node is not None for place in batched):
            count = None
        return Sizes(family, count, batched)

    # -- after a recording -------------------------------------------------------------------------
    def ready(self, sizes: Sizes, recording: Recording, key: Any, leaves: list[Any]) -> Any:
        """Return what replays calls such as one that was recorded; None: its own programs do."""
        family = sizes.family
        family.recorded += 1
        found = self._of_bucket(sizes, recording, key, leaves) if sizes.paddable else None
        if found is None:
            family.own += 1
        if family.own >= _STOP_OWN or family.recorded >= _STOP_ALL:
            family.stopped = True
            warnings.warn(
                f"jit: {self._called} was recorded {family.recorded} times for batches of other "
                "sizes, and runs as it is for more of them from now on; pass batches of fewer "
                "sizes",
                RuntimeWarning,
                stacklevel=users_level(),
            )
        return found

    def _of_bucket(self, sizes: Sizes, recording: Recording, key: Any, leaves: list[Any]) -> Any:
        family, count, places = sizes
        assert count is not None
        bucket = bucket_of(count)
        why = blocked(recording.program)
        if not why and (recording.gradients or recording.changed):
            why = "gradients are set, or tensors from outside changed"
        if why:
            return self._refuse(family, _WHOLE, why, recording)
        known = family.programs.setdefault(bucket, [])
        if count == bucket:
            for one in known:
                if not one.guards.holds() and not _difference(one, recording):
                    return one
            known.insert(0, recording)
            del known[_MOST_PROGRAMS:]
            return None
        for one in known:
            verdict = _compare(recording, one, (count, bucket), places)
            if verdict.outputs is not None:
                return self._padded(sizes, recording, one, verdict.outputs)
        return self._record_padded(sizes, recording, key, leaves)

    def _record_padded(self, sizes: Sizes, recording: Recording, key: Any, leaves: list[Any]
                       ) -> Any:  # fmt: skip
        """Record the function on a padded batch; where it doesn't qualify, nothing has happened."""
        family, count, places = sizes
        assert count is not None
        bucket = bucket_of(count)
        given = padded(leaves, places, bucket)
        args, kwargs = arguments_of(key, given)
        verdict = Verdict(None, "")

        def check(session: Any, large: Recording) -> None:
            nonlocal verdict
            verdict = _compare(recording, large, (count, bucket), places)
            if verdict.outputs is None:
                raise CaptureError(verdict.reason)

        try:
            _, large = record(self._function, given, args, kwargs, check=check, trial=True)
        except CaptureError as error:
            verdict = Verdict(None, verdict.reason or str(error), verdict.mixes)
            large = None
        if large is None or verdict.outputs is None:
            place = _WHOLE if verdict.mixes else bucket
            return self._refuse(family, place, verdict.reason, recording)
        large.options = self._options
        self.recorded += 1
        known = family.programs[bucket]
        known.insert(0, large)
        del known[_MOST_PROGRAMS:]
        return self._padded(sizes, recording, large, verdict.outputs)

    @staticmethod
    def _padded(sizes: Sizes, recording: Recording, large: Recording,
                rows: tuple[Rows | None, ...]) -> Padded:  # fmt: skip
        family, count, places = sizes
        assert count is not None
        family.proven.add(bucket_of(count))
        # Where both hold and look at the same things, one will do: that of all sizes.
        guards = recording.guards
        both_hold = not large.guards.holds() and not guards.holds()
        if both_hold and large.guards.watches() == guards.watches():
            guards = large.guards
        return Padded(guards, large, count, bucket_of(count), places, rows, recording)

    @staticmethod
    def _refuse(family: Family, place: int, reason: str, recording: Recording) -> None:
        family.refused[place] = _Refusal(reason or "nothing was recorded", recording.guards)
        family.programs = {b: one for b, one in family.programs.items() if b in family.proven}

    # -- what is kept ------------------------------------------------------------------------------
    def trim(self, keys: OrderedDict[Any, Any]) -> None:
        """Drop the oldest keys with programs of their own where there are too many."""
        own = [
            key for key, one in keys.items()
            if any(type(found) is Recording for found in (*one.ready, *one.unproven))
        ]  # fmt: skip
        for key in own[:-_MOST_OWN]:
            del keys[key]

    def programs(self) -> list[Recording]:
        """Return the programs of all buckets."""
        return [
            one for family in self._all() for found in list(family.programs.values())
            for one in list(found)
        ]  # fmt: skip

    def note(self) -> str:
        """Return what to tell of the newest family."""
        families = self._all()
        return families[-1].note() if families else ""

    def clear(self) -> None:
        """Forget all of it."""
        with _meeting:
            self._families.clear()

    def _all(self) -> list[Family]:
        with _meeting:
            return list(self._families.values())


def _compare(small: Recording, large: Recording, sizes: tuple[int, int],
             places: tuple[int, ...]) -> Verdict:  # fmt: skip
    """Compare recordings for two sizes of a batch, the ways in and out included."""
    if large.gradients or large.changed:
        return Verdict(None, "gradients are set, or tensors from outside changed", True)
    why = _other_results(small, large)
    if why:
        return Verdict(None, why, True)
    batched = [number for number, place in enumerate(small.places) if place in places]
    return compare(small.program, large.program, sizes, batched)


def _other_results(one: Recording, other: Recording) -> str:
    if one.places != other.places or one.structure != other.structure:
        return "the form of the result depends on the batch size"
    for (kind, what), (other_kind, other_what) in zip(one.results, other.results, strict=True):
        if kind != other_kind:
            return "the result depends on the batch size"
        if kind == "tensor" and what() is not other_what():
            return "the result depends on the batch size"
        plain = type(what) is type(other_what) and repr(what) == repr(other_what)
        if kind != "tensor" and what is not other_what and not plain:
            return f"a result that is no tensor depends on the batch size, {what!r:.60}"
    return ""


def _difference(one: Recording, other: Recording) -> str:
    """Return how recordings for the same size differ; "" where they don't."""
    return _other_results(one, other) or same(one.program, other.program)
