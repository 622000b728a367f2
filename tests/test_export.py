"""`export` and `load_program`: models and functions, in this process and in a bare one."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.cli.main import main
from tensorflowlite.errors import (
    ArgumentError,
    CaptureError,
    DataError,
)
from tensorflowlite.io import WriteError, read_metadata
from tensorflowlite.nn import functional as F

from .backends import TestBackend
from .jit_worlds import batch, snapshot

ROOT = Path(__file__).resolve().parents[1]


class Block(nn.Module):
    """A block of a small GPT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.RMSNorm(width)])
        self.mix, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        count, length, width = x.shape
        parts = self.mix(self.norms[0](x)).reshape(count, length, 3, self.heads, -1)
        q, k, v = (part.swapaxes(1, 2) for part in parts.unbind(2))
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(found.swapaxes(1, 2).reshape(count, length, width))
        return x + self.down(F.gelu(self.up(self.norms[1](x)), approximate="tanh"))


class Language(nn.Module):
    """Tokens to the logits of the next; the embedding is the head's weight too."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.blocks = nn.Sequential(Block(8, 2), Block(8, 2))
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Any) -> Any:
        x = self.tokens(tokens) + self.places(tfl.arange(tokens.shape[1]))
        return self.head(self.blocks(x))


class Pair(NamedTuple):
    low: Any
    high: Any


def tokens(i: int) -> tfl.Tensor:
    return tfl.tensor(np.random.default_rng(i).integers(0, 11, (2, 4)))


def mlp() -> tuple[Any, ...]:
    model = nn.Sequential(
        nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.GELU(), nn.Dropout(0.5),
        nn.Linear(16, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softmax(-1),
    )  # fmt: skip
    return model.eval(), batch(0, 5, 3)


def cnn() -> tuple[Any, ...]:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.SiLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 10),
    )  # fmt: skip
    model(batch(7, 6, 3, 12, 12))  # other running statistics than the first ones
    return model.eval(), batch(0, 2, 3, 12, 12)


def gpt() -> tuple[Any, ...]:
    return Language().eval(), tokens(0)


def sampling() -> tuple[Any, ...]:
    model = Language().eval()

    def run(line: Any) -> Any:
        for _ in range(2):
            best = model(line)[:, -1].argmax(-1)
            line = tfl.concat([line, best[:, None]], 1)
        return line

    return run, tokens(1)


def recurrent() -> tuple[Any, ...]:
    return nn.LSTM(3, 5, batch_first=True).eval(), batch(0, 2, 4, 3)


def nested() -> tuple[Any, ...]:
    weight = batch(3, 4)

    def run(pair: Any, options: Any, scale: float, *, shift: Any, name: str = "sum") -> Any:
        total = pair[0] + pair[1][0] * scale + options["bias"]
        total = total + shift if name == "sum" else total
        return {
            "total": total, 3: [total.sum(), (None, "text", 2.5)], "given": pair[0],
            "weight": weight, "pair": Pair(total - 1, math.nan), "twice": (total, total),
        }  # fmt: skip

    arguments = ((batch(0, 4), [batch(1, 4)]), {"bias": batch(2, 1)}, -0.5)
    return run, *arguments, {"shift": batch(4, 4), "name": "sum"}


def changing() -> tuple[Any, ...]:
    """Memory of its own, that is written: a cache."""

    def run(x: Any) -> Any:
        cache = tfl.zeros((3, 4))
        for i in range(3):
            cache[i] = x[i] * (i + 1)
        cache += 1
        view = cache.reshape(-1)
        view[2] = 9.0
        return cache, tfl.ones(2)

    return run, batch(0, 3, 4)


def laid_out() -> tuple[Any, ...]:
    """Weights that aren't contiguous, and two views of one."""
    weight = batch(1, 6, 4)
    turned, stepped, reversed_ = weight.T, weight[::2], tfl.flip(weight, 0)

    def run(x: Any) -> Any:
        return x @ turned, x @ stepped.T, (x @ reversed_.T) * turned.sum(), weight.sum(0)

    return run, batch(0, 5, 4)


