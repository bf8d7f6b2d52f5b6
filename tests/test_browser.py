"""What a visitor meets: pages opened in headless Chromium, offline but for the server itself."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.served import kernels, server, wait_for, write_notebooks

CHROMIUM = shutil.which("chromium")
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

pytestmark = [
    pytest.mark.browser,
    # A machine without Chromium may skip these; CI may not.
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed"),
]

PIXELS = """() => {
  let hash = 17, seen = 0;
  const visit = root => root.querySelectorAll("*").forEach(e => {
    if (e.shadowRoot) visit(e.shadowRoot);
    if (e.tagName !== "CANVAS" || e.width < 200 || e.height < 100 || !e.getClientRects().length) return;
    const words = new Uint32Array(e.getContext("2d").getImageData(0, 0, e.width, e.height).data.buffer);
    for (let i = 0; i < words.length; i += 5) { hash = (Math.imul(hash, 31) + words[i]) | 0; if (words[i]) seen++; }
  });
  visit(document);
  return seen ? hash : null;
}"""
# Milliseconds from the key press to the first animation frame with other pixels, -1 after three seconds.
WATCH = """pixels => { const look = eval(pixels), before = look(); window.changed = null;
  addEventListener("keydown", () => { const start = performance.now();
    const frame = () => look() !== before ? window.changed = performance.now() - start
      : performance.now() - start > 3000 ? window.changed = -1 : requestAnimationFrame(frame);
    requestAnimationFrame(frame); }, {once: true, capture: true}); }"""


@dataclass
class Visit:
    """A page and what went wrong on it."""

    page: Any
    started: float
    complaints: list[str] = field(default_factory=list)

    def wait(self, selector: str, seconds: float = 60) -> float:
        """Seconds from the start of the visit until ``selector`` is visible."""
        self.page.wait_for_selector(selector, timeout=1000 * seconds)
        return time.monotonic() - self.started

    def press(self, slider: Any, times: int, enough: int = 0) -> list[float]:
        """Milliseconds from key to pixels, once per press, there and back; no further than ``enough`` answers, if given."""
        taken: list[float] = []
        for i in range(times):
            if enough and sum(t > 0 for t in taken) >= enough:
                break
            self.page.evaluate(WATCH, PIXELS)
            slider.focus()
            self.page.keyboard.press("ArrowRight" if (i // 2) % 2 == 0 else "ArrowLeft")
            self.page.wait_for_function("() => window.changed !== null", timeout=10_000)
            taken.append(self.page.evaluate("() => window.changed"))
            self.page.wait_for_timeout(150)
        return taken


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "CI must install chromium"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


def visit(browser: Any, url: str, width: int = 1280) -> Visit:
    page = browser.new_page(viewport={"width": width, "height": 900})
    seen = Visit(page, time.monotonic())

    def local_only(route: Any) -> None:
        if route.request.url.startswith(("http://localhost:", "data:", "blob:")):
            route.continue_()
        else:
            seen.complaints.append(f"asks another host: {route.request.url}")
            route.abort()

    page.route("**/*", local_only)
    page.on("console", lambda m: seen.complaints.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda e: seen.complaints.append(f"error: {e}"))
    page.on("response", lambda r: seen.complaints.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.goto(url, wait_until="commit")
    return seen


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(write_notebooks(tmp_path_factory.mktemp("notebooks")), preheat=()) as (address, _):
        yield address


@pytest.fixture(scope="module")
def left_alone(browser: Any, site: str) -> Visit:
    """A page that is open while other tests run."""
    page = visit(browser, site + "demo.ipynb")
    page.wait(".noUi-handle")
    return page


def test_page_says_what_it_waits_for_then_lives(browser, site, left_alone):
    page = visit(browser, site + "demo.ipynb")
    page.wait("#loading_text")
    assert page.page.inner_text("#loading h1") == "A demo"
    page.wait(".noUi-handle")
    page.page.wait_for_function(f"() => ({PIXELS})() !== null")
    assert page.page.title() == "A demo"
    times = page.press(page.page.locator(".noUi-handle"), 8)
    assert min(times) > 0, f"the plot did not follow the slider: {times}"
    assert min(times) > 0, times
    assert page.complaints == []
    page.page.close()


def test_code_is_hidden_and_formulas_are_set(browser, site):
    page = visit(browser, site + "demo.ipynb")
    page.wait(".noUi-handle")
    assert "ipywidgets" not in page.page.inner_text("body")
    assert page.page.locator("mjx-container, .MathJax").count() > 0
    page.page.close()


@pytest.mark.parametrize("width", [768, 1280])
def test_index_leads_to_the_page_and_nothing_is_cut_off(browser, site, width):
    page = visit(browser, site, width)
    page.wait("text=demo")
    page.page.click("a:has-text('demo')")
    page.wait(".noUi-handle")
    assert page.page.url == site + "demo.ipynb"
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.complaints == []
    page.page.close()


def test_closing_a_page_ends_its_kernel(browser, tmp_path):
    with server(write_notebooks(tmp_path), preheat=()) as (address, process):
        page = visit(browser, address + "demo.ipynb")
        page.wait(".noUi-handle")
        assert len(kernels(process)) == 1
        page.page.goto("about:blank")
        page.page.wait_for_timeout(500)  # lets the page's last request out
        assert wait_for(lambda: not kernels(process), 10)  # idle kernels would live for 10 minutes
        assert page.complaints == []


def test_preheated_page_is_usable(browser, tmp_path):
    with server(write_notebooks(tmp_path), preheat=("demo",)) as (address, _):
        time.sleep(4)  # the kernel in reserve runs the notebook
        page = visit(browser, address + "demo.ipynb")
        page.wait(".noUi-handle")
        assert page.complaints == []
        page.page.close()


@pytest.fixture(scope="module")
def ours() -> Iterator[str]:
    with server(NOTEBOOKS, preheat=()) as (address, _):
        yield address


#: Pages of each kind: two masses and a count, a peak in hundreds of masses with variants; the others with -m study.
KINDS = {"index", "dark_higgsstrahlung", "alp_diphoton"}
PAGES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in KINDS else [pytest.mark.study]) for name in PAGES])
def test_every_page_of_ours_is_live_and_without_complaint(browser, ours, name):
    page = visit(browser, f"{ours}{name}.ipynb")
    page.wait("#rendered_cells", 150)  # the kernel is cold and another process runs tests on the same two cores
    page.page.wait_for_timeout(3000)
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    sliders = page.page.locator(".noUi-handle")
    if name != "index":
        assert sliders.count() > 0, "a search's page has sliders"
    for slider in sliders.all():
        if not slider.is_visible():
            continue
        label = slider.evaluate("e => e.closest('.widget-slider, .jupyter-widgets')?.querySelector('label')?.textContent ?? ''")
        times = page.press(slider, 8, enough=1)
        assert max(times) > 0, f"nothing follows the slider {label!r}"
    assert page.complaints == []
    page.page.close()


@pytest.mark.slow
def test_a_page_left_alone_for_longer_than_the_ping_interval_still_answers(left_alone):
    """The server pings every 30 s and once closed pages that answered in time."""
    left_alone.page.wait_for_timeout(1000 * max(0.0, 65 - (time.monotonic() - left_alone.started)))
    left_alone.page.bring_to_front()
    assert min(left_alone.press(left_alone.page.locator(".noUi-handle"), 4)) > 0
    left_alone.page.close()
