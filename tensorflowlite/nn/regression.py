"""Losses of numbers, probabilities and sequences as modules."""

from __future__ import annotations

from ..core.tensor import Tensor
from . import functional as F
from .losses import _Loss
from .module import Module


class SmoothL1Loss(_Loss):
    """Squares of small differences, magnitudes of great ones.

    Parameters and results as in `smooth_l1_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.SmoothL1Loss()(tfl.tensor([4.0]), tfl.tensor([0.0]))
    tensor(3.5)
    """

    def __init__(
        self,
        *,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, beta=self.beta, reduction=self.reduction)


class HuberLoss(_Loss):
    """Half the squares of small differences, lines for great ones.

    Parameters and results as in `huber_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.HuberLoss(delta=2.0)(tfl.tensor([4.0]), tfl.tensor([0.0]))
    tensor(6.)
    """

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
    ) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, delta=self.delta, reduction=self.reduction)


class BCELoss(_Loss):
    """The cross-entropy of probabilities.

    Parameters and results as in `binary_cross_entropy`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.BCELoss()(tfl.tensor([0.5]), tfl.tensor([1.0]))
    tensor(0.6931472)
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence from log-probabilities.

    Parameters and results as in `kl_div`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> half = tfl.tensor([[0.5, 0.5]])
    >>> nn.KLDivLoss(reduction="batchmean")(tfl.log(half), half)
    tensor(0.)
    """

    def __init__(
        self,
        *,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        Module.__init__(self)
        if reduction != "batchmean":
            F.check_reduction("KLDivLoss", reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, log_target=self.log_target, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """The negative log-likelihood of counts.

    Parameters and results as in `poisson_nll_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.PoissonNLLLoss()(tfl.tensor([0.0]), tfl.tensor([5.0]))
    tensor(1.)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(
            input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """The negative log-likelihood under normal distributions.

    Parameters and results as in `gaussian_nll_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.GaussianNLLLoss()(tfl.tensor([0.0]), tfl.tensor([2.0]), tfl.tensor([1.0]))
    tensor(2.)
    """

    def __init__(
        self,
        *,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        return F.gaussian_nll_loss(
            input,
            target,
            var,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class CTCLoss(_Loss):
    """The loss of connectionist temporal classification.

    Parameters and results as in `ctc_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> frames = tfl.log(tfl.full((2, 1, 2), 0.5))
    >>> nn.CTCLoss()(frames, tfl.tensor([[1]]), [2], [1])
    tensor(0.2876821)
    """

    def __init__(
        self,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor
    ) -> Tensor:
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            blank=self.blank,
            zero_infinity=self.zero_infinity,
            reduction=self.reduction,
        )
