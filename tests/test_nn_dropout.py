"""The forms of dropout: what is dropped together, and what stays the same on average."""

from __future__ import annotations

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import ArgumentError, ShapeError
from tensorflowlite.nn import functional as F

from .backends import TestBackend, backend  # noqa: F401


@pytest.mark.parametrize(("layer", "shape", "channels"), [
    (nn.Dropout1d, (50, 40, 3), 2), (nn.Dropout1d, (400, 3), 1),
    (nn.Dropout2d, (50, 40, 3, 2), 2), (nn.Dropout2d, (50, 40, 3), 2),
    (nn.Dropout3d, (50, 40, 2, 3, 2), 2), (nn.Dropout3d, (400, 2, 3, 2), 1),
])  # fmt: skip
def test_whole_channels_are_dropped(layer, shape, channels):
    tfl.manual_seed(3)
    x = tfl.ones(shape, dtype=tfl.float64, requires_grad=True)
    out = layer(0.25)(x)
    rows = out.detach().numpy().reshape(*shape[:channels], -1)
    assert set(np.unique(rows)) == {0.0, 1 / 0.75}
    assert (rows.min(-1) == rows.max(-1)).all()
    assert abs((rows[..., 0] == 0).mean() - 0.25) < 0.07  # three deviations of 400 draws
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), out.detach().numpy())


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p):
    tfl.manual_seed(3)
    x = tfl.randn(200, 500, dtype=tfl.float64)
    for out in (nn.AlphaDropout(p)(x), nn.FeatureAlphaDropout(p)(x[:, :, None])):
        # 1e5 draws of variance 1; where whole channels go, they hold one number each.
        assert abs(out.mean().item()) < 0.015
        assert abs(out.std().item() - 1) < 0.015
        _, counts = np.unique(out.numpy(), return_counts=True)
        assert counts.max() / out.size == pytest.approx(p, abs=0.01)


def test_evaluation_hands_the_input_on():
    x = tfl.ones((2, 3, 4))
    for layer in (nn.Dropout1d(), nn.Dropout2d(), nn.AlphaDropout(), nn.FeatureAlphaDropout()):
        assert layer.eval()(x) is x


def test_on_the_device(backend: TestBackend):  # noqa: F811
    tfl.manual_seed(3)
    x = backend.tensor(np.ones((8, 6, 4), np.float32))
    for function in (F.dropout1d, F.alpha_dropout, F.feature_alpha_dropout):
        tfl.manual_seed(3)
        found = backend.host(function(x, 0.5, True))
        tfl.manual_seed(3)
        np.testing.assert_array_equal(found, function(tfl.ones((8, 6, 4)), 0.5, True).numpy())


def test_bad_input():
    with pytest.raises(ShapeError, match=r"dropout1d: input must have 2 or 3 axes, got \(2,\)"):
        F.dropout1d(tfl.ones(2))
    with pytest.raises(ShapeError, match=r"feature_alpha_dropout: input must be \(N, C, ...\)"):
        F.feature_alpha_dropout(tfl.ones(2), training=True)
    with pytest.raises(ArgumentError, match=r"AlphaDropout: p must lie in \[0, 1\], got 2"):
        nn.AlphaDropout(2)
