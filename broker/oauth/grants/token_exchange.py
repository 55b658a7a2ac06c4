"""``token-exchange`` (RFC 8693): an agent narrows its own token, or joins the chain of one it was handed.

Delegation is the only kind issued: the person stays ``sub``, every actor stays visible in ``act``.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from broker.agents.snapshot import AgentView
from broker.directory.roles import read_told
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Ahead, Transaction
from broker.oauth.basis import ACCESS_TOKEN_TYPE, ID_JAG_TYPE, PERSONAL_TOKEN_TYPE, Basis, SignInFacts
from broker.oauth.calls import Call
from broker.oauth.grants import exchange_for_id_jag, exchange_of_upstream, exchange_personal_token
from broker.oauth.grants.presented import (
    named_actor,
    require_actor_shape,
    require_key,
    require_live,
    require_own_actor,
    verified_token,
)
from broker.oauth.grants.standing import require_agent
from broker.oauth.not_accepted import refused
from broker.oauth.params import parse_scope
from broker.oauth.targets import asked_resource
from broker.oauth.tasks import asked_task
from broker.oauth.upstream_tokens import Upstream
from broker.policy.values import Actor, Parent, Wish
from broker.tokens import encoding
from broker.tokens.access import VerifiedAccessToken
from broker.tokens.issuing import read_chain
from broker.tokens.liveness import TokenRow, read_held_tokens
from broker.tokens.trees import TreeKey, read_sizes

REFUSAL_UNDOES = False  # nothing is consumed


@dataclass(frozen=True, slots=True)
class _Subject:
    """The token to derive from: what it says, its row, and who may present it."""

    token: VerifiedAccessToken
    row: TokenRow
    presenter: str


def ahead(call: Call) -> Sequence[Ahead]:
    """Return what ``collect`` and the pipeline will look for; nothing where the tokens do not verify."""
    tenant_id, now = call.tenant.id, call.ctx.now
    try:
        subject = verified_token(call, call.params.get("subject_token"))
        found: list[Ahead] = [(read_held_tokens, (tenant_id, subject.jti))]
        if call.params.has("actor_token"):
            actor = verified_token(call, call.params.get("actor_token"))
            found.append((read_held_tokens, (tenant_id, actor.jti)))
    except Refusal:
        # ``collect`` meets it again, where it is recorded.
        return ()
    if subject.claims["sub_profile"] == "user":
        found.append((read_told, (tenant_id, subject.claims["sub"])))
    root = f"/{subject.claims['dlg']['root']}/"
    return [*found, (read_sizes, TreeKey(tenant_id, root, subject.jti, now))]


def collect(tx: Transaction, call: Call) -> Basis:
    """Return the basis of a token derived from the subject token."""
    agent = require_agent(call)
    require_actor_shape(call)
    if call.params.get("requested_token_type") == ID_JAG_TYPE:
        return exchange_for_id_jag.collect(tx, call, agent)
    if call.params.get("subject_token_type") == PERSONAL_TOKEN_TYPE:
        _require_access_token_wanted(call)
        return exchange_personal_token.collect(tx, call, agent)
    _require_types(call)
    if isinstance(call.evidence, Upstream):
        return exchange_of_upstream.collect(tx, call, agent, call.evidence)
    subject_token = verified_token(call, call.params.require("subject_token"))
    actor_token = (
        verified_token(call, call.params.require("actor_token")) if call.params.has("actor_token") else None
    )
    row = require_live(call, tx.find(read_held_tokens, (call.tenant.id, subject_token.jti)))
    subject = _Subject(subject_token, row, row.chain[0])
    if agent.id == subject.presenter:
        require_key(call, subject_token.jkt)
    if actor_token is None:
        # Without this: any client that saw a token in passing could continue its chain.
        if agent.id != subject.presenter:
            raise refused("not_the_presenter")
        actor = None
    else:
        require_key(call, actor_token.jkt)
        actor_row = require_live(call, tx.find(read_held_tokens, (call.tenant.id, actor_token.jti)))
        require_own_actor(call, agent, actor_row)
        actor = _joining_actor(call, agent, subject)
    basis = _basis(call, agent, subject, actor)
    changes = _task_changes(tx, call, agent, subject)
    # A token that goes on in the same hands stays meant for the same successor.
    may_act = _successor(call, agent) or (named_actor(subject_token.claims) if actor is None else None)
    if may_act is not None:
        changes["may_act"] = may_act
    if "task" in changes:
        ends_at = min(subject.row.expires_at, changes["task"].expires_at)
        changes["parent"] = replace(basis.parent, expires_at=ends_at)
    return replace(basis, **changes) if changes else basis


def _task_changes(tx: Transaction, call: Call, agent: AgentView, subject: _Subject) -> dict[str, Any]:
    """Return what a task adds to the basis: one that begins or goes on here, or that of the subject token."""
    told, row = subject.token.claims["dlg"], subject.row
    inherited = {name: str(told[name]) for name in ("purpose_hash", "instance") if name in told}
    task = asked_task(tx, call, agent, row, is_in_task=bool(inherited))
    if task is None:
        return dict(inherited)
    digest = hashlib.sha256(task.purpose.encode()).digest()
    return {
        "task": task,
        "txn": task.id,
        "purpose_hash": "sha-256:" + encoding.encode(digest).decode(),
        "instance": task.instance,
    }


def _require_types(call: Call) -> None:
    """Check the shape of the request; nothing malformed falls back to the client's own identity (A04)."""
    kind = call.params.require("subject_token_type")
    if kind != ACCESS_TOKEN_TYPE and not isinstance(call.evidence, Upstream):
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "This kind of token cannot be exchanged for that one.",
            reason="subject_token_type",
        )
    _require_access_token_wanted(call)


