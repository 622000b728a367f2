"""The operations that the tape itself applies to gradients."""

from __future__ import annotations

from ..core.primitive import Primitive
from .declare import attr1, general, unary

sum_to = attr1(
    "sum_to",
    "shape",
    lambda k, g, x_shape: k.broadcast_to(g, x_shape),
    "Sum over the axes along which ``shape`` was broadcast.",
)
cast = attr1(
    "cast", "dtype", lambda g: g, "Cast to ``dtype``; complex to real takes the real part."
)
identity = unary("identity", lambda g: g, "The same value, as a node of its own.")
zeros_for = general(
    "zeros_for", ("x",), None, "Zeros where ``x`` lives.", attributes=("shape", "dtype")
)

# A path is a tuple of (view operation, attribute): how a view is reached from its root.
read_view = attr1(
    "read_view",
    "path",
    lambda k, g, x_shape, path: k.place_view(g, path, x_shape),
    "The view of ``x`` at the end of ``path``.",
)
place_view = general(
    "place_view",
    ("x",),
    (lambda k, g, path: k.read_view(g, path),),
    "Zeros of ``shape`` with ``x`` in the view at the end of ``path``.",
    attributes=("path", "shape"),
)
clear_view = attr1(
    "clear_view",
    "path",
    lambda k, g, path: k.clear_view(g, path),
    "``x`` with zeros in the view at the end of ``path``.",
)
# What an in-place change of a view does to its root: only its gradient is ever run.
write_view = Primitive(
    "write_view",
    ("x", "y"),
    (lambda k, g, path: k.clear_view(g, path), lambda k, g, path: k.read_view(g, path)),
    attributes=("path",),
    form="plain",
)
