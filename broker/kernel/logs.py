"""Log lines: JSON on standard error, one event a line, with secrets taken out before anything is written."""

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars
from structlog.typing import FilteringBoundLogger, Processor

REDACTED = "[redacted]"
MAX_TEXT = 8_000
"""Longer texts are cut: a line is for people, not for whatever somebody sent."""

_SECRET_KEYS = re.compile(
    r"secret|passw|passphrase|authorization|cookie|assertion|saml_?re|credential|private|verifier|nonce"
    r"|(^|_)(code|token|jwt|key|csrf|handle)$|(access|refresh|id|subject|actor)_token$",
    re.IGNORECASE,
)
# Names that end like a secret and are none.
_OPEN_KEYS = frozenset({"status_code", "error_code"})

_SECRET_TEXTS = (
    # Before the others: the scheme stays readable, what follows goes.
    (re.compile(r"\b(bearer|basic|dpop)\s+[\w.~+/=-]+", re.IGNORECASE), r"\1 " + REDACTED),
    (re.compile(r"\beyJ[\w-]+(\.[\w-]*){1,4}"), REDACTED),
    (
        re.compile(
            r"(?P<name>[\"']?\b[\w-]*(?:code|state|token|secret|password|assertion|cookie|verifier|hint|SAMLRe\w+)"
            r"[\"']?\s*[=:]\s*[\"']?)[^\s&\"',;}]{6,}",
            re.IGNORECASE,
        ),
        r"\g<name>" + REDACTED,
    ),
    # Secrets of 256 bits have 43 characters; our ids are shorter.
    (re.compile(r"[\w-]{43,}={0,2}"), REDACTED),
    (re.compile(r"[A-Za-z0-9+/]{120,}={0,2}"), REDACTED),
)


def configure_logs(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs of this process, libraries' included, to ``stream`` as redacted JSON lines.

    The stream is standard error unless another is given.
    """
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                structlog.processors.JSONRenderer(serializer=_one_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx2", "httpcore2", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger; events are a stable word with named values: ``log.info("swept", rows=3)``."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def bind_call(request_id: str, tenant: str = "") -> None:
    """Have every line of this request carry its id and the tenant's slug."""
    bind_contextvars(request_id=request_id, **({"tenant": tenant} if tenant else {}))


def unbind_call() -> None:
    """Forget the request, before a thread takes the next one."""
    clear_contextvars()


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a log event, by the name and by the look of each value, however deep.

    Without this: a bearer token, code, password, cookie or SAML response in a log line could be used by
    everybody who may read logs.
    """
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:
    if key and key not in _OPEN_KEYS and _SECRET_KEYS.search(key) and value not in (None, "", False, True):
        return REDACTED
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, Mapping):
        return {_clean_text(str(name)): _clean(str(name), one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(key, one) for one in value]
    if isinstance(value, int | float | None):
        return value
    return _clean_text(repr(value))


def _clean_text(text: str) -> str:
    for shape, replacement in _SECRET_TEXTS:
        text = shape.sub(replacement, text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _one_line(event: Mapping[str, Any], **_: Any) -> str:
    """Return JSON in ASCII without control characters.

    Without this: a line break or a terminal's escape sequence in what somebody sent would forge lines or
    rewrite what an operator sees (W17).
    """
    return json.dumps(event, default=repr).replace("\x7f", "\\u007f")
