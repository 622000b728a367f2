"""Which values hold a row per sample: two recordings of a function, compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.backend.programs.capture import Capture
from tensorflowlite.backend.programs.program import Program, compiled
from tensorflowlite.backend.programs.row_rules import RULES
from tensorflowlite.backend.programs.row_states import Rows
from tensorflowlite.backend.programs.rows import Verdict, blocked, compare
from tensorflowlite.core.primitive import registry
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.jit_recording import record
from tensorflowlite.transforms.tree import flatten

SIZES = ((2, 5), (3, 8), (4, 6))  # of the samples: also what other axes are long
WIDTH, STEPS = 3, 4
W = tfl.tensor(np.arange(12, dtype=np.float32).reshape(3, 4) / 7)
S = tfl.tensor(np.arange(9, dtype=np.float32).reshape(3, 3) / 7)
TABLE = tfl.tensor(np.arange(20, dtype=np.float32).reshape(5, 4))
ROWS = [0, 2, 1, 0]
Function = Callable[..., Any]


def drawn(*shape: int) -> Any:
    rng = np.random.default_rng(7)
    return tfl.Tensor(rng.standard_normal((64, *shape[1:])).astype(np.float32)[: shape[0]])


def classes(*shape: int) -> Any:
    rng = np.random.default_rng(7)
    return tfl.Tensor(rng.integers(0, 3, (64, *shape[1:]))[: shape[0]])


def recorded(function: Function, *given: Any) -> Any:
    leaves, _ = flatten(given)
    with tfl.no_grad():
        function(*given)
        return record(function, leaves, given, {})[1]


def compared(function: Function, make: Callable[[int], Any], small: int, large: int
             ) -> tuple[Verdict, Program, Program]:  # fmt: skip
    first, second = (recorded(function, make(n)).program for n in (small, large))
    return compare(first, second, (small, large), range(len(first.inputs))), first, second


def flat(n: int) -> Any:
    return drawn(n, WIDTH)


def steps(n: int) -> Any:
    return drawn(n, STEPS, WIDTH)


def images(n: int) -> Any:
    return drawn(n, 3, 6, 6)


def ids(n: int) -> Any:
    return classes(n, STEPS)


def changed(x: Any) -> Any:
    y = tfl.zeros(x.shape[0], 4)
    y[:, 1:] = x * 2
    y[:, 0] += x.sum(1)
    y.mul_(2.0)
    return y


def seeded_rnn(kind: Any) -> Function:
    tfl.manual_seed(2)
    layer = kind(WIDTH, 4, num_layers=2, batch_first=True, bidirectional=True).eval()
    return lambda x: layer(x)


KEEPS: dict[str, tuple[Callable[[int], Any], Function]] = {
    "elementwise": (flat, lambda x: tfl.tanh(x) * 2 + tfl.tensor([1.0, 2.0, 3.0])),
    "where": (flat, lambda x: tfl.where(x > 0, x, x * S[0])),
    "casts": (flat, lambda x: x.double().float()),
    "means of rows": (
        steps, lambda x: x - x.mean((1, 2), keepdims=True) / x.std(axis=1)[..., None, :],
    ),
    "sums": (steps, lambda x: (x.sum(1), x.max(-1), tfl.logsumexp(x, axis=1))),
    "places of extremes": (steps, lambda x: (tfl.argmax(x, axis=-1), tfl.argmin(x, axis=1))),
    "softmax": (steps, lambda x: F.softmax(x, -1) + F.log_softmax(x, 1)),
    "running sums": (steps, lambda x: tfl.cumsum(x, axis=1)),
    "orders": (steps, lambda x: tfl.sort(x, axis=1) + tfl.roll(x, 1, axis=2)),
    "moments": (steps, lambda x: x.var(axis=1) + tfl.linalg.vector_norm(x, axis=1)),
    "shapes": (steps, lambda x: (x * 1).reshape(x.shape[0], -1)),
    "samples and steps": (steps, lambda x: (x.reshape(-1, WIDTH) @ W).reshape(-1, STEPS, 4)),
    "steps before samples": (steps, lambda x: tfl.swapaxes(tfl.swapaxes(x, 0, 1) * 2, 0, 1) * 1),
    "steps times samples": (
        steps,
        lambda x: tfl.swapaxes(
            tfl.tanh(tfl.swapaxes(x, 0, 1).reshape(-1, WIDTH)).reshape(STEPS, -1, WIDTH), 0, 1
        ) * 1,
    ),
    "samples last": (flat, lambda x: x.T * 2),
    "one more axis": (flat, lambda x: tfl.stack([x, x + 1]) * 1),
    "pieces": (steps, lambda x: tfl.concat(tfl.split(x * 2, 2, 1)[::-1], 1)),
    "unstack": (steps, lambda x: tfl.stack(tfl.unstack(x, axis=1), 2)),
    "keys": (steps, lambda x: x[..., None, 1:] * x[:, 0, None, None, ::2]),
    "a key of the size": (steps, lambda x: x + x[: x.shape[0], 0, :1, None]),
    "keys of arrays": (steps, lambda x: x[:, ROWS] + x[:, 1, ROWS[:1]][:, None]),
    "places": (steps, lambda x: tfl.take_along_axis(x, tfl.argsort(x, axis=1), axis=1)),
    "padding": (steps, lambda x: F.pad(x, (1, 2))),
    "repetition": (flat, lambda x: tfl.tile(x, (1, 2)) + tfl.repeat(x, 2, axis=1)),
    "what is the same for all": (flat, lambda x: x + tfl.zeros(x.shape[0], 1) + tfl.ones_like(x)),
    "numbers of samples": (flat, lambda x: x * tfl.arange(x.shape[0])[:, None]),
    "products": (flat, lambda x: (x @ W, x @ S[0], W.T @ x.T, F.linear(x, S))),
    "products of batches": (steps, lambda x: x @ tfl.swapaxes(x, 1, 2) @ x @ W),
    "einsum": (steps, lambda x: tfl.einsum("bij,jk,bik->bk", x, S, x)),
    "triangles": (steps, lambda x: tfl.tril(x) + tfl.triu(x, 1)),
    "layer norm": (steps, lambda x: F.rms_norm(F.layer_norm(x, (WIDTH,)), (WIDTH,))),
    "attention": (
        steps, lambda x: F.scaled_dot_product_attention(*[x[:, None]] * 3, is_causal=True),
    ),
    "masked attention": (
        steps, lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=x[:, :1, :1] > 0),
    ),
    "embedding": (ids, lambda i: (F.embedding(i, TABLE), TABLE[i], F.one_hot(i, 5))),
    "losses": (flat, lambda x: F.cross_entropy(x, tfl.argmax(x, axis=1), reduction="none")),
    "weighted losses": (
        flat, lambda x: F.nll_loss(x, tfl.argmax(x, axis=1), weight=S[0], reduction="none"),
    ),
    "losses of pairs": (
        flat, lambda x: F.binary_cross_entropy_with_logits(x, (x > 0).float(), reduction="none"),
    ),
    "members": (ids, lambda i: (tfl.isin(i, tfl.tensor([0, 2])), i * 2)),
    "gates": (steps, lambda x: F.glu(tfl.concat([x, x * 2], -1), -1)),
    "rows of a table": (ids, lambda i: TABLE[i, 1] + S[i][..., 0]),
    "like another axis": (steps, lambda x: tfl.zeros_like(tfl.swapaxes(x, 0, 1)) + S[0]),
    "sums to a shape": (flat, lambda x: tfl.grad(lambda y: (y[:, None] * S).sum())(x)),
    "diagonals": (steps, lambda x: tfl.einsum("bii->b", x[:, :3])),
    "images": (
        images,
        lambda x: F.avg_pool2d(F.max_pool2d(F.conv2d(x, tfl.ones(2, 3, 3, 3)), 2), 2),
    ),
    "transposed convolution": (
        images, lambda x: F.conv_transpose2d(x, tfl.ones(3, 2, 2, 2), stride=2),
    ),
    "resampling": (images, lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "changes in place": (flat, changed),
    "an LSTM": (steps, seeded_rnn(nn.LSTM)),
    "a GRU": (steps, seeded_rnn(nn.GRU)),
    "vmap": (steps, lambda x: tfl.vmap(lambda r: F.softmax(r.sum(0), 0) @ S)(x)),
    "gradients of samples": (flat, lambda x: tfl.vmap(tfl.grad(lambda r: tfl.tanh(r).sum()))(x)),
    "what nobody reads": (flat, lambda x: (x.mean(), x * 2)[1]),
    "a spectrum": (steps, lambda x: tfl.abs(tfl.fft.rfft(x, axis=1))),
}  # fmt: skip


def mixed_change(x: Any) -> Any:
    y = x * 2
    y[:, 0] = x.mean()
    return y


def shared_change(x: Any) -> Any:
    y = tfl.zeros(WIDTH)
    y.add_(x[0])
    return x + y


MIXES: dict[str, tuple[Callable[[int], Any], Function, str]] = {
    "mean of all": (flat, lambda x: x.mean(), "mean mixes rows"),
    "mean of samples": (flat, lambda x: x - x.mean(0), "mean mixes rows"),
    "softmax": (flat, lambda x: F.softmax(x, 0), "softmax mixes rows"),
    "running sums": (flat, lambda x: tfl.cumsum(x, axis=0), "cumulative_sum mixes rows"),
    "order": (flat, lambda x: tfl.sort(x, axis=0), "sort mixes rows"),
    "reversed": (flat, lambda x: x[::-1] * 1, "getitem mixes rows"),
    "first": (flat, lambda x: x - x[0], "getitem mixes rows"),
    "some": (flat, lambda x: x[1:] * 1, "getitem mixes rows"),
    "by index": (flat, lambda x: x[[0, 1, 0]] * 1, "getitem_arrays mixes rows"),
    "shifted": (flat, lambda x: x + tfl.roll(x, 1, axis=0), "roll mixes rows"),
    "diagonal": (flat, lambda x: tfl.linalg.diagonal(x) * 1, "diagonal mixes rows"),
    "all pairs": (flat, lambda x: x @ x.T, "matmul mixes rows"),
    "moments": (flat, lambda x: x.T @ x, "matmul mixes rows"),
    "einsum": (flat, lambda x: tfl.einsum("bi,bj->ij", x, x), "einsum mixes rows"),
    "flat roll": (flat, lambda x: tfl.roll(x, 1), "roll mixes rows"),
    "a step of the samples": (flat, lambda x: x[::2] * 1, "getitem mixes rows"),
    "a plane of samples": (steps, lambda x: x[0, 1] * 1, "getitem mixes rows"),
    "by another's index": (flat, lambda x: x[(x[:, 0] > 0).long()], "getitem_arrays mixes rows"),
    "one after the other": (flat, lambda x: tfl.concat([x, x]), "concat mixes rows"),
    "samples as one": (flat, lambda x: F.layer_norm(x, tuple(x.shape)), "layer_norm mixes rows"),
    "attention of samples": (
        flat, lambda x: F.scaled_dot_product_attention(x, x, x), "attention mixes rows",
    ),
    "batch norm": (
        images, lambda x: F.batch_norm(x, None, None, training=True), "batch_norm mixes rows",
    ),
    "divisor": (flat, lambda x: x / x.shape[0], "a constant, .* depends on the batch size"),
    "weights": (
        flat, lambda x: x * tfl.linspace(0, 1, x.shape[0])[:, None], "a constant, .* depends",
    ),
    "exponents": (flat, lambda x: F.leaky_relu(x, 1 / x.shape[0]), "leaky_relu mixes rows"),
    "samples along two axes": (flat, lambda x: x[:, None] + x[None], "add mixes rows"),
    "into the samples": (flat, lambda x: (x * 2).reshape(WIDTH, -1) * 1, "reshape mixes rows"),
    "changed by all": (flat, mixed_change, "mean mixes rows"),
    "changes of what is shared": (flat, shared_change, "getitem mixes rows"),
    "a view": (flat, lambda x: x[:, 1:], "a view of an argument"),
    "a repeated parameter": (
        flat, lambda x: tfl.broadcast_to(S[0], (x.shape[0], WIDTH)), "a view of a tensor from",
    ),
    "shared memory": (flat, lambda x: (lambda y: (y, y.T))(x * 2), "share their memory"),
    "triangle": (flat, lambda x: tfl.tril(x), "tril mixes rows"),
    "samples of no rule": (flat, lambda x: tfl.linalg.qr(x)[0], "qr mixes rows: it isn't known"),
}  # fmt: skip


@pytest.mark.parametrize("name", KEEPS)
@pytest.mark.parametrize(("small", "large"), SIZES)
def test_rows_that_stay_apart(name: str, small: int, large: int) -> None:
    """The part of the larger results that belongs to the first samples is the smaller result."""
    make, function = KEEPS[name]
    verdict, first, second = compared(function, make, small, large)
    assert verdict.outputs is not None, verdict.reason
    ours = compiled(first)(make(small).array)
    theirs = compiled(second)(make(large).array)
    assert any(verdict.outputs)
    for one, other, rows in zip(ours, theirs, verdict.outputs, strict=True):
        assert rows is not None and rows.before == 1
        part = other[(*(slice(None),) * rows.axis, slice(small * rows.after))]
        assert part.shape == one.shape and part.dtype == one.dtype
        np.testing.assert_allclose(part, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize(("small", "large"), ((4, 7), (3, 8)))
def test_rows_that_meet(name: str, small: int, large: int) -> None:
    make, function, reason = MIXES[name]
    verdict, _, _ = compared(function, make, small, large)
    assert verdict.outputs is None
    assert verdict.mixes
    assert re.search(reason, verdict.reason), verdict.reason


def test_where_rows_lie() -> None:
    verdict, _, _ = compared(
        lambda x: (x * 2, tfl.swapaxes(x, 0, 1) * 2, (x * 3).reshape(-1, WIDTH), S * 2), steps, 3, 5
    )
    assert verdict.outputs == (Rows(0), Rows(1), Rows(0, 1, STEPS), None)


def test_programs_that_differ_otherwise() -> None:
    other = tfl.ones(WIDTH)
    for function, reason in (
        (lambda x: x * 2 if x.shape[0] < 4 else tfl.sin(x), "for another"),
        (lambda x: x * 2 if x.shape[0] < 4 else x * 2 + 1, "more calls"),
        (lambda x: x * (S[0] if x.shape[0] < 4 else other), ""),
    ):
        verdict, _, _ = compared(function, flat, 3, 5)
        assert verdict.outputs is None and not verdict.mixes
        assert reason in verdict.reason


def test_other_tensors_and_dtypes_from_outside_differ() -> None:
    held = [tfl.ones(WIDTH), tfl.ones(WIDTH)]
    verdict, _, _ = compared(lambda x: x * held[x.shape[0] % 2], flat, 3, 4)
    assert verdict.outputs is None
    assert verdict.reason.startswith("a tensor from outside")


def test_samples_that_are_not_batched_stay_whole() -> None:
    """Which inputs are batched is given: one of the same length may not be."""
    first = recorded(lambda x, y: x @ y, drawn(3, 3), drawn(3, 3)).program
    second = recorded(lambda x, y: x @ y, drawn(5, 3), drawn(3, 3)).program
    assert compare(first, second, (3, 5), [0]).outputs == (Rows(0),)


def test_what_no_other_size_could_replay() -> None:
    total = tfl.zeros(WIDTH)

    def counts(x: Any) -> Any:
        total.add_(x.sum(0))
        return x * 2

    assert "changes a tensor from outside" in blocked(recorded(counts, flat(4)).program)
    dropped = recorded(lambda x: F.dropout(x, 0.5, training=True), flat(4)).program
    assert "random" in blocked(dropped)
    assert blocked(recorded(lambda x: changed(x), flat(4)).program) == ""


def test_the_first_value_is_an_argument_too() -> None:
    """Values are numbered from 0: no number means that there is none."""
    programs = []
    for n in (3, 5):
        capture = Capture()
        x = capture.enter("input", drawn(n, 3).array)
        y = capture.call("concat", np.concatenate, ((x, x), 1))
        programs.append(capture.program((0,), (y.index,)))
    programs = [
        one._replace(calls=tuple([c._replace(args=(*c.args[0], 1)) for c in one.calls]))
        for one in programs
    ]
    assert compare(*programs, (3, 5), [0]).outputs == (Rows(0),)
    assert blocked(programs[0]) == ""


def test_every_rule_is_of_a_slot() -> None:
    library = tfl.backend.base.backend_for("cpu")
    for slot in RULES:
        assert slot in registry or callable(getattr(library, slot)), slot
