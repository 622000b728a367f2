"""The page in a browser: opened from disk without a network, stepped through by keyboard alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from .browsing import announced, opened, place, steps_of, write
from .made_story import small_story


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("pages"), small_story())


def test_watching_sees_requests_and_errors(browser: Browser, tmp_path: Path) -> None:
    """The checks of `opened` can fail: they do where a page asks for something, or is broken."""
    for body in (
        "<img src='beside.png'>",
        "<script>fetch('http://127.0.0.1:9/').catch(() => 0)</script>",
        "<script>throw new Error('broken')</script>",
        "<script>console.warn('odd')</script>",
    ):
        path = tmp_path / "page.html"
        path.write_text(f"<!DOCTYPE html><title>page</title>{body}", encoding="utf-8")
        with pytest.raises(AssertionError), opened(browser, path.as_uri()) as page:
            page.wait_for_timeout(200)


def test_keys_step_from_end_to_end(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        texts = [announced(page)]
        total = steps_of(page)
        for _ in range(total - 1):
            page.keyboard.press("ArrowRight")
            texts.append(announced(page))
        assert len(set(texts)) == total == 23
        for at, text in enumerate(texts):
            assert text.startswith(f"Step {at + 1} of {total}, ")
        stages = [re.findall(r", (\w+): ", text)[0] for text in texts]
        assert stages == ["forward"] * 9 + ["loss"] + ["backward"] * 7 + ["update"] * 6
        page.keyboard.press("ArrowRight")
        assert announced(page) == texts[-1]
        for at in reversed(range(total - 1)):
            page.keyboard.press("ArrowLeft")
            assert announced(page) == texts[at]
        page.keyboard.press("End")
        assert announced(page) == texts[-1]
        page.keyboard.press("Home")
        assert announced(page) == texts[0]


def test_keys_jump_between_layers(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        found = [0]
        for key in ("]", "PageDown", "]", "]", "]", "]", "]"):
            page.keyboard.press(key)
            found.append(place(page)[1])
        # hidden, tanh in the root, residual, the root, head, no module, the loss, backward
        assert found == [0, 1, 2, 3, 7, 8, 9, 10]
        page.keyboard.press("[")
        page.keyboard.press("PageUp")
        assert place(page)[1] == 8


def test_every_control_is_reached_by_tab_and_shows_focus(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        names: list[str] = []
        for _ in range(150):
            page.keyboard.press("Tab")
            found = page.evaluate(
                """() => {
                  const one = document.activeElement;
                  if (!one || one === document.body) return null;
                  const style = getComputedStyle(one);
                  const box = one.querySelector?.(".box");
                  const ring = box ? parseFloat(getComputedStyle(box).strokeWidth) > 3
                    : style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                  const name = one.getAttribute("aria-label") || one.textContent.trim()
                    || one.id || one.tagName;
                  return [name.slice(0, 60), ring];
                }"""
            )
            if found is None:
                break
            assert found[1], f"{found[0]} shows no focus"
            names.append(found[0])
        else:
            pytest.fail("the focus never left the page: " + ", ".join(names))
        for wanted in (
            "Skip to the step", "Keys", "First step", "Previous step", "Play", "Next step",
            "Last step", "Make the graph larger", "hidden.weight", "Fold hidden",
        ):  # fmt: skip
            assert wanted in names
        assert any(name.startswith("operation linear") for name in names)
        assert any(name.startswith("Theme") for name in names)


def test_buttons_work_by_keyboard(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.get_by_role("button", name="Next step").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Space")
        assert place(page) == (0, 2)
        page.get_by_role("button", name="Last step").focus()
        page.keyboard.press("Enter")
        assert place(page) == (0, 22)
        page.get_by_role("button", name="Backward", exact=False).first.focus()
        page.keyboard.press("Enter")
        assert place(page) == (0, 10)
        page.get_by_role("slider", name="Step").focus()
        page.keyboard.press("ArrowRight")
        assert place(page) == (0, 11)
        # With the keys off, a letter types nothing and an arrow does nothing.
        page.locator("summary", has_text="Keys").focus()
        page.keyboard.press("Enter")
        page.locator("#keys-on").focus()
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
        assert place(page) == (0, 11)


def test_play_goes_on_and_pauses(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.clock.install()
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(3000)
        assert place(page)[1] == 2
        page.get_by_role("button", name="Pause").click()
        page.clock.run_for(6000)
        assert place(page)[1] == 2
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(60_000)
        assert place(page)[1] == 22
        assert page.get_by_role("button", name="Play").is_visible()


def test_a_link_opens_at_its_step(browser: Browser, address: str) -> None:
    with opened(browser, address + "#i=2&s=15") as page:
        assert announced(page).startswith("Step 16 of 23, backward: ")
        assert page.locator(".reading").inner_text().startswith("Iteration 3")
        page.evaluate("location.hash = '#i=1&s=0'")
        expect(page.locator("#announcement")).to_contain_text("Step 1 of")
        assert page.locator(".reading").inner_text().startswith("Iteration 2")
    for wrong in ("#i=99&s=99", "#i=-1&s=x", "#nonsense", "#i=1e9&s=NaN"):
        with opened(browser, address + wrong) as page:
            assert announced(page).startswith("Step ")


def numbers_of(page: Page, name: str) -> list[float]:
    """The exact numbers of a card's table, read from its tooltips."""
    card = page.locator(".value", has=page.locator(f".value-name:text-is({name!r})")).first
    cells = card.locator(".num")
    titles = [cells.nth(i).get_attribute("title") for i in range(cells.count())]
    return [float((title or "0").replace("−", "-")) for title in titles]


