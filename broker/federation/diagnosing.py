"""Turns what a connection test met into one row per look: state, expected, received, cause, cure, move."""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from broker.audit.redaction import clean_text
from broker.federation.addresses import ConnectionAddresses
from broker.federation.check_kinds import CURES, KINDS, TIMES, CheckKind
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import ConnectorError, Finding, GroupAnswer, VerifiedIdentity
from idp_connectors.presets.preset import Mishap, Side, explain

RowState = Literal["passed", "warning", "failed", "not_reached"]

_GROUPS_SHOWN = 10
_INSTANT = re.compile(r"(\w+) (\d{9,11})(?:\.\d+)?, now (\d{9,11})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One look's outcome; ``move`` is provider, here, network or wait, ``console`` a place over there."""

    name: str
    title: str
    state: RowState = "not_reached"
    expected: str = ""
    received: str = ""
    cause: str = ""
    fix: str = ""
    console: str = ""
    move: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being tested: the connection, our addresses, what is known of the provider's make, the time."""

    connection: ConnectionView
    addresses: ConnectionAddresses
    side: Side | None
    has_lookup: bool
    now: int


def blank_rows(subject: Subject) -> tuple[Row, ...]:
    """Return a row for everything that this connection can be tested for, nothing reached."""
    return tuple(
        Row(name=kind.name, title=kind.title, expected=_expected(subject, kind.name))
        for kind in _kinds(subject)
        if kind.name != "lookup" or subject.has_lookup
    )


def add_findings(subject: Subject, rows: Sequence[Row], findings: Iterable[Finding]) -> tuple[Row, ...]:
    """Return the rows with what the connector found out about itself."""
    found = {one.check: one for one in findings}
    return tuple(_with_finding(subject, row, found[row.name]) if row.name in found else row for row in rows)


def add_refusal(subject: Subject, rows: Sequence[Row], error: ConnectorError) -> tuple[Row, ...]:
    """Return the rows with the look that refused; those before it passed, those after it were not reached."""
    kind = _kind_of(subject, error)
    names = [row.name for row in rows]
    place = names.index(kind.name)
    received = _received(error)
    failed = _cured(
        subject, replace(rows[place], state="failed", received=received), kind, error.code, received
    )
    return tuple(
        _passed_before(row, kind) if at < place else (failed if at == place else row)
        for at, row in enumerate(rows)
    )


def add_identity(
    subject: Subject, rows: Sequence[Row], identity: VerifiedIdentity, answer: GroupAnswer | None
) -> tuple[Row, ...]:
    """Return the rows after a sign-in that was accepted; ``answer`` is what the group look-up said."""
    seen = {
        "person": _seen_person(subject, identity),
        "email": _seen_email(identity),
        "groups": _seen_groups(subject, identity),
        "lookup": _seen_lookup(subject, answer),
    }
    return tuple(replace(row, **(seen.get(row.name) or _as_expected(row))) for row in rows)


def state_of(rows: Iterable[Row]) -> str:
    """Return the worst state among the rows that were reached."""
    states = {row.state for row in rows}
    return next((state for state in ("failed", "warning") if state in states), "passed")


# --- looks that failed ------------------------------------------------------------------------------


def _kinds(subject: Subject) -> tuple[CheckKind, ...]:
    return KINDS.get(subject.connection.kind, KINDS["oidc"])


def _kind_of(subject: Subject, error: ConnectorError) -> CheckKind:
    kinds = {kind.name: kind for kind in _kinds(subject)}
    if error.field in TIMES:
        return kinds["time"]
    if error.field == "at_hash":
        return kinds["signature"]
    found = (kind for kind in kinds.values() if error.code in kind.codes)
    return next(found, kinds["client"])


def _passed_before(row: Row, failed: CheckKind) -> Row:
    # What an unproven answer says is nobody's word.
    is_unproven = failed.name == "signature" and row.name in _SAID_BY_THE_ANSWER
    if row.state != "not_reached" or is_unproven:
        return row
    return replace(row, **_as_expected(row))


_SAID_BY_THE_ANSWER = frozenset({"issuer", "recipient", "audience", "time", "belongs"})


def _with_finding(subject: Subject, row: Row, found: Finding) -> Row:
    received = clean_text(found.received)
    row = replace(row, state=found.state, expected=found.expected or row.expected, received=received)
    if found.state == "passed":
        return row
    kind = next(one for one in _kinds(subject) if one.name == row.name)
    cure = CURES.get(found.problem)
    if cure is not None:
        console = _console(subject, kind)
        return replace(row, cause=cure.cause, fix=cure.fix, move=cure.move, console=console)
    return _cured(subject, row, kind, found.code, received)


def _cured(subject: Subject, row: Row, kind: CheckKind, code: Any, detail: str) -> Row:
    """Return the row with cause and cure: the preset's own where it knows the case, else the usual."""
    mishap = _find_mishap(subject.side, code, detail)
    move = "here" if kind.name in ("settings", "metadata") else "provider"
    if mishap is None:
        return replace(
            row,
            cause=kind.cause,
            fix=kind.fix,
            console=_console(subject, kind),
            move=move if kind.fix else "",
        )
    return replace(row, cause=mishap.cause, fix=mishap.fix, console=mishap.console, move=move)


def _find_mishap(side: Side | None, code: Any, detail: str) -> Mishap | None:
    if side is None or code is None:
        return None
    # Without a sign in what came, a cause that has one would be a guess.
    known = (one for one in explain(side, code, detail) if not one.sign or one.sign in detail)
    return next(known, None)


def _console(subject: Subject, kind: CheckKind) -> str:
    """Return where the cure is in this provider's console, else the place's common name."""
    if subject.side is None:
        return kind.console
    places: dict[str, str] = {
        **{take.name: take.console for take in subject.side.takes},
        **{give.value: give.console for give in subject.side.gives},
        "groups": subject.side.groups.console,
    }
    return next((places[name] for name in kind.fields if name in places), kind.console)


def _received(error: ConnectorError) -> str:
    told = _INSTANT.search(error.detail)
    if told is None:
        return clean_text(error.detail or error.public)
    name, moment, now = told.group(1), int(told.group(2)), int(told.group(3))
    away = f"{abs(moment - now)} seconds {'ahead of' if moment > now else 'behind'} our clock"
    return f"{name} {_utc(moment)}, which is {away}"


# --- what a good answer says --------------------------------------------------------------------------


def _as_expected(row: Row) -> dict[str, Any]:
    # What was found before the sign-in stays as it was found.
    return {} if row.state != "not_reached" else {"state": "passed", "received": "As expected."}


def _seen_person(subject: Subject, identity: VerifiedIdentity) -> dict[str, Any]:
    received = f"{identity.subject_kind}: {clean_text(identity.subject)}"
    if subject.side is None or not subject.side.subject_is_weak:
        return {"state": "passed", "received": received}
    return {
        "state": "warning",
        "received": received,
        "cause": subject.side.subject_why,
        "fix": "Know that an address may go to somebody else, with everything that hangs on it.",
        "move": "here",
    }


def _seen_email(identity: VerifiedIdentity) -> dict[str, Any]:
    if identity.email:
        words = {"idp_verified_domain": "of this provider's domains", "idp_asserted": "verified, it says"}
        whose = words.get(identity.email_verified_by, "not verified")
        return {"state": "passed", "received": f"{clean_text(identity.email)} ({whose})"}
    kind = next(one for one in KINDS["oidc"] if one.name == "email")
    return {
        "state": "warning",
        "received": "No address",
        "cause": kind.cause,
        "fix": kind.fix,
        "console": kind.console,
        "move": "provider",
    }


def _seen_groups(subject: Subject, identity: VerifiedIdentity) -> dict[str, Any]:
    kind = next(one for one in KINDS["oidc"] if one.name == "groups")
    count, state = len(identity.groups), identity.groups_state
    names = ", ".join(clean_text(one.display or one.value, 80) for one in identity.groups[:_GROUPS_SHOWN])
    more = f" and {count - _GROUPS_SHOWN} more" if count > _GROUPS_SHOWN else ""
    received = f"{count}, {state}, from {identity.groups_source or 'nowhere'}"
    received += f": {names}{more}" if names else ""
    limit = subject.side.groups.limit if subject.side else None
    is_at_limit = state == "complete" and limit is not None and count >= limit
    if state == "complete" and not is_at_limit:
        return {"state": "passed", "received": received}
    many = f" (more than {limit})" if limit else ""
    causes = {
        "absent": kind.cause,
        "overage": f"The person is in more groups than the provider sends{many}. They count as unknown.",
        "truncated": "The list was cut. What is missing counts as unknown.",
        "complete": f"The provider sends at most {limit}, which are all here: some may be missing.",
    }
    return {
        "state": "warning",
        "received": received,
        "cause": causes.get(state, identity.groups_problem or "The groups could not be read."),
        "fix": subject.side.groups.advice if subject.side else kind.fix,
        "console": _console(subject, kind),
        "move": "provider",
    }


def _seen_lookup(subject: Subject, answer: GroupAnswer | None) -> dict[str, Any]:
    if answer is None:
        return {}
    received = f"{len(answer.groups)}, {answer.state}, from {answer.source}"
    if answer.state == "complete":
        return {"state": "passed", "received": received}
    kind = next(one for one in KINDS["oidc"] if one.name == "lookup")
    return {
        "state": "failed",
        "received": clean_text(f"{received}: {answer.problem}"),
        "cause": kind.cause,
        "fix": kind.fix,
        "console": _console(subject, kind),
        "move": "provider",
    }


# --- what was expected --------------------------------------------------------------------------------


def _expected(subject: Subject, name: str) -> str:
    config, ours = subject.connection.config, subject.addresses
    is_saml = subject.connection.kind == "saml"
    groups = config.get("groups_attribute" if is_saml else "groups_claim")
    known = {
        "redirect": f"The browser, back at {ours.callback_url}",
        "client": f"An answer for {ours.entity_id if is_saml else config.get('client_id', '')}",
        "form": "A response with one assertion" if is_saml else "A signed ID token",
        "signature": _expected_signature(subject),
        "issuer": config.get("idp_entity_id") if is_saml else config.get("issuer"),
        "recipient": ours.callback_url,
        "audience": ours.entity_id if is_saml else config.get("client_id"),
        "time": f"A time of now, {_utc(subject.now)} by our clock, give or take a minute",
        "belongs": "An answer to the request of this test",
        "person": f"The identifier that this connection uses: {config.get('subject', '')}",
        "email": "An address to show the person by",
        "groups": f"All groups, in {groups or 'no claim'}",
        "lookup": "All groups, from the source that this connection names",
    }
    return str(known.get(name) or "")


def _expected_signature(subject: Subject) -> str:
    config = subject.connection.config
    if subject.connection.kind == "saml":
        return f"A signature by one of the {len(config.get('certificates', ()))} certificates stored here"
    return (
        f"A signature by a published key, with {', '.join(config.get('allowed_algorithms', ())) or 'RS256'}"
    )


def _utc(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
