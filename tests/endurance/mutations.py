"""Ways to damage a file: blindly, by its numbers and texts, and as one who knows the format."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

from tensorflowlite.io import seal

from ..test_export_damage import JUNK as PROGRAM_JUNK
from ..test_export_damage import edited

BOUNDARIES = (
    0, 1, 2, 3, 7, 8, 9, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 2**20, 2**31 - 1, 2**31,
    2**32 - 1, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
TEXTS = (
    b"", b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"null", b"true", b"{}", b"[]", b'""', b'"',
    b"\\", b"{", b"[", b",", b":", b"}", b"]", b"F32", b"F64", b"I8", b"BOOL", b"C64", b"F4", b"O",
    b"|O", b"<f4", b"<U1", b"|S0", b"|V9999999", b"<M8[s]", b"True", b"1_0", b"1e400", b"\r", b"\n",
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"PK\1\2", b"PK\5\6", b"\x1f\x8b", b"../x",
    b'"data_offsets":[0,4]', b'"shape":[0,9223372036854775807]', b'"__metadata__":{}',
)  # fmt: skip
JUNK: list[Any] = [
    *PROGRAM_JUNK, "F32", "BOOL", "U8", [0, 4], [4, 0], [0, 2**63], [2**64 - 8, 8], [0] * 70,
    [1] * 70, {"tensor": "x"}, {"array": "0"}, {"scalar": "x"}, {"dict": [[1, 2], [1, 3]]},
    {"dict": [[None, 1]]}, {"tuple": "ab"}, {"float": "inf"}, {"complex tensor": "complex"},
    "__metadata__", "9" * 30,
]  # fmt: skip


# -- blindly ---------------------------------------------------------------------------------------
def blind(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Return bytes with one or a few changes that know nothing of the format."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_BLIND)(rng, content, others)
    return content


def _flip(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= rng.choice((1 << rng.randrange(8), 255))
    return bytes(changed)


def _cut(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _lengthen(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    return content + rng.choice((b"\0", b"\n", b"more", content[-8:], bytes(5000)))


def _without(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice((1, 2, 4, 8, 40)) :]


def _again(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    start = rng.randrange(len(content) + 1)
    end = start + rng.choice((1, 2, 4, 8, 40))
    return content[:end] + content[start:end] * rng.choice((1, 1, 3, 200)) + content[end:]


def _splice(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    other = rng.choice(others)
    start = rng.randrange(len(content) + 1)
    return content[:start] + other[min(start, len(other)) if rng.random() < 0.5 else 0 :]


def _number(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Put a number of a size where many begin, at the edge of some range."""
    size = rng.choice((1, 2, 4, 8))
    if len(content) < size:
        return content
    start = rng.randrange(min(len(content), rng.choice((16, 64, 10**6))) - size + 1)
    number = rng.choice(BOUNDARIES) % (1 << 8 * size)
    return (
        content[:start]
        + number.to_bytes(size, rng.choice(("little", "big")))
        + content[start + size :]
    )


