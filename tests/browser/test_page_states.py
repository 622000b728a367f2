"""The page in many states: odd stories, large ones, axe's rules, pictures of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from .browsing import THEMES, WIDTHS, announced, opened, place, steps_of, violations, write
from .made_story import large_story, small_story
from .odd_stories import HOSTILE, ODD


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    found = {name: write(folder, made(), name) for name, made in ODD.items()}
    found["small"] = write(folder, small_story(), "small")
    found["large"] = write(folder, large_story(5000), "large")
    return found


def fits(page: Page) -> None:
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ODD)
def test_odd_stories_work(browser: Browser, addresses: dict[str, str], name: str) -> None:
    with opened(browser, addresses[name], width=320, height=700) as page:
        fits(page)
        total = steps_of(page)
        seen = {announced(page)}
        for _ in range(min(total, 60) - 1):
            page.keyboard.press("ArrowRight")
            seen.add(announced(page))
            assert page.locator("#step-title").inner_text().strip()
            fits(page)
        assert len(seen) == min(total, 60)
        for key in ("]", "]", "End", "[", "ArrowRight", "Home"):
            page.keyboard.press(key)
        assert page.evaluate("window.broken") is None
    with opened(browser, addresses[name], width=1024, theme="dark") as page:
        fits(page)
        page.keyboard.press("End")
        assert violations(page) == []


def test_code_in_names_stays_text(browser: Browser, addresses: dict[str, str]) -> None:
    with opened(browser, addresses["hostile_names"]) as page:
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.title() == HOSTILE
        for _ in range(steps_of(page) - 1):
            page.keyboard.press("ArrowRight")
            assert page.locator("img, main script").count() == 0
            assert HOSTILE in page.locator("#step").inner_text()
        assert page.evaluate("window.broken") is None


def test_gone_gradients_are_explained(browser: Browser, addresses: dict[str, str]) -> None:
    def text_of(step: int) -> str:
        with opened(browser, f"{addresses['nothing_flows']}#i=0&s={step}") as page:
            return page.locator("#step").inner_text()

    text = text_of(12)
    assert "ends here: a gradient arrived, but the local derivative is zero" in text
    assert "No gradient goes to y: it was cut off by detach (Network)" in text
    assert "what arrived from upstream is already zero" in text_of(14)
    with opened(browser, f"{addresses['nothing_flows']}#i=0&s=16") as page:
        zero = page.locator('.edge.backward[data-carry="zero"]')
        assert zero.count() >= 5
        assert zero.locator(".mark text").first.is_visible()
        assert page.locator('.edge.still[data-carry="cut"] .mark text').first.is_visible()
        states = page.locator(".state").all_inner_texts()
        # What needs a look stands first.
        assert set(states[:4]) == {"zero", "cut", "no backward", "exploded"}
    with opened(browser, f"{addresses['not_finite']}#i=0&s=12") as page:
        assert "NaN or infinity had already arrived" in page.locator("#step").inner_text()
        assert page.locator('.edge.backward[data-carry="broken"] .mark text').first.is_visible()


def test_gradients_run_against_the_values(browser: Browser, addresses: dict[str, str]) -> None:
    ends = """() => [...document.querySelectorAll(".edge.forward path, .edge.backward path")]
      .filter((one) => !one.closest(".legend"))
      .map((one) => [getComputedStyle(one).markerStart !== "none",
                     getComputedStyle(one).markerEnd !== "none"])"""
    with opened(browser, addresses["small"] + "#i=0&s=8") as page:
        forward = page.evaluate(ends)
        assert len(forward) >= 10
        assert all(one == [False, True] for one in forward)
        page.keyboard.press("End")
        backward = page.evaluate(ends)
        assert len(backward) >= 10
        assert all(one == [True, False] for one in backward)
        widths = page.evaluate(
            """() => [...document.querySelectorAll('svg .edge.backward[data-carry="some"] path')]
              .map((one) => getComputedStyle(one).strokeWidth)"""
        )
        assert len(set(widths)) > 3


def test_graph_folds_by_keyboard(browser: Browser, addresses: dict[str, str]) -> None:
    with opened(browser, addresses["small"]) as page:
        nodes = page.locator("svg .node")
        all_of_them = nodes.count()
        fold = page.get_by_role("button", name="Fold residual")
        fold.focus()
        page.keyboard.press("Enter")
        assert nodes.count() == all_of_them - 2  # its parameters are folded with it
        assert page.locator(".node.group").count() == 1
        assert page.get_by_role("button", name="Unfold residual").is_visible()
        page.locator(".node.group").focus()
        page.keyboard.press("Enter")
        assert nodes.count() == all_of_them
        # The focus is on what was unfolded; from there an arrow goes to the next node.
        focused = "document.activeElement.getAttribute('data-node')"
        assert page.evaluate(focused) == "c-2"
        page.keyboard.press("ArrowDown")
        assert page.evaluate(focused) != "c-2"
        page.locator("[data-node='c-3']").focus()
        page.keyboard.press("Enter")
        assert page.locator("#step-title").inner_text() == "add"


def test_large_graph_stays_small(browser: Browser, addresses: dict[str, str]) -> None:
    for name in ("large", "flat_and_large"):
        with opened(browser, addresses[name] + "#i=0&s=2000") as page:
            assert 2 <= page.locator("svg .node").count() <= 60
            page.get_by_role("button", name="Unfold to this step").click()
            here = page.locator(".node.here")
            assert here.get_attribute("aria-label", timeout=1000)
            assert here.get_attribute("class", timeout=1000).split()[1] == "call"  # type: ignore[union-attr]
            for _ in range(40):
                group = page.locator(".node.group").last
                if not group.count():
                    break
                group.dispatch_event("click")
                assert page.locator("svg .node").count() <= 330


def test_large_page_is_quick(browser: Browser, addresses: dict[str, str]) -> None:
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    times: list[float] = []
    for _ in range(3):
        with opened(browser, addresses["large"]) as page:
            page.wait_for_timeout(300)
            times.append(page.evaluate(paint))
    size = Path(addresses["large"].removeprefix("file://")).stat().st_size
    with opened(browser, addresses["large"]) as page:
        count = 40
        started = time.perf_counter()
        for _ in range(count):
            page.keyboard.press("ArrowRight")
        pace = (time.perf_counter() - started) / count
        assert place(page) == (0, count)
    print(
        f"\n5,000 calls, {size / 1e6:.1f} MB: first paint after {min(times):.0f} ms "
        f"(worst of three {max(times):.0f}), a step takes {1000 * pace:.0f} ms"
    )
    assert min(times) < 5000
    assert pace < 1


STATES = {
    "forward": ("small", 1), "loss": ("small", 9), "fused": ("small", 10), "fan-out": ("small", 15),
    "update": ("small", 18), "large": ("large", 5002), "zero": ("nothing_flows", 12),
    "nan": ("not_finite", 12),
}  # fmt: skip


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing(
    browser: Browser, addresses: dict[str, str], width: int, theme: str
) -> None:
    found: dict[str, Any] = {}
    for state, (name, step) in STATES.items():
        address = f"{addresses[name]}#i=0&s={step}"
        with opened(browser, address, width=width, theme=theme) as page:
            for details in page.locator("details").all():
                details.evaluate("one => { one.open = true }")
            if wrong := violations(page):
                found[state] = wrong
            fits(page)
    assert found == {}


def test_pictures(browser: Browser, addresses: dict[str, str]) -> None:
    """Pictures of every state, for people to look at."""
    folder = os.environ.get("TENSORFLOWLITE_SCREENSHOTS", "")
    for state, (name, step) in STATES.items():
        for size, width in WIDTHS.items():
            for theme in THEMES:
                address = f"{addresses[name]}#i=0&s={step}"
                with opened(browser, address, width=width, theme=theme) as page:
                    picture = page.screenshot(full_page=True)
                assert picture.startswith(b"\x89PNG")
                if folder:
                    path = Path(folder) / f"{state}-{size}-{theme}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(picture)
