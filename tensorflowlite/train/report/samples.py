"""What a report shows of predictions: the confusion matrix, the errors, the worst samples."""

from __future__ import annotations

from typing import Any

from . import markup, plots

_TABLE = 20  # the most classes of a table; more are drawn


def predictions(found: dict[str, Any] | None) -> tuple[str, str, str] | None:
    """Return the part of the page about predictions."""
    if found is None:
        return None
    measured = ", ".join(
        f"{name} {markup.number(value)}" for name, value in found["measures"].items()
    )
    cut = (
        " (the training was interrupted, and not all of them were looked at)"
        if found["cut"]
        else ""
    )
    about = (
        f"Of the final model on {found['samples']:,} samples of the {found['part']} data{cut}: "
        f"{measured}."
    )
    inner = ""
    if found["kind"] == "classification":
        inner = _classes(found)
    elif found["kind"] == "regression":
        inner = _numbers(found)
    return "predictions", "Predictions", markup.section("predictions", "Predictions", about, inner)


def _classes(found: dict[str, Any]) -> str:
    names, counts = found["classes"], found["confusion"]
    parts = [_confusion(names, counts), _by_class(names, counts)] if counts else []
    wrong = found["worst"]
    return f'<div class="grid">{"".join(parts)}</div>' + _worst(found, wrong)


def _confusion(names: list[str], counts: list[list[int]]) -> str:
    total = sum(map(sum, counts))
    right = sum(counts[place][place] for place in range(len(counts)))
    told = (
        f"{right:,} of {total:,} are right. A row for each true class, a column for each predicted "
        "one."
    )
    if len(names) > _TABLE:
        about = f"Confusion matrix of {len(names)} classes: {told}"
        svg = plots.matrix("m", counts, about=about)
        return markup.figure("Confusion matrix", svg, told, "", _most_confused(names, counts))
    head = "".join(
        f'<th scope="col" title="{markup.text(name)}">{markup.text(name)}</th>' for name in names
    )
    body = []
    for row, (name, line) in enumerate(zip(names, counts, strict=True)):
        whole = sum(line) or 1
        cells = "".join(
            _share(count, count / whole, row == column) for column, count in enumerate(line)
        )
        body.append(
            f'<tr><th scope="row" title="{markup.text(name)}">{markup.text(name)}</th>{cells}</tr>'
        )
    corner = '<th scope="col">true \\ predicted</th>'
    table = (
        f'<table class="confusion"><thead><tr>{corner}{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return (
        (
            f'<div class="card"><h3>Confusion matrix</h3><p class="about">{told}</p>'
            + markup.scrolled(table, "Confusion matrix")
            + "</div>"
        )
        .replace("<figcaption>", "")
        .replace("</figcaption>", "")
    )


def _share(count: int, share: float, right: bool) -> str:
    if not count:
        return "<td>0</td>" if right else "<td>·</td>"
    shade = 0.15 + 0.55 * share if right else min(0.22 + 1.2 * share, 0.75)
    kind = "right" if right else "wrong"
    return f'<td class="{kind}" style="--share: {shade:.2f}">{count:,}</td>'


def _by_class(names: list[str], counts: list[list[int]]) -> str:
    rows = []
    for place, name in enumerate(names):
        right = counts[place][place]
        samples, chosen = sum(counts[place]), sum(line[place] for line in counts)
        rows.append([
            name, samples, _of(right, samples), _of(right, chosen)
        ])  # fmt: skip
    inner = markup.scrolled(
        markup.table(["class", "samples", "recall", "precision"], rows), "By class", len(rows) > 30
    )
    return f'<div class="card"><h3>By class</h3>{inner}</div>'


def _of(part: int, whole: int) -> markup.Share | None:
    return markup.Share(part / whole) if whole else None


def _most_confused(names: list[str], counts: list[list[int]]) -> str:
    found = [
        (count, row, column)
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if count and row != column
    ]
    pairs = sorted(found, key=lambda one: (-one[0], *one[1:]))[:50]
    rows = [[names[row], names[column], count] for count, row, column in pairs]
    inner = markup.scrolled(markup.table(["true", "predicted", "samples"], rows), "Most confused")
    return f"<details><summary>The pairs that are confused most</summary>{inner}</details>"


