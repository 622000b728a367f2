"""Losses that ask for a margin, as modules."""

from __future__ import annotations

from collections.abc import Callable

from ..core.tensor import Tensor
from . import functional as F
from .distance import PairwiseDistance
from .losses import _Loss


class MarginRankingLoss(_Loss):
    """How far pairs are from their order.

    Parameters and results as in `margin_ranking_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> one, two = tfl.tensor([1.0]), tfl.tensor([2.0])
    >>> nn.MarginRankingLoss()(one, two, tfl.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(
            input1,
            input2,
            target,
            margin=self.margin,
            reduction=self.reduction,
        )


class HingeEmbeddingLoss(_Loss):
    """Distances of like pairs, and what unlike ones lack of a margin.

    Parameters and results as in `hinge_embedding_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.HingeEmbeddingLoss()(tfl.tensor([0.25]), tfl.tensor([-1]))
    tensor(0.75)
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """The logistic loss of labels 1 and -1.

    Parameters and results as in `soft_margin_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.SoftMarginLoss()(tfl.tensor([0.0]), tfl.tensor([1]))
    tensor(0.6931472)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_Loss):
    """How far other classes come near the target's score.

    Parameters and results as in `multi_margin_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.MultiMarginLoss()(tfl.tensor([[2.0, 1.5]]), tfl.tensor([0]))
    tensor(0.25)
    """

    weight: Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.p, self.margin = p, margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(_Loss):
    """How far other classes come near the targets' scores.

    Parameters and results as in `multilabel_margin_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.MultiLabelMarginLoss()(tfl.tensor([[2.0, 1.5]]), tfl.tensor([[0, -1]]))
    tensor(0.25)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_Loss):
    """The mean logistic loss over classes.

    Parameters and results as in `multilabel_soft_margin_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.MultiLabelSoftMarginLoss()(tfl.zeros((1, 2)), tfl.tensor([[1, 0]]))
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
        return F.multilabel_soft_margin_loss(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
        )


class CosineEmbeddingLoss(_Loss):
    """How far the angle of pairs is from what it should be.

    Parameters and results as in `cosine_embedding_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> x, y = tfl.tensor([[1.0, 0.0]]), tfl.tensor([[0.0, 1.0]])
    >>> nn.CosineEmbeddingLoss()(x, y, tfl.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(
            input1,
            input2,
            target,
            margin=self.margin,
            reduction=self.reduction,
        )


class TripletMarginLoss(_Loss):
    """How far a negative is from being the farther one.

    Parameters and results as in `triplet_margin_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> x = tfl.tensor([[0.0, 0.0]])
    >>> nn.TripletMarginLoss()(x, x + 3.0, x + 3.0)
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` with any distance.

    Parameters and results as in `triplet_margin_with_distance_loss`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> x = tfl.tensor([[0.0, 0.0]])
    >>> nn.TripletMarginWithDistanceLoss()(x, x + 3.0, x + 3.0)
    tensor(1.)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function = distance_function or PairwiseDistance()
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
