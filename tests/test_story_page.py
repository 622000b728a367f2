"""The page of a story as text: it is one file, asks for nothing, and no name breaks out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tensorflowlite.story import page
from tensorflowlite.story.page import render

CHECKOUT = Path(__file__).resolve().parents[1]
HOSTILE = "</script><script>alert(1)</script><!--<script> & \u2028\u2029 \"quoted' \\ \ud800"


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style") and data.strip():
            self.texts.append((self.found[-1][0], data))


def story(name: str) -> str:
    return json.dumps({"version": 1, "title": name, "modules": [{"path": name}]})


def digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_name_breaks_out(ascii_only: bool) -> None:
    text = render(json.dumps({"title": HOSTILE}, ensure_ascii=ascii_only), HOSTILE)
    elements = Elements(text)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2
    assert tags.count("style") == 1
    assert not {"img", "iframe", "link", "object", "embed", "base"} & set(tags)
    data = next(data for kind, data in elements.texts if kind == "script")
    assert not re.search("[<>&\u2028\u2029]", data)
    assert json.loads(data) == {"title": HOSTILE}
    assert text.encode().decode() == text


def test_it_asks_for_nothing() -> None:
    text = render(story("a"), "A page")
    elements = Elements(text)
    for _, attributes in elements.found:
        assert not {"src", "href", "srcset", "data", "action", "style"} & set(attributes)
    (style,) = [data for kind, data in elements.texts if kind == "style"]
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", style)) <= {
        "#arrow-idle", "#arrow-forward", "#arrow-backward"
    }  # fmt: skip
    script = elements.texts[-1][1]
    # Namespaces and the addresses in licences aren't fetched; nothing that fetches is there.
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|importScripts|\bimport\(", script)
    assert not re.search(r"\beval\(|new Function\(|innerHTML|document\.write", script)


def test_its_policy_allows_its_own_script_and_style_alone() -> None:
    elements = Elements(render(story("a"), "A page"))
    (policy,) = [
        attributes["content"]
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (style,) = [data for kind, data in elements.texts if kind == "style"]
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'{digest(elements.texts[-1][1])}'",
        "style-src": f"'{digest(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_it_has_the_bundle_and_the_notices_of_what_is_bundled() -> None:
    text = render(story("a"), "A page")
    folder = Path(page.__file__).parent
    for name in ("story.js", "story.css"):
        assert (folder / name).read_text(encoding="utf-8") in text
    assert text.count("Permission is hereby granted") == 2
    assert "<title>A page</title>" in text


def test_title_is_text() -> None:
    text = render(story("a"), "<b>1 & 2</b>")
    assert "<title>&lt;b&gt;1 &amp; 2&lt;/b&gt;</title>" in text


@pytest.mark.skipif(not (CHECKOUT / "page").is_dir(), reason="the tests lie outside a checkout")
def test_the_bundle_is_of_these_sources() -> None:
    sources = CHECKOUT / "page"
    names = ["build.mjs", "package-lock.json"]
    for folder in ("src", "style"):
        names += [f"{folder}/{path.name}" for path in (sources / folder).iterdir()]
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(f"{name}\0".encode())
        found.update((sources / name).read_bytes())
    bundle = (Path(page.__file__).parent / "story.js").read_text(encoding="utf-8")
    assert found.hexdigest() in bundle[:200], "page/ has changed since; run: make page"


@pytest.mark.skipif(not (CHECKOUT / "page").is_dir(), reason="the tests lie outside a checkout")
def test_sources_stay_readable() -> None:
    long = {
        path.name: count
        for path in (CHECKOUT / "page" / "src").glob("*.ts")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
    lock = (CHECKOUT / "page" / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock
    assert "http" not in re.sub(r'"url": "[^"]*"', "", lock)
