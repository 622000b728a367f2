"""All slots that are written once for every library with NumPy's interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..base import family_of, later
from . import activation as activation_slots
from . import array as array_slots
from . import random as random_slots
from . import special

_FAMILIES = (array_slots, special, random_slots, activation_slots)
# What comes in at first use, by its place in backend/. A name stands here also where the library
# has such a function, if the slot differs from it.
_LATER = {
    "slots.attention": "attention attention_gradient",
    "slots.conv": (
        "convolution convolution_input_gradient convolution_weight_gradient window_columns "
        "window_images"
    ),
    "slots.loss": (
        "one_hot binary_cross_entropy binary_cross_entropy_with_logits softmax_cross_entropy "
        "softmax_cross_entropy_gradient target_distribution target_weights nll_loss embedding"
    ),
    "slots.normalization": "batch_norm layer_norm rms_norm norm_statistics norm_gradient",
    "slots.optimizer": "real_view widened factor pieces sgd_step adam_step",
    "slots.pooling": (
        "max_pool max_pool_places max_pool_scatter max_pool_gather avg_pool avg_pool_gradient"
    ),
    "slots.special_functions": (
        "lgamma digamma polygamma erfc erfinv xlogy xlog1py i0 i1 ldexp frexp sinc"
    ),
    "slots.selection": (
        "index_within scatter_extreme bin_counts bin_edges digitize running_places convolve"
    ),
    "slots.recurrent": "recurrence recurrence_gradient",
    "batching.slots": "bind_batch leave_batch enter_batch total_batch",
    "slots.linalg": (
        "inv solve solve_triangular det slogdet cholesky qr eigh eigvalsh eig eigvals svd svdvals "
        "pinv lstsq vector_norm expm expm_along adjugate adjugate_along"
    ),
    "slots.fft": "fourier fourier_of_real fourier_to_real",
    "native.fused_slots": "fused_elements exact_powers",
}
later.update({name: module for module, names in _LATER.items() for name in names.split()})


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of every family for the library ``xp``."""
    found: dict[str, Callable[..., Any]] = {}
    for family in _FAMILIES:
        found.update(family.slots(xp))
    return found


def finder(
    xp: Any, slots: Mapping[str, Callable[..., Any]]
) -> Callable[[str], Callable[..., Any]]:
    """Return what finds a library's slots by name, those that come in at first use too.

    Parameters
    ----------
    xp
        The library, whose functions are the slots that aren't listed.
    slots
        Those that are there from the beginning.

    Examples
    --------
    >>> import numpy
    >>> finder(numpy, slots(numpy))("layer_norm").__name__
    'layer_norm'
    """
    found = dict(slots)

    def find(name: str) -> Callable[..., Any]:
        if name not in found and name in later:
            family = family_of(later[name])
            found.update({**family.slots(xp), **found})
        return found[name] if name in found else getattr(xp, name)

    return find
