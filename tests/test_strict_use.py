"""`debug.strict` in use: what it says and where, on and off, quiet on every example of the repo."""

from __future__ import annotations

import contextlib
import gc
import re
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.autograd import detect_anomaly
from tensorflowlite.cli import main
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import registry as primitives
from tensorflowlite.core.primitive import watch
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.debug import StrictError, StrictWarning, strict
from tensorflowlite.debug.rules import registry
from tensorflowlite.errors import ArgumentError, OutOfRangeError, StateError
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Trainer

from . import backends
from .command import write_csv
from .test_readme import blocks, readme
from .test_strict import batch, data, go_through, network, seeded, train  # noqa: F401

HERE = Path(__file__).name
CHECKOUT = Path(__file__).resolve().parents[1]


# -- what it says and where ------------------------------------------------------------------------
def test_a_finding_says_where() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Dropout(0.5), nn.LogSoftmax(1)))
    model.eval()
    x, y = batch()
    line = sys._getframe().f_lineno + 3
    with pytest.warns(StrictWarning) as told, strict() as report:
        for _ in range(3):  # told of once per place
            output, other = model(x), x
            F.cross_entropy(output, y).backward()
            optim.SGD(model.parameters(), lr=0.1).step()
        F.cross_entropy(other.softmax(1).requires_grad_(), y).backward()  # a constant: not seen
    assert [(one.rule, one.line, one.module) for one in report.findings] == [
        ("TFL101", line + 1, ""), ("TFL301", line, "1.0"),
    ]  # fmt: skip
    assert report.findings[0].sentence.startswith("cross_entropy applies softmax itself, got the")
    assert "got the output of log_softmax" in report.findings[0].sentence
    assert [(Path(one.filename).name, one.lineno) for one in told] == [
        (HERE, line + 1), (HERE, line),
    ]  # fmt: skip
    assert str(report.findings[1]).endswith(f"{HERE}:{line}, in test_a_finding_says_where")


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda z, y: F.cross_entropy(z.softmax(1).reshape(6, 4).float(), y), "of softmax"),
        (lambda z, y: F.cross_entropy(z.softmax(1), F.one_hot(y, 4).float()), "log_softmax appl"),
        (lambda z, y: F.cross_entropy(z.sigmoid(), y), "of sigmoid"),
        (lambda z, y: F.binary_cross_entropy_with_logits(z.sigmoid(), z > 0), "applies sigmoid"),
        (
            lambda z, y: F.binary_cross_entropy_with_logits(
                z.sigmoid(), z > 0, pos_weight=tfl.ones(4) * 2
            ),
            "applies sigmoid",
        ),
        (lambda z, y: F.cross_entropy(z.softmax(1) * 2, y), ""),
        (lambda z, y: F.nll_loss(z.softmax(1).log(), y), ""),
        (lambda z, y: F.softplus(-z).sum() + F.softplus(z.sigmoid()).sum(), ""),
        (lambda z, y: F.binary_cross_entropy(z.sigmoid(), (z > 0).float()), ""),
    ],
)
def test_what_softmax_goes_through(loss: Callable[..., Any], says: str) -> None:
    x, y = batch()
    with warnings.catch_warnings(), strict() as report:
        warnings.simplefilter("ignore")
        loss(x.requires_grad_(), y).backward()
    assert (says in str(report)) if says else not report.findings


