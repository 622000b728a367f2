"""The callback that measures a training for its report, and writes it at the end."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentError, TensorflowliteError
from ...io import WriteError, write_atomically
from ...ops import random
from .. import batches
from ..callbacks import Callback
from ..curves import require_matplotlib
from .environment import environment, modules, plain, settings
from .predictions import look
from .record import best_epoch, empty, encode
from .steps import StepStatistics, rounded
from .writing import page_of

if TYPE_CHECKING:
    from ..trainer import Trainer

FilePath = str | os.PathLike[str]
_INTERRUPTED = 2.0  # the seconds that predictions may take where somebody waits for the end


class Report(Callback):
    """Measure a training, and write a page about it when it ends, after an error or Ctrl-C too.

    The page is one HTML file that needs no network and no JavaScript: curves, what the model
    confuses and its worst mistakes, the norms of gradients and updates of each parameter, speed,
    configuration and versions. Beside it the measured is kept as JSON, which `write_report` and
    ``tensorflowlite report`` read. The training has the same bits with it and without. Where
    something can't be written at the end, a warning says so.

    Parameters
    ----------
    path : str or path
        The page, ``report.html`` by custom; what was measured goes to a file of the same name that
        ends in ``.json``.
    monitor : str, optional
        The measure whose best epoch is marked; by default ``validation_loss``, or ``loss``.
    data : iterable of batches, optional
        What the predictions at the end are of; by default the validation data, and none without.
    part : str, optional
        What these data are called; by default "validation".
    kind : str, optional
        "classification" or "regression"; by default told by outputs, targets and loss.
    classes, features : sequence of str
        Names of the classes, and of the inputs' values where they aren't pictures.
    scale : pair of float
        Mean and unit of a regression's targets, where the model has them standardised: values
        are shown as ``value * unit + mean``.
    config : mapping, optional
        More about the run's configuration, as a reader should see it.
    name : str, optional
        The run's name; by default that of the page's folder.

    Raises
    ------
    ArgumentError
        When the training begins, where the page's folder isn't there or ``path`` is a folder.

    Notes
    -----
    Of every k-th step, about 200 of a run, the parameters are copied before it: then they take
    twice their memory. Gradients are as the optimizer gets them: without the loss's scale, after
    clipping.

    Examples
    --------
    >>> from tensorflowlite.train import Report
    >>> Report("run/report.html").record
    'run/report.json'
    """

    priority = 15

    def __init__(
        self,
        path: FilePath,
        monitor: str | None = None,
        *,
        data: Iterable[Any] | None = None,
        part: str | None = None,
        kind: str | None = None,
        classes: Sequence[str] = (),
        features: Sequence[str] = (),
        scale: tuple[float, float] = (0.0, 1.0),
        config: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        require_matplotlib("Report")
        if kind not in (None, "classification", "regression"):
            raise ArgumentError(
                f"Report: kind must be 'classification', 'regression' or None, got {kind!r:.40}"
            )
        if data is not None and not isinstance(data, Iterable):
            raise ArgumentError(
                f"Report: data must be batches, as of a DataLoader, got {type(data).__name__}"
            )
        if not isinstance(path, str | bytes | os.PathLike):
            raise ArgumentError(
                f"Report: path must be that of the page, got {type(path).__name__}; "
                "Report('report.html')"
            )
        self.path = os.fsdecode(path)
        if os.path.basename(self.path) in ("", os.curdir, os.pardir):
            raise ArgumentError(
                f"Report: path must name the page, got '{self.path}'; take "
                f"'{os.path.join(self.path, 'report.html')}'"
            )
        stem, suffix = os.path.splitext(self.path)
        if suffix.lower() == ".json":
            raise ArgumentError(
                f"Report: path must name the page, got '{self.path}'; take '{stem}.html', and what "
                f"was measured goes to '{self.path}'"
            )
        self.record = f"{stem}.json"
        self.monitor = monitor
        self.data, self.part = data, part or ("validation" if data is None else "given")
        self.kind = kind
        self.names = {"classes": [str(one) for one in classes],
                      "features": [str(one) for one in features]}  # fmt: skip
        mean, unit = scale
        self.scale = (float(mean), float(unit))
        self.config = dict(config or {})
        self.written = False  # whether the page was written, after the training
        self.name = name or os.path.basename(os.path.dirname(os.path.abspath(self.path))) or "run"
        self.statistics = StepStatistics()
        self._times: list[dict[str, Any]] = []
        self._partial = (0.0, 0.0)  # loading and steps of the epoch before a resumption
        self._samples = 0
        self._missed = 0  # epochs before the first that was measured
        self._mark = 0.0
        self._under_way: Any = None
        self._begun = False

    # -- while it trains -------------------------------------------------------------------------
    def on_fit_start(self, trainer: Trainer) -> None:
        self._check_place()
        if not len(trainer.history) and not trainer.batch:
            self.statistics, self._times, self._partial = StepStatistics(), [], (0.0, 0.0)
        train = trainer.loaders[0]
        number = batches.length(train)
        self.statistics.begin(trainer.model, number and number * trainer.epochs)
        if number and not self.statistics.steps:
            self.statistics.step = len(trainer.history) * number + trainer.batch
        self._under_way, self._begun = trainer.under_way, True
        self._samples = trainer.under_way.averages.samples
        self._mark = time.perf_counter()

    def _check_place(self) -> None:
        """Refuse before the training what would cost its report after it."""
        if os.path.isdir(self.path):
            raise ArgumentError(
                f"Report: path must name the page, got the folder '{self.path}'; take "
                f"'{os.path.join(self.path, 'report.html')}'"
            )
        folder = os.path.dirname(self.path)
        if folder and not os.path.isdir(folder):
            raise ArgumentError(
                f"Report: the folder of the page must exist, got '{self.path}'; make '{folder}' "
                "first"
            )

    def on_batch_start(self, trainer: Trainer) -> None:
        try:
            self.statistics.before_step()
        except Exception as error:  # as where no memory is left for a copy: the training goes on
            self.statistics.fail(error)

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        try:
            self.statistics.after_step(loss, trainer.optimizer.param_groups[0]["lr"])
        except Exception as error:  # as of a parameter that has another shape now
            self.statistics.fail(error)
        self._samples = trainer.under_way.averages.samples

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        now, epoch = time.perf_counter(), trainer.under_way
        loading, step = self._partial[0] + epoch.loading, self._partial[1] + epoch.stepping
        # What came after the last epoch's end, such as its checkpoint, counts to this one.
        whole = max(now - self._mark, 0.0) + sum(self._partial)
        rest = max(whole - loading - step - epoch.validating, 0.0)
        self._times.append({
            "epoch": int(record["epoch"]), "samples": self._samples, "loading": loading,
            "step": step, "validation": epoch.validating, "rest": rest,
        })  # fmt: skip
        self._partial, self._mark = (0.0, 0.0), now

    # -- keeping ---------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        epoch = self._under_way
        loading, step = self._partial
        if epoch is not None and epoch.batch:
            loading, step = loading + epoch.loading, step + epoch.stepping
        return {
            "steps": self.statistics.state_dict(),
            "times": [dict(one) for one in self._times],
            "partial": [loading, step],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.statistics = StepStatistics()
        self.statistics.load_state_dict(state["steps"])
        self._times = [dict(one) for one in state["times"]]
        loading, step = state["partial"]
        self._partial = (loading, step)

    # -- the end ---------------------------------------------------------------------------------
    def close(self, trainer: Trainer) -> None:
        if not self._begun:
            return
        self._begun = self.written = False
        under_way = sys.exception()
        try:
            self._write(trainer)
        except Exception as error:  # a training isn't lost for its report
            disk = isinstance(error, WriteError) and isinstance(under_way, WriteError)
            if disk and not trainer.history.reason:
                return  # what ended the training tells of the disk that is full
            said = " ".join(str(error).split())
            if not isinstance(error, TensorflowliteError):
                said = f"{type(error).__name__}: {said}"
            text = f"Report: the report wasn't written: {said}"
            try:
                warnings.warn(text, RuntimeWarning, stacklevel=3)
            except RuntimeWarning:
                if under_way is None:
                    raise
                under_way.add_note(text)  # where warnings are errors, the training's own is raised
        finally:
            self._under_way = None

    def _write(self, trainer: Trainer) -> None:
        run = self._describe(trainer)
        write_atomically(self.record, encode(run), op="report")
        write_atomically(self.path, page_of([run]).encode(), op="report")
        self.written = True

    def _describe(self, trainer: Trainer) -> dict[str, Any]:
        run = empty(self.name)
        records = [
            {str(name): _plain(value) for name, value in record.items() if _is_number(value)}
            for record in trainer.history.records
        ]
        monitor = self.monitor or (
            "validation_loss" if any("validation_loss" in one for one in records) else "loss"
        )
        ended = _ended(trainer)
        notes = []
        missed = len(records) - len(self._times)
        if missed > 0:
            notes.append(
                f"The first {missed} epochs were trained without a report: of them only the curves "
                "are known."
            )
        failed = self.statistics.problem
        if failed is not None:
            notes.append(f"Measuring steps failed, and no more of them were: {_told(failed)}.")
        predicted, problem, first = self._predict(trainer, bool(ended))
        if problem:
            notes.append(f"No predictions are shown: {problem}.")
        run |= {
            "reason": trainer.history.reason or ended,
            "monitor": monitor,
            "planned": trainer.epochs,
            "best": best_epoch(records, monitor),
            "history": records,
            "times": [
                {name: value if isinstance(value, int) else rounded(value) or 0.0
                 for name, value in one.items()} for one in self._times
            ],
            "steps": self.statistics.describe(),
            "predictions": predicted,
            "model": self._modules(trainer, first),
            "configuration": plain({**settings(trainer), **self.config}),
            "environment": environment(trainer.device),
            "notes": notes,
        }  # fmt: skip
        return run

    def _modules(self, trainer: Trainer, batch: Any) -> dict[str, Any]:
        states = random.get_states()
        try:
            return modules(trainer, batch)
        finally:
            random.set_states(states)  # a model may draw whenever it is called

    def _predict(self, trainer: Trainer, hurry: bool) -> tuple[Any, str, Any]:
        loader = trainer.loaders[1] if self.data is None else self.data
        if loader is None:
            return None, "the training had no validation data, and the report was given none", None
        seconds = _INTERRUPTED if hurry else math.inf
        try:
            return look(trainer, loader, self.part, self.names, self.kind, self.scale, seconds)
        except Exception as error:  # whatever a model or a data set raises
            return None, f"the model failed on the {self.part} data ({_told(error)})", None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def _plain(value: Any) -> float | int | None:
    return value if type(value) is int else rounded(float(value))


def _ended(trainer: Trainer) -> str:
    """Return what ended the training, where it didn't end by itself."""
    if trainer.history.reason == "interrupted":
        return "interrupted"
    if trainer.history.reason:
        return ""
    error = sys.exception()
    if error is None:
        return "it was ended from outside"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
