"""Measuring the products of linear layers ahead of their first use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.base import backend_for
from ..backend.cuda.tuning import tune_layers
from ..errors import ArgumentError
from . import fused as fused  # declares what runs for what a slot doesn't take
from .activation_gradients import ACTIVATIONS


def tune(
    shapes: Iterable[tuple[int, int, int]],
    dtype: Any = "bfloat16",
    activations: str | Iterable[str | None] = (None,),
) -> list[str]:
    """Find the fastest matrix products of linear layers ahead, and keep them on disk.

    Without it the first large product of each kind measures.

    Parameters
    ----------
    shapes : iterable of (rows, in_features, out_features)
        The layers' sizes; rows are all positions of a batch together.
    dtype : dtype, default "bfloat16"
        Of inputs and weights.
    activations : str, or iterable of str or None
        What follows the layers (``"relu"``, ``"gelu_tanh"`` ...).

    Returns
    -------
    list of str
        A line per product of the current GPU: what it is, and what was chosen.

    Raises
    ------
    ArgumentError
        An activation of another name, or a shape that isn't three sizes.
    DeviceError
        No GPU can be used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> if tfl.cuda.is_available():
    ...     lines = tfl.cuda.tune([(8192, 4096, 4096)], activations=["gelu_tanh"])
    """
    wanted = [activations] if isinstance(activations, str) else list(activations)
    for activation in wanted:
        if activation is not None and activation not in ACTIVATIONS:
            raise ArgumentError(
                f"tune: activations must be None or of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
    return tune_layers(backend_for("cuda"), shapes, dtype, wanted)