def test_as_errors_before_anything_is_changed() -> None:
    model = network(nn.Softmax(1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x, y = batch()
    with strict(error=True) as report:
        loss = F.cross_entropy(model(x), y)
        with pytest.raises(StrictError, match="TFL101 softmax-twice: cross_entropy applies"):
            loss.backward()
        assert all(p.grad is None for p in model.parameters())
        before = model[0].weight.tolist()
        with pytest.raises(StrictError, match="TFL201"):
            optimizer.step()
        loss.backward()  # told of already; the graph is as it was
        optimizer.step()
        assert model[0].weight.tolist() != before
        before = model[0].weight.tolist()
        with pytest.raises(StrictError, match="TFL202"):
            optimizer.step()
        assert model[0].weight.tolist() == before
    assert [one.rule for one in report.findings] == ["TFL101", "TFL201", "TFL202"]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda z, y: F.nll_loss(z.log_softmax(1), y), "nll_loss takes labels from 0 to 3, got"),
        (lambda z, y: F.nll_loss(z.log_softmax(1), y, ignore_index=4), ""),
        (lambda z, y: F.cross_entropy(z, y, ignore_index=4, label_smoothing=0.1), ""),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y), "in [0, 1], got some from 0"),
        (lambda z, y: F.binary_cross_entropy(z[:, 0].sigmoid(), y.float() - 1), "from -1.0 to 3.0"),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float() / 4), ""),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:0], z[:0]), ""),
    ],
)
def test_labels_of_every_loss(loss: Callable[..., Any], says: str) -> None:
    z, y = tfl.randn(5, 4), tfl.arange(5)
    with warnings.catch_warnings(), contextlib.suppress(OutOfRangeError), strict() as report:
        warnings.simplefilter("ignore")
        loss(z, y)
    assert [one.rule for one in report.findings] == (["TFL102"] if says else [])
    assert says in str(report)


@pytest.mark.parametrize("name", backends.NAMES)
def test_labels_that_a_device_can_not_raise_for(name: str) -> None:
    """There the loss is NaN, eager or in a replay; strict reads the labels."""
    device = {"numpy": "cpu", "shadow": "shadow:0", "cupy": "cuda:0"}[name]
    weight = tfl.asarray(np.eye(4, 3, dtype=np.float32), device=device).requires_grad_()
    run = tfl.jit(lambda x, y: F.cross_entropy(x @ weight, y).detach())
    x = tfl.asarray(np.eye(6, 4, dtype=np.float32), device=device)
    good, bad = (tfl.asarray(np.arange(6) % n, device=device) for n in (3, 4))
    for _ in range(4):
        assert run(x, good).item() > 0
    replayed = run.cache_info().replayed
    assert replayed == 1
    with pytest.warns(StrictWarning, match="labels from 0 to 2, got some from 0 to 3"), strict():
        assert run(x, good).item() > 0
        if name == "numpy":
            with pytest.raises(OutOfRangeError):
                run(x, bad)
        else:
            assert np.isnan(run(x, bad).item())
    assert run.cache_info().replayed == replayed  # meanwhile it ran as it is
    run(x, good)
    assert run.cache_info().replayed == replayed + 1


