"""The CPU suite's results: floors, tables, summaries, growth, plots, the README's block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    cpu_jit_results,
    cpu_results,
    cpu_rows_steps,
    cpu_scaling,
    floors,
    plots,
    table,
)
from benchmarks.contenders import OURS, PEERS, quartiles

CHECKOUT = Path(__file__).resolve().parents[1]
RATES = {"matmul": 1e11, "side": 2048, "copy": [[2**20, 4e10], [2**24, 2e10]]}


def told(milliseconds: float) -> dict[str, Any]:
    return {"median_ms": milliseconds, "low_ms": 0.9 * milliseconds, "high_ms": 1.2 * milliseconds}


def row(name: str, mine: float, theirs: float, suite: str = "ops", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "title": f"title of {name}", "suite": suite, "status": "measured",
        "headline": True, "operations": 1e8, "bytes": 2.0**24, "elsewhere": 0.0,
        "contenders": {OURS: told(mine), "torch": told(theirs)},
        "ratios": {"torch": mine / theirs}, **more,
    }  # fmt: skip


def memory(name: str, mine: int, theirs: int) -> dict[str, Any]:
    return {
        "name": name, "title": name, "suite": "memory", "status": "measured",
        "contenders": {OURS: {"above_bytes": mine}, "torch": {"above_bytes": theirs}},
        "ratios": {"torch": mine / theirs},
    }  # fmt: skip


def result(**more: Any) -> dict[str, Any]:
    rows = [row("gelu", 2.0, 4.0), row("sum", 8.0, 4.0), row("mlp-16", 0.2, 0.2, "steps")]
    rows.append(memory("mlp-16", 3_000_000, 4_000_000))
    growth = []
    for axis, lengths in (("batch", (1, 2, 4, 8, 16)), ("width", (2, 4)), ("depth", (4, 8))):
        rows += [
            row(f"{axis}-{n}", float(n), 2.0 * n, "scaling", axis=axis, length=n) for n in lengths
        ]
    for count, time in ((1, 4.0), (2, 2.5)):
        rows.append(row(f"threads-{count}", time, time, "scaling", axis="threads", length=count,
                        of="mlp", title=f"MLP, {count} threads"))  # fmt: skip
    growth = cpu_scaling.growth(rows)
    return {
        "kind": "cpu", "started": "2030-01-01T00:00:00", "whole": True, "quick": False,
        "threads": 2, "machine": {"cpu": "Some CPU", "numpy": "2.4.6", "torch": "2.13.0"},
        "rates": RATES, "rows": rows, "growth": growth, "notes": ["tried: nothing"], **more,
    }  # fmt: skip


# -- floors ----------------------------------------------------------------------------------------
def test_a_floor_is_products_and_bytes() -> None:
    assert floors.floor_seconds(RATES, 1e11, 0) == 1.0
    assert floors.floor_seconds(RATES, 0, 2**24) == pytest.approx(2**24 / 2e10)
    assert floors.floor_seconds(RATES, 1e10, 2**20) == pytest.approx(0.1 + 2**20 / 4e10)
    assert floors.copy_rate(RATES, 2**22) == pytest.approx(3e10)  # half-way, in the logarithm
    assert floors.copy_rate(RATES, 2**10) == 4e10 and floors.copy_rate(RATES, 2**30) == 2e10


def test_the_better_of_two_measurements() -> None:
    other = {"matmul": 9e10, "side": 2048, "copy": [[2**20, 5e10], [2**24, 1e10]]}
    found = floors.better(RATES, other)
    assert found == {"matmul": 1e11, "side": 2048, "copy": [[2**20, 5e10], [2**24, 2e10]]}


@pytest.mark.parametrize("threads", [1, 2])
def test_rates_are_measured(threads: int) -> None:
    found = floors.Rates(threads).measure(side=128, seconds=0.005, most=2**21)
    assert [size for size, _ in found["copy"]] == [2**19, 2**21]
    assert 0 < found["matmul"] < 1e14
    assert all(0 < rate < 1e13 for _, rate in found["copy"])


# -- figures ---------------------------------------------------------------------------------------
def test_quartiles() -> None:
    assert quartiles([4.0, 1.0, 3.0, 2.0, 5.0]) == (2.0, 3.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_the_headline() -> None:
    """Of steps and operations alone: growth has rows of the same names."""
    found = cpu_results.summary(result())
    assert found is not None and found["rows"] == 3
    assert found["mean"] == pytest.approx(1.0) and found["worst"] == 2.0
    assert found["worst_row"] == "sum"
    assert cpu_results.summary(result(), "jax") is None
    assert "over 3 rows: geometric mean 1.00, greatest 2.00 (sum)" in cpu_results.table(result())


def test_the_share_of_the_floor() -> None:
    content = result()
    floor = 1e8 / 1e11 + 2**24 / 2e10
    assert cpu_results.share(content, content["rows"][0]) == pytest.approx(floor / 2e-3)
    assert cpu_results.share({**content, "rates": RATES | {"matmul": 1e10}},
                             content["rows"][0]) > floor / 2e-3  # fmt: skip
    assert cpu_results.share(content, memory("x", 1, 1)) is None


def test_growth_is_fitted() -> None:
    assert cpu_scaling.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)
    found = {(fit["axis"], fit["contender"]): fit for fit in result()["growth"]}
    assert found["batch", OURS]["exponent"] == 1.0 and found["depth", "torch"]["exponent"] == 1.0
    assert found["threads", OURS]["speedup"] == 1.6
    assert "time grows as depth^1.00 from 4 to 8" in found["depth", OURS]["text"]
    quadratic = [
        row(str(n), float(n * n), 1.0, "scaling", axis="depth", length=n) for n in (4, 8, 16, 32)
    ]
    assert cpu_scaling.growth(quadratic)[0]["exponent"] == 2.0


# -- text ------------------------------------------------------------------------------------------
def test_the_table() -> None:
    text = cpu_results.table(result())
    assert "| title of gelu | 2 ms (1.8–2.4) | 4 ms (3.6–4.8) | 0.50 | 0.92 |" in text
    assert "| title of mlp-16 | 200 µs (180–240) | 200 µs (180–240) | 1.00 |" in text
    assert "| mlp-16 | 3.0 MB | 4.0 MB | 0.75 |" in text
    assert "busy" not in text
    bad = result()
    bad["rows"][0] = {
        **bad["rows"][0], "status": "wrong", "error": "torch | and ours differ", "ratios": {},
    }  # fmt: skip
    bad["rows"][1]["elsewhere"] = 0.3
    text = cpu_results.table(bad)
    assert "| title of gelu | wrong: torch / and ours differ |" in text
    assert "The machine was busy elsewhere while these were timed: sum." in text
    assert "compile" not in text
    assert "| 3.0 MB | 4.0 MB |" in text and "In brackets" not in text
    later = result()
    later["rows"][3]["contenders"]["torch"]["first_bytes"] = 9_000_000
    text = cpu_results.table(later)
    assert "| 3.0 MB | 4.0 MB (9.0) |" in text
    assert "In brackets: of the first calls, in which a library may compile or record." in text


def test_the_block_holds_the_newest_whole_result(tmp_path: Path) -> None:
    (tmp_path / "cuda.json").write_text(json.dumps(result(kind="cuda")))
    (tmp_path / "part.json").write_text(json.dumps(result(whole=False, started="2032")))
    (tmp_path / "quick.json").write_text(json.dumps(result(quick=True, started="2032")))
    (tmp_path / "broken.json").write_text("[")
    assert cpu_results.block(tmp_path) == cpu_results.NOT_YET
    (tmp_path / "b-old.json").write_text(json.dumps(result(started="2029")))
    (tmp_path / "a-new.json").write_text(json.dumps(result()))
    (tmp_path / "a-new-ratios.png").write_bytes(b"")
    found = cpu_results.block(tmp_path)
    assert "benchmarks/results/a-new.json" in found and "title of gelu" in found
    assert found.startswith("Some CPU, 2 threads, numpy 2.4.6, torch 2.13.0, 2030-01-01, products")
    assert "![ratios](benchmarks/results/a-new-ratios.png)" in found and "![memory]" not in found
    assert "Growth:" not in found and "grows as depth^1.00" in found
    text = f"a\n{cpu_results.BEGIN}\nold\n{cpu_results.END}\nb\n"
    document = cpu_results.with_block(text, tmp_path)
    assert document == f"a\n{cpu_results.BEGIN}\n{found}\n{cpu_results.END}\nb\n"
    with pytest.raises(ValueError, match="once each"):
        cpu_results.with_block("nothing", tmp_path)


def test_every_contender_can_be_drawn() -> None:
    assert {OURS, *PEERS} <= plots.COLOURS.keys() & plots.MARKERS.keys()


def test_the_readme_is_up_to_date() -> None:
    """`python -m benchmarks table --readme` writes it."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert cpu_results.with_block(text) == text
    assert cpu_jit_results.with_block(text) == text


