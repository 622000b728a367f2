"""Plots as inline SVG: matplotlib draws them, the page's style sheet colours them."""

from __future__ import annotations

import contextlib
import html
import io
import math
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .record import safe

# What matplotlib is told, and what stands in the page: the colours follow light and dark mode.
_INKS = {
    "#010101": "var(--ink)", "#020202": "var(--quiet)", "#030303": "var(--line)",
    "#040404": "var(--page)",
}  # fmt: skip
INK, QUIET, LINE, PAGE = _INKS
COLOURS = 8
_SERIES = {f"#{n:02x}{n:02x}{n:02x}": f"var(--series-{n - 16})" for n in range(17, 17 + COLOURS)}
SERIES = list(_SERIES)
_COLOURS = _INKS | _SERIES
_TEXT = 9.5
_drawing = threading.Lock()  # matplotlib's settings and the filters of warnings are the process's
_WIDE, _HIGH = 390.0, 225.0  # in points, which are the units of the SVG
_NAME = 20  # characters of a parameter's name beside its row


class Line(NamedTuple):
    """One curve."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: str
    style: str = "-"
    width: float = 1.7
    strong: bool = True  # whether single points are marked


def lines(
    key: str,
    curves: list[Line],
    *,
    label: str,
    about: str,
    log: bool = False,
    whole: bool = True,
    mark: float | None = None,
    legend: bool = True,
) -> str:
    """Return curves on common axes as SVG; ``mark`` is where an upright line stands."""
    with _figure(_WIDE, _HIGH) as (figure, made):
        axes = figure.add_axes((0.135, 0.175, 0.85, 0.795))
        for one in curves:
            x, y = np.asarray(one.x, float), _numbers(one.y)
            count = np.isfinite(y).sum()
            few = count == 1 or (one.strong and count <= 30)
            stairs = one.style == "stairs"
            axes.plot(
                x, y, "-" if stairs else one.style, color=one.colour, linewidth=one.width,
                label=one.label, marker="o" if few else None, markersize=3,
                drawstyle="steps-post" if stairs else "default",
            )  # fmt: skip
        if mark is not None:
            axes.axvline(mark, color=QUIET, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        _scale(axes, [one.y for one in curves], log)
        _trim(axes, label, whole)
        if legend and len(curves) > 1:
            axes.legend(loc="best", frameon=False, fontsize=_TEXT, labelcolor=INK)
    return _svg(made, key, about)


def points(key: str, pairs: list[list[float | None]], *, about: str) -> str:
    """Return a picture of predicted against true values, with the line on which they agree."""
    with _figure(_WIDE, 320.0) as (figure, made):
        axes = figure.add_axes((0.13, 0.125, 0.85, 0.855))
        true, predicted = (_numbers([pair[side] for pair in pairs]) for side in (0, 1))
        held = np.concatenate([true, predicted])
        held = held[np.isfinite(held)]
        if held.size:
            ends = [held.min(), held.max()]
            axes.plot(ends, ends, color=QUIET, linewidth=1, linestyle=(0, (2, 2)))
        axes.scatter(true, predicted, s=11, color=SERIES[0], alpha=0.55, linewidths=0)
        _trim(axes, "true", False)
        axes.set_ylabel("predicted", color=QUIET, fontsize=_TEXT)
    return _svg(made, key, about)


def heat(
    key: str,
    names: list[str],
    steps: Sequence[int],
    table: list[list[float | None]],
    *,
    about: str,
    centre: str,
) -> str:
    """Return a row for each name over the steps, coloured by the magnitude of its numbers."""
    values = np.array([_numbers(row) for row in table]).reshape(len(names), len(steps))
    with np.errstate(all="ignore"):
        magnitudes = np.log10(np.where(values > 0, values, np.nan))
    row = 15.0
    inside = row * len(names)
    high = inside + 66
    with _figure(_WIDE, high) as (figure, made):
        shown = magnitudes[np.isfinite(magnitudes)]
        low, top = np.percentile(shown, [2, 98]) if shown.size else (0.0, 1.0)
        low, top = (
            (low, top) if top - low > 0.5 else ((low + top) / 2 - 0.25, (low + top) / 2 + 0.25)
        )
        axes = figure.add_axes((0.30, 34 / high, 0.68, inside / high))
        image = axes.imshow(
            magnitudes, aspect="auto", interpolation="none", cmap="viridis", vmin=low, vmax=top,
            extent=(-0.5, len(steps) - 0.5, len(names) - 0.5, -0.5),
        )  # fmt: skip
        axes.set_yticks(range(len(names)), [_short(name) for name in names])
        places = np.unique(np.linspace(0, len(steps) - 1, 6).round().astype(int))
        axes.set_xticks(places, [f"{steps[place]:,}" for place in places])
        _trim(axes, "step", False, grid=False)
        axes.spines["left"].set_visible(False)
        bar = figure.add_axes((0.30, 1 - 16 / high, 0.68, 6 / high))
        figure.colorbar(image, cax=bar, orientation="horizontal")
        ticks = list(range(math.ceil(low), math.floor(top) + 1))
        ticks = ticks[:: -(-len(ticks) // 6) or 1] if ticks else []
        if len(ticks) < 2:
            ends = (float(low), float(top))
            bar.set_xticks(ends, [f"{10**end:.2g}" for end in ends])
        else:
            bar.set_xticks(ticks, [f"1e{tick:d}" for tick in ticks])
        bar.tick_params(length=2, pad=1, labelsize=_TEXT - 1, colors=QUIET, color=LINE)
        for spine in bar.spines.values():
            spine.set_visible(False)
        figure.text(
            0.29, 1 - 13 / high, centre, ha="right", va="center", fontsize=_TEXT, color=QUIET
        )
    return _svg(made, key, about)


def matrix(key: str, counts: list[list[int]], *, about: str) -> str:
    """Return a confusion matrix of many classes: a row for each true class, shares of it."""
    table = np.array(counts, float)
    with np.errstate(all="ignore"):
        shares = table / table.sum(1, keepdims=True)
    with _figure(_WIDE, 380.0) as (figure, made):
        axes = figure.add_axes((0.11, 0.09, 0.87, 0.885))
        axes.imshow(
            np.where(shares > 0, shares, np.nan), interpolation="none", cmap="viridis", vmin=0,
            vmax=1, aspect="auto",
        )  # fmt: skip
        _trim(axes, "predicted class", True, grid=False)
        axes.set_ylabel("true class", color=QUIET, fontsize=_TEXT)
    return _svg(made, key, about)


# -- how they look ---------------------------------------------------------------------------------
@contextlib.contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """Give a figure, drawn as SVG at the end, in matplotlib's own defaults and a few of ours."""
    import matplotlib
    from matplotlib.figure import Figure

    made = io.BytesIO()
    with _drawing, warnings.catch_warnings(), matplotlib.rc_context():
        # Glyphs that matplotlib's font lacks are drawn by the browser, in the page's.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({
            "svg.fonttype": "none", "svg.hashsalt": "tensorflowlite", "text.parse_math": False,
            "font.size": _TEXT, "axes.unicode_minus": True, "axes.formatter.useoffset": False,
            "axes.formatter.limits": (-4, 5), "axes.formatter.use_mathtext": False,
        })  # fmt: skip
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        yield figure, made
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(made, format="svg", metadata=metadata, transparent=True)


