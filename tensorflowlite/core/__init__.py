"""Tensors, primitives and the tape. This floor knows no operation by name."""
