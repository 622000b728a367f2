"""Autocast's dtypes and gradients, and the scaler's states, against PyTorch's on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite import optim
from tensorflowlite.nn import functional as F

TF = torch.nn.functional
# Each is called as (library, its functional module, float32 (4, 4), bfloat16 (4, 4), labels).
OPERATIONS = {
    "matmul": lambda m, f, x, h, t: x @ x,
    "matmul of both": lambda m, f, x, h, t: m.matmul(x, h),
    "matmul of vectors": lambda m, f, x, h, t: m.matmul(x, x[0]),
    "linear": lambda m, f, x, h, t: f.linear(x, x, x[0]),
    "einsum": lambda m, f, x, h, t: m.einsum("ij,kj->ik", x, x),
    "bmm": lambda m, f, x, h, t: x[None] @ x[None],
    "conv1d": lambda m, f, x, h, t: f.conv1d(x[None], x[:, :, None]),
    "conv2d": lambda m, f, x, h, t: f.conv2d(x[None, None], x[None, None]),
    "conv3d": lambda m, f, x, h, t: f.conv3d(x[None, None, None], x[None, None, None]),
    "conv_transpose2d": lambda m, f, x, h, t: f.conv_transpose2d(x[None, None], x[None, None]),
    "attention": lambda m, f, x, h, t: f.scaled_dot_product_attention(
        x[None, None], x[None, None], x[None, None]
    ),
    "cross_entropy": lambda m, f, x, h, t: f.cross_entropy(h, t),
    "nll_loss": lambda m, f, x, h, t: f.nll_loss(h, t),
    "mse_loss": lambda m, f, x, h, t: f.mse_loss(h, x),
    "l1_loss": lambda m, f, x, h, t: f.l1_loss(h, x),
    "huber_loss": lambda m, f, x, h, t: f.huber_loss(h, x),
    "smooth_l1_loss": lambda m, f, x, h, t: f.smooth_l1_loss(h, h + 1),
    "binary_cross_entropy": lambda m, f, x, h, t: f.binary_cross_entropy(h / 4, h / 4),
    "with_logits": lambda m, f, x, h, t: f.binary_cross_entropy_with_logits(h, x),
    "kl_div": lambda m, f, x, h, t: f.kl_div(h, h, reduction="sum"),
    "poisson_nll_loss": lambda m, f, x, h, t: f.poisson_nll_loss(h, h),
    "margin_ranking_loss": lambda m, f, x, h, t: f.margin_ranking_loss(h, h * 2, h),
    "hinge_embedding_loss": lambda m, f, x, h, t: f.hinge_embedding_loss(h, h * 0 + 1),
    "soft_margin_loss": lambda m, f, x, h, t: f.soft_margin_loss(h, (h * 0 + 1).detach()),
    "multi_margin_loss": lambda m, f, x, h, t: f.multi_margin_loss(h, t),
    "triplet_margin_loss": lambda m, f, x, h, t: f.triplet_margin_loss(h, h * 2, h * 3),
    "relu": lambda m, f, x, h, t: f.relu(h),
    "gelu": lambda m, f, x, h, t: f.gelu(h),
    "softmax": lambda m, f, x, h, t: f.softmax(h, -1),
    "log_softmax": lambda m, f, x, h, t: f.log_softmax(h, -1),
    "layer_norm": lambda m, f, x, h, t: f.layer_norm(h, (4,)),
    "exp": lambda m, f, x, h, t: m.exp(h),
    "log": lambda m, f, x, h, t: m.log(h),
    "sum": lambda m, f, x, h, t: h.sum(),
    "mean": lambda m, f, x, h, t: h.mean(),
    "prod": lambda m, f, x, h, t: h.prod(),
    "power": lambda m, f, x, h, t: h**2,
    "sum of both": lambda m, f, x, h, t: x + h,
    "product of halves": lambda m, f, x, h, t: h * h,
    "concatenated": lambda m, f, x, h, t: m.cat([x, h]),
    "stacked": lambda m, f, x, h, t: m.stack([x, h]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_dtypes(name):
    values = np.random.default_rng(0).uniform(0.5, 1.5, (4, 4)).astype(np.float32)
    call, labels = OPERATIONS[name], np.array([0, 1, 2, 3])
    x, t = tfl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    half = torch.tensor(values).bfloat16().requires_grad_()
    with tfl.amp.autocast("cpu"):
        ours = call(tfl, F, x, tfl.tensor(values).astype(tfl.bfloat16), tfl.tensor(labels))
    with torch.autocast("cpu"):
        theirs = call(torch, TF, t, half, torch.tensor(labels))
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    # Both round to bfloat16, 2 to the -8, on the way and at the end; sums go in another order.
    found, wanted = ours.detach().numpy().astype(np.float64), theirs.detach().double().numpy()
    np.testing.assert_allclose(found, wanted, 0.02, 0.02)


def test_gradients():
    rng = np.random.default_rng(0)
    one = tfl.nn.Sequential(tfl.nn.Linear(6, 8), tfl.nn.ReLU(), tfl.nn.Linear(8, 3))
    two = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    one.load_state_dict({k: tfl.tensor(v.numpy()) for k, v in two.state_dict().items()})
    x, labels = rng.normal(size=(16, 6)).astype(np.float32), rng.integers(0, 3, 16)
    with tfl.amp.autocast("cpu"):
        a = F.cross_entropy(one(tfl.tensor(x)), tfl.tensor(labels))
    with torch.autocast("cpu"):
        b = TF.cross_entropy(two(torch.tensor(x)), torch.tensor(labels))
    a.backward()
    b.backward()
    assert a.dtype == tfl.float32 and a.item() == pytest.approx(b.item(), rel=1e-3)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert p.grad.dtype == tfl.float32
        # Activations and their gradients are rounded to 8 bits in both.
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), 0.02, 2e-3)


SCRIPT = [1.0, np.inf, 0.5, 2.0, 1.0, np.nan, np.inf, 3.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_the_scaler_along_a_script(interval):
    options = {"init_scale": 64.0, "growth_interval": interval, "growth_factor": 4.0}
    p, q = tfl.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    one, two = optim.Adam([p], lr=0.1), torch.optim.Adam([q], lr=0.1)
    a, b = tfl.amp.GradScaler("cpu", **options), torch.amp.GradScaler("cpu", **options)
    for step, value in enumerate(SCRIPT):
        one.zero_grad()
        two.zero_grad()
        a.scale((p * tfl.tensor([value])).sum()).backward()
        b.scale((q * torch.tensor([value])).sum()).backward()
        if step % 2:
            a.unscale_(one)
            b.unscale_(two)
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy())
        a.step(one)
        b.step(two)
        a.update()
        b.update()
        assert a.state_dict() == b.state_dict()
        assert p.item() == pytest.approx(q.item(), rel=1e-6)
        if step == 6:
            state, other = a.state_dict(), b.state_dict()
            a, b = tfl.amp.GradScaler("cpu"), torch.amp.GradScaler("cpu")
            a.load_state_dict(other)
            b.load_state_dict(state)
