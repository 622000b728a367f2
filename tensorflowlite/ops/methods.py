"""The one table of the methods and operators of `Tensor`.

Methods follow NumPy's ndarray. PyTorch's names stand beside them where they mean the same; where
they would mean something else they raise and name the replacement.
"""

from __future__ import annotations

from typing import Any

from ..core.graph import grad_fn
from ..core.tensor import Tensor
from . import (
    activation,
    aliases,
    casting,
    cumulative,
    einsum,
    indexing,
    joining,
    matrix,
    reduction,
    sorting,
)
from . import elementwise as e
from . import mutating as c
from . import new_tensors as like
from . import numpy_functions as n
from . import numpy_ufuncs as u
from . import shaping as s
from . import tensor_methods as m
from .method_forms import (
    OfTheType,
    in_place,
    later,
    operator,
    operator_in_place,
    reflected,
    renamed,
    with_axes,
)

_UNARY = (
    e.abs, e.acos, e.acosh, e.asin, e.asinh, e.atan, e.atanh, e.ceil, e.conj, e.cos, e.cosh, e.erf,
    e.exp, e.exp2, e.expm1, e.floor, e.isfinite, e.isinf, e.isnan, e.log, e.log10, e.log1p, e.log2,
    e.logical_not, e.negative, e.positive, e.reciprocal, e.rsqrt, e.sign, e.signbit, e.sin, e.sinh,
    e.sqrt, e.square, e.tan, e.tanh, e.trunc, activation.relu, activation.sigmoid,
)  # fmt: skip
_BINARY = (
    e.atan2, e.bitwise_and, e.bitwise_or, e.bitwise_xor, e.bitwise_left_shift,
    e.bitwise_right_shift, e.copysign, e.floor_divide, e.greater, e.greater_equal,
    e.hypot, e.less, e.less_equal, e.logaddexp, e.logical_and, e.logical_or, e.logical_xor,
    e.maximum, e.minimum, e.multiply, e.divide, e.nextafter, e.not_equal, e.power, e.remainder,
)  # fmt: skip
_BINARY_IN_PLACE = (
    e.atan2, e.bitwise_and, e.bitwise_or, e.bitwise_xor, e.bitwise_left_shift,
    e.bitwise_right_shift, e.copysign, e.divide, e.floor_divide, e.hypot, e.multiply, e.remainder,
)  # fmt: skip
_UNARY_IN_PLACE = (
    e.acos, e.acosh, e.asin, e.asinh, e.atan, e.atanh, e.ceil, e.cos, e.cosh, e.erf, e.exp,
    e.exp2, e.expm1, e.floor, e.log, e.log10, e.log1p, e.log2, e.reciprocal, e.round, e.rsqrt,
    e.sign, e.sin, e.sinh, e.sqrt, e.square, e.tan, e.tanh, e.trunc, activation.relu,
    activation.sigmoid,
)  # fmt: skip

_LIKE = (like.new_empty, like.new_full, like.new_ones, like.new_tensor, like.new_zeros)

