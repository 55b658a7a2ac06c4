"""Pictures of pages in both themes and two sizes, and the checks that every picture has to pass."""

import os
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.visitor import DESKTOP, PHONE, Scheme, Visitor

ROOT = Path(__file__).resolve().parents[2]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
MOST_STOPS = 24
TABLET = (768, 1024)
"""Checked like the others; no picture is kept."""
_LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")

# The ring of the element that has the focus, as sum of its outline's width and its shadow.
_RING = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one);
  const outline = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
  const box = one.getBoundingClientRect();
  const isSeen = outline >= 2 || style.boxShadow !== "none";
  return { html: one.outerHTML.slice(0, 100), isSeen: isSeen, isThere: box.width > 0 && box.height > 0,
    key: one.tagName + Math.round(box.x) + "," + Math.round(box.y + window.scrollY) };
}"""


def pictures_folder() -> Path:
    """Where pictures are left: in what CI keeps, else below ``build``."""
    given = os.environ.get("BROKER_TEST_OUTPUT") or os.environ.get("CI_OUTPUT")
    folder = (Path(given) if given else ROOT / "build" / "ci-output") / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Gallery:
    """Takes the pictures of one visitor's pages; `problems` lists what is wrong with any of them."""

    def __init__(self, visitor: Visitor) -> None:
        self.problems: list[str] = []
        self._visitor = visitor
        self._folder = pictures_folder()

    def take(self, name: str, *, status: int = 200) -> None:
        """Take the page that is shown in every theme and size, check each; `status` is what it must be."""
        shown = self._visitor.answers[-1].status
        if shown != status:
            self.problems.append(f"{name}: answered {shown}, not {status}")
        self.check(name, is_kept=True)

    def check(self, name: str, *, is_kept: bool = False) -> None:
        """Check the page that is shown in every theme and size, and keep pictures if wanted."""
        page = self._visitor.page
        for width, height in (PHONE, TABLET, DESKTOP):
            page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                where = f"{name}-{scheme}-{width}"
                self.problems += [f"{where}: {problem}" for problem in page.evaluate(_LOOK)]
                if is_kept and width != TABLET[0]:
                    page.screenshot(path=self._folder / f"{where}.png", full_page=True)
        self._look_at_focus(page, name)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.problems += [f"{name}: {fault}" for fault in self._visitor.faults]
        self._visitor.faults.clear()

    def _look_at_focus(self, page: Page, name: str) -> None:
        """Walk the page by the Tab key: every stop has a visible ring and is on the page."""
        passed: set[str] = set()
        for _ in range(MOST_STOPS):
            page.keyboard.press("Tab")
            ring = page.evaluate(_RING)
            if ring is None or ring["key"] in passed:
                break
            passed.add(ring["key"])
            if not ring["isSeen"] or not ring["isThere"]:
                self.problems.append(f"{name}: the focus cannot be seen on {ring['html']}")
        page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
