"""What the tests of the page share: a Chromium without a network, and pages that keep quiet."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tensorflowlite.story.page import render

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
WIDTHS = {"phone": 390, "tablet": 1024, "desk": 1600}
THEMES = ("light", "dark")


def chromium() -> str:
    """The browser's path. Without one the test is skipped; in CI it fails."""
    named = os.environ.get("TENSORFLOWLITE_BROWSER", "")
    found = shutil.which(named) if named else shutil.which("chromium")
    if found is None:
        wanted = named or "chromium"
        reason = f"no browser: {wanted} isn't installed; TENSORFLOWLITE_BROWSER names another"
        if named or os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def write(folder: Path, story: dict[str, Any], name: str = "story") -> str:
    """Write a story's page, and return its address."""
    path = folder / f"{name}.html"
    text = json.dumps(story, ensure_ascii=False)
    path.write_text(render(text, story["title"]), encoding="utf-8")
    return path.as_uri()


@contextmanager
def opened(
    browser: Browser, address: str, *, width: int = 1600, height: int = 900,
    theme: str = "light", still: bool = True,
) -> Iterator[Page]:  # fmt: skip
    """Open a page from disk with the network off; complaints and requests fail the test."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce" if still else "no-preference",
        offline=True,
    )
    asked: list[str] = []
    complaints: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.goto(address)
    try:
        yield page
        assert complaints == []
        assert {one.split("#")[0] for one in asked} == {address.split("#")[0]}
    finally:
        context.close()


def announced(page: Page) -> str:
    return page.locator("#announcement").inner_text()


def steps_of(page: Page) -> int:
    return int(page.get_by_role("slider", name="Step").get_attribute("max") or 0) + 1


def place(page: Page) -> tuple[int, int]:
    """The iteration and the step in the address."""
    address = page.evaluate("location.href")  # page.url learns of it later
    found = dict(part.split("=") for part in address.split("#")[1].split("&"))
    return int(found["i"]), int(found["s"])


def violations(page: Page) -> list[str]:
    """What axe finds, a line each."""
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = {"runOnly": {"type": "tag", "values": rules}}
    found = Axe().run(page, options=options).response["violations"]

    def place_of(node: dict[str, str]) -> str:
        return f"{node['html'][:160]} {node.get('failureSummary', '')[:200]}"

    return [
        f"{one['id']}: {one['help']}: " + " | ".join(map(place_of, one["nodes"][:4]))
        for one in found
    ]
