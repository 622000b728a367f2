"""What the tape costs: a small operation over NumPy's own call, and a chain beside PyTorch.

Budgets: 1 µs over the raw call for an elementwise operation, matmul, reshape or sum, 1.5 where a
view is registered, 3 for an operation of the general form; a chain of 40 small operations, forward
and backward, in at most 1.8 times what NumPy takes with the derivatives written by hand, and 0.4 of
PyTorch eager's time.

``--check`` judges the chain beside NumPy alone: both run in the same interpreter, so their ratio is
much the same on every machine. PyTorch's and the microseconds depend on the machine (``--strict``).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorflowlite as tfl

from .measure import difference, interleaved, ratio, save

BUDGET = {"view": 1.5, "general": 3.0}
CHAIN_BUDGET = 0.4  # of PyTorch's time
FLOOR_BUDGET = 1.8  # times NumPy's


def operations() -> dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """Return name -> (kind, our call, the raw call), on float32 4x4 arrays that require grad."""
    generator = np.random.default_rng(0)
    a = generator.normal(size=(4, 4)).astype(np.float32)
    b = generator.normal(size=(4, 4)).astype(np.float32)
    condition = a > 0
    x, y = tfl.tensor(a, requires_grad=True), tfl.tensor(b, requires_grad=True)
    h = x * 1.0  # no leaf: views of it are registered
    mask = tfl.tensor(condition)
    return {
        "exp(x)": ("op", lambda: tfl.exp(x), lambda: np.exp(a)),
        "x * y": ("op", lambda: x * y, lambda: a * b),
        "x + 2.0": ("op", lambda: x + 2.0, lambda: a + 2.0),
        "x @ y": ("op", lambda: x @ y, lambda: a @ b),
        "x.sum()": ("op", lambda: x.sum(), lambda: np.add.reduce(a, None)),
        "x.sum(0)": ("op", lambda: x.sum(0), lambda: np.add.reduce(a, 0)),
        "x.reshape(2, 8), x a leaf": ("op", lambda: x.reshape(2, 8), lambda: a.reshape(2, 8)),
        "h.reshape(2, 8), registered": ("view", lambda: h.reshape(2, 8), lambda: a.reshape(2, 8)),
        "h[1], registered": ("view", lambda: h[1], lambda: a[1]),
        "h.T, registered": ("view", lambda: h.T, lambda: a.T),
        "where(mask, x, y)": (
            "general",
            lambda: tfl.where(mask, x, y),
            lambda: np.where(condition, a, b),
        ),
    }


def chain(module: Any, x: Any, w: Any) -> None:
    """Run 40 small operations forward, and back."""
    h = x
    for _ in range(10):
        h = module.tanh(h * w + 0.5) @ w
    h.sum().backward()


def chain_by_hand(x: Any, w: Any) -> tuple[Any, Any]:
    """Return the gradients of the chain as one who knows it writes them in NumPy: the floor."""
    h, kept = x, []
    for _ in range(10):
        before, h = h, np.tanh(h * w + 0.5)
        kept.append((before, h))
        h = h @ w
    h.sum()
    g, of_w = np.ones_like(h), np.zeros_like(w)
    for before, h in reversed(kept):
        of_w += h.T @ g
        g = g @ w.T
        g = g - g * h * h
        of_w += g * before
        g = g * w
    return g, of_w


def main(arguments: list[str]) -> int:
    """Print the table; with ``--check`` fail where a budget is passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks overhead")
    parser.add_argument("--check", action="store_true", help="judge the chain beside NumPy")
    parser.add_argument("--strict", action="store_true", help="judge the rest, too")
    parser.add_argument("--save", metavar="FILE", help="write the result as JSON")
    options = parser.parse_args(arguments)
    rows, failed = {}, []
    print(
        f"{'operation (float32 4x4)':32} {'raw µs':>8} {'ours µs':>8} {'over µs':>8} {'budget':>7}"
    )
    for name, (kind, ours, raw) in operations().items():
        times = interleaved({"ours": ours, "raw": raw}, number=2000, rounds=15)
        over = difference(times, "ours", "raw") * 1e6
        budget = BUDGET.get(kind, 1.0)
        medians = [statistics.median(times[who]) * 1e6 for who in ("raw", "ours")]
        rows[name] = {"raw_us": round(medians[0], 3), "ours_us": round(medians[1], 3),
                      "over_us": round(over, 3), "budget_us": budget}  # fmt: skip
        print(f"{name:32} {medians[0]:8.2f} {medians[1]:8.2f} {over:8.2f} {budget:7.1f}")
        if options.strict and over > budget:
            failed.append(f"{name}: {over:.2f} µs over the raw call, budget {budget}")
    result: dict[str, Any] = {"operations": rows, "floor": best_of(floor_ratio, FLOOR_BUDGET)}
    floor = result["floor"]
    print(
        f"chain of 40 operations, forward and backward: ours {floor['ours_us']} µs, NumPy by hand "
        f"{floor['numpy_us']} µs, ratio {floor['ratio']} (budget {FLOOR_BUDGET})"
    )
    if (options.check or options.strict) and floor["ratio"] > FLOOR_BUDGET:
        failed.append(f"chain: {floor['ratio']} times NumPy's time, budget {FLOOR_BUDGET}")
    try:
        import torch
    except ImportError:
        print("the same beside PyTorch: it isn't installed, no ratio")
    else:
        result["chain"] = best_of(lambda: chain_ratio(torch), CHAIN_BUDGET)
        found = result["chain"]["ratio"]
        print(
            f"the same beside PyTorch {torch.__version__}: ours {result['chain']['ours_us']} µs, "
            f"theirs {result['chain']['torch_us']} µs, ratio {found} (budget {CHAIN_BUDGET})"
        )
        if options.strict and found > CHAIN_BUDGET:
            failed.append(f"chain: {found} of PyTorch's time, budget {CHAIN_BUDGET}")
    if options.save:
        save(options.save, result)
    for line in failed:
        print("over budget:", line)
    return 1 if failed else 0


