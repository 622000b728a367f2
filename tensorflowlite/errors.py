"""The exceptions of the package.

Each also derives from the built-in exception that a user of NumPy or PyTorch expects, so that
``except ValueError`` goes on working. Messages read ``op: requirement, got values; hint``.
"""

from __future__ import annotations


class TensorflowliteError(Exception):
    """Base of every exception that the package raises on purpose."""


class ShapeError(TensorflowliteError, ValueError):
    """Shapes, axes or sizes that don't fit the operation."""


class ArgumentError(TensorflowliteError, ValueError):
    """An argument outside its domain."""


class LinalgError(TensorflowliteError, ValueError):
    """A matrix without the inverse or the factors asked for; also NumPy's ``LinAlgError``."""


class UnsupportedArgumentError(TensorflowliteError, TypeError):
    """A spelling that would mean something else here; the message names the replacement."""


class DtypeError(TensorflowliteError, TypeError):
    """A dtype, or a Python type, that the operation can't take."""


class OutOfRangeError(TensorflowliteError, IndexError):
    """An index outside its axis, or a class index outside the classes."""


class AxisError(ShapeError, OutOfRangeError):
    """An axis that the tensor hasn't: an `IndexError` as well as a `ValueError`, as in NumPy."""


class DeviceError(TensorflowliteError, RuntimeError):
    """Tensors of different devices in one operation, or a device that isn't usable."""


class OutOfMemoryError(DeviceError, MemoryError):
    """An array for which a device has no room; ``report`` lists the largest tensors alive."""

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report

    def __str__(self) -> str:
        return f"{self.args[0]}\n{self.report}" if self.report else str(self.args[0])

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.args[0], self.report)


class GradientError(TensorflowliteError, RuntimeError):
    """A backward pass that can't be made, or an operation that would lose a gradient."""


class BatchingError(TensorflowliteError, RuntimeError):
    """What can't be done inside `vmap`: reading a value, or writing a batch's where one belongs."""


class CaptureError(TensorflowliteError, RuntimeError):
    """What `jit` can't record: a value that is read, a shape that depends on data."""


class StaleValueError(GradientError):
    """A value saved for backward was changed in place after it was saved."""


class DataError(TensorflowliteError, ValueError):
    """A file or data set that can't be read as what it says it is."""


class WorkerError(TensorflowliteError, RuntimeError):
    """A worker process of a `DataLoader` failed or came to an end."""


class StateError(TensorflowliteError, RuntimeError):
    """A state dict or checkpoint that doesn't fit the object it is loaded into."""


class NumericalError(TensorflowliteError, ArithmeticError):
    """A value that isn't finite where training can't go on with it."""


class MissingDependencyError(TensorflowliteError, ImportError):
    """An optional package is needed; the message holds the pip command that installs it."""


class StrictError(TensorflowliteError, RuntimeError):
    """What a rule of ``debug.strict(error=True)`` has found in a training program."""


class StrictWarning(UserWarning):
    """What a rule of `debug.strict` has found in a training program."""
