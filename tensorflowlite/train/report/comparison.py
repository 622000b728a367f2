"""Runs side by side: their curves on common axes, their results, and how they were set up."""

from __future__ import annotations

from typing import Any

from ..history import higher_is_better
from . import markup, plots
from .plots import COLOURS, SERIES, Line
from .single import MEASURES, SHARES, column, measures, throughput

_STYLES = (("-", ""), ("--", "dashed"), (":", "dotted"))
_PREFIX = "validation_"


def comparison(runs: list[dict[str, Any]]) -> str:
    """Return the page of several runs."""
    names = unique([run["name"] for run in runs])
    lead = f"<strong>{len(runs)} runs.</strong> " + markup.text(", ".join(names)) + "."
    sections = [
        _results(runs, names),
        _curves(runs, names),
        _speed(runs, names),
        _settings(runs, names),
    ]
    version = max((run["environment"].get("tensorflowlite", "") for run in runs), default="")
    return markup.page(
        "Runs compared", "Run report", lead,
        _legend(names) + markup.notes(_missing(runs, names)), sections,
        f"Written by tensorflowlite {version}".strip(),
    )  # fmt: skip


def unique(names: list[str]) -> list[str]:
    """Return names that differ: equal ones get a number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name} ({seen[name]})" if names.count(name) > 1 else name)
    return found


def _look(place: int) -> tuple[str, str, str]:
    """Return a run's colour for matplotlib, its style there, and the swatch's kind."""
    style, kind = _STYLES[place // COLOURS % len(_STYLES)]
    return SERIES[place % COLOURS], style, kind


def _legend(names: list[str]) -> str:
    entries = (
        (name, f"series-{place % COLOURS + 1}", _look(place)[2]) for place, name in enumerate(names)
    )
    return f'<div style="margin-top: 22px">{markup.legend(entries)}</div>'


def _missing(runs: list[dict[str, Any]], names: list[str]) -> list[str]:
    every = list(dict.fromkeys(name for run in runs for name in _columns(run)))
    told = []
    for run, name in zip(runs, names, strict=True):
        gaps = []
        if not run["history"]:
            gaps.append("no finished epoch")
        else:
            gaps += [f"no {one.replace('_', ' ')}" for one in every if one not in _columns(run)]
        for key, what in (
            ("times", "no times"),
            ("configuration", "no configuration"),
            ("predictions", "no predictions"),
        ):
            if not run[key] and any(other[key] for other in runs):
                gaps.append(what)
        if gaps:
            told.append(f"{name} has {', '.join(gaps)}.")
        told += [f"{name}: {note}" for note in run["notes"]]
    if len(_kinds(runs)) > 1:
        told.append(
            "The runs are of different kinds, classification and regression: their losses don't "
            "compare."
        )
    return told


def _kinds(runs: list[dict[str, Any]]) -> set[str]:
    return {run["predictions"]["kind"] for run in runs if run["predictions"]} - {""}


def _direction(key: str, mixed: bool) -> int:
    """Return 1 where more of a measure is better, -1 where less is, 0 where it doesn't compare."""
    if mixed and key.endswith("loss"):
        return 0
    return 1 if higher_is_better(key) else -1


def _columns(run: dict[str, Any]) -> list[str]:
    names = dict.fromkeys(name for record in run["history"] for name in record)
    found = [name for name in names if name not in ("epoch", "seconds", "learning_rate")]
    return found[: 2 * MEASURES]


