"""What a type checker knows of tensors: ``make lint`` checks it, and `test_types` runs it.

A line that must not type-check says which error it is; an ignored error that doesn't occur is an
error itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import numpy as np

import tensorflowlite as tfl
from tensorflowlite import Tensor, data, nn, optim, train
from tensorflowlite.nn import functional as F

x = tfl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
y = tfl.ones((2, 2))


def operators() -> None:
    assert_type(x + y, Tensor)
    assert_type(2 - x, Tensor)
    assert_type(x * 0.5, Tensor)
    assert_type(x / y, Tensor)
    assert_type(x**2, Tensor)
    assert_type(2.0**x, Tensor)
    assert_type(x @ y, Tensor)
    assert_type(-x, Tensor)
    assert_type(abs(x), Tensor)
    assert_type(x == y, Tensor)
    assert_type(x < 1, Tensor)
    assert_type((x > 0) & (x < 3), Tensor)
    assert_type(~(x > 0), Tensor)
    assert_type(np.float32(2) + y, Tensor)
    assert_type(x[0], Tensor)
    assert_type(x[:, None, ..., 1], Tensor)
    assert_type(iter(x), Iterator[Tensor])
    assert_type(divmod(y, 2), tuple[Tensor, Tensor])
    assert_type(len(x), int)
    z = y.clone()
    z += 1
    z[0] = 0.0
    assert_type(z, Tensor)


def methods() -> None:
    assert_type(x.sum(), Tensor)
    assert_type(x.mean(axis=0, keepdims=True), Tensor)
    assert_type(x.mean(dim=0, keepdim=True), Tensor)
    assert_type(x.max(axis=(0, 1)), Tensor)
    assert_type(x.reshape(4), Tensor)
    assert_type(x.reshape(1, 4), Tensor)
    assert_type(x.reshape((1, 4)), Tensor)
    assert_type(x.T, Tensor)
    assert_type(x.exp(), Tensor)
    assert_type(y.clone().exp_(), Tensor)
    assert_type(x.astype(tfl.float64), Tensor)
    assert_type(x.float().bool(), Tensor)
    assert_type(x.detach(), Tensor)
    assert_type(x.grad, Tensor | None)
    assert_type(x.shape, tuple[int, ...])
    assert_type(x.size, int)
    assert_type(x.requires_grad, bool)
    assert_type(x.tolist(), Any)
    assert_type(x.topk(1).indices, Tensor)


def functions() -> None:
    assert_type(tfl.exp(x), Tensor)
    assert_type(tfl.add(x, 1), Tensor)
    assert_type(tfl.multiply(x, np.ones((2, 2))), Tensor)
    assert_type(tfl.sum(x, axis=-1, keepdims=True), Tensor)
    assert_type(tfl.logsumexp(x, axis=1), Tensor)
    assert_type(tfl.where(x > 0, x, 0.0), Tensor)
    assert_type(tfl.concat([x, y]), Tensor)
    assert_type(tfl.matmul(x, y), Tensor)
    assert_type(tfl.is_grad_enabled(), bool)
    assert_type(tfl.cuda.is_available(), bool)
    assert_type(tfl.autograd.grad(x.sum(), x), tuple[Tensor | None, ...])


@tfl.no_grad()
def decorated(number: int) -> int:
    return number


def modes() -> None:
    assert_type(decorated(2), int)
    with tfl.no_grad(), tfl.enable_grad():
        assert_type(x * 2, Tensor)


def networks() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert_type(model.eval(), nn.Sequential)
    assert_type(list(model.parameters()), list[Tensor])
    assert_type(F.relu(x), Tensor)
    assert_type(F.mse_loss(x, y), Tensor)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2)
    assert_type(schedule.get_last_lr(), list[float])
    trainer = train.Trainer(model, optimizer, F.mse_loss)
    assert_type(trainer.history, train.History)
    assert_type(data.DataLoader(data.TensorDataset(y, y)).state_dict(), dict[str, int])


def mistakes() -> list[Any]:
    """Each raises, and a type checker says so beforehand."""
    return [
        lambda: x + "1",  # type: ignore[operator]
        lambda: tfl.exp("1"),  # type: ignore[arg-type]
        lambda: tfl.exp(x, y),  # type: ignore[call-arg]
        lambda: x.no_such_method(),  # type: ignore[attr-defined]
        lambda: tfl.no_such_function(x),  # type: ignore[attr-defined]
        lambda: x.sum(axes=0),  # type: ignore[call-arg]
    ]


if __name__ == "__main__":
    for check in (operators, methods, functions, modes, networks):
        check()
