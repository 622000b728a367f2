"""Bad input: one clear sentence for each, and nothing lost that was already written."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import data, errors, nn, optim
from tensorflowlite.cli import main, training
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import other_names

from .backends import TestBackend, all_backends
from .command import bars, refused, write_csv, write_idx


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- tensors, networks and gradients ---------------------------------------------------------------
class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(512, 4)

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.fc1(x)


class Encoded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Identity(), Block())

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.encoder(x)


def changed_in_place() -> None:
    x = tfl.ones((2, 3), requires_grad=True)
    y = x.exp()
    loss = (y * y).sum()
    y += 1
    loss.backward()


def backward_twice() -> None:
    x = tfl.ones(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    loss.backward()


def leaf() -> tfl.Tensor:
    return tfl.ones((2, 3), requires_grad=True)


SENTENCES: list[tuple[str, Callable[[], Any], type[Exception], tuple[str, ...]]] = [
    ("matmul of other sizes", lambda: tfl.ones((2, 3)) @ tfl.ones((4, 5)), errors.ShapeError,
     ("matmul: ", "(2, 3)", "(4, 5)")),
    ("shapes that do not broadcast", lambda: tfl.ones((2, 3)) + tfl.ones((2, 4)),
     errors.ShapeError, ("add: ", "(2, 3)", "(2, 4)")),
    ("floats with bits", lambda: tfl.ones(2) & tfl.ones(2), errors.DtypeError,
     ("bitwise_and: the dtypes must be bool or integers, got float32 (2,)",)),
    ("text as an array", lambda: tfl.tensor(np.array(["a"])), errors.DtypeError,
     ("tensor: the dtype must be one of bool, ", "got <U1", "numbers")),
    ("an array of objects", lambda: tfl.asarray(np.array([None])), errors.DtypeError,
     ("asarray: the dtype must be one of bool, ", "got object")),
    ("dates", lambda: tfl.from_numpy(np.zeros(1, "M8[D]")), errors.DtypeError,
     ("from_numpy: the dtype must be one of bool, ", "got datetime64[D]")),
    ("swapped bytes that would have to be shared",
     lambda: tfl.from_numpy(np.ones(2, np.dtype("f4").newbyteorder())), errors.DtypeError,
     ("from_numpy: ", "bytes are swapped", "astype")),
    ("both names of vmap's axes", lambda: tfl.vmap(tfl.sin, 1, in_dims=0),
     errors.UnsupportedArgumentError, ("vmap: one of in_axes and in_dims is needed, got 1 and 0",)),
    ("a layer inside modules", lambda: Encoded()(tfl.ones((32, 256))), errors.ShapeError,
     ("linear: ", "in_features=512", "(32, 256)", "module 'encoder.1.fc1'")),
    ("a convolution with other channels",
     lambda: nn.Sequential(nn.Conv2d(3, 4, 3))(tfl.ones((1, 2, 8, 8))), errors.ShapeError,
     ("conv2d: ", "(1, 2, 8, 8)", "module '0'")),
    ("mse_loss that would broadcast", lambda: F.mse_loss(tfl.ones((32, 1)), tfl.ones(32)),
     errors.ShapeError, ("mse_loss: ", "(32, 1)", "(32,)")),
    ("l1_loss that would broadcast", lambda: F.l1_loss(tfl.ones((32, 1)), tfl.ones(32)),
     errors.ShapeError, ("l1_loss: ", "(32, 1)", "(32,)")),
    ("binary cross entropy that would broadcast",
     lambda: F.binary_cross_entropy_with_logits(tfl.ones((32, 1)), tfl.ones(32)),
     errors.ShapeError, ("binary_cross_entropy_with_logits: ", "(32, 1)", "(32,)")),
    ("cross entropy of another number",
     lambda: F.cross_entropy(tfl.ones((4, 3)), tfl.tensor([0, 1])), errors.ShapeError,
     ("cross_entropy: ", "(4, 3)", "(2,)")),
    ("a class out of range",
     lambda: F.cross_entropy(tfl.zeros((2, 10)), tfl.tensor([1, 12])), errors.OutOfRangeError,
     ("cross_entropy: class indices must lie in [0, 10), got 12",)),
    ("a negative class", lambda: F.nll_loss(tfl.zeros((2, 10)), tfl.tensor([1, -3])),
     errors.OutOfRangeError, ("nll_loss: class indices must lie in [0, 10), got -3",)),
    ("gradients of integers", lambda: tfl.tensor([1, 2], requires_grad=True), errors.DtypeError,
     ("requires_grad_: the dtype must be a float or complex one, got int64",)),
    ("a saved value changed in place", changed_in_place, errors.StaleValueError,
     ("float32 (2, 3)", "was changed in place", "clone()")),
    ("backward twice", backward_twice, errors.GradientError, ("backward", "retain_graph=True")),
    ("backward from several elements", lambda: (leaf() * 2).backward(), errors.GradientError,
     ("backward: ", "(2, 3)", "gradient")),
    ("backward from what has no history", lambda: tfl.ones(()).backward(), errors.GradientError,
     ("backward: ", "require")),
    ("in place on a leaf", lambda: leaf().__iadd__(1), errors.GradientError,
     ("leaf", "no_grad")),
    ("a gradient that NumPy would lose", lambda: np.asarray(leaf()), errors.GradientError,
     ("__array", "detach()")),
    ("max with dim", lambda: tfl.ones((2, 3)).max(dim=1), errors.UnsupportedArgumentError,
     ("max: ", "dim")),
    ("sort with dim", lambda: tfl.ones((2, 3)).sort(dim=1), errors.UnsupportedArgumentError,
     ("sort: ", "dim")),
    ("var with dim", lambda: tfl.ones((2, 3)).var(dim=1), errors.UnsupportedArgumentError,
     ("var: ", "correction")),
    ("split with dim", lambda: tfl.split(tfl.ones((4, 3)), 2, dim=0),
     errors.UnsupportedArgumentError, ("split: ", "dim")),
    ("repeat with two numbers", lambda: tfl.ones((2, 3)).repeat(2, 2),
     errors.UnsupportedArgumentError, ("repeat: ", "tile")),
    ("transpose with two numbers", lambda: tfl.ones((2, 3)).transpose(0, 1),
     errors.UnsupportedArgumentError, ("transpose: ", "swapaxes(0, 1)")),
    ("a negative learning rate", lambda: optim.SGD([leaf()], lr=-1.0), errors.ArgumentError,
     ("SGD: lr must not be negative, got -1.0",)),
    ("a state dict of another network",
     lambda: nn.Linear(2, 3).load_state_dict({"weight": tfl.ones((3, 3)), "extra": tfl.ones(1)}),
     errors.StateError, ("missing 'bias'", "unexpected 'extra'", "'weight' (3, 3) for (3, 2)")),
    ("dropout of all", lambda: F.dropout(tfl.ones(3), p=1.5), errors.ArgumentError,
     ("dropout: ", "1.5")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "parts"), [row[1:] for row in SENTENCES], ids=[row[0] for row in SENTENCES]
)
def test_sentences(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, errors.TensorflowliteError)
    assert "\n" not in message and all(part in message for part in parts), message


@pytest.mark.parametrize("other", [one for one in all_backends() if not one.on_host], ids=repr)
def test_mixed_devices(other: TestBackend) -> None:
    x = other.tensor(np.ones(3, np.float32))
    with pytest.raises(errors.DeviceError) as caught:
        x + tfl.ones(3)
    message = str(caught.value)
    assert message.startswith("add: ") and "cpu" in message and str(x.device) in message


# -- files -----------------------------------------------------------------------------------------
def spoil(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def npz(tmp_path: Path) -> bytes:
    np.savez(tmp_path / "whole.npz", x=np.ones(100))
    return (tmp_path / "whole.npz").read_bytes()


def pickled(tmp_path: Path) -> bytes:
    np.savez(tmp_path / "objects.npz", x=np.array([{"call": "os.system"}], object))
    return (tmp_path / "objects.npz").read_bytes()


def safetensors(tmp_path: Path) -> bytes:
    tfl.save_safetensors(tmp_path / "whole.safetensors", {"x": tfl.ones(9)})
    return (tmp_path / "whole.safetensors").read_bytes()


IDX = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1])


@pytest.mark.parametrize(
    ("read", "content", "part"),
    [
        (data.read_idx, lambda tmp: IDX[:-1], "is truncated"),
        (data.read_idx, lambda tmp: IDX[:6], "is truncated"),
        (data.read_idx, lambda tmp: gzip.compress(IDX)[:-9], "is truncated"),
        (data.read_idx, lambda tmp: b"a,b\n1,2\n", "is no IDX file"),
        (data.read_idx, lambda tmp: b"", "is empty or truncated"),
        (data.read_npz, lambda tmp: npz(tmp)[:-40], "is truncated"),
        (data.read_npz, lambda tmp: IDX, "is no NPZ file"),
        (data.read_npz, pickled, "which only unpickling could read"),
        (tfl.load_safetensors, lambda tmp: safetensors(tmp)[:-1], "is truncated or no"),
        (tfl.load_safetensors, lambda tmp: IDX, "is truncated or no safetensors file"),
        (tfl.load, lambda tmp: npz(tmp), "is truncated or no safetensors file"),
        (tfl.load, safetensors, "with tfl.load_safetensors"),
        (lambda path: data.read_csv(path, "y"), lambda tmp: npz(tmp), "is no CSV file"),
        (lambda path: data.read_csv(path, "y"), lambda tmp: b"a,y\n1,2\n3\n", "in row 3"),
        (lambda path: data.read_csv(path, "y"), lambda tmp: b'a,y\n1,2\n"3,4\n', "CSV form"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    tmp_path: Path, read: Callable[[Path], Any], content: Callable[[Path], bytes], part: str
) -> None:
    path = spoil(tmp_path / "file", content(tmp_path))
    with pytest.raises(errors.DataError) as caught:
        read(path)
    message = str(caught.value)
    assert part in message and str(path) in message and "\n" not in message


# -- the command -----------------------------------------------------------------------------------
@pytest.fixture
def idx(tmp_path: Path) -> list[str]:
    """The beginning of a command that trains on a small folder of IDX files."""
    write_idx(tmp_path / "bars", "t10k", *bars())
    return ["train", "idx", "--data", "bars", "--model", "mlp", "--epochs", "1"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", "0"], "train: --epochs must be at least 1, got 0"),
        (["--batch-size", "0"], "train: --batch-size must be at least 1, got 0"),
        (["--lr", "-1"], "train: --lr must be positive, got -1.0"),
        (["--lr", "nan"], "train: --lr must be positive, got nan"),
        (["--lr", "inf"], "train: --lr must be positive, got inf"),
        (["--weight-decay", "-1"], "train: --weight-decay must be at least 0, got -1.0"),
        (["--l1", "-0.1"], "train: --l1 must be at least 0, got -0.1"),
        (["--dropout", "1.5"], "train: --dropout must be in [0, 1), got 1.5"),
        (["--seed", "-1"], "train: --seed must be in [0, 2**63), got -1"),
        (["--patience", "0"], "train: --patience must be at least 1, got 0"),
        (["--tolerance", "2"], "train: --tolerance must be in [0, 1), got 2.0"),
        (["--workers", "-1"], "train: --workers must be at least 0, got -1"),
        (["--resume", "--overwrite"],
         "train: --resume and --overwrite exclude each other, got both"),
        (["--resume", "--out", "bars"],
         "train: --resume must find a run in 'bars', got a folder with t10k-images-idx3-ubyte, "
         "t10k-labels-idx1-ubyte and no config.json; name that of a run, or a new one"),
        (["--out", "bars"],
         "train: --out must name a new or an empty folder, got 'bars' with "
         "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; add --resume to go on with its run, or "
         "--overwrite"),
        (["--out", "bars/t10k-images-idx3-ubyte"],
         "train: --out must name a folder, got the file 'bars/t10k-images-idx3-ubyte'; name "
         "another one"),
        (["--out", "bars/t10k-images-idx3-ubyte/run"],
         "train: the folder of the run must be one that can be made, got 'Not a directory' for "
         "'bars/t10k-images-idx3-ubyte/run'; name another with --out"),
        (["--data", "nowhere"],
         "read_idx_folder: the path must name a folder, got 'nowhere'; No such file or directory"),
    ],
)  # fmt: skip
def test_bad_options(
    idx: list[str], capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    before = sorted(os.listdir("bars"))
    message = refused(capsys, [*idx, *options])
    expected = sentence.replace("'nowhere'", f"'{Path('nowhere').resolve()}'")
    assert message == expected
    assert sorted(os.listdir("bars")) == before and not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "idx", "--data", "bars", "--epochs", "two"],
         ("--epochs", "invalid int value: 'two'", "--help")),
        (["train", "idx"], ("the following arguments are required: --data",)),
        (["train", "digits", "--model", "rnn"], ("--model", "invalid choice: 'rnn'")),
        (["train", "digits", "--device", "tpu"], ("--device", "invalid choice: 'tpu'")),
        (["train", "pictures"], ("invalid choice: 'pictures'",)),
        (["train", "digits", "--speed", "9"], ("unrecognized arguments: --speed 9",)),
        ([], ("the following arguments are required: COMMAND",)),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], arguments: list[str], parts: tuple[str, ...]
) -> None:
    message = refused(capsys, arguments, status=2)
    assert message.startswith("tensorflowlite") and all(part in message for part in parts)


def test_no_usable_gpu(
    idx: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = 'CuPy isn\'t installed; run: pip install "cupy-cuda13x[ctk]"'
    monkeypatch.setattr(training, "why_not", lambda: reason)
    assert refused(capsys, [*idx, "--device", "cuda"]) == (
        f"train: --device cuda must have a usable GPU, got none: {reason}"
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("module", "package", "task"),
    [
        ("matplotlib", "matplotlib", "idx"),
        ("tqdm", "tqdm", "idx"),
        ("sklearn", "scikit-learn", "digits"),
    ],
)
def test_packages_that_are_missing(
    idx: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    package: str,
    task: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = refused(capsys, idx if task == "idx" else ["train", "digits"])
    assert message.startswith(f"train: {package} must be installed, which ")
    assert message.endswith(f"got no module '{module}'; pip install \"tensorflowlite[train]\"")
    assert not Path("runs").exists()


def test_truncated_and_misnamed_idx_files(
    idx: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images = tmp_path / "bars" / "t10k-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-5])
    assert "the file must hold 7680 bytes of data" in refused(capsys, idx)
    images.write_bytes(gzip.compress(whole)[:-100])
    assert "the file must be whole gzip data, got an early end" in refused(capsys, idx)
    images.write_bytes((tmp_path / "bars" / "t10k-labels-idx1-ubyte").read_bytes())
    assert "must hold an array of 3 dimensions, got 1" in refused(capsys, idx)
    images.rename(tmp_path / "bars" / "images")
    assert "every file of labels must have its images beside it" in refused(capsys, idx)


def test_sets_of_images_that_cannot_be_learnt(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images, labels = bars()
    write_idx(tmp_path / "one", "t10k", images, np.zeros(120))
    message = refused(capsys, ["train", "idx", "--data", "one"])
    assert message.startswith("train idx: the labels must be class indices from 0 with at least")
    write_idx(tmp_path / "few", "t10k", images[:2], labels[:2])
    message = refused(capsys, ["train", "idx", "--data", "few"])
    assert message == (
        "train idx: the data must have enough samples for a training, a validation and a test "
        "part, got 2 to split; 20 is the least"
    )
    write_idx(tmp_path / "two", "train", images, labels)
    write_idx(tmp_path / "two", "t10k", images[:, :5], labels)
    message = refused(capsys, ["train", "idx", "--data", "two"])
    assert "must have one size, got (8, 8) and (5, 8)" in message
    write_idx(tmp_path / "tiny", "t10k", images[:, :3], labels)
    message = refused(capsys, ["train", "idx", "--data", "tiny", "--model", "cnn"])
    assert message == (
        "train: --model cnn must have images of at least 4 x 4 pixels, got samples of shape "
        "(1, 3, 8); use --model mlp"
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("change", "arguments", "parts"),
    [
        (("50.", "fifty."), ["--target", "y"], ("column 'a' must hold numbers", "in row ")),
        ((",b,", ",b,"), ["--target", "z"],
         ("the target must be one of the columns 'a', 'b', 'y', got 'z'",)),
        (("a,b,y", "1,2,3"), ["--target", "3"], ("the first line must name the columns",)),
        (("\n", "\n\n5,"), ["--target", "y"], ("every row must have the 3 fields",)),
        ((",b,", ",b,"), ["--target", "y", "--model", "cnn"],
         ("--model cnn must have images", "(2,)", "use --model mlp")),
        ((",b,", ",b,"), ["--target", "y", "--kind", "regression"],
         ("column 'y' must hold numbers", "row 2")),
    ],
    ids=["text", "column", "no header", "fields", "cnn", "kind"],
)  # fmt: skip
def test_tables_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    arguments: list[str],
    parts: tuple[str, ...],
) -> None:
    path = Path("table.csv")
    write_csv(path)
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1) if change[0] != "\n" else text.replace(*change))
    message = refused(capsys, ["train", "csv", "--data", "table.csv", *arguments])
    assert all(part in message for part in parts), message
    assert not Path("runs").exists()


def test_a_folder_that_is_not_empty_keeps_all_it_holds(
    idx: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*idx, "--out", "run"]) == 0
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    message = refused(capsys, [*idx, "--out", "run"])
    assert message == (
        "train: --out must name a new or an empty folder, got 'run' with checkpoint.safetensors, "
        "config.json, curves.png, ...; add --resume to go on with its run, or --overwrite"
    )
    # A mistake beside --overwrite or --resume takes nothing away either.
    for mistake in (
        ["--overwrite", "--epochs", "0"],
        ["--overwrite", "--data", "nowhere"],
        ["--resume", "--seed", "1"],
        ["--resume", "--lr", "0.5"],
    ):
        refused(capsys, [*idx, "--out", "run", *mistake])
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before


def test_what_a_resumed_run_must_have_as_it_was(
    idx: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*idx, "--out", "run"]) == 0
    resumed = [*idx, "--out", "run", "--resume"]
    assert refused(capsys, [*resumed, "--seed", "1"]) == (
        "train: --seed of a resumed run must be as it was, 0, got 1; leave it out, or begin a new "
        "run"
    )
    write_idx(Path("other"), "t10k", *bars())
    message = refused(capsys, [*resumed, "--data", "other"])
    assert message.startswith("train: --data of a resumed run must be as it was, ")
    assert refused(capsys, ["train", "digits", "--resume", "--out", "run"]) == (
        "train: --resume must name a run of the same task, got a run of idx in 'run'; type: "
        "tensorflowlite train idx --resume"
    )
    config = Path("run/config.json")
    config.write_text(config.read_text()[:50])
    assert "must find the config.json of a run, got " in refused(capsys, resumed)
    Path("run/config.json").unlink()
    assert "it is missing or damaged" in refused(capsys, resumed)


def test_a_damaged_checkpoint(idx: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*idx, "--out", "run"]) == 0
    for checkpoint in Path("run").glob("checkpoint*.safetensors"):
        checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
    model = Path("run/model.safetensors").read_bytes()
    metrics = Path("run/metrics.jsonl").read_bytes()
    message = refused(capsys, [*idx, "--out", "run", "--resume"])
    assert message.startswith("resume: the file must be whole safetensors data, got ")
    assert Path("run/model.safetensors").read_bytes() == model
    assert Path("run/metrics.jsonl").read_bytes() == metrics


def test_a_loss_that_is_nan(idx: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*idx, "--out", "run", "--optimizer", "sgd", "--lr", "0.001"]) == 0
    before = Path("run/model.safetensors").read_bytes()
    command = [*idx, "--out", "bad", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "5"]
    message = refused(capsys, command)
    assert message.startswith("fit: the loss must be finite, got ")
    assert "module '" in message or "parameter '" in message
    assert "lower the learning rate or clip the gradients" in message
    assert Path("run/model.safetensors").read_bytes() == before


FULL = """
import errno, os, sys
from tensorflowlite.cli import main
replace, written = os.replace, []