def kinds() -> tuple[Any, ...]:
    """Every dtype, arrays without axes and without elements."""
    dtypes = (
        tfl.bool, tfl.int8, tfl.int16, tfl.int32, tfl.int64, tfl.uint8, tfl.uint16, tfl.uint32,
        tfl.uint64, tfl.float16, tfl.bfloat16, tfl.float32, tfl.float64, tfl.complex64,
        tfl.complex128,
    )  # fmt: skip
    held = [tfl.tensor([[0, 1, 2], [3, 4, 5]]).astype(dtype) for dtype in dtypes]
    scalars = [tfl.tensor(3).astype(dtype) for dtype in dtypes]
    empty = tfl.zeros((0, 3))

    def run(x: Any, nothing: Any) -> Any:
        found = [tfl.where(x.astype(tfl.bool), one, one[:, ::-1]) for one in held]
        return found, [one.reshape(1) for one in scalars], tfl.concat([empty, nothing]), nothing + 1

    return run, tfl.tensor([[0, 1, 0], [1, 1, 0]]), tfl.zeros((0, 3))


def odd() -> tuple[Any, ...]:
    """Numbers that JSON has no words for, and operators inside transforms."""

    def run(x: Any) -> Any:
        bounded = tfl.clip(x, -0.0, math.inf)
        filled = x.masked_fill(x > 0, -math.inf).softmax(-1)
        with tfl.enable_grad():
            slopes = tfl.vmap(tfl.grad(lambda row: (row**3).sum() / 7))(x.detach())
        return bounded, filled, slopes, tfl.nan_to_num(x / 0, nan=math.pi), x**2, 2**x

    return run, batch(0, 3, 4)


WORLDS: tuple[Callable[[], tuple[Any, ...]], ...] = (
    mlp, cnn, gpt, sampling, recurrent, nested, changing, laid_out, kinds, odd,
)  # fmt: skip


