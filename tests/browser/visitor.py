"""A person's browser: real cookies and clicks, and a note of everything that must not happen on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, Response, expect

PATIENCE_MS = 10_000
Scheme = Literal["light", "dark"]
DESKTOP = (1280, 800)
PHONE = (360, 640)

# Chromium also writes violations to the console; the event tells the directive.
_WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error("CSP " + event.effectiveDirective + " blocked " + event.blockedURI));
"""


class Visitor:
    """One browser context with its own cookies; `faults` lists console errors, dialogs and violations."""

    def __init__(
        self,
        browser: Browser,
        *,
        has_scripts: bool = True,
        scheme: Scheme = "light",
        size: tuple[int, int] = DESKTOP,
    ) -> None:
        self.faults: list[str] = []
        self.origins: set[str] = set()
        self.answers: list[Response] = []
        self.context = browser.new_context(
            java_script_enabled=has_scripts,
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(_WATCH_POLICY)
        self.context.on("request", self._note_request)
        self.context.on("console", self._note_console)
        self.context.on("dialog", self._note_dialog)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("response", self._note_response)

    def open(self, url: str) -> int:
        """Go to an address and return the status of the page it ends at."""
        response = self.page.goto(url)
        assert response is not None, f"{url} is the page that is open already"
        return response.status

    def press(self, name: str, *, exact: bool = True) -> None:
        """Press the one button of that name and wait for what comes."""
        self.page.get_by_role("button", name=name, exact=exact).click()
        self.page.wait_for_load_state()

    def follow(self, name: str) -> None:
        """Follow the one link of that name."""
        self.page.get_by_role("link", name=name, exact=True).click()
        self.page.wait_for_load_state()

    def sees(self, words: str) -> None:
        """Assert that the page shows the words, now or in a moment."""
        shown = self.page.get_by_text(words, exact=False).filter(visible=True)
        expect(shown.first).to_be_visible(timeout=PATIENCE_MS)

    def sees_heading(self, words: str) -> None:
        """Assert that the page's first heading is these words, now or in a moment."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(words, timeout=PATIENCE_MS)

    def arrives_at(self, url: str) -> None:
        """Wait until the browser is at an address that begins with ``url``."""
        self.page.wait_for_url(lambda at: at.startswith(url), timeout=PATIENCE_MS)

    def cookies(self) -> dict[str, dict[str, object]]:
        """Every cookie that the browser keeps, by name."""
        return {cookie["name"]: dict(cookie) for cookie in self.context.cookies()}

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "about", "blob"}:
            self.origins.add(f"{parts.scheme}://{parts.netloc}")

    def _note_response(self, response: Response) -> None:
        if response.request.is_navigation_request():
            self.answers.append(response)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        is_refused_page = message.text.startswith("Failed to load resource") and any(
            answer.url == message.location["url"] for answer in self.answers
        )
        # A page that is answered with a refusal, and rightly so, is no error of the page.
        if not is_refused_page:
            self.faults.append(f"{message.text} ({message.location['url']})")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def visiting(
    browser: Browser, *, has_scripts: bool = True, scheme: Scheme = "light", size: tuple[int, int] = DESKTOP
) -> Iterator[Visitor]:
    """Yield a new visitor and close it; whoever leaves without an error must have met no fault."""
    visitor = Visitor(browser, has_scripts=has_scripts, scheme=scheme, size=size)
    try:
        yield visitor
        assert visitor.faults == []
    finally:
        visitor.context.close()