def test_chain_rule_stands_there_in_numbers(browser: Browser, address: str) -> None:
    story = small_story()["iterations"][0]
    tanh = next(i for i, flow in enumerate(story["flows"]) if flow["operation"] == "tanh")
    with opened(browser, f"{address}#i=0&s={10 + tanh}") as page:
        assert page.locator("#step-title").inner_text() == "tanh"
        upstream = numbers_of(page, "upstream g")
        local = numbers_of(page, "∂output / ∂x")
        product = numbers_of(page, "∂loss / ∂x")
        assert len(upstream) == len(local) == len(product) == 8
        assert product == pytest.approx([a * b for a, b in zip(upstream, local, strict=True)])
        assert product == pytest.approx(story["flows"][tanh]["parts"][0]["product"]["values"])
        # Its output fans out: the gradient that arrives is the sum of two named terms.
        terms = page.locator(".equation.sum .value")
        assert terms.count() == 3
        heads = terms.locator(".value-name").all_inner_texts()
        assert heads == ["from add (Network), its y", "from linear (residual), its x", "sum"]
        columns = []
        for i in range(3):
            cells = terms.nth(i).locator(".num")
            titles = [cells.nth(k).get_attribute("title") or "0" for k in range(cells.count())]
            columns.append([float(title.replace("−", "-")) for title in titles])
        assert columns[2] == pytest.approx([a + b for a, b in zip(*columns[:2], strict=True)])
        assert columns[2] == pytest.approx(upstream)
        assert "g − g·out²" in page.locator(".formula").inner_text()
        worked = page.locator(".worked").inner_text()
        found = re.findall(r"[−]?[\d.]+", worked.split(":")[1])
        a, b, c = (float(one.replace("−", "-")) for one in found)
        assert c == pytest.approx(a * b, rel=2e-3)


def test_jacobian_and_fused_operation(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}#i=0&s=10") as page:
        assert "Jacobian" in page.locator(".value.local").inner_text()
        assert "log_softmax" in page.locator(".fused").inner_text()
        upstream, local = numbers_of(page, "upstream g"), numbers_of(page, "∂output / ∂logits")
        product = numbers_of(page, "∂loss / ∂logits")
        assert product == pytest.approx([upstream[0] * one for one in local])


def test_update_adds_its_step(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}#i=1&s=17") as page:
        before, step, after = (numbers_of(page, name) for name in ("before", "step", "after"))
        assert len(before) == 12
        assert after == pytest.approx([a + b for a, b in zip(before, step, strict=True)], abs=1e-6)
        text = page.locator("#step").inner_text()
        for wanted in ("exp_avg before", "exp_avg_sq after", "weight_decay", "0.01", "gradient"):
            assert wanted in text


def test_slider_keeps_the_place_in_another_iteration(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}#i=0&s=12") as page:
        slider = page.get_by_role("slider", name="Iteration")
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert place(page) == (1, 12)
        assert "iteration 2, loss" in (slider.get_attribute("aria-valuetext") or "")
        picture = page.get_by_role("img", name=re.compile("Loss over 3 iterations"))
        assert picture.is_visible()
        page.get_by_text("Losses as a table").click()
        expect(page.locator(".as-table tbody tr")).to_have_count(3)


def test_a_reason_leads_to_its_step(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.locator("#why").get_by_role("link", name="hidden.weight").click()
        assert place(page) == (2, 16)
        assert page.locator("#step-title").inner_text() == "linear"
        assert page.locator(".node.on-path").count() == 5
        page.go_back()
        expect(page.locator("#announcement")).to_contain_text("Step 1 of")


def test_theme_is_the_systems_or_the_readers(browser: Browser, address: str) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with opened(browser, address, theme="light") as page:
        light = page.evaluate(ground)
        button = page.get_by_role("button", name="Theme")
        button.click()
        assert page.evaluate(ground) == light
        button.click()
        assert button.inner_text() == "Theme: Dark"
        dark = page.evaluate(ground)
        assert dark != light
    with opened(browser, address, theme="dark") as page:
        assert page.evaluate(ground) == dark


def test_without_storage(browser: Browser, address: str) -> None:
    context = browser.new_context(offline=True)
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
    )
    page.goto(address)
    page.get_by_role("button", name="Theme").click()
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert errors == []
    context.close()