def built(world: Callable[[], tuple[Any, ...]]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    tfl.manual_seed(3)
    function, *args = world()
    kwargs = args.pop() if world is nested else {}
    return function, tuple(args), kwargs


def called(function: Any, args: Any, kwargs: Any) -> Any:
    with tfl.no_grad(), np.errstate(all="ignore"):
        return function(*args, **kwargs)


def other(tree: Any) -> Any:
    """Return other arguments of the same form."""
    if isinstance(tree, tfl.Tensor):
        return tfl.flip(tree, tuple(range(tree.ndim))) if tree.size else tree
    if isinstance(tree, dict):
        return {key: other(value) for key, value in tree.items()}
    return type(tree)(map(other, tree)) if isinstance(tree, tuple | list) else tree


def bits_of(tree: Any) -> list[str]:
    return list(map(repr, snapshot(tree)))  # NaN equals itself then


def exporting(function: Any, path: Any, args: Any, kwargs: Any) -> None:
    with np.errstate(all="ignore"):
        tfl.export(function, path, *args, **kwargs)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_a_program_gives_the_bits_of_its_function(world: Any, tmp_path: Path) -> None:
    function, args, kwargs = built(world)
    exporting(function, tmp_path / "program", args, kwargs)
    program = tfl.load_program(tmp_path / "program")
    jitted = tfl.jit(function)
    for _ in range(4):
        args, kwargs = other(args), other(kwargs)
        expected = called(function, args, kwargs)
        assert bits_of(called(jitted, args, kwargs)) == bits_of(expected)
        given = called(program, args, kwargs)
        assert bits_of(given) == bits_of(expected)
        assert str(type(given)) == str(type(expected))
    assert len(program.explain().splitlines()) > len(program.inputs)


def test_the_forms_come_back(tmp_path: Path) -> None:
    function, args, kwargs = built(nested)
    tfl.export(function, tmp_path / "program", *args, **kwargs)
    program = tfl.load_program(tmp_path / "program")
    found = program(*args, **kwargs)
    assert list(found) == ["total", 3, "given", "weight", "pair", "twice"]
    assert type(found[3]) is list and found[3][1] == (None, "text", 2.5)
    assert found["given"] is args[0][0]
    assert found["pair"]._fields == ("low", "high") and math.isnan(found["pair"].high)
    assert repr(found["pair"]).startswith("Pair(low=tensor(")
    assert [one.name for one in program.inputs] == [
        "args[0][0]", "args[0][1][0]", "args[1]['bias']", "kwargs['shift']",
    ]  # fmt: skip
    assert program.inputs[2][1:] == ((1,), tfl.float32)
    assert [one.name for one in program.outputs][:3] == [
        "result['total']", "result[3][0]", "result['given']",
    ]  # fmt: skip
    # What a caller does to a result isn't seen by the program.
    found["weight"][...] = 0
    assert program(*args, **kwargs)["weight"].numpy().any()


# -- another process -------------------------------------------------------------------------------
RUNNER = """
import sys
import numpy as np
import tensorflowlite as tfl
from tensorflowlite.transforms.tree import flatten

folder, *names = sys.argv[1:]
for name in names:
    with np.errstate(all="ignore"):
        program = tfl.load_program(f"{folder}/{name}.program")
        args, kwargs = tfl.load(f"{folder}/{name}.arguments")
        for call in range(3):
            found = program(*args, **kwargs)
    leaves = [one for one in flatten(found)[0] if isinstance(one, tfl.Tensor)]
    tfl.save(f"{folder}/{name}.results", leaves)
assert not any(name.startswith("tests") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: Any) -> Iterator[tuple[Path, dict[str, list[Any]]]]:
    """All programs in a folder, with their arguments, and what they should give."""
    folder = tmp_path_factory.mktemp("programs")
    expected: dict[str, list[Any]] = {}
    for world in WORLDS:
        function, args, kwargs = built(world)
        name = world.__name__
        exporting(function, folder / f"{name}.program", args, kwargs)
        args, kwargs = other(args), other(kwargs)
        tfl.save(folder / f"{name}.arguments", (args, kwargs))
        # As they lie in the file: NumPy's powers of reversed arrays have other last bits.
        args, kwargs = tfl.load(folder / f"{name}.arguments")
        expected[name] = leaves_of(called(function, args, kwargs))
    yield folder, expected


def leaves_of(tree: Any) -> list[Any]:
    from tensorflowlite.transforms.tree import flatten

    return [one for one in flatten(tree)[0] if isinstance(one, tfl.Tensor)]


def run_elsewhere(folder: Path, native: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if not native:
        environment["TENSORFLOWLITE_NATIVE"] = "0"
    names = [world.__name__ for world in WORLDS]
    subprocess.run(
        [sys.executable, "-c", RUNNER, str(folder), *names], check=True, env=environment,
        cwd=folder, timeout=300,
    )  # fmt: skip


def test_another_process_gives_the_same_bits(exported: Any) -> None:
    folder, expected = exported
    run_elsewhere(folder, native=True)
    for name, leaves in expected.items():
        assert snapshot(tfl.load(folder / f"{name}.results")) == snapshot(leaves), name


def test_without_the_native_extension_it_gives_the_same(exported: Any) -> None:
    folder, expected = exported
    run_elsewhere(folder, native=False)
    for name, leaves in expected.items():
        for ours, theirs in zip(tfl.load(folder / f"{name}.results"), leaves, strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, name
            np.testing.assert_allclose(
                ours.numpy().astype(np.complex128), theirs.numpy().astype(np.complex128),
                rtol=2e-5, atol=2e-6, err_msg=name,
            )  # fmt: skip


def test_what_is_exported_without_the_extension_runs_with_it(tmp_path: Path) -> None:
    script = f"""
        import tensorflowlite as tfl
        from tests.test_export import WORLDS, built
        for world in WORLDS:
            function, args, kwargs = built(world)
            tfl.export(function, r"{tmp_path}/" + world.__name__, *args, **kwargs)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TENSORFLOWLITE_NATIVE": "0"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True,
        env=environment, cwd=ROOT, timeout=300,
    )  # fmt: skip
    for world in WORLDS:
        function, args, kwargs = built(world)
        program = tfl.load_program(tmp_path / world.__name__)
        given, expected = called(program, args, kwargs), called(function, args, kwargs)
        for ours, theirs in zip(leaves_of(given), leaves_of(expected), strict=True):
            np.testing.assert_allclose(
                ours.numpy().astype(np.complex128), theirs.numpy().astype(np.complex128),
                rtol=2e-5, atol=2e-6, err_msg=world.__name__,
            )  # fmt: skip


# -- devices ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("world", [mlp, cnn, gpt, changing, laid_out])
def test_a_program_moves(world: Any, tmp_path: Path, backend: TestBackend) -> None:
    function, args, kwargs = built(world)
    tfl.export(function, tmp_path / "program", *args, **kwargs)
    there = tfl.load_program(tmp_path / "program", device=backend.device)
    assert there.device == backend.device
    moved = [backend.tensor(arg.numpy()) for arg in args]
    first, second = there(*moved), there(*moved)
    expected = leaves_of(called(function, args, kwargs))
    for one, again, theirs in zip(leaves_of(first), leaves_of(second), expected, strict=True):
        assert one.device == backend.device
        assert backend.host(one).tobytes() == backend.host(again).tobytes()
        np.testing.assert_allclose(backend.host(one), theirs.numpy(), rtol=2e-5, atol=2e-6)
    here = there.to("cpu")
    assert snapshot(called(here, args, kwargs)) == snapshot(expected)
    assert here.to("cpu") is here