def full(source, target):
    written.append(target)
    if len(written) > 7:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    replace(source, target)

os.replace = full
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk(idx: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, *idx, "--epochs", "9", "--out", "run", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(Path(tfl.__file__).parents[1])}
    finished = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert finished.returncode == 1 and finished.stdout == ""
    assert "No space left on device" in finished.stderr and finished.stderr.count("\n") == 1
    assert tfl.load(Path("run/checkpoint.safetensors"))["history"]
    assert tfl.load_safetensors(Path("run/model.safetensors"))
    assert not [name for name in os.listdir("run") if name.endswith(".tmp")]


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_traceback_can_be_asked_for(
    idx: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    arguments = [*idx, "--epochs", "0"]
    if how == "option":
        arguments.append("--debug")
    else:
        monkeypatch.setenv("TENSORFLOWLITE_DEBUG", "1")
    assert main(arguments) == 1
    output = capsys.readouterr().err
    assert output.startswith("Traceback") and output.endswith("must be at least 1, got 0\n")


def test_what_nobody_foresaw_is_one_sentence_too(
    idx: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(training, "read_task", broken)
    assert refused(capsys, idx) == (
        "tensorflowlite: got an unexpected ZeroDivisionError (division by zero); run again with "
        "--debug for where it came from"
    )


def test_other_libraries_names_of_functions_are_answered() -> None:
    with pytest.raises(AttributeError, match="no attribute 'concatenate'; use concat"):
        _ = tfl.concatenate
    with pytest.raises(AttributeError, match=r"no attribute 'conolve'$"):
        _ = tfl.conolve


def test_each_name_of_another_library_is_missing_and_its_answer_is_there() -> None:
    for name, answer in other_names.OTHER_NAMES.items():
        assert not hasattr(tfl, name), name
        if answer.replace(".", "").replace("_", "").isalnum():
            found: Any = tfl
            for part in answer.split("."):
                found = getattr(found, part)
