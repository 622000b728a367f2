"""The picture of a run: loss and accuracy of training and validation."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, MissingDependencyError
from ..io import write_atomically
from .callbacks import Callback
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

FilePath = str | os.PathLike[str]
_TRAINING, _VALIDATION, _QUIET = "#2a6fb0", "#d1661c", "#5c6670"
_PREFIX = "validation_"


def require_matplotlib(op: str) -> Any:
    """Return matplotlib's ``Figure``, or say how to install it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            f"{op}: the picture of the run is drawn by matplotlib, got no module 'matplotlib'; "
            'pip install "tensorflowlite[train]"'
        ) from None
    return Figure


def plot_curves(history: History, path: FilePath, *, monitor: str | None = None) -> None:
    """Draw the measures of a run into a PNG file: a panel each, training and validation.

    Parameters
    ----------
    history : History
        What `Trainer.fit` returned; at least one epoch.
    path : str or path
        The file.
    monitor : str, optional
        The measure whose best epoch is marked; by default ``validation_loss``, or ``loss``.

    Raises
    ------
    ArgumentError
        Where the history is empty.
    MissingDependencyError
        Where matplotlib isn't installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from tensorflowlite.train import History, plot_curves
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.3}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_curves(history, os.path.join(folder, "curves.png"))
    ...     os.listdir(folder)
    ['curves.png']
    """
    if not len(history):
        raise ArgumentError("plot_curves: the history must hold at least one epoch, got none")
    make_figure = require_matplotlib("plot_curves")
    skipped = ("epoch", "learning_rate", "seconds")
    names = [name for name in history.names if name not in skipped and not name.startswith(_PREFIX)]
    names = names[:4]
    figure = make_figure(figsize=(5.2 * len(names), 4.0), dpi=120, layout="constrained")
    monitor = monitor or (_PREFIX + "loss" if _PREFIX + "loss" in history.names else "loss")
    best = int(history.best(monitor)["epoch"])
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        _draw(axes, history, name, best)
    if history.reason:
        figure.suptitle(f"stopped: {history.reason}", fontsize=9, color=_QUIET)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue(), op="curves")


def _draw(axes: Any, history: History, name: str, best: int) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = history["epoch"]
    marker = "o" if len(epochs) <= 30 else None
    style = {"marker": marker, "markersize": 3, "linewidth": 1.6}
    axes.plot(epochs, history[name], color=_TRAINING, label="training", **style)
    if _PREFIX + name in history.names:
        values = history[_PREFIX + name]
        axes.plot(epochs, values, color=_VALIDATION, label="validation", **style)
    axes.axvline(best, color=_QUIET, linewidth=1, linestyle=":", label=f"best epoch ({best})")
    if name == "loss" and _spans_decades(history):
        axes.set_yscale("log")
    axes.set_title(name.replace("_", " "), fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _spans_decades(history: History) -> bool:
    values = [value for value in history["loss"] if value == value]
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


class Curves(Callback):
    """Draw the curves of the run when it ends, after an error or Ctrl-C too.

    Parameters
    ----------
    path : str or path
        The file, ``curves.png`` by custom.
    monitor : str, optional
        As in `plot_curves`.

    Examples
    --------
    >>> from tensorflowlite.train import Curves
    >>> Curves("run/curves.png").path
    'run/curves.png'
    """

    priority = 30

    def __init__(self, path: FilePath, monitor: str | None = None) -> None:
        require_matplotlib("Curves")
        self.path = os.fspath(path)
        self.monitor = monitor

    def close(self, trainer: Trainer) -> None:
        if len(trainer.history):
            plot_curves(trainer.history, self.path, monitor=self.monitor)