def test_closures_and_steps_of_ones_own() -> None:
    class Halving(optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

        def step(self, closure: Any = None) -> None:
            for p in self.param_groups[0]["params"]:
                p.set_(p.detach() / 2)

    told = pytest.warns(StrictWarning, match=r"Later.step\(\) was called, got no")
    with told, strict() as report:

        class Later(Halving):
            def step(self, closure: Any = None) -> None:
                super().step()

        Later(network().parameters()).step()
        model = network()
        x, y = batch()
        optimizer = optim.LBFGS(model.parameters(), max_iter=2)

        def closure() -> tfl.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
        optimizer.step(closure)
    assert len(report) == 1


def test_optimizers_that_were_made_before() -> None:
    """One that has its turn later holds its parameters all the same."""
    model = network()
    first = optim.SGD(model[0].parameters(), lr=0.1)
    second = optim.Adam(model[2].parameters())
    x, y = batch()
    with strict(error=True):
        for optimizer in (first, first, second):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    del second, optimizer
    gc.collect()
    with warnings.catch_warnings(), strict() as report:
        warnings.simplefilter("ignore", StrictWarning)
        F.cross_entropy(model(x), y).backward()
        first.step()
    assert {(one.rule, one.module) for one in report.findings} == {
        ("TFL203", "2.weight"), ("TFL203", "2.bias"),
    }  # fmt: skip


def test_not_finite_gradients() -> None:
    x = tfl.zeros(2, requires_grad=True)
    told = pytest.warns(StrictWarning, match=r"TFL401 exploding.*is inf, got one that isn't finite")
    with told, strict():
        x.sqrt().sum().backward()
        optim.SGD([x], lr=0.1).step()


def test_a_layer_inside_others_is_named() -> None:
    block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.warns(StrictWarning, match="TFL302"), strict() as report:
        nn.Sequential(nn.Identity(), block)(tfl.randn(1, 1, 6, 6))
    assert [one.module for one in report.findings] == ["1.1"]


def test_two_epochs_in_one_order() -> None:
    loader = DataLoader(data(), batch_size=2)
    told = pytest.warns(StrictWarning, match="got the same batches in two epochs")
    with told, strict() as report:
        go_through(loader, epochs=3)
    assert [one.rule for one in report.findings] == ["TFL501"]


# -- on and off ------------------------------------------------------------------------------------
def places() -> list[Any]:
    """What is exchanged while it is on."""
    kinds = [optim.Optimizer, *optim.Optimizer.__subclasses__()]
    implementations = [
        op.implementations[type(batch()[0].array)]
        for op in (primitives["softmax_cross_entropy"], primitives["relu"], primitives["add"])
    ]
    return [
        tape._run, vars(nn.Module)["__call__"], vars(DataLoader)["__iter__"],
        vars(optim.Optimizer)["__init__"], *[vars(kind).get("step") for kind in kinds],
        *implementations, watch.wrap,
    ]  # fmt: skip


def test_off_it_leaves_nothing() -> None:
    before = places()
    with strict():
        inside = places()
    assert all(one is other for one, other in zip(places(), before, strict=True))
    changed = [one is not other for one, other in zip(inside, before, strict=True)]
    assert all(changed[:4]) and all(changed[-4:])
    with pytest.raises(ZeroDivisionError), strict():
        raise ZeroDivisionError
    assert all(one is other for one, other in zip(places(), before, strict=True))


def test_what_nobody_uses_is_not_imported() -> None:
    program = (
        "import sys, tensorflowlite as tfl; "
        "assert not [m for m in sys.modules if m.startswith('tensorflowlite.debug')]; "
        "tfl.debug.log; assert 'strict' in dir(tfl.debug); "
        "assert 'tensorflowlite.debug.linting' not in sys.modules; tfl.debug.strict()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)
    with pytest.raises(AttributeError, match="no attribute 'strictly'"):
        tfl.debug.strictly  # noqa: B018


@pytest.mark.parametrize("first", ["strict", "detect_anomaly"])
def test_together_with_detect_anomaly(first: str) -> None:
    others = [strict(), detect_anomaly()] if first == "strict" else [detect_anomaly(), strict()]
    with pytest.warns(StrictWarning, match="TFL101"), others[0], others[1]:
        train(network(nn.Softmax(1)))
    assert watch.wrap is None


def test_arguments() -> None:
    for words in ("TFL999", ("softmax-twice", "soft")):
        with pytest.raises(ArgumentError, match=r"silence must name rules, got .*TFL101 softm"):
            strict(silence=words)
    for options in ({"steps": 0}, {"steps": 1.5}, {"exploding": 1.0}, {"vanishing": 0.0}):
        with pytest.raises(ArgumentError, match=f"strict: {next(iter(options))} must"):
            strict(**options)  # type: ignore[arg-type]
    with strict(), pytest.raises(StateError, match="strict: it must be off"), strict():
        pass


def test_it_keeps_nothing_alive() -> None:
    """Neither inputs that required a gradient, nor models, nor optimizers."""
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with strict() as report:
        gradients = []
        for _ in range(12):
            x, y = batch()
            x.requires_grad_()
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            assert x.grad is not None
            gradients.append(weakref.ref(x.grad))
            del x
        assert sum(one() is not None for one in gradients) <= 6
        for _ in range(200):  # without a backward pass
            F.relu(model(batch()[0])) * np.ones(3)
    there = [weakref.ref(one) for one in (model, optimizer, *model.parameters())]
    del model, optimizer
    gc.collect()
    assert not [one for one in there if one() is not None] and not report.findings


# -- quiet on the examples -------------------------------------------------------------------------
@pytest.fixture
def quiet() -> Iterator[None]:
    with strict(error=True, steps=2):
        yield


def test_quiet_on_the_readme(quiet: None) -> None:
    programs = [text for language, text in readme() if language == "python"]
    rng = np.random.default_rng(0)
    images = rng.normal(size=(16, 784)).astype(np.float32)
    names: dict[str, Any] = {"dataset": TensorDataset(images, rng.integers(0, 10, 16))}
    exec(programs[0], names)
    x, y = (tfl.tensor(part, device=names["device"]) for part in names["dataset"].take(range(16)))
    for _ in range(3):
        names["step"](x, y)
    for program in programs[1:]:
        exec(program, names)


def test_quiet_on_the_models(quiet: None) -> None:
    from examples.models import bert, gpt2, llama, vit

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
             "num_attention_heads": 2}  # fmt: skip
    ids, classes = tfl.randint(0, 31, (3, 7)), tfl.asarray(np.array([2, 0, 4]))
    labels = tfl.where(tfl.rand(3, 7) < 0.3, -100, ids)
    gpt = gpt2.GPT2Config(vocab_size=31, n_positions=8, n_embd=16, n_layer=2, n_head=2)
    kin = bert.BertConfig(**sizes, vocab_size=31, max_position_embeddings=8, num_labels=5)
    images = vit.ViTConfig(**sizes, image_size=4, patch_size=2, num_labels=5)
    grouped = llama.LlamaConfig(**sizes, vocab_size=31, num_key_value_heads=2)
    for model, x, y in (
        (gpt2.GPT2(gpt), ids, labels),
        (llama.Llama(grouped), ids, labels),
        (bert.BertForMaskedLM(kin), ids, labels),
        (bert.BertForSequenceClassification(kin), ids, classes),
        (vit.ViT(images), tfl.randn(3, 3, 4, 4), classes),
    ):
        optimizer = optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            model.loss(x, y).backward()
            optimizer.step()


@pytest.mark.parametrize(
    "command", ["digits", "csv --data table.csv --target y"]
)
def test_quiet_on_the_command(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "table.csv")
    arguments = ["train", *command.split(), "--epochs", "1", "--quiet", "--strict"]
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert output.out.endswith("\nstrict: nothing was found\n") and output.err == ""


def test_a_trainer_tells(capsys: pytest.CaptureFixture[str]) -> None:
    model = network(nn.Softmax(1))
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy, progress=False)
    with pytest.warns(StrictWarning) as told, strict() as report:
        trainer.fit(DataLoader(data(in_order=True), batch_size=2), epochs=2)
    assert [one.rule for one in report.findings] == ["TFL101", "TFL501"]
    assert {Path(one.filename).name for one in told} == {HERE}


# -- the documents ---------------------------------------------------------------------------------
def table() -> str:
    rows = [
        f"| {key} | `{rule.name}` | {str(rule.__doc__).splitlines()[0]} | {rule.mend} |"
        for key, rule in sorted(registry.items())
    ]
    return "\n".join(["| id | name | looks for | how to mend it |", "|---|---|---|---|", *rows])


@pytest.mark.parametrize(("name", "says"), [("strict", "TFL101"), ("autopsy", "")])
def test_the_documents_programs_run(name: str, says: str) -> None:
    found = blocks(CHECKOUT / "docs" / f"{name}.md")
    programs = [text for language, text in found if language == "python"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for program in programs:
            exec(program, {})
    assert [str(one.message)[:6] for one in told] == ([says] if says else [])


def test_the_document_has_the_rules() -> None:
    text = (CHECKOUT / "docs" / "strict.md").read_text(encoding="utf-8")
    assert table() in text, f"docs/strict.md must have:\n{table()}"
    assert re.findall(r"^\| (TFL\d+) ", text, re.MULTILINE) == sorted(registry)
