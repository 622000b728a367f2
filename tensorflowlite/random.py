"""Random numbers from Philox streams: the same seed gives the same bits on every device."""

from __future__ import annotations

from .ops.random import get_state as get_state
from .ops.random import initial_seed as initial_seed
from .ops.random import manual_seed as manual_seed
from .ops.random import normal as normal
from .ops.random import permutation as permutation
from .ops.random import rand as rand
from .ops.random import randint as randint
from .ops.random import randn as randn
from .ops.random import set_state as set_state
from .ops.random import uniform as uniform
