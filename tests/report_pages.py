"""Reading a report's page, and what holds for every one."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """A page: its tags, ids, texts and tables, and whether all that was opened was closed."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.images: list[str] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style",):
            self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.tags if name in attrs]


def check_page(path: Path) -> Page:
    """A page is whole, small, still, alone, and says what each picture shows."""
    page = Page(path)
    assert path.stat().st_size < 3_000_000
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "iframe", "object", "embed", "link", "form", "base"}
    assert not [one for _, attrs in page.tags for one in attrs if one.startswith("on")]
    for name in ("src", "href", "xlink:href", "action", "data"):
        for value in page.attributes(name):
            assert value.startswith(("#", "data:image/png;base64,")), value[:60]
    assert "default-src 'none'" in page.source
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    for value in page.attributes("href") + page.attributes("xlink:href"):
        assert not value.startswith("#") or value[1:] in ids
    used = set(re.findall(r"url\(#([^)]*)\)", page.source))
    assert used <= set(ids)
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs["role"] == "img" and len(attrs["aria-label"]) > 10
            assert attrs["viewbox"]
        if tag == "img":
            assert attrs["alt"]
    drawn = page.source.count("<svg")
    assert page.source.count("<figure") == drawn and page.source.count("<details>") >= drawn
    return page
