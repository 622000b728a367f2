"""`Trainer`: the loop over epochs and batches."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import runtime
from ..core.capture import unless
from ..core.tensor import Tensor
from ..errors import ArgumentError, CaptureError, DtypeError, NumericalError, ShapeError
from ..nn.utils import clip_grad_norm_, clip_grad_value_, l1_penalty
from ..ops import random
from ..ops.creation import asarray
from ..ops.elementwise import isfinite
from ..ops.joining import concat
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..transforms.jit import jit as recorded
from ..transforms.tree import map_leaves
from . import batches
from .autopsy import broken_parameter, find_origin
from .callbacks import Callback, Convergence
from .checkpoint import (
    Checkpoint,
    load_optimizer_state,
    make_checkpoint,
    optimizer_state,
    read_checkpoint,
)
from .history import History
from .interrupts import InterruptGuard
from .logs import Progress
from .metrics import Averages, Metric, resolve


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
        `EarlyStopping`, `Checkpoint`, `MetricsFile`, `Curves`, `TensorBoard`, or your own.
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

    Attributes
    ----------
    history : History
        What was measured so far.
    stop_reason : str
        Why the training stopped; empty while it goes on.

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
    ) -> None:
        _check_parts(model, optimizer, loss)
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
            _move(model, optimizer, device)
        self.history = History()
        self.stop_reason = ""
        self.epochs = 0
        self._averages = Averages()  # of the epoch under way
        self._batch = 0  # how many batches of it are done
        self._guard = InterruptGuard()
        self._learn: Callable[..., tuple[Tensor, Tensor, Any]] = self._learn_from
        if jit:
            self._learn = recorded(self._learn_from)

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
            A `DataLoader`, or any iterable that begins anew each epoch. A batch is a tuple of
            inputs and, last, the target.
        validation : iterable of batches, optional
            What is measured after each epoch, without training on it.
        epochs : int
            The number of the last epoch: a resumed run goes on to it.
        tolerance : float, optional
            Stop where the training loss changes by at most this part of itself; see `Convergence`.
        resume : str or path, optional
            A file that `Checkpoint` wrote. Model, optimizer, schedule, history and random state
            are taken from it, and the run goes on as if it had not been interrupted.

        Returns
        -------
        History
            Of all epochs, those before a resumption included.

        Raises
        ------
        NumericalError
            Where the loss isn't finite. Parameters are those before the step, checkpoints stay.
        KeyboardInterrupt
            After Ctrl-C, which takes effect between two steps and leaves a checkpoint that the
            run can go on from, where a `Checkpoint` is among the callbacks.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ArgumentError(f"fit: epochs must be an integer of at least 1, got {epochs!r}")
        self.epochs = epochs
        self.history, self._averages, self._batch = History(), Averages(), 0
        if resume is not None:
            self.load_state_dict(read_checkpoint(resume))
        self.stop_reason = ""
        before = self.callbacks
        if tolerance is not None:
            self.callbacks = [*before, Convergence(tolerance)]
            self.callbacks.sort(key=lambda callback: callback.priority)
        try:
            with InterruptGuard() as self._guard:
                self._run(train, validation)
        except KeyboardInterrupt:
            self._leave_checkpoint()
            raise
        finally:
            for callback in self.callbacks:
                callback.close(self)
            self.callbacks, self._guard = before, InterruptGuard()
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
            self.stop_reason = reason

    def _run(self, train: Iterable[Any], validation: Iterable[Any] | None) -> None:
        for callback in self.callbacks:
            callback.on_fit_start(self)
        while len(self.history) < self.epochs and not self.stop_reason:
            self._epoch(len(self.history) + 1, train, validation)
        self.stop(f"all {self.epochs} epochs were run")
        self.history.reason = self.stop_reason
        for callback in self.callbacks:
            callback.on_fit_end(self)

    def _epoch(self, epoch: int, train: Iterable[Any], validation: Iterable[Any] | None) -> None:
        started = time.perf_counter()
        for callback in self.callbacks:
            callback.on_epoch_start(self, epoch, batches.length(train))
        for loader in (train, validation):
            set_epoch = getattr(loader, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch - 1)
        self.model.train()
        # A run that was interrupted within the epoch goes on with the next batch.
        for batch in itertools.islice(train, self._batch, None):
            loss = self._step(epoch, batch)
            self._batch += 1
            for callback in self.callbacks:
                callback.on_batch_end(self, loss)
            self._guard.check()
        batches.require_batches("fit", self._batch)
        self._check_parameters(epoch)
        record = {"epoch": epoch, **self._averages.means()}
        if validation is not None:
            values = self.evaluate(validation)
            record |= {f"validation_{name}": value for name, value in values.items()}
        record["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        self._schedule(record)
        record["seconds"] = time.perf_counter() - started
        self._averages, self._batch = Averages(), 0
        self.history.records.append(record)
        for callback in self.callbacks:
            callback.on_epoch_end(self, record)
        self._guard.check()

    def _step(self, epoch: int, batch: Any) -> float:
        """Train on one batch and return its loss."""
        inputs, target = batches.split("fit", batches.to_device(batch, self.device))
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
            raise NumericalError(self._explain(epoch, minimised, inputs, target))
        self._averages.add(batches.count(target), self._measure(value, output, target))
        return value

    def _learn_from(self, inputs: tuple[Any, ...], target: Any) -> tuple[Tensor, Tensor, Any]:
        """Train on one batch; return the loss, what was minimised, and the model's output."""
        if runtime.shared.captures:
            runtime.observe(self, _settings_of)
        self.optimizer.zero_grad()
        output = self.model(*inputs)
        loss: Any = self.loss(output, target)
        _check_number("fit", loss)
        objective = loss
        if self.l1:
            penalty: Any = l1_penalty(self.model.parameters())
            objective = loss + penalty * self.l1
        # Asked for before the step: no gradient of a NaN ever reaches a parameter.
        unless([~isfinite(objective)], functools.partial(self._descend, objective))
        return loss.detach(), objective.detach(), map_leaves(_detached, output)

    def _descend(self, objective: Any) -> None:
        objective.backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        self.optimizer.step()

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

    def _explain(self, epoch: int, loss: float, inputs: tuple[Any, ...], target: Any) -> str:
        found = find_origin(self.model, inputs, target, self.loss)
        return (
            f"fit: the loss must be finite, got {loss} in epoch {epoch}, batch {self._batch + 1}: "
            f"{found}{self._last_checkpoint('; the checkpoint before it is kept in {}')}"
        )

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
                output = self.model(*inputs)
                loss = _number("evaluate", self.loss(output, target))
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
        return make_checkpoint(
            model=dict(self.model.state_dict()),
            optimizer=optimizer_state(self.model, self.optimizer),
            scheduler=None if self.scheduler is None else self.scheduler.state_dict(),
            callbacks={key: callback.state_dict() for key, callback in self._named_callbacks()},
            history=[dict(record) for record in self.history.records],
            batch=self._batch,
            averages=self._averages.state_dict(),
            random=random.get_state(self.device),
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        StateError
            Where the model or the optimizer is another one.

        Examples
        --------
        >>> from tensorflowlite import nn, optim
        >>> from tensorflowlite.nn import functional as F
        >>> from tensorflowlite.train import Trainer
        >>> model = nn.Linear(2, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
        >>> trainer.load_state_dict(trainer.state_dict())
        """
        self.model.load_state_dict(state["model"])
        load_optimizer_state(self.model, self.optimizer, state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        for key, callback in self._named_callbacks():
            if key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][key])
        self.history = History([dict(record) for record in state["history"]])
        self._batch = state["batch"]
        self._averages.load_state_dict(state["averages"])
        random.set_state(state["random"], self.device)

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        seen: dict[str, int] = {}
        named = []
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] = seen.get(name, 0) + 1
            named.append((name if seen[name] == 1 else f"{name} {seen[name]}", callback))
        return named


def _check_parts(model: Any, optimizer: Any, loss: Any) -> None:
    """Raise unless each part of a Trainer is what it is taken for."""
    if not hasattr(model, "parameters"):
        raise DtypeError(
            f"Trainer: model must be a Module, got {type(model).__name__}; "
            "the order is Trainer(model, optimizer, loss)"
        )
    if not hasattr(optimizer, "param_groups"):
        raise DtypeError(
            f"Trainer: optimizer must be an Optimizer, got {optimizer!r:.40}; make one of "
            "model.parameters()"
        )
    if isinstance(loss, type) or not callable(loss):
        hint = f"; use {loss.__name__}()" if isinstance(loss, type) else ""
        raise DtypeError(
            f"Trainer: loss must be a function of output and target, got {loss!r:.60}{hint}"
        )
    own = {id(p) for p in model.parameters()}
    if own.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
        raise ArgumentError(
            "Trainer: the optimizer must hold parameters of the model, got none of its "
            f"{len(own)}; make it of model.parameters()"
        )


def _settings_of(trainer: Trainer) -> tuple[Any, ...]:
    """Return what a recorded step depends on beside the model and the optimizer's own."""
    return (
        trainer.model, trainer.optimizer, trainer.loss, trainer.clip_norm, trainer.clip_value,
        trainer.l1,
    )  # fmt: skip


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _check_number(op: str, loss: Any) -> None:
    """Raise unless a loss is one number."""
    if getattr(loss, "size", 1) != 1:
        raise ShapeError(
            f"{op}: the loss must be one number, got shape {loss.shape}; "
            "reduce it with mean(), or reduction='mean'"
        )


def _number(op: str, loss: Any) -> float:
    """Return a loss as a number."""
    _check_number(op, loss)
    return float(loss)


def _move(model: Any, optimizer: Any, device: Any) -> None:
    """Move a model, and the states that the optimizer keeps of its parameters."""
    before = [parameter.device for parameter in model.parameters()]
    state = optimizer.state_dict()
    model.to(device)
    if all(
        parameter.device == old for parameter, old in zip(model.parameters(), before, strict=True)
    ):
        return
    groups = [dict(group) for group in optimizer.param_groups]
    optimizer.param_groups.clear()
    optimizer.state.clear()
    for group in groups:
        if "param_names" in group:
            group["params"] = list(zip(group.pop("param_names"), group["params"], strict=True))
        optimizer.add_param_group(group)
    optimizer.load_state_dict(state)
