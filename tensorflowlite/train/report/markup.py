"""Pieces of a page: text, numbers, tables, figures. All that a run says is escaped here."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from .record import safe
from .style import STYLE

_LONG = 2000  # characters
_ROWS = 200  # the most rows of the table under a plot
Cell = Any


def text(value: Any) -> str:
    """Return any text as HTML, cut where nobody reads on."""
    shown = safe(str(value))
    shown = shown if len(shown) <= _LONG else f"{shown[:_LONG]}…"
    return html.escape(shown, quote=True)


def number(value: Any, digits: int = 4) -> str:
    """Return a number with so many significant digits, or that it isn't one."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if isinstance(value, int):
        return f"{value:,}"
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    shown = f"{value:,.{digits}g}"
    return f"{value:,.0f}" if "e" in shown else shown


class Share(float):
    """A number that is shown in percent."""


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %"


def seconds(value: float) -> str:
    """Return a time in the unit that suits it."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 90:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def title(name: str) -> str:
    """Return the name of a measure as words, with a capital letter."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def cell(value: Cell, tag: str = "td") -> str:
    """Return a cell of a table; numbers stand at the right."""
    if value is None:
        return f'<{tag} class="n missing">–</{tag}>'
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<{tag}>{text(value)}</{tag}>"
    shown = percent(value) if isinstance(value, Share) else number(value)
    return f'<{tag} class="n">{shown}</{tag}>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> str:
    """Return a table whose first column names the rows."""
    held = [list(row) for row in rows]
    told = f"<caption>{text(caption)}</caption>" if caption else ""
    numbers = [
        any(
            isinstance(row[place], int | float) and not isinstance(row[place], bool) for row in held
        )
        for place in range(len(head))
    ]
    heads = "".join(
        f'<th scope="col"{" class=" + chr(34) + "n" + chr(34) if right else ""}>{text(name)}</th>'
        for name, right in zip(head, numbers, strict=True)
    )
    body = "".join(
        "<tr>" + cell(row[0], "th").replace("<th", '<th scope="row"', 1)
        + "".join(map(cell, row[1:])) + "</tr>"
        for row in held
    )  # fmt: skip
    return f"<table>{told}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def scrolled(inner: str, label: str, long: bool = False) -> str:
    """Return something that may be wider than the screen; the keyboard reaches it."""
    kind = "scroll long" if long else "scroll"
    told = f'tabindex="0" role="region" aria-label="{text(label)}"'
    return f'<div class="{kind}" {told}>{inner}</div>'


def data(head: Sequence[str], rows: Sequence[Sequence[Cell]], label: str) -> str:
    """Return the numbers behind a plot, folded away."""
    step = -(-len(rows) // _ROWS) or 1
    shown = [*rows[::step]]
    if step > 1 and (len(rows) - 1) % step:
        shown.append(rows[-1])
    told = f" (each {step}th row, and the last)" if step > 1 else ""
    inner = scrolled(table(head, shown), f"{label}: the numbers")
    return f"<details><summary>The numbers{told}</summary>{inner}</details>"


def figure(name: str, svg: str, about: str = "", legend: str = "", after: str = "",
           wide: bool = False) -> str:  # fmt: skip
    """Return a plot with its title, what it shows, and what stands under it."""
    told = f"<p>{text(about)}</p>" if about else ""
    kind = ' class="wide"' if wide else ""
    return (
        f"<figure{kind}><figcaption><h3>{text(name)}</h3>{told}{legend}</figcaption>"
        f"{svg}{after}</figure>"
    )


def legend(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return a legend: of each entry its name, the number of its colour, and the line's kind."""
    items = "".join(
        f'<li><span class="swatch {kind}" style="color: var(--{colour})"></span>{text(name)}</li>'
        for name, colour, kind in entries
    )
    return f'<ul class="legend">{items}</ul>'


def section(key: str, name: str, about: str, inner: str) -> str:
    """Return a part of the page."""
    told = f"<p>{text(about)}</p>" if about else ""
    return (
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{text(name)}</h2>'
        f"{told}{inner}</section>"
    )


def figures(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return the few numbers at the top: name, value, and what to know about it."""
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}"
        + (f"<small>{text(note)}</small>" if note else "")
        + "</dd></div>"
        for name, value, note in entries
    )
    return f'<dl class="key">{items}</dl>'


def notes(lines: Sequence[str]) -> str:
    """Return what is missing, or strange."""
    if not lines:
        return ""
    return '<ul class="notes">' + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def page(name: str, eyebrow: str, lead: str, top: str, sections: Sequence[tuple[str, str, str]],
         foot: str) -> str:  # fmt: skip
    """Return a whole page. ``lead`` and what follows are HTML, names and the foot are text."""
    links = "".join(f'<li><a href="#{key}">{text(short)}</a></li>' for key, short, _ in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing is fetched and nothing runs, whatever the page holds.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{text(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><p class="eyebrow">{text(eyebrow)}</p><h1>{text(name)}</h1>'
        f'<p class="lead">{lead}</p>{top}</header>\n'
        f'<nav aria-label="Parts of the report"><ul>{links}</ul></nav>\n<main>\n'
        + "\n".join(inner for _, _, inner in sections)
        + f"\n</main>\n<footer>{text(foot)}</footer>\n</body>\n</html>\n"
    )
