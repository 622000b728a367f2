"""The rows of single operations, forward and backward."""

from __future__ import annotations

from typing import Any

from .cpu_functions import work
from .cpu_rows_steps import Row


def operation(name: str, title: str, op: str, shape: tuple[Any, ...], headline: bool = False,
              **rest: Any) -> Row:  # fmt: skip
    """Return a row of one operation."""
    spec = {"kind": "op", "op": op, "shape": shape, **rest}
    return Row(name, title, "ops", spec, *work(spec), headline=headline)


def conv(name: str, size: int, channels: int, side: int, out: int, kernel: int,
         headline: bool = False) -> Row:  # fmt: skip
    """Return a row of a convolution whose output is as large as its input."""
    title = f"conv {channels}→{out}, {kernel}×{kernel}, {size}×{side}×{side}"
    return operation(
        name, title, "conv2d", (size, channels, side, side), headline, out=out, kernel=kernel
    )


MLP_SHAPES = ((256, 784), (256,), (128, 256), (128,), (10, 128), (10,))
ROWS = (
    operation("gelu", "GELU 2048×2048", "gelu", (2048, 2048), True),
    operation("layer-norm", "layer norm 4096×1024", "layer_norm", (4096, 1024), True),
    operation("cross-entropy", "cross-entropy 128×32000", "cross_entropy", (128, 32000), True),
    conv("conv-64-32", 16, 64, 32, 64, 3, True),
    conv("conv-64-56", 16, 64, 56, 64, 3),
    conv("conv-128-28", 16, 128, 28, 128, 3),
    conv("conv-1x1-28", 16, 64, 28, 128, 1),
    operation("softmax", "softmax 4096×1024", "softmax", (4096, 1024)),
    operation("attention", "attention, causal, 8×8×256×64", "attention", (8, 8, 256, 64)),
    operation("embedding", "embedding 10000×256, 4096 indices", "embedding", (10000, 256),
              count=4096),
    operation("max-pool", "max pool 2×2, 32×64×56×56", "max_pool2d", (32, 64, 56, 56)),
    operation("batch-norm", "batch norm 16×64×56×56", "batch_norm", (16, 64, 56, 56)),
    operation("dropout", "dropout 2048×2048", "dropout", (2048, 2048)),
    operation("linear-relu", "linear + ReLU 512×1024→1024", "linear_relu", (512, 1024), out=1024),
    operation("matmul", "matmul 1024×1024×1024", "matmul", (1024, 1024), out=1024),
    operation("sum", "sum over axis 0 of 8192×1024, forward", "sum", (8192, 1024)),
    operation("adamw-235k", "AdamW, 235,000 parameters in 6 tensors", "adamw", MLP_SHAPES),
    operation("adamw-10m", "AdamW, 10,000,000 parameters in 10 tensors", "adamw",
              ((1000, 1000),) * 10),
)  # fmt: skip

TINY: dict[str, dict[str, Any]] = {
    "conv2d": {"shape": (2, 3, 6, 6), "out": 4}, "attention": {"shape": (1, 2, 5, 4)},
    "embedding": {"shape": (7, 4), "count": 9}, "max_pool2d": {"shape": (2, 3, 6, 4)},
    "batch_norm": {"shape": (3, 2, 4, 4)}, "dropout": {"shape": (300, 300)},
    "linear_relu": {"shape": (4, 6), "out": 5}, "matmul": {"shape": (4, 6), "out": 5},
    "adamw": {"shape": ((3, 4), (4,))},
}  # fmt: skip


def tiny(row: Row) -> Row:
    """Return a row of operations in its smallest sizes."""
    spec = {**row.spec, **TINY.get(row.spec["op"], {"shape": (8, 6)})}
    return Row(row.name, f"{row.title} (tiny)", row.suite, spec, *work(spec), headline=row.headline)