# -- results ---------------------------------------------------------------------------------------
def _results(runs: list[dict[str, Any]], names: list[str]) -> tuple[str, str, str]:
    rows: list[tuple[str, list[Any], int]] = [
        ("epochs", [len(run["history"]) for run in runs], 0),
        ("best epoch", [run["best"] or None for run in runs], 0),
    ]
    mixed = len(_kinds(runs)) > 1
    for key in dict.fromkeys(name for run in runs for name in _columns(run)):
        up = _direction(key, mixed)
        words = key.replace("_", " ")
        rows.append((f"{words}, last", [_last(run, key) for run in runs], up))
        rows.append((f"{words}, best epoch", [_at_best(run, key) for run in runs], up))
    predicted = [run["predictions"] or {"part": "", "measures": {}} for run in runs]
    for part, key in dict.fromkeys(
        (one["part"], name) for one in predicted for name in one["measures"]
    ):
        values = [one["measures"].get(key) if one["part"] == part else None for one in predicted]
        words = f"{part} {key.replace('_', ' ')}, final model"
        rows.append((words, values, _direction(key, mixed)))
    rows.append(("time in seconds", [_time(run) for run in runs], -1))
    rows.append(("samples per second", [throughput(run) for run in runs], 1))
    rows.append(
        ("parameters", [run["model"]["total"] if run["model"] else None for run in runs], 0)
    )
    body = "".join(_row(*row) for row in rows)
    reasons = "".join(f"<td>{markup.text(run['reason'] or 'not recorded')}</td>" for run in runs)
    body += f'<tr><th scope="row">stopped</th>{reasons}</tr>'
    head = "".join(f'<th scope="col" class="n">{markup.text(name)}</th>' for name in names)
    top = f'<thead><tr><th scope="col">measure</th>{head}</tr></thead>'
    table = f"<table>{top}<tbody>{body}</tbody></table>"
    inner = f'<div class="card">{markup.scrolled(table, "Results of the runs")}</div>'
    about = "The best of each row stands in bold; “–” where a run lacks it or it isn't finite."
    return "results", "Results", markup.section("results", "Results", about, inner)


def _row(name: str, values: list[Any], up: int) -> str:
    held = [value for value in values if value is not None]
    top = (max(held) if up > 0 else min(held)) if held and up and len(set(held)) > 1 else None
    cells = "".join(
        markup.cell(value).replace('class="n"', 'class="n top"')
        if value is not None and value == top
        else markup.cell(value)
        for value in values
    )  # fmt: skip
    return f'<tr><th scope="row">{markup.text(name)}</th>{cells}</tr>'


def _last(run: dict[str, Any], key: str) -> float | None:
    return run["history"][-1].get(key) if run["history"] else None


def _at_best(run: dict[str, Any], key: str) -> float | None:
    return run["history"][run["best"] - 1].get(key) if run["best"] else None


def _time(run: dict[str, Any]) -> float | None:
    total = sum(one[name] for one in run["times"] for name, *_ in SHARES)
    return float(total or sum(record.get("seconds") or 0 for record in run["history"])) or None


# -- curves ----------------------------------------------------------------------------------------
def _curves(runs: list[dict[str, Any]], names: list[str]) -> tuple[str, str, str]:
    made = []
    keys = list(dict.fromkeys(name for run in runs for name in measures(run)))[:MEASURES]
    wanted = [one for key in keys for one in (key, _PREFIX + key)] + ["learning_rate"]
    for place, key in enumerate(wanted):
        having = [
            n for n, run in enumerate(runs) if any(value is not None for value in column(run, key))
        ]
        if having:
            made.append(_curve(runs, names, key, f"c{place}", having))
    about = "Of all runs, by epoch; the colours are those above."
    return (
        "curves",
        "Curves",
        markup.section("curves", "Curves", about, f'<div class="grid">{"".join(made)}</div>'),
    )


def _curve(
    runs: list[dict[str, Any]], names: list[str], key: str, mark: str, having: list[int]
) -> str:
    curves = []
    for place in having:
        ink, style, _ = _look(place)
        epochs = [record["epoch"] for record in runs[place]["history"]]
        curves.append(Line(names[place], epochs, column(runs[place], key), ink, style, 1.5, False))
    words = key.replace("_", " ")
    words = f"{words.removeprefix('validation ')}, validation" if key.startswith(_PREFIX) else words
    told = " ".join(
        f"{curve.label} ends at {markup.number([y for y in curve.y if y is not None][-1])}."
        for curve in curves
    )
    about = f"{markup.title(words)} of {len(curves)} runs by epoch. {told}"
    log = key.endswith(("loss", "rate"))
    svg = plots.lines(mark, curves, label="epoch", log=log, legend=False, about=about)
    longest = max(len(curve.x) for curve in curves)
    rows = [
        [epoch + 1, *(curve.y[epoch] if epoch < len(curve.y) else None for curve in curves)]
        for epoch in range(longest)
    ]
    without = [name for place, name in enumerate(names) if place not in having]
    note = f"Not measured by {', '.join(without)}." if without else ""
    head = ["epoch", *(curve.label for curve in curves)]
    return markup.figure(markup.title(words), svg, note, "", markup.data(head, rows, words))