def _require_access_token_wanted(call: Call) -> None:
    """Check that nothing but an access token is asked for."""
    if call.params.get("requested_token_type") not in {"", ACCESS_TOKEN_TYPE}:
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "This kind of token cannot be requested.",
            reason="requested_token_type",
        )


def _successor(call: Call, agent: AgentView) -> Actor | None:
    """Return the one agent that the token is to be handed to, by its id; a parameter of ours.

    Whoever holds such a token and is another agent cannot join its chain (RFC 8693 §4.4).
    """
    if not call.params.has("delegate_to"):
        return None
    named = call.agents.agent(call.params.require("delegate_to"))
    if named is None or named.id not in agent.delegable_to:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This agent may not act here.", reason="delegate_to")
    return Actor(call.tenant.issuer, named.id)


def _joining_actor(call: Call, agent: AgentView, subject: _Subject) -> Actor | None:
    if agent.id == subject.presenter:
        return None
    named = named_actor(subject.token.claims)
    # Without this: a token that was made for one agent would serve every other of its presenter (TEX-05).
    if named is not None and not named.is_same_as(Actor(call.tenant.issuer, agent.id)):
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This agent may not act here.", reason="may_act")
    # Without this: an agent that began a chain in its own name, and so is its subject, could re-enter it.
    if agent.id in subject.row.chain:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This agent may not act here.", reason="actor_cycle")
    return Actor(call.tenant.issuer, agent.id)


def _basis(call: Call, agent: AgentView, subject: _Subject, actor: Actor | None) -> Basis:
    row, claims = subject.row, subject.token.claims
    presenter = call.agents.agent(subject.presenter)
    is_person = row.user_id is not None
    amr = claims.get("amr")
    return Basis(
        subject=str(claims["sub"]),
        subject_profile=str(claims["sub_profile"]),
        user_id=row.user_id,
        connection_id=row.connection_id,
        grant_id=row.grant_id,
        consent_id=row.consent_id,
        parent=Parent(
            scopes=row.scopes,
            roles=row.roles,
            resources=frozenset(row.grant_resources),
            expires_at=row.expires_at,
            depth=row.depth,
            # As it was signed: an agent that began in its own name is the subject, not an actor, and actors
            # of other domains are in no row.
            chain=read_chain(claims.get("act")),
            delegable=bool(presenter and presenter.delegable_to),
            delegable_to=presenter.delegable_to if presenter else frozenset(),
        ),
        has_live_roles=False,
        actor=actor,
        agent=agent,
        wish=Wish(
            scopes=parse_scope(call.params.get("scope")), resource=asked_resource(call) or row.audience
        ),
        facts=SignInFacts(
            auth_time=int(str(claims["auth_time"])) if is_person and "auth_time" in claims else None,
            acr=str(claims.get("acr", "")),
            amr=tuple(amr) if isinstance(amr, list) else (),
            sid=str(claims["sid"]) if "sid" in claims else None,
        ),
        parent_jti=row.jti,
        parent_path=row.path,
        txn=str(claims["txn"]),
        issued_token_type=ACCESS_TOKEN_TYPE,
    )
