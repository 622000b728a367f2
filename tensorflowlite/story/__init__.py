"""Training steps recorded as stories: what was computed, how the gradient came, what it changed."""

from __future__ import annotations

from .reasons import Reason as Reason
from .story import Story as Story
from .story import explain as explain

__all__ = ["Reason", "Story", "explain"]
