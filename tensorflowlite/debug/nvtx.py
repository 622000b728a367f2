"""Named ranges for NVIDIA's profilers, of code and of modules."""

from __future__ import annotations

from typing import Any

from ..backend.cuda import nvtx as cuda_nvtx
from ..backend.cuda.nvtx import range as range
from ..backend.cuda.nvtx import range_pop as range_pop
from ..backend.cuda.nvtx import range_push as range_push


class modules:
    """Show the ``forward`` of a module, and of all inside it, as ranges named by their paths.

    From the call on; as a context manager until its end. It registers hooks, so a call of a module
    takes some microseconds more meanwhile.

    Parameters
    ----------
    model : nn.Module
        The module; its own range has the name of its class.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with tfl.cuda.nvtx.modules(model):
    ...     y = model(tfl.ones((1, 2)))
    """

    def __init__(self, model: Any) -> None:
        self._handles = []
        for path, module in model.named_modules():
            shown = cuda_nvtx.range(path or type(module).__name__)
            self._handles += [
                module.register_forward_pre_hook(_entering(shown), prepend=True),
                module.register_forward_hook(_leaving(shown), always_call=True),
            ]

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> modules:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def _entering(shown: cuda_nvtx.range) -> Any:
    def hook(module: Any, args: Any) -> None:
        shown.__enter__()

    return hook


def _leaving(shown: cuda_nvtx.range) -> Any:
    def hook(module: Any, args: Any, output: Any) -> None:
        shown.__exit__()

    return hook