METHODS: dict[str, Any] = {
    # -- operators ---------------------------------------------------------------------------------
    "__add__": operator(e.add), "__radd__": operator(e.add),
    "__sub__": operator(e.subtract), "__rsub__": reflected(e.subtract),
    "__mul__": operator(e.multiply), "__rmul__": operator(e.multiply),
    "__truediv__": operator(e.divide), "__rtruediv__": reflected(e.divide),
    "__floordiv__": operator(e.floor_divide), "__rfloordiv__": reflected(e.floor_divide),
    "__mod__": operator(e.remainder), "__rmod__": reflected(e.remainder),
    "__divmod__": operator(m.divmod), "__rdivmod__": reflected(m.divmod),
    "__pow__": operator(e.power), "__rpow__": reflected(e.power),
    "__matmul__": operator(matrix.matmul), "__rmatmul__": reflected(matrix.matmul),
    "__and__": operator(e.bitwise_and), "__rand__": operator(e.bitwise_and),
    "__or__": operator(e.bitwise_or), "__ror__": operator(e.bitwise_or),
    "__xor__": operator(e.bitwise_xor), "__rxor__": operator(e.bitwise_xor),
    "__lshift__": operator(e.bitwise_left_shift), "__rlshift__": reflected(e.bitwise_left_shift),
    "__rshift__": operator(e.bitwise_right_shift), "__rrshift__": reflected(e.bitwise_right_shift),
    "__eq__": operator(e.equal), "__ne__": operator(e.not_equal),
    "__lt__": operator(e.less), "__le__": operator(e.less_equal),
    "__gt__": operator(e.greater), "__ge__": operator(e.greater_equal),
    "__neg__": e.negative, "__pos__": e.positive, "__abs__": e.abs,
    "__invert__": e.bitwise_invert,
    "__iadd__": operator_in_place(e.add), "__isub__": operator_in_place(e.subtract),
    "__imul__": operator_in_place(e.multiply), "__itruediv__": operator_in_place(e.divide),
    "__ifloordiv__": operator_in_place(e.floor_divide),
    "__imod__": operator_in_place(e.remainder), "__ipow__": operator_in_place(e.power),
    "__imatmul__": operator(c.matmul_),
    "__iand__": operator_in_place(e.bitwise_and), "__ior__": operator_in_place(e.bitwise_or),
    "__ixor__": operator_in_place(e.bitwise_xor),
    "__ilshift__": operator_in_place(e.bitwise_left_shift),
    "__irshift__": operator_in_place(e.bitwise_right_shift),
    "__getitem__": indexing.getitem, "__setitem__": indexing.setitem,
    "__iter__": m.iterate, "__contains__": m.contains,
    # -- where NumPy's and CuPy's own functions are called -----------------------------------------
    "__array_ufunc__": OfTheType(u.array_ufunc), "__array_function__": n.array_function,
    "__cupy_override_elementwise_kernel__": u.cupy_kernel,
    # -- gradients, copies, casts, devices ---------------------------------------------------------
    "backward": m.backward, "grad_fn": property(grad_fn),
    "clone": casting.clone, "copy": casting.clone,
    "astype": casting.astype, "type_as": m.type_as,
    "float": m.cast_to("float", "float32"), "double": m.cast_to("double", "float64"),
    "half": m.cast_to("half", "float16"), "bfloat16": m.cast_to("bfloat16", "bfloat16"),
    "int": m.cast_to("int", "int32"), "long": m.cast_to("long", "int64"),
    "short": m.cast_to("short", "int16"), "bool": m.cast_to("bool", "bool"),
    "to": m.to, "to_device": casting.to_device, "cpu": m.cpu, "cuda": m.cuda,
    # -- what it is --------------------------------------------------------------------------------
    "T": property(m.reversed_axes), "mT": property(s.matrix_transpose),
    "H": property(m.adjoint), "mH": property(m.adjoint),
    "real": property(e.real), "imag": property(e.imag),
    "itemsize": property(m.element_size), "element_size": m.element_size,
    "dim": m.dim, "ndimension": m.dim, "numel": m.numel, "nelement": m.numel,
    "is_contiguous": m.is_contiguous, "contiguous": m.contiguous,
    "is_floating_point": m.is_floating_point, "is_complex": m.is_complex,
    # -- elementwise -------------------------------------------------------------------------------
    **{function.__name__: function for function in _UNARY},
    **{function.__name__: function for function in _BINARY},
    "add": m.add, "sub": m.sub, "subtract": m.sub,
    "mul": e.multiply, "div": e.divide, "true_divide": e.divide,
    "pow": e.power, "neg": e.negative, "absolute": e.abs, "conjugate": e.conj,
    "eq": e.equal, "ne": e.not_equal, "lt": e.less,
    "le": e.less_equal, "gt": e.greater, "ge": e.greater_equal,
    "bitwise_not": e.bitwise_invert, "bitwise_invert": e.bitwise_invert,
    "addcmul": m.addcmul, "addcdiv": m.addcdiv, "lerp": m.lerp,
    "clamp_min": m.clamp_min, "clamp_max": m.clamp_max,
    "round": m.round, "clip": e.clip, "clamp": aliases.clamp,
    "where": m.where, "masked_fill": aliases.masked_fill,
    "softmax": renamed(activation.softmax, dim="axis"),
    "log_softmax": renamed(activation.log_softmax, dim="axis"),
    # -- into the tensor itself --------------------------------------------------------------------
    **{f"{function.__name__}_": in_place(function) for function in _UNARY_IN_PLACE},
    "add_": c.add_, "sub_": c.sub_, "subtract_": c.sub_,
    **{f"{function.__name__}_": in_place(function) for function in _BINARY_IN_PLACE},
    "mul_": in_place(e.multiply, "mul_"), "div_": in_place(e.divide, "div_"),
    "true_divide_": in_place(e.divide, "true_divide_"),
    "pow_": in_place(e.power, "pow_"), "neg_": in_place(e.negative, "neg_"),
    "negative_": in_place(e.negative, "negative_"), "abs_": c.abs_, "absolute_": c.abs_,
    "bitwise_not_": in_place(e.bitwise_invert, "bitwise_not_"),
    "addcmul_": c.addcmul_, "addcdiv_": c.addcdiv_, "lerp_": c.lerp_, "detach_": c.detach_,
    "zero_": c.zero_, "fill_": c.fill_, "copy_": c.copy_, "clamp_": c.clamp_, "clip_": c.clamp_,
    "masked_fill_": c.masked_fill_, "uniform_": c.uniform_, "normal_": c.normal_,
    # -- reductions --------------------------------------------------------------------------------
    "sum": reduction.sum, "mean": reduction.mean, "prod": reduction.prod,
    "max": reduction.max, "min": reduction.min, "var": reduction.var, "std": reduction.std,
    "amax": renamed(reduction.max, dim="axis", keepdim="keepdims"),
    "amin": renamed(reduction.min, dim="axis", keepdim="keepdims"),
    "any": reduction.any, "all": reduction.all,
    "argmax": reduction.argmax, "argmin": reduction.argmin,
    "count_nonzero": reduction.count_nonzero, "logsumexp": reduction.logsumexp,
    "cumulative_sum": cumulative.cumulative_sum, "cumulative_prod": cumulative.cumulative_prod,
    "cumsum": cumulative.cumsum, "cumprod": cumulative.cumprod,
    "sort": sorting.sort, "argsort": sorting.argsort, "topk": sorting.topk,
    # -- shapes ------------------------------------------------------------------------------------
    "reshape": m.reshaped, "view": m.view, "view_as": m.view_as, "reshape_as": m.view_as,
    "flatten": renamed(s.flatten, start_dim="start_axis", end_dim="end_axis"), "ravel": s.ravel,
    "squeeze": renamed(s.squeeze, dim="axis"),
    "expand_dims": s.expand_dims, "unsqueeze": aliases.unsqueeze,
    "transpose": m.transpose, "permute_dims": s.permute_dims,
    "permute": with_axes(s.permute_dims, "dims"),
    "t": m.t, "adjoint": m.adjoint, "matrix_transpose": s.matrix_transpose,
    "swapaxes": s.swapaxes, "swapdims": s.swapaxes, "moveaxis": s.moveaxis, "movedim": s.moveaxis,
    "broadcast_to": s.broadcast_to, "expand": m.expand, "expand_as": m.expand_as,
    "flip": m.flipped,
    "roll": renamed(s.roll, shifts="shift", dims="axis"),
    "diagonal": renamed(s.diagonal, dim1="axis1", dim2="axis2"), "diag": s.diag,
    "tril": renamed(s.tril, diagonal="k"), "triu": renamed(s.triu, diagonal="k"),
    "split": joining.split, "chunk": renamed(joining.chunk, dim="axis"),
    "unstack": joining.unstack, "unbind": aliases.unbind,
    "tile": m.tile, "repeat": m.repeat, "repeat_interleave": m.repeat_interleave,
    # -- indexing ----------------------------------------------------------------------------------
    "take": indexing.take, "take_along_axis": indexing.take_along_axis,
    "index_select": m.index_select, "select": m.select, "narrow": m.narrow,
    "masked_select": m.masked_select,
    "nonzero": indexing.nonzero, "argwhere": indexing.argwhere,
    # -- products ----------------------------------------------------------------------------------
    "matmul": matrix.matmul, "mm": m.mm, "bmm": m.bmm, "dot": m.dot, "mv": m.mv,
    "outer": einsum.outer, "tensordot": einsum.tensordot,
    "vecdot": einsum.vecdot,
    # -- at first use ------------------------------------------------------------------------------
    **later("arranging", "fliplr flipud rot90 tensor_split unflatten"),
    **later("combining", "addmm addmv baddbmm dist"),
    **later("distinct", "argpartition kthvalue partition unique"),
    **later("comparing", "allclose isclose isneginf isposinf isreal"),
    **later("counting", "bincount bucketize digitize histogram"),
    **later("choosing", "compress"),
    **later("gathering", "gather index_add index_add_ index_copy index_copy_ index_fill "
            "index_fill_ scatter scatter_ scatter_add scatter_add_ scatter_reduce take_along_dim"),
    **later("nan_reductions", "nansum nanmean"),
    **{function.__name__: function for function in _LIKE},
    **later("quantiles", "median nanmedian quantile nanquantile"),
    **later("products", "inner kron vdot"), **later("products", "cross", dim="axis"),
    **later("products", "trace", dim1="axis1", dim2="axis2"),
    **later("linalg_solving", "det logdet slogdet inverse=inv"),
    **later("linalg_solving", "pinverse=pinv", rcond="rtol"),
    **later("linalg_functions", "matrix_power matrix_exp=expm"),
    **later("linalg_decompositions", "cholesky"),
    **later("linalg_methods", "norm"),
    **later("special", "angle deg2rad digamma erfc erfinv float_power fmax fmin fmod frexp gcd "
            "heaviside i0 lcm ldexp lgamma logaddexp2 logit nan_to_num rad2deg sinc xlogy fix"),
    **later("statistics", "corrcoef cov cummax cummin logcumsumexp ptp"),
}  # fmt: skip
for _name, _value in METHODS.items():
    setattr(Tensor, _name, _value)
