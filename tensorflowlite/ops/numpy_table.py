"""What NumPy's functions mean on tensors: one table, from which the documents are generated.

A function is *recorded* (an operation of ours takes its place), *constant* (its result depends on
shapes, dtypes or the order of values only, or is a truth value), or *refused* with a TypeError that
names a way out. One that stands in no table is refused too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

CONSTANT: set[str] = set()


def _table(prefix: str, listed: dict[str, str]) -> dict[str, str]:
    """Return names to places, ``"numpy.arccos": "elementwise:acos"``, from lists by file.

    ``arccos=acos`` is called otherwise by us; ``argmax*`` is constant.
    """
    table = {}
    for module, names in listed.items():
        for name in names.split():
            theirs, _, ours = name.removesuffix("*").partition("=")
            if name.endswith("*"):
                CONSTANT.add(prefix + theirs)
            table[prefix + theirs] = f"{module}:{ours or theirs}"
    return table


# -- universal functions: NumPy's name, and ours where it is another -------------------------------
UFUNCS = _table("numpy.", {
    "elementwise": """
        absolute=abs arccos=acos arccosh=acosh add arcsin=asin arcsinh=asinh arctan=atan
        arctan2=atan2 arctanh=atanh bitwise_and* bitwise_or* bitwise_xor* ceil conjugate=conj
        copysign cos cosh divide equal* exp exp2 expm1 floor floor_divide greater* greater_equal*
        hypot invert=bitwise_invert* isfinite* isinf* isnan* left_shift=bitwise_left_shift* less*
        less_equal* log log10 log1p log2 logaddexp logical_and* logical_not* logical_or*
        logical_xor*
        maximum minimum multiply negative nextafter* not_equal* positive power reciprocal remainder
        right_shift=bitwise_right_shift* rint=round sign signbit* sin sinh sqrt square subtract tan
        tanh trunc
    """,
    "tensor_methods": "divmod",
    "matrix": "matmul",
    "einsum": "vecdot",
    "numpy_forms": "matvec vecmat modf",
    "special": """
        cbrt degrees=rad2deg deg2rad rad2deg radians=deg2rad fabs float_power fmax fmin fmod frexp
        gcd* heaviside lcm* ldexp logaddexp2
    """,
}) | _table("scipy.special.", {
    "elementwise": "erf exp2 expm1 log1p",
    "activation": "expit=sigmoid",
    "special": """
        erfc erfinv gammaln=lgamma digamma psi=digamma logit xlogy xlog1py i0 cbrt
    """,
})  # fmt: skip

# -- functions -------------------------------------------------------------------------------------
# `numpy_forms` holds those whose arguments differ from ours by more than names.
FUNCTIONS = _table("numpy.", {
    "numpy_forms": """
        amax amin max min sum prod mean std var all* any* ptp iscomplexobj* isrealobj* around
        round astype array_split broadcast_arrays broadcast_to clip concatenate copy copyto cumprod
        cumsum diag diff dot einsum empty_like* full_like* isin*
        geomspace hsplit vsplit dsplit inner linspace logspace meshgrid ndim*
        ones_like* place polyval put putmask ravel reshape shape* size*
        sort split squeeze take take_along_axis tensordot tile transpose vdot where
        zeros_like* argsort*
    """,
    "reduction": "argmax* argmin* count_nonzero*",
    "cumulative": "cumulative_prod cumulative_sum",
    "elementwise": "imag real",
    "indexing": "argwhere* nonzero*",
    "shaping": """
        diagonal expand_dims flip matrix_transpose moveaxis roll swapaxes tril triu
    """,
    "joining": "repeat stack unstack",
    "einsum": "outer",
    "casting": "can_cast* result_type*",
    "arranging": """
        apply_along_axis apply_over_axes fliplr flipud rollaxis rot90 trim_zeros
    """,
    "assembling": """
        append atleast_1d atleast_2d atleast_3d block column_stack delete dstack hstack insert
        resize vstack
    """,
    "comparing": """
        allclose* array_equal* array_equiv* isclose* iscomplex* isneginf* isposinf* isreal*
    """,
    "counting": "bincount digitize* histogram* histogram_bin_edges*",
    "choosing": """
        choose compress extract fill_diagonal flatnonzero* put_along_axis select
    """,
    "nan_reductions": """
        nanargmax* nanargmin* nancumprod nancumsum nanmax nanmean nanmin nanprod nanstd nansum
        nanvar
    """,
    "padding": "pad",
    "quantiles": "median nanmedian nanpercentile nanquantile percentile quantile",
    "special": "angle fix i0 nan_to_num sinc",
    "sequences": "convolve correlate ediff1d gradient interp trapezoid",
    "statistics": "average corrcoef cov",
    "products": "cross kron trace",
    "searching": "searchsorted*",
    "distinct": """
        argpartition* intersect1d lexsort* partition setdiff1d setxor1d union1d unique
    """,
    "grids": "diagflat ix_* ravel_multi_index* unravel_index* vander",
    "sets": "unique_all unique_counts unique_inverse unique_values",
}) | _table("numpy.linalg.", {
    "linalg_decompositions": "cholesky eig eigh eigvals eigvalsh qr svdvals",
    "linalg_functions": "diagonal matrix_power multi_dot trace",
    "linalg_norms": "cond matrix_norm matrix_rank* norm vector_norm",
    "linalg_solving": "det inv lstsq pinv slogdet solve tensorinv tensorsolve",
    "matrix": "matmul",
    "products": "cross",
    "shaping": "matrix_transpose",
    "einsum": "outer tensordot vecdot",
    "numpy_forms": "svd",
}) | _table("numpy.fft.", {
    "fft": """
        fft fft2 fftn hfft ifft ifft2 ifftn ihfft irfft irfft2 irfftn rfft rfft2 rfftn
    """,
    "fft_frequencies": "fftshift ifftshift",
})  # fmt: skip

# Refused on purpose, and what to do instead.
_FILES = "use tfl.save, or np.{name} of t.detach().numpy()"
_TEXTS = "use repr(t), or np.{name} of t.detach().numpy()"
_WAYS_OUT = {
    "numpy.save": _FILES, "numpy.savez": _FILES, "numpy.savez_compressed": _FILES,
    "numpy.savetxt": _FILES, "numpy.array2string": _TEXTS, "numpy.array_repr": _TEXTS,
    "numpy.array_str": _TEXTS,
}  # fmt: skip


def refusal(name: str) -> str:
    """Return what to say where a NumPy function isn't recorded."""
    short = name.removeprefix("numpy.")
    hint = _WAYS_OUT.get(name, "call it with t.detach().numpy() where no gradient is needed")
    return f"np.{short}: tensors aren't taken, got one; {hint.format(name=short)}"


_found: dict[str, Callable[..., Any]] = {}


def found(place: str) -> Callable[..., Any]:
    """Return the function at a place, ``"elementwise:add"``; its file comes in at first use."""
    function = _found.get(place)
    if function is None:
        module, _, name = place.partition(":")
        package = __name__.rpartition(".")[0]
        function = getattr(importlib.import_module(f"{package}.{module}"), name)
        _found[place] = function
    return function
