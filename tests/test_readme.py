"""What the README and the documents show: examples run, commands exist, links and tables hold."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from benchmarks.__main__ import resolve
from tensorflowlite.cli.main import make_parser
from tensorflowlite.errors import UnsupportedArgumentError
from tensorflowlite.nn import functional as F

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def blocks(path: Path) -> list[tuple[str, str]]:
    """The language and the text of each code block of a document."""
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def readme() -> list[tuple[str, str]]:
    return blocks(DOCUMENTS[0])


# -- the README's code -----------------------------------------------------------------------------
def test_python_blocks_run_in_order() -> None:
    """The ten lines learn a batch, the loop goes through a loader, gradients are right."""
    programs = [text for language, text in readme() if language == "python"]
    assert len(programs) == 4
    tfl.manual_seed(0)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(16, 784)).astype(np.float32)
    labels = rng.integers(0, 10, 16)
    names: dict[str, Any] = {"dataset": tfl.data.TensorDataset(images, labels)}

    exec(programs[0], names)
    x, y = (tfl.tensor(array, device=names["device"]) for array in (images, labels))
    losses = [names["step"](x, y).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]

    seen = []
    step = names["step"]
    names["step"] = lambda x, y: seen.append(step(x, y).item())
    exec(programs[1], names)
    assert len(seen) == 1 and seen[0] < losses[-1]

    names["step"] = step
    exec(programs[2], names)
    replayed = [names["step"](x, y).item() for _ in range(5)]
    assert replayed == sorted(replayed, reverse=True) and replayed[0] < seen[0]
    assert names["step"].cache_info().replayed == 2

    exec(programs[3], names)
    gradient, check = programs[3].strip().splitlines()[1:]
    (found,) = eval(gradient.partition("#")[0].strip(), names)
    np.testing.assert_allclose(found.tolist(), 1 - np.tanh([0.5, 2.0]) ** 2)
    assert eval(check.partition("#")[0].strip(), names)


def test_the_first_line_says_what_it_is_not() -> None:
    lines = [line for line in DOCUMENTS[0].read_text().splitlines() if line]
    assert lines[0] == "# tensorflowlite"
    assert lines[1].startswith("**This is not TensorFlow Lite (LiteRT).**")


# -- the commands ----------------------------------------------------------------------------------
def commands(path: Path) -> list[str]:
    """The command lines in a document's plain blocks and in its text."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = [line for language, block in blocks(path) if not language for line in block.split("\n")]
    lines += re.findall(r"`((?:make|pip|python|tensorflowlite) [^`]+)`", text.replace("\n", " "))
    stripped = [line.partition("#")[0].strip() for line in lines]
    return [line for line in stripped if line]


COMMANDS = sorted({line for path in DOCUMENTS for line in commands(path)})


