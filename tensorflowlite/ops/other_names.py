"""Names that other libraries have for what is here under another one: for messages alone."""

from __future__ import annotations

OTHER_NAMES = {
    "absolute": "abs", "amax": "max", "amin": "min", "arccos": "acos", "arccosh": "acosh",
    "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2",
    "arctanh": "atanh", "array": "tensor", "as_tensor": "asarray", "concatenate": "concat",
    "conjugate": "conj", "eq": "equal", "func": "grad, vmap, jacrev, ... of the module itself",
    "ge": "greater_equal", "gt": "greater", "invert": "bitwise_invert", "le": "less_equal",
    "lt": "less", "ne": "not_equal", "neg": "negative", "norm": "linalg.norm",
    "normal": "random.normal",
    "repeat_interleave": "repeat", "transpose": "permute_dims, or swapaxes for two axes",
}  # fmt: skip


def hint(name: str) -> str:
    """Return what to say after "no attribute": the name here, or nothing.

    Examples
    --------
    >>> hint("concatenate"), hint("conolve")
    ('; use concat', '')
    """
    found = OTHER_NAMES.get(name)
    return f"; use {found}" if found else ""
