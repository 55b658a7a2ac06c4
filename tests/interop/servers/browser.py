"""A person with a browser, over plain HTTP: follows redirects, fills in forms, carries answers back."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2

MAX_STEPS = 20


@dataclass
class Form:
    """One HTML form with its fields as a browser would send them."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """What the browser was about to send when it was stopped."""

    method: str
    url: str
    form: dict[str, str]


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = attributes.get("method", "get").upper()
            self.forms.append(Form(attributes.get("action", ""), method))
        elif self.forms and tag == "input" and attributes.get("name"):
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")


def read_forms(response: httpx2.Response) -> list[Form]:
    """Return the forms of a page, their actions made absolute."""
    reader = _FormReader()
    reader.feed(response.text)
    for form in reader.forms:
        form.action = urljoin(str(response.url), form.action)
    return reader.forms


def walk(
    client: httpx2.Client, start_url: str, provider_url: str, user: str, password: str, stop_at: str = ""
) -> httpx2.Response | Delivery:
    """Go from `start_url` through the provider's pages and return where the browser ends up.

    Forms on the provider's own pages are filled in and sent, those elsewhere are not. With `stop_at`, the
    request that would go to an address beginning with it is returned instead of sent.
    """
    method, url, fields, has_tried = "GET", start_url, {}, False
    for _ in range(MAX_STEPS):
        if stop_at and url.startswith(stop_at):
            return Delivery(method, url, fields)
        response = client.request(method, url, data=fields or None, follow_redirects=False)
        if response.is_redirect:
            method, url, fields = "GET", urljoin(str(response.url), response.headers["location"]), {}
            continue
        forms = read_forms(response) if _origin(str(response.url)) == _origin(provider_url) else []
        asks = bool(forms) and "password" in forms[0].fields
        if not forms or (asks and has_tried):
            return response
        method, url, fields = forms[0].method, forms[0].action, dict(forms[0].fields)
        if asks:
            has_tried = True
            fields |= {"username": user, "password": password}
    raise AssertionError(f"the browser is going in circles at {url}")


class VisitedProvider:
    """A provider at `base_url` whose own pages people walk through."""

    base_url: str

    def browser(self) -> httpx2.Client:
        """Return a new browser."""
        return httpx2.Client(timeout=30, trust_env=False)

    def sign_in(self, client: httpx2.Client, start_url: str, user: str, password: str) -> httpx2.Response:
        """Go from `start_url` through the provider as `user`; return the page that the browser ends at."""
        found = walk(client, start_url, self.base_url, user, password)
        assert isinstance(found, httpx2.Response)
        return found

    def answer(self, start_url: str, user: str, password: str, callback_url: str) -> Delivery:
        """Return what the browser would bring to `callback_url`, in a new browser."""
        with self.browser() as client:
            found = walk(client, start_url, self.base_url, user, password, stop_at=callback_url)
        assert isinstance(found, Delivery), found.text[:2000]
        return found


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
