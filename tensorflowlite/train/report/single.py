"""The report of one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import markup, plots
from .plots import SERIES, Line
from .samples import predictions

_PREFIX = "validation_"
MEASURES = 24  # the most that are drawn
_OTHER = ("epoch", "learning_rate", "seconds")
Part = tuple[str, str, str]  # the section's name in links, what the link says, the section


def measures(run: dict[str, Any]) -> list[str]:
    """Return the names of what was measured, without "validation_", and of the first alone."""
    names = dict.fromkeys(name for record in run["history"] for name in record)
    found = dict.fromkeys(n.removeprefix(_PREFIX) for n in names if n not in _OTHER)
    return list(found)[:MEASURES]


def column(run: dict[str, Any], name: str) -> list[float | None]:
    """Return a measure of each epoch, None where it is missing or not finite."""
    return [record.get(name) for record in run["history"]]


def single(run: dict[str, Any]) -> str:
    """Return the page of a run."""
    sections = [part for part in (
        _curves(run), predictions(run["predictions"]), _layers(run), _speed(run), _settings(run),
    ) if part is not None]  # fmt: skip
    model = run["model"]
    eyebrow = "Run report" + (f" · {model['kind']}" if model else "")
    version = run["environment"].get("tensorflowlite", "")
    return markup.page(
        run["name"], eyebrow, _lead(run), _key(run) + markup.notes(_notes(run)), sections,
        f"Written by tensorflowlite {version}".strip(),
    )  # fmt: skip


# -- the top ---------------------------------------------------------------------------------------
def _lead(run: dict[str, Any]) -> str:
    done = len(run["history"])
    epochs = f"{done} of {run['planned']} epochs" if run["planned"] else f"{done} epochs"
    reason = markup.text(run["reason"]) or "no reason was recorded"
    return f"<strong>{epochs}.</strong> Stopped: {reason}."


def _key(run: dict[str, Any]) -> str:
    found = []
    best, monitor = run["best"], run["monitor"]
    predicted = run["predictions"]
    if predicted:
        shown = [name for name in ("accuracy", "r2") if name in predicted["measures"]]
        for name in shown or ["loss"]:
            value = predicted["measures"].get(name)
            found.append((f"{predicted['part']} {name}", markup.number(value),
                          f"{predicted['samples']:,} samples, the final model"))  # fmt: skip
    if best:
        value = run["history"][best - 1].get(monitor)
        found.append((f"best {monitor.replace('_', ' ')}", markup.number(value), f"epoch {best}"))
    total = sum(
        one["loading"] + one["step"] + one["validation"] + one["rest"] for one in run["times"]
    )
    total = total or sum(record.get("seconds") or 0 for record in run["history"])
    if total:
        found.append(("time", markup.seconds(total), f"{len(run['history'])} epochs"))
    rate = throughput(run)
    if rate:
        found.append(("throughput", f"{rate:,.0f}", "samples per second"))
    if run["model"]:
        frozen = run["model"]["total"] - run["model"]["trainable"]
        note = f"{frozen:,} of them frozen" if frozen else "all of them trained"
        found.append(("parameters", f"{run['model']['total']:,}", note))
    return markup.figures(found) if found else ""


def throughput(run: dict[str, Any]) -> float | None:
    """Return samples per second of loading and steps."""
    samples = sum(one["samples"] for one in run["times"])
    taken = sum(one["loading"] + one["step"] for one in run["times"])
    return samples / taken if taken > 0 else None


def _notes(run: dict[str, Any]) -> list[str]:
    notes = list(run["notes"])
    every = {name.removeprefix(_PREFIX) for record in run["history"] for name in record}.difference(
        _OTHER
    )
    if len(every) > MEASURES:
        notes.append(f"Of {len(every)} measures the first {MEASURES} are drawn.")
    broken = [
        name
        for name in dict.fromkeys(name for record in run["history"] for name in record)
        if any(name in record and record[name] is None for record in run["history"])
    ]
    if broken:
        names = ", ".join(name.replace("_", " ") for name in broken[:MEASURES])
        notes.append(f"Not finite in some epochs, and missing from the curves there: {names}.")
    return notes


# -- curves ----------------------------------------------------------------------------------------
def _curves(run: dict[str, Any]) -> Part:
    made = "".join(_curve_figures(run))
    about = "By epoch, of the training and the validation data; the dotted line is the best epoch."
    if not run["history"]:
        about = "No epoch was finished."
    inner = f'<div class="grid">{made}</div>' if made else ""
    return "curves", "Curves", markup.section("curves", "Curves", about, inner)


def _curve_figures(run: dict[str, Any]) -> Iterator[str]:
    history, best = run["history"], run["best"]
    epochs = [record["epoch"] for record in history]
    mark = best if best and len(epochs) > 1 else None
    for place, name in enumerate(measures(run) if history else ()):
        sides = [("training", name, SERIES[0]), ("validation", _PREFIX + name, SERIES[1])]
        sides = [one for one in sides if any(one[1] in record for record in history)]
        curves = [Line(label, epochs, column(run, key), ink) for label, key, ink in sides]
        rows = list(zip(epochs, *(curve.y for curve in curves), strict=True))
        words = name.replace("_", " ")
        about = f"{markup.title(name)} by epoch. " + " ".join(map(_tell, curves))
        svg = plots.lines(f"c{place}", curves, label="epoch", about=about, log=name == "loss",
                          mark=mark, legend=False)  # fmt: skip
        key = markup.legend(
            (label, f"series-{SERIES.index(ink) + 1}", "") for label, _, ink in sides
        )
        yield markup.figure(
            markup.title(name), svg, "", key,
            markup.data(["epoch", *(label for label, *_ in sides)], rows, words),
        )  # fmt: skip
    steps = run["steps"]
    if steps["step"]:
        about = _every(steps["every"], "the loss of its batch")
        curve = Line("loss", steps["step"], steps["loss"], SERIES[0], width=1.2, strong=False)
        svg = plots.lines("s", [curve], label="step", log=True,
                          about=f"Training loss by step. {_tell(curve, 'step')}")  # fmt: skip
        rows = list(zip(steps["step"], steps["loss"], strict=True))
        yield markup.figure("Loss by step", svg, about, "",
                            markup.data(["step", "loss"], rows, "loss by step"))  # fmt: skip
        x, y, label = steps["step"], steps["rate"], "step"
    else:
        x, y, label = epochs, column(run, "learning_rate"), "epoch"
    if any(value is not None for value in y):
        curve = Line("learning rate", x, y, SERIES[0], style="stairs", strong=len(y) == 1)
        svg = plots.lines("r", [curve], label=label, log=True,
                          about=f"Learning rate by {label}. {_tell(curve, label)}")  # fmt: skip
        rows = list(zip(x, y, strict=True))
        held = markup.data([label, "learning rate"], rows, "learning rate")
        yield markup.figure("Learning rate", svg, "Of the first group of parameters.", "", held)


def _every(every: int, what: str) -> str:
    if every == 1:
        return f"Of every step, {what}."
    return f"Of one step in {every}, {what}."


def _tell(curve: Line, unit: str = "epoch") -> str:
    """Return what a curve does, in words."""
    held = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
    if not held:
        return f"{curve.label}: nothing finite."
    values = [y for _, y in held]
    return (
        f"{markup.title(curve.label)}: {markup.number(values[0])} at {unit} {held[0][0]:g}, "
        f"{markup.number(values[-1])} at {unit} {held[-1][0]:g}; between "
        f"{markup.number(min(values))} and {markup.number(max(values))}."
    )


# -- layers ----------------------------------------------------------------------------------------
def _layers(run: dict[str, Any]) -> Part | None:
    steps = run["steps"]
    if not steps["step"] or not steps["names"]:
        return None
    medians = [
        _median([row[place] for row in steps["ratio"]]) for place in range(len(steps["step"]))
    ]
    row = "module" if steps["by_module"] else "parameter"
    clip = _clipping(run)
    figures = []
    for key, name, values, what in (
        ("g", "Gradient norm", steps["norm"], f"Of all gradients together{clip}."),
        ("u", "Update ratio", medians, f"The median over the {row}s."),
    ):
        curve = Line(name.lower(), steps["step"], values, SERIES[0], width=1.2, strong=False)
        svg = plots.lines(f"{key}t", [curve], label="step", log=True,
                          about=f"{name} by step. {_tell(curve, 'step')}")  # fmt: skip
        rows = list(zip(steps["step"], values, strict=True))
        data = markup.data(["step", name.lower()], rows, name)
        figures.append(markup.figure(name, svg, what, "", data))
    for key, name, held, what in (
        ("gh", f"Gradient norm of each {row}", steps["gradient"], "norm"),
        ("uh", f"Update ratio of each {row}", steps["ratio"], "ratio"),
    ):
        table = [
            _summary(label, values) for label, values in zip(steps["names"], held, strict=True)
        ]
        about = (
            f"{name} over the steps; {len(table)} rows. The least median is that of "
            + _extremes(table)
        )
        svg = plots.heat(key, steps["names"], steps["step"], held, about=about, centre=what)
        head = [row, "first", "median", "last", "greatest"]
        inner = markup.scrolled(markup.table(head, table), f"{name}: the numbers")
        data = f"<details><summary>The numbers</summary>{inner}</details>"
        figures.append(markup.figure(name, svg, "", "", data))
    about = (
        f"Of one step in {steps['every']}: the norm of each {row}'s gradient{clip}, and how far "
        "the step moved it, ‖step‖ / ‖parameter‖. Ratios near 1e-3 are common; far larger ones "
        "are restless, far smaller ones hardly learn. Blank where there is no gradient, or it "
        "isn't finite."
    ).replace("Of one step in 1:", "Of every step:")
    inner = f'<div class="grid">{"".join(figures)}</div>'
    return "layers", "Layers", markup.section("layers", "Layers", about, inner)


def _clipping(run: dict[str, Any]) -> str:
    clipped = [name for name in ("clip_norm", "clip_value") if run["configuration"].get(name)]
    return f" after clipping ({', '.join(clipped)})" if clipped else ""


def _median(values: list[float | None]) -> float | None:
    held = sorted(value for value in values if value is not None)
    if not held:
        return None
    middle = len(held) // 2
    return held[middle] if len(held) % 2 else (held[middle - 1] + held[middle]) / 2


def _summary(name: str, values: list[float | None]) -> list[Any]:
    held = [value for value in values if value is not None]
    if not held:
        return [name, None, None, None, None]
    return [name, float(held[0]), _median(values), float(held[-1]), float(max(held))]


def _extremes(rows: list[list[Any]]) -> str:
    held = [row for row in rows if row[2] is not None]
    if not held:
        return "none: nothing is finite."
    least, most = min(held, key=lambda row: row[2]), max(held, key=lambda row: row[2])
    return (
        f"{least[0]}, {markup.number(least[2])}; the greatest that of {most[0]}, "
        f"{markup.number(most[2])}."
    )


# -- speed -----------------------------------------------------------------------------------------
SHARES = (("step", "series-1", "steps: forward, backward, update"),
          ("loading", "series-2", "waiting for batches"),
          ("validation", "series-3", "validation"),
          ("rest", "series-8", "the rest: checkpoints and other callbacks, measuring"))  # fmt: skip


def _speed(run: dict[str, Any]) -> Part | None:
    times = run["times"]
    if not times:
        return None
    totals = {name: sum(one[name] for one in times) for name, *_ in SHARES}
    whole = sum(totals.values()) or 1.0
    bar = "".join(
        f'<i style="width: {100 * totals[name] / whole:.2f}%; color: var(--{ink})"></i>'
        for name, ink, _ in SHARES
        if totals[name] > 0
    )
    key = markup.legend(
        (
            f"{told}: {markup.percent(totals[name] / whole)}, {markup.seconds(totals[name])}",
            ink,
            "block",
        )
        for name, ink, told in SHARES
    )
    shares = (
        '<div class="card"><h3>Where the time went</h3>'
        f'<div class="shares" aria-hidden="true">{bar}</div>{key}</div>'
    )
    epochs = [one["epoch"] for one in times]
    rates = [_rate(one) for one in times]
    curve = Line("samples per second", epochs, rates, SERIES[0])
    svg = plots.lines("t", [curve], label="epoch",
                      about=f"Samples per second by epoch. {_tell(curve)}")  # fmt: skip
    head = ["epoch", "samples", "samples per second", *(f"{name} (s)" for name, *_ in SHARES)]
    rows = [
        [one["epoch"], one["samples"], rate, *(float(one[name]) for name, *_ in SHARES)]
        for one, rate in zip(times, rates, strict=True)
    ]
    drawn = markup.figure("Samples per second", svg, "Of loading and steps alone.", "",
                          markup.data(head, rows, "throughput and times"))  # fmt: skip
    inner = f'<div class="grid">{drawn}{shares}</div>'
    return "speed", "Speed", markup.section("speed", "Speed", "", inner)


def _rate(one: dict[str, Any]) -> float | None:
    taken = one["loading"] + one["step"]
    return one["samples"] / taken if taken > 0 else None


# -- settings --------------------------------------------------------------------------------------
def _settings(run: dict[str, Any]) -> Part:
    parts = []
    for name, held in (
        ("Configuration", run["configuration"]),
        ("Versions and machine", run["environment"]),
    ):
        if held:
            rows = "".join(
                f'<tr><th scope="row">{markup.text(key)}</th><td>{_plain(value)}</td></tr>'
                for key, value in held.items()
            )
            parts.append(
                f'<div class="card"><h3>{name}</h3>'
                f'<table class="pairs"><tbody>{rows}</tbody></table></div>'
            )
        else:
            parts.append(
                f'<div class="card"><h3>{name}</h3><p class="missing">not recorded</p></div>'
            )
    if run["model"]:
        parts.append(_model(run["model"]))
    inner = f'<div class="grid">{"".join(parts)}</div>'
    return "settings", "Configuration", markup.section("settings", "Configuration", "", inner)


def _plain(value: Any) -> str:
    if value is None:
        return '<span class="missing">none</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    return markup.text(value)


def _model(model: dict[str, Any]) -> str:
    shapes = any(one["shape"] is not None for one in model["modules"])
    head = ["module", "class", *(["output shape"] if shapes else []), "parameters"]
    rows = []
    for one in model["modules"]:
        shape = "–" if one["shape"] is None else " × ".join(map(str, one["shape"])) or "()"
        rows.append(
            [one["path"] or "(whole)", one["kind"], *([shape] if shapes else []), one["parameters"]]
        )
    more = f"<p>{model['left_out']:,} more modules are left out.</p>" if model["left_out"] else ""
    caption = f"{model['total']:,} parameters, {model['trainable']:,} of them trained"
    caption += "; the shapes are those of one batch" if shapes else ""
    inner = markup.scrolled(
        markup.table(head, rows, caption), "The model's modules", len(rows) > 30
    )
    return f'<div class="card wide"><h3>Model</h3>{inner}{more}</div>'
