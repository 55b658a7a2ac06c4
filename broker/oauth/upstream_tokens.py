"""What a connection's provider issued for one of our clients, verified by the connection's connector.

It may wait for the provider's keys, so it runs before the transaction begins.
"""

from dataclasses import dataclass, replace
from typing import Literal

import orjson

from broker.agents.trusts.snapshot import SubjectView, load_trusts
from broker.federation.deps import connector_deps
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.oauth.basis import ID_TOKEN_TYPE, SAML2_TYPE
from broker.oauth.calls import Call
from broker.oauth.not_accepted import refused
from broker.tenants.connections import open_secrets
from broker.tenants.snapshot import ConnectionView
from broker.tokens import encoding
from broker.tokens.profiles import MAX_TOKEN_CHARS
from idp_connectors.base import ConnectorError, SubjectToken, VerifiedIdentity, VerifiesSubjectTokens

_KINDS: dict[str, Literal["id_token", "saml2"]] = {ID_TOKEN_TYPE: "id_token", SAML2_TYPE: "saml2"}
_PROTOCOLS = {"id_token": "oidc", "saml2": "saml"}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A person whom a connection's provider named to the calling client, and the entry that lets it count."""

    entry: SubjectView
    connection: ConnectionView
    identity: VerifiedIdentity


def prepare(call: Call) -> Call:
    """Return the call with a provider's subject token verified and used up; other calls as they are.

    Raises ``Refusal(invalid_grant)``.
    """
    kind = _KINDS.get(call.params.get("subject_token_type"))
    token = call.params.get("subject_token")
    if kind is None or not token or (kind == "id_token" and _issuer(token) == call.tenant.issuer):
        return call
    # Without this: a token that some provider made for some application would open doors here (A01).
    refusal = refused("no_subject_trust")
    for entry in load_trusts(call.rt, call.tenant.id).subjects_of(call.client.client_id):
        connection = call.tenant.find_connection(entry.config.connection)
        if connection is None or not connection.is_active or connection.kind != _PROTOCOLS[kind]:
            continue
        try:
            identity = _verify(call, entry, connection, kind, token)
        except Refusal as fault:
            # Not of this provider; nothing was used up. Another entry of the client may fit.
            refusal = fault
            continue
        return replace(call, evidence=Upstream(entry, connection, identity))
    raise refusal


def _verify(
    call: Call,
    entry: SubjectView,
    connection: ConnectionView,
    kind: Literal["id_token", "saml2"],
    token: str,
) -> VerifiedIdentity:
    connector = call.rt.connectors.get(connection.kind)
    if not isinstance(connector, VerifiesSubjectTokens):
        raise Refusal(
            ErrorCode.TEMPORARILY_UNAVAILABLE,
            "Subject tokens of this kind cannot be verified at the moment.",
            reason="no_connector",
            whose_move=WhoseMove.ADMIN,
        )
    with call.rt.database.core_read() as reading:
        secrets = open_secrets(call.rt, reading, call.tenant.id, connection.id)
    given = SubjectToken(kind, token, entry.config.audience, entry.config.recipient)
    deps = connector_deps(call.rt, call.tenant.id, call.ctx.now, connection_id=connection.id)
    try:
        return connector.verify_subject_token(connection.config, secrets, given, deps)
    except ConnectorError as error:
        raise refused(str(error.code), error.detail) from error


def _issuer(token: str) -> str | None:
    try:
        claims = orjson.loads(encoding.decode(token[:MAX_TOKEN_CHARS].split(".")[1]))
        issuer = claims["iss"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    return issuer if isinstance(issuer, str) else None
