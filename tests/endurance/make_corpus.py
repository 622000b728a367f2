"""Makes the corpus: a few small, valid files for every reader, from which the fuzzer starts.

``python -m tests.endurance.make_corpus`` writes ``tests/endurance/corpus`` anew, a folder for each.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Checkpoint, Trainer

from ..test_export_damage import subject

CORPUS = Path(__file__).with_name("corpus")
_IDX = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx(array: Any, code: str) -> bytes:
    """Return the bytes of an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _IDX[code], array.ndim, *array.shape)
    return header + array.astype(code).tobytes()


def make(corpus: Path) -> None:
    """Write the files of every reader."""
    rng = np.random.default_rng(0)
    for reader in ("safetensors", "tree", "checkpoint", "program", "idx", "npz", "csv"):
        (corpus / reader).mkdir(parents=True, exist_ok=True)
    arrays = {
        "a.weight": rng.normal(size=(3, 4)).astype(np.float32),
        "a.bias": np.arange(4, dtype=np.float64),
        "half": np.ones(5, np.float16),
        "brain": np.ones((2, 1), ml_dtypes.bfloat16),
        "flags": np.array([True, False, True]),
        "scalar": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.int32),
        "complex": np.array([1 + 2j], np.complex64),
        "small": np.arange(3, dtype=np.uint8),
    }
    tfl.save_safetensors(corpus / "safetensors/many", arrays, {"task": "digits", "é": '"\\'})
    tfl.save_safetensors(corpus / "safetensors/one", {"x": np.zeros((2, 2), np.int16)})
    tree = {
        "epoch": 3, 4: [1.5, float("nan"), None, True, "text"], "pair": (tfl.ones(2), np.ones(1)),
        "deep": {"a": {"b": {"c": [np.float32(1), np.complex128(1j)]}}}, "large": 2**70,
        "complex": tfl.tensor(np.array([1 + 2j])),
    }  # fmt: skip
    tfl.save(corpus / "tree/tree", tree)
    tfl.save(corpus / "tree/number", 1)
    tfl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2))
    loader = [(tfl.ones((2, 4)), tfl.tensor([0, 1]))] * 2
    optimizer = optim.Adam(model.parameters())
    path = corpus / "checkpoint/checkpoint"
    trainer = Trainer(model, optimizer, F.cross_entropy, callbacks=[Checkpoint(path, keep=1)])
    trainer.fit(loader, epochs=1)
    run, args = subject()
    tfl.export(run, corpus / "program/program", *args)
    (corpus / "idx/images").write_bytes(idx(rng.integers(0, 255, (3, 4, 5)), "u1"))
    (corpus / "idx/labels.gz").write_bytes(gzip.compress(idx(np.arange(20) % 10, "u1"), mtime=0))
    (corpus / "idx/doubles").write_bytes(idx(rng.normal(size=(2, 3)), ">f8"))
    (corpus / "idx/shorts").write_bytes(idx(rng.integers(-9, 9, (2, 1, 1, 2)), ">i2"))
    saved = {
        "x": arrays["a.weight"], "y": np.arange(3), "flags": arrays["flags"],
        "name": np.array(["digits", "é"]), "columns": np.asfortranarray(np.ones((2, 3))),
        "large": np.arange(2, dtype=">i4"), "when": np.array(["2020-01-01"], "M8[D]"),
    }  # fmt: skip
    for name, method in {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}.items():
        (corpus / "npz" / name).write_bytes(npz({k: npy(v) for k, v in saved.items()}, method))
    (corpus / "csv/classes").write_text(
        "length,width,kind\n1.5,0.5,setosa\n4,2,virginica\n-1e3,0,setosa\n", encoding="utf-8"
    )
    (corpus / "csv/quoted").write_bytes(
        '\ufeff"a;b";y;"é ""c"""\r\n1;2;"3"\r\n\r\n4;5;6\r\n7;2;0.25\r\n'.encode()
    )


def npy(array: Any) -> bytes:
    """Return the bytes of an NPY file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(members: dict[str, bytes], method: int) -> bytes:
    """Return the bytes of an archive of NPY files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method)
    return file.getvalue()


if __name__ == "__main__":
    make(CORPUS)
