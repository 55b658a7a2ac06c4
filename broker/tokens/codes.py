"""Authorization codes: written once, spent once by a conditional UPDATE on their own row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from broker.kernel.ids import new_secret, sha256_hex
from broker.tokens import models

_TABLE = cast(Table, models.AuthorizationCode.__table__)
_INSERT = insert(_TABLE)
_THIS = (_TABLE.c.tenant_id == bindparam("tenant")) & (_TABLE.c.code_hash == bindparam("hash"))
_SPEND = (
    update(_TABLE)
    .where(_THIS, _TABLE.c.spent_at.is_(None), _TABLE.c.expires_at > bindparam("at"))
    .values(spent_at=bindparam("at"))
    .returning(
        _TABLE.c.grant_id,
        _TABLE.c.client_id,
        _TABLE.c.redirect_uri,
        _TABLE.c.code_challenge,
        _TABLE.c.resources,
        _TABLE.c.scopes,
        _TABLE.c.nonce,
        _TABLE.c.cnf_jkt,
    )
)
_FIND_SPENT = select(_TABLE.c.grant_id, _TABLE.c.client_id, _TABLE.c.spent_at).where(
    _THIS, _TABLE.c.spent_at.is_not(None)
)


@dataclass(frozen=True, slots=True)
class CodeView:
    """What a code was issued for; whoever holds this has spent it."""

    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    resources: tuple[str, ...]
    scopes: tuple[str, ...]
    nonce: str
    cnf_jkt: str = ""


@dataclass(frozen=True, slots=True)
class SpentCode:
    """A code that somebody redeemed before: end its grant (RFC 6749 §4.1.2, O20)."""

    grant_id: str
    client_id: str
    spent_at: int


def issue_code(
    connection: Connection,
    *,
    tenant_id: str,
    grant_id: str,
    client_id: str,
    redirect_uri: str,
    code_challenge: str,
    resources: Iterable[str],
    scopes: Iterable[str],
    nonce: str,
    expires_at: int,
    cnf_jkt: str = "",
) -> str:
    """Store a code and return it; only its hash is kept. ``code_challenge`` is S256.

    ``cnf_jkt`` is the thumbprint of the only key that may redeem it, empty for any (RFC 9449 §10).
    """
    code = new_secret()
    connection.execute(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "code_hash": sha256_hex(code),
            "grant_id": grant_id,
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "code_challenge": code_challenge,
            "resources": sorted(resources),
            "scopes": sorted(scopes),
            "nonce": nonce,
            "cnf_jkt": cnf_jkt,
            "expires_at": expires_at,
            "spent_at": None,
        },
    )
    return code


def spend_code(connection: Connection, *, tenant_id: str, code: str, now: int) -> CodeView | SpentCode | None:
    """Spend a code: ``CodeView`` exactly once, ``SpentCode`` when it was spent before, None otherwise.

    None is a code that is unknown here or expired unused. The caller compares client, redirect URI and
    verifier afterwards: a code that was tried with wrong ones is spent as well. Without this: two
    redemptions that arrive together would both find the code unspent (O20).
    """
    key = {"tenant": tenant_id, "hash": sha256_hex(code)}
    won = connection.execute(_SPEND, {**key, "at": now}).first()
    if won is not None:
        return CodeView(
            grant_id=won.grant_id,
            client_id=won.client_id,
            redirect_uri=won.redirect_uri,
            code_challenge=won.code_challenge,
            resources=tuple(won.resources),
            scopes=tuple(won.scopes),
            nonce=won.nonce,
            cnf_jkt=won.cnf_jkt,
        )
    lost = connection.execute(_FIND_SPENT, key).first()
    return SpentCode(lost.grant_id, lost.client_id, lost.spent_at) if lost is not None else None
