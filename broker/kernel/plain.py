"""Requests and replies as plain values, so that Flask and the short lane call the same functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from broker.kernel.context import CallContext

NO_STORE = ("Cache-Control", "no-store")


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """An HTTP request without its framework; header names are lower case."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes
    ctx: CallContext


@dataclass(frozen=True, slots=True)
class PlainReply:
    """An HTTP reply without its framework."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


def json_reply(
    status: int, document: Mapping[str, Any], headers: list[tuple[str, str]] | None = None
) -> PlainReply:
    """Return ``document`` as JSON; not to be stored by caches unless ``headers`` say otherwise."""
    given = headers or []
    if not any(name.lower() == "cache-control" for name, _ in given):
        given = [*given, NO_STORE]
    return PlainReply(status, orjson.dumps(document), [("Content-Type", "application/json"), *given])
