"""Recurrent layers: what is packed and what is padded give the same; devices, errors, memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.autograd import gradcheck
from tensorflowlite.errors import ArgumentError, ShapeError
from tensorflowlite.nn.utils import rnn

from .backends import TestBackend


def drawn(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_on_every_backend(name: str, backend: TestBackend) -> None:
    layer = getattr(nn, name)(3, 4, 2, bidirectional=True, dropout=0.2).to(backend.device)
    x = backend.leaf(drawn(5, 2, 3))
    packed = rnn.pack_padded_sequence(x, [2, 5], enforce_sorted=False)
    out, _ = layer(packed)
    padded, lengths = rnn.pad_packed_sequence(out)
    padded.sum().backward()
    assert padded.device == backend.device
    assert lengths.tolist() == [2, 5]
    assert not backend.host(x.grad)[2:, 0].any()
    assert all(p.grad is not None for p in layer.parameters())


def test_the_ends_of_the_two_directions() -> None:
    layer = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
    x = tfl.tensor(drawn(2, 6, 3))
    out, (h, c) = layer(x)
    assert out.shape == (2, 6, 8)
    assert h.shape == c.shape == (2, 2, 4)
    np.testing.assert_array_equal(h[0].detach().numpy(), out[:, -1, :4].detach().numpy())
    np.testing.assert_array_equal(h[1].detach().numpy(), out[:, 0, 4:].detach().numpy())


def test_a_layer_is_its_cell_again_and_again() -> None:
    layer, cell = nn.GRU(3, 4), nn.GRUCell(3, 4)
    cell.load_state_dict({key[:-3]: value for key, value in layer.state_dict().items()})
    x, h = tfl.tensor(drawn(5, 2, 3)), tfl.tensor(drawn(2, 4))
    out, _ = layer(x, h[None])
    for t in range(5):
        h = cell(x[t], h)
        np.testing.assert_allclose(h.detach().numpy(), out[t].detach().numpy(), 1e-5, 1e-6)


def test_gradients_of_what_is_padded() -> None:
    sequences = [tfl.tensor(drawn(n, 2).astype(np.float64), requires_grad=True) for n in (3, 1, 4)]

    def function(*xs: Any) -> Any:
        packed = rnn.pack_sequence(list(xs), enforce_sorted=False)
        return rnn.pad_packed_sequence(packed)[0] ** 2

    gradcheck(function, sequences)


def test_packed_data_moves_and_keeps_its_order() -> None:
    packed = rnn.pack_sequence([tfl.ones(1), tfl.ones(2)], enforce_sorted=False)
    moved = packed.to(tfl.float64)
    assert moved.data.dtype == tfl.float64
    assert moved.sorted_indices is not None
    assert moved.sorted_indices.tolist() == [1, 0]


def padded(*shape: int) -> Any:
    return tfl.zeros(shape)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), ArgumentError,
         "RNN: nonlinearity must be 'tanh' or 'relu', got 'sin'"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="sin"), ArgumentError, "RNNCell: nonlinearity must"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ArgumentError,
         "LSTM: proj_size must be less than hidden_size, got 4 and 4"),
        (lambda: nn.LSTM(3, 4, dropout=2.0), ArgumentError, "LSTM: dropout must lie in [0, 1]"),
        (lambda: nn.GRU(3, 0), ArgumentError, "GRU: hidden_size must be an integer of at least 1"),
        (lambda: nn.GRU(3, 4)(padded(5, 2, 4)), ShapeError,
         "GRU: input must be (length, batch, 3) or (length, 3), got (5, 2, 4); batch_first=False"),
        (lambda: nn.GRU(3, 4)(padded(0, 2, 3)), ShapeError, "GRU: the length must be at least 1"),
        (lambda: nn.LSTM(3, 4)(padded(5, 2, 3), (padded(1, 2, 4), padded(1, 1, 4))), ShapeError,
         "LSTM: the first state must be (1, 2, 4), (1, 2, 4), got (1, 2, 4), (1, 1, 4)"),
        (lambda: nn.GRU(3, 4)(rnn.pack_sequence([padded(5, 2)])), ShapeError,
         "GRU: packed data must be (rows, 3), got (5, 2)"),
        (lambda: nn.GRUCell(3, 4)(padded(2, 4)), ShapeError,
         "GRUCell: input must be (batch, 3) or (3,), got (2, 4)"),
        (lambda: nn.GRUCell(3, 4)(padded(2, 3), padded(1, 4)), ShapeError,
         "GRUCell: the state must be (2, 4), got [(1, 4)]"),
        (lambda: rnn.pack_padded_sequence(padded(5, 2), [3, 4]), ArgumentError,
         "pack_padded_sequence: lengths must go from the longest to the shortest, got [3, 4]; "),
        (lambda: rnn.pack_padded_sequence(padded(5, 2), [3]), ArgumentError,
         "pack_padded_sequence: there must be 2 lengths of at most 5, got [3] for input (5, 2)"),
        (lambda: rnn.pack_padded_sequence(padded(5, 2), [3, 0]), ArgumentError,
         "pack_padded_sequence: lengths must be positive, one per sequence, got [3, 0]"),
        (lambda: rnn.pack_padded_sequence(padded(5), [3]), ShapeError,
         "pack_padded_sequence: input must have two axes at least, got (5,)"),
        (lambda: rnn.pad_packed_sequence(
            rnn.pack_sequence([padded(3)]), total_length=2), ArgumentError,
         "pad_packed_sequence: total_length must be at least 3, the length of the longest"),
        (lambda: rnn.pad_sequence([padded(3, 2), padded(3, 1)]), ShapeError,
         "pad_sequence: there must be sequences that agree after the first axis, got [(3, 2), (3"),
        (lambda: rnn.pad_sequence([padded(3)], padding_side="top"), ArgumentError,
         "pad_sequence: padding_side must be 'right' or 'left', got 'top'"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
