"""The command ``tensorflowlite``: train, doctor, bench."""

from __future__ import annotations

from .main import main as main
