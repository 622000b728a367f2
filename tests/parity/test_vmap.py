"""`vmap` against torch.func.vmap, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms import tree

RNG = np.random.default_rng(11)


class Kit:
    """One library: its namespace, its functional one, its transforms, how a batch is taken."""

    def __init__(self, lib: Any, functional: Any, func: Any, vmap: Callable[..., Any]) -> None:
        self.lib, self.F, self.func, self.vmap = lib, functional, func, vmap


def _ours(f: Any, ins: Any = 0, outs: Any = 0, **options: Any) -> Any:
    return tfl.vmap(f, in_axes=ins, out_axes=outs, **options)


def _theirs(f: Any, ins: Any = 0, outs: Any = 0, **options: Any) -> Any:
    return torch.func.vmap(f, in_dims=ins, out_dims=outs, **options)


OURS = Kit(tfl, F, tfl, _ours)
THEIRS = Kit(torch, torch.nn.functional, torch.func, _theirs)


def drawn(*shape: int) -> Any:
    return RNG.standard_normal(shape)


MLP = {"w": [drawn(5, 4), drawn(3, 5)], "b": [drawn(5), drawn(3)]}
MLPS = tree.map_leaves(lambda a: np.stack([a, a * 2, a - 1]), MLP)
ROWS, LABELS = drawn(6, 4), RNG.integers(0, 3, 6)
IMAGES, KERNELS, BIAS = drawn(3, 2, 4, 8, 8), drawn(3, 6, 4, 3, 3), drawn(3, 6)
MATRICES = drawn(4, 3, 3) + 4 * np.eye(3)


def mlp(kit: Kit, p: Any, x: Any) -> Any:
    h = kit.lib.tanh(kit.F.linear(x, p["w"][0], p["b"][0]))
    return kit.F.linear(h, p["w"][1], p["b"][1])


def cross_entropy(kit: Kit, p: Any, x: Any, y: Any) -> Any:
    return kit.F.cross_entropy(mlp(kit, p, x)[None], y[None])


def network(kit: Kit, x: Any, kernel: Any, bias: Any) -> Any:
    h = kit.F.relu(kit.F.conv2d(x, kernel, bias, padding=1))
    h = kit.F.max_pool2d(h, 2)
    return kit.F.avg_pool2d(kit.F.layer_norm(h, (4, 4)), 2)


def attend(kit: Kit, q: Any, k: Any, v: Any) -> Any:
    scores = kit.F.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)
    return scores @ v


def half_of_squares(kit: Kit, p: Any, x: Any) -> Any:
    return (mlp(kit, p, x) ** 2).sum() / 2


# A function of a kit and arrays: each runs with both libraries.
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "mlp": (lambda kit, p, x: kit.vmap(lambda r: mlp(kit, p, r))(x), (MLP, ROWS)),
    "ensemble": (
        lambda kit, ps, x: kit.vmap(lambda p: mlp(kit, p, x))(ps), (MLPS, ROWS),
    ),
    "ensemble, a batch each": (
        lambda kit, ps, x: kit.vmap(lambda p, r: mlp(kit, p, r), (0, None), 1)(ps, x),
        (MLPS, ROWS),
    ),
    "convolutions, kernels of each": (
        lambda kit, x, k, b: kit.vmap(lambda i, w, c: network(kit, i, w, c))(x, k, b),
        (IMAGES, KERNELS, BIAS),
    ),
    "convolutions, shared kernel": (
        lambda kit, x, k, b: kit.vmap(lambda i: network(kit, i, k, b))(x),
        (IMAGES, KERNELS[0], BIAS[0]),
    ),
    "convolutions, shared image": (
        lambda kit, x, k, b: kit.vmap(lambda w, c: network(kit, x, w, c))(k, b),
        (IMAGES[0], KERNELS, BIAS),
    ),
    "gradients of kernels of each": (
        lambda kit, x, k, b: kit.vmap(
            kit.func.grad(lambda w, i, c: (network(kit, i, w, c) ** 2).sum())
        )(k, x, b),
        (IMAGES, KERNELS, BIAS),
    ),
    "attention by hand": (
        lambda kit, q, k, v: kit.vmap(lambda a, b, c: attend(kit, a, b, c), (0, None, 0))(q, k, v),
        (drawn(3, 2, 4, 5), drawn(2, 6, 5), drawn(3, 2, 6, 5)),
    ),
    "solves": (
        lambda kit, a, b: kit.vmap(lambda m: kit.lib.linalg.solve(m, b))(a), (MATRICES, drawn(3)),
    ),
    "factors": (
        lambda kit, a: kit.vmap(
            lambda m: kit.lib.linalg.cholesky(m @ m.mT) + kit.lib.linalg.inv(m)
        )(a),
        (MATRICES,),
    ),
    "pairwise distances": (
        lambda kit, x: kit.vmap(
            lambda a: kit.vmap(lambda b: kit.lib.sqrt(((a - b) ** 2).sum() + 1))(x)
        )(x),
        (ROWS,),
    ),
    "sorted and gathered": (
        lambda kit, x: kit.vmap(lambda r: r[kit.lib.argsort(r)] * kit.lib.cumsum(r, 0))(x), (ROWS,),
    ),
    "where": (
        lambda kit, x: kit.vmap(lambda r: kit.lib.where(r > 0, r, r.sum()))(x), (ROWS,),
    ),
    "einsum": (
        lambda kit, x, m: kit.vmap(lambda r, n: kit.lib.einsum("i,jk,k->ij", r, n, n[0]))(x, m),
        (drawn(4, 2), MATRICES),
    ),
    "gradients of each sample": (
        lambda kit, p, x, y: kit.vmap(
            kit.func.grad(lambda q, r, s: cross_entropy(kit, q, r, s)), (None, 0, 0)
        )(p, x, y),
        (MLP, ROWS, LABELS),
    ),
    "gradient of a batch": (
        lambda kit, p, x: kit.func.grad(
            lambda q: kit.vmap(lambda r: half_of_squares(kit, q, r))(x).sum()
        )(p),
        (MLP, ROWS),
    ),
    "hessians": (
        lambda kit, p, x: kit.vmap(kit.func.hessian(lambda r: half_of_squares(kit, p, r)))(x),
        (MLP, ROWS),
    ),
    "jacobians of an ensemble": (
        lambda kit, ps, x: kit.vmap(kit.func.jacrev(lambda p: mlp(kit, p, x)))(ps),
        (MLPS, ROWS[0]),
    ),
    "push-forwards": (
        lambda kit, p, x, v: kit.vmap(
            lambda r, d: kit.func.jvp(lambda s: mlp(kit, p, s), (r,), (d,))[1], (0, None)
        )(x, v),
        (MLP, ROWS, drawn(4)),
    ),
    "chunks": (
        lambda kit, x: kit.vmap(lambda r: (r * r).sum(), chunk_size=4)(x), (ROWS,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_vmap_is_pytorchs(name: str) -> None:
    run, arrays = CASES[name]
    ours = run(OURS, *[tree.map_leaves(tfl.tensor, a) for a in arrays])
    theirs = run(THEIRS, *[tree.map_leaves(torch.tensor, a) for a in arrays])
    ours, theirs = tree.flatten(ours)[0], tree.flatten(theirs)[0]
    assert len(ours) == len(theirs)
    for one, two in zip(ours, theirs, strict=True):
        assert one.shape == tuple(two.shape)
        # float64, and sums in other orders through a convolution and a norm.
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kit", [OURS, THEIRS], ids=["ours", "theirs"])
def test_both_refuse_the_same(kit: Kit) -> None:
    x = kit.lib.ones(3, 2) if kit is THEIRS else kit.lib.ones((3, 2))
    shared = x * 0
    refused = [
        lambda r: r if r.sum() > 0 else -r,
        lambda r: r.sum().item(),
        lambda r: r[r > 0],
        lambda r: kit.lib.rand(2) + r,
        lambda r: shared[0].add_(r),
    ]
    for f in refused:
        with pytest.raises(RuntimeError):
            kit.vmap(f)(x)
