"""Looking at what runs: which implementations were chosen, and why others were not."""

from __future__ import annotations

from .dispatch import log as log
