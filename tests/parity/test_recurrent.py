"""Recurrent layers, cells and packed sequences against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import rnn as theirs_rnn

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.nn.utils import rnn
from tests.comparing import normal

from .layers import check_layers, same_weights

LENGTHS = [4, 7, 1, 7]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"bias": False, "batch_first": True},
    {"num_layers": 3, "batch_first": True},
]
KINDS = [
    ("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
]  # fmt: skip


def states(name: str, options: Any, *batch: int) -> list[Any]:
    """Return first states for a layer: of an LSTM two."""
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    found = [normal(count, *batch, options.get("proj_size", 5))]
    return [*found, normal(count, *batch, 5) * 0.5] if name == "LSTM" else found


def with_state(layer: Any, x: Any, *hx: Any) -> Any:
    return layer(x, (hx if len(hx) > 1 else hx[0]) if hx else None)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("name", "more"), KINDS, ids=str)
def test_layers(name: str, more: Any, options: Any, dtype: str) -> None:
    options = {**options, **more}
    x = normal(4, 7, 3) if options.get("batch_first") else normal(7, 4, 3)
    for hx in ([], states(name, options, 4)):
        ours, theirs = getattr(nn, name)(3, 5, **options), getattr(torch.nn, name)(3, 5, **options)
        assert repr(ours) == repr(theirs)
        check_layers(ours, theirs, x, *hx, dtype=dtype, call=with_state)


@pytest.mark.parametrize(("name", "more"), KINDS, ids=str)
def test_without_a_batch(name: str, more: Any) -> None:
    options = {"num_layers": 2, "bidirectional": True, **more}
    for hx in ([], states(name, options)):
        ours, theirs = getattr(nn, name)(3, 5, **options), getattr(torch.nn, name)(3, 5, **options)
        check_layers(ours, theirs, normal(7, 3), *hx, call=with_state)


@pytest.mark.parametrize("sorts", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("name", "more"), KINDS, ids=str)
def test_packed_sequences(name: str, more: Any, options: Any, sorts: bool) -> None:
    options = {**options, **more}
    lengths = LENGTHS if sorts else sorted(LENGTHS, reverse=True)
    first = bool(options.get("batch_first"))
    x = normal(4, 7, 3) if first else normal(7, 4, 3)

    def call(layer: Any, x: Any, *hx: Any) -> Any:
        module = theirs_rnn if isinstance(layer, torch.nn.Module) else rnn
        packed = module.pack_padded_sequence(x, lengths, first, enforce_sorted=not sorts)
        out, ends = with_state(layer, packed, *hx)
        padded, found = module.pad_packed_sequence(out, first, 0.5, total_length=9)
        assert found.tolist() == lengths
        return padded, ends

    for hx in ([], states(name, options, 4)):
        ours, theirs = getattr(nn, name)(3, 5, **options), getattr(torch.nn, name)(3, 5, **options)
        check_layers(ours, theirs, x, *hx, call=call)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("name", "options"),
    [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})],
)
def test_cells(name: str, options: Any, bias: bool) -> None:
    options = {**options, "bias": bias}
    for batch in ((4,), ()):
        count = 2 if name == "LSTMCell" else 1
        hx = [normal(*batch, 5) + i for i in range(count)]
        for given in ([], hx):
            ours = getattr(nn, name)(3, 5, **options)
            theirs = getattr(torch.nn, name)(3, 5, **options)
            assert repr(ours) == repr(theirs)
            check_layers(ours, theirs, normal(*batch, 3), *given, call=with_state)


def test_dropout_between_layers() -> None:
    """With everything dropped the second layer sees zeros only, in training; PyTorch's too."""
    ours, theirs = nn.GRU(3, 5, 2, dropout=1.0), torch.nn.GRU(3, 5, 2, dropout=1.0)
    same_weights(ours, theirs)
    x = normal(7, 4, 3)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        found, expected = ours(tfl.tensor(x))[0], theirs(torch.tensor(x))[0]
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), 1e-10, 1e-12)


# -- sequences -------------------------------------------------------------------------------------
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding(first: bool, side: str) -> None:
    arrays = [normal(length, 2) for length in LENGTHS]
    ours = rnn.pad_sequence([tfl.tensor(a) for a in arrays], first, -1.0, side)
    theirs = theirs_rnn.pad_sequence([torch.tensor(a) for a in arrays], first, -1.0, side)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    if side == "right":
        for one, two in zip(rnn.unpad_sequence(ours, LENGTHS, first), arrays, strict=True):
            np.testing.assert_array_equal(one.numpy(), two)


def test_packing() -> None:
    arrays = [np.arange(length) + 10 * i for i, length in enumerate([3, 7, 1])]
    ours = rnn.pack_sequence([tfl.tensor(a) for a in arrays], enforce_sorted=False)
    theirs = theirs_rnn.pack_sequence([torch.tensor(a) for a in arrays], enforce_sorted=False)
    for one, two in zip(ours, theirs, strict=True):
        assert one.tolist() == two.tolist()
    for one, two in zip(rnn.unpack_sequence(ours), arrays, strict=True):
        np.testing.assert_array_equal(one.numpy(), two)
