"""Files of tensors: safetensors, trees of tensors in the same format, and atomic writes."""

from __future__ import annotations

from .files import WriteError as WriteError
from .files import write_atomically as write_atomically
from .tensors import load_safetensors as load_safetensors
from .tensors import read_metadata as read_metadata
from .tensors import save_safetensors as save_safetensors
from .trees import load as load
from .trees import save as save
