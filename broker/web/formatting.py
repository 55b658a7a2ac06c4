"""Words for times, durations, counts and ids, the same on every page.

Every function is plain (``now`` is an argument); ``install_formatting`` registers them as Jinja filters
and closes over the clock, so that templates never pass the time themselves.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from markupsafe import Markup

from broker.web.drawing import icon

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 31536000
_UNITS = (("year", _YEAR), ("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE), ("second", 1))
_LONG_ID = 16
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip


class TemplateHost(Protocol):
    """The part of a Flask application that ``install_formatting`` needs."""

    @property
    def jinja_env(self) -> Any:
        """The Jinja environment of the application."""


def absolute_time(at: int) -> str:
    """Return ``at`` (epoch seconds) as "4 March 2026, 09:05 UTC", independent of the server's locale."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"


def relative_time(at: int, now: int) -> str:
    """Return ``at`` seen from ``now`` (both epoch seconds): "3 minutes ago", "in 8 hours", "just now"."""
    distance = abs(at - now)
    if distance < 10:
        return "just now" if at <= now else "in a moment"
    for unit, seconds in _UNITS:
        if distance >= seconds:
            amount = count(distance // seconds, unit)
            return f"in {amount}" if at > now else f"{amount} ago"
    return "just now"


def time_tag(at: int | None, now: int, *, missing: str = "never") -> Markup:
    """Return a ``<time>`` that shows the relative time and tells the absolute one on hover and when read."""
    if at is None:
        return Markup('<span class="muted">{}</span>').format(missing)
    absolute = absolute_time(at)
    machine = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup(
        '<time datetime="{}" title="{}">{}<span class="visually-hidden"> ({})</span></time>'
    ).format(machine, absolute, relative_time(at, now), absolute)


def duration(seconds: int) -> str:
    """Return ``seconds`` in words with at most two units: "8 hours", "1 hour 30 minutes", "45 seconds"."""
    if seconds <= 0:
        return "no time"
    parts = []
    rest = seconds
    for unit, size in _UNITS[1:]:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(count(amount, unit))
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def number(value: int) -> str:
    """Return ``value`` with thousands separated, as in "12,044"."""
    return f"{value:,}"


def count(value: int, singular: str, plural: str | None = None) -> str:
    """Return the number with its noun: "1 agent", "0 agents", "1,204 people"."""
    return f"{number(value)} {singular if value == 1 else plural or singular + 's'}"


def in_words(items: Iterable[str], *, last: str = "and") -> str:
    """Return "a", "a and b" or "a, b and c"."""
    words = list(items)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def shorten_id(value: str) -> str:
    """Return an id short enough to compare at a glance: prefix, four characters, "…", the last four."""
    if len(value) <= _LONG_ID:
        return value
    prefix, mark, _ = value.partition("_")
    head = len(prefix) + len(mark) + 4 if mark and len(prefix) <= 6 else 6
    return f"{value[:head]}…{value[-4:]}"


def readable_json(value: Any) -> str:
    """Return ``value`` as indented JSON with its keys in the order given, for people to read."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def host_of(url: str) -> str:
    """Return the host and port of ``url``, or the text itself when it names none."""
    return urlsplit(url).netloc or url


def copy_button(value: str, what: str) -> Markup:
    """Return a button that copies ``value``; it stays hidden until the page's script can serve it."""
    return Markup(
        '<button type="button" class="copy" data-copy="{}" aria-label="Copy {}" title="Copy {}" hidden>'
        "{}</button>"
    ).format(value, what, what, icon("copy"))


def id_tag(value: str, what: str = "identifier") -> Markup:
    """Return an id in monospace, shortened in the middle, with the whole of it on hover and on copy."""
    return Markup('<span class="id"><code title="{}">{}</code>{}</span>').format(
        value, shorten_id(value), copy_button(value, what)
    )


def copy_line(value: str, what: str) -> Markup:
    """Return the whole value on a line of its own with a copy button, for URLs that are pasted elsewhere."""
    return Markup('<span class="copy-line"><code>{}</code>{}</span>').format(value, copy_button(value, what))


def install_formatting(app: TemplateHost, now: Callable[[], int]) -> None:
    """Register the filters ``ago``, ``absolute``, ``duration``, ``number``, ``counted`` and more.

    ``now`` is the broker's clock (epoch seconds); ``expires_soon`` is a Jinja test: less than a day is left.
    """

    def ago(at: int | None, missing: str = "never") -> Markup:
        return time_tag(at, now(), missing=missing)

    def expires_soon(at: int | None) -> bool:
        return at is not None and at - now() < _DAY

    app.jinja_env.filters.update(
        ago=ago, absolute=absolute_time, duration=duration, number=number, counted=count, in_words=in_words,
        short_id=shorten_id, id_tag=id_tag, copy_line=copy_line, copy_button=copy_button, host_of=host_of,
        readable_json=readable_json,
    )  # fmt: skip
    app.jinja_env.tests["expires_soon"] = expires_soon
