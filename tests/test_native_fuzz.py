"""Bad arguments of every function of the native extension: refused in words, never a crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend.native import extension as native

from . import native_fuzz
from .native_calls import Arguments, Array, Call, Maker, arrays_in, load

ROOT = Path(__file__).resolve().parents[1]
binding = pytest.mark.binding


def functions(module: ModuleType) -> set[str]:
    """Return the names of the extension's functions."""
    return {
        name
        for name, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("__")
    }


def run(program: list[str], last: Path) -> str:
    """Run a fuzzer; a crash and what it prints are a failure."""
    command = [sys.executable, "-X", "faulthandler", *program, str(last)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    begun = last.read_text(encoding="utf-8").strip() if last.exists() else "no call"
    assert done.returncode >= 0, f"crashed by signal {-done.returncode} in {begun}\n{done.stderr}"
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-4000:]}\nThe last call: {begun}"
    return done.stdout


def test_every_function_has_a_maker(native_module: ModuleType) -> None:
    found, known = functions(native_module), set(load())
    assert found == known, (
        f"in tests/native_calls, add {sorted(found - known)} and remove {sorted(known - found)}"
    )


def test_arrays_that_are_written_are_named(native_module: ModuleType) -> None:
    """`writes` says truly what a function changes: neither too little nor too much."""
    for name, call in load().items():
        changed = set()
        for _, arguments in native_fuzz.good_calls(call, np.float32):
            before = {key: contents(value) for key, value in arguments.items()}
            if not any(before.values()):
                continue
            getattr(native_module, name)(**arguments)
            in_place = [arguments[key] for key in call.writes if key in arguments]
            changed |= {
                key
                for key in before
                if contents(arguments[key]) != before[key]
                and (key in call.writes or not any(arguments[key] is one for one in in_place))
            }
        assert changed == set(call.writes), name


def contents(value: Any) -> list[bytes]:
    return [array.tobytes() for array in arrays_in(value)]


@binding
def test_bad_arguments(native_module: ModuleType, tmp_path: Path) -> None:
    said = run(["-m", "tests.native_fuzz"], tmp_path / "last")
    assert said.endswith(" 0 wrong\n")


def test_a_crash_is_told(tmp_path: Path) -> None:
    program = (
        "import ctypes, pathlib, sys; pathlib.Path(sys.argv[1]).write_text('f(x: None)'); "
        "ctypes.string_at(0)"
    )
    with pytest.raises(AssertionError, match=r"crashed by signal 11 in f\(x: None\)"):
        run(["-c", program], tmp_path / "last")


kept: list[Any] = []


def writes_before_it_looks(x: Any, out: Any) -> None:
    out[0] = 1
    if not isinstance(x, np.ndarray) or x.shape != (3,) or x.dtype != np.float32:
        raise ValueError


def takes_all(x: Any, out: Any) -> None:
    if not isinstance(out, np.ndarray):
        return
    if out.nbytes > 100 or not out.flags.writeable or out.dtype != np.float32:
        raise ValueError
    out.fill(0)


def checked(then: Callable[[Array, Array], None]) -> Callable[..., None]:
    """A function that checks its arguments well, and does something wrong after."""

    def call(x: Any, out: Any) -> None:
        for array in (x, out):
            if type(array) is not np.ndarray or array.shape != (3,) or array.dtype != np.float32:
                raise TypeError
        if not out.flags.writeable or np.shares_memory(x, out):
            raise ValueError
        then(x, out)

    return call


def write_past_the_end(x: Array, out: Array) -> None:
    np.lib.stride_tricks.as_strided(out, (4,))[3] = 0


def raise_another(x: Array, out: Array) -> None:
    raise RuntimeError("something else")


def write_to_the_input(x: Array, out: Array) -> None:
    if x.flags.writeable:
        x[0] = 7


WRONG = {
    "raised, but changed an array": writes_before_it_looks,
    "took out as an output": takes_all,
    "took an output that overlaps another argument": takes_all,
    "changed memory that isn't its output": checked(write_past_the_end),
    "raised RuntimeError: something else": checked(raise_another),
    "as it should be): changed memory": checked(write_to_the_input),
    "keeps or loses a reference": checked(lambda x, out: kept.append(out)),
    "": checked(lambda x, out: out.fill(0)),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sentence: str) -> None:
    def make(maker: Maker) -> Iterator[Arguments]:
        yield {"x": maker.normals(3, dtype=np.float32), "out": maker.empty(3, dtype=np.float32)}

    monkeypatch.setattr(native, "module", SimpleNamespace(function=WRONG[sentence]))
    fuzzer = native_fuzz.Fuzzer(str(tmp_path / "last"))
    native_fuzz.fuzz(fuzzer, "function", Call(make, ("out",)), pairs=20)
    if sentence:
        assert any(sentence in text for text in fuzzer.wrong)
    else:
        assert not fuzzer.wrong and fuzzer.returned and fuzzer.refused
