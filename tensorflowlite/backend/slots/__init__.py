"""Slots written once for every library with NumPy's interface, a file per family."""
