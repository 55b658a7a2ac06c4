"""``jwt-bearer`` (RFC 7523 §2.1): an ID-JAG of a trusted issuer, or a platform's token for its workload.

An ID-JAG stands for a person and gives an access token in which they are the subject. A workload's token
stands for an agent and gives what ``client_credentials`` would.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from broker.directory.names_elsewhere import find_linked_user
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.oauth.foreign_jwts import Introduced, Workload, is_id_jag, verify_id_jag
from broker.oauth.grants import client_credentials
from broker.oauth.grants.standing import first_token_basis, require_agent, require_standing
from broker.oauth.not_accepted import refused
from broker.oauth.params import parse_scope
from broker.oauth.targets import IDENTITY_SCOPES, asked_resource, canonical
from broker.policy.values import Chain
from broker.tokens.grants import open_grant
from broker.tokens.issuing import read_chain

REFUSAL_UNDOES = False  # what was tried with anything wrong is spent


def prepare(call: Call) -> Call:
    """Return the call with its assertion verified; nothing is consumed yet, no transaction is open.

    Raises ``Refusal(invalid_grant)``.
    """
    if isinstance(call.evidence, Workload):
        return call  # the workload's token was the client's credential
    token = call.params.require("assertion")
    if not is_id_jag(token):
        # Without this: a client could borrow another workload's identity beside its own credential.
        raise refused("workload_beside_credential")
    introduced = verify_id_jag(call.rt, call.tenant, token, now=call.ctx.now)
    _require_fitting(call, introduced)
    return replace(call, evidence=introduced)


def collect(tx: Transaction, call: Call) -> Basis:
    """Spend the assertion and return the basis of the token that it stands for."""
    if isinstance(call.evidence, Workload):
        # Spent as the client's credential.
        return client_credentials.collect(tx, call)
    if not isinstance(call.evidence, Introduced):
        raise refused("not_verified")
    call.evidence.mark.spend(tx.connection)
    return _person_basis(tx, call, call.evidence)


def _require_fitting(call: Call, introduced: Introduced) -> None:
    """Check that the ID-JAG was made for the client that brings it, and asks for nothing unknown here."""
    config, claims = introduced.issuer.config, introduced.claims
    # Without this: whoever is handed an ID-JAG could redeem it as another client (A27).
    if claims["client_id"] != call.client.client_id:
        raise refused("made_for_other_client")
    if call.client.client_id not in config.clients:
        raise refused("client_not_listed")
    if "authorization_details" in claims or call.params.has("authorization_details"):
        raise refused("authorization_details")
    # Without this: an ID-JAG that is bound to a key would count without the key (IDJ-23).
    if "cnf" in claims and (not call.jkt or claims["cnf"] != {"jkt": call.jkt}):
        raise refused("key_differs")


def _person_basis(tx: Transaction, call: Call, introduced: Introduced) -> Basis:
    agent = require_agent(call)
    config, claims = introduced.issuer.config, introduced.claims
    connection = call.tenant.find_connection(config.connection)
    if connection is None:
        raise refused("connection_gone")
    user_id = find_linked_user(
        tx.connection,
        call.tenant.id,
        connection_id=connection.id,
        issuer=config.subject_issuer or config.issuer,
        subject_kind=config.subject_kind,
        subject=claims["sub"],
    )
    # Nobody is made, and nobody is found by an address: a person signs in here once (EMA-03, O60).
    if user_id is None:
        raise refused("subject_unknown")
    scopes = _scopes(claims, frozenset(config.scopes))
    resource = _resource(call, claims, agent.resources)
    now = call.ctx.now
    grant_id = open_grant(
        tx.connection,
        tenant_id=call.tenant.id,
        client_id=call.client.client_id,
        agent_id=agent.id,
        user_id=user_id,
        connection_id=connection.id,
        resources=[resource],
        scopes=scopes,
        now=now,
        expires_at=now + call.tenant.settings.access_ttl_seconds,
        **_sign_in(claims),
    )
    grant = require_standing(tx, call, grant_id)
    basis = first_token_basis(call, grant, scopes, resource, asked=parse_scope(call.params.get("scope")))
    chain = _chain(claims)
    parent = replace(basis.parent, chain=chain, depth=len(chain))
    # No refresh token and no ID token: the other domain is asked again (IDJ-25).
    return replace(basis, parent=parent, refresh_scopes=None, identity_scopes=frozenset())


def _scopes(claims: Mapping[str, Any], ceiling: frozenset[str]) -> frozenset[str]:
    told = claims.get("scope")
    if told is not None and not isinstance(told, str):
        raise refused("claim_shape")
    wanted = parse_scope(told or "")
    scopes = (ceiling if wanted is None else wanted & ceiling) - IDENTITY_SCOPES
    if not scopes:
        raise Refusal(
            ErrorCode.INVALID_SCOPE, "None of the scopes can be granted.", reason="scope_not_introduced"
        )
    return scopes


def _resource(call: Call, claims: Mapping[str, Any], own: frozenset[str]) -> str:
    """Return the one resource: of those that the ID-JAG names, the one that the request names."""
    told = claims.get("resource", [])
    listed = [told] if isinstance(told, str) else told
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise refused("claim_shape")
    named = frozenset(canonical(one) for one in listed) or own
    asked = asked_resource(call)
    if asked is None and len(named) == 1:
        return next(iter(named))
    if asked is None or asked not in named:
        raise Refusal(ErrorCode.INVALID_TARGET, "Name one resource.", reason="resource_not_introduced")
    return asked


def _chain(claims: Mapping[str, Any]) -> Chain:
    """Return the actors of the other domain; one that cannot be kept as it is, is refused (ACT-03)."""
    try:
        return read_chain(claims.get("act"))
    except ValueError:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "The actor claim is malformed.", reason="actor_claim"
        ) from None


def _sign_in(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the person signed in over there, as far as it is told in the usual shapes."""
    auth_time, acr, amr = claims.get("auth_time"), claims.get("acr", ""), claims.get("amr", [])
    is_list = isinstance(amr, list) and all(isinstance(one, str) for one in amr)
    return {
        "auth_time": auth_time if isinstance(auth_time, int) and not isinstance(auth_time, bool) else None,
        "acr": acr[:200] if isinstance(acr, str) else "",
        "amr": amr if is_list else [],
    }
