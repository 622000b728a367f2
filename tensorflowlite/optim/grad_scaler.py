"""`GradScaler`: losses are scaled up, so that float16 gradients don't vanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, StateError
from ..ops.creation import full, zeros
from ..ops.optimizers.rules import write_scalar
from ..ops.optimizers.scaling import unscale_gradients, update_scale
from ..runtime import set_mode
from .optimizer import Optimizer


class GradScaler:
    """Scale the loss, skip the steps whose gradients overflowed, and find a good scale.

    Scale, count and what was found live on the device; only the question whether to step is
    answered on the host.

    Parameters
    ----------
    device : str
        The type of device; the scale is made where the first loss is.
    init_scale : float
        The first scale.
    growth_factor : float
        What the scale grows by, above 1.
    backoff_factor : float
        What it falls by after an overflow, in (0, 1).
    growth_interval : int
        After how many steps without overflow it grows.
    enabled : bool
        False: nothing is scaled, and `step` is the optimizer's.

    Raises
    ------
    ArgumentError
        A factor is out of its domain.

    References
    ----------
    Micikevicius et al., "Mixed precision training", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = optim.SGD([p], lr=0.5), tfl.amp.GradScaler("cpu", init_scale=8.0)
    >>> scaler.scale((p * p).sum()).backward()
    >>> p.grad
    tensor([16.])
    >>> scaler.unscale_(optimizer)
    >>> p.grad
    tensor([2.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> p
    tensor([0.], requires_grad=True)
    >>> scaler.load_state_dict(scaler.state_dict())
    >>> scaler.set_growth_factor(1.5), scaler.set_backoff_factor(0.75)
    (None, None)
    >>> scaler.set_growth_interval(100)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not growth_factor > 1:
            raise ArgumentError(f"GradScaler: growth_factor must be above 1, got {growth_factor}")
        if not 0 < backoff_factor < 1:
            raise ArgumentError(
                f"GradScaler: backoff_factor must lie in (0, 1), got {backoff_factor}"
            )
        self._device, self._enabled = device, enabled
        self._init_scale, self._init_growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale: Tensor | None = None
        self._growth_tracker: Tensor | None = None
        # By optimizer: what its gradients held, and how far its step has come.
        self._found: dict[int, dict[Any, Tensor]] = {}
        self._stage: dict[int, str] = {}

    def _make(self, device: Any) -> Tensor:
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype="float32", device=device)
            self._growth_tracker = full((), self._init_growth_tracker, dtype="int32", device=device)
        return self._scale

    def scale(self, outputs: Any) -> Any:
        """Return a loss, or losses in tuples and lists, times the scale.

        Parameters
        ----------
        outputs : Tensor, or list or tuple of such
            The losses.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            factor = self._make(outputs.device)
            if factor.device != outputs.device:
                factor = factor.to(outputs.device)
            return outputs * factor.astype(outputs.dtype)
        if isinstance(outputs, list | tuple):
            return type(outputs)(self.scale(one) for one in outputs)
        raise DtypeError(
            f"GradScaler: outputs must be tensors, or lists of them, got {type(outputs).__name__}"
        )

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer by the scale: before clipping them, for example.

        Parameters
        ----------
        optimizer : Optimizer
            Whose gradients to divide; once between two calls of `update`.
        """
        if not self._enabled:
            return
        stage = self._stage.get(id(optimizer))
        if stage is not None:
            raise StateError(
                f"GradScaler: unscale_ must come once before step and update, got it after {stage}"
            )
        if self._scale is None:
            raise StateError("GradScaler: scale must be called first, got unscale_ before it")
        by_device: dict[Any, list[Tensor]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.dtype == "float16":
                    raise DtypeError(
                        "GradScaler: gradients must not be float16, got a float16 parameter; keep "
                        "the parameters in float32 and use autocast"
                    )
                by_device.setdefault(p.device, []).append(p.grad)
        found = {}
        with set_mode(grad=False):
            for device, gradients in by_device.items():
                scale = self._scale if self._scale.device == device else self._scale.to(device)
                found[device] = zeros((), dtype="float32", device=device)
                unscale_gradients(found[device], scale, gradients)
        self._found[id(optimizer)] = found
        self._stage[id(optimizer)] = "unscale_"

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Call the optimizer's step, unless a gradient isn't finite.

        Parameters
        ----------
        optimizer : Optimizer
            The optimizer; its gradients are divided first, if `unscale_` didn't.
        *args
            For the optimizer's step; closures aren't possible.

        Returns
        -------
        What the step returned; None where it was skipped.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise ArgumentError("GradScaler: a step can't have a closure, got one")
        if self._stage.get(id(optimizer)) == "step":
            raise StateError("GradScaler: step must come once before update, got it twice")
        if self._stage.get(id(optimizer)) is None:
            self.unscale_(optimizer)
        found = self._found[id(optimizer)]
        if not found:
            raise StateError("GradScaler: the optimizer must have gradients, got none")
        self._stage[id(optimizer)] = "step"
        from ..core.capture import unless  # which few programs need

        return unless(list(found.values()), lambda: optimizer.step(**kwargs))

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Change the scale by what was found since the last update, or to the one given.

        Parameters
        ----------
        new_scale : float or Tensor, optional
            The scale to set.
        """
        if not self._enabled:
            return
        if self._scale is None or self._growth_tracker is None:
            raise StateError("GradScaler: scale must be called first, got update before it")
        if new_scale is not None:
            write_scalar(self._scale, float(new_scale))
        else:
            found = [one for several in self._found.values() for one in several.values()]
            if not found:
                raise StateError("GradScaler: step or unscale_ must come before update, got none")
            with set_mode(grad=False):
                worst = found[0]
                for one in found[1:]:
                    worst = worst + one.to(worst.device)
                worst = worst.to(self._scale.device)
                update_scale(self._scale, self._growth_tracker, worst, self._growth_factor,
                             self._backoff_factor, self._growth_interval)  # fmt: skip
        self._found, self._stage = {}, {}

    # -- what it is set to -----------------------------------------------------------------------
    def get_scale(self) -> float:
        """Return the scale, 1 where scaling is not enabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale)

    def get_growth_factor(self) -> float:
        """Return what the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by, as in `GradScaler`."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return what the scale falls by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale falls by, as in `GradScaler`."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return after how many steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many steps the scale grows, as in `GradScaler`."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Return whether losses are scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Return scale, factors and count as numbers; an empty dict where nothing is scaled."""
        if not self._enabled:
            return {}
        tracker = self._growth_tracker
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._init_growth_tracker if tracker is None else int(tracker),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, here or in PyTorch.

        Raises
        ------
        StateError
            It is the state of a scaler that wasn't enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise StateError(
                "load_state_dict: the state must fit GradScaler, got that of one not enabled"
            )
        self._init_scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = int(state_dict["_growth_tracker"])
        if self._scale is not None and self._growth_tracker is not None:
            write_scalar(self._scale, self._init_scale)
            write_scalar(self._growth_tracker, self._init_growth_tracker)