def test_the_two_commands_stand_on_the_first_screen() -> None:
    first = "\n".join(DOCUMENTS[0].read_text().splitlines()[:24])
    assert re.search(r"^make train\b", first, re.MULTILINE)
    assert re.search(r"^make test\b", first, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "make":
        makefile = (CHECKOUT / "Makefile").read_text()
        assert re.search(rf"^{arguments[-1]}:", makefile, re.MULTILINE)
    elif program == "pip":
        assert arguments[0] == "install"
        extra = re.search(r"\[(\w+)\]", arguments[1])
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
        assert extra is None or extra.group(1) in project["optional-dependencies"]
    elif program == "tensorflowlite":
        parsed = make_parser().parse_args(arguments)
        assert parsed.command == arguments[0]
    elif program == "python" and arguments[:2] == ["-m", "benchmarks"]:
        found = resolve(arguments[2:])
        assert found is not None and (CHECKOUT / "benchmarks" / f"{found[0]}.py").is_file()
    elif program == "python" and arguments[1].startswith("tests."):
        assert (CHECKOUT / f"{arguments[1].replace('.', '/')}.py").is_file()
    elif program == "python" and arguments[0] == "setup.py":
        assert (CHECKOUT / "setup.py").is_file()
    else:
        pytest.fail(f"no test knows the command {line!r}")


# -- the links and the paths -----------------------------------------------------------------------
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        target = link.partition("#")[0]
        assert link.startswith("https://") or (path.parent / target).exists(), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(path: Path) -> None:
    """A path in backquotes that ends in .py lies in the checkout or in the package."""
    roots = (CHECKOUT, CHECKOUT / "tensorflowlite")
    for name in re.findall(r"`([\w/]+\.py)`", path.read_text(encoding="utf-8")):
        assert any((root / name).is_file() for root in roots), name


# -- coming from PyTorch ---------------------------------------------------------------------------
TABLES = (CHECKOUT / "docs" / "coming-from-pytorch.md").read_text().split("\n## ")


def rows(title: str) -> list[str]:
    """The first cells of the table under a title."""
    (section,) = [text for text in TABLES if text.startswith(title)]
    return [line.split(" | ")[0].strip("| ") for line in section.splitlines() if "| `" in line]


x = tfl.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]])


def leaves(function: Callable[[tfl.Tensor], tfl.Tensor]) -> bool:
    """Whether a function makes a new tensor and leaves its argument as it was."""
    y = -x
    return function(y).tolist() == [[0.0] * 3] * 2 and y.tolist() == (-x).tolist()


SILENT: dict[str, Callable[[], bool]] = {
    "`x.max(1)`, `x.min(1)`": lambda: (
        x.max(1).tolist() == [5, 6] and x.min(1).tolist() == [1, 2]
    ),
    "`x.std()`, `x.var()`": lambda: (
        abs(x.std().item() - np.std(x.numpy())) < 1e-6
        and abs(x.var().item() - np.var(x.numpy())) < 1e-6
    ),
    "`x.split(2)`": lambda: [part.shape for part in x.split(2)] == [(1, 3), (1, 3)],
    "`x.sort()`": lambda: x.sort().tolist() == [[1, 3, 5], [2, 4, 6]],
    "`x.nonzero()`": lambda: [index.tolist() for index in tfl.tensor([0, 5]).nonzero()] == [[1]],
    "`x.repeat(2)`": lambda: tfl.tensor([1, 2]).repeat(2).tolist() == [1, 1, 2, 2],
    "`x.median()`, `x.nanmedian()`, of an even number of values": lambda: (
        x.median().item() == x.nanmedian().item() == 3.5
    ),
    "`x.median(1)`, `x.nanmedian(1)`": lambda: (
        x.median(1).tolist() == x.nanmedian(1).tolist() == [3, 4]
    ),
    "`x.unique()` of several NaN": lambda: tfl.tensor([np.nan, np.nan]).unique().shape == (1,),
    "`tfl.histogram(x)`": lambda: (
        tfl.histogram(x)[0].shape == (10,) and tfl.histogram(x)[0].dtype == tfl.int64
    ),
    "`tfl.tril_indices(3, 3)`, `triu_indices`": lambda: (
        tfl.tril_indices(3, 3)[0].shape == (9,) and tfl.triu_indices(3, 3)[0].shape == (0,)
    ),
    "`tfl.can_cast(tfl.float64, tfl.float32)`": lambda: not tfl.can_cast(tfl.float64, tfl.float32),
    "`tfl.select(conditions, choices)`": lambda: (
        tfl.select([x > 4, x > 2], [x, -x], 0.0).tolist() == [[0, 5, -3], [-4, 0, 6]]
    ),
    "`x.size`": lambda: x.size == 6,
    "`float32 * int64`, `int / int`": lambda: (
        (x * tfl.tensor([1, 2, 3])).dtype == tfl.float64
        and (tfl.tensor([1]) / tfl.tensor([2])).dtype == tfl.float64
    ),
    "`model(x)`, float64 `x`, float32 model": lambda: (
        tfl.nn.Linear(3, 1)(x.double()).dtype == tfl.float64
    ),
    "`tfl.tensor([a, b])`, `tfl.full(shape, a)` of tensors": lambda: (
        tfl.grad(lambda y: (tfl.tensor([y, y]) + tfl.full(2, y)).sum())(tfl.ones(())).item() == 4
    ),
    "`x.T` of three axes": lambda: tfl.zeros((2, 3, 4)).T.shape == (4, 3, 2),
    "`F.relu(x, inplace=True)`, `nn.ReLU(inplace=True)`": lambda: (
        leaves(lambda y: F.relu(y, inplace=True)) and leaves(tfl.nn.ReLU(inplace=True))
    ),
}

