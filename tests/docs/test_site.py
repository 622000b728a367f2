"""The built site, in site/: every public name with its text, nothing from elsewhere."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

import tensorflowlite as tfl
from tests.test_public import OBJECTS, PLACES, Public, names_of, place

SITE = Path(__file__).resolve().parents[2] / "site"
REFERENCE = {path.stem: path.read_text("utf-8") for path in (SITE / "reference").glob("*.html")}
WHOLE = "\n".join(REFERENCE.values())
ANCHORS = {
    anchor: match.end()
    for match in re.finditer(r'<(?:h\d|div|a|span)[^>]* id="(tensorflowlite\.[\w.]+)"', WHOLE)
    for anchor in [match[1]]
}


def words(text: str) -> str:
    """A text without tags and line ends, as one line of words."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).replace("`", "").split())


def test_every_public_name_is_named() -> None:
    missing = []
    for module in map(place, PLACES):
        prefix = module.__name__.replace("tensorflowlite", "tfl", 1)
        for name in names_of(module):
            path = f"{prefix}.{name}"
            is_module = isinstance(getattr(module, name), type(tfl))
            if not is_module and not re.search(rf"[>\s]{re.escape(path)}[<\s]", WHOLE):
                missing.append(path)
    assert not missing


FUNCTIONS = [one for one in OBJECTS if one.owner is None]


@pytest.mark.parametrize("item", FUNCTIONS, ids=lambda item: item.path)
def test_a_public_object_has_its_docstring(item: Public) -> None:
    """The first sentence, and the examples, stand after the object's anchor."""
    start = ANCHORS[item.path.replace("tfl", "tensorflowlite", 1)]
    end = min((place for place in ANCHORS.values() if place > start + 400), default=None)
    shown = words(WHOLE[start : (end or len(WHOLE)) + 6000])
    summary = words(item.doc.partition("\n\n")[0]).replace("*", "")
    assert summary in shown.replace("*", ""), f"{item.path}: {summary!r} isn't there"


@pytest.mark.parametrize(
    "path", ["tfl.tanh", "tfl.matmul", "tfl.nn.Linear", "tfl.optim.AdamW", "tfl.nn.Module.to"]
)
def test_signatures_and_parameters_are_there(path: str) -> None:
    start = ANCHORS[path.replace("tfl", "tensorflowlite", 1)]
    shown = words(WHOLE[start : start + 30_000])
    short = path.rpartition(".")[2]
    signature = shown.partition("Parameters:")[0].partition("Bases:")[0]
    assert re.search(rf"\b{short} ?\(", signature), f"{path} has no signature"
    if path != "tfl.nn.Module.to":
        assert re.search(r"Parameters: \w+ ", shown) and "Examples: >>>" in shown


def test_types_stand_as_they_are_written() -> None:
    assert "Tensor, shape (..., m, k) or (k,)" in words(REFERENCE["products"])


PAGES = sorted(SITE.rglob("*.html"))


def test_nothing_is_loaded_from_elsewhere() -> None:
    """Scripts, styles, fonts, pictures and frames lie in the site."""
    assert len(PAGES) > 40
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", text):
            found = re.search(r'(?:src|href)="?((?:https?:)?//[^" >]+)', tag)
            assert not found or 'rel="canonical"' in tag, f"{page.name}: {tag}"
        for link in re.findall(r'<(?:script|img|iframe)[^>]* src="([^":#?]+)[#?"]', text):
            # Only 404.html, which a server shows anywhere, names paths from the root.
            folder = SITE if link.startswith("/") else page.parent
            assert (folder / link.lstrip("/")).is_file(), f"{page.name}: {link}"


def test_the_search_has_an_index() -> None:
    index = (SITE / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "Hyperbolic tangent" in index