def _numbers(found: dict[str, Any]) -> str:
    pairs = found["points"]
    told = f"{len(pairs):,} samples"
    if len(pairs) < found["samples"]:
        told += f" of the {found['samples']:,}, evenly taken"
    about = f"Predicted against true values of {told}."
    svg = plots.points("p", pairs, about=about)
    rows = [[f"{place + 1}", *pair] for place, pair in enumerate(pairs)]
    data = markup.data(["sample", "true", "predicted"], rows, "samples")
    drawn = markup.figure("Predicted against true", svg, "On the dotted line they agree.", "", data)
    return f'<div class="grid">{drawn}{_table(found)}</div>'


def _worst(found: dict[str, Any], wrong: list[dict[str, Any]]) -> str:
    head = '<h3 style="margin: 30px 0 4px">The worst mistakes</h3>'
    if not wrong:
        return f'{head}<p class="about">No sample was put into a wrong class.</p>'
    if wrong[0]["picture"] is None:
        return f'<div style="margin-top: 20px">{_table(found)}</div>'
    items = "".join(_picture(found, one) for one in wrong if one["picture"] is not None)
    told = "Those of the highest loss first; their values stretched from the least to the greatest."
    return f'{head}<p class="about">{told}</p><ul class="gallery">{items}</ul>'


def _picture(found: dict[str, Any], one: dict[str, Any]) -> str:
    true, predicted = (found["classes"][one[side]] for side in ("true", "predicted"))
    about = f"sample {one['index']}: true {true}, predicted {predicted}"
    picture = one["picture"]
    return (
        f'<li><img alt="{markup.text(about)}" width="{picture["width"]}" '
        f'height="{picture["height"]}" src="data:image/png;base64,{picture["data"]}">'
        f"<b>{markup.text(true)} → {markup.text(predicted)}</b>"
        f"<span>{_chance(one['chance'])} sure, {_chance(one['chance_true'])} for "
        f"{markup.text(true)}</span><span>sample {one['index']}</span></li>"
    )


def _chance(value: float | None) -> str:
    return "?" if value is None else markup.percent(value) if value >= 5e-4 else "&lt; 0.1 %"


def _table(found: dict[str, Any]) -> str:
    classes = found["classes"]
    worst = found["worst"]
    if worst and worst[0]["picture"] is not None and not classes:
        return _pictures_of_numbers(worst)
    count = max((len(one["values"]) for one in worst), default=0)
    features = [
        *found["features"],
        *(f"x[{place}]" for place in range(len(found["features"]), count)),
    ]
    head = ["sample", "true", "predicted", "loss" if classes else "error", *features[:count]]
    rows = []
    for one in worst:
        true, predicted = one["true"], one["predicted"]
        if classes:
            true, predicted = classes[true], classes[predicted]
        values = [None if value is None else float(value) for value in one["values"]]
        values += [None] * (count - len(values))
        rows.append([f"{one['index']}", true, predicted, one["loss"], *values])
    told = "The worst mistakes" if classes else "The greatest errors"
    about = "Inputs as the model gets them" + (f", the first {count} values." if count else ".")
    inner = markup.scrolled(markup.table(head, rows, about), told)
    return f'<div class="card"><h3>{told}</h3>{inner}</div>'


def _pictures_of_numbers(worst: list[dict[str, Any]]) -> str:
    items = "".join(
        f'<li><img alt="sample {one["index"]}" width="{one["picture"]["width"]}" '
        f'height="{one["picture"]["height"]}" src="data:image/png;base64,{one["picture"]["data"]}">'
        f"<b>{markup.number(one['predicted'])}</b><span>true {markup.number(one['true'])}</span>"
        f"<span>sample {one['index']}</span></li>"
        for one in worst
        if one["picture"] is not None
    )
    return f'<div class="card"><h3>The greatest errors</h3><ul class="gallery">{items}</ul></div>'
