"""A page's generated fields as a browser would send them unchanged."""

from html.parser import HTMLParser
from typing import Any

from werkzeug.test import TestResponse

_PREFIXES = ("set-", "take-", "kept-", "filled")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Any] = {}
        self._area = ""
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        is_sent = given.get("type") != "checkbox" or "checked" in given
        if tag == "input" and name.startswith(_PREFIXES) and is_sent:
            value = given.get("value", "")
            before = self.found.get(name)
            # Boxes of one name are sent together.
            is_more = given.get("type") == "checkbox" and before is not None
            self.found[name] = (
                [*([before] if isinstance(before, str) else before), value] if is_more else value
            )
        elif tag == "textarea" and name.startswith(_PREFIXES):
            self._area = name
            self.found[name] = ""
        elif tag == "select" and name.startswith(_PREFIXES):
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.found):
            self.found[self._select] = given["value"]

    def handle_data(self, data: str) -> None:
        if self._area:
            self.found[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._select = ""


def shown(page: TestResponse) -> dict[str, Any]:
    """The generated fields of a page with the values that it shows."""
    reader = _Reader()
    reader.feed(page.text)
    return reader.found