def _scale(axes: Any, columns: list[Sequence[float | None]], log: bool) -> None:
    held = np.concatenate([_numbers(column) for column in columns] or [np.zeros(0)])
    held = held[np.isfinite(held)]
    if log and held.size and held.min() > 0 and held.max() > 8 * held.min():
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes.set_yscale("log")
        subs = (1.0,) if held.max() > 300 * held.min() else (1.0, 2.0, 5.0)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=9))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _trim(axes: Any, label: str, whole: bool, grid: bool = True) -> None:
    if whole:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.set_xlabel(label, color=QUIET, fontsize=_TEXT)
    axes.patch.set_visible(False)
    axes.margins(x=0.02)
    axes.tick_params(length=0, pad=5, labelsize=_TEXT, labelcolor=QUIET, which="both")
    if grid:
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], float)


def _short(name: str) -> str:
    name = safe(name)
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]


def _svg(made: io.BytesIO, key: str, about: str) -> str:
    text = made.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], key), text)
    text = re.sub(r"<g/>|<defs>\s*</defs>", "", text)
    text = re.sub(r"^<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", _head(about), text, count=1)
    return re.sub(r"\n\s*", "\n", text).strip()


def _tag(tag: str, key: str) -> str:
    """Return a tag as the page has it; texts between tags stay as they are."""
    # Names of parts mean nothing here; those that are referred to are told apart by the plot.
    tag = re.sub(r' id="[^"]*_\d+"| transform="rotate\(-0 [^"]*"', "", tag)
    tag = re.sub(r'( id="| xlink:href="#|url\(#)(?=[a-z])', rf"\g<1>{key}-", tag)
    tag = re.sub(r"font-family: [^;]*; ", "", tag)
    return re.sub(r"#[01][0-9a-f]{5}", lambda found: _COLOURS.get(found[0], found[0]), tag)


def _head(about: str) -> str:
    said = html.escape(safe(about)[:4000], quote=True).replace("\\", r"\\")
    return (
        r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1" role="img" '
        rf'aria-label="{said}">'
    )