REFUSED: dict[str, dict[str, tuple[Callable[[], Any], ...]]] = {
    "`x.max(dim=1)`, `min`, `sort`": {
        "axis": (lambda: x.max(dim=1), lambda: x.min(dim=1), lambda: x.sort(dim=1)),
    },
    "`x.var(dim=1)`, `std` without `correction`": {
        "correction": (lambda: x.var(dim=1), lambda: x.std(dim=1)),
    },
    "`x.split(2, dim=0)`": {"axis": (lambda: x.split(2, dim=0),)},
    "`x.repeat(2, 3)`": {"tile": (lambda: x.repeat(2, 3),)},
    "`tfl.logspace(0, 3, 4, 2.0)`": {"base=": (lambda: tfl.logspace(0, 3, 4, 2.0),)},
    "`x.transpose(0, 1)`": {"swapaxes": (lambda: x.transpose(0, 1),)},
}


DIFFERENT: dict[str, tuple[Callable[[], Any], str]] = {
    "`torch.save(tree, path)`": (lambda: tfl.save({"x": x}, "x"), "the path must come first"),
    "`x.size(0)`": (lambda: x.size(0), "not callable"),  # type: ignore[operator]
    "`autograd.grad(..., only_inputs=True)`": (
        lambda: tfl.autograd.grad(x, x, only_inputs=True),  # type: ignore[call-arg]
        "only_inputs",
    ),
    "`torch.autograd.functional.jacobian(f, x)`, `hessian`, `vjp`, `jvp`, `hvp`": (
        lambda: tfl.autograd.functional,  # type: ignore[attr-defined]
        "functional",
    ),
    "`torch.func.grad_and_value(f)`": (
        lambda: tfl.grad_and_value,  # type: ignore[attr-defined]
        "grad_and_value",
    ),
    "`torch.utils.checkpoint.checkpoint(f, x, use_reentrant=False)`": (
        lambda: tfl.checkpoint(tfl.tanh, x, use_reentrant=False),
        "use_reentrant",
    ),
    "`torch.slogdet(x)`, `logdet`, differentiated at a singular matrix": (
        lambda: tfl.grad(lambda y: tfl.linalg.slogdet(y)[1])(tfl.zeros((2, 2))),
        "singular",
    ),
    "`torch.utils.data.DataLoader`": (lambda: tfl.utils, "utils"),  # type: ignore[attr-defined]
    "`torch.profiler.profile(...)`, `prof.key_averages().table(sort_by=...)`": (
        lambda: tfl.profile().key_averages(),  # type: ignore[attr-defined]
        "key_averages",
    ),
}


@pytest.mark.parametrize("row", DIFFERENT)
def test_spelled_differently(row: str) -> None:
    call, text = DIFFERENT[row]
    with pytest.raises((TypeError, ValueError, AttributeError), match=text):
        call()


