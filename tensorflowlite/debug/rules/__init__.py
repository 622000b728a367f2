"""The rules of `strict`, a file per family; `declare` says what a rule is and how to add one."""

from __future__ import annotations

from . import data as data  # TFL5..
from . import gradients as gradients  # TFL4..
from . import losses as losses  # TFL1..
from . import networks as networks  # TFL3..
from . import stepping as stepping  # TFL2..
from .declare import ALL as ALL
from .declare import Limits as Limits
from .declare import Rule as Rule
from .declare import find_rules as find_rules
from .declare import registry as registry
