"""Training: the loop, when it stops, what it leaves behind."""

from __future__ import annotations

from .callbacks import Callback as Callback
from .callbacks import Convergence as Convergence
from .callbacks import EarlyStopping as EarlyStopping
from .checkpoint import Checkpoint as Checkpoint
from .curves import Curves as Curves
from .curves import plot_curves as plot_curves
from .history import History as History
from .logs import MetricsFile as MetricsFile
from .logs import Progress as Progress
from .logs import TensorBoard as TensorBoard
from .metrics import accuracy as accuracy
from .metrics import mean_absolute_error as mean_absolute_error
from .metrics import r2_score as r2_score
from .report.callback import Report as Report
from .report.writing import write_report as write_report
from .trainer import Trainer as Trainer