# -- speed -----------------------------------------------------------------------------------------
def _speed(runs: list[dict[str, Any]], names: list[str]) -> tuple[str, str, str]:
    items = []
    for run, name in zip(runs, names, strict=True):
        totals = {part: sum(one[part] for one in run["times"]) for part, *_ in SHARES}
        whole = sum(totals.values())
        if not whole:
            items.append(f'<h3>{markup.text(name)}</h3><p class="missing">not recorded</p>')
            continue
        bar = "".join(
            f'<i style="width: {100 * totals[part] / whole:.2f}%; color: var(--{ink})"></i>'
            for part, ink, _ in SHARES
            if totals[part] > 0
        )
        told = ", ".join(f"{part} {markup.percent(totals[part] / whole)}" for part, *_ in SHARES)
        items.append(
            f'<h3>{markup.text(name)}</h3><div class="shares" role="img" '
            f'aria-label="{markup.text(told)}">{bar}</div>'
        )
    key = markup.legend((told, ink, "block") for _, ink, told in SHARES)
    inner = f'<div class="card">{"".join(items)}{key}</div>'
    return (
        "speed",
        "Speed",
        markup.section("speed", "Speed", "Where the time of each run went.", inner),
    )


# -- settings --------------------------------------------------------------------------------------
def _settings(runs: list[dict[str, Any]], names: list[str]) -> tuple[str, str, str]:
    parts, count = [], 0
    for title, key in (("Configuration", "configuration"), ("Versions and machine", "environment")):
        differing: list[str] = []
        same: list[str] = []
        for setting in dict.fromkeys(name for run in runs for name in run[key]):
            values = [run[key].get(setting, _Absent if run[key] else _Unknown) for run in runs]
            differs = any(not _alike(value, values[0]) for value in values)
            cells = "".join(f"<td>{_said(value)}</td>" for value in values)
            kind = ' class="differs"' if differs else ""
            row = f'<tr{kind}><th scope="row">{markup.text(setting)}</th>{cells}</tr>'
            (differing if differs else same).append(row)
        count += len(differing)
        head = "".join(f'<th scope="col">{markup.text(name)}</th>' for name in names)
        top = f'<thead><tr><th scope="col">setting</th>{head}</tr></thead>'
        inner = f"<table>{top}<tbody>{''.join(differing)}</tbody></table>" if differing else (
            '<p class="missing">nothing differs</p>')  # fmt: skip
        inner = markup.scrolled(inner, f"{title}: what differs") if differing else inner
        if same:
            rest = markup.scrolled(
                f"<table>{top}<tbody>{''.join(same)}</tbody></table>", f"{title}: what is equal"
            )
            inner += f"<details><summary>{len(same)} that are equal</summary>{rest}</details>"
        parts.append(f'<div class="card"><h3>{title}</h3>{inner}</div>')
    about = f"{count} settings differ." if count != 1 else "One setting differs."
    inner = "".join(f'<div style="margin-bottom: 20px">{part}</div>' for part in parts)
    return "settings", "Configuration", markup.section("settings", "Configuration", about, inner)


class _Absent:
    """In the place of a setting that a run doesn't have."""


class _Unknown:
    """In the place of a setting where a run has recorded none."""


def _alike(x: Any, y: Any) -> bool:
    return type(x) is type(y) and x == y


def _said(value: Any) -> str:
    if value in (_Absent, _Unknown):
        told = "–" if value is _Absent else "not recorded"
        return f'<span class="missing">{told}</span>'
    if value is None:
        return '<span class="missing">none</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    return markup.text(value)
