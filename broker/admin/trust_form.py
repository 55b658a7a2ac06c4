"""The form of each kind of trust: its fields in words, and what a posted form says."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from broker.admin.changes import bad_form
from broker.admin.connection_form import Control, FormField
from broker.agents.trusts.kinds import ALGORITHMS, KINDS, Kind

KIND_WORDS: Mapping[str, tuple[str, str]] = {
    "target": (
        "Target",
        "A server elsewhere that takes our ID-JAGs, so that nobody signs in there again.",
    ),
    "issuer": (
        "Issuer",
        "An identity provider whose ID-JAGs count, for people who signed in here before.",
    ),
    "workload": ("Workload", "A platform that says which of its workloads is a client of ours."),
    "subject": (
        "Subject",
        "Lets a client exchange what a connection's provider issued for that client.",
    ),
}

_FIELDS: Mapping[str, tuple[str, Control, str]] = {
    "issuer": ("Issuer", "text", "Its issuer identifier, compared character by character."),
    "aliases": ("Other names", "lines", "Names by which clients may ask for it instead."),
    "clients": ("Clients", "lines", "Our clients that may bring its ID-JAGs. None means nobody."),
    "agents": ("Agents", "lines", "Slugs of the agents that may go there. None means nobody."),
    "scopes": ("Scopes", "lines", "The most that can be granted. None means nothing."),
    "resources": ("Resources", "lines", "Where it counts; with any, a request must name one of them."),
    "subject": (
        "Subject",
        "text",
        "Its exact `sub`, or one where `*` stands for a single part.",
    ),
    "ttl_seconds": ("Life in seconds", "number", "How long an ID-JAG lives, 30 to 600."),
    "acr_values": (
        "Sign-in strength",
        "lines",
        "One of these must have been reached; empty asks none.",
    ),
    "max_age": ("Age of the sign-in", "number", "At most so many seconds ago; empty asks for nothing."),
    "connection": ("Connection", "text", "The slug of the connection whose people it names."),
    "jwks": ("Keys", "long", "A JWK set of public keys; give either this or their address."),
    "jwks_uri": ("Address of the keys", "text", "Where the public keys are published."),
    "algorithms": ("Algorithms", "choices", "What it may sign with."),
    "subject_issuer": (
        "Issuer at the connection",
        "text",
        "If the connection knows its people by another.",
    ),
    "subject_kind": ("Sort of subject", "text", "What `sub` is at the connection."),
    "max_ttl_seconds": ("Longest life", "number", "Tokens of it that live longer are refused, in seconds."),
    "reuse": (
        "Take the same token again until it ends",
        "switch",
        "For those that give one token for an hour.",
    ),
    "client": ("Client", "text", "The id of our client."),
    "audience": ("Audience", "text", "What the token must be made for."),
    "recipient": ("Recipient", "text", "For SAML: the address at which the client takes assertions."),
    "outputs": ("Exchanged for", "choices", "What may come out."),
}
_TARGET_CLIENTS = ("Clients there", "pairs", "Our client and the id that it has there.")
_SUBJECT_AT_TARGET = ("People are known by", "choice", "What the server calls a person.")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "algorithms": tuple(ALGORITHMS),
    "outputs": ("access_token", "id_jag"),
    "subject": ("user_id", "upstream_subject", "email"),
}


def trust_fields(kind: Kind, config: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of one kind, filled with a stored or refused ``config``."""
    found = []
    for one in fields(KINDS[kind]):
        label, control, text = _words(kind, one.name)
        value = config.get(one.name, one.default if isinstance(one.default, str | int | bool | tuple) else "")
        found.append(
            FormField(
                name=one.name,
                label=label,
                help=text,
                control=control,
                is_required=one.name in {"issuer", "connection", "client"},
                value=value if control == "switch" else _shown(control, value),
                picked=tuple(value) if control == "choices" and not isinstance(value, str) else (),
                options=_OPTIONS.get(one.name, ()),
            )
        )
    return found


def typed_fields(kind: Kind, typed: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of one kind with what was typed, word for word."""
    found = []
    for one in trust_fields(kind, {}):
        value = typed.get(one.name, "")
        picked = tuple(value) if one.control == "choices" else ()
        found.append(replace(one, value=value if isinstance(value, str) else "", picked=picked))
    return found


def read_trust_form(kind: Kind, form: Mapping[str, Any], lists: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the configuration that a posted form says; raises ``Refusal(bad_form)``.

    ``lists`` holds every value of the fields that may have several.
    """
    config: dict[str, Any] = {}
    for one in fields(KINDS[kind]):
        control = _words(kind, one.name)[1]
        text = str(form.get(one.name, ""))[:20_000].strip()
        if control == "switch":
            config[one.name] = bool(text)
        elif control == "choices":
            config[one.name] = lists.get(one.name, [])
        elif control in ("lines", "pairs"):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            config[one.name] = _pairs(lines) if control == "pairs" else lines
        elif text:
            config[one.name] = _number(text) if control == "number" else _read(control, text)
    return config


def _words(kind: Kind, name: str) -> tuple[str, Control, str]:
    if kind == "target" and name == "clients":
        return _TARGET_CLIENTS  # type: ignore[return-value]
    if kind == "target" and name == "subject":
        return _SUBJECT_AT_TARGET  # type: ignore[return-value]
    return _FIELDS[name]


def _shown(control: Control, value: Any) -> str:
    if value is None:
        return ""
    if control == "pairs":
        return "\n".join(f"{name}={there}" for name, there in dict(value or {}).items())
    if control == "long":
        return json.dumps(value, indent=2) if value else ""
    return "\n".join(value) if isinstance(value, list | tuple) else str(value)


def _pairs(lines: list[str]) -> dict[str, str]:
    split = [line.partition("=") for line in lines]
    if not all(equals and name.strip() and value.strip() for name, equals, value in split):
        raise bad_form("Write one client a line, as name=id.")
    return {name.strip(): value.strip() for name, _, value in split}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise bad_form("A time is a whole number of seconds.")
    return int(text)


def _read(control: Control, text: str) -> Any:
    if control != "long":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise bad_form("The keys are not a JSON object.") from None
