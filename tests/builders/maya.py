"""Maya at her browser: she signs in when asked, allows what is asked, and counts both."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.demo.person_browser import Page, PersonBrowser
from broker.demo.world import World as DemoWorld

RUN_SECONDS = 60


@dataclass
class Maya:
    """A person of the demo world; her browser stops before an address that begins with ``callback``."""

    world: DemoWorld
    callback: str
    provider: str = "okta"
    sign_ins: int = 0
    consents: int = 0
    browser: PersonBrowser = field(init=False)

    def __post_init__(self) -> None:
        self.browser = PersonBrowser(stop_at=self.callback)

    def follow(self, url: str) -> Page:
        """Go to an authorization endpoint and do what the pages ask; return where that ends."""
        page = self.browser.open(url)
        if any(f"/sign-in/{self.provider}" in link for link in page.links):
            self.sign_ins += 1
            page = self._sign_in(page)
        if not page.url.startswith(self.callback):
            self.consents += 1
            form = page.form_with("decision", "allow")
            page = self.browser.press(page, form, "decision", "allow")
        assert page.url.startswith(self.callback), (page.url, page.status, page.text[:2000])
        return page

    def _sign_in(self, chooser: Page) -> Page:
        link = chooser.link_to(f"/sign-in/{self.provider}")
        origin = chooser.url.partition("/t/")[0]
        login = self.browser.open(link if link.startswith("http") else origin + link)
        return self.browser.press(login, login.form_with("person", "maya"), "person", "maya")


def run_with_browser(
    node: str, script: Path, folder: Path, setting: Mapping[str, Any], maya: Maya
) -> dict[str, Any]:
    """Run a script that asks for a browser by ``{"open": URL}``; return its ``{"result": …}``.

    Raises ``AssertionError`` with what the script said when it ends without one.
    """
    path = folder / "setting.json"
    path.write_text(json.dumps(setting))
    program = subprocess.Popen(
        ["timeout", str(RUN_SECONDS), node, str(script), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdin
    assert program.stdout
    assert program.stderr
    with program:
        for line in program.stdout:
            told = json.loads(line)
            if "open" not in told:
                result: dict[str, Any] = told["result"]
                return result
            program.stdin.write(f"{maya.follow(told['open']).url}\n")
            program.stdin.flush()
        raise AssertionError(program.stderr.read())