def test_the_block_of_jit_holds_the_newest_result_of_all_steps(tmp_path: Path) -> None:
    rows = [
        taken
        for one in cpu_rows_steps.ROWS
        for taken in (row(one.name, 1.0, 2.0, "steps"), memory(one.name, 1, 2))
    ]
    (tmp_path / "eager.json").write_text(json.dumps(result(rows=rows)))
    (tmp_path / "part.json").write_text(json.dumps(result(rows=rows[1:], jit=True)))
    (tmp_path / "quick.json").write_text(json.dumps(result(rows=rows, jit=True, quick=True)))
    assert cpu_jit_results.block(tmp_path) == cpu_results.NOT_YET
    (tmp_path / "old.json").write_text(json.dumps(result(rows=rows, jit=True, started="2029")))
    (tmp_path / "new.json").write_text(json.dumps(result(rows=rows, jit=True)))
    found = cpu_jit_results.block(tmp_path)
    assert "(benchmarks/results/new.json)" in found and "Training steps:" in found
    assert "Peak memory" in found


def test_the_table_program_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(result()))
    assert table.main([str(path)]) == 0
    output = capsys.readouterr().out
    assert cpu_results.table(result()) in output and "- tried: nothing" in output


def test_no_result_is_written_over(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        path = cpu_results.default_path({"cpu": "Some CPU (2 GHz)"}, tmp_path)
        path.write_text("{}")
        names.append(path.name)
    assert names[0][10:] == "-cpu-some-cpu-2-ghz.json"
    assert names[1] == f"{names[0][:-5]}-2.json"


# -- plots -----------------------------------------------------------------------------------------
def test_plots_are_drawn(tmp_path: Path) -> None:
    from matplotlib import image

    drawn = list(plots.draw(result(), tmp_path / "new", "r"))
    assert [path.name for path in drawn] == ["r-ratios.png", "r-memory.png", "r-scaling.png"]
    for path in drawn:
        pixels = image.imread(path)
        assert min(pixels.shape[:2]) > 150
        assert pixels[..., :3].std() > 0.05  # no blank page
    assert list(plots.draw(result(rows=[]), tmp_path, "none")) == []


def test_the_bars_stand_for_the_ratios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bar goes from 1 to its ratio, in the order of the rows."""
    pyplot = plots._figures()
    figures: list[Any] = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    rows = result()["rows"][:3]
    plots.ratios(result(), rows, "time", tmp_path / "x.png")
    (figure,) = figures
    bars = figure.axes[0].containers[0].patches
    assert [bar.get_x() + bar.get_width() for bar in bars] == [0.5, 2.0, 1.0]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        row["title"] for row in rows
    ]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50", "2.00", "1.00"]
    monkeypatch.undo()
    pyplot.close(figure)


def test_lines_are_the_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = plots._figures()
    figures: list[Any] = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    content = result()
    plots.scaling(content, [r for r in content["rows"] if r["suite"] == "scaling"],
                  tmp_path / "x.png")  # fmt: skip
    batch, _, _, threads = figures[0].axes
    assert list(batch.lines[0].get_xdata()) == [1, 2, 4, 8, 16]
    assert list(batch.lines[1].get_ydata()) == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert batch.get_xscale() == batch.get_yscale() == "log"
    assert [bar.get_height() for bar in threads.containers[0].patches] == [1.6]
    monkeypatch.undo()
    pyplot.close(figures[0])
