"""`Trainer`: the loop over epochs and batches."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import runtime
from ..core.capture import unless
from ..core.tensor import Tensor
from ..errors import ArgumentError, CaptureError, NumericalError, WorkerError
from ..nn.utils import clip_grad_norm_, clip_grad_value_, l1_penalty
from ..ops import random
from ..ops.amp import autocast
from ..ops.creation import asarray
from ..ops.elementwise import isfinite
from ..ops.joining import concat
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..transforms.jit import jit as recorded
from ..transforms.tree import map_leaves
from . import batches, resuming
from .autopsy import broken_parameter, find_origin
from .callbacks import Callback, Convergence
from .checkpoint import Checkpoint
from .history import History
from .interrupts import InterruptGuard, Terminated
from .logs import Progress
from .metrics import Averages, Metric, resolve
from .parts import as_number, check_number, check_parts, detached, move
from .precision import choose_precision
from .verifying import make_verifier


class Trainer:
    """Trains a model: the same loop on a CPU and a GPU.

    Parameters
    ----------
    model : Module
        The network.
    optimizer : Optimizer
        Made from the model's parameters.
    loss : callable
        ``loss(output, target)``, a mean over the batch.
    metrics : sequence of str or callable
        ``"accuracy"``, ``"mean_absolute_error"``, or functions ``metric(output, target)`` of a
        batch, whose means over the samples are recorded under the functions' names.
    callbacks : sequence of Callback
        `EarlyStopping`, `Checkpoint`, `MetricsFile`, `Curves`, `Report`, `TensorBoard`, or your
        own.
    device : str, optional
        Where to train; the model, the optimizer's state and the batches are moved there. By
        default where the model is.
    scheduler : LRScheduler, optional
        A schedule of the learning rate, whose ``step`` is called after each epoch.
    clip_norm, clip_value : float, optional
        The greatest norm of all gradients together, or the greatest magnitude of an element.
    l1 : float
        The factor of the sum of the parameters' magnitudes in what is minimised. The recorded
        loss goes without it.
    progress : bool, optional
        Whether to show progress; by default where standard error is a terminal.
    jit : bool
        Whether steps are recorded and replayed (`tensorflowlite.jit`). Where one can't be, a
        warning says why, and all of them run as they are.
    amp : bool, str or dtype
        Whether the model and the loss run in `amp.autocast`, and in which dtype; True takes the
        device's: bfloat16 on a CPU, float16 on a GPU.
    scaler : GradScaler, optional
        Scales the loss up; by default one is made where ``amp`` is float16.
    resume : str or path, optional
        What `fit` takes where it isn't told: "auto", or a file.
    verify_gradients : int
        Before every so many steps, the gradients of the loss are held to its central differences
        in float64, on copies of the model; 0 for never.

    Attributes
    ----------
    history : History
        What was measured so far.
    stop_reason : str
        Why the training stopped; empty while it goes on.
    batch : int
        How many batches of the epoch under way are done.
    loaders : tuple
        The loaders of the fit under way, of training and of validation; both None after it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn, optim
    >>> from tensorflowlite.data import DataLoader, TensorDataset
    >>> from tensorflowlite.nn import functional as F
    >>> from tensorflowlite.train import Trainer
    >>> tfl.manual_seed(0)
    >>> x = tfl.randn(64, 2)
    >>> data = TensorDataset(x, (x.sum(1) > 0).astype(tfl.int64))
    >>> model = nn.Linear(2, 2)
    >>> optimizer = optim.AdamW(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, optimizer, F.cross_entropy, metrics=["accuracy"])
    >>> history = trainer.fit(DataLoader(data, batch_size=16, shuffle=True), epochs=10)
    >>> len(history), history["accuracy"][-1] > 0.9
    (10, True)
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Iterable[str | Metric] = (),
        callbacks: Iterable[Callback] = (),
        device: Any = None,
        *,
        scheduler: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        l1: float = 0.0,
        progress: bool | None = None,
        jit: bool = True,
        amp: Any = None,
        scaler: Any = None,
        resume: Any = None,
        verify_gradients: int = 0,
    ) -> None:
        check_parts(model, optimizer, loss)
        resuming.check_resume("Trainer", resume)
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None and not value > 0:
                raise ArgumentError(f"Trainer: {name} must be positive or None, got {value}")
        if not 0 <= l1 < math.inf:
            raise ArgumentError(f"Trainer: l1 must be finite and not negative, got {l1}")
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = resolve(metrics)
        self.scheduler = scheduler
        self.clip_norm, self.clip_value, self.l1 = clip_norm, clip_value, float(l1)
        everyone = [Progress(progress), *callbacks]
        self.callbacks = sorted(everyone, key=lambda callback: callback.priority)
        first = next(iter(model.parameters()), None)
        self.device = device if device is not None else getattr(first, "device", "cpu")
        if device is not None:
            move(model, optimizer, device)
        self.amp, self.scaler = choose_precision(amp, scaler, self.device)
        self.resume, self.records = resume, bool(jit)
        self.history = History()
        self.stop_reason = ""
        self.stopped_by_callback = ""  # where it wouldn't say so again after a resumption
        self.epochs = 0
        self.under_way = resuming.EpochUnderWay()
        self.loaders: tuple[Any, Any] = (None, None)
        self._healthy: tuple[Any, ...] = ()  # epoch, batch and loss of the last step
        self._guard = InterruptGuard()
        self._learn: Callable[..., tuple[Tensor, Tensor, Any]] = self._learn_from
        if jit:
            self._learn = recorded(self._learn_from)
        self._verify = make_verifier(model, loss, verify_gradients)

    @property
    def batch(self) -> int:
        """How many batches of the epoch under way are done."""
        return self.under_way.batch

    # -- the loop --------------------------------------------------------------------------------
    def fit(
        self,
        train: Iterable[Any],
        validation: Iterable[Any] | None = None,
        epochs: int = 10,
        *,
        tolerance: float | None = None,
        resume: Any = None,
    ) -> History:
        """Train until the last epoch, or until something says stop.

        Parameters
        ----------
        train : iterable of batches
            A `DataLoader`, or any iterable that begins anew each epoch; where it has
            ``set_epoch``, it is told the epoch's number, from 0, first. A batch is a tuple of
            inputs and, last, the target.
        validation : iterable of batches, optional
            What is measured after each epoch, without training on it.
        epochs : int
            The number of the last epoch: a resumed run goes on to it.
        tolerance : float, optional
            Stop where the training loss changes by at most this part of itself; see `Convergence`.
        resume : str or path, optional
            A file that `Checkpoint` wrote. Model, optimizer, schedule, loss scaler, callbacks,
            history and random state are taken from it, and the run goes on with the next batch as
            if it had not been interrupted. Where the file is damaged, a warning says so, and the
            one before is taken. "auto" stands for the file of the `Checkpoint` among the
            callbacks; where there is none yet, the run begins.

        Returns
        -------
        History
            Of all epochs, those before a resumption included.

        Raises
        ------
        NumericalError
            Where the loss isn't finite. Parameters are those before the step, checkpoints stay.
        StateError
            Where the checkpoint is of another model, optimizer, schedule or loader; nothing was
            changed.
        GradientError
            Where ``verify_gradients`` finds gradients that are wrong.
        KeyboardInterrupt
            After Ctrl-C, which takes effect between two steps and leaves a checkpoint that the
            run can go on from, where a `Checkpoint` is among the callbacks. A second one takes
            effect at once and leaves the checkpoint before.
        SystemExit
            After SIGTERM, in the same way; the process ends with exit code 143.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ArgumentError(f"fit: epochs must be an integer of at least 1, got {epochs!r}")
        resuming.check_resume("fit", resume)
        self.epochs = epochs
        self.history, self.under_way = History(), resuming.EpochUnderWay()
        self.stop_reason = self.stopped_by_callback = ""
        self._healthy = ()
        resume = self.resume if resume is None else resume
        if resume is not None:
            resuming.resume(self, resume, train)
        before = self.callbacks
        if tolerance is not None:
            self.callbacks = [*before, Convergence(tolerance)]
            self.callbacks.sort(key=lambda callback: callback.priority)
        self.loaders = (train, validation)
        try:
            with InterruptGuard() as self._guard:
                self._run_until_interrupted(train, validation)
            # One that came after the last step: the run is over, and whole.
            self._guard.check()
        finally:
            self.under_way.leave()
            failed: BaseException | None = None
            for callback in self.callbacks:
                try:
                    callback.close(self)
                except BaseException as error:  # Ctrl-C too: the others are closed all the same
                    failed = failed or error
            self.callbacks, self._guard = before, InterruptGuard()
            self.loaders = (None, None)
            if failed is not None:
                raise failed
        return self.history

    def stop(self, reason: str) -> None:
        """Stop after the epoch under way; the first reason given is the one that is recorded.

        Examples
        --------
        >>> from tensorflowlite import nn, optim
        >>> from tensorflowlite.nn import functional as F
        >>> from tensorflowlite.train import Trainer
        >>> model = nn.Linear(2, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
        >>> trainer.stop("enough")
        >>> trainer.stop_reason
        'enough'
        """
        if not self.stop_reason:
            self.stop_reason = self.stopped_by_callback = reason

    def _run_until_interrupted(self, train: Iterable[Any], validation: Any) -> None:
        try:
            try:
                self._run(train, validation)
            except WorkerError:
                # SIGTERM to the whole group of processes ends the loader's workers as well.
                self._guard.check()
                raise
        except (KeyboardInterrupt, Terminated):
            self._leave_checkpoint()
            raise

    def _run(self, train: Iterable[Any], validation: Iterable[Any] | None) -> None:
        states = random.get_states() if self.history.records or self.batch else None
        for callback in self.callbacks:
            self._call(callback, callback.on_fit_start)
        if states is not None:  # the run that goes on drew what they draw when it began
            random.set_states(states)
        while len(self.history) < self.epochs and (self.batch or not self.stop_reason):
            self._epoch(len(self.history) + 1, train, validation)
        self.stop_reason = self.stop_reason or f"all {self.epochs} epochs were run"
        self.history.reason = self.stop_reason
        for callback in self.callbacks:
            callback.on_fit_end(self)

    def _epoch(self, epoch: int, train: Iterable[Any], validation: Iterable[Any] | None) -> None:
        self.under_way.open(train)
        for callback in self.callbacks:
            callback.on_epoch_start(self, epoch, batches.length(train))
        for loader in (train, validation):
            set_epoch = getattr(loader, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch - 1)
        self.model.train()
        # A run that was interrupted within the epoch goes on with the next batch.
        for batch in self.under_way.timed(self.under_way.begin(train, epoch)):
            for callback in self.callbacks:
                callback.on_batch_start(self)
            begun = time.perf_counter()
            loss = self._step(epoch, batch)
            self.under_way.stepping += time.perf_counter() - begun
            self.under_way.batch += 1
            for callback in self.callbacks:
                callback.on_batch_end(self, loss)
            self._guard.check()
        batches.require_batches("fit", self.batch)
        self._check_parameters(epoch)
        record = {"epoch": epoch, **self.under_way.averages.means()}
        if validation is not None:
            record |= self._validate(validation)
        record["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        self._schedule(record)
        record["seconds"] = self.under_way.seconds
        self.under_way.finish()
        self.history.records.append(record)
        for callback in self.callbacks:
            self._call(callback, callback.on_epoch_end, record)
        self._guard.check()

    def _call(self, callback: Callback, method: Callable[..., None], *given: Any) -> None:
        going_on = not self.stop_reason
        method(self, *given)
        if going_on and callback.stops_again:
            self.stopped_by_callback = ""

    def _validate(self, validation: Iterable[Any]) -> dict[str, float]:
        states, begun = random.get_states(), time.perf_counter()
        try:
            values = self.evaluate(validation)
            self.under_way.validating = time.perf_counter() - begun
        except BaseException:
            random.set_states(states)  # a run that goes on from here measures all of it again
            raise
        return {f"validation_{name}": value for name, value in values.items()}

    def _step(self, epoch: int, batch: Any) -> float:
        """Train on one batch and return its loss."""
        inputs, target = batches.split("fit", batches.to_device(batch, self.device))
        self._verify(inputs, target)
        try:
            loss, objective, output = self._learn(inputs, target)
        except CaptureError as error:
            if self._learn == self._learn_from:
                raise
            self._learn = self._learn_from
            warnings.warn(f"fit: steps aren't recorded: {error}", RuntimeWarning, stacklevel=4)
            loss, objective, output = self._learn(inputs, target)
        value = float(loss)
        minimised = float(objective) if self.l1 else value
        if not math.isfinite(minimised):
            raise self._explain(epoch, minimised, inputs, target)
        self._healthy = (epoch, self.batch + 1, value)
        self.under_way.averages.add(batches.count(target), self._measure(value, output, target))
        return value

    def _learn_from(self, inputs: tuple[Any, ...], target: Any) -> tuple[Tensor, Tensor, Any]:
        """Train on one batch; return the loss, what was minimised, and the model's output."""
        if runtime.shared.captures:
            runtime.observe(self, _settings_of)
        self.optimizer.zero_grad()
        with self._precision():
            output = self.model(*inputs)
            loss: Any = self.loss(output, target)
        check_number("fit", loss)
        objective = loss
        if self.l1:
            penalty: Any = l1_penalty(self.model.parameters())
            objective = loss + penalty * self.l1
        # No gradient of a NaN ever reaches a parameter: the scaler skips such steps by itself.
        if self.scaler is not None and self.scaler.is_enabled():
            self._descend(self.scaler.scale(objective), self.scaler)
        else:
            unless([~isfinite(objective)], functools.partial(self._descend, objective))
        return loss.detach(), objective.detach(), map_leaves(detached, output)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self.amp is None else autocast(self.device, self.amp)

    def _descend(self, objective: Any, scaler: Any = None) -> None:
        objective.backward()
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()

    def _measure(self, loss: float, output: Tensor, target: Any) -> dict[str, float]:
        with runtime.set_mode(grad=False):
            values = {name: float(metric(output, target)) for name, metric in self.metrics.items()}
        return {"loss": loss, **values}

    def _schedule(self, record: dict[str, Any]) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(record.get("validation_loss", record["loss"]))
        elif self.scheduler is not None:
            self.scheduler.step()

    def _check_parameters(self, epoch: int) -> None:
        # A finite loss can have gradients that aren't; no checkpoint may hold what they made.
        path = broken_parameter(self.model)
        if path is not None:
            raise NumericalError(
                f"fit: the parameters must be finite, got '{path}' with NaN or infinity after "
                f"epoch {epoch}; lower the learning rate or clip the gradients"
                f"{self._last_checkpoint('; the checkpoint before it is kept in {}')}"
            )

    def _explain(
        self, epoch: int, loss: float, inputs: tuple[Any, ...], target: Any
    ) -> NumericalError:
        with self._precision():
            found = find_origin(self.model, inputs, target, self.loss)
        error = NumericalError(
            f"fit: the loss must be finite, got {loss} in epoch {epoch}, batch {self.batch + 1}: "
            f"{found.clause}{self._last_checkpoint('; the checkpoint before it is kept in {}')}"
        )
        if found.operation:
            error.add_note(found.operation)
        if self._healthy:
            text = "the last healthy step: epoch {}, batch {}, loss {:g}"
            error.add_note(text.format(*self._healthy))
        return error

    def _last_checkpoint(self, text: str) -> str:
        kept = [c.path for c in self.callbacks if isinstance(c, Checkpoint) and c.saved]
        return text.format(f"'{kept[0]}'") if kept else ""

    def _leave_checkpoint(self) -> None:
        self.history.reason = "interrupted"
        # A second Ctrl-C strikes at once, perhaps within a step: memory isn't whole then.
        if self._guard.between_steps and broken_parameter(self.model) is None:
            for callback in self.callbacks:
                callback.on_interrupt(self)
        where = self._last_checkpoint("; {} holds a checkpoint to resume from")
        print(f"fit: interrupted in epoch {len(self.history) + 1}{where}", file=sys.stderr)

    # -- without training ------------------------------------------------------------------------
    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Return the mean loss and metrics of a data set, in evaluation mode.

        Parameters
        ----------
        loader : iterable of batches
            As in `fit`.

        Returns
        -------
        dict of str to float
            ``loss`` and the metrics.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn, optim
        >>> from tensorflowlite.nn import functional as F
        >>> from tensorflowlite.train import Trainer
        >>> model = nn.Linear(2, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
        >>> sorted(trainer.evaluate([(tfl.ones((4, 2)), tfl.zeros((4, 1)))]))
        ['loss']
        """
        averages, number = Averages(), 0
        with self._without_training():
            for batch in loader:
                inputs, target = batches.split("evaluate", batches.to_device(batch, self.device))
                with self._precision():
                    output = self.model(*inputs)
                    loss = as_number("evaluate", self.loss(output, target))
                averages.add(batches.count(target), self._measure(loss, output, target))
                number += 1
                self._guard.check()
        batches.require_batches("evaluate", number)
        return averages.means()

    def predict(self, data: Any, batch_size: int = 256) -> Tensor:
        """Return the model's outputs for a data set, in evaluation mode.

        Parameters
        ----------
        data : iterable of batches, Tensor or array
            A loader, whose targets are left aside where there are any, or all inputs at once.
        batch_size : int
            How many samples of an array go through the model at a time.

        Returns
        -------
        Tensor
            The outputs, one after the other, on the CPU.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> from tensorflowlite import nn, optim
        >>> from tensorflowlite.nn import functional as F
        >>> from tensorflowlite.train import Trainer
        >>> model = nn.Linear(2, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
        >>> trainer.predict(tfl.ones((5, 2)), batch_size=2).shape
        (5, 1)
        """
        if hasattr(data, "ndim") and hasattr(data, "dtype"):
            data = batches.slices(data, batch_size)
        with self._without_training():
            inputs = (batches.to_device(batches.inputs_of(batch), self.device) for batch in data)
            with self._precision():
                parts = [asarray(self.model(*one).detach(), device="cpu") for one in inputs]
        batches.require_batches("predict", len(parts))
        return concat(parts)

    @contextlib.contextmanager
    def _without_training(self) -> Iterator[None]:
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        try:
            with runtime.set_mode(grad=False):
                yield
        finally:
            for module in training:
                module.training = True

    # -- saving and loading ----------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Return all that a run needs to go on, as `Checkpoint` writes it.

        The optimizer's states stand under the paths of their parameters.

        Examples
        --------
        >>> from tensorflowlite import nn, optim
        >>> from tensorflowlite.nn import functional as F
        >>> from tensorflowlite.train import Trainer
        >>> model = nn.Linear(2, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
        >>> sorted(trainer.state_dict()["model"])
        ['bias', 'weight']
        """
        return resuming.state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        StateError
            Where the model, the optimizer, the schedule or the scaler is another one; nothing was
            changed.

        Examples
        --------
        >>> from tensorflowlite import nn, optim
        >>> from tensorflowlite.nn import functional as F
        >>> from tensorflowlite.train import Trainer
        >>> model = nn.Linear(2, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
        >>> trainer.load_state_dict(trainer.state_dict())
        """
        resuming.load_state(self, state)


def _settings_of(trainer: Trainer) -> tuple[Any, ...]:
    """Return what a recorded step depends on beside the model and the optimizer's own."""
    return (
        trainer.model, trainer.optimizer, trainer.loss, trainer.clip_norm, trainer.clip_value,
        trainer.l1, trainer.amp, trainer.scaler,
    )  # fmt: skip
