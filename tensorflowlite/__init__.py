"""tensorflowlite: automatic differentiation on NumPy and CuPy arrays."""

from __future__ import annotations

import importlib as _importlib
import sys as _sys

from . import errors as errors
from . import random as random
from .backend import Device as Device
from .backend.dtypes import bfloat16 as bfloat16
from .backend.dtypes import bool_ as bool_
from .backend.dtypes import complex64 as complex64
from .backend.dtypes import complex128 as complex128
from .backend.dtypes import float16 as float16
from .backend.dtypes import float32 as float32
from .backend.dtypes import float64 as float64
from .backend.dtypes import int8 as int8
from .backend.dtypes import int16 as int16
from .backend.dtypes import int32 as int32
from .backend.dtypes import int64 as int64
from .backend.dtypes import uint8 as uint8
from .backend.dtypes import uint16 as uint16
from .backend.dtypes import uint32 as uint32
from .backend.dtypes import uint64 as uint64
from .core.tensor import Tensor as Tensor
from .ops import gradient as _gradient  # noqa: F401
from .ops import methods as _methods  # noqa: F401
from .ops.activation import relu as relu
from .ops.activation import sigmoid as sigmoid
from .ops.aliases import cat as cat
from .ops.aliases import clamp as clamp
from .ops.aliases import log_softmax as log_softmax
from .ops.aliases import masked_fill as masked_fill
from .ops.aliases import permute as permute
from .ops.aliases import rand_like as rand_like
from .ops.aliases import randn_like as randn_like
from .ops.aliases import randperm as randperm
from .ops.aliases import softmax as softmax
from .ops.aliases import unbind as unbind
from .ops.aliases import unsqueeze as unsqueeze
from .ops.casting import astype as astype
from .ops.casting import can_cast as can_cast
from .ops.casting import clone as clone
from .ops.casting import finfo as finfo
from .ops.casting import iinfo as iinfo
from .ops.casting import isdtype as isdtype
from .ops.casting import result_type as result_type
from .ops.casting import to_device as to_device
from .ops.constants import e as e
from .ops.constants import inf as inf
from .ops.constants import nan as nan
from .ops.constants import newaxis as newaxis
from .ops.constants import pi as pi
from .ops.creation import arange as arange
from .ops.creation import asarray as asarray
from .ops.creation import empty as empty
from .ops.creation import empty_like as empty_like
from .ops.creation import eye as eye
from .ops.creation import full as full
from .ops.creation import full_like as full_like
from .ops.creation import linspace as linspace
from .ops.creation import meshgrid as meshgrid
from .ops.creation import ones as ones
from .ops.creation import ones_like as ones_like
from .ops.creation import tensor as tensor
from .ops.creation import zeros as zeros
from .ops.creation import zeros_like as zeros_like
from .ops.cumulative import cumprod as cumprod
from .ops.cumulative import cumsum as cumsum
from .ops.cumulative import cumulative_prod as cumulative_prod
from .ops.cumulative import cumulative_sum as cumulative_sum
from .ops.cumulative import diff as diff
from .ops.einsum import einsum as einsum
from .ops.einsum import outer as outer
from .ops.einsum import tensordot as tensordot
from .ops.einsum import vecdot as vecdot
from .ops.elementwise import abs as abs
from .ops.elementwise import acos as acos
from .ops.elementwise import acosh as acosh
from .ops.elementwise import add as add
from .ops.elementwise import asin as asin
from .ops.elementwise import asinh as asinh
from .ops.elementwise import atan as atan
from .ops.elementwise import atan2 as atan2
from .ops.elementwise import atanh as atanh
from .ops.elementwise import bitwise_and as bitwise_and
from .ops.elementwise import bitwise_invert as bitwise_invert
from .ops.elementwise import bitwise_left_shift as bitwise_left_shift
from .ops.elementwise import bitwise_or as bitwise_or
from .ops.elementwise import bitwise_right_shift as bitwise_right_shift
from .ops.elementwise import bitwise_xor as bitwise_xor
from .ops.elementwise import ceil as ceil
from .ops.elementwise import clip as clip
from .ops.elementwise import conj as conj
from .ops.elementwise import copysign as copysign
from .ops.elementwise import cos as cos
from .ops.elementwise import cosh as cosh
from .ops.elementwise import divide as divide
from .ops.elementwise import equal as equal
from .ops.elementwise import erf as erf
from .ops.elementwise import exp as exp
from .ops.elementwise import exp2 as exp2
from .ops.elementwise import expm1 as expm1
from .ops.elementwise import floor as floor
from .ops.elementwise import floor_divide as floor_divide
from .ops.elementwise import greater as greater
from .ops.elementwise import greater_equal as greater_equal
from .ops.elementwise import hypot as hypot
from .ops.elementwise import imag as imag
from .ops.elementwise import isfinite as isfinite
from .ops.elementwise import isinf as isinf
from .ops.elementwise import isnan as isnan
from .ops.elementwise import less as less
from .ops.elementwise import less_equal as less_equal
from .ops.elementwise import log as log
from .ops.elementwise import log1p as log1p
from .ops.elementwise import log2 as log2
from .ops.elementwise import log10 as log10
from .ops.elementwise import logaddexp as logaddexp
from .ops.elementwise import logical_and as logical_and
from .ops.elementwise import logical_not as logical_not
from .ops.elementwise import logical_or as logical_or
from .ops.elementwise import logical_xor as logical_xor
from .ops.elementwise import maximum as maximum
from .ops.elementwise import minimum as minimum
from .ops.elementwise import multiply as multiply
from .ops.elementwise import negative as negative
from .ops.elementwise import nextafter as nextafter
from .ops.elementwise import not_equal as not_equal
from .ops.elementwise import positive as positive
from .ops.elementwise import pow as pow
from .ops.elementwise import power as power
from .ops.elementwise import real as real
from .ops.elementwise import reciprocal as reciprocal
from .ops.elementwise import remainder as remainder
from .ops.elementwise import round as round
from .ops.elementwise import rsqrt as rsqrt
from .ops.elementwise import sign as sign
from .ops.elementwise import signbit as signbit
from .ops.elementwise import sin as sin
from .ops.elementwise import sinh as sinh
from .ops.elementwise import sqrt as sqrt
from .ops.elementwise import square as square
from .ops.elementwise import subtract as subtract
from .ops.elementwise import tan as tan
from .ops.elementwise import tanh as tanh
from .ops.elementwise import trunc as trunc
from .ops.elementwise import where as where
from .ops.indexing import argwhere as argwhere
from .ops.indexing import nonzero as nonzero
from .ops.indexing import take as take
from .ops.indexing import take_along_axis as take_along_axis
from .ops.interchange import from_dlpack as from_dlpack
from .ops.interchange import from_numpy as from_numpy
from .ops.joining import chunk as chunk
from .ops.joining import concat as concat
from .ops.joining import repeat as repeat
from .ops.joining import split as split
from .ops.joining import stack as stack
from .ops.joining import tile as tile
from .ops.joining import unstack as unstack
from .ops.matrix import matmul as matmul
from .ops.random import initial_seed as initial_seed
from .ops.random import manual_seed as manual_seed
from .ops.random import rand as rand
from .ops.random import randint as randint
from .ops.random import randn as randn
from .ops.reduction import all as all
from .ops.reduction import any as any
from .ops.reduction import argmax as argmax
from .ops.reduction import argmin as argmin
from .ops.reduction import count_nonzero as count_nonzero
from .ops.reduction import logsumexp as logsumexp
from .ops.reduction import max as max
from .ops.reduction import mean as mean
from .ops.reduction import min as min
from .ops.reduction import prod as prod
from .ops.reduction import std as std
from .ops.reduction import sum as sum
from .ops.reduction import var as var
from .ops.shaping import broadcast_arrays as broadcast_arrays
from .ops.shaping import broadcast_shapes as broadcast_shapes
from .ops.shaping import broadcast_to as broadcast_to
from .ops.shaping import diag as diag
from .ops.shaping import diagonal as diagonal
from .ops.shaping import expand_dims as expand_dims
from .ops.shaping import flatten as flatten
from .ops.shaping import flip as flip
from .ops.shaping import matrix_transpose as matrix_transpose
from .ops.shaping import moveaxis as moveaxis
from .ops.shaping import permute_dims as permute_dims
from .ops.shaping import ravel as ravel
from .ops.shaping import reshape as reshape
from .ops.shaping import roll as roll
from .ops.shaping import squeeze as squeeze
from .ops.shaping import swapaxes as swapaxes
from .ops.shaping import tril as tril
from .ops.shaping import triu as triu
from .ops.sorting import TopK as TopK
from .ops.sorting import argsort as argsort
from .ops.sorting import sort as sort
from .ops.sorting import topk as topk
from .transforms.modes import enable_grad as enable_grad
from .transforms.modes import inference_mode as inference_mode
from .transforms.modes import is_grad_enabled as is_grad_enabled
from .transforms.modes import no_grad as no_grad
from .transforms.modes import set_grad_enabled as set_grad_enabled
from .version import __version__ as __version__

