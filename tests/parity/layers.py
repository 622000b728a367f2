"""How layers are held to PyTorch's: the same state_dict, outputs and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import tensorflowlite as tfl

# Relative to numbers of order 1: sums of a few hundred products in another order.
CLOSE = {"float64": 1e-9, "float32": 1e-4}


def same_weights(ours: Any, theirs: Any, dtype: str = "float64") -> None:
    """Give both layers the same random weights, over a state_dict, in a dtype."""
    generator = torch.Generator().manual_seed(2)
    theirs.to(getattr(torch, dtype))
    ours.to(dtype=dtype)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    back = {key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()}
    theirs.load_state_dict(back)


def check_layers(ours: Any, theirs: Any, *arrays: Any, dtype: str = "float64",
                 call: Any = None, **options: Any) -> None:  # fmt: skip
    """Compare outputs, and the gradients of inputs and parameters; floats among the arrays only.

    ``call(layer, *inputs, **options)`` says how to call a layer, if not plainly; masks and other
    constants go into ``options`` as arrays.
    """
    same_weights(ours, theirs, dtype)
    call = call or (lambda layer, *inputs, **others: layer(*inputs, **others))
    arrays = tuple(a.astype(dtype) for a in arrays)
    xs = [tfl.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    found = flat(call(ours, *xs, **converted(options, tfl.tensor)))
    expected = flat(call(theirs, *ts, **converted(options, torch.tensor)))
    assert len(found) == len(expected)
    rng = np.random.default_rng(4)
    total, wanted = tfl.tensor(0.0, dtype=dtype), torch.tensor(0.0, dtype=getattr(torch, dtype))
    for y, t in zip(found, expected, strict=True):
        close(y, t, dtype, "output")
        weights = np.asarray(rng.normal(size=y.shape)).astype(dtype)
        total = total + (y * tfl.tensor(weights)).sum()
        wanted = wanted + (t * torch.tensor(weights)).sum()
    total.backward()
    wanted.backward()
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        close(x.grad, t.grad, dtype, f"gradient of input {i}")
    grads = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        close(parameter.grad, grads[name].grad, dtype, f"gradient of {name}")


def converted(options: dict[str, Any], make: Any) -> dict[str, Any]:
    return {k: make(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}


def flat(value: Any) -> list[Any]:
    """Return the tensors of a nested tuple."""
    if isinstance(value, tuple | list):
        return [one for item in value for one in flat(item)]
    return [] if value is None else [value]


def close(found: Any, expected: Any, dtype: str, what: str) -> None:
    if expected is None:
        assert found is None or not found.numpy().any(), what
        return
    assert found.dtype == dtype, what
    expected = expected.detach().numpy()
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(
        found.detach().numpy(), expected, CLOSE[dtype], CLOSE[dtype] * scale, err_msg=what
    )
