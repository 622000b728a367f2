"""Reports of runs: what is measured, the plots, the page, and runs side by side."""

from __future__ import annotations

from .callback import Report as Report
from .writing import write_report as write_report