bool = bool_  # the standard's name
__array_api_version__ = "2024.12"
# PyTorch's names of the same things.
half, float, double, short, int, long = float16, float32, float64, int16, int32, int64
mul, sub, div, device = multiply, subtract, divide, Device

# What else there is comes in at first use: what nobody says costs no time. A name's module stands
# here, and in the generated stub (``python -m tests.stubs``).
_MODULES = frozenset([
    "amp", "autograd", "cpu", "cuda", "data", "debug", "einops", "fft", "io", "linalg", "nn",
    "optim", "story", "train",
])  # fmt: skip
_LATER: dict[str, str] = {
    "backend.cuda.devices": "default_device",
    "backend.threads": (
        "are_deterministic_algorithms_enabled get_num_threads set_num_threads "
        "use_deterministic_algorithms"
    ),
    "debug.profiling": "profile",
    "io": "load load_safetensors save save_safetensors",
    "ops.arranging": (
        "apply_along_axis apply_over_axes array_split broadcast_tensors dsplit fliplr flipud "
        "hsplit movedim rollaxis rot90 sliding_window_view swapdims tensor_split trim_zeros "
        "unflatten vsplit"
    ),
    "ops.assembling": (
        "append atleast_1d atleast_2d atleast_3d block column_stack delete dstack hstack insert "
        "resize vstack row_stack"
    ),
    "ops.combining": (
        "addcdiv addcmul addmm addmv baddbmm bmm cdist clamp_max clamp_min dist lerp mm mv"
    ),
    "ops.comparing": (
        "allclose array_equal array_equiv is_tensor isclose iscomplex iscomplexobj isneginf "
        "isposinf isreal isrealobj isscalar ndim numel shape size"
    ),
    "ops.counting": "bincount bucketize digitize histogram histogram_bin_edges",
    "ops.choosing": "choose compress extract fill_diagonal flatnonzero put_along_axis select",
    "ops.distinct": (
        "argpartition intersect1d kthvalue lexsort partition setdiff1d setxor1d union1d unique"
    ),
    "ops.gathering": (
        "gather index_add index_copy index_fill index_select scatter scatter_add scatter_reduce "
        "take_along_dim"
    ),
    "ops.grids": (
        "bartlett blackman diag_indices diagflat geomspace hamming hanning identity indices ix_ "
        "kaiser logspace ravel_multi_index tri tril_indices triu_indices unravel_index vander"
    ),
    "ops.nan_reductions": (
        "nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmin nanprod nanstd nansum "
        "nanvar"
    ),
    "ops.padding": "pad",
    "ops.quantiles": "median nanmedian nanpercentile nanquantile percentile quantile",
    "ops.special": (
        "angle cbrt deg2rad digamma divmod erfc erfinv fabs fix float_power fmax fmin fmod frexp "
        "gcd heaviside i0 i1 lcm ldexp lgamma logaddexp2 logit modf nan_to_num polygamma rad2deg "
        "sinc xlog1py xlogy degrees expit radians"
    ),
    "ops.sequences": (
        "convolve correlate cumulative_trapezoid ediff1d gradient interp trapezoid"
    ),
    "ops.statistics": "average corrcoef cov cummax cummin logcumsumexp ptp",
    "programs.export": "export",
    "programs.loaded": "load_program",
    "story.story": "explain",
    "transforms.checkpoint": "checkpoint",
    "ops.products": "cross dot inner kron trace vdot",
    "transforms.functional": "grad value_and_grad vjp jvp",
    "transforms.jit": "jit",
    "transforms.jacobians": "jacrev jacfwd hessian hvp",
    "ops.inspection": "ArrayNamespaceInfo __array_namespace_info__",
    "ops.searching": "searchsorted",
    "ops.sets": (
        "UniqueAll UniqueCounts UniqueInverse isin unique_all unique_counts unique_inverse "
        "unique_values"
    ),
    "transforms.vmap": "vmap",
}
_PLACES = {_name: f".{_module}" for _module, _names in _LATER.items() for _name in _names.split()}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _importlib.import_module(f"{__name__}.{name}")
    if name in _PLACES:
        found = getattr(_importlib.import_module(_PLACES[name], __name__), name)
        globals()[name] = found
        return found
    names = _importlib.import_module(".ops.other_names", __name__)
    text = f"module 'tensorflowlite' has no attribute {name!r}{names.hint(name)}"
    # With the module Python looks for a name like it.
    raise AttributeError(text, name=name, obj=_sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_PLACES})
