"""einops on tensors: importing this makes einops' own functions know them.

``import tensorflowlite.einops`` once; after that ``einops.rearrange(tensor, ...)`` works as on any
array, recorded. The layers are modules of `nn`.
"""

from __future__ import annotations

from .nn.rearranging import EinMix as EinMix
from .nn.rearranging import Rearrange as Rearrange
from .nn.rearranging import Reduce as Reduce
from .nn.rearranging import einsum as einsum
from .nn.rearranging import pack as pack
from .nn.rearranging import parse_shape as parse_shape
from .nn.rearranging import rearrange as rearrange
from .nn.rearranging import reduce as reduce
from .nn.rearranging import repeat as repeat
from .nn.rearranging import unpack as unpack