def _digits(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Put another number where one stands in digits."""
    found = list(re.finditer(rb"-?\d+", content))
    if not found:
        return content
    match = rng.choice(found)
    there = int(match[0][:1000])  # Python reads no more than 4300 digits
    number = rng.choice((*BOUNDARIES, -1, -(2**63), there + 1, there - 1, 10**400))
    return content[: match.start()] + b"%d" % number + content[match.end() :]


def _text(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + rng.choice(TEXTS) + content[start + rng.choice((0, 0, 1, 4)) :]


_BLIND: tuple[Callable[[random.Random, bytes, list[bytes]], bytes], ...] = (
    _flip, _flip, _cut, _lengthen, _without, _again, _splice, _number, _number, _digits, _text,
)  # fmt: skip


# -- safetensors -----------------------------------------------------------------------------------
def json_text(rng: random.Random, document: Any) -> bytes:
    """Return a JSON text with parts changed, at times in ways that no JSON writer has."""
    ascii = rng.random() < 0.5
    text = json.dumps(changed(rng, document), ensure_ascii=ascii, separators=(",", ":"))
    content = text.encode(errors="surrogatepass")
    deed = rng.randrange(12)
    if deed == 0:  # a name twice
        found = list(re.finditer(rb'"[^"\\]*":', content))
        if found:
            match = rng.choice(found)
            content = content[: match.start()] + match[0] + b"1," + content[match.start() :]
    elif deed == 1:
        content = _text(rng, content, [])
    elif deed == 2:
        depth = rng.choice((100, 126, 130, 2000, 50_000))
        start = rng.randrange(len(content) + 1)
        content = content[:start] + b"[" * depth + b"]" * depth + content[start:]
    return content


def changed(rng: random.Random, document: Any) -> Any:
    """Return a document with one part, or a few, replaced, left out, doubled or swapped."""
    try:
        return _renamed(rng, edited(rng, document)) if rng.random() < 0.9 else document
    except IndexError:  # nothing was left to edit
        return rng.choice(JUNK)


def _renamed(rng: random.Random, document: Any) -> Any:
    if rng.random() < 0.1 and isinstance(document, dict) and document:
        name = rng.choice(list(document))
        document = {("x" if key == name else key): part for key, part in document.items()}
    return document


def split(content: bytes) -> tuple[Any, bytes]:
    """Return the header of a safetensors file, and its data."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def joined(rng: random.Random, text: bytes, data: bytes) -> bytes:
    text += b" " * (-len(text) % 8)
    length = len(text) if rng.random() < 0.95 else rng.choice(BOUNDARIES)
    return length.to_bytes(8, "little") + text + data


def safetensors(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    header, data = split(content)
    if rng.random() < 0.3:
        data = blind(rng, data, [data])
    elif rng.random() < 0.2:
        return _laid_anew(rng, header, data)
    return joined(rng, json_text(rng, header), data)


def _laid_anew(rng: random.Random, header: Any, data: bytes) -> bytes:
    """Let tensors of other shapes and dtypes lie in the data, well or badly."""
    for entry in header.values():
        if "shape" in entry and rng.random() < 0.5:
            entry["dtype"] = rng.choice(("BOOL", "U8", "I16", "F32", "F64", "C64", entry["dtype"]))
            entry["shape"] = rng.sample((0, 1, 1, 2, 3, 4, 2**31, 2**62), rng.randrange(5))
            if rng.random() < 0.5:
                entry["shape"] = [entry["data_offsets"][1] - entry["data_offsets"][0]]
                entry["dtype"] = rng.choice(("U8", "BOOL"))
    return joined(rng, json.dumps(header, separators=(",", ":")).encode(), data)


def tree(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Change the structure inside the header, which is a text of JSON itself."""
    header, data = split(content)
    metadata, key = header["__metadata__"], "tensorflowlite.structure"
    text = json_text(rng, json.loads(metadata[key])).decode(errors="replace")
    return joined(rng, _with(header, metadata | {key: text}), data)


def checkpoint(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Change a checkpoint and seal it anew, as one who knows how."""
    header, data = split(content)
    metadata = header["__metadata__"] | seal.UNSEALED
    key = rng.choice(sorted(metadata))
    if key == "tensorflowlite.structure":
        metadata[key] = json_text(rng, json.loads(metadata[key])).decode(errors="replace")
    elif key == "tensorflowlite.checkpoint":
        metadata[key] = rng.choice(("", "-1", "1", "2", "3", "²", "1_0", "9" * 5000, "x", "2.0"))
    else:
        text = json_text(rng, header)
        return joined(rng, text, data)
    text = _with(header, metadata)
    text += b" " * (-len(text) % 8)
    return bytes(seal.seal(len(text).to_bytes(8, "little") + text + data))


def program(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Change a program's text and sign it anew."""
    header, data = split(content)
    metadata = header["__metadata__"]
    key, digest = "tensorflowlite.program", "tensorflowlite.digest"
    document = json.loads(metadata[key])
    text = json.dumps(changed(rng, document))
    if rng.random() < 0.02:
        text = json_text(rng, document).decode(errors="replace")
    sums = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return joined(rng, _with(header, metadata | {key: text, digest: sums}), data)


def _with(header: Any, metadata: Any) -> bytes:
    return json.dumps(header | {"__metadata__": metadata}, separators=(",", ":")).encode()


# -- IDX, NPZ, CSV ---------------------------------------------------------------------------------
def idx(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Write another header, or compress what is damaged."""
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if rng.random() < 0.6:
        count = rng.choice((0, 1, 2, 3, 4, 64, 65, 255))
        small = (0, 1, 1, 1, 2, 3, 20)
        lengths = [rng.choice(small if rng.random() < 0.8 else BOUNDARIES) for _ in range(count)]
        header = bytes([0, 0, rng.choice((8, 8, 9, 10, 11, 12, 13, 14, 255)), count])
        body = bytes(rng.choice((0, 1, 2, 4, 8, 20)))
        plain = header + struct.pack(f">{count}I", *(n % 2**32 for n in lengths)) + body
    else:
        plain = blind(rng, plain, others)
    if rng.random() < 0.5:
        return plain
    packed = gzip.compress(plain + bytes(rng.choice((0, 0, 100_000))), 1, mtime=0)
    return packed + rng.choice((b"", b"", b"\0", packed, b"junk"))


def npz(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Write the archive anew, with damaged members whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(one.filename, archive.read(one)) for one in archive.infolist()]
    members = rng.sample(members, rng.randint(1, len(members)))
    place = rng.randrange(len(members))
    name, inside = members[place]
    deed = rng.randrange(8)
    if deed < 3:
        inside = _npy(rng, inside)
    elif deed < 5:
        inside = blind(rng, inside, [inside])
    elif deed == 5:
        name = rng.choice(("../x.npy", "/x.npy", "a\\..\\x.npy", "", "x", "C:x.npy", "é.npy", name))
    elif deed == 6:
        members.append((rng.choice((name, name.removesuffix(".npy"))), inside))
    members[place] = (name, inside)
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of double names
        for one, part in members:
            archive.writestr(one or "y", part)
    return blind(rng, file.getvalue(), others) if rng.random() < 0.1 else file.getvalue()


def _npy(rng: random.Random, content: bytes) -> bytes:
    length = int.from_bytes(content[8:10], "little")
    descriptions = (
        "'<f4'", "'|b1'", "'|O'", "'<U2'", "'|S0'", "'|V0'", "'|V2147483647'", "'<c16'", "'>i8'",
        "'<M8[s]'", "'<M8[9999999999s]'", "[('a', '<f4')]", "[('a', '|O')]", "[]", "'x'", "None",
        "('<f4', (2,))", "[('a', '<f4', (2, 2))]", "[('a', '<f4', (99999999, 99999999))]",
    )  # fmt: skip
    shapes = ("()", "(0,)", "(1,)", "(3, 4)", "(-1,)", "(True,)", "(1.0,)", "('a',)", "5", "(1L,)",
              "(4611686018427387904, 4)", "(99999999999,)", repr((1,) * 65))  # fmt: skip
    text = (
        f"{{'descr': {rng.choice(descriptions)}, 'fortran_order': "
        f"{rng.choice(('True', 'False', 'False', '1'))}, 'shape': {rng.choice(shapes)}, }}"
    )
    header = content[10 : 10 + length]
    if rng.random() < 0.7:
        header = text.encode()
    elif rng.random() < 0.2:
        header = rng.choice((b"(", b"[", b"-", b"{1:", b"'''", b"1+")) * rng.choice((1, 90, 3000))
    else:
        header = _text(rng, header, [])
    version = rng.choice((b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"))
    size = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    body = rng.choice((content[10 + length :], b"", bytes(8), b"\xff" * 8, b"abcd"))
    return content[:6] + version + size + header + body


_FIELDS = (b"1", b"0.5", b"nan", b"inf", b"1e39", b"-0", b"NA", b"y", b"kind", b'"a\nb"')
_LONG = (*(1, 2, 10, 50) * 10, 140_000)


def csv(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Change fields, rows and columns."""
    cut = b";" if b";" in content else b","
    rows = [row.split(cut) for row in content.split(b"\n")]
    for _ in range(rng.choice((1, 1, 2))):
        row = rng.choice(rows)
        place = rng.randrange(len(row))
        deed = rng.randrange(8)
        if deed == 0:
            row.insert(place, row[place])
        elif deed == 1:
            rows.insert(rng.randrange(len(rows)), list(row))
        elif deed == 2:
            rows.extend([list(row)] * rng.choice((1, 20, 20, 200)))
        elif deed == 3:
            row[place] = rng.choice((b"x", b"9", b'"')) * rng.choice(_LONG)
        elif deed == 4:
            row.extend([b"1"] * rng.choice(_LONG))
        else:
            row[place] = rng.choice(TEXTS if rng.random() < 0.5 else _FIELDS)
    return b"\n".join(cut.join(row) for row in rows)