def test_the_spelling_here() -> None:
    with tfl.profile() as prof:
        tfl.tanh(x)
    assert "tanh" in prof.table(by="operation", sort="self")
    assert x.shape[0] == 2 and tfl.data.DataLoader is not None
    assert x.clone().relu_().tolist() == F.relu(x).tolist()
    found = [tfl.jacrev(tfl.sum)(x), tfl.jacfwd(tfl.sum)(x), tfl.value_and_grad(tfl.sum)(x)[1]]
    assert all((one == 1).all() for one in found)
    assert tfl.checkpoint(tfl.tanh, x).tolist() == tfl.tanh(x).tolist()
    assert x.square().sum().sqrt().item() == pytest.approx(np.linalg.norm(x.numpy()))


def test_the_tables_are_tested_whole() -> None:
    assert rows("Spelled differently") == list(DIFFERENT)
    assert rows("Different in silence") == list(SILENT)
    assert rows("Raises, and names the replacement") == list(REFUSED)


@pytest.mark.parametrize("row", SILENT)
def test_different_in_silence(row: str) -> None:
    assert SILENT[row]()


@pytest.mark.parametrize("row", REFUSED)
def test_raises_and_names_the_replacement(row: str) -> None:
    for word, calls in REFUSED[row].items():
        for call in calls:
            with pytest.raises(UnsupportedArgumentError, match=word):
                call()


def test_replacements_of_pytorch_spellings() -> None:
    assert x.max(axis=1).tolist() == [5, 6]
    assert x.argmax(axis=1).tolist() == [1, 2]
    assert x.var(axis=1, correction=1).tolist() == [4, 4]
    assert len(x.split(2, axis=0)) == 2
    assert x.tile((2, 3)).shape == (4, 9)
    assert x.swapaxes(0, 1).shape == x.permute_dims((1, 0)).shape == (3, 2)


SAME: dict[str, Callable[[], tuple[Any, Any]]] = {
    "cat": lambda: (tfl.cat([x, x]), tfl.concat([x, x])),
    "unsqueeze": lambda: (x.unsqueeze(1), x.expand_dims(1)),
    "permute": lambda: (x.permute(1, 0), x.permute_dims((1, 0))),
    "view": lambda: (x.view(3, 2), x.reshape(3, 2)),
    "flatten": lambda: (x.flatten(), x.reshape(6)),
    "chunk": lambda: (x.chunk(2)[0], x[:1]),
    "clamp": lambda: (x.clamp(2, 4), x.clip(2, 4)),
    "masked_fill": lambda: (x.masked_fill(x > 3, 0.0), tfl.where(x > 3, 0.0, x)),
    "contiguous": lambda: (x.T.contiguous(), x.T),
    "float": lambda: (x.double().float(), x),
    "mul": lambda: (tfl.mul(x, 2), tfl.multiply(x, 2)),
    "sub": lambda: (tfl.sub(x, 2), tfl.subtract(x, 2)),
    "div": lambda: (tfl.div(x, 2), tfl.divide(x, 2)),
    "relu": lambda: (tfl.relu(x), F.relu(x)),
    "sigmoid": lambda: (tfl.sigmoid(x), F.sigmoid(x)),
    "softmax": lambda: (tfl.softmax(x, dim=1), F.softmax(x, dim=1)),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_under_both_names(name: str) -> None:
    assert f"`{name}" in TABLES[-1]
    theirs, ours = SAME[name]()
    np.testing.assert_array_equal(theirs.numpy(), ours.numpy())


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "any", "all", "argmax", "argmin", "logsumexp"]
)
def test_dim_and_keepdim_mean_axis_and_keepdims(name: str) -> None:
    assert f"`{name}`" in TABLES[-1]
    for function in (getattr(x, name), lambda **options: getattr(tfl, name)(x, **options)):
        theirs, ours = function(dim=1, keepdim=True), function(axis=1, keepdims=True)
        assert theirs.shape == (2, 1)
        np.testing.assert_array_equal(theirs.numpy(), ours.numpy())


def test_functional_takes_dim() -> None:
    np.testing.assert_allclose(F.softmax(x, dim=1).sum(1).numpy(), [1, 1], rtol=1e-6)