def test_a_device_exports_for_the_cpu(tmp_path: Path, backend: TestBackend) -> None:
    weight = backend.tensor(np.arange(12.0, dtype=np.float32).reshape(4, 3).T)

    def run(x: Any) -> Any:
        return (x @ weight)[:, [2, 0]] + 1

    x = batch(0, 2, 3)
    tfl.export(run, tmp_path / "program", backend.tensor(x.numpy()))
    found = tfl.load_program(tmp_path / "program")(x)
    expected = backend.host(run(backend.tensor(x.numpy())))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


# -- the file --------------------------------------------------------------------------------------
def document(path: Path) -> Any:
    return json.loads(read_metadata(path)["tensorflowlite.program"])


def test_what_is_shared_is_written_once(tmp_path: Path) -> None:
    function, args, _ = built(gpt)
    tfl.export(function, tmp_path / "program", *args)
    arrays = tfl.load_safetensors(tmp_path / "program")
    shapes = [one.shape for one in arrays.values()]
    assert shapes.count((11, 8)) == 1  # the embedding, and the head
    assert document(tmp_path / "program")["version"] == 1
    function, args, _ = built(laid_out)
    tfl.export(function, tmp_path / "program", *args)
    # The weight and its transpose lie in the same memory.
    shapes = sorted(one.shape for one in tfl.load_safetensors(tmp_path / "program").values())
    assert shapes == [(3, 4), (6, 4), (6, 4)]


def test_what_isnt_needed_isnt_written(tmp_path: Path) -> None:
    unused = batch(0, 100, 100)

    def run(x: Any) -> Any:
        unused.sum()
        return x + 1

    tfl.export(run, tmp_path / "program", tfl.zeros(3))
    assert len(document(tmp_path / "program")["calls"]) == 1
    assert (tmp_path / "program").stat().st_size < 2000


def test_a_file_is_kept_where_an_export_fails(tmp_path: Path) -> None:
    path = tmp_path / "program"
    tfl.export(tfl.sin, path, tfl.zeros(3))
    before = path.read_bytes()
    with pytest.raises(CaptureError, match="random numbers"):
        tfl.export(lambda x: x + tfl.rand(3), path, tfl.zeros(3))
    with pytest.raises(ZeroDivisionError):
        tfl.export(lambda x: x + 1 // 0, path, tfl.zeros(3))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_path_that_cant_be_written_raises(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"^export: .*make the folder first"):
        tfl.export(tfl.sin, tmp_path / "no" / "program", tfl.zeros(3))
    with pytest.raises(WriteError, match=r"^export: .*name a file, not a folder"):
        tfl.export(tfl.sin, tmp_path, tfl.zeros(3))
    with pytest.raises(ArgumentError, match=r"^export: the path must name a file, got Tensor"):
        tfl.export(tfl.sin, tfl.zeros(3))
    with pytest.raises(ArgumentError, match=r"^export: the function must be callable"):
        tfl.export(tmp_path, tfl.sin)


def test_the_command_lists_a_program(tmp_path: Path, capsys: Any) -> None:
    tfl.export(lambda x: x.sin() * 2, tmp_path / "program", tfl.zeros(3))
    assert main(["explain-program", str(tmp_path / "program")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "%0 float32[3] = args[0]"
    assert lines[2:] == [
        "%2 float32[3] = sin(%0)  [12 bytes]", "%3 float32[3] = multiply(%2, %1)  [12 bytes]",
    ]  # fmt: skip
    assert main(["explain-program", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("load_program: the path must name a readable file")


def test_other_files_are_refused(tmp_path: Path) -> None:
    tfl.save(tmp_path / "state", {"x": tfl.zeros(3)})
    with pytest.raises(DataError, match=r"^load_program: the file must be one that tfl.export"):
        tfl.load_program(tmp_path / "state")
    with pytest.raises(DataError, match=r"^load_program: the path must name a readable file"):
        tfl.load_program(tmp_path / "none")
