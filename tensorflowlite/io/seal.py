"""Seals: a file of the safetensors format that tells whether a byte of it was changed.

The seal is a part of the header's metadata: the SHA-256 of the whole file as it is with zeros in
the place of the seal's digits. So it covers the data, the names, the structure and the padding.
"""

from __future__ import annotations

import hashlib

_KEY = "tensorflowlite.seal"
_METHOD, _DIGITS = "sha256:", 64
# Unescaped quotes stand around names of the header alone, never inside text.
_MARK = f'"{_KEY}":"{_METHOD}'.encode()

UNSEALED = {_KEY: _METHOD + "0" * _DIGITS}
"""The metadata of a file that is to be sealed."""


def seal(content: bytes | bytearray) -> bytearray:
    """Return a file's bytes, made with the metadata `UNSEALED`, with the seal in its place.

    A bytearray, which may be large, is changed itself.
    """
    place = _place(content)
    assert place is not None, "the file was made without the metadata UNSEALED"
    sealed = content if isinstance(content, bytearray) else bytearray(content)
    sealed[place : place + _DIGITS] = _digest(content, place).encode()
    return sealed


def is_whole(content: bytes) -> bool:
    """Tell whether a file's bytes are those that were sealed."""
    place = _place(content)
    if place is None:
        return False
    return content[place : place + _DIGITS] == _digest(content, place).encode()


def _place(content: bytes | bytearray) -> int | None:
    """Return where the seal's digits begin, None where there is none."""
    end = 8 + int.from_bytes(content[:8], "little")
    found = content.find(_MARK, 8, end)
    return None if found < 0 else found + len(_MARK)


def _digest(content: bytes | bytearray, place: int) -> str:
    view = memoryview(content)
    found = hashlib.sha256(view[:place])
    found.update(b"0" * _DIGITS)
    found.update(view[place + _DIGITS :])
    return found.hexdigest()
