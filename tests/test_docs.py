"""The documents: every block runs or is checked, names and commands exist, nothing is left out."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.cuda import kernels
from tests import documents
from tests.compilers import need_host, need_nvrtc
from tests.documents import CHECKOUT, PAGES, Block, blocks

RUNNING = [page for page in PAGES if any(one.language == "python" for one in blocks(page))]
WITH_EXAMPLES = [  # those of public functions run in test_public
    path for path in (CHECKOUT / "tensorflowlite" / "backend").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
]  # fmt: skip
ON_A_GPU = [page for page in RUNNING if any(one.marker == "gpu" for one in blocks(page))]


def name(page: Path) -> str:
    return page.relative_to(CHECKOUT / "docs").as_posix()


def run(page: Path, *options: str) -> None:
    """Run a page in a process of its own."""
    command = [sys.executable, "-m", "tests.documents", str(page), *options]
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.fullmatch(r"[1-9]\d* blocks ran", done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("path", sorted(WITH_EXAMPLES), ids=lambda path: path.stem)
def test_examples_inside_the_backend_run(path: Path) -> None:
    place = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
    assert doctest.testmod(importlib.import_module(place)).failed == 0


@pytest.mark.parametrize("page", RUNNING, ids=name)
def test_the_blocks_of_a_page_run(page: Path) -> None:
    if page.name == "kernel.md":
        need_host()
    run(page)


@pytest.mark.parametrize("page", ON_A_GPU, ids=name)
def test_the_blocks_for_a_gpu_run(page: Path) -> None:
    if not tfl.cuda.is_available():
        pytest.skip(f"no GPU: {tfl.cuda.why_not()}")
    run(page, "--gpu")


@pytest.mark.parametrize("dtype", kernels.TYPE_NAMES)
def test_the_pages_kernel_compiles(dtype: str) -> None:
    need_nvrtc()
    (text,) = [one.text for page in PAGES for one in blocks(page) if one.language == "cpp"]
    source, defines = kernels.Generated("page", text), {"TFL_TYPE": kernels.TYPE_NAMES[dtype]}
    assert len(kernels.compiled(source, defines, "sm_90")) > 1000


# -- that no block escapes -------------------------------------------------------------------------
def is_checked(block: Block) -> bool:
    """Whether a test knows what to do with a block."""
    if block.language in ("python", "setup"):
        return block.marker in ("", "gpu")
    if block.language == "text":
        return block.marker == "shown" or (block.follows and not block.marker)
    # Commands, which tests/test_readme.py parses; kernels, which are compiled and run below.
    return block.language in ("", "sh", "cpp") and not block.marker


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_block_escapes(page: Path) -> None:
    found = blocks(page)
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
    shown = [block for block in found if block.language != "setup"]
    assert len(fences) == 2 * len(shown)
    for place, block in enumerate(found):
        assert is_checked(block), f"{page.name}:{block.line}: no test knows this block"
        if block.language == "text" and not block.marker:
            before = found[place - 1]
            assert before.language == "python" and ">>>" not in before.text


def test_comments_are_markers() -> None:
    """A comment that the reader of blocks doesn't know might be meant for it."""
    known = re.compile(r"<!-- (setup\n|block: (gpu|shown); \w|/?benchmarks:|explain: )")
    for page in PAGES:
        for match in re.finditer(r"<!--.{0,60}", page.read_text(encoding="utf-8"), re.DOTALL):
            assert known.match(match[0]), f"{page.name}: {match[0]}"


# -- the reader itself -----------------------------------------------------------------------------
def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text.replace("~~~", "```"), encoding="utf-8")
    return page


def test_blocks_share_names_and_their_output_is_compared(tmp_path: Path) -> None:
    text = "<!-- setup\nx = 1\n-->\n\n~~~python\ny = x + 1\n~~~\n\n~~~python\nprint(y)\n~~~\n\n"
    good = page_of(tmp_path, text + "~~~text\n2\n~~~\n")
    assert documents.run(good) == 2
    bad = page_of(tmp_path, text + "~~~text\n3\n~~~\n")
    with pytest.raises(AssertionError, match=r"page.md:10: printed\n2"):
        documents.run(bad)


def test_doctests_are_compared(tmp_path: Path) -> None:
    assert documents.run(page_of(tmp_path, "~~~python\n>>> 1 + 1\n2\n~~~\n")) == 1
    with pytest.raises(AssertionError, match="Expected"):
        documents.run(page_of(tmp_path, "~~~python\n>>> 1 + 1\n3\n~~~\n"))


def test_an_error_names_the_line_of_the_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, "text\n\n~~~python\nx = 1\nraise ValueError(x)\n~~~\n")
    with pytest.raises(ValueError) as raised:
        documents.run(page)
    assert raised.traceback[-1].lineno == 4


def test_blocks_for_a_gpu_wait_for_one(tmp_path: Path) -> None:
    text = "<!-- block: gpu; CUDA events -->\n~~~python\nraise ValueError\n~~~\n"
    assert documents.run(page_of(tmp_path, text)) == 0
    with pytest.raises(ValueError):
        documents.run(page_of(tmp_path, text), gpu=True)


# -- names in backquotes ---------------------------------------------------------------------------
ROOTS = {"tfl": tfl, "nn": tfl.nn, "F": tfl.nn.functional, "optim": tfl.optim}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_the_library_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    if page.name.startswith("coming-from-"):  # a table's first cell has the others' names
        text = re.sub(r"^\| [^|]* \|", "|", text, flags=re.M)
    for code in re.findall(r"`([^`\n]+)`", text):
        for path in re.findall(r"(?<![\w.\"'])(?:tfl|nn|F|optim)(?:\.[A-Za-z_]\w*)+", code):
            value: object = ROOTS[path.partition(".")[0]]
            for part in path.split(".")[1:]:
                value = getattr(value, part, None)
            assert value is not None or path == "tfl.newaxis", f"{page.name}: {path}"
