"""A page's generated fields as a browser would send them unchanged."""

from html.parser import HTMLParser

from werkzeug.test import TestResponse

_PREFIXES = ("set-", "take-", "filled")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._area = ""
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        is_sent = given.get("type") != "checkbox" or "checked" in given
        if tag == "input" and name.startswith(_PREFIXES) and is_sent:
            self.found.setdefault(name, given.get("value", ""))
        elif tag == "textarea":
            self._area = name
            self.found[name] = ""
        elif tag == "select":
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


def shown(page: TestResponse) -> dict[str, str]:
    """The generated fields of a page with the values that it shows, of several boxes the first."""
    reader = _Reader()
    reader.feed(page.text)
    return reader.found
