"""Averages of the parameters over the steps: SWA and EMA, and the learning rate for them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, StateError
from ..ops.creation import asarray, zeros
from ..ops.elementwise import where
from ..runtime import mode, set_mode
from .lr_scheduler.scheduler import LRScheduler, chosen, per_group
from .optimizer import Optimizer

Average = Callable[[Tensor, Tensor, int], Tensor]
MultiAverage = Callable[[list[Tensor], list[Tensor], int], None]


def _share(decay: float) -> float:
    if not 0 <= decay <= 1:
        raise ArgumentError(f"get_ema_avg_fn: decay must lie in [0, 1], got {decay}")
    return decay


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """Return the rule of an exponential moving average, for `AveragedModel`.

    Parameters
    ----------
    decay : float
        How much of the average is kept at each update.

    Returns
    -------
    callable
        ``(average, present, count) -> average``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.optim.swa_utils import get_ema_avg_fn
    >>> get_ema_avg_fn(0.75)(tfl.zeros(1), tfl.ones(1), 1)
    tensor([0.25])
    """
    _share(decay)

    def average(averaged: Tensor, present: Tensor, count: int) -> Tensor:
        return averaged * decay + present * (1 - decay)

    return average


def get_swa_avg_fn() -> Average:
    """Return the rule of an even mean over all updates, for `AveragedModel`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.optim.swa_utils import get_swa_avg_fn
    >>> get_swa_avg_fn()(tfl.zeros(1), tfl.ones(1), 3)
    tensor([0.25])
    """

    def average(averaged: Tensor, present: Tensor, count: int) -> Tensor:
        return averaged + (present - averaged) * (1 / (count + 1))

    return average


def _over_lists(one: Average) -> MultiAverage:
    def average(averaged: list[Tensor], present: list[Tensor], count: int) -> None:
        with set_mode(grad=False):
            for old, new in zip(averaged, present, strict=True):
                old.copy_(one(old, new, count))

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """Return `get_ema_avg_fn`'s rule for lists, in place: ``(averages, presents, count)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.optim.swa_utils import get_ema_multi_avg_fn
    >>> average = tfl.zeros(1)
    >>> get_ema_multi_avg_fn(0.75)([average], [tfl.ones(1)], 1)
    >>> average
    tensor([0.25])
    """
    return _over_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> MultiAverage:
    """Return `get_swa_avg_fn`'s rule for lists, in place: ``(averages, presents, count)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.optim.swa_utils import get_swa_multi_avg_fn
    >>> average = tfl.zeros(1)
    >>> get_swa_multi_avg_fn()([average], [tfl.ones(1)], 3)
    >>> average
    tensor([0.25])
    """
    return _over_lists(get_swa_avg_fn())


class AveragedModel:
    """A copy of a model whose parameters are averages of that model's over the updates.

    It is called as the model is. It is no `nn.Module` itself; ``average.module`` is one.

    Parameters
    ----------
    model : Module
        The model; it is copied.
    device : str, optional
        Where the copy is kept; by default where the model is.
    avg_fn : callable, optional
        ``(average, present, count) -> average`` for one tensor; by default an even mean.
    multi_avg_fn : callable, optional
        ``(averages, presents, count)`` for lists of tensors, in place; in the place of
        ``avg_fn``.
    use_buffers : bool
        Average the buffers too; else they are copied at each update.

    Attributes
    ----------
    module : Module
        The copy.
    n_averaged : Tensor, shape ()
        How many updates there were.

    Raises
    ------
    ArgumentError
        Both ``avg_fn`` and ``multi_avg_fn`` are given.

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.optim.swa_utils import AveragedModel
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     weight = nn.init.constant_(model.weight, value)
    ...     average.update_parameters(model)
    >>> average(tfl.ones(1, 1)).item()
    2.0
    >>> list(average.state_dict())
    ['n_averaged', 'module.weight']
    >>> average.load_state_dict(average.state_dict())
    >>> average = average.eval().to("cpu").train()
    """

    def __init__(
        self,
        model: Any,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: only one of avg_fn and multi_avg_fn can be given")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.n_averaged = zeros((), dtype=asarray(0).dtype, device=device)
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def __repr__(self) -> str:
        return f"AveragedModel({self.module!r})"

    def update_parameters(self, model: Any) -> None:
        """Take the present parameters of a model into the averages.

        Parameters
        ----------
        model : Module
            The model, of the form that was copied.
        """
        mine, theirs = _tensors(self.module, self.use_buffers), _tensors(model, self.use_buffers)
        if len(mine) != len(theirs):
            raise ArgumentError(
                f"AveragedModel: the model must be as the one averaged, got {len(theirs)} tensors "
                f"for {len(mine)}"
            )
        recorded = mode.capture is not None
        count: Any = self.n_averaged if recorded else int(self.n_averaged)
        with set_mode(grad=False):
            pairs = [(a.detach(), b.detach()) for a, b in zip(mine, theirs, strict=True)]
            presents = [b.to(a.device) if b.device != a.device else b for a, b in pairs]
            averages = [a for a, _ in pairs]
            average = self.multi_avg_fn or _over_lists(self.avg_fn or get_swa_avg_fn())
            if recorded:  # which of the two it is depends on a value
                average(averages, presents, count.astype(averages[0].dtype))
                for old, new in zip(averages, presents, strict=True):
                    old.copy_(where(count == 0, new, old))
            elif not count:
                for old, new in zip(averages, presents, strict=True):
                    old.copy_(new)
            elif averages:
                average(averages, presents, count)
            if not self.use_buffers:
                for kept, new in zip(self.module.buffers(), model.buffers(), strict=True):
                    kept.detach().copy_(new.detach())
            self.n_averaged += 1

    # -- as the model ----------------------------------------------------------------------------
    def parameters(self) -> Iterator[Tensor]:
        """Return the averages."""
        return iter(self.module.parameters())

    def buffers(self) -> Iterator[Tensor]:
        """Return the buffers of the copy, after the number of updates."""
        return iter([self.n_averaged, *self.module.buffers()])

    def modules(self) -> Iterator[Any]:
        """Return the modules of the copy."""
        return iter(self.module.modules())

    @property
    def training(self) -> bool:
        """Whether the copy is in training mode."""
        return bool(self.module.training)

    def train(self, mode: bool = True) -> AveragedModel:
        """Put the copy into training mode, or out of it; returns the averaged model."""
        self.module.train(mode)
        return self

    def eval(self) -> AveragedModel:
        """Put the copy into evaluation mode; returns the averaged model."""
        return self.train(False)

    def to(self, *args: Any, **kwargs: Any) -> AveragedModel:
        """Move the copy as `nn.Module.to` does; returns the averaged model."""
        self.module = self.module.to(*args, **kwargs)
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages and their number, as PyTorch names them."""
        held = self.module.state_dict()
        own = {"n_averaged": self.n_averaged}
        return {**own, **{f"module.{name}": value for name, value in held.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Take over what `state_dict` returned.

        Parameters
        ----------
        state_dict : mapping
            The tensors by name.
        strict : bool
            Whether all names must fit.
        """
        if "n_averaged" not in state_dict:
            raise StateError(
                "load_state_dict: the state must be of an AveragedModel, got no 'n_averaged'"
            )
        rest = {
            name.removeprefix("module."): value
            for name, value in state_dict.items()
            if name != "n_averaged"
        }
        self.module.load_state_dict(rest, strict=strict)
        with set_mode(grad=False):
            self.n_averaged.copy_(asarray(state_dict["n_averaged"]))


def _tensors(model: Any, use_buffers: bool) -> list[Tensor]:
    return [*model.parameters(), *(model.buffers() if use_buffers else ())]


def _is_batch_norm(module: Any) -> bool:
    """Whether a module is a batch normalisation: optimizers know layers by name only."""
    return any(base.__name__.startswith(("BatchNorm", "_BatchNorm")) for base in type(module).mro())


def update_bn(loader: Iterable[Any], model: Any, device: Any = None) -> None:
    """Compute the running statistics of batch normalisations anew, over all batches.

    Parameters
    ----------
    loader : iterable
        The batches: tensors, or tuples whose first part is the model's input.
    model : Module or AveragedModel
        The model; its mode is left as it was.
    device : str, optional
        Where the batches are moved to.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.optim.swa_utils import update_bn
    >>> model = nn.BatchNorm1d(1)
    >>> update_bn([tfl.full((4, 1), 2.0), tfl.full((4, 1), 4.0)], model)
    >>> model.running_mean
    tensor([3.])
    """
    found = [(m, m.momentum) for m in model.modules() if _is_batch_norm(m)]
    if not found:
        return
    was_training = model.training
    model.train()
    try:
        with set_mode(grad=False):
            for module, _ in found:
                module.reset_running_stats()
                module.momentum = None
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for module, momentum in found:
            module.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """Let the learning rate go to a constant one, at which parameters are averaged.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    swa_lr : float or list of float
        The constant rate, of all groups or of each.
    anneal_epochs : int
        How many epochs the way there takes.
    anneal_strategy : {"cos", "linear"}
        The form of the way.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.swa_utils.SWALR(optimizer, 0.5, 2, "linear")
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        chosen("SWALR", "anneal_strategy", anneal_strategy, ("cos", "linear"))
        if anneal_epochs < 0 or int(anneal_epochs) != anneal_epochs:
            raise ArgumentError(
                f"SWALR: anneal_epochs must be an integer of at least 0, got {anneal_epochs}"
            )
        rates = per_group("SWALR", "swa_lr", swa_lr, optimizer)
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def _way(self, step: int) -> float:
        """Return how much of the way is done after so many steps."""
        share = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return share if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * share)) / 2

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if not self.anneal_epochs:
            step = max(1, step)
        before, now = self._way(step - 1), self._way(step)
        found = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            found.append(goal * now + start * (1 - now))
        return found
