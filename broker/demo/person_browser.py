"""A person's browser for the headless journey: cookies, links and forms, no scripts."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from broker.demo.wire import TIMEOUT_SECONDS

MAX_HOPS = 20


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, and what it carries besides the button."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    submits_itself: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser shows: the address, the status, the text, forms and links."""

    url: str
    status: int
    text: str
    forms: tuple[Form, ...]
    links: tuple[str, ...]

    def form_with(self, name: str, value: str = "") -> Form:
        """The form that has the button `name`, with that value if one is given. Raises LookupError."""
        for form in self.forms:
            if any(button == name and value in ("", given) for button, given in form.buttons):
                return form
        raise LookupError(f"{self.url} ({self.status}) has no button {name} {value}".rstrip())

    def form_to(self, part: str) -> Form:
        """The form whose action contains `part`. Raises LookupError."""
        for form in self.forms:
            if part in form.action:
                return form
        raise LookupError(f"{self.url} ({self.status}) has no form to {part}")

    def link_to(self, part: str) -> str:
        """The first link that contains `part`. Raises LookupError."""
        for link in self.links:
            if part in link:
                return link
        raise LookupError(f"{self.url} ({self.status}) has no link to {part}")

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address."""
        return dict(parse_qsl(urlsplit(self.url).query))


class PersonBrowser:
    """Follows redirects like a browser, but stops before an address that begins with `stop_at`."""

    def __init__(self, stop_at: str = "") -> None:
        self._stop_at = stop_at
        self._http = httpx2.Client(follow_redirects=False, timeout=TIMEOUT_SECONDS, trust_env=False)

    def open(self, url: str) -> Page:
        """Go to an address."""
        return self._arrive("GET", url, {})

    def press(self, page: Page, form: Form, name: str = "", value: str = "") -> Page:
        """Submit a form of the page by a button."""
        data = {**form.fields, **({name: value} if name else {})}
        return self._arrive(form.method, urljoin(page.url, form.action or page.url), data)

    def close(self) -> None:
        """Close the browser."""
        self._http.close()

    def _arrive(self, method: str, url: str, data: dict[str, str]) -> Page:
        for _ in range(MAX_HOPS):
            if self._stop_at and url.startswith(self._stop_at):
                return Page(url, 0, "", (), ())
            response = self._send(method, url, data)
            if response.is_redirect:
                url, method, data = urljoin(url, response.headers["location"]), "GET", {}
                continue
            onward = _refresh_target(response)
            if onward:
                url, method, data = urljoin(url, onward), "GET", {}
                continue
            page = _read(url, response)
            waiting = next((form for form in page.forms if form.submits_itself), None)
            if waiting is None:
                return page
            url, method, data = urljoin(url, waiting.action), waiting.method, waiting.fields
        raise RuntimeError(f"Too many redirects, last to {url}")

    def _send(self, method: str, url: str, data: dict[str, str]) -> httpx2.Response:
        if method == "GET":
            return self._http.get(url, params=data or None)
        parts = urlsplit(url)
        return self._http.post(url, data=data, headers={"Origin": f"{parts.scheme}://{parts.netloc}"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "form":
            self._is_open = True
            method = given.get("method", "get").upper()
            self.forms.append(Form(given.get("action", ""), method, submits_itself="data-submit" in given))
        elif self._is_open and tag == "input" and given.get("name"):
            self._add_field(given)
        elif self._is_open and tag == "button" and given.get("type", "submit") == "submit":
            self.forms[-1].buttons.append((given.get("name", ""), given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_open = False

    def _add_field(self, given: dict[str, str]) -> None:
        if given.get("type") in {"radio", "checkbox"} and "checked" not in given:
            return
        self.forms[-1].fields[given["name"]] = given.get("value", "")


def _refresh_target(response: httpx2.Response) -> str:
    """Where a page goes on to by itself, or nothing."""
    delay, _, target = response.headers.get("refresh", "").partition(";")
    return target.strip().removeprefix("url=") if delay.strip() == "0" else ""


def _read(url: str, response: httpx2.Response) -> Page:
    reader = _Reader()
    if "html" in response.headers.get("content-type", ""):
        reader.feed(response.text)
    return Page(url, response.status_code, response.text, tuple(reader.forms), tuple(reader.links))