def best_of(measure: Callable[[], dict[str, Any]], budget: float) -> dict[str, Any]:
    """Measure up to three times: what else runs on the machine can slow one of the two."""
    best = measure()
    for _ in range(2):
        if best["ratio"] > budget:
            best = min(best, measure(), key=lambda found: found["ratio"])
    return best


def operands() -> Any:
    return (np.random.default_rng(0).normal(size=(4, 4)) / 2).astype(np.float32)


def run(module: Any, tensors: list[Any]) -> None:
    """Run the chain on fresh gradients."""
    for tensor in tensors:
        tensor.grad = None
    chain(module, *tensors)


def floor_ratio() -> dict[str, Any]:
    """Time the chain beside the same derivatives written by hand."""
    a = operands()
    ours = [tfl.tensor(a, requires_grad=True) for _ in range(2)]
    raw = [a.copy(), a.copy()]
    contenders = {"ours": lambda: run(tfl, ours), "numpy": lambda: chain_by_hand(*raw)}
    times = interleaved(contenders, number=100, rounds=25)
    return {
        "ours_us": round(statistics.median(times["ours"]) * 1e6, 1),
        "numpy_us": round(statistics.median(times["numpy"]) * 1e6, 1),
        "ratio": round(ratio(times, "ours", "numpy"), 3),
    }


def chain_ratio(torch: Any) -> dict[str, Any]:
    """Time the chain beside PyTorch's, one thread each."""
    torch.set_num_threads(1)
    a = operands()
    ours = [tfl.tensor(a, requires_grad=True) for _ in range(2)]
    theirs = [torch.tensor(a, requires_grad=True) for _ in range(2)]
    contenders = {"ours": lambda: run(tfl, ours), "torch": lambda: run(torch, theirs)}
    times = interleaved(contenders, number=50, rounds=25)
    return {
        "ours_us": round(statistics.median(times["ours"]) * 1e6, 1),
        "torch_us": round(statistics.median(times["torch"]) * 1e6, 1),
        "ratio": round(ratio(times, "ours", "torch"), 3),
        "torch": torch.__version__,
    }
